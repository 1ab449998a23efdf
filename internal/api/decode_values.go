package api

import (
	"bytes"
	"encoding/base64"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// What a value of the wrong type should have been, in AWS's words.
const (
	expectString    = "a String"
	expectInteger   = "an Integer"
	expectBoolean   = "a Boolean"
	expectBlob      = "a Blob"
	expectTimestamp = "milliseconds since epoch"
	expectList      = "a list"
	expectStructure = "a structure or map"
)

// mismatch records that a value of kind k stands where want was expected.
func (d *decoder) mismatch(k jsontext.Kind, want string) {
	var got string
	switch k {
	case '{':
		d.fail("Start of structure or map found where not expected.")
		return
	case '[':
		d.fail("Start of list found where not expected")
		return
	case '"':
		got = "STRING_VALUE"
	case '0':
		got = "NUMBER_VALUE"
	case 't':
		got = "TRUE_VALUE"
	case 'f':
		got = "FALSE_VALUE"
	case 'n':
		got = "NULL_VALUE"
	default:
		d.fail("Malformed JSON")
		return
	}
	switch want {
	case expectList:
		d.fail("Expected list or null")
	case expectStructure:
		d.fail("Expected structure or map or null")
	default:
		d.fail(got + " can not be converted to " + want)
	}
}

// scalar reads a value of the given kind. It returns false for null, which is an absent member, and on errors.
func (d *decoder) scalar(kind jsontext.Kind, want string) ([]byte, bool) {
	switch k := d.dec.PeekKind(); k {
	case kind:
		return d.value()
	case 'n':
		d.value()
	default:
		d.mismatch(k, want)
	}
	return nil, false
}

// element reads a string that may not be null: an element of a list, or a value of a map.
func (d *decoder) element() ([]byte, bool) {
	if k := d.dec.PeekKind(); k != '"' {
		d.mismatch(k, expectString)
		return nil, false
	}
	return d.value()
}

// unquote returns the content of a JSON string, in place if it has no escapes, else in the scratch space.
func (d *decoder) unquote(raw []byte) []byte {
	if bytes.IndexByte(raw, '\\') < 0 {
		return raw[1 : len(raw)-1]
	}
	var err error
	if d.scratch, err = jsontext.AppendUnquote(d.scratch[:0], raw); err != nil {
		d.syntax(err)
	}
	return d.scratch
}

func decodeStr[T ~string](d *decoder, dst *Opt[T]) {
	if raw, ok := d.scalar('"', expectString); ok {
		*dst = Some(T(d.unquote(raw)))
	}
}

func decodeStrs[T ~string](d *decoder, dst *[]T) {
	if !d.openList() {
		return
	}
	list := []T{}
	for d.more(len(list)) {
		if raw, ok := d.element(); ok {
			list = append(list, T(d.unquote(raw)))
		}
	}
	*dst = list
}

func decodeBool(d *decoder, dst *Opt[bool]) {
	switch k := d.dec.PeekKind(); k {
	case 't', 'f':
		if _, ok := d.value(); ok {
			*dst = Some(k == 't')
		}
	case 'n':
		d.value()
	default:
		d.mismatch(k, expectBoolean)
	}
}

func decodeInt(d *decoder, dst *Opt[int64]) {
	raw, ok := d.scalar('0', expectInteger)
	if !ok {
		return
	}
	n, ok := parseInteger(raw)
	if !ok {
		d.fail("NUMBER_VALUE can not be converted to " + expectInteger)
		return
	}
	*dst = Some(n)
}

func decodeTime(d *decoder, dst *Opt[time.Time]) {
	raw, ok := d.scalar('0', expectTimestamp)
	if !ok {
		return
	}
	t, ok := parseEpoch(string(raw))
	if !ok {
		d.fail("NUMBER_VALUE can not be converted to " + expectTimestamp)
		return
	}
	*dst = Some(t)
}

func decodeBlob(d *decoder, dst *[]byte) {
	raw, ok := d.scalar('"', expectBlob)
	if !ok {
		return
	}
	blob, ok := parseBase64(d.unquote(raw))
	if !ok {
		d.fail("STRING_VALUE can not be converted to " + expectBlob)
		return
	}
	*dst = blob
}

// parseBase64 decodes RFC 4648 standard base64 with padding, in its one canonical form: no line breaks, no stray bits.
// The result is never nil if ok.
func parseBase64(src []byte) (blob []byte, ok bool) {
	if bytes.ContainsAny(src, "\r\n") { // which encoding/base64 would ignore
		return nil, false
	}
	blob = make([]byte, base64.StdEncoding.DecodedLen(len(src)))
	n, err := base64.StdEncoding.Strict().Decode(blob, src)
	return blob[:n], err == nil
}

// decodeStrMap gathers all names and values in the scratch space first: one string then backs them all.
func decodeStrMap(d *decoder, dst *map[string]string) {
	if d.dec.PeekKind() == 'n' {
		d.value()
		return
	}
	if !d.open() {
		return
	}
	text, ends := d.scratch[:0], d.ends[:0]
	for d.dec.PeekKind() != '}' && d.within(len(ends)/2) {
		name, ok := d.value()
		if !ok {
			return
		}
		text = appendUnquoted(text, name)
		ends = append(ends, len(text))
		value, ok := d.element()
		if !ok {
			return
		}
		text = appendUnquoted(text, value)
		ends = append(ends, len(text))
	}
	d.scratch, d.ends = text, ends
	if d.err != nil || !d.token() {
		return
	}
	all := string(text)
	m := make(map[string]string, len(ends)/2)
	start := 0
	for i := 0; i < len(ends); i += 2 {
		m[all[start:ends[i]]] = all[ends[i]:ends[i+1]]
		start = ends[i+1]
	}
	*dst = m
}

// appendUnquoted appends the content of a JSON string that the tokenizer has accepted.
func appendUnquoted(dst, raw []byte) []byte {
	if bytes.IndexByte(raw, '\\') < 0 {
		return append(dst, raw[1:len(raw)-1]...)
	}
	dst, _ = jsontext.AppendUnquote(dst, raw) // cannot fail: the tokenizer has checked it
	return dst
}

func decodeStruct[T any, P interface {
	*T
	jsonDecodable
}](d *decoder, dst **T) {
	if d.dec.PeekKind() == 'n' {
		d.value()
		return
	}
	if d.open() {
		v := new(T)
		P(v).decode(d)
		*dst = v
	}
}

func decodeStructs[T any, P interface {
	*T
	jsonDecodable
}](d *decoder, dst *[]T) {
	if !d.openList() {
		return
	}
	list := []T{}
	for d.more(len(list)) {
		if d.open() {
			var v T
			P(&v).decode(d)
			list = append(list, v)
		}
	}
	*dst = list
}
