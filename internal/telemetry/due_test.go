package telemetry

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/store"
	"github.com/keyturn/keyturn/internal/store/memstore"
)

var now = time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)

// counting is a Scan that counts its calls and entries.
type counting struct {
	store.Store
	calls, entries int
}

func (c *counting) Scan(ctx context.Context, prefix, after string, limit int) ([]store.Entry, error) {
	entries, err := c.Store.Scan(ctx, prefix, after, limit)
	c.calls++
	c.entries += len(entries)
	return entries, err
}

// fill adds n due entries, one an interval, from a time on.
func fill(t *testing.T, s store.Store, kind record.DueKind, n int, from time.Time, interval time.Duration) {
	t.Helper()
	var b store.Batch
	for i := range n {
		d := record.Due{At: from.Add(time.Duration(i) * interval), Kind: kind, Owner: record.Owner{Account: "111122223333", Region: "eu-central-1"}, KeyID: fmt.Sprint(i)}
		b.Writes = append(b.Writes, store.Write{Key: d.IndexKey(), Value: []byte{}})
		if len(b.Writes) == store.MaxWrites || i == n-1 {
			if _, err := s.Commit(t.Context(), b); err != nil {
				t.Fatal(err)
			}
			b = store.Batch{}
		}
	}
}

func TestDue(t *testing.T) {
	s := &counting{Store: memstore.New()}
	at := now
	d := &Due{Scan: s.Scan, Now: func() time.Time { return at }}
	if lag, err := d.Lag(t.Context()); lag != 0 || err != nil {
		t.Errorf("nothing is due: %v, %v", lag, err)
	}
	fill(t, s, record.DueRotation, 3, now.Add(-time.Minute), time.Minute)       // 1 minute ago, now, in 1 minute
	fill(t, s, record.DueRotation, 4, now.Add(time.Hour), 24*time.Hour)         // in 1 h, 1 d 1 h, 2 d 1 h, 3 d 1 h
	fill(t, s, record.DueDeletion, 2, now.Add(7*24*time.Hour), time.Nanosecond) // two in the very last instant, by whole milliseconds
	fill(t, s, record.DueExpiry, 1, now.Add(8*24*time.Hour), 0)
	fill(t, s, record.DueSweep, 5, now.Add(-time.Hour), time.Second)
	if lag, err := d.Lag(t.Context()); lag != time.Hour || err != nil {
		t.Errorf("lag %v, %v; want that of the sweep", lag, err)
	}
	want := DueAhead{
		Within: map[record.DueKind][]int64{record.DueRotation: {4, 4, 7}, record.DueDeletion: {0, 0, 2}, record.DueExpiry: {0, 0, 0}},
		Next: map[record.DueKind]time.Time{
			record.DueRotation: now.Add(-time.Minute), record.DueDeletion: now.Add(7 * 24 * time.Hour), record.DueExpiry: now.Add(8 * 24 * time.Hour),
		},
		Complete: true,
	}
	check := func(want DueAhead) {
		t.Helper()
		if got, err := d.Ahead(t.Context()); err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("got %v, %v; want %v", got, err, want)
		}
	}
	check(want)

	// Within a minute it is the same, and costs nothing.
	fill(t, s, record.DueRotation, 1, now.Add(30*time.Minute), 0)
	before := s.calls
	at = now.Add(59 * time.Second)
	check(want)
	if s.calls != before {
		t.Errorf("%d scans within a minute", s.calls-before)
	}
	at = now.Add(time.Minute)
	want.Within[record.DueRotation] = []int64{5, 5, 8}
	check(want)
}

// TestDueBounded has more due than is looked at.
func TestDueBounded(t *testing.T) {
	s := &counting{Store: memstore.New()}
	d := &Due{Scan: s.Scan, Now: func() time.Time { return now }}
	fill(t, s, record.DueRotation, dueLimit+1234, now, time.Second)
	fill(t, s, record.DueDeletion, 1, now.Add(6*24*time.Hour), 0)
	a, err := d.Ahead(t.Context())
	if err != nil || a.Complete || s.entries != dueLimit {
		t.Errorf("complete %v after %d entries, %v", a.Complete, s.entries, err)
	}
	if a.Within[record.DueRotation][0] != 3601 || a.Within[record.DueRotation][2] != dueLimit {
		t.Errorf("rotations %v", a.Within[record.DueRotation])
	}
	if next, ok := a.Next[record.DueDeletion]; ok {
		t.Errorf("the deletion was seen: %v", next)
	}
}
