package check

import "testing"

// TestMatch: actions are compared without regard to case, ARNs are not. The matcher itself is tested where it is.
func TestMatch(t *testing.T) {
	for _, tc := range []struct {
		pattern, s string
		fold, want bool
	}{
		{"*", "kms:Decrypt", true, true},
		{"KMS:decrypt", "kms:Decrypt", true, true},
		{"KMS:decrypt", "kms:Decrypt", false, false},
		{"kms:Put*", "kms:PutKeyPolicy", true, true},
		{"kms:PutKeyPolicy?", "kms:PutKeyPolicy", true, false},
		{"arn:aws:kms:*:111122223333:key/*", "arn:aws:kms:us-east-1:111122223333:key/k", false, true},
		{"arn:aws:kms:*:444455556666:key/*", "arn:aws:kms:us-east-1:111122223333:key/k", false, false},
	} {
		if got := matchWild(tc.pattern, tc.s, tc.fold); got != tc.want {
			t.Errorf("matchWild(%q, %q, %v) = %v", tc.pattern, tc.s, tc.fold, got)
		}
		if got := matchAction(tc.pattern, tc.s); tc.fold && got != tc.want {
			t.Errorf("matchAction(%q, %q) = %v", tc.pattern, tc.s, got)
		}
	}
	if !isWild("kms:*") || !isWild("k?") || isWild("kms:Decrypt") {
		t.Error("isWild does not see wildcards")
	}
}
