package store_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/keyturn/keyturn/internal/store"
)

// TestMeter puts commits of known durations into their buckets; a bound belongs to the bucket below it.
func TestMeter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var m store.Meter
		var want store.Latency
		last := len(store.LatencyBounds)
		for i, bound := range store.LatencyBounds {
			for _, d := range []time.Duration{bound, bound + time.Nanosecond} {
				start := time.Now()
				time.Sleep(d)
				m.Committed(start, nil)
				want.Sum += d
			}
			want.Buckets[i]++
			want.Buckets[min(i+1, last)]++
		}
		if got := m.Stats(); got.Latency != want || got.Commits != uint64(2*last) {
			t.Errorf("got %+v, want %+v", got, want)
		}
	})
}
