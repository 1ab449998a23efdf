package keywrap

import (
	"crypto/ecdsa"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"

	"github.com/emmansun/gmsm/sm2"
)

// The encodings of SM2 keys (GB/T 35276), which crypto/x509 does not know: as those of other curves (RFC 5480, RFC 5915), with
// the curve's identifier 1.2.156.10197.1.301.

var (
	oidECPublicKey = asn1.ObjectIdentifier{1, 2, 840, 10045, 2, 1}
	// paramSM2 is the DER of the curve's identifier, the parameter of id-ecPublicKey.
	paramSM2 = []byte{0x06, 0x08, 0x2a, 0x81, 0x1c, 0xcf, 0x55, 0x01, 0x82, 0x2d}
)

const sm2ScalarSize = 32

// sm2SPKI is SubjectPublicKeyInfo; the bit string is an uncompressed point.
type sm2SPKI struct {
	Algorithm pkix.AlgorithmIdentifier
	Point     asn1.BitString
}

// sm2PKCS8 is PrivateKeyInfo (RFC 5208); the octet string is an sm2ECPrivateKey.
type sm2PKCS8 struct {
	Version    int
	Algorithm  pkix.AlgorithmIdentifier
	PrivateKey []byte
}

// sm2ECPrivateKey is ECPrivateKey (RFC 5915) without its optional parts, which follow from the rest.
type sm2ECPrivateKey struct {
	Version int
	Scalar  []byte
}

func sm2Algorithm() pkix.AlgorithmIdentifier {
	return pkix.AlgorithmIdentifier{Algorithm: oidECPublicKey, Parameters: asn1.RawValue{FullBytes: paramSM2}}
}

func isSM2(a pkix.AlgorithmIdentifier) bool {
	return a.Algorithm.Equal(oidECPublicKey) && string(a.Parameters.FullBytes) == string(paramSM2)
}

// unmarshal decodes DER with nothing behind it.
func unmarshal(der []byte, value any) error {
	rest, err := asn1.Unmarshal(der, value)
	if err != nil || len(rest) > 0 {
		return ErrKey // the decoder's words may quote the key
	}
	return nil
}

func marshalPublicSM2(public *ecdsa.PublicKey) ([]byte, error) {
	point, err := sm2.PublicKeyToECDH(public)
	if err != nil {
		return nil, fmt.Errorf("keywrap: %w", err)
	}
	b := point.Bytes()
	der, err := asn1.Marshal(sm2SPKI{sm2Algorithm(), asn1.BitString{Bytes: b, BitLength: 8 * len(b)}})
	if err != nil {
		return nil, fmt.Errorf("keywrap: %w", err)
	}
	return der, nil
}

func parsePublicSM2(der []byte) (*ecdsa.PublicKey, error) {
	var info sm2SPKI
	if err := unmarshal(der, &info); err != nil {
		return nil, err
	}
	if !isSM2(info.Algorithm) || info.Point.BitLength%8 != 0 {
		return nil, ErrKey
	}
	public, err := sm2.NewPublicKey(info.Point.Bytes) // checks that the point is on the curve
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKey, err)
	}
	return public, nil
}

func marshalPrivateSM2(private *sm2.PrivateKey) ([]byte, error) {
	scalar := private.D.FillBytes(make([]byte, sm2ScalarSize))
	defer clear(scalar)
	inner, err := asn1.Marshal(sm2ECPrivateKey{Version: 1, Scalar: scalar})
	if err != nil {
		return nil, fmt.Errorf("keywrap: %w", err)
	}
	der, err := asn1.Marshal(sm2PKCS8{Algorithm: sm2Algorithm(), PrivateKey: inner})
	if err != nil {
		return nil, fmt.Errorf("keywrap: %w", err)
	}
	return der, nil
}

func parsePrivateSM2(der []byte) (*sm2.PrivateKey, error) {
	var info sm2PKCS8
	if err := unmarshal(der, &info); err != nil {
		return nil, err
	}
	if info.Version != 0 || !isSM2(info.Algorithm) {
		return nil, ErrKey
	}
	var inner sm2ECPrivateKey
	if err := unmarshal(info.PrivateKey, &inner); err != nil {
		return nil, err
	}
	if inner.Version != 1 || len(inner.Scalar) != sm2ScalarSize {
		return nil, ErrKey
	}
	private, err := sm2.NewPrivateKey(inner.Scalar) // checks the range
	if err != nil {
		return nil, ErrKey
	}
	return private, nil
}
