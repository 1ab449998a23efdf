package disktest

import (
	"os"
	"sync"

	"github.com/keyturn/keyturn/internal/disk"
)

// owners finds the disk of an open file, for code that has nothing but the file.
var owners sync.Map // *os.File to *Disk

// Of returns the disk that opened the file, nil if none did.
func Of(f *os.File) *Disk {
	d, _ := owners.Load(f)
	owner, _ := d.(*Disk)
	return owner
}

// forget lets a file go that is closed.
func (d *Disk) forget(f *os.File) {
	owners.Delete(f)
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.handles, f)
}

// Forget lets go of all files that are still open, once whoever had them has closed them.
func (d *Disk) Forget() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for f := range d.handles {
		owners.Delete(f)
	}
	clear(d.handles)
}

// handle returns what an open file is about. The disk is locked, or the file is its caller's alone.
func (d *Disk) handle(f *os.File) *handle {
	h := d.handles[f]
	if h == nil {
		panic("disktest: " + f.Name() + " was not opened here")
	}
	return h
}

// WriteAt is f.WriteAt.
func (d *Disk) WriteAt(f *os.File, p []byte, off int64) (n int, err error) {
	err = d.do(Write, f.Name(), func(keep float64) (err error) {
		n, err = d.write(f, p[:int(float64(len(p))*keep)], off)
		return err
	})
	return n, pathError("write", f.Name(), err)
}

// write lets in what there is room for.
func (d *Disk) write(f *os.File, p []byte, off int64) (int, error) {
	ino := d.handle(f).ino
	n := int64(len(p))
	var full error
	if end := ino.claim(off, off+n, &d.room); end < off+n {
		n, full = end-off, noSpace
	}
	if n > 0 {
		if _, err := f.WriteAt(p[:n], off); err != nil {
			return 0, err
		}
		ino.write(p[:n], off)
	}
	return int(n), full
}

// Truncate is f.Truncate.
func (d *Disk) Truncate(f *os.File, size int64) error {
	return pathError("truncate", f.Name(), d.do(Truncate, f.Name(), func(float64) error {
		if err := f.Truncate(size); err != nil {
			return err
		}
		d.truncate(d.handle(f).ino, size)
		return nil
	}))
}

func (d *Disk) truncate(ino *inode, size int64) {
	freed := ino.truncate(size)
	if d.room >= 0 {
		d.room += freed
	}
}

// Sync is f.Sync.
func (d *Disk) Sync(f *os.File) error {
	return pathError("sync", f.Name(), d.do(Sync, f.Name(), func(float64) error {
		d.handle(f).ino.sync()
		return nil
	}))
}

// Map is asked before a file is mapped.
func (d *Disk) Map(f *os.File) error {
	return pathError("map", f.Name(), d.do(Map, f.Name(), func(float64) error { return nil }))
}

// Allocate implements disk.FS.
func (d *Disk) Allocate(f *os.File, off, n int64) error {
	return pathError("allocate", f.Name(), d.do(Allocate, f.Name(), func(float64) error {
		ino := d.handle(f).ino
		if ino.lacks(off, off+n)*pageSize > d.room && d.room >= 0 {
			return noSpace
		}
		ino.claim(off, off+n, &d.room)
		if off+n <= ino.size {
			return nil
		}
		if err := f.Truncate(off + n); err != nil {
			return err
		}
		ino.truncate(off + n)
		return nil
	}))
}

// File implements disk.FS.
func (d *Disk) File(f *os.File) disk.File { return &file{d, f} }

// file is an open file as it is written.
type file struct {
	d *Disk
	f *os.File
}

func (w *file) Write(p []byte) (n int, err error) {
	err = w.d.do(Write, w.f.Name(), func(keep float64) (err error) {
		h := w.d.handle(w.f)
		if h.append {
			h.pos = h.ino.size
		}
		n, err = w.d.write(w.f, p[:int(float64(len(p))*keep)], h.pos)
		h.pos += int64(n)
		return err
	})
	return n, pathError("write", w.f.Name(), err)
}

func (w *file) WriteAt(p []byte, off int64) (int, error) { return w.d.WriteAt(w.f, p, off) }
func (w *file) Truncate(size int64) error                { return w.d.Truncate(w.f, size) }
func (w *file) Sync() error                              { return w.d.Sync(w.f) }

func (w *file) Close() error {
	w.d.forget(w.f)
	return w.f.Close()
}
