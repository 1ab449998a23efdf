package boltstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"go.etcd.io/bbolt"

	"github.com/keyturn/keyturn/internal/store"
)

const mark = "this was deleted, and shall be gone"

// haunted fills a store with marked values of many sizes among others, rewrites what stands around them so that pages move, and deletes
// them. It returns what is left.
func haunted(tb testing.TB, s *Store) map[string]string {
	tb.Helper()
	rng := rand.New(rand.NewPCG(6, 6))
	left := make(map[string]string)
	commit := func(writes ...store.Write) {
		tb.Helper()
		if _, err := s.Commit(tb.Context(), store.Batch{Writes: writes}); err != nil {
			tb.Fatal(err)
		}
	}
	for round := range 40 {
		var writes []store.Write
		for i := range 20 {
			key, value := fmt.Sprintf("k/%02d", (round*7+i)%90), strings.Repeat("kept", 1+rng.IntN(120))
			left[key] = value
			writes = append(writes, store.Write{Key: key, Value: []byte(value)})
		}
		size := rng.IntN(300)
		if round%8 == 0 {
			size = 20_000 // pages of their own, several in a row
		}
		writes = append(writes, store.Write{Key: fmt.Sprintf("m/%02d", round), Value: []byte(strings.Repeat(mark, 1+size/len(mark)))})
		commit(writes...)
	}
	for round := range 40 {
		commit(store.Write{Key: fmt.Sprintf("m/%02d", round), Delete: true})
	}
	return left
}

func readFile(tb testing.TB, path string) []byte {
	tb.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// wantContent checks all entries of a store, and the file with bbolt's own checker.
func wantContent(t *testing.T, s *Store, want map[string]string) {
	t.Helper()
	entries, err := s.Scan(t.Context(), "", "", 10_000)
	if err != nil || len(entries) != len(want) {
		t.Fatalf("%d entries, %v; want %d", len(entries), err, len(want))
	}
	for _, e := range entries {
		if string(e.Value) != want[e.Key] {
			t.Fatalf("%s is not what it was", e.Key)
		}
	}
	err = s.db.View(func(tx *bbolt.Tx) error {
		for err := range tx.Check() {
			t.Error(err)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

func TestScrub(t *testing.T) {
	path := newPath(t)
	s := mustOpen(t, path, Options{Create: true})
	left := haunted(t, s)
	before := readFile(t, path)
	if n := bytes.Count(before, []byte(mark)); n < 1000 {
		t.Fatalf("only %d copies of what was deleted are in the file: there is nothing to scrub", n)
	}
	var done, total int64
	did, err := s.Scrub(t.Context(), store.ScrubOptions{Progress: func(d, of int64) {
		if d < done {
			t.Errorf("progress went from %d back to %d", done, d)
		}
		done, total = d, of
	}})
	if err != nil {
		t.Fatal(err)
	}
	after := readFile(t, path)
	if bytes.Contains(after, []byte(mark)) {
		t.Error("a copy of what was deleted is in the file still")
	}
	if len(after) != len(before) || did.File != int64(len(after)) || did.Overwritten == 0 || did.Overwritten > did.Free || did.Free >= did.File {
		t.Errorf("%d bytes before, %d after, %+v", len(before), len(after), did)
	}
	if done != total || total != did.File {
		t.Errorf("progress ended with %d of %d", done, total)
	}
	wantContent(t, s, left)
	again, err := s.Scrub(t.Context(), store.ScrubOptions{})
	if err != nil || again.Overwritten != 0 {
		t.Errorf("the second scrub wrote again: %+v, %v", again, err)
	}
	if _, err := s.Commit(t.Context(), batch("k/00", "more")); err != nil {
		t.Error(err)
	}
	left["k/00"] = "more"
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	wantContent(t, mustOpen(t, path, Options{}), left)
}

// TestScrubTail: what a transaction that was cut off has left behind the last page goes too.
func TestScrubTail(t *testing.T) {
	path := newPath(t)
	s := mustOpen(t, path, Options{Create: true})
	left := haunted(t, s)
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(strings.Repeat("x", 3*scrubTail) + mark); err != nil {
		t.Fatal(err)
	}
	f.Close()
	if _, err := s.Scrub(t.Context(), store.ScrubOptions{}); err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(readFile(t, path), []byte(mark)) {
		t.Error("it is there")
	}
	wantContent(t, s, left)
}

// TestScrubUnderLoad: commits and reads go on, and neither they nor snapshots see anything of a scrub.
func TestScrubUnderLoad(t *testing.T) {
	path := newPath(t)
	s := mustOpen(t, path, Options{Create: true})
	want := haunted(t, s)
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		rng := rand.New(rand.NewPCG(1, 2))
		for i := 0; ctx.Err() == nil; i++ {
			key, value := fmt.Sprintf("k/%02d", rng.IntN(90)), fmt.Sprint(i, strings.Repeat("new", rng.IntN(2000)))
			if _, err := s.Commit(t.Context(), batch(key, value)); err != nil {
				t.Error(err)
				return
			}
			want[key] = value
		}
	})
	for range 2 {
		wg.Go(func() {
			for ctx.Err() == nil {
				sn, err := s.Snapshot(t.Context())
				if err != nil {
					t.Error(err)
					return
				}
				first, err1 := sn.Scan(t.Context(), "", "", 10_000)
				second, err2 := sn.Scan(t.Context(), "", "", 10_000)
				sn.Close()
				if err1 != nil || err2 != nil || fmt.Sprint(first) != fmt.Sprint(second) || len(first) != 90 {
					t.Errorf("a snapshot changed: %v, %v", err1, err2)
					return
				}
			}
		})
	}
	for range 5 {
		if _, err := s.Scrub(t.Context(), store.ScrubOptions{}); err != nil {
			t.Error(err)
		}
		if n := bytes.Count(readFile(t, path), []byte(mark)); n > 0 {
			t.Errorf("%d copies are there", n)
		}
	}
	stop()
	wg.Wait()
	wantContent(t, s, want)
}

// TestScrubWaits: what a snapshot shows stays until it is closed, and the scrub is not done before.
func TestScrubWaits(t *testing.T) {
	path := newPath(t)
	mustOpen(t, path, Options{Create: true}).Close()
	synctest.Test(t, func(t *testing.T) {
		s := mustOpen(t, path, Options{})
		secret := strings.Repeat(mark, 400)
		if _, err := s.Commit(t.Context(), batch("secret", secret)); err != nil {
			t.Fatal(err)
		}
		sn, err := s.Snapshot(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Commit(t.Context(), store.Batch{Writes: []store.Write{{Key: "secret", Delete: true}}}); err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		var steps atomic.Int32
		go func() {
			_, err := s.Scrub(t.Context(), store.ScrubOptions{Progress: func(int64, int64) { steps.Add(1) }})
			done <- err
		}()
		for range 60 { // reads come and go, which are not what it waits for
			if _, err := s.Get(t.Context(), "other"); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Minute) // of the bubble
		}
		synctest.Wait()
		if n := steps.Load(); n != 1 {
			t.Errorf("while there was nothing to do it held up commits %d times", n)
		}
		select {
		case err := <-done:
			t.Fatalf("it did not wait: %v", err)
		default:
		}
		if _, err := s.Scrub(t.Context(), store.ScrubOptions{}); !errors.Is(err, store.ErrScrubbing) {
			t.Errorf("a second at the same time: %v", err)
		}
		if _, err := s.Commit(t.Context(), batch("other", "v")); err != nil {
			t.Errorf("a commit meanwhile: %v", err)
		}
		if e, err := sn.Get(t.Context(), "secret"); err != nil || string(e[0].Value) != secret {
			t.Errorf("the snapshot shows something else: %v", err)
		}
		sn.Close()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(readFile(t, path), []byte(mark)) {
			t.Error("a copy is there still")
		}

		// Who waits can be called off, and Close does not hang.
		sn, err = s.Snapshot(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer sn.Close()
		if _, err := s.Commit(t.Context(), batch("other", "w")); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			_, err := s.Scrub(ctx, store.ScrubOptions{})
			done <- err
		}()
		synctest.Wait()
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("called off: %v", err)
		}
		go func() {
			_, err := s.Scrub(t.Context(), store.ScrubOptions{})
			done <- err
		}()
		synctest.Wait()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if err := <-done; !errors.Is(err, store.ErrClosed) {
			t.Errorf("closed: %v", err)
		}
	})
}

// TestScrubCrash: wherever a scrub is cut off, and whatever of its unsynced writes has reached the disk, the store is whole.
func TestScrubCrash(t *testing.T) {
	path, crashed := newPath(t), newPath(t)
	var image func(at stage)
	s := mustOpen(t, path, Options{Create: true, failpoint: func(at stage) error {
		if image != nil && at != readFree {
			image(at)
		}
		return nil
	}})
	left := haunted(t, s)
	rng := rand.New(rand.NewPCG(9, 9))
	synced := readFile(t, path) // what is on the disk for sure
	points := 0
	image = func(at stage) {
		now := readFile(t, path)
		for range 4 {
			disk := bytes.Clone(synced)
			for i := 0; i < len(disk); i += 512 { // sectors arrive or do not
				if rng.IntN(2) == 0 {
					copy(disk[i:i+512], now[i:])
				}
			}
			if err := os.WriteFile(crashed, disk, 0o600); err != nil {
				t.Fatal(err)
			}
			c, err := Open(crashed, Options{})
			if err != nil {
				t.Fatalf("at point %d: %v", points, err)
			}
			wantContent(t, c, left)
			if _, err := c.Commit(t.Context(), batch("k/00", left["k/00"])); err != nil {
				t.Fatal(err)
			}
			wantContent(t, c, left)
			c.Close()
		}
		points++
		if at == syncErased {
			synced = now
		}
	}
	if _, err := s.Scrub(t.Context(), store.ScrubOptions{}); err != nil {
		t.Fatal(err)
	}
	if points < 10 {
		t.Errorf("cut off at %d points only", points)
	}
}

// TestScrubFails: a page that cannot be overwritten is told and harms nothing; after a failed fsync the engine stops.
func TestScrubFails(t *testing.T) {
	for _, test := range []struct {
		at    stage
		stops bool
	}{{beforeErase, false}, {afterErase, false}, {syncErased, true}} {
		path := newPath(t)
		var broken atomic.Bool
		s := mustOpen(t, path, Options{Create: true, failpoint: func(at stage) error {
			if broken.Load() && at == test.at {
				return syscall.EIO
			}
			return nil
		}})
		left := haunted(t, s)
		broken.Store(true)
		if _, err := s.Scrub(t.Context(), store.ScrubOptions{}); !errors.Is(err, syscall.EIO) || errors.Is(err, store.ErrClosed) != test.stops {
			t.Errorf("stage %d: %v", test.at, err)
		}
		broken.Store(false)
		_, err := s.Commit(t.Context(), batch("k/00", "v"))
		if left["k/00"] = "v"; test.stops {
			if !errors.Is(err, store.ErrClosed) || !strings.Contains(err.Error(), syscall.EIO.Error()) {
				t.Errorf("stage %d: the engine goes on: %v", test.at, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("stage %d: a commit afterwards: %v", test.at, err)
		}
		if _, err := s.Scrub(t.Context(), store.ScrubOptions{}); err != nil || bytes.Contains(readFile(t, path), []byte(mark)) {
			t.Errorf("stage %d: the next scrub: %v", test.at, err)
		}
		wantContent(t, s, left)
	}
}

// TestScrubUnreadable: a free page that cannot be read is overwritten like others.
func TestScrubUnreadable(t *testing.T) {
	path := newPath(t)
	reads := 0
	s := mustOpen(t, path, Options{Create: true, failpoint: func(at stage) error {
		if at == readFree {
			if reads++; reads%2 == 1 {
				return &os.PathError{Op: "read", Path: path, Err: syscall.EIO}
			}
		}
		return nil
	}})
	left := haunted(t, s)
	if _, err := s.Scrub(t.Context(), store.ScrubOptions{}); err != nil || reads == 0 || bytes.Contains(readFile(t, path), []byte(mark)) {
		t.Errorf("after %d reads: %v", reads, err)
	}
	wantContent(t, s, left)
}

// TestScrubDistrusts: a list of free pages that names one in use, or misses one that is free, is found before anything is overwritten.
func TestScrubDistrusts(t *testing.T) {
	path := newPath(t)
	s := mustOpen(t, path, Options{Create: true})
	haunted(t, s)
	newest := func() (r *reader, free freelist, root uint64) {
		t.Helper()
		tx, err := s.db.Begin(false)
		if err != nil {
			t.Fatal(err)
		}
		defer tx.Rollback() //nolint:errcheck // nothing to roll back
		r, root = newReader(s.file, tx, s.pageSize, s.pool)
		if free, err = r.openFreelist(tx.ID()); err != nil {
			t.Fatal(err)
		}
		return r, free, root
	}
	r, free, root := newest()
	ids, err := free.read(0, int(free.n))
	if err != nil {
		t.Fatal(err)
	}
	whole := readFile(t, path)
	number := func(i int) []byte { return whole[free.at+8*int64(i):] }
	damages := map[string]func(){}
	for i := range ids {
		last, next := uint64(1), r.pages
		if i > 0 {
			last = ids[i-1]
		}
		if i+1 < len(ids) {
			next = ids[i+1]
		}
		// A page in use in place of a free one, with the list still in order.
		for id := last + 1; id < next; id++ {
			if id != ids[i] && (id < free.first || id >= free.past) {
				damages[fmt.Sprintf("free page %d becomes %d", ids[i], id)] = func() { order.PutUint64(number(i), id) }
				break
			}
		}
	}
	damages["one free page less"] = func() { order.PutUint16(whole[free.first*uint64(s.pageSize)+10:], uint16(free.n-1)) }
	if len(damages) < 3 || root == 0 {
		t.Fatalf("only %d ways to damage the list", len(damages))
	}
	s.Close()
	for what, damage := range damages {
		kept := bytes.Clone(whole)
		damage()
		if err := os.WriteFile(path, whole, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := Open(path, Options{})
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if _, err = s.Scrub(t.Context(), store.ScrubOptions{}); !errors.Is(err, store.ErrDamaged) {
			t.Errorf("%s: %v", what, err)
		}
		s.Close()
		if !bytes.Equal(readFile(t, path), whole) {
			t.Errorf("%s: the file was changed", what)
		}
		copy(whole, kept)
	}
}
