package verify_test

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/keyturn/keyturn/internal/verify"
)

// TestDocs holds the table of findings at the end of docs/verification.md; with UPDATE_DOCS=1 it is written.
func TestDocs(t *testing.T) {
	const name = "../../docs/verification.md"
	const head = "| kind | severity | what it means | what to do |\n| --- | --- | --- | --- |\n"
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	before, table, ok := strings.Cut(string(b), head)
	var want strings.Builder
	for _, kind := range slices.Sorted(maps.Keys(verify.Kinds)) {
		m := verify.Kinds[kind]
		fmt.Fprintf(&want, "| `%s` | %s | %s. | %s |\n", kind, m.Severity, m.Title, m.Remedy)
	}
	if ok && table == want.String() {
		return
	}
	if os.Getenv("UPDATE_DOCS") == "" {
		t.Fatal("the table in docs/verification.md is not that of Kinds; UPDATE_DOCS=1 writes it")
	}
	if err := os.WriteFile(name, []byte(before+head+want.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}
