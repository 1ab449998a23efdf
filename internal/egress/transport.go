package egress

import (
	"io"
	"net/http"
)

// transport adds what http.Transport has no setting for: which URLs, and how long a body.
type transport struct {
	inner       *http.Transport
	maxResponse int64
}

// RoundTrip implements http.RoundTripper.
func (t *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL == nil || r.URL.Scheme != "https" || r.URL.Host == "" || r.URL.User != nil {
		if r.Body != nil {
			r.Body.Close() //nolint:errcheck // a RoundTripper has to close it, and has a better error to tell
		}
		return nil, ErrURL
	}
	resp, err := t.inner.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	resp.Body = &limitedBody{ReadCloser: resp.Body, left: t.maxResponse}
	return resp, nil
}

// CloseIdleConnections is found by http.Client's method of this name.
func (t *transport) CloseIdleConnections() { t.inner.CloseIdleConnections() }

// limitedBody ends with ErrTooLarge where the body goes on after left bytes. It never hands out more than those.
type limitedBody struct {
	io.ReadCloser
	left int64 // bytes that may still be read; below 0 once there were more
}

// Read implements io.Reader.
func (b *limitedBody) Read(p []byte) (int, error) {
	if b.left < 0 {
		return 0, ErrTooLarge
	}
	if int64(len(p)) > b.left+1 { // one more, to see whether there is more
		p = p[:b.left+1]
	}
	n, err := b.ReadCloser.Read(p)
	if int64(n) > b.left {
		n, b.left = int(b.left), -1
		return n, ErrTooLarge
	}
	b.left -= int64(n)
	return n, err
}
