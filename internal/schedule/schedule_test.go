package schedule_test

import (
	"context"
	"crypto/fips140"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/audit"
	"github.com/keyturn/keyturn/internal/clock"
	"github.com/keyturn/keyturn/internal/keys"
	"github.com/keyturn/keyturn/internal/kms"
	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/schedule"
	"github.com/keyturn/keyturn/internal/seal"
	"github.com/keyturn/keyturn/internal/service"
	"github.com/keyturn/keyturn/internal/store"
	"github.com/keyturn/keyturn/internal/store/memstore"
)

const (
	account = "111122223333"
	region  = "eu-central-1"
	day     = 24 * time.Hour
)

var (
	owner = record.Owner{Account: account, Region: region}
	start = time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
)

// testClock is a clock of production: nobody moves it but time.
type testClock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *testClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return clock.Stamp(c.now)
}

func (c *testClock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// site is a service with its scheduler.
type site struct {
	t      *testing.T
	raw    *memstore.Store
	sealed *seal.Store
	sink   *audit.Memory
	p      *service.Pipeline
	kms    *kms.KMS
	runner *schedule.Runner
	ops    map[string]*service.Op
	shift  *clock.Shifted // nil in production
	manage bool           // the caller's account manages the deployment
}

// deployment is a schedule.Deployment.
func (s *site) deployment(_ *service.Tx, action string) ([]service.Target, error) {
	if !s.manage {
		return nil, api.New(api.AccessDeniedException)
	}
	return []service.Target{{Action: action, Account: account, ARN: "*"}}, nil
}

// newSite makes one; with a *clock.Shifted as clock it is keyturn dev.
func newSite(t *testing.T, c clock.Clock, config kms.Config) *site {
	t.Helper()
	return newSiteOn(t, memstore.New(), c, config)
}

// newSiteOn makes one over a store.
func newSiteOn(t *testing.T, raw *memstore.Store, c clock.Clock, config kms.Config) *site {
	t.Helper()
	s := &site{t: t, raw: raw, sink: audit.NewMemory(10_000), kms: kms.New(config)}
	s.shift, _ = c.(*clock.Shifted)
	dev := s.shift != nil
	var err error
	s.sealed, err = seal.Open(context.Background(), s.raw, seal.Options{Provider: seal.NewKeyFile(make([]byte, 32)), Dev: dev, Now: start})
	if err != nil {
		t.Fatal(err)
	}
	quiet := slog.New(slog.DiscardHandler)
	s.p, err = service.New(context.Background(), service.Config{
		Store: s.sealed, Keyring: s.sealed.Keyring(), Clock: c, Audit: s.sink, NodeID: "n1", Log: quiet, Authorize: s.kms.Authorize, Exclusive: dev,
	})
	if err != nil {
		t.Fatal(err)
	}
	s.runner = schedule.New(s.p, s.kms, quiet)
	if g, ok := c.(*clock.Guard); ok {
		s.runner.Guard(g, s.deployment)
	}
	s.ops = service.Table(s.kms.Operations(), s.runner.Operations(s.shift))
	return s
}

func (s *site) close() {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := s.p.Close(ctx); err != nil {
		s.t.Errorf("Close: %v", err)
	}
}

func (s *site) do(op string, req api.Request) (api.Response, error) {
	call := &service.Call{Caller: service.RootCaller(account, "AKIAEXAMPLE"), Region: region, RequestID: keys.NewKeyID().String()}
	return s.p.Do(context.Background(), s.ops[op], call, req, nil)
}

func (s *site) must(op string, req api.Request) api.Response {
	s.t.Helper()
	resp, err := s.do(op, req)
	if err != nil {
		s.t.Fatalf("%s: %v", op, err)
	}
	return resp
}

func (s *site) newKey(days int64) string {
	s.t.Helper()
	req := &api.CreateKeyRequest{}
	if days > 0 {
		req.RotationPeriodInDays = api.Some(days)
	}
	return s.must("kms.CreateKey", req).(*api.CreateKeyResponse).KeyMetadata.KeyId.V
}

func (s *site) runDue() {
	s.t.Helper()
	if err := s.runner.RunDue(context.Background()); err != nil {
		s.t.Fatalf("RunDue: %v", err)
	}
}

func (s *site) advance(d time.Duration) *api.AdvanceClockResponse {
	s.t.Helper()
	return s.must("keyturn.AdvanceClock", &api.AdvanceClockRequest{Seconds: api.Some(int64(d / time.Second))}).(*api.AdvanceClockResponse)
}

func (s *site) rotations(id string) []time.Time {
	s.t.Helper()
	r := s.must("kms.ListKeyRotations", &api.ListKeyRotationsRequest{KeyId: api.Some(id), Limit: api.Some[int64](1000)}).(*api.ListKeyRotationsResponse)
	dates := []time.Time{}
	for _, e := range r.Rotations {
		dates = append(dates, e.RotationDate.V)
	}
	return dates
}

func (s *site) exists(id string) bool {
	s.t.Helper()
	entries, err := s.sealed.Get(context.Background(), record.KeyStoreKey(owner, id))
	if err != nil {
		s.t.Fatal(err)
	}
	return entries[0].Rev != 0
}

// left lists store keys with a prefix.
func (s *site) left(prefix string) []string {
	s.t.Helper()
	entries, err := s.sealed.Scan(context.Background(), prefix, "", 1000)
	if err != nil {
		s.t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Key)
	}
	return names
}

// serviceEvents counts what the service did by itself, by name.
func (s *site) serviceEvents() map[string]int {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := s.p.Flush(ctx); err != nil {
		s.t.Fatal(err)
	}
	counts := map[string]int{}
	for l := range s.sink.Since(1) {
		var e struct {
			Name  string `json:"eventName"`
			Type  string `json:"eventType"`
			Error string `json:"errorCode"`
		}
		if err := json.Unmarshal(l.JSON, &e); err != nil {
			s.t.Fatal(err)
		}
		if e.Type == "AwsServiceEvent" && e.Error == "" {
			counts[e.Name]++
		}
	}
	return counts
}

// TestRun lets the scheduler run in bubble time: it must do what is due within a second of its date, and stop when told.
func TestRun(t *testing.T) {
	if fips140.Enabled() {
		t.Skip("the FIPS 140-3 entropy source measures time, which stands still in a bubble")
	}
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, clock.System{}, kms.Config{})
		made := time.Now().UTC()
		id, gone := s.newKey(90), s.newKey(0)
		s.must("kms.ScheduleKeyDeletion", &api.ScheduleKeyDeletionRequest{KeyId: api.Some(gone), PendingWindowInDays: api.Some[int64](7)})
		until := func(at time.Time) {
			<-time.After(time.Until(at))
			synctest.Wait()
		}
		until(made.Add(7*day - time.Minute)) // a week of ticks would take long
		ctx, cancel := context.WithCancel(t.Context())
		stopped := make(chan struct{})
		go func() { s.runner.Run(ctx); close(stopped) }()
		until(made.Add(7*day - time.Second))
		if !s.exists(gone) {
			t.Error("a key was deleted before its date")
		}
		until(made.Add(7*day + 2*time.Second))
		if s.exists(gone) || len(s.left("m/"+account+"/"+region+"/"+gone)) != 0 {
			t.Error("a key is there two seconds after its deletion date")
		}
		until(made.Add(7*day + time.Minute))
		if n := len(s.rotations(id)); n != 0 {
			t.Errorf("%d rotations before the date", n)
		}
		cancel()
		<-stopped
		until(made.Add(100 * day))
		if n := len(s.rotations(id)); n != 0 {
			t.Errorf("%d rotations after the scheduler was stopped", n)
		}
		ctx, cancel = context.WithCancel(t.Context())
		stopped = make(chan struct{})
		go func() { s.runner.Run(ctx); close(stopped) }()
		synctest.Wait()
		if n := len(s.rotations(id)); n != 1 {
			t.Errorf("%d rotations at once after a restart, want the overdue one", n)
		}
		cancel()
		<-stopped
		s.close()
	})
}

// TestOverdue keeps the service down over several periods: what is overdue happens once, now.
func TestOverdue(t *testing.T) {
	tests := []struct {
		name string
		late time.Duration
		next func(date, now time.Time) time.Time
	}{
		{"on time", 0, func(date, _ time.Time) time.Time { return date.Add(90 * day) }},
		{"a day late", day, func(date, _ time.Time) time.Time { return date.Add(90 * day) }},
		{"more than a day late", day + time.Second, func(_, now time.Time) time.Time { return now.Add(90 * day) }},
		{"three periods late", 300 * day, func(_, now time.Time) time.Time { return now.Add(90 * day) }},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c := &testClock{now: start}
			s := newSite(t, c, kms.Config{})
			defer s.close()
			id := s.newKey(90)
			c.pass(90*day - time.Second)
			s.runDue()
			if n := len(s.rotations(id)); n != 0 {
				t.Fatalf("%d rotations before the date", n)
			}
			c.pass(time.Second + test.late)
			s.runDue()
			s.runDue()
			got := s.rotations(id)
			if len(got) != 1 || !got[0].Equal(c.Now()) {
				t.Errorf("rotations at %v, want one at %v", got, c.Now())
			}
			st := s.must("kms.GetKeyRotationStatus", &api.GetKeyRotationStatusRequest{KeyId: api.Some(id)}).(*api.GetKeyRotationStatusResponse)
			if want := test.next(start.Add(90*day), c.Now()); !st.NextRotationDate.V.Equal(want) {
				t.Errorf("the next one is at %v, want %v", st.NextRotationDate.V, want)
			}
		})
	}
}

// TestDisabled checks that a key does not rotate while it is disabled, and does so after it is enabled.
func TestDisabled(t *testing.T) {
	c := &testClock{now: start}
	s := newSite(t, c, kms.Config{})
	defer s.close()
	id := s.newKey(90)
	s.must("kms.DisableKey", &api.DisableKeyRequest{KeyId: api.Some(id)})
	c.pass(200 * day)
	s.runDue()
	if n := len(s.rotations(id)); n != 0 || len(s.left(record.DuePrefix)) != 0 {
		t.Errorf("%d rotations of a disabled key; due: %v", n, s.left(record.DuePrefix))
	}
	s.must("kms.EnableKey", &api.EnableKeyRequest{KeyId: api.Some(id)})
	s.runDue()
	if n := len(s.rotations(id)); n != 1 {
		t.Errorf("%d rotations after it was enabled, want 1", n)
	}
}

// TestJitter makes many keys at once: rotations come before their date, by up to the jitter, and deletions after.
func TestJitter(t *testing.T) {
	const jitter = time.Hour
	c := &testClock{now: start}
	s := newSite(t, c, kms.Config{MaxJitter: jitter})
	defer s.close()
	var rotating, deleted []string
	for range 40 {
		rotating = append(rotating, s.newKey(90))
		id := s.newKey(0)
		s.must("kms.ScheduleKeyDeletion", &api.ScheduleKeyDeletionRequest{KeyId: api.Some(id), PendingWindowInDays: api.Some[int64](30)})
		deleted = append(deleted, id)
	}
	there := func() (n int) {
		for _, id := range deleted {
			if s.exists(id) {
				n++
			}
		}
		return n
	}
	turned := func() (n int) {
		for _, id := range rotating {
			n += len(s.rotations(id))
		}
		return n
	}
	c.pass(30 * day)
	s.runDue()
	// One in 3600 may have drawn no jitter at all.
	if n := there(); n < 35 {
		t.Errorf("%d of 40 keys are left on the deletion date, which is too early for most", n)
	}
	c.pass(-time.Millisecond)
	c.pass(jitter)
	s.runDue()
	if n := there(); n != 0 {
		t.Errorf("%d keys are left after date and jitter", n)
	}
	c.pass(60*day - 2*jitter)
	s.runDue()
	if n := turned(); n != 0 {
		t.Errorf("%d rotations earlier than the jitter allows", n)
	}
	c.pass(jitter) // the rotation date, less a millisecond
	s.runDue()
	if n := turned(); n < 39 {
		t.Errorf("%d of 40 keys have rotated by their date", n)
	}
	c.pass(time.Millisecond)
	s.runDue()
	if n := turned(); n != 40 {
		t.Errorf("%d of 40 keys have rotated on their date", n)
	}
}

// TestSweep deletes a key with more materials and aliases than any one commit takes.
func TestSweep(t *testing.T) {
	for _, aliases := range []int{0, 50} {
		t.Run(fmt.Sprint(aliases, " aliases"), func(t *testing.T) {
			shifted := clock.NewShifted(func() time.Time { return start }, 0)
			s := newSite(t, shifted, kms.Config{})
			defer s.close()
			id, other := s.newKey(90), s.newKey(0)
			for i := range aliases {
				s.must("kms.CreateAlias", &api.CreateAliasRequest{AliasName: api.Some(fmt.Sprint("alias/a", i)), TargetKeyId: api.Some(id)})
			}
			s.must("kms.CreateAlias", &api.CreateAliasRequest{AliasName: api.Some("alias/other"), TargetKeyId: api.Some(other)})
			if n := s.advance(120 * 90 * day).EventCount.V; n != 120 {
				t.Fatalf("%d rotations, want 120", n)
			}
			s.must("kms.ScheduleKeyDeletion", &api.ScheduleKeyDeletionRequest{KeyId: api.Some(id), PendingWindowInDays: api.Some[int64](7)})
			resp, err := s.do("keyturn.AdvanceClock", &api.AdvanceClockRequest{Seconds: api.Some(int64(8 * day / time.Second))})
			if err != nil {
				t.Fatalf("AdvanceClock past the deletion: %v", err)
			}
			if n := resp.(*api.AdvanceClockResponse).EventCount.V; n != 1 {
				t.Errorf("%d events, want the deletion", n)
			}
			for _, prefix := range []string{"m/", "i/materials/", "a/", "i/aliases/", "c/aliases/", "t/", record.DuePrefix} {
				for _, key := range s.left(prefix) {
					if !strings.Contains(key, other) && !strings.HasSuffix(key, "alias/other") {
						t.Errorf("%s is left", key)
					}
				}
			}
			if !s.exists(other) {
				t.Error("the other key is gone")
			}
		})
	}
}

// TestFailingEvent damages one key: the others' events must happen all the same, and its own once it is mended.
func TestFailingEvent(t *testing.T) {
	c := &testClock{now: start}
	s := newSite(t, c, kms.Config{})
	defer s.close()
	bad := s.newKey(90)
	var good []string
	for range 20 {
		good = append(good, s.newKey(90))
	}
	key := record.KeyStoreKey(owner, bad)
	entries, err := s.raw.Get(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	put := func(value []byte) {
		if _, err := s.raw.Commit(t.Context(), store.Batch{Writes: []store.Write{{Key: key, Value: value}}}); err != nil {
			t.Fatal(err)
		}
	}
	put([]byte("damaged"))
	c.pass(90 * day)
	s.runDue()
	for _, id := range good {
		if n := len(s.rotations(id)); n != 1 {
			t.Errorf("%s has rotated %d times, want once", id, n)
		}
	}
	put(entries[0].Value)
	s.runDue()
	if n := len(s.rotations(bad)); n != 0 {
		t.Errorf("what failed was tried again at once")
	}
	c.pass(time.Minute)
	s.runDue()
	if n := len(s.rotations(bad)); n != 1 {
		t.Errorf("the key that was mended has rotated %d times, want once", n)
	}
	if n := s.serviceEvents()["RotateKey"]; n != 21 {
		t.Errorf("%d RotateKey events, want 21", n)
	}
}

// TestStops checks that work under way ends when it is told to.
func TestStops(t *testing.T) {
	c := &testClock{now: start}
	s := newSite(t, c, kms.Config{})
	defer s.close()
	for range 5 {
		s.newKey(90)
	}
	c.pass(90 * day)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := s.runner.RunDue(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("RunDue with an ended context: %v", err)
	}
	s.runner.Run(ctx) // returns
}

func TestAdvanceClock(t *testing.T) {
	shifted := clock.NewShifted(func() time.Time { return start }, 0)
	s := newSite(t, shifted, kms.Config{})
	defer s.close()
	id := s.newKey(90)
	resp := s.advance(3 * 365 * day)
	if resp.EventCount.V != 12 || len(resp.Events) != 12 {
		t.Fatalf("three years at 90 days are %d events, want 12", resp.EventCount.V)
	}
	for i, at := range s.rotations(id) {
		if want := start.Add(time.Duration(i+1) * 90 * day); !at.Equal(want) || !resp.Events[i].Date.V.Equal(want) {
			t.Errorf("rotation %d is dated %v, reported %v, want %v", i, at, resp.Events[i].Date.V, want)
		}
	}
	got := s.must("keyturn.GetClock", &api.GetClockRequest{}).(*api.GetClockResponse)
	if !got.Now.V.Equal(start.Add(3*365*day)) || !got.Adjustable.V || got.OffsetSeconds.V != int64(3*365*day/time.Second) {
		t.Errorf("GetClock: %+v", got)
	}
	if offset, err := schedule.LoadOffset(t.Context(), s.sealed); err != nil || offset != 3*365*day {
		t.Errorf("the store remembers %v, %v", offset, err)
	}
	for _, seconds := range []int64{-1, 3155760001} {
		if _, err := s.do("keyturn.AdvanceClock", &api.AdvanceClockRequest{Seconds: api.Some(seconds)}); code(err) != api.ValidationException {
			t.Errorf("%d seconds: %v", seconds, err)
		}
	}
	for range 3 {
		_, err := s.do("keyturn.AdvanceClock", &api.AdvanceClockRequest{Seconds: api.Some[int64](3155760000)})
		if err != nil && code(err) != api.ValidationException {
			t.Fatalf("a hundred years: %v", err)
		}
	}
	if shifted.Offset() > 250*365*day {
		t.Errorf("the clock is %v ahead", shifted.Offset())
	}
}

func code(err error) api.ErrorCode {
	e := (*api.Error)(nil)
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}

// TestServerClock checks that nobody can turn the clock of a server.
func TestServerClock(t *testing.T) {
	s := newSite(t, &testClock{now: start}, kms.Config{})
	defer s.close()
	if _, err := s.do("keyturn.AdvanceClock", &api.AdvanceClockRequest{Seconds: api.Some[int64](1)}); code(err) != api.UnsupportedOperationException {
		t.Errorf("AdvanceClock on a server: %v", err)
	}
	got := s.must("keyturn.GetClock", &api.GetClockRequest{}).(*api.GetClockResponse)
	if got.Adjustable.V || !got.Now.V.Equal(start) || got.OffsetSeconds.V != 0 {
		t.Errorf("GetClock: %+v", got)
	}
	if offset, err := schedule.LoadOffset(t.Context(), s.sealed); err != nil || offset != 0 {
		t.Errorf("LoadOffset of a store without a clock: %v, %v", offset, err)
	}
}

// TestWaitingRequests checks that requests wait while the clock is turned, and see it only before or after.
func TestWaitingRequests(t *testing.T) {
	shifted := clock.NewShifted(func() time.Time { return start }, 0)
	s := newSite(t, shifted, kms.Config{})
	defer s.close()
	id := s.newKey(90)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 50 {
				st := s.must("kms.GetKeyRotationStatus", &api.GetKeyRotationStatusRequest{KeyId: api.Some(id)}).(*api.GetKeyRotationStatusResponse)
				if n := st.NextRotationDate.V.Sub(start); n%(9*90*day) != 90*day%(9*90*day) {
					t.Errorf("a request came in the midst of turning the clock: next rotation %v after the start", n)
				}
			}
		})
	}
	for range 5 {
		s.advance(9 * 90 * day)
	}
	wg.Wait()
}
