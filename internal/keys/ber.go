package keys

import (
	"bytes"
	"encoding/asn1"
	"errors"
	"slices"
)

// maxBERDepth bounds how deep elements of imported keys stand in each other. PKCS #8 with attributes needs about eight levels.
const maxBERDepth = 16

// takingBER makes of an importer of PKCS #8 in DER one that takes BER too, as AWS KMS does ("BER-encoded or DER-encoded",
// "Requirements for imported key material"). What is DER, the importer sees as it came.
func takingBER(fromDER func([]byte) ([]byte, error)) func([]byte) ([]byte, error) {
	return func(plaintext []byte) ([]byte, error) {
		secret, err := fromDER(plaintext)
		if !errors.Is(err, ErrMaterial) {
			return secret, err
		}
		der, ok := pkcs8ToDER(plaintext)
		if !ok {
			return nil, err
		}
		return fromDER(der)
	}
}

// pkcs8ToDER turns a private key into DER, within and without: the inside of its OCTET STRING is an encoding of its own.
func pkcs8ToDER(ber []byte) ([]byte, bool) {
	if len(ber) > maxPKCS8 {
		return nil, false
	}
	outer, ok := toDER(ber)
	if !ok {
		return nil, false
	}
	var info privateKeyInfo
	if _, err := asn1.Unmarshal(outer, &info); err != nil {
		return nil, false
	}
	if info.PrivateKey, ok = toDER(info.PrivateKey); !ok {
		return nil, false
	}
	return mustMarshal(info), true
}

// toDER turns one element in BER, and nothing behind it, into DER as far as lengths and strings in pieces go (X.690, sections 8.1.3,
// 8.6.4, 8.7.3 and 10): what else DER forbids no key contains, or its parser refuses. The result
// is less than twice as long: what grows is a BIT STRING in no pieces, two bytes that become three, and the lengths around many of them.
func toDER(ber []byte) ([]byte, bool) {
	r := &berReader{in: ber}
	der, ok := r.element(maxBERDepth)
	return der, ok && len(r.in) == 0
}

// berReader takes elements in BER off its input.
type berReader struct{ in []byte }

// Tags of strings in pieces, and the bit that makes them that.
const (
	constructedBit = 0x20
	bitPieces      = asn1.TagBitString | constructedBit
	octetPieces    = asn1.TagOctetString | constructedBit
)

// header takes tag and length off. A definite length is within the input; -1 is the indefinite one.
func (r *berReader) header() (tag byte, n int, ok bool) {
	if len(r.in) < 2 {
		return 0, 0, false
	}
	tag, n = r.in[0], int(r.in[1])
	r.in = r.in[2:]
	if tag == 0 || tag&0x1f == 0x1f { // an end of nothing; tags of several bytes, which no key has
		return 0, 0, false
	}
	switch {
	case n == 0x80:
		return tag, -1, tag&constructedBit != 0
	case n > 0x80:
		size := n & 0x7f
		if size > len(r.in) {
			return 0, 0, false
		}
		n = 0
		for _, b := range r.in[:size] {
			if n = n<<8 | int(b); n > len(r.in) {
				return 0, 0, false
			}
		}
		r.in = r.in[size:]
	}
	return tag, n, n <= len(r.in)
}

// element takes an element off and returns it in DER.
func (r *berReader) element(depth int) ([]byte, bool) {
	tag, n, ok := r.header()
	if !ok || depth == 0 {
		return nil, false
	}
	inner := r
	if n >= 0 {
		inner = &berReader{in: r.in[:n]}
		r.in = r.in[n:]
	}
	if tag&constructedBit == 0 {
		return derElement(tag, inner.in), true
	}
	var parts [][]byte
	for !inner.ended(n < 0) {
		part, ok := inner.element(depth - 1)
		if !ok {
			return nil, false
		}
		parts = append(parts, part)
	}
	if tag == bitPieces || tag == octetPieces {
		return joinPieces(tag&^constructedBit, parts)
	}
	return derElement(tag, slices.Concat(parts...)), true
}

// ended tells whether the content is at its end, and takes off what marks that of an indefinite one.
func (r *berReader) ended(indefinite bool) bool {
	if !indefinite {
		return len(r.in) == 0
	}
	rest, ok := bytes.CutPrefix(r.in, []byte{0, 0})
	if ok {
		r.in = rest
	}
	return ok
}

// joinPieces makes one string of its pieces, which are in DER. Each piece of a BIT STRING says how many bits of its last byte do not
// count: none, but in the last.
func joinPieces(tag byte, parts [][]byte) ([]byte, bool) {
	bits := tag == asn1.TagBitString
	var content []byte
	var unused byte
	for _, part := range parts {
		var v asn1.RawValue
		if _, err := asn1.Unmarshal(part, &v); err != nil || part[0] != tag || unused != 0 {
			return nil, false
		}
		if bits {
			if len(v.Bytes) == 0 {
				return nil, false
			}
			unused, v.Bytes = v.Bytes[0], v.Bytes[1:]
		}
		content = append(content, v.Bytes...)
	}
	if bits {
		content = append([]byte{unused}, content...)
	}
	return derElement(tag, content), true
}

// derElement puts the shortest header before a content.
func derElement(tag byte, content []byte) []byte {
	return mustMarshal(asn1.RawValue{Class: int(tag >> 6), Tag: int(tag & 0x1f), IsCompound: tag&constructedBit != 0, Bytes: content})
}
