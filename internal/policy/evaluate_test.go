package policy

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// context is what a request has for condition keys in lower case.
type context map[string][]string

func (c context) value(key string) ([]string, bool) {
	v, ok := c[key]
	return v, ok
}

const keyARN = "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"

// identityMatches evaluates a policy of one statement for kms:Decrypt with a key, and tells whether the statement matches.
func identityMatches(t *testing.T, statement string, c context) bool {
	t.Helper()
	out := Compile(mustParse(t, doc(statement))).EvaluateIdentity(&Request{Action: "kms:Decrypt", Resource: keyARN, Value: c.value})
	return len(out.Allow)+len(out.Deny) == 1
}

// conditionHolds evaluates one condition, of an Allow and of a Deny.
func conditionHolds(t *testing.T, operator, key string, values []string, c context) (allow, deny bool) {
	t.Helper()
	list, err := json.Marshal(values)
	if err != nil {
		t.Fatal(err)
	}
	st := fmt.Sprintf(`"Action":"*","Resource":"*","Condition":{%q:{%q:%s}}`, operator, key, list)
	return identityMatches(t, `"Effect":"Allow",`+st, c), identityMatches(t, `"Effect":"Deny",`+st, c)
}

func TestActions(t *testing.T) {
	for _, tc := range []struct {
		element, action string
		want            bool
	}{
		{`"Action":"*"`, "kms:Decrypt", true},
		{`"Action":"kms:*"`, "kms:Decrypt", true},
		{`"Action":"*:Decrypt"`, "kms:Decrypt", true},
		{`"Action":"KMS:DECRYPT"`, "kms:Decrypt", true},
		{`"Action":["kms:Encrypt","kms:Decrypt"]`, "kms:Decrypt", true},
		{`"Action":"kms:Encrypt"`, "kms:Decrypt", false},
		{`"Action":"kms:GenerateDataKey*"`, "kms:GenerateDataKeyWithoutPlaintext", true},
		{`"Action":"kms:GenerateDataKey"`, "kms:GenerateDataKeyWithoutPlaintext", false},
		{`"Action":"kms:?ncrypt"`, "kms:Encrypt", true},
		{`"Action":"s3:*"`, "kms:Decrypt", false},
		{`"NotAction":"kms:Decrypt"`, "kms:Decrypt", false},
		{`"NotAction":"kms:decrypt"`, "kms:Decrypt", false},
		{`"NotAction":["s3:*","iam:*"]`, "kms:Decrypt", true},
		{`"NotAction":"*"`, "kms:Decrypt", false},
	} {
		p := Compile(mustParse(t, doc(`"Effect":"Allow","Resource":"*",`+tc.element)))
		out := p.EvaluateIdentity(&Request{Action: tc.action, Resource: keyARN})
		if got := len(out.Allow) == 1; got != tc.want {
			t.Errorf("%s, %s: %v", tc.element, tc.action, got)
		}
	}
}

func TestResources(t *testing.T) {
	const arn = "arn:aws:kms:us-east-1:111122223333:"
	for _, tc := range []struct {
		element, resource string
		want              bool
	}{
		{`"Resource":"*"`, arn + "key/k", true},
		{`"Resource":"*"`, "*", true},
		{`"Resource":"` + arn + `key/*"`, arn + "key/k", true},
		{`"Resource":"` + arn + `key/k"`, arn + "key/K", false},
		{`"Resource":"` + arn + `key/?"`, arn + "key/k", true},
		{`"Resource":"` + arn + `*"`, arn + "alias/a/b", true},
		{`"Resource":"arn:aws:kms:*:111122223333:key/*"`, arn + "key/k", true},
		{`"Resource":"arn:aws:kms:*:444455556666:key/*"`, arn + "key/k", false},
		{`"Resource":"arn:*:kms:*:*:key/*"`, arn + "key/k", true},
		// An action on no key in particular is allowed for "*" and not for keys.
		{`"Resource":"arn:aws:kms:*:*:*"`, "*", false},
		// "within any ARN segment (the parts separated by colons)": no wildcard reaches over a colon.
		{`"Resource":"arn:aws:kms:*:key/k:x"`, arn + "key/k:x", false},
		{`"Resource":"arn:aws:sns:*:111122223333:finance/*"`, "arn:aws:sns:us-east-2:999999999999:store/abc:111122223333:finance/document.txt", false},
		{`"Resource":"arn:aws:logs:*:*:log-group:*"`, "arn:aws:logs:us-east-1:111122223333:log-group:a:b", true},
		{`"NotResource":"` + arn + `key/*"`, arn + "key/k", false},
		{`"NotResource":"` + arn + `alias/*"`, arn + "key/k", true},
		{`"NotResource":["` + arn + `alias/*","*"]`, arn + "key/k", false},
	} {
		p := Compile(mustParse(t, doc(`"Effect":"Allow","Action":"*",`+tc.element)))
		out := p.EvaluateIdentity(&Request{Action: "kms:Decrypt", Resource: tc.resource})
		if got := len(out.Allow) == 1; got != tc.want {
			t.Errorf("%s, %s: %v", tc.element, tc.resource, got)
		}
	}
}

// TestNoResource: only a policy on a resource may leave out which one.
func TestNoResource(t *testing.T) {
	r := &Request{Who: &Who{Kind: User, ARN: "arn:aws:iam::111122223333:user/u", Account: "111122223333"}, Action: "sts:AssumeRole", Resource: "arn:aws:iam::111122223333:role/r"}
	for _, tc := range []struct {
		effect             string
		onRole, ofIdentity int
	}{{"Allow", 1, 0}, {"Deny", 1, 1}} {
		trust := Compile(mustParse(t, doc(`"Effect":"`+tc.effect+`","Principal":"*","Action":"sts:AssumeRole"`))).Evaluate(r)
		identity := Compile(mustParse(t, doc(`"Effect":"`+tc.effect+`","Action":"sts:AssumeRole"`))).EvaluateIdentity(r)
		if got := len(trust.Allow) + len(trust.Deny); got != tc.onRole {
			t.Errorf("%s of a trust policy: %d statements", tc.effect, got)
		}
		if got := len(identity.Allow) + len(identity.Deny); got != tc.ofIdentity {
			t.Errorf("%s of an identity: %d statements", tc.effect, got)
		}
	}
}

func TestOutcome(t *testing.T) {
	p := Compile(mustParse(t, `{"Version":"2012-10-17","Statement":[
		{"Sid":"Root","Effect":"Allow","Principal":{"AWS":"111122223333"},"Action":"kms:*","Resource":"*"},
		{"Sid":"Other","Effect":"Allow","Principal":{"AWS":"444455556666"},"Action":"kms:*","Resource":"*"},
		{"Effect":"Deny","Principal":"*","Action":"kms:Decrypt","Resource":"*","Condition":{"Bool":{"aws:MultiFactorAuthPresent":"false"}}},
		{"Sid":"Alice","Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111122223333:user/alice"},"Action":"kms:Decrypt","Resource":"*"},
		{"Sid":"Identity","Effect":"Allow","Action":"kms:*","Resource":"*"}
	]}`))
	alice := &Who{Kind: User, ARN: "arn:aws:iam::111122223333:user/alice", Account: "111122223333"}
	r := &Request{Who: alice, Action: "kms:Decrypt", Resource: keyARN, Value: context{"aws:multifactorauthpresent": {"false"}}.value}

	out := p.Evaluate(r)
	if want := []Ref{{0, "Root", Account}, {3, "Alice", Direct}}; !slices.Equal(out.Allow, want) {
		t.Errorf("Allow = %v, want %v", out.Allow, want)
	}
	if want := []Ref{{2, "", Everybody}}; !slices.Equal(out.Deny, want) {
		t.Errorf("Deny = %v, want %v", out.Deny, want)
	}
	out = p.EvaluateIdentity(r)
	if want := []Ref{{4, "Identity", None}}; !slices.Equal(out.Allow, want) || len(out.Deny) != 0 {
		t.Errorf("as a policy of an identity: %v, want %v", out, want)
	}

	p.EvaluateInto(r, &out)
	if len(out.Allow) != 3 || len(out.Deny) != 1 {
		t.Errorf("EvaluateInto does not append: %v", out)
	}
	if keys := p.Keys(); !slices.Equal(keys, []string{"aws:multifactorauthpresent"}) || !p.NeedsValue("aws:multifactorauthpresent") || p.NeedsValue("aws:x") {
		t.Errorf("Keys = %q", keys)
	}
}

func TestKeys(t *testing.T) {
	p := Compile(mustParse(t, doc(`"Effect":"Allow","Action":"*",
		"Resource":["*","arn:aws:kms:us-east-1:111122223333:key/${aws:PrincipalTag/Key}"],
		"Condition":{"StringLike":{"kms:EncryptionContext:App":"${aws:username, 'x'}-${$}"},"ArnLike":{"aws:SourceArn":"arn:aws:s3:::${A:B}"},
		"Null":{"aws:TokenIssueTime":true}}`)))
	want := []string{"a:b", "aws:principaltag/key", "aws:sourcearn", "aws:tokenissuetime", "aws:username", "kms:encryptioncontext:app"}
	if got := p.Keys(); !slices.Equal(got, want) {
		t.Errorf("Keys = %q, want %q", got, want)
	}
	p.EvaluateIdentity(&Request{Action: "kms:Decrypt", Resource: keyARN, Value: func(key string) ([]string, bool) {
		if !slices.Contains(want, key) {
			t.Errorf("asked for %q", key)
		}
		return []string{"x"}, true
	}})
}

// TestInForce: what only ParseInForce lets in may lack what it is compared with, and then does not allow.
func TestInForce(t *testing.T) {
	nobody := &Request{Who: &Who{Kind: RoleSession}, Action: "kms:Decrypt", Resource: keyARN, Value: context{"aws:k": {"5"}}.value}
	for _, tc := range []struct {
		statement   string
		allow, deny int
	}{
		{`"Principal":{"AWS":""},"Action":"*","Resource":"*"`, 0, 0},
		{`"Principal":{"Federated":""},"Action":"*","Resource":"*"`, 0, 0},
		{`"Principal":"*","NotAction":[],"Resource":"*"`, 0, 1},
		{`"Principal":"*","Action":"*","NotResource":[]`, 0, 1},
		{`"Principal":"*","Action":"*","NotResource":"kms"`, 0, 1},
		{`"Principal":"*","Action":"*","Resource":"*","Condition":{"NumericNotEquals":{"aws:k":["4","x"]}}`, 0, 1},
		{`"Principal":"*","Action":"*","Resource":"*","Condition":{"NumericEquals":{"aws:k":["5","x"]}}`, 1, 1},
		{`"Principal":"*","Action":"*","Resource":"*","Condition":{"StringNotEquals":{"aws:k":[]}}`, 0, 1},
		{`"Principal":"*","Action":"*","Resource":"*","Condition":{"StringEquals":{"aws:k":[]}}`, 0, 0},
		{`"NotPrincipal":{"AWS":"111122223333"},"Action":"*","Resource":"*"`, 1, 1},
		{`"Action":"*","Resource":"*"`, 0, 0},
	} {
		for effect, want := range map[string]int{"Allow": tc.allow, "Deny": tc.deny} {
			p, err := ParseInForce([]byte(doc(`"Effect":"` + effect + `",` + tc.statement)))
			if err != nil {
				t.Fatal(err)
			}
			out := Compile(p).Evaluate(nobody)
			if got := len(out.Allow) + len(out.Deny); got != want {
				t.Errorf("%s %s: %d statements, want %d", effect, tc.statement, got, want)
			}
		}
	}
}

// TestWorkLimit: a policy made to be slow is cut short, and denies.
func TestWorkLimit(t *testing.T) {
	value := `"*?` + strings.Repeat("a", 4000) + `b"`
	slow := `"Condition":{"StringLike":{"kms:EncryptionContext:a":[` + value + `,` + value + `,` + value + `]}}`
	p := Compile(mustParse(t, `{"Version":"2012-10-17","Statement":[
		{"Effect":"Allow","Action":"*","Resource":"*"},
		{"Effect":"Allow","Action":"*","Resource":"*",`+slow+`},
		{"Effect":"Deny","Action":"s3:*","Resource":"*"}]}`))
	long := strings.Repeat("a", 8192)
	out := p.EvaluateIdentity(&Request{Action: "kms:Decrypt", Resource: keyARN, Value: context{"kms:encryptioncontext:a": {long}}.value})
	if len(out.Deny) != 1 || len(out.Allow) != 1 {
		t.Errorf("not cut short: %v", out)
	}
	out = p.EvaluateIdentity(&Request{Action: "kms:Decrypt", Resource: keyARN, Value: context{"kms:encryptioncontext:a": {"short"}}.value})
	if len(out.Deny) != 0 {
		t.Errorf("an honest request is denied: %v", out)
	}

	// Policies that are asked one after the other share what a request may take: the first of these leaves nothing for the others.
	all := 0
	r := &Request{Action: "kms:Decrypt", Resource: keyARN, Value: context{"kms:encryptioncontext:a": {long}}.value, Spent: &all}
	p.EvaluateIdentity(r)
	spent := all
	honest := Compile(mustParse(t, `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"},{"Effect":"Deny","Action":"s3:*","Resource":"*"}]}`))
	for range 20 {
		if out := p.EvaluateIdentity(r); len(out.Allow) != 0 || len(out.Deny) != 1 {
			t.Errorf("a second slow policy: %v", out)
		}
		if out := honest.EvaluateIdentity(r); len(out.Allow) != 0 || len(out.Deny) != 1 {
			t.Errorf("a policy after a slow one: %v", out)
		}
	}
	if spent <= maxWork || all > spent {
		t.Errorf("%d steps for one policy, %d for all", spent, all)
	}
}
