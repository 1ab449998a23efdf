package policy

import "testing"

// TestConditionOperators has the facts of "IAM JSON policy elements: Condition operators" of the IAM user guide.
func TestConditionOperators(t *testing.T) {
	const arn = "arn:aws:sns:us-east-2:111122223333:topic"
	list := func(s ...string) []string { return s }
	for _, tc := range []struct {
		operator string
		policy   []string
		request  string
		want     bool
	}{
		{"StringEquals", list("iamuser-admin"), "iamuser-admin", true},
		{"StringEquals", list("iamuser-admin"), "IAMuser-admin", false},
		{"StringEquals", list("a", "b"), "b", true},
		{"StringEquals", list("a", "b"), "c", false},
		{"StringEquals", list("a*"), "abc", false},
		{"StringEquals", list("a*?"), "a*?", true},
		{"StringEquals", list(""), "", true},
		{"StringNotEquals", list("a"), "b", true},
		{"StringNotEquals", list("a"), "a", false},
		{"StringNotEquals", list("a", "b"), "b", false},
		{"StringNotEquals", list("a", "b"), "c", true},
		{"StringEqualsIgnoreCase", list("ExampleApp", "x"), "EXAMPLEAPP", true},
		{"StringEqualsIgnoreCase", list("straße É"), "STRAßE é", true},
		{"StringEqualsIgnoreCase", list("a*"), "ab", false},
		{"StringNotEqualsIgnoreCase", list("ExampleApp"), "EXAMPLEAPP", false},
		{"StringNotEqualsIgnoreCase", list("ExampleApp"), "other", true},
		{"StringLike", list("", "home/", "home/*/"), "home/david/", true},
		{"StringLike", list("", "home/"), "", true},
		{"StringLike", list("t1.*", "t2.*", "m3.*"), "t2.micro", true},
		{"StringLike", list("t1.*", "t2.*", "m3.*"), "t3.micro", false},
		{"StringLike", list("T1.*"), "t1.micro", false},
		{"StringLike", list("a?c"), "abc", true},
		{"StringLike", list("a?c"), "ac", false},
		{"StringLike", list("arn:aws:someservice:*:111122223333:finance/*"),
			"arn:aws:someservice:us-east-2:999999999999:store/abc:111122223333:finance/document.txt", true},
		{"StringNotLike", list("a*"), "abc", false},
		{"StringNotLike", list("a*", "b*"), "cab", true},

		{"NumericEquals", list("10"), "10.0", true},
		{"NumericEquals", list("10"), "11", false},
		{"NumericEquals", list("10"), "ten", false},
		{"NumericEquals", list("10", "11"), "11", true},
		{"NumericNotEquals", list("10"), "11", true},
		{"NumericNotEquals", list("10"), "1e1", false},
		{"NumericNotEquals", list("10"), "ten", true},
		{"NumericLessThan", list("10"), "9.9", true},
		{"NumericLessThan", list("10"), "10", false},
		{"NumericLessThan", list("10"), "", false},
		{"NumericLessThan", list("10", "20"), "15", true},
		{"NumericLessThanEquals", list("10"), "10", true},
		{"NumericLessThanEquals", list("10"), "10.01", false},
		{"NumericLessThanEquals", list("1546257599.0"), "1546257599", true},
		{"NumericGreaterThan", list("10"), "11", true},
		{"NumericGreaterThan", list("10"), "10", false},
		{"NumericGreaterThan", list("9"), "10", true}, // as numbers, not as text
		{"NumericGreaterThanEquals", list("-1"), "-1", true},
		{"NumericGreaterThanEquals", list("10"), "NaN", false},

		{"DateGreaterThan", list("2020-01-01T00:00:01Z"), "2020-01-01T00:00:02Z", true},
		{"DateGreaterThan", list("2020-01-01T00:00:01Z"), "2020-01-01T00:00:01Z", false},
		{"DateGreaterThan", list("2020-01-01T00:00:01Z"), "2020-01-01T01:00:01+01:00", false},
		{"DateGreaterThanEquals", list("2020-01-01T00:00:01Z"), "1577836801", true},
		{"DateEquals", list("1577836801"), "2020-01-01T00:00:01Z", true},
		{"DateEquals", list("2020-01-01"), "2020-01-01T00:00:00.000Z", true},
		{"DateNotEquals", list("2020-01-01"), "2020-01-01T00:00:00Z", false},
		{"DateNotEquals", list("2020-01-01"), "2020-01-02", true},
		{"DateLessThan", list("2020-01-01"), "2019-12-31T23:59:59Z", true},
		{"DateLessThan", list("2020-01-01"), "soon", false},
		{"DateLessThanEquals", list("2020-01"), "2020-01-01T00:00:00Z", true},
		{"DateLessThanEquals", list("2020-01"), "2020-01-01T00:00:00.5Z", false},

		{"Bool", list("true"), "true", true},
		{"Bool", list("true"), "True", true},
		{"Bool", list("true"), "false", false},
		{"Bool", list("false"), "false", true},
		{"Bool", list("false"), "0", false},
		{"Bool", list("true", "false"), "false", true},
		{"Bool", list("true", "false"), "maybe", false},

		{"BinaryEquals", list("QmluYXJ5VmFsdWVJbkJhc2U2NA=="), "BinaryValueInBase64", true},
		{"BinaryEquals", list("QmluYXJ5VmFsdWVJbkJhc2U2NA=="), "QmluYXJ5VmFsdWVJbkJhc2U2NA==", false},
		{"BinaryEquals", list("/w=="), "\xff", true},

		{"IpAddress", list("203.0.113.0/24"), "203.0.113.7", true},
		{"IpAddress", list("203.0.113.0/24"), "203.0.114.7", false},
		{"IpAddress", list("203.0.113.9/24"), "203.0.113.7", true},
		{"IpAddress", list("203.0.113.7"), "203.0.113.7", true},
		{"IpAddress", list("203.0.113.7"), "203.0.113.8", false},
		{"IpAddress", list("203.0.113.0/24", "2001:DB8:1234:5678::/64"), "2001:db8:1234:5678::1", true},
		{"IpAddress", list("203.0.113.0/24", "2001:DB8:1234:5678::/64"), "2001:db8:1234:5679::1", false},
		{"IpAddress", list("203.0.113.0/24"), "::ffff:203.0.113.7", true},
		{"IpAddress", list("::ffff:203.0.113.0/120"), "203.0.113.7", true},
		{"IpAddress", list("::/0"), "203.0.113.7", false},
		{"IpAddress", list("203.0.113.0/24"), "203.0.113.7:443", false},
		{"IpAddress", list("fe80::/10"), "fe80::1%eth0", false},
		{"NotIpAddress", list("203.0.113.0/24"), "203.0.113.7", false},
		{"NotIpAddress", list("203.0.113.0/24", "198.51.100.0/24"), "198.51.100.1", false},
		{"NotIpAddress", list("203.0.113.0/24"), "198.51.100.1", true},
		{"NotIpAddress", list("203.0.113.0/24"), "unknown", true},

		{"ArnEquals", list(arn), arn, true},
		{"ArnEquals", list(arn), arn + "s", false},
		{"ArnEquals", list("arn:aws:sns:*:111122223333:t?pic"), arn, true}, // as ArnLike does
		{"ArnLike", list("arn:aws:sns:*:*:*"), arn, true},
		{"ArnLike", list("arn:aws:SNS:*:*:*"), arn, false},
		{"ArnLike", list("arn:aws:sns:*:*"), arn, false},
		{"ArnLike", list("*"), arn, false}, // not six parts
		{"ArnLike", list("arn:aws:sns:*:*:*"), "topic", false},
		{"ArnLike", list("arn:aws:someservice:*:111122223333:finance/*"),
			"arn:aws:someservice:us-east-2:999999999999:store/abc:111122223333:finance/document.txt", false},
		{"ArnLike", list("arn:aws:logs:*:*:log-group:*"), "arn:aws:logs:us-east-1:111122223333:log-group:a:b", true},
		{"ArnLike", list("arn:aws:iam::*:role/x", arn), arn, true},
		{"ArnNotEquals", list(arn), arn, false},
		{"ArnNotLike", list("arn:aws:sns:*:999999999999:*"), arn, true},
		{"ArnNotLike", list("arn:aws:sns:*:999999999999:*", "arn:aws:sns:*:111122223333:*"), arn, false},
		{"ArnNotLike", list("arn:aws:sns:*:*:*"), "topic", true},
	} {
		allow, deny := conditionHolds(t, tc.operator, "aws:K", tc.policy, context{"aws:k": {tc.request}})
		if allow != tc.want || deny != tc.want {
			t.Errorf("%s %q of %q: %v in an Allow, %v in a Deny", tc.operator, tc.policy, tc.request, allow, deny)
		}
	}
}

// TestConditionAbsent: what holds when the request has no such key.
func TestConditionAbsent(t *testing.T) {
	for _, tc := range []struct {
		operator, value string
		allow, deny     bool
	}{
		{"StringEquals", "x", false, false},
		{"StringNotEquals", "x", true, true},
		{"StringLike", "*", false, false},
		{"StringNotLike", "*", true, true},
		{"StringNotEqualsIgnoreCase", "x", true, true},
		{"NumericLessThan", "1", false, false},
		{"NumericNotEquals", "1", true, true},
		{"DateLessThan", "2020", false, false},
		{"DateNotEquals", "2020", true, true},
		{"Bool", "false", false, false},
		{"BinaryEquals", "", false, false},
		{"IpAddress", "0.0.0.0/0", false, false},
		{"NotIpAddress", "0.0.0.0/0", true, true},
		{"ArnLike", "arn:*:*:*:*:*", false, false},
		{"ArnNotLike", "arn:*:*:*:*:*", true, true},
		{"StringEqualsIfExists", "x", true, true},
		{"StringNotEqualsIfExists", "x", true, true},
		{"BoolIfExists", "false", true, true},
		{"NumericLessThanIfExists", "1", true, true},
		{"Null", "true", true, true},
		{"Null", "false", false, false},
		{"ForAllValues:StringEquals", "x", true, true},
		{"ForAllValues:StringNotEquals", "x", true, true},
		{"ForAllValues:StringEqualsIfExists", "x", true, true},
		{"ForAnyValue:StringEquals", "x", false, false},
		{"ForAnyValue:StringNotEquals", "x", false, false},
		// Which of the two prevails is not documented: it never lets a request through.
		{"ForAnyValue:StringEqualsIfExists", "x", false, true},
	} {
		for name, c := range map[string]context{"absent": nil, "without values": {"aws:k": {}}} {
			allow, deny := conditionHolds(t, tc.operator, "aws:k", []string{tc.value}, c)
			if allow != tc.allow || deny != tc.deny {
				t.Errorf("%s %s: %v in an Allow, %v in a Deny", tc.operator, name, allow, deny)
			}
		}
	}
}

// TestConditionPresent: IfExists and Null of a key that is there.
func TestConditionPresent(t *testing.T) {
	for _, tc := range []struct {
		operator, value string
		want            bool
	}{
		{"StringEqualsIfExists", "v", true},
		{"StringEqualsIfExists", "x", false},
		{"StringNotEqualsIfExists", "v", false},
		{"ForAnyValue:StringEqualsIfExists", "v", true},
		{"ForAnyValue:StringEqualsIfExists", "x", false},
		{"Null", "true", false},
		{"Null", "false", true},
	} {
		allow, deny := conditionHolds(t, tc.operator, "aws:k", []string{tc.value}, context{"aws:k": {"v"}})
		if allow != tc.want || deny != tc.want {
			t.Errorf("%s %q: %v in an Allow, %v in a Deny", tc.operator, tc.value, allow, deny)
		}
	}
}

// TestConditionSets has the examples of "Multivalued context keys" of the IAM user guide, and their negated forms.
func TestConditionSets(t *testing.T) {
	list := func(s ...string) []string { return s }
	attributes := list("PostDateTime", "Message", "Tags")
	for _, tc := range []struct {
		operator        string
		policy, request []string
		allow, deny     bool
	}{
		{"ForAllValues:StringLike", attributes, list("PostDateTime", "Message"), true, true},
		{"ForAllValues:StringLike", attributes, list("PostDateTime", "UserName"), false, false},
		{"ForAllValues:StringLike", attributes, list("ID"), false, false},
		{"ForAnyValue:StringLike", list("ID", "PostDateTime"), list("UserName", "Message", "PostDateTime"), true, true},
		{"ForAnyValue:StringLike", list("ID", "PostDateTime"), list("UserName"), false, false},
		{"ForAllValues:StringNotEquals", list("a", "b"), list("c", "d"), true, true},
		{"ForAllValues:StringNotEquals", list("a", "b"), list("c", "a"), false, false},
		{"ForAnyValue:StringNotEquals", list("a", "b"), list("a", "c"), true, true},
		{"ForAnyValue:StringNotEquals", list("a", "b"), list("a", "b"), false, false},
		{"ForAllValues:NumericLessThan", list("10"), list("1", "9"), true, true},
		{"ForAllValues:NumericLessThan", list("10"), list("1", "x"), false, false},
		// Without a quantifier several values never allow, and deny if one would.
		{"StringEquals", list("a"), list("a", "b"), false, true},
		{"StringEquals", list("a", "b"), list("a", "b"), false, true},
		{"StringEquals", list("a"), list("b", "c"), false, false},
		{"StringNotEquals", list("a"), list("b", "c"), false, true},
		{"StringNotEquals", list("a"), list("a", "c"), false, true},
		{"StringNotEquals", list("a"), list("a", "a"), false, false},
		{"StringEqualsIfExists", list("a"), list("a", "b"), false, true},
		{"Null", list("false"), list("a", "b"), true, true},
	} {
		allow, deny := conditionHolds(t, tc.operator, "aws:k", tc.policy, context{"aws:k": tc.request})
		if allow != tc.allow || deny != tc.deny {
			t.Errorf("%s %q of %q: %v in an Allow, %v in a Deny", tc.operator, tc.policy, tc.request, allow, deny)
		}
	}
}

// TestConditionsTogether: operators and keys are all to hold; key names have no case, that of an encryption context neither.
func TestConditionsTogether(t *testing.T) {
	const st = `"Effect":"Allow","Action":"*","Resource":"*","Condition":{
		"StringEquals":{"kms:EncryptionContext:AppName":"ExampleApp","AWS:PrincipalTag/Team":["a","b"]},
		"Bool":{"aws:SecureTransport":true}}`
	full := func() context {
		return context{"kms:encryptioncontext:appname": {"ExampleApp"}, "aws:principaltag/team": {"b"}, "aws:securetransport": {"true"}}
	}
	if !identityMatches(t, st, full()) {
		t.Error("all conditions hold, and the statement does not match")
	}
	for key := range full() {
		c := full()
		c[key] = []string{"exampleapp"}
		if identityMatches(t, st, c) {
			t.Errorf("matches with another %s", key)
		}
		delete(c, key)
		if identityMatches(t, st, c) {
			t.Errorf("matches without %s", key)
		}
	}
}

// TestMFA: the idioms of the guides. A long-term key's request has no aws:MultiFactorAuthPresent, so only BoolIfExists denies it.
func TestMFA(t *testing.T) {
	for _, tc := range []struct {
		operator         string
		without, no, yes bool
	}{
		{"Bool", false, true, false},
		{"BoolIfExists", true, true, false},
	} {
		st := `"Effect":"Deny","Action":"*","Resource":"*","Condition":{"` + tc.operator + `":{"aws:MultiFactorAuthPresent":"false"}}`
		for value, want := range map[string]bool{"": tc.without, "false": tc.no, "true": tc.yes} {
			c := context{}
			if value != "" {
				c["aws:multifactorauthpresent"] = []string{value}
			}
			if got := identityMatches(t, st, c); got != want {
				t.Errorf("Deny with %s, request %q: %v", tc.operator, value, got)
			}
		}
	}
}
