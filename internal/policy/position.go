package policy

import (
	"bytes"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// Position is a place in a document: its line, and the column in characters, both from 1.
type Position struct {
	Line, Column int
}

// Place is where a statement stands in its document.
type Place struct {
	From, To int // the statement is document[From:To]

	// Start and End are what AWS reports ("Statement", AWS Identity and Access Management API Reference): where its reader stands before
	// and after the statement. So Start is behind the bracket of the list, behind the statement before, or, of a statement that is in no
	// list, behind its own brace; End is behind the last brace. (The answers that the AWS CLI Command Reference shows for
	// simulate-custom-policy and simulate-principal-policy.)
	Start, End Position
}

// Places returns where the statements of a document stand, in the order of the document. It reads JSON as Parse does, and of the language
// only what leads to the statements. Errors are *Error.
func Places(doc []byte) ([]Place, error) {
	if len(doc) > MaxInForceBytes {
		return nil, fail("Policy document is longer than %d bytes.", MaxInForceBytes)
	}
	p := parser{dec: jsontext.NewDecoder(bytes.NewReader(doc))}
	at := cursor{doc: doc, position: Position{Line: 1, Column: 1}}
	var places []Place
	err := p.object("A policy", func(name string) (err error) {
		if name != "Statement" {
			_, err = p.value()
			return err
		}
		places, err = p.places(&at)
		return err
	})
	return places, err
}

// value reads a whole value, and returns how long it is.
func (p *parser) value() (int, error) {
	v, err := p.dec.ReadValue()
	if err != nil {
		return 0, syntax("The document is not valid JSON (near byte %d).", p.dec.InputOffset())
	}
	return len(v), nil
}

// places reads the statements, or the one that is in no list.
func (p *parser) places(at *cursor) ([]Place, error) {
	if p.dec.PeekKind() != '[' {
		n, err := p.value()
		if err != nil {
			return nil, err
		}
		to := int(p.dec.InputOffset())
		return []Place{{From: to - n, To: to, Start: at.move(to - n + 1), End: at.move(to)}}, nil
	}
	if _, err := p.token(); err != nil {
		return nil, err
	}
	var places []Place
	for p.dec.PeekKind() != ']' {
		start := at.move(int(p.dec.InputOffset()))
		n, err := p.value()
		if err != nil {
			return nil, err
		}
		to := int(p.dec.InputOffset())
		places = append(places, Place{From: to - n, To: to, Start: start, End: at.move(to)})
	}
	_, err := p.token()
	return places, err
}

// cursor counts lines and columns up to an offset. Line feeds, carriage returns and pairs of them end lines.
type cursor struct {
	doc      []byte
	offset   int
	position Position
}

// move goes on to an offset and returns its position. Offsets never decrease.
func (c *cursor) move(to int) Position {
	for c.offset < to {
		r, size := utf8.DecodeRune(c.doc[c.offset:])
		c.offset += size
		pair := r == '\r' && c.offset < len(c.doc) && c.doc[c.offset] == '\n'
		switch {
		case r == '\n' || r == '\r' && !pair:
			c.position = Position{Line: c.position.Line + 1, Column: 1}
		case !pair: // of a pair, the second half ends the line
			c.position.Column++
		}
	}
	return c.position
}
