package main

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// program is all that is generated: the models in order, with Go names settled across them.
type program struct {
	models []*model
	owner  map[string]owner // by Go name
	emit   map[*shape]bool  // the shape's Go type and rule are emitted with this shape's model
}

// owner is the shape that a Go name stands for, with its definition spelled out.
type owner struct {
	shape *shape
	def   string
}

// plan merges extensions into what they extend, checks the models and names their types.
func plan(models []*model) (*program, error) {
	p := &program{owner: map[string]owner{}, emit: map[*shape]bool{}}
	for _, m := range models {
		if m.extends == "" {
			p.models = append(p.models, m)
			continue
		}
		i := slices.IndexFunc(p.models, func(base *model) bool { return strings.HasSuffix(base.file, "/"+m.extends) })
		if i < 0 {
			return nil, fmt.Errorf("%s extends %s, which does not come before it", m.file, m.extends)
		}
		if err := p.models[i].extend(m); err != nil {
			return nil, err
		}
	}
	for _, m := range p.models {
		if err := m.check(); err != nil {
			return nil, fmt.Errorf("%s: %w", m.file, err)
		}
		for _, op := range m.operations {
			m.markInput(op.input)
		}
		if err := m.checkInputs(); err != nil {
			return nil, fmt.Errorf("%s: %w", m.file, err)
		}
		for _, s := range m.shapes {
			if err := p.name(m, s); err != nil {
				return nil, err
			}
		}
	}
	return p, nil
}

func (m *model) extend(more *model) error {
	if len(more.operations) > 0 || len(more.errors) > 0 {
		return fmt.Errorf("%s: an extension can only add shapes and members", more.file)
	}
	m.file += " and " + more.file
	for _, s := range more.shapes {
		base, ok := m.byName[s.name]
		if !ok {
			m.shapes = append(m.shapes, s)
			m.byName[s.name] = s
			continue
		}
		if base.typ != "structure" || s.typ != "structure" {
			return fmt.Errorf("%s: %s: only structures can be extended", more.file, s.name)
		}
		base.members = append(base.members, s.members...)
		base.required = append(base.required, s.required...)
	}
	return nil
}

// markInput marks every shape that a request can hold: those are validated.
func (m *model) markInput(name string) {
	s := m.byName[name]
	s.isInput = true
	for _, mem := range s.members {
		m.markInput(mem.shape)
	}
	if s.typ == "list" {
		m.markInput(s.element)
	}
}

// checkInputs refuses what requests of the Query protocol cannot have: nothing decodes maps, and no rule holds for their entries.
func (m *model) checkInputs() error {
	for _, s := range m.shapes {
		if m.protocol == protocolQuery && s.typ == "map" && s.isInput {
			return fmt.Errorf("shape %s: requests with maps are not supported in %s", s.name, protocolQuery)
		}
	}
	return nil
}

// name settles the Go name of a structure, an enum or a rule. Equal definitions in two models share one type; different
// ones get the later model's service in front.
func (p *program) name(m *model, s *shape) error {
	def := m.protocol + " " + m.define(s)
	s.goName = upperFirst(s.name)
	known, taken := p.owner[s.goName]
	if taken && known.def != def {
		s.goName = upperFirst(m.service) + s.goName
		known, taken = p.owner[s.goName]
	}
	if taken && known.def != def {
		return fmt.Errorf("%s: shape %s clashes with another", m.file, s.name)
	}
	if taken {
		known.shape.isInput = known.shape.isInput || s.isInput
		return nil
	}
	p.owner[s.goName] = owner{s, def}
	p.emit[s] = true
	return nil
}

// define spells a shape out, shapes it refers to included.
func (m *model) define(s *shape) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s %s %q %q %q %t %q", s.typ, bound(s.min), bound(s.max), s.pattern, s.re2, s.values, s.sensitive, s.required)
	for _, mem := range s.members {
		fmt.Fprintf(&b, " %s:%s{%s}", mem.name, mem.shape, m.define(m.byName[mem.shape]))
	}
	for _, ref := range []string{s.element, s.key, s.value} {
		if ref != "" {
			fmt.Fprintf(&b, " %s{%s}", ref, m.define(m.byName[ref]))
		}
	}
	return b.String()
}

func bound(n *int64) string {
	if n == nil {
		return "-"
	}
	return fmt.Sprint(*n)
}

// check refuses models that the emitters or the runtime cannot express.
func (m *model) check() error {
	for _, s := range m.shapes {
		if err := m.checkShape(s); err != nil {
			return fmt.Errorf("shape %s: %w", s.name, err)
		}
	}
	for _, s := range m.shapes {
		if err := m.checkAcyclic(s, nil); err != nil {
			return err
		}
	}
	for _, op := range m.operations {
		for _, name := range []string{op.input, op.output} {
			if s := m.byName[name]; s == nil && name != "" || s != nil && s.typ != "structure" {
				return fmt.Errorf("operation %s: %q is not a structure", op.name, name)
			}
		}
		if op.input == "" {
			return fmt.Errorf("operation %s has no input", op.name)
		}
	}
	return nil
}

func (m *model) checkShape(s *shape) error {
	if s.re2 != "" {
		if _, err := regexp.Compile(s.re2); err != nil {
			return err
		}
	}
	if (s.re2 == "") != (s.pattern == "") {
		return fmt.Errorf("pattern and re2 belong together")
	}
	for _, name := range s.required {
		if !slices.ContainsFunc(s.members, func(mem member) bool { return mem.name == name }) {
			return fmt.Errorf("required member %s does not exist", name)
		}
	}
	refs := []string{}
	for _, mem := range s.members {
		refs = append(refs, mem.shape)
	}
	switch s.typ {
	case "list":
		refs = append(refs, s.element)
	case "map":
		refs = append(refs, s.key, s.value)
	}
	for _, ref := range refs {
		if m.byName[ref] == nil {
			return fmt.Errorf("shape %q does not exist", ref)
		}
	}
	return m.checkKind(s)
}

func (m *model) checkKind(s *shape) error {
	plain := func(name string) bool {
		e := m.byName[name]
		return e.typ == "string" && e.min == nil && e.max == nil && e.pattern == "" && len(e.values) == 0 && !e.sensitive
	}
	switch s.typ {
	case "list":
		if t := m.byName[s.element].typ; t != "string" && t != "structure" {
			return fmt.Errorf("lists of %s are not supported", t)
		}
	case "map":
		key, value := m.byName[s.key], m.byName[s.value]
		if m.protocol == protocolQuery { // in answers only, where constraints do not matter
			if key.typ != "string" || value.typ != "string" && value.typ != "integer" || key.sensitive || value.sensitive {
				return fmt.Errorf("only maps of strings and integers are supported in %s", protocolQuery)
			}
		} else if !plain(s.key) || !plain(s.value) {
			return fmt.Errorf("only maps of strings without constraints are supported")
		}
	case "string":
		if len(s.values) > 0 && (s.sensitive || s.pattern != "") {
			return fmt.Errorf("an enum with a pattern or a secret is not supported")
		}
	case "structure", "blob", "boolean", "integer", "timestamp":
	default:
		return fmt.Errorf("type %q is not supported", s.typ)
	}
	return nil
}

// checkAcyclic keeps decoding and validation from recursing without bound.
func (m *model) checkAcyclic(s *shape, above []string) error {
	if slices.Contains(above, s.name) {
		return fmt.Errorf("shape %s contains itself", s.name)
	}
	above = append(slices.Clone(above), s.name)
	for _, mem := range s.members {
		if err := m.checkAcyclic(m.byName[mem.shape], above); err != nil {
			return err
		}
	}
	if s.typ == "list" {
		return m.checkAcyclic(m.byName[s.element], above)
	}
	return nil
}

func upperFirst(s string) string { return strings.ToUpper(s[:1]) + s[1:] }

// lowerFirst names a member as it stands in validation messages.
func lowerFirst(s string) string { return strings.ToLower(s[:1]) + s[1:] }
