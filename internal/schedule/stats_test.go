package schedule_test

import (
	"context"
	"testing"

	"github.com/keyturn/keyturn/internal/kms"
	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/schedule"
	"github.com/keyturn/keyturn/internal/store"
)

// TestStats runs a rotation, and one of a key that cannot be read.
func TestStats(t *testing.T) {
	c := &testClock{now: start}
	s := newSite(t, c, kms.Config{})
	defer s.close()
	s.newKey(90)
	bad := s.newKey(90)
	c.pass(91 * day)
	key := record.KeyStoreKey(owner, bad)
	if _, err := s.raw.Commit(context.Background(), store.Batch{Writes: []store.Write{{Key: key, Value: []byte("damaged")}}}); err != nil {
		t.Fatal(err)
	}
	s.runDue()
	kinds := map[record.DueKind]schedule.Stats{}
	for _, n := range s.runner.Stats() {
		kinds[n.Kind] = n
	}
	if got := kinds[record.DueRotation]; got.Done != 1 || got.Failed != 1 {
		t.Errorf("rotations %+v, want one done and one failed", got)
	}
	if got, ok := kinds[record.DueDeletion]; !ok || got.Done != 0 || got.Failed != 0 {
		t.Errorf("deletions %+v, %v; want the kind without any", got, ok)
	}
}
