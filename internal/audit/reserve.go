package audit

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
)

// reserve is a file that takes up space, to be given back when the disk is full, so that the records of changes that
// are already committed can still be written.
type reserve struct {
	files files
	dir   string
	size  int64 // 0: there is none
	held  bool
}

func (r *reserve) path() string  { return filepath.Join(r.dir, "reserve") }
func (r *reserve) probe() string { return filepath.Join(r.dir, "reserve.probe") }

// make takes up the space, or finds it taken. On failure nothing is left behind.
func (r *reserve) make() error {
	if r.size == 0 || r.held {
		return nil
	}
	if err := r.remove(r.probe()); err != nil { // of a process that died while it looked for room
		return fmt.Errorf("audit: making the reserve: %w", err)
	}
	switch info, err := os.Stat(r.path()); {
	case err == nil && info.Size() == r.size:
		r.held = true
		return nil
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("audit: looking for the reserve: %w", err)
	}
	if err := r.fill(r.path()); err != nil {
		return errors.Join(fmt.Errorf("audit: making the reserve: %w", err), r.remove(r.path()))
	}
	r.held = true
	return nil
}

// room makes the reserve if it was released; if it is still there, it finds out whether a second one would fit.
func (r *reserve) room() error {
	if r.size == 0 || !r.held {
		return r.make()
	}
	if err := errors.Join(r.fill(r.probe()), r.remove(r.probe())); err != nil {
		return fmt.Errorf("audit: looking for room: %w", err)
	}
	return nil
}

// fill writes the file out, in bytes that do not compress: a hole, or a file system that packs zeros, reserves nothing.
func (r *reserve) fill(name string) (err error) {
	f, err := r.files.open(name, os.O_CREATE|os.O_TRUNC|os.O_WRONLY)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	random := rand.NewChaCha8([32]byte{})
	buf := make([]byte, 64<<10)
	for left := r.size; left > 0; {
		chunk := buf[:min(int64(len(buf)), left)]
		_, _ = random.Read(chunk) // never fails
		if _, err := f.Write(chunk); err != nil {
			return err
		}
		left -= int64(len(chunk))
	}
	return f.Sync()
}

// release gives the space back and reports whether there was any.
func (r *reserve) release() bool {
	if !r.held {
		return false
	}
	r.held = false
	return r.remove(r.path()) == nil
}

func (r *reserve) remove(name string) error {
	if err := r.files.remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
