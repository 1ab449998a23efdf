// Package store is the contract between keyturn and the engines that keep its data: ordered keys with revisions, small
// atomic commits, and a watch of what was committed. Every engine (memstore, boltstore) passes the one suite in storetest.
package store

import (
	"context"
	"errors"
	"fmt"
	"iter"
)

// Limits of one Commit, the same on every engine: they are what etcd takes.
const (
	MaxChecks     = 100
	MaxWrites     = 100
	MaxBatchBytes = 1 << 20 // keys and values of all writes together
	MaxKeyBytes   = 1024
)

// Errors that an engine returns, wrapped or bare; test with errors.Is.
var (
	// ErrConflict: a check did not hold. Nothing was written.
	ErrConflict = errors.New("store: conflict")
	// ErrUnknown: the commit may or may not have been written. The caller must drop whatever it caches.
	ErrUnknown = errors.New("store: outcome of the commit is unknown")
	// ErrCompacted: the revision asked for is no longer in the watch history. Start over at the head.
	ErrCompacted = errors.New("store: revision compacted")
	// ErrTooLarge: a batch exceeds the limits above. Nothing was written.
	ErrTooLarge = errors.New("store: batch too large")
	// ErrNoSpace: there is no room for the commit. Nothing was written, what is there can be read, and it may be tried again.
	ErrNoSpace = errors.New("store: no space left")
	// ErrClosed: the engine was closed, or stopped after a failed write.
	ErrClosed = errors.New("store: closed")
	// ErrDamaged: what was read is not what was written.
	ErrDamaged = errors.New("store: damaged")
	// ErrLocked: another process has the store open.
	ErrLocked = errors.New("store: in use by another process")
	// ErrFormat: the store was written by a newer version, or is not a store of keyturn's.
	ErrFormat = errors.New("store: unknown data format")
	// ErrReplaced: the file that is open has no name any more, or another has it.
	ErrReplaced = errors.New("store: the file was removed or replaced")
	// ErrScrubbing: the store is being scrubbed already.
	ErrScrubbing = errors.New("store: already being scrubbed")
)

// Rev counts commits: 0 before the first, then one more for each. It is also the revision of every key a commit wrote.
type Rev uint64

// Entry is one key as read. Rev is that of the commit that last wrote it; 0 means the key is absent and Value is nil.
// Value belongs to the caller.
type Entry struct {
	Key   string
	Value []byte
	Rev   Rev
}

// Check holds if Key is at exactly Rev when the batch commits; Rev 0 guards absence.
type Check struct {
	Key string
	Rev Rev
}

// Write sets Key to Value, or deletes it. Deleting an absent key is no error. An empty Value is a value.
type Write struct {
	Key    string
	Value  []byte
	Delete bool
}

// Batch is what one Commit does. A key may appear once among the writes.
type Batch struct {
	Checks []Check
	Writes []Write
}

// Validate returns ErrTooLarge, or another error for a batch that no engine may take: an empty key, a key of more than
// MaxKeyBytes, or a key written twice.
func (b Batch) Validate() error {
	if len(b.Checks) > MaxChecks {
		return fmt.Errorf("%w: %d checks, at most %d", ErrTooLarge, len(b.Checks), MaxChecks)
	}
	if len(b.Writes) > MaxWrites {
		return fmt.Errorf("%w: %d writes, at most %d", ErrTooLarge, len(b.Writes), MaxWrites)
	}
	size := 0
	seen := make(map[string]struct{}, len(b.Writes))
	for _, w := range b.Writes {
		if w.Key == "" || len(w.Key) > MaxKeyBytes {
			return fmt.Errorf("store: key of %d bytes, allowed are 1 to %d", len(w.Key), MaxKeyBytes)
		}
		if _, dup := seen[w.Key]; dup {
			return fmt.Errorf("store: key %q written twice in one batch", w.Key)
		}
		seen[w.Key] = struct{}{}
		size += len(w.Key) + len(w.Value)
	}
	if size > MaxBatchBytes {
		return fmt.Errorf("%w: %d bytes, at most %d", ErrTooLarge, size, MaxBatchBytes)
	}
	return nil
}

// Change is one key as a commit left it, or, with Progress set, a mark that every commit up to Rev has been delivered.
type Change struct {
	Key      string
	Value    []byte // nil when deleted
	Rev      Rev
	Deleted  bool
	Progress bool
}

// Store is an engine. All methods may be called from any goroutine. After a failed fsync an engine stops: the failed and
// every later call returns an error.
type Store interface {
	// Get reads the keys, in the order asked, linearizable and all at one revision.
	Get(ctx context.Context, keys ...string) ([]Entry, error)
	// Scan returns up to limit entries with the prefix whose keys sort bytewise after `after` ("" for the start). Each page
	// is consistent in itself; a key present throughout all pages appears exactly once.
	Scan(ctx context.Context, prefix, after string, limit int) ([]Entry, error)
	// Commit writes the batch atomically; it is durable on return. ErrConflict, ErrTooLarge, ErrNoSpace: nothing written.
	// ErrUnknown: maybe written.
	Commit(ctx context.Context, b Batch) (Rev, error)
	// Watch yields every change to keys with the prefix in commits after from, in order, with a progress mark at least each
	// second while nothing happens. It ends with an error (ErrCompacted, ErrClosed, ctx.Err()) or when the caller breaks.
	Watch(ctx context.Context, prefix string, from Rev) iter.Seq2[Change, error]
	// Snapshot returns the state of this moment, which no later commit changes. It must be closed; as long as it is open the engine
	// may have to keep what was overwritten since.
	Snapshot(ctx context.Context) (Snapshot, error)
	// Close releases the engine, open snapshots too. Calls after it return ErrClosed.
	Close() error
}

// Snapshot is a store at one revision. All methods may be called from any goroutine.
type Snapshot interface {
	// Rev is the revision of the last commit that it shows.
	Rev() Rev
	// Get and Scan are those of Store.
	Get(ctx context.Context, keys ...string) ([]Entry, error)
	Scan(ctx context.Context, prefix, after string, limit int) ([]Entry, error)
	// Close lets go of it. Calls after it return ErrClosed; a second Close does nothing.
	Close()
}
