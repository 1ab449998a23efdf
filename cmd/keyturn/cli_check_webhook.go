package main

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"time"

	"github.com/keyturn/keyturn/internal/check"
	"github.com/keyturn/keyturn/internal/egress"
)

// webhook posts what changed. What could not be posted waits for the next run.
type webhook struct {
	url     string
	secret  []byte // nil: nothing is signed
	client  *http.Client
	log     *slog.Logger
	backoff time.Duration // before the second attempt; doubles
	waiting []check.Transition
}

// Bounds of a webhook.
const (
	maxPost     = 500    // changes in one message
	maxWaiting  = 20_000 // changes
	maxAttempts = 4
)

// webhookMessage is the body of one post.
type webhookMessage struct {
	Version int                  `json:"version"`
	Time    time.Time            `json:"time"`
	Account string               `json:"account"`
	Counts  map[check.Status]int `json:"counts"`
	Changes []check.Transition   `json:"changes"`
}

// newWebhook returns the webhook of the flags, nil for none.
func (f *watchFlags) newWebhook(log *slog.Logger) (*webhook, error) {
	if f.webhook == "" {
		return nil, nil
	}
	if u, err := url.Parse(f.webhook); err != nil || u.Scheme != "https" || u.Hostname() == "" || u.User != nil {
		return nil, usagef("--webhook is no https URL") // without the URL, which may hold a token
	}
	cfg := egress.Config{}
	for _, s := range f.allowPrivate {
		p, err := netip.ParsePrefix(s)
		if err != nil {
			return nil, usagef("--webhook-allow-private %q is no address range like 10.1.0.0/16", s)
		}
		cfg.AllowPrivate = append(cfg.AllowPrivate, p)
	}
	client, err := egress.New(cfg)
	if err != nil {
		return nil, usagef("--webhook-allow-private: %w", err)
	}
	w := &webhook{url: f.webhook, client: client, log: log, backoff: time.Second}
	if f.webhookSecret != "" {
		b, err := readSecret(f.webhookSecret, 64<<10)
		if err != nil {
			return nil, fmt.Errorf("reading --webhook-secret-file: %w", err)
		}
		if w.secret = bytes.TrimSpace(b); len(w.secret) < 16 {
			return nil, usagef("--webhook-secret-file: the secret is shorter than 16 characters")
		}
	}
	return w, nil
}

// post sends what changed, and what waits from before.
func (w *webhook) post(ctx context.Context, r check.Report, changes []check.Transition, metrics *checkMetrics) {
	if w == nil {
		return
	}
	w.waiting = append(w.waiting, changes...)
	if over := len(w.waiting) - maxWaiting; over > 0 {
		w.log.Error("the webhook has not taken changes for too long; the oldest are dropped", "dropped", over)
		w.waiting = w.waiting[over:]
	}
	for len(w.waiting) > 0 {
		n := min(len(w.waiting), maxPost)
		body, err := json.Marshal(webhookMessage{1, r.Summary.Finished, r.Run.Account, r.Summary.Counts, w.waiting[:n]})
		if err == nil {
			err = w.deliver(ctx, body)
		}
		if err != nil {
			metrics.posts.WithLabelValues("failed").Inc()
			if u := (*url.Error)(nil); errors.As(err, &u) {
				err = u.Err // without the URL, which may hold a token
			}
			w.log.Error("the webhook did not take the changes; they wait for the next run", "waiting", len(w.waiting), "error", err)
			return
		}
		metrics.posts.WithLabelValues("taken").Inc()
		w.waiting = w.waiting[n:]
	}
}

// undelivered returns the changes that wait.
func (w *webhook) undelivered() []check.Transition {
	if w == nil {
		return nil
	}
	return w.waiting
}

// deliver posts a message, several times if it has to.
func (w *webhook) deliver(ctx context.Context, body []byte) (err error) {
	wait := w.backoff
	for attempt := 1; ; attempt++ {
		if err = w.send(ctx, body); err == nil || attempt == maxAttempts {
			return err
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		}
		wait *= 2
	}
}

// send posts a message once. The signature covers the time, so that nobody can send a recorded message again later.
func (w *webhook) send(ctx context.Context, body []byte) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "keyturn")
	if w.secret != nil {
		at := strconv.FormatInt(time.Now().Unix(), 10)
		mac := hmac.New(sha256.New, w.secret)
		mac.Write([]byte(at + "."))
		mac.Write(body)
		req.Header.Set("X-Keyturn-Timestamp", at)
		req.Header.Set("X-Keyturn-Signature", "sha256="+hex.EncodeToString(mac.Sum(nil)))
	}
	resp, err := w.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10)) // so that the connection can be used again
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return fmt.Errorf("it answers HTTP status %d", resp.StatusCode)
	}
	return nil
}
