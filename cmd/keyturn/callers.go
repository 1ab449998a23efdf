package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/keyturn/keyturn/internal/identity"
	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/service"
	"github.com/keyturn/keyturn/internal/sigv4"
	"github.com/keyturn/keyturn/internal/wire"
)

// authenticate returns how callers are found out.
func authenticate(c appConfig, directory *identity.Directory) func(*sigv4.Input, *http.Request, string) (*service.Caller, string, error) {
	verified := wire.Verified(sigv4.New(sigv4.Config{Services: apiServices, Region: c.Regions.signs, Lookup: credentialsOf(directory)}), c.Now)
	if !c.Trust {
		return verified
	}
	return wire.Trusting(c.Regions.first, c.Regions.signs, directory.Made, verified)
}

// credentialsOf is the directory as signatures are verified with.
func credentialsOf(d *identity.Directory) func(context.Context, string, string) (sigv4.Credential, error) {
	return func(ctx context.Context, accessKeyID, sessionToken string) (sigv4.Credential, error) {
		c, err := d.Lookup(ctx, accessKeyID, sessionToken)
		switch {
		case errors.Is(err, identity.ErrUnknown):
			return sigv4.Credential{}, sigv4.ErrUnknownAccessKey
		case errors.Is(err, identity.ErrExpired):
			return sigv4.Credential{}, sigv4.ErrExpiredToken
		case err != nil:
			return sigv4.Credential{}, err
		}
		return sigv4.Credential{SecretAccessKey: c.Secret, SessionToken: c.SessionToken, Subject: c.Caller}, nil
	}
}

// authorizers decide by the service of an action.
type authorizers map[string]func(*service.Authorization) error

// or adds what decides for all other services.
func (m authorizers) or(others func(*service.Authorization) error) func(*service.Authorization) error {
	return func(a *service.Authorization) error {
		name, _, _ := strings.Cut(a.Target.Action, ":")
		if f := m[name]; f != nil {
			return f(a)
		}
		return others(a)
	}
}

var errNoAccessKey = withHint(errors.New("there is no access key, so nobody could use the server"),
	"run keyturn init with the same configuration, or put accounts into it")

// somebody refuses to make a store that nobody could use.
func (c *appConfig) somebody() error {
	if c.Trust || c.Init || c.Credentials == nil {
		return nil
	}
	configured, err := c.Credentials()
	if err == nil && len(configured) == 0 {
		err = errNoAccessKey
	}
	return err
}

// initialized refuses a server that nobody could use.
func initialized(ctx context.Context, p *service.Pipeline) error {
	d, err := p.Record(ctx, record.DeploymentStoreKey)
	if err == nil && d == nil {
		err = errNoAccessKey
	}
	return err
}

// apart refuses configured access keys that the store has too, of the same ID or for a user of the same name: policies could mean either.
func apart(ctx context.Context, p *service.Pipeline, configured map[string]identity.Configured) error {
	for _, id := range slices.Sorted(maps.Keys(configured)) {
		r, err := p.Record(ctx, record.AccessKeyStoreKey(id))
		if err != nil {
			return err
		}
		if r != nil {
			return fmt.Errorf("accounts: access key %s was made by IAM and needs no configuration; take it out there", id)
		}
		user := configured[id].Caller
		if user.UserName == "" {
			continue
		}
		if r, err = p.Record(ctx, record.NameStoreKey(user.Account, record.UserKind, user.UserName)); err != nil {
			return err
		}
		if r != nil {
			return withHint(fmt.Errorf("access key %s: account %s has an IAM user named %s already", id, user.Account, user.UserName),
				"name another user in the configuration; or start without it and delete that one")
		}
	}
	return nil
}
