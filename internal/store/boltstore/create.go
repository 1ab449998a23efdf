package boltstore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/keyturn/keyturn/internal/disk"
	"github.com/keyturn/keyturn/internal/store"
)

// create makes an empty store under a temporary name and gives it its own name only once it is complete on disk. If
// another process is faster, its store stays.
func create(fsys disk.FS, path string) (err error) {
	dir := filepath.Dir(path)
	f, err := fsys.CreateTemp(dir, filepath.Base(path)+".new-*") // mode 0600
	if err != nil {
		return err
	}
	temp := f.Name()
	if err := f.Close(); err != nil {
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
	if err := publish(fsys, temp, path); err != nil {
		return err
	}
	return fsys.SyncDir(dir)
}

// fill writes an empty store into the empty file.
func fill(fsys disk.FS, path string) error {
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: lockTimeout, FreelistType: bbolt.FreelistMapType, OpenFile: fsys.OpenFile})
	if err != nil {
		return err
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		if _, err := tx.CreateBucket([]byte(dataBucket)); err != nil {
			return err
		}
		meta, err := tx.CreateBucket([]byte(metaBucket))
		if err != nil {
			return err
		}
		if err := meta.Put([]byte(formatKey), binary.BigEndian.AppendUint64(nil, formatVersion)); err != nil {
			return err
		}
		return meta.Put([]byte(headKey), binary.BigEndian.AppendUint64(nil, 0))
	})
	return errors.Join(err, db.Close()) // Update has fsynced
}

// publish gives the file its name unless the name is taken, also if that happens at this moment: a hard link is refused
// then, where a rename would replace a store that is already in use. Where there are no hard links, rename must do.
func publish(fsys disk.FS, temp, path string) error {
	err := fsys.Link(temp, path)
	if err == nil || errors.Is(err, fs.ErrExist) {
		return nil
	}
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return fsys.Rename(temp, path)
}

// inspect looks at the file with a shared lock and without writing: whether it is ours, and complete enough to be handed
// to bbolt, which trusts it. The work does not grow with the number of keys.
func inspect(fsys disk.FS, path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%w: not a regular file", store.ErrFormat)
	}
	db, file, err := openBolt(fsys, path, true)
	switch {
	case errors.Is(err, store.ErrLocked), errors.Is(err, store.ErrDamaged):
		return err
	case errors.Is(err, bolterrors.ErrInvalid), errors.Is(err, bolterrors.ErrVersionMismatch):
		return fmt.Errorf("%w: not a bbolt file, or both of its meta pages are gone: %w", store.ErrFormat, err)
	case errors.Is(err, bolterrors.ErrChecksum):
		return fmt.Errorf("%w: both meta pages: %w", store.ErrDamaged, err)
	case err != nil && info.Size() < 4*int64(os.Getpagesize()):
		return fmt.Errorf("%w: a file of %d bytes is too short: %w", store.ErrDamaged, info.Size(), err)
	case err != nil:
		return err
	}
	return errors.Join(guarded(func() error { return inspectOpen(db, file) }), guarded(db.Close))
}

func inspectOpen(db *bbolt.DB, file *os.File) error {
	tx, err := db.Begin(false)
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // of a read there is nothing to roll back
	info, err := file.Stat()
	if err != nil {
		return err
	}
	if tx.Size() <= 0 || tx.Size() > info.Size() {
		return damaged("the file has %d bytes, but %d are in use: it was cut off", info.Size(), tx.Size())
	}
	pageSize := db.Info().PageSize
	r, root := newReader(file, tx, pageSize, newPool(pageSize))
	if _, err := r.meta(root); err != nil {
		return err
	}
	if _, err := r.data(root); err != nil {
		return err
	}
	free, err := r.openFreelist(tx.ID())
	if err != nil {
		return err
	}
	return free.each(func(uint64) error { return nil })
}

// Inspect tells whether Open would refuse the file at path, with the same errors, and writes nothing. It locks the file, shared, while it looks.
func Inspect(path string) error {
	if err := inspect(disk.OS, path); err != nil {
		return fmt.Errorf("store: inspecting %s: %w", path, err)
	}
	return nil
}
