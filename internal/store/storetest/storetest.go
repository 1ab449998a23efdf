// Package storetest is the suite that every store engine passes. It knows nothing of how an engine works, so it waits for
// what must happen instead of assuming when it does.
package storetest

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/keyturn/keyturn/internal/store"
)

// patience is how long the suite waits for what must happen; reaching it is a failure.
const patience = 30 * time.Second

// Open returns a new, empty store at revision 0 and closes it at the end of the test, if the test has not.
type Open func(t *testing.T) store.Store

// Reopen closes the store and returns one with the same data.
type Reopen func(t *testing.T, s store.Store) store.Store

// Run runs the suite. reopen is nil for an engine that does not persist.
func Run(t *testing.T, open Open, reopen Reopen) {
	tests := []struct {
		name string
		run  func(t *testing.T, open Open)
	}{
		{"GetAndScan", testGetAndScan},
		{"ScanRanges", testScanRanges},
		{"ScanWhileChanging", testScanWhileChanging},
		{"Ownership", testOwnership},
		{"EmptyValue", testEmptyValue},
		{"Checks", testChecks},
		{"Atomic", testAtomic},
		{"Snapshot", testSnapshot},
		{"SnapshotStays", testSnapshotStays},
		{"SnapshotCloses", testSnapshotCloses},
		{"Limits", testLimits},
		{"Stats", testStats},
		{"Revisions", testRevisions},
		{"Increments", testIncrements},
		{"Context", testContext},
		{"Closed", testClosed},
		{"CloseWhileBusy", testCloseWhileBusy},
		{"WatchOrder", testWatchOrder},
		{"WatchPrefix", testWatchPrefix},
		{"WatchProgress", testWatchProgress},
		{"WatchCompacted", testWatchCompacted},
		{"WatchEnds", testWatchEnds},
		{"WatchConcurrent", testWatchConcurrent},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) { test.run(t, open) })
	}
	t.Run("Model", func(t *testing.T) { testModel(t, open, reopen) })
	if reopen != nil {
		t.Run("Reopen", func(t *testing.T) { testReopen(t, open, reopen) })
	}
}

func put(key, value string) store.Write { return store.Write{Key: key, Value: []byte(value)} }

func del(key string) store.Write { return store.Write{Key: key, Delete: true} }

// mustCommit commits the writes without a check.
func mustCommit(t testing.TB, s store.Store, writes ...store.Write) store.Rev {
	t.Helper()
	rev, err := s.Commit(t.Context(), store.Batch{Writes: writes})
	if err != nil {
		t.Fatalf("Commit: %v", err)
	}
	return rev
}

// mustGet returns one entry.
func mustGet(t testing.TB, s store.Store, key string) store.Entry {
	t.Helper()
	entries, err := s.Get(t.Context(), key)
	if err != nil {
		t.Fatalf("Get(%q): %v", key, err)
	}
	if len(entries) != 1 || entries[0].Key != key {
		t.Fatalf("Get(%q) = %v", key, entries)
	}
	return entries[0]
}

func mustScan(t testing.TB, s store.Store, prefix, after string, limit int) []store.Entry {
	t.Helper()
	entries, err := s.Scan(t.Context(), prefix, after, limit)
	if err != nil {
		t.Fatalf("Scan(%q, %q, %d): %v", prefix, after, limit, err)
	}
	return entries
}

// show makes entries comparable and readable; an absent one shows as "key@0".
func show(entries []store.Entry) string {
	out := ""
	for i, e := range entries {
		if i > 0 {
			out += " "
		}
		out += fmt.Sprintf("%s@%d", e.Key, e.Rev)
		if e.Value != nil {
			out += fmt.Sprintf("=%s", e.Value)
		}
	}
	return out
}

func wantError(t testing.TB, what string, got, want error) {
	t.Helper()
	if !errors.Is(got, want) {
		t.Errorf("%s: got error %v, want %v", what, got, want)
	}
}

// patient returns a context that ends when the suite stops waiting.
func patient(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}
