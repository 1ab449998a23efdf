package main

import (
	"bytes"
	"fmt"
	"os"

	"github.com/go-json-experiment/json/jsontext"
)

// model is one api/*.model.json. Slices keep the file's order.
type model struct {
	file         string // as the header of generated files names it
	service      string
	apiVersion   string
	protocol     string
	targetPrefix string
	xmlNamespace string
	extends      string // the file this one adds to; its shapes' members are appended there
	operations   []*operation
	shapes       []*shape
	byName       map[string]*shape
	errors       []errorShape
}

const protocolQuery = "AWS Query"

type operation struct {
	name, input, output string // output may be empty
	errors              []string
	crossAccount        bool
	permissions         []permission
	identifiers         []identifier
}

type permission struct{ action, in string }

type identifier struct {
	member string
	forms  []string
}

type errorShape struct {
	name   string
	status int64
}

type shape struct {
	name, typ          string
	members            []member // of a structure
	required           []string
	element            string // shape of a list's elements
	key, value         string // shapes of a map's entries
	min, max           *int64
	pattern, re2       string
	values             []string // of an enum
	sensitive, isInput bool
	goName             string
}

type member struct{ name, shape string }

// loadModel reads a model file and refuses what it does not know, so that no fact is dropped in silence.
func loadModel(path, label string) (*model, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	m := &model{file: label, byName: map[string]*shape{}}
	r := reader{jsontext.NewDecoder(bytes.NewReader(data))}
	if err := r.object(func(name string) error { return m.read(r, name) }); err != nil {
		return nil, fmt.Errorf("%s: %w", label, err)
	}
	for _, s := range m.shapes {
		m.byName[s.name] = s
	}
	return m, nil
}

func (m *model) read(r reader, name string) error {
	var ignored string
	switch name {
	case "service":
		return r.text(&m.service)
	case "apiVersion":
		return r.text(&m.apiVersion)
	case "protocol":
		return r.text(&m.protocol)
	case "targetPrefix":
		return r.text(&m.targetPrefix)
	case "xmlNamespace":
		return r.text(&m.xmlNamespace)
	case "extends":
		return r.text(&m.extends)
	case "signingName", "source", "note":
		return r.text(&ignored)
	case "operations":
		return r.object(func(name string) error {
			op := &operation{name: name}
			m.operations = append(m.operations, op)
			return r.object(func(field string) error { return op.read(r, field) })
		})
	case "shapes":
		return r.object(func(name string) error {
			s := &shape{name: name}
			m.shapes = append(m.shapes, s)
			return r.object(func(field string) error { return s.read(r, field) })
		})
	case "errors":
		return r.object(func(name string) error {
			e := errorShape{name: name}
			err := r.object(func(field string) error { return e.read(r, field) })
			m.errors = append(m.errors, e)
			return err
		})
	}
	return fmt.Errorf("unknown field %q", name)
}

func (op *operation) read(r reader, field string) error {
	switch field {
	case "input":
		return r.text(&op.input)
	case "output":
		return r.text(&op.output)
	case "errors":
		return r.texts(&op.errors)
	case "crossAccount":
		return r.boolean(&op.crossAccount)
	case "permissions":
		return r.list(func() error {
			var p permission
			err := r.object(func(field string) error {
				switch field {
				case "action":
					return r.text(&p.action)
				case "in":
					return r.text(&p.in)
				}
				return fmt.Errorf("unknown field %q of a permission", field)
			})
			op.permissions = append(op.permissions, p)
			return err
		})
	case "identifiers":
		return r.object(func(name string) error {
			id := identifier{member: name}
			err := r.texts(&id.forms)
			op.identifiers = append(op.identifiers, id)
			return err
		})
	}
	return fmt.Errorf("unknown field %q of operation %s", field, op.name)
}

func (e *errorShape) read(r reader, field string) error {
	switch field {
	case "status":
		var n *int64
		if err := r.integer(&n); err != nil {
			return err
		}
		e.status = *n
		return nil
	case "fault":
		var ignored string // the status says it too
		return r.text(&ignored)
	}
	return fmt.Errorf("unknown field %q of error %s", field, e.name)
}

func (s *shape) read(r reader, field string) error {
	switch field {
	case "type":
		return r.text(&s.typ)
	case "members":
		return r.object(func(name string) error {
			m := member{name: name}
			err := r.text(&m.shape)
			s.members = append(s.members, m)
			return err
		})
	case "required":
		return r.texts(&s.required)
	case "member":
		return r.text(&s.element)
	case "key":
		return r.text(&s.key)
	case "value":
		return r.text(&s.value)
	case "min":
		return r.integer(&s.min)
	case "max":
		return r.integer(&s.max)
	case "pattern":
		return r.text(&s.pattern)
	case "re2":
		return r.text(&s.re2)
	case "enum":
		return r.texts(&s.values)
	case "sensitive":
		return r.boolean(&s.sensitive)
	}
	return fmt.Errorf("unknown field %q of shape %s", field, s.name)
}
