package keys

import (
	"errors"
	"runtime"
	"testing"
)

// TestWeight opens materials and looks at what they take: a cache that is told too little outgrows its bound.
func TestWeight(t *testing.T) {
	for _, name := range SpecNames() {
		spec := SpecByName(name)
		material, err := spec.NewMaterial()
		if errors.Is(err, ErrFIPS) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		const n = 50
		open := func(n int) []any {
			list := make([]any, n)
			for i := range list {
				if list[i], err = spec.Open(material); err != nil {
					t.Fatalf("%s: %v", name, err)
				}
			}
			return list
		}
		open(1) // tables that all share
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		list := open(n)
		runtime.GC()
		runtime.ReadMemStats(&after)
		got := (int(after.HeapAlloc) - int(before.HeapAlloc)) / n
		runtime.KeepAlive(list)
		if got > spec.Weight+1024 || spec.Weight > 4*got+4096 {
			t.Errorf("%s: an opened material takes %d bytes, Weight says %d", name, got, spec.Weight)
		}
	}
}
