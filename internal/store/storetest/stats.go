package storetest

import (
	"context"
	"errors"
	"testing"

	"github.com/keyturn/keyturn/internal/store"
)

// testStats is for engines that tell what they did.
func testStats(t *testing.T, open Open) {
	s := open(t)
	e, ok := s.(store.Statser)
	if !ok {
		t.Skip("the engine tells nothing")
	}
	before, err := e.Stats()
	if err != nil || before.Commits != 0 || before.Head != 0 {
		t.Fatalf("of a new store: %+v, %v", before, err)
	}
	ctx := context.Background()
	write := store.Batch{Writes: []store.Write{{Key: "a", Value: []byte("1")}}}
	for range 3 {
		if _, err := s.Commit(ctx, write); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Commit(ctx, store.Batch{Checks: []store.Check{{Key: "a"}}}); !errors.Is(err, store.ErrConflict) {
		t.Fatalf("a check of absence: %v", err)
	}
	if _, err := s.Commit(ctx, store.Batch{Writes: []store.Write{{Key: ""}}}); err == nil {
		t.Fatal("an empty key was written")
	}
	after, err := e.Stats()
	if err != nil {
		t.Fatal(err)
	}
	sum := uint64(0)
	for _, n := range after.Latency.Buckets {
		sum += n
	}
	if after.Commits != 3 || after.Conflicts != 1 || after.Failures != 1 || after.Head != 3 || sum != 3 || after.Latency.Sum <= 0 {
		t.Errorf("after three commits, a conflict and an error: %+v", after)
	}
}
