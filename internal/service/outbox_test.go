package service_test

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/audit"
	"github.com/keyturn/keyturn/internal/seal"
	"github.com/keyturn/keyturn/internal/service"
	"github.com/keyturn/keyturn/internal/store"
	"github.com/keyturn/keyturn/internal/store/memstore"
)

// eventNames returns the names of the records in the log, in order.
func eventNames(lines []line) string {
	var names []string
	for _, l := range lines {
		names = append(names, l.EventName)
	}
	return strings.Join(names, " ")
}

// TestCrash leaves committed audit records in the store, some of which the log has, as a crash does at any point of bringing
// them there. The next start must bring exactly the missing ones, in the order of the commits.
func TestCrash(t *testing.T) {
	for logged := range 5 {
		t.Run(fmt.Sprint(logged, " of 4 in the log"), func(t *testing.T) {
			// A life whose log takes nothing: its records stay in the store.
			first := newHouse(t, nil, nil)
			first.sink.held = make(chan struct{})
			id := first.newKey()
			first.must("DisableKey", &api.DisableKeyRequest{KeyId: some(id)})
			first.must("EnableKey", &api.EnableKeyRequest{KeyId: some(id)})
			first.must("UpdateKeyDescription", &api.UpdateKeyDescriptionRequest{KeyId: some(id), Description: some("d")})
			crashed := &faults{Store: copyOf(t, first.store)}

			// What the log would hold had the crash come later: the records of an undisturbed life.
			close(first.sink.held)
			first.flush()
			first.close()
			var lines [][]byte
			for l := range first.sink.Since(1) {
				lines = append(lines, stripFrame(l.JSON))
			}
			if len(lines) != 4 {
				t.Fatalf("%d records, want 4", len(lines))
			}
			sink := &badSink{Memory: audit.NewMemory(100)}
			for _, l := range lines[:logged] {
				if _, err := sink.Append(l); err != nil {
					t.Fatal(err)
				}
			}
			second := newHouse(t, crashed, sink)
			want := "CreateKey DisableKey EnableKey UpdateKeyDescription"
			if got := eventNames(readLog(t, sink)); got != want {
				t.Errorf("the log has %s, want %s", got, want)
			}
			if n := outboxSize(t, crashed); n != 0 {
				t.Errorf("%d records stayed in the store", n)
			}
			second.close()
			// Starting once more brings nothing twice.
			newHouse(t, crashed, sink).close()
			if got := eventNames(readLog(t, sink)); got != want {
				t.Errorf("after another start the log has %s", got)
			}
		})
	}
}

// TestCrashBehindAPage leaves more records in the store than one append takes, the last of them logged: that one must not get there
// twice.
func TestCrashBehindAPage(t *testing.T) {
	first := newHouse(t, nil, nil)
	first.sink.held = make(chan struct{})
	id := first.newKey()
	const changes = 600
	for i := range changes {
		first.must("UpdateKeyDescription", &api.UpdateKeyDescriptionRequest{KeyId: some(id), Description: some(fmt.Sprint(i))})
	}
	crashed := &faults{Store: copyOf(t, first.store)}
	close(first.sink.held)
	first.flush()
	first.close()
	var last []byte
	for l := range first.sink.Since(1) {
		last = stripFrame(l.JSON)
	}
	sink := &badSink{Memory: audit.NewMemory(10_000)}
	if _, err := sink.Append(last); err != nil {
		t.Fatal(err)
	}
	newHouse(t, crashed, sink).close()
	if n := len(readLog(t, sink)); n != changes+1 {
		t.Errorf("the log has %d records, want %d", n, changes+1)
	}
}

// stripFrame takes what the log put in front of a record off again.
func stripFrame(line []byte) []byte {
	_, rest, _ := strings.Cut(string(line), "},")
	return []byte("{" + rest)
}

func copyOf(t *testing.T, from store.Store) store.Store {
	t.Helper()
	to := memstore.New()
	entries, err := from.Scan(t.Context(), "", "", 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	// One commit for each, in the order of revisions, so that their order is kept.
	for rev := store.Rev(1); ; rev++ {
		var b store.Batch
		more := false
		for _, e := range entries {
			if e.Rev == rev {
				b.Writes = append(b.Writes, store.Write{Key: e.Key, Value: e.Value})
			}
			more = more || e.Rev > rev
		}
		if _, err := to.Commit(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		if !more {
			return to
		}
	}
}

func outboxSize(t *testing.T, s store.Store) int {
	t.Helper()
	entries, err := s.Scan(t.Context(), "o/", "", 1000)
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

// TestLogComesBack lets the log refuse committed records for a while: changes are refused meanwhile, the server is not ready,
// and what was committed before gets there once.
func TestLogComesBack(t *testing.T) {
	for _, torn := range []bool{false, true} {
		t.Run(fmt.Sprint("written after all: ", torn), func(t *testing.T) {
			h := newHouse(t, nil, nil)
			h.sink.held = make(chan struct{})
			id := h.newKey()
			h.must("DisableKey", &api.DisableKeyRequest{KeyId: some(id)})
			h.sink.fail(nil, errors.New("not now"), torn)
			close(h.sink.held)
			waitFor(t, "a failed try", func() bool { return h.sink.refusals() > 0 })
			waitFor(t, "trouble", func() bool { return h.p.Healthy() != nil })
			if _, err := h.do(h.kmsOp("EnableKey"), &api.EnableKeyRequest{KeyId: some(id)}); codeOf(err) != api.KMSInternalException {
				t.Errorf("a change while the log takes nothing: %v", err)
			}
			// What was written but not synced counts for nothing: the next try finds it in the log, and a power cut would not.
			waitFor(t, "another try", func() bool { return h.sink.refusals() > 1 })
			if n := outboxSize(t, h.store); n != 2 {
				t.Errorf("%d records are in the store, want 2: the log has not said that it has them", n)
			}
			h.sink.fail(nil, nil, false)
			waitFor(t, "the end of it", func() bool { return h.p.Healthy() == nil })
			h.flush()
			h.close()
			var done []string
			for _, l := range h.log() {
				if l.ErrorCode == "" {
					done = append(done, l.EventName)
				}
			}
			if got := strings.Join(done, " "); got != "CreateKey DisableKey" {
				t.Errorf("the log has %s", got)
			}
			if n := outboxSize(t, h.store); n != 0 {
				t.Errorf("%d records stayed in the store", n)
			}
		})
	}
}

// waitFor waits for what another goroutine must do.
func waitFor(t *testing.T, what string, done func() bool) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for !done() {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
		<-time.After(time.Millisecond)
	}
}

// TestCloseAfterTrouble checks that Close makes a try of its own, and does not report a trouble that is over.
func TestCloseAfterTrouble(t *testing.T) {
	h := newHouse(t, nil, nil)
	h.sink.fail(nil, errors.New("not now"), false)
	h.newKey()
	if n := outboxSize(t, h.store); n != 1 {
		t.Fatalf("%d records wait, want 1", n)
	}
	waitFor(t, "a failed try", func() bool { return h.sink.refusals() > 0 })
	h.sink.fail(nil, nil, false)
	h.close() // fails the test on an error
	if got := eventNames(h.log()); got != "CreateKey" {
		t.Errorf("the log has %s", got)
	}
}

// TestRemovalFails checks that a record in the log is not brought there again because it could not be removed from the store.
func TestRemovalFails(t *testing.T) {
	h := newHouse(t, nil, nil)
	var mu sync.Mutex
	failed := 0
	h.store.set(func(b store.Batch) error {
		mu.Lock()
		defer mu.Unlock()
		if len(b.Checks) == 0 && failed < 1 {
			failed++
			return errors.New("not now")
		}
		return nil
	}, nil)
	h.newKey()
	h.flush()
	h.close()
	if got := eventNames(h.log()); got != "CreateKey" {
		t.Errorf("the log has %s", got)
	}
	if n := outboxSize(t, h.store); n != 0 {
		t.Errorf("%d records stayed in the store", n)
	}
}

// TestSlowCommit holds a commit between the engine and its return, while others of unknown outcome make the outbox look
// through the store, twice. What that finds of the slow one must not be brought to the log again when it returns.
func TestSlowCommit(t *testing.T) {
	h := newHouse(t, nil, nil)
	slow, other := h.newKey(), h.newKey()
	h.flush()
	held, release := make(chan struct{}), make(chan struct{})
	var once sync.Once
	h.store.set(nil, func(b store.Batch) error {
		if len(b.Checks) > 0 {
			once.Do(func() { close(held); <-release })
		}
		return nil
	})
	done := make(chan *api.Error, 1)
	go func() {
		_, err := h.do(h.kmsOp("UpdateKeyDescription"), &api.UpdateKeyDescriptionRequest{KeyId: some(slow), Description: some("slow")})
		done <- err
	}()
	<-held
	for i := range 2 {
		h.store.set(nil, func(b store.Batch) error {
			if len(b.Checks) > 0 {
				return store.ErrUnknown
			}
			return nil
		})
		if _, err := h.do(h.kmsOp("UpdateKeyDescription"), &api.UpdateKeyDescriptionRequest{KeyId: some(other), Description: some(fmt.Sprint(i))}); codeOf(err) != api.KMSInternalException {
			t.Errorf("got %v", err)
		}
		h.store.set(nil, nil)
		h.flush()
	}
	close(release)
	if err := <-done; err != nil {
		t.Errorf("the slow one: %v", err)
	}
	h.flush()
	h.close()
	h.log() // complains of what is there twice
	if n := outboxSize(t, h.store); n != 0 {
		t.Errorf("%d records stayed in the store", n)
	}
}

// TestUnknownDuringRescan lets another commit of unknown outcome come while the outbox looks through the store for the one
// before: it must look again.
func TestUnknownDuringRescan(t *testing.T) {
	h := newHouse(t, nil, nil)
	id := h.newKey()
	h.flush()
	unknown := func() {
		_, err := h.do(h.kmsOp("UpdateKeyDescription"), &api.UpdateKeyDescriptionRequest{KeyId: some(id), Description: some("d")})
		if codeOf(err) != api.KMSInternalException {
			t.Errorf("got %v", err)
		}
	}
	scans := 0
	h.store.onScan(func(prefix string) {
		if scans++; strings.HasPrefix(prefix, "o/") && scans == 2 { // the end of the list: nothing after it will be seen
			unknown()
		}
	})
	h.store.set(nil, func(b store.Batch) error {
		if len(b.Checks) > 0 {
			return store.ErrUnknown
		}
		return nil
	})
	unknown()
	h.flush() // of the first
	h.store.onScan(nil)
	h.store.set(nil, nil)
	waitFor(t, "the second, which nobody flushes", func() bool { return outboxSize(t, h.store) == 0 })
	done := 0
	for _, l := range h.log() {
		if l.EventName == "UpdateKeyDescription" && l.ErrorCode == "" {
			done++
		}
	}
	if done != 2 {
		t.Errorf("%d of 2 changes are in the log", done)
	}
	h.close()
}

// unsyncedSink is a log where nothing but AppendSync syncs, and which a power cut can cut short.
type unsyncedSink struct {
	*badSink
	safe uint64
}

func (s *unsyncedSink) SafeSeq() uint64 { return s.safe }

// TestLogLostLines cuts the power when a change is committed whose record is yet to come, behind lines of other calls that were not
// synced. They are gone, the record comes to stand where they were, and the power is cut again before the store knows. The next start
// must find the record there.
func TestLogLostLines(t *testing.T) {
	first := &unsyncedSink{badSink: &badSink{Memory: audit.NewMemory(100), held: make(chan struct{})}, safe: 1}
	h := newHouse(t, nil, first.badSink, func(c *service.Config) { c.Audit = first })
	read := testOp(service.Read, func(*service.Tx) error { return nil })
	for range 5 {
		if _, err := h.do(read, &api.ListKeysRequest{}); err != nil {
			t.Fatal(err)
		}
	}
	h.newKey()
	crashed := &faults{Store: copyOf(t, h.store)}
	close(first.held)
	h.flush()
	h.close()

	// The log has nothing of the five any more, gets the record, and the store does not hear of it.
	second := &badSink{Memory: audit.NewMemory(100)}
	crashed.set(func(b store.Batch) error {
		if len(b.Checks) == 0 {
			return errors.New("the power is off")
		}
		return nil
	}, nil)
	sealed, err := seal.Open(t.Context(), crashed, seal.Options{Provider: seal.NewKeyFile(make([]byte, 32)), Now: now})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := service.New(t.Context(), service.Config{
		Store: sealed, Keyring: sealed.Keyring(), Clock: fixedClock{}, Audit: second, NodeID: "n1", Log: slog.New(slog.DiscardHandler), Authorize: ownAccount,
	}); err == nil {
		t.Fatal("a start whose commits fail succeeds")
	}
	if got := eventNames(readLog(t, second)); got != "CreateKey" {
		t.Fatalf("the log has %q", got)
	}
	crashed.set(nil, nil)
	newHouse(t, crashed, second).close()
	if got := eventNames(readLog(t, second)); got != "CreateKey" {
		t.Errorf("after another start the log has %q", got)
	}
	if n := outboxSize(t, crashed); n != 0 {
		t.Errorf("%d records stayed in the store", n)
	}
}

// TestStoreIsFull lets the store have no room for a while: changes are refused, the server is not ready and says why, reads and
// cryptography go on, and so does everything when there is room.
func TestStoreIsFull(t *testing.T) {
	h := newHouse(t, nil, nil)
	id := h.newKey()
	h.flush()
	h.store.set(func(store.Batch) error { return fmt.Errorf("%w: as told", store.ErrNoSpace) }, nil)
	disable := func() *api.Error {
		_, err := h.do(h.kmsOp("DisableKey"), &api.DisableKeyRequest{KeyId: some(id)})
		return err
	}
	if err := disable(); codeOf(err) != api.KMSInternalException {
		t.Errorf("a change without room: %v", err)
	}
	waitFor(t, "it to show", func() bool { return errors.Is(h.p.Healthy(), store.ErrNoSpace) })
	h.must("DescribeKey", &api.DescribeKeyRequest{KeyId: some(id)})
	h.encrypt(id, 10)
	h.store.set(nil, nil)
	waitFor(t, "the end of it", func() bool { return h.p.Healthy() == nil })
	if err := disable(); err != nil {
		t.Errorf("with room again: %v", err)
	}
	h.close()
	var done []string
	for _, l := range h.log() {
		if l.ErrorCode == "" {
			done = append(done, l.EventName)
		}
	}
	if got := strings.Join(done, " "); got != "CreateKey DescribeKey Encrypt DisableKey" {
		t.Errorf("the log has %s", got)
	}
}
