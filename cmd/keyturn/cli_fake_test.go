package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/spf13/cobra"
)

// fakeKMS answers each operation, by its X-Amz-Target without the service, with an HTTP status and a body, and keeps the requests.
type fakeKMS struct {
	url string

	mu       sync.Mutex
	answers  map[string]func(in map[string]any) (status int, body string)
	requests []fakeRequest
}

type fakeRequest struct {
	op     string
	in     map[string]any
	header http.Header
	path   string
}

func newFakeKMS(t *testing.T, answers map[string]func(map[string]any) (int, string)) *fakeKMS {
	t.Helper()
	f := &fakeKMS{answers: answers}
	srv := httptest.NewServer(f)
	t.Cleanup(srv.Close)
	f.url = srv.URL
	return f
}

// ServeHTTP implements http.Handler.
func (f *fakeKMS) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, op, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	body, _ := io.ReadAll(r.Body)
	var in map[string]any
	if err := json.Unmarshal(body, &in); err != nil {
		http.Error(w, "not JSON", http.StatusBadRequest)
		return
	}
	f.mu.Lock()
	f.requests = append(f.requests, fakeRequest{op, in, r.Header.Clone(), r.URL.Path})
	h := f.answers[op]
	f.mu.Unlock()
	status, answer := http.StatusBadRequest, `{"__type":"UnknownOperationException"}`
	if h != nil {
		status, answer = h(in)
	}
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	w.WriteHeader(status)
	io.WriteString(w, answer) //nolint:errcheck // the client's business
}

// answer changes the answer of an operation. Requests of a command that has been given up may still be on their way.
func (f *fakeKMS) answer(op string, h func(in map[string]any) (status int, body string)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.answers[op] = h
}

// calls returns the requests for op, in order.
func (f *fakeKMS) calls(op string) (list []fakeRequest) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, r := range f.requests {
		if r.op == op {
			list = append(list, r)
		}
	}
	return list
}

// always answers with one body.
func always(body string) func(map[string]any) (int, string) {
	return func(map[string]any) (int, string) { return http.StatusOK, body }
}

// fails answers with an error.
func fails(code, message string) func(map[string]any) (int, string) {
	return func(map[string]any) (int, string) {
		return http.StatusBadRequest, `{"__type":"` + code + `","message":"` + message + `"}`
	}
}

// withoutAWS takes away the AWS configuration of whoever runs the tests.
func withoutAWS(t *testing.T) {
	t.Helper()
	for _, v := range os.Environ() {
		name, value, _ := strings.Cut(v, "=")
		if strings.HasPrefix(name, "AWS_") {
			t.Setenv(name, value) // for its restoring
			os.Unsetenv(name)
		}
	}
	t.Setenv("HOME", t.TempDir())
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
}

// execute runs a command.
func execute(t *testing.T, cmd *cobra.Command, args ...string) (stdout string, err error) {
	t.Helper()
	var out, progress bytes.Buffer
	cmd.SetArgs(args)
	cmd.SetOut(&out)
	cmd.SetErr(&progress)
	err = cmd.ExecuteContext(t.Context())
	if progress.Len() > 0 {
		t.Errorf("on stderr: %s", progress.String())
	}
	return out.String(), err
}
