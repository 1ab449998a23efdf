package iam

import (
	"slices"
	"strings"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/audit"
	"github.com/keyturn/keyturn/internal/identity"
	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/service"
)

// Lists with filters that no index has look at so many things at least before they answer a page that is not full. Callers have to go by
// IsTruncated, not by how many there are, as the API Reference says of every list.
const looksAtLeast = 100

// ListPolicies has AWS's policies first, by name whatever its case, then those of the account, by path and name. A position in it is one of
// these prefixes and the folded name, or path and name.
const (
	awsFirst = "a"
	ownThen  = "o"
)

// listedPolicy is a policy and where it stands in the list. The policy is nil if it was deleted meanwhile, or only its name begins as the
// path prefix does.
type listedPolicy struct {
	position string
	policy   *record.ManagedPolicy
}

// policiesAfter returns up to n policies after a position, whatever they are used for.
func policiesAfter(tx *service.Tx, q *api.ListPoliciesRequest, position string, n int) ([]listedPolicy, error) {
	var list []listedPolicy
	if q.Scope.V != api.PolicyScopeTypeLocal && !strings.HasPrefix(position, ownThen) {
		for _, m := range identity.AWSManaged() {
			if at := awsFirst + record.FoldName(m.Name); at > position && strings.HasPrefix(m.Path, q.PathPrefix.V) && len(list) < n {
				list = append(list, listedPolicy{at, awsPolicy(&m)})
			}
		}
	}
	if q.Scope.V == api.PolicyScopeTypeAws || len(list) == n {
		return list, nil
	}
	base, after := record.PolicyPathsPrefix(account(tx)), ""
	if path, ok := strings.CutPrefix(position, ownThen); ok {
		after = base + path + "/" + record.FoldName(path[strings.LastIndexByte(path, '/')+1:])
	}
	entries, err := tx.Scan(base+pathOrRoot(q.PathPrefix), after, n-len(list))
	if err != nil {
		return nil, err
	}
	keys := make([]string, len(entries))
	for i, e := range entries {
		keys[i] = record.PoliciesPrefix(account(tx)) + record.ParsePathEntry(e.Key)
	}
	found, err := service.LookupAll[*record.ManagedPolicy](tx, keys)
	if err != nil {
		return nil, err
	}
	own := make(map[string]*record.ManagedPolicy, len(found))
	for _, p := range found {
		own[p.StoreKey()] = p
	}
	for i, e := range entries {
		path := strings.TrimPrefix(e.Key, base)
		l := listedPolicy{position: ownThen + path[:strings.LastIndexByte(path, '/')]}
		if p := own[keys[i]]; p != nil && strings.HasPrefix(p.Path, q.PathPrefix.V) {
			l.policy = p
		}
		list = append(list, l)
	}
	return list, nil
}

// pathOrRoot is the path prefix of a list; paths begin with a slash, so that one account's entries are not taken for another's.
func pathOrRoot(prefix api.Opt[string]) string {
	if prefix.V == "" {
		return "/"
	}
	return prefix.V
}

// wanted tells whether a policy is one to list by its uses.
func wanted(q *api.ListPoliciesRequest, attached, bounds int64) bool {
	switch q.PolicyUsageFilter.V {
	case api.PolicyUsageTypePermissionsBoundary:
		return bounds > 0
	case api.PolicyUsageTypePermissionsPolicy:
		if attached == 0 && bounds > 0 {
			return false
		}
	}
	return !q.OnlyAttached.V || attached > 0
}

func (s *IAM) listPolicies() *service.Op {
	return service.Def[api.ListPoliciesRequest, api.ListPoliciesResponse]{
		Name: "ListPolicies", Kind: service.Read, Actions: []string{"iam:ListPolicies"},
		Audit: func(q *api.ListPoliciesRequest, p *audit.Params) {
			str(p, "scope", q.Scope)
			if q.OnlyAttached.Set {
				p.Bool("onlyAttached", q.OnlyAttached.V)
			}
			str(p, "pathPrefix", q.PathPrefix)
			str(p, "policyUsageFilter", q.PolicyUsageFilter)
			auditPage(p, q.Marker, q.MaxItems)
		},
		Plan: func(tx *service.Tx, q *api.ListPoliciesRequest, _ []service.Target) (*api.ListPoliciesResponse, error) {
			position, err := decodeMarker("policies", q.Marker)
			if err != nil {
				return nil, err
			}
			limit := limitOf(q.MaxItems)
			looks := max(limit, looksAtLeast)
			list, err := policiesAfter(tx, q, position, looks+1)
			if err != nil {
				return nil, err
			}
			policies, last, err := policyPage(tx, q, list, limit, looks)
			if err != nil {
				return nil, err
			}
			page := nextPage("policies", last)
			return &api.ListPoliciesResponse{Policies: policies, IsTruncated: page.IsTruncated, Marker: page.Marker}, nil
		},
	}.Op("iam")
}

// policyPage picks up to limit of the policies that are wanted out of those that were found, of which one more than looks means that there
// are more. last is where the next page begins, "" if there is none.
func policyPage(tx *service.Tx, q *api.ListPoliciesRequest, list []listedPolicy, limit, looks int) (page []api.Policy, last string, err error) {
	var there []*record.ManagedPolicy
	for _, l := range list {
		if l.policy != nil {
			there = append(there, l.policy)
		}
	}
	attached, bounds, err := policyUses(tx, there)
	if err != nil {
		return nil, "", err
	}
	page = []api.Policy{}
	n := 0 // of those that are there
	for i, l := range list {
		if i == looks || len(page) == limit {
			return page, list[i-1].position, nil
		}
		if l.policy == nil {
			continue
		}
		if wanted(q, attached[n], bounds[n]) {
			page = append(page, policyAnswer(tx, l.policy, attached[n], bounds[n]))
		}
		n++
	}
	return page, "", nil
}

// A position among the entities that use a policy is one of these letters and KIND/ID, as in the index that it stands for.
const (
	holding  = "a" // the policy is attached
	bounding = "b" // the policy is the permissions boundary
)

// policyUse is an index of what a policy is used by, with its letter.
type policyUse struct{ letter, prefix string }

func policyUseIndexes(tx *service.Tx, q *api.ListEntitiesForPolicyRequest, arn string) []policyUse {
	var list []policyUse
	if q.PolicyUsageFilter.V != api.PolicyUsageTypePermissionsBoundary {
		list = append(list, policyUse{holding, record.AttachedPrefix(account(tx), arn)})
	}
	if q.PolicyUsageFilter.V != api.PolicyUsageTypePermissionsPolicy {
		list = append(list, policyUse{bounding, record.BoundsPrefix(account(tx), arn)})
	}
	return list
}

// entityKinds are the kinds of principals that ListEntitiesForPolicy asks for. A filter that is none of them finds nothing.
var entityKinds = map[api.EntityType]string{
	"": "", api.EntityTypeUser: string(record.UserKind) + "/", api.EntityTypeGroup: string(record.GroupKind) + "/", api.EntityTypeRole: string(record.RoleKind) + "/",
}

// entitiesAfter returns up to n entries of a policy's indexes after a position, as positions.
func entitiesAfter(tx *service.Tx, q *api.ListEntitiesForPolicyRequest, arn, position string, n int) ([]string, error) {
	kind, ok := entityKinds[q.EntityFilter.V]
	if !ok {
		return nil, nil
	}
	var list []string
	for _, use := range policyUseIndexes(tx, q, arn) {
		after := ""
		if rest, here := strings.CutPrefix(position, use.letter); here {
			after = use.prefix + rest
		} else if use.letter < position {
			continue // the page before got beyond it
		}
		if len(list) == n {
			break
		}
		entries, err := tx.Scan(use.prefix+kind, after, n-len(list))
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			list = append(list, use.letter+strings.TrimPrefix(e.Key, use.prefix))
		}
	}
	return list, nil
}

func (s *IAM) listEntitiesForPolicy() *service.Op {
	arn := func(q *api.ListEntitiesForPolicyRequest) string { return q.PolicyArn.V }
	return service.Def[api.ListEntitiesForPolicyRequest, api.ListEntitiesForPolicyResponse]{
		Name: "ListEntitiesForPolicy", Kind: service.Read, Actions: []string{"iam:ListEntitiesForPolicy"},
		Resolve: onPolicy("iam:ListEntitiesForPolicy", arn, nil),
		Audit: func(q *api.ListEntitiesForPolicyRequest, p *audit.Params) {
			str(p, "policyArn", q.PolicyArn)
			str(p, "entityFilter", q.EntityFilter)
			str(p, "pathPrefix", q.PathPrefix)
			str(p, "policyUsageFilter", q.PolicyUsageFilter)
			auditPage(p, q.Marker, q.MaxItems)
		},
		Plan: func(tx *service.Tx, q *api.ListEntitiesForPolicyRequest, _ []service.Target) (*api.ListEntitiesForPolicyResponse, error) {
			p, err := findPolicy(tx, arn(q))
			if err != nil {
				return nil, err
			}
			if p == nil {
				return nil, noPolicy(arn(q))
			}
			position, err := decodeMarker("entities", q.Marker)
			if err != nil {
				return nil, err
			}
			limit := limitOf(q.MaxItems)
			entries, err := entitiesAfter(tx, q, p.ARN(), position, limit+1)
			if err != nil {
				return nil, err
			}
			page := nextPage("entities", "")
			if len(entries) > limit {
				entries = entries[:limit]
				page = nextPage("entities", entries[limit-1])
			}
			answer := &api.ListEntitiesForPolicyResponse{
				PolicyGroups: []api.PolicyGroup{}, PolicyUsers: []api.PolicyUser{}, PolicyRoles: []api.PolicyRole{},
				IsTruncated: page.IsTruncated, Marker: page.Marker,
			}
			// What the policy is attached to comes first in each page.
			i := slices.IndexFunc(entries, func(e string) bool { return strings.HasPrefix(e, bounding) })
			if i < 0 {
				i = len(entries)
			}
			if err := addEntities(tx, q, entries[:i], "", answer); err != nil {
				return nil, err
			}
			listed := p.ARN()
			if q.PolicyUsageFilter.Set {
				listed = ""
			}
			return answer, addEntities(tx, q, entries[i:], listed, answer)
		},
	}.Op("iam")
}

// addEntities puts the principals of some entries into an answer, but for those that a policy is attached to: they are listed as such.
func addEntities(tx *service.Tx, q *api.ListEntitiesForPolicyRequest, entries []string, attached string, answer *api.ListEntitiesForPolicyResponse) error {
	keys := make([]string, len(entries))
	for i, e := range entries {
		kind, id, _ := strings.Cut(e[1:], "/")
		keys[i] = record.PrincipalStoreKey(account(tx), record.PrincipalKind(kind), id)
	}
	list, err := service.LookupAll[record.Record](tx, keys)
	if err != nil {
		return err
	}
	for _, r := range list {
		p := principalOf(r)
		if p == nil || slices.Contains(p.Attached, attached) || !strings.HasPrefix(p.Path, q.PathPrefix.V) {
			continue
		}
		switch r.(type) {
		case *record.Group:
			answer.PolicyGroups = append(answer.PolicyGroups, api.PolicyGroup{GroupName: api.Some(p.Name), GroupId: api.Some(p.ID)})
		case *record.User:
			answer.PolicyUsers = append(answer.PolicyUsers, api.PolicyUser{UserName: api.Some(p.Name), UserId: api.Some(p.ID)})
		case *record.Role:
			answer.PolicyRoles = append(answer.PolicyRoles, api.PolicyRole{RoleName: api.Some(p.Name), RoleId: api.Some(p.ID)})
		}
	}
	return nil
}
