package boltstore

import (
	"encoding/binary"
	"fmt"
	"io"
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

// freelist checks the list of unused pages of the transaction, from which bbolt takes what it is told.
func (r *reader) freelist(txID int) error {
	buf := make([]byte, metaSize)
	if _, err := r.file.ReadAt(buf, int64(txID&1)*int64(r.pageSize)); err != nil {
		return fmt.Errorf("%w: reading the meta page: %w", store.ErrDamaged, err)
	}
	if got := order.Uint64(buf[metaTxID:]); got != uint64(txID) {
		return damaged("the meta page is of transaction %d, not %d", got, txID)
	}
	id := order.Uint64(buf[metaFreelist:])
	page, err := r.raw(id)
	if err != nil {
		return fmt.Errorf("freelist: %w", err)
	}
	if flags := order.Uint16(page[8:]); flags != flagFreelist {
		return damaged("page %d is no freelist but of type %#x", id, flags)
	}
	own := id + uint64(len(page)/r.pageSize) // the first page after the list itself
	n, list := uint64(order.Uint16(page[10:])), page[pageHeaderSize:]
	if n == 0xffff { // more than the field holds: the number is the first element
		n, list = order.Uint64(list), list[8:]
	}
	if n > uint64(len(list)/8) {
		return damaged("freelist with %d entries in %d bytes", n, len(list))
	}
	last := uint64(1) // 0 and 1 are the meta pages
	for i := range n {
		free := order.Uint64(list[8*i:])
		if free <= last || free >= r.pages || (free >= id && free < own) {
			return damaged("freelist names page %d after %d, of %d", free, last, r.pages)
		}
		last = free
	}
	return nil
}
