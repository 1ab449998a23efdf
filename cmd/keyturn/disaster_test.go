package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// TestDisasterDrill does what docs/disaster-recovery.md says, line by line, with the real program: from the first start to the old ciphertexts that
// open after everything but backups, identity and configuration is gone. What it checks are the guide's own commands, which fail if something is not
// as the guide says.
func TestDisasterDrill(t *testing.T) {
	needsAge(t)
	text, err := os.ReadFile("../../docs/disaster-recovery.md")
	if err != nil {
		t.Fatal(err)
	}
	d := newDrill(t)
	config := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindSubmatch(text)
	if config == nil {
		t.Fatal("the guide has no configuration")
	}
	server := strings.NewReplacer("listen: 0.0.0.0:8443", "listen: 127.0.0.1:0", "tls: {certificate: server.crt, key: server.key}", "plain_http: true").Replace(string(config[1]))
	if !strings.Contains(server, "plain_http") || !strings.Contains(server, "127.0.0.1:0") {
		t.Fatalf("the guide's configuration is another than this test knows:\n%s", server)
	}
	if err := os.WriteFile(filepath.Join(d.dir, "server.yaml"), []byte(server), 0o600); err != nil {
		t.Fatal(err)
	}
	lines := regexp.MustCompile(`(?m)^    (\S.*)$`).FindAllStringSubmatch(string(text), -1)
	if len(lines) < 24 {
		t.Fatalf("only %d commands found", len(lines))
	}
	starts, gone, decrypted := 0, false, 0
	for _, m := range lines {
		switch line := m[1]; {
		case strings.HasPrefix(line, "keyturn server "):
			starts++
			d.start(line)
		case strings.HasPrefix(line, "export "):
			d.exports = append(d.exports, line)
		case strings.HasPrefix(line, "rm -rf "):
			d.kill()
			gone = true
			d.run(line)
		default:
			d.run(line)
			if gone && strings.HasPrefix(line, "aws kms decrypt ") {
				decrypted++
			}
		}
	}
	if starts != 2 || !gone || decrypted != 2 {
		t.Errorf("the guide starts %d servers and decrypts %d ciphertexts after the end of the first", starts, decrypted)
	}
}

// drill is somebody at a shell.
type drill struct {
	t       *testing.T
	dir     string
	path    string
	exports []string
	url     string
	server  *exec.Cmd
}

func newDrill(t *testing.T) *drill {
	d := &drill{t: t, dir: t.TempDir(), path: t.TempDir()}
	for name, program := range map[string]string{"aws": "test-aws", "age-keygen": "test-age-keygen"} {
		if real := os.Getenv("KEYTURN_TEST_AWS_CLI"); name == "aws" && real != "" {
			program = real
		}
		if err := os.WriteFile(filepath.Join(d.path, name), []byte("#!/bin/sh\nexec '"+program+"' \"$@\"\n"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(d.kill)
	return d
}

func (d *drill) env() []string {
	return []string{"PATH=" + d.path + ":" + os.Getenv("PATH"), "HOME=" + d.dir, "NO_COLOR=1", "AWS_EC2_METADATA_DISABLED=true", "AWS_PAGER="}
}

// run runs a line, with the variables that were exported before it.
func (d *drill) run(line string) string {
	d.t.Helper()
	script := strings.ReplaceAll(strings.Join(append(d.exports, line), "\n"), "https://kms.example.com:8443", d.url)
	ctx, cancel := context.WithTimeout(d.t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", "-e", "-o", "pipefail", "-c", script)
	cmd.Dir, cmd.Env = d.dir, d.env()
	out, err := cmd.CombinedOutput()
	if err != nil {
		d.t.Fatalf("%s: %v\n%s", line, err, out)
	}
	d.t.Logf("$ %s\n%s", line, out)
	return string(out)
}

// start runs the server in the background.
func (d *drill) start(line string) {
	d.t.Helper()
	ready := filepath.Join(d.t.TempDir(), "ready")
	words := append(strings.Fields(line), "--ready-file", ready)
	d.server = exec.Command(words[0], words[1:]...)
	d.server.Dir, d.server.Env = d.dir, d.env()
	if err := d.server.Start(); err != nil {
		d.t.Fatal(err)
	}
	d.url = waitEndpoint(d.t, ready)
}

// kill ends the server as a machine ends that is gone.
func (d *drill) kill() {
	if d.server != nil {
		_ = d.server.Process.Kill()
		_ = d.server.Wait() // it was killed
		d.server = nil
	}
}
