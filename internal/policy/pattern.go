package policy

import (
	"math"
	"slices"
	"strings"
	"unicode/utf8"
)

// atomKind says what an atom of a pattern stands for.
type atomKind uint8

const (
	literal  atomKind = iota // the text itself
	oneChar                  // any one character
	star                     // any characters, or none
	variable                 // what the request has under a key
	never                    // a malformed variable, which has no value
)

// atom is one step of a pattern. Wildcards are atoms of their own and not bytes of the text, so that what a variable brings in is
// text whatever bytes it has.
type atom struct {
	kind       atomKind
	text       string // of a literal; of a variable its key, in lower case
	fallback   string // of a variable: its default
	defaulting bool   // whether there is one
}

// pattern is a compiled value of a policy. The zero pattern matches the empty string.
type pattern struct {
	atoms     []atom
	exact     bool // at most one literal: matching is comparing
	variables bool // has variables, to be looked up before matching
}

// grammar says what has a meaning of its own in the text of a pattern.
type grammar struct {
	wildcards bool
	variables bool
}

// compilePattern reads a value of a policy.
func compilePattern(text string, g grammar) pattern {
	var atoms []atom
	for start, i := 0, 0; ; {
		if i < len(text) && !g.special(text[i:]) {
			i++
			continue
		}
		if i > start {
			atoms = append(atoms, atom{text: text[start:i]})
		}
		if i == len(text) {
			return newPattern(atoms)
		}
		a, n := readSpecial(text[i:])
		atoms = append(atoms, a)
		i += n
		start = i
	}
}

func (g grammar) special(text string) bool {
	switch text[0] {
	case '*', '?':
		return g.wildcards
	case '$':
		return g.variables && strings.HasPrefix(text, "${")
	default:
		return false
	}
}

// readSpecial reads the wildcard or variable at the start of text, and returns its length.
func readSpecial(text string) (atom, int) {
	switch text[0] {
	case '*':
		return atom{kind: star}, 1
	case '?':
		return atom{kind: oneChar}, 1
	default:
		return readVariable(text)
	}
}

func newPattern(atoms []atom) pattern {
	p := pattern{atoms: atoms, exact: len(atoms) == 0 || len(atoms) == 1 && atoms[0].kind == literal}
	p.variables = slices.ContainsFunc(atoms, func(a atom) bool { return a.kind == variable || a.kind == never })
	return p
}

// malformed tells whether the pattern has a variable that cannot have a value.
func (p *pattern) malformed() bool {
	return slices.ContainsFunc(p.atoms, func(a atom) bool { return a.kind == never })
}

// text returns what an exact pattern is compared with.
func (p *pattern) text() string {
	if len(p.atoms) == 0 {
		return ""
	}
	return p.atoms[0].text
}

// MatchWild reports whether pattern matches the whole of s: "*" stands for any characters or none, "?" for exactly one. The time is
// at most the product of the lengths, whatever a hostile policy holds. Fold compares ASCII letters without regard to case.
func MatchWild(pattern, s string, fold bool) bool {
	w := work{left: math.MaxInt}
	return w.match(compilePattern(pattern, grammar{wildcards: true}).atoms, s, fold)
}

// work counts what matching costs. Whoever makes one says how much there may be; when nothing is left, results mean nothing.
type work struct {
	left int // steps: about one byte looked at each
}

func (w *work) spend(n int)     { w.left -= n }
func (w *work) exhausted() bool { return w.left < 0 }

// match matches atoms without variables. What stands between two stars is looked for once, at its first place after the one
// before, which is enough because a star takes whatever is left.
func (w *work) match(atoms []atom, s string, fold bool) bool {
	piece, rest, more := cutStar(atoms)
	n, ok := w.matchPiece(piece, s, fold)
	if !ok || !more {
		return ok && n == len(s)
	}
	for s = s[n:]; ; {
		if len(rest) == 0 {
			return true
		}
		piece, rest, more = cutStar(rest)
		if s, ok = w.after(piece, s, fold, !more); !ok || !more {
			return ok
		}
	}
}

// after finds the first place of a piece in s and returns what follows it; with atEnd, nothing may follow.
func (w *work) after(piece []atom, s string, fold, atEnd bool) (string, bool) {
	for !w.exhausted() {
		if !fold && len(piece) > 0 && piece[0].kind == literal {
			i := strings.Index(s, piece[0].text)
			if i < 0 {
				w.spend(len(s))
				return "", false
			}
			w.spend(i)
			s = s[i:]
		}
		if n, ok := w.matchPiece(piece, s, fold); ok && (!atEnd || n == len(s)) {
			return s[n:], true
		}
		if s == "" {
			return "", false
		}
		_, width := utf8.DecodeRuneInString(s)
		s = s[width:]
	}
	return "", false
}

// matchPiece matches atoms without stars at the start of s, and returns how much of s they take.
func (w *work) matchPiece(piece []atom, s string, fold bool) (int, bool) {
	n := 0
	for _, a := range piece {
		rest := s[n:]
		width := len(a.text)
		if a.kind == oneChar {
			_, width = utf8.DecodeRuneInString(rest)
		}
		w.spend(1 + min(width, len(rest)))
		switch {
		case a.kind == oneChar && width == 0:
			return 0, false
		case a.kind == literal && (width > len(rest) || !sameText(a.text, rest[:width], fold)):
			return 0, false
		}
		n += width
	}
	return n, true
}

// cutStar returns what stands before and after the first star.
func cutStar(atoms []atom) (before, after []atom, found bool) {
	for i, a := range atoms {
		if a.kind == star {
			return atoms[:i], atoms[i+1:], true
		}
	}
	return atoms, nil, false
}

// sameText compares strings of the same length.
func sameText(a, b string, fold bool) bool {
	if a == b || !fold {
		return a == b
	}
	for i := range len(a) {
		if a[i] != b[i] && lowerByte(a[i]) != lowerByte(b[i]) {
			return false
		}
	}
	return true
}

func lowerByte(b byte) byte {
	if 'A' <= b && b <= 'Z' {
		return b + 'a' - 'A'
	}
	return b
}
