package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awskms "github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
)

const seedYAML = `keys:
  - id: 1234abcd-12ab-34cd-56ef-1234567890ab
    description: seeded
    aliases: [alias/seeded, short]
    tags: {team: platform}
    rotation: {period_in_days: 90, next: 2099-01-01T00:00:00Z}
    materials:
      - hex: 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f
        date: 2025-01-01T00:00:00Z
      - base64: ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8=
        date: 2025-04-01T00:00:00Z
        type: AUTOMATIC
`

func writeSeeds(t *testing.T, yaml string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "seeds.yaml")
	if err := os.WriteFile(path, []byte(yaml), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestSeedFile encrypts in one server and decrypts in another: both in memory, made from the same seed file.
func TestSeedFile(t *testing.T) {
	seeds := writeSeeds(t, seedYAML)
	start := func() *awskms.Client {
		ready := filepath.Join(t.TempDir(), "ready")
		runCommand(t, "dev", "--in-memory", "--seed-file", seeds, "--listen", "127.0.0.1:0", "--ready-file", ready)
		return kmsClient(waitEndpoint(t, ready), "keyturn", "us-east-1")
	}
	ctx := t.Context()
	c := start()
	d, err := c.DescribeKey(ctx, &awskms.DescribeKeyInput{KeyId: aws.String("alias/short")})
	if err != nil || *d.KeyMetadata.KeyId != "1234abcd-12ab-34cd-56ef-1234567890ab" || *d.KeyMetadata.Description != "seeded" {
		t.Fatalf("%+v, %v", d, err)
	}
	all := listRotations(t, c, *d.KeyMetadata.KeyId, types.IncludeKeyMaterialAllKeyMaterial)
	if len(all) != 2 || all[1].RotationDate.Format("2006-01-02") != "2025-04-01" || all[1].RotationType != types.RotationTypeAutomatic || *all[1].KeyMaterialId != *d.KeyMetadata.CurrentKeyMaterialId {
		t.Errorf("materials %+v", all)
	}
	status, err := c.GetKeyRotationStatus(ctx, &awskms.GetKeyRotationStatusInput{KeyId: d.KeyMetadata.KeyId})
	if err != nil || status.NextRotationDate.Format("2006-01-02") != "2099-01-01" {
		t.Errorf("%+v, %v", status, err)
	}
	e, err := c.Encrypt(ctx, &awskms.EncryptInput{KeyId: aws.String("alias/seeded"), Plaintext: []byte("fixture")})
	if err != nil {
		t.Fatal(err)
	}
	other := start()
	p, err := other.Decrypt(ctx, &awskms.DecryptInput{CiphertextBlob: e.CiphertextBlob})
	if err != nil || string(p.Plaintext) != "fixture" || *p.KeyMaterialId != *d.KeyMetadata.CurrentKeyMaterialId {
		t.Errorf("in another server: %+v, %v", p, err)
	}
}

func TestSeedFileErrors(t *testing.T) {
	for name, c := range map[string]struct {
		change []string
		want   string
	}{
		"unknown field":    {[]string{"description:", "descriptoin:"}, "descriptoin"},
		"short material":   {[]string{"1c1d1e1f", "1c1d1e"}, "32 bytes"},
		"no date":          {[]string{"        date: 2025-01-01T00:00:00Z\n", ""}, "date is missing"},
		"wrong order":      {[]string{"2025-04-01", "2024-04-01"}, "not after"},
		"type of first":    {[]string{"date: 2025-01-01T00:00:00Z", "date: 2025-01-01T00:00:00Z\n        type: AUTOMATIC"}, "has no type"},
		"unknown type":     {[]string{"AUTOMATIC", "SOMETIMES"}, "AUTOMATIC or ON_DEMAND"},
		"short period":     {[]string{"period_in_days: 90", "period_in_days: 89"}, "90 to 2560"},
		"bad ID":           {[]string{"1234abcd-12ab", "1234ABCD-12ab"}, "UUID in lower case"},
		"bad account":      {[]string{"description: seeded", "account: 123"}, "12 digits"},
		"region elsewhere": {[]string{"description: seeded", "region: moon-1"}, "is not served"},
		"reserved alias":   {[]string{"alias/seeded", "alias/aws/s3"}, "reserved"},
		"bad policy":       {[]string{"description: seeded", "policy: '{}'"}, "MalformedPolicyDocument"},
		"material twice": {[]string{"base64: ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8=",
			"hex: 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"}, "belongs to the key already"},
	} {
		t.Run(name, func(t *testing.T) {
			seeds := writeSeeds(t, strings.NewReplacer(c.change...).Replace(seedYAML))
			err := runToEnd(t, "dev", "--in-memory", "--seed-file", seeds, "--listen", "127.0.0.1:0")
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v; want %q", err, c.want)
			}
			if err != nil && strings.Contains(err.Error(), "0001020304") {
				t.Errorf("the error holds material: %v", err)
			}
		})
	}
}
