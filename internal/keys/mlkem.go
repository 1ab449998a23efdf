package keys

import (
	"bytes"
	"crypto/fips140"
	"crypto/mlkem"
	"crypto/rand"
	"encoding/asn1"

	"github.com/cloudflare/circl/kem/mlkem/mlkem512"
)

const (
	mlkemAlgorithm = "ML_KEM"
	mlkemSeedSize  = mlkem.SeedSize // 64 bytes, d || z of FIPS 203
)

// mlkemSpecs are the parameter sets of ML-KEM (FIPS 203). Material is stored as the seed. AWS does not import keys of these specs. They
// open to a *mlkemKey. ML_KEM_512 is not in the Go FIPS 140-3 module: in FIPS 140-only mode it gives ErrFIPS.
var mlkemSpecs = []*Spec{
	mlkemSpec("ML_KEM_512", openMLKEM512, false, 1, mlkem512.CiphertextSize),
	mlkemSpec("ML_KEM_768", openMLKEM768, true, 2, mlkem.CiphertextSize768),
	mlkemSpec("ML_KEM_1024", openMLKEM1024, true, 3, mlkem.CiphertextSize1024),
}

// mlkemKEM is a key pair as the implementations give it. All of them decapsulate in constant time and reject implicitly.
type mlkemKEM struct {
	public      []byte // encapsulation key, as in FIPS 203
	encapsulate func() (secret, ciphertext []byte, err error)
	decapsulate func(ciphertext []byte) ([]byte, error) // of the right length
}

// mlkemSpec makes a spec; module tells whether the Go FIPS 140-3 module has it, arc is the last number of the parameter set's object
// identifier (RFC 9935).
func mlkemSpec(name string, open func(seed []byte) (*mlkemKEM, error), module bool, arc, ciphertextSize int) *Spec {
	oid := asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 4, arc}
	return &Spec{
		Name:                    name,
		Usages:                  []string{Encapsulate},
		EncapsulationAlgorithms: []string{mlkemAlgorithm},
		NewMaterial: func() ([]byte, error) {
			if !module && fips140.Enforced() {
				return nil, ErrFIPS
			}
			seed := make([]byte, mlkemSeedSize)
			rand.Read(seed)
			return seed, nil
		},
		Weight: 28 << 10,
		Open: func(material []byte) (any, error) {
			if !module && fips140.Enforced() {
				return nil, ErrFIPS
			}
			if len(material) != mlkemSeedSize {
				return nil, ErrMaterial
			}
			seed := bytes.Clone(material)
			kem, err := open(seed)
			if err != nil {
				return nil, ErrMaterial
			}
			return &mlkemKey{kem: kem, seed: seed, oid: oid, der: marshalLatticePublic(oid, kem.public), ciphertextSize: ciphertextSize}, nil
		},
	}
}

// mlkemKey is an opened ML-KEM key: a PrivateKey and Encapsulator.
type mlkemKey struct {
	redacted
	kem            *mlkemKEM
	seed           []byte
	oid            asn1.ObjectIdentifier
	der            []byte // SubjectPublicKeyInfo
	ciphertextSize int    // in bytes
}

// PublicKey implements [PublicKey].
func (k *mlkemKey) PublicKey() []byte { return bytes.Clone(k.der) }

// PKCS8 implements [PrivateKey], in the seed form that AWS documents for data key pairs; it has 86 bytes for every spec.
func (k *mlkemKey) PKCS8() ([]byte, error) { return marshalLattice(k.oid, k.seed), nil }

// Encapsulate draws a secret of 32 bytes and gives it with the ciphertext it travels in.
func (k *mlkemKey) Encapsulate(algorithm string) (secret, ciphertext []byte, err error) {
	if algorithm != mlkemAlgorithm {
		return nil, nil, errAlgorithm
	}
	return k.kem.encapsulate()
}

// Decapsulate gives a secret of 32 bytes for every ciphertext of the right length; one that is not of this key gives a pseudorandom
// one, the same each time.
func (k *mlkemKey) Decapsulate(algorithm string, ciphertext []byte) ([]byte, error) {
	if algorithm != mlkemAlgorithm {
		return nil, errAlgorithm
	}
	if len(ciphertext) != k.ciphertextSize {
		return nil, ErrCiphertext
	}
	return k.kem.decapsulate(ciphertext)
}

func openMLKEM768(seed []byte) (*mlkemKEM, error) {
	d, err := mlkem.NewDecapsulationKey768(seed)
	if err != nil {
		return nil, err
	}
	e := d.EncapsulationKey()
	return &mlkemKEM{
		public: e.Bytes(),
		encapsulate: func() (secret, ciphertext []byte, err error) {
			secret, ciphertext = e.Encapsulate()
			return
		},
		decapsulate: d.Decapsulate,
	}, nil
}

func openMLKEM1024(seed []byte) (*mlkemKEM, error) {
	d, err := mlkem.NewDecapsulationKey1024(seed)
	if err != nil {
		return nil, err
	}
	e := d.EncapsulationKey()
	return &mlkemKEM{
		public: e.Bytes(),
		encapsulate: func() (secret, ciphertext []byte, err error) {
			secret, ciphertext = e.Encapsulate()
			return
		},
		decapsulate: d.Decapsulate,
	}, nil
}

// openMLKEM512 uses a library of its own: the standard library leaves the smallest parameter set out.
func openMLKEM512(seed []byte) (*mlkemKEM, error) {
	e, d := mlkem512.NewKeyFromSeed(seed)
	public, err := e.MarshalBinary()
	if err != nil {
		return nil, err
	}
	return &mlkemKEM{
		public: public,
		encapsulate: func() (secret, ciphertext []byte, err error) {
			secret, ciphertext = make([]byte, mlkem512.SharedKeySize), make([]byte, mlkem512.CiphertextSize)
			e.EncapsulateTo(ciphertext, secret, nil) // nil: the system's random numbers
			return secret, ciphertext, nil
		},
		decapsulate: func(ciphertext []byte) ([]byte, error) {
			secret := make([]byte, mlkem512.SharedKeySize)
			d.DecapsulateTo(secret, ciphertext)
			return secret, nil
		},
	}, nil
}
