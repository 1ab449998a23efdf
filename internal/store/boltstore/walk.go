package boltstore

import (
	"fmt"
	"time"
)

// walk marks the pages of a state.
type walk struct {
	r     *reader
	root  uint64
	free  freelist
	used  []uint64 // bits
	begun time.Time
	n     int
}

func (w *walk) mark(id uint64) error {
	if id >= w.r.pages {
		return damaged("reference to page %d of %d", id, w.r.pages)
	}
	if w.used[id/64]&(1<<(id%64)) != 0 {
		return damaged("page %d is in use twice, or free and in use", id)
	}
	w.used[id/64] |= 1 << (id % 64)
	return nil
}

// run returns ErrDamaged unless every page is in use once or free. A page that is neither is one that something referred to: what was stored in it
// is not reached, and still there. rest is called now and then, with how long the walk has been at work since.
func (w *walk) run(rest func(time.Duration) error) error {
	w.used = make([]uint64, w.r.pages/64+1)
	w.begun = time.Now()
	pause := func() error {
		if w.n++; w.n%walkPages != 0 {
			return nil
		}
		if err := rest(time.Since(w.begun)); err != nil {
			return err
		}
		w.begun = time.Now()
		return nil
	}
	if err := w.tree(w.root, 0, pause); err != nil {
		return err
	}
	for id := w.free.first; id < w.free.past; id++ {
		if err := w.mark(id); err != nil {
			return err
		}
	}
	if err := w.free.each(w.mark); err != nil {
		return err
	}
	lost := 0
	for id := uint64(2); id < w.r.pages; id++ {
		if w.used[id/64]&(1<<(id%64)) == 0 {
			lost++
		}
	}
	if lost > 0 {
		return damaged("%d pages are neither free nor in use", lost)
	}
	return nil
}

// tree marks the pages from id downwards, and of the buckets in it.
func (w *walk) tree(id uint64, depth int, pause func() error) error {
	if depth == maxDepth {
		return damaged("page %d is reached in a circle", id)
	}
	buf, err := w.r.raw(id)
	if err != nil {
		return err
	}
	for i := range uint64(len(buf) / w.r.pageSize) {
		if err := w.mark(id + i); err != nil {
			return err
		}
	}
	p, err := parsePage(buf)
	if err != nil {
		return fmt.Errorf("page %d: %w", id, err)
	}
	if len(buf) == w.r.pageSize {
		defer w.r.pool.Put(&buf)
	}
	if err := pause(); err != nil {
		return err
	}
	for i := range p.n {
		child := uint64(0)
		switch {
		case !p.leaf:
			child = p.child(i)
		case p.isBucket(i):
			v := p.value(i)
			if len(v) < bucketHeaderSize {
				return damaged("bucket of %d bytes", len(v))
			}
			child = order.Uint64(v) // 0: the bucket is in this page
		}
		if child != 0 {
			if err := w.tree(child, depth+1, pause); err != nil {
				return err
			}
		}
	}
	return nil
}
