package main

import (
	"io"
	"iter"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	agecrypt "filippo.io/age"
	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/audit"
	"github.com/keyturn/keyturn/internal/backup"
	"github.com/keyturn/keyturn/internal/identity"
	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/seal"
)

// testRecipient is an age recipient, with its identity in a file.
func testRecipient(t *testing.T) (recipient, file string) {
	t.Helper()
	id, err := agecrypt.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(t.TempDir(), "identity.txt")
	if err := os.WriteFile(file, []byte(id.String()+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return id.Recipient().String(), file
}

// stream asks for a backup as somebody.
func (s *testServer) stream(t *testing.T, who identity.Credentials, in *api.CreateBackupRequest) (*http.Response, string) {
	t.Helper()
	c := &connection{cfg: aws.Config{Credentials: provider(who), Region: "us-east-1", HTTPClient: awshttp.NewBuildableClient()}, endpoint: s.URL}
	resp, err := c.stream(t.Context(), "Keyturn.CreateBackup", in)
	if err == nil {
		t.Cleanup(func() { _ = resp.Body.Close() })
		return resp, ""
	}
	if errorCode(err) == "" {
		t.Fatal(err)
	}
	return nil, errorCode(err)
}

// TestBackupWho: only the account that manages the others gets backups, and of its principals only those that its policies allow it.
func TestBackupWho(t *testing.T) {
	needsAge(t)
	s := startManaged(t)
	recipient, _ := testRecipient(t)
	in := &api.CreateBackupRequest{Recipients: []string{recipient}}
	const allow = `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"keyturn:CreateBackup","Resource":"*"}}`
	const everything = `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}`
	other := s.create(t, "333344445555")
	for name, test := range map[string]struct {
		who  identity.Credentials
		want string
	}{
		"the root user of another account":      {other, "AccessDeniedException"},
		"an administrator of another account":   {s.user(t, "333344445555", "admin", everything), "AccessDeniedException"},
		"a user whom nothing allows it":         {s.user(t, managing, "nobody", ""), "AccessDeniedException"},
		"a user whom a policy allows it":        {s.user(t, managing, "backup", allow), ""},
		"a role of the account that manages it": {s.role(t, managing, "backups", allow), ""},
		"its root user":                         {s.root, ""},
	} {
		t.Run(name, func(t *testing.T) {
			resp, code := s.stream(t, test.who, in)
			if code != test.want {
				t.Fatalf("got %q, want %q", code, test.want)
			}
			if resp == nil {
				return
			}
			file, err := io.ReadAll(resp.Body)
			if err != nil || !strings.HasPrefix(string(file), "age-encryption.org/v1\n") {
				t.Errorf("%d bytes (%v)", len(file), err)
			}
		})
	}
	// Who made which backup for whom is in the log, and how it went.
	var log strings.Builder
	if err := s.app.pipeline.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	for line, err := range s.lines() {
		if err != nil {
			t.Fatal(err)
		}
		if text := string(line.JSON); strings.Contains(text, "Backup") {
			log.WriteString(text + "\n")
		}
	}
	for _, want := range []string{`"userName":"backup"`, `"recipients":["` + recipient + `"]`, `"eventName":"CompleteBackup"`, `"errorCode":"AccessDeniedException"`} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log has no %s:\n%s", want, log.String())
		}
	}
	r, err := s.app.pipeline.Record(t.Context(), record.LastBackupStoreKey)
	if last, ok := r.(*record.LastBackup); err != nil || !ok || last.Bytes == 0 || !last.Full {
		t.Errorf("the last backup is %+v (%v)", r, err)
	}
}

// TestBackupRequests refuses what makes no sense, with an error that says why.
func TestBackupRequests(t *testing.T) {
	needsAge(t)
	s := startManaged(t)
	recipient, _ := testRecipient(t)
	pq, err := agecrypt.GenerateHybridIdentity()
	if err != nil {
		t.Fatal(err)
	}
	secret, err := agecrypt.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("a", 8193)
	for name, in := range map[string]*api.CreateBackupRequest{
		"for nobody":                 {},
		"for both":                   {Recipients: []string{recipient}, ToSeal: api.Some(true)},
		"no recipient":               {Recipients: []string{"somebody"}},
		"an identity":                {Recipients: []string{secret.String()}},
		"a plugin":                   {Recipients: []string{"age1yubikey1qwt50d05nh5vutpdzmlg5wn80xq5negm4uj9ghv0snvdd3yysf5yw3rhl3t"}},
		"quantum-safe and not":       {Recipients: []string{recipient, pq.Recipient().String()}},
		"too long":                   {Recipients: []string{long}},
		"too many":                   {Recipients: slices.Repeat([]string{recipient}, 65)},
		"since nothing":              {Recipients: []string{recipient}, Since: api.Some("{}")},
		"since another deployment":   {Recipients: []string{recipient}, Since: api.Some(`{"format":1,"backup":"b","deployment":"d","history":"","revision":1,"audit":true,"next":2,"time":"2026-01-01T00:00:00Z"}`)},
		"since what is not readable": {Recipients: []string{recipient}, Since: api.Some("state")},
	} {
		t.Run(name, func(t *testing.T) {
			if _, code := s.stream(t, s.root, in); code != "ValidationException" {
				t.Errorf("got %q", code)
			}
		})
	}
	for line, err := range s.lines() {
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(line.JSON), secret.String()) {
			t.Error("an identity that was sent by mistake is in the audit log")
		}
	}
}

// lines are those of the audit log.
func (s *managedServer) lines() iter.Seq2[audit.Line, error] {
	return audit.Read(filepath.Join(s.dir, auditDir), 0)
}

// TestBackupsAtATime: there is a bound, what is given back can be had again, and a client that goes away gives it back.
func TestBackupsAtATime(t *testing.T) {
	needsAge(t)
	s := startManaged(t)
	s.fill(t, 8<<20) // more than fits into what is on the way
	recipient, _ := testRecipient(t)
	in := &api.CreateBackupRequest{Recipients: []string{recipient}}
	first, _ := s.stream(t, s.root, in)
	second, _ := s.stream(t, s.root, in)
	if _, code := s.stream(t, s.root, in); code != "LimitExceededException" {
		t.Fatalf("a third backup at a time: %q", code)
	}
	if err := first.Body.Close(); err != nil { // in the middle
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, second.Body); err != nil {
		t.Fatal(err)
	}
	for { // the server notices in its own time
		third, code := s.stream(t, s.root, in)
		if code == "LimitExceededException" {
			continue
		}
		if code != "" {
			t.Fatal(code)
		}
		if _, err := io.Copy(io.Discard, third.Body); err != nil {
			t.Fatal(err)
		}
		break
	}
	aborted := 0
	if err := s.app.pipeline.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	for line, err := range s.lines() {
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(line.JSON), `"eventName":"AbortBackup"`) {
			aborted++
		}
	}
	if aborted > 1 {
		t.Errorf("%d backups were aborted", aborted)
	}
}

// TestBackupOnWire: nothing on the way has a value, a key or a name.
func TestBackupOnWire(t *testing.T) {
	needsAge(t)
	s := startManaged(t)
	recipient, identityFile := testRecipient(t)
	resp, code := s.stream(t, s.root, &api.CreateBackupRequest{Recipients: []string{recipient}})
	if code != "" {
		t.Fatal(code)
	}
	file, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	for _, word := range []string{"sys/meta", "deployment", managing, s.root.AccessKeyID, "keyturn backup"} {
		if strings.Contains(string(file), word) {
			t.Errorf("%q can be read in the file", word)
		}
	}
	state, err := backup.ParsePosition([]byte(resp.Header.Get("X-Keyturn-Backup-State")))
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(identityFile)
	if err != nil {
		t.Fatal(err)
	}
	ids, err := backup.ParseIdentities(text, nil)
	if err != nil {
		t.Fatal(err)
	}
	r, err := backup.NewReader(strings.NewReader(string(file)), ids...)
	if err != nil {
		t.Fatal(err)
	}
	if got := r.Header().Position; got.Backup != state.Backup || got.Revision != state.Revision || got.Next != state.Next {
		t.Errorf("the file is of %+v, what was told is %+v", got, state)
	}
}

// fill puts so many bytes of records into the store that a backup has them.
func (s *testServer) fill(t *testing.T, n int) {
	t.Helper()
	for i := 0; n > 0; i++ {
		p := &record.ManagedPolicy{Account: managing, ID: "ANPAEXAMPLE", Name: "filler-" + strings.Repeat("x", i%60) + string(rune('a'+i/60)), Description: strings.Repeat("d", 500_000)}
		n -= len(p.Description)
		s.put(t, p)
	}
}

// TestBackupPutBack: a data directory that was put back to an earlier state gets no incremental backup that goes on from what is lost, though its
// numbers have gone on; neither from a server nor offline.
func TestBackupPutBack(t *testing.T) {
	needsAge(t)
	dir := t.TempDir()
	recipient, _ := testRecipient(t)
	state := filepath.Join(dir, "state.json")
	live, saved := filepath.Join(dir, "live"), filepath.Join(dir, "saved")
	work := func(s *testServer, n int) {
		t.Helper()
		client := kmsClient(s.URL, "000000000000", "us-east-1")
		for range n {
			if _, err := client.CreateKey(t.Context(), nil); err != nil {
				t.Fatal(err)
			}
		}
	}
	key := filepath.Join(dir, "seal.key")
	if err := seal.CreateKeyFile(key); err != nil {
		t.Fatal(err)
	}
	sealed := func(c *appConfig) { c.Provider = func(bool) (seal.Provider, error) { return seal.OpenKeyFile(key) } }
	s := startDev(t, live, sealed)
	work(s, 3)
	s.stop()
	if err := os.CopyFS(saved, os.DirFS(live)); err != nil {
		t.Fatal(err)
	}
	s = startDev(t, live, sealed)
	work(s, 3)
	if err := runToEnd(t, "backup", "--endpoint", s.URL, "--recipient", recipient, "--output", filepath.Join(dir, "full"), "--state", state); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(state)
	if err != nil || !strings.Contains(string(text), `"recorded":true`) || !strings.Contains(string(text), `"line":"`) {
		t.Errorf("the state is %s (%v)", text, err)
	}
	since := []string{"backup", "--endpoint", s.URL, "--recipient", recipient, "--since", state, "--output"}
	if err := runToEnd(t, append(since, filepath.Join(dir, "incremental"))...); err != nil {
		t.Error(err)
	}
	s.stop()
	if err := os.RemoveAll(live); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(saved, live); err != nil {
		t.Fatal(err)
	}
	s = startDev(t, live, sealed)
	work(s, 20)
	args := []string{"backup", "--recipient", recipient, "--since", state, "--output", filepath.Join(dir, "wrong")}
	wantPutBack(t, "a server", append(args[:len(args):len(args)], "--endpoint", s.URL))
	s.stop()
	if err := os.Rename(key, filepath.Join(live, sealKeyFile)); err != nil {
		t.Fatal(err)
	}
	wantPutBack(t, "offline", append(args, "--data-dir", live))
}

func wantPutBack(t *testing.T, name string, args []string) {
	t.Helper()
	err := runToEnd(t, args...)
	if err == nil || !strings.Contains(err.Error(), "was put back to an earlier state") || hintFor(err) != sinceHint {
		t.Errorf("%s: %v (hint: %s)", name, err, hintFor(err))
	}
}
