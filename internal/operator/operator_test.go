package operator

import (
	"context"
	"crypto/fips140"
	"encoding/json"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

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

// TestSure: what destroys waits for the earlier one of the clock and what is believed of it.
func TestSure(t *testing.T) {
	now := time.Now()
	for _, c := range []struct{ believed, want time.Duration }{{-time.Hour, -time.Hour}, {0, 0}, {time.Hour, 0}} {
		o := New(Config{RealTime: func() time.Time { return now }, Believed: func() time.Time { return now.Add(c.believed) }})
		if got := o.sure(); !got.Equal(now.Add(c.want)) {
			t.Errorf("believed %v: %v, want %v", c.believed, got.Sub(now), c.want)
		}
	}
}
