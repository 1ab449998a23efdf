package keys

import (
	"bytes"
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/asn1"
	"fmt"
)

// nistCurve is one of the NIST curves over prime fields (SP 800-186).
type nistCurve struct {
	name  string // of the key spec
	curve elliptic.Curve
	ecdh  ecdh.Curve
	oid   asn1.ObjectIdentifier // RFC 5480, section 2.1.1.1
	size  int                   // of a scalar and of a coordinate, in bytes
	// AWS KMS binds each curve to one hash.
	hash    crypto.Hash
	signing string
}

var nistCurves = []*nistCurve{
	{"ECC_NIST_P256", elliptic.P256(), ecdh.P256(), asn1.ObjectIdentifier{1, 2, 840, 10045, 3, 1, 7}, 32, crypto.SHA256, "ECDSA_SHA_256"},
	{"ECC_NIST_P384", elliptic.P384(), ecdh.P384(), asn1.ObjectIdentifier{1, 3, 132, 0, 34}, 48, crypto.SHA384, "ECDSA_SHA_384"},
	{"ECC_NIST_P521", elliptic.P521(), ecdh.P521(), asn1.ObjectIdentifier{1, 3, 132, 0, 35}, 66, crypto.SHA512, "ECDSA_SHA_512"},
}

// eccSpecs are ECC_NIST_P256, ECC_NIST_P384 and ECC_NIST_P521. They open to a *nistKey.
var eccSpecs = func() []*Spec {
	specs := make([]*Spec, len(nistCurves))
	for i, c := range nistCurves {
		specs[i] = &Spec{
			Name:                   c.name,
			Usages:                 []string{SignVerify, KeyAgreement},
			SigningAlgorithms:      []string{c.signing},
			KeyAgreementAlgorithms: []string{"ECDH"},
			NewMaterial:            c.newMaterial,
			Import:                 takingBER(c.importMaterial),
			Open:                   func(material []byte) (any, error) { return c.open(material) },
			Weight:                 1 << 10,
		}
	}
	return specs
}()

func (c *nistCurve) newMaterial() ([]byte, error) {
	priv, err := ecdsa.GenerateKey(c.curve, rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("keys: generating an elliptic curve key: %w", err)
	}
	return c.marshal(priv)
}

// importMaterial takes PKCS #8 in DER with the curve named. A public key inside may be in any encoding; it has to be the
// private key's.
func (c *nistCurve) importMaterial(plaintext []byte) ([]byte, error) {
	priv, err := c.parse(plaintext)
	if err != nil {
		return nil, err
	}
	return c.marshal(priv)
}

func (c *nistCurve) parse(der []byte) (*ecdsa.PrivateKey, error) {
	scalar, public, ok := parseEC(c.oid, c.size, der)
	if !ok {
		return nil, ErrMaterial
	}
	priv, err := ecdsa.ParseRawPrivateKey(c.curve, scalar) // refuses 0, and the order and above
	if err != nil {
		return nil, ErrMaterial
	}
	point, err := priv.PublicKey.Bytes()
	if err != nil || public != nil && !samePoint(public, point) {
		return nil, ErrMaterial
	}
	return priv, nil
}

func (c *nistCurve) marshal(priv *ecdsa.PrivateKey) ([]byte, error) {
	scalar, err := priv.Bytes()
	if err != nil {
		return nil, fmt.Errorf("keys: encoding an elliptic curve key: %w", err)
	}
	point, err := priv.PublicKey.Bytes()
	if err != nil {
		return nil, fmt.Errorf("keys: encoding an elliptic curve key: %w", err)
	}
	return marshalEC(c.oid, scalar, point), nil
}

func (c *nistCurve) open(material []byte) (*nistKey, error) {
	priv, err := c.parse(material)
	if err != nil {
		return nil, err
	}
	if again, err := c.marshal(priv); err != nil || !equalSecret(again, material) {
		return nil, ErrMaterial
	}
	k := &nistKey{priv: priv}
	if k.nistPublic, err = c.newPublic(&priv.PublicKey); err != nil {
		return nil, err
	}
	if k.agree, err = priv.ECDH(); err != nil {
		return nil, fmt.Errorf("keys: opening an elliptic curve key: %w", err)
	}
	return k, nil
}

// nistPublic is what can be done with the public key alone.
type nistPublic struct {
	c   *nistCurve
	pub *ecdsa.PublicKey
	der []byte // SubjectPublicKeyInfo
}

// nistKey is an opened key.
type nistKey struct {
	redacted
	nistPublic
	priv  *ecdsa.PrivateKey
	agree *ecdh.PrivateKey
}

var (
	_ PrivateKey = (*nistKey)(nil)
	_ Signer     = (*nistKey)(nil)
	_ Agreer     = (*nistKey)(nil)
)

func (c *nistCurve) newPublic(pub *ecdsa.PublicKey) (nistPublic, error) {
	point, err := pub.Bytes()
	if err != nil {
		return nistPublic{}, fmt.Errorf("keys: encoding an elliptic curve public key: %w", err)
	}
	return nistPublic{c, pub, marshalECPublic(c.oid, point)}, nil
}

// PublicKey implements [PublicKey].
func (k *nistPublic) PublicKey() []byte { return bytes.Clone(k.der) }

// PKCS8 implements [PrivateKey].
func (k *nistKey) PKCS8() ([]byte, error) { return k.c.marshal(k.priv) }

// Sign implements [Signer]. Signatures are in DER (RFC 3279, section 2.2.3).
func (k *nistKey) Sign(algorithm string, t MessageType, message []byte) ([]byte, error) {
	if algorithm != k.c.signing {
		return nil, errAlgorithm
	}
	digest, err := messageDigest(k.c.hash, t, message)
	if err != nil {
		return nil, err
	}
	sig, err := ecdsa.SignASN1(rand.Reader, k.priv, digest)
	if err != nil {
		return nil, fmt.Errorf("keys: ECDSA signature: %w", err)
	}
	return sig, nil
}

// Verify implements [Signer]. It takes strict DER.
func (k *nistPublic) Verify(algorithm string, t MessageType, message, signature []byte) error {
	if algorithm != k.c.signing {
		return errAlgorithm
	}
	digest, err := messageDigest(k.c.hash, t, message)
	if err != nil {
		return err
	}
	if !ecdsa.VerifyASN1(k.pub, digest, signature) {
		return ErrSignature
	}
	return nil
}

// SharedSecret implements [Agreer]: ECDH as in SP 800-56A, section 5.7.1.2, that is the x-coordinate with all its zeros. The
// peer's point may be compressed.
func (k *nistKey) SharedSecret(algorithm string, peer []byte) ([]byte, error) {
	if algorithm != "ECDH" {
		return nil, errAlgorithm
	}
	point, ok := parseECPublic(k.c.oid, peer)
	if !ok {
		return nil, ErrPeer
	}
	if len(point) == 1+k.c.size {
		x, y := elliptic.UnmarshalCompressed(k.c.curve, point)
		if x == nil {
			return nil, ErrPeer
		}
		point = make([]byte, 1+2*k.c.size)
		point[0] = 4
		x.FillBytes(point[1 : 1+k.c.size])
		y.FillBytes(point[1+k.c.size:])
	}
	pub, err := k.c.ecdh.NewPublicKey(point) // checks that it is on the curve
	if err != nil {
		return nil, ErrPeer
	}
	secret, err := k.agree.ECDH(pub)
	if err != nil {
		return nil, ErrPeer
	}
	return secret, nil
}
