package keys

import (
	"bytes"
	"crypto/sha3"
)

// This file verifies ML-DSA signatures of a given μ. Neither the library that signs nor the standard library from Go 1.27 on can do
// that: both keep it to themselves (https://go.dev/issue/80272). Verification has no secrets, so nothing here need be constant-time.
// Algorithm and section numbers are those of FIPS 204, and so are the names, as far as Go allows.

const (
	mldsaQ = 8380417
	mldsaN = 256
	mldsaD = 13 // bits dropped from t
)

// mldsaParams is a parameter set, of table 1.
type mldsaParams struct {
	k, l       int
	tau        int    // ±1s in the challenge
	lambda     int    // collision strength of the challenge, in bits
	gamma1Bits int    // γ1 is 2 to the power of this
	gamma2     uint32 // low-order rounding range
	beta       uint32 // τ·η
	omega      int    // most 1s in the hint
}

var (
	mldsaParams44 = mldsaParams{k: 4, l: 4, tau: 39, lambda: 128, gamma1Bits: 17, gamma2: (mldsaQ - 1) / 88, beta: 78, omega: 80}
	mldsaParams65 = mldsaParams{k: 6, l: 5, tau: 49, lambda: 192, gamma1Bits: 19, gamma2: (mldsaQ - 1) / 32, beta: 196, omega: 55}
	mldsaParams87 = mldsaParams{k: 8, l: 7, tau: 60, lambda: 256, gamma1Bits: 19, gamma2: (mldsaQ - 1) / 32, beta: 120, omega: 75}
)

// publicKeySize and signatureSize are in bytes (table 2).
func (p *mldsaParams) publicKeySize() int { return 32 + p.k*mldsaN*10/8 }
func (p *mldsaParams) signatureSize() int {
	return p.lambda/4 + p.l*mldsaN*(p.gamma1Bits+1)/8 + p.omega + p.k
}

// verifyMu tells whether signature is one of the message that mu, of 64 bytes, represents. It is algorithm 8, ML-DSA.Verify_internal,
// from line 8 on.
func (p *mldsaParams) verifyMu(public, mu, signature []byte) bool {
	if len(public) != p.publicKeySize() || len(mu) != mldsaMuSize || len(signature) != p.signatureSize() {
		return false
	}
	rho, t1 := public[:32], public[32:]
	challenge, rest := signature[:p.lambda/4], signature[p.lambda/4:]
	zBytes := mldsaN * (p.gamma1Bits + 1) / 8
	hint, ok := p.unpackHint(rest[p.l*zBytes:])
	if !ok {
		return false
	}
	z := make([]mldsaPoly, p.l)
	for i := range z {
		if !p.unpackZ(&z[i], rest[i*zBytes:(i+1)*zBytes]) {
			return false
		}
		z[i].ntt()
	}
	c := p.sampleInBall(challenge)
	c.ntt()

	h := sha3.NewSHAKE256()
	h.Write(mu)
	for i := range p.k {
		// w = A∘z - c∘(t1·2^d), one row at a time.
		var w, t mldsaPoly
		mldsaUnpack(&t, t1[i*320:(i+1)*320], 10)
		for j := range t {
			t[j] = t[j] << mldsaD // below q: t1 has ten bits
		}
		t.ntt()
		for j := range p.l {
			a := mldsaExpandA(rho, byte(j), byte(i))
			for n := range w {
				w[n] = mldsaAdd(w[n], mldsaMul(a[n], z[j][n]))
			}
		}
		for n := range w {
			w[n] = mldsaSub(w[n], mldsaMul(c[n], t[n]))
		}
		w.inverseNTT()
		for n := range w {
			w[n] = p.useHint(hint[i][n], w[n])
		}
		h.Write(p.packW1(&w))
	}
	again := make([]byte, len(challenge))
	h.Read(again)
	return bytes.Equal(challenge, again)
}

// unpackZ reads γ1 - z for each coefficient, and tells whether all are within γ1 - β. The coefficients it leaves are modulo q.
func (p *mldsaParams) unpackZ(z *mldsaPoly, b []byte) bool {
	gamma1 := uint32(1) << p.gamma1Bits
	mldsaUnpack(z, b, p.gamma1Bits+1)
	for i, v := range z {
		// v = γ1 - z, so |z| < γ1 - β is β < v < 2·γ1 - β.
		if v <= p.beta || v >= 2*gamma1-p.beta {
			return false
		}
		z[i] = mldsaSub(gamma1, v)
	}
	return true
}

// unpackHint is algorithm 21, HintBitUnpack. It takes no second encoding of a hint.
func (p *mldsaParams) unpackHint(y []byte) (hint [8][mldsaN]bool, ok bool) {
	index := 0
	for i := range p.k {
		end := int(y[p.omega+i])
		if end < index || end > p.omega {
			return hint, false
		}
		for first := index; index < end; index++ {
			if index > first && y[index-1] >= y[index] {
				return hint, false
			}
			hint[i][y[index]] = true
		}
	}
	for _, b := range y[index:p.omega] {
		if b != 0 {
			return hint, false
		}
	}
	return hint, true
}

// useHint is algorithm 40, UseHint, with algorithm 36, Decompose, in it.
func (p *mldsaParams) useHint(hint bool, r uint32) uint32 {
	m := (mldsaQ - 1) / (2 * p.gamma2)
	r1 := (r + p.gamma2 - 1) / (2 * p.gamma2) // rounds half down, so that r0 is in (-γ2, γ2]
	r0 := int32(r) - int32(r1*2*p.gamma2)
	if r1 == m { // r - r0 = q - 1
		r1, r0 = 0, r0-1
	}
	switch {
	case !hint:
		return r1
	case r0 > 0:
		return (r1 + 1) % m
	}
	return (r1 + m - 1) % m
}

// packW1 is algorithm 28, w1Encode, of one polynomial.
func (p *mldsaParams) packW1(w *mldsaPoly) []byte {
	bits := 4
	if p.gamma2 == (mldsaQ-1)/88 {
		bits = 6
	}
	out := make([]byte, 0, mldsaN*bits/8)
	var buffer uint32
	var have int
	for _, v := range w {
		buffer |= v << have
		for have += bits; have >= 8; have -= 8 {
			out = append(out, byte(buffer))
			buffer >>= 8
		}
	}
	return out
}
