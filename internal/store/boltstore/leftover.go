package boltstore

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/keyturn/keyturn/internal/disk"
	"github.com/keyturn/keyturn/internal/store"
)

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
func discard(fsys disk.FS, path string, file *os.File) error {
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
		// Which file has the store's name may not be durable yet. Were it not, a power cut would give the name back to what is erased here.
		if err := fsys.SyncDir(filepath.Dir(path)); err != nil {
			return err
		}
		if os.SameFile(info, held) || !info.Mode().IsRegular() {
			err = fsys.Remove(name) // another name of the store itself: the compaction had not come to the renaming
		} else {
			err = eraseFile(fsys, name, nil)
		}
		if err != nil {
			return fmt.Errorf("removing what a compaction has left: %w", err)
		}
	}
	return nil
}

// eraseFile overwrites a file with zeros and removes it. progress, if not nil, is told of each piece, and may stop it.
func eraseFile(fsys disk.FS, name string, progress func(n int64) error) error {
	f, err := fsys.OpenFile(name, os.O_WRONLY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	w := fsys.File(f)
	if err := errors.Join(overwrite(f, w, progress), w.Close()); err != nil {
		return err
	}
	if err := fsys.Remove(name); err != nil {
		return err
	}
	return fsys.SyncDir(filepath.Dir(name))
}

func overwrite(f *os.File, w disk.File, progress func(n int64) error) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	zeros := make([]byte, eraseBytes)
	for at := int64(0); at < info.Size(); at += eraseBytes {
		n := min(eraseBytes, info.Size()-at)
		if _, err := w.WriteAt(zeros[:n], at); err != nil {
			return err
		}
		if progress != nil {
			if err := progress(n); err != nil {
				return err
			}
		}
	}
	return w.Sync()
}
