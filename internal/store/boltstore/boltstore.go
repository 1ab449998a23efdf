// Package boltstore is the store engine that keeps its data in one bbolt file on the local disk.
//
// The file has two buckets: data, where each value is stored behind the big-endian revision of the commit that wrote it,
// and meta, with the version of this format and the revision of the last commit. Both numbers are 8 bytes, big-endian.
//
// Commits that wait at the same time share one transaction and its fsyncs. Reads do not trust the file: see page.go.
package boltstore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/keyturn/keyturn/internal/disk"
	"github.com/keyturn/keyturn/internal/store"
)

const (
	dataBucket = "data"
	metaBucket = "meta"
	formatKey  = "format"
	headKey    = "head"
	// formatVersion is what this package writes and the newest it reads.
	formatVersion = 1

	// lockTimeout is how long Open waits for another process to let go; bbolt polls every 50 ms.
	lockTimeout = 250 * time.Millisecond
	// mapBytes of address space are reserved at once, since each enlargement waits for every reader to finish, and a snapshot may be
	// read for hours. Where addresses are short, or a limit of the process keeps it from having so many, smallMapBytes must do.
	mapBytes      = 64 << 30
	smallMapBytes = 64 << 20
	// growBytes is the step by which the file grows; each costs an fsync.
	growBytes = 4 << 20
)

// Options say how to open a store. The zero value opens one that must exist.
type Options struct {
	// Create makes a new, empty store if there is no file at the path. The directory must exist.
	Create bool
	// ReadOnly opens the file for reading only, and locks it against those that write: every Commit fails, and stops the engine.
	ReadOnly bool

	// FS is where the file is; nil: the machine's, disk.OS.
	FS disk.FS

	// failpoint, if set, is called around each write to disk; an error it returns counts as one of the disk. Tests set it.
	failpoint func(stage) error
}

// stage is where a failpoint stands.
type stage int

const (
	beforeWrite stage = iota // nothing of the transaction is on disk
	afterWrite               // all of it is
	readFree                 // a page that is free is to be read
	beforeErase              // of free pages
	afterErase               // not synced yet
	syncErased
)

// Store implements store.Store on a bbolt file.
type Store struct {
	fs        disk.FS
	db        *bbolt.DB
	file      *os.File // the one that db has open and locked
	pageSize  int
	pool      *sync.Pool
	failpoint func(stage) error
	history   *store.History
	readers   readers
	meter     store.Meter

	requests chan *request // unbuffered: what was received is being written, what was not never will be
	jobs     chan func()   // unbuffered: what the committer is to do between two transactions
	stop     chan struct{} // closed by Close
	done     chan struct{} // closed when the committer has ended
	closed   atomic.Bool
	failure  atomic.Pointer[error] // why the engine stopped, if it did

	scrubbing atomic.Bool

	snapshotsMu sync.Mutex
	snapshots   map[*snapshot]struct{} // those that are open

	// Owned by the committer until done is closed, then by Close.
	head      store.Rev
	shown     atomic.Uint64 // head, for Stats
	allocated int64         // bytes of the file that have room on the disk, as far as is known; see room
	torn      bool          // bbolt panicked with its locks held: it must not be called again
}

var (
	_ store.Store    = (*Store)(nil)
	_ store.Scrubber = (*Store)(nil)
)

// Open opens the store in the file at path and locks it. Nothing is written to a file that is refused, with:
// fs.ErrNotExist if there is none, store.ErrLocked if it is open elsewhere, this process included, store.ErrFormat if it
// is not a store of keyturn's or of a newer version, store.ErrDamaged if it is incomplete or inconsistent. The time Open
// takes does not depend on the number of keys; damage in a single page shows when that page is read.
func Open(path string, opts Options) (*Store, error) {
	if opts.FS == nil {
		opts.FS = disk.OS
	}
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) && opts.Create && !opts.ReadOnly {
		if err := create(opts.FS, path); err != nil {
			return nil, fmt.Errorf("store: creating %s: %w", path, err)
		}
	}
	if err := inspect(opts.FS, path); err != nil {
		return nil, fmt.Errorf("store: opening %s: %w", path, err)
	}
	db, file, err := openBolt(opts.FS, path, opts.ReadOnly)
	if err != nil {
		return nil, fmt.Errorf("store: opening %s: %w", path, err)
	}
	real := path
	if err = sole(path, file); err == nil && !opts.ReadOnly {
		if real, err = resolved(path); err == nil {
			err = discard(opts.FS, real, db, file)
		}
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("store: opening %s: %w", path, err), guarded(db.Close))
	}
	s := &Store{
		fs:        opts.FS,
		db:        db,
		file:      file,
		pageSize:  db.Info().PageSize,
		pool:      newPool(db.Info().PageSize),
		failpoint: opts.failpoint,
		requests:  make(chan *request),
		jobs:      make(chan func()),
		stop:      make(chan struct{}),
		done:      make(chan struct{}),
		snapshots: make(map[*snapshot]struct{}),
	}
	if s.failpoint == nil {
		s.failpoint = func(stage) error { return nil }
	}
	err = s.view(context.Background(), func(r *reader, root uint64) (err error) {
		s.head, err = r.meta(root)
		return err
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("store: opening %s: %w", path, err), guarded(db.Close))
	}
	s.shown.Store(uint64(s.head))
	if !opts.ReadOnly {
		if err := s.settle(real); err != nil {
			return nil, errors.Join(fmt.Errorf("store: opening %s: making durable what is read: %w", path, err), guarded(db.Close))
		}
	}
	s.history = store.NewHistory(s.head)
	go s.run()
	return s, nil
}

// settle makes durable what is read from here on. The process that wrote it may have died before its fsync of a meta page, or
// that failed: then the kernel may take the page for written although it is not, and an fsync alone would say nothing of it. So
// both are written once more; everything they refer to was synced before them. Likewise the file's name.
func (s *Store) settle(path string) error {
	pages := make([]byte, 2*s.pageSize)
	if _, err := s.file.ReadAt(pages, 0); err != nil {
		return err
	}
	f := s.fs.File(s.file)
	// One after the other: whatever happens meanwhile, one of them is whole.
	for at := 0; at < len(pages); at += s.pageSize {
		if _, err := f.WriteAt(pages[at:at+s.pageSize], int64(at)); err != nil {
			return err
		}
		if err := f.Sync(); err != nil {
			return err
		}
	}
	return s.fs.SyncDir(filepath.Dir(path))
}

// openBolt opens an existing, non-empty file with bbolt, which locks it: exclusively, or shared if it is only to be read.
func openBolt(fsys disk.FS, path string, readOnly bool) (db *bbolt.DB, file *os.File, err error) {
	options := &bbolt.Options{
		Timeout:      lockTimeout,
		FreelistType: bbolt.FreelistMapType,
		ReadOnly:     readOnly,
		NoStatistics: true,
		OpenFile: func(name string, flag int, mode os.FileMode) (*os.File, error) {
			f, err := openExisting(fsys, name, flag, mode)
			file = f
			return f, err
		},
	}
	// Windows would enlarge the file itself to the size of the map.
	if runtime.GOOS != "windows" && !readOnly {
		options.InitialMmapSize = smallMapBytes
		if wide := int64(mapBytes); int64(int(wide)) == wide {
			options.InitialMmapSize = int(wide)
		}
	}
	open := func() error {
		db, err = bbolt.Open(path, 0o600, options)
		return err
	}
	if err = guarded(open); errors.Is(err, syscall.ENOMEM) {
		options.InitialMmapSize = smallMapBytes
		err = guarded(open)
	}
	if err == nil {
		db.AllocSize = growBytes
		return db, file, nil
	}
	if file != nil {
		_ = file.Close() // bbolt has done so unless it panicked; then this releases the lock
	}
	if errors.Is(err, bolterrors.ErrTimeout) {
		err = store.ErrLocked
	}
	return nil, nil, err
}

// openExisting never creates a file, and refuses an empty one, which bbolt would fill.
func openExisting(fsys disk.FS, name string, flag int, mode os.FileMode) (*os.File, error) {
	f, err := fsys.OpenFile(name, flag&^os.O_CREATE, mode)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && info.Size() == 0 {
		err = damaged("the file is empty")
	}
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

// guarded runs a call into bbolt, which asserts by panicking and reads the file through a memory map, where a page that
// cannot be read is a fault; both become ErrDamaged.
func guarded(fn func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = damaged("bbolt: %v", p)
		}
	}()
	return fn()
}

// err returns why the store takes no more calls, or nil.
func (s *Store) err() error {
	if s.closed.Load() {
		return store.ErrClosed
	}
	if cause := s.failure.Load(); cause != nil {
		// The cause is told, not wrapped: the outcome of a later call is not unknown.
		return fmt.Errorf("%w: the engine stopped after a failed write, see to the disk and start again: %v", store.ErrClosed, *cause)
	}
	return nil
}

// Watch implements store.Store. What was committed before this Open is compacted.
func (s *Store) Watch(ctx context.Context, prefix string, from store.Rev) iter.Seq2[store.Change, error] {
	return s.history.Watch(ctx, prefix, from)
}

// Close implements store.Store. It waits for the commits that are being written. A second Close returns ErrClosed.
func (s *Store) Close() error {
	if s.closed.Swap(true) {
		return store.ErrClosed
	}
	close(s.stop)
	<-s.done
	s.history.Close(store.ErrClosed)
	s.closeSnapshots() // bbolt's Close would wait for them
	if s.torn {
		return s.file.Close() // gives the lock back; bbolt's own Close would wait for a lock of its own forever
	}
	return guarded(s.db.Close)
}
