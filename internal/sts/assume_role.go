package sts

import (
	"time"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/audit"
	"github.com/keyturn/keyturn/internal/identity"
	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/service"
)

func (s *STS) assumeRoleOperations() []*service.Op {
	return []*service.Op{s.assumeRole(), s.getAccessKeyInfo()}
}

// assumeRole makes a session of a role. Who may is for the role's trust policy to say, and for IAM. It is a Change for the code of an MFA
// device, which is used up; without one it writes nothing.
func (s *STS) assumeRole() *service.Op {
	conds := assumeRoleConditions()
	return service.Def[api.AssumeRoleRequest, api.AssumeRoleResponse]{
		Name: "AssumeRole", Kind: service.Change, Actions: []string{"sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity"},
		Cond: conds.Cond(), CondKeys: conds.Names(),
		Resolve: s.resolveAssumeRole,
		Audit:   auditAssumeRole,
		Result:  auditAssumedRole,
		Plan:    s.planAssumeRole,
	}.Op("sts")
}

// assumeRoleConditions are the condition keys of "Actions, resources, and condition keys for AWS Security Token Service" (Service
// Authorization Reference).
func assumeRoleConditions() service.Conditions[api.AssumeRoleRequest] {
	type request = api.AssumeRoleRequest
	return append(requestTags(),
		oneValue("sts:ExternalId", func(_ *service.Tx, q *request) string { return q.ExternalId.V }),
		oneValue("sts:RoleSessionName", func(_ *service.Tx, q *request) string { return q.RoleSessionName.V }),
		oneValue("sts:SourceIdentity", func(tx *service.Tx, q *request) string { return sourceIdentity(tx.Call.Caller, q) }),
		// A wrong code never gets as far as to be asked about. Without one, it is for the caller's own session to say.
		oneValue("aws:MultiFactorAuthPresent", func(_ *service.Tx, q *request) string {
			if q.TokenCode.Set {
				return "true"
			}
			return ""
		}),
		oneValue("aws:MultiFactorAuthAge", func(_ *service.Tx, q *request) string {
			if q.TokenCode.Set {
				return "0"
			}
			return ""
		}),
	)
}

// oneValue is a condition key with one value, "" for none.
func oneValue(name string, of func(*service.Tx, *api.AssumeRoleRequest) string) service.Condition[api.AssumeRoleRequest] {
	return service.Condition[api.AssumeRoleRequest]{Name: name, Values: func(tx *service.Tx, q *api.AssumeRoleRequest, _ *service.Target, _ string) []string {
		if v := of(tx, q); v != "" {
			return []string{v}
		}
		return nil
	}}
}

func invalid(format string, args ...any) *api.Error {
	return api.Errorf(api.ValidationException, format, args...)
}

func denied(format string, args ...any) *api.Error {
	return api.Errorf(api.AccessDeniedException, format, args...)
}

// roleARN reads the ARN of a role in the call's partition.
func roleARN(tx *service.Tx, arn string) (identity.Parsed, error) {
	p, ok := identity.ParseARN(arn)
	if !ok || p.Service != "iam" || p.Kind != string(record.RoleKind) || p.Partition != record.Partition(tx.Call.Region) || !service.IsAccountID(p.Account) {
		return p, invalid("%s is invalid", arn)
	}
	return p, nil
}

// findRole returns the role of an ARN, whatever account has it; nil if there is none, or if its account is suspended.
func findRole(tx *service.Tx, p identity.Parsed) (*record.Role, error) {
	a, err := service.Lookup[*record.Account](tx, record.AccountStoreKey(p.Account))
	if err != nil || a != nil && !a.Suspended.IsZero() {
		return nil, err
	}
	n, err := service.Lookup[*record.Name](tx, record.NameStoreKey(p.Account, record.RoleKind, p.Name))
	if err != nil || n == nil {
		return nil, err
	}
	r, err := service.Lookup[*record.Role](tx, record.PrincipalStoreKey(p.Account, record.RoleKind, n.ID))
	if err != nil || r == nil || r.Name != p.Name || r.Path != p.Path {
		return nil, err
	}
	return r, nil
}

func (s *STS) resolveAssumeRole(tx *service.Tx, q *api.AssumeRoleRequest) ([]service.Target, error) {
	caller := tx.Call.Caller
	if caller.Type == "Root" {
		return nil, denied("Roles may not be assumed by root accounts.")
	}
	arn, err := roleARN(tx, q.RoleArn.V)
	if err != nil {
		return nil, err
	}
	if err := checkAssumeRole(caller, q); err != nil {
		return nil, err
	}
	if err := s.checkCode(tx, q); err != nil {
		return nil, err
	}
	role, err := findRole(tx, arn)
	if err != nil {
		return nil, err
	}
	var targets []service.Target
	for _, action := range assumeRoleActions(caller, q) {
		// Whether the role is there is told to nobody.
		refused := denied("User: %s is not authorized to perform: %s on resource: %s", caller.ARN, action, q.RoleArn.V)
		t := service.Target{Action: action, Account: arn.Account, ARN: q.RoleArn.V, Denied: refused}
		if role == nil {
			t.Missing = refused
		} else {
			t.Tags = role.Tags
			if t.Policy, err = s.config.Directory.Compiled(role.Trust); err != nil {
				return nil, err
			}
		}
		targets = append(targets, t)
	}
	return targets, nil
}

// assumeRoleActions are what a call needs to be allowed: session tags and a source identity need more, also where they come from the
// session of the caller ("Pass session tags in AWS STS", "Monitor and control actions taken with assumed roles", IAM User Guide).
func assumeRoleActions(caller *service.Caller, q *api.AssumeRoleRequest) []string {
	actions := []string{"sts:AssumeRole"}
	if len(q.Tags) > 0 || len(inheritedTags(caller)) > 0 {
		actions = append(actions, "sts:TagSession")
	}
	if sourceIdentity(caller, q) != "" {
		actions = append(actions, "sts:SetSourceIdentity")
	}
	return actions
}

// checkAssumeRole checks what needs no role to be checked.
func checkAssumeRole(caller *service.Caller, q *api.AssumeRoleRequest) error {
	if len(q.ProvidedContexts) > 0 { // nothing here makes any
		return api.Errorf(api.InvalidContextAssertion, "The provided context assertion is not valid.")
	}
	if err := checkSessionPolicies(q.Policy, q.PolicyArns); err != nil {
		return err
	}
	if had := callersSourceIdentity(caller); had != "" && q.SourceIdentity.Set && q.SourceIdentity.V != had {
		return invalid("The source identity is already set for this assume role session")
	}
	_, _, err := sessionTags(caller, q)
	return err
}

// checkCode verifies the code of an MFA device, if there is one, before anything is decided: conditions may ask for it.
func (s *STS) checkCode(tx *service.Tx, q *api.AssumeRoleRequest) error {
	if q.SerialNumber.Set != q.TokenCode.Set {
		return denied("MultiFactorAuthentication failed, must provide both MFA serial number and one time pass code.")
	}
	if !q.TokenCode.Set {
		return nil
	}
	_, err := s.config.MFA.Check(tx, q.SerialNumber.V, q.TokenCode.V)
	return err
}

func callersSourceIdentity(caller *service.Caller) string {
	if caller.Session == nil {
		return ""
	}
	return caller.Session.SourceIdentity
}

// sourceIdentity is that of the session to be made: once set, it stays through all sessions that follow.
func sourceIdentity(caller *service.Caller, q *api.AssumeRoleRequest) string {
	if had := callersSourceIdentity(caller); had != "" {
		return had
	}
	return q.SourceIdentity.V
}

// How long sessions are, in seconds, by default and if a role's session makes them.
const (
	defaultSeconds = 3600
	chainedSeconds = 3600
)

// sessionSeconds is how long the session will be.
func sessionSeconds(caller *service.Caller, role *record.Role, asked api.Opt[int64]) (int64, error) {
	seconds := int64(defaultSeconds)
	if asked.Set {
		seconds = asked.V
	}
	switch {
	case caller.Type == "AssumedRole" && seconds > chainedSeconds:
		return 0, invalid("The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining.")
	case seconds > role.MaxSeconds:
		return 0, invalid("The requested DurationSeconds exceeds the MaxSessionDuration set for this role.")
	}
	return seconds, nil
}

func (s *STS) planAssumeRole(tx *service.Tx, q *api.AssumeRoleRequest, _ []service.Target) (*api.AssumeRoleResponse, error) {
	caller := tx.Call.Caller
	arn, err := roleARN(tx, q.RoleArn.V)
	if err != nil {
		return nil, err
	}
	role, err := findRole(tx, arn)
	if err != nil {
		return nil, err
	}
	seconds, err := sessionSeconds(caller, role, q.DurationSeconds)
	if err != nil {
		return nil, err
	}
	session, err := newRoleSession(tx, role, q.RoleSessionName.V, q.Policy, q.PolicyArns)
	if err != nil {
		return nil, err
	}
	if session.Tags, session.Transitive, err = sessionTags(caller, q); err != nil {
		return nil, err
	}
	if inherited := inheritedTags(caller); len(inherited) > 0 {
		tx.Additional().StrMap("incomingTransitiveTags", tagMap(inherited))
	}
	now := s.config.RealTime()
	session.SourceIdentity, session.MFA = sourceIdentity(caller, q), mfaOf(caller, q, now)
	session.Issued, session.Expires = now, now.Add(time.Duration(seconds)*time.Second)
	made, err := mintRoleSession(tx, role, session)
	if err != nil {
		return nil, err
	}
	answer := &api.AssumeRoleResponse{
		Credentials: made.credentials, AssumedRoleUser: made.user,
		PackedPolicySize: made.packed, SessionTokenUtilization: made.utilization, SessionTokenSize: made.size,
	}
	if session.SourceIdentity != "" {
		answer.SourceIdentity = api.Some(session.SourceIdentity)
	}
	return answer, nil
}

// mfaOf is when a code was given for a session, zero for never. Only the audit log ever tells: conditions hear nothing of MFA in the
// sessions of roles ("Configuring MFA-protected API access", IAM User Guide), where it counts for assuming the role and no longer.
func mfaOf(caller *service.Caller, q *api.AssumeRoleRequest, now time.Time) time.Time {
	switch {
	case q.TokenCode.Set:
		return now
	case caller.Session != nil && caller.Type != "AssumedRole":
		return caller.Session.MFA
	}
	return time.Time{}
}

func auditAssumeRole(q *api.AssumeRoleRequest, p *audit.Params) {
	str(p, "roleArn", q.RoleArn)
	str(p, "roleSessionName", q.RoleSessionName)
	str(p, "externalId", q.ExternalId)
	if q.DurationSeconds.Set {
		p.Int("durationSeconds", q.DurationSeconds.V)
	}
	auditSessionPolicies(p, q.Policy, q.PolicyArns)
	if len(q.Tags) > 0 {
		list := make([]audit.Params, len(q.Tags))
		for i, t := range q.Tags {
			list[i].Str("key", t.Key.V)
			list[i].Str("value", t.Value.V)
		}
		p.ObjList("tags", list)
	}
	if len(q.TransitiveTagKeys) > 0 {
		p.StrList("transitiveTagKeys", q.TransitiveTagKeys)
	}
	str(p, "serialNumber", q.SerialNumber)
	str(p, "sourceIdentity", q.SourceIdentity)
}

func auditAssumedRole(r *api.AssumeRoleResponse, p *audit.Params) {
	auditRoleSession(p, r.Credentials, r.AssumedRoleUser)
	if r.PackedPolicySize.Set {
		p.Int("packedPolicySize", r.PackedPolicySize.V)
	}
	str(p, "sourceIdentity", r.SourceIdentity)
}

// str records a member if it is there.
func str(p *audit.Params, name string, v api.Opt[string]) {
	if v.Set {
		p.Str(name, v.V)
	}
}
