package audit

import (
	"errors"
	"fmt"
	"io"
	"runtime"
	"time"
)

// batch is the records of concurrent appends. Whoever begins it leads: waits for its turn to write, closes the batch to
// others and writes it for all.
type batch struct {
	records [][]byte
	bytes   int           // of the records
	done    chan struct{} // made by the first follower, closed when first and err are set
	first   uint64
	err     error
}

const (
	// keepBuffer is how much memory the log keeps between writes.
	keepBuffer = 1 << 20
	// maxBatch is how much is gathered for one write.
	maxBatch = 4 << 20
	// maxUnsynced is how much of a segment may wait for fsync; a write that would exceed it syncs first. So much may be torn by
	// a power cut, and so much is written again at the next start.
	maxUnsynced = 8 << 20
)

// Append appends one record, in the kernel on return and fsynced within Options.SyncInterval. See Sink. The record must
// not change until Append returns.
func (l *Log) Append(record []byte) (uint64, error) {
	if err := checkRecord(record); err != nil {
		return 0, err
	}
	l.mu.Lock()
	b := l.pending
	if b == nil || b.bytes+len(record) > maxBatch {
		b = &batch{records: [][]byte{record}, bytes: len(record)}
		l.pending = b
		l.mu.Unlock()
		l.lead(b)
		return b.first, b.err
	}
	i := uint64(len(b.records))
	b.records = append(b.records, record)
	b.bytes += len(record)
	if b.done == nil {
		b.done = make(chan struct{})
	}
	done := b.done
	l.mu.Unlock()
	<-done
	if b.err != nil {
		return 0, b.err
	}
	return b.first + i, nil
}

func (l *Log) lead(b *batch) {
	l.wmu.Lock()
	// A write is so short that others rarely come while one is under way. Letting those run that are about to append
	// makes one call serve tens of them under load. With nobody about it would only wake idle processors.
	if l.crowded {
		runtime.Gosched()
	}
	l.mu.Lock()
	if l.pending == b {
		l.pending = nil // else it was full, and there is another
	}
	l.mu.Unlock()
	l.crowded = len(b.records) > 1
	b.first, b.err = l.write(b.records, false)
	l.wmu.Unlock()
	if b.done != nil {
		close(b.done)
	}
}

// AppendSync appends records of changes that are already committed, durable on return. See Sink. They may use the
// reserve, and so get in where Append fails with ErrNoSpace. Without records it makes durable what there is.
func (l *Log) AppendSync(records [][]byte) (uint64, error) {
	for _, r := range records {
		if err := checkRecord(r); err != nil {
			return 0, err
		}
	}
	l.wmu.Lock()
	first, err := l.write(records, true)
	l.wmu.Unlock()
	if err != nil {
		return 0, err
	}
	if err := l.sync(); err != nil {
		return 0, err
	}
	return first, nil
}

// write numbers the records and writes them in one call, or takes back what was written of them. The caller holds wmu.
func (l *Log) write(records [][]byte, committed bool) (uint64, error) {
	if l.closed {
		return 0, ErrClosed
	}
	if p := l.failure.Load(); p != nil {
		return 0, *p
	}
	if l.full.Load() && !committed {
		if err := l.findSpace(); err != nil {
			return 0, err
		}
	}
	first := l.written.Load() + 1
	l.buf = l.buf[:0]
	for i, r := range records {
		l.buf = appendLine(l.buf, l.opts.NodeID, first+uint64(i), r)
	}
	err := l.put(l.buf)
	if noSpace(err) && !errors.Is(err, ErrStopped) {
		l.setFull()
		if committed && l.reserve.release() {
			err = l.put(l.buf)
		}
	}
	if cap(l.buf) > keepBuffer {
		l.buf = nil
	}
	if err != nil {
		if noSpace(err) && !errors.Is(err, ErrStopped) {
			err = fmt.Errorf("%w: %w", ErrNoSpace, err)
		}
		return 0, err
	}
	l.written.Add(uint64(len(records)))
	select {
	case l.kick <- struct{}{}:
	default:
	}
	return first, nil
}

// put writes buf to the current segment, or to a new one if that is full. If not all of it got in, none of it stays.
func (l *Log) put(buf []byte) error {
	if l.size > 0 && l.size+int64(len(buf)) > l.opts.SegmentBytes {
		if err := l.rotate(); err != nil {
			return err
		}
	}
	if l.size-l.synced.Load()+int64(len(buf)) > maxUnsynced {
		if err := l.sync(); err != nil {
			return err
		}
	}
	n, err := l.seg.Write(buf)
	if err == nil && n < len(buf) {
		err = io.ErrShortWrite
	}
	if err != nil {
		err = fmt.Errorf("audit: writing: %w", err)
		if terr := l.seg.Truncate(l.size); terr != nil {
			return l.stop(errors.Join(err, fmt.Errorf("taking back a torn line: %w", terr)))
		}
		// What was taken back must not come up again behind what is written now.
		if n > 0 {
			if serr := l.syncSegment(); serr != nil {
				return errors.Join(err, serr)
			}
		}
		return err
	}
	l.size += int64(n)
	l.bytes.Add(int64(n))
	l.tail.Store(l.size)
	return nil
}

// rotate begins a new segment. The old one is synced first, so that only the last segment of a log can be torn.
func (l *Log) rotate() error {
	l.syncMu.Lock()
	defer l.syncMu.Unlock()
	if p := l.failure.Load(); p != nil {
		return *p
	}
	old := l.seg
	if err := old.Sync(); err != nil {
		return l.stop(fmt.Errorf("fsync: %w", err))
	}
	l.durable.Store(l.written.Load())
	l.synced.Store(l.size)
	if err := l.create(l.written.Load() + 1); err != nil {
		return err
	}
	if err := old.Close(); err != nil {
		return l.stop(fmt.Errorf("closing a segment: %w", err))
	}
	return nil
}

// setFull makes plain appends fail for a while, so that they neither eat what space comes back before the committed
// ones nor each try the disk. The caller holds wmu.
func (l *Log) setFull() {
	if !l.full.Swap(true) {
		l.opts.Logger.Error("audit log: no space left")
	}
	l.tryAgain = l.opts.Now().Add(time.Second)
}

// findSpace looks, at most each second, whether there is room for the reserve and as much again; plain appends go on only
// then. The caller holds wmu.
func (l *Log) findSpace() error {
	now := l.opts.Now()
	if now.Before(l.tryAgain) {
		return ErrNoSpace
	}
	l.tryAgain = now.Add(time.Second)
	if err := l.reserve.room(); err != nil {
		return fmt.Errorf("%w: %w", ErrNoSpace, err)
	}
	l.full.Store(false)
	return nil
}

// sync makes durable what is written so far. One fsync serves all who wait for it.
func (l *Log) sync() error {
	upto := l.written.Load()
	l.syncMu.Lock()
	defer l.syncMu.Unlock()
	if l.durable.Load() >= upto {
		return nil
	}
	return l.syncSegmentLocked()
}

// syncSegment syncs whether or not anything is known to wait for it.
func (l *Log) syncSegment() error {
	l.syncMu.Lock()
	defer l.syncMu.Unlock()
	return l.syncSegmentLocked()
}

func (l *Log) syncSegmentLocked() error {
	if p := l.failure.Load(); p != nil {
		return *p
	}
	// All numbers up to this are in the current segment, or in ones that were synced before it began.
	upto, size := l.written.Load(), l.tail.Load()
	if err := l.seg.Sync(); err != nil {
		return l.stop(fmt.Errorf("fsync: %w", err))
	}
	l.durable.Store(upto)
	l.synced.Store(size)
	return nil
}

// syncLoop syncs what Append wrote, SyncInterval after it was told of it.
func (l *Log) syncLoop() {
	defer close(l.done)
	timer := time.NewTimer(l.opts.SyncInterval)
	defer timer.Stop()
	for {
		select {
		case <-l.quit:
			return
		case <-l.kick:
		}
		timer.Reset(l.opts.SyncInterval)
		select {
		case <-l.quit:
			return
		case <-timer.C:
		}
		_ = l.sync() // a failure stops the log, and is logged there
	}
}
