package keywrap

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/subtle"
	"encoding/binary"
	"fmt"
	"math"
)

// AES key wrap with padding (RFC 5649; KWP of NIST SP 800-38F). Lengths below are in bytes, and the names are the RFC's: A is the
// first semiblock of 8 bytes, R[1] to R[n] are the others.

// kwpIV is the constant half of the alternative initial value (RFC 5649, section 3).
const kwpIV = 0xA65959A6

const semiblock = 8

// kwpWrap wraps a plaintext of one byte or more. The result has the plaintext's length, rounded up to whole semiblocks, and one more.
func kwpWrap(kek, plaintext []byte) ([]byte, error) {
	if len(plaintext) == 0 || len(plaintext) > math.MaxInt32 {
		return nil, ErrMaterialLength
	}
	block, err := aes.NewCipher(kek)
	if err != nil {
		return nil, fmt.Errorf("keywrap: %w", err)
	}
	n := (len(plaintext) + semiblock - 1) / semiblock
	out := make([]byte, semiblock*(n+1))
	binary.BigEndian.PutUint32(out, kwpIV)
	binary.BigEndian.PutUint32(out[4:], uint32(len(plaintext)))
	copy(out[semiblock:], plaintext)
	if n == 1 {
		block.Encrypt(out, out)
		return out, nil
	}
	var b [aes.BlockSize]byte
	copy(b[:semiblock], out)
	for j := range 6 {
		for i := 1; i <= n; i++ {
			r := out[semiblock*i:][:semiblock]
			copy(b[semiblock:], r)
			block.Encrypt(b[:], b[:])
			xorCounter(b[:], n*j+i)
			copy(r, b[semiblock:])
		}
	}
	copy(out, b[:semiblock])
	return out, nil
}

// kwpUnwrap returns the plaintext, or ErrUnwrap. All checks are made together, at the end, without a branch on any one of them.
func kwpUnwrap(kek, wrapped []byte) ([]byte, error) {
	n := len(wrapped)/semiblock - 1
	if len(wrapped)%semiblock != 0 || n < 1 || len(wrapped) > math.MaxInt32 {
		return nil, ErrUnwrap
	}
	block, err := aes.NewCipher(kek)
	if err != nil {
		return nil, ErrUnwrap
	}
	out := make([]byte, len(wrapped))
	copy(out, wrapped)
	if n == 1 {
		block.Decrypt(out, out)
	} else {
		unwrapRounds(block, out, n)
	}

	prefix, length := binary.BigEndian.Uint32(out), binary.BigEndian.Uint32(out[4:])
	ok := subtle.ConstantTimeEq(int32(prefix^kwpIV), 0)
	// More than n-1 semiblocks, at most n. The comparisons are of 31 bits.
	ok &= subtle.ConstantTimeEq(int32(length>>31), 0)
	l := int(length & math.MaxInt32)
	ok &= subtle.ConstantTimeLessOrEq(semiblock*(n-1)+1, l)
	ok &= subtle.ConstantTimeLessOrEq(l, semiblock*n)
	plaintext := out[semiblock:]
	for i := semiblock * (n - 1); i < len(plaintext); i++ {
		ok &= subtle.ConstantTimeByteEq(plaintext[i], 0) | (1 ^ subtle.ConstantTimeLessOrEq(l, i))
	}
	if ok != 1 {
		clear(out)
		return nil, ErrUnwrap
	}
	return plaintext[:l:l], nil
}

// unwrapRounds undoes the rounds of kwpWrap for two semiblocks or more, leaving A in front.
func unwrapRounds(block cipher.Block, out []byte, n int) {
	var b [aes.BlockSize]byte
	copy(b[:semiblock], out)
	for j := 5; j >= 0; j-- {
		for i := n; i >= 1; i-- {
			r := out[semiblock*i:][:semiblock]
			xorCounter(b[:], n*j+i)
			copy(b[semiblock:], r)
			block.Decrypt(b[:], b[:])
			copy(r, b[semiblock:])
		}
	}
	copy(out, b[:semiblock])
}

// xorCounter adds the number of the step to A.
func xorCounter(a []byte, t int) {
	binary.BigEndian.PutUint64(a, binary.BigEndian.Uint64(a)^uint64(t))
}
