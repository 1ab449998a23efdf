package kms

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/audit"
	"github.com/keyturn/keyturn/internal/keys"
	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/service"
	"github.com/keyturn/keyturn/internal/xaes"
)

// What follows lets another KMS hold keys of its own under keys of this one, as its external keys: the operations of the AWS External
// Key Store Proxy API. They are no part of the KMS API, and only an adapter in this process can ask for them.

// ExternalKeyRequest asks for the description of a key that another KMS has, or is to have, as its external key.
type ExternalKeyRequest struct {
	KeyID string
	// For says what the other KMS wants it for. It is recorded, and proves nothing.
	For ExternalUse
}

// ExternalUse is what another KMS says of the request that led to its own.
type ExternalUse struct{ PrincipalARN, KeyARN, Operation, RequestID string }

// HeldKey describes a key as an external key.
type HeldKey struct {
	Spec    string // the key's spec
	Encrypt bool   // it is one that can be an external key
	Enabled bool
}

// ExternalEncryptRequest asks to encrypt what another KMS has encrypted already.
type ExternalEncryptRequest struct {
	ExternalKeyRequest
	Plaintext, AdditionalData []byte
}

// ExternalCiphertext is the result, in the parts that the proxy API has.
type ExternalCiphertext struct {
	Data     []byte // as long as the plaintext
	IV       []byte // 12 bytes
	Tag      []byte // 16 bytes
	Metadata []byte // 17 bytes, see externalHeader
}

// ExternalDecryptRequest asks to decrypt it.
type ExternalDecryptRequest struct {
	ExternalKeyRequest
	Ciphertext     ExternalCiphertext
	AdditionalData []byte
}

// ExternalPlaintext is what was encrypted.
type ExternalPlaintext struct{ Plaintext []byte }

// The metadata of an ExternalCiphertext, version 1: this byte, 4 bytes sequence number of the key material, big endian, and the first
// 12 of the 24 bytes of XAES-256-GCM's nonce. The other 12 are the IV.
const (
	externalV1       = 1
	externalHeader   = 5
	externalMetadata = externalHeader + 12
	externalTag      = 16
)

// errNoExternalKey: the key cannot be an external key.
var errNoExternalKey = api.Errorf(api.InvalidKeyUsageException, "only symmetric encryption keys whose material this service keeps can be external keys")

// ExternalKeys returns the operations.
func (k *KMS) ExternalKeys() []*service.Op {
	return []*service.Op{k.externalMetadata(), k.externalEncrypt(), k.externalDecrypt()}
}

func auditExternal(q *ExternalKeyRequest, p *audit.Params) {
	p.Str("keyId", q.KeyID)
	var m audit.Params
	m.Str("principalArn", q.For.PrincipalARN)
	m.Str("kmsKeyArn", q.For.KeyARN)
	m.Str("kmsOperation", q.For.Operation)
	m.Str("kmsRequestId", q.For.RequestID)
	p.Obj("externalKms", &m)
}

func (k *KMS) externalMetadata() *service.Op {
	return service.Def[ExternalKeyRequest, HeldKey]{
		Name: "GetKeyMetadata", Kind: service.Read,
		Actions: []string{"kms:DescribeKey"},
		Resolve: one(k, "kms:DescribeKey", idOrARN, func(q *ExternalKeyRequest) string { return q.KeyID }),
		Audit:   auditExternal,
		Plan: func(_ *service.Tx, _ *ExternalKeyRequest, targets []service.Target) (*HeldKey, error) {
			key := targets[0].Key
			return &HeldKey{Spec: key.Spec, Encrypt: externalKey(key), Enabled: enabled(key) == nil}, nil
		},
	}.Op("xks")
}

// externalKey tells whether the key can be another KMS's external key.
func externalKey(k *record.Key) bool {
	return rotatable(k) && k.KeyStore == "" && k.Manager == record.Customer
}

func (k *KMS) externalEncrypt() *service.Op {
	conds := conditions[ExternalEncryptRequest]{symmetricAlgorithm[ExternalEncryptRequest]()}
	return service.Def[ExternalEncryptRequest, ExternalCiphertext]{
		Name: "Encrypt", Kind: service.Crypto,
		Actions: []string{"kms:Encrypt"},
		Cond:    conds.Cond(), CondKeys: conds.Names(),
		Resolve: one(k, "kms:Encrypt", idOrARN, func(q *ExternalEncryptRequest) string { return q.KeyID }),
		Audit:   func(q *ExternalEncryptRequest, p *audit.Params) { auditExternal(&q.ExternalKeyRequest, p) },
		Plan: func(tx *service.Tx, q *ExternalEncryptRequest, targets []service.Target) (*ExternalCiphertext, error) {
			key := targets[0].Key
			if err := usableExternally(tx, key, "Encrypt"); err != nil {
				return nil, err
			}
			m, err := material(tx, key, key.Current)
			if err != nil {
				return nil, err
			}
			aead := m.AEAD()
			if aead == nil {
				return nil, errWrongMaterial(m.ID)
			}
			header := binary.BigEndian.AppendUint32([]byte{externalV1}, uint32(m.Seq))
			tx.Use(key, m.ID, service.Encrypting, len(q.Plaintext))
			sealed, err := aead.Seal(nil, q.Plaintext, externalData(header, key, q.AdditionalData))
			if err != nil {
				return nil, err
			}
			end := len(sealed) - externalTag
			return &ExternalCiphertext{
				Metadata: append(header, sealed[:12]...), IV: sealed[12:xaes.NonceSize], Data: sealed[xaes.NonceSize:end], Tag: sealed[end:],
			}, nil
		},
	}.Op("xks")
}

func (k *KMS) externalDecrypt() *service.Op {
	conds := conditions[ExternalDecryptRequest]{symmetricAlgorithm[ExternalDecryptRequest]()}
	return service.Def[ExternalDecryptRequest, ExternalPlaintext]{
		Name: "Decrypt", Kind: service.Crypto,
		Actions: []string{"kms:Decrypt"},
		Cond:    conds.Cond(), CondKeys: conds.Names(),
		Resolve: one(k, "kms:Decrypt", idOrARN, func(q *ExternalDecryptRequest) string { return q.KeyID }),
		Audit:   func(q *ExternalDecryptRequest, p *audit.Params) { auditExternal(&q.ExternalKeyRequest, p) },
		Plan: func(tx *service.Tx, q *ExternalDecryptRequest, targets []service.Target) (*ExternalPlaintext, error) {
			key, c := targets[0].Key, &q.Ciphertext
			if err := usableExternally(tx, key, "Decrypt"); err != nil {
				return nil, err
			}
			if len(c.Metadata) != externalMetadata || c.Metadata[0] != externalV1 || len(c.IV) != xaes.NonceSize-12 || len(c.Tag) != externalTag {
				return nil, api.New(api.InvalidCiphertextException)
			}
			m, err := materialBySeq(tx, key, binary.BigEndian.Uint32(c.Metadata[1:]))
			if err != nil {
				return nil, err
			}
			if m == nil || m.AEAD() == nil {
				return nil, api.New(api.InvalidCiphertextException)
			}
			tx.Use(key, m.ID, service.Decrypting, 0)
			sealed := make([]byte, 0, xaes.Overhead+len(c.Data))
			sealed = append(append(sealed, c.Metadata[externalHeader:]...), c.IV...)
			sealed = append(append(sealed, c.Data...), c.Tag...)
			plaintext, err := m.AEAD().Open(nil, sealed, externalData(c.Metadata[:externalHeader], key, q.AdditionalData))
			if errors.Is(err, xaes.ErrOpen) {
				return nil, api.New(api.InvalidCiphertextException)
			}
			return &ExternalPlaintext{Plaintext: plaintext}, err
		},
	}.Op("xks")
}

func usableExternally(tx *service.Tx, k *record.Key, operation string) error {
	if !externalKey(k) {
		return errNoExternalKey
	}
	return usable(tx, k, encryption(operation, symmetric))
}

// externalData is the additional data of an external ciphertext: never that of another one, which begins with its format version.
func externalData(header []byte, k *record.Key, data []byte) []byte {
	b := append([]byte("keyturn external key "), header...)
	for _, s := range []string{k.Account, k.ID} {
		b = binary.BigEndian.AppendUint32(b, uint32(len(s)))
		b = append(b, s...)
	}
	return append(b, data...)
}

// materialBySeq returns a key's material of a sequence number, nil if there is none.
func materialBySeq(tx *service.Tx, k *record.Key, seq uint32) (*record.Material, error) {
	owner := k.MaterialOwner()
	prefix := record.MaterialsPrefix(owner, k.ID) + fmt.Sprintf("%010d/", seq)
	entries, err := tx.Scan(prefix, "", 1)
	if err != nil || len(entries) == 0 {
		return nil, err
	}
	id := strings.TrimPrefix(entries[0].Key, prefix)
	if _, ok := keys.ParseMaterialID(id); !ok {
		return nil, errWrongMaterial(id)
	}
	return service.Lookup[*record.Material](tx, record.MaterialStoreKey(owner, k.ID, id))
}
