package audit

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
)

// Import makes a log in dir, which must have none, of lines that another one had: whole, without their newlines, numbered from first on. It
// returns the number that the next line will get; with no lines the log begins there. All is on disk on return. A line that is no line of a
// log, or has another number than its place, is ErrDamaged; then, and after any other error, what is in dir is of no use.
func Import(dir string, first uint64, lines iter.Seq2[[]byte, error], o Options) (next uint64, err error) {
	o.setDefaults()
	if first == 0 {
		return 0, fmt.Errorf("%w: lines are numbered from 1", ErrDamaged)
	}
	if err := o.files.mkdir(dir); err != nil && !errors.Is(err, fs.ErrExist) {
		return 0, fmt.Errorf("audit: %w", err)
	}
	if there, err := Segments(dir); err != nil || len(there) > 0 {
		return 0, errors.Join(fmt.Errorf("audit: %s must not have a log", dir), err)
	}
	im := &importer{dir: dir, opts: o, next: first}
	for line, err := range lines {
		if err == nil {
			err = im.add(line)
		}
		if err != nil {
			return 0, errors.Join(err, im.finish())
		}
	}
	if im.f == nil {
		err = im.begin()
	}
	err = errors.Join(err, im.finish(), o.files.syncDir(dir))
	return im.next, err
}

type importer struct {
	dir  string
	opts Options
	next uint64
	f    file // the current segment; nil: there is none yet
	w    *bufio.Writer
	size int64
}

func (im *importer) add(line []byte) error {
	if len(line) >= maxLine {
		return fmt.Errorf("%w: line %d has %d bytes", ErrDamaged, im.next, len(line))
	}
	if bytes.IndexByte(line, '\n') >= 0 { // JSON may have white space
		return fmt.Errorf("%w: line %d is more than one", ErrDamaged, im.next)
	}
	if _, reason := parseLine(line, im.next); reason != nil {
		return fmt.Errorf("%w: line %d %w", ErrDamaged, im.next, reason)
	}
	n := int64(len(line)) + 1
	if im.f == nil || im.size > 0 && im.size+n > im.opts.SegmentBytes {
		if err := errors.Join(im.finish(), im.begin()); err != nil {
			return err
		}
	}
	_, err := im.w.Write(line)
	if err == nil {
		err = im.w.WriteByte('\n')
	}
	im.size += n
	im.next++
	return err
}

// begin makes the segment of the next line.
func (im *importer) begin() error {
	f, err := im.opts.files.open(filepath.Join(im.dir, segmentName(im.next)), os.O_WRONLY|os.O_APPEND|os.O_CREATE|os.O_EXCL)
	if err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	im.f, im.w, im.size = f, bufio.NewWriterSize(io.Writer(f), 256<<10), 0
	return nil
}

// finish makes the current segment durable and closes it.
func (im *importer) finish() error {
	if im.f == nil {
		return nil
	}
	err := errors.Join(im.w.Flush(), im.f.Sync(), im.f.Close())
	im.f = nil
	return err
}
