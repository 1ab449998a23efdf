package operator

import (
	"bytes"
	"context"
	"crypto/fips140"
	"encoding/json"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/keyturn/keyturn/internal/accounts"
	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/audit"
	"github.com/keyturn/keyturn/internal/clock"
	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/seal"
	"github.com/keyturn/keyturn/internal/service"
	"github.com/keyturn/keyturn/internal/store/memstore"
)

// TestMaintain lets a year and three days pass in which nobody calls: the keyring has rotated, the old version is gone, and the audit log
// says both.
func TestMaintain(t *testing.T) {
	if fips140.Enabled() {
		t.Skip("the FIPS 140-3 entropy source measures time, which stands still in a bubble")
	}
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		now := func() time.Time { return start.Add(time.Since(start) * 600) } // a tick a minute for a year takes long
		sealed, err := seal.Open(t.Context(), memstore.New(), seal.Options{Provider: seal.NewKeyFile(make([]byte, 32)), Now: now()})
		if err != nil {
			t.Fatal(err)
		}
		log, quiet := audit.NewMemory(100), slog.New(slog.DiscardHandler)
		p, err := service.New(t.Context(), service.Config{
			Store: sealed, Keyring: sealed.Keyring(), Clock: clock.System{}, Audit: log, NodeID: "n", Log: quiet,
			Authorize: func(*service.Authorization) error { return nil },
		})
		if err != nil {
			t.Fatal(err)
		}
		o := New(Config{Seal: sealed, RealTime: now, Owner: record.Owner{Account: "111122223333", Region: "eu-central-1"}, Log: quiet})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { o.Maintain(ctx, p); close(done) }()
		time.Sleep((seal.KeyringPeriod + 72*time.Hour) / 600)
		cancel()
		<-done
		if err := o.Migrated(t.Context(), p); err != nil {
			t.Fatal(err)
		}
		if err := p.Close(context.Background()); err != nil {
			t.Fatal(err)
		}
		var got []string
		for l := range log.Since(1) {
			var e struct {
				Name    string          `json:"eventName"`
				Type    string          `json:"eventType"`
				Account string          `json:"recipientAccountId"`
				Details json.RawMessage `json:"serviceEventDetails"`
			}
			if err := json.Unmarshal(l.JSON, &e); err != nil {
				t.Fatal(err)
			}
			if e.Account != "111122223333" || e.Type != "AwsServiceEvent" {
				t.Errorf("%s", l.JSON)
			}
			got = append(got, e.Name+string(e.Details))
		}
		want := []string{`RotateKeyring{"keyringVersion":2}`, `DestroyKeyringVersion{"keyringVersion":1}`, `MigrateSeal{"provider":"keyfile","keyringVersion":2}`}
		if !slices.Equal(got, want) {
			t.Errorf("the audit log has\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	})
}

// mute is an audit log that cannot be written.
type mute struct{ *audit.Memory }

func (mute) Healthy() error { return audit.ErrNoSpace }

// TestNothingUnrecorded: while the audit log cannot be written, the seal is not changed.
func TestNothingUnrecorded(t *testing.T) {
	sealed, err := seal.Open(t.Context(), memstore.New(), seal.Options{Provider: seal.NewKeyFile(make([]byte, 32)), Now: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	quiet := slog.New(slog.DiscardHandler)
	p, err := service.New(t.Context(), service.Config{
		Store: sealed, Keyring: sealed.Keyring(), Clock: clock.System{}, Audit: mute{audit.NewMemory(100)}, NodeID: "n", Log: quiet,
		Authorize: func(*service.Authorization) error { return nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close(context.Background()) //nolint:errcheck // its log cannot be written
	o := New(Config{Seal: sealed, RealTime: time.Now, Owner: record.Owner{Account: "111122223333", Region: "eu-central-1"}, Log: quiet})
	if _, err := p.DoInternal(t.Context(), o.rotated, o.config.Owner, time.Now(), 0, &struct{}{}); err == nil || sealed.Status().Version != 1 {
		t.Errorf("%v, and the keyring has version %d", err, sealed.Status().Version)
	}
}

// TestSure: what destroys waits for the earlier one of the clock and what is believed of it; what is made is dated with the later one.
func TestSure(t *testing.T) {
	now := time.Now()
	for _, c := range []struct{ believed, sure, dated time.Duration }{{-time.Hour, -time.Hour, 0}, {0, 0, 0}, {time.Hour, 0, time.Hour}} {
		o := New(Config{RealTime: func() time.Time { return now }, Believed: func() time.Time { return now.Add(c.believed) }})
		if got := o.sure(); !got.Equal(now.Add(c.sure)) {
			t.Errorf("believed %v: sure of %v, want %v", c.believed, got.Sub(now), c.sure)
		}
		if got := o.dated(); !got.Equal(now.Add(c.dated)) {
			t.Errorf("believed %v: dated %v, want %v", c.believed, got.Sub(now), c.dated)
		}
	}
}

// TestWrongClock rotates by a clock that is years ahead, and one that is years behind. Once it is right, nothing is late or early for it: old versions go
// two days after the last rotation, no sooner, and destroyed secrets get the keyring rotated.
func TestWrongClock(t *testing.T) {
	if testing.Short() {
		t.Skip("months, minute by minute")
	}
	bubble(t, func(t *testing.T) {
		var wrong atomic.Int64 // nanoseconds that the clock is off by; what is believed is right
		const within = 30 * 24 * time.Hour
		o, p, _ := tended(t, Destruction{RotateKeyringWithin: within}, func(c *Config) {
			c.RealTime, c.Believed = func() time.Time { return time.Now().Add(time.Duration(wrong.Load())) }, time.Now
		})
		rotate := func(off time.Duration) {
			t.Helper()
			wrong.Store(int64(off))
			if err := o.config.Seal.RotateKeyring(t.Context(), o.dated()); err != nil {
				t.Fatal(err)
			}
		}
		there := func() (list []uint32) {
			for _, v := range o.Status().Versions {
				if v.Destroyed.IsZero() {
					list = append(list, v.Version)
				}
			}
			return list
		}
		time.Sleep(time.Hour)
		rotate(10 * 365 * 24 * time.Hour)
		wrong.Store(0)
		time.Sleep(2 * time.Minute)
		if st := o.Status(); st.Version != 3 || st.Created.After(time.Now()) {
			t.Errorf("version %d of %v, after the clock was set right; want version 3 of today", st.Version, st.Created)
		}
		time.Sleep(seal.TokenLife - 10*time.Minute)
		if got := there(); len(got) != 3 {
			t.Errorf("versions %v are there, want 1 to 3: tokens need them", got)
		}
		time.Sleep(20 * time.Minute)
		if got := there(); !slices.Equal(got, []uint32{3}) {
			t.Errorf("versions %v are there, want 3 alone", got)
		}
		destroy(t, p)
		time.Sleep(within)
		if got := there(); slices.Contains(got, 3) {
			t.Error("the version that sealed what was destroyed is there")
		}
		version := o.Status().Version
		rotate(-50 * 365 * 24 * time.Hour)
		time.Sleep(2 * time.Minute)
		wrong.Store(0)
		time.Sleep(seal.TokenLife - 10*time.Minute)
		if got := there(); !slices.Equal(got, []uint32{version, version + 1}) {
			t.Errorf("versions %v are there, want %d and the next: tokens need it", got, version)
		}
		time.Sleep(20 * time.Minute)
		if got := there(); !slices.Equal(got, []uint32{version + 1}) {
			t.Errorf("versions %v are there, want %d alone", got, version+1)
		}
	})
}

// TestTooMany reads what callers are told when the keyring has no room for what they want, and that a scrub is not begun without the rotation that was
// asked for with it.
func TestTooMany(t *testing.T) {
	if testing.Short() {
		t.Skip("a thousand rotations")
	}
	bubble(t, func(t *testing.T) {
		o, p, _ := tended(t, Destruction{}, func(c *Config) { c.Accounts = accounts.New(accounts.Config{Management: owner.Account}) })
		ops := map[string]*service.Op{}
		for _, op := range o.Operations() {
			ops[op.Name] = op
		}
		call := func(name string, req any) error {
			_, err := p.DoInternal(t.Context(), ops[name], owner, time.Now(), 0, req)
			return err
		}
		fill := func(until func(seal.Status) bool) {
			for !until(o.Status()) {
				if err := o.config.Seal.RotateDue(t.Context(), time.Now()); err != nil {
					t.Fatal(err)
				}
			}
		}
		limit := func(what string, err error, says string) {
			t.Helper()
			var e *api.Error
			if !errors.As(err, &e) || e.Code != api.LimitExceededException || !strings.Contains(e.Message, says) {
				t.Errorf("%s: %v", what, err)
			}
		}
		var next byte
		o.config.Provider = func(context.Context) (seal.Provider, error) {
			next++
			return seal.NewKeyFile(bytes.Repeat([]byte{next}, 32)), nil
		}
		compact := &api.CompactStoreRequest{RotateKeyring: api.Some(true)}
		fill(func(st seal.Status) bool { return st.LeftOnDemand == 0 })
		limit("on demand", call("RotateKeyring", &api.RotateKeyringRequest{}), "kept for rotations that are due")
		limit("with a scrub", call("CompactStore", compact), "kept for rotations that are due")
		if c, err := o.compaction(t.Context()); err != nil || c.State.V == api.CompactionStateTypeRequested {
			t.Errorf("%+v, %v", c, err)
		}
		for name, req := range map[string]any{"RotateRootKey": &api.RotateRootKeyRequest{}, "MigrateSeal": &api.MigrateSealRequest{}, "CompactStore": &api.CompactStoreRequest{}} {
			if err := call(name, req); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		fill(func(st seal.Status) bool { return st.Left == 0 })
		for name, req := range map[string]any{
			"RotateKeyring": &api.RotateKeyringRequest{}, "CompactStore": compact, "RotateRootKey": &api.RotateRootKeyRequest{}, "MigrateSeal": &api.MigrateSealRequest{},
		} {
			limit(name, call(name, req), "as many versions as it can have")
		}
		if s := o.status(); s.KeyringVersionsLeft.V != 0 || s.KeyringRotationsLeft.V != 0 || !s.KeyringVersionsLeft.Set || !s.KeyringRotationsLeft.Set {
			t.Errorf("%+v", s)
		}
	})
}
