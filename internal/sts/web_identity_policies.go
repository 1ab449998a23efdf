package sts

import (
	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/audit"
	"github.com/keyturn/keyturn/internal/identity"
	"github.com/keyturn/keyturn/internal/policy"
	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/service"
)

const (
	webIdentityPolicyARNs = 10
	// webIdentityPacked is how many bytes of session policies and session tags are all that a session may have: more would not fit into a
	// session token.
	webIdentityPacked = 4096
)

// webIdentityLimits are the session policies that a session is asked for with.
type webIdentityLimits struct {
	limited bool
	inline  string
	managed []string // ARNs in the partition "aws"
}

// webIdentitySessionPolicies checks session policies: they are identity policies, and managed ones are there.
func webIdentitySessionPolicies(tx *service.Tx, account string, document api.Opt[string], arns []api.PolicyDescriptorType) (*webIdentityLimits, error) {
	limits := &webIdentityLimits{limited: document.Set || len(arns) > 0}
	if document.Set {
		if err := webIdentityInlinePolicy(document.V); err != nil {
			return nil, err
		}
		limits.inline = document.V
	}
	if len(arns) > webIdentityPolicyARNs {
		return nil, api.Errorf(api.ValidationException, "1 validation error detected: Value at 'policyArns' failed to satisfy constraint: Member must have length less than or equal to %d", webIdentityPolicyARNs)
	}
	for _, a := range arns {
		own, err := webIdentityManagedPolicy(tx, account, a.Arn.V)
		if err != nil {
			return nil, err
		}
		limits.managed = append(limits.managed, own)
	}
	return limits, nil
}

func webIdentityInlinePolicy(document string) error {
	p, err := policy.Parse([]byte(document))
	if err != nil {
		return api.Errorf(api.MalformedPolicyDocument, "%s", err.Error())
	}
	for _, st := range p.Statements {
		if st.Principal != nil || st.NotPrincipal != nil {
			return api.Errorf(api.MalformedPolicyDocument, "Policy document should not specify a principal.")
		}
		if st.Resources == nil && st.NotResources == nil {
			return api.Errorf(api.MalformedPolicyDocument, "Policy statement must contain resources.")
		}
	}
	return nil
}

// webIdentityManagedPolicy returns the ARN of a policy of AWS's or of the role's account in the partition "aws".
func webIdentityManagedPolicy(tx *service.Tx, account, arn string) (string, error) {
	p, ok := identity.ParseARN(arn)
	if !ok || p.Kind != "policy" || p.Partition != record.Partition(tx.Call.Region) {
		return "", api.Errorf(api.ValidationException, "ARN %s is not valid.", arn)
	}
	own := p.Own()
	if identity.ManagedByARN(own) != nil {
		return own, nil
	}
	missing := api.Errorf(api.ValidationException, "Policy %s does not exist or is not attachable.", arn)
	if p.Account != account {
		return "", missing
	}
	r, err := service.Lookup[*record.ManagedPolicy](tx, record.PolicyStoreKey(p.Account, p.Name))
	if err != nil {
		return "", err
	}
	if r == nil || r.ARN() != own {
		return "", missing
	}
	return own, nil
}

// packed is how much of what a session may have its policies and tags take, in percent: nothing if there are none.
func (l *webIdentityLimits) packed(tags []record.Tag) (api.Opt[int64], error) {
	if !l.limited && len(tags) == 0 {
		return api.Opt[int64]{}, nil
	}
	n := len(l.inline)
	for _, arn := range l.managed {
		n += len(arn)
	}
	for _, t := range tags {
		n += len(t.Key) + len(t.Value)
	}
	percent := int64(n*100+webIdentityPacked-1) / webIdentityPacked
	if percent > 100 {
		return api.Opt[int64]{}, webIdentityTooPacked(percent)
	}
	return api.Some(percent), nil
}

func webIdentityTooPacked(percent int64) *api.Error {
	return api.Errorf(api.PackedPolicyTooLarge, "Packed policy consumes %d%% of allotted space, please use smaller policy.", percent)
}

// auditWebIdentity records what may be seen of a request: all but the token. Of that it records what AWS records.
func auditWebIdentity(q *api.AssumeRoleWithWebIdentityRequest, p *audit.Params) {
	asks, err := webIdentityRequest(q)
	if err == nil && len(asks.tags) > 0 {
		tags := make(map[string]string, len(asks.tags))
		for _, t := range asks.tags {
			tags[t.Key] = t.Value
		}
		p.StrMap("principalTags", tags)
		p.StrList("transitiveTagKeys", asks.transitive)
	}
	if q.RoleArn.Set {
		p.Str("roleArn", q.RoleArn.V)
	}
	if q.RoleSessionName.Set {
		p.Str("roleSessionName", q.RoleSessionName.V)
	}
	if q.Policy.Set {
		p.Str("policy", q.Policy.V)
	}
	arns := make([]audit.Params, len(q.PolicyArns))
	for i, a := range q.PolicyArns {
		arns[i].Str("arn", a.Arn.V)
	}
	if len(arns) > 0 {
		p.ObjList("policyArns", arns)
	}
	if q.DurationSeconds.Set {
		p.Int("durationSeconds", q.DurationSeconds.V)
	}
}
