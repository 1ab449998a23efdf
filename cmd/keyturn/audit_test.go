package main

import (
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awskms "github.com/aws/aws-sdk-go-v2/service/kms"

	"github.com/keyturn/keyturn/internal/audit"
)

type auditEvent struct {
	EventName    string                       `json:"eventName"`
	EventType    string                       `json:"eventType"`
	EventTime    time.Time                    `json:"eventTime"`
	ErrorCode    string                       `json:"errorCode"`
	ReadOnly     bool                         `json:"readOnly"`
	UserIdentity map[string]any               `json:"userIdentity"`
	Parameters   map[string]any               `json:"requestParameters"`
	Response     map[string]any               `json:"responseElements"`
	Details      map[string]string            `json:"serviceEventDetails"`
	Resources    []struct{ ARN, Type string } `json:"resources"`
}

// auditEvents reads the audit log in a data directory whose server has stopped.
func auditEvents(t *testing.T, dir string) []auditEvent {
	t.Helper()
	var events []auditEvent
	for line, err := range audit.Read(filepath.Join(dir, auditDir), 0) {
		if err != nil {
			t.Fatal(err)
		}
		var e auditEvent
		if err := json.Unmarshal(line.JSON, &e); err != nil {
			t.Fatalf("%v: %s", err, line.JSON)
		}
		events = append(events, e)
	}
	return events
}

// TestAuditLog shows one record for every call, in CloudTrail's form, and no secret in any file of the data directory.
func TestAuditLog(t *testing.T) {
	dir := t.TempDir()
	s := startDev(t, dir)
	c := kmsClient(s.URL, "keyturn", "us-east-1")
	ctx := t.Context()
	const secret = "a-plaintext-that-must-not-be-seen"
	k, err := c.CreateKey(ctx, &awskms.CreateKeyInput{Description: aws.String("audited")})
	if err != nil {
		t.Fatal(err)
	}
	id, arn := k.KeyMetadata.KeyId, *k.KeyMetadata.Arn
	encrypted, err := c.Encrypt(ctx, &awskms.EncryptInput{KeyId: id, Plaintext: []byte(secret), EncryptionContext: map[string]string{"tenant": "a"}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Decrypt(ctx, &awskms.DecryptInput{CiphertextBlob: encrypted.CiphertextBlob}); apiCode(err) != "InvalidCiphertextException" {
		t.Fatal(err)
	}
	dataKey, err := c.GenerateDataKey(ctx, &awskms.GenerateDataKeyInput{KeyId: id, NumberOfBytes: aws.Int32(64)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.EnableKeyRotation(ctx, &awskms.EnableKeyRotationInput{KeyId: id, RotationPeriodInDays: aws.Int32(90)}); err != nil {
		t.Fatal(err)
	}
	s.advance(t, 90*24*time.Hour)
	if _, err := c.RotateKeyOnDemand(ctx, &awskms.RotateKeyOnDemandInput{KeyId: id}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.ScheduleKeyDeletion(ctx, &awskms.ScheduleKeyDeletionInput{KeyId: id, PendingWindowInDays: aws.Int32(7)}); err != nil {
		t.Fatal(err)
	}
	s.advance(t, 8*24*time.Hour)
	if _, err := c.DescribeKey(ctx, &awskms.DescribeKeyInput{KeyId: id}); apiCode(err) != "NotFoundException" {
		t.Errorf("deleted key: %v", err)
	}
	if _, err := c.Decrypt(ctx, &awskms.DecryptInput{CiphertextBlob: encrypted.CiphertextBlob, EncryptionContext: map[string]string{"tenant": "a"}}); apiCode(err) != "AccessDeniedException" {
		t.Errorf("ciphertext of a deleted key: %v", err)
	}
	s.stop()

	events := auditEvents(t, dir)
	var got []string
	for _, e := range events {
		got = append(got, strings.TrimRight(e.EventName+" "+e.EventType+" "+e.ErrorCode, " "))
	}
	want := []string{
		"CreateKey AwsApiCall", "Encrypt AwsApiCall", "Decrypt AwsApiCall InvalidCiphertextException", "GenerateDataKey AwsApiCall",
		"EnableKeyRotation AwsApiCall", "RotateKey AwsServiceEvent", "AdvanceClock AwsApiCall", "RotateKeyOnDemand AwsApiCall", "RotateKey AwsServiceEvent",
		"ScheduleKeyDeletion AwsApiCall", "DeleteKey AwsServiceEvent", "AdvanceClock AwsApiCall", "DescribeKey AwsApiCall NotFoundException",
		"Decrypt AwsApiCall AccessDeniedException",
	}
	// Changes come to the log through the outbox, a moment after calls that follow them: compare without order here.
	for _, w := range want {
		n := strings.Count("\n"+strings.Join(got, "\n")+"\n", "\n"+w+"\n")
		if m := strings.Count("\n"+strings.Join(want, "\n")+"\n", "\n"+w+"\n"); n != m {
			t.Errorf("%q is %d times in the log, want %d", w, n, m)
		}
	}
	sweeps := 0
	for _, e := range events {
		switch e.EventName {
		case "SweepKey":
			sweeps++
			if e.EventType != "AwsServiceEvent" || e.Details["keyId"] != *id {
				t.Errorf("SweepKey: %+v", e)
			}
		case "Encrypt":
			if e.Parameters["keyId"] != *id || e.Parameters["encryptionContext"].(map[string]any)["tenant"] != "a" || !e.ReadOnly || len(e.Resources) != 1 || e.Resources[0].ARN != arn {
				t.Errorf("Encrypt: %+v", e)
			}
			if e.UserIdentity["type"] != "Root" || e.UserIdentity["accountId"] != "000000000000" {
				t.Errorf("identity %v", e.UserIdentity)
			}
		case "RotateKey":
			if e.Details["keyId"] != *id || e.Details["keyOrigin"] != "AWS_KMS" || len(e.Details["previousKeyMaterialId"]) != 64 ||
				len(e.Details["currentKeyMaterialId"]) != 64 || e.UserIdentity["invokedBy"] != "AWS Internal" || e.ReadOnly || e.Resources[0].ARN != arn {
				t.Errorf("RotateKey: %+v", e)
			}
		case "CreateKey":
			if e.Parameters["description"] != "audited" || e.Response["keyMetadata"].(map[string]any)["arn"] != arn {
				t.Errorf("CreateKey: %+v", e)
			}
		}
	}
	if len(events) != len(want)+sweeps || sweeps != 1 {
		t.Errorf("the log has %q", got)
	}

	hidden := [][]byte{[]byte(secret), []byte(base64.StdEncoding.EncodeToString([]byte(secret))), dataKey.Plaintext,
		[]byte(base64.StdEncoding.EncodeToString(dataKey.Plaintext)), []byte(base64.StdEncoding.EncodeToString(encrypted.CiphertextBlob)), []byte("secret-of-the-client")}
	err = filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		for i, h := range hidden {
			if strings.Contains(string(data), string(h)) {
				t.Errorf("%s holds secret %d", filepath.Base(path), i)
			}
		}
		if info, err := d.Info(); err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v", filepath.Base(path), info.Mode())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
