package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/keyturn/keyturn/internal/seal/shamir"
	"github.com/keyturn/keyturn/internal/unseal"
)

// unsealFlags are those of keyturn unseal.
type unsealFlags struct {
	endpoint  string
	caFile    string
	shareFile string
	status    bool
	reset     bool
	output    outputFormat
}

func newUnsealCommand() *cobra.Command {
	var f unsealFlags
	cmd := &cobra.Command{
		Use:   "unseal --endpoint URL",
		Short: "Give a sealed server a share, or its passphrase",
		Long: `Give a server that waits to be unsealed one share, or its passphrase: from --share-file, else asked for without showing
it, else from the first line of standard input. Once as many shares were given as it takes, from wherever and by
whomever, the server opens its store and serves.

It needs no access key: who has a share may give it. A wrong share is told at once, and changes nothing.`,
		Example: `  keyturn unseal --endpoint https://kms.example.com:8443
  keyturn unseal --endpoint https://kms.example.com:8443 --share-file share-2
  keyturn unseal --endpoint https://kms.example.com:8443 --status`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd.Context(), cmd.OutOrStdout()) },
	}
	fl := cmd.Flags()
	fl.StringVar(&f.endpoint, "endpoint", "", "`URL` of the server (default: AWS_ENDPOINT_URL_KMS)")
	fl.StringVar(&f.caFile, "ca-file", "", "PEM `FILE` of authorities to verify the server with (default: AWS_CA_BUNDLE, or the system's)")
	fl.StringVar(&f.shareFile, "share-file", "", "`FILE` with the share, or the passphrase")
	fl.BoolVar(&f.status, "status", false, "only tell how far it is")
	fl.BoolVar(&f.reset, "reset", false, "have the server forget the shares that were given; takes one of them")
	addOutputFlag(fl, &f.output)
	return cmd
}

const (
	unsealTimeout  = 30 * time.Second // of one exchange
	unsealPatience = 2 * time.Minute  // with a server that asks to wait
	openPatience   = 5 * time.Minute  // until the store is open
	openPoll       = 200 * time.Millisecond
)

func (f *unsealFlags) run(ctx context.Context, out io.Writer) error {
	if f.endpoint == "" {
		f.endpoint = os.Getenv("AWS_ENDPOINT_URL_KMS")
	}
	switch {
	case f.endpoint == "":
		return usagef("--endpoint is missing")
	case f.status && (f.reset || f.shareFile != ""):
		return usagef("--status goes with neither --reset nor --share-file")
	}
	if err := checkEndpoint(f.endpoint, false); err != nil {
		err = usagef("--endpoint: %w", err)
		if errors.Is(err, errPlainHTTP) {
			err = withHint(err, "use https: a share must not be sent in the clear")
		}
		return err
	}
	hardenProcess(slog.New(slog.DiscardHandler)) // it holds a share for a moment
	c, err := newUnsealClient(f.endpoint, f.caFile)
	if err != nil {
		return err
	}
	s, err := c.do(ctx, http.MethodGet, unseal.Path, nil)
	if err != nil {
		return err
	}
	switch {
	case f.status || !s.Sealed:
		return f.print(out, s)
	case s.Needs == "":
		return withHint(fmt.Errorf("the server takes nothing now, it is %s", printable(s.Text)), "its log says more")
	case s.Needs != "share" && f.reset:
		return usagef("--reset is for shares, and the server waits for a passphrase")
	}
	text, err := f.read(ctx, s)
	if err != nil {
		return err
	}
	defer clear(text)
	path := unseal.Path
	if f.reset {
		path = unseal.ResetPath
	}
	if s, err = c.give(ctx, path, text); err != nil {
		return err
	}
	if s.Sealed && s.Needs == "" && !f.reset {
		if s, err = c.opened(ctx); err != nil {
			return err
		}
	}
	return f.print(out, s)
}

// read gets what the server shall be given.
func (f *unsealFlags) read(ctx context.Context, s *unseal.Status) ([]byte, error) {
	var text []byte
	var err error
	if f.shareFile != "" {
		if text, err = readSecret(f.shareFile, unseal.MaxBody); err != nil {
			return nil, fmt.Errorf("reading the share: %w", err)
		}
		text = bytes.TrimRight(text, "\r\n")
	} else {
		prompt := "Passphrase: "
		if s.Needs == "share" {
			prompt = fmt.Sprintf("Share (%d of %d were given, set %s): ", s.Given, s.Needed, printable(s.Set))
		}
		text, err = readSecretLine(ctx, prompt)
		if errors.Is(err, io.EOF) {
			return nil, withHint(errors.New("no share and no passphrase was given"), "use --share-file, or give it on standard input")
		}
		if err != nil {
			return nil, err
		}
	}
	if s.Needs == "share" {
		// A slip of the finger need not go to the server.
		if _, err := shamir.ParseShare(text); err != nil {
			clear(text)
			return nil, withHint(err, "copy the whole line as keyturn init gave it")
		}
	}
	return text, nil
}

func (f *unsealFlags) print(out io.Writer, s *unseal.Status) error {
	if f.output == jsonOutput {
		return writeJSON(out, s)
	}
	text := s.Text
	if s.Needs == "share" {
		text += fmt.Sprintf(" (there are %d, of set %s)", s.Of, s.Set)
	}
	_, err := fmt.Fprintln(out, printable(text))
	return err
}

// unsealClient talks to the gate of a server.
type unsealClient struct {
	endpoint string
	http     *http.Client
}

func newUnsealClient(endpoint, caFile string) (*unsealClient, error) {
	if caFile == "" {
		caFile = os.Getenv("AWS_CA_BUNDLE")
	}
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	t.MaxResponseHeaderBytes = 32 << 10
	if caFile != "" {
		pem, err := readBounded(caFile, maxConfigBytes)
		if err != nil {
			return nil, fmt.Errorf("reading the authorities: %w", err)
		}
		if t.TLSClientConfig.RootCAs = x509.NewCertPool(); !t.TLSClientConfig.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s has no certificate in it", caFile)
		}
	}
	return &unsealClient{endpoint: strings.TrimSuffix(endpoint, "/"), http: &http.Client{
		Transport: t, Timeout: unsealTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// busyError is an answer that asks to wait.
type busyError struct{ wait time.Duration }

func (e *busyError) Error() string {
	return "the server has too many tries to look at; it asks to wait"
}

// do sends one request. The error is a *busyError if the server asks to wait.
func (c *unsealClient) do(ctx context.Context, method, path string, body []byte) (*unseal.Status, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.endpoint+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if method == http.MethodPost {
		req.Header.Set("Content-Type", unseal.ContentType)
	}
	req.Header.Set("User-Agent", "keyturn")
	resp, err := sendOnce(c.http, req)
	if err != nil {
		return nil, explain(err, c.endpoint)
	}
	defer resp.Body.Close() //nolint:errcheck // it has been read, or is of no use
	text, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if err != nil {
		return nil, explain(err, c.endpoint)
	}
	if resp.StatusCode == http.StatusTooManyRequests {
		seconds, _ := strconv.Atoi(resp.Header.Get("Retry-After"))
		return nil, &busyError{time.Duration(min(max(seconds, 1), 60)) * time.Second}
	}
	var s unseal.Status
	if err := json.Unmarshal(text, &s); err != nil || s.Text == "" {
		return nil, withHint(fmt.Errorf("the endpoint answers HTTP status %d, and not as keyturn server does", resp.StatusCode), "is the address right, and a keyturn server there?")
	}
	if s.Error != "" {
		hint := "the state is now: " + printable(s.Text)
		if s.Set != "" {
			hint += ", set " + printable(s.Set)
		}
		return nil, withHint(errors.New(printable(s.Error)), hint)
	}
	return &s, nil
}

// give sends a share or passphrase, and waits as long as the server asks to, within bounds.
func (c *unsealClient) give(ctx context.Context, path string, text []byte) (*unseal.Status, error) {
	for end := time.Now().Add(unsealPatience); ; {
		s, err := c.do(ctx, http.MethodPost, path, text)
		var busy *busyError
		if !errors.As(err, &busy) {
			return s, err
		}
		if time.Now().Add(busy.wait).After(end) {
			return nil, withHint(err, "try again in a minute; somebody may be guessing, look at the server's security log")
		}
		if err := pause(ctx, busy.wait); err != nil {
			return nil, err
		}
	}
}

// opened waits until the server has opened its store.
func (c *unsealClient) opened(ctx context.Context) (*unseal.Status, error) {
	for end := time.Now().Add(openPatience); ; {
		s, err := c.do(ctx, http.MethodGet, unseal.Path, nil)
		if err != nil {
			return nil, &afterError{"enough was given", err}
		}
		if !s.Sealed {
			return s, nil
		}
		if time.Now().After(end) {
			return nil, withHint(errors.New("enough was given, and the server is still opening its store"), "its log says more")
		}
		if err := pause(ctx, openPoll); err != nil {
			return nil, err
		}
	}
}

// pause waits, unless ctx ends.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
