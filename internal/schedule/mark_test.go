package schedule_test

import (
	"context"
	"crypto/fips140"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/clock"
	"github.com/keyturn/keyturn/internal/kms"
	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/schedule"
	"github.com/keyturn/keyturn/internal/store"
	"github.com/keyturn/keyturn/internal/store/memstore"
)

// machine is a machine: its clock, which a test sets, and the time that passes on it.
type machine struct {
	testClock
	elapsed time.Duration
}

func (m *machine) real() time.Time { return m.Now() }

func (m *machine) passed() time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.elapsed
}

// run lets time pass.
func (m *machine) run(d time.Duration) {
	m.pass(d)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.elapsed += d
}

func newMachine() *machine { return &machine{testClock: testClock{now: start}} }

// boot starts a server on the machine, over a store that may be there already.
func boot(t *testing.T, m *machine, raw *memstore.Store, config kms.Config) *site {
	t.Helper()
	// The mark is read through the seal, which the site opens: with a clock that believes everything first.
	s := newSiteOn(t, raw, &m.testClock, config)
	g, err := schedule.OpenGuard(t.Context(), s.sealed, m.real, m.passed, clock.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	s.close()
	s = newSiteOn(t, raw, g, config)
	t.Cleanup(s.close)
	return s
}

func (s *site) mark() *record.Mark {
	s.t.Helper()
	entries, err := s.sealed.Get(context.Background(), record.MarkStoreKey)
	if err != nil {
		s.t.Fatal(err)
	}
	if entries[0].Rev == 0 {
		return nil
	}
	r, err := record.Decode(record.MarkStoreKey, entries[0].Value)
	if err != nil {
		s.t.Fatal(err)
	}
	return r.(*record.Mark)
}

// doomed makes what time destroys or changes: a key whose deletion is due in days, one whose rotation is.
func (s *site) doomed() (deleted, rotated string) {
	deleted, rotated = s.newKey(0), s.newKey(90)
	s.must("kms.ScheduleKeyDeletion", &api.ScheduleKeyDeletionRequest{KeyId: api.Some(deleted), PendingWindowInDays: api.Some[int64](30)})
	return deleted, rotated
}

// TestRestored: a store that was restored from a backup destroys and rotates nothing, however right the clock and however often the server
// starts, until somebody has accepted it.
func TestRestored(t *testing.T) {
	m, raw := newMachine(), memstore.New()
	s := boot(t, m, raw, kms.Config{})
	deleted, rotated := s.doomed()
	m.run(20 * day)
	s.runDue()
	old := s.mark()
	restored := record.Mark{Time: old.Time, Suspended: clock.Stamp(m.real()), Restored: true}
	restored.By.Version = old.By.Version + 1
	value, err := record.Encode(&restored)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.sealed.Commit(t.Context(), store.Batch{Writes: []store.Write{{Key: record.MarkStoreKey, Value: value}}}); err != nil {
		t.Fatal(err)
	}
	for restart := range 3 {
		s = boot(t, m, raw, kms.Config{})
		for range 4 {
			m.run(10 * day)
			s.runDue()
		}
		if !s.exists(deleted) || len(s.rotations(rotated)) != 0 || s.runner.Clock().Standing != clock.Held || !s.mark().Restored {
			t.Fatalf("start %d: %v; the key is there: %t; %d rotations", restart, s.runner.Clock().Standing, s.exists(deleted), len(s.rotations(rotated)))
		}
	}
	s.manage = true
	s.must("keyturn.AcceptClock", &api.AcceptClockRequest{Date: api.Some(m.real())})
	s.runDue()
	if s.exists(deleted) || len(s.rotations(rotated)) != 1 || s.mark().Restored {
		t.Errorf("accepted: the key is there: %t; %d rotations", s.exists(deleted), len(s.rotations(rotated)))
	}
}

// TestClockJumps lets the clock of a running server and of one that starts jump: what is destroyed, what rotates, and when.
func TestClockJumps(t *testing.T) {
	const year = 365 * day
	tests := []struct {
		name    string
		jump    time.Duration // of the clock alone
		run     time.Duration // the time that passes, before the jump
		restart bool
		want    clock.Standing
		gone    bool // the key whose deletion is due after 30 days
		turns   int  // rotations of the key that rotates every 90 days
	}{
		{"nothing happens", 0, time.Minute, false, clock.Trusted, false, 0},
		{"time passes", 0, 91 * day, false, clock.Trusted, true, 1},
		{"a step of minutes", 5 * time.Minute, 30*day - 4*time.Minute, false, clock.Trusted, true, 0},
		{"a year while running", year, time.Minute, false, clock.Ahead, false, 0},
		{"ten years while running, then restarted", 10 * year, time.Minute, true, clock.Ahead, false, 0},
		{"three weeks while running, then restarted", 21 * day, 10 * day, true, clock.Ahead, false, 0},
		{"a month while running", 31 * day, time.Minute, false, clock.Ahead, false, 0},
		{"off for three weeks", 21 * day, 10 * day, true, clock.Trusted, true, 0},
		{"off for two months", 61 * day, time.Minute, true, clock.Ahead, false, 0},
		{"back by a second", -time.Second, 30*day + 2*time.Second, false, clock.Trusted, true, 0},
		{"back by a year", -year, time.Minute, false, clock.Behind, false, 0},
		{"at the start back by a year", -year, time.Minute, true, clock.Behind, false, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m, raw := newMachine(), memstore.New()
			s := boot(t, m, raw, kms.Config{})
			deleted, rotated := s.doomed()
			s.runDue()
			m.run(tt.run)
			s.runDue()
			if tt.restart {
				m.pass(tt.jump)
				if strings.Contains(tt.name, "while running") {
					s.runDue()
				}
				s = boot(t, m, raw, kms.Config{})
			} else {
				m.pass(tt.jump)
			}
			s.runDue()
			s.runDue() // the sweep
			if got := s.runner.Clock(); got.Standing != tt.want {
				t.Errorf("%v, want %v", got.Standing, tt.want)
			}
			if gone := !s.exists(deleted); gone != tt.gone {
				t.Errorf("the key is gone: %v, want %v", gone, tt.gone)
			}
			if n := len(s.rotations(rotated)); n != tt.turns {
				t.Errorf("%d rotations, want %d", n, tt.turns)
			}
			if got := s.mark(); (tt.want == clock.Ahead) == got.Suspended.IsZero() {
				t.Errorf("the store says %+v", got)
			}
		})
	}
}

// TestClockSetRight sets a clock right that had jumped by years: nothing is left of the jump, and what is due later happens on its date.
func TestClockSetRight(t *testing.T) {
	m := newMachine()
	s := boot(t, m, memstore.New(), kms.Config{})
	deleted, rotated := s.doomed()
	s.runDue()
	m.pass(10 * 365 * day)
	s.runDue()
	m.run(20 * day)
	s.runDue()
	m.pass(-10 * 365 * day)
	s.runDue()
	if got := s.runner.Clock(); got.Standing != clock.Trusted || !got.Mark.Equal(start.Add(20*day)) {
		t.Errorf("%+v", got)
	}
	if !s.exists(deleted) || len(s.rotations(rotated)) != 0 {
		t.Error("something has happened meanwhile")
	}
	m.run(70 * day)
	s.runDue()
	if got := s.rotations(rotated); s.exists(deleted) || len(got) != 1 || !got[0].Equal(start.Add(90*day)) {
		t.Errorf("deleted: %v, rotations %v", !s.exists(deleted), got)
	}
	if m := s.mark(); m == nil || !m.Suspended.IsZero() {
		t.Errorf("the store says %+v", m)
	}
}

// TestAcceptClock tells a server that a jump was none.
func TestAcceptClock(t *testing.T) {
	m := newMachine()
	s := boot(t, m, memstore.New(), kms.Config{})
	s.manage = true
	deleted, rotated := s.doomed()
	s.runDue()
	m.pass(400 * day)
	s.runDue()
	got := s.must("keyturn.GetClock", &api.GetClockRequest{}).(*api.GetClockResponse)
	now := start.Add(400 * day)
	if got.Standing.V != api.ClockStandingTypeAhead || !got.MachineTime.V.Equal(now) || !got.HighWaterMark.V.Equal(start) || !got.SuspendedSince.V.Equal(now) {
		t.Errorf("GetClock: %+v", got)
	}
	for _, date := range []time.Time{start, now.Add(-25 * time.Hour), now.Add(25 * time.Hour), {}, time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)} {
		if _, err := s.do("keyturn.AcceptClock", &api.AcceptClockRequest{Date: api.Some(date)}); code(err) != api.ValidationException {
			t.Errorf("the date %v: %v", date, err)
		}
	}
	s.runDue()
	if !s.exists(deleted) {
		t.Fatal("the key is gone")
	}
	resp := s.must("keyturn.AcceptClock", &api.AcceptClockRequest{Date: api.Some(now.Add(-20 * time.Hour))}).(*api.AcceptClockResponse)
	if !resp.Now.V.Equal(now) || !resp.HighWaterMark.V.Equal(start) {
		t.Errorf("AcceptClock: %+v", resp)
	}
	if m := s.mark(); !m.Time.Equal(now) || !m.Suspended.IsZero() || m.By.Event == "" {
		t.Errorf("the store says %+v", m)
	}
	s.runDue()
	if got := s.rotations(rotated); s.exists(deleted) || len(got) != 1 || !got[0].Equal(now) {
		t.Errorf("deleted: %v, rotations %v", !s.exists(deleted), got)
	}
	// What was told back stays told, and the mark goes on from there.
	m.pass(-100 * day)
	s.runDue()
	if got := s.runner.Clock(); got.Standing != clock.Behind {
		t.Errorf("%+v", got)
	}
	if got := s.must("keyturn.GetClock", &api.GetClockRequest{}).(*api.GetClockResponse); !got.Now.V.Equal(now) || got.SuspendedSince.Set {
		t.Errorf("GetClock: %+v", got)
	}
	s.must("keyturn.AcceptClock", &api.AcceptClockRequest{Date: api.Some(start.Add(300 * day))})
	m.run(2 * time.Minute)
	s.newKey(0)
	s.runDue()
	s.runDue()
	want := start.Add(300*day + 2*time.Minute)
	if got := s.mark(); !got.Time.Equal(want) || !s.runner.Clock().Mark.Equal(want) {
		t.Errorf("the store says %+v, want %v", got, want)
	}
}

// TestAcceptClockRefused checks who cannot accept the clock.
func TestAcceptClockRefused(t *testing.T) {
	m := newMachine()
	s := boot(t, m, memstore.New(), kms.Config{})
	s.runDue()
	m.pass(400 * day)
	req := &api.AcceptClockRequest{Date: api.Some(start.Add(400 * day))}
	if _, err := s.do("keyturn.AcceptClock", req); code(err) != api.AccessDeniedException {
		t.Errorf("without a managing account: %v", err)
	}
	if got := s.runner.Clock(); got.Standing != clock.Ahead {
		t.Errorf("%+v", got)
	}
	dev := newSite(t, clock.NewShifted(func() time.Time { return start }, 0), kms.Config{})
	defer dev.close()
	dev.manage = true
	if _, err := dev.do("keyturn.AcceptClock", req); code(err) != api.UnsupportedOperationException {
		t.Errorf("in keyturn dev: %v", err)
	}
	if dev.mark() != nil {
		t.Error("keyturn dev has a mark")
	}
}

// TestMarkWrites counts how often the mark is written: no more than once a minute, and once an hour where nothing happens.
func TestMarkWrites(t *testing.T) {
	m := newMachine()
	s := boot(t, m, memstore.New(), kms.Config{})
	writes := func(n int, step time.Duration, each func()) uint64 {
		before := uint64(0)
		if r := s.mark(); r != nil {
			before = r.By.Version
		}
		for range n {
			m.run(step)
			each()
			s.runDue()
		}
		return s.mark().By.Version - before
	}
	if n := writes(1, 0, func() {}); n != 1 {
		t.Errorf("%d at the start, want 1", n)
	}
	if n := writes(600, time.Second, func() { s.newKey(0) }); n != 10 {
		t.Errorf("%d in ten busy minutes, want 10", n)
	}
	if n := writes(2*3600, time.Second, func() {}); n != 2 {
		t.Errorf("%d in two idle hours, want 2", n)
	}
}

// TestMarkAtEnd stops a server: the next one knows the time of the stop.
func TestMarkAtEnd(t *testing.T) {
	m := newMachine()
	s := boot(t, m, memstore.New(), kms.Config{})
	s.runDue()
	m.run(30 * time.Second)
	s.newKey(0)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s.runner.Run(ctx)
	if got, want := s.mark().Time, start.Add(30*time.Second); !got.Equal(want) {
		t.Errorf("the mark is %v, want %v", got, want)
	}
}

// TestConnectWhileAhead connects a custom key store while everything that is due waits, more than a page of it.
func TestConnectWhileAhead(t *testing.T) {
	if fips140.Enabled() {
		t.Skip("the FIPS 140-3 entropy source measures time, which stands still in a bubble")
	}
	synctest.Test(t, func(t *testing.T) {
		m, stores := newMachine(), &mute{}
		s := boot(t, m, memstore.New(), kms.Config{KeyStores: stores})
		s.kms.Attach(s.p)
		for range 150 {
			s.newKey(90)
		}
		s.runDue()
		m.pass(365 * day)
		s.runDue()
		made := s.must("kms.CreateCustomKeyStore", muteStore()).(*api.CreateCustomKeyStoreResponse)
		for range 2 {
			m.run(time.Hour)
			s.must("kms.ConnectCustomKeyStore", &api.ConnectCustomKeyStoreRequest{CustomKeyStoreId: made.CustomKeyStoreId})
			s.runDue()
			r := s.must("kms.DescribeCustomKeyStores", &api.DescribeCustomKeyStoresRequest{CustomKeyStoreId: made.CustomKeyStoreId}).(*api.DescribeCustomKeyStoresResponse)
			if got := r.CustomKeyStores[0].ConnectionState.V; got != api.ConnectionStateTypeConnected {
				t.Errorf("the key store is %s", got)
			}
			s.must("kms.DisconnectCustomKeyStore", &api.DisconnectCustomKeyStoreRequest{CustomKeyStoreId: made.CustomKeyStoreId})
		}
		if n := s.serviceEvents()["RotateKey"]; n != 0 {
			t.Errorf("%d rotations", n)
		}
	})
}
