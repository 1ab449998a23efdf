package policy

import (
	"strings"
	"unicode/utf8"
)

// readVariable reads the variable at the start of text, "${...}", and returns its length: a key with or without a default, as in
// ${aws:username} and ${aws:username, 'nobody'}, or one of ${*}, ${?} and ${$}, which are the characters themselves (IAM user guide,
// "IAM policy elements: Variables and tags"). What is none of these has no value, up to its brace or the end.
func readVariable(text string) (atom, int) {
	if len(text) > 3 && text[3] == '}' && strings.IndexByte("*?$", text[2]) >= 0 {
		return atom{text: text[2:3]}, 4
	}
	end := strings.IndexAny(text, ",}")
	if end < 0 {
		return atom{kind: never}, len(text)
	}
	a := atom{kind: variable, text: lower(strings.TrimSpace(text[2:end]))}
	if !strings.Contains(a.text, ":") || strings.ContainsAny(a.text, "${'*?") {
		a.kind = never
	}
	if text[end] == ',' {
		fallback, n, ok := readDefault(text[end+1:])
		if !ok {
			a.kind = never
		}
		a.fallback, a.defaulting = fallback, true
		end += n
	}
	return a, end + 1
}

// readDefault reads a quoted default and returns the distance from its comma to the variable's closing brace.
func readDefault(text string) (fallback string, n int, ok bool) {
	open := strings.TrimLeft(text, " ")
	quoted, isQuoted := strings.CutPrefix(open, "'")
	if fallback, rest, closed := strings.Cut(quoted, "'"); isQuoted && closed {
		if rest = strings.TrimLeft(rest, " "); strings.HasPrefix(rest, "}") {
			return fallback, len(text) - len(rest) + 1, true
		}
	}
	if i := strings.IndexByte(text, '}'); i >= 0 {
		return "", i + 1, false
	}
	return "", len(text), false
}

// resolve puts the request's values in the place of variables, as text. It appends to buf, and reports whether all have a value:
// a key that the request lacks has none, nor has one with several ("Single-valued vs. multivalued context keys"), nor what is not
// valid UTF-8, as all text of policies is.
func (e *evaluation) resolve(p *pattern, buf []atom) ([]atom, bool) {
	for _, a := range p.atoms {
		switch a.kind {
		case never:
			return buf, false
		case variable:
			values := e.values(a.text)
			switch {
			case len(values) == 0 && a.defaulting:
				a = atom{text: a.fallback}
			case len(values) == 1 && utf8.ValidString(values[0]):
				a = atom{text: values[0]}
			default:
				return buf, false
			}
		}
		e.spend(1 + len(a.text)/8)
		buf = append(buf, a)
	}
	return buf, true
}

// matches reports whether a pattern matches the whole of s. With a variable that has no value it matches nothing: such a value is
// "effectively null" ("Policy variables with no value").
func (e *evaluation) matches(p *pattern, s string, fold bool) bool {
	e.spend(1)
	switch {
	case e.exhausted():
		return false
	case p.exact:
		text := p.text()
		return len(text) == len(s) && sameText(text, s, fold)
	case !p.variables:
		return e.match(p.atoms, s, fold)
	}
	var buf [8]atom
	atoms, ok := e.resolve(p, buf[:0])
	return ok && e.match(atoms, s, fold)
}

// equalFold compares a pattern without wildcards and s by Unicode's simple case folding.
func (e *evaluation) equalFold(p *pattern, s string) bool {
	e.spend(1 + len(s))
	if p.exact {
		return strings.EqualFold(p.text(), s)
	}
	var buf [8]atom
	atoms, ok := e.resolve(p, buf[:0])
	if !ok {
		return false
	}
	var text strings.Builder
	for _, a := range atoms {
		if text.Len()+len(a.text) > utf8.UTFMax*len(s) {
			return false // folding changes the length of a character, but not more than this
		}
		text.WriteString(a.text)
	}
	return strings.EqualFold(text.String(), s)
}
