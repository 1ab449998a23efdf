package main

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awskms "github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/check"
)

// printed runs the command line and returns what it prints and its error.
func printed(t *testing.T, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	var out, errs bytes.Buffer
	cmd := newRootCommand()
	cmd.SetArgs(args)
	cmd.SetOut(&out)
	cmd.SetErr(&errs)
	err = cmd.ExecuteContext(t.Context())
	return out.String(), errs.String(), err
}

// clientEnvironment hides what of AWS this machine is set up for.
func clientEnvironment(t *testing.T) {
	t.Helper()
	t.Setenv("HOME", t.TempDir())
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	t.Setenv("AWS_REGION", "us-east-1")
	t.Setenv("AWS_ACCESS_KEY_ID", "111122223333")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret-of-the-client")
}

// What cannot be read ends with status 1, also where something failed, and is in the report; it is never a pass.
func TestCheckUnreadable(t *testing.T) {
	clientEnvironment(t)
	denied := func(map[string]any) (int, string) {
		return http.StatusBadRequest, `{"__type":"AccessDeniedException","message":"not you"}`
	}
	f := newFakeKMS(t, map[string]func(map[string]any) (int, string){
		"ListKeys": func(map[string]any) (int, string) {
			return http.StatusOK, `{"Keys":[{"KeyId":"a","KeyArn":"arn:aws:kms:us-east-1:111122223333:key/a"},{"KeyId":"b","KeyArn":"arn:aws:kms:us-east-1:111122223333:key/b"}]}`
		},
		"DescribeKey": func(in map[string]any) (int, string) {
			id := in["KeyId"].(string)
			return http.StatusOK, `{"KeyMetadata":{"KeyId":"` + id + `","Arn":"arn:aws:kms:us-east-1:111122223333:key/` + id +
				`","KeyManager":"CUSTOMER","KeySpec":"SYMMETRIC_DEFAULT","KeyState":"Enabled","Origin":"AWS_KMS","Enabled":true,"KeyUsage":"ENCRYPT_DECRYPT"}}`
		},
		"GetKeyRotationStatus": func(in map[string]any) (int, string) {
			if in["KeyId"] == "a" {
				return denied(in)
			}
			return http.StatusOK, `{"KeyRotationEnabled":false}`
		},
		"ListAliases": denied,
	})
	out, _, err := printed(t, "check", "--endpoint", f.url, "--check", "rotation-enabled", "--format", "json")
	if err == nil || errors.As(err, new(findingsError)) || !strings.Contains(err.Error(), "1 finding fails") {
		t.Errorf("the error is %v", err)
	}
	var r struct {
		Findings []check.Finding
	}
	if err := json.Unmarshal([]byte(out), &r); err != nil || len(r.Findings) != 2 || r.Findings[0].Status != check.Error || r.Findings[0].Error != "AccessDeniedException" || r.Findings[1].Status != check.Fail {
		t.Errorf("%v, %s", err, out)
	}
	// A plan that could not be made is no empty plan.
	if out, errs, err := printed(t, "check", "--endpoint", f.url, "--check", "rotation-enabled", "--fix", "--dry-run"); err == nil || errors.As(err, new(findingsError)) || !strings.Contains(errs, "1 verdicts") || !strings.Contains(out, "enable-key-rotation") {
		t.Errorf("dry run: %v, %s, %s", err, out, errs)
	}
	// A list that cannot be read at all.
	f.mu.Lock()
	f.answers["ListKeys"] = denied
	f.mu.Unlock()
	out, _, err = printed(t, "check", "--endpoint", f.url, "--check", "rotation-enabled", "--format", "json")
	if err == nil || errors.As(err, new(findingsError)) || !strings.Contains(out, `"code":"AccessDeniedException"`) {
		t.Errorf("%v, %s", err, out)
	}
	for _, format := range []string{"csv", "ocsf", "asff"} { // they have findings only, and must not look clean
		if out, _, err := printed(t, "check", "--endpoint", f.url, "--check", "rotation-enabled", "--format", format); err == nil || !strings.Contains(out, "ListKeys could not be read") {
			t.Errorf("%s: %v, %s", format, err, out)
		}
	}
}

// A report that goes to a device or a pipe is written to it, and leaves it what it is.
func TestCheckOutputInPlace(t *testing.T) {
	clientEnvironment(t)
	s := startDev(t, "")
	dir := t.TempDir()
	link, target := filepath.Join(dir, "link"), filepath.Join(dir, "target")
	if err := os.Symlink(target, link); err != nil {
		t.Skip(err)
	}
	if err := os.WriteFile(target, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := printed(t, "check", "--endpoint", s.URL, "--format", "json", "--output", link); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(target)
	if info, statErr := os.Lstat(link); err != nil || !strings.HasPrefix(string(text), `{"version":1`) || statErr != nil || info.Mode()&os.ModeSymlink == 0 {
		t.Errorf("the link is %v, %v; its target holds %.40s, %v", info, statErr, text, err)
	}
}

// A fix that is done in part says what was done and what was not, and ends with status 1.
func TestCheckFixPartly(t *testing.T) {
	clientEnvironment(t)
	s := startDev(t, "")
	kms := kmsClient(s.URL, "111122223333", "us-east-1")
	var ids []string
	for range 3 {
		out, err := kms.CreateKey(t.Context(), &awskms.CreateKeyInput{})
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, *out.KeyMetadata.KeyId)
	}
	// In between, one of them is disabled: a proxy in front of the server does it when it is to be changed.
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if strings.HasSuffix(r.Header.Get("X-Amz-Target"), ".EnableKeyRotation") && bytes.Contains(body, []byte(ids[1])) {
			if _, err := kms.DisableKey(r.Context(), &awskms.DisableKeyInput{KeyId: &ids[1]}); err != nil {
				t.Error(err)
			}
		}
		req, _ := http.NewRequestWithContext(r.Context(), r.Method, s.URL+r.URL.Path, bytes.NewReader(body))
		req.Header = r.Header
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Error(err)
			return
		}
		defer resp.Body.Close()
		w.WriteHeader(resp.StatusCode)
		_, _ = io.Copy(w, resp.Body)
	}))
	defer front.Close()
	out, _, err := printed(t, "check", "--endpoint", front.URL, "--fix", "--yes", "--check", "rotation-enabled", "--format", "json")
	if err == nil || !strings.Contains(err.Error(), "not everything could be read or done") {
		t.Errorf("the error is %v", err)
	}
	var r struct{ Summary check.Summary }
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatal(err)
	}
	done := 0
	for _, c := range r.Summary.Changes {
		if broken := strings.HasSuffix(c.KeyARN, ids[1]); c.Done == broken || broken != strings.Contains(c.Error, "DisabledException") {
			t.Errorf("%+v", c)
		}
		if c.Done {
			done++
		}
	}
	if done != 2 {
		t.Errorf("%d changes done: %s", done, out)
	}
}

// report is what a monitor would have found.
func checkReport() (check.Report, []check.Transition) {
	f := check.Tracked{Finding: check.Finding{ID: "f1", Check: "rotation-enabled", Severity: check.Medium, Status: check.Fail, Resource: check.Resource{ARN: "arn:k"}}}
	s := &check.Summary{Keys: 7, Counts: map[check.Status]int{check.Fail: 2}, Checks: []check.CheckCount{
		{Check: "rotation-enabled", Severity: check.Medium, Counts: map[check.Status]int{check.Fail: 2, check.Pass: 5}, Accepted: 1},
	}}
	return check.Report{Version: 1, Summary: s, Open: []check.Tracked{f}}, []check.Transition{{Change: check.TransitionNew, Finding: f}}
}

// The watch serves metrics and findings: to this machine's names without a token, and to whoever shows it with one.
func TestWatchServes(t *testing.T) {
	for _, token := range []string{"", "a-token-of-some-length"} {
		report, _ := checkReport()
		m, err := check.NewMonitor(check.MonitorConfig{
			Now: func(context.Context) time.Time { return time.Now() },
			Scan: func(context.Context, func(*check.Finding) error) (check.Run, *check.Summary, error) {
				return check.Run{}, report.Summary, nil
			},
		}, nil)
		if err != nil {
			t.Fatal(err)
		}
		metrics := newCheckMetrics()
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- serveFindings(ctx, l, m, metrics, token) }()
		get := func(path, host, auth string) (int, string) {
			req, _ := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+l.Addr().String()+path, nil)
			if host != "" {
				req.Host = host
			}
			if auth != "" {
				req.Header.Set("Authorization", auth)
			}
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			b, _ := io.ReadAll(resp.Body)
			return resp.StatusCode, string(b)
		}
		auth := ""
		if token != "" {
			auth = "Bearer " + token
		}
		if code, _ := get("/findings", "", auth); code != http.StatusServiceUnavailable {
			t.Errorf("before the first run: %d", code)
		}
		m.RunOnce(ctx)
		metrics.ran(report, 3*time.Second, nil)
		if code, body := get("/findings", "", auth); code != http.StatusOK || !strings.Contains(body, `"version":1`) {
			t.Errorf("findings: %d %s", code, body)
		}
		code, body := get("/metrics", "", auth)
		for _, want := range []string{
			`keyturn_check_findings{check="rotation-enabled",severity="medium",status="FAIL"} 1`, // one is accepted
			`keyturn_check_findings{check="rotation-enabled",severity="medium",status="PASS"} 5`,
			`keyturn_check_keys 7`, `keyturn_check_run_duration_seconds 3`, `keyturn_check_runs_total{result="complete"} 1`,
		} {
			if code != http.StatusOK || !strings.Contains(body, want) {
				t.Errorf("metrics: %d, without %s", code, want)
			}
		}
		if code, _ := get("/healthz", "", ""); code != http.StatusOK {
			t.Errorf("health: %d", code)
		}
		if token == "" {
			if code, _ := get("/findings", "evil.example.com", ""); code != http.StatusForbidden {
				t.Errorf("a name that could be anybody's: %d", code)
			}
		} else {
			for _, wrong := range []string{"", "Bearer ", "Bearer a-token-of-some-lengtH", token} {
				if code, body := get("/metrics", "", wrong); code != http.StatusUnauthorized && wrong != token || strings.Contains(body, "keyturn_check") && wrong != token {
					t.Errorf("with %q: %d", wrong, code)
				}
			}
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}

// An incomplete run leaves the metrics of findings as they were: an alert must not end because nobody could look.
func TestWatchIncomplete(t *testing.T) {
	report, _ := checkReport()
	m := newCheckMetrics()
	m.ran(report, time.Second, nil)
	blind := report
	blind.Summary = &check.Summary{Counts: map[check.Status]int{}, Errors: []check.RunError{{Call: "ListKeys"}}, Checks: []check.CheckCount{{Check: "rotation-enabled", Severity: check.Medium}}}
	m.ran(blind, time.Second, nil)
	for what, c := range map[string]struct {
		got  prometheus.Collector
		want float64
	}{
		"failures":        {m.findings.WithLabelValues("rotation-enabled", "medium", "FAIL"), 1},
		"keys":            {m.keys, 7},
		"errors":          {m.unread, 1},
		"complete runs":   {m.runs.WithLabelValues("complete"), 1},
		"incomplete runs": {m.runs.WithLabelValues("incomplete"), 1},
	} {
		if got := testutil.ToFloat64(c.got); got != c.want {
			t.Errorf("%s: %v, want %v", what, got, c.want)
		}
	}
}

// What the webhook has not taken outlives the process.
func TestWebhookWaits(t *testing.T) {
	report, changes := checkReport()
	m, err := check.NewMonitor(check.MonitorConfig{
		Now: func(context.Context) time.Time { return time.Now() },
		Scan: func(context.Context, func(*check.Finding) error) (check.Run, *check.Summary, error) {
			return check.Run{}, report.Summary, nil
		},
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	m.RunOnce(t.Context())
	m.SetUndelivered(changes)
	var saved bytes.Buffer
	if err := m.Save(&saved); err != nil {
		t.Fatal(err)
	}
	again, err := check.NewMonitor(check.MonitorConfig{}, &saved)
	if err != nil || len(again.Report().Undelivered) != 1 || again.Report().Undelivered[0].Finding.ID != "f1" {
		t.Errorf("%+v, %v", again, err)
	}
}

// A file of findings that cannot be read is put aside, and the server starts.
func TestServerChecksDamaged(t *testing.T) {
	for _, damage := range []string{"", "{", `{"version":9}`} {
		dir := t.TempDir()
		if err := os.MkdirAll(filepath.Join(dir, checkDir), 0o700); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, checkDir, "111122223333.json")
		if err := os.WriteFile(path, []byte(damage), 0o600); err != nil {
			t.Fatal(err)
		}
		c := &serverChecks{every: 24 * time.Hour, regions: []string{"us-east-1"}, accounts: []string{"111122223333"}, settings: check.DefaultSettings()}
		s := startDev(t, dir, func(a *appConfig) { a.Checks = c })
		if _, err := os.Stat(path + ".damaged"); err != nil {
			t.Errorf("%q: %v", damage, err)
		}
		s.stop()
	}
}

// The webhook gets every change once, signed; what it does not take waits for the next run.
func TestWebhook(t *testing.T) {
	const secret = "a-secret-of-some-length"
	var got []webhookMessage
	down := true
	srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		mac := hmac.New(sha256.New, []byte(secret))
		mac.Write([]byte(r.Header.Get("X-Keyturn-Timestamp") + "."))
		mac.Write(body)
		if r.Header.Get("X-Keyturn-Signature") != "sha256="+hex.EncodeToString(mac.Sum(nil)) {
			t.Error("the signature is wrong")
		}
		if down {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		var m webhookMessage
		if err := json.Unmarshal(body, &m); err != nil {
			t.Error(err)
		}
		got = append(got, m)
	}))
	defer srv.Close()
	path := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(path, []byte(secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var logged bytes.Buffer
	f := watchFlags{webhook: srv.URL + "/token-in-the-path", webhookSecret: path, allowPrivate: []string{"127.0.0.0/8"}}
	w, err := f.newWebhook(slog.New(slog.NewJSONHandler(&logged, nil)))
	if err != nil {
		t.Fatal(err)
	}
	w.client, w.backoff = srv.Client(), time.Nanosecond // its certificate is the test's own
	metrics := newCheckMetrics()
	report, changes := checkReport()
	w.post(t.Context(), report, changes, metrics)
	if len(got) != 0 || len(w.waiting) != 1 || !strings.Contains(logged.String(), "502") {
		t.Errorf("while it is down: %v, %s", got, logged.String())
	}
	down = false
	many := make([]check.Transition, maxPost)
	for i := range many {
		many[i] = changes[0]
		many[i].Finding.ID = fmt.Sprint("f", i+2)
	}
	w.post(t.Context(), report, many, metrics)
	w.post(t.Context(), report, nil, metrics)
	n := 0
	for _, m := range got {
		for _, c := range m.Changes {
			if n++; c.Finding.ID != fmt.Sprint("f", n) || c.Change != check.TransitionNew {
				t.Errorf("change %d is %s of %s", n, c.Change, c.Finding.ID)
			}
		}
	}
	if len(got) != 2 || n != maxPost+1 || len(w.waiting) != 0 {
		t.Errorf("%d messages, %d changes, %d waiting", len(got), n, len(w.waiting))
	}
	// An address that is not public is not connected to unless it is allowed, and no log names the URL.
	logged.Reset()
	f.allowPrivate = nil
	if w, err = f.newWebhook(slog.New(slog.NewJSONHandler(&logged, nil))); err != nil {
		t.Fatal(err)
	}
	w.backoff = time.Nanosecond
	w.post(t.Context(), report, changes, metrics)
	if !strings.Contains(logged.String(), "neither public nor allowed") || strings.Contains(logged.String(), "token-in-the-path") {
		t.Errorf("%s", logged.String())
	}
}

// A server checks its own keys, tells each account its own findings and nobody else's, and goes on after a restart; its own reading
// is nobody's call, so the audit log has none of it.
func TestServerChecks(t *testing.T) {
	clientEnvironment(t)
	dir := t.TempDir()
	checks := func() *serverChecks {
		s := &serverChecks{regions: []string{"us-east-1", "eu-west-1"}, accounts: []string{"111122223333", "444455556666"}, settings: check.DefaultSettings()}
		c := checkConfig{Every: "24h", Checks: []string{"rotation-enabled", "has-alias"}}
		if err := c.read(s); err != nil {
			t.Fatal(err)
		}
		return s
	}
	first := checks()
	s := startDev(t, dir, func(c *appConfig) { c.Checks = first; c.Regions = regionsOf(t, first.regions) })
	kms := kmsClient(s.URL, "111122223333", "us-east-1")
	for range 3 {
		if _, err := kms.CreateKey(t.Context(), &awskms.CreateKeyInput{}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := kmsClient(s.URL, "111122223333", "eu-west-1").CreateKey(t.Context(), &awskms.CreateKeyInput{}); err != nil {
		t.Fatal(err)
	}
	for _, account := range first.accounts {
		first.monitors[account].RunOnce(t.Context())
	}
	list := func(url, account, region string, req *api.ListFindingsRequest) (resp api.ListFindingsResponse, err error) {
		t.Setenv("AWS_ACCESS_KEY_ID", account)
		f := clientFlags{endpoint: url, region: region}
		c, err := f.connect(t.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		err = c.call(t.Context(), "Keyturn.ListFindings", req, &resp)
		return resp, err
	}
	var seen []string
	req := &api.ListFindingsRequest{Limit: api.Some[int64](2)}
	for {
		page, err := list(s.URL, "111122223333", "us-east-1", req)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range page.Findings {
			seen = append(seen, f.CheckId.V)
			if !strings.HasPrefix(f.KeyArn.V, "arn:aws:kms:us-east-1:111122223333:key/") || f.Status.V != "FAIL" || !f.FirstSeen.Set || len(page.Findings) > 2 {
				t.Errorf("%+v", f)
			}
		}
		if page.KeysChecked.V != 4 || !page.Complete.V {
			t.Errorf("%+v", page)
		}
		if !page.Truncated.V {
			break
		}
		req.Marker = page.NextMarker
	}
	if len(seen) != 6 {
		t.Errorf("findings: %v", seen)
	}
	if page, err := list(s.URL, "111122223333", "us-east-1", &api.ListFindingsRequest{CheckId: api.Some("has-alias")}); err != nil || len(page.Findings) != 3 {
		t.Errorf("of one check: %+v, %v", page, err)
	}
	if page, err := list(s.URL, "111122223333", "eu-west-1", &api.ListFindingsRequest{}); err != nil || len(page.Findings) != 2 {
		t.Errorf("of the other region: %+v, %v", page, err)
	}
	for _, account := range []string{"444455556666", "777788889999"} {
		if page, err := list(s.URL, account, "us-east-1", &api.ListFindingsRequest{}); err != nil || len(page.Findings) > 0 {
			t.Errorf("account %s sees %+v, %v", account, page, err)
		}
	}
	if _, err := list(s.URL, "111122223333", "us-east-1", &api.ListFindingsRequest{Marker: api.Some("zz")}); errorCode(err) != "InvalidMarkerException" {
		t.Errorf("a wrong marker: %v", err)
	}
	out, _, err := printed(t, "check", "findings", "--endpoint", s.URL, "--region", "eu-west-1")
	if err != nil || !strings.Contains(out, "2 findings in this region") == (os.Getenv("AWS_ACCESS_KEY_ID") == "111122223333") {
		t.Errorf("%s, %v", out, err)
	}
	s.stop()
	log, err := os.ReadFile(onlySegment(t, dir))
	if err != nil || bytes.Contains(log, []byte(`"GetKeyRotationStatus"`)) || bytes.Contains(log, []byte(`"DescribeKey"`)) || !bytes.Contains(log, []byte(`"ListFindings"`)) {
		t.Errorf("the audit log, %v:\n%s", err, log)
	}
	second := checks()
	s = startDev(t, dir, func(c *appConfig) { c.Checks = second; c.Regions = regionsOf(t, second.regions) })
	if page, err := list(s.URL, "111122223333", "us-east-1", &api.ListFindingsRequest{}); err != nil || len(page.Findings) != 6 {
		t.Errorf("after a restart: %+v, %v", page, err)
	}
	kms = kmsClient(s.URL, "111122223333", "us-east-1")
	keys, err := kms.ListKeys(t.Context(), &awskms.ListKeysInput{})
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range keys.Keys {
		if _, err := kms.EnableKeyRotation(t.Context(), &awskms.EnableKeyRotationInput{KeyId: k.KeyId, RotationPeriodInDays: aws.Int32(90)}); err != nil {
			t.Fatal(err)
		}
	}
	second.monitors["111122223333"].RunOnce(t.Context())
	if page, err := list(s.URL, "111122223333", "us-east-1", &api.ListFindingsRequest{}); err != nil || len(page.Findings) != 3 {
		t.Errorf("after it was mended: %+v, %v", page, err)
	}
}

func onlySegment(t *testing.T, dir string) string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, auditDir, "audit-*.jsonl"))
	if err != nil || len(names) != 1 {
		t.Fatalf("%v, %v", names, err)
	}
	return names[0]
}

func TestCheckConfig(t *testing.T) {
	for name, tt := range map[string]struct {
		c    checkConfig
		want string
	}{
		"nothing":        {checkConfig{}, "every"},
		"too often":      {checkConfig{Every: "1s"}, "at least"},
		"no duration":    {checkConfig{Every: "24h", MaxAge: "long"}, "max_age"},
		"no period":      {checkConfig{Every: "24h", MaxPeriod: "1d"}, "max_period"},
		"no account":     {checkConfig{Every: "24h", TrustedAccounts: []string{"1"}}, "trusted_accounts"},
		"no check":       {checkConfig{Every: "24h", Checks: []string{"nope"}}, "nope"},
		"beyond the KMS": {checkConfig{Every: "24h", Checks: []string{"rotation-events"}}, "rotation-events"},
		"no services":    {checkConfig{Every: "24h", MaxServices: -1}, "max_services"},
	} {
		s := &serverChecks{settings: check.DefaultSettings()}
		if err := tt.c.read(s); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
