package seal

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/keyturn/keyturn/internal/store"
)

// resealKey is where a pass that seals all values anew keeps how far it has come.
const resealKey = "sys/reseal"

// pass is stored as JSON, in the clear: it says which store key was the last, and store keys are no secret of the store's.
type pass struct {
	Target uint32 `json:"target"` // the version that every value up to After is sealed by at least
	After  string `json:"after"`
	Done   int64  `json:"done"`
	Total  int64  `json:"total"`
}

const (
	// resealBatch is how many values are read at once. With the pass's own record they fit a commit.
	resealBatch = 64
	// resealBytes is how much of them may go into one commit, unless it is one value.
	resealBytes = store.MaxBatchBytes / 2
	// resealRest is how long a pass rests after each batch, in multiples of what the batch took: a tenth of the disk is enough.
	resealRest = 9
	maxRest    = time.Second
	// maintainEvery is how often Maintain looks what is due.
	maintainEvery = time.Minute
	// maxAhead is how far in the future a version may be dated: NTP sets clocks back by seconds.
	maxAhead = time.Minute
)

// progress is what Status shows of the pass under way.
type progress struct{ p atomic.Pointer[Progress] }

func (p *progress) get() *Progress      { return p.p.Load() }
func (p *progress) set(pr *Progress)    { p.p.Store(pr) }
func (p *progress) of(state pass)       { p.set(&Progress{state.Target, state.Done, state.Total}) }
func (p *progress) begin(target uint32) { p.set(&Progress{Target: target}) }

// Maintenance is what Maintain needs to know.
type Maintenance struct {
	// Now is a time that has come for certain. Dated is what new versions are dated with: no earlier.
	Now, Dated func() time.Time
	// Rotate is called when the keyring is due for its next version, and is expected to call RotateDue: it is how the rotation gets into the
	// audit log.
	Rotate func(ctx context.Context) error
	// Destroyed is told which versions are gone.
	Destroyed func(versions []uint32)
	// Failed is told what did not work; it is tried again after a while.
	Failed func(err error)
}

// Maintain rotates the keyring when it is due, seals anew what older versions sealed, and destroys versions that nothing needs any more,
// until ctx ends. It is no hurry: a pass over the store uses a tenth of the disk's time.
func (s *Store) Maintain(ctx context.Context, m Maintenance) {
	ticker := time.NewTicker(maintainEvery)
	defer ticker.Stop()
	for {
		if err := s.maintain(ctx, m); err != nil && ctx.Err() == nil {
			m.Failed(err)
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		case <-s.wake:
		}
	}
}

func (s *Store) maintain(ctx context.Context, m Maintenance) error {
	var rotating error // what fails does not hold up the rest: values may have older versions yet, and these be due for destruction
	if m.due(s.ring.now.Load()) {
		if rotating = m.Rotate(ctx); rotating != nil {
			rotating = fmt.Errorf("rotating the keyring: %w", rotating)
		}
	}
	if err := s.Reseal(ctx, restFor); err != nil {
		return errors.Join(rotating, fmt.Errorf("sealing values anew: %w", err))
	}
	gone, err := s.DestroyRetired(ctx, m.Now())
	if err != nil {
		return errors.Join(rotating, fmt.Errorf("destroying old versions of the keyring: %w", err))
	}
	if len(gone) > 0 {
		m.Destroyed(gone)
	}
	return rotating
}

// due tells whether the keyring is to rotate: because its current version is old, or because a clock that was wrong has dated it in the future, where
// it would not get old for who knows how long, and would seem younger than what is destroyed meanwhile.
func (m *Maintenance) due(r *ring) bool {
	created := r.data.Keys[len(r.data.Keys)-1].Created
	return !m.Now().Before(created.Add(KeyringPeriod)) || created.After(m.Dated().Add(maxAhead))
}

// restFor waits after what took so long.
func restFor(ctx context.Context, took time.Duration) error {
	t := time.NewTimer(min(took*resealRest, maxRest))
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// Reseal seals anew every value that an older version than the current one sealed, unless that is known to be done. It goes on where an earlier
// call was interrupted, and calls rest after each batch with the time that it took. Values may change meanwhile.
func (s *Store) Reseal(ctx context.Context, rest func(ctx context.Context, took time.Duration) error) error {
	for {
		target := s.ring.now.Load().current()
		if s.ring.now.Load().data.Resealed >= target {
			return nil
		}
		// Everything sealed by an earlier version is either committed by now, and will be met, or comes after replace and is sealed by a
		// later one.
		if err := s.reseal(ctx, target, rest); err != nil {
			return err
		}
	}
}

func (s *Store) reseal(ctx context.Context, target uint32, rest func(context.Context, time.Duration) error) error {
	s.passing.begin(target)
	defer s.passing.set(nil)
	state, rev, err := s.loadPass(ctx)
	if err != nil {
		return err
	}
	if state.Target != target {
		state = pass{Target: target}
		if state.Total, err = s.count(ctx, rest); err != nil {
			return err
		}
	}
	for {
		s.passing.of(state)
		start := time.Now()
		entries, err := scanUnreserved(ctx, s.raw, "", state.After, resealBatch)
		if err != nil {
			return s.note(err)
		}
		if len(entries) == 0 {
			break
		}
		if rev, err = s.resealPage(ctx, entries, &state, rev); err != nil {
			return err
		}
		if err := rest(ctx, time.Since(start)); err != nil {
			return err
		}
	}
	s.admin.Lock()
	defer s.admin.Unlock()
	r := s.ring.now.Load()
	data := r.data.clone()
	data.Resealed = max(data.Resealed, target)
	if err := s.replace(ctx, r, r.meta, r.root, data); err != nil {
		return err
	}
	_, err = s.raw.Commit(ctx, store.Batch{Writes: []store.Write{{Key: resealKey, Delete: true}}})
	return s.note(err)
}

// resealPage does one page: what of it is sealed by an older version than the target. A value that changes meanwhile is read again.
// The pass's state is written with the values; a page that had none is noted in memory only, and read again after a crash.
func (s *Store) resealPage(ctx context.Context, entries []store.Entry, state *pass, rev revision) (revision, error) {
	for len(entries) > 0 {
		b := store.Batch{Checks: []store.Check{{Key: resealKey, Rev: rev}}}
		next, size, n := *state, 0, 0
		r := s.ring.now.Load()
		for ; n < len(entries); n++ {
			e := entries[n]
			version, err := valueVersion(e.Key, e.Value)
			if err != nil {
				return rev, s.note(err)
			}
			if version < state.Target {
				plain, err := r.openValue(e.Key, e.Value)
				if err != nil {
					return rev, s.note(err)
				}
				sealed, err := r.sealValue(e.Key, plain)
				if err != nil {
					return rev, err
				}
				clear(plain)
				if len(b.Writes) > 0 && size+len(e.Key)+len(sealed) > resealBytes {
					break
				}
				size += len(e.Key) + len(sealed)
				b.Checks = append(b.Checks, store.Check{Key: e.Key, Rev: e.Rev})
				b.Writes = append(b.Writes, store.Write{Key: e.Key, Value: sealed})
			}
			next.After, next.Done = e.Key, next.Done+1
		}
		if len(b.Writes) > 0 {
			value, err := json.Marshal(&next)
			if err != nil {
				return rev, err
			}
			if size+len(resealKey)+len(value) <= store.MaxBatchBytes { // else a value that fills a commit by itself: noted with the next
				b.Writes = append(b.Writes, store.Write{Key: resealKey, Value: value})
			}
			s.sealing.RLock()
			committed, err := s.raw.Commit(ctx, b)
			s.sealing.RUnlock()
			if errors.Is(err, store.ErrConflict) {
				if entries, rev, err = s.again(ctx, entries); err != nil {
					return rev, err
				}
				continue
			}
			if err != nil {
				return rev, s.note(err)
			}
			if b.Writes[len(b.Writes)-1].Key == resealKey {
				rev = committed
			}
		}
		*state, entries = next, entries[n:]
	}
	return rev, nil
}

// again reads entries once more, without those that are gone, and the revision of the pass.
func (s *Store) again(ctx context.Context, entries []store.Entry) ([]store.Entry, revision, error) {
	names := []string{resealKey}
	for _, e := range entries {
		names = append(names, e.Key)
	}
	fresh, err := s.raw.Get(ctx, names...)
	if err != nil {
		return nil, 0, s.note(err)
	}
	rev := fresh[0].Rev
	there := fresh[:0]
	for _, e := range fresh[1:] {
		if e.Rev != 0 {
			there = append(there, e)
		}
	}
	return there, rev, nil
}

func (s *Store) loadPass(ctx context.Context) (pass, revision, error) {
	entries, err := s.raw.Get(ctx, resealKey)
	if err != nil {
		return pass{}, 0, s.note(err)
	}
	var p pass
	if e := entries[0]; e.Rev != 0 {
		if err := json.Unmarshal(e.Value, &p, json.RejectUnknownMembers(true)); err != nil {
			p = pass{} // begins anew
		}
	}
	return p, entries[0].Rev, nil
}

// count counts the values, for the progress only.
func (s *Store) count(ctx context.Context, rest func(context.Context, time.Duration) error) (n int64, err error) {
	const page = 1000
	for after := ""; ; {
		start := time.Now()
		entries, err := scanUnreserved(ctx, s.raw, "", after, page)
		if err != nil {
			return 0, s.note(err)
		}
		n += int64(len(entries))
		if len(entries) < page {
			return n, nil
		}
		after = entries[len(entries)-1].Key
		if err := rest(ctx, time.Since(start)); err != nil {
			return 0, err
		}
	}
}

// DestroyRetired destroys the keys that seal values of all versions that nothing is sealed by any more and no token needs, and returns
// which. What a copy of the store from before still holds opens with a backup of that time only.
func (s *Store) DestroyRetired(ctx context.Context, now time.Time) (gone []uint32, err error) {
	s.admin.Lock()
	defer s.admin.Unlock()
	r := s.ring.now.Load()
	data := r.data.clone()
	for i := range data.Keys[:len(data.Keys)-1] {
		k := &data.Keys[i]
		if k.Destroyed.IsZero() && k.Version < data.Resealed && !now.Before(r.versions[i].retired.Add(TokenLife)) {
			k.Seal, k.Destroyed = nil, now.UTC()
			gone = append(gone, k.Version)
		}
	}
	if len(gone) == 0 {
		return nil, nil
	}
	return gone, s.replace(ctx, r, r.meta, r.root, data)
}
