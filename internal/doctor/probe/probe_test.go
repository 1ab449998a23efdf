package probe

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/keyturn/keyturn/internal/audit"
	"github.com/keyturn/keyturn/internal/doctor"
	"github.com/keyturn/keyturn/internal/store"
	"github.com/keyturn/keyturn/internal/store/boltstore"
)

var now = time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)

var layout = Layout{Lock: "lock", Store: "store.db", Audit: "audit", Others: []string{"security.jsonl"}, Restoring: "restoring", Reserved: "sys/"}

// dataDir makes one as a server leaves it.
func dataDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	st, err := boltstore.Open(filepath.Join(dir, layout.Store), boltstore.Options{Create: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	log, err := audit.Open(filepath.Join(dir, layout.Audit), audit.Options{NodeID: "n1", ReserveBytes: -1})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := log.Append([]byte(`{"eventTime":"2026-11-28T11:00:00Z","eventName":"Encrypt"}`)); err != nil {
		t.Fatal(err)
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	return dir
}

// tree lists all that is in a folder, with sizes and times.
func tree(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		fmt.Fprintln(&b, path, info.Mode(), info.Size(), info.ModTime())
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func gather(t *testing.T, dir string) *doctor.ConfigFacts {
	t.Helper()
	c := &doctor.ConfigFacts{Loaded: true, Listen: "127.0.0.1:0", PlainHTTP: true}
	Gather(t.Context(), Input{Now: now, Config: c, DataDir: dir, SealKey: filepath.Join(dir, "nothing"), Layout: layout})
	return c
}

func TestGather(t *testing.T) {
	dir := dataDir(t)
	before := tree(t, dir)
	c := gather(t, dir)
	if after := tree(t, dir); after != before {
		t.Errorf("something has changed:\n%s\n%s", before, after)
	}
	if !c.DataDir.Mode.IsDir() || c.DataDir.Err != "" || len(c.Inside) != 2 || len(c.Unknown) != 0 || !c.SealKey.Missing {
		t.Errorf("%+v", c)
	}
	if c.Store.Err != "" || c.Store.Missing || c.Store.Size == 0 || !c.Store.Audit || !c.Store.Newest.Known {
		t.Errorf("%+v", c.Store)
	}
	if want := time.Date(2026, 11, 28, 11, 0, 0, 0, time.UTC); !c.LastAudit.V.Equal(want) || c.AuditErr != "" {
		t.Errorf("the last record is of %+v, %s", c.LastAudit, c.AuditErr)
	}
	if runtime.GOOS == "linux" && (len(c.Disks) != 1 || c.Disks[0].Total == 0 || !c.Latency.Known || c.DataDir.UID != os.Geteuid() || c.DataDir.Device == 0) {
		t.Errorf("%+v, %+v, %+v", c.Disks, c.Latency, c.DataDir)
	}
}

func TestGatherTrouble(t *testing.T) {
	t.Run("nothing there", func(t *testing.T) {
		c := gather(t, filepath.Join(t.TempDir(), "data"))
		if !c.DataDir.Missing || !c.Store.Missing || c.Store.Audit || c.Disks[0].Err != "" && runtime.GOOS == "linux" {
			t.Errorf("%+v", c)
		}
	})
	t.Run("store cut off", func(t *testing.T) {
		dir := dataDir(t)
		if err := os.Truncate(filepath.Join(dir, layout.Store), 8192); err != nil {
			t.Fatal(err)
		}
		if c := gather(t, dir); c.Store.Err == "" {
			t.Errorf("%+v", c.Store)
		}
	})
	t.Run("store lost", func(t *testing.T) {
		dir := dataDir(t)
		if err := os.Remove(filepath.Join(dir, layout.Store)); err != nil {
			t.Fatal(err)
		}
		if c := gather(t, dir); !c.Store.Missing || !c.Store.Audit {
			t.Errorf("%+v", c.Store)
		}
	})
	t.Run("store in use", func(t *testing.T) {
		dir := dataDir(t)
		st, err := boltstore.Open(filepath.Join(dir, layout.Store), boltstore.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer st.Close() //nolint:errcheck // it was only opened
		if c := gather(t, dir); !c.Store.Locked || c.Store.Err != "" {
			t.Errorf("%+v", c.Store)
		}
	})
	t.Run("restore unfinished", func(t *testing.T) {
		dir := dataDir(t)
		if err := os.Mkdir(filepath.Join(dir, "restoring"), 0o700); err != nil {
			t.Fatal(err)
		}
		if c := gather(t, dir); !c.Store.Restoring || len(c.Unknown) != 0 {
			t.Errorf("%+v, %v", c.Store, c.Unknown)
		}
	})
	t.Run("audit log lost", func(t *testing.T) {
		dir := dataDir(t)
		if err := os.RemoveAll(filepath.Join(dir, layout.Audit)); err != nil {
			t.Fatal(err)
		}
		if c := gather(t, dir); !c.AuditMissing {
			t.Errorf("%+v", c)
		}
	})
	t.Run("another user's", func(t *testing.T) {
		if os.Geteuid() <= 0 {
			t.Skip("nothing is denied to root, and Windows has no modes")
		}
		dir := dataDir(t)
		if err := os.Chmod(filepath.Join(dir, layout.Store), 0); err != nil {
			t.Fatal(err)
		}
		if c := gather(t, dir); c.Store.Err != "" || !strings.Contains(c.Store.Unread, "permission denied") || c.Owner == "" {
			t.Errorf("%+v", c.Store)
		}
	})
	t.Run("a name that would be a pattern", func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "data [1]")
		if err := os.Rename(dataDir(t), dir); err != nil {
			t.Fatal(err)
		}
		if c := gather(t, dir); c.AuditMissing || !c.Store.Audit || !c.LastAudit.Known {
			t.Errorf("%+v", c)
		}
	})
	t.Run("audit log altered", func(t *testing.T) {
		dir := dataDir(t)
		names, err := filepath.Glob(filepath.Join(dir, layout.Audit, "audit-*.jsonl"))
		if err != nil || len(names) != 1 {
			t.Fatal(names, err)
		}
		text, err := os.ReadFile(names[0])
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(names[0], append([]byte("{\"seq\":\n"), text...), 0o600); err != nil {
			t.Fatal(err)
		}
		if c := gather(t, dir); c.AuditErr == "" {
			t.Errorf("%+v", c.LastAudit)
		}
	})
	t.Run("a stranger", func(t *testing.T) {
		dir := dataDir(t)
		if err := errors.Join(os.WriteFile(filepath.Join(dir, "backup.age"), nil, 0o600), os.Mkdir(filepath.Join(dir, "lost+found"), 0o700)); err != nil {
			t.Fatal(err)
		}
		if c := gather(t, dir); len(c.Unknown) != 1 || c.Unknown[0] != "backup.age" {
			t.Errorf("%v", c.Unknown)
		}
	})
}

// TestGatherSeal gives the seal's own entries to whoever tries the seal, and lets the store go first.
func TestGatherSeal(t *testing.T) {
	dir := dataDir(t)
	path := filepath.Join(dir, layout.Store)
	st, err := boltstore.Open(path, boltstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = st.Commit(t.Context(), store.Batch{Writes: []store.Write{{Key: "k/1", Value: []byte("a")}, {Key: "sys/meta", Value: []byte("m")}, {Key: "t/1", Value: []byte("b")}}})
	if err := errors.Join(err, st.Close()); err != nil {
		t.Fatal(err)
	}
	c := &doctor.ConfigFacts{Loaded: true, Listen: "127.0.0.1:0", PlainHTTP: true}
	Gather(t.Context(), Input{Now: now, Config: c, DataDir: dir, Layout: layout, Unseal: func(_ context.Context, entries []store.Entry) doctor.SealFacts {
		if len(entries) != 1 || entries[0].Key != "sys/meta" || string(entries[0].Value) != "m" {
			t.Errorf("%v", entries)
		}
		st, err := boltstore.Open(path, boltstore.Options{})
		if err != nil {
			t.Fatalf("a server that starts now: %v", err)
		}
		return doctor.SealFacts{Opens: true, Err: fmt.Sprint(st.Close())}
	}})
	if !c.Store.Data || !c.Store.Seal.Opens {
		t.Errorf("%+v", c.Store)
	}
}

func TestListen(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close() //nolint:errcheck // of the test
	if got := listen(l.Addr().String()); got != doctor.ListenBusy {
		t.Errorf("an address in use: %d", got)
	}
	if got := listen("127.0.0.1:0"); got != doctor.ListenFree {
		t.Errorf("a free one: %d", got)
	}
	if got := listen("192.0.2.1:0"); runtime.GOOS == "linux" && got != doctor.ListenForeign {
		t.Errorf("one of another machine: %d", got)
	}
}

func TestEndpoint(t *testing.T) {
	var says atomic.Value
	says.Store("")
	srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Date", time.Now().Add(time.Hour).UTC().Format(http.TimeFormat))
		if ready := says.Load().(string); r.URL.Path == "/readyz" && ready != "" {
			if strings.HasPrefix(ready, "not") {
				w.WriteHeader(http.StatusServiceUnavailable)
			}
			fmt.Fprint(w, ready)
			return
		}
		fmt.Fprint(w, "ok\n")
	}))
	defer srv.Close()
	roots := x509.NewCertPool()
	roots.AddCert(srv.Certificate())
	in := Input{Now: now, Endpoint: srv.URL + "/", Roots: roots}
	e := ask(t.Context(), &in)
	if e.Err != "" || e.Health != "" || e.Ready != "" || e.Note != "" || e.TLSErr != "" || e.TLSVersion != "TLS 1.3" || !e.Certificate.Known || e.Clock.Known {
		t.Errorf("%+v", e)
	}
	if e.Skew.V < 59*time.Minute || e.Skew.V > 61*time.Minute || e.Uncertainty < time.Second {
		t.Errorf("skew %v", e.Skew)
	}
	says.Store("ok\ndestruction is suspended\n")
	in.Roots = x509.NewCertPool()
	in.Clock = func(context.Context) (doctor.ServiceClock, error) { return doctor.ServiceClock{Standing: "Ahead"}, nil }
	if e = ask(t.Context(), &in); !strings.Contains(e.TLSErr, "unknown authority") || e.Note != "destruction is suspended" || e.Clock.V.Standing != "Ahead" {
		t.Errorf("%+v", e)
	}
	says.Store("not ready: sealed\n")
	in.Clock = func(context.Context) (doctor.ServiceClock, error) { return doctor.ServiceClock{}, errors.New("denied") }
	if e = ask(t.Context(), &in); !strings.Contains(e.Ready, "sealed") || !e.Sealed || e.Clock.Known || e.Clock.Why != "denied" {
		t.Errorf("%+v", e)
	}
	srv.Close()
	if e = ask(t.Context(), &in); e.Err == "" || strings.Contains(e.Err, "healthz") {
		t.Errorf("%+v", e)
	}
}
