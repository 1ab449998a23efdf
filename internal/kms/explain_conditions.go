package kms

import (
	"maps"
	"slices"
	"strings"

	"github.com/keyturn/keyturn/internal/policy"
	"github.com/keyturn/keyturn/internal/service"
)

// Condition keys, as AWS writes them, by what is known of them where nobody calls.
var (
	// ofPrincipal follow from who the principal is.
	ofPrincipal = []string{
		"kms:CallerAccount", "aws:PrincipalAccount", "aws:PrincipalArn", "aws:PrincipalType", "aws:userid", "aws:username",
		"aws:PrincipalIsAWSService", "aws:PrincipalServiceName", "aws:ViaAWSService",
	}
	// ofConnection are those of a call's connection and session, as package service has them.
	ofConnection = []string{
		"aws:SourceIp", "aws:SecureTransport", "aws:UserAgent", "aws:MultiFactorAuthPresent", "aws:MultiFactorAuthAge", "aws:TokenIssueTime",
		"aws:FederatedProvider", "aws:SourceIdentity",
	}
)

const (
	principalTagPrefix = "aws:principaltag/"
	contextPrefix      = "kms:encryptioncontext:"
	contextKeys        = "kms:encryptioncontextkeys"
)

// cond returns the values that a request for the action would have, for service.Suppose: what is given, what the encryption context says,
// and what every such request has if it leaves all optional members out.
func (j *judgement) cond(key string) (values []string, present bool) {
	if values, present = j.given[key]; present {
		return values, true
	}
	if j.everybody && aboutPrincipal(key) || key == "aws:securetransport" {
		return nil, true // absent, whatever else would have a value
	}
	if !j.action.has(key) {
		return nil, false
	}
	name, inContext := strings.CutPrefix(key, contextPrefix)
	switch {
	case inContext:
		values = service.Folded(maps.All(j.context), name)
	case key == contextKeys:
		values = slices.Sorted(maps.Keys(j.context))
	case key == "kms:requestalias":
		values = single(j.alias)
	case key == "kms:grantisforawsresource":
		values = single("false")
	case key == "kms:encryptionalgorithm" && j.target.Key.Spec == symmetricSpec:
		values = single(string(symmetric.V))
	case key == "kms:trailingdayswithoutkeyusage":
		values = trailingDays[struct{}]().Values(j.tx, nil, &j.target, "")
	}
	return values, len(values) > 0
}

func aboutPrincipal(key string) bool {
	return listed(ofPrincipal, key) != "" || strings.HasPrefix(key, principalTagPrefix)
}

// listed returns how a list writes a condition key, "" if it is not in it.
func listed(list []string, key string) string {
	for _, name := range list {
		if strings.EqualFold(name, key) {
			return name
		}
	}
	return ""
}

// open tells whether a condition key without a value could have one: whether nothing that is known settles that it has none.
func (j *judgement) open(key string) bool {
	if _, given := j.given[key]; given {
		return false
	}
	switch {
	case strings.HasPrefix(key, principalTagPrefix):
		return j.stranger || j.caller.Who().Kind == policy.RoleSession // whose session may have more
	case key == "aws:userid":
		return j.stranger
	case aboutPrincipal(key):
		return j.everybody
	case aboutKey(key):
		return false
	case strings.HasPrefix(key, contextPrefix), key == contextKeys:
		return j.context == nil && j.action.has(key)
	case key == "kms:requestalias":
		return false
	}
	return j.action.has(key) || !j.action.others(key)
}

// possible tells whether a call to this server can have a value for an open condition key. Some it never has, as aws:SourceVpce.
func (j *judgement) possible(key string) bool {
	return aboutPrincipal(key) || j.action.has(key) || listed(ofConnection, key) != ""
}

// aboutKey tells of condition keys that follow from the key.
func aboutKey(key string) bool {
	return key == "aws:resourceaccount" || key == "kms:resourcealiases" || strings.HasPrefix(key, resourceTagPrefix) ||
		slices.ContainsFunc(keyProperties, func(p keyProperty) bool { return strings.EqualFold(p.name, key) })
}
