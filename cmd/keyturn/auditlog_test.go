package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/keyturn/keyturn/internal/store"
)

// TestAuditLogLost takes the audit log of a store away: nothing begins it anew until somebody says that it is lost.
func TestAuditLogLost(t *testing.T) {
	config := initFiles(t, keyFileSeal)
	dir := filepath.Join(filepath.Dir(config), "data")
	who, err := runInitCommand(t, "--config", config)
	if err != nil {
		t.Fatal(err)
	}
	usable(t, config, who)
	if err := runToEnd(t, "server", "--config", config, "--new-audit-log"); err == nil || !strings.Contains(err.Error(), "is not lost") {
		t.Errorf("--new-audit-log beside a log: %v", err)
	}
	moved := filepath.Join(filepath.Dir(config), "moved")
	if err := os.Rename(filepath.Join(dir, auditDir), moved); err != nil {
		t.Fatal(err)
	}
	for _, folder := range []string{"none", "an empty one"} {
		if folder != "none" {
			if err := os.Mkdir(filepath.Join(dir, auditDir), 0o700); err != nil {
				t.Fatal(err)
			}
		}
		err := runToEnd(t, "server", "--config", config)
		if err == nil || !strings.Contains(err.Error(), "has a store but its audit log, audit, is missing or empty") || !strings.Contains(hintFor(err), "--new-audit-log") {
			t.Errorf("folder: %s: %v", folder, err)
		}
		if left, err := auditSegments(dir); err != nil || len(left) > 0 {
			t.Errorf("folder: %s: %v, %v", folder, left, err)
		}
	}

	ready := filepath.Join(t.TempDir(), "ready")
	stop := runCommand(t, "server", "--config", config, "--ready-file", ready, "--new-audit-log")
	waitEndpoint(t, ready)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	segments, err := auditSegments(dir)
	if err != nil || len(segments) != 1 {
		t.Fatalf("%v, %v", segments, err)
	}
	first := segments[0]
	if first < 1_700_000_000_000_000 || first >= 1<<53 {
		t.Errorf("the log begins at %d", first)
	}
	text, err := os.ReadFile(filepath.Join(dir, auditDir, fmt.Sprintf("audit-%020d.jsonl", first)))
	if err != nil || !strings.Contains(string(text), `"eventName":"BeginAuditLog"`) || !strings.Contains(string(text), `"eventType":"AwsServiceEvent"`) ||
		!strings.Contains(string(text), `"firstLine":`+strconv.FormatUint(first, 10)) {
		t.Errorf("%s, %v", text, err)
	}
	if err := runToEnd(t, "verify", "--config", config); err != nil {
		t.Errorf("verify: %v", err)
	}
	usable(t, config, who)
}

// TestAuditLogCut takes whole lines off the end of a log: a server does not hand their numbers out again.
func TestAuditLogCut(t *testing.T) {
	config := initFiles(t, keyFileSeal)
	dir := filepath.Join(filepath.Dir(config), "data")
	who, err := runInitCommand(t, "--config", config)
	if err != nil {
		t.Fatal(err)
	}
	usable(t, config, who)
	usable(t, config, who) // by now the first run's lines were on the disk
	segment := filepath.Join(dir, auditDir, "audit-00000000000000000001.jsonl")
	whole, err := os.ReadFile(segment)
	if err != nil {
		t.Fatal(err)
	}
	first, _, _ := strings.Cut(string(whole), "\n")
	if err := os.WriteFile(segment, []byte(first+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	err = runToEnd(t, "server", "--config", config)
	if err == nil || !strings.Contains(err.Error(), "ends with line 1, and line ") || !strings.Contains(hintFor(err), "--new-audit-log") {
		t.Errorf("server: %v", err)
	}
	out, _, err := printed(t, "verify", "--config", config)
	if err == nil || !strings.Contains(out, "log-cut") {
		t.Errorf("verify: %v\n%s", err, out)
	}
	if left, err := os.ReadFile(segment); err != nil || string(left) != first+"\n" {
		t.Errorf("the log was changed: %q, %v", left, err)
	}
	if err := os.WriteFile(segment, whole, 0o600); err != nil {
		t.Fatal(err)
	}
	usable(t, config, who)

	// The hint's way out.
	if err := os.WriteFile(segment, []byte(first+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(dir, auditDir), filepath.Join(filepath.Dir(config), "cut")); err != nil {
		t.Fatal(err)
	}
	ready := filepath.Join(t.TempDir(), "ready")
	stop := runCommand(t, "server", "--config", config, "--ready-file", ready, "--new-audit-log")
	waitEndpoint(t, ready)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	usable(t, config, who)
}

// TestAuditLogOddPath: a directory whose name would be a pattern is one like others.
func TestAuditLogOddPath(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data [1]")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		startDev(t, dir).stop()
	}
	if err := os.Remove(filepath.Join(dir, storeFile)); err != nil {
		t.Fatal(err)
	}
	if _, err := openApp(t.Context(), devConfig(t, dir)); !errors.Is(err, store.ErrDamaged) {
		t.Errorf("an audit log without its store: %v", err)
	}
}
