package audit

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

func openSecurity(t *testing.T, path string, opts SecurityOptions) *SecurityLog {
	t.Helper()
	l, err := OpenSecurity(path, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestSecurityLogLine(t *testing.T) {
	var clock fakeClock
	path := filepath.Join(t.TempDir(), "security.jsonl")
	l := openSecurity(t, path, SecurityOptions{Now: clock.now})
	l.Report(Failure{
		RemoteIP: netip.MustParseAddr("192.0.2.1"), Reason: "InvalidSignatureException",
		UserAgent: "a\n\xff" + strings.Repeat("é", 1000), Operation: strings.Repeat("O", 1000),
	})
	l.Report(Failure{Time: time.Unix(86400, 0), RemoteIP: netip.MustParseAddr("fe80::1%eth0"), Reason: "X"})
	want := `{"time":"1970-01-01T00:00:00Z","remoteIP":"192.0.2.1","reason":"InvalidSignatureException","userAgent":"a\n` + "�" +
		strings.Repeat("é", 126) + `","operation":"` + strings.Repeat("O", 128) + "\"}\n" +
		`{"time":"1970-01-02T00:00:00Z","remoteIP":"fe80::1","reason":"X"}` + "\n"
	if got := readFile(t, path); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

func TestSecurityLogRate(t *testing.T) {
	var clock fakeClock
	path := filepath.Join(t.TempDir(), "security.jsonl")
	l := openSecurity(t, path, SecurityOptions{PerSecond: 2, Burst: 3, Now: clock.now})
	report := func(n int) {
		for range n {
			l.Report(Failure{Reason: "R"})
		}
	}
	count := func(reports, summaries int) {
		t.Helper()
		got := readFile(t, path)
		if r, s := strings.Count(got, `"reason"`), strings.Count(got, `"dropped"`); r != reports || s != summaries {
			t.Errorf("%d failures and %d counts, want %d and %d:\n%s", r, s, reports, summaries, got)
		}
	}
	report(10)
	count(3, 0)
	clock.advance(-time.Hour) // a clock set back gives nothing
	report(1)
	count(3, 0)
	clock.advance(500 * time.Millisecond)
	report(2)
	count(4, 1)
	if got := readFile(t, path); !strings.Contains(got, `,"dropped":8}`) {
		t.Errorf("counted wrongly:\n%s", got)
	}
	clock.advance(time.Hour) // no more than a burst
	report(10)
	count(7, 2)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	count(7, 3)
	report(1)
	if got := readFile(t, path); !strings.HasSuffix(got, `,"dropped":7}`+"\n") {
		t.Errorf("no last count:\n%s", got)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}

func TestSecurityLogSize(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "security.jsonl")
	for range 3 { // reopening keeps the bound too
		l := openSecurity(t, path, SecurityOptions{MaxBytes: 1000, Burst: 1000})
		for n := range 100 {
			l.Report(Failure{Reason: fmt.Sprint("R", n)})
			for _, p := range []string{path, path + ".1"} {
				if info, err := os.Stat(p); err == nil && info.Size() > 1000 {
					t.Fatalf("%s has %d bytes", p, info.Size())
				}
			}
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	both := readFile(t, path+".1") + readFile(t, path)
	if !strings.HasSuffix(both, "\"reason\":\"R99\"}\n") || len(both) < 1000 {
		t.Errorf("%d bytes, ending %.100q", len(both), both[max(len(both)-100, 0):])
	}
	for _, l := range strings.Split(strings.TrimSpace(both), "\n") {
		if !json.Valid([]byte(l)) {
			t.Errorf("not JSON: %q", l)
		}
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 2 {
		t.Errorf("files %v, %v", entries, err)
	}
}

func TestSecurityLogAfterCrash(t *testing.T) {
	for content, want := range map[string]string{
		"":                "",
		"{}\n":            "{}\n",
		"{}\n{\"time":     "{}\n",
		"{\"time":         "",
		"{}\n{}\n{\"a\":": "{}\n{}\n",
	} {
		path := filepath.Join(t.TempDir(), "security.jsonl")
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		l := openSecurity(t, path, SecurityOptions{})
		if got := readFile(t, path); got != want {
			t.Errorf("%q became %q, want %q", content, got, want)
		}
		l.Report(Failure{Reason: "R"})
		if got := readFile(t, path); !strings.HasPrefix(got, want+`{"time":`) {
			t.Errorf("%q became %q", content, got)
		}
	}
}

func TestSecurityLogFaults(t *testing.T) {
	f := &faults{dir: t.TempDir()}
	path := filepath.Join(f.dir, "security.jsonl")
	l := openSecurity(t, path, SecurityOptions{files: f.files()})
	l.Report(Failure{Reason: "first"})
	whole := readFile(t, path)
	f.set(func(f *faults) { f.write = func(p []byte) (int, error) { return len(p) / 2, syscall.ENOSPC } })
	l.Report(Failure{Reason: "lost"})
	if got := readFile(t, path); got != whole {
		t.Errorf("half a line stays: %q", got)
	}
	f.set(func(f *faults) { f.write = nil })
	l.Report(Failure{Reason: "last"})
	rest := strings.TrimPrefix(readFile(t, path), whole)
	if strings.Count(rest, "\n") != 2 || !strings.Contains(rest, `"dropped":1}`) || !strings.Contains(rest, `"reason":"last"}`) {
		t.Errorf("then %q", rest)
	}
}

func TestSecurityLogFullFileStays(t *testing.T) {
	f := &faults{dir: t.TempDir()}
	path := filepath.Join(f.dir, "security.jsonl")
	l := openSecurity(t, path, SecurityOptions{MaxBytes: 100, files: f.files()})
	l.Report(Failure{Reason: "first" + strings.Repeat("x", 30)}) // no room is left, not for a count either
	f.set(func(f *faults) { f.create = syscall.EMFILE })
	for range 10 {
		l.Report(Failure{Reason: strings.Repeat("x", 64)})
	}
	f.set(func(f *faults) { f.create = nil })
	l.Report(Failure{Reason: "last"})
	if got := readFile(t, path); !strings.Contains(got, `"dropped":10}`) {
		t.Errorf("current file %q", got)
	}
	if got := readFile(t, path+".1"); len(got) > 100 || !strings.Contains(got, "first") {
		t.Errorf("previous file %q", got)
	}
}

func TestSecurityLogNil(t *testing.T) {
	var l *SecurityLog
	l.Report(Failure{Reason: "R"})
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if _, err := OpenSecurity(filepath.Join(t.TempDir(), "absent", "x"), SecurityOptions{}); err == nil {
		t.Error("opened in a directory that is not there")
	}
}

func TestSecurityLogConcurrent(t *testing.T) {
	path := filepath.Join(t.TempDir(), "security.jsonl")
	l := openSecurity(t, path, SecurityOptions{Burst: 1000})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 100 {
				l.Report(Failure{Reason: "R"})
			}
		})
	}
	wg.Wait()
	if got := strings.Count(readFile(t, path), "\"reason\":\"R\"}\n"); got != 400 {
		t.Errorf("%d lines, want 400", got)
	}
}
