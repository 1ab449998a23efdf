package kms

import (
	"slices"
	"testing"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/record"
)

const (
	roleARN   = "arn:aws:iam::444455556666:role/r"
	adminARN  = "arn:aws:iam::111122223333:user/admin"
	bucketARN = "arn:aws:s3:eu-central-1:111122223333:bucket"
)

type grantContext = map[string]string

func grantOf(operations []string, subset, equals grantContext, source string) *record.Grant {
	return &record.Grant{
		Owner: record.Owner{Account: "111122223333", Region: "eu-central-1"}, KeyID: "k", ID: "g", Issuer: "777788889999", Grantee: roleARN, Retiring: adminARN,
		Operations: operations, Subset: record.ContextPairs(subset), Equals: record.ContextPairs(equals), SourceARN: source,
	}
}

func TestHolds(t *testing.T) {
	const encrypt, describe, sign = api.GrantOperationEncrypt, api.GrantOperationDescribeKey, api.GrantOperationSign
	all := []string{"Encrypt", "DescribeKey", "Sign", "CreateGrant", "RetireGrant", "GenerateDataKeyPair"}
	one, two := grantContext{"a": "1"}, grantContext{"a": "1", "b": "2"}
	for _, c := range []struct {
		name    string
		g       *record.Grant
		op      api.GrantOperation
		context grantContext
		source  string
		want    bool
	}{
		{"its operation", grantOf(all, nil, nil, ""), encrypt, nil, "", true},
		{"any context", grantOf(all, nil, nil, ""), encrypt, two, "", true},
		{"another operation", grantOf(all, nil, nil, ""), api.GrantOperationDecrypt, nil, "", false},
		{"the case of an operation", grantOf([]string{"encrypt"}, nil, nil, ""), encrypt, nil, "", false},
		{"no operation", grantOf(nil, nil, nil, ""), encrypt, nil, "", false},
		{"CreateGrant has rules of its own", grantOf(all, nil, nil, ""), api.GrantOperationCreateGrant, nil, "", false},
		{"RetireGrant too", grantOf(all, nil, nil, ""), api.GrantOperationRetireGrant, nil, "", false},

		{"the subset itself", grantOf(all, one, nil, ""), encrypt, one, "", true},
		{"more than the subset", grantOf(all, one, nil, ""), encrypt, two, "", true},
		{"less than the subset", grantOf(all, two, nil, ""), encrypt, one, "", false},
		{"no context", grantOf(all, one, nil, ""), encrypt, nil, "", false},
		{"another value", grantOf(all, one, nil, ""), encrypt, grantContext{"a": "2"}, "", false},
		{"the case of a value", grantOf(all, grantContext{"a": "x"}, nil, ""), encrypt, grantContext{"a": "X"}, "", false},
		{"the case of a name", grantOf(all, grantContext{"Ab": "x"}, nil, ""), encrypt, grantContext{"aB": "x"}, "", true},
		{"moved border", grantOf(all, grantContext{"a": "bc"}, nil, ""), encrypt, grantContext{"ab": "c"}, "", false},
		{"swapped", grantOf(all, grantContext{"a": "b"}, nil, ""), encrypt, grantContext{"b": "a"}, "", false},
		{"data key pairs have a context too", grantOf(all, one, nil, ""), api.GrantOperationGenerateDataKeyPair, nil, "", false},

		{"equal", grantOf(all, nil, two, ""), encrypt, two, "", true},
		{"equal but for the case of names", grantOf(all, nil, two, ""), encrypt, grantContext{"A": "1", "B": "2"}, "", true},
		{"more than equal", grantOf(all, nil, one, ""), encrypt, two, "", false},
		{"less than equal", grantOf(all, nil, two, ""), encrypt, one, "", false},
		{"no context where one is to be equal", grantOf(all, nil, one, ""), encrypt, nil, "", false},
		{"the same pair twice, by the case of its name", grantOf(all, nil, one, ""), encrypt, grantContext{"a": "1", "A": "1"}, "", false},

		{"DescribeKey has no context", grantOf(all, nil, one, ""), describe, nil, "", true},
		{"nor has Sign", grantOf(all, one, nil, ""), sign, nil, "", true},

		{"its source", grantOf(all, nil, nil, bucketARN), encrypt, nil, bucketARN, true},
		{"no source", grantOf(all, nil, nil, bucketARN), encrypt, nil, "", false},
		{"another source", grantOf(all, nil, nil, bucketARN), encrypt, nil, bucketARN + "2", false},
		{"a source is no pattern", grantOf(all, nil, nil, "arn:aws:s3:eu-central-1:111122223333:*"), encrypt, nil, bucketARN, false},
		{"a source that nobody asked for", grantOf(all, nil, nil, ""), encrypt, nil, bucketARN, true},
		{"DescribeKey has a source", grantOf(all, nil, nil, bucketARN), describe, nil, "", false},
		{"its source, another context", grantOf(all, one, nil, bucketARN), encrypt, nil, bucketARN, false},
	} {
		if got := holds(c.g, c.op, c.context, c.source); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

func TestWithin(t *testing.T) {
	parentOps := []string{"CreateGrant", "Decrypt", "Encrypt"}
	one, two, other := grantContext{"a": "1"}, grantContext{"a": "1", "b": "2"}, grantContext{"a": "2"}
	for _, c := range []struct {
		name          string
		parent, child *record.Grant
		want          bool
	}{
		{"the same", grantOf(parentOps, nil, nil, ""), grantOf(parentOps, nil, nil, ""), true},
		{"fewer operations", grantOf(parentOps, nil, nil, ""), grantOf([]string{"Decrypt"}, nil, nil, ""), true},
		{"one operation more", grantOf(parentOps, nil, nil, ""), grantOf([]string{"Decrypt", "DescribeKey"}, nil, nil, ""), false},
		{"a parent that may not", grantOf([]string{"Decrypt"}, nil, nil, ""), grantOf([]string{"Decrypt"}, nil, nil, ""), false},
		{"stricter: subset", grantOf(parentOps, nil, nil, ""), grantOf(parentOps, one, nil, ""), true},
		{"stricter: equals", grantOf(parentOps, nil, nil, ""), grantOf(parentOps, nil, one, ""), true},
		{"stricter: source", grantOf(parentOps, nil, nil, ""), grantOf(parentOps, nil, nil, bucketARN), true},

		{"subset, kept", grantOf(parentOps, one, nil, ""), grantOf(parentOps, one, nil, ""), true},
		{"subset, the case of its name", grantOf(parentOps, one, nil, ""), grantOf(parentOps, grantContext{"A": "1"}, nil, ""), true},
		{"subset, more", grantOf(parentOps, one, nil, ""), grantOf(parentOps, two, nil, ""), true},
		{"subset, as part of equals", grantOf(parentOps, one, nil, ""), grantOf(parentOps, nil, two, ""), true},
		{"subset, less", grantOf(parentOps, two, nil, ""), grantOf(parentOps, one, nil, ""), false},
		{"subset, dropped", grantOf(parentOps, one, nil, ""), grantOf(parentOps, nil, nil, ""), false},
		{"subset, changed", grantOf(parentOps, one, nil, ""), grantOf(parentOps, other, nil, ""), false},
		{"subset, not in equals", grantOf(parentOps, two, nil, ""), grantOf(parentOps, nil, one, ""), false},

		{"equals, kept", grantOf(parentOps, nil, two, ""), grantOf(parentOps, nil, two, ""), true},
		{"equals, more", grantOf(parentOps, nil, one, ""), grantOf(parentOps, nil, two, ""), false},
		{"equals, less", grantOf(parentOps, nil, two, ""), grantOf(parentOps, nil, one, ""), false},
		{"equals, made a subset", grantOf(parentOps, nil, one, ""), grantOf(parentOps, one, nil, ""), false},
		{"equals, dropped", grantOf(parentOps, nil, one, ""), grantOf(parentOps, nil, nil, ""), false},

		{"source, kept", grantOf(parentOps, nil, nil, bucketARN), grantOf(parentOps, nil, nil, bucketARN), true},
		{"source, dropped", grantOf(parentOps, nil, nil, bucketARN), grantOf(parentOps, nil, nil, ""), false},
		{"source, changed", grantOf(parentOps, nil, nil, bucketARN), grantOf(parentOps, nil, nil, bucketARN+"2"), false},
	} {
		if got := within(c.parent, c.child); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

func TestMayRetire(t *testing.T) {
	retirable, kept := grantOf([]string{"Decrypt", "RetireGrant"}, grantContext{"a": "1"}, nil, bucketARN), grantOf([]string{"Decrypt"}, nil, nil, "")
	nobody := grantOf([]string{"Decrypt"}, nil, nil, "")
	nobody.Retiring = ""
	service := grantOf([]string{"Decrypt"}, nil, nil, "")
	service.Retiring = "logs.amazonaws.com"
	for _, c := range []struct {
		name       string
		principals []string
		g          *record.Grant
		want       bool
	}{
		{"the retiring principal", []string{adminARN}, kept, true},
		{"one of several", []string{"arn:aws:sts::111122223333:assumed-role/admin/s", adminARN}, kept, true},
		{"the grantee who may, whatever the constraints", []string{roleARN}, retirable, true},
		{"the grantee who may not", []string{roleARN}, kept, false},
		{"the account that made it", []string{"arn:aws:iam::777788889999:root"}, kept, true},
		{"the key's account", []string{"arn:aws:iam::111122223333:root"}, kept, true},
		{"the grantee's account", []string{"arn:aws:iam::444455556666:root"}, retirable, false},
		{"a root of another partition", []string{"arn:aws-cn:iam::111122223333:root"}, kept, false},
		{"a user of the key's account", []string{"arn:aws:iam::111122223333:user/else"}, kept, false},
		{"nobody, where nobody is named", []string{""}, nobody, false},
		{"no principals", nil, retirable, false},
		{"the retiring service", []string{"logs.amazonaws.com"}, service, true},
		{"another service", []string{"logs.amazonaws.com.cn"}, service, false},
		{"the case of an ARN", []string{"arn:aws:iam::111122223333:user/Admin"}, kept, false},
	} {
		if got := mayRetire(holder{names: c.principals}, c.g); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

// TestPermissible holds which operations grants can permit, against the operations that keys of a kind have.
func TestPermissible(t *testing.T) {
	for _, c := range []struct {
		spec, usage string
		want        []string
	}{
		{symmetricSpec, "ENCRYPT_DECRYPT", []string{
			"Decrypt", "Encrypt", "GenerateDataKey", "GenerateDataKeyWithoutPlaintext", "ReEncryptFrom", "ReEncryptTo", "CreateGrant", "RetireGrant", "DescribeKey",
			"GenerateDataKeyPair", "GenerateDataKeyPairWithoutPlaintext",
		}},
		{"RSA_2048", "ENCRYPT_DECRYPT", []string{"Decrypt", "Encrypt", "ReEncryptFrom", "ReEncryptTo", "GetPublicKey", "CreateGrant", "RetireGrant", "DescribeKey"}},
		{"RSA_2048", "SIGN_VERIFY", []string{"Sign", "Verify", "GetPublicKey", "CreateGrant", "RetireGrant", "DescribeKey"}},
		{"ECC_NIST_P256", "KEY_AGREEMENT", []string{"GetPublicKey", "CreateGrant", "RetireGrant", "DescribeKey", "DeriveSharedSecret"}},
		{"HMAC_256", "GENERATE_VERIFY_MAC", []string{"CreateGrant", "RetireGrant", "DescribeKey", "GenerateMac", "VerifyMac"}},
		{"ML_KEM_768", "ENCAPSULATE_DECAPSULATE", []string{"GetPublicKey", "CreateGrant", "RetireGrant", "DescribeKey", "Encapsulate", "Decapsulate"}},
	} {
		var got []string
		for _, op := range record.GrantOperations {
			if permissible(&record.Key{Spec: c.spec, Usage: c.usage}, op) {
				got = append(got, op)
			}
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s, %s\n got %v\nwant %v", c.spec, c.usage, got, c.want)
		}
	}
	for _, op := range api.GrantOperation("").Values() {
		if !slices.Contains(record.GrantOperations, string(op)) {
			t.Errorf("%s has no place in records", op)
		}
	}
}
