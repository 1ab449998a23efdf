package main

import (
	"bytes"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awskms "github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
)

func do(t *testing.T, req *http.Request) (status int, body string) {
	t.Helper()
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

// TestStory is the README's story through the AWS SDK: rotated for three years, reopened, and everything still decrypts.
func TestStory(t *testing.T) {
	dir := t.TempDir()
	s := startDev(t, dir)
	ctx := t.Context()
	c := kmsClient(s.URL, "keyturn", "eu-central-1")

	created, err := c.CreateKey(ctx, &awskms.CreateKeyInput{Description: aws.String("app")})
	if err != nil {
		t.Fatal(err)
	}
	key := created.KeyMetadata
	if _, err := c.CreateAlias(ctx, &awskms.CreateAliasInput{AliasName: aws.String("alias/app"), TargetKeyId: key.KeyId}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.EnableKeyRotation(ctx, &awskms.EnableKeyRotationInput{KeyId: key.KeyId, RotationPeriodInDays: aws.Int32(90)}); err != nil {
		t.Fatal(err)
	}
	encryptionContext := map[string]string{"tenant": "a", "purpose": "test"}
	first, err := c.Encrypt(ctx, &awskms.EncryptInput{KeyId: aws.String("alias/app"), Plaintext: []byte("hello"), EncryptionContext: encryptionContext})
	if err != nil {
		t.Fatal(err)
	}

	if r := s.advance(t, 3*365*24*time.Hour); r.EventCount.V != 12 || len(r.Events) != 12 {
		t.Fatalf("three years at 90 days: %d events, want 12", r.EventCount.V)
	}
	rotations := listRotations(t, c, *key.KeyId, types.IncludeKeyMaterialRotationsOnly)
	if len(rotations) != 12 {
		t.Fatalf("%d rotations, want 12", len(rotations))
	}
	for i, r := range rotations[1:] {
		if gap := r.RotationDate.Sub(*rotations[i].RotationDate); gap != 90*24*time.Hour {
			t.Errorf("rotation %d came %v after the one before", i+2, gap)
		}
	}
	status, err := c.GetKeyRotationStatus(ctx, &awskms.GetKeyRotationStatusInput{KeyId: key.KeyId})
	if err != nil || !status.KeyRotationEnabled || *status.RotationPeriodInDays != 90 || status.NextRotationDate.Sub(*rotations[11].RotationDate) != 90*24*time.Hour {
		t.Errorf("rotation status %+v, %v", status, err)
	}

	decrypt := func(what string, blob []byte, wantMaterial string) {
		t.Helper()
		d, err := c.Decrypt(ctx, &awskms.DecryptInput{CiphertextBlob: blob, EncryptionContext: encryptionContext})
		if err != nil || !bytes.Equal(d.Plaintext, []byte("hello")) || *d.KeyId != *key.Arn || *d.KeyMaterialId != wantMaterial {
			t.Errorf("%s: %+v, %v; want material %s", what, d, err, wantMaterial)
		}
	}
	decrypt("after 12 rotations", first.CiphertextBlob, *key.CurrentKeyMaterialId)

	rotated, err := c.RotateKeyOnDemand(ctx, &awskms.RotateKeyOnDemandInput{KeyId: key.KeyId})
	if err != nil || *rotated.KeyId != *key.Arn {
		t.Fatalf("%+v, %v", rotated, err)
	}
	all := listRotations(t, c, *key.KeyId, types.IncludeKeyMaterialAllKeyMaterial)
	if len(all) != 14 || all[0].RotationDate != nil || *all[0].KeyMaterialId != *key.CurrentKeyMaterialId ||
		all[13].RotationType != types.RotationTypeOnDemand || all[13].KeyMaterialState != types.KeyMaterialStateCurrent {
		t.Errorf("materials %+v", all)
	}
	if after, err := c.GetKeyRotationStatus(ctx, &awskms.GetKeyRotationStatusInput{KeyId: key.KeyId}); err != nil || !after.NextRotationDate.Equal(*status.NextRotationDate) {
		t.Errorf("a rotation on demand moved the date: %+v, %v", after, err)
	}

	// Manual rotation: the alias names another key from now on.
	second, err := c.CreateKey(ctx, &awskms.CreateKeyInput{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.UpdateAlias(ctx, &awskms.UpdateAliasInput{AliasName: aws.String("alias/app"), TargetKeyId: second.KeyMetadata.KeyId}); err != nil {
		t.Fatal(err)
	}
	if e, err := c.Encrypt(ctx, &awskms.EncryptInput{KeyId: aws.String("alias/app"), Plaintext: []byte("x")}); err != nil || *e.KeyId != *second.KeyMetadata.Arn {
		t.Errorf("through the alias: %+v, %v", e, err)
	}
	decrypt("after the alias moved", first.CiphertextBlob, *key.CurrentKeyMaterialId)

	// Everything is still there after a restart, the clock included.
	s.stop()
	s = startDev(t, dir)
	c = kmsClient(s.URL, "keyturn", "eu-central-1")
	decrypt("after a restart", first.CiphertextBlob, *key.CurrentKeyMaterialId)
	if r := s.advance(t, 0); time.Until(r.Now.V) < 3*365*24*time.Hour-time.Hour {
		t.Errorf("the clock went back to %v", r.Now.V)
	}
	if again := listRotations(t, c, *key.KeyId, types.IncludeKeyMaterialRotationsOnly); len(again) != 13 {
		t.Errorf("%d rotations after a restart, want 13", len(again))
	}
}

func listRotations(t *testing.T, c *awskms.Client, keyID string, include types.IncludeKeyMaterial) []types.RotationsListEntry {
	t.Helper()
	var all []types.RotationsListEntry
	// Pages of five, so that paging is used.
	for p := awskms.NewListKeyRotationsPaginator(c, &awskms.ListKeyRotationsInput{KeyId: &keyID, IncludeKeyMaterial: include, Limit: aws.Int32(5)}); p.HasMorePages(); {
		page, err := p.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if len(page.Rotations) > 5 {
			t.Errorf("page of %d", len(page.Rotations))
		}
		all = append(all, page.Rotations...)
	}
	return all
}
