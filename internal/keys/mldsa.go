package keys

import (
	"bytes"
	"crypto/fips140"
	"crypto/rand"
	"crypto/x509/pkix"
	"encoding/asn1"

	"filippo.io/mldsa"
	"filippo.io/mldsa/mldsacrypto"
)

const (
	mldsaSigning  = "ML_DSA_SHAKE_256"
	mldsaSeedSize = mldsa.PrivateKeySize // 32 bytes, the ξ of FIPS 204
	mldsaMuSize   = 64
)

// mldsaSpecs are the parameter sets of ML-DSA (FIPS 204). Material is stored as the seed. AWS does not import keys of these specs. They
// open to a *mldsaKey. The implementation is not the Go FIPS 140-3 module's, which keeps its own to itself until Go 1.27, and cannot verify
// what is needed here even then: in FIPS 140-only mode everything here gives ErrFIPS.
var mldsaSpecs = []*Spec{
	mldsaSpec("ML_DSA_44", mldsa.MLDSA44(), &mldsaParams44, 17),
	mldsaSpec("ML_DSA_65", mldsa.MLDSA65(), &mldsaParams65, 18),
	mldsaSpec("ML_DSA_87", mldsa.MLDSA87(), &mldsaParams87, 19),
}

// mldsaSpec makes a spec; arc is the last number of the parameter set's object identifier (RFC 9881).
func mldsaSpec(name string, library mldsa.Parameters, params *mldsaParams, arc int) *Spec {
	oid := asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 3, arc}
	return &Spec{
		Name:              name,
		Usages:            []string{SignVerify},
		SigningAlgorithms: []string{mldsaSigning},
		NewMaterial: func() ([]byte, error) {
			if fips140.Enforced() {
				return nil, ErrFIPS
			}
			seed := make([]byte, mldsaSeedSize)
			rand.Read(seed)
			return seed, nil
		},
		Weight: 104 << 10,
		Open: func(material []byte) (any, error) {
			if fips140.Enforced() {
				return nil, ErrFIPS
			}
			private, err := mldsa.NewPrivateKey(library, material)
			if err != nil {
				return nil, ErrMaterial
			}
			public := private.PublicKey()
			return &mldsaKey{private: private, public: public, params: params, oid: oid, der: marshalLatticePublic(oid, public.Bytes())}, nil
		},
	}
}

// marshalLatticePublic encodes a public key of ML-DSA (RFC 9881) or ML-KEM (RFC 9935) as SubjectPublicKeyInfo: each parameter set has an
// object identifier of its own, without parameters.
func marshalLatticePublic(oid asn1.ObjectIdentifier, public []byte) []byte {
	return mustMarshal(publicKeyInfo{
		Algorithm: pkix.AlgorithmIdentifier{Algorithm: oid},
		PublicKey: asn1.BitString{Bytes: public, BitLength: 8 * len(public)},
	})
}

// marshalLattice encodes a private key of ML-DSA or ML-KEM as PKCS #8, with the seed as the private key: of the three forms that both RFCs
// have the first, [0] IMPLICIT OCTET STRING.
func marshalLattice(oid asn1.ObjectIdentifier, seed []byte) []byte {
	return mustMarshal(privateKeyInfo{
		Algorithm:  pkix.AlgorithmIdentifier{Algorithm: oid},
		PrivateKey: mustMarshal(asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 0, Bytes: seed}),
	})
}

// mldsaKey is an opened ML-DSA key: a PrivateKey and Signer.
type mldsaKey struct {
	redacted
	private *mldsa.PrivateKey
	public  *mldsa.PublicKey
	params  *mldsaParams
	oid     asn1.ObjectIdentifier
	der     []byte // SubjectPublicKeyInfo
}

// PublicKey implements [PublicKey].
func (k *mldsaKey) PublicKey() []byte { return bytes.Clone(k.der) }

// PKCS8 implements [PrivateKey].
func (k *mldsaKey) PKCS8() ([]byte, error) { return marshalLattice(k.oid, k.private.Bytes()), nil }

// Sign takes a message (Raw), signed with an empty context, or its representative μ (ExternalMu). Both give the same kind of signature:
// the verifier cannot tell them apart. Signing is hedged, FIPS 204's default: each signature has fresh randomness in it.
func (k *mldsaKey) Sign(algorithm string, t MessageType, message []byte) ([]byte, error) {
	if algorithm != mldsaSigning {
		return nil, errAlgorithm
	}
	switch t {
	case Raw:
		return k.private.Sign(nil, message, nil)
	case ExternalMu:
		if len(message) != mldsaMuSize {
			return nil, ErrDigestLength
		}
		return k.private.Sign(nil, message, mldsacrypto.MLDSAMu)
	}
	return nil, ErrMessageType
}

// Verify takes what Sign takes.
func (k *mldsaKey) Verify(algorithm string, t MessageType, message, signature []byte) error {
	if algorithm != mldsaSigning {
		return errAlgorithm
	}
	switch t {
	case Raw:
		if mldsa.Verify(k.public, message, signature, nil) != nil {
			return ErrSignature
		}
		return nil
	case ExternalMu:
		if len(message) != mldsaMuSize {
			return ErrDigestLength
		}
		if !k.params.verifyMu(k.public.Bytes(), message, signature) {
			return ErrSignature
		}
		return nil
	}
	return ErrMessageType
}
