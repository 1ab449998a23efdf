package kms_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/audit"
	"github.com/keyturn/keyturn/internal/authz"
	"github.com/keyturn/keyturn/internal/kms"
	"github.com/keyturn/keyturn/internal/policy"
	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/service"
)

// people is a kms.Principals of whom tests put into it.
type people struct {
	byARN      map[string]*service.Caller
	configured []*service.Caller
}

func (p *people) Principal(_ context.Context, arn string) (*service.Caller, error) {
	return p.byARN[arn], nil
}

func (p *people) PrincipalByID(context.Context, string, record.PrincipalKind, string) (*service.Caller, error) {
	return nil, nil
}

func (p *people) ConfiguredCallers(string) []*service.Caller { return p.configured }

func (p *people) add(c *service.Caller) *service.Caller {
	if p.byARN == nil {
		p.byARN = map[string]*service.Caller{}
	}
	p.byARN[c.ARN] = c
	if c.Type == "IAMUser" && c.Account == account {
		p.configured = append(p.configured, c)
	}
	return c
}

func explainBench(t *testing.T) (*bench, *people) {
	t.Helper()
	who := &people{}
	b := newBench(t, kms.Config{Principals: who})
	t.Cleanup(func() { b.close(t) })
	return b, who
}

func (b *bench) explain(t checker, q *api.ExplainAccessRequest) *api.ExplainAccessResponse {
	t.Helper()
	resp, err := b.as(t, b.caller, "keyturn.ExplainAccess", q)
	if err != nil {
		t.Fatalf("ExplainAccess: %v", err)
	}
	return resp.(*api.ExplainAccessResponse)
}

func entry(key string, values ...string) api.AccessContext {
	return api.AccessContext{Key: str(key), Values: append([]string{}, values...)}
}

// connection is what the calls of a bench have.
var connection = []api.AccessContext{entry("aws:SourceIp", "192.0.2.1"), entry("aws:UserAgent", "test"), entry("aws:SecureTransport", "false")}

// session is a session of a role of the account.
func session(t *testing.T, role, name string, limits, boundary string, statements ...string) *service.Caller {
	t.Helper()
	base := person(t, "arn:aws:iam::"+account+":user/base", statements...)
	id := &authz.Identity{}
	if base.Identity != nil {
		id = base.Identity
	}
	compile := func(statement string) *authz.Named {
		p, err := policy.Parse([]byte(`{"Version":"2012-10-17","Statement":[` + statement + `]}`))
		if err != nil {
			t.Fatal(err)
		}
		return &authz.Named{Name: "limit", Compiled: policy.Compile(p)}
	}
	if limits != "" {
		id.Limited, id.Session = true, []authz.Named{*compile(limits)}
	}
	if boundary != "" {
		id.Boundary = compile(boundary)
	}
	return service.NewCaller(service.Caller{
		Account: account, ARN: "arn:aws:sts::" + account + ":assumed-role/" + role + "/" + name, Type: "AssumedRole", PrincipalID: "AROA" + role + ":" + name,
		Identity: id, Tags: []record.Tag{{Key: "team", Value: "x"}},
		Session: &service.Session{NoMFA: true, Role: audit.SessionIssuer{Type: "Role", PrincipalID: "AROA" + role, ARN: "arn:aws:iam::" + account + ":role/" + role}},
	})
}

// TestExplainAsDecided makes up keys with policies and grants, principals with policies, and calls. What is explained of each call is what it gets,
// down to the message; where the explanation knows less than the call, it may differ only if it says what it lacks.
func TestExplainAsDecided(t *testing.T) {
	b, who := explainBench(t)
	r := rand.New(rand.NewPCG(7, 11))
	pick := func(list ...string) string { return list[r.IntN(len(list))] }
	roleARN, sessionARN := "arn:aws:iam::"+account+":role/app", "arn:aws:sts::"+account+":assumed-role/app/s"
	root := "arn:aws:iam::" + account + ":root"
	condition := func(onKey bool) string {
		switch {
		case r.IntN(2) == 0:
			return ""
		case !onKey && r.IntN(4) == 0: // which key policies may not have
			return `,"Condition":{` + pick(`"StringEquals":{"aws:ResourceTag/Stage":"prod"}`, `"ForAnyValue:StringLike":{"kms:ResourceAliases":"alias/k*"}`) + `}`
		}
		return `,"Condition":{` + pick(
			`"StringEquals":{"kms:EncryptionContext:team":"x"}`, `"StringEquals":{"kms:EncryptionContext:team":"y"}`,
			`"ForAllValues:StringEquals":{"kms:EncryptionContextKeys":["team"]}`, `"Null":{"kms:EncryptionContextKeys":"true"}`,
			`"IpAddress":{"aws:SourceIp":"192.0.2.0/24"}`, `"NotIpAddress":{"aws:SourceIp":"192.0.2.0/24"}`, `"Bool":{"aws:SecureTransport":"false"}`,
			`"BoolIfExists":{"aws:MultiFactorAuthPresent":"false"}`, `"StringEquals":{"aws:PrincipalTag/team":"x"}`,
			`"StringLike":{"kms:RequestAlias":"alias/*"}`, `"StringEquals":{"kms:KeySpec":"SYMMETRIC_DEFAULT"}`,
			`"StringEquals":{"kms:CallerAccount":"`+account+`"}`,
			`"ArnLike":{"aws:PrincipalArn":"arn:aws:iam::*:role/*"}`, `"DateGreaterThan":{"aws:CurrentTime":"2001-01-01T00:00:00Z"}`,
			`"StringEquals":{"kms:EncryptionAlgorithm":"SYMMETRIC_DEFAULT"}`, `"StringEquals":{"kms:ViaService":"s3.eu-central-1.amazonaws.com"}`,
		) + `}`
	}
	action := func() string {
		return pick(`"kms:Encrypt"`, `"kms:*"`, `"kms:DescribeKey"`, `["kms:Encrypt","kms:DescribeKey"]`, `"kms:En*"`)
	}
	statement := func(principal string) string {
		return `{"Effect":` + pick(`"Allow"`, `"Allow"`, `"Allow"`, `"Deny"`) + principal + `,"Action":` + action() + `,"Resource":"*"` + condition(principal != "") + `}`
	}
	several := func(n int, of func() string) string {
		var list []string
		for range r.IntN(n + 1) {
			list = append(list, of())
		}
		return strings.Join(list, ",")
	}
	principal := func() string {
		return `,"Principal":` + pick(`"*"`, `{"AWS":"`+account+`"}`, `{"AWS":"`+ann+`"}`, `{"AWS":"`+roleARN+`"}`, `{"AWS":"`+sessionARN+`"}`, `{"AWS":["`+root+`","`+ann+`"]}`)
	}
	allowed, denied, differ := 0, 0, 0
	const cases = 400
	for i := range cases {
		policyText := `{"Version":"2012-10-17","Statement":[` + strings.Trim(`{"Effect":"Allow","Principal":{"AWS":"`+pick(root, ann, root)+`"},"Action":`+pick(`"kms:*"`, `"kms:PutKeyPolicy"`)+`,"Resource":"*"},`+several(3, func() string { return statement(principal()) }), ",") + `]}`
		id, arn := b.newKey(t, &api.CreateKeyRequest{
			Policy: str(policyText), BypassPolicyLockoutSafetyCheck: api.Some(true), Tags: []api.Tag{newTag("Stage", pick("prod", "test"))},
		})
		open := str(keyPolicy()) // to make ready, the account decides; then the key gets its own policy
		owner := b.policySetter(t, id)
		owner(open)
		alias := fmt.Sprintf("alias/k%d", i)
		b.run(t, "CreateAlias", &api.CreateAliasRequest{AliasName: str(alias), TargetKeyId: str(id)})
		var statements []string
		for range r.IntN(3) {
			statements = append(statements, statement(""))
		}
		var caller *service.Caller
		switch r.IntN(4) {
		case 0:
			limits, boundary := "", ""
			if r.IntN(3) == 0 {
				limits = statement("")
			}
			if r.IntN(3) == 0 {
				boundary = statement("")
			}
			caller = session(t, "app", "s", limits, boundary, statements...)
		case 1:
			caller = service.RootCaller(account, "AKIA")
		default:
			caller = person(t, ann, statements...)
		}
		who.add(caller)
		who.configured = nil
		if r.IntN(3) == 0 {
			g := &api.CreateGrantRequest{KeyId: str(id), GranteePrincipal: str(pick(ann, roleARN, sessionARN)), Operations: []api.GrantOperation{api.GrantOperation(pick("Encrypt", "DescribeKey", "Decrypt"))}}
			if r.IntN(2) == 0 {
				g.Constraints = &api.GrantConstraints{EncryptionContextSubset: oneEntry("team", pick("x", "y"))}
			}
			b.run(t, "CreateGrant", g)
		}
		owner(str(policyText))
		name := pick(arn, alias)
		var encryptionContext map[string]string
		if r.IntN(2) == 0 {
			encryptionContext = oneEntry("team", pick("x", "y"))
		}
		q := &api.ExplainAccessRequest{KeyId: str(name), Principal: str(caller.ARN), Action: str("kms:Encrypt"), EncryptionContext: encryptionContext}
		op, req := "kms.Encrypt", api.Request(&api.EncryptRequest{KeyId: str(name), Plaintext: []byte("x"), EncryptionContext: encryptionContext})
		if r.IntN(3) == 0 {
			q.Action, q.EncryptionContext = str("kms:DescribeKey"), nil
			op, req = "kms.DescribeKey", &api.DescribeKeyRequest{KeyId: str(name)}
		}
		_, err := b.as(t, caller, op, req)
		owner(open) // so that root may ask
		q.KeyPolicy = str(policyText)
		partial := b.explain(t, q)
		q.Context = connection
		if q.EncryptionContext == nil && op == "kms.Encrypt" {
			q.EncryptionContext = map[string]string{} // there is none, rather than any
		}
		whole := b.explain(t, q)
		what := fmt.Sprintf("case %d: %s by %s of %s\nkey policy %s\nidentity %v", i, op, caller.ARN, name, policyText, statements)
		switch {
		case err != nil && err.Code != api.AccessDeniedException:
			t.Fatalf("%s: %v", what, err)
		case whole.Allowed.V != (err == nil), err != nil && whole.Message.V != err.Message, err == nil && whole.Message.Set:
			t.Errorf("%s\nexplained as %s %q, but the call gets %v", what, whole.Decision.V, whole.Message.V, err)
		case whole.Allowed.V != (whole.Decision.V == api.AccessDecisionTypeAllowed):
			t.Errorf("%s\nallowed %v is %s", what, whole.Allowed.V, whole.Decision.V)
		case partial.Allowed.V != whole.Allowed.V && len(partial.MissingContextKeys) == 0:
			t.Errorf("%s\nexplained as %s, then as %s with the context, but nothing was missing", what, partial.Decision.V, whole.Decision.V)
		case partial.Conditional.V && partial.Allowed.V:
			t.Errorf("%s\nallowed and conditional", what)
		case whole.Allowed.V && !partial.Allowed.V && !partial.Conditional.V:
			t.Errorf("%s\nallowed with the context, but not conditional without it; missing %v", what, partial.MissingContextKeys)
		}
		if partial.Allowed.V != whole.Allowed.V {
			differ++
		}
		if err == nil {
			allowed++
		} else {
			denied++
		}
	}
	if allowed < cases/10 || denied < cases/10 || differ < 5 {
		t.Errorf("%d allowed, %d denied, %d differ without context: too few of one of them to tell anything", allowed, denied, differ)
	}
	t.Logf("%d allowed, %d denied, %d differ without context", allowed, denied, differ)
}

// policySetter returns what puts a key's policy past every check, as whoever else may do it is not what the test is about.
func (b *bench) policySetter(t *testing.T, id string) func(api.Opt[string]) {
	return func(text api.Opt[string]) {
		t.Helper()
		b.free.Store(true)
		defer b.free.Store(false)
		b.run(t, "PutKeyPolicy", &api.PutKeyPolicyRequest{KeyId: str(id), Policy: text, BypassPolicyLockoutSafetyCheck: api.Some(true)})
	}
}
