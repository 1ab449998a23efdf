package audit

import (
	"errors"
	"os"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// faults is a file system that fails when told to. Its fields may be changed between calls.
type faults struct {
	mu       sync.Mutex
	dir      string
	capacity int64                       // bytes that fit in dir; 0 for any number
	write    func(p []byte) (int, error) // how much of a write to let through, and its error
	truncate error
	sync     error
	syncDir  error
	create   error
}

func (f *faults) set(change func(f *faults)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(f)
}

func (f *faults) files() files {
	return files{
		open: func(name string, flag int) (file, error) {
			f.mu.Lock()
			defer f.mu.Unlock()
			if f.create != nil && flag&os.O_CREATE != 0 {
				return nil, f.create
			}
			real, err := osFiles().open(name, flag)
			if err != nil {
				return nil, err
			}
			return &faultFile{real, f}, nil
		},
		syncDir: func(dir string) error {
			f.mu.Lock()
			defer f.mu.Unlock()
			if f.syncDir != nil {
				return f.syncDir
			}
			return osFiles().syncDir(dir)
		},
	}
}

// free returns how many bytes still fit. The caller holds mu.
func (f *faults) free() int64 {
	free := f.capacity
	entries, err := os.ReadDir(f.dir)
	if err != nil {
		panic(err)
	}
	for _, e := range entries {
		if info, err := e.Info(); err == nil {
			free -= info.Size()
		}
	}
	return max(free, 0)
}

type faultFile struct {
	file
	f *faults
}

func (f *faultFile) Write(p []byte) (int, error) {
	f.f.mu.Lock()
	defer f.f.mu.Unlock()
	n, err := len(p), error(nil)
	if f.f.write != nil {
		n, err = f.f.write(p)
	} else if f.f.capacity > 0 && f.f.free() < int64(n) {
		n, err = int(f.f.free()), syscall.ENOSPC
	}
	if _, werr := f.file.Write(p[:n]); werr != nil {
		return 0, werr
	}
	return n, err
}

func (f *faultFile) Truncate(size int64) error {
	f.f.mu.Lock()
	defer f.f.mu.Unlock()
	if f.f.truncate != nil {
		return f.f.truncate
	}
	return f.file.Truncate(size)
}

func (f *faultFile) Sync() error {
	f.f.mu.Lock()
	defer f.f.mu.Unlock()
	if f.f.sync != nil {
		return f.f.sync
	}
	return f.file.Sync()
}

func TestTornWriteIsTakenBack(t *testing.T) {
	for name, write := range map[string]func([]byte) (int, error){
		"nothing":        func([]byte) (int, error) { return 0, syscall.EIO },
		"part":           func(p []byte) (int, error) { return len(p) / 2, syscall.EIO },
		"all but error":  func(p []byte) (int, error) { return len(p), syscall.EIO },
		"silently short": func(p []byte) (int, error) { return len(p) - 1, nil },
	} {
		t.Run(name, func(t *testing.T) {
			f := &faults{dir: t.TempDir()}
			l := openLog(t, f.dir, Options{files: f.files()})
			if _, err := l.Append(rec(1)); err != nil {
				t.Fatal(err)
			}
			f.set(func(f *faults) { f.write = write })
			if _, err := l.Append(rec(2)); err == nil {
				t.Fatal("Append succeeded")
			}
			if _, err := l.AppendSync([][]byte{rec(2), rec(3)}); err == nil {
				t.Fatal("AppendSync succeeded")
			}
			if err := l.Healthy(); err != nil {
				t.Errorf("Healthy: %v", err)
			}
			f.set(func(f *faults) { f.write = nil })
			if seq, err := l.Append(rec(4)); seq != 2 || err != nil {
				t.Fatalf("Append = %d, %v", seq, err)
			}
			wantLines(t, lines(t, Read(f.dir, 1)), 1, rec(1), rec(4))
		})
	}
}

func TestTornWriteThatStaysStopsTheLog(t *testing.T) {
	for _, fault := range []error{syscall.EIO, syscall.ENOSPC} {
		f := &faults{dir: t.TempDir()}
		l := openLog(t, f.dir, Options{files: f.files()})
		if _, err := l.Append(rec(1)); err != nil {
			t.Fatal(err)
		}
		tries := 0
		f.set(func(f *faults) {
			f.write = func(p []byte) (int, error) { tries++; return len(p) / 2, fault }
			f.truncate = syscall.EIO
		})
		if _, err := l.AppendSync([][]byte{rec(2)}); !errors.Is(err, ErrStopped) || !errors.Is(err, fault) {
			t.Errorf("AppendSync: %v", err)
		}
		f.set(func(f *faults) { f.write, f.truncate = nil, nil })
		if tries != 1 {
			t.Errorf("%d writes, the later ones after a torn line", tries)
		}
		wantStopped(t, l)
		wantLines(t, lines(t, l.Since(1)), 1, rec(1))
		if err := l.Close(); err != nil && !errors.Is(err, ErrStopped) {
			t.Error(err)
		}
		l = openLog(t, f.dir, Options{})
		if l.Repaired() == 0 || l.NextSeq() != 2 {
			t.Errorf("opened again: Repaired = %d, NextSeq = %d", l.Repaired(), l.NextSeq())
		}
	}
}

// What could not be taken back although it was answered with an error is not read from the log that failed.
func TestSinceHidesFailedAppends(t *testing.T) {
	f := &faults{dir: t.TempDir()}
	l := openLog(t, f.dir, Options{files: f.files()})
	if _, err := l.Append(rec(1)); err != nil {
		t.Fatal(err)
	}
	f.set(func(f *faults) {
		f.write = func(p []byte) (int, error) { return len(p), syscall.EIO }
		f.truncate = syscall.EIO
	})
	if _, err := l.Append(rec(2)); !errors.Is(err, ErrStopped) {
		t.Errorf("Append: %v", err)
	}
	wantLines(t, lines(t, l.Since(1)), 1, rec(1))
	wantLines(t, lines(t, l.Since(2)), 2)
}

func wantStopped(t *testing.T, l *Log) {
	t.Helper()
	if _, err := l.Append(rec(0)); !errors.Is(err, ErrStopped) {
		t.Errorf("Append: %v, want ErrStopped", err)
	}
	if _, err := l.AppendSync([][]byte{rec(0)}); !errors.Is(err, ErrStopped) {
		t.Errorf("AppendSync: %v, want ErrStopped", err)
	}
	if err := l.Healthy(); !errors.Is(err, ErrStopped) {
		t.Errorf("Healthy: %v, want ErrStopped", err)
	}
}

func TestFailedSyncStopsTheLog(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		f := &faults{dir: dir}
		l, err := Open(dir, Options{NodeID: "n", ReserveBytes: -1, files: f.files()})
		if err != nil {
			t.Fatal(err)
		}
		f.set(func(f *faults) { f.sync = syscall.EIO })
		if _, err := l.Append(rec(1)); err != nil {
			t.Fatalf("Append waits for no fsync, but: %v", err)
		}
		<-time.After(1100 * time.Millisecond)
		synctest.Wait()
		// The next fsync would succeed, and say nothing of the pages that were lost.
		f.set(func(f *faults) { f.sync = nil })
		wantStopped(t, l)
		if err := l.Close(); !errors.Is(err, ErrStopped) {
			t.Errorf("Close: %v", err)
		}
		if err := l.Healthy(); !errors.Is(err, ErrStopped) {
			t.Errorf("Healthy after Close: %v, want the first reason", err)
		}
	})
}

func TestFailedSyncFailsAppendSync(t *testing.T) {
	f := &faults{dir: t.TempDir()}
	l := openLog(t, f.dir, Options{files: f.files()})
	f.set(func(f *faults) { f.sync = syscall.EIO })
	if _, err := l.AppendSync([][]byte{rec(1)}); !errors.Is(err, ErrStopped) || !errors.Is(err, syscall.EIO) {
		t.Errorf("AppendSync: %v", err)
	}
	wantStopped(t, l)
}

func TestRotationFaults(t *testing.T) {
	tests := []struct {
		name  string
		fault func(f *faults)
		stops bool
	}{
		{"create", func(f *faults) { f.create = syscall.EMFILE }, false},
		{"fsync", func(f *faults) { f.sync = syscall.EIO }, true},
		{"fsync of the directory", func(f *faults) { f.syncDir = syscall.EIO }, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := &faults{dir: t.TempDir()}
			l := openLog(t, f.dir, Options{SegmentBytes: 60, files: f.files()})
			if _, err := l.Append(rec(1)); err != nil {
				t.Fatal(err)
			}
			f.set(tt.fault)
			if _, err := l.Append(rec(2)); err == nil || errors.Is(err, ErrStopped) != tt.stops {
				t.Errorf("Append: %v, want it to stop the log: %t", err, tt.stops)
			}
			f.set(func(f *faults) { f.create, f.sync, f.syncDir = nil, nil, nil })
			if tt.stops {
				wantStopped(t, l)
				_ = l.Close()
				l = openLog(t, f.dir, Options{SegmentBytes: 60})
			}
			if seq, err := l.Append(rec(2)); seq != 2 || err != nil {
				t.Fatalf("Append = %d, %v", seq, err)
			}
			wantLines(t, lines(t, l.Since(1)), 1, rec(1), rec(2))
		})
	}
}
