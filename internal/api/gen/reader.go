package main

import (
	"fmt"

	"github.com/go-json-experiment/json/jsontext"
)

// reader reads JSON objects member by member, in their order: a model's order is the order of validation.
type reader struct{ dec *jsontext.Decoder }

// object calls member for each name of an object; member reads the value.
func (r reader) object(member func(name string) error) error {
	if err := r.expect('{'); err != nil {
		return err
	}
	for r.dec.PeekKind() != '}' {
		tok, err := r.dec.ReadToken()
		if err != nil {
			return err
		}
		if err := member(tok.String()); err != nil {
			return err
		}
	}
	return r.expect('}')
}

func (r reader) list(element func() error) error {
	if err := r.expect('['); err != nil {
		return err
	}
	for r.dec.PeekKind() != ']' {
		if err := element(); err != nil {
			return err
		}
	}
	return r.expect(']')
}

func (r reader) expect(kind jsontext.Kind) error {
	tok, err := r.dec.ReadToken()
	if err != nil {
		return err
	}
	if tok.Kind() != kind {
		return fmt.Errorf("at %s: found %v, expected %v", r.dec.StackPointer(), tok.Kind(), kind)
	}
	return nil
}

// text reads a string; null leaves dst empty.
func (r reader) text(dst *string) error {
	tok, err := r.dec.ReadToken()
	switch {
	case err != nil:
		return err
	case tok.Kind() == 'n':
		return nil
	case tok.Kind() != '"':
		return fmt.Errorf("at %s: not a string", r.dec.StackPointer())
	}
	*dst = tok.String()
	return nil
}

func (r reader) texts(dst *[]string) error {
	return r.list(func() error {
		var s string
		if err := r.text(&s); err != nil {
			return err
		}
		*dst = append(*dst, s)
		return nil
	})
}

func (r reader) integer(dst **int64) error {
	tok, err := r.dec.ReadToken()
	if err != nil {
		return err
	}
	if tok.Kind() != '0' {
		return fmt.Errorf("at %s: not a number", r.dec.StackPointer())
	}
	n, err := tok.Int()
	if err != nil {
		return err
	}
	*dst = &n
	return nil
}

func (r reader) boolean(dst *bool) error {
	tok, err := r.dec.ReadToken()
	if err != nil {
		return err
	}
	if k := tok.Kind(); k != 't' && k != 'f' {
		return fmt.Errorf("at %s: not a boolean", r.dec.StackPointer())
	}
	*dst = tok.Bool()
	return nil
}
