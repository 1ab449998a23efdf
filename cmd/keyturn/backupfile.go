package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/keyturn/keyturn/internal/disk"
)

// outputFile is a file that gets its name once it is whole and on disk, or standard output.
type outputFile struct {
	w       io.Writer
	f       *os.File // nil: standard output, or published
	path    string
	n       int64
	written func(n int) // told of what was written
}

// newOutput makes a file for path under another name; - is stdout. Nothing is ever overwritten.
func newOutput(path string, stdout io.Writer) (*outputFile, error) {
	if path == "-" {
		return &outputFile{w: stdout}, nil
	}
	if err := notThere(path); err != nil {
		return nil, err
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".part-*") // mode 0600
	if err != nil {
		return nil, fmt.Errorf("making the output file: %w", err)
	}
	return &outputFile{w: f, f: f, path: path}, nil
}

func notThere(path string) error {
	_, err := os.Lstat(path)
	if err == nil {
		return withHint(fmt.Errorf("%s is there already, and nothing is overwritten", path), "name a new file with --output")
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// outputError is a failure of the output itself, and not of what is written there.
type outputError struct{ err error }

func (e *outputError) Error() string { return "writing the output: " + e.err.Error() }
func (e *outputError) Unwrap() error { return e.err }

// Write implements io.Writer. The error is an *outputError.
func (o *outputFile) Write(b []byte) (int, error) {
	n, err := o.w.Write(b)
	if err != nil {
		err = withHint(&outputError{err}, "the backup was thrown away: see to the disk here, or send it elsewhere with --output")
	}
	o.n += int64(n)
	if o.written != nil {
		o.written(n)
	}
	return n, err
}

// publish makes what was written durable and gives it its name.
func (o *outputFile) publish() error {
	if o.f == nil {
		return nil
	}
	temp := o.f.Name()
	err := errors.Join(o.f.Sync(), o.f.Close())
	o.f = nil
	if err == nil {
		err = os.Link(temp, o.path) // refused if the name is taken, unlike a rename
		if err != nil && !errors.Is(err, fs.ErrExist) {
			// A file system without hard links.
			if err = notThere(o.path); err == nil {
				err = os.Rename(temp, o.path)
			}
		}
	}
	if rmErr := os.Remove(temp); !errors.Is(rmErr, fs.ErrNotExist) {
		err = errors.Join(err, rmErr)
	}
	if err != nil {
		return fmt.Errorf("writing %s: %w", o.path, err)
	}
	return disk.OS.SyncDir(filepath.Dir(o.path))
}

// discard removes what was not published.
func (o *outputFile) discard() {
	if o.f != nil {
		o.f.Close()           //nolint:errcheck // it is removed
		os.Remove(o.f.Name()) //nolint:errcheck // what made it fail is told
	}
}
