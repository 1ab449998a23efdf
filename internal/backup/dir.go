package backup

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/keyturn/keyturn/internal/disk"
)

// Dir is a data directory that is being made by a restore. Until all is there, it is in a folder of the directory, and as long as that folder
// is there nobody opens the directory. It is durable before anything else is.
type Dir struct {
	// Work is the folder: of a store, a log, or whatever else a restore makes.
	Work string

	fs    disk.FS
	path  string
	names []string
	done  bool
}

// BeginDir begins in the data directory at path, whose own name is durable, and which must be empty but for what its caller has there. names are
// what Publish moves out of the folder work.
func BeginDir(fsys disk.FS, path, work string, names ...string) (*Dir, error) {
	d := &Dir{Work: filepath.Join(path, work), fs: fsys, path: path, names: names}
	if err := fsys.Mkdir(d.Work, 0o700); err != nil {
		return nil, err
	}
	if err := fsys.SyncDir(path); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

// Publish makes the directory what it was restored to. The folder goes last: until then nothing opens the directory.
func (d *Dir) Publish() error {
	for _, name := range d.names {
		if err := d.fs.Rename(filepath.Join(d.Work, name), filepath.Join(d.path, name)); err != nil {
			return err
		}
	}
	if err := errors.Join(d.fs.SyncDir(d.path), d.fs.SyncDir(d.Work)); err != nil {
		return err
	}
	d.done = true // from here on nothing is taken back: a removal that says it failed may have happened
	if err := d.fs.Remove(d.Work); err != nil {
		return err
	}
	return d.fs.SyncDir(d.path)
}

// Close leaves the directory as it was before BeginDir, unless all of it was there. others are what else in it came with the restore. The folder
// goes last here, too.
func (d *Dir) Close(others ...string) error {
	if d.done {
		return nil
	}
	for _, name := range append(others, d.names...) {
		if err := d.remove(filepath.Join(d.path, name)); err != nil {
			return err
		}
	}
	if err := d.fs.SyncDir(d.path); err != nil {
		return err
	}
	return d.remove(d.Work)
}

// remove removes a file or a folder with all that is in it, if it is there.
func (d *Dir) remove(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil && info.IsDir() {
		var entries []fs.DirEntry
		entries, err = os.ReadDir(path)
		for _, e := range entries {
			err = errors.Join(err, d.remove(filepath.Join(path, e.Name())))
		}
	}
	if err != nil {
		return err
	}
	return d.fs.Remove(path)
}
