package main

import (
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	awskms "github.com/aws/aws-sdk-go-v2/service/kms"

	"github.com/keyturn/keyturn/internal/store"
	"github.com/keyturn/keyturn/internal/store/boltstore"
)

// TestDamageMetLater alters one sealed record on the disk: the calls that read it fail, the others do not, and the server is no
// longer ready.
func TestDamageMetLater(t *testing.T) {
	dir := t.TempDir()
	s := startDev(t, dir)
	c := kmsClient(s.URL, "keyturn", "us-east-1")
	var ids []string
	for range 2 {
		k, err := c.CreateKey(t.Context(), &awskms.CreateKeyInput{})
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, *k.KeyMetadata.KeyId)
	}
	s.stop()

	raw, err := boltstore.Open(filepath.Join(dir, storeFile), boltstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	key := "k/000000000000/us-east-1/" + ids[0]
	entries, err := raw.Get(t.Context(), key)
	if err != nil || entries[0].Rev == 0 {
		t.Fatalf("%v, %v", entries, err)
	}
	entries[0].Value[len(entries[0].Value)-1] ^= 1
	if _, err := raw.Commit(t.Context(), store.Batch{Writes: []store.Write{{Key: key, Value: entries[0].Value}}}); err != nil {
		t.Fatal(err)
	}
	if err := raw.Close(); err != nil {
		t.Fatal(err)
	}

	s = startDev(t, dir)
	c = kmsClient(s.URL, "keyturn", "us-east-1")
	ready := func() (int, string) {
		req, err := http.NewRequest("GET", s.URL+"/readyz", nil)
		if err != nil {
			t.Fatal(err)
		}
		return do(t, req)
	}
	if status, body := ready(); status != 200 {
		t.Errorf("before the damage is met: %d %s", status, body)
	}
	if _, err := c.DescribeKey(t.Context(), &awskms.DescribeKeyInput{KeyId: &ids[0]}); apiCode(err) != "KMSInternalException" {
		t.Errorf("damaged key: %v", err)
	}
	if _, err := c.DescribeKey(t.Context(), &awskms.DescribeKeyInput{KeyId: &ids[1]}); err != nil {
		t.Errorf("the other key: %v", err)
	}
	if status, body := ready(); status != 503 || !strings.Contains(body, "the store is damaged") {
		t.Errorf("after the damage was met: %d %s", status, body)
	}
}
