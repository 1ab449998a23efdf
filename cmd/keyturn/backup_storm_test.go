package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	agecrypt "filippo.io/age"
	"github.com/aws/aws-sdk-go-v2/aws"
	awskms "github.com/aws/aws-sdk-go-v2/service/kms"
	kmstypes "github.com/aws/aws-sdk-go-v2/service/kms/types"

	"github.com/keyturn/keyturn/internal/audit"
	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/seal"
	"github.com/keyturn/keyturn/internal/store"
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
// was begun opens, no key is there that was made after it had ended, and indexes, counters and audit log say what the records say.
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
	agrees(t, r.app.pipeline.Store(), filepath.Join(dir, "new", auditDir))
}

// agrees recomputes indexes and counters from the records, and compares the keys with those that the audit log has.
func agrees(t *testing.T, s store.Store, auditDir string) {
	t.Helper()
	indexes, counters := map[string]bool{}, map[string]int64{}
	foundIndexes, foundCounters := map[string]bool{}, map[string]int64{}
	keys, events := map[string]bool{}, map[string]string{} // events by the store key that they made
	for after := ""; ; {
		page, err := s.Scan(t.Context(), "", after, 1000)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range page {
			switch kind, _, _ := strings.Cut(e.Key, "/"); kind {
			case "i":
				foundIndexes[e.Key] = true
			case "c":
				if foundCounters[e.Key], err = record.DecodeCounter(e.Value); err != nil {
					t.Fatal(err)
				}
			case "o":
			default:
				rec, err := record.Decode(e.Key, e.Value)
				if err != nil {
					t.Fatal(err)
				}
				for _, i := range rec.Indexes() {
					indexes[i] = true
				}
				for _, c := range rec.Counters() {
					counters[c]++
				}
				if k, ok := rec.(*record.Key); ok {
					keys[k.ID] = true
				}
				if by := rec.Provenance(); by.Event != "" {
					events[e.Key] = by.Event
				}
			}
		}
		if len(page) < 1000 {
			break
		}
		after = page[len(page)-1].Key
	}
	if !maps.Equal(indexes, foundIndexes) {
		t.Errorf("%d indexes, the records have %d", len(foundIndexes), len(indexes))
	}
	if !maps.Equal(counters, foundCounters) {
		t.Errorf("counters are %v, the records say %v", foundCounters, counters)
	}
	made, logged := map[string]bool{}, map[string]bool{}
	restores := 0
	for line, err := range audit.Read(auditDir, 0) {
		if err != nil {
			t.Fatal(err)
		}
		var e struct {
			EventID, EventName, ErrorCode string
			ResponseElements              struct{ KeyMetadata struct{ KeyID string } }
		}
		if err := json.Unmarshal(line.JSON, &e); err != nil {
			t.Fatal(err)
		}
		if logged[e.EventID] {
			t.Errorf("event %s is in the log twice", e.EventID)
		}
		logged[e.EventID] = true
		switch {
		case e.EventName == "RestoreBackup":
			restores++
		case e.EventName == "CreateKey" && e.ErrorCode == "":
			made[e.ResponseElements.KeyMetadata.KeyID] = true
		}
	}
	if !maps.Equal(made, keys) {
		t.Errorf("the log has %d keys made, the store holds %d", len(made), len(keys))
	}
	if restores != 1 {
		t.Errorf("%d restores in the log", restores)
	}
	for _, key := range slices.Sorted(maps.Keys(events)) {
		if !logged[events[key]] {
			t.Errorf("the event that made %s is not in the log", key)
		}
	}
}
