package main

import (
	"context"
	"crypto/fips140"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/operator"
	"github.com/keyturn/keyturn/internal/seal"
	"github.com/keyturn/keyturn/internal/wire"
)

// bubbled is a keyturn dev without a network, for a synctest bubble.
type bubbled struct {
	*app
	t *testing.T
}

func openBubbled(t *testing.T, dir string, p seal.Provider, d operator.Destruction) *bubbled {
	t.Helper()
	regions, err := newRegions(nil)
	if err != nil {
		t.Fatal(err)
	}
	a, err := openApp(t.Context(), appConfig{
		DataDir: dir, Dev: true, Log: slog.New(slog.DiscardHandler), Now: time.Now, Trust: true, Regions: regions, Destruction: d,
		Provider: func(bool) (seal.Provider, error) { return p, nil }, Guard: wire.HostGuard{}.Check,
	})
	if err != nil {
		t.Fatal(err)
	}
	return &bubbled{a, t}
}

// call posts a request and returns the answer; members are taken from it by name with a map.
func (b *bubbled) call(target, body string) map[string]any {
	b.t.Helper()
	req := httptest.NewRequest(http.MethodPost, "http://127.0.0.1/", strings.NewReader(body))
	req.Header.Set("Content-Type", "application/x-amz-json-1.1")
	req.Header.Set("X-Amz-Target", target)
	answer := make(map[string]any)
	if err := json.Unmarshal(b.send(req), &answer); err != nil {
		b.t.Fatalf("%s: %v", target, err)
	}
	return answer
}

// query does it with IAM.
func (b *bubbled) query(action string, parameters ...string) string {
	b.t.Helper()
	form := url.Values{"Action": {action}, "Version": {api.IAMVersion}}
	for i := 0; i < len(parameters); i += 2 {
		form.Set(parameters[i], parameters[i+1])
	}
	req := httptest.NewRequest(http.MethodPost, "http://127.0.0.1/", strings.NewReader(form.Encode()))
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	sum := sha256.Sum256([]byte(form.Encode()))
	creds := aws.Credentials{AccessKeyID: "anybody", SecretAccessKey: "any-secret-will-do"}
	if err := v4.NewSigner().SignHTTP(b.t.Context(), creds, req, hex.EncodeToString(sum[:]), "iam", "us-east-1", time.Now()); err != nil {
		b.t.Fatal(err)
	}
	return string(b.send(req))
}

func (b *bubbled) send(req *http.Request) []byte {
	b.t.Helper()
	w := httptest.NewRecorder()
	b.Handler.ServeHTTP(w, req.WithContext(b.t.Context()))
	body, err := io.ReadAll(w.Body)
	if err != nil || w.Code != http.StatusOK {
		b.t.Fatalf("%s: %d %s, %v", req.Header.Get("X-Amz-Target"), w.Code, body, err)
	}
	if len(body) == 0 {
		return []byte("{}")
	}
	return body
}

func between(text, from, to string) string {
	_, rest, _ := strings.Cut(text, from)
	inside, _, _ := strings.Cut(rest, to)
	return inside
}

// TestDestruction is what docs/destruction.md promises, looked for in the raw files with the seal in hand. Keys of many kinds, an access key
// and the seed of an MFA device are made; the keyring and the root key rotate, values are sealed anew, pages move; then all are
// destroyed. Within the stated time nothing of them opens, whatever key is used that is left; and once the keyring has been replaced,
// neither does a copy of the files that somebody made before.
func TestDestruction(t *testing.T) {
	if fips140.Enabled() {
		t.Skip("the FIPS 140-3 entropy source measures time, which stands still in a bubble")
	}
	dir, copied := t.TempDir(), t.TempDir()
	p := seal.NewKeyFile(make([]byte, 32))
	synctest.Test(t, func(t *testing.T) {
		const within = 24 * time.Hour
		b := openBubbled(t, dir, p, operator.Destruction{ScrubWithin: within})
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{}, 2)
		go func() { b.operator.Maintain(ctx, b.pipeline); done <- struct{}{} }()
		go func() { b.operator.MaintainStore(ctx, b.pipeline); done <- struct{}{} }()
		t.Cleanup(func() {
			stop()
			<-done
			<-done
			if err := b.close(); err != nil {
				t.Error(err)
			}
		})
		time.Sleep(time.Hour) // the first scrub is over

		var ids []string
		for _, spec := range []string{"SYMMETRIC_DEFAULT", "HMAC_256", "ECC_NIST_P256", "RSA_2048", "ML_DSA_44"} {
			usage := map[string]string{"SYMMETRIC_DEFAULT": "ENCRYPT_DECRYPT", "HMAC_256": "GENERATE_VERIFY_MAC"}[spec]
			if usage == "" {
				usage = "SIGN_VERIFY"
			}
			made := b.call("TrentService.CreateKey", fmt.Sprintf(`{"KeySpec":%q,"KeyUsage":%q}`, spec, usage))
			ids = append(ids, made["KeyMetadata"].(map[string]any)["KeyId"].(string))
		}
		user := b.query("CreateUser", "UserName", "alice")
		if !strings.Contains(user, "<UserName>alice<") {
			t.Fatal(user)
		}
		accessKey := between(b.query("CreateAccessKey", "UserName", "alice"), "<AccessKeyId>", "<")
		b.query("CreateVirtualMFADevice", "VirtualMFADeviceName", "phone")
		churn := func(n int) {
			for i := range n {
				b.call("TrentService.CreateKey", fmt.Sprintf(`{"Description":%q}`, strings.Repeat("other ", 1+i%40)))
			}
		}
		for range 3 { // values are written by several versions of the keyring, under several root keys
			b.call("TrentService.RotateKeyOnDemand", fmt.Sprintf(`{"KeyId":%q}`, ids[0]))
			churn(10)
			b.call("Keyturn.RotateKeyring", "{}")
			b.call("Keyturn.RotateRootKey", "{}")
			time.Sleep(time.Hour)
		}

		// The secrets, found in the files as they will be looked for.
		secrets := make(map[string][]byte)
		f := investigate(t, dir, dir, p)
		note := func(name string, want int, texts ...string) {
			found := f.secrets(texts...)
			if len(found) != want {
				t.Fatalf("%d secrets of %s are in the files, want %d", len(found), name, want)
			}
			for i, s := range found {
				secrets[fmt.Sprint(name, " ", i)] = s
			}
		}
		note("rotated key", 4, `"key":"`+ids[0])
		for _, id := range ids[1:] {
			note("key "+id, 1, `"key":"`+id)
		}
		note("access key", 1, `"id":"`+accessKey)
		note("MFA device", 1, `"name":"phone"`)
		if f.keyrings < 2 {
			t.Errorf("%d keyrings open: former ones were to be found", f.keyrings)
		}

		// A backup is being made: what it shows stays until it is done, so that pages are not taken anew by chance.
		backup, err := b.sealed.Snapshot(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, id := range ids {
			b.call("TrentService.ScheduleKeyDeletion", fmt.Sprintf(`{"KeyId":%q,"PendingWindowInDays":7}`, id))
		}
		time.Sleep(7*24*time.Hour + 90*time.Second) // not when MaintainStore looks
		if err := b.runner.RunDue(t.Context()); err != nil {
			t.Fatal(err)
		}
		b.query("DeleteAccessKey", "UserName", "alice", "AccessKeyId", accessKey)
		b.query("DeleteVirtualMFADevice", "SerialNumber", "arn:aws:iam::"+wire.DevAccount+":mfa/phone")
		destroyed := time.Now()

		// Now nothing leads to them; and yet they are there.
		f = investigate(t, dir, dir, p)
		for name, n := range f.copies(secrets) {
			if n.sealed == 0 {
				t.Errorf("%s: no copy is left, so there is nothing to show", name)
			}
			if n.clear > 0 {
				t.Errorf("%s: %d copies in the clear", name, n.clear)
			}
		}
		if err := os.CopyFS(copied, os.DirFS(dir)); err != nil {
			t.Fatal(err)
		}
		churn(3)
		time.Sleep(time.Hour)
		if c := b.compaction(); c["CopiesRemain"] != true || c["State"] != "RUNNING" {
			t.Errorf("GetCompaction while a snapshot is open: %v", c)
		}
		backup.Close()

		time.Sleep(time.Until(destroyed.Add(within)))
		f = investigate(t, dir, dir, p)
		for name, n := range f.copies(secrets) {
			if n.sealed+n.clear > 0 {
				t.Errorf("%s: %d sealed copies open %v after it was destroyed, %d are in the clear", name, n.sealed, within, n.clear)
			}
		}
		if f.keyrings != 1 || len(f.values) < 30 {
			t.Errorf("%d keyrings open, and %d values", f.keyrings, len(f.values))
		}
		if c := b.compaction(); c["CopiesRemain"] != false || c["State"] != "IDLE" {
			t.Errorf("GetCompaction: %v", c)
		}

		// Whoever has copied the files opens what was destroyed, with a keyring of today, until the keyring step is done.
		f = investigate(t, copied, dir, p)
		opened := 0
		for _, n := range f.copies(secrets) {
			opened += n.sealed
		}
		if opened == 0 {
			t.Error("the copied files hold nothing that opens: there is no keyring step to show")
		}
		begun := b.call("Keyturn.CompactStore", `{"RotateKeyring":true}`)["Compaction"].(map[string]any)
		if begun["State"] != "REQUESTED" || begun["OldVersionsDestroyedAfter"] == nil {
			t.Errorf("CompactStore: %v", begun)
		}
		time.Sleep(seal.TokenLife + time.Hour)
		f = investigate(t, copied, dir, p)
		for name, n := range f.copies(secrets) {
			if n.sealed > 0 {
				t.Errorf("%s: a copied file opens after the keyring step", name)
			}
		}
		if f.keyrings != 1 {
			t.Errorf("%d keyrings open in the data directory", f.keyrings)
		}
	})
	// The audit log names what was done, in the service's own name.
	var numbers []int64
	segments, err := filepath.Glob(filepath.Join(dir, auditDir, "*.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range segments {
		data, err := os.ReadFile(s)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(data)) {
			var e struct {
				EventName, EventType string
				ServiceEventDetails  struct{ Number, OverwrittenBytes int64 }
			}
			if err := json.Unmarshal([]byte(line), &e); err == nil && e.EventName == "DestroyMaterialCopies" && e.EventType == "AwsServiceEvent" {
				numbers = append(numbers, e.ServiceEventDetails.Number)
			}
		}
	}
	if len(numbers) < 3 || !slices.IsSorted(numbers) || numbers[0] != 1 {
		t.Errorf("DestroyMaterialCopies events number %v", numbers)
	}
}

func (b *bubbled) compaction() map[string]any {
	b.t.Helper()
	return b.call("Keyturn.GetCompaction", "{}")["Compaction"].(map[string]any)
}

// TestCompactStoreWho: to rotate the keyring along with a scrub takes the permission to rotate it.
func TestCompactStoreWho(t *testing.T) {
	const denied = "AccessDeniedException"
	s := startManaged(t)
	for name, test := range map[string]struct {
		policy     string
		plain, too string
	}{
		"everything":                 {allowing("*", "*"), "", ""},
		"both":                       {`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":["keyturn:CompactStore","keyturn:RotateKeyring"],"Resource":"*"}}`, "", ""},
		"the scrub alone":            {allowing("keyturn:CompactStore", "*"), "", denied},
		"the rotation alone":         {allowing("keyturn:RotateKeyring", "*"), denied, denied},
		"all but the rotation":       {`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"},{"Effect":"Deny","Action":"keyturn:RotateKeyring","Resource":"*"}]}`, "", denied},
		"nothing of the seal at all": {"", denied, denied},
	} {
		who := s.user(t, managing, strings.ReplaceAll(name, " ", "-"), test.policy)
		before := s.app.operator.Status().Version
		if got := s.call(t, who, "CompactStore", &api.CompactStoreRequest{}, new(api.CompactStoreResponse)); got != test.plain {
			t.Errorf("%s: %q, want %q", name, got, test.plain)
		}
		if got := s.call(t, who, "CompactStore", &api.CompactStoreRequest{RotateKeyring: api.Some(true)}, new(api.CompactStoreResponse)); got != test.too {
			t.Errorf("%s, with the keyring: %q, want %q", name, got, test.too)
		}
		if rotated := s.app.operator.Status().Version - before; (rotated == 1) != (test.too == "") || rotated > 1 {
			t.Errorf("%s: the keyring rotated %d times", name, rotated)
		}
	}
}
