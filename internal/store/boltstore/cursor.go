package boltstore

import "bytes"

// cursor walks a tree in key order.
type cursor struct {
	t     tree
	stack []frame // from the root to a leaf
	loads uint64  // pages visited: more than there are means running in circles
}

type frame struct {
	p page
	i int
}

func (t tree) cursor() *cursor { return &cursor{t: t} }

// seek moves to the first entry whose key is not less than key.
func (c *cursor) seek(key []byte) error {
	c.stack = c.stack[:0]
	if err := c.descend(c.t.root, key); err != nil {
		return err
	}
	return c.settle()
}

// next moves to the following entry.
func (c *cursor) next() error {
	c.stack[len(c.stack)-1].i++
	return c.settle()
}

// entry returns the current entry; the key is nil at the end. The slices are parts of a page.
func (c *cursor) entry() (key, value []byte, isBucket bool) {
	if len(c.stack) == 0 {
		return nil, nil, false
	}
	f := c.stack[len(c.stack)-1]
	return f.p.key(f.i), f.p.value(f.i), f.p.isBucket(f.i)
}

// descend pushes the way from the page down to the leaf where the key is or would be.
func (c *cursor) descend(id uint64, key []byte) error {
	for {
		c.loads++
		if len(c.stack) == maxDepth || c.loads > c.t.r.pages {
			return damaged("page %d is reached in a circle", id)
		}
		p, err := c.t.load(id)
		if err != nil {
			return err
		}
		i := p.find(key)
		if p.leaf {
			c.stack = append(c.stack, frame{p, i})
			return nil
		}
		// A branch element carries the first key of its child, so the child wanted may be the one before.
		if i > 0 && (i == p.n || !bytes.Equal(p.key(i), key)) {
			i--
		}
		c.stack = append(c.stack, frame{p, i})
		id = p.child(i)
	}
}

// settle moves on from the end of a leaf, and over empty leaves, to the next entry; at the end it empties the stack.
func (c *cursor) settle() error {
	for len(c.stack) > 0 {
		top := &c.stack[len(c.stack)-1]
		switch {
		case top.i >= top.p.n:
			c.stack = c.stack[:len(c.stack)-1]
			if len(c.stack) > 0 {
				c.stack[len(c.stack)-1].i++
			}
		case top.p.leaf:
			return nil
		default:
			if err := c.descend(top.p.child(top.i), nil); err != nil {
				return err
			}
		}
	}
	return nil
}
