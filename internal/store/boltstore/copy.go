package boltstore

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"hash"
	"os"

	"go.etcd.io/bbolt"

	"github.com/keyturn/keyturn/internal/store"
)

// content is what a store holds, to compare.
type content struct {
	head    store.Rev
	entries int64
	digest  [sha256.Size]byte
}

// all reads every entry, in order, and tells fn of each.
func (c *compaction) all(ctx context.Context, r *reader, root uint64, fn func(key, stored []byte) error) (content, error) {
	var out content
	var err error
	if out.head, err = r.meta(root); err != nil {
		return out, err
	}
	data, err := r.data(root)
	if err != nil {
		return out, err
	}
	digest := sha256.New()
	last := ""
	cur := data.cursor()
	for err = cur.seek(nil); err == nil; err = cur.next() {
		k, v, isBucket := cur.entry()
		if k == nil {
			break
		}
		if isBucket || string(k) <= last {
			return out, damaged("key %q is out of place", k)
		}
		last = string(k)
		addSized(digest, k)
		addSized(digest, v)
		out.entries++
		if err := fn(k, v); err != nil {
			return out, err
		}
		c.step(int64(elemSize + len(k) + len(v)))
		if out.entries%scanCheck == 0 && ctx.Err() != nil {
			return out, ctx.Err()
		}
	}
	digest.Sum(out.digest[:0])
	if err == nil {
		err = ctx.Err()
	}
	return out, err
}

func addSized(h hash.Hash, b []byte) {
	h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(b))))
	h.Write(b)
}

// copy writes all entries into a new file, and syncs it.
func (c *compaction) copy(ctx context.Context, r *reader, root uint64, temp string) (out content, err error) {
	// Nothing needs to be durable before the whole is.
	var file *os.File
	db, err := bbolt.Open(temp, 0o600, &bbolt.Options{
		Timeout: lockTimeout, FreelistType: bbolt.FreelistMapType, PageSize: r.pageSize, NoSync: true, NoGrowSync: true,
		OpenFile: func(name string, flag int, mode os.FileMode) (*os.File, error) {
			f, err := c.fs.OpenFile(name, flag|os.O_EXCL, mode)
			file = f
			return f, err
		},
	})
	if err != nil {
		return out, err
	}
	db.AllocSize = growBytes
	defer func() { err = errors.Join(err, db.Close()) }()
	var tx *bbolt.Tx
	var data *bbolt.Bucket
	begin := func() (err error) {
		if tx, err = db.Begin(true); err != nil {
			return err
		}
		if data, err = tx.CreateBucketIfNotExists([]byte(dataBucket)); err == nil {
			data.FillPercent = 1 // keys come in order
		}
		return err
	}
	if err := begin(); err != nil {
		return out, err
	}
	defer func() { _ = tx.Rollback() }() // after Commit it does nothing
	size := 0
	out, err = c.all(ctx, r, root, func(key, stored []byte) error {
		if size += len(key) + len(stored); size > compactBytes {
			if err := tx.Commit(); err != nil {
				return err
			}
			if err := begin(); err != nil {
				return err
			}
			size = 0
		}
		// Both are parts of a page of the reader, which may be used for another one before the transaction is written.
		return data.Put(append([]byte(nil), key...), append([]byte(nil), stored...))
	})
	if err != nil {
		return out, err
	}
	meta, err := tx.CreateBucketIfNotExists([]byte(metaBucket))
	if err != nil {
		return out, err
	}
	if err := meta.Put([]byte(formatKey), binary.BigEndian.AppendUint64(nil, formatVersion)); err != nil {
		return out, err
	}
	if err := meta.Put([]byte(headKey), binary.BigEndian.AppendUint64(nil, uint64(out.head))); err != nil {
		return out, err
	}
	end := tx.Size()
	if err := tx.Commit(); err != nil {
		return out, err
	}
	if err := db.View(func(tx *bbolt.Tx) error { end = tx.Size(); return nil }); err != nil {
		return out, err
	}
	// The file grows in steps; what is behind its last page is not needed.
	if err := c.fs.File(file).Truncate(end); err != nil {
		return out, err
	}
	return out, db.Sync()
}

// read reads the copy back.
func (c *compaction) read(ctx context.Context, temp string) (out content, err error) {
	db, file, err := openBolt(c.fs, temp, true)
	if err != nil {
		return out, err
	}
	defer func() { err = errors.Join(err, guarded(db.Close)) }()
	tx, err := db.Begin(false)
	if err != nil {
		return out, err
	}
	defer tx.Rollback() //nolint:errcheck // of a read there is nothing to roll back
	pageSize := db.Info().PageSize
	r, root := newReader(file, tx, pageSize, newPool(pageSize))
	return c.all(ctx, r, root, func([]byte, []byte) error { return nil })
}
