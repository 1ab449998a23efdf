package main

import (
	"fmt"
	"slices"
	"strings"
)

func (p *program) emitValidation(b *buffer, m *model) {
	p.emitRules(b, m)
	inputs := map[string]bool{}
	for _, op := range m.operations {
		inputs[op.input] = true
	}
	for _, s := range m.shapes {
		if !p.emit[s] || s.typ != "structure" || !s.isInput {
			continue
		}
		if inputs[s.name] {
			b.f("\n// Validate checks v against the %s model; the error is an *Error with code ValidationException.\n", m.service)
			b.f("func (v *%s) Validate() error { return validate(v) }\n", s.goName)
		}
		b.f("\nfunc (v *%s) validate(c *validator) {\n", s.goName)
		for _, mem := range s.members {
			required := slices.Contains(s.required, mem.name)
			if call := m.check1(mem, m.byName[mem.shape], required); call != "" {
				b.f("%s\n", call)
			}
		}
		b.f("}\n")
	}
}

// hasRule tells whether a shape constrains anything that a rule holds.
func hasRule(s *shape) bool {
	return len(s.values) == 0 && (s.min != nil || s.max != nil || s.pattern != "" || s.sensitive)
}

func ruleName(s *shape) string {
	if !hasRule(s) {
		return "nil"
	}
	return "&rule" + s.goName
}

// emitRules writes the rules of the shapes that requests can hold. Regular expressions compile when the program starts.
func (p *program) emitRules(b *buffer, m *model) {
	var lines []string
	for _, s := range m.shapes {
		if !p.emit[s] || !s.isInput || !hasRule(s) {
			continue
		}
		var fields []string
		if s.min != nil {
			fields = append(fields, fmt.Sprintf("min: Some[int64](%d)", *s.min))
		}
		if s.max != nil {
			fields = append(fields, fmt.Sprintf("max: Some[int64](%d)", *s.max))
		}
		if s.pattern != "" {
			fields = append(fields, fmt.Sprintf("pattern: %q", s.pattern), fmt.Sprintf("re: regexp.MustCompile(%q)", s.re2))
		}
		if s.sensitive {
			fields = append(fields, "sensitive: true")
		}
		lines = append(lines, fmt.Sprintf("rule%s = rule{%s}\n", s.goName, strings.Join(fields, ", ")))
	}
	if len(lines) > 0 {
		b.f("\nvar (\n%s)\n", strings.Join(lines, ""))
	}
}

// check1 returns the call that validates one member, or nothing if any value is valid.
func (m *model) check1(mem member, t *shape, required bool) string {
	name, field := lowerFirst(mem.name), "v."+upperFirst(mem.name)
	args := fmt.Sprintf("%q, %t, %s", name, required, field)
	switch kind := m.kindOf(t); kind {
	case "Struct":
		return fmt.Sprintf("checkStruct(c, %s, %s)", args, ruleName(t))
	case "Structs":
		return fmt.Sprintf("checkStructs(c, %s, %s, %s)", args, ruleName(t), ruleName(m.byName[t.element]))
	case "Strs":
		e := m.byName[t.element]
		if len(e.values) > 0 {
			return fmt.Sprintf("checkEnums(c, %s, %s)", args, ruleName(t))
		}
		if required || hasRule(t) || hasRule(e) {
			return fmt.Sprintf("c.checkStrs(%s, %s, %s)", args, ruleName(t), ruleName(e))
		}
	case "Str":
		if len(t.values) > 0 {
			return fmt.Sprintf("checkEnum(c, %s)", args)
		}
		if required || hasRule(t) {
			return fmt.Sprintf("c.checkStr(%s, %s)", args, ruleName(t))
		}
	case "Blob", "Int", "StrMap":
		if required || hasRule(t) {
			return fmt.Sprintf("c.check%s(%s, %s)", kind, args, ruleName(t))
		}
	case "Bool", "Time":
		if required {
			return fmt.Sprintf("c.checkPresent(%q, true, %s.Set)", name, field)
		}
	}
	return ""
}
