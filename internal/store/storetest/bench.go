package storetest

import (
	"fmt"
	"testing"

	"github.com/keyturn/keyturn/internal/store"
)

// Fill puts n keys into the store, "bench/" and seven digits, each with a value of 256 bytes.
func Fill(tb testing.TB, s store.Store, n int) {
	tb.Helper()
	value := string(make([]byte, 256))
	var writes []store.Write
	for i := range n {
		writes = append(writes, put(BenchKey(i), value))
		if len(writes) == store.MaxWrites || i == n-1 {
			mustCommit(tb, s, writes...)
			writes = writes[:0]
		}
	}
}

// BenchKey is the name of the i-th key of Fill.
func BenchKey(i int) string { return fmt.Sprintf("bench/%07d", i) }

// Bench measures an engine that holds n keys.
func Bench(b *testing.B, s store.Store, n int) {
	Fill(b, s, n)
	b.Run("Get", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			if e := mustGet(b, s, BenchKey(i*7919%n)); e.Rev == 0 {
				b.Fatal("the key is absent")
			}
		}
	})
	b.Run("Scan100", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			if e := mustScan(b, s, "bench/", BenchKey(i*7919%(n-100)), 100); len(e) != 100 && n > 100 {
				b.Fatalf("%d entries", len(e))
			}
		}
	})
	b.Run("Commit", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			mustCommit(b, s, put(BenchKey(i*7919%n), "changed"))
		}
	})
	// Against Commit this shows what group commit gains.
	b.Run("CommitParallel", func(b *testing.B) {
		b.SetParallelism(32)
		b.RunParallel(func(pb *testing.PB) {
			for i := 0; pb.Next(); i++ {
				if _, err := s.Commit(b.Context(), store.Batch{Writes: []store.Write{put(BenchKey(i*7919%n), "changed")}}); err != nil {
					b.Error(err)
					return
				}
			}
		})
	})
}
