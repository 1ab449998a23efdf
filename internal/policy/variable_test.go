package policy

import (
	"fmt"
	"testing"
)

// TestVariables has the examples of "IAM policy elements: Variables and tags" of the IAM user guide, and what hostile values try.
func TestVariables(t *testing.T) {
	david := context{"aws:username": {"David"}, "aws:userid": {"AIDAEXAMPLE"}, "aws:principaltag/team": {"yellow"}}
	user := func(name string) context { return context{"aws:username": {name}} }
	for _, tc := range []struct {
		operator, value, request string
		c                        context
		want                     bool
	}{
		{"StringLike", "home/${aws:username}/*", "home/David/x", david, true},
		{"StringLike", "home/${aws:username}/*", "home/Mary/x", david, false},
		{"StringEquals", "${aws:username}", "David", david, true},
		{"StringEquals", "${AWS:UserName}", "David", david, true}, // names of keys have no case
		{"StringEquals", "${ aws:username }", "David", david, true},
		{"StringEquals", "${aws:username}", "david", david, false},
		{"StringEqualsIgnoreCase", "x-${aws:username}", "X-DAVID", david, true},
		{"StringEqualsIgnoreCase", "x-${aws:username}", "X-DAVIDS", david, false},
		{"StringEquals", "${aws:PrincipalTag/team}-${aws:userid}", "yellow-AIDAEXAMPLE", david, true},
		{"ArnLike", "arn:aws:s3:::${aws:username}-*", "arn:aws:s3:::David-x", david, true},
		{"ArnEquals", "arn:aws:s3:::${aws:username}", "arn:aws:s3:::Mary", david, false},

		{"StringEquals", "${aws:userid, 'anonymous'}", "AIDAEXAMPLE", david, true},
		{"StringEquals", "${aws:userid, 'anonymous'}", "anonymous", david, false},
		{"StringEquals", "${aws:userid, 'anonymous'}", "anonymous", nil, true},
		{"StringEquals", "bucket-${aws:PrincipalTag/team, 'company-wide'}", "bucket-company-wide", nil, true},
		{"StringEquals", "${aws:userid,'a}b'}", "a}b", nil, true},
		{"StringEquals", "[${aws:userid, ''}]", "[]", nil, true},
		{"StringLike", "${aws:userid, '*'}", "x", nil, false}, // a default is text

		{"StringLike", "${*}", "*", nil, true},
		{"StringLike", "${*}", "x", nil, false},
		{"StringLike", "a${?}*", "a?b", nil, true},
		{"StringLike", "a${?}*", "abb", nil, false},
		{"StringEquals", "${$}{aws:username}", "${aws:username}", david, true},
		{"StringEquals", "$5 ${*} $", "$5 * $", nil, true},

		// A variable without a value is equal to nothing, so a negated operator holds.
		{"StringEquals", "${aws:username}", "", nil, false},
		{"StringEquals", "${aws:username}", "${aws:username}", nil, false},
		{"StringLike", "*${aws:username}*", "x", nil, false},
		{"StringEqualsIgnoreCase", "${aws:username}", "", nil, false},
		{"StringNotEquals", "${aws:username}", "x", nil, true},
		{"StringNotLike", "*${aws:username}", "x", nil, true},
		{"ArnLike", "arn:aws:s3:::*${aws:username}", "arn:aws:s3:::x", nil, false},
		{"ArnNotLike", "arn:aws:s3:::*${aws:username}", "arn:aws:s3:::x", nil, true},
		// A key with several values is none for a variable, its default neither.
		{"StringEquals", "${aws:username}", "a", context{"aws:username": {"a", "b"}}, false},
		{"StringEquals", "${aws:username, 'c'}", "c", context{"aws:username": {"a", "b"}}, false},

		// What a variable brings in is text: no wildcard, no variable, no end of a part of an ARN.
		{"StringLike", "home/${aws:username}/*", "home/David/x", user("*"), false},
		{"StringLike", "home/${aws:username}/*", "home/*/x", user("*"), true},
		{"StringLike", "${aws:username}", "D", user("?"), false},
		{"StringEquals", "${aws:username}", "David", user("${aws:userid}"), false},
		{"StringEquals", "${aws:username}", "${aws:userid}", user("${aws:userid}"), true},
		{"ArnLike", "arn:aws:s3:::home/${aws:username}", "arn:aws:s3:::home/David", user("*"), false},
		{"ArnLike", "arn:aws:sns:${aws:username}:x", "arn:aws:sns:us-east-1:111122223333:x", user("us-east-1:111122223333"), false},
		{"ArnLike", "arn:aws:sns:${aws:username}:*:x", "arn:aws:sns:us-east-1:111122223333:x", user("us-east-1"), true},
		{"StringLike", "${aws:username}", "\xff", user("\xff"), false},
	} {
		c := context{"aws:k": {tc.request}}
		for k, v := range tc.c {
			c[k] = v
		}
		allow, deny := conditionHolds(t, tc.operator, "aws:k", []string{tc.value}, c)
		if allow != tc.want || deny != tc.want {
			t.Errorf("%s %q of %q, %v: %v in an Allow, %v in a Deny", tc.operator, tc.value, tc.request, tc.c, allow, deny)
		}
	}
}

// TestVariablesMalformed: what is no variable has no value. An Allow whose negated operator has one never matches.
func TestVariablesMalformed(t *testing.T) {
	for _, v := range []string{"${", "${}", "${aws}", "${aws:username", "a${aws:${x}}", "${aws:username,}", "${aws:username, x}",
		"${aws:username, 'x}", "${aws:username 'x'}", "${aws:username, 'x' y}", "${**}", "${aws:user*}", "${'aws:x'}"} {
		for _, request := range []string{v, "x", "x}", "David", ""} {
			c := context{"aws:k": {request}, "aws:username": {"David"}}
			allow, deny := conditionHolds(t, "StringEquals", "aws:k", []string{v}, c)
			if allow || deny {
				t.Errorf("%q matches %q", v, request)
			}
			allow, deny = conditionHolds(t, "StringNotEquals", "aws:k", []string{v}, c)
			if allow || !deny {
				t.Errorf("StringNotEquals %q of %q: %v in an Allow, %v in a Deny", v, request, allow, deny)
			}
		}
	}
}

func TestVariablesInResource(t *testing.T) {
	const arn = "arn:aws:kms:us-east-1:111122223333:key/"
	for _, tc := range []struct {
		element, resource string
		username          string
		allow, deny       bool
	}{
		{`"Resource":"` + arn + `${aws:username}"`, arn + "David", "David", true, true},
		{`"Resource":"` + arn + `${aws:username}"`, arn + "Mary", "David", false, false},
		{`"Resource":"` + arn + `${aws:username}-*"`, arn + "David-1", "David", true, true},
		{`"Resource":"` + arn + `${aws:username}"`, arn + "David", "*", false, false},
		{`"Resource":"` + arn + `${aws:username}"`, arn, "", false, false},
		{`"Resource":["` + arn + `${aws:username}","` + arn + `a"]`, arn + "a", "", true, true},
		{`"Resource":"` + arn + `${aws:username, 'none'}"`, arn + "none", "", true, true},
		{`"Resource":"` + arn + `${*}"`, arn + "*", "", true, true},
		{`"Resource":"` + arn + `${*}"`, arn + "x", "", false, false},
		// "will not match any resource", NotResource included.
		{`"NotResource":"` + arn + `${aws:username}"`, arn + "a", "", true, true},
		{`"NotResource":"` + arn + `${aws:username}"`, arn + "David", "David", false, false},
		// A variable before the fifth colon is not replaced, and one that is none never matches; neither widens an Allow.
		{`"Resource":"arn:aws:kms:${aws:username}:111122223333:key/*"`, arn + "a", "us-east-1", false, false},
		{`"NotResource":"arn:aws:kms:${aws:username}:111122223333:key/*"`, arn + "a", "us-east-1", false, true},
		{`"NotResource":"` + arn + `${aws:username"`, arn + "a", "David", false, true},
	} {
		c := context{}
		if tc.username != "" {
			c["aws:username"] = []string{tc.username}
		}
		for effect, want := range map[string]bool{"Allow": tc.allow, "Deny": tc.deny} {
			p := Compile(mustParse(t, doc(fmt.Sprintf(`"Effect":%q,"Action":"*",%s`, effect, tc.element))))
			out := p.EvaluateIdentity(&Request{Action: "kms:Decrypt", Resource: tc.resource, Value: c.value})
			if got := len(out.Allow)+len(out.Deny) == 1; got != want {
				t.Errorf("%s %s, %s, user %q: %v", effect, tc.element, tc.resource, tc.username, got)
			}
		}
	}
}

// TestVariables2008: before the version that brought variables they are text, and wildcards in them wildcards.
func TestVariables2008(t *testing.T) {
	const statement = `"Statement":{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"StringLike":{"aws:k":%q}}}}`
	for _, version := range []string{`{"Version":"2008-10-17",`, `{`} {
		for _, tc := range []struct {
			value, request string
			want           bool
		}{
			{"${aws:username}", "${aws:username}", true},
			{"${aws:username}", "David", false},
			{"${*}", "${abc}", true},
			{"${*}", "*", false},
		} {
			p := Compile(mustParse(t, version+fmt.Sprintf(statement, tc.value)))
			c := context{"aws:k": {tc.request}, "aws:username": {"David"}}
			out := p.EvaluateIdentity(&Request{Action: "kms:Decrypt", Resource: keyARN, Value: c.value})
			if got := len(out.Allow) == 1; got != tc.want {
				t.Errorf("%s %q of %q: %v", version, tc.value, tc.request, got)
			}
			if p.NeedsValue("aws:username") {
				t.Error("a variable of the version without variables is looked up")
			}
		}
	}
}
