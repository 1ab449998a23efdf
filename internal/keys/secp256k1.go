package keys

import (
	"bytes"
	"crypto"
	"crypto/fips140"
	"encoding/asn1"

	"github.com/decred/dcrd/dcrec/secp256k1/v4"
	"github.com/decred/dcrd/dcrec/secp256k1/v4/ecdsa"
)

const (
	koblitzSize    = 32
	koblitzSigning = "ECDSA_SHA_256"
)

var oidSecp256k1 = asn1.ObjectIdentifier{1, 3, 132, 0, 10} // SEC 2, A.2.1

// secp256k1Specs is ECC_SECG_P256K1, the Koblitz curve secp256k1 of SEC 2. It opens to a *koblitzKey. The curve is not in the
// standard library, and so not in the Go FIPS 140-3 module: in FIPS 140-only mode everything here gives ErrFIPS.
var secp256k1Specs = []*Spec{{
	Name:              "ECC_SECG_P256K1",
	Usages:            []string{SignVerify},
	SigningAlgorithms: []string{koblitzSigning},
	NewMaterial: func() ([]byte, error) {
		if fips140.Enforced() {
			return nil, ErrFIPS
		}
		d := randomScalar()
		return marshalKoblitz(&d), nil
	},
	Import: takingBER(func(plaintext []byte) ([]byte, error) {
		if fips140.Enforced() {
			return nil, ErrFIPS
		}
		d, _, err := parseKoblitz(plaintext)
		if err != nil {
			return nil, err
		}
		return marshalKoblitz(d), nil
	}),
	Open: func(material []byte) (any, error) {
		if fips140.Enforced() {
			return nil, ErrFIPS
		}
		return openKoblitz(material)
	},
}}

// koblitzPublic is what can be done with the public key alone.
type koblitzPublic struct {
	pub *secp256k1.PublicKey
	der []byte // SubjectPublicKeyInfo
}

// koblitzKey is an opened key.
type koblitzKey struct {
	redacted
	koblitzPublic
	d secp256k1.ModNScalar
}

var (
	_ PrivateKey = (*koblitzKey)(nil)
	_ Signer     = (*koblitzKey)(nil)
)

// parseKoblitz reads PKCS #8. A public key inside has to be the private key's, which comes back too.
func parseKoblitz(der []byte) (*secp256k1.ModNScalar, *secp256k1.PublicKey, error) {
	scalar, public, ok := parseEC(oidSecp256k1, koblitzSize, der)
	if !ok {
		return nil, nil, ErrMaterial
	}
	d := new(secp256k1.ModNScalar)
	if overflow := d.SetByteSlice(scalar); overflow || d.IsZero() {
		return nil, nil, ErrMaterial
	}
	pub := koblitzPoint(d)
	if public != nil && !samePoint(public, pub.SerializeUncompressed()) {
		return nil, nil, ErrMaterial
	}
	return d, pub, nil
}

func marshalKoblitz(d *secp256k1.ModNScalar) []byte {
	scalar := d.Bytes()
	return marshalEC(oidSecp256k1, scalar[:], koblitzPoint(d).SerializeUncompressed())
}

// koblitzPoint returns the public key of a private one.
func koblitzPoint(d *secp256k1.ModNScalar) *secp256k1.PublicKey {
	point := blindBaseMult(d)
	return secp256k1.NewPublicKey(&point.X, &point.Y)
}

func openKoblitz(material []byte) (*koblitzKey, error) {
	d, pub, err := parseKoblitz(material)
	if err != nil {
		return nil, err
	}
	scalar := d.Bytes()
	if again := marshalEC(oidSecp256k1, scalar[:], pub.SerializeUncompressed()); !equalSecret(again, material) {
		return nil, ErrMaterial
	}
	return &koblitzKey{koblitzPublic: newKoblitzPublic(pub), d: *d}, nil
}

func newKoblitzPublic(pub *secp256k1.PublicKey) koblitzPublic {
	return koblitzPublic{pub, marshalECPublic(oidSecp256k1, pub.SerializeUncompressed())}
}

// PublicKey implements [PublicKey].
func (k *koblitzPublic) PublicKey() []byte { return bytes.Clone(k.der) }

// PKCS8 implements [PrivateKey].
func (k *koblitzKey) PKCS8() ([]byte, error) {
	scalar := k.d.Bytes()
	return marshalEC(oidSecp256k1, scalar[:], k.pub.SerializeUncompressed()), nil
}

// Sign implements [Signer]. Signatures are in DER, and s is never above half the order, which is what cryptocurrencies ask for.
func (k *koblitzKey) Sign(algorithm string, t MessageType, message []byte) ([]byte, error) {
	if algorithm != koblitzSigning {
		return nil, errAlgorithm
	}
	digest, err := messageDigest(crypto.SHA256, t, message)
	if err != nil {
		return nil, err
	}
	return k.sign(digest).Serialize(), nil
}

// Verify implements [Signer]. It takes strict DER, and either of the two values of s that fit, as ECDSA (FIPS 186-5) has it.
func (k *koblitzPublic) Verify(algorithm string, t MessageType, message, signature []byte) error {
	if algorithm != koblitzSigning {
		return errAlgorithm
	}
	digest, err := messageDigest(crypto.SHA256, t, message)
	if err != nil {
		return err
	}
	sig, err := ecdsa.ParseDERSignature(signature)
	if err != nil || !sig.Verify(digest, k.pub) {
		return ErrSignature
	}
	return nil
}
