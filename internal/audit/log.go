package audit

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/keyturn/keyturn/internal/disk"
)

// Options configure a Log. Zero values mean the default.
type Options struct {
	NodeID       string           // who writes; letters, digits, '.', '_', '-'; required
	SegmentBytes int64            // size at which a new segment is begun; 64 MiB
	SyncInterval time.Duration    // how long Append may go without fsync; 1 s
	ReserveBytes int64            // space kept for records of committed changes; 4 MiB, negative for none
	First        uint64           // number of the first line, if the directory has no segment; 1
	Now          func() time.Time // real time, for retries when the disk is full; time.Now
	Logger       *slog.Logger     // repairs and failures; discarded if nil

	FS disk.FS // the machine's, disk.OS

	files files // tests put faults here
}

func (o *Options) setDefaults() {
	o.SegmentBytes = cmp.Or(o.SegmentBytes, 64<<20)
	o.SyncInterval = cmp.Or(o.SyncInterval, time.Second)
	o.First = cmp.Or(o.First, 1)
	o.ReserveBytes = max(cmp.Or(o.ReserveBytes, 4<<20), 0)
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.FS == nil {
		o.FS = disk.OS
	}
	o.files = o.files.or(filesOf(o.FS))
}

// Log is a Sink on files: segments of JSON lines in one directory, which the process must have to itself. Locking the
// data directory is up to the caller. Appends that come at the same time are written by one call.
type Log struct {
	dir      string
	opts     Options
	repaired int64

	mu      sync.Mutex // guards pending
	pending *batch     // the appends that wait for the writer

	wmu      sync.Mutex // held to write; guards what follows
	closed   bool
	size     int64 // of the current segment
	buf      []byte
	crowded  bool // the last write was for more than one append
	reserve  reserve
	tryAgain time.Time // no plain append before, while full

	syncMu sync.Mutex // held to sync; taken after wmu, never before

	seg     file          // the current segment; changed only with wmu and syncMu both held
	written atomic.Uint64 // the last number in the kernel
	tail    atomic.Int64  // bytes of the current segment in the kernel
	durable atomic.Uint64 // the last number known to be on disk; changed with syncMu held
	synced  atomic.Int64  // bytes of the current segment known to be on disk; changed with syncMu held
	bytes   atomic.Int64  // of all segments
	count   atomic.Int64  // of segments
	full    atomic.Bool   // there was no space
	failure atomic.Pointer[error]

	kick chan struct{} // something waits for fsync
	quit chan struct{}
	done chan struct{} // the sync loop ended
}

var _ Sink = (*Log)(nil)

// Open opens the log in dir, making that if need be, but not its parent, and goes on after its last line. It reads the last
// segment only. What a crash tears, which is no more than what was written since the last fsync, is cut off and reported to
// Options.Logger and by Repaired; any other damage there is ErrDamaged, and then nothing was changed. What is left is durable.
//
// A disk too full for the reserve is no error here: the log opens, and Healthy says ErrNoSpace.
func Open(dir string, opts Options) (*Log, error) {
	if err := checkNode(opts.NodeID); err != nil {
		return nil, err
	}
	opts.setDefaults()
	if err := opts.files.mkdir(dir); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("audit: %w", err)
	}
	if err := opts.files.syncDir(filepath.Dir(dir)); err != nil {
		return nil, fmt.Errorf("audit: %w", err)
	}
	l := &Log{
		dir:     dir,
		opts:    opts,
		reserve: reserve{files: opts.files, dir: dir, size: opts.ReserveBytes},
		kick:    make(chan struct{}, 1),
		quit:    make(chan struct{}),
		done:    make(chan struct{}),
	}
	if err := l.openLast(); err != nil {
		return nil, err
	}
	if err := l.reserve.make(); noSpace(err) {
		l.full.Store(true)
	} else if err != nil {
		return nil, errors.Join(err, l.seg.Close())
	}
	go l.syncLoop()
	return l, nil
}

// openLast finds the end of the log, repairs it, and opens the segment to append to.
func (l *Log) openLast() error {
	firsts, err := Segments(l.dir)
	if err != nil {
		return err
	}
	if len(firsts) == 0 {
		l.durable.Store(l.opts.First - 1)
		l.written.Store(l.opts.First - 1)
		return l.create(l.opts.First)
	}
	for _, first := range firsts[:len(firsts)-1] {
		info, err := os.Stat(filepath.Join(l.dir, segmentName(first)))
		if err != nil {
			return fmt.Errorf("audit: %w", err)
		}
		l.bytes.Add(info.Size())
	}
	l.count.Store(int64(len(firsts)))
	first := firsts[len(firsts)-1]
	name := segmentName(first)
	end, err := scan(l.dir, first, func(Line) bool { return true })
	if err != nil {
		return err
	}
	if end.torn > maxUnsynced {
		return fmt.Errorf("%w: %s: line %d at byte %d is not whole, and neither are the %d bytes from there on: more than a crash leaves",
			ErrDamaged, name, end.next-first+1, end.size, end.torn)
	}
	if err := l.settle(name, end); err != nil {
		return err
	}
	f, err := l.opts.files.open(filepath.Join(l.dir, name), os.O_WRONLY|os.O_APPEND)
	if err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	l.seg, l.size = f, end.size
	l.tail.Store(end.size)
	l.synced.Store(end.size)
	l.bytes.Add(end.size)
	l.durable.Store(end.next - 1)
	l.written.Store(end.next - 1)
	return nil
}

// settle cuts off what is torn and makes the rest durable: what is read here must stay. The process that wrote these lines may
// have died before its fsync, or that failed: then the kernel may take them for written although they are not, and an fsync
// alone would say nothing of them. So what may be concerned is written once more.
func (l *Log) settle(name string, end scanEnd) (err error) {
	path := filepath.Join(l.dir, name)
	f, err := l.opts.files.open(path, os.O_WRONLY)
	if err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if end.torn > 0 {
		l.opts.Logger.Warn("audit log: cutting off what a crash has torn", "segment", name, "bytes", end.torn, "next", end.next)
		if err := f.Truncate(end.size); err != nil {
			return fmt.Errorf("audit: repairing %s: %w", name, err)
		}
		l.repaired = end.torn
	}
	if err := rewrite(f, path, max(end.size-maxUnsynced, 0), end.size); err != nil {
		return fmt.Errorf("audit: writing the end of %s once more: %w", name, err)
	}
	if err := errors.Join(f.Sync(), l.opts.files.syncDir(l.dir)); err != nil {
		return fmt.Errorf("audit: syncing %s: %w", name, err)
	}
	return nil
}

// rewrite writes the bytes between two offsets of a file over themselves.
func rewrite(f file, path string, from, to int64) error {
	r, err := os.Open(path)
	if err != nil {
		return err
	}
	defer r.Close()
	buf := make([]byte, 64<<10)
	for from < to {
		chunk := buf[:min(int64(len(buf)), to-from)]
		if _, err := r.ReadAt(chunk, from); err != nil {
			return err
		}
		if _, err := f.WriteAt(chunk, from); err != nil {
			return err
		}
		from += int64(len(chunk))
	}
	return nil
}

// create makes the segment that starts with number first the current one.
func (l *Log) create(first uint64) error {
	name := segmentName(first)
	f, err := l.opts.files.open(filepath.Join(l.dir, name), os.O_WRONLY|os.O_APPEND|os.O_CREATE|os.O_EXCL)
	if err != nil {
		return l.abandon(name, fmt.Errorf("audit: beginning a segment: %w", err))
	}
	if err := l.opts.files.syncDir(l.dir); err != nil {
		return errors.Join(l.stop(fmt.Errorf("audit: beginning %s: %w", name, err)), f.Close())
	}
	l.seg, l.size = f, 0
	l.tail.Store(0)
	l.synced.Store(0)
	l.count.Add(1)
	return nil
}

// abandon sees to it that nothing is left of a segment that could not be begun: the lines that belong into it go on in the one
// before, and then it would stand in the way. Without that the log stops. It returns err, or why it stopped.
func (l *Log) abandon(name string, err error) error {
	if errors.Is(err, fs.ErrExist) { // a segment of somebody else's, which is not ours to remove
		return l.stop(err)
	}
	switch rmErr := l.opts.files.remove(filepath.Join(l.dir, name)); {
	case errors.Is(rmErr, fs.ErrNotExist):
		return err
	case rmErr != nil:
		return l.stop(errors.Join(err, rmErr))
	}
	if serr := l.opts.files.syncDir(l.dir); serr != nil {
		return l.stop(errors.Join(err, serr))
	}
	return err
}

// Repaired returns how many bytes of a torn last line Open cut off.
func (l *Log) Repaired() int64 { return l.repaired }

// NextSeq returns the number the next record will get.
func (l *Log) NextSeq() uint64 { return l.written.Load() + 1 }

// SafeSeq returns the number after the last record that was synced. See Sink.
func (l *Log) SafeSeq() uint64 { return l.durable.Load() + 1 }

// Healthy returns why Append would fail now: ErrStopped or ErrClosed until the log is opened again, ErrNoSpace until
// there is room.
func (l *Log) Healthy() error {
	if p := l.failure.Load(); p != nil {
		return *p
	}
	if !l.full.Load() {
		return nil
	}
	// Look for room here too: a server that is not ready gets no requests whose appends would.
	l.wmu.Lock()
	defer l.wmu.Unlock()
	if l.closed {
		return ErrClosed
	}
	return l.findSpace()
}

// stop makes every later append fail, the first reason staying, and returns it. A file whose fsync failed may have lost
// pages that the next fsync no longer speaks of, so there is no going on.
func (l *Log) stop(reason error) error {
	err := fmt.Errorf("%w: %w", ErrStopped, reason)
	if l.failure.CompareAndSwap(nil, &err) {
		l.opts.Logger.Error("audit log stopped", "error", reason)
	}
	return *l.failure.Load()
}

// Close waits for appends under way, makes everything durable and closes the files. Closing again does nothing.
func (l *Log) Close() error {
	l.wmu.Lock()
	if l.closed {
		l.wmu.Unlock()
		return nil
	}
	l.closed = true
	l.wmu.Unlock()
	close(l.quit)
	<-l.done
	err := l.sync()
	closed := ErrClosed
	l.failure.CompareAndSwap(nil, &closed)
	l.syncMu.Lock()
	defer l.syncMu.Unlock()
	if cerr := l.seg.Close(); cerr != nil {
		err = errors.Join(err, fmt.Errorf("audit: %w", cerr))
	}
	return err
}
