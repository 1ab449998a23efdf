package policy

import (
	"errors"
	"reflect"
	"strings"
	"testing"
)

func mustParse(t *testing.T, doc string) *Policy {
	t.Helper()
	p, err := Parse([]byte(doc))
	if err != nil {
		t.Fatalf("Parse(%s): %v", doc, err)
	}
	return p
}

func TestParseFull(t *testing.T) {
	got := mustParse(t, `{
		"Version": "2012-10-17", "Id": "everything",
		"Statement": [{
			"Sid": "one", "Effect": "Allow",
			"Principal": {
				"AWS": ["111122223333", "arn:aws:iam::111122223333:role/team/Deploy"],
				"Service": "logs.us-east-1.amazonaws.com",
				"Federated": "accounts.google.com",
				"CanonicalUser": "79a59df900b949e55d96a1e698fbacedfd6e09d98eacf8f8d5218e7cd47ef2be"
			},
			"Action": ["kms:Decrypt", "kms:GenerateDataKey*"], "Resource": "*",
			"Condition": {
				"StringEquals": {"kms:EncryptionContext:app": "a", "kms:ViaService": ["x", "y"]},
				"ForAnyValue:StringLikeIfExists": {"kms:EncryptionContextKeys": "d*"},
				"Bool": {"aws:MultiFactorAuthPresent": true},
				"NumericLessThan": {"aws:MultiFactorAuthAge": [3600, "1.5e3"]}
			}
		}, {
			"Sid": "two", "Effect": "Deny", "NotPrincipal": {"AWS": "*"}, "NotAction": "kms:*",
			"NotResource": "arn:aws:kms:us-east-1:111122223333:key/*"
		}]
	}`)
	want := &Policy{
		Version: Version2012, ID: "everything",
		Statements: []Statement{{
			Sid: "one", Effect: Allow,
			Principal: &Principals{
				AWS:           []string{"111122223333", "arn:aws:iam::111122223333:role/team/Deploy"},
				Service:       []string{"logs.us-east-1.amazonaws.com"},
				Federated:     []string{"accounts.google.com"},
				CanonicalUser: []string{"79a59df900b949e55d96a1e698fbacedfd6e09d98eacf8f8d5218e7cd47ef2be"},
			},
			Actions: []string{"kms:Decrypt", "kms:GenerateDataKey*"}, Resources: []string{"*"},
			Conditions: []Condition{
				{Operator{Name: "StringEquals"}, "kms:EncryptionContext:app", []string{"a"}},
				{Operator{Name: "StringEquals"}, "kms:ViaService", []string{"x", "y"}},
				{Operator{ForAnyValue, "StringLike", true}, "kms:EncryptionContextKeys", []string{"d*"}},
				{Operator{Name: "Bool"}, "aws:MultiFactorAuthPresent", []string{"true"}},
				{Operator{Name: "NumericLessThan"}, "aws:MultiFactorAuthAge", []string{"3600", "1.5e3"}},
			},
		}, {
			Sid: "two", Effect: Deny, NotPrincipal: &Principals{AWS: []string{"*"}}, NotActions: []string{"kms:*"},
			NotResources: []string{"arn:aws:kms:us-east-1:111122223333:key/*"},
		}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %s\nwant %s", got.AppendJSON(nil), want.AppendJSON(nil))
	}
}

func TestParseDefaults(t *testing.T) {
	p := mustParse(t, `{"Statement":{"Effect":"Deny","Action":"*","Resource":"*","Condition":{}}}`)
	if p.Version != Version2008 {
		t.Errorf("Version = %q without one, want %q", p.Version, Version2008)
	}
	if len(p.Statements) != 1 || p.Statements[0].Principal != nil || p.Statements[0].Conditions != nil {
		t.Errorf("statements = %+v", p.Statements)
	}
}

// doc puts the members of one statement into a document.
func doc(members string) string {
	return `{"Version":"2012-10-17","Statement":[{` + members + `}]}`
}

func TestParseMalformed(t *testing.T) {
	const rest = `"Effect":"Allow","Action":"kms:*","Resource":"*"`
	cond := func(c string) string { return doc(rest + `,"Condition":` + c) }
	principal := func(p string) string { return doc(rest + `,"Principal":` + p) }
	action := func(a string) string { return doc(`"Effect":"Allow","Resource":"*","Action":` + a) }
	tests := []struct {
		name, doc, message string // the message's beginning
	}{
		{"empty", ``, msgSyntax},
		{"not json", `hello`, msgSyntax},
		{"array", `[]`, msgSyntax + " A policy must be an object."},
		{"null", `null`, msgSyntax},
		{"cut", `{"Version":"2012-10-17","Statement":[`, msgSyntax},
		{"cut in a statement", `{"Statement":[{"Effect":`, msgSyntax},
		{"trailing", doc(rest) + `{}`, msgSyntax + " Text follows"},
		{"trailing bracket", doc(rest) + `]`, msgSyntax + " Text follows"},
		{"duplicate element", doc(rest + `,"Effect":"Deny"`), msgSyntax + " A name occurs twice"},
		{"duplicate by escape", doc(rest + `,"\u0045ffect":"Deny"`), msgSyntax + " A name occurs twice"},
		{"duplicate operator", cond(`{"Bool":{"a:b":true},"Bool":{"a:c":true}}`), msgSyntax + " A name occurs twice"},
		{"duplicate key by case", cond(`{"Bool":{"aws:X":true,"AWS:x":false}}`), msgSyntax + ` Condition key "AWS:x" occurs twice`},
		{"invalid utf-8", doc(`"Sid":"` + "\xff" + `",` + rest), msgSyntax},
		{"lone surrogate", doc(`"Sid":"\ud800",` + rest), msgSyntax},
		{"too long", strings.Repeat(" ", MaxKeyPolicyBytes) + doc(rest), "Policy document is longer than 32768 bytes."},
		{"deep", `{"Statement":` + strings.Repeat("[", 30000), msgSyntax + " A statement must be an object."},
		{"unknown element", `{"Version":"2012-10-17","Foo":1}`, msgSyntax + ` Unknown element "Foo".`},
		{"lower case element", `{"version":"2012-10-17"}`, msgSyntax + ` Unknown element "version".`},
		{"unknown in statement", doc(rest + `,"Resources":"*"`), msgSyntax + ` Unknown element "Resources" in a statement.`},
		{"version", `{"Version":"2012-10-18"}`, msgSyntax + " Version must be"},
		{"version number", `{"Version":2012}`, msgSyntax + " Version must be a string."},
		{"id", `{"Id":null}`, msgSyntax + " Id must be a string."},
		{"no statement", `{"Version":"2012-10-17"}`, msgSyntax + " A policy must contain a statement."},
		{"empty statements", `{"Statement":[]}`, msgSyntax + " A policy must contain a statement."},
		{"nested statements", `{"Statement":[[]]}`, msgSyntax + " A statement must be an object."},
		{"statement string", `{"Statement":"Allow"}`, msgSyntax + " A statement must be an object."},
		{"sid number", doc(`"Sid":1,` + rest), msgSyntax + " Sid must be a string."},
		{"same sid", `{"Statement":[{"Sid":"a",` + rest + `},{"Sid":"a",` + rest + `}]}`, msgSids},
		{"no effect", doc(`"Action":"kms:*","Resource":"*"`), msgSyntax + " Effect must be"},
		{"lower effect", doc(`"Effect":"allow","Action":"kms:*"`), msgSyntax + " Effect must be"},
		{"effect list", doc(`"Effect":["Allow"],"Action":"kms:*"`), msgSyntax + " Effect must be a string."},
		{"no action", doc(`"Effect":"Allow","Resource":"*"`), msgNoActions},
		{"empty action list", action(`[]`), msgNoActions},
		{"both actions", doc(rest + `,"NotAction":"kms:*"`), msgSyntax + " A statement cannot have both Action"},
		{"action number", action(`1`), msgSyntax},
		{"action null", action(`[null]`), msgSyntax},
		{"action nested", action(`[["kms:*"]]`), msgSyntax},
		{"action without service", action(`"Decrypt"`), msgPrefix},
		{"action empty", action(`""`), msgPrefix},
		{"action two colons", action(`"kms:a:b"`), msgColons},
		{"action wildcard service", action(`"k*:Decrypt"`), "Vendor k* is not valid"},
		{"action no service", action(`":Decrypt"`), "Vendor  is not valid"},
		{"action no name", action(`"kms:"`), "Action kms: is not valid."},
		{"action space", action(`"kms:De crypt"`), "Action kms:De crypt is not valid."},
		{"empty resource list", doc(`"Effect":"Allow","Action":"kms:*","Resource":[]`), msgNoResource},
		{"both resources", doc(rest + `,"NotResource":"*"`), msgSyntax + " A statement cannot have both Resource"},
		{"resource not arn", doc(`"Effect":"Allow","Action":"kms:*","Resource":"key/1"`), `Resource key/1 must be in ARN format or "*".`},
		{"resource short arn", doc(`"Effect":"Allow","Action":"kms:*","Resource":"arn:aws:kms:key"`), `Resource arn:aws:kms:key must be in ARN format`},
		{"resource empty", doc(`"Effect":"Allow","Action":"kms:*","Resource":""`), `Resource  must be in ARN format or "*".`},
		{"both principals", doc(rest + `,"Principal":"*","NotPrincipal":"*"`), msgSyntax + " A statement cannot have both Principal"},
		{"not principal with allow", doc(rest + `,"NotPrincipal":{"AWS":"111122223333"}`), msgSyntax + " NotPrincipal"},
		{"principal text", principal(`"111122223333"`), msgPrincipals},
		{"principal list", principal(`["*"]`), msgSyntax + " Principal must be an object."},
		{"principal empty", principal(`{}`), msgPrincipals},
		{"principal no members", principal(`{"AWS":[]}`), msgPrincipals},
		{"principal one kind empty", principal(`{"AWS":"*","Service":[]}`), msgPrincipals},
		{"principal kind", principal(`{"aws":"*"}`), msgSyntax + ` Unknown kind of principal "aws".`},
		{"principal null", principal(`{"AWS":null}`), msgSyntax},
		{"condition list", cond(`[]`), msgSyntax + " Condition must be an object."},
		{"condition operator", cond(`{"StringIs":{"a:b":"c"}}`), msgSyntax + ` Unknown condition operator "StringIs".`},
		{"condition operator case", cond(`{"stringEquals":{"a:b":"c"}}`), msgSyntax + ` Unknown condition operator "stringEquals".`},
		{"condition null if exists", cond(`{"NullIfExists":{"a:b":true}}`), msgSyntax + ` Unknown condition operator`},
		{"condition quantified null", cond(`{"ForAnyValue:Null":{"a:b":true}}`), msgSyntax + ` Unknown condition operator`},
		{"condition quantifier twice", cond(`{"ForAnyValue:ForAllValues:Bool":{"a:b":true}}`), msgSyntax + ` Unknown condition operator`},
		{"condition only quantifier", cond(`{"ForAnyValue:":{"a:b":true}}`), msgSyntax + ` Unknown condition operator`},
		{"condition only suffix", cond(`{"IfExists":{"a:b":true}}`), msgSyntax + ` Unknown condition operator`},
		{"condition empty operator", cond(`{"Bool":{}}`), msgSyntax + " Condition operator Bool has no keys."},
		{"condition operator string", cond(`{"Bool":"true"}`), msgSyntax + " A condition operator must be an object."},
		{"condition no values", cond(`{"StringEquals":{"a:b":[]}}`), msgSyntax + ` Condition key "a:b" has no values.`},
		{"condition key", cond(`{"StringEquals":{"ab":"c"}}`), msgPrefix},
		{"condition key no name", cond(`{"StringEquals":{"aws:":"c"}}`), msgPrefix},
		{"condition null", cond(`{"StringEquals":{"a:b":null}}`), msgSyntax},
		{"condition object", cond(`{"StringEquals":{"a:b":{"c":"d"}}}`), msgSyntax},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p, err := Parse([]byte(tt.doc))
			var e *Error
			if p != nil || !errors.As(err, &e) {
				t.Fatalf("Parse = %v, %v; want an *Error", p, err)
			}
			if !strings.HasPrefix(e.Message, tt.message) {
				t.Errorf("message %q, want %q...", e.Message, tt.message)
			}
		})
	}
}

func TestErrorsEchoLittle(t *testing.T) {
	long := strings.Repeat("é", 5000)
	for _, d := range []string{
		`{"` + long + `":1}`,
		doc(`"` + long + `":1`),
		doc(`"Effect":"Allow","Action":"` + long + `:x"`),
		doc(`"Effect":"Allow","Action":"kms:` + long + `"`),
		doc(`"Effect":"Allow","Action":"kms:*","Resource":"` + long + `"`),
		doc(`"Effect":"Allow","Action":"kms:*","Principal":{"` + long + `":"*"}`),
		doc(`"Effect":"Allow","Action":"kms:*","Condition":{"` + long + `":{}}`),
		doc(`"Effect":"Allow","Action":"kms:*","Condition":{"Bool":{"a:` + long + `":"` + long + `"}}`),
		doc(`"Effect":"Allow","Action":"kms:*","Condition":{"Bool":{"a:` + long + `":[]}}`),
		`{"a":` + long,
	} {
		_, err := Parse([]byte(d))
		if err == nil {
			t.Fatalf("Parse(%.80s) succeeded", d)
		}
		if n := strings.Count(err.Error(), "é"); n > maxEcho {
			t.Errorf("%.80s: %d characters come back", d, n)
		}
	}
}

// What a service has accepted is read although Parse would not let it in; what has no one meaning is not.
func TestParseInForce(t *testing.T) {
	const rest = `"Action":"kms:*","Resource":"*"`
	for name, tt := range map[string]struct {
		statement string
		taken     bool
	}{
		"a principal that is gone":    {`"Effect":"Allow","Principal":{"AWS":["AIDACKCEVSQ6C2EXAMPLE","arn:aws:iam::111122223333:root"]},` + rest, true},
		"everybody but":               {`"Effect":"Allow","NotPrincipal":{"AWS":"111122223333"},` + rest, true},
		"an empty list":               {`"Effect":"Allow","Principal":{"AWS":[]},` + rest, true},
		"a short resource":            {`"Effect":"Allow","Principal":"*","Action":"kms:*","Resource":"arn:aws:kms:*"`, true},
		"a variable as a truth value": {`"Effect":"Deny","Principal":"*",` + rest + `,"Condition":{"Bool":{"a:b":"${x:y}"}}`, true},
		"no effect":                   {rest, false},
		"both actions":                {`"Effect":"Allow","NotAction":"a:b",` + rest, false},
		"both principals":             {`"Effect":"Deny","Principal":"*","NotPrincipal":"*",` + rest, false},
		"an unknown operator":         {`"Effect":"Deny","Principal":"*",` + rest + `,"Condition":{"StringIs":{"a:b":"c"}}`, false},
		"an unknown element":          {`"Effect":"Deny","Who":"*",` + rest, false},
	} {
		p, err := ParseInForce([]byte(doc(tt.statement)))
		if (err == nil) != tt.taken || (p != nil) != tt.taken {
			t.Errorf("%s: %v, %v", name, p, err)
		}
		if _, err := Parse([]byte(doc(tt.statement))); err == nil {
			t.Errorf("%s: Parse takes it", name)
		}
	}
	p, err := ParseInForce([]byte(doc(`"Effect":"Deny","Principal":"*",` + rest + `,"Condition":{"Bool":{"a:b":true,"a:c":"True"}}`)))
	if err != nil || p.Statements[0].Conditions[0].Values[0] != "true" || p.Statements[0].Conditions[1].Values[0] != "true" {
		t.Errorf("truth values in their one spelling: %+v, %v", p, err)
	}
	long := `{"Statement":{"Effect":"Allow","Action":"kms:*","Resource":"*","Sid":"` + strings.Repeat("a", MaxKeyPolicyBytes) + `"}}`
	if _, err := ParseInForce([]byte(long)); err != nil {
		t.Error(err)
	}
	if _, err := ParseInForce([]byte(strings.Repeat(" ", MaxInForceBytes) + long)); err == nil {
		t.Error("a document without bounds")
	}
}
