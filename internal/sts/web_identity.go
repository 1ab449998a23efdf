package sts

import (
	"time"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/audit"
	"github.com/keyturn/keyturn/internal/identity"
	"github.com/keyturn/keyturn/internal/oidc"
	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/service"
)

func (s *STS) webIdentityOperations() []*service.Op {
	return []*service.Op{s.assumeRoleWithWebIdentity()}
}

// assumeRoleWithWebIdentity makes a session of a role for whoever brings the token of a provider that the role trusts. WebIdentities.Bearer
// has verified the token. Nobody is told whether there is such a role.
func (s *STS) assumeRoleWithWebIdentity() *service.Op {
	conds := webIdentityConditions()
	return service.Def[api.AssumeRoleWithWebIdentityRequest, api.AssumeRoleWithWebIdentityResponse]{
		Name: "AssumeRoleWithWebIdentity", Kind: service.Read, Unsigned: true,
		Actions: []string{"sts:AssumeRoleWithWebIdentity", "sts:TagSession", "sts:SetSourceIdentity"},
		Cond:    conds.Cond(), CondKeys: conds.Names(),
		Resolve: s.resolveWebIdentity,
		Audit:   auditWebIdentity,
		Result: func(r *api.AssumeRoleWithWebIdentityResponse, p *audit.Params) {
			auditRoleSession(p, r.Credentials, r.AssumedRoleUser)
			str(p, "subjectFromWebIdentityToken", r.SubjectFromWebIdentityToken)
			str(p, "provider", r.Provider)
			str(p, "audience", r.Audience)
			str(p, "sourceIdentity", r.SourceIdentity)
			if r.PackedPolicySize.Set {
				p.Int("packedPolicySize", r.PackedPolicySize.V)
			}
		},
		Plan: s.planWebIdentity,
	}.Op("sts")
}

// webIdentityAsks are what the token of a request says, and what it asks for.
type webIdentityAsks struct {
	claims         *oidc.Claims
	tags           []record.Tag
	transitive     []string
	sourceIdentity string
}

// webIdentityRequest reads the token of a request again. That it may be believed is what the caller stands for: only Bearer makes such.
func webIdentityRequest(q *api.AssumeRoleWithWebIdentityRequest) (*webIdentityAsks, error) {
	t, err := oidc.Parse(q.WebIdentityToken.V)
	if err != nil {
		return nil, err
	}
	asks := &webIdentityAsks{claims: &t.Claims}
	tags, transitive, err := t.Claims.SessionTags()
	if err != nil {
		return nil, err
	}
	for _, tag := range tags {
		asks.tags = append(asks.tags, record.Tag{Key: tag.Name, Value: tag.Value})
	}
	asks.transitive = transitive
	asks.sourceIdentity, err = t.Claims.SourceIdentity()
	return asks, err
}

func webIdentityOf(tx *service.Tx, q *api.AssumeRoleWithWebIdentityRequest) (*webIdentityAsks, error) {
	return service.Once(tx, "web identity", func() (*webIdentityAsks, error) { return webIdentityRequest(q) })
}

// webIdentityConditions are the condition keys of what a session is asked for with ("IAM and AWS STS condition context keys", IAM User
// Guide).
func webIdentityConditions() service.Conditions[api.AssumeRoleWithWebIdentityRequest] {
	type request = api.AssumeRoleWithWebIdentityRequest
	asked := func(of func(a *webIdentityAsks, rest string) []string) func(*service.Tx, *request, *service.Target, string) []string {
		return func(tx *service.Tx, q *request, _ *service.Target, rest string) []string {
			a, err := webIdentityOf(tx, q)
			if err != nil {
				tx.Fail(err)
				return nil
			}
			return of(a, rest)
		}
	}
	return service.Conditions[request]{
		{Name: "aws:RequestTag/*", Values: asked(func(a *webIdentityAsks, rest string) []string {
			return service.Folded(func(yield func(name, value string) bool) {
				for _, t := range a.tags {
					if !yield(t.Key, t.Value) {
						return
					}
				}
			}, rest)
		})},
		{Name: "aws:TagKeys", Values: asked(func(a *webIdentityAsks, _ string) []string {
			var names []string
			for _, t := range a.tags {
				names = append(names, t.Key)
			}
			return names
		})},
		{Name: "sts:RoleSessionName", Values: func(_ *service.Tx, q *request, _ *service.Target, _ string) []string {
			return []string{q.RoleSessionName.V}
		}},
		{Name: "sts:SourceIdentity", Values: asked(func(a *webIdentityAsks, _ string) []string {
			if a.sourceIdentity == "" {
				return nil
			}
			return []string{a.sourceIdentity}
		})},
		{Name: "sts:TransitiveTagKeys", Values: asked(func(a *webIdentityAsks, _ string) []string { return a.transitive })},
	}
}

func webIdentityDenied(action string) *api.Error {
	return api.Errorf(api.AccessDeniedException, "Not authorized to perform %s", action)
}

// resolveWebIdentity finds the role; its trust policy decides. Setting tags and a source identity needs permissions of its own there.
func (s *STS) resolveWebIdentity(tx *service.Tx, q *api.AssumeRoleWithWebIdentityRequest) ([]service.Target, error) {
	const action = "sts:AssumeRoleWithWebIdentity"
	arn, ok := webIdentityRoleARN(q)
	if !ok || arn.Partition != record.Partition(tx.Call.Region) {
		return nil, errRoleARN
	}
	if c := tx.Call.Caller; c.Type != "WebIdentityUser" || c.Account != arn.Account {
		return nil, webIdentityDenied(action)
	}
	asks, err := webIdentityOf(tx, q)
	if err != nil {
		return nil, errToken
	}
	target := service.Target{Action: action, Account: arn.Account, ARN: q.RoleArn.V, Denied: webIdentityDenied(action)}
	role, err := webIdentityRole(tx, arn)
	if err != nil {
		return nil, err
	}
	if role == nil {
		target.Missing = target.Denied
		return []service.Target{target}, nil
	}
	target.Tags = role.Tags
	if target.Policy, err = s.config.Directory.Compiled(role.Trust); err != nil {
		return nil, err
	}
	targets := []service.Target{target}
	also := func(action string) {
		target.Action, target.Denied = action, webIdentityDenied(action)
		targets = append(targets, target)
	}
	if len(asks.tags) > 0 {
		also("sts:TagSession")
	}
	if asks.sourceIdentity != "" {
		also("sts:SetSourceIdentity")
	}
	return targets, nil
}

// webIdentityRole returns the role of an ARN, nil if there is none. Of a call it is one and the same role: nothing guards what is read for it, and a
// session must not be of another one than that whose trust policy was asked.
func webIdentityRole(tx *service.Tx, arn identity.Parsed) (*record.Role, error) {
	return service.Once(tx, "web identity role", func() (*record.Role, error) { return findRole(tx, arn) })
}

func (s *STS) planWebIdentity(tx *service.Tx, q *api.AssumeRoleWithWebIdentityRequest, _ []service.Target) (*api.AssumeRoleWithWebIdentityResponse, error) {
	asks, err := webIdentityOf(tx, q)
	if err != nil {
		return nil, err
	}
	arn, _ := webIdentityRoleARN(q)
	role, err := webIdentityRole(tx, arn)
	if err != nil {
		return nil, err
	}
	if role == nil {
		return nil, webIdentityDenied("sts:AssumeRoleWithWebIdentity")
	}
	seconds, err := sessionSeconds(tx.Call.Caller, role, q.DurationSeconds)
	if err != nil {
		return nil, err
	}
	if err := checkSessionPolicies(q.Policy, q.PolicyArns); err != nil {
		return nil, err
	}
	session, err := newRoleSession(tx, role, q.RoleSessionName.V, q.Policy, q.PolicyArns)
	if err != nil {
		return nil, err
	}
	now := s.config.RealTime()
	session.Issued, session.Expires = now, now.Add(time.Duration(seconds)*time.Second)
	session.Tags, session.Transitive, session.SourceIdentity = asks.tags, asks.transitive, asks.sourceIdentity
	session.Provider = webIdentityProviderARN("aws", arn.Account, asks.claims.Issuer)
	made, err := mintRoleSession(tx, role, session)
	if err != nil {
		return nil, err
	}
	caller := tx.Call.Caller
	answer := &api.AssumeRoleWithWebIdentityResponse{
		Credentials: made.credentials, AssumedRoleUser: made.user, PackedPolicySize: made.packed,
		SubjectFromWebIdentityToken: api.Some(asks.claims.Subject),
		Provider:                    api.Some(caller.Session.Provider),
		Audience:                    api.Some(caller.Session.Claims[webIdentityKey(asks.claims.Issuer, "aud")][0]),
	}
	if asks.sourceIdentity != "" {
		answer.SourceIdentity = api.Some(asks.sourceIdentity)
	}
	return answer, nil
}

// auditWebIdentity records what may be seen of a request: all but the token. Of that it records what AWS records.
func auditWebIdentity(q *api.AssumeRoleWithWebIdentityRequest, p *audit.Params) {
	asks, err := webIdentityRequest(q)
	if err == nil && len(asks.tags) > 0 {
		p.StrMap("principalTags", tagMap(asks.tags))
		p.StrList("transitiveTagKeys", asks.transitive)
	}
	str(p, "roleArn", q.RoleArn)
	str(p, "roleSessionName", q.RoleSessionName)
	auditSessionPolicies(p, q.Policy, q.PolicyArns)
	if q.DurationSeconds.Set {
		p.Int("durationSeconds", q.DurationSeconds.V)
	}
}
