package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"

	"github.com/keyturn/keyturn/internal/wire"
)

// The access key of the bench's data directories, which live as long as it runs.
const (
	accessKeyID     = "AKIABENCHBENCHBENCH0"
	secretAccessKey = "benchbenchbenchbenchbenchbenchbenchbench"
	region          = "us-east-1"
	account         = wire.DevAccount
)

// newDataDir makes a data directory that knows the bench's access key.
func newDataDir(parent, name string) (string, error) {
	dir := filepath.Join(parent, name)
	if err := os.Mkdir(dir, 0o700); err != nil {
		return "", err
	}
	text := "[keyturn]\naws_access_key_id = " + accessKeyID + "\naws_secret_access_key = " + secretAccessKey + "\n"
	return dir, os.WriteFile(filepath.Join(dir, "credentials"), []byte(text), 0o600)
}

// recorder sends the requests of the AWS SDK and remembers the last one, as its bytes on the wire, with the reply.
type recorder struct {
	client  http.Client
	request []byte
	reply   reply
}

// newSDK returns an AWS SDK client whose requests are recorded.
func newSDK(endpoint string) (*kms.Client, *recorder) {
	rec := &recorder{client: http.Client{Transport: &http.Transport{DisableKeepAlives: true}}}
	client := kms.New(kms.Options{
		Region: region, BaseEndpoint: &endpoint, HTTPClient: rec, Retryer: aws.NopRetryer{},
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: accessKeyID, SecretAccessKey: secretAccessKey}, nil
		}),
	})
	return client, rec
}

// Do implements the SDK's HTTP client.
func (rec *recorder) Do(req *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return nil, err
	}
	req.Body = io.NopCloser(bytes.NewReader(body))
	header := req.Header.Clone()
	header.Set("Content-Length", strconv.Itoa(len(body)))
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: %s\r\n", req.Method, req.URL.RequestURI(), req.URL.Host)
	if err := header.Write(&b); err != nil {
		return nil, err
	}
	b.WriteString("\r\n")
	b.Write(body)
	rec.request = b.Bytes()

	resp, err := rec.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	resp.Body = io.NopCloser(bytes.NewReader(answer))
	rec.reply = reply{Header: resp.Header.Clone(), Body: answer}
	for _, name := range []string{"Date", "Connection"} { // net/http's own
		delete(rec.reply.Header, name)
	}
	return resp, nil
}

// subject is what the operations are called on.
type subject struct {
	client *kms.Client
	rec    *recorder
	keyID  string
	blob   []byte               // a ciphertext under the key
	others map[string]*otherKey // of the operations beyond the hot path, made when first called on; by operation
}

var benchContext = map[string]string{"purpose": "bench"}

// newSubject makes a key with automatic rotation and a ciphertext on a server.
func newSubject(ctx context.Context, server *child) (*subject, error) {
	s := &subject{others: make(map[string]*otherKey)}
	s.client, s.rec = newSDK(server.endpoint)
	key, err := s.client.CreateKey(ctx, &kms.CreateKeyInput{Description: aws.String("bench")})
	if err != nil {
		return nil, err
	}
	s.keyID = *key.KeyMetadata.KeyId
	if _, err := s.client.EnableKeyRotation(ctx, &kms.EnableKeyRotationInput{KeyId: &s.keyID}); err != nil {
		return nil, err
	}
	out, err := s.encrypt(ctx)
	if err != nil {
		return nil, err
	}
	s.blob = out.CiphertextBlob
	return s, nil
}

func (s *subject) encrypt(ctx context.Context) (*kms.EncryptOutput, error) {
	return s.client.Encrypt(ctx, &kms.EncryptInput{KeyId: &s.keyID, Plaintext: make([]byte, 32), EncryptionContext: benchContext})
}
