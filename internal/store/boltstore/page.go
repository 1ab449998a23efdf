package boltstore

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"sort"
	"sync"

	"github.com/keyturn/keyturn/internal/store"
)

// Keyturn reads bbolt's pages itself. bbolt follows whatever offsets and page numbers it finds in its memory map without
// looking, so that a damaged page could show foreign memory or bring the process down with a page that is its own
// descendant; none of that can be caught. Here every number is checked before it is used. The layout is that of bbolt's
// data file version 2, in the byte order of the machine, as bbolt writes it.
const (
	pageHeaderSize   = 16 // id uint64, flags, count uint16, overflow uint32
	elemSize         = 16 // leaf: flags, pos, ksize, vsize uint32; branch: pos, ksize uint32, child uint64
	bucketHeaderSize = 16 // root page uint64, sequence uint64; with root 0 the page follows inline

	flagBranch   = 0x01
	flagLeaf     = 0x02
	flagFreelist = 0x10
	flagBucket   = 0x01 // of a leaf element

	// maxDepth is far beyond any tree that fits a disk; what is deeper runs in circles.
	maxDepth = 32
	// maxPageBytes is more than bbolt needs for a page with the largest value that a commit takes, beside others.
	maxPageBytes = 4*store.MaxBatchBytes + 1<<20
)

var order = binary.NativeEndian

// page is a branch or leaf whose every element is within buf.
type page struct {
	buf  []byte
	leaf bool
	n    int
}

func damaged(format string, args ...any) error {
	return fmt.Errorf("%w: %s", store.ErrDamaged, fmt.Sprintf(format, args...))
}

// parsePage checks every element once, so that the accessors need not. bbolt puts what its elements are about behind them, without gaps: so a
// page whose number of elements is wrong, which would only seem to have fewer, does not pass.
func parsePage(buf []byte) (page, error) {
	if len(buf) < pageHeaderSize {
		return page{}, damaged("page of %d bytes", len(buf))
	}
	flags := order.Uint16(buf[8:])
	p := page{buf: buf, leaf: flags == flagLeaf, n: int(order.Uint16(buf[10:]))}
	if flags != flagLeaf && flags != flagBranch {
		return page{}, damaged("page has unexpected type %#x", flags)
	}
	if pageHeaderSize+p.n*elemSize > len(buf) {
		return page{}, damaged("page with %d elements in %d bytes", p.n, len(buf))
	}
	if !p.leaf && p.n == 0 {
		return page{}, damaged("branch page without children")
	}
	next := uint64(p.elem(p.n))
	for i := range p.n {
		off := p.elem(i)
		var begin, size uint64
		if p.leaf {
			begin, size = uint64(off)+p.u32(off+4), p.u32(off+8)+p.u32(off+12)
		} else {
			begin, size = uint64(off)+p.u32(off), p.u32(off+4)
		}
		if begin != next {
			return page{}, damaged("page element is at %d, not %d", begin, next)
		}
		if next += size; next > uint64(len(buf)) {
			return page{}, damaged("page element reaches %d of %d bytes", next, len(buf))
		}
	}
	return p, nil
}

func (p page) elem(i int) int         { return pageHeaderSize + i*elemSize }
func (p page) u32(off int) uint64     { return uint64(order.Uint32(p.buf[off:])) }
func (p page) child(i int) uint64     { return order.Uint64(p.buf[p.elem(i)+8:]) }
func (p page) isBucket(i int) bool    { return p.u32(p.elem(i))&flagBucket != 0 }
func (p page) cut(from, n int) []byte { return p.buf[from : from+n : from+n] }

func (p page) key(i int) []byte {
	off := p.elem(i)
	if p.leaf {
		return p.cut(off+int(p.u32(off+4)), int(p.u32(off+8)))
	}
	return p.cut(off+int(p.u32(off)), int(p.u32(off+4)))
}

func (p page) value(i int) []byte {
	off := p.elem(i)
	return p.cut(off+int(p.u32(off+4))+int(p.u32(off+8)), int(p.u32(off+12)))
}

// find returns the first element whose key is not less than key.
func (p page) find(key []byte) int {
	return sort.Search(p.n, func(i int) bool { return bytes.Compare(p.key(i), key) >= 0 })
}

// reader reads the pages of one bbolt transaction, which must stay open meanwhile: it keeps the pages from being reused.
// A reader serves one goroutine.
type reader struct {
	file     io.ReaderAt
	pageSize int
	pages    uint64 // the transaction's high-water mark: pages at and above it do not exist
	cache    map[uint64]page
	pool     *sync.Pool // of *[]byte of pageSize, for what is in cache
}

// maxCached bounds the pages that a reader keeps: many of a group of commits, few of a long scan.
const maxCached = 512

// release gives the buffers back. Nothing that was read may be used afterwards.
func (r *reader) release() {
	for _, p := range r.cache {
		r.pool.Put(&p.buf)
	}
	r.cache = nil
}

// load reads the page and checks that it is the one asked for.
func (r *reader) load(id uint64) (page, error) {
	if p, ok := r.cache[id]; ok {
		return p, nil
	}
	buf, err := r.raw(id)
	if err != nil {
		return page{}, err
	}
	p, err := parsePage(buf)
	if err != nil {
		return page{}, fmt.Errorf("page %d: %w", id, err)
	}
	if len(buf) == r.pageSize && len(r.cache) < maxCached {
		if r.cache == nil {
			r.cache = make(map[uint64]page)
		}
		r.cache[id] = p
	}
	return p, nil
}

func (r *reader) raw(id uint64) ([]byte, error) {
	if id < 2 || id >= r.pages {
		return nil, damaged("reference to page %d of %d", id, r.pages)
	}
	buf := *r.pool.Get().(*[]byte)
	base := int64(id) * int64(r.pageSize)
	if _, err := r.file.ReadAt(buf, base); err != nil {
		return nil, readError(id, err)
	}
	if got := order.Uint64(buf); got != id {
		return nil, damaged("page %d calls itself %d", id, got)
	}
	overflow := uint64(order.Uint32(buf[12:]))
	if overflow == 0 {
		return buf, nil
	}
	size := (overflow + 1) * uint64(r.pageSize)
	// A freelist may be long; what it holds is bounded by the pages there are.
	limit := uint64(maxPageBytes)
	if order.Uint16(buf[8:]) == flagFreelist {
		limit = 8*r.pages + 2*uint64(r.pageSize) + pageHeaderSize
	}
	if overflow >= r.pages-id || size > limit {
		return nil, damaged("page %d claims %d more pages", id, overflow)
	}
	buf = append(buf, make([]byte, size-uint64(r.pageSize))...)
	if _, err := r.file.ReadAt(buf[r.pageSize:], base+int64(r.pageSize)); err != nil {
		return nil, readError(id, err)
	}
	return buf, nil
}

func readError(id uint64, err error) error {
	if err == io.EOF {
		return damaged("the file ends before page %d", id)
	}
	return fmt.Errorf("%w: reading page %d: %w", store.ErrDamaged, id, err)
}

// tree is one bucket: a B+ tree from a root page, or a single page that was stored inline.
type tree struct {
	r      *reader
	root   uint64
	inline []byte
}

// bucket finds a top-level bucket by name, below the page that lists them.
func (r *reader) bucket(root uint64, name string) (tree, bool, error) {
	top := tree{r: r, root: root}
	c := top.cursor()
	if err := c.seek([]byte(name)); err != nil {
		return tree{}, false, err
	}
	key, value, isBucket := c.entry()
	if string(key) != name || !isBucket {
		return tree{}, false, nil
	}
	if len(value) < bucketHeaderSize {
		return tree{}, false, damaged("bucket of %d bytes", len(value))
	}
	return tree{r: r, root: order.Uint64(value), inline: value[bucketHeaderSize:]}, true, nil
}

func (t tree) load(id uint64) (page, error) {
	if id == 0 && t.root == 0 {
		return parsePage(t.inline)
	}
	return t.r.load(id)
}

// get returns the value of the key, nil if there is none. It is part of a page.
func (t tree) get(key []byte) ([]byte, error) {
	c := t.cursor()
	if err := c.seek(key); err != nil {
		return nil, err
	}
	k, v, isBucket := c.entry()
	if k == nil || !bytes.Equal(k, key) {
		return nil, nil
	}
	if isBucket {
		return nil, damaged("a bucket where a value belongs")
	}
	return v, nil
}
