package main

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"time"

	"github.com/keyturn/keyturn/internal/doctor"
	"github.com/keyturn/keyturn/internal/doctor/probe"
	"github.com/keyturn/keyturn/internal/seal"
	"github.com/keyturn/keyturn/internal/store"
	"github.com/keyturn/keyturn/internal/store/memstore"
)

// tryUnseal opens the seal's own entries of a store as the server does, on a copy of them in memory: nothing is written to the store, which the
// caller may have closed. It asks no person and no KMS.
func (c *serverConfig) tryUnseal(ctx context.Context, entries []store.Entry) (s doctor.SealFacts) {
	for _, p := range []*sealProvider{&c.Seal.sealProvider, c.Seal.Previous} {
		switch {
		case p == nil:
		case p.KMS != nil:
			return doctor.SealFacts{Why: "the KMS is asked by the server alone"}
		case p.Shamir != nil, p.Passphrase != nil && p.Passphrase.Prompt:
			return doctor.SealFacts{Why: "it takes people"}
		}
	}
	copied := memstore.New()
	defer copied.Close() //nolint:errcheck // it is in memory
	var b store.Batch
	for _, e := range entries {
		b.Writes = append(b.Writes, store.Write{Key: e.Key, Value: e.Value})
	}
	if _, err := copied.Commit(ctx, b); err != nil {
		return doctor.SealFacts{Err: err.Error()}
	}
	var sealed *seal.Store
	provider, err := c.Seal.open(ctx, "seal", false, "")
	if err == nil {
		config := appConfig{Log: slog.New(slog.DiscardHandler), Now: time.Now}
		if c.Seal.Previous != nil {
			config.Previous = func() (seal.Provider, error) { return c.Seal.Previous.open(ctx, "seal.previous", false, "") }
		}
		sealed, s.Migrates, err = config.unseal(ctx, copied, provider)
	}
	var file *fs.PathError
	missing := errors.Is(err, seal.ErrNoKey) || errors.Is(err, fs.ErrNotExist) && errors.As(err, &file)
	switch {
	case err == nil:
		s.Opens = true
		st := sealed.Status()
		s.Left, s.LeftOnDemand = st.Left, st.LeftOnDemand
	case errors.Is(err, errUnset):
		s.Why = "a variable that holds the passphrase is not set here"
	case missing && probe.IsCredential(c.Seal.KeyFile):
		s.Why = "the key is a credential, which is there only while the service runs"
	case errors.Is(err, fs.ErrPermission):
		s.Unread = err.Error()
	default:
		s.Err, s.Fix = err.Error(), hintFor(err)
	}
	return s
}
