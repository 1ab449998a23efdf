package keys

import (
	"crypto/sha3"
	"encoding/binary"
	"math/bits"
)

// mldsaPoly is a polynomial of the ring of ML-DSA (FIPS 204, section 2.3), or its NTT. Coefficients are below q.
type mldsaPoly [mldsaN]uint32

func mldsaAdd(a, b uint32) uint32 {
	if s := a + b; s < mldsaQ {
		return s
	}
	return a + b - mldsaQ
}

// mldsaSub takes a and b below q.
func mldsaSub(a, b uint32) uint32 {
	if a >= b {
		return a - b
	}
	return a + mldsaQ - b
}

func mldsaMul(a, b uint32) uint32 { return uint32(uint64(a) * uint64(b) % mldsaQ) }

// mldsaZetas are the powers of ζ = 1753 in the order the NTT takes them (FIPS 204, appendix B).
var mldsaZetas = func() (zetas [mldsaN]uint32) {
	power := uint32(1)
	for i := range mldsaN {
		zetas[bits.Reverse8(uint8(i))] = power
		power = mldsaMul(power, 1753)
	}
	return
}()

// ntt is algorithm 41.
func (w *mldsaPoly) ntt() {
	m := 0
	for size := 128; size >= 1; size /= 2 {
		for start := 0; start < mldsaN; start += 2 * size {
			m++
			zeta := mldsaZetas[m]
			for j := start; j < start+size; j++ {
				t := mldsaMul(zeta, w[j+size])
				w[j], w[j+size] = mldsaAdd(w[j], t), mldsaSub(w[j], t)
			}
		}
	}
}

// inverseNTT is algorithm 42.
func (w *mldsaPoly) inverseNTT() {
	const inverse = 8347681 // of 256, modulo q
	m := mldsaN
	for size := 1; size < mldsaN; size *= 2 {
		for start := 0; start < mldsaN; start += 2 * size {
			m--
			zeta := mldsaQ - mldsaZetas[m]
			for j := start; j < start+size; j++ {
				a, b := w[j], w[j+size]
				w[j], w[j+size] = mldsaAdd(a, b), mldsaMul(zeta, mldsaSub(a, b))
			}
		}
	}
	for i := range w {
		w[i] = mldsaMul(w[i], inverse)
	}
}

// mldsaUnpack is algorithm 18, SimpleBitUnpack: 256 integers of the given number of bits, the lowest bit first.
func mldsaUnpack(w *mldsaPoly, b []byte, size int) {
	var buffer uint64
	var have int
	for i := range w {
		for ; have < size; have += 8 {
			buffer |= uint64(b[0]) << have
			b = b[1:]
		}
		w[i] = uint32(buffer & (1<<size - 1))
		buffer >>= size
		have -= size
	}
}

// mldsaExpandA is one entry of the matrix A (algorithms 30 and 32): the coefficients are drawn from SHAKE128 of ρ, column and row.
func mldsaExpandA(rho []byte, column, row byte) (a mldsaPoly) {
	g := sha3.NewSHAKE128()
	g.Write(rho)
	g.Write([]byte{column, row})
	var block [168]byte // the rate of SHAKE128, a multiple of 3
	for n := 0; n < mldsaN; {
		g.Read(block[:])
		for b := block[:]; len(b) > 0 && n < mldsaN; b = b[3:] {
			if v := uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2]&0x7f)<<16; v < mldsaQ {
				a[n] = v
				n++
			}
		}
	}
	return a
}

// sampleInBall is algorithm 29: the challenge's polynomial, which has τ coefficients of 1 or -1 and zeros.
func (p *mldsaParams) sampleInBall(challenge []byte) (c mldsaPoly) {
	h := sha3.NewSHAKE256()
	h.Write(challenge)
	var b [8]byte
	h.Read(b[:])
	signs := binary.LittleEndian.Uint64(b[:])
	for i := mldsaN - p.tau; i < mldsaN; i++ {
		for h.Read(b[:1]); int(b[0]) > i; {
			h.Read(b[:1])
		}
		c[i] = c[b[0]]
		c[b[0]] = 1
		if signs&1 == 1 {
			c[b[0]] = mldsaQ - 1
		}
		signs >>= 1
	}
	return c
}
