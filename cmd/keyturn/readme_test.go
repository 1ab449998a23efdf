package main

import (
	"crypto/x509"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestReadme runs the README's transcripts and compares what they print. Commands of the AWS CLI run only where
// KEYTURN_TEST_AWS_CLI says where it is; `make conformance` does.
func TestReadme(t *testing.T) {
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	awsCLI := os.Getenv("KEYTURN_TEST_AWS_CLI")
	dir := t.TempDir()
	s := startDev(t, t.TempDir())
	var script, want strings.Builder
	script.WriteString("set -e\n")
	if awsCLI != "" {
		script.WriteString("aws() { '" + awsCLI + "' \"$@\"; }\n")
	}
	commands := 0
	for _, block := range regexp.MustCompile("(?s)```console\n(.*?)```").FindAllStringSubmatch(string(text), -1) {
		skipping := false
		for line := range strings.Lines(block[1]) {
			command, isCommand := strings.CutPrefix(line, "$ ")
			switch {
			case isCommand && strings.HasPrefix(command, "aws ") && awsCLI == "":
				skipping = true
			case isCommand:
				skipping = false
				commands++
				script.WriteString(strings.ReplaceAll(command, "http://127.0.0.1:4599", s.URL))
			case !skipping:
				want.WriteString(line)
			}
		}
	}
	if commands < 5 {
		t.Fatalf("only %d commands found in the README", commands)
	}
	cmd := exec.CommandContext(t.Context(), "sh", "-c", script.String())
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "HOME="+dir, "AWS_ENDPOINT_URL_KMS="+s.URL, "AWS_EC2_METADATA_DISABLED=true", "NO_COLOR=1")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if got, want := normalize(string(out)), normalize(want.String()); got != want {
		t.Errorf("the README's commands print\n%s\nand the README says\n%s", got, want)
	}
}

// normalize replaces what differs from run to run.
func normalize(s string) string {
	for _, r := range []struct{ pattern, with string }{
		{`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`, "UUID"},
		{`[0-9a-f]{64}`, "MATERIAL"},
		{`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ`, "DATE"},
		{`[ \t]+`, " "},
	} {
		s = regexp.MustCompile(r.pattern).ReplaceAllString(s, r.with)
	}
	return s
}

// TestCertificateRecipe makes a certificate as docs/server.md says: it is good for its names under the authority, and the keys are nobody else's.
func TestCertificateRecipe(t *testing.T) {
	if _, err := exec.LookPath("openssl"); err != nil {
		t.Skip("no openssl here")
	}
	text, err := os.ReadFile("../../docs/server.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(text), "\n## The certificate\n")
	section, _, _ = strings.Cut(section, "\n## ")
	script := "set -e\n"
	for line := range strings.Lines(section) {
		if command, ok := strings.CutPrefix(line, "    "); ok {
			script += command
		}
	}
	dir := t.TempDir()
	cmd := exec.CommandContext(t.Context(), "sh", "-c", script)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	pair, err := (&tlsConfig{Certificate: filepath.Join(dir, "tls.crt"), Key: filepath.Join(dir, "tls.key")}).load()
	if err != nil {
		t.Fatal(err)
	}
	authority, err := os.ReadFile(filepath.Join(dir, "ca.crt"))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(authority) {
		t.Fatal("ca.crt has no certificate")
	}
	for _, name := range []string{"kms.example.com", "localhost", "127.0.0.1"} {
		if _, err := pair.Leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: name, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, name := range []string{"ca.key", "tls.key"} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || openToAll(info, 0o077) {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
}
