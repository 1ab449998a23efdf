package main

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// goType returns the Go type of a structure member of the given shape.
func (m *model) goType(s *shape) string {
	switch s.typ {
	case "structure":
		return "*" + s.goName
	case "list":
		e := m.byName[s.element]
		if e.typ == "structure" || len(e.values) > 0 {
			return "[]" + e.goName
		}
		return "[]string"
	case "map":
		switch v := m.byName[s.value]; {
		case v.typ == "integer":
			return "map[string]int64"
		case len(v.values) > 0:
			return "map[string]" + v.goName
		}
		return "map[string]string"
	case "blob":
		return "[]byte"
	case "boolean":
		return "Opt[bool]"
	case "integer":
		return "Opt[int64]"
	case "timestamp":
		return "Opt[time.Time]"
	}
	if len(s.values) > 0 {
		return "Opt[" + s.goName + "]"
	}
	return "Opt[string]"
}

func (p *program) emitTypes(b *buffer, m *model) {
	for _, s := range m.shapes {
		switch {
		case !p.emit[s]:
		case len(s.values) > 0:
			emitEnum(b, s)
		case s.typ == "structure":
			b.f("\n// %s %s\n", s.goName, m.describe(s))
			b.f("type %s struct {\n", s.goName)
			for _, mem := range s.members {
				t := m.byName[mem.shape]
				b.f("%s %s%s\n", upperFirst(mem.name), m.goType(t), remark(s, mem, t))
			}
			b.f("}\n")
		}
	}
}

// describe says what a structure is for.
func (m *model) describe(s *shape) string {
	var in, out []string
	for _, op := range m.operations {
		if op.input == s.name {
			in = append(in, op.name)
		}
		if op.output == s.name {
			out = append(out, op.name)
		}
	}
	switch {
	case len(in) > 0:
		return "is the input of " + strings.Join(in, " and ") + "."
	case len(out) > 0:
		return "is the output of " + strings.Join(out, " and ") + "."
	}
	return "is a structure of the " + m.service + " model."
}

func remark(s *shape, mem member, t *shape) string {
	var notes []string
	if slices.Contains(s.required, mem.name) {
		notes = append(notes, "required")
	}
	if t.sensitive {
		notes = append(notes, "sensitive")
	}
	if len(notes) == 0 {
		return ""
	}
	return " // " + strings.Join(notes, ", ")
}

func emitEnum(b *buffer, s *shape) {
	b.f("\n// %s is an enumeration. Values that it does not list decode, but do not validate.\n", s.goName)
	b.f("type %s string\n\n// Values of %s.\nconst (\n", s.goName, s.goName)
	var names []string
	for _, v := range s.values {
		names = append(names, constName(s.goName, v))
		b.f("%s %s = %q\n", constName(s.goName, v), s.goName, v)
	}
	all := strings.Join(names, ", ")
	b.f(")\n\n// Values returns all values of %s, in a slice of the caller's own.\n", s.goName)
	b.f("func (%s) Values() []%s { return []%s{\n%s,\n} }\n", s.goName, s.goName, s.goName, strings.Join(names, ",\n"))
	if s.isInput {
		b.f("\nfunc (v %s) known() bool {\n switch v {\n case %s:\n return true\n }\n return false\n}\n", s.goName, all)
	}
}

var wordBreak = regexp.MustCompile(`[^A-Za-z0-9]+`)

// constName names an enum value as aws-sdk-go-v2 does: SYMMETRIC_DEFAULT of KeySpec is KeySpecSymmetricDefault.
func constName(typ, value string) string {
	name := typ
	for _, word := range wordBreak.Split(value, -1) {
		if word == "" {
			continue
		}
		if strings.ToUpper(word) == word {
			word = strings.ToLower(word)
		}
		name += upperFirst(word)
	}
	return name
}

func (p *program) emitOperations(b *buffer, m *model, visibility string) {
	ops := slices.Clone(m.operations)
	slices.SortFunc(ops, func(x, y *operation) int { return strings.Compare(x.name, y.name) })
	prefix := upperFirst(m.service)
	if len(m.service) == 3 {
		prefix = strings.ToUpper(m.service) // KMS, STS, IAM
	}
	if m.protocol == protocolQuery && visibility == public {
		b.f("\n// Constants of the %s model.\nconst (\n", m.service)
		b.f("%sVersion = %q // the Version parameter of requests\n", prefix, m.apiVersion)
		b.f("%sNamespace = %q // the XML namespace of responses\n)\n", prefix, m.xmlNamespace)
	}
	name := prefix + "Operations"
	if visibility != public {
		name = lowerFirst(name)
	}
	b.f("\n// %s returns the operations of the %s model, sorted by name, in a slice of the caller's own.\n", name, m.service)
	b.f("func %s() []Operation {\n return []Operation{\n", name)
	for _, op := range ops {
		target := op.name
		if m.protocol != protocolQuery {
			target = m.targetPrefix + "." + op.name
		}
		b.f("{\nService: %q, Target: %q, Name: %q,\n", m.service, target, op.name)
		b.f("NewInput: func() Request { return new(%s) },\n", m.byName[op.input].goName)
		if op.output != "" {
			b.f("NewOutput: func() Response { return new(%s) },\n HasOutput: true,\n", m.byName[op.output].goName)
		}
		if len(op.errors) > 0 {
			b.f("Errors: []ErrorCode{%s},\n", strings.Join(op.errors, ", "))
		}
		if op.crossAccount {
			b.f("CrossAccount: true,\n")
		}
		if len(op.permissions) > 0 {
			b.f("Permissions: []Permission{")
			for _, perm := range op.permissions {
				b.f("{Action: %q, In: %q}, ", perm.action, perm.in)
			}
			b.f("},\n")
		}
		if len(op.identifiers) > 0 {
			b.f("Identifiers: map[string][]string{\n")
			for _, id := range op.identifiers {
				b.f("%q: %#v,\n", id.member, id.forms)
			}
			b.f("},\n")
		}
		b.f("},\n")
	}
	b.f("}\n}\n")
}

// emitErrors writes the constants of all models' errors, and their statuses.
func (p *program) emitErrors(b *buffer) error {
	status := map[string]int64{}
	var names []string
	for _, m := range p.models {
		for _, e := range m.errors {
			if known, ok := status[e.name]; ok && known != e.status {
				return fmt.Errorf("%s: error %s has another status elsewhere", m.file, e.name)
			} else if !ok {
				names = append(names, e.name)
			}
			status[e.name] = e.status
		}
	}
	slices.Sort(names)
	byStatus := map[int64][]string{}
	for _, name := range names {
		if st := status[name]; st < 400 || st > 599 {
			return fmt.Errorf("error %s: status %d is not one of an error", name, st)
		}
		byStatus[status[name]] = append(byStatus[status[name]], name)
	}
	if len(names) > 0 {
		b.f("\n// Errors of the models.\nconst (\n")
		for _, name := range names {
			b.f("%s ErrorCode = %q\n", name, name)
		}
		b.f(")\n")
	}
	b.f("\nfunc modelStatus(c ErrorCode) int {\n")
	delete(byStatus, 500) // as what is unknown
	if len(byStatus) > 0 {
		b.f("switch c {\n")
		for _, st := range slices.Sorted(maps.Keys(byStatus)) {
			b.f("case %s:\nreturn %d\n", strings.Join(byStatus[st], ",\n"), st)
		}
		b.f("}\n")
	}
	b.f("return 500\n}\n")
	return nil
}
