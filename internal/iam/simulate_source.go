package iam

import (
	"errors"
	"path"
	"strconv"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/authz"
	"github.com/keyturn/keyturn/internal/identity"
	"github.com/keyturn/keyturn/internal/policy"
	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/service"
)

// simulated is who is simulated, with what is attached in the store. It is empty where a request has everything itself.
type simulated struct {
	caller   *service.Caller // nil for groups, which are no principals
	policies []*source
	boundary *source // nil for none
}

// source is a policy that takes part in a simulation.
type source struct {
	id       string // SourcePolicyId
	kind     api.PolicySourceType
	name     string       // as package identity calls it: the ARN of a managed policy, the name of an inline one
	holder   inlineHolder // of an inline policy
	document string       // "" if nobody knows it any more
	compiled *policy.Compiled

	places  []policy.Place
	located bool
}

// inlineHolder is what has an inline policy.
type inlineHolder struct {
	kind record.PrincipalKind
	name string
}

// place is where a statement stands, nil if that cannot be told.
func (s *source) place(index int) *policy.Place {
	if !s.located && s.document != "" {
		s.places, _ = policy.Places([]byte(s.document)) // it has been read before
	}
	s.located = true
	if index >= len(s.places) {
		return nil
	}
	return &s.places[index]
}

// policySourceARN takes the ARN of a user, group or role apart, which must be of the caller's account.
func policySourceARN(tx *service.Tx, arn string) (identity.Parsed, error) {
	p, ok := identity.ParseARN(arn)
	if !ok || !isEntity(p) || p.Partition != partition(tx) {
		return p, invalidInput("Invalid Entity Arn: %s does not clearly define entity type and name.", arn)
	}
	if p.Account != account(tx) {
		return p, invalidInput("Invalid Policy Source Arn: caller's account %s does not have access to policies in account %s", account(tx), p.Account)
	}
	return p, nil
}

func isEntity(p identity.Parsed) bool {
	kind := record.PrincipalKind(p.Kind)
	return p.Service == "iam" && service.IsAccountID(p.Account) && (kind == record.UserKind || kind == record.GroupKind || kind == record.RoleKind)
}

// onPolicySource resolves the user, group or role that is asked about.
func (s *IAM) onPolicySource(tx *service.Tx, action, arn string) ([]service.Target, error) {
	p, err := policySourceARN(tx, arn)
	if err != nil {
		return nil, err
	}
	found, err := entityOf(tx, p)
	switch {
	case err != nil:
		return nil, err
	case found != nil:
		return target(tx, action, arn, found.Tags, nil), nil
	case s.configured(p) != nil:
		return target(tx, action, arn, nil, nil), nil
	}
	return target(tx, action, arn, nil, noSuch(p.Kind, p.Name)), nil
}

// entityOf returns the user, group or role with an ARN, nil if there is none.
func entityOf(tx *service.Tx, p identity.Parsed) (*record.Principal, error) {
	var found *record.Principal
	switch record.PrincipalKind(p.Kind) {
	case record.UserKind:
		u, err := byName[*record.User](tx, record.UserKind, p.Name)
		if err != nil || u == nil {
			return nil, err
		}
		found = &u.Principal
	case record.GroupKind:
		g, err := byName[*record.Group](tx, record.GroupKind, p.Name)
		if err != nil || g == nil {
			return nil, err
		}
		found = &g.Principal
	case record.RoleKind:
		r, err := byName[*record.Role](tx, record.RoleKind, p.Name)
		if err != nil || r == nil {
			return nil, err
		}
		found = &r.Principal
	}
	if found == nil || found.Path != p.Path {
		return nil, nil
	}
	return found, nil
}

// configured returns the user of the configuration file with an ARN, nil if there is none.
func (s *IAM) configured(p identity.Parsed) *service.Caller {
	for _, c := range s.config.Directory.ConfiguredCallers(p.Account) {
		if c.Type == "IAMUser" && c.ARN == p.Own() {
			return c
		}
	}
	return nil
}

// errMoved: policies were changed between one look and the next.
var errMoved = errors.New("iam: the policies of a principal changed while they were read")

// policySource returns a user, group or role with its policies. Those of users and roles are the directory's, which real calls are decided
// by; the records only tell what they are called and where they come from, and are read again if they are not the same ones.
func (s *IAM) policySource(tx *service.Tx, arn string) (*simulated, error) {
	p, err := policySourceARN(tx, arn)
	if err != nil {
		return nil, err
	}
	const attempts = 3
	for range attempts {
		of, err := s.gather(tx, p)
		if err == nil || !errors.Is(err, errMoved) {
			return of, err
		}
	}
	return nil, api.Errorf(api.PolicyEvaluation, "The policies of %s are being changed.", arn)
}

func (s *IAM) gather(tx *service.Tx, p identity.Parsed) (*simulated, error) {
	if caller := s.configured(p); caller != nil {
		return ofConfiguration(tx, caller), nil
	}
	found, err := entityOf(tx, p)
	if err != nil {
		return nil, err
	}
	if found == nil {
		return nil, noSuch(p.Kind, p.Name)
	}
	of := &simulated{}
	if of.policies, err = s.policiesOf(tx, p); err != nil {
		return nil, err
	}
	if found.Boundary != "" {
		if of.boundary, err = s.managedSource(tx, found.Boundary); err != nil {
			return nil, err
		}
	}
	if record.PrincipalKind(p.Kind) == record.GroupKind {
		return of, nil
	}
	caller, err := s.config.Directory.Principal(tx.Context(), p.Own())
	if errors.Is(err, identity.ErrNoPrincipal) {
		return nil, noSuch(p.Kind, p.Name)
	}
	if err != nil {
		return nil, err
	}
	of.caller = caller.In(tx.Call.Region)
	return of, of.take(caller.Identity)
}

// take puts the directory's policies into their descriptions.
func (of *simulated) take(id *authz.Identity) error {
	if len(id.Policies) != len(of.policies) || (id.Boundary == nil) != (of.boundary == nil) {
		return errMoved
	}
	for i, s := range of.policies {
		if id.Policies[i].Name != s.name {
			return errMoved
		}
		s.compiled = id.Policies[i].Compiled
	}
	if of.boundary != nil {
		if id.Boundary.Name != of.boundary.name {
			return errMoved
		}
		of.boundary.compiled = id.Boundary.Compiled
	}
	return nil
}

// ofConfiguration is a user of the configuration file. What its policies look like is not kept.
func ofConfiguration(tx *service.Tx, caller *service.Caller) *simulated {
	of := &simulated{caller: caller.In(tx.Call.Region)}
	describe := func(n authz.Named) *source {
		return &source{
			id: "user_" + caller.UserName + "_" + n.Name, kind: api.PolicySourceTypeUser, name: n.Name,
			holder: inlineHolder{record.UserKind, caller.UserName}, compiled: n.Compiled,
		}
	}
	for _, n := range caller.Identity.Policies {
		of.policies = append(of.policies, describe(n))
	}
	if caller.Identity.Boundary != nil {
		of.boundary = describe(*caller.Identity.Boundary)
	}
	return of
}

// policiesOf returns the policies of a user, group or role, and those of a user's groups, in the order of package identity.
func (s *IAM) policiesOf(tx *service.Tx, p identity.Parsed) ([]*source, error) {
	kind := record.PrincipalKind(p.Kind)
	found, err := entityOf(tx, p)
	if err != nil || found == nil {
		return nil, errors.Join(err, errMoved)
	}
	list, err := s.appendPolicies(tx, kind, found, nil)
	if err != nil || kind != record.UserKind {
		return list, err
	}
	u, err := lookup[*record.User](tx, record.PrincipalStoreKey(found.Account, kind, found.ID))
	if err != nil || u == nil {
		return nil, errors.Join(err, errMoved)
	}
	for _, id := range u.Groups {
		g, err := lookup[*record.Group](tx, record.PrincipalStoreKey(u.Account, record.GroupKind, id))
		if err != nil || g == nil {
			return nil, errors.Join(err, errMoved)
		}
		if list, err = s.appendPolicies(tx, record.GroupKind, &g.Principal, list); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// appendPolicies appends the policies of a user, group or role itself.
func (s *IAM) appendPolicies(tx *service.Tx, kind record.PrincipalKind, p *record.Principal, list []*source) ([]*source, error) {
	for _, in := range p.Inline {
		c, err := s.config.Directory.Compiled(in.Document)
		if err != nil {
			return nil, err
		}
		list = append(list, &source{
			id: string(kind) + "_" + p.Name + "_" + in.Name, kind: api.PolicySourceType(kind), name: in.Name,
			holder: inlineHolder{kind, p.Name}, document: in.Document, compiled: c,
		})
	}
	for _, arn := range p.Attached {
		m, err := s.managedSource(tx, arn)
		if err != nil {
			return nil, err
		}
		list = append(list, m)
	}
	return list, nil
}

// managedSource returns a managed policy by its ARN in the partition "aws".
func (s *IAM) managedSource(tx *service.Tx, arn string) (*source, error) {
	m := &source{id: path.Base(arn), name: arn}
	if aws := identity.ManagedByARN(arn); aws != nil {
		m.kind, m.document = api.PolicySourceTypeAwsManaged, aws.Document
	} else {
		m.kind = api.PolicySourceTypeUserManaged
		r, err := lookup[*record.ManagedPolicy](tx, record.PolicyStoreKey(account(tx), m.id))
		if err != nil || r == nil || r.ARN() != arn {
			return nil, errors.Join(err, errMoved)
		}
		m.document = r.InForce()
	}
	var err error
	m.compiled, err = s.config.Directory.Compiled(m.document)
	return m, err
}

// inputs reads the policies that a request brings. list is the member that has them.
func inputs(list string, documents []string) ([]*source, error) {
	var policies []*source
	for i, d := range documents {
		s := &source{id: list + "." + strconv.Itoa(i+1), kind: api.PolicySourceTypeNone, document: d}
		err := checkIdentityPolicy(d)
		if err == nil {
			s.compiled, err = compiled(d)
		}
		if err != nil {
			return nil, invalidDocument(s.id, err)
		}
		policies = append(policies, s)
	}
	return policies, nil
}

// compiled reads a document that a request brings. The directory's cache is for those that are in force.
func compiled(document string) (*policy.Compiled, error) {
	p, err := policy.Parse([]byte(document))
	if err != nil {
		return nil, err
	}
	return policy.Compile(p), nil
}

// invalidDocument says which of a request's documents is none.
func invalidDocument(id string, err error) error {
	message := err.Error()
	if e := (*api.Error)(nil); errors.As(err, &e) {
		message = e.Message
	}
	return invalidInput("Invalid policy %s: %s", id, message)
}
