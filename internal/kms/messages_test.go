package kms_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/kms"
	"github.com/keyturn/keyturn/internal/policy"
	"github.com/keyturn/keyturn/internal/service"
)

// actors are keys in every state, for the tables below. K is an enabled key.
type actors struct {
	*bench
	k, other, off, pending string // IDs
	blob                   []byte // under k, context {"a": "b"}
	offBlob, pendingBlob   []byte
	goneBlob               []byte // its key was deleted
	gone                   string
}

func newActors(t *testing.T) *actors {
	a := &actors{bench: testBench(t)}
	make := func() (string, []byte) {
		id, _ := a.newKey(t, &api.CreateKeyRequest{})
		r := must[api.EncryptResponse](t, a.bench, "Encrypt", &api.EncryptRequest{
			KeyId: str(id), Plaintext: []byte("plain"), EncryptionContext: map[string]string{"a": "b"},
		})
		return id, r.CiphertextBlob
	}
	a.gone, a.goneBlob = make()
	a.run(t, "ScheduleKeyDeletion", &api.ScheduleKeyDeletionRequest{KeyId: str(a.gone), PendingWindowInDays: api.Some[int64](7)})
	if n := a.advance(t, 7*day).EventCount.V; n != 1 {
		t.Fatalf("%d events, want the deletion", n)
	}
	a.k, a.blob = make()
	a.other, _ = make()
	a.off, a.offBlob = make()
	a.run(t, "DisableKey", &api.DisableKeyRequest{KeyId: str(a.off)})
	a.pending, a.pendingBlob = make()
	a.run(t, "ScheduleKeyDeletion", &api.ScheduleKeyDeletionRequest{KeyId: str(a.pending)})
	a.run(t, "CreateAlias", &api.CreateAliasRequest{AliasName: str("alias/app"), TargetKeyId: str(a.k)})
	a.events(t) // now all of this is in the log, and what tests do comes after it
	return a
}

const unknown = "11111111-2222-4333-8444-555555555555"

func oneEntry(name, value string) map[string]string { return map[string]string{name: value} }

// TestMessages holds every documented error, word by word.
func TestMessages(t *testing.T) {
	a := newActors(t)
	altered := bytes.Clone(a.blob)
	altered[len(altered)-1] ^= 1
	longTags := make([]api.Tag, 51)
	for i := range longTags {
		longTags[i] = api.Tag{TagKey: str(fmt.Sprint("t", i)), TagValue: str("")}
	}
	tags := func(keys ...string) (out []api.Tag) {
		for _, k := range keys {
			out = append(out, api.Tag{TagKey: str(k), TagValue: str("v")})
		}
		return out
	}
	const (
		unreachable = "The ciphertext refers to a customer master key that does not exist, does not exist in this region, or you are not allowed to access."
		wrongKey    = "The key ID in the request does not identify a CMK that can perform this operation."
		dry         = "The request would have succeeded, but the DryRun option is set."
		one         = "1 validation error detected: "
		either      = "Please specify either number of bytes or key spec."
	)
	yes := api.Some(true)
	tests := []struct {
		name, op string
		req      api.Request
		code     api.ErrorCode
		message  string
	}{
		// Naming a key.
		{"unknown ID", "DescribeKey", &api.DescribeKeyRequest{KeyId: str(unknown)}, api.NotFoundException, "Key '" + keyARN(unknown) + "' does not exist"},
		{"unknown ARN", "DescribeKey", &api.DescribeKeyRequest{KeyId: str(keyARN(unknown))}, api.NotFoundException, "Key '" + keyARN(unknown) + "' does not exist"},
		{"deleted", "DescribeKey", &api.DescribeKeyRequest{KeyId: str(a.gone)}, api.NotFoundException, "Key '" + keyARN(a.gone) + "' does not exist"},
		{"no UUID", "DescribeKey", &api.DescribeKeyRequest{KeyId: str("x")}, api.NotFoundException, "Invalid keyId 'x'"},
		{"another region", "DescribeKey", &api.DescribeKeyRequest{KeyId: str("arn:aws:kms:us-west-2:" + account + ":key/" + a.k)}, api.NotFoundException, "Invalid arn us-west-2"},
		{"unknown alias", "DescribeKey", &api.DescribeKeyRequest{KeyId: str("alias/none")}, api.NotFoundException, "Alias " + aliasARN("alias/none") + " is not found."},
		{"unknown alias ARN", "Encrypt", &api.EncryptRequest{KeyId: str(aliasARN("alias/none")), Plaintext: []byte("x")}, api.NotFoundException, "Alias " + aliasARN("alias/none") + " is not found."},
		{"delete an unknown alias", "DeleteAlias", &api.DeleteAliasRequest{AliasName: str("alias/none")}, api.NotFoundException, "Alias " + aliasARN("alias/none") + " is not found."},
		{"update an unknown alias", "UpdateAlias", &api.UpdateAliasRequest{AliasName: str("alias/none"), TargetKeyId: str(a.k)}, api.NotFoundException, "Alias " + aliasARN("alias/none") + " is not found."},
		{"alias that exists", "CreateAlias", &api.CreateAliasRequest{AliasName: str("alias/app"), TargetKeyId: str(a.k)}, api.AlreadyExistsException, "An alias with the name " + aliasARN("alias/app") + " already exists"},

		// State.
		{"encrypt, disabled", "Encrypt", &api.EncryptRequest{KeyId: str(a.off), Plaintext: []byte("x")}, api.DisabledException, keyARN(a.off) + " is disabled."},
		{"decrypt, disabled", "Decrypt", &api.DecryptRequest{CiphertextBlob: a.offBlob, EncryptionContext: oneEntry("a", "b")}, api.DisabledException, keyARN(a.off) + " is disabled."},
		{"data key, disabled", "GenerateDataKey", &api.GenerateDataKeyRequest{KeyId: str(a.off), NumberOfBytes: api.Some[int64](16)}, api.DisabledException, keyARN(a.off) + " is disabled."},
		{"rotation, disabled", "EnableKeyRotation", &api.EnableKeyRotationRequest{KeyId: str(a.off)}, api.DisabledException, keyARN(a.off) + " is disabled."},
		{"on demand, disabled", "RotateKeyOnDemand", &api.RotateKeyOnDemandRequest{KeyId: str(a.off)}, api.DisabledException, keyARN(a.off) + " is disabled."},
		{"encrypt, pending", "Encrypt", &api.EncryptRequest{KeyId: str(a.pending), Plaintext: []byte("x")}, api.KMSInvalidStateException, keyARN(a.pending) + " is pending deletion."},
		{"decrypt, pending", "Decrypt", &api.DecryptRequest{CiphertextBlob: a.pendingBlob, EncryptionContext: oneEntry("a", "b")}, api.KMSInvalidStateException, keyARN(a.pending) + " is pending deletion."},
		{"enable, pending", "EnableKey", &api.EnableKeyRequest{KeyId: str(a.pending)}, api.KMSInvalidStateException, keyARN(a.pending) + " is pending deletion."},
		{"disable, pending", "DisableKey", &api.DisableKeyRequest{KeyId: str(a.pending)}, api.KMSInvalidStateException, keyARN(a.pending) + " is pending deletion."},
		{"rotation, pending", "EnableKeyRotation", &api.EnableKeyRotationRequest{KeyId: str(a.pending)}, api.KMSInvalidStateException, keyARN(a.pending) + " is pending deletion."},
		{"schedule, pending", "ScheduleKeyDeletion", &api.ScheduleKeyDeletionRequest{KeyId: str(a.pending)}, api.KMSInvalidStateException, keyARN(a.pending) + " is pending deletion."},
		{"tag, pending", "TagResource", &api.TagResourceRequest{KeyId: str(a.pending), Tags: tags("t")}, api.KMSInvalidStateException, keyARN(a.pending) + " is pending deletion."},
		{"alias, pending", "CreateAlias", &api.CreateAliasRequest{AliasName: str("alias/p"), TargetKeyId: str(a.pending)}, api.KMSInvalidStateException, keyARN(a.pending) + " is pending deletion."},

		// Ciphertexts.
		{"altered", "Decrypt", &api.DecryptRequest{CiphertextBlob: altered, EncryptionContext: oneEntry("a", "b")}, api.InvalidCiphertextException, ""},
		{"altered, key named", "Decrypt", &api.DecryptRequest{CiphertextBlob: altered, KeyId: str(unknown)}, api.InvalidCiphertextException, ""},
		{"no ciphertext at all", "Decrypt", &api.DecryptRequest{CiphertextBlob: []byte("hello")}, api.InvalidCiphertextException, ""},
		{"another context", "Decrypt", &api.DecryptRequest{CiphertextBlob: a.blob, EncryptionContext: oneEntry("a", "c")}, api.InvalidCiphertextException, ""},
		{"context left out", "Decrypt", &api.DecryptRequest{CiphertextBlob: a.blob}, api.InvalidCiphertextException, ""},
		{"key gone", "Decrypt", &api.DecryptRequest{CiphertextBlob: a.goneBlob, EncryptionContext: oneEntry("a", "b")}, api.AccessDeniedException, unreachable},
		{"key gone, re-encrypting", "ReEncrypt", &api.ReEncryptRequest{CiphertextBlob: a.goneBlob, DestinationKeyId: str(a.k)}, api.AccessDeniedException, unreachable},
		{"wrong key", "Decrypt", &api.DecryptRequest{CiphertextBlob: a.blob, KeyId: str(a.other), EncryptionContext: oneEntry("a", "b")}, api.IncorrectKeyException, wrongKey},
		{"wrong source key", "ReEncrypt", &api.ReEncryptRequest{CiphertextBlob: a.blob, SourceKeyId: str(a.other), DestinationKeyId: str(a.k)}, api.IncorrectKeyException, wrongKey},

		// DryRun.
		{"dry encrypt", "Encrypt", &api.EncryptRequest{KeyId: str(a.k), Plaintext: []byte("x"), DryRun: yes}, api.DryRunOperationException, dry},
		{"dry decrypt", "Decrypt", &api.DecryptRequest{CiphertextBlob: a.blob, EncryptionContext: oneEntry("a", "b"), DryRun: yes}, api.DryRunOperationException, dry},
		{"dry data key", "GenerateDataKey", &api.GenerateDataKeyRequest{KeyId: str(a.k), KeySpec: str(api.DataKeySpecAes256), DryRun: yes}, api.DryRunOperationException, dry},
		{"dry re-encrypt", "ReEncrypt", &api.ReEncryptRequest{CiphertextBlob: a.blob, SourceEncryptionContext: oneEntry("a", "b"), DestinationKeyId: str(a.other), DryRun: yes}, api.DryRunOperationException, dry},
		{"dry, but disabled", "Encrypt", &api.EncryptRequest{KeyId: str(a.off), Plaintext: []byte("x"), DryRun: yes}, api.DisabledException, keyARN(a.off) + " is disabled."},

		// Tags.
		{"tag twice", "TagResource", &api.TagResourceRequest{KeyId: str(a.k), Tags: tags("t", "t")}, api.TagException, "Duplicate tag keys"},
		{"tag twice at creation", "CreateKey", &api.CreateKeyRequest{Tags: tags("t", "t")}, api.TagException, "Duplicate tag keys"},
		{"reserved tag", "TagResource", &api.TagResourceRequest{KeyId: str(a.k), Tags: tags("aws:t")}, api.TagException, "Tags beginning with aws: are reserved"},
		{"too many tags", "TagResource", &api.TagResourceRequest{KeyId: str(a.k), Tags: longTags}, api.TagException, "Too many tags"},

		// Bounds.
		{"period below", "EnableKeyRotation", &api.EnableKeyRotationRequest{KeyId: str(a.k), RotationPeriodInDays: api.Some[int64](89)}, api.ValidationException,
			one + "Value '89' at 'rotationPeriodInDays' failed to satisfy constraint: Member must have value greater than or equal to 90"},
		{"period above", "EnableKeyRotation", &api.EnableKeyRotationRequest{KeyId: str(a.k), RotationPeriodInDays: api.Some[int64](2561)}, api.ValidationException,
			one + "Value '2561' at 'rotationPeriodInDays' failed to satisfy constraint: Member must have value less than or equal to 2560"},
		{"window below", "ScheduleKeyDeletion", &api.ScheduleKeyDeletionRequest{KeyId: str(a.k), PendingWindowInDays: api.Some[int64](6)}, api.ValidationException,
			one + "Value '6' at 'pendingWindowInDays' failed to satisfy constraint: Member must have value greater than or equal to 7"},
		{"window above", "ScheduleKeyDeletion", &api.ScheduleKeyDeletionRequest{KeyId: str(a.k), PendingWindowInDays: api.Some[int64](31)}, api.ValidationException,
			one + "Value '31' at 'pendingWindowInDays' failed to satisfy constraint: Member must have value less than or equal to 30"},
		{"plaintext too long", "Encrypt", &api.EncryptRequest{KeyId: str(a.k), Plaintext: make([]byte, 4097)}, api.ValidationException,
			one + "Value at 'plaintext' failed to satisfy constraint: Member must have length less than or equal to 4096"},
		{"plaintext empty", "Encrypt", &api.EncryptRequest{KeyId: str(a.k), Plaintext: []byte{}}, api.ValidationException,
			one + "Value at 'plaintext' failed to satisfy constraint: Member must have length greater than or equal to 1"},
		{"two at once", "Encrypt", &api.EncryptRequest{}, api.ValidationException,
			"2 validation errors detected: Value null at 'keyId' failed to satisfy constraint: Member must not be null; Value null at 'plaintext' failed to satisfy constraint: Member must not be null"},
		{"page of rotations", "ListKeyRotations", &api.ListKeyRotationsRequest{KeyId: str(a.k), Limit: api.Some[int64](1001)}, api.ValidationException,
			one + "Value '1001' at 'limit' failed to satisfy constraint: Member must have value less than or equal to 1000"},
		{"no bytes", "GenerateRandom", &api.GenerateRandomRequest{NumberOfBytes: api.Some[int64](0)}, api.ValidationException,
			one + "Value '0' at 'numberOfBytes' failed to satisfy constraint: Member must have value greater than or equal to 1"},
		{"too many bytes", "GenerateRandom", &api.GenerateRandomRequest{NumberOfBytes: api.Some[int64](1025)}, api.ValidationException,
			one + "Value '1025' at 'numberOfBytes' failed to satisfy constraint: Member must have value less than or equal to 1024"},
		{"bytes left out", "GenerateRandom", &api.GenerateRandomRequest{}, api.ValidationException,
			one + "Value null at 'numberOfBytes' failed to satisfy constraint: Member must not be null"},
		{"tag key too long", "TagResource", &api.TagResourceRequest{KeyId: str(a.k), Tags: tags(strings.Repeat("t", 129))}, api.ValidationException,
			one + "Value '" + strings.Repeat("t", 129) + "' at 'tags.1.member.tagKey' failed to satisfy constraint: Member must have length less than or equal to 128"},

		// Choices.
		{"neither size nor spec", "GenerateDataKey", &api.GenerateDataKeyRequest{KeyId: str(a.k)}, api.ValidationException, either},
		{"both size and spec", "GenerateDataKey", &api.GenerateDataKeyRequest{KeyId: str(a.k), KeySpec: str(api.DataKeySpecAes128), NumberOfBytes: api.Some[int64](16)}, api.ValidationException, either},
		{"neither, without plaintext", "GenerateDataKeyWithoutPlaintext", &api.GenerateDataKeyWithoutPlaintextRequest{KeyId: str(a.k)}, api.ValidationException, either},
		{"policy name", "GetKeyPolicy", &api.GetKeyPolicyRequest{KeyId: str(a.k), PolicyName: str("other")}, api.NotFoundException, "No such policy exists"},
		{"reserved alias", "CreateAlias", &api.CreateAliasRequest{AliasName: str("alias/aws/mine"), TargetKeyId: str(a.k)}, api.InvalidAliasNameException, "*"},
		{"no alias", "CreateAlias", &api.CreateAliasRequest{AliasName: str("app"), TargetKeyId: str(a.k)}, api.ValidationException, "*"},
		{"alias to an alias", "CreateAlias", &api.CreateAliasRequest{AliasName: str("alias/b"), TargetKeyId: str("alias/app")}, api.ValidationException, "*"},
		{"marker", "ListKeys", &api.ListKeysRequest{Marker: str("nonsense")}, api.InvalidMarkerException, "*"},
		{"marker of another list", "ListAliases", &api.ListAliasesRequest{Marker: str("MS9rZXlzL3g")}, api.InvalidMarkerException, "*"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := a.do(t, test.op, test.req)
			if err == nil {
				t.Fatalf("%s succeeded, want %s", test.op, test.code)
			}
			if err.Code != test.code || test.message != anyMessage && err.Message != test.message {
				t.Errorf("%s\n got %s: %q\nwant %s: %q", test.op, err.Code, err.Message, test.code, test.message)
			}
			log := a.events(t)
			if last := log[len(log)-1]; last.EventName != test.op || last.ErrorCode != string(test.code) {
				t.Errorf("the last audit record is of %s, error %q", last.EventName, last.ErrorCode)
			}
		})
	}
}

func TestWindowBounds(t *testing.T) {
	b := testBench(t)
	for _, days := range []int64{7, 30} {
		id, _ := b.newKey(t, &api.CreateKeyRequest{})
		r := must[api.ScheduleKeyDeletionResponse](t, b, "ScheduleKeyDeletion", &api.ScheduleKeyDeletionRequest{KeyId: str(id), PendingWindowInDays: api.Some(days)})
		if want := b.now().Add(time.Duration(days) * day); !r.DeletionDate.V.Equal(want) {
			t.Errorf("a window of %d days ends at %v, want %v", days, r.DeletionDate.V, want)
		}
	}
	id, _ := b.newKey(t, &api.CreateKeyRequest{})
	if r := must[api.ScheduleKeyDeletionResponse](t, b, "ScheduleKeyDeletion", &api.ScheduleKeyDeletionRequest{KeyId: str(id)}); r.PendingWindowInDays.V != 30 {
		t.Errorf("the window is %d days by default, want 30", r.PendingWindowInDays.V)
	}
}

func TestAliasQuota(t *testing.T) {
	b := testBench(t)
	id, _ := b.newKey(t, &api.CreateKeyRequest{})
	other, _ := b.newKey(t, &api.CreateKeyRequest{})
	for i := range 50 {
		b.run(t, "CreateAlias", &api.CreateAliasRequest{AliasName: str(fmt.Sprint("alias/n", i)), TargetKeyId: str(id)})
	}
	full := func(op string, req api.Request) {
		t.Helper()
		if _, err := b.do(t, op, req); err == nil || err.Code != api.LimitExceededException {
			t.Errorf("%s of alias 51: %v", op, err)
		}
	}
	full("CreateAlias", &api.CreateAliasRequest{AliasName: str("alias/n50"), TargetKeyId: str(id)})
	b.run(t, "CreateAlias", &api.CreateAliasRequest{AliasName: str("alias/n50"), TargetKeyId: str(other)})
	full("UpdateAlias", &api.UpdateAliasRequest{AliasName: str("alias/n50"), TargetKeyId: str(id)})
	// Pointing one that is there at its own key needs no room.
	b.run(t, "UpdateAlias", &api.UpdateAliasRequest{AliasName: str("alias/n0"), TargetKeyId: str(id)})
	b.run(t, "DeleteAlias", &api.DeleteAliasRequest{AliasName: str("alias/n0")})
	b.run(t, "UpdateAlias", &api.UpdateAliasRequest{AliasName: str("alias/n50"), TargetKeyId: str(id)})
	checkStore(t, b)
}

func TestKeyQuota(t *testing.T) {
	b := newBench(t, kms.Config{KeysPerRegion: 2})
	defer b.close(t)
	b.run(t, "DescribeKey", &api.DescribeKeyRequest{KeyId: str(managedAlias)}) // does not count
	b.newKey(t, &api.CreateKeyRequest{})
	b.newKey(t, &api.CreateKeyRequest{})
	if _, err := b.do(t, "CreateKey", &api.CreateKeyRequest{}); err == nil || err.Code != api.LimitExceededException {
		t.Errorf("key 3 of 2: %v", err)
	}
}

// TestPolicies: what a key policy may be. One that its maker could not change again is refused, unless it is meant.
func TestPolicies(t *testing.T) {
	b := newBench(t, kms.Config{})
	defer b.close(t)
	id, _ := b.newKey(t, &api.CreateKeyRequest{Policy: str(policy.Default("aws", account))})
	encryptOnly := strings.Replace(policy.Default("aws", account), "kms:*", "kms:Encrypt", 1)
	tests := []struct {
		name, text string
		code       api.ErrorCode // "" accepts
	}{
		{"default", policy.Default("aws", account), ""},
		{"nobody may change it", encryptOnly, api.MalformedPolicyDocumentException},
		{"its maker is denied", strings.Replace(policy.Default("aws", account), "} ]", `}, {"Effect":"Deny","Principal":"*","Action":"kms:Put*","Resource":"*"} ]`, 1), api.MalformedPolicyDocumentException},
		{"no policy", "{}", api.MalformedPolicyDocumentException},
		{"no JSON", "{", api.MalformedPolicyDocumentException},
		{"of another account", policy.Default("aws", "999988887777"), api.MalformedPolicyDocumentException},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := b.do(t, "PutKeyPolicy", &api.PutKeyPolicyRequest{KeyId: str(id), Policy: str(test.text)})
			if test.code == "" && err != nil || test.code != "" && (err == nil || err.Code != test.code) {
				t.Errorf("PutKeyPolicy: %v, want %q", err, test.code)
			}
			got := must[api.GetKeyPolicyResponse](t, b, "GetKeyPolicy", &api.GetKeyPolicyRequest{KeyId: str(id)})
			if got.Policy.V != policy.Default("aws", account) || got.PolicyName.V != "default" {
				t.Errorf("the policy is %s", got.Policy.V)
			}
			if _, err := b.do(t, "CreateKey", &api.CreateKeyRequest{Policy: str(test.text)}); test.code == "" && err != nil || test.code != "" && (err == nil || err.Code != test.code) {
				t.Errorf("CreateKey: %v, want %q", err, test.code)
			}
		})
	}
	// Who says that it is meant gets it, and is kept to it.
	b.run(t, "PutKeyPolicy", &api.PutKeyPolicyRequest{KeyId: str(id), Policy: str(encryptOnly), BypassPolicyLockoutSafetyCheck: api.Some(true)})
	b.run(t, "Encrypt", &api.EncryptRequest{KeyId: str(id), Plaintext: []byte("x")})
	for op, req := range map[string]api.Request{
		"PutKeyPolicy": &api.PutKeyPolicyRequest{KeyId: str(id), Policy: str(policy.Default("aws", account))},
		"DescribeKey":  &api.DescribeKeyRequest{KeyId: str(id)},
	} {
		if _, err := b.do(t, op, req); err == nil || err.Code != api.AccessDeniedException || !strings.Contains(err.Message, "because no resource-based policy allows the kms:"+op+" action") {
			t.Errorf("%s: %v", op, err)
		}
	}
}

// TestForeign checks that nobody learns what exists in another account.
func TestForeign(t *testing.T) {
	a := newActors(t)
	stranger := service.RootCaller("999988887777", "AKIASTRANGER")
	there, absent := keyARN(a.k), keyARN(unknown)
	requests := map[string]func(key string) api.Request{
		"DescribeKey":         func(k string) api.Request { return &api.DescribeKeyRequest{KeyId: str(k)} },
		"Encrypt":             func(k string) api.Request { return &api.EncryptRequest{KeyId: str(k), Plaintext: []byte("x")} },
		"ScheduleKeyDeletion": func(k string) api.Request { return &api.ScheduleKeyDeletionRequest{KeyId: str(k)} },
		"CreateAlias": func(k string) api.Request {
			return &api.CreateAliasRequest{AliasName: str("alias/x"), TargetKeyId: str(k)}
		},
		"ReEncrypt": func(k string) api.Request {
			return &api.ReEncryptRequest{CiphertextBlob: a.blob, DestinationKeyId: str(k)}
		},
		"Decrypt": func(k string) api.Request {
			return &api.DecryptRequest{CiphertextBlob: a.blob, KeyId: str(k), EncryptionContext: oneEntry("a", "b")}
		},
	}
	for op, request := range requests {
		t.Run(op, func(t *testing.T) {
			_, one := a.as(t, stranger, "kms."+op, request(there))
			_, two := a.as(t, stranger, "kms."+op, request(absent))
			if one == nil || two == nil || one.Code != api.AccessDeniedException || *one != *two {
				t.Errorf("a key that is there: %v\none that is not: %v", one, two)
			}
		})
	}
	_, found := a.as(t, stranger, "kms.DescribeKey", &api.DescribeKeyRequest{KeyId: str(aliasARN("alias/app"))})
	_, absentAlias := a.as(t, stranger, "kms.DescribeKey", &api.DescribeKeyRequest{KeyId: str(aliasARN("alias/none"))})
	if found == nil || absentAlias == nil || *found != *absentAlias {
		t.Errorf("an alias that is there: %v\none that is not: %v", found, absentAlias)
	}
	if _, err := a.as(t, stranger, "kms.Decrypt", &api.DecryptRequest{CiphertextBlob: a.blob, EncryptionContext: oneEntry("a", "b")}); err == nil || err.Code != api.AccessDeniedException {
		t.Errorf("a stranger's Decrypt: %v", err)
	}
}

// TestResourceOwners lists keys by whose they are: nothing is shared by others here.
func TestResourceOwners(t *testing.T) {
	b := testBench(t)
	b.newKey(t, &api.CreateKeyRequest{})
	const self, others = api.ResourceOwnerTypeSelf, api.ResourceOwnerTypeOtherAccountsViaRam
	for _, test := range []struct {
		owners []api.ResourceOwnerType
		want   int
	}{{nil, 1}, {[]api.ResourceOwnerType{self}, 1}, {[]api.ResourceOwnerType{others, self}, 1}, {[]api.ResourceOwnerType{others}, 0}} {
		r := must[api.ListKeysResponse](t, b, "ListKeys", &api.ListKeysRequest{ResourceOwners: test.owners})
		if len(r.Keys) != test.want || r.Truncated.V {
			t.Errorf("%v: %d keys, truncated %v", test.owners, len(r.Keys), r.Truncated.V)
		}
	}
	if _, err := b.do(t, "ListKeys", &api.ListKeysRequest{ResourceOwners: []api.ResourceOwnerType{"ANY"}}); err == nil || err.Code != api.ValidationException {
		t.Errorf("an unknown owner: %v", err)
	}
}
