package cms

import (
	"bytes"
	"encoding/binary"
	"slices"
)

// element encodes an element of definite length, in DER if its parts are.
func element(tag byte, parts ...[]byte) []byte {
	content := slices.Concat(parts...)
	out := []byte{tag}
	switch n := len(content); {
	case n < 0x80:
		out = append(out, byte(n))
	case n < 0x100:
		out = append(out, 0x81, byte(n))
	default: // no message comes near the 64 KiB that this can say
		out = binary.BigEndian.AppendUint16(append(out, 0x82), uint16(n))
	}
	return append(out, content...)
}

// endOfContents closes an element of indefinite length.
var endOfContents = []byte{0, 0}

// indefinite encodes a constructed element of indefinite length (X.690, section 8.1.3.6).
func indefinite(tag byte, parts ...[]byte) []byte {
	return slices.Concat([]byte{tag, 0x80}, slices.Concat(parts...), endOfContents)
}

// reader takes BER apart in the order the caller expects it. It never looks deeper than the caller's own calls, so nesting costs
// nothing. After something unexpected, failed is set, and every call does nothing.
type reader struct {
	in     []byte
	failed bool
}

func (r *reader) fail() { r.in, r.failed = nil, true }

// next tells whether the next element has this tag.
func (r *reader) next(tag byte) bool { return len(r.in) > 0 && r.in[0] == tag }

// header takes tag and length off. n is meaningful for a definite length only, and then within the input.
func (r *reader) header(tag byte) (n int, definite bool) {
	if !r.next(tag) || len(r.in) < 2 {
		r.fail()
		return 0, true
	}
	first := r.in[1]
	r.in = r.in[2:]
	switch {
	case first == 0x80:
		return 0, false
	case first < 0x80:
		n = int(first)
	default:
		// BER lets lengths be longer than need be. Two bytes say all that a message can hold.
		size := int(first & 0x7f)
		if size > 2 || size > len(r.in) {
			r.fail()
			return 0, true
		}
		for _, b := range r.in[:size] {
			n = n<<8 | int(b)
		}
		r.in = r.in[size:]
	}
	if n > len(r.in) {
		r.fail()
		return 0, true
	}
	return n, true
}

// primitive takes an element of definite length and returns its content.
func (r *reader) primitive(tag byte) []byte {
	n, definite := r.header(tag)
	if !definite {
		r.fail()
	}
	if r.failed {
		return nil
	}
	content := r.in[:n]
	r.in = r.in[n:]
	return content
}

// constructed takes an element of definite or indefinite length; f has to take all that is in it.
func (r *reader) constructed(tag byte, f func(*reader)) {
	n, definite := r.header(tag)
	if r.failed {
		return
	}
	if definite {
		inner := &reader{in: r.in[:n]}
		f(inner)
		if inner.failed || len(inner.in) > 0 {
			r.fail()
			return
		}
		r.in = r.in[n:]
		return
	}
	f(r)
	r.exactly(endOfContents)
}

// exactly takes these bytes.
func (r *reader) exactly(b []byte) {
	rest, ok := bytes.CutPrefix(r.in, b)
	if !ok || r.failed {
		r.fail()
		return
	}
	r.in = rest
}
