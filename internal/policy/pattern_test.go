package policy

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestMatchWild(t *testing.T) {
	for _, tc := range []struct {
		pattern, s string
		fold, want bool
	}{
		{"", "", false, true},
		{"", "a", false, false},
		{"*", "", false, true},
		{"*", "kms:Decrypt", true, true},
		{"?", "", false, false},
		{"kms:*", "kms:Decrypt", true, true},
		{"kms:*", "kms", true, false},
		{"KMS:decrypt", "kms:Decrypt", true, true},
		{"KMS:decrypt", "kms:Decrypt", false, false},
		{"kms:Put*", "kms:PutKeyPolicy", true, true},
		{"kms:*Policy", "kms:PutKeyPolicy", true, true},
		{"kms:*policies", "kms:PutKeyPolicy", true, false},
		{"kms:PutKeyPolic?", "kms:PutKeyPolicy", true, true},
		{"kms:PutKeyPolicy?", "kms:PutKeyPolicy", true, false},
		{"*:decrypt*", "kms:Decrypt", true, true},
		{"*:decrypt*", "kms:Decrypt", false, false},
		{"kms:P*y*P*y", "kms:PutKeyPolicy", true, true},
		{"a*a", "a", false, false}, // the two ends must not share a byte
		{"ab*ba", "aba", false, false},
		{"*ab*ab*", "abab", false, true},
		{"*ab*ab*", "abxa", false, false},
		{"*ab", "abxab", false, true}, // the end is not the first place
		{"*a?c*", "xabxabc", false, true},
		{"**", "x", false, true},
		{"arn:aws:kms:*:111122223333:key/*", "arn:aws:kms:us-east-1:111122223333:key/k", false, true},
		{"arn:aws:kms:*:444455556666:key/*", "arn:aws:kms:us-east-1:111122223333:key/k", false, false},
		{"[", "{", true, false}, // only letters have two cases
		{"?", "é", false, true}, // one character, not one byte
		{"??", "é", false, false},
		{"*??", "€", false, false}, // and none that starts within one
		{"É", "é", true, false},
		{"${*}", "${x}", false, true}, // no variables here
	} {
		if got := MatchWild(tc.pattern, tc.s, tc.fold); got != tc.want {
			t.Errorf("MatchWild(%q, %q, %v) = %v", tc.pattern, tc.s, tc.fold, got)
		}
	}
}

// TestMatchWork: matching takes at most about the product of the lengths. A matcher that tries every place for every star would
// not end.
func TestMatchWork(t *testing.T) {
	for _, pattern := range []string{
		strings.Repeat("*a", 1000) + "b",
		strings.Repeat("*?", 1000) + "b",
		"*" + strings.Repeat("?a", 500) + "b*",
		strings.Repeat("a", 1999) + "b*",
		"*" + strings.Repeat("a", 1999) + "b",
	} {
		s := strings.Repeat("a", 4000)
		for _, fold := range []bool{false, true} {
			const budget = 1 << 30
			w := work{left: budget}
			if w.match(compilePattern(pattern, grammar{wildcards: true}).atoms, s, fold) {
				t.Errorf("%.20s... matches", pattern)
			}
			if used := budget - w.left; used > 2*len(pattern)*len(s) {
				t.Errorf("%.20s...: %d steps for %d × %d bytes", pattern, used, len(pattern), len(s))
			}
		}
	}
}

// matchSimply is the definition: a table of which ends of the pattern match which ends of the string.
func matchSimply(pattern, s []symbol) bool {
	match := make([][]bool, len(pattern)+1)
	for i := len(pattern); i >= 0; i-- {
		match[i] = make([]bool, len(s)+1)
		for j := len(s); j >= 0; j-- {
			switch {
			case i == len(pattern):
				match[i][j] = j == len(s)
			case pattern[i] == wildStar:
				match[i][j] = match[i+1][j] || j < len(s) && match[i][j+1]
			default:
				match[i][j] = j < len(s) && (pattern[i] == wildOne || pattern[i] == s[j]) && match[i+1][j+1]
			}
		}
	}
	return match[0][0]
}

// symbol is a character; bytes that are none are symbols of their own, and so are wildcards.
type symbol = rune

const (
	wildStar symbol = -1000
	wildOne  symbol = -1001
)

func symbols(s string) []symbol {
	var list []symbol
	for i := 0; i < len(s); {
		r, width := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && width == 1 {
			r = -1 - symbol(s[i])
		}
		list = append(list, r)
		i += width
	}
	return list
}

func wildSymbols(pattern string) []symbol {
	list := symbols(pattern)
	for i, r := range list {
		switch r {
		case '*':
			list[i] = wildStar
		case '?':
			list[i] = wildOne
		}
	}
	return list
}

func FuzzMatch(f *testing.F) {
	f.Add("kms:*Key*", "kms:PutKeyPolicy")
	f.Add("a*b?c*", "aXbYc")
	f.Add("*B*c", "aabxxC")
	f.Add("*?*", "")
	f.Add("**a**?", "aba")
	f.Add("*é?", "ééé\xa9")
	f.Fuzz(func(t *testing.T, pattern, s string) {
		if len(pattern) > 300 || len(s) > 300 || !utf8.ValidString(pattern) {
			return
		}
		if got, want := MatchWild(pattern, s, false), matchSimply(wildSymbols(pattern), symbols(s)); got != want {
			t.Errorf("MatchWild(%q, %q) = %v", pattern, s, got)
		}
		if got, want := MatchWild(pattern, s, true), matchSimply(wildSymbols(lowerASCII(pattern)), symbols(lowerASCII(s))); got != want {
			t.Errorf("MatchWild(%q, %q) = %v without regard to case", pattern, s, got)
		}
	})
}

func lowerASCII(s string) string {
	b := []byte(s)
	for i := range b {
		b[i] = lowerByte(b[i])
	}
	return string(b)
}
