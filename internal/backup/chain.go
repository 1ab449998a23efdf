package backup

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"iter"

	"github.com/keyturn/keyturn/internal/seal"
	"github.com/keyturn/keyturn/internal/store"
)

// Chain is a full backup and any number of incremental ones, each of which goes on from the one before. Together they are the state of the
// last. Entries, Lines and Finish are called once each, in this order.
type Chain struct {
	readers []*Reader
	kept    []keptDigest // for each reader: what it keeps, as the backups before have it
}

// Open opens files as a chain, in their order.
func Open(files []io.Reader, identities ...Identity) (*Chain, error) {
	var readers []*Reader
	for i, f := range files {
		r, err := NewReader(f, identities...)
		if err != nil {
			return nil, fmt.Errorf("number %d: %w", i+1, err)
		}
		readers = append(readers, r)
	}
	return NewChain(readers...)
}

// NewChain returns the chain of backups in their order. ErrChain.
func NewChain(readers ...*Reader) (*Chain, error) {
	for i, r := range readers {
		h := r.Header()
		switch {
		case i == 0 && h.Base != nil:
			return nil, fmt.Errorf("%w: the first one is incremental, from backup %s of revision %d", ErrChain, h.Base.Backup, h.Base.Revision)
		case i > 0 && h.Base == nil:
			return nil, fmt.Errorf("%w: number %d is a full backup; only the first may be", ErrChain, i+1)
		case i > 0 && !h.Base.same(&readers[i-1].Header().Position):
			before := readers[i-1].Header()
			return nil, fmt.Errorf("%w: number %d goes on from backup %s of revision %d, and the one before it is backup %s of revision %d",
				ErrChain, i+1, h.Base.Backup, h.Base.Revision, before.Backup, before.Revision)
		}
	}
	if len(readers) == 0 {
		return nil, errors.New("backup: no file")
	}
	c := &Chain{readers: readers}
	for range readers {
		c.kept = append(c.kept, newKeptDigest())
	}
	return c, nil
}

// Last returns the last backup: its state, and what opens the values, is that of the chain.
func (c *Chain) Last() *Reader { return c.readers[len(c.readers)-1] }

// keyring returns what opens the values. It must be of the deployment that the backup says it is of: people go by that.
func (c *Chain) keyring() (*seal.Keyring, error) {
	ring, err := c.Last().Escrow().Keyring()
	if err != nil {
		return nil, err
	}
	if h := c.Last().Header(); ring.Deployment() != h.Deployment || ring.Dev() != h.Dev {
		return nil, fmt.Errorf("%w: its keyring is of another deployment than it says", ErrDamaged)
	}
	return ring, nil
}

// Entries yields the entries of the state, by key, values sealed. Each is valid until the next.
func (c *Chain) Entries() iter.Seq2[store.Entry, error] {
	return func(yield func(store.Entry, error) bool) {
		m := merge{heads: make([]head, len(c.readers)), readers: c.readers, kept: c.kept}
		for {
			e, err := m.next()
			if errors.Is(err, io.EOF) {
				return
			}
			if !yield(e, err) || err != nil {
				return
			}
		}
	}
}

// head is the entry at which a reader stands.
type head struct {
	item Item
	read bool // item is the next one; otherwise it has been used
	end  bool
}

// merge goes through several backups at once: all are sorted by key.
type merge struct {
	readers []*Reader
	heads   []head
	kept    []keptDigest
	scratch []byte // of entryDigest
}

// next returns the next entry that the last backup has, with the value of the latest backup that has one.
func (m *merge) next() (store.Entry, error) {
	for {
		key, err := m.fill()
		if err != nil {
			return store.Entry{}, err
		}
		now, sum := (*Item)(nil), [sha256.Size]byte{} // as of each backup in turn; nil: the key is not there
		hashed := false
		for i := range m.heads {
			h := &m.heads[i]
			if h.end || h.item.Key != key {
				now = nil
				continue
			}
			h.read = false
			if !h.item.Kept {
				now, hashed = &h.item, false
				continue
			}
			if now == nil {
				return store.Entry{}, fmt.Errorf("%w: key %q is to be as in the backup before, which does not have it", ErrChain, key)
			}
			if !hashed {
				sum, m.scratch = entryDigest(m.scratch, &now.Entry)
				hashed = true
			}
			m.kept[i].Write(sum[:])
		}
		if now != nil {
			return now.Entry, nil
		}
	}
}

// fill reads on in what has been used, and returns the lowest key. io.EOF if there is none.
func (m *merge) fill() (key string, err error) {
	key, found := "", false
	for i := range m.heads {
		h := &m.heads[i]
		if !h.read && !h.end {
			h.item, err = m.readers[i].Next()
			if errors.Is(err, io.EOF) {
				h.end = true
			} else if err != nil {
				return "", fmt.Errorf("number %d: %w", i+1, err)
			}
			h.read = !h.end
		}
		if !h.end && (!found || h.item.Key < key) {
			key, found = h.item.Key, true
		}
	}
	if !found {
		return "", io.EOF
	}
	return key, nil
}

// Lines yields the lines of the audit log. Each is valid until the next.
func (c *Chain) Lines() iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		for i, r := range c.readers {
			for {
				line, err := r.Line()
				if errors.Is(err, io.EOF) {
					break
				}
				if err != nil {
					err = fmt.Errorf("number %d: %w", i+1, err)
				}
				if !yield(line, err) || err != nil {
					return
				}
			}
		}
	}
}

// Finish reads the manifests and compares them with what was read. ErrChain if a backup goes on from another state than the ones before it have.
func (c *Chain) Finish() ([]*Manifest, error) {
	var list []*Manifest
	for i, r := range c.readers {
		m, err := r.Finish()
		if err != nil {
			return nil, fmt.Errorf("number %d: %w", i+1, err)
		}
		if m.KeptDigest != "" && m.KeptDigest != c.kept[i].String() {
			return nil, fmt.Errorf("%w: number %d keeps entries that are others in the ones before it: the data directory was put back to an earlier state in between", ErrChain, i+1)
		}
		list = append(list, m)
	}
	return list, nil
}
