package keys

import (
	"bytes"
	"crypto/subtle"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"io"
)

// maxPKCS8 bounds imported private keys, in bytes. A PKCS #8 key of RSA_4096 has about 2,400.
const maxPKCS8 = 4096

// maxSPKI bounds public keys of peers, in bytes. One on P-521 has 158.
const maxSPKI = 1024

var (
	oidRSA      = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 1} // rsaEncryption, RFC 8017
	oidECPublic = asn1.ObjectIdentifier{1, 2, 840, 10045, 2, 1}     // id-ecPublicKey, RFC 5480
)

// privateKeyInfo is PKCS #8 (RFC 5208). Attributes, and the public key that RFC 5958 adds, may follow; asn1 passes over them.
type privateKeyInfo struct {
	Version    int
	Algorithm  pkix.AlgorithmIdentifier
	PrivateKey []byte
}

// ecPrivateKey is RFC 5915's, the private key inside PKCS #8.
type ecPrivateKey struct {
	Version    int
	PrivateKey []byte
	Curve      asn1.ObjectIdentifier `asn1:"optional,explicit,tag:0"`
	PublicKey  asn1.BitString        `asn1:"optional,explicit,tag:1"`
}

// publicKeyInfo is SubjectPublicKeyInfo (RFC 5280).
type publicKeyInfo struct {
	Algorithm pkix.AlgorithmIdentifier
	PublicKey asn1.BitString
}

// mustMarshal encodes one of the types above, which cannot fail.
func mustMarshal(v any) []byte {
	der, err := asn1.Marshal(v)
	if err != nil {
		panic(err)
	}
	return der
}

// parsePKCS8 opens the outer layer of a private key in DER.
func parsePKCS8(der []byte) (pkix.AlgorithmIdentifier, []byte, bool) {
	var info privateKeyInfo
	if len(der) > maxPKCS8 {
		return info.Algorithm, nil, false
	}
	if rest, err := asn1.Unmarshal(der, &info); err != nil || len(rest) > 0 || info.Version < 0 || info.Version > 1 {
		return info.Algorithm, nil, false
	}
	return info.Algorithm, info.PrivateKey, true
}

// ecAlgorithm names a curve. Explicit parameters exist too (SEC 1, C.2); nothing here writes or takes them.
func ecAlgorithm(curve asn1.ObjectIdentifier) pkix.AlgorithmIdentifier {
	return pkix.AlgorithmIdentifier{Algorithm: oidECPublic, Parameters: asn1.RawValue{FullBytes: mustMarshal(curve)}}
}

// isCurve tells whether an algorithm is a key on this named curve.
func isCurve(a pkix.AlgorithmIdentifier, curve asn1.ObjectIdentifier) bool {
	return a.Algorithm.Equal(oidECPublic) && bytes.Equal(a.Parameters.FullBytes, mustMarshal(curve))
}

// marshalEC encodes a private key on a named curve: PKCS #8 with RFC 5915's ECPrivateKey inside, which has the public key and,
// since the curve stands outside already, no parameters. It is what OpenSSL writes. The scalar has the order's length; the
// point is uncompressed.
func marshalEC(curve asn1.ObjectIdentifier, scalar, point []byte) []byte {
	return mustMarshal(privateKeyInfo{
		Algorithm: ecAlgorithm(curve),
		PrivateKey: mustMarshal(ecPrivateKey{
			Version:    1,
			PrivateKey: scalar,
			PublicKey:  asn1.BitString{Bytes: point, BitLength: 8 * len(point)},
		}),
	})
}

// parseEC reads a private key on a named curve. The scalar comes back with size bytes, however many leading zeros it had; it is
// not checked. The public key is the point as it was encoded, nil if there was none.
func parseEC(curve asn1.ObjectIdentifier, size int, der []byte) (scalar, public []byte, ok bool) {
	algorithm, inner, ok := parsePKCS8(der)
	if !ok || !isCurve(algorithm, curve) {
		return nil, nil, false
	}
	var key ecPrivateKey
	if _, err := asn1.Unmarshal(inner, &key); err != nil || key.Version != 1 || !bytes.Equal(mustMarshal(key), inner) {
		return nil, nil, false
	}
	if key.Curve != nil && !key.Curve.Equal(curve) || key.PublicKey.BitLength%8 != 0 {
		return nil, nil, false
	}
	// RFC 5915 asks for the order's length exactly; older programs leave zeros out, or add one as for an INTEGER.
	secret := key.PrivateKey
	for len(secret) > size && secret[0] == 0 {
		secret = secret[1:]
	}
	if len(secret) == 0 || len(secret) > size {
		return nil, nil, false
	}
	scalar = make([]byte, size)
	copy(scalar[size-len(secret):], secret)
	return scalar, key.PublicKey.Bytes, true
}

// samePoint tells whether an encoded point is the uncompressed one. Encodings are those of SEC 1, 2.3.3, and the hybrid one of
// X9.62, which AWS KMS takes in imported keys too.
func samePoint(encoded, point []byte) bool {
	size := (len(point) - 1) / 2
	odd := point[len(point)-1] & 1
	if len(encoded) == 0 {
		return false
	}
	switch encoded[0] {
	case 2, 3:
		return encoded[0]&1 == odd && bytes.Equal(encoded[1:], point[1:1+size])
	case 6, 7:
		return encoded[0]&1 == odd && bytes.Equal(encoded[1:], point[1:])
	}
	return bytes.Equal(encoded, point)
}

// marshalECPublic encodes a point as SubjectPublicKeyInfo (RFC 5480).
func marshalECPublic(curve asn1.ObjectIdentifier, point []byte) []byte {
	return mustMarshal(publicKeyInfo{
		Algorithm: ecAlgorithm(curve),
		PublicKey: asn1.BitString{Bytes: point, BitLength: 8 * len(point)},
	})
}

// parseECPublic reads a SubjectPublicKeyInfo on a named curve, in DER and nothing else: what it takes, marshalECPublic writes.
// The point is not checked.
func parseECPublic(curve asn1.ObjectIdentifier, der []byte) (point []byte, ok bool) {
	var info publicKeyInfo
	if len(der) > maxSPKI {
		return nil, false
	}
	if _, err := asn1.Unmarshal(der, &info); err != nil || !bytes.Equal(marshalECPublic(curve, info.PublicKey.Bytes), der) {
		return nil, false
	}
	return info.PublicKey.Bytes, true
}

// equalSecret compares stored material in constant time, its length apart.
func equalSecret(a, b []byte) bool { return subtle.ConstantTimeCompare(a, b) == 1 }

// redacted, embedded in a key, keeps its fields out of every fmt verb.
type redacted struct{}

// Format implements [fmt.Formatter].
func (redacted) Format(f fmt.State, _ rune) { io.WriteString(f, "[key]") }
