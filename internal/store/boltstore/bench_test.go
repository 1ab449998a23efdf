package boltstore

import (
	"fmt"
	"testing"

	"github.com/keyturn/keyturn/internal/store/storetest"
)

func BenchmarkStore(b *testing.B) {
	storetest.Bench(b, mustOpen(b, newPath(b), Options{Create: true}), 100_000)
}

// BenchmarkOpen must not grow with the number of keys.
func BenchmarkOpen(b *testing.B) {
	for _, n := range []int{1_000, 10_000, 100_000} {
		path := newPath(b)
		s := mustOpen(b, path, Options{Create: true})
		storetest.Fill(b, s, n)
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			for b.Loop() {
				if err := mustOpen(b, path, Options{}).Close(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
