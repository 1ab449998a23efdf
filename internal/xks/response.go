package xks

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"mime"
	"net"
	"net/http"
)

// classify says what a failed exchange was: the caller's context, one of ErrTimeout, ErrTLS and ErrUnreachable, each with its cause.
// handshake says that a TLS handshake has failed. Most of its errors have no type of their own.
func classify(caller, bounded context.Context, err error, handshake bool) error {
	var timeout net.Error
	var certificate *tls.CertificateVerificationError
	switch {
	case errors.Is(caller.Err(), context.Canceled):
		return fmt.Errorf("xks: %w", caller.Err())
	case bounded.Err() != nil, errors.As(err, &timeout) && timeout.Timeout():
		return fmt.Errorf("%w: %w", ErrTimeout, err)
	case handshake, errors.As(err, &certificate), errors.Is(err, http.ErrSchemeMismatch):
		return fmt.Errorf("%w: %w", ErrTLS, err)
	}
	return fmt.Errorf("%w: %w", ErrUnreachable, err)
}

func invalidResponse(why error) error { return fmt.Errorf("%w: %w", ErrInvalidResponse, why) }

// checkResponse returns nil for a success, the *Error that the proxy has sent, or ErrInvalidResponse for what is neither. As KMS it
// goes by the error's name and not by the status, which only has to be an error's, too.
func checkResponse(resp *http.Response, reply []byte) error {
	if len(reply) > maxReply {
		return invalidResponse(fmt.Errorf("more than %d bytes", maxReply))
	}
	if media, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type")); err != nil || media != "application/json" {
		return invalidResponse(fmt.Errorf("status %d with a body that is not application/json", resp.StatusCode))
	}
	if resp.StatusCode == http.StatusOK {
		return nil
	}
	var e errorReply
	if err := decode(reply, &e); err != nil {
		return invalidResponse(fmt.Errorf("status %d: %w", resp.StatusCode, err))
	}
	if statusOf(e.Name) == 0 || resp.StatusCode < 400 {
		return invalidResponse(fmt.Errorf("status %d without an error name of the specification", resp.StatusCode))
	}
	return &Error{Name: e.Name, Message: printableMessage(e.Message), Status: resp.StatusCode}
}

func readHealth(reply []byte) (*Health, error) {
	var r healthReply
	if err := decode(reply, &r); err != nil {
		return nil, invalidResponse(err)
	}
	h := &Health{FleetSize: r.FleetSize, Vendor: r.Vendor, Model: r.Model, KeyManager: r.KeyManager}
	for _, e := range r.FleetDetails {
		h.FleetDetails = append(h.FleetDetails, KeyManager(e))
	}
	if err := h.check(); err != nil {
		return nil, invalidResponse(err)
	}
	return h, nil
}

func readKeyMetadata(reply []byte) (*KeyMetadata, error) {
	var r keyMetadataReply
	if err := decode(reply, &r); err != nil {
		return nil, invalidResponse(err)
	}
	if r.Usage == nil {
		return nil, invalidResponse(errors.New("keyUsage is missing"))
	}
	m := &KeyMetadata{Spec: r.Spec, Usage: *r.Usage, Status: r.Status}
	if err := m.check(); err != nil {
		return nil, invalidResponse(err)
	}
	return m, nil
}

// readCiphertext reads the reply to encrypting size bytes with aad.
func readCiphertext(reply []byte, size int, aad []byte) (*Ciphertext, error) {
	var r encryptReply
	if err := decode(reply, &r); err != nil {
		return nil, invalidResponse(err)
	}
	c := &Ciphertext{Data: r.Ciphertext, IV: r.IV, Tag: r.Tag, Metadata: absentIfEmpty(r.Metadata)}
	if err := c.check(); err != nil {
		return nil, invalidResponse(err)
	}
	if len(c.Data) != size {
		return nil, invalidResponse(fmt.Errorf("a ciphertext of %d bytes for a plaintext of %d", len(c.Data), size))
	}
	if !equalSum(c.IntegrityValue(aad), r.CDIV) {
		return nil, invalidResponse(errors.New("the ciphertext's integrity value is missing or wrong"))
	}
	return c, nil
}

// readPlaintext reads the reply to decrypting size bytes.
func readPlaintext(reply []byte, size int) ([]byte, error) {
	var r decryptReply
	if err := decode(reply, &r); err != nil {
		return nil, invalidResponse(err)
	}
	if len(r.Plaintext) != size {
		n := len(r.Plaintext)
		clear(r.Plaintext)
		return nil, invalidResponse(fmt.Errorf("a plaintext of %d bytes for a ciphertext of %d", n, size))
	}
	return r.Plaintext, nil
}
