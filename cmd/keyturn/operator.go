package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/keyturn/keyturn/internal/operator"
	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/seal"
	"github.com/keyturn/keyturn/internal/store"
	"github.com/keyturn/keyturn/internal/wire"
)

// unseal opens the store with its provider. One that the previous provider still seals is migrated first.
func (c *appConfig) unseal(ctx context.Context, raw store.Store, p seal.Provider) (_ *seal.Store, migrated bool, err error) {
	o := seal.Options{Provider: p, Dev: c.Dev, FixedMAC: c.FixedMAC, Now: c.Now()}
	sealed, err := seal.Open(ctx, raw, o)
	if c.Previous == nil || !errors.Is(err, seal.ErrWrongKey) {
		return sealed, false, err
	}
	if o.Provider, err = c.Previous(); err != nil {
		return nil, false, fmt.Errorf("seal.previous: %w", err)
	}
	if sealed, err = seal.Open(ctx, raw, o); err != nil {
		return nil, false, fmt.Errorf("neither seal nor seal.previous opens the store: %w", err)
	}
	if err := sealed.Migrate(ctx, p, c.Now()); err != nil {
		return nil, false, fmt.Errorf("migrating the seal: %w", err)
	}
	c.Log.Warn("the store has been migrated to another seal; take seal.previous out of the configuration", "from", o.Provider.Name(), "to", p.Name())
	return sealed, true, nil
}

// openOperator makes the operations of those who run the deployment.
func (a *app) openOperator(ctx context.Context, c appConfig, sealed *seal.Store, migrated bool) error {
	management, err := a.managedBy(ctx)
	if err != nil && !errors.Is(err, errNotInitialized) {
		return err
	}
	a.operator = operator.New(operator.Config{
		Accounts: a.accounts, Seal: sealed, RealTime: c.Now, Provider: c.Migrate, Log: c.Log,
		Owner: record.Owner{Account: cmp.Or(management, c.management(), wire.DevAccount), Region: c.Regions.first},
	})
	if !migrated {
		return nil
	}
	return a.operator.Migrated(ctx, a.pipeline)
}
