package accounts

import (
	"os"
	"regexp"
	"slices"
	"testing"
)

// TestBelongings compares with the table of package record: a kind of thing that accounts have must be looked for when an account is made.
func TestBelongings(t *testing.T) {
	text, err := os.ReadFile("../record/record.go")
	if err != nil {
		t.Fatal(err)
	}
	const account = "111122223333"
	found := 0
	for _, m := range regexp.MustCompile(`(?m)^//\t([a-z]+)/A/`).FindAllStringSubmatch(string(text), -1) {
		found++
		if !slices.Contains(belongings(account), m[1]+"/"+account+"/") {
			t.Errorf("%s/A/ is not looked for", m[1])
		}
	}
	if found < 13 {
		t.Errorf("only %d kinds found in the table", found)
	}
}
