package kms

import (
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/identity"
	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/service"
)

func invalidGrant(format string, args ...any) error {
	return api.Errorf(api.ValidationException, format, args...)
}

// checkCreateGrant refuses requests that are wrong whatever the key is.
func checkCreateGrant(q *api.CreateGrantRequest) error {
	switch {
	case len(q.Operations) == 0:
		return invalidGrant("1 validation error detected: Value '[]' at 'operations' failed to satisfy constraint: Member must have length greater than or equal to 1")
	case len(q.Operations) > 2*len(record.GrantOperations): // some may be there twice
		return invalidGrant("1 validation error detected: Value at 'operations' failed to satisfy constraint: Member must have length less than or equal to %d",
			2*len(record.GrantOperations))
	case q.GranteePrincipal.Set == q.GranteeServicePrincipal.Set:
		return invalidGrant("You must specify either GranteePrincipal or GranteeServicePrincipal, but not both.")
	case q.RetiringPrincipal.Set && q.RetiringServicePrincipal.Set:
		return invalidGrant("You can specify either RetiringPrincipal or RetiringServicePrincipal, but not both.")
	case q.GranteeServicePrincipal.Set && (q.Constraints == nil || !q.Constraints.SourceArn.Set):
		return invalidGrant("A grant for a GranteeServicePrincipal must have a SourceArn constraint.")
	case q.GranteeServicePrincipal.Set && !q.RetiringPrincipal.Set && !q.RetiringServicePrincipal.Set:
		return invalidGrant("A grant for a GranteeServicePrincipal must have a RetiringPrincipal or a RetiringServicePrincipal.")
	case q.Constraints == nil:
		return nil
	}
	subset, equals := q.Constraints.EncryptionContextSubset, q.Constraints.EncryptionContextEquals
	if len(subset) > 0 && len(equals) > 0 {
		return invalidGrant("A grant can have either EncryptionContextSubset or EncryptionContextEquals, but not both.")
	}
	return checkConstraint(subset, equals)
}

// checkConstraint refuses encryption contexts that are too large for a constraint.
func checkConstraint(contexts ...map[string]string) error {
	for _, context := range contexts {
		if len(context) > maxConstraintPairs {
			return invalidGrant("A grant constraint cannot have more than %d encryption context pairs.", maxConstraintPairs)
		}
		size := 0
		for name, value := range context {
			size += len(name) + len(value)
			if utf8.RuneCountInString(value) > maxConstraintValue {
				return invalidGrant("An encryption context value in a grant constraint cannot be longer than %d characters.", maxConstraintValue)
			}
		}
		if size > maxContext { // no use could have it
			return invalidGrant("The encryption context is longer than %d bytes", maxContext)
		}
	}
	return nil
}

// requestedGrant makes the grant that a request, which has been checked, asks for on a key, but for its ID.
func requestedGrant(tx *service.Tx, k *record.Key, q *api.CreateGrantRequest) (*record.Grant, error) {
	g := &record.Grant{
		Owner: k.Owner, KeyID: k.ID, Created: tx.Now, Name: q.Name.V, Issuer: tx.Call.Caller.Account,
		Grantee: q.GranteePrincipal.V, Retiring: q.RetiringPrincipal.V,
	}
	for _, principal := range []api.Opt[string]{q.GranteePrincipal, q.RetiringPrincipal} {
		if !principal.Set {
			continue
		}
		if _, err := principalARN(principal.V, k.Region); err != nil {
			return nil, err
		}
	}
	pins, err := identity.Pins(tx, []string{g.Grantee, g.Retiring})
	if err != nil {
		return nil, err
	}
	for _, pin := range pins {
		if pin.ARN == g.Grantee {
			g.GranteeID = pin.ID
		}
		if pin.ARN == g.Retiring {
			g.RetiringID = pin.ID
		}
	}
	if q.GranteeServicePrincipal.Set {
		g.Grantee = q.GranteeServicePrincipal.V
	}
	if q.RetiringServicePrincipal.Set {
		g.Retiring = q.RetiringServicePrincipal.V
	}
	if err := grantOperations(g, k, q.Operations); err != nil {
		return nil, err
	}
	if q.Constraints == nil {
		return g, nil
	}
	g.SourceARN = q.Constraints.SourceArn.V
	g.Subset, g.Equals = record.ContextPairs(q.Constraints.EncryptionContextSubset), record.ContextPairs(q.Constraints.EncryptionContextEquals)
	if len(g.Subset)+len(g.Equals) > 0 && k.Spec != symmetricSpec {
		// GrantConstraints, AWS KMS API Reference: operations with these keys have no encryption context.
		return nil, invalidGrant("Encryption context grant constraints are not valid for %s: its key spec is %s.", k.ARN(), k.Spec)
	}
	return g, nil
}

// grantOperations notes the operations of a grant, each once.
func grantOperations(g *record.Grant, k *record.Key, operations []api.GrantOperation) error {
	var not []string
	for _, op := range operations {
		switch name := string(op); {
		case !permissible(k, name):
			not = append(not, name)
		case !slices.Contains(g.Operations, name):
			g.Operations = append(g.Operations, name)
		}
	}
	if len(not) > 0 {
		return invalidGrant("Grants on %s cannot permit [%s]: its key spec is %s, its key usage %s.", k.ARN(), strings.Join(not, ", "), k.Spec, k.Usage)
	}
	if len(g.Operations) == 1 && g.Operations[0] == "CreateGrant" { // there would be nothing to pass on
		return invalidGrant("Grants must not contain only the CreateGrant operation.")
	}
	return nil
}
