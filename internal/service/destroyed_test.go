package service_test

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/keyturn/keyturn/internal/audit"
	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/seal"
	"github.com/keyturn/keyturn/internal/service"
	"github.com/keyturn/keyturn/internal/store"
	"github.com/keyturn/keyturn/internal/store/memstore"
)

// TestDestroyedNote: a commit that destroys a secret, or replaces it, says so in the store; no other does.
func TestDestroyedNote(t *testing.T) {
	sealed, err := seal.Open(t.Context(), memstore.New(), seal.Options{Provider: seal.NewKeyFile(make([]byte, 32)), Now: now})
	if err != nil {
		t.Fatal(err)
	}
	var batch store.Batch // of the last operation: the one that puts its audit record into the outbox, which is emptied by others
	var at time.Time
	var mu sync.Mutex
	s := &faults{Store: sealed, after: func(b store.Batch) error {
		mu.Lock()
		defer mu.Unlock()
		if slices.ContainsFunc(b.Writes, func(w store.Write) bool { return strings.HasPrefix(w.Key, "o/") && !w.Delete }) {
			batch = b
		}
		return nil
	}}
	p, err := service.New(t.Context(), service.Config{
		Store: s, Keyring: sealed.Keyring(), Clock: fixedClock{}, Audit: audit.NewMemory(1000), NodeID: "n", Log: slog.New(slog.DiscardHandler),
		Authorize: func(*service.Authorization) error { return nil }, RealTime: func() time.Time { return at },
	})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close(context.Background())
	owner := record.Owner{Account: account, Region: region}
	pin, other := "a-pin-of-14-bytes", "another-pin-of-14"
	keyStore := func(name, password, secret string) *record.KeyStore {
		return &record.KeyStore{
			Owner: owner, ID: "cks-1", Name: name, Type: record.TokenStore, Created: now, Password: password,
			Proxy: record.Proxy{SecretAccessKey: secret},
		}
	}
	accessKey := func(active bool) *record.AccessKey {
		return &record.AccessKey{ID: "AKIAEXAMPLE", Account: account, Secret: pin, Active: active, Created: now}
	}
	device := &record.MFADevice{Account: account, Name: "phone", Path: "/", Created: now, Secret: []byte(pin)}
	used := *device
	used.Step = 7
	alias := &record.Alias{Owner: owner, Name: "alias/a", KeyID: "k", Created: now, Updated: now}
	token := &record.KeyStore{Owner: owner, ID: "cks-2", Name: "none", Type: record.ExternalStore, Created: now}
	for _, step := range []struct {
		what   string
		put    record.Record
		remove string // a store key, unread
		gone   record.Record
		want   bool
	}{
		{what: "a key store", put: keyStore("a", pin, "")},
		{what: "renamed", put: keyStore("b", pin, "")},
		{what: "with another PIN", put: keyStore("b", other, ""), want: true},
		{what: "with a proxy's secret", put: keyStore("b", "", pin), want: true},
		{what: "with another one", put: keyStore("b", "", other), want: true},
		{what: "without", put: keyStore("b", "", ""), want: true},
		{what: "with one again", put: keyStore("b", "", pin)},
		{what: "deleted", gone: keyStore("b", "", pin), want: true},
		{what: "a key store without a secret", put: token},
		{what: "deleted", gone: token},
		{what: "an access key", put: accessKey(true)},
		{what: "deactivated", put: accessKey(false)},
		{what: "deleted", gone: accessKey(false), want: true},
		{what: "a device", put: device},
		{what: "used", put: &used},
		{what: "deleted", gone: &used, want: true},
		{what: "an alias", put: alias},
		{what: "deleted", gone: alias},
		{what: "a material swept", remove: record.MaterialStoreKey(owner, "k", strings.Repeat("ab", 32)), want: true},
		{what: "a grant swept", remove: "g/" + account + "/" + region + "/k/g"},
	} {
		at = at.Add(time.Minute)
		op := service.Def[struct{}, struct{}]{
			Name: "Test", Kind: service.Internal,
			Plan: func(tx *service.Tx, _ *struct{}, _ []service.Target) (*struct{}, error) {
				for _, r := range []record.Record{step.put, step.gone} {
					if r == nil {
						continue
					}
					old, err := service.Lookup[record.Record](tx, r.StoreKey())
					if err != nil {
						return nil, err
					}
					if old != nil {
						*r.Provenance() = *old.Provenance()
					}
				}
				switch {
				case step.put != nil:
					tx.Put(step.put)
				case step.gone != nil:
					tx.Delete(step.gone)
				default:
					tx.Remove(step.remove)
				}
				return &struct{}{}, nil
			},
		}.Op("kms")
		mu.Lock()
		batch = store.Batch{}
		mu.Unlock()
		if _, err := p.DoInternal(t.Context(), op, owner, now, 0, &struct{}{}); err != nil {
			t.Fatalf("%s: %v", step.what, err)
		}
		noted := false
		mu.Lock()
		batch := batch
		mu.Unlock()
		for _, w := range batch.Writes {
			if w.Key != record.DestroyedStoreKey {
				continue
			}
			r, err := record.Decode(w.Key, w.Value)
			if err != nil {
				t.Fatal(err)
			}
			noted = r.(*record.Destroyed).At.Equal(at)
		}
		for _, c := range batch.Checks {
			if c.Key == record.DestroyedStoreKey {
				t.Errorf("%s: the note is checked, so that destructions conflict", step.what)
			}
		}
		if noted != step.want {
			t.Errorf("%s: noted is %v, want %v", step.what, noted, step.want)
		}
	}
}
