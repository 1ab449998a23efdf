package main

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awskms "github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"github.com/keyturn/keyturn/internal/api"
)

// TestUsage uses a key across a rotation and looks at what is said of it, by AWS's operation and by keyturn's own.
func TestUsage(t *testing.T) {
	withoutAWS(t)
	s := startDev(t, "")
	c := kmsClient(s.URL, "keyturn", "us-east-1")
	ctx := t.Context()
	k, err := c.CreateKey(ctx, &awskms.CreateKeyInput{})
	if err != nil {
		t.Fatal(err)
	}
	id := k.KeyMetadata.KeyId
	if u, err := c.GetKeyLastUsage(ctx, &awskms.GetKeyLastUsageInput{KeyId: id}); err != nil || u.KeyLastUsage == nil || u.KeyLastUsage.Operation != "" || u.TrackingStartDate == nil {
		t.Errorf("never used: %+v, %v", u, err)
	}
	encrypt := func(text string) []byte {
		t.Helper()
		e, err := c.Encrypt(ctx, &awskms.EncryptInput{KeyId: id, Plaintext: []byte(text)})
		if err != nil {
			t.Fatal(err)
		}
		return e.CiphertextBlob
	}
	old := encrypt("12345")
	encrypt("1234567890")
	if _, err := c.RotateKeyOnDemand(ctx, &awskms.RotateKeyOnDemandInput{KeyId: id}); err != nil {
		t.Fatal(err)
	}
	encrypt("1")
	for range 3 {
		if _, err := c.Decrypt(ctx, &awskms.DecryptInput{CiphertextBlob: old}); err != nil {
			t.Fatal(err)
		}
	}
	// What fails, and what is only tried, does not count.
	if _, err := c.Encrypt(ctx, &awskms.EncryptInput{KeyId: id, Plaintext: []byte("x"), DryRun: aws.Bool(true)}); apiCode(err) != "DryRunOperationException" {
		t.Error(err)
	}
	if _, err := c.Decrypt(ctx, &awskms.DecryptInput{CiphertextBlob: old, EncryptionContext: map[string]string{"a": "b"}}); apiCode(err) != "InvalidCiphertextException" {
		t.Error(err)
	}

	var u *awskms.GetKeyLastUsageOutput
	deadline := time.Now().Add(30 * time.Second)
	for poll := time.NewTicker(20 * time.Millisecond); ; <-poll.C { // uses are written a little later
		if u, err = c.GetKeyLastUsage(ctx, &awskms.GetKeyLastUsageInput{KeyId: id}); err != nil {
			t.Fatal(err)
		}
		if u.KeyLastUsage != nil && u.KeyLastUsage.Operation == types.KeyLastUsageTrackingOperationDecrypt {
			poll.Stop()
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the use is not written down: %+v", u)
		}
	}
	if last := u.KeyLastUsage; last.Timestamp == nil || last.CloudTrailEventId == nil || last.KmsRequestId == nil || *u.KeyCreationDate != *k.KeyMetadata.CreationDate {
		t.Errorf("last usage %+v", last)
	}
	out, err := execute(t, newKeysCommand(), "usage", *id, "--endpoint", s.URL)
	if err != nil {
		t.Fatal(err)
	}
	// VERSION, KEY MATERIAL ID, CURRENT, ENCRYPTIONS, BYTES, LAST ENCRYPTION, DECRYPTIONS, LAST DECRYPTION
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if len(lines) != 3 {
		t.Fatalf("usage\n%s", out)
	}
	first, second := strings.Fields(lines[1]), strings.Fields(lines[2])
	if strings.Join(append(first[2:5:5], first[6]), " ") != "no 2 15 3" || strings.Join(append(second[2:5:5], second[6]), " ") != "yes 1 1 0" {
		t.Errorf("usage\n%s", out)
	}
}

func TestUsagePages(t *testing.T) {
	withoutAWS(t)
	material := strings.Repeat("ab", 32)
	f := newFakeKMS(t, map[string]func(map[string]any) (int, string){
		"DescribeKey": always(`{"KeyMetadata":{"KeyId":"1234abcd-12ab-34cd-56ef-1234567890ab","Arn":"arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"}}`),
		"GetKeyMaterialUsage": func(in map[string]any) (int, string) {
			next := map[any]string{nil: `,"NextMarker":"one"`, "one": `,"NextMarker":"two"`, "two": ``}[in["Marker"]]
			return http.StatusOK, `{"KeyId":"k","Materials":[{"KeyMaterialId":"` + material + `","EncryptionCount":7}]` + next + `}`
		},
	})
	out, err := execute(t, newKeysCommand(), "usage", "orders", "--endpoint", f.url)
	if err != nil || strings.Count(out, material) != 3 || len(f.calls("GetKeyMaterialUsage")) != 3 {
		t.Errorf("%v\n%s", err, out)
	}
	f = newFakeKMS(t, map[string]func(map[string]any) (int, string){
		"DescribeKey":         always(`{"KeyMetadata":{"KeyId":"1234abcd-12ab-34cd-56ef-1234567890ab","Arn":"arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"}}`),
		"GetKeyMaterialUsage": func(map[string]any) (int, string) { return 400, `{"__type":"UnknownOperationException"}` },
	})
	if _, err := execute(t, newKeysCommand(), "usage", "orders", "--endpoint", f.url); err == nil || errorCode(err) != string(api.UnknownOperationException) {
		t.Errorf("not keyturn: %v", err)
	}
}
