package operator

import (
	"context"
	"crypto/fips140"
	"errors"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/audit"
	"github.com/keyturn/keyturn/internal/clock"
	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/seal"
	"github.com/keyturn/keyturn/internal/service"
	"github.com/keyturn/keyturn/internal/store"
	"github.com/keyturn/keyturn/internal/store/boltstore"
)

var owner = record.Owner{Account: "111122223333", Region: "eu-central-1"}

// scrubbing is an engine whose scrubs a test sees, and can make fail.
type scrubbing struct {
	*boltstore.Store
	mu    sync.Mutex
	begun []time.Time // guarded by mu
	fail  error       // guarded by mu
	pause chan error  // guarded by mu; not nil: a scrub ends with what comes
}

// times is how often a scrub has begun, and when.
func (s *scrubbing) times() []time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.begun)
}

func (s *scrubbing) failing(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail = err
}

func (s *scrubbing) Scrub(ctx context.Context, o store.ScrubOptions) (store.Scrubbed, error) {
	s.mu.Lock()
	s.begun = append(s.begun, time.Now())
	fail, pause := s.fail, s.pause
	s.mu.Unlock()
	if pause != nil {
		fail = <-pause
	}
	if fail != nil {
		return store.Scrubbed{}, fail
	}
	return s.Store.Scrub(ctx, o)
}

// tended runs MaintainStore and Maintain over a new store in a bubble, until the test ends.
func tended(t *testing.T, d Destruction, change ...func(*Config)) (*Operator, *service.Pipeline, *scrubbing) {
	t.Helper()
	raw, err := boltstore.Open(filepath.Join(t.TempDir(), "store.db"), boltstore.Options{Create: true})
	if err != nil {
		t.Fatal(err)
	}
	engine := &scrubbing{Store: raw}
	sealed, err := seal.Open(t.Context(), engine, seal.Options{Provider: seal.NewKeyFile(make([]byte, 32)), Now: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	quiet := slog.New(slog.DiscardHandler)
	p, err := service.New(t.Context(), service.Config{
		Store: sealed, Keyring: sealed.Keyring(), Clock: clock.System{}, Audit: audit.NewMemory(10_000), NodeID: "n", Log: quiet,
		Authorize: func(*service.Authorization) error { return nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	c := Config{Seal: sealed, RealTime: time.Now, Owner: owner, Log: quiet, Destruction: d}
	for _, f := range change {
		f(&c)
	}
	o := New(c)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{}, 2)
	go func() { o.Maintain(ctx, p); done <- struct{}{} }()
	go func() { o.MaintainStore(ctx, p); done <- struct{}{} }()
	t.Cleanup(func() {
		cancel()
		<-done
		<-done
		if err := errors.Join(p.Close(context.Background()), sealed.Close()); err != nil {
			t.Error(err)
		}
	})
	return o, p, engine
}

// destroy removes a material that is not there, which is enough for the note.
func destroy(t *testing.T, p *service.Pipeline) {
	t.Helper()
	op := service.Def[struct{}, struct{}]{
		Name: "Destroy", Kind: service.Internal,
		Plan: func(tx *service.Tx, _ *struct{}, _ []service.Target) (*struct{}, error) {
			tx.Remove(record.MaterialStoreKey(owner, "key", "material"))
			return &struct{}{}, nil
		},
	}.Op("kms")
	if _, err := p.DoInternal(t.Context(), op, owner, time.Now(), 0, &struct{}{}); err != nil {
		t.Fatal(err)
	}
}

func bubble(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	if fips140.Enabled() {
		t.Skip("the FIPS 140-3 entropy source measures time, which stands still in a bubble")
	}
	synctest.Test(t, f)
}

// TestScrubWithin: with a destruction at any time, and many in a row, a scrub that came after it is over within the time that is promised; with
// none there is no scrub at all.
func TestScrubWithin(t *testing.T) {
	bubble(t, func(t *testing.T) {
		const within = 4 * time.Hour
		o, p, engine := tended(t, Destruction{ScrubWithin: within})
		time.Sleep(3 * within)
		if len(engine.times()) != 1 {
			t.Fatalf("%d scrubs though nothing was destroyed", len(engine.times()))
		}
		for _, gap := range []time.Duration{time.Minute, within / 2, within - time.Minute, time.Second, within, 10 * within, time.Hour} {
			time.Sleep(gap)
			destroy(t, p)
			at := time.Now()
			time.Sleep(within)
			d, err := o.debt(t.Context())
			if err != nil || d.owed() || d.last.Started.Before(at) || d.last.Finished.After(at.Add(within)) {
				t.Errorf("after %v: %+v, %v; destroyed at %v", gap, d, err, at)
			}
		}
		// One every ten minutes does not put the scrub off, nor make more than two in the time.
		before := len(engine.times())
		for range 24 * 6 {
			destroy(t, p)
			time.Sleep(10 * time.Minute)
		}
		if n := len(engine.times()) - before; n < 11 || n > 13 {
			t.Errorf("%d scrubs in a day of destructions, want one each %v", n, within/2)
		}
	})
}

// TestScrubAfterSeal: what sealed the store before is overwritten like any secret.
func TestScrubAfterSeal(t *testing.T) {
	bubble(t, func(t *testing.T) {
		o, _, engine := tended(t, Destruction{})
		time.Sleep(DefaultScrubWithin)
		before := len(engine.times())
		if err := o.config.Seal.RotateRoot(t.Context(), time.Now()); err != nil {
			t.Fatal(err)
		}
		if d, err := o.debt(t.Context()); err != nil || !d.owed() {
			t.Errorf("nothing is owed after the root key was replaced: %+v, %v", d, err)
		}
		time.Sleep(DefaultScrubWithin)
		if d, err := o.debt(t.Context()); err != nil || d.owed() || len(engine.times()) == before {
			t.Errorf("%+v, %v, %d scrubs", d, err, len(engine.times()))
		}
	})
}

// TestScrubFails: it is tried again after a while, not at once; what was asked for tells that it failed.
func TestScrubFails(t *testing.T) {
	bubble(t, func(t *testing.T) {
		o, p, engine := tended(t, Destruction{})
		time.Sleep(time.Hour)
		engine.failing(errors.New("the disk"))
		destroy(t, p)
		time.Sleep(DefaultScrubWithin / 2)
		before := len(engine.times())
		time.Sleep(time.Hour)
		if n := len(engine.times()) - before; n < 3 || n > 4 {
			t.Errorf("tried %d times in an hour", n)
		}
		number := o.scrubs.request()
		synctest.Wait()
		if c, err := o.compaction(t.Context()); err != nil || c.State.V != "FAILED" || c.CompletedNumber.V >= number {
			t.Errorf("%+v, %v", c, err)
		}
		engine.failing(nil)
		time.Sleep(scrubRetry + time.Minute)
		if c, err := o.compaction(t.Context()); err != nil || c.State.V != "IDLE" || c.CompletedNumber.V != number || c.CopiesRemain.V {
			t.Errorf("%+v, %v; want number %d", c, err, number)
		}
	})
}

// TestScrubPromised: whoever asks while a scrub runs gets the number of the next one, and that number comes, also if the one that runs fails.
func TestScrubPromised(t *testing.T) {
	bubble(t, func(t *testing.T) {
		o, _, engine := tended(t, Destruction{})
		time.Sleep(time.Hour)
		engine.mu.Lock()
		engine.pause = make(chan error)
		engine.mu.Unlock()
		state := func() *api.Compaction {
			t.Helper()
			synctest.Wait()
			c, err := o.compaction(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			return c
		}
		first := o.scrubs.request()
		if c := state(); c.State.V != api.CompactionStateTypeRunning || c.Number.V != first {
			t.Fatalf("%+v", c)
		}
		second := o.scrubs.request()
		if second != first+1 {
			t.Errorf("asked while number %d runs: number %d", first, second)
		}
		engine.pause <- errors.New("the disk")
		for number := first; number <= second; number++ {
			if c := state(); c.State.V != api.CompactionStateTypeRunning || c.Number.V != number {
				t.Errorf("%+v; number %d was promised", c, second)
			}
			engine.pause <- nil
		}
		if c := state(); c.State.V != api.CompactionStateTypeIdle || c.CompletedNumber.V != second {
			t.Errorf("%+v; number %d was promised", c, second)
		}
		// One that fails itself is not promised any more.
		o.scrubs.request()
		synctest.Wait()
		number := o.scrubs.request()
		for range 2 {
			engine.pause <- errors.New("the disk")
			synctest.Wait()
		}
		if c := state(); c.State.V != api.CompactionStateTypeFailed || c.CompletedNumber.V != second {
			t.Errorf("%+v; number %d failed", c, number)
		}
		close(engine.pause)
	})
}

// TestRotateKeyringWithin: the keyring rotates for what was destroyed, so early that the version which sealed it is gone in time; without
// a destruction it does not.
func TestRotateKeyringWithin(t *testing.T) {
	if testing.Short() {
		t.Skip("months, minute by minute")
	}
	bubble(t, func(t *testing.T) {
		const within = 30 * 24 * time.Hour
		o, p, _ := tended(t, Destruction{RotateKeyringWithin: within})
		time.Sleep(2 * within)
		if v := o.Status().Version; v != 1 {
			t.Fatalf("version %d though nothing was destroyed", v)
		}
		for round := range 3 {
			destroy(t, p)
			time.Sleep(time.Hour) // the version is old, and so is replaced at once; what comes now has all of the next one before it
			version := o.Status().Version
			destroy(t, p)
			at := time.Now()
			time.Sleep(within)
			var gone time.Time
			for _, v := range o.Status().Versions {
				if v.Version == version {
					gone = v.Destroyed
				}
			}
			if gone.IsZero() || gone.After(at.Add(within)) {
				t.Errorf("round %d: version %d was destroyed at %v, the secret that it sealed at %v", round, version, gone, at)
			}
			if d, err := o.debt(t.Context()); err != nil || d.owed() {
				t.Errorf("round %d: the former keyring was not overwritten: %+v, %v", round, d, err)
			}
		}
	})
}

// TestDue: a clock that was wrong puts no scrub off for years.
func TestDue(t *testing.T) {
	now := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	for _, test := range []struct {
		last record.Scrubbed
		want time.Time
	}{
		{record.Scrubbed{}, now},
		{record.Scrubbed{Number: 1, Started: now.Add(-time.Hour)}, now.Add(time.Hour)},
		{record.Scrubbed{Number: 1, Started: now.AddDate(9, 0, 0)}, now},
	} {
		if got := (debt{last: test.last}).due(now, 4*time.Hour); !got.Equal(test.want) {
			t.Errorf("%+v: %v, want %v", test.last, got, test.want)
		}
	}
}
