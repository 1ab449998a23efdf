package identity

import "github.com/keyturn/keyturn/internal/authz"

// boundaryAllows tells whether the permissions boundary of whoever asks allows it, or there is none. A trust policy that names a user does
// not reach beyond the user's boundary, as policies on other resources do ("Update a role trust policy", IAM User Guide).
func boundaryAllows(q *authz.Question) bool {
	if q.Identity == nil || q.Identity.Boundary == nil {
		return true
	}
	bounded := *q
	bounded.OnResource, bounded.ResourceAccount, bounded.Reasons = nil, q.Who.Account, false
	bounded.Identity = &authz.Identity{Policies: []authz.Named{*q.Identity.Boundary}}
	d, err := authz.Decide(&bounded)
	return err == nil && d.Allowed
}
