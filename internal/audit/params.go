package audit

import (
	"slices"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"
)

// Params is the list of parameters or response elements a record shows: a JSON object under construction, in the order
// of the calls. The zero value is absent, which CloudTrail prints as null. There is no way to add a []byte, on purpose:
// plaintexts, ciphertexts and key material are bytes, and so cannot get in by mistake. Names must not repeat.
type Params struct {
	buf []byte // members without the braces
}

// IsZero reports whether nothing was added.
func (p *Params) IsZero() bool { return len(p.buf) == 0 }

func (p *Params) name(name string) {
	if len(p.buf) > 0 {
		p.buf = append(p.buf, ',')
	}
	p.buf = appendString(p.buf, name)
	p.buf = append(p.buf, ':')
}

// Str adds a string.
func (p *Params) Str(name, v string) {
	p.name(name)
	p.buf = appendString(p.buf, v)
}

// Int adds a number.
func (p *Params) Int(name string, v int64) {
	p.name(name)
	p.buf = strconv.AppendInt(p.buf, v, 10)
}

// Bool adds a boolean.
func (p *Params) Bool(name string, v bool) {
	p.name(name)
	p.buf = strconv.AppendBool(p.buf, v)
}

// StrMap adds an object of strings, sorted by name.
func (p *Params) StrMap(name string, m map[string]string) {
	p.name(name)
	p.buf = append(p.buf, '{')
	var few [8]string
	names := few[:0]
	for k := range m {
		names = append(names, k)
	}
	slices.Sort(names)
	for i, k := range names {
		if i > 0 {
			p.buf = append(p.buf, ',')
		}
		p.buf = appendString(p.buf, k)
		p.buf = append(p.buf, ':')
		p.buf = appendString(p.buf, m[k])
	}
	p.buf = append(p.buf, '}')
}

// StrList adds an array of strings.
func (p *Params) StrList(name string, list []string) {
	p.name(name)
	p.buf = append(p.buf, '[')
	for i, s := range list {
		if i > 0 {
			p.buf = append(p.buf, ',')
		}
		p.buf = appendString(p.buf, s)
	}
	p.buf = append(p.buf, ']')
}

// Obj adds an object, such as the keyMetadata of a response.
func (p *Params) Obj(name string, v *Params) {
	p.name(name)
	p.buf = v.appendObject(p.buf)
}

// ObjList adds an array of objects, such as tags.
func (p *Params) ObjList(name string, list []Params) {
	p.name(name)
	p.buf = append(p.buf, '[')
	for i := range list {
		if i > 0 {
			p.buf = append(p.buf, ',')
		}
		p.buf = list[i].appendObject(p.buf)
	}
	p.buf = append(p.buf, ']')
}

// Reset empties the list and keeps its memory for the next record.
func (p *Params) Reset() { p.buf = p.buf[:0] }

func (p *Params) appendObject(dst []byte) []byte {
	dst = append(dst, '{')
	dst = append(dst, p.buf...)
	return append(dst, '}')
}

// appendString appends s as a JSON string. Invalid UTF-8 becomes U+FFFD, which is all the error would report.
func appendString(dst []byte, s string) []byte {
	plain := true
	for i := range len(s) {
		if c := s[i]; c < ' ' || c >= 0x7f || c == '"' || c == '\\' {
			plain = false
			break
		}
	}
	if plain { // nearly always
		dst = append(dst, '"')
		dst = append(dst, s...)
		return append(dst, '"')
	}
	dst, _ = jsontext.AppendQuote(dst, s)
	return dst
}

// truncate shortens s to at most n bytes without cutting a character in two.
func truncate(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && s[n]&0xC0 == 0x80 {
		n--
	}
	return s[:n]
}
