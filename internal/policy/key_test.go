package policy

import (
	"strings"
	"testing"
)

const account = "111122223333"

func TestDefault(t *testing.T) {
	p, err := ParseKeyPolicy([]byte(Default("aws", account)))
	if err != nil {
		t.Fatal(err)
	}
	const canonical = `{"Version":"2012-10-17","Id":"key-default-1","Statement":[{"Sid":"Enable IAM User Permissions","Effect":"Allow",` +
		`"Principal":{"AWS":["arn:aws:iam::111122223333:root"]},"Action":["kms:*"],"Resource":["*"]}]}`
	if got := string(p.AppendJSON(nil)); got != canonical {
		t.Errorf("canonical form\n%s\nwant\n%s", got, canonical)
	}
	// The layout of the real GetKeyPolicy: a blank on both sides of each colon, the statement's brace on the list's line.
	for _, part := range []string{"{\n  \"Version\" : \"2012-10-17\",\n", "\"Statement\" : [ {\n    \"Sid\" : ", "    },\n    \"Action\" : ", "\n  } ]\n}"} {
		if !strings.Contains(Default("aws", account), part) {
			t.Errorf("default policy lacks %q", part)
		}
	}
}

func TestParseKeyPolicy(t *testing.T) {
	const who = `"Effect":"Allow","Principal":{"AWS":"111122223333"},"Action":"kms:*"`
	tests := []struct {
		name, members, message string
	}{
		{"star", who + `,"Resource":"*"`, ""},
		{"anybody", `"Effect":"Allow","Principal":"*","Action":"kms:*","Resource":"*"`, ""},
		{"key arn", who + `,"Resource":["arn:aws:kms:us-east-1:111122223333:key/1234"]`, ""},
		{"all keys", who + `,"Resource":"arn:aws:kms:*:*:key/*"`, ""},
		{"not principal", `"Effect":"Deny","NotPrincipal":{"AWS":"111122223333"},"Action":"kms:*","Resource":"*"`, ""},
		{"request alias", who + `,"Resource":"*","Condition":{"StringLike":{"kms:RequestAlias":"alias/x"}}`, ""},
		{"no principal", `"Effect":"Allow","Action":"kms:*","Resource":"*"`, msgPrincipals},
		{"no resource", who, msgNoResource},
		{"not resource", who + `,"NotResource":"*"`, "Policy statement of a key policy must contain Resource"},
		{"alias arn", who + `,"Resource":"arn:aws:kms:us-east-1:111122223333:alias/x"`, "Resource arn:aws:kms:us-east-1:111122223333:alias/x of a key policy"},
		{"empty key", who + `,"Resource":"arn:aws:kms:us-east-1:111122223333:key/"`, "Resource "},
		{"bucket", who + `,"Resource":"arn:aws:s3:::bucket"`, "Resource arn:aws:s3:::bucket of a key policy"},
		{"resource tag", who + `,"Resource":"*","Condition":{"StringEquals":{"AWS:ResourceTag/team":"a"}}`, msgKeyConds},
		{"resource aliases", who + `,"Resource":"*","Condition":{"ForAnyValue:StringEquals":{"kms:ResourceAliases":"alias/a"}}`, msgKeyConds},
		{"malformed", `"Effect":"Allow"`, msgNoActions},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p, err := ParseKeyPolicy([]byte(doc(tt.members)))
			switch {
			case tt.message == "" && err != nil:
				t.Error(err)
			case tt.message != "" && (p != nil || err == nil || !strings.HasPrefix(err.Error(), tt.message)):
				t.Errorf("%v, %v; want %q", p, err, tt.message)
			}
		})
	}
}

func TestEquivalent(t *testing.T) {
	base := mustParse(t, Default("aws", account))
	same := []string{
		`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":["111122223333"]},"Action":["kms:*"],"Resource":["*"]}]}`,
		`{"Statement":{"Sid":"x","Resource":"*","Action":"KMS:*","Principal":{"AWS":"arn:aws:iam::111122223333:root"},"Effect":"Allow"}}`,
		`{"Version":"2012-10-17","Id":"x","Statement":[
			{"Effect":"Allow","Principal":{"AWS":["111122223333","arn:aws:iam::111122223333:root"]},"Action":["kms:*","kms:*"],"Resource":"*"},
			{"Effect":"Allow","Principal":{"AWS":"111122223333"},"Action":"kms:*","Resource":"*"}]}`,
	}
	for _, d := range same {
		if p := mustParse(t, d); !Equivalent(base, p) || !Equivalent(p, base) {
			t.Errorf("not equivalent to the default: %s", d)
		}
	}
	different := []string{
		Default("aws", "444455556666"),
		strings.Replace(Default("aws", account), "Allow", "Deny", 1),
		strings.Replace(Default("aws", account), "kms:*", "kms:De*", 1),
		strings.Replace(Default("aws", account), `"Action"`, `"NotAction"`, 1),
		strings.Replace(Default("aws", account), `"Resource" : "*"`, `"Resource" : "*", "Condition" : {"Bool" : {"aws:SecureTransport" : true}}`, 1),
		strings.Replace(Default("aws", account), `} ]`, `}, {"Effect":"Deny","Principal":"*","Action":"kms:*","Resource":"*"} ]`, 1),
	}
	for _, d := range different {
		if p := mustParse(t, d); Equivalent(base, p) || Equivalent(p, base) {
			t.Errorf("equivalent to the default: %s", d)
		}
	}
}

func TestEquivalentPairs(t *testing.T) {
	st := func(version, rest string) string {
		return `{"Version":"` + version + `","Statement":{"Effect":"Deny","Action":"*",` + rest + `}}`
	}
	tests := []struct {
		name string
		a, b string
		want bool
	}{
		{"everybody", st(Version2012, `"Principal":"*"`), st(Version2012, `"Principal":{"AWS":"*"}`), true},
		{"everybody or no principal", st(Version2012, `"Principal":"*"`), st(Version2012, `"Resource":"*"`), false},
		{"condition order", st(Version2012, `"Condition":{"Bool":{"a:b":"true","a:c":true},"Null":{"a:d":false}}`),
			st(Version2012, `"Condition":{"Null":{"a:d":"False"},"Bool":{"A:C":true,"a:b":true}}`), true},
		{"condition value order", st(Version2012, `"Condition":{"StringEquals":{"a:b":["x","y"]}}`),
			st(Version2012, `"Condition":{"StringEquals":{"a:b":["y","x","y"]}}`), true},
		{"condition value case", st(Version2012, `"Condition":{"StringEquals":{"a:b":"x"}}`),
			st(Version2012, `"Condition":{"StringEquals":{"a:b":"X"}}`), false},
		{"condition quantifier", st(Version2012, `"Condition":{"StringEquals":{"a:b":"x"}}`),
			st(Version2012, `"Condition":{"ForAnyValue:StringEquals":{"a:b":"x"}}`), false},
		{"version without variables", st(Version2012, `"Resource":"*"`), st(Version2008, `"Resource":"*"`), true},
		{"version with variables", st(Version2012, `"Resource":"arn:aws:s3:::b/${aws:username}"`),
			st(Version2008, `"Resource":"arn:aws:s3:::b/${aws:username}"`), false},
		{"version with variables in values", st(Version2012, `"Condition":{"StringEquals":{"a:b":"${a:c}"}}`),
			st(Version2008, `"Condition":{"StringEquals":{"a:b":"${a:c}"}}`), false},
		{"text that looks like two values", st(Version2012, `"Condition":{"StringEquals":{"a:b":"x\",\"y"}}`),
			st(Version2012, `"Condition":{"StringEquals":{"a:b":["x","y"]}}`), false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a, b := mustParse(t, tt.a), mustParse(t, tt.b)
			before := string(a.AppendJSON(nil))
			if got := Equivalent(a, b); got != tt.want || Equivalent(b, a) != tt.want {
				t.Errorf("Equivalent = %t, want %t both ways", got, tt.want)
			}
			if string(a.AppendJSON(nil)) != before {
				t.Error("comparing changed the policy")
			}
		})
	}
}
