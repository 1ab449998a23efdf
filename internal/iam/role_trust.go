package iam

import (
	"slices"
	"strings"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/identity"
	"github.com/keyturn/keyturn/internal/policy"
	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/service"
)

// A trust policy names users and roles by ARN, and is stored with their unique IDs in the place of these, so that whoever gets the name of
// one that is gone is not trusted for that. Answers have the ARNs again, but of those that are gone ("AWS JSON policy elements: Principal",
// IAM User Guide). Sessions, and the users of the configuration file, stay as they were given.

// trust sets the trust policy of a role. Every user, role and provider that it names must be there. Nothing guards that: one that is deleted
// meanwhile stands in the policy as the ID of nobody.
func (s *IAM) trust(tx *service.Tx, r *record.Role, document string) error {
	if size(document) > trustPolicyBytes {
		return tooMany("ACLSizePerRole", trustPolicyBytes)
	}
	p, err := policy.ParseInForce([]byte(document))
	if err != nil {
		return malformed(err)
	}
	pins, err := identity.Pins(tx, identity.Named(p))
	if err != nil {
		return err
	}
	ids := make(map[string]string, len(pins))
	for _, pin := range pins {
		ids[pin.ARN] = pin.ID
	}
	for _, st := range p.Statements {
		for _, named := range []*policy.Principals{st.Principal, st.NotPrincipal} {
			if named == nil {
				continue
			}
			if err := s.knownPrincipals(tx, named, ids); err != nil {
				return err
			}
		}
	}
	if err := checkTrustPolicy(document); err != nil {
		return err
	}
	r.Pins = pins
	r.Trust = identity.RewritePrincipals(document, func(arn string) string { return ids[arn] })
	return nil
}

func invalidPrincipal(kind, id string) *api.Error {
	return api.Errorf(api.MalformedPolicyDocument, "Invalid principal in policy: %q:%q", kind, id)
}

// knownPrincipals refuses principals that are not there; ids are the users and roles that are.
func (s *IAM) knownPrincipals(tx *service.Tx, named *policy.Principals, ids map[string]string) error {
	for _, name := range named.AWS {
		ok, err := s.knownPrincipal(tx, name, ids)
		if err == nil && !ok {
			err = invalidPrincipal("AWS", name)
		}
		if err != nil {
			return err
		}
	}
	for _, provider := range named.Federated {
		if err := federated(tx, provider); err != nil {
			return err
		}
	}
	return nil
}

func (s *IAM) knownPrincipal(tx *service.Tx, name string, ids map[string]string) (bool, error) {
	if name == "*" || service.IsAccountID(name) {
		return true, nil
	}
	in, _, ok := policy.PrincipalARN(name)
	p, parsed := identity.ParseARN(name)
	if !ok || !parsed || in != partition(tx) {
		return false, nil
	}
	switch p.Kind {
	case "root", "federated-user":
		return true, nil
	case "assumed-role":
		role, _, _ := strings.Cut(p.Name, "/")
		found, err := service.LookupAll[*record.Name](tx, []string{record.NameStoreKey(p.Account, record.RoleKind, role)})
		return len(found) > 0 && found[0].Name == role, err
	}
	configured := slices.ContainsFunc(s.config.Directory.ConfiguredCallers(p.Account), func(c *service.Caller) bool { return c.ARN == p.Own() })
	return configured || ids[name] != "", nil
}

// publicProviders are the identity providers that need no record in an account ("AWS JSON policy elements: Principal").
var publicProviders = []string{"accounts.google.com", "cognito-identity.amazonaws.com", "graph.facebook.com", "www.amazon.com"}

// federated refuses an identity provider that is not the account's own, or one for everybody.
func federated(tx *service.Tx, provider string) error {
	if slices.Contains(publicProviders, provider) {
		return nil
	}
	p, ok := identity.ParseARN(provider)
	if !ok || p.Kind != "oidc-provider" || p.Partition != partition(tx) || p.Account != account(tx) {
		return invalidPrincipal("FEDERATED", provider)
	}
	found, err := service.LookupAll[*record.OIDCProvider](tx, []string{record.OIDCProviderStoreKey(p.Account, p.Name)})
	if err == nil && len(found) == 0 {
		return invalidPrincipal("FEDERATED", provider)
	}
	return err
}

// trustedARNs returns the ARNs of the users and roles that the trust policies of roles name, by their unique IDs. Those that are gone are
// left out.
func trustedARNs(tx *service.Tx, roles ...*record.Role) (map[string]string, error) {
	var users, others []string
	for _, r := range roles {
		for _, pin := range r.Pins {
			p, _ := identity.ParseARN(pin.ARN)
			if p.Kind == string(record.UserKind) {
				users = append(users, record.PrincipalStoreKey(p.Account, record.UserKind, pin.ID))
			} else {
				others = append(others, record.PrincipalStoreKey(p.Account, record.RoleKind, pin.ID))
			}
		}
	}
	arns := make(map[string]string, len(users)+len(others))
	foundUsers, err := service.LookupAll[*record.User](tx, distinct(users))
	if err != nil {
		return nil, err
	}
	for _, u := range foundUsers {
		arns[u.ID] = identity.PrincipalARN(partition(tx), record.UserKind, &u.Principal)
	}
	foundRoles, err := service.LookupAll[*record.Role](tx, distinct(others))
	if err != nil {
		return nil, err
	}
	for _, r := range foundRoles {
		arns[r.ID] = identity.PrincipalARN(partition(tx), record.RoleKind, &r.Principal)
	}
	return arns, nil
}

func distinct(list []string) []string {
	slices.Sort(list)
	return slices.Compact(list)
}

// shownTrust is a trust policy as answers have it.
func shownTrust(document string, arns map[string]string) string {
	return identity.RewritePrincipals(document, func(id string) string { return arns[id] })
}
