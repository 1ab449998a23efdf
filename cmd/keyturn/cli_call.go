package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/keyturn/keyturn/internal/api"
)

// call calls an operation that the AWS SDK does not know. It takes as long as ctx lets it: turning the clock may run for minutes.
// An error that the service answers is a *remoteError.
func (c *connection) call(ctx context.Context, target string, in api.Response, out interface{ DecodeJSON([]byte) error }) error {
	req, err := c.request(ctx, target, in)
	if err != nil {
		return err
	}
	resp, err := c.cfg.HTTPClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close() //nolint:errcheck // it has been read, or is of no use
	answer, err := io.ReadAll(resp.Body)
	if errors.As(err, new(*http.MaxBytesError)) {
		return fmt.Errorf("the answer is larger than %d MiB", maxAnswerSize>>20)
	}
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return answeredError(resp.StatusCode, answer)
	}
	if err := out.DecodeJSON(answer); err != nil {
		return fmt.Errorf("the answer is not what %s answers: %w", target, err)
	}
	return nil
}

// request returns the signed request of an operation.
func (c *connection) request(ctx context.Context, target string, in api.Response) (*http.Request, error) {
	body := in.AppendJSON(nil)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimSuffix(c.endpoint, "/")+"/", bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/x-amz-json-1.1")
	req.Header.Set("X-Amz-Target", target)
	req.Header.Set("User-Agent", "keyturn")
	creds, err := c.cfg.Credentials.Retrieve(ctx)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(body)
	return req, v4.NewSigner().SignHTTP(ctx, creds, req, hex.EncodeToString(sum[:]), "kms", c.cfg.Region, time.Now())
}

// stream calls an operation whose answer is no JSON but a stream of any length, which is the caller's to close.
func (c *connection) stream(ctx context.Context, target string, in api.Response) (*http.Response, error) {
	req, err := c.request(ctx, target, in)
	if err != nil {
		return nil, err
	}
	client := c.cfg.HTTPClient
	if b, ok := client.(boundedClient); ok {
		client = b.HTTPClient
	}
	resp, err := sendOnce(client, req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode == http.StatusOK {
		return resp, nil
	}
	defer resp.Body.Close() //nolint:errcheck // it has been read, or is of no use
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswerSize))
	if err != nil {
		return nil, err
	}
	return nil, answeredError(resp.StatusCode, answer)
}

// answeredError reads the error of an AWS JSON answer.
func answeredError(status int, body []byte) error {
	var e struct {
		Type    string `json:"__type"`
		Message string `json:"message"`
	}
	if err := json.Unmarshal(body, &e); err != nil || e.Type == "" {
		return fmt.Errorf("the endpoint answers HTTP status %d, and not as a KMS does", status)
	}
	if _, name, ok := strings.Cut(e.Type, "#"); ok { // some services put a namespace in front
		e.Type = name
	}
	return &remoteError{code: e.Type, message: e.Message}
}
