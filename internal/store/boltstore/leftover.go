package boltstore

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"go.etcd.io/bbolt"

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

// copyName is that of the file a compaction writes, until it takes the store's name; oldName that of the one before, until it is overwritten.
// Either is left by a compaction that was cut off. Nobody gives a file such a name who does not mean a compaction's: what has it is erased.
func copyName(path string) string { return beside(path, "copy") }
func oldName(path string) string  { return beside(path, "old") }

func beside(path, what string) string {
	return filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".keyturn-compact-"+what)
}

// Leftovers are the names of the files that a compaction of the store at path has beside it, until it is over or the next Open removes them.
func Leftovers(path string) []string { return []string{copyName(path), oldName(path)} }

// resolved is where the file at path is, if path is a symbolic link: a compaction's files have to be on the same file system.
func resolved(path string) (string, error) {
	info, err := os.Lstat(path)
	if err != nil || info.Mode()&fs.ModeSymlink == 0 {
		return path, err
	}
	return filepath.EvalSymlinks(path)
}

// discard removes what a compaction that was cut off has left beside the store, which is open and locked.
func discard(fsys disk.FS, path string, db *bbolt.DB, file *os.File) error {
	held, err := file.Stat()
	if err != nil {
		return err
	}
	for _, name := range Leftovers(path) {
		info, err := os.Lstat(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		other := info.Mode().IsRegular() && !os.SameFile(info, held)
		if other && name == oldName(path) {
			if err := surpassed(fsys, name, db, file); err != nil {
				return err
			}
		}
		// Which file has the store's name may not be durable yet. Were it not, a power cut would give the name back to what is erased here.
		if err := fsys.SyncDir(filepath.Dir(path)); err != nil {
			return err
		}
		if other {
			err = eraseFile(fsys, name, nil)
		} else {
			err = fsys.Remove(name) // another name of the store itself: the compaction had not come to the renaming
		}
		if err != nil {
			return fmt.Errorf("removing what a compaction has left: %w", err)
		}
	}
	return nil
}

// surpassed makes sure that the old file of a compaction has nothing that the open store lacks: somebody may have put a file of before in the
// store's place. One that opens no more was overwritten in part.
func surpassed(fsys disk.FS, name string, db *bbolt.DB, file *os.File) error {
	err := inspect(fsys, name)
	if errors.Is(err, store.ErrDamaged) || errors.Is(err, store.ErrFormat) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("looking at what a compaction has left: %w", err)
	}
	now, err := headOf(db, file)
	if err != nil {
		return err
	}
	oldDB, oldFile, err := openBolt(fsys, name, true)
	if err != nil {
		return fmt.Errorf("looking at what a compaction has left: %w", err)
	}
	old, err := headOf(oldDB, oldFile)
	if err := errors.Join(err, guarded(oldDB.Close)); err != nil {
		return fmt.Errorf("looking at what a compaction has left: %w", err)
	}
	if old > now {
		return fmt.Errorf("%s, which a compaction has left, is of revision %d, and the store in its place is older, of revision %d: put it back, or move it elsewhere",
			name, old, now)
	}
	return nil
}

// headOf is the revision of an open file.
func headOf(db *bbolt.DB, file *os.File) (head store.Rev, err error) {
	err = guarded(func() error {
		tx, err := db.Begin(false)
		if err != nil {
			return err
		}
		defer tx.Rollback() //nolint:errcheck // of a read there is nothing to roll back
		pageSize := db.Info().PageSize
		r, root := newReader(file, tx, pageSize, newPool(pageSize))
		head, err = r.meta(root)
		return err
	})
	return head, err
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
