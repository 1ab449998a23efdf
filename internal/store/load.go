package store

import (
	"fmt"
	"iter"
)

// Every engine has a function Load beside its Store, which makes a new store of entries that another one had, with their revisions, at
// a head that may be higher than any of them. It is for restoring a backup: sorted, in bulk, much faster than commits. What an interrupted
// or failed Load leaves is never opened as a store.

// Loadable passes entries on to a Load. The first that no store can hold at this head ends them with an error: keys must ascend bytewise and
// keep the limits of a Commit, and revisions are from 1 to head.
func Loadable(head Rev, entries iter.Seq2[Entry, error]) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		last := ""
		for e, err := range entries {
			if err == nil {
				err = loadable(e, last, head)
			}
			if err != nil {
				yield(Entry{}, err)
				return
			}
			last = e.Key
			if !yield(e, nil) {
				return
			}
		}
	}
}

func loadable(e Entry, last string, head Rev) error {
	switch {
	case e.Key == "" || len(e.Key) > MaxKeyBytes:
		return fmt.Errorf("store: key of %d bytes, allowed are 1 to %d", len(e.Key), MaxKeyBytes)
	case e.Key <= last:
		return fmt.Errorf("%w: key %q comes after %q", ErrDamaged, e.Key, last)
	case len(e.Key)+len(e.Value) > MaxBatchBytes:
		return fmt.Errorf("%w: key %q has a value of %d bytes", ErrTooLarge, e.Key, len(e.Value))
	case e.Rev == 0 || e.Rev > head:
		return fmt.Errorf("%w: key %q has revision %d, the store %d", ErrDamaged, e.Key, e.Rev, head)
	}
	return nil
}
