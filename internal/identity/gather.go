package identity

import (
	"context"
	"fmt"
	"slices"

	"github.com/keyturn/keyturn/internal/audit"
	"github.com/keyturn/keyturn/internal/authz"
	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/service"
)

// gathering puts a caller together and remembers what of. Its errors are ErrUnknown for principals that are not there.
type gathering struct {
	d      *Directory
	ctx    context.Context
	madeOf []dependency
}

// get returns the record at a store key, nil if there is none.
func get[T record.Record](g *gathering, storeKey string) (T, error) {
	var none T
	r, err := g.d.records.Record(g.ctx, storeKey)
	if err != nil || r == nil {
		return none, err
	}
	t, ok := r.(T)
	if !ok {
		return none, fmt.Errorf("%w: %s holds a record of another kind", record.ErrDecode, storeKey)
	}
	g.madeOf = append(g.madeOf, dependency{storeKey, r})
	return t, nil
}

// must is get for what has to be there.
func must[T record.Record](g *gathering, storeKey string) (T, error) {
	t, err := get[T](g, storeKey)
	if err == nil && record.Record(t) == record.Record(*new(T)) {
		err = ErrUnknown
	}
	return t, err
}

// account refuses whoever is of an account that is suspended. An account that has no record gets none while the
// server runs, since it is in use.
func (g *gathering) account(id string) error {
	a, err := get[*record.Account](g, record.AccountStoreKey(id))
	if err == nil && a != nil && !a.Suspended.IsZero() {
		err = ErrUnknown
	}
	return err
}

func (g *gathering) root(account, accessKeyID string, s *service.Session) (*service.Caller, error) {
	if err := g.account(account); err != nil {
		return nil, err
	}
	return service.NewCaller(service.Caller{
		Account: account, ARN: "arn:aws:iam::" + account + ":root", Type: "Root", PrincipalID: account, AccessKeyID: accessKeyID, Session: s,
	}), nil
}

func (g *gathering) user(account, id, accessKeyID string, s *service.Session) (*service.Caller, error) {
	if err := g.account(account); err != nil {
		return nil, err
	}
	u, err := must[*record.User](g, record.PrincipalStoreKey(account, record.UserKind, id))
	if err != nil {
		return nil, err
	}
	who, err := g.identity(&u.Principal)
	if err != nil {
		return nil, err
	}
	for _, groupID := range u.Groups {
		group, err := must[*record.Group](g, record.PrincipalStoreKey(account, record.GroupKind, groupID))
		if err != nil {
			return nil, err
		}
		if err := g.policies(&group.Principal, &who.Policies); err != nil {
			return nil, err
		}
	}
	return service.NewCaller(service.Caller{
		Account: account, ARN: PrincipalARN("aws", record.UserKind, &u.Principal), Type: "IAMUser", PrincipalID: u.ID, UserName: u.Name,
		AccessKeyID: accessKeyID, Identity: who, Tags: u.Tags, Session: s,
	}), nil
}

// session is the caller of a session.
func (g *gathering) session(s *Session) (*service.Caller, error) {
	session := &service.Session{
		Issued: s.Issued, MFA: s.MFA, NoMFA: s.NoMFA, Provider: s.Provider, SourceIdentity: s.SourceIdentity, Transitive: s.Transitive,
	}
	switch s.Kind {
	case RootSession:
		return g.root(s.Account, s.AccessKeyID, session)
	case UserSession:
		return g.user(s.Account, s.PrincipalID, s.AccessKeyID, session)
	case ConfiguredSession:
		base, ok := g.d.config.Configured[s.Base]
		if !ok || base.Caller.Account != s.Account {
			return nil, ErrUnknown
		}
		if err := g.account(s.Account); err != nil {
			return nil, err
		}
		moved := *base.Caller
		moved.AccessKeyID, moved.Session = s.AccessKeyID, session
		return service.NewCaller(moved), nil
	case RoleSession:
		return g.role(s, session)
	}
	return nil, ErrUnknown
}

func (g *gathering) role(s *Session, session *service.Session) (*service.Caller, error) {
	if err := g.account(s.Account); err != nil {
		return nil, err
	}
	r, err := must[*record.Role](g, record.PrincipalStoreKey(s.Account, record.RoleKind, s.PrincipalID))
	if err != nil {
		return nil, err
	}
	who, err := g.identity(&r.Principal)
	if err != nil {
		return nil, err
	}
	who.Limited = s.Limited
	if s.Inline != "" {
		c, err := g.d.Compiled(s.Inline)
		if err != nil {
			return nil, err
		}
		who.Session = append(who.Session, authz.Named{Name: "session policy", Compiled: c})
	}
	for _, arn := range s.Policies {
		if err := g.managed(s.Account, arn, &who.Session); err != nil {
			return nil, err
		}
	}
	session.Role = audit.SessionIssuer{
		Type: "Role", PrincipalID: r.ID, ARN: PrincipalARN("aws", record.RoleKind, &r.Principal), AccountID: s.Account, UserName: r.Name,
	}
	return service.NewCaller(service.Caller{
		Account: s.Account, ARN: SessionARN("aws", s.Account, r.Name, s.Name), Type: "AssumedRole", PrincipalID: r.ID + ":" + s.Name,
		AccessKeyID: s.AccessKeyID, Identity: who, Tags: overlaid(r.Tags, s.Tags), Session: session,
	}), nil
}

// overlaid are a role's tags with those of its session in the place of the same name, whatever its case.
func overlaid(role, session []record.Tag) []record.Tag {
	if len(session) == 0 {
		return role
	}
	tags := slices.Clone(session)
	for _, t := range role {
		if !slices.ContainsFunc(session, func(s record.Tag) bool { return record.FoldName(s.Key) == record.FoldName(t.Key) }) {
			tags = append(tags, t)
		}
	}
	return tags
}

// identity is what is attached to a user or a role itself.
func (g *gathering) identity(p *record.Principal) (*authz.Identity, error) {
	who := &authz.Identity{}
	if err := g.policies(p, &who.Policies); err != nil {
		return nil, err
	}
	if p.Boundary != "" {
		var boundary []authz.Named
		if err := g.managed(p.Account, p.Boundary, &boundary); err != nil {
			return nil, err
		}
		who.Boundary = &boundary[0]
	}
	return who, nil
}

// policies appends the policies of a principal.
func (g *gathering) policies(p *record.Principal, list *[]authz.Named) error {
	for _, in := range p.Inline {
		c, err := g.d.Compiled(in.Document)
		if err != nil {
			return err
		}
		*list = append(*list, authz.Named{Name: in.Name, Compiled: c})
	}
	for _, arn := range p.Attached {
		if err := g.managed(p.Account, arn, list); err != nil {
			return err
		}
	}
	return nil
}

// managed appends a managed policy of an account, or of AWS's.
func (g *gathering) managed(account, arn string, list *[]authz.Named) error {
	document := ""
	if m := ManagedByARN(arn); m != nil {
		document = m.Document
	} else {
		p, ok := ParseARN(arn)
		if !ok || p.Kind != "policy" || p.Account != account {
			return ErrUnknown
		}
		r, err := must[*record.ManagedPolicy](g, record.PolicyStoreKey(account, p.Name))
		if err != nil {
			return err
		}
		if r.ARN() != arn {
			return ErrUnknown
		}
		document = r.InForce()
	}
	c, err := g.d.Compiled(document)
	if err != nil {
		return err
	}
	*list = append(*list, authz.Named{Name: arn, Compiled: c})
	return nil
}

// principal is who an ARN stands for.
func (g *gathering) principal(p Parsed) (*service.Caller, error) {
	switch p.Kind {
	case "root":
		return g.root(p.Account, "", nil)
	case string(record.UserKind):
		for _, c := range g.d.ConfiguredCallers(p.Account) {
			if c.ARN == p.Own() {
				return c, nil
			}
		}
		n, err := must[*record.Name](g, record.NameStoreKey(p.Account, record.UserKind, p.Name))
		if err != nil {
			return nil, err
		}
		caller, err := g.user(p.Account, n.ID, "", nil)
		if err == nil && caller.ARN != p.Own() {
			err = ErrUnknown
		}
		return caller, err
	case string(record.RoleKind), "assumed-role":
		name, session := p.Name, "*"
		if p.Kind == "assumed-role" {
			var ok bool
			if name, session, ok = cutSession(p.Name); !ok {
				return nil, ErrUnknown
			}
		}
		n, err := must[*record.Name](g, record.NameStoreKey(p.Account, record.RoleKind, name))
		if err != nil {
			return nil, err
		}
		caller, err := g.role(&Session{Kind: RoleSession, Account: p.Account, PrincipalID: n.ID, Name: session}, &service.Session{NoMFA: true})
		if err == nil && (p.Kind == "assumed-role" && caller.ARN != p.Own() || p.Kind != "assumed-role" && caller.Session.Role.ARN != p.Own()) {
			err = ErrUnknown
		}
		return caller, err
	}
	return nil, ErrUnknown
}

// cutSession takes ROLE/SESSION apart.
func cutSession(s string) (role, session string, ok bool) {
	for i := range len(s) {
		if s[i] == '/' {
			return s[:i], s[i+1:], i > 0 && i+1 < len(s)
		}
	}
	return "", "", false
}
