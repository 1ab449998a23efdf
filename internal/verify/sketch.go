package verify

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"math/bits"
)

// hasher gives names numbers that nobody can know before: a name of its own for each run.
type hasher struct{ key [16]byte }

func newHasher() *hasher {
	h := new(hasher)
	rand.Read(h.key[:])
	return h
}

func (h *hasher) sum(name string) [32]byte {
	var buf [256]byte
	return sha256.Sum256(append(append(buf[:0], h.key[:]...), name...))
}

// short is enough of the sum to tell names apart.
func (h *hasher) short(name string) (out [16]byte) {
	sum := h.sum(name)
	copy(out[:], sum[:])
	return out
}

// sketchBuckets is how many parts a sketch has.
const sketchBuckets = 1 << 16

// sketch compares two lists of names with numbers, however long, in 1.5 MiB: each name adds its number, times a secret 128-bit number of the
// name's own, to one of 65,536 sums. What should be adds, what is subtracts. A sum is 0 if everything in it agrees; that it is 0 otherwise
// is as likely as guessing 128 bits. Which names are wrong in the others a second reading finds out.
type sketch struct {
	hash *hasher
	sums [sketchBuckets]struct{ hi, lo uint64 }
}

func (s *sketch) add(name string, n int64) {
	sum := s.hash.sum(name)
	hi, lo := binary.LittleEndian.Uint64(sum[8:]), binary.LittleEndian.Uint64(sum[:])
	magnitude := uint64(n)
	if n < 0 {
		magnitude = -magnitude
	}
	carry, low := bits.Mul64(lo, magnitude)
	high := hi*magnitude + carry
	b := &s.sums[bucketOf(sum)]
	if n < 0 {
		var borrow uint64
		b.lo, borrow = bits.Sub64(b.lo, low, 0)
		b.hi, _ = bits.Sub64(b.hi, high, borrow)
		return
	}
	var over uint64
	b.lo, over = bits.Add64(b.lo, low, 0)
	b.hi, _ = bits.Add64(b.hi, high, over)
}

func bucketOf(sum [32]byte) uint16 { return binary.LittleEndian.Uint16(sum[16:]) }

// bad returns which sums are not 0, in their order.
func (s *sketch) bad() []uint16 {
	var list []uint16
	for i := range s.sums {
		if s.sums[i].hi|s.sums[i].lo != 0 {
			list = append(list, uint16(i))
		}
	}
	return list
}
