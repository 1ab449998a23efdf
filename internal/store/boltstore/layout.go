package boltstore

import (
	"encoding/binary"
	"fmt"
	"io"
	"sort"
	"sync"

	"go.etcd.io/bbolt"

	"github.com/keyturn/keyturn/internal/store"
)

// Where a meta page holds what bbolt does not tell: each of the two has the state of one transaction, by turns.
const (
	metaFreelist = pageHeaderSize + 32 // uint64
	metaTxID     = pageHeaderSize + 48 // uint64
	metaSize     = pageHeaderSize + 64
)

// newReader returns a reader of what was committed when tx began, and the page that lists the buckets.
func newReader(file io.ReaderAt, tx *bbolt.Tx, pageSize int, pool *sync.Pool) (*reader, uint64) {
	r := &reader{file: file, pageSize: pageSize, pages: uint64(tx.Size()) / uint64(pageSize), pool: pool}
	return r, uint64(tx.Cursor().Bucket().Root())
}

// newPool returns a source of page buffers. They are not cleared in between: each is filled before it is looked at.
func newPool(pageSize int) *sync.Pool {
	return &sync.Pool{New: func() any {
		b := make([]byte, pageSize)
		return &b
	}}
}

// data returns the bucket that holds the keys.
func (r *reader) data(root uint64) (tree, error) {
	t, ok, err := r.bucket(root, dataBucket)
	if err == nil && !ok {
		err = damaged("the data bucket is missing")
	}
	return t, err
}

// lookup returns the key's revision and value, or 0 and nil.
func (t tree) lookup(key string) (store.Rev, []byte, error) {
	b, err := t.get([]byte(key))
	if b == nil || err != nil {
		return 0, nil, err
	}
	return decode(b)
}

// meta checks the version of the format and returns the revision of the last commit.
func (r *reader) meta(root uint64) (store.Rev, error) {
	t, ok, err := r.bucket(root, metaBucket)
	if err != nil {
		return 0, err
	}
	if !ok {
		return 0, fmt.Errorf("%w: a bbolt file, but not a store of keyturn's", store.ErrFormat)
	}
	format, err := t.number(formatKey)
	if err != nil {
		return 0, err
	}
	if format == 0 || format > formatVersion {
		return 0, fmt.Errorf("%w: version %d, this is version %d", store.ErrFormat, format, formatVersion)
	}
	head, err := t.number(headKey)
	return store.Rev(head), err
}

func (t tree) number(key string) (uint64, error) {
	b, err := t.get([]byte(key))
	if err != nil {
		return 0, err
	}
	if len(b) != 8 {
		return 0, damaged("meta value %q has %d bytes", key, len(b))
	}
	return binary.BigEndian.Uint64(b), nil
}

// freelist is the list of unused pages as a transaction wrote it: page numbers, ascending. It holds too what only open readers still see.
type freelist struct {
	r           *reader
	at          int64  // where the first number stands in the file
	n           uint64 // how many there are
	first, past uint64 // its own pages
}

// openFreelist finds the list of a transaction, which must be the newest, and checks where it stands and how long it says it is.
func (r *reader) openFreelist(txID int) (freelist, error) {
	buf := make([]byte, metaSize)
	if _, err := r.file.ReadAt(buf, int64(txID&1)*int64(r.pageSize)); err != nil {
		return freelist{}, fmt.Errorf("%w: reading the meta page: %w", store.ErrDamaged, err)
	}
	if got := order.Uint64(buf[metaTxID:]); got != uint64(txID) {
		return freelist{}, damaged("the meta page is of transaction %d, not %d", got, txID)
	}
	id := order.Uint64(buf[metaFreelist:])
	if id < 2 || id >= r.pages {
		return freelist{}, damaged("freelist on page %d of %d", id, r.pages)
	}
	head := make([]byte, pageHeaderSize+8)
	at := int64(id) * int64(r.pageSize)
	if _, err := r.file.ReadAt(head, at); err != nil {
		return freelist{}, readError(id, err)
	}
	own := uint64(order.Uint32(head[12:])) + 1
	switch {
	case order.Uint64(head) != id:
		return freelist{}, damaged("page %d calls itself %d", id, order.Uint64(head))
	case order.Uint16(head[8:]) != flagFreelist:
		return freelist{}, damaged("page %d is no freelist but of type %#x", id, order.Uint16(head[8:]))
	case own > r.pages-id:
		return freelist{}, damaged("page %d claims %d more pages", id, own-1)
	}
	l := freelist{r: r, at: at + pageHeaderSize, n: uint64(order.Uint16(head[10:])), first: id, past: id + own}
	room := (own*uint64(r.pageSize) - pageHeaderSize) / 8
	if l.n == 0xffff { // more than the field holds: the number is the first element
		l.n, l.at, room = order.Uint64(head[pageHeaderSize:]), l.at+8, room-1
	}
	if l.n > room {
		return freelist{}, damaged("freelist with %d entries, of which %d fit its pages", l.n, room)
	}
	return l, nil
}

// read returns up to limit numbers from the i-th on. Each is that of a page that can be free, and greater than the one before it.
func (l freelist) read(i uint64, limit int) ([]uint64, error) {
	if i >= l.n {
		return nil, nil
	}
	from := i
	if i > 0 {
		from-- // the one before, to compare with
	}
	buf := make([]byte, 8*(min(i+uint64(limit), l.n)-from))
	if _, err := l.r.file.ReadAt(buf, l.at+8*int64(from)); err != nil {
		return nil, readError(l.first, err)
	}
	ids := make([]uint64, 0, len(buf)/8)
	last := uint64(1) // 0 and 1 are the meta pages
	for ; len(buf) > 0; buf = buf[8:] {
		id := order.Uint64(buf)
		if id <= last || id >= l.r.pages || (id >= l.first && id < l.past) {
			return nil, damaged("freelist names page %d after %d, of %d", id, last, l.r.pages)
		}
		last = id
		ids = append(ids, id)
	}
	return ids[i-from:], nil
}

// each calls fn with all numbers.
func (l freelist) each(fn func(id uint64) error) error {
	const block = 8192
	for i := uint64(0); i < l.n; i += block {
		ids, err := l.read(i, block)
		if err != nil {
			return err
		}
		for _, id := range ids {
			if err := fn(id); err != nil {
				return err
			}
		}
	}
	return nil
}

// from returns up to limit numbers that are not less than id, without reading the whole list.
func (l freelist) from(id uint64, limit int) ([]uint64, error) {
	var failed error
	i := sort.Search(int(l.n), func(i int) bool {
		one, err := l.read(uint64(i), 1)
		if err != nil {
			failed = err
			return true
		}
		return one[0] >= id
	})
	if failed != nil {
		return nil, failed
	}
	return l.read(uint64(i), limit)
}
