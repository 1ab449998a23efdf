package boltstore

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"go.etcd.io/bbolt"

	"github.com/keyturn/keyturn/internal/disk"
	"github.com/keyturn/keyturn/internal/store"
)

const (
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
	// FS is where the file is; nil: the machine's, disk.OS.
	FS disk.FS

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
// use: ErrSpace. If path is a symbolic link, all this happens where it leads to. Errors are those of Open, too.
func Compact(ctx context.Context, path string, o CompactOptions) (Compacted, error) {
	if o.Progress == nil {
		o.Progress = func(int64, int64) {}
	}
	if o.failpoint == nil {
		o.failpoint = func(string) error { return nil }
	}
	if o.FS == nil {
		o.FS = disk.OS
	}
	c := &compaction{o: o, fs: o.FS}
	var err error
	if c.path, err = resolved(path); err == nil {
		err = c.run(ctx)
	}
	if err != nil {
		return Compacted{}, fmt.Errorf("store: compacting %s: %w", path, err)
	}
	return c.did, nil
}

type compaction struct {
	path  string
	fs    disk.FS
	o     CompactOptions
	did   Compacted
	done  int64
	total int64
}

func (c *compaction) run(ctx context.Context) (err error) {
	if err := inspect(c.fs, c.path); err != nil {
		return err
	}
	db, file, err := openBolt(c.fs, c.path, false)
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
	if err := discard(c.fs, c.path, db, file); err != nil {
		return err
	}
	temp := copyName(c.path)
	replaced := false
	defer func() {
		if !replaced {
			err = errors.Join(err, eraseFile(c.fs, temp, nil))
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
	old := oldName(c.path)
	linked := c.fs.Link(c.path, old) == nil
	if err := c.o.failpoint("linked"); err != nil {
		return err
	}
	if err := c.fs.Rename(temp, c.path); err != nil {
		if linked {
			err = errors.Join(err, c.fs.Remove(old))
		}
		return err
	}
	replaced = true
	if err := c.o.failpoint("renamed"); err != nil {
		return err
	}
	if err := c.fs.SyncDir(filepath.Dir(c.path)); err != nil {
		return err
	}
	if linked {
		err := eraseFile(c.fs, old, func(n int64) error {
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
	// What is not copied is gone, so there must be nothing in the file that this does not come to.
	w := &walk{r: r, root: root, free: free}
	if err := w.run(func(time.Duration) error { return ctx.Err() }); err != nil {
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
	if err := inspect(c.fs, temp); err != nil {
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
