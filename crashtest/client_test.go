package crashtest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/middleware"
)

// client talks to one run of keyturn. It never retries: what it does not know to have happened stays in doubt.
type client struct {
	in       map[string]*kms.Client // by region
	endpoint string
	http     *http.Client
}

func newClient(endpoint string) *client {
	c := &client{in: make(map[string]*kms.Client), endpoint: endpoint, http: &http.Client{
		Timeout:   30 * time.Second,
		Transport: &http.Transport{MaxIdleConnsPerHost: 16, DisableCompression: true},
	}}
	for _, region := range regions {
		c.in[region] = kms.New(kms.Options{
			Region:       region,
			Credentials:  credentials.NewStaticCredentialsProvider("crashtest", "crashtest", ""),
			BaseEndpoint: aws.String(endpoint),
			Retryer:      aws.NopRetryer{},
			HTTPClient:   ownBody{c.http},
			APIOptions:   []func(*middleware.Stack) error{captureRequestID},
		})
	}
	return c
}

// of returns the client of a key's region.
func (c *client) of(k *key) *kms.Client { return c.in[k.region] }

func (c *client) close() { c.http.CloseIdleConnections() }

// ownBody sends requests with a body of its own. The SDK closes the body as soon as the reply's header is there; when the
// transport is only about to find its end then, it takes that for an error and cuts the connection, in the middle of the reply.
type ownBody struct{ http *http.Client }

func (o ownBody) Do(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		r.Body = io.NopCloser(bytes.NewReader(b))
	}
	return o.http.Do(r)
}

type requestIDKey struct{}

// captureRequestID leaves the reply's request ID in the *string of the context.
func captureRequestID(stack *middleware.Stack) error {
	return stack.Initialize.Add(middleware.InitializeMiddlewareFunc("CaptureRequestID",
		func(ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler) (middleware.InitializeOutput, middleware.Metadata, error) {
			out, metadata, err := next.HandleInitialize(ctx, in)
			if into, ok := ctx.Value(requestIDKey{}).(*string); ok {
				var failed *awshttp.ResponseError
				if id, ok := awsmiddleware.GetRequestIDMetadata(metadata); ok {
					*into = id
				} else if errors.As(err, &failed) {
					*into = failed.ServiceRequestID()
				}
			}
			return out, metadata, err
		}), middleware.Before)
}

// epoch is a time as AWS JSON has it: seconds with a fraction.
type epoch struct{ time.Time }

func (e *epoch) UnmarshalJSON(b []byte) error {
	var seconds float64
	if err := json.Unmarshal(b, &seconds); err != nil {
		return err
	}
	e.Time = time.UnixMilli(int64(seconds*1000 + 0.5)).UTC()
	return nil
}

type clockReply struct {
	Now           epoch
	OffsetSeconds int64
	EventCount    int
	Events        []struct {
		Date          epoch
		Event         string
		KeyArn        string
		KeyMaterialID string `json:"KeyMaterialId"`
	}
}

// keyturn calls one of keyturn's own operations in a region. An error reply is a smithy.APIError.
func (c *client) keyturn(ctx context.Context, region, operation, body string, reply any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.endpoint+"/", bytes.NewReader([]byte(body)))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/x-amz-json-1.1")
	req.Header.Set("X-Amz-Target", "Keyturn."+operation)
	// keyturn dev verifies no signature: of this it takes the region.
	req.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=crashtest/20260101/"+region+"/kms/aws4_request, SignedHeaders=host, Signature=none")
	resp, err := c.http.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, 16<<20))
	if err != nil {
		return err
	}
	if into, ok := ctx.Value(requestIDKey{}).(*string); ok {
		*into = resp.Header.Get("x-amzn-RequestId")
	}
	if resp.StatusCode != http.StatusOK {
		var e struct {
			Type    string `json:"__type"`
			Message string `json:"message"`
		}
		if err := json.Unmarshal(b, &e); err != nil {
			return fmt.Errorf("status %d: %w", resp.StatusCode, err)
		}
		return &smithy.GenericAPIError{Code: e.Type, Message: e.Message}
	}
	return json.Unmarshal(b, reply)
}
