// Package ekm lets keys of this server be the external keys of another KMS, AWS's above all: it is the Backend behind the AWS External
// Key Store Proxy API. An external key has the key ID of the key; when that is rotated, what the older materials encrypted still
// decrypts.
package ekm

import (
	"context"
	"errors"
	"slices"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/keys"
	"github.com/keyturn/keyturn/internal/kms"
	"github.com/keyturn/keyturn/internal/service"
	"github.com/keyturn/keyturn/internal/xks"
)

// Subject is whom a credential of the proxy stands for: the Subject of its sigv4.Credential.
type Subject struct {
	Caller *service.Caller
	Region string   // where the keys are
	Keys   []string // IDs of the keys that may be used; the others do not exist for it
}

// Backend implements xks.Backend.
type Backend struct {
	p                          *service.Pipeline
	metadata, encrypt, decrypt *service.Op
	version                    string
}

// New returns the Backend over a server's pipeline. version is what health says of the proxy.
func New(p *service.Pipeline, k *kms.KMS, version string) *Backend {
	ops := k.ExternalKeys()
	find := func(name string) *service.Op {
		return ops[slices.IndexFunc(ops, func(op *service.Op) bool { return op.Name == name })]
	}
	return &Backend{p: p, metadata: find("GetKeyMetadata"), encrypt: find("Encrypt"), decrypt: find("Decrypt"), version: version}
}

// Health implements xks.Backend.
func (b *Backend) Health(context.Context, xks.RequestMetadata) (xks.Health, error) {
	status := xks.HealthActive
	if b.p.Healthy() != nil {
		status = xks.HealthUnavailable
	}
	return xks.Health{
		FleetSize: 1, Vendor: "keyturn", Model: "keyturn " + b.version, KeyManager: "keyturn",
		FleetDetails: []xks.KeyManager{{ID: "1", Model: "keyturn " + b.version, HealthStatus: status}},
	}, nil
}

// KeyMetadata implements xks.Backend.
func (b *Backend) KeyMetadata(ctx context.Context, p xks.Principal, keyID string, m xks.RequestMetadata) (xks.KeyMetadata, error) {
	var none xks.KeyMetadata
	k, err := do[kms.HeldKey](ctx, b, b.metadata, p, keyID, m, func(q kms.ExternalKeyRequest) any { return &q })
	if err != nil {
		return none, err
	}
	r := xks.KeyMetadata{Spec: k.Spec, Usage: []string{}, Status: xks.KeyDisabled}
	if k.Encrypt {
		r.Spec, r.Usage = xks.KeySpecAES256, []string{xks.UsageEncrypt, xks.UsageDecrypt}
	}
	if k.Enabled {
		r.Status = xks.KeyEnabled
	}
	return r, nil
}

// Encrypt implements xks.Backend.
func (b *Backend) Encrypt(ctx context.Context, p xks.Principal, keyID string, plaintext, aad []byte, m xks.RequestMetadata) (*xks.Ciphertext, error) {
	c, err := do[kms.ExternalCiphertext](ctx, b, b.encrypt, p, keyID, m, func(q kms.ExternalKeyRequest) any {
		return &kms.ExternalEncryptRequest{ExternalKeyRequest: q, Plaintext: plaintext, AdditionalData: aad}
	})
	if err != nil {
		return nil, err
	}
	return &xks.Ciphertext{Data: c.Data, IV: c.IV, Tag: c.Tag, Metadata: c.Metadata}, nil
}

// Decrypt implements xks.Backend.
func (b *Backend) Decrypt(ctx context.Context, p xks.Principal, keyID string, c *xks.Ciphertext, aad []byte, m xks.RequestMetadata) ([]byte, error) {
	r, err := do[kms.ExternalPlaintext](ctx, b, b.decrypt, p, keyID, m, func(q kms.ExternalKeyRequest) any {
		return &kms.ExternalDecryptRequest{
			ExternalKeyRequest: q, AdditionalData: aad,
			Ciphertext: kms.ExternalCiphertext{Data: c.Data, IV: c.IV, Tag: c.Tag, Metadata: c.Metadata},
		}
	})
	if err != nil {
		return nil, err
	}
	return r.Plaintext, nil
}

// do runs an operation for the subject of a credential.
func do[R any](ctx context.Context, b *Backend, op *service.Op, p xks.Principal, keyID string, m xks.RequestMetadata, req func(kms.ExternalKeyRequest) any) (*R, error) {
	s, ok := p.Subject.(*Subject)
	if !ok {
		return nil, errors.New("ekm: a credential without a subject")
	}
	if !slices.Contains(s.Keys, keyID) {
		return nil, &xks.Error{Name: xks.KeyNotFoundException}
	}
	call := &service.Call{
		Caller: s.Caller, Region: s.Region, RequestID: keys.NewKeyID().String(), SourceIP: "xks-proxy", UserAgent: "xks " + p.Region,
	}
	resp, err := b.p.DoLocal(ctx, op, call, req(kms.ExternalKeyRequest{
		KeyID: keyID, For: kms.ExternalUse{PrincipalARN: m.AWSPrincipalARN, KeyARN: m.KMSKeyARN, Operation: m.KMSOperation, RequestID: m.KMSRequestID},
	}))
	if err != nil {
		return nil, proxyError(err)
	}
	return resp.(*R), nil
}

// proxyError is an error of the KMS API as the proxy API has it. Its text stays here.
func proxyError(err error) error {
	e := (*api.Error)(nil)
	if !errors.As(err, &e) {
		return err
	}
	name, ok := names[e.Code]
	if !ok {
		return err
	}
	return &xks.Error{Name: name}
}

var names = map[api.ErrorCode]string{
	api.NotFoundException:             xks.KeyNotFoundException,
	api.DisabledException:             xks.InvalidStateException,
	api.KMSInvalidStateException:      xks.InvalidStateException,
	api.InvalidCiphertextException:    xks.InvalidCiphertextException,
	api.InvalidKeyUsageException:      xks.InvalidKeyUsageException,
	api.UnsupportedOperationException: xks.UnsupportedOperationException,
	api.AccessDeniedException:         xks.AccessDeniedException,
	api.DependencyTimeoutException:    xks.DependencyTimeoutException,
}
