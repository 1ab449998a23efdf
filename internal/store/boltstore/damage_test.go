package boltstore

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"go.etcd.io/bbolt"

	"github.com/keyturn/keyturn/internal/store"
)

// sample returns the bytes of a store with branches, overflow pages and free pages.
func sample(tb testing.TB, keys int) []byte {
	tb.Helper()
	path := newPath(tb)
	s := mustOpen(tb, path, Options{Create: true})
	for i := 0; i < keys; {
		var b store.Batch
		for range min(50, keys-i) {
			size := 100 + i%7*40
			if i%97 == 0 {
				size = 10000
			}
			b.Writes = append(b.Writes, store.Write{Key: sampleKey(i), Value: bytes.Repeat([]byte{byte(i)}, size)})
			i++
		}
		if _, err := s.Commit(tb.Context(), b); err != nil {
			tb.Fatal(err)
		}
	}
	for i := 0; i < keys; i += 3 {
		if _, err := s.Commit(tb.Context(), store.Batch{Writes: []store.Write{{Key: sampleKey(i), Delete: true}}}); err != nil {
			tb.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		tb.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		tb.Fatal(err)
	}
	return data
}

func sampleKey(i int) string { return fmt.Sprintf("key/%05d", i) }

func refused(err error) bool {
	return errors.Is(err, store.ErrDamaged) || errors.Is(err, store.ErrFormat)
}

// wantRefused opens a file with the bytes; it must be refused in good order and left as it was.
func wantRefused(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, create := range []bool{false, true} {
		s, err := Open(path, Options{Create: create})
		if err == nil {
			s.Close()
		}
		if !refused(err) {
			t.Errorf("Open: %v", err)
		}
		if now, err := os.ReadFile(path); err != nil || !bytes.Equal(now, data) {
			t.Errorf("the refused file was changed (%v)", err)
		}
	}
}

func TestRefused(t *testing.T) {
	whole := sample(t, 400)
	pageSize := os.Getpagesize()
	cut := func(n int) []byte { return whole[:n] }
	edit := func(fn func(b []byte)) []byte {
		b := bytes.Clone(whole)
		fn(b)
		return b
	}
	const highWater = pageHeaderSize + 40 // in a meta page
	used := int(max(order.Uint64(whole[highWater:]), order.Uint64(whole[pageSize+highWater:]))) * pageSize
	tests := map[string][]byte{
		"empty":                   {},
		"one byte":                cut(1),
		"one page":                cut(pageSize),
		"two pages":               cut(2 * pageSize),
		"three pages":             cut(3 * pageSize),
		"cut in the middle":       cut(used / 2),
		"last page missing":       cut(used - pageSize),
		"last byte missing":       cut(used - 1),
		"text":                    []byte(strings.Repeat("this is no store\n", 4000)),
		"zeros":                   make([]byte, 1<<16),
		"both meta pages garbled": edit(func(b []byte) { b[40]++; b[pageSize+40]++ }),
		"both meta pages zero":    edit(func(b []byte) { clear(b[:2*pageSize]) }),
		"all but meta zero":       edit(func(b []byte) { clear(b[2*pageSize:]) }),
	}
	for name, data := range tests {
		t.Run(name, func(t *testing.T) { wantRefused(t, newPath(t), data) })
	}
	t.Run("directory", func(t *testing.T) {
		if _, err := Open(t.TempDir(), Options{Create: true}); !errors.Is(err, store.ErrFormat) {
			t.Errorf("Open: %v", err)
		}
	})
	t.Run("the whole is fine", func(t *testing.T) {
		path := newPath(t)
		if err := os.WriteFile(path, cut(used), 0o600); err != nil {
			t.Fatal(err)
		}
		mustOpen(t, path, Options{})
	})
}

func TestFormat(t *testing.T) {
	tests := map[string]func(tx *bbolt.Tx) error{
		"newer": func(tx *bbolt.Tx) error {
			return tx.Bucket([]byte(metaBucket)).Put([]byte(formatKey), binary.BigEndian.AppendUint64(nil, formatVersion+1))
		},
		"zero": func(tx *bbolt.Tx) error {
			return tx.Bucket([]byte(metaBucket)).Put([]byte(formatKey), make([]byte, 8))
		},
		"no version": func(tx *bbolt.Tx) error { return tx.Bucket([]byte(metaBucket)).Delete([]byte(formatKey)) },
		"no head":    func(tx *bbolt.Tx) error { return tx.Bucket([]byte(metaBucket)).Delete([]byte(headKey)) },
		"no meta":    func(tx *bbolt.Tx) error { return tx.DeleteBucket([]byte(metaBucket)) },
		"no data":    func(tx *bbolt.Tx) error { return tx.DeleteBucket([]byte(dataBucket)) },
		"foreign": func(tx *bbolt.Tx) error {
			_, err := tx.CreateBucket([]byte("other"))
			return errors.Join(err, tx.DeleteBucket([]byte(metaBucket)), tx.DeleteBucket([]byte(dataBucket)))
		},
	}
	for name, change := range tests {
		t.Run(name, func(t *testing.T) {
			path := newPath(t)
			if err := mustOpen(t, path, Options{Create: true}).Close(); err != nil {
				t.Fatal(err)
			}
			db, err := bbolt.Open(path, 0o600, nil)
			if err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(db.Update(change), db.Close()); err != nil {
				t.Fatal(err)
			}
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			wantRefused(t, path, data)
		})
	}
}

// exercise opens a copy that may be damaged and uses everything. It must fail in good order or not at all.
func exercise(t *testing.T, path string, data []byte, keys int) (failed bool) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	judge := func(what string, err error) {
		t.Helper()
		if err != nil {
			failed = true
			if !refused(err) && !errors.Is(err, store.ErrClosed) && !errors.Is(err, store.ErrUnknown) {
				t.Fatalf("%s: %v", what, err)
			}
		}
	}
	s, err := Open(path, Options{})
	if err != nil {
		judge("Open", err)
		if now, err := os.ReadFile(path); err != nil || (!bytes.Equal(now, data) && runtime.GOOS != "windows") {
			t.Fatalf("Open refused the file and changed it (%v)", err)
		}
		return failed
	}
	defer s.Close()
	for i := 0; i < keys; i += 3 {
		_, err := s.Get(t.Context(), sampleKey(i))
		judge("Get", err)
	}
	_, err = s.Scan(t.Context(), "", "", keys*2)
	judge("Scan", err)
	for i := 0; i < keys; i += 29 {
		b := batch(sampleKey(i), strings.Repeat("new", i%900))
		b.Writes = append(b.Writes, store.Write{Key: sampleKey(keys - i), Delete: true})
		_, err = s.Commit(t.Context(), b)
		judge("Commit", err)
	}
	return failed
}

// TestFlippedBytes damages copies of a store at random, mostly where structure is, since values are most of a store.
func TestFlippedBytes(t *testing.T) {
	const keys = 400
	whole := sample(t, keys)
	pageSize := os.Getpagesize()
	rounds, failed := 200, 0
	if testing.Short() {
		rounds = 50
	}
	path := newPath(t)
	for round := range rounds {
		rng := rand.New(rand.NewPCG(uint64(round), 2))
		b := bytes.Clone(whole)
		for range 1 + rng.IntN(4) {
			at := rng.IntN(len(b) / pageSize / 4 * pageSize) // the last part of the file is not in use
			if rng.IntN(4) > 0 {
				at = at/pageSize*pageSize + rng.IntN(pageSize/8)
			}
			b[at] ^= byte(1 + rng.IntN(255))
		}
		if exercise(t, path, b, keys) {
			failed++
		}
		if t.Failed() {
			t.Fatalf("in round %d", round)
		}
	}
	if failed == 0 {
		t.Error("no damage was ever seen: the test does not reach the structure")
	}
}

// TestFewerElements takes the last element from each page in use, as one flipped bit of its number does, or has a branch page lead to the same page
// twice. That is damage, not a store with less in it: a compaction would copy what is left, and overwrite the rest.
func TestFewerElements(t *testing.T) {
	whole := sample(t, 300)
	path := newPath(t)
	pageSize := os.Getpagesize()
	leaves, branches := 0, 0
	for id := 2; id < len(whole)/pageSize; id++ {
		page := whole[id*pageSize : (id+1)*pageSize]
		n, flags := order.Uint16(page[10:]), order.Uint16(page[8:])
		if flags != flagLeaf && flags != flagBranch || n < 2 || order.Uint64(page) != uint64(id) {
			continue
		}
		damages := map[string]func(b []byte){"less": func(b []byte) { order.PutUint16(b[10:], n-1) }}
		if flags == flagBranch {
			damages["twice"] = func(b []byte) {
				copy(b[pageHeaderSize+elemSize+8:pageHeaderSize+2*elemSize], b[pageHeaderSize+8:pageHeaderSize+elemSize])
			}
		}
		for what, damage := range damages {
			b := bytes.Clone(whole)
			damage(b[id*pageSize:])
			if err := os.WriteFile(path, b, 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := Compact(t.Context(), path, CompactOptions{})
			if err == nil {
				continue // the page is not in use
			}
			if flags == flagLeaf {
				leaves++
			} else {
				branches++
			}
			if !errors.Is(err, store.ErrDamaged) || !bytes.Equal(readFile(t, path), b) {
				t.Errorf("page %d, %s: %v, or the file was changed", id, what, err)
			}
			if what == "twice" {
				continue // found by looking at all pages only
			}
			s, err := Open(path, Options{})
			if err == nil {
				_, err = s.Scan(t.Context(), "", "", 1000)
				s.Close()
			}
			if !errors.Is(err, store.ErrDamaged) {
				t.Errorf("page %d, %s: reading everything: %v", id, what, err)
			}
		}
	}
	if leaves < 5 || branches < 2 {
		t.Errorf("%d damaged leaves and %d branches were in use", leaves, branches)
	}
}

// TestCircle makes every branch page its own descendant, which bbolt would follow until the stack is exhausted.
func TestCircle(t *testing.T) {
	const keys = 400
	b := sample(t, keys)
	pageSize := os.Getpagesize()
	n := 0
	for at := 2 * pageSize; at < len(b); at += pageSize {
		if order.Uint16(b[at+8:]) != flagBranch {
			continue
		}
		for i := range int(order.Uint16(b[at+10:])) {
			order.PutUint64(b[at+pageHeaderSize+i*elemSize+8:], uint64(at/pageSize))
			n++
		}
	}
	if n == 0 {
		t.Fatal("the sample has no branch pages")
	}
	path := newPath(t)
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	s := mustOpen(t, path, Options{})
	_, getErr := s.Get(t.Context(), sampleKey(1))
	_, scanErr := s.Scan(t.Context(), "", "", 10)
	_, commitErr := s.Commit(t.Context(), batch(sampleKey(1), "v"))
	for what, err := range map[string]error{"Get": getErr, "Scan": scanErr, "Commit": commitErr} {
		if !errors.Is(err, store.ErrDamaged) {
			t.Errorf("%s: %v", what, err)
		}
	}
	// The commit was refused before anything was written, so the engine goes on.
	if _, err := s.Commit(t.Context(), store.Batch{}); err != nil {
		t.Errorf("an empty commit afterwards: %v", err)
	}
}

// TestCutWhileOpen takes the file away below the memory map: a fault, which must not end the process.
func TestCutWhileOpen(t *testing.T) {
	const keys = 400
	path := newPath(t)
	if err := os.WriteFile(path, sample(t, keys), 0o600); err != nil {
		t.Fatal(err)
	}
	s := mustOpen(t, path, Options{})
	if err := os.Truncate(path, int64(4*os.Getpagesize())); err != nil {
		t.Skipf("a file in use cannot be cut here: %v", err)
	}
	if _, err := s.Get(t.Context(), sampleKey(1)); !errors.Is(err, store.ErrDamaged) {
		t.Errorf("Get: %v", err)
	}
	if _, err := s.Commit(t.Context(), batch("k", "v")); !errors.Is(err, store.ErrDamaged) {
		t.Errorf("Commit: %v", err)
	}
	if _, err := s.Commit(t.Context(), batch("k", "v")); !errors.Is(err, store.ErrClosed) {
		t.Errorf("the next Commit: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
}

func TestLocked(t *testing.T) {
	path := newPath(t)
	s := mustOpen(t, path, Options{Create: true})
	for _, create := range []bool{false, true} {
		if _, err := Open(path, Options{Create: create}); !errors.Is(err, store.ErrLocked) {
			t.Errorf("second Open: %v", err)
		}
	}
	if _, err := s.Commit(t.Context(), batch("k", "v")); err != nil {
		t.Errorf("Commit after the others were refused: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	mustOpen(t, path, Options{})
}

func TestCreate(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "keyturn.db")
	if _, err := Open(path, Options{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Open without Create: %v", err)
	}
	if _, err := Open(filepath.Join(dir, "none", "keyturn.db"), Options{Create: true}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Open in no directory: %v", err)
	}
	// Many at once: one has it, the others are told so, and none replaces what another uses.
	var wg sync.WaitGroup
	stores, errs := make([]*Store, 8), make([]error, 8)
	for i := range stores {
		wg.Go(func() { stores[i], errs[i] = Open(path, Options{Create: true}) })
	}
	wg.Wait()
	open := 0
	for i, s := range stores {
		if s != nil {
			open++
			defer s.Close()
			if _, err := s.Commit(t.Context(), batch("k", "v")); err != nil {
				t.Error(err)
			}
		} else if !errors.Is(errs[i], store.ErrLocked) {
			t.Errorf("Open: %v", errs[i])
		}
	}
	if open > 1 {
		t.Errorf("%d have the store open", open)
	}
	files, err := os.ReadDir(dir)
	if err != nil || len(files) != 1 {
		t.Errorf("left in the directory: %v, %v", files, err)
	}
	if info, err := os.Stat(path); err != nil || (info.Mode().Perm() != 0o600 && runtime.GOOS != "windows") {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}
