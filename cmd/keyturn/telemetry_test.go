package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/credentials"
	awskms "github.com/aws/aws-sdk-go-v2/service/kms"
	"go.yaml.in/yaml/v4"
)

// keptLog is a log that a test can read while it is written.
type keptLog struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *keptLog) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(b)
}
func (l *keptLog) String() string { l.mu.Lock(); defer l.mu.Unlock(); return l.buf.String() }

// runLogged runs the real command line in this process until stop is called, or the test ends.
func runLogged(t *testing.T, log io.Writer, args ...string) (stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	cmd := newRootCommand()
	cmd.SetArgs(args)
	cmd.SetOut(log)
	cmd.SetErr(log)
	done := make(chan error, 1)
	go func() { done <- cmd.ExecuteContext(ctx) }()
	stop = sync.OnceValue(func() error { cancel(); return <-done })
	t.Cleanup(func() { _ = stop() })
	return stop
}

// ask sends a GET.
func ask(t *testing.T, client *http.Client, url, token string) (status int, body string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

// startWatched runs keyturn server with sections for those who watch it, and returns the addresses of its listeners.
func startWatched(t *testing.T, sections string) (api string, beside map[string]string, log *keptLog, stop func() error) {
	t.Helper()
	config := serverFiles(t, func(yaml string) string { return yaml + sections })
	dir := filepath.Dir(config)
	if err := os.WriteFile(filepath.Join(dir, "token"), []byte("a-token-of-enough-characters\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := runToEnd(t, "seal", "generate", filepath.Join(dir, "seal.key")); err != nil {
		t.Fatal(err)
	}
	ready := filepath.Join(dir, "ready")
	log = &keptLog{}
	stop = runLogged(t, log, "server", "--config", config, "--ready-file", ready)
	api = waitEndpoint(t, ready)
	beside = map[string]string{}
	for line := range strings.Lines(log.String()) {
		var l struct{ Msg, What, Address string }
		if json.Unmarshal([]byte(line), &l) == nil && l.Msg == "serving beside the API" {
			beside[l.What] = l.Address
		}
	}
	return api, beside, log, stop
}

// metricNames are the names of a scrape, and the samples of gauges and counters.
func metricNames(t *testing.T, text string) map[string]bool {
	t.Helper()
	names := map[string]bool{}
	for s := bufio.NewScanner(strings.NewReader(text)); s.Scan(); {
		if name, ok := strings.CutPrefix(s.Text(), "# TYPE "); ok {
			name, _, _ = strings.Cut(name, " ")
			names[name] = true
		}
	}
	if len(names) < 30 {
		t.Fatalf("only %d metrics:\n%s", len(names), text)
	}
	return names
}

// TestMetricsTold compares what a server exposes with what the documentation, the alert rules and the dashboard speak of.
func TestMetricsTold(t *testing.T) {
	api, beside, _, _ := startWatched(t, `
metrics: {listen: "127.0.0.1:0"}
tracing: {endpoint: "http://127.0.0.1:1", sample_ratio: 1}
`)
	client := awskms.New(awskms.Options{BaseEndpoint: &api, Region: "eu-central-1", RetryMaxAttempts: 1, HTTPClient: httpsClient(new(*tls.ConnectionState)),
		Credentials: credentials.NewStaticCredentialsProvider("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "")})
	made, err := client.CreateKey(t.Context(), &awskms.CreateKeyInput{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.EnableKeyRotation(t.Context(), &awskms.EnableKeyRotationInput{KeyId: made.KeyMetadata.KeyId}); err != nil {
		t.Fatal(err)
	}
	_, text := ask(t, http.DefaultClient, "http://"+beside["metrics"]+"/metrics", "")
	exposed := metricNames(t, text)
	for _, line := range []string{
		`keyturn_ready 1`, `keyturn_sealed 0`, `keyturn_requests_total{code="OK",operation="CreateKey",service="kms"} 1`, `keyturn_keys{spec="SYMMETRIC_DEFAULT",state="Enabled"} 1`,
	} {
		if !strings.Contains(text, line+"\n") {
			t.Errorf("%s is missing", line)
		}
	}

	// What is there only at times.
	at := maps.Clone(exposed)
	for _, name := range []string{"keyturn_seal_reseal_values", "keyturn_backup_last_timestamp_seconds", "keyturn_backup_last_size_bytes"} {
		at[name] = true
	}
	told := func(file string) (string, map[string]bool) {
		b, err := os.ReadFile(filepath.Join("..", "..", file))
		if err != nil {
			t.Fatal(err)
		}
		names := map[string]bool{}
		for _, name := range regexp.MustCompile(`\b(keyturn|process|go)_[a-z0-9_]+`).FindAllString(string(b), -1) {
			for _, suffix := range []string{"_bucket", "_sum", "_count"} {
				if base, ok := strings.CutSuffix(name, suffix); ok && exposed[base] {
					name = base
				}
			}
			names[name] = true
		}
		return string(b), names
	}
	for _, file := range []string{"docs/monitoring.md", "deploy/prometheus/alerts.yaml", "deploy/prometheus/alerts_test.yaml", "deploy/grafana/keyturn.json"} {
		_, names := told(file)
		for name := range names {
			if !at[name] && !strings.HasSuffix(name, "_") { // go_ and process_, as families
				t.Errorf("%s speaks of %s, which the server does not have", file, name)
			}
		}
	}
	docs, documented := told("docs/monitoring.md")
	for name := range at {
		if strings.HasPrefix(name, "keyturn_") && !documented[name] {
			t.Errorf("docs/monitoring.md does not have %s", name)
		}
		if strings.HasPrefix(name, "promhttp_") {
			t.Errorf("%s is of no use to anybody", name)
		}
	}

	var rules struct {
		Groups []struct {
			Rules []struct {
				Alert, Expr, For    string
				Labels, Annotations map[string]string
			}
		}
	}
	text, _ = told("deploy/prometheus/alerts.yaml")
	if err := yaml.Unmarshal([]byte(text), &rules); err != nil {
		t.Fatal(err)
	}
	tests, _ := told("deploy/prometheus/alerts_test.yaml")
	for _, r := range rules.Groups[0].Rules {
		if !slices.Contains([]string{"critical", "warning", "info"}, r.Labels["severity"]) || r.Annotations["summary"] == "" || r.Annotations["description"] == "" {
			t.Errorf("%s: labels %v, annotations %v", r.Alert, r.Labels, r.Annotations)
		}
		if !strings.Contains(docs, r.Alert) || !strings.Contains(tests, `"`+r.Alert+`"`) {
			t.Errorf("%s is not in docs/monitoring.md, or not tested", r.Alert)
		}
	}
}

// TestDashboard: every panel has a title, a unit, a query with a legend, and a place of its own.
func TestDashboard(t *testing.T) {
	b, err := os.ReadFile(filepath.Join("..", "..", "deploy", "grafana", "keyturn.json"))
	if err != nil {
		t.Fatal(err)
	}
	var d struct {
		Panels []struct {
			ID          int
			Type, Title string
			GridPos     struct{ X, Y, W, H int }
			FieldConfig struct{ Defaults struct{ Unit string } }
			Targets     []struct {
				Expr, LegendFormat string
				Datasource         struct{ UID string }
			}
		}
	}
	if err := json.Unmarshal(b, &d); err != nil {
		t.Fatal(err)
	}
	ids, taken, rows := map[int]bool{}, map[[2]int]string{}, 0
	for _, p := range d.Panels {
		if ids[p.ID] || p.Title == "" {
			t.Errorf("panel %d %q: its ID is there twice, or it has no title", p.ID, p.Title)
		}
		ids[p.ID] = true
		if p.GridPos.X < 0 || p.GridPos.W < 1 || p.GridPos.X+p.GridPos.W > 24 {
			t.Errorf("%s: outside of the page", p.Title)
		}
		for x := range p.GridPos.W {
			for y := range p.GridPos.H {
				at := [2]int{p.GridPos.X + x, p.GridPos.Y + y}
				if other := taken[at]; other != "" {
					t.Fatalf("%s and %s are in one place", p.Title, other)
				}
				taken[at] = p.Title
			}
		}
		if p.Type == "row" {
			rows++
			continue
		}
		if p.FieldConfig.Defaults.Unit == "" || len(p.Targets) == 0 {
			t.Errorf("%s: no unit, or no query", p.Title)
		}
		for _, target := range p.Targets {
			if target.Expr == "" || target.LegendFormat == "" || target.Datasource.UID != "${datasource}" || !strings.Contains(target.Expr, `instance=~"$instance"`) {
				t.Errorf("%s: query %+v", p.Title, target)
			}
		}
	}
	if rows < 5 {
		t.Errorf("%d rows", rows)
	}
}

// TestListenersBeside: metrics with TLS and a token where others can reach them, profiles on loopback, neither beside the API.
func TestListenersBeside(t *testing.T) {
	api, beside, _, stop := startWatched(t, `
metrics: {listen: "0.0.0.0:0", token: {file: token}}
debug: {listen: "127.0.0.1:0"}
`)
	const token = "a-token-of-enough-characters"
	https := httpsClient(new(*tls.ConnectionState))
	_, port, err := net.SplitHostPort(beside["metrics"])
	if err != nil {
		t.Fatal(err)
	}
	metrics := "https://127.0.0.1:" + port + "/metrics"
	if status, body := ask(t, https, metrics, token); status != 200 || !strings.Contains(body, "keyturn_ready 1") || !strings.Contains(body, "keyturn_certificate_not_after") {
		t.Errorf("with the token: %d", status)
	}
	if status, body := ask(t, https, metrics, ""); status != 401 || strings.Contains(body, "keyturn_") {
		t.Errorf("without: %d %s", status, body)
	}
	if status, body := ask(t, http.DefaultClient, "http://"+beside["debug"]+"/debug/pprof/goroutine?debug=1", ""); status != 200 || !strings.Contains(body, "goroutine profile") {
		t.Errorf("profiles: %d", status)
	}
	for _, path := range []string{"/metrics", "/debug/pprof/", "/debug/pprof/heap"} {
		if status, body := ask(t, https, api+path, token); status != 404 || strings.Contains(body, "keyturn_") {
			t.Errorf("the API's listener answers %s: %d %s", path, status, body)
		}
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if resp, err := http.Get("http://" + beside["debug"] + "/debug/pprof/"); err == nil {
		resp.Body.Close()
		t.Error("the listener outlives the server")
	}
}

// TestDevMetrics: keyturn dev has them on its one listener, behind the guard that keeps web pages out.
func TestDevMetrics(t *testing.T) {
	s := startDev(t, "")
	if status, body := ask(t, http.DefaultClient, s.URL+"/metrics", ""); status != 200 || !strings.Contains(body, "\nkeyturn_ready 1\n") {
		t.Errorf("%d %.300s", status, body)
	}
	req, err := http.NewRequest(http.MethodGet, s.URL+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Host = "rebound.example.com"
	if status, body := do(t, req); status != 403 || strings.Contains(body, "keyturn_ready") {
		t.Errorf("by a page's own name: %d %s", status, body)
	}
}

// TestCensusStays: a server that ended as it should knows its keys at once; after anything else they are counted.
func TestCensusStays(t *testing.T) {
	dir := t.TempDir()
	s := startDev(t, dir)
	c := kmsClient(s.URL, "keyturn", "us-east-1")
	for range 3 {
		if _, err := c.CreateKey(t.Context(), &awskms.CreateKeyInput{}); err != nil {
			t.Fatal(err)
		}
	}
	s.stop()
	file := filepath.Join(dir, censusFile)
	kept, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	open := func(census []byte) (counts string, done bool) {
		t.Helper()
		if err := os.WriteFile(file, census, 0o600); err != nil {
			t.Fatal(err)
		}
		a := openDev(t, dir)
		defer func() {
			if err := a.close(); err != nil {
				t.Error(err)
			}
		}()
		if _, err := os.Stat(file); !os.IsNotExist(err) {
			t.Error("the count is good for a second start")
		}
		n, ok := a.pipeline.Census().Counts() // before anything counts
		return fmt.Sprint(n), ok
	}
	// Nothing changes the store in these lives, so that one count is good for all of them.
	if n, ok := open(kept); !ok || n != "map[{Enabled SYMMETRIC_DEFAULT}:3]" {
		t.Errorf("kept: %s, %v", n, ok)
	}
	for name, census := range map[string][]byte{
		"of another revision":   bytes.Replace(kept, []byte(`"revision":`), []byte(`"revision":1`), 1),
		"of another deployment": bytes.Replace(kept, []byte(`"deployment":"`), []byte(`"deployment":"x`), 1),
		"cut short":             kept[:len(kept)/2],
		"empty":                 nil,
	} {
		if n, ok := open(census); ok || n != "map[]" {
			t.Errorf("%s: %s, %v", name, n, ok)
		}
	}
}

// TestOwnFileCutOff: what a process has left that died while it wrote a file of the data directory is overwritten by the next that writes it.
func TestOwnFileCutOff(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	temp := ""
	err := replaceOwnFile(path, func(io.Writer) error {
		left, err := os.ReadDir(dir)
		if err != nil || len(left) != 1 {
			t.Fatalf("while it is written there are %v, %v", left, err)
		}
		temp = filepath.Join(dir, left[0].Name())
		return errors.New("not written")
	})
	if left, dirErr := os.ReadDir(dir); err == nil || dirErr != nil || len(left) != 0 {
		t.Errorf("not written: %v, beside it %v, %v", err, left, dirErr)
	}
	if err := os.WriteFile(temp, bytes.Repeat([]byte("left"), 100), 0o600); err != nil {
		t.Fatal(err)
	}
	err = replaceOwnFile(path, func(w io.Writer) error {
		_, err := io.WriteString(w, "whole")
		return err
	})
	text, readErr := os.ReadFile(path)
	if left, dirErr := os.ReadDir(dir); errors.Join(err, readErr, dirErr) != nil || string(text) != "whole" || len(left) != 1 {
		t.Errorf("%q, beside it %v, %v", text, left, errors.Join(err, readErr, dirErr))
	}
}

// openDev opens a data directory of keyturn dev without serving it.
func openDev(t *testing.T, dir string) *app {
	t.Helper()
	a, err := openApp(t.Context(), devConfig(t, dir))
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// TestWatchConfig refuses what would show too much, and says what to do.
func TestWatchConfig(t *testing.T) {
	for _, test := range []struct{ name, sections, want, hint string }{
		{"metrics for everybody", `metrics: {listen: "0.0.0.0:9464"}`, "metrics.token is needed", "listen on 127.0.0.1"},
		{"no address", `metrics: {}`, "is not HOST:PORT", ""},
		{"no token file", `metrics: {listen: "127.0.0.1:0", token: {file: none}}`, "no such file", ""},
		{"the token itself", `metrics: {listen: "127.0.0.1:0", token: very-secret-token}`, "never the secret itself", ""},
		{"a short token", `metrics: {listen: "127.0.0.1:0", token: {env: KEYTURN_TEST_SHORT}}`, "it has 5 characters", ""},
		{"profiles for everybody", `debug: {listen: "0.0.0.0:6060"}`, "is not a loopback address", "ssh -L"},
		{"profiles by a name", `debug: {listen: "kms.example.com:6060"}`, "is not a loopback address", "ssh -L"},
		{"an unknown level", `log: {level: verbose}`, `log.level "verbose" is none of`, ""},
		{"requests that no level shows", `log: {level: warn, requests: true}`, "take one of the two away", ""},
		{"no ratio", `tracing: {endpoint: "https://collector.example.com"}`, "sample_ratio", ""},
		{"not a number", `tracing: {endpoint: "https://collector.example.com", sample_ratio: .nan}`, "sample_ratio", ""},
		{"a plain collector elsewhere", `tracing: {endpoint: "http://collector.example.com", sample_ratio: 1}`, "must begin with https://", ""},
		{"a password in the URL", `tracing: {endpoint: "https://me:very-secret-token@collector.example.com", sample_ratio: 1}`, "without a user", ""},
		{"an unknown key", `tracing: {endpoint: "https://collector.example.com", sample_ratio: 1, insecure: true}`, "insecure", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Setenv("KEYTURN_TEST_SHORT", "short")
			config := serverFiles(t, func(yaml string) string { return yaml + test.sections + "\n" })
			if err := runToEnd(t, "seal", "generate", filepath.Join(filepath.Dir(config), "seal.key")); err != nil {
				t.Fatal(err)
			}
			err := runToEnd(t, "server", "--config", config)
			if err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(hintFor(err), test.hint) {
				t.Errorf("error %v, hint %q; want %q and %q", err, hintFor(err), test.want, test.hint)
			}
			if err != nil && strings.Contains(err.Error(), "very-secret-token") {
				t.Errorf("the error repeats a secret: %v", err)
			}
		})
	}
}
