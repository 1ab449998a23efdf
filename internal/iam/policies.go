package iam

import (
	"slices"
	"strconv"
	"time"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/audit"
	"github.com/keyturn/keyturn/internal/identity"
	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/service"
)

func (s *IAM) policyOperations() []*service.Op {
	return []*service.Op{
		s.createPolicy(), s.getPolicy(), s.deletePolicy(), s.listPolicies(), s.listEntitiesForPolicy(),
		s.createPolicyVersion(), s.getPolicyVersion(), s.deletePolicyVersion(), s.listPolicyVersions(), s.setDefaultPolicyVersion(),
		s.tagPolicy(), s.untagPolicy(), s.listPolicyTags(),
	}
}

// awsManagedSince is the date of policies that AWS manages: keyturn has no other.
var awsManagedSince = time.Date(2015, 2, 6, 18, 39, 46, 0, time.UTC)

// awsPolicy is a policy that AWS manages as if it were a record, for what is the same with both.
func awsPolicy(m *identity.Managed) *record.ManagedPolicy {
	return &record.ManagedPolicy{
		Account: "aws", ID: m.ID, Name: m.Name, Path: m.Path, Description: m.Description, Created: awsManagedSince, Updated: awsManagedSince,
		Default: 1, Last: 1, Versions: []record.PolicyVersion{{Number: 1, Document: m.Document, Created: awsManagedSince}},
	}
}

// parsePolicyARN reads the ARN of a managed policy.
func parsePolicyARN(tx *service.Tx, arn string) (identity.Parsed, error) {
	p, ok := identity.ParseARN(arn)
	if !ok || p.Service != "iam" || p.Kind != "policy" || p.Partition != partition(tx) {
		return p, invalidARN(arn)
	}
	return p, nil
}

func invalidARN(arn string) error { return api.Errorf(api.InvalidInput, "ARN %s is not valid.", arn) }

func noPolicy(arn string) error { return api.Errorf(api.NoSuchEntity, "Policy %s was not found.", arn) }

func noVersion(arn, version string) error {
	return api.Errorf(api.NoSuchEntity, "Policy %s version %s does not exist or is not attachable.", arn, version)
}

// findPolicy returns the policy of an ARN that the account can see: one of its own or of AWS's. Nil if there is none.
func findPolicy(tx *service.Tx, arn string) (*record.ManagedPolicy, error) {
	parsed, err := parsePolicyARN(tx, arn)
	if err != nil {
		return nil, err
	}
	if m := identity.ManagedByARN(parsed.Own()); m != nil {
		return awsPolicy(m), nil
	}
	if parsed.Account != account(tx) {
		return nil, nil
	}
	p, err := lookup[*record.ManagedPolicy](tx, record.PolicyStoreKey(parsed.Account, parsed.Name))
	if err != nil || p == nil || p.ARN() != parsed.Own() {
		return nil, err
	}
	return p, nil
}

// ownPolicy returns a policy that is about to be changed, which only the account's own can be.
func ownPolicy(tx *service.Tx, arn string) (*record.ManagedPolicy, error) {
	parsed, err := parsePolicyARN(tx, arn)
	if err != nil {
		return nil, err
	}
	if parsed.Account != account(tx) {
		return nil, api.Errorf(api.AccessDeniedException, "Policy is outside your own account.")
	}
	p, err := findPolicy(tx, arn)
	if err == nil && p == nil {
		return nil, noPolicy(arn)
	}
	return p, err
}

// onPolicy resolves the managed policy that a request names. missing is what to answer if it is not there; nil for the usual words.
func onPolicy[Q any](action string, arn func(*Q) string, missing func(*Q) error) func(*service.Tx, *Q) ([]service.Target, error) {
	return func(tx *service.Tx, q *Q) ([]service.Target, error) {
		p, err := findPolicy(tx, arn(q))
		switch {
		case err != nil:
			return nil, err
		case p != nil:
			return target(tx, action, arn(q), p.Tags, nil), nil
		case missing != nil:
			return target(tx, action, arn(q), nil, missing(q)), nil
		}
		return target(tx, action, arn(q), nil, noPolicy(arn(q))), nil
	}
}

// onOwnPolicy is onPolicy for what changes the policy: those of others are not missing, but refused.
func onOwnPolicy[Q any](action string, arn func(*Q) string, missing func(*Q) error) func(*service.Tx, *Q) ([]service.Target, error) {
	resolve := onPolicy(action, arn, missing)
	return func(tx *service.Tx, q *Q) ([]service.Target, error) {
		targets, err := resolve(tx, q)
		if err == nil {
			if p, _ := identity.ParseARN(arn(q)); p.Account != account(tx) {
				targets[0].Missing = nil
			}
		}
		return targets, err
	}
}

// policyAnswer is a policy as answers have it. Tags are there only in answers that have them for each policy.
func policyAnswer(tx *service.Tx, p *record.ManagedPolicy, attached, bounds int64) api.Policy {
	return api.Policy{
		PolicyName: api.Some(p.Name), PolicyId: api.Some(p.ID), Arn: api.Some(moved(tx, p.ARN())), Path: api.Some(p.Path),
		DefaultVersionId: api.Some(versionID(p.Default)), AttachmentCount: api.Some(attached), PermissionsBoundaryUsageCount: api.Some(bounds),
		IsAttachable: api.Some(true), CreateDate: api.Some(p.Created), UpdateDate: api.Some(p.Updated),
	}
}

func versionID(n int) string { return "v" + strconv.Itoa(n) }

// policyUses counts what each of some policies is attached to, and is the permissions boundary of.
func policyUses(tx *service.Tx, list []*record.ManagedPolicy) (attached, bounds []int64, err error) {
	names := make([]string, 0, 2*len(list))
	for _, p := range list {
		names = append(names, record.AttachmentCounter(account(tx), p.ARN()))
	}
	for _, p := range list {
		names = append(names, record.BoundaryCounter(account(tx), p.ARN()))
	}
	counts, err := tx.Counts(names)
	if err != nil {
		return nil, nil, err
	}
	return counts[:len(list)], counts[len(list):], nil
}

// checkPolicyDocument reads the document of a managed policy.
func checkPolicyDocument(document string) error {
	if err := checkIdentityPolicy(document); err != nil {
		return err
	}
	if size(document) > managedPolicyBytes {
		return tooMany("PolicySize", managedPolicyBytes)
	}
	return nil
}

func (s *IAM) createPolicy() *service.Op {
	conds := requestTags(func(q *api.CreatePolicyRequest) []api.IamTag { return q.Tags })
	return service.Def[api.CreatePolicyRequest, api.CreatePolicyResponse]{
		Name: "CreatePolicy", Kind: service.Change, Actions: []string{"iam:CreatePolicy", "iam:TagPolicy"},
		Cond: conds.Cond(), CondKeys: conds.Names(),
		Resolve: func(tx *service.Tx, q *api.CreatePolicyRequest) ([]service.Target, error) {
			arn := arnOf(tx, "policy", q.Path.V, q.PolicyName.V)
			targets := target(tx, "iam:CreatePolicy", arn, nil, nil)
			if len(q.Tags) > 0 {
				targets = append(targets, target(tx, "iam:TagPolicy", arn, nil, nil)...)
			}
			return targets, nil
		},
		Audit: func(q *api.CreatePolicyRequest, p *audit.Params) {
			str(p, "policyName", q.PolicyName)
			str(p, "path", q.Path)
			str(p, "policyDocument", q.PolicyDocument)
			str(p, "description", q.Description)
			auditTags(p, q.Tags)
		},
		Result: func(r *api.CreatePolicyResponse, p *audit.Params) {
			var made audit.Params
			str(&made, "policyName", r.Policy.PolicyName)
			str(&made, "policyId", r.Policy.PolicyId)
			str(&made, "arn", r.Policy.Arn)
			p.Obj("policy", &made)
		},
		Plan: func(tx *service.Tx, q *api.CreatePolicyRequest, _ []service.Target) (*api.CreatePolicyResponse, error) {
			if err := checkPolicyDocument(q.PolicyDocument.V); err != nil {
				return nil, err
			}
			p, err := newPolicy(tx, q)
			if err != nil {
				return nil, err
			}
			tx.Put(p)
			answer := policyAnswer(tx, p, 0, 0)
			if len(p.Tags) > 0 {
				answer.Tags = tagsOf(p.Tags)
			}
			return &api.CreatePolicyResponse{Policy: &answer}, nil
		},
	}.Op("iam")
}

// newPolicy makes a managed policy, for the caller to put. Its name must be free, whatever its case and path.
func newPolicy(tx *service.Tx, q *api.CreatePolicyRequest) (*record.ManagedPolicy, error) {
	old, err := lookup[*record.ManagedPolicy](tx, record.PolicyStoreKey(account(tx), q.PolicyName.V))
	if err != nil {
		return nil, err
	}
	if old != nil {
		return nil, api.Errorf(api.EntityAlreadyExists, "A policy called %s already exists. Duplicate names are not allowed.", q.PolicyName.V)
	}
	n, err := tx.Counter(record.PolicyCounter(account(tx)))
	if err != nil {
		return nil, err
	}
	if n >= policiesPerAccount {
		return nil, tooMany("PoliciesPerAccount", policiesPerAccount)
	}
	p := &record.ManagedPolicy{
		Account: account(tx), ID: identity.NewUniqueID(identity.PolicyIDPrefix), Name: q.PolicyName.V, Path: "/", Description: q.Description.V,
		Created: tx.Now, Updated: tx.Now, Default: 1, Last: 1,
		Versions: []record.PolicyVersion{{Number: 1, Document: q.PolicyDocument.V, Created: tx.Now}},
	}
	if q.Path.V != "" {
		p.Path = q.Path.V
	}
	p.Tags, err = addPolicyTags(nil, q.Tags)
	return p, err
}

func (s *IAM) getPolicy() *service.Op {
	arn := func(q *api.GetPolicyRequest) string { return q.PolicyArn.V }
	return service.Def[api.GetPolicyRequest, api.GetPolicyResponse]{
		Name: "GetPolicy", Kind: service.Read, Actions: []string{"iam:GetPolicy"},
		Resolve: onPolicy("iam:GetPolicy", arn, nil),
		Audit:   func(q *api.GetPolicyRequest, p *audit.Params) { str(p, "policyArn", q.PolicyArn) },
		Plan: func(tx *service.Tx, q *api.GetPolicyRequest, _ []service.Target) (*api.GetPolicyResponse, error) {
			p, err := findPolicy(tx, arn(q))
			if err != nil {
				return nil, err
			}
			if p == nil {
				return nil, noPolicy(arn(q))
			}
			attached, bounds, err := policyUses(tx, []*record.ManagedPolicy{p})
			if err != nil {
				return nil, err
			}
			answer := policyAnswer(tx, p, attached[0], bounds[0])
			answer.Tags = tagsOf(p.Tags)
			if p.Description != "" {
				answer.Description = api.Some(p.Description)
			}
			return &api.GetPolicyResponse{Policy: &answer}, nil
		},
	}.Op("iam")
}

func (s *IAM) deletePolicy() *service.Op {
	arn := func(q *api.DeletePolicyRequest) string { return q.PolicyArn.V }
	return service.Def[api.DeletePolicyRequest, service.None]{
		Name: "DeletePolicy", Kind: service.Change, Actions: []string{"iam:DeletePolicy"},
		Resolve: onOwnPolicy("iam:DeletePolicy", arn, nil),
		Audit:   func(q *api.DeletePolicyRequest, p *audit.Params) { str(p, "policyArn", q.PolicyArn) },
		Plan: func(tx *service.Tx, q *api.DeletePolicyRequest, _ []service.Target) (*service.None, error) {
			p, err := ownPolicy(tx, arn(q))
			if err != nil {
				return nil, err
			}
			// Whoever attaches the policy meanwhile changes one of the counters.
			for _, counter := range []string{record.AttachmentCounter(p.Account, p.ARN()), record.BoundaryCounter(p.Account, p.ARN())} {
				n, err := tx.Counter(counter)
				if err != nil {
					return nil, err
				}
				if n > 0 {
					return nil, api.Errorf(api.DeleteConflict, "Cannot delete a policy attached to entities.")
				}
			}
			if len(p.Versions) > 1 {
				return nil, api.Errorf(api.DeleteConflict, "This policy has more than one version. Before you delete a policy, you must delete the "+
					"policy's versions. The default version is deleted with the policy.")
			}
			tx.Delete(p)
			return &service.None{}, nil
		},
	}.Op("iam")
}

// findVersion returns where a version of a policy stands by its ID, -1 if there is none.
func findVersion(p *record.ManagedPolicy, id string) int {
	return slices.IndexFunc(p.Versions, func(v record.PolicyVersion) bool { return versionID(v.Number) == id })
}
