package identity

import (
	"context"
	"errors"

	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/service"
)

// Known tells who there is, for explanations of what they may do: nobody is nil, and no error.
type Known struct{ Directory *Directory }

// Principal is Directory.Principal.
func (k Known) Principal(ctx context.Context, arn string) (*service.Caller, error) {
	c, err := k.Directory.Principal(ctx, arn)
	if errors.Is(err, ErrNoPrincipal) {
		return nil, nil
	}
	return c, err
}

// PrincipalByID returns the user or the role with a unique ID; a role as a session of it with no name of its own.
func (k Known) PrincipalByID(ctx context.Context, account string, kind record.PrincipalKind, id string) (*service.Caller, error) {
	g := gathering{d: k.Directory, ctx: ctx}
	var c *service.Caller
	err := ErrUnknown
	switch kind {
	case record.UserKind:
		c, err = g.user(account, id, "", nil)
	case record.RoleKind:
		c, err = g.anySession(account, id)
	}
	if errors.Is(err, ErrUnknown) {
		return nil, nil
	}
	return c, err
}

// anySession is a session of a role as a principal's ARN stands for it.
func (g *gathering) anySession(account, id string) (*service.Caller, error) {
	return g.role(&Session{Kind: RoleSession, Account: account, PrincipalID: id, Name: "*"}, &service.Session{NoMFA: true})
}

// ConfiguredCallers is Directory.ConfiguredCallers.
func (k Known) ConfiguredCallers(account string) []*service.Caller {
	return k.Directory.ConfiguredCallers(account)
}
