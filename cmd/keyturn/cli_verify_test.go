package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	awskms "github.com/aws/aws-sdk-go-v2/service/kms"

	"github.com/keyturn/keyturn/internal/seal"
	"github.com/keyturn/keyturn/internal/store"
	"github.com/keyturn/keyturn/internal/store/boltstore"
	"github.com/keyturn/keyturn/internal/verify"
)

// verifiedDir makes a data directory of keyturn dev with keys in it, that no server uses any more.
func verifiedDir(t *testing.T) (dir string, keys []string) {
	t.Helper()
	dir = t.TempDir()
	keyFile := filepath.Join(dir, sealKeyFile)
	if err := seal.CreateKeyFile(keyFile); err != nil {
		t.Fatal(err)
	}
	s := startDev(t, dir, func(c *appConfig) {
		c.Provider = func(bool) (seal.Provider, error) { return seal.OpenKeyFile(keyFile) }
	})
	c := kmsClient(s.URL, "keyturn", "us-east-1")
	for range 3 {
		k, err := c.CreateKey(t.Context(), &awskms.CreateKeyInput{})
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, *k.KeyMetadata.KeyId)
	}
	s.stop()
	return dir, keys
}

// files is everything in a directory.
func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := make(map[string]string)
	err := filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		all[path] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// altered writes to a store past keyturn.
func altered(t *testing.T, dir string, writes ...store.Write) {
	t.Helper()
	raw, err := boltstore.Open(filepath.Join(dir, storeFile), boltstore.Options{})
	if err == nil {
		_, err = raw.Commit(t.Context(), store.Batch{Writes: writes})
		err = errors.Join(err, raw.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestVerifyOffline(t *testing.T) {
	dir, keys := verifiedDir(t)
	log, err := filepath.Glob(filepath.Join(dir, auditDir, "audit-*.jsonl"))
	if err != nil || len(log) != 1 {
		t.Fatal(log, err)
	}
	f, err := os.OpenFile(log[0], os.O_APPEND|os.O_WRONLY, 0)
	if err == nil {
		_, err = f.WriteString(`{"keyturn":{"no`) // a crash
	}
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	before := files(t, dir)
	out, _, err := printed(t, "verify", "--data-dir", dir)
	if err != nil || !strings.Contains(out, "3 keys") || !strings.Contains(out, "Nothing is wrong.") || !strings.Contains(out, "the last line is torn") {
		t.Errorf("%v\n%s", err, out)
	}
	if after := files(t, dir); len(after) != len(before) {
		t.Errorf("there are other files now")
	} else {
		for name := range before {
			if after[name] != before[name] {
				t.Errorf("%s was changed", name)
			}
		}
	}
	altered(t, dir, store.Write{Key: "i/keys/000000000000/us-east-1/" + keys[0], Delete: true})
	out, _, err = printed(t, "verify", "--data-dir", dir)
	if !errors.As(err, new(findingsError)) || err.Error() != "1 finding" || !strings.Contains(out, "HIGH  index-missing  i/keys/000000000000/us-east-1/"+keys[0]) {
		t.Errorf("%v\n%s", err, out)
	}
	out, _, err = printed(t, "verify", "--data-dir", dir, "--output", "json")
	var report verify.Report
	if decoded := json.Unmarshal([]byte(out), &report); decoded != nil || !errors.As(err, new(findingsError)) || report.Counts[verify.IndexMissing] != 1 {
		t.Errorf("%v %v\n%s", err, decoded, out)
	}
}

func TestVerifyRepair(t *testing.T) {
	dir, keys := verifiedDir(t)
	index := "i/keys/000000000000/us-east-1/" + keys[0]
	altered(t, dir, store.Write{Key: index, Delete: true}, store.Write{Key: "i/due/of-nothing", Value: []byte("?")}, store.Write{Key: "c/keys/000000000000/us-east-1/" + keys[0][:1], Delete: true})
	out, errs, err := printed(t, "verify", "--data-dir", dir, "--repair")
	if err != nil || !strings.Contains(errs, "3 index entries and counters put right") || !strings.Contains(out, "Nothing is wrong.") {
		t.Errorf("%v\n%s%s", err, out, errs)
	}
	log, err := filepath.Glob(filepath.Join(dir, auditDir, "audit-*.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(log[0])
	if err != nil || !strings.Contains(string(text), `"eventName":"RepairStore"`) || !strings.Contains(string(text), `"indexEntriesMade":["`+index+`"],"indexEntriesRemoved":["i/due/of-nothing"]`) {
		t.Errorf("the log does not tell what was repaired: %v", err)
	}
	// What follows from nothing is not touched.
	altered(t, dir, store.Write{Key: "m/of/no/key/x", Value: []byte("?")})
	if out, _, err = printed(t, "verify", "--data-dir", dir, "--repair"); !errors.As(err, new(findingsError)) || !strings.Contains(out, "value-unreadable") {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestVerifyWithoutSeal(t *testing.T) {
	dir, keys := verifiedDir(t)
	if err := os.Remove(filepath.Join(dir, sealKeyFile)); err != nil {
		t.Fatal(err)
	}
	out, _, err := printed(t, "verify", "--data-dir", dir)
	if err != nil || !strings.Contains(out, "there is no seal") || !strings.Contains(out, "Nothing is wrong.") {
		t.Errorf("%v\n%s", err, out)
	}
	altered(t, dir, store.Write{Key: "k/000000000000/us-east-1/" + keys[1], Delete: true})
	out, _, err = printed(t, "verify", "--data-dir", dir)
	if !errors.As(err, new(findingsError)) || !strings.Contains(out, "record-removed") || !strings.Contains(out, "key-missing") {
		t.Errorf("%v\n%s", err, out)
	}
	if _, _, err := printed(t, "verify", "--data-dir", dir, "--repair"); err == nil || hintFor(err) == "" {
		t.Errorf("repaired without a seal: %v", err)
	}
}

func TestVerifyOnline(t *testing.T) {
	clientEnvironment(t)
	t.Setenv("AWS_ACCESS_KEY_ID", "keyturn") // of the account that manages the others
	dir := t.TempDir()
	s := startDev(t, dir)
	c := kmsClient(s.URL, "keyturn", "us-east-1")
	if _, err := c.CreateKey(t.Context(), &awskms.CreateKeyInput{}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := printed(t, "verify", "--endpoint", s.URL, "--no-wait"); err == nil || hintFor(err) == "" {
		t.Errorf("there was a run before the first: %v", err)
	}
	out, _, err := printed(t, "verify", "--endpoint", s.URL)
	if err != nil || !strings.Contains(out, "1 key\n") || !strings.Contains(out, "Nothing is wrong.") {
		t.Errorf("%v\n%s", err, out)
	}
	again, _, err := printed(t, "verify", "--endpoint", s.URL, "--no-wait")
	if err != nil || again != out {
		t.Errorf("%v\n%s", err, again)
	}
	// A running server has its data directory to itself.
	if _, _, err := printed(t, "verify", "--data-dir", dir); !errors.Is(err, store.ErrLocked) {
		t.Errorf("a directory in use: %v", err)
	}
}

func TestVerifyUsage(t *testing.T) {
	for _, args := range [][]string{
		{"--config", "a", "--data-dir", "b"}, {"--data-dir", "b", "--endpoint", "http://127.0.0.1:1"}, {"--repair"}, {"--data-dir", "b", "--no-wait"}, {"x"},
	} {
		if _, _, err := printed(t, append([]string{"verify"}, args...)...); !errors.As(err, new(usageError)) {
			t.Errorf("%v: %v", args, err)
		}
	}
	if _, _, err := printed(t, "verify", "--data-dir", t.TempDir()); err == nil || hintFor(err) == "" || errors.As(err, new(findingsError)) {
		t.Errorf("an empty directory: %v", err)
	}
}

// TestVerifyDamagedPages damages each page of a store in turn. Damage that is met is a finding, wherever it is: in what opens the store, in what
// opens its seal, or later. What cannot be read is not said to be removed.
func TestVerifyDamagedPages(t *testing.T) {
	dir, _ := verifiedDir(t)
	path := filepath.Join(dir, storeFile)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	size := os.Getpagesize()
	unopened, sealed := 0, 0
	for page := 0; page < len(whole)/size; page++ {
		at := whole[page*size : (page+1)*size]
		if page < 2 || len(bytes.Trim(at, "\x00")) == 0 { // the meta pages, of which one is enough
			continue
		}
		if err := os.WriteFile(path, slices.Concat(whole[:page*size], bytes.Repeat([]byte{0xff}, size), whole[(page+1)*size:]), 0o600); err != nil {
			t.Fatal(err)
		}
		out, _, err := printed(t, "verify", "--data-dir", dir, "--output", "json")
		if err == nil {
			continue // the page is not in use
		}
		var r verify.Report
		if bad := json.Unmarshal([]byte(out), &r); bad != nil || !errors.As(err, new(findingsError)) || r.Counts[verify.StoreUnreadable] == 0 {
			t.Errorf("page %d: %v, %v\n%s", page, err, bad, out)
		}
		if n := r.Counts[verify.RecordRemoved]; n > 0 {
			t.Errorf("page %d: %d records are said to be removed", page, n)
		}
		if r.Unopened {
			unopened++
		} else if r.Sealed {
			sealed++
		}
	}
	if unopened == 0 || sealed == 0 {
		t.Errorf("%d pages kept the store from opening, %d its seal", unopened, sealed)
	}
}
