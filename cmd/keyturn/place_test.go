package main

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/keyturn/keyturn/internal/store"
)

// TestStoreRemoved takes the store's file away under a server, which must say so.
func TestStoreRemoved(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("nobody can remove an open file there")
	}
	dir := filepath.Join(t.TempDir(), "data")
	s := startDev(t, dir)
	ready := func() (int, string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+"/readyz", nil)
		if err != nil {
			t.Fatal(err)
		}
		return do(t, req)
	}
	if err := os.Remove(filepath.Join(dir, storeFile)); err != nil {
		t.Fatal(err)
	}
	if status, body := ready(); status != http.StatusServiceUnavailable || body != "not ready: the store's file was removed or replaced\n" {
		t.Errorf("%d %q", status, body)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, body := do(t, req); !strings.Contains(body, `keyturn_not_ready{reason="store_replaced"} 1`) {
		t.Error("the metrics do not say so")
	}
}

// TestPlace counts how often the file is looked at, and what the log says: each change once, even if nobody asks.
func TestPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		var wrong atomic.Bool
		var looks atomic.Int64
		p := newPlace(func() error {
			looks.Add(1)
			if wrong.Load() {
				return store.ErrReplaced
			}
			return nil
		}, time.Now, slog.New(slog.NewTextHandler(&log, nil)))
		for range 5 {
			if err := p.check(); err != nil {
				t.Error(err)
			}
		}
		if n := looks.Load(); n != 1 {
			t.Errorf("looked %d times in one second", n)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { p.run(ctx); close(done) }()
		wrong.Store(true)
		time.Sleep(3 * placeWatch) // of the bubble's clock
		synctest.Wait()
		if err := p.check(); !errors.Is(err, store.ErrReplaced) || strings.Count(log.String(), "make a backup") != 1 {
			t.Errorf("%v, the log: %s", err, log.String())
		}
		wrong.Store(false)
		time.Sleep(placeWatch)
		synctest.Wait()
		if err := p.check(); err != nil || strings.Count(log.String(), "back in its place") != 1 {
			t.Errorf("%v, the log: %s", err, log.String())
		}
		cancel()
		<-done
	})
}
