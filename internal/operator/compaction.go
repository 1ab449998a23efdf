package operator

import (
	"context"
	"time"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/audit"
	"github.com/keyturn/keyturn/internal/seal"
	"github.com/keyturn/keyturn/internal/service"
)

// compactStore asks for a scrub now. It is done in the background, one after the other.
func (o *Operator) compactStore() *service.Op {
	return service.Def[api.CompactStoreRequest, api.CompactStoreResponse]{
		Name: "CompactStore", Kind: service.Change, Actions: []string{"keyturn:CompactStore", "keyturn:RotateKeyring"},
		Resolve: func(tx *service.Tx, q *api.CompactStoreRequest) ([]service.Target, error) {
			targets, err := o.target("keyturn:CompactStore")(tx)
			if err != nil || !q.RotateKeyring.V {
				return targets, err
			}
			rotation, err := o.target("keyturn:RotateKeyring")(tx)
			return append(targets, rotation...), err
		},
		Audit: func(q *api.CompactStoreRequest, p *audit.Params) {
			if q.RotateKeyring.Set {
				p.Bool("rotateKeyring", q.RotateKeyring.V)
			}
		},
		Result: func(r *api.CompactStoreResponse, p *audit.Params) {
			p.Int("number", r.Compaction.Number.V)
			p.Int("keyringVersion", r.Compaction.KeyringVersion.V)
		},
		Plan: func(tx *service.Tx, q *api.CompactStoreRequest, _ []service.Target) (*api.CompactStoreResponse, error) {
			if err := o.scrubbable(); err != nil {
				return nil, err
			}
			if q.RotateKeyring.V {
				if err := o.config.Seal.RotateKeyring(tx.Context(), o.dated()); err != nil {
					return nil, o.asItWas(err)
				}
			}
			c, err := o.compaction(tx.Context())
			if err != nil {
				return nil, err
			}
			number := o.scrubs.request()
			c.State, c.Number = api.Some(api.CompactionStateTypeRequested), api.Some(number)
			c.Done, c.Total = api.Opt[int64]{}, api.Opt[int64]{}
			return &api.CompactStoreResponse{Compaction: c}, nil
		},
	}.Op("keyturn")
}

func (o *Operator) getCompaction() *service.Op {
	return service.Def[api.GetCompactionRequest, api.GetCompactionResponse]{
		Name: "GetCompaction", Kind: service.Read, Actions: []string{"keyturn:GetCompaction"},
		Resolve: resolve[api.GetCompactionRequest](o.target("keyturn:GetCompaction")),
		Plan: func(tx *service.Tx, _ *api.GetCompactionRequest, _ []service.Target) (*api.GetCompactionResponse, error) {
			if err := o.scrubbable(); err != nil {
				return nil, err
			}
			c, err := o.compaction(tx.Context())
			if err != nil {
				return nil, err
			}
			return &api.GetCompactionResponse{Compaction: c}, nil
		},
	}.Op("keyturn")
}

func (o *Operator) scrubbable() error {
	if o.config.Seal.Scrubs() {
		return nil
	}
	return api.Errorf(api.UnsupportedOperationException, "This server keeps its data in memory, where nothing is left to overwrite.")
}

// compaction is how things are, as answers have it.
func (o *Operator) compaction(ctx context.Context) (*api.Compaction, error) {
	d, err := o.debt(ctx)
	if err != nil {
		return nil, err
	}
	s := &o.scrubs
	s.mu.Lock()
	defer s.mu.Unlock()
	s.completed = max(s.completed, d.last.Number)
	c := &api.Compaction{State: api.Some(api.CompactionStateTypeIdle), CompletedNumber: api.Some(s.completed), CopiesRemain: api.Some(d.owed())}
	switch {
	case s.running:
		c.State, c.Number = api.Some(api.CompactionStateTypeRunning), api.Some(s.completed+1)
		c.Done, c.Total = api.Some(s.done), api.Some(s.total)
	case s.asked():
		c.State, c.Number = api.Some(api.CompactionStateTypeRequested), api.Some(s.completed+1)
	case s.failed:
		c.State = api.Some(api.CompactionStateTypeFailed)
	}
	if d.last.Number > 0 {
		c.CompletionDate = api.Some(d.last.Finished)
		c.FileBytes, c.FreeBytes, c.OverwrittenBytes = api.Some(d.last.File), api.Some(d.last.Free), api.Some(d.last.Overwritten)
	}
	if d.owed() {
		c.DueDate = api.Some(d.due(o.config.RealTime(), o.config.Destruction.ScrubWithin))
	}
	st := o.config.Seal.Status()
	c.KeyringVersion = api.Some(int64(st.Version))
	if at := destroyedAfter(st); !at.IsZero() {
		c.OldVersionsDestroyedAfter = api.Some(at)
	}
	return c, nil
}

// destroyedAfter is when no token needs any version but the current one of the keyring, zero if the others are gone.
func destroyedAfter(st seal.Status) (at time.Time) {
	for _, v := range st.Versions {
		if !v.Retired.IsZero() && v.Destroyed.IsZero() {
			at = v.Retired.Add(seal.TokenLife)
		}
	}
	return at
}
