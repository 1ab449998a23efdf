package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"log/slog"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/identity"
	"github.com/keyturn/keyturn/internal/seal"
)

// BenchmarkHandler is what keyturn adds to net/http for one signed Encrypt: signature, codec, policy, cryptography, audit log.
func BenchmarkHandler(b *testing.B) {
	send := benchHandler(b)
	id := benchKey(b, send, "{}")
	encrypt := send("TrentService.Encrypt", encryptBody(id))
	if !bytes.HasPrefix(encrypt(), []byte(`{"CiphertextBlob":`)) {
		b.Fatalf("%s", encrypt())
	}
	b.ReportAllocs()
	for b.Loop() {
		encrypt()
	}
}

// sender makes a request, and returns a function that sends it, again and again.
type sender func(target, body string) func() []byte

// benchHandler opens keyturn dev --strict on a directory of its own and returns what sends requests to its handler, past the network.
func benchHandler(b *testing.B) sender {
	dir := b.TempDir()
	regions, err := newRegions(nil)
	if err != nil {
		b.Fatal(err)
	}
	key, err := devAccessKey(filepath.Join(dir, credentialsFile))
	if err != nil {
		b.Fatal(err)
	}
	a, err := openApp(b.Context(), appConfig{
		DataDir: dir, Dev: true, Log: slog.New(slog.DiscardHandler), Now: time.Now,
		Provider: func(bool) (seal.Provider, error) { return seal.NewKeyFile(make([]byte, 32)), nil },
		Regions:  regions,
		Credentials: func() (map[string]identity.Configured, error) {
			return devCredentials(filepath.Join(dir, credentialsFile))
		},
	})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := a.close(); err != nil {
			b.Error(err)
		}
	})
	return signedSender(b, a.Handler, key)
}

// benchKey makes a key with a CreateKey request and returns its ID.
func benchKey(b *testing.B, send sender, request string) string {
	created := send("TrentService.CreateKey", request)()
	var r api.CreateKeyResponse
	if err := r.DecodeJSON(created); err != nil || r.KeyMetadata == nil {
		b.Fatalf("%v: %s", err, created)
	}
	return r.KeyMetadata.KeyId.V
}

// encryptBody is a request to encrypt 32 bytes with one entry of encryption context.
func encryptBody(keyID string) string {
	return `{"KeyId":"` + keyID + `","Plaintext":"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=","EncryptionContext":{"tenant":"a"}}`
}

// signedSender returns a sender of signed requests.
func signedSender(b *testing.B, h http.Handler, key accessKey) sender {
	return func(target, body string) func() []byte {
		req, err := http.NewRequest("POST", "http://127.0.0.1:4599/", nil)
		if err != nil {
			b.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/x-amz-json-1.1")
		req.Header.Set("X-Amz-Target", target)
		req.ContentLength = int64(len(body))
		sum := sha256.Sum256([]byte(body))
		creds := aws.Credentials{AccessKeyID: key.id, SecretAccessKey: key.secret}
		if err := v4.NewSigner().SignHTTP(context.Background(), creds, req, hex.EncodeToString(sum[:]), "kms", "us-east-1", time.Now()); err != nil {
			b.Fatal(err)
		}
		req.Host, req.RemoteAddr = "127.0.0.1:4599", "127.0.0.1:50000"
		w := &memoryWriter{header: make(http.Header)}
		return func() []byte {
			clear(w.header)
			w.body = w.body[:0]
			req.Body = io.NopCloser(bytes.NewReader([]byte(body)))
			h.ServeHTTP(w, req)
			return w.body
		}
	}
}

type memoryWriter struct {
	header http.Header
	body   []byte
}

func (w *memoryWriter) Header() http.Header { return w.header }
func (w *memoryWriter) WriteHeader(int)     {}
func (w *memoryWriter) Write(b []byte) (int, error) {
	w.body = append(w.body, b...)
	return len(b), nil
}
