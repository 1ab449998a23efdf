package probe

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/keyturn/keyturn/internal/doctor"
)

const (
	askTimeout = 10 * time.Second
	maxAnswer  = 4 << 10
	// dateStep is how exact a Date header is (RFC 9110, section 5.6.7).
	dateStep = time.Second
)

// ask looks at a server as a client sees it.
func ask(ctx context.Context, in *Input) *doctor.EndpointFacts {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	e := &doctor.EndpointFacts{URL: strings.TrimSuffix(in.Endpoint, "/"), Skew: doctor.Unknown[time.Duration]("it sends no date")}
	if u, err := url.Parse(e.URL); err == nil {
		e.Host, e.TLS = u.Hostname(), u.Scheme == "https"
	}
	// The certificate is judged afterwards, so that all that is wrong can be told at once. Nothing secret is sent.
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS12}, DisableKeepAlives: true}
	client := &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	defer transport.CloseIdleConnections()

	began := time.Now()
	resp, body, err := get(ctx, client, e.URL+"/healthz")
	took := time.Since(began)
	if err != nil {
		e.Err = inner(err)
		return e
	}
	if resp.StatusCode != http.StatusOK || firstLine(body) != "ok" {
		e.Health = resp.Status + " " + firstLine(body)
	}
	if sent, err := http.ParseTime(resp.Header.Get("Date")); err == nil {
		// Its clock was read somewhere between the two moments.
		e.Skew = doctor.Got(sent.Sub(began.Round(0).Add(took / 2)))
		e.Uncertainty = took/2 + dateStep
	}
	if resp.TLS != nil {
		e.TLSVersion, e.TLSErr = tls.VersionName(resp.TLS.Version), verify(resp.TLS, e.Host, in.Roots)
		if len(resp.TLS.PeerCertificates) > 0 {
			e.Certificate = doctor.Got(describe(resp.TLS.PeerCertificates[0]))
		}
	}
	if resp, body, err = get(ctx, client, e.URL+"/readyz"); err != nil {
		e.Ready = inner(err)
	} else if resp.StatusCode != http.StatusOK {
		e.Ready = resp.Status + ": " + firstLine(body)
		e.Sealed = strings.HasPrefix(firstLine(body), "not ready: sealed")
	} else if _, note, more := strings.Cut(strings.TrimSpace(body), "\n"); more {
		e.Note = firstLine(note)
	}
	if in.Clock == nil {
		e.Clock = doctor.Unknown[doctor.ServiceClock]("there are no credentials to ask with")
	} else if c, err := in.Clock(ctx); err != nil {
		e.Clock = doctor.Unknown[doctor.ServiceClock](err.Error())
	} else {
		e.Clock = doctor.Got(c)
	}
	return e
}

func get(ctx context.Context, client *http.Client, url string) (*http.Response, string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, "", err
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, "", err
	}
	defer resp.Body.Close() //nolint:errcheck // it has been read, or is of no use
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	return resp, string(body), err
}

// inner is what happened, without method and URL.
func inner(err error) string {
	if e := (*url.Error)(nil); errors.As(err, &e) {
		err = e.Err
	}
	return err.Error()
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(s), "\n")
	if len(line) > 200 {
		line = line[:200]
	}
	return strings.ToValidUTF8(strings.TrimSpace(line), "")
}
