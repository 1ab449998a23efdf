package policy

import "strings"

// arnPattern is a pattern for ARNs, each of whose six parts is matched by itself, so that no wildcard and no value of a variable
// reaches over a colon (IAM user guide, "IAM JSON policy elements: Condition operators", on ARNs).
type arnPattern struct {
	parts [6]pattern
}

// compileARN cuts a pattern at its first five colons; ok is false if there are fewer. Colons of a variable's key do not count.
func compileARN(text string, g grammar) (a arnPattern, ok bool) {
	var part []atom
	n := 0
	for _, at := range compilePattern(text, g).atoms {
		for n < len(a.parts)-1 && at.kind == literal {
			before, after, colon := strings.Cut(at.text, ":")
			if !colon {
				break
			}
			if before != "" {
				part = append(part, atom{text: before})
			}
			a.parts[n], part = newPattern(part), nil
			n++
			at.text = after
		}
		if at.kind != literal || at.text != "" {
			part = append(part, at)
		}
	}
	a.parts[n] = newPattern(part)
	return a, n == len(a.parts)-1
}

// arnParts are the parts of an ARN in a request; the last one may have colons.
type arnParts [6]string

func cutARN(s string) (parts arnParts, ok bool) {
	for i := range len(parts) - 1 {
		if parts[i], s, ok = strings.Cut(s, ":"); !ok {
			return parts, false
		}
	}
	parts[5] = s
	return parts, parts[0] == "arn"
}

func (e *evaluation) matchesARN(a *arnPattern, parts *arnParts) bool {
	for i := range a.parts {
		if !e.matches(&a.parts[i], parts[i], false) {
			return false
		}
	}
	return true
}

// malformed tells whether the pattern has a variable that cannot have a value.
func (a *arnPattern) malformed() bool {
	for i := range a.parts {
		if a.parts[i].malformed() {
			return true
		}
	}
	return false
}

// resourcePattern is one value of Resource or NotResource.
type resourcePattern struct {
	all    bool // "*"
	broken bool // names nothing, in no request
	arnPattern
}

// compileResource reads a value of Resource. Variables are for the last part of the ARN; before it they are not replaced ("IAM policy
// elements: Variables and tags"), and then the value names nothing.
func compileResource(text string, g grammar) resourcePattern {
	if text == "*" {
		return resourcePattern{all: true}
	}
	a, ok := compileARN(text, g)
	r := resourcePattern{arnPattern: a, broken: !ok || a.malformed()}
	for i := range len(a.parts) - 1 {
		r.broken = r.broken || a.parts[i].variables
	}
	return r
}

// matchesResource reports whether one of the patterns names the resource of the request.
func (e *evaluation) matchesResource(list []resourcePattern) bool {
	for i := range list {
		r := &list[i]
		e.spend(1)
		if r.all || !r.broken && e.isARN && e.matchesARN(&r.arnPattern, &e.resource) {
			return true
		}
	}
	return false
}
