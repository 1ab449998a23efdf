// Package keywrap is both ends of importing key material into a KMS key: the wrapping key pair whose public half
// GetParametersForImport gives out and whose private half ImportKeyMaterial unwraps with, and, for the command line, wrapping.
//
// The algorithms are those of the AWS KMS Developer Guide, "Select a wrapping algorithm": RSAES-OAEP (RFC 8017) of the material
// itself; RSA AES key wrap (PKCS #11, CKM_RSA_AES_KEY_WRAP), where RSAES-OAEP carries an AES key and AES-KWP (RFC 5649) the
// material; and SM2 encryption (GB/T 32918.4, ciphertext in the ASN.1 form of GM/T 0009).
package keywrap

import (
	"bytes"
	"crypto/fips140"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"

	"github.com/emmansun/gmsm/sm2"
)

var (
	// ErrAlgorithm: no wrapping algorithm has that name, or it is RSAES_PKCS1_V1_5, which AWS KMS does not take any more.
	ErrAlgorithm = errors.New("keywrap: unsupported wrapping algorithm")
	// ErrSpec: no wrapping key spec, or key spec, has that name.
	ErrSpec = errors.New("keywrap: unknown key spec")
	// ErrIncompatible: the wrapping algorithm, the wrapping key and the material do not go together.
	ErrIncompatible = errors.New("keywrap: wrapping algorithm and key spec do not go together")
	// ErrNotApproved: SHA-1 and SM2 are refused in FIPS 140-only mode (GODEBUG=fips140=only).
	ErrNotApproved = errors.New("keywrap: not allowed in FIPS 140-only mode")
	// ErrKey: a stored wrapping key, or a public key, is malformed or not of its spec.
	ErrKey = errors.New("keywrap: invalid wrapping key")
	// ErrMaterialLength: there is no key material, or more than the wrapping algorithm can take.
	ErrMaterialLength = errors.New("keywrap: key material has a length that cannot be wrapped")
	// ErrUnwrap is all that is told of wrapped material that does not unwrap, so that the answer is no padding oracle.
	ErrUnwrap = errors.New("keywrap: key material cannot be unwrapped")
)

// MaxWrapped is the longest wrapped material in bytes, as of the API's EncryptedKeyMaterial.
const MaxWrapped = 6144

// Key is a wrapping key pair. It is safe for concurrent use.
type Key struct {
	spec string
	rsa  *rsa.PrivateKey // nil for an SM2 key
	sm2  *sm2.PrivateKey // nil for an RSA key
	spki []byte
}

// rsaBits are the RSA wrapping key specs with the length of their moduli. The only other spec is "SM2".
var rsaBits = map[string]int{"RSA_2048": 2048, "RSA_3072": 3072, "RSA_4096": 4096}

const specSM2 = "SM2"

// New draws a key pair of a spec of the API's WrappingKeySpec. An RSA_4096 key takes the better part of a second to find, and
// sometimes several. The error is ErrSpec or ErrNotApproved.
func New(spec string) (*Key, error) {
	if spec == specSM2 {
		if fips140.Enforced() {
			return nil, fmt.Errorf("%w: %s", ErrNotApproved, spec)
		}
		private, err := sm2.GenerateKey(rand.Reader)
		if err != nil {
			return nil, fmt.Errorf("keywrap: drawing an SM2 key: %w", err)
		}
		return newSM2(private)
	}
	bits, ok := rsaBits[spec]
	if !ok {
		return nil, fmt.Errorf("%w: %q", ErrSpec, spec)
	}
	private, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		return nil, fmt.Errorf("keywrap: drawing an RSA key: %w", err)
	}
	return newRSA(spec, private)
}

// Parse reads what Marshal wrote of a key of this spec. The error is ErrSpec, ErrNotApproved or ErrKey.
func Parse(spec string, der []byte) (*Key, error) {
	if spec == specSM2 {
		if fips140.Enforced() {
			return nil, fmt.Errorf("%w: %s", ErrNotApproved, spec)
		}
		private, err := parsePrivateSM2(der)
		if err != nil {
			return nil, err
		}
		return newSM2(private)
	}
	bits, ok := rsaBits[spec]
	if !ok {
		return nil, fmt.Errorf("%w: %q", ErrSpec, spec)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, ErrKey // the parser's words may quote the key
	}
	private, ok := parsed.(*rsa.PrivateKey)
	if !ok || private.N.BitLen() != bits {
		return nil, ErrKey
	}
	// The parser overlooks what stands behind the key.
	if again, err := x509.MarshalPKCS8PrivateKey(private); err != nil || !bytes.Equal(again, der) {
		return nil, ErrKey
	}
	return newRSA(spec, private)
}

func newRSA(spec string, private *rsa.PrivateKey) (*Key, error) {
	spki, err := x509.MarshalPKIXPublicKey(&private.PublicKey)
	if err != nil {
		return nil, fmt.Errorf("keywrap: %w", err)
	}
	return &Key{spec: spec, rsa: private, spki: spki}, nil
}

func newSM2(private *sm2.PrivateKey) (*Key, error) {
	spki, err := marshalPublicSM2(&private.PublicKey)
	if err != nil {
		return nil, err
	}
	return &Key{spec: specSM2, sm2: private, spki: spki}, nil
}

// Marshal returns the private key as PKCS #8 (RFC 5208) in DER, at most 2400 bytes (RSA_4096).
func (k *Key) Marshal() ([]byte, error) {
	if k.sm2 != nil {
		return marshalPrivateSM2(k.sm2)
	}
	der, err := x509.MarshalPKCS8PrivateKey(k.rsa)
	if err != nil {
		return nil, fmt.Errorf("keywrap: %w", err)
	}
	return der, nil
}

// Spec returns the wrapping key spec.
func (k *Key) Spec() string { return k.spec }

// PublicKey returns the SubjectPublicKeyInfo (RFC 5280) in DER. The caller must not change it.
func (k *Key) PublicKey() []byte { return k.spki }

// String names the spec, so that no way of printing a key prints the private half.
func (k *Key) String() string { return "wrapping key " + k.spec }

// GoString is String, for %#v.
func (k *Key) GoString() string { return k.String() }
