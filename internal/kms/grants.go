package kms

import (
	"crypto/rand"
	"encoding/hex"
	"slices"
	"strings"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/keys"
	"github.com/keyturn/keyturn/internal/policy"
	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/service"
)

const (
	// grantsPerKey is AWS's quota ("Resource quotas", AWS KMS developer guide). What a key could have for one grantee, once 500, has
	// no quota of its own any more.
	grantsPerKey = 50_000
	// grantsPerLead bounds how many grants have to be read to find one that permits a use. Only grants to the same grantee with
	// several pairs in EncryptionContextSubset count, and of these only those that no less common pair tells apart.
	grantsPerLead = 500
	// maxConstraintPairs and maxConstraintValue are what a constraint may have (GrantConstraints of CreateGrant, AWS KMS API
	// Reference).
	maxConstraintPairs = 8
	maxConstraintValue = 384 // characters
	// maxGrantPage is the most grants that one reply has (Limit of ListGrants, AWS KMS API Reference).
	maxGrantPage = 100
)

// Operations in grants, by what a key is for ("Grant operations" in "Grants in AWS KMS", AWS KMS developer guide).
var (
	grantedOnAny       = []string{"CreateGrant", "RetireGrant", "DescribeKey"}
	grantedOnSymmetric = []string{
		"Decrypt", "Encrypt", "GenerateDataKey", "GenerateDataKeyPair", "GenerateDataKeyPairWithoutPlaintext", "GenerateDataKeyWithoutPlaintext",
		"ReEncryptFrom", "ReEncryptTo",
	}
	grantedOnAsymmetric = map[string][]string{
		keys.EncryptDecrypt: {"Decrypt", "Encrypt", "ReEncryptFrom", "ReEncryptTo", "GetPublicKey"},
		keys.SignVerify:     {"Sign", "Verify", "GetPublicKey"},
		keys.GenerateMAC:    {"GenerateMac", "VerifyMac"},
		keys.KeyAgreement:   {"DeriveSharedSecret", "GetPublicKey"},
		keys.Encapsulate:    {"Encapsulate", "Decapsulate", "GetPublicKey"},
	}
)

// permissible tells whether a grant on the key can permit the operation.
func permissible(k *record.Key, operation string) bool {
	if slices.Contains(grantedOnAny, operation) {
		return true
	}
	if k.Spec == symmetricSpec {
		return slices.Contains(grantedOnSymmetric, operation)
	}
	return slices.Contains(grantedOnAsymmetric[k.Usage], operation)
}

// principalARN returns the account of a principal that grants can name, in the partition of a region.
func principalARN(s, region string) (account string, err error) {
	partition, account, ok := policy.PrincipalARN(s)
	if !ok || partition != record.Partition(region) {
		return "", api.Errorf(api.InvalidArnException, "ARN does not refer to a valid principal: %s", cut(s))
	}
	return account, nil
}

// servicePrincipal tells whether a grantee or retiring principal is a service's name rather than an ARN.
func servicePrincipal(principal string) bool {
	return principal != "" && !strings.HasPrefix(principal, "arn:")
}

// shownPrincipal is a grantee or retiring principal as replies have it: in one member if it has an ARN, in another if it is a service.
func shownPrincipal(principal string) (arn, service api.Opt[string]) {
	switch {
	case servicePrincipal(principal):
		service = api.Some(principal)
	case principal != "":
		arn = api.Some(principal)
	}
	return arn, service
}

// callerIsService refuses filters that only AWS services may use.
func callerIsService(tx *service.Tx, member string, v api.Opt[string]) error {
	if v.Set && tx.Call.Caller.Type != "AWSService" {
		return api.Errorf(api.AccessDeniedException, "User: %s is not authorized to use %s, which is for service principals only", tx.Call.Caller.ARN, member)
	}
	return nil
}

func newGrantID() (string, error) {
	b := make([]byte, 32)
	rand.Read(b)
	return hex.EncodeToString(b), nil
}

// checkGrantID refuses what no grant is called.
func checkGrantID(id string) error {
	if len(id) != 64 || strings.Trim(id, "0123456789abcdef") != "" {
		return api.Errorf(api.InvalidGrantIdException, "Invalid grant ID '%s'", cut(id))
	}
	return nil
}

// lookupGrant returns a grant on a key, nil if there is none.
func lookupGrant(tx *service.Tx, o record.Owner, keyID, grantID string) (*record.Grant, error) {
	return service.Lookup[*record.Grant](tx, record.GrantsPrefix(o, keyID)+grantID)
}

func grantNotFound(id string) error {
	return api.Errorf(api.NotFoundException, "Grant ID %s not found", id)
}

// contextOf is an encryption context of a constraint as replies have it.
func contextOf(pairs []record.ContextPair) map[string]string {
	if len(pairs) == 0 {
		return nil
	}
	m := make(map[string]string, len(pairs))
	for _, p := range pairs {
		m[p.Name] = p.Value
	}
	return m
}

// grantEntry describes a grant as lists do. A grant without a name has an empty one, as in the AWS CLI's examples of list-retirable-grants.
func grantEntry(g *record.Grant) api.GrantListEntry {
	e := api.GrantListEntry{
		KeyId: api.Some(record.KeyARN(g.Owner, g.KeyID)), GrantId: api.Some(g.ID), Name: api.Some(g.Name), CreationDate: api.Some(g.Created),
		IssuingAccount: api.Some(rootARN(g.Issuer, g.Region)), Operations: make([]api.GrantOperation, len(g.Operations)),
	}
	for i, op := range g.Operations {
		e.Operations[i] = api.GrantOperation(op)
	}
	e.GranteePrincipal, e.GranteeServicePrincipal = shownPrincipal(g.Grantee)
	e.RetiringPrincipal, e.RetiringServicePrincipal = shownPrincipal(g.Retiring)
	if len(g.Subset)+len(g.Equals) > 0 || g.SourceARN != "" {
		e.Constraints = &api.GrantConstraints{EncryptionContextSubset: contextOf(g.Subset), EncryptionContextEquals: contextOf(g.Equals)}
		if g.SourceARN != "" {
			e.Constraints.SourceArn = api.Some(g.SourceARN)
		}
	}
	return e
}

func rootARN(account, region string) string {
	return "arn:" + record.Partition(region) + ":iam::" + account + ":root"
}
