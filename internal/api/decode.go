package api

import (
	"bytes"
	"errors"
	"io"
	"sync"

	"github.com/go-json-experiment/json/jsontext"
)

// Bounds of one decoded document. Its size is the transport's to bound.
const (
	maxDepth    = 32    // the top-level object counts as one
	maxElements = 16384 // of one list or map: far more than any operation takes
	maxPooled   = 16384 // bytes of scratch space a pooled decoder may keep
)

// decoder reads one JSON document. The first error sticks and ends every loop. The tokenizer refuses duplicate names
// and invalid UTF-8, lone surrogate escapes included, wherever they stand.
type decoder struct {
	dec     jsontext.Decoder
	src     bytes.Buffer
	name    []byte // of the current member; good until the next read
	scratch []byte
	ends    []int // of the strings in scratch
	err     error
}

// jsonDecodable is a structure that reads its own members.
type jsonDecodable interface{ decode(*decoder) }

var decoders = sync.Pool{New: func() any { return new(decoder) }}

// decodeJSON reads data, all of it, as one object into v.
func decodeJSON(data []byte, v jsonDecodable) error {
	if len(data) == 0 {
		return nil
	}
	d := decoders.Get().(*decoder)
	d.src = *bytes.NewBuffer(data)
	d.dec.Reset(&d.src)
	if d.open() {
		v.decode(d)
		d.end()
	}
	err := d.err
	d.release()
	return err
}

// release gives d back to the pool without any of the caller's bytes, which may be secret.
func (d *decoder) release() {
	d.src = bytes.Buffer{}
	d.dec.Reset(&d.src)
	if cap(d.scratch) > maxPooled {
		d.scratch = nil
	}
	clear(d.scratch[:cap(d.scratch)])
	d.name, d.scratch, d.ends, d.err = nil, d.scratch[:0], d.ends[:0], nil
	decoders.Put(d)
}

// end refuses anything but space after the document.
func (d *decoder) end() {
	if d.err != nil {
		return
	}
	if _, err := d.dec.ReadToken(); err != io.EOF {
		d.fail("Malformed JSON: data after the top-level value")
	}
}

// fail records a SerializationException unless there is an error already. Messages never hold input.
func (d *decoder) fail(message string) {
	if d.err == nil {
		d.err = &Error{Code: SerializationException, Message: message}
	}
}

// syntax records an error of the tokenizer, whose own words would repeat input.
func (d *decoder) syntax(err error) {
	if errors.Is(err, jsontext.ErrDuplicateName) {
		d.fail("Malformed JSON: duplicate member name")
		return
	}
	d.fail("Malformed JSON")
}

// open enters an object.
func (d *decoder) open() bool {
	if d.err != nil {
		return false
	}
	if k := d.dec.PeekKind(); k != '{' {
		d.mismatch(k, expectStructure)
		return false
	}
	return d.token()
}

// next reads the next member's name into d.name, or leaves the object and returns false.
func (d *decoder) next() bool {
	if d.err != nil {
		return false
	}
	if d.dec.PeekKind() == '}' {
		d.token()
		return false
	}
	raw, err := d.dec.ReadValue()
	if err != nil {
		d.syntax(err)
		return false
	}
	if bytes.IndexByte(raw, '\\') < 0 {
		d.name = raw[1 : len(raw)-1]
		return true
	}
	d.scratch, err = jsontext.AppendUnquote(d.scratch[:0], raw)
	if err != nil {
		d.syntax(err)
		return false
	}
	d.name = d.scratch
	return true
}

// openList enters a list; null is an absent list.
func (d *decoder) openList() bool {
	switch k := d.dec.PeekKind(); k {
	case '[':
		return d.token()
	case 'n':
		d.value()
	default:
		d.mismatch(k, expectList)
	}
	return false
}

// more tells whether the list has another element after n, or leaves the list.
func (d *decoder) more(n int) bool {
	if d.err != nil {
		return false
	}
	if d.dec.PeekKind() == ']' {
		d.token()
		return false
	}
	return d.within(n)
}

// within tells whether a list or map of n elements may have another one.
func (d *decoder) within(n int) bool {
	if n >= maxElements {
		d.fail("Too many elements")
	}
	return d.err == nil
}

// token reads one token.
func (d *decoder) token() bool {
	if _, err := d.dec.ReadToken(); err != nil {
		d.syntax(err)
		return false
	}
	return true
}

// value reads one scalar in its JSON form; the slice is good until the next read.
func (d *decoder) value() ([]byte, bool) {
	raw, err := d.dec.ReadValue()
	if err != nil {
		d.syntax(err)
		return nil, false
	}
	return raw, true
}

// skip passes over an unknown member's value, token by token so that its depth stays bounded.
func (d *decoder) skip() {
	floor := d.dec.StackDepth()
	for d.token() {
		depth := d.dec.StackDepth()
		if depth > maxDepth {
			d.fail("Malformed JSON: nested too deeply")
			return
		}
		if depth == floor {
			return
		}
	}
}
