package check

import (
	"strings"
	"testing"
	"time"
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
		{"kms:P*y*P*y", "kms:PutKeyPolicy", true, true},
		{"a*a", "a", false, false}, // the two ends must not share a byte
		{"ab*ba", "aba", false, false},
		{"*ab*ab*", "abab", false, true},
		{"*ab*ab*", "abxa", false, false},
		{"*a?c*", "xabxabc", false, true},
		{"**", "x", false, true},
		{"arn:aws:kms:*:111122223333:key/*", "arn:aws:kms:us-east-1:111122223333:key/k", false, true},
		{"arn:aws:kms:*:444455556666:key/*", "arn:aws:kms:us-east-1:111122223333:key/k", false, false},
		{"[", "{", true, false}, // only letters have two cases
	} {
		if got := matchWild(tc.pattern, tc.s, tc.fold); got != tc.want {
			t.Errorf("matchWild(%q, %q, %v) = %v", tc.pattern, tc.s, tc.fold, got)
		}
	}
}

// TestMatchWildHostile would not end with a matcher that tries every place for every star.
func TestMatchWildHostile(t *testing.T) {
	done := make(chan bool, 1)
	go func() { done <- matchWild(strings.Repeat("*a", 1000)+"b", strings.Repeat("a", 4000), false) }()
	select {
	case got := <-done:
		if got {
			t.Error("it matches")
		}
	case <-time.After(10 * time.Second):
		t.Fatal("it takes forever")
	}
}

// matchSimply is the definition: a table of which ends of the pattern match which ends of the string.
func matchSimply(pattern, s string) bool {
	match := make([][]bool, len(pattern)+1)
	for i := len(pattern); i >= 0; i-- {
		match[i] = make([]bool, len(s)+1)
		for j := len(s); j >= 0; j-- {
			switch {
			case i == len(pattern):
				match[i][j] = j == len(s)
			case pattern[i] == '*':
				match[i][j] = match[i+1][j] || j < len(s) && match[i][j+1]
			default:
				match[i][j] = j < len(s) && (pattern[i] == '?' || pattern[i] == s[j]) && match[i+1][j+1]
			}
		}
	}
	return match[0][0]
}

func FuzzMatch(f *testing.F) {
	f.Add("kms:*Key*", "kms:PutKeyPolicy")
	f.Add("a*b?c*", "aXbYc")
	f.Add("*?*", "")
	f.Add("**a**?", "aba")
	f.Fuzz(func(t *testing.T, pattern, s string) {
		if len(pattern) > 300 || len(s) > 300 {
			return
		}
		if got, want := matchWild(pattern, s, false), matchSimply(pattern, s); got != want {
			t.Errorf("matchWild(%q, %q) = %v", pattern, s, got)
		}
		low := func(s string) string {
			b := []byte(s)
			for i := range b {
				b[i] = lowerByte(b[i])
			}
			return string(b)
		}
		if got, want := matchWild(pattern, s, true), matchSimply(low(pattern), low(s)); got != want {
			t.Errorf("matchWild(%q, %q) = %v without regard to case", pattern, s, got)
		}
	})
}
