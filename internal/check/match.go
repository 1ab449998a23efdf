package check

import "strings"

// matchWild reports whether pattern matches the whole of s: "*" stands for any bytes or none, "?" for exactly one byte. Each piece
// between two stars is looked for once, at its first place after the one before, which is enough because a star takes whatever is
// left; so the time is at most the product of the lengths, whatever a hostile policy holds. fold compares ASCII letters without
// regard to case.
func matchWild(pattern, s string, fold bool) bool {
	piece, rest, star := strings.Cut(pattern, "*")
	if !star {
		return len(piece) == len(s) && matchPiece(piece, s, fold)
	}
	if len(piece) > len(s) || !matchPiece(piece, s[:len(piece)], fold) {
		return false
	}
	s = s[len(piece):]
	for {
		piece, rest, star = strings.Cut(rest, "*")
		if !star {
			return len(piece) <= len(s) && matchPiece(piece, s[len(s)-len(piece):], fold)
		}
		at := 0
		for ; at+len(piece) <= len(s); at++ {
			if matchPiece(piece, s[at:at+len(piece)], fold) {
				break
			}
		}
		if at+len(piece) > len(s) {
			return false
		}
		s = s[at+len(piece):]
	}
}

// matchPiece compares a pattern without stars and a string of the same length.
func matchPiece(piece, s string, fold bool) bool {
	for i := range len(piece) {
		a, b := piece[i], s[i]
		if a == '?' || a == b {
			continue
		}
		if !fold || lowerByte(a) != lowerByte(b) {
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

// matchAction reports whether an action pattern of a policy covers an action such as "kms:Decrypt".
func matchAction(pattern, action string) bool { return matchWild(pattern, action, true) }

// isWild tells whether a pattern has a wildcard.
func isWild(pattern string) bool { return strings.ContainsAny(pattern, "*?") }
