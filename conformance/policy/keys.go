package main

import "slices"

// family is what the values of a condition key are.
type family int

const (
	text family = iota
	arnText
	number
	date
	boolean
	address
	binary
)

// contextKey is a condition key with the values that requests have under it.
type contextKey struct {
	name    string
	family  family
	several bool     // a request may have several values: a multivalued context key
	actions []string // nil: every request may have it
	values  []string
}

func (k *contextKey) has(action string) bool {
	return k.actions == nil || slices.Contains(k.actions, action)
}

var (
	onResource    = []string{"kms:Decrypt", "kms:Encrypt", "kms:GenerateDataKey", "kms:DescribeKey", "kms:CreateGrant"}
	cryptographic = []string{"kms:Decrypt", "kms:Encrypt", "kms:GenerateDataKey"}
	textual       = []string{"blue", "green", "BLUE", "blue-1", "b*e", "gr*n", "größe"}
)

// keys are global condition keys and those of KMS, each with its family as the service authorization reference has it.
var keys = []contextKey{
	{name: "aws:PrincipalTag/team", values: textual},
	{name: "aws:PrincipalTag/Level", values: []string{"7", "8", "seven"}},
	{name: "aws:RequestTag/env", values: textual},
	{name: "aws:username", values: []string{"ann", "bob", "blue"}},
	{name: "aws:SourceVpce", values: []string{"vpce-1", "vpce-12"}},
	{name: "kms:ViaService", actions: onResource, values: []string{"s3.us-east-1.amazonaws.com", "ec2.us-east-1.amazonaws.com"}},
	{name: "kms:CallerAccount", actions: onResource, values: []string{home, abroad}},
	{name: "kms:EncryptionContext:app", actions: cryptographic, values: textual},
	{name: "aws:SourceArn", family: arnText, values: []string{"arn:aws:s3:::blue", "arn:aws:sns:us-east-1:111122223333:t",
		"arn:aws:sns:us-west-1:111122223333:t:x", "blue"}},
	{name: "aws:MultiFactorAuthAge", family: number, values: []string{"0", "10", "300", "9.5", "ten"}},
	{name: "aws:CurrentTime", family: date, values: []string{"2026-03-01T12:00:00Z", "2026-03-01T12:00:00.500Z", "2027-01-01T00:00:00Z"}},
	{name: "aws:TokenIssueTime", family: date, values: []string{"2026-03-01T11:00:00Z", "2026-02-28T23:00:00Z", "yesterday", "March 1, 2026"}},
	{name: "aws:EpochTime", family: date, values: []string{"1772366400"}},
	{name: "aws:SecureTransport", family: boolean, values: []string{"true", "false"}},
	{name: "aws:MultiFactorAuthPresent", family: boolean, values: []string{"true", "false", "maybe"}},
	{name: "aws:SourceIp", family: address, values: []string{"192.0.2.7", "192.0.3.7", "2001:db8::7", "host"}},
	{name: "aws:VpcSourceIp", family: address, values: []string{"10.0.0.1", "10.0.1.1"}},
	{name: "aws:RequestTag/binary", family: binary, values: []string{"AQI=", "AwQF"}},
	{name: "aws:TagKeys", several: true, values: []string{"team", "env", "Team", "blue", "green"}},
	{name: "aws:CalledVia", several: true, values: []string{"athena.amazonaws.com", "cloudformation.amazonaws.com"}},
	{name: "kms:EncryptionContextKeys", several: true, actions: cryptographic, values: []string{"app", "tenant"}},
	{name: "kms:GrantOperations", several: true, actions: []string{"kms:CreateGrant"}, values: []string{"Decrypt", "Encrypt", "DescribeKey"}},
}

// operators are all condition operators but Null, which goes with every family.
var operators = map[family][]string{
	text:    {"StringEquals", "StringNotEquals", "StringEqualsIgnoreCase", "StringNotEqualsIgnoreCase", "StringLike", "StringNotLike"},
	arnText: {"ArnEquals", "ArnNotEquals", "ArnLike", "ArnNotLike"},
	number: {"NumericEquals", "NumericNotEquals", "NumericLessThan", "NumericLessThanEquals", "NumericGreaterThan",
		"NumericGreaterThanEquals"},
	date:    {"DateEquals", "DateNotEquals", "DateLessThan", "DateLessThanEquals", "DateGreaterThan", "DateGreaterThanEquals"},
	boolean: {"Bool"},
	address: {"IpAddress", "NotIpAddress"},
	binary:  {"BinaryEquals"},
}

// policyValues are values of policies, beside those made of what the request has.
var policyValues = map[family][]string{
	text: {"blue", "green", "bl?e", "bl*", "*", "?l*e", "b${*}e", "*-1", "7", "vpce-1", "ann"},
	arnText: {"arn:aws:s3:::*", "arn:aws:sns:us-*-1:111122223333:t", "arn:aws:sns:*:*:*",
		"arn:*:*:*:*:*", "arn:aws:s3:::${aws:PrincipalTag/team}", "arn:aws:iam::111122223333:user/*",
		"arn:aws:iam::*:role/o?s", "arn:aws"},
	number:  {"0", "10", "9.5", "10.0", "299", "300", "1e1", "3e2"},
	date:    {"2026-03-01T12:00:00Z", "2026-03-01T13:00:00+01:00", "2026-03-01", "2026-03-01T12:00Z", "2027-01-01T00:00:00Z", "2026", "1772366400"},
	boolean: {"true", "false"},
	address: {"192.0.2.0/24", "192.0.2.7", "192.0.0.0/16", "2001:db8::/32", "2001:db8::7", "2001:0db8:0::7", "10.0.0.0/24", "0.0.0.0/0", "::/0"},
	binary:  {"AQI=", "AwQF"},
}
