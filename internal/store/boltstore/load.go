package boltstore

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path/filepath"

	"go.etcd.io/bbolt"

	"github.com/keyturn/keyturn/internal/disk"
	"github.com/keyturn/keyturn/internal/store"
)

const (
	// loadBytes is about how much one transaction of Load takes. bbolt keeps all of it in memory.
	loadBytes = 16 << 20
	// loadFill is how full Load makes pages: changes that come later find a little room.
	loadFill = 0.9
	// loadGrow is the step by which the file grows meanwhile.
	loadGrow = 64 << 20
)

// Load makes a store of entries at the revision head in a new file at path, which is there only once all of it is on disk. The error is
// fs.ErrExist if there is a file. See package store.
func Load(ctx context.Context, fsys disk.FS, path string, head store.Rev, entries iter.Seq2[store.Entry, error]) (err error) {
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		return errors.Join(&fs.PathError{Op: "load", Path: path, Err: fs.ErrExist}, err)
	}
	temp := path + ".loading"
	if err := fsys.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := fsys.OpenFile(temp, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	if err := fsys.File(f).Close(); err != nil {
		return err
	}
	defer func() {
		if rmErr := fsys.Remove(temp); !errors.Is(rmErr, fs.ErrNotExist) {
			err = errors.Join(err, rmErr)
		}
	}()
	if err := guarded(func() error { return fill(fsys, temp) }); err != nil {
		return err
	}
	db, _, err := openBolt(fsys, temp, false)
	if err != nil {
		return err
	}
	// Nobody reads the file before it has its name, so one fsync at the end is enough.
	db.NoSync, db.NoGrowSync, db.AllocSize = true, true, loadGrow
	err = guarded(func() error { return loadAll(ctx, db, head, store.Loadable(head, entries)) })
	if err == nil {
		err = guarded(db.Sync)
	}
	if err = errors.Join(err, guarded(db.Close)); err != nil {
		return fmt.Errorf("store: loading %s: %w", path, err)
	}
	if err := publish(fsys, temp, path); err != nil {
		return err
	}
	return fsys.SyncDir(filepath.Dir(path))
}

// loadAll puts the entries in transactions of about loadBytes, and the head with the last.
func loadAll(ctx context.Context, db *bbolt.DB, head store.Rev, entries iter.Seq2[store.Entry, error]) error {
	next, stop := iter.Pull2(entries)
	defer stop()
	for more := true; more; {
		err := db.Update(func(tx *bbolt.Tx) error {
			data := tx.Bucket([]byte(dataBucket))
			data.FillPercent = loadFill
			for size := 0; size < loadBytes; {
				e, err, ok := next()
				if err != nil {
					return err
				}
				if !ok {
					more = false
					return tx.Bucket([]byte(metaBucket)).Put([]byte(headKey), binary.BigEndian.AppendUint64(nil, uint64(head)))
				}
				if err := data.Put([]byte(e.Key), encode(e.Rev, e.Value)); err != nil {
					return fmt.Errorf("key %q: %w", e.Key, err)
				}
				size += len(e.Key) + len(e.Value) + revSize
			}
			return ctx.Err()
		})
		if err != nil {
			return err
		}
	}
	return ctx.Err()
}
