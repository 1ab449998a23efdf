package kms_test

import (
	"context"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/keyturn/keyturn/internal/api"
)

// shapes are the audit records of a name, without their date and their own ID, with the request's ID replaced by the name of the call
// that has the same one, members in the order of their names.
func (b *bench) shapes(t *testing.T, name string) []string {
	t.Helper()
	b.events(t)
	calls := map[string]string{} // request ID to the first record that has it
	var list []string
	for line := range b.sink.Since(1) {
		var e map[string]any
		if err := json.Unmarshal(line.JSON, &e); err != nil {
			t.Fatal(err)
		}
		if id, ok := e["requestID"].(string); ok {
			if calls[id] == "" {
				calls[id] = e["eventName"].(string)
			}
			e["requestID"] = "of " + calls[id]
		}
		if e["eventName"] != name {
			continue
		}
		for _, m := range []string{"keyturn", "keyturnWrites", "eventTime", "eventID", "eventVersion"} {
			delete(e, m)
		}
		text, err := json.Marshal(e, json.Deterministic(true))
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, string(text))
	}
	return list
}

// TestEventShapes holds the records that the examples of "Logging AWS KMS API calls with AWS CloudTrail" show, word by word, but for
// what CloudTrail alone has: pages CreateKey, ReplicateKey, SynchronizeMultiRegionKey, DeleteKey, DeleteExpiredKeyMaterial. DeleteKey's
// details are of an older edition; its responseElements are in the page's words.
func TestEventShapes(t *testing.T) {
	b := testBench(t)
	mrk := b.newMultiRegion(t, api.CreateKeyRequest{})
	tags := []api.Tag{{TagKey: str("a"), TagValue: str("1")}}
	replica := must[api.ReplicateKeyResponse](t, b, "ReplicateKey", &api.ReplicateKeyRequest{
		KeyId: str(mrk), ReplicaRegion: str(west), Description: str("there"), Tags: tags,
	}).ReplicaKeyMetadata
	gone, goneARN := b.newKey(t, &api.CreateKeyRequest{})
	b.run(t, "ScheduleKeyDeletion", &api.ScheduleKeyDeletionRequest{KeyId: str(gone), PendingWindowInDays: api.Some[int64](7)})
	imported, importedARN := b.external(t, api.CreateKeyRequest{})
	material := b.imported(t, expiring(b.oaep(t, region, imported).request(t, imported, secret(1)), b.now().Add(day)))
	b.advance(t, 8*day)

	for name, want := range map[string]string{
		"CreateKey": `{"awsRegion": "WEST", "eventCategory": "Management", "eventName": "CreateKey", "eventSource": "kms.amazonaws.com",
			"eventType": "AwsApiCall", "managementEvent": true, "readOnly": false, "recipientAccountId": "ACCOUNT", "requestID": "of ReplicateKey",
			"requestParameters": {"description": "there", "keySpec": "SYMMETRIC_DEFAULT", "keyUsage": "ENCRYPT_DECRYPT", "multiRegion": true,
				"origin": "AWS_KMS", "tags": [{"tagKey": "a", "tagValue": "1"}]},
			"resources": [{"ARN": "THERE", "accountId": "ACCOUNT", "type": "AWS::KMS::Key"}],
			"responseElements": {"keyMetadata": {"aWSAccountId": "ACCOUNT", "arn": "THERE", "currentKeyMaterialId": "SHARED", "keyId": "MRK",
				"keySpec": "SYMMETRIC_DEFAULT", "keyState": "Enabled", "keyUsage": "ENCRYPT_DECRYPT", "multiRegion": true,
				"multiRegionConfiguration": {"multiRegionKeyType": "REPLICA", "primaryKey": {"arn": "PRIMARY", "region": "HOME"},
					"replicaKeys": [{"arn": "THERE", "region": "WEST"}]}, "origin": "AWS_KMS"}},
			"sourceIPAddress": "192.0.2.1", "userAgent": "test",
			"userIdentity": {"accessKeyId": "AKIAEXAMPLE", "accountId": "ACCOUNT", "arn": "arn:aws:iam::ACCOUNT:root", "principalId": "ACCOUNT", "type": "Root"}}`,
		"SynchronizeMultiRegionKey": `{"awsRegion": "HOME", "eventCategory": "Management", "eventName": "SynchronizeMultiRegionKey",
			"eventSource": "kms.amazonaws.com", "eventType": "AwsApiCall", "managementEvent": true, "readOnly": false, "recipientAccountId": "ACCOUNT",
			"requestID": "of ReplicateKey", "requestParameters": null,
			"resources": [{"ARN": "PRIMARY", "accountId": "ACCOUNT", "type": "AWS::KMS::Key"}], "responseElements": {"keyId": "PRIMARY"},
			"sourceIPAddress": "AWS Internal", "userAgent": "AWS Internal", "userIdentity": {"accountId": "ACCOUNT", "invokedBy": "AWS Internal"}}`,
		"DeleteKey": `{"awsRegion": "HOME", "eventCategory": "Management", "eventName": "DeleteKey", "eventSource": "kms.amazonaws.com",
			"eventType": "AwsServiceEvent", "managementEvent": true, "readOnly": false, "recipientAccountId": "ACCOUNT", "requestParameters": null,
			"resources": [{"ARN": "GONE", "accountId": "ACCOUNT", "type": "AWS::KMS::Key"}], "responseElements": {"keyId": "GONE"},
			"serviceEventDetails": {"keyId": "` + gone + `"},
			"sourceIPAddress": "AWS Internal", "userAgent": "AWS Internal", "userIdentity": {"accountId": "ACCOUNT", "invokedBy": "AWS Internal"}}`,
		"DeleteExpiredKeyMaterial": `{"awsRegion": "HOME", "eventCategory": "Management", "eventName": "DeleteExpiredKeyMaterial",
			"eventSource": "kms.amazonaws.com", "eventType": "AwsServiceEvent", "managementEvent": true, "readOnly": false,
			"recipientAccountId": "ACCOUNT", "requestParameters": null,
			"resources": [{"ARN": "IMPORTED", "accountId": "ACCOUNT", "type": "AWS::KMS::Key"}], "responseElements": null,
			"serviceEventDetails": {"keyId": "` + imported + `", "keyMaterialId": "` + material + `"},
			"sourceIPAddress": "AWS Internal", "userAgent": "AWS Internal", "userIdentity": {"accountId": "ACCOUNT", "invokedBy": "AWS Internal"}}`,
	} {
		value := jsontext.Value(strings.NewReplacer(
			"ACCOUNT", account, "HOME", region, "WEST", west, "PRIMARY", arnIn(region, mrk), "THERE", arnIn(west, mrk), "MRK", mrk,
			"SHARED", replica.CurrentKeyMaterialId.V, "GONE", goneARN, "IMPORTED", importedARN).Replace(want))
		if err := value.Compact(); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		var found []string
		for _, got := range b.shapes(t, name) {
			if name != "CreateKey" || strings.Contains(got, `"requestID":"of ReplicateKey"`) {
				found = append(found, got)
			}
		}
		if len(found) != 1 || found[0] != string(value) {
			t.Errorf("%s\n got %s\nwant %s", name, strings.Join(found, "\n     "), value)
		}
	}
	// What ReplicateKey answers is recorded where the primary is, and of what it did not do there is nothing in either Region.
	if _, err := b.do(t, "ReplicateKey", &api.ReplicateKeyRequest{KeyId: str(mrk), ReplicaRegion: str(west)}); err == nil {
		t.Error("a second replica in one Region")
	}
	if n := len(b.shapes(t, "ReplicateKey")); n != 2 {
		t.Errorf("%d ReplicateKey records, want 2", n)
	}
	if n := strings.Count(strings.Join(b.shapes(t, "CreateKey"), "\n"), `"awsRegion":"`+west+`"`); n != 1 {
		t.Errorf("%d CreateKey records in the replica's Region, want 1", n)
	}
}

// TestLastUsageEmpty: until a key is used, KeyLastUsage is an empty object (GetKeyLastUsage, AWS KMS API Reference).
func TestLastUsageEmpty(t *testing.T) {
	b := testBench(t)
	id, _ := b.newKey(t, &api.CreateKeyRequest{})
	look := func() string {
		return string(must[api.GetKeyLastUsageResponse](t, b, "GetKeyLastUsage", &api.GetKeyLastUsageRequest{KeyId: str(id)}).AppendJSON(nil))
	}
	if got := look(); !strings.Contains(got, `"KeyLastUsage":{}`) {
		t.Errorf("never used: %s", got)
	}
	b.sealWith(t, region, id, "plain")
	if err := b.p.Flush(context.Background()); err != nil {
		t.Fatal(err)
	}
	if got := look(); !strings.Contains(got, `"Operation":"Encrypt"`) {
		t.Errorf("used: %s", got)
	}
}

// TestIgnoreCiphertext: a dry run that ignores the ciphertext needs none, but the key (KeyId of Decrypt and SourceKeyId of ReEncrypt,
// AWS KMS API Reference: "required ... when DryRun is true and DryRunModifiers is set to IGNORE_CIPHERTEXT").
func TestIgnoreCiphertext(t *testing.T) {
	b := testBench(t)
	id, _ := b.newKey(t, &api.CreateKeyRequest{})
	null := func(member string) string {
		return "1 validation error detected: Value null at '" + member + "' failed to satisfy constraint: Member must not be null"
	}
	ignore := []api.DryRunModifierType{api.DryRunModifierTypeIgnoreCiphertext}
	for _, c := range []struct {
		name      string
		key       api.Opt[string]
		dryRun    bool
		modifiers []api.DryRunModifierType
		code      api.ErrorCode
		decrypt   string // what the message says of Decrypt, and of ReEncrypt
		reEncrypt string
	}{
		{"all that is needed", str(id), true, ignore, api.DryRunOperationException, "*", "*"},
		{"no key", api.Opt[string]{}, true, ignore, api.ValidationException, null("keyId"), null("sourceKeyId")},
		{"no modifier", str(id), true, nil, api.ValidationException, null("ciphertextBlob"), null("ciphertextBlob")},
		{"no dry run", str(id), false, ignore, api.ValidationException, null("ciphertextBlob"), null("ciphertextBlob")},
		{"neither", api.Opt[string]{}, false, nil, api.ValidationException, null("ciphertextBlob"), null("ciphertextBlob")},
	} {
		_, err := b.do(t, "Decrypt", &api.DecryptRequest{KeyId: c.key, DryRun: api.Some(c.dryRun), DryRunModifiers: c.modifiers})
		refusal(t, "Decrypt, "+c.name, err, c.code, c.decrypt)
		_, err = b.do(t, "ReEncrypt", &api.ReEncryptRequest{
			SourceKeyId: c.key, DestinationKeyId: str(id), DryRun: api.Some(c.dryRun), DryRunModifiers: c.modifiers,
		})
		refusal(t, "ReEncrypt, "+c.name, err, c.code, c.reEncrypt)
	}
}
