package main

import (
	"bytes"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/clock"
	"github.com/keyturn/keyturn/internal/seal"
	"github.com/keyturn/keyturn/internal/wire"
)

// TestServerAfterDowntime starts a server, and again when it was off for two months: it does not believe its clock until it is told.
func TestServerAfterDowntime(t *testing.T) {
	dir := t.TempDir()
	start := func(later time.Duration, limits clock.Limits) *testServer {
		return startDev(t, dir, func(c *appConfig) {
			c.Dev, c.Management, c.Believed = false, wire.DevAccount, limits
			c.Now = func() time.Time { return time.Now().Add(later) }
		})
	}
	getClock := func(s *testServer) (r api.GetClockResponse) {
		t.Helper()
		status, body := s.post(t, "Keyturn.GetClock", "{}")
		if status != http.StatusOK || r.DecodeJSON([]byte(body)) != nil {
			t.Fatalf("GetClock: %d %s", status, body)
		}
		return r
	}
	s := start(0, clock.Limits{})
	if r := getClock(s); r.Standing.V != api.ClockStandingTypeTrusted {
		t.Errorf("the first start: %+v", r)
	}
	s.stop()
	const later = 60 * day
	s = start(later, clock.Limits{})
	if r := getClock(s); r.Standing.V != api.ClockStandingTypeAhead || time.Since(r.HighWaterMark.V) > time.Hour {
		t.Errorf("after two months: %+v", r)
	}
	if status, body := s.post(t, "Keyturn.AcceptClock", string((&api.AcceptClockRequest{Date: api.Some(time.Now())}).AppendJSON(nil))); status != http.StatusBadRequest || !strings.Contains(body, "more than 24 hours") {
		t.Errorf("accepted on another day: %d %s", status, body)
	}
	s.stop()
	// It is remembered, also by a server that would believe more.
	s = start(later, clock.Limits{Gap: 90 * day})
	if r := getClock(s); r.Standing.V != api.ClockStandingTypeAhead {
		t.Errorf("after a restart: %+v", r)
	}
	if status, body := s.post(t, "Keyturn.AcceptClock", string((&api.AcceptClockRequest{Date: api.Some(time.Now().Add(later))}).AppendJSON(nil))); status != http.StatusOK {
		t.Errorf("AcceptClock: %d %s", status, body)
	}
	if r := getClock(s); r.Standing.V != api.ClockStandingTypeTrusted || r.SuspendedSince.Set {
		t.Errorf("accepted: %+v", r)
	}
	s.stop()
	s = start(-later, clock.Limits{})
	if r := getClock(s); r.Standing.V != api.ClockStandingTypeBehind {
		t.Errorf("set back: %+v", r)
	}
	s.stop()
	s = start(-later, clock.Limits{Accepted: time.Now().Add(-later)})
	if r := getClock(s); r.Standing.V != api.ClockStandingTypeTrusted {
		t.Errorf("accepted by the configuration: %+v", r)
	}
}

// TestSealClockBehind rotates and migrates on a machine that starts in 1970, as one without a battery does: the new versions are not older than what was
// believed before, so that no token and no version seems to have been replaced before it was made.
func TestSealClockBehind(t *testing.T) {
	dir := t.TempDir()
	start := func(now func() time.Time, change ...func(*appConfig)) *testServer {
		return startDev(t, dir, append(change, func(c *appConfig) { c.Dev, c.Management, c.Now = false, wire.DevAccount, now })...)
	}
	start(time.Now).stop()
	behind := func() time.Time { return time.Unix(1000, 0) }
	moved := func(c *appConfig) {
		old := c.Provider
		c.Previous = func() (seal.Provider, error) { return old(false) }
		c.Provider = func(bool) (seal.Provider, error) { return seal.NewKeyFile(bytes.Repeat([]byte{7}, 32)), nil }
	}
	s := start(behind, moved)
	for _, target := range []string{"Keyturn.RotateRootKey", "Keyturn.RotateKeyring"} {
		if status, body := s.post(t, target, "{}"); status != http.StatusOK {
			t.Errorf("%s: %d %s", target, status, body)
		}
	}
	st := s.app.operator.Status()
	if st.Version != 4 {
		t.Errorf("version %d", st.Version)
	}
	for _, v := range st.Versions {
		if time.Since(v.Created) > time.Hour || v.Version < st.Version && time.Since(v.Retired) > time.Hour || !v.Destroyed.IsZero() {
			t.Errorf("%+v", v)
		}
	}
}
