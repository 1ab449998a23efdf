package keys

import (
	"crypto/rand"

	"github.com/decred/dcrd/dcrec/secp256k1/v4"
	"github.com/decred/dcrd/dcrec/secp256k1/v4/ecdsa"
)

// The library multiplies points and inverts scalars in variable time, its own signing included, and a nonce's time leaks the
// key over many signatures (Minerva, CHES 2020). So what is secret never goes into those two functions as it is, but split or
// multiplied by a random value. Adding and multiplying scalars takes constant time in the library.

// randomScalar returns a random scalar, never 0.
func randomScalar() secp256k1.ModNScalar {
	for {
		var b [koblitzSize]byte
		rand.Read(b[:])
		var s secp256k1.ModNScalar
		if overflow := s.SetBytes(&b); overflow == 0 && !s.IsZero() {
			return s
		}
	}
}

// blindBaseMult returns k times the base point, in affine coordinates, as (k-b) times it plus b times it.
func blindBaseMult(k *secp256k1.ModNScalar) secp256k1.JacobianPoint {
	b := randomScalar()
	var rest secp256k1.ModNScalar
	rest.NegateVal(&b).Add(k)
	var p1, p2, sum secp256k1.JacobianPoint
	secp256k1.ScalarBaseMultNonConst(&b, &p1)
	secp256k1.ScalarBaseMultNonConst(&rest, &p2)
	secp256k1.AddNonConst(&p1, &p2, &sum)
	sum.ToAffine()
	return sum
}

// blindInverse returns 1/k as b/(k*b).
func blindInverse(k *secp256k1.ModNScalar) secp256k1.ModNScalar {
	b := randomScalar()
	var inv secp256k1.ModNScalar
	inv.Mul2(k, &b).InverseNonConst().Mul(&b)
	return inv
}

// sign makes an ECDSA signature (FIPS 186-5, section 6.4.1) of a digest of 32 bytes. The nonce is RFC 6979's with random bytes as
// additional data (section 3.6): neither a weak random source nor a fault in a repeated computation gives the key away.
func (k *koblitzKey) sign(digest []byte) *ecdsa.Signature {
	d := k.d.Bytes()
	defer clear(d[:])
	var extra [32]byte
	rand.Read(extra[:])
	var e secp256k1.ModNScalar
	e.SetByteSlice(digest)
	for i := uint32(0); ; i++ {
		nonce := secp256k1.NonceRFC6979(d[:], digest, extra[:], nil, i)
		point := blindBaseMult(nonce)
		var r secp256k1.ModNScalar
		r.SetBytes(point.X.Bytes()) // modulo the order
		if r.IsZero() {
			continue
		}
		inv := blindInverse(nonce)
		var s secp256k1.ModNScalar
		s.Mul2(&k.d, &r).Add(&e).Mul(&inv)
		if s.IsZero() {
			continue
		}
		return ecdsa.NewSignature(&r, &s)
	}
}
