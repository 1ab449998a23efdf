package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"testing"

	agecrypt "filippo.io/age"
	"github.com/aws/aws-sdk-go-v2/aws"
	awskms "github.com/aws/aws-sdk-go-v2/service/kms"
	kmstypes "github.com/aws/aws-sdk-go-v2/service/kms/types"

	"github.com/keyturn/keyturn/internal/seal"
	"github.com/keyturn/keyturn/internal/verify"
)

// storm is what writers have done to a server so far.
type storm struct {
	mu          sync.Mutex
	grown       sync.Cond // something was added, or a writer has ended
	ciphertexts [][]byte
	plaintexts  [][]byte
	keys        []string
}

func (s *storm) add(key string, ciphertext, plaintext []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if key != "" {
		s.keys = append(s.keys, key)
	}
	s.grown.Broadcast()
	if ciphertext != nil {
		s.ciphertexts, s.plaintexts = append(s.ciphertexts, ciphertext), append(s.plaintexts, plaintext)
	}
}

// now is how much there is: ciphertexts and keys.
func (s *storm) now() (ciphertexts, keys int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.ciphertexts), len(s.keys)
}

// more waits until there are n more ciphertexts, so that each backup has something to see, or until something has failed.
func (s *storm) more(t *testing.T, n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for want := len(s.ciphertexts) + n; len(s.ciphertexts) < want && !t.Failed(); {
		s.grown.Wait()
	}
}

// write makes keys, encrypts, rotates, tags and names, until ctx ends.
func (s *storm) write(ctx context.Context, t *testing.T, client *awskms.Client, rng *rand.Rand, id int) {
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.grown.Broadcast()
	}()
	var own []string
	for n := 0; ctx.Err() == nil; n++ {
		err := func() error {
			if len(own) == 0 || rng.IntN(6) == 0 {
				made, err := client.CreateKey(ctx, &awskms.CreateKeyInput{Tags: []kmstypes.Tag{{TagKey: aws.String("a"), TagValue: aws.String("b")}}})
				if err != nil {
					return err
				}
				own = append(own, *made.KeyMetadata.KeyId)
				s.add(*made.KeyMetadata.KeyId, nil, nil)
			}
			key := own[rng.IntN(len(own))]
			var err error
			switch rng.IntN(5) {
			case 0:
				_, err = client.RotateKeyOnDemand(ctx, &awskms.RotateKeyOnDemandInput{KeyId: &key})
				if limit := (*kmstypes.LimitExceededException)(nil); errors.As(err, &limit) {
					err = nil
				}
			case 1:
				_, err = client.CreateAlias(ctx, &awskms.CreateAliasInput{AliasName: aws.String(fmt.Sprintf("alias/%d-%d", id, n)), TargetKeyId: &key})
			case 2:
				_, err = client.TagResource(ctx, &awskms.TagResourceInput{KeyId: &key, Tags: []kmstypes.Tag{{TagKey: aws.String(fmt.Sprint("t", n%9)), TagValue: aws.String("v")}}})
			}
			if err != nil {
				return err
			}
			plain := fmt.Appendf(nil, "secret %d of writer %d", n, id)
			out, err := client.Encrypt(ctx, &awskms.EncryptInput{KeyId: &key, Plaintext: plain})
			if err == nil {
				s.add("", out.CiphertextBlob, plain)
			}
			return err
		}()
		if err != nil && ctx.Err() == nil {
			t.Errorf("writer %d: %v", id, err)
			return
		}
	}
}

// TestBackupStorm makes backups while writers never rest: a full one and incremental ones. Restored, every ciphertext that was made before the last
// was begun opens, no key is there that was made after it had ended, and the store is whole and as its audit log says.
func TestBackupStorm(t *testing.T) {
	needsAge(t)
	dir := t.TempDir()
	s := startDev(t, filepath.Join(dir, "old"))
	id, err := agecrypt.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	identity := filepath.Join(dir, "identity.txt")
	if err := writeFileWhole(identity, []byte(id.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var st storm
	st.grown.L = &st.mu
	var writers sync.WaitGroup
	for i := range 4 {
		client := kmsClient(s.URL, "000000000000", "us-east-1")
		writers.Go(func() { st.write(ctx, t, client, rand.New(rand.NewPCG(7, uint64(i))), i) })
	}
	args := []string{"restore", "--identity", identity, "--data-dir", filepath.Join(dir, "new"), "--verify"}
	state := filepath.Join(dir, "state.json")
	sure := 0
	for round := range 4 {
		st.more(t, 60)
		sure, _ = st.now()
		file := filepath.Join(dir, fmt.Sprintf("%d.backup", round))
		flags := []string{"backup", "--endpoint", s.URL, "--recipient", id.Recipient().String(), "--output", file, "--state", state}
		if round > 0 {
			flags = append(flags, "--since", state)
		}
		if err := runToEnd(t, flags...); err != nil {
			t.Fatalf("backup %d: %v", round, err)
		}
		args = append(args, "--input", file)
	}
	_, keysBefore := st.now()
	st.more(t, 60)
	cancel()
	writers.Wait()
	s.stop()
	if err := runToEnd(t, args...); err != nil {
		t.Fatal(err)
	}

	provider, err := seal.OpenKeyFile(filepath.Join(dir, "new", sealKeyFile))
	if err != nil {
		t.Fatal(err)
	}
	r := startDev(t, filepath.Join(dir, "new"), func(c *appConfig) {
		c.Provider = func(bool) (seal.Provider, error) { return provider, nil }
	})
	client := kmsClient(r.URL, "000000000000", "us-east-1")
	for i, c := range st.ciphertexts[:sure] {
		out, err := client.Decrypt(t.Context(), &awskms.DecryptInput{CiphertextBlob: c})
		if err != nil || string(out.Plaintext) != string(st.plaintexts[i]) {
			t.Fatalf("ciphertext %d of %d: %v", i, sure, err)
		}
	}
	if keysBefore == len(st.keys) {
		t.Fatal("no key was made after the last backup")
	}
	for _, key := range st.keys[keysBefore:] {
		if _, err := client.DescribeKey(t.Context(), &awskms.DescribeKeyInput{KeyId: &key}); err == nil {
			t.Errorf("key %s was made after the backup, and is there", key)
		}
	}
	r.stop()
	out, _, err := printed(t, "verify", "--data-dir", filepath.Join(dir, "new"), "--output", "json")
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var report verify.Report
	if err := json.Unmarshal([]byte(out), &report); err != nil {
		t.Fatal(err)
	}
	if h := report.History; h == nil || h.Vouched < int64(2*keysBefore) || h.Unvouched+h.Uncovered != 0 || len(h.Restored) != 1 {
		t.Errorf("not every record is as the log's last change left it: %+v", h)
	}
}
