package boltstore

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	"go.etcd.io/bbolt"

	"github.com/keyturn/keyturn/internal/store"
)

const (
	// copySuffix is that of the file a compaction writes, until it takes the store's name; oldSuffix that of the one before, until it is
	// overwritten. Either is left by a compaction that was cut off; Open and Compact overwrite and remove them.
	copySuffix, oldSuffix = ".compact", ".old"
	// compactBytes is what one transaction of a compaction writes.
	compactBytes = 4 << 20
	// eraseBytes is written at once when a whole file is overwritten.
	eraseBytes = 1 << 20
)

// ErrSpace: the disk has no room for the copy.
var ErrSpace = errors.New("store: not enough free space")

// CompactOptions are what a caller of Compact may want.
type CompactOptions struct {
	// Progress is told now and then how much has been done, of about how much.
	Progress func(done, total int64)

	failpoint func(step string) error // tests stop at a step with it
}

// Compacted is what a compaction did.
type Compacted struct {
	Before, After int64 // bytes of the file
	Entries       int64
	Head          store.Rev
	// Overwritten: the old file was overwritten with zeros before it was removed. Otherwise the file system cannot name a file twice, and
	// its blocks were only given back.
	Overwritten bool
}

// Compact rewrites the store at path, which nobody may have open, without the pages that are not in use; the new file takes its place once it
// is on the disk and read back: the same revision, the same entries. Then the old one is overwritten and removed. A crash at any moment
// leaves one or the other, whole; what it leaves beside is overwritten and removed by the next Open. It needs room for a copy of what is in
// use: ErrSpace. Errors are those of Open, too.
func Compact(ctx context.Context, path string, o CompactOptions) (Compacted, error) {
	if o.Progress == nil {
		o.Progress = func(int64, int64) {}
	}
	if o.failpoint == nil {
		o.failpoint = func(string) error { return nil }
	}
	c := &compaction{path: path, o: o}
	if err := c.run(ctx); err != nil {
		return Compacted{}, fmt.Errorf("store: compacting %s: %w", path, err)
	}
	return c.did, nil
}

type compaction struct {
	path  string
	o     CompactOptions
	did   Compacted
	done  int64
	total int64
}

func (c *compaction) run(ctx context.Context) (err error) {
	if err := inspect(c.path); err != nil {
		return err
	}
	db, file, err := openBolt(c.path, false)
	if err != nil {
		return err
	}
	closed := false
	closeOld := func() error {
		if closed {
			return nil
		}
		closed = true
		return guarded(db.Close)
	}
	defer func() { err = errors.Join(err, closeOld()) }()
	if err := sole(c.path, file); err != nil {
		return err
	}
	if err := discard(c.path, file); err != nil {
		return err
	}
	temp := c.path + copySuffix
	replaced := false
	defer func() {
		if !replaced {
			err = errors.Join(err, eraseFile(temp, nil))
		}
	}()
	if err := guarded(func() error { return c.write(ctx, db, file, temp) }); err != nil {
		return err
	}
	if err := c.o.failpoint("written"); err != nil {
		return err
	}
	if runtime.GOOS == "windows" { // which renames nothing over a file that is open
		if err := closeOld(); err != nil {
			return err
		}
	}
	old := c.path + oldSuffix
	linked := os.Link(c.path, old) == nil
	if err := c.o.failpoint("linked"); err != nil {
		return err
	}
	if err := os.Rename(temp, c.path); err != nil {
		if linked {
			err = errors.Join(err, os.Remove(old))
		}
		return err
	}
	replaced = true
	if err := c.o.failpoint("renamed"); err != nil {
		return err
	}
	if err := syncDir(filepath.Dir(c.path)); err != nil {
		return err
	}
	if linked {
		err := eraseFile(old, func(n int64) error {
			c.step(n)
			return c.o.failpoint("erasing")
		})
		if err != nil {
			return err
		}
		c.did.Overwritten = true
	}
	c.o.Progress(c.total, c.total)
	return nil
}

func (c *compaction) step(n int64) {
	c.done = min(c.done+n, c.total)
	c.o.Progress(c.done, c.total)
}

// write makes the copy at temp, and compares it with the original.
func (c *compaction) write(ctx context.Context, db *bbolt.DB, file *os.File, temp string) error {
	tx, err := db.Begin(false)
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // of a read there is nothing to roll back
	pageSize := db.Info().PageSize
	r, root := newReader(file, tx, pageSize, newPool(pageSize))
	free, err := r.openFreelist(tx.ID())
	if err != nil {
		return err
	}
	info, err := file.Stat()
	if err != nil {
		return err
	}
	inUse := (int64(r.pages) - int64(free.n)) * int64(pageSize)
	c.did.Before, c.total = info.Size(), 2*inUse+info.Size()
	switch room, err := freeSpace(filepath.Dir(temp)); {
	case errors.Is(err, errors.ErrUnsupported):
	case err != nil:
		return fmt.Errorf("finding out how much room there is: %w", err)
	case room < inUse+compactBytes:
		return fmt.Errorf("%w: the copy takes %d bytes at most, and %s has %d", ErrSpace, inUse+compactBytes, filepath.Dir(temp), room)
	}
	want, err := c.copy(ctx, r, root, temp)
	if err != nil {
		return err
	}
	if err := c.o.failpoint("copied"); err != nil {
		return err
	}
	if err := inspect(temp); err != nil {
		return fmt.Errorf("the copy: %w", err)
	}
	got, err := c.read(ctx, temp)
	if err != nil {
		return fmt.Errorf("the copy: %w", err)
	}
	if got != want {
		return fmt.Errorf("the copy is not what was copied: revision %d with %d entries, not %d with %d, or other values", got.head, got.entries, want.head, want.entries)
	}
	c.did.Entries, c.did.Head = got.entries, got.head
	if info, err = os.Stat(temp); err == nil {
		c.did.After = info.Size()
	}
	return err
}

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
	db, err := bbolt.Open(temp, 0o600, &bbolt.Options{
		Timeout: lockTimeout, FreelistType: bbolt.FreelistMapType, PageSize: r.pageSize, NoSync: true, NoGrowSync: true,
		OpenFile: func(name string, flag int, mode os.FileMode) (*os.File, error) {
			return os.OpenFile(name, flag|os.O_EXCL, mode)
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
	if err := os.Truncate(temp, end); err != nil {
		return out, err
	}
	return out, db.Sync()
}

// read reads the copy back.
func (c *compaction) read(ctx context.Context, temp string) (out content, err error) {
	db, file, err := openBolt(temp, true)
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

// sole makes sure that the open, locked file is the one that has the name: a compaction may have replaced it while its lock was waited for.
func sole(path string, file *os.File) error {
	named, err := os.Stat(path)
	if err != nil {
		return err
	}
	held, err := file.Stat()
	if err != nil {
		return err
	}
	if !os.SameFile(named, held) {
		return fmt.Errorf("%w: it was being compacted", store.ErrLocked)
	}
	return nil
}

// discard removes what a compaction that was cut off has left beside the store, which is open and locked.
func discard(path string, file *os.File) error {
	held, err := file.Stat()
	if err != nil {
		return err
	}
	for _, name := range []string{path + copySuffix, path + oldSuffix} {
		info, err := os.Lstat(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		if os.SameFile(info, held) || !info.Mode().IsRegular() {
			err = os.Remove(name) // another name of the store itself: the compaction had not come to the renaming
		} else {
			err = eraseFile(name, nil)
		}
		if err != nil {
			return fmt.Errorf("removing what a compaction has left: %w", err)
		}
	}
	return nil
}

// eraseFile overwrites a file with zeros and removes it. progress, if not nil, is told of each piece, and may stop it.
func eraseFile(name string, progress func(n int64) error) error {
	f, err := os.OpenFile(name, os.O_WRONLY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := errors.Join(overwrite(f, progress), f.Close()); err != nil {
		return err
	}
	if err := os.Remove(name); err != nil {
		return err
	}
	return syncDir(filepath.Dir(name))
}

func overwrite(f *os.File, progress func(n int64) error) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	zeros := make([]byte, eraseBytes)
	for at := int64(0); at < info.Size(); at += eraseBytes {
		n := min(eraseBytes, info.Size()-at)
		if _, err := f.WriteAt(zeros[:n], at); err != nil {
			return err
		}
		if progress != nil {
			if err := progress(n); err != nil {
				return err
			}
		}
	}
	return f.Sync()
}
