package keys

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"hash"
	"sync"
)

// maxHMACMaterial is the longest material in bytes, AWS KMS's 1024 bits. The shortest has the length of the MAC (RFC 2104,
// section 3); what the service makes has that length.
const maxHMACMaterial = 128

// hmacSpecs are HMAC_224, HMAC_256, HMAC_384 and HMAC_512. They open to an *hmacKey.
var hmacSpecs = []*Spec{
	hmacSpec("224", sha256.Size224, sha256.New224),
	hmacSpec("256", sha256.Size, sha256.New),
	hmacSpec("384", sha512.Size384, sha512.New384),
	hmacSpec("512", sha512.Size, sha512.New),
}

func hmacSpec(bits string, size int, newHash func() hash.Hash) *Spec {
	algorithm := "HMAC_SHA_" + bits
	valid := func(material []byte) bool { return len(material) >= size && len(material) <= maxHMACMaterial }
	return &Spec{
		Name:          "HMAC_" + bits,
		Usages:        []string{GenerateMAC},
		MACAlgorithms: []string{algorithm},
		NewMaterial: func() ([]byte, error) {
			b := make([]byte, size)
			rand.Read(b)
			return b, nil
		},
		Import: func(plaintext []byte) ([]byte, error) {
			if !valid(plaintext) {
				return nil, ErrMaterial
			}
			return bytes.Clone(plaintext), nil
		},
		Open: func(material []byte) (any, error) {
			if !valid(material) {
				return nil, ErrMaterial
			}
			return newHMACKey(algorithm, newHash, material), nil
		},
	}
}

// hmacKey is an opened key. The pool keeps HMACs that have their key already.
type hmacKey struct {
	redacted
	algorithm string
	pool      sync.Pool // of hash.Hash
}

var _ MACer = (*hmacKey)(nil)

func newHMACKey(algorithm string, newHash func() hash.Hash, material []byte) *hmacKey {
	material = bytes.Clone(material)
	return &hmacKey{algorithm: algorithm, pool: sync.Pool{New: func() any { return hmac.New(newHash, material) }}}
}

// MAC implements [MACer] (RFC 2104, FIPS 198-1). Another algorithm than the spec's is a programming error: it panics.
func (k *hmacKey) MAC(algorithm string, message []byte) []byte {
	if algorithm != k.algorithm {
		panic(errAlgorithm)
	}
	h := k.pool.Get().(hash.Hash)
	h.Reset()
	h.Write(message)
	mac := h.Sum(nil)
	k.pool.Put(h)
	return mac
}

// VerifyMAC implements [MACer]. A MAC that is cut short is none.
func (k *hmacKey) VerifyMAC(algorithm string, message, mac []byte) error {
	if algorithm != k.algorithm {
		return errAlgorithm
	}
	if !hmac.Equal(k.MAC(algorithm, message), mac) {
		return ErrMAC
	}
	return nil
}
