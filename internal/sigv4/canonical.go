package sigv4

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strconv"
	"strings"
)

const (
	maxMethod     = 32
	maxPath       = 8 << 10
	maxHeaderName = 128
	maxCanonical  = 64 << 10 // also what a pooled buffer may hold
)

// scratch is the memory of one verification, reused by the next.
type scratch struct {
	claim    claim
	signed   []string   // names of the signed headers
	params   []param    // the decoded query
	encoded  []encParam // the encoded query, into arena
	arena    []byte
	buf      []byte // the canonical request, then the string to sign
	bodyHash [2 * sha256.Size]byte
	sum      [sha256.Size]byte
}

// reset drops everything that points into the request.
func (s *scratch) reset() {
	s.claim = claim{}
	clear(s.signed)
	clear(s.params)
	s.signed, s.params, s.encoded, s.arena, s.buf = s.signed[:0], s.params[:0], s.encoded[:0], s.arena[:0], s.buf[:0]
}

// encParam is one encoded query parameter, as offsets into the arena, which moves while it grows.
type encParam struct{ key, value, end int }

// canonicalize leaves the canonical request in s.buf. What it returns as an error could not be told apart from another request
// in canonical form, or is too large.
func (s *scratch) canonicalize(in *Input) error {
	if len(in.Method) > maxMethod || !isToken(in.Method) {
		return errInvalid("The request's method is not valid.")
	}
	if len(in.Path) > maxPath || in.Path != "" && in.Path[0] != '/' {
		return errInvalid("The request's path is not valid.")
	}
	b := append(s.buf[:0], in.Method...)
	b = append(b, '\n')
	b = appendPath(b, in.Path)
	b = append(b, '\n')
	b = s.appendQuery(b)
	b = append(b, '\n')
	b, err := s.appendHeaders(b, in)
	s.buf = b
	if err != nil {
		return err
	}
	b = append(b, '\n')
	b = append(b, s.claim.signedHeaders...)
	b = append(b, '\n')
	s.buf = append(b, s.bodyHash[:]...)
	return nil
}

// stringToSign replaces the canonical request in s.buf by the string to sign.
func (s *scratch) stringToSign() []byte {
	sum := sha256.Sum256(s.buf)
	b := append(s.buf[:0], algorithm+"\n"...)
	b = append(b, s.claim.stamp...)
	b = append(b, '\n')
	b = append(b, s.claim.scope...)
	b = append(b, '\n')
	s.buf = hex.AppendEncode(b, sum[:])
	return s.buf
}

// appendPath removes empty and dot segments and encodes what is left. The path is escaped already, so this is the second
// encoding. A path that ends in a dot segment gets no trailing slash: the AWS signers do it so, other than RFC 3986.
func appendPath(b []byte, path string) []byte {
	start := len(b)
	for rest := path; rest != ""; {
		var seg string
		seg, rest, _ = strings.Cut(rest, "/")
		switch seg {
		case "", ".":
		case "..":
			// Slashes in the output only separate, so the last one is where the last segment begins.
			for end := len(b); end > start; {
				end--
				if b[end] == '/' {
					b = b[:end]
					break
				}
			}
		default:
			b = appendEncoded(append(b, '/'), seg)
		}
	}
	if len(b) == start || strings.HasSuffix(path, "/") {
		b = append(b, '/')
	}
	return b
}

// appendQuery encodes the parameters, sorts them by encoded key, then encoded value, and leaves out the signature itself.
func (s *scratch) appendQuery(b []byte) []byte {
	for _, p := range s.params {
		if s.claim.presigned && p.key == paramSignature {
			continue
		}
		e := encParam{key: len(s.arena)}
		s.arena = appendEncoded(s.arena, p.key)
		e.value = len(s.arena)
		s.arena = appendEncoded(s.arena, p.value)
		e.end = len(s.arena)
		s.encoded = append(s.encoded, e)
	}
	arena := s.arena
	slices.SortFunc(s.encoded, func(x, y encParam) int {
		return cmp.Or(
			slices.Compare(arena[x.key:x.value], arena[y.key:y.value]),
			slices.Compare(arena[x.value:x.end], arena[y.value:y.end]))
	})
	for i, e := range s.encoded {
		if i > 0 {
			b = append(b, '&')
		}
		b = append(b, arena[e.key:e.value]...)
		b = append(b, '=')
		b = append(b, arena[e.value:e.end]...)
	}
	return b
}

// appendHeaders appends "name:value\n" for each signed header.
func (s *scratch) appendHeaders(b []byte, in *Input) ([]byte, error) {
	for _, name := range s.signed {
		b = append(b, name...)
		b = append(b, ':')
		ok := true
		switch values := headerValues(in, name); {
		case name == "host":
			b, ok = appendValue(b, in.Host)
			ok = ok && in.Host != ""
		case len(values) == 0 && name == "content-length":
			// Servers move it out of the header map. The body that it counts is signed anyway.
			b = strconv.AppendInt(b, int64(len(in.Body)), 10)
		case len(values) == 0:
			return b, errInvalid("A header named in SignedHeaders is not in the request.")
		default:
			for i, v := range values {
				if i > 0 {
					b = append(b, ',')
				}
				if b, ok = appendValue(b, v); !ok || len(b) > maxCanonical {
					break
				}
			}
		}
		b = append(b, '\n')
		if !ok {
			return b, errInvalid("A header named in SignedHeaders has no valid value.")
		}
		if len(b) > maxCanonical {
			return b, errInvalid("The signed headers are too large.")
		}
	}
	return b, nil
}

// headerValues looks a lower-case name up without allocating its canonical form.
func headerValues(in *Input, name string) []string {
	var buf [maxHeaderName]byte
	n := copy(buf[:], name)
	up := true
	for i, c := range buf[:n] {
		if up && 'a' <= c && c <= 'z' {
			buf[i] = c - ('a' - 'A')
		}
		up = c == '-'
	}
	return in.Header[string(buf[:n])]
}

// appendValue trims v and folds runs of spaces in it. It reports false if v holds a control character: with a line break one
// header could pass for two.
func appendValue(b []byte, v string) ([]byte, bool) {
	for v != "" && (v[0] == ' ' || v[0] == '\t') {
		v = v[1:]
	}
	for v != "" && (v[len(v)-1] == ' ' || v[len(v)-1] == '\t') {
		v = v[:len(v)-1]
	}
	if len(v) > maxCanonical {
		return append(b, v[:maxCanonical]...), true // enough for the caller to give up
	}
	from := 0 // what is to be appended yet
	for i := range len(v) {
		switch c := v[i]; {
		case c > ' ' && c != 0x7f, c == '\t':
		case c != ' ':
			return b, false
		case v[i-1] == ' ': // a value does not begin with a space
			b = append(b, v[from:i]...)
			from = i + 1
		}
	}
	return append(b, v[from:]...), true
}

// appendEncoded percent-encodes everything but the unreserved characters of RFC 3986.
func appendEncoded(b []byte, v string) []byte {
	const digits = "0123456789ABCDEF"
	for i := range len(v) {
		switch c := v[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_', c == '.', c == '~':
			b = append(b, c)
		default:
			b = append(b, '%', digits[c>>4], digits[c&15])
		}
	}
	return b
}

// isToken reports whether v is a token of RFC 9110, section 5.6.2: what methods and header names are.
func isToken(v string) bool {
	for i := range len(v) {
		if c := v[i]; !isLowerToken(c) && (c < 'A' || c > 'Z') {
			return false
		}
	}
	return v != ""
}

// isLowerToken reports whether c may be in a token that has no upper-case letters.
func isLowerToken(c byte) bool {
	switch {
	case 'a' <= c && c <= 'z', c == '-', '0' <= c && c <= '9':
		return true
	}
	return strings.IndexByte("_.!#$%&'*+^`|~", c) >= 0
}
