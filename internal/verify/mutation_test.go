package verify_test

import (
	"bytes"
	"context"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/keyturn/keyturn/internal/store"
)

// unseen tells why a change of a value is not found; "" if it has to be. docs/verification.md has the same list.
func unseen(storeKey, mutation string) string {
	kind, _, _ := strings.Cut(storeKey, "/")
	switch kind {
	case "u", "v", "xu":
		if mutation != "flipped" {
			return "no audit record lists what was used when"
		}
	case "d":
		if (storeKey == "d/tracking" || storeKey == "d/destroyed") && mutation != "flipped" {
			return "no audit record lists it"
		}
	}
	return ""
}

// TestEveryMutation makes each single change that whoever writes the disk can make: it removes each value, alters it, puts each of its older
// forms back, puts back what was removed, and puts another's value in its place.
func TestEveryMutation(t *testing.T) {
	w := newWorld(t)
	log := w.lines()
	ctx := context.Background()
	tried, found := 0, 0
	try := func(storeKey, mutation string, now store.Entry, value []byte) {
		t.Helper()
		w.writeRaw(store.Write{Key: storeKey, Value: value, Delete: value == nil})
		r := w.verify(log)
		w.writeRaw(store.Write{Key: storeKey, Value: now.Value, Delete: now.Rev == 0})
		tried++
		why := unseen(storeKey, mutation)
		switch {
		case r.Total() == 0 && why == "":
			t.Errorf("%s, %s: nothing is found", storeKey, mutation)
		case r.Total() > 0 && why != "":
			t.Errorf("%s, %s: it is found after all: %v", storeKey, mutation, told(r))
		case r.Total() > 0:
			found++
		}
	}
	names := slices.Sorted(maps.Keys(w.raw.had))
	for i, name := range names {
		if strings.HasPrefix(name, "sys/") { // the keyring: without it nothing opens
			continue
		}
		entries, err := w.raw.Get(ctx, name)
		if err != nil {
			t.Fatal(err)
		}
		now := entries[0]
		if now.Rev != 0 {
			try(name, "removed", now, nil)
			flipped := bytes.Clone(now.Value)
			flipped[len(flipped)/2] ^= 4
			try(name, "flipped", now, flipped)
			if other := w.raw.had[names[(i+1)%len(names)]][0]; !strings.HasPrefix(names[(i+1)%len(names)], "sys/") {
				try(name, "flipped", now, other)
			}
		}
		if strings.HasPrefix(name, "o/") {
			continue // a crash leaves the same, and the next start sees that the log has it; TestFaults has what is found
		}
		for _, old := range w.raw.had[name] {
			if strings.HasPrefix(name, "i/") && now.Rev != 0 || bytes.Equal(old, now.Value) {
				continue // all index entries say the same
			}
			if strings.HasPrefix(name, "c/") && sameCounter(w, name, old, now.Value) {
				continue
			}
			try(name, "put back", now, old)
		}
	}
	if tried < 400 || found < tried*9/10 {
		t.Errorf("%d of %d mutations are found", found, tried)
	}
	if r := w.verify(log); r.Total() != 0 {
		t.Errorf("the world did not come back: %v", told(r))
	}
}

func sameCounter(w *world, name string, a, b []byte) bool {
	if b == nil {
		return false
	}
	x, err := w.sealed.Keyring().OpenValue(name, a)
	if err != nil {
		w.t.Fatal(err)
	}
	y, err := w.sealed.Keyring().OpenValue(name, b)
	if err != nil {
		w.t.Fatal(err)
	}
	return bytes.Equal(x, y)
}
