package check

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write generated files anew")

const catalogFile = "../../docs/checks.md"

// TestCatalogPage keeps the page of all checks as the catalog has them.
func TestCatalogPage(t *testing.T) {
	page := catalogPage()
	if *update {
		if err := os.WriteFile(catalogFile, page, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(catalogFile)
	if err != nil || !bytes.Equal(have, page) {
		t.Errorf("%s is not what the catalog says (%v): go test ./internal/check -run TestCatalogPage -update", catalogFile, err)
	}
}

func catalogPage() []byte {
	var b bytes.Buffer
	b.WriteString("<!-- Generated from internal/check by go test ./internal/check -run TestCatalogPage -update. Do not edit. -->\n\n# The checks of keyturn check\n\n")
	b.WriteString("How to run them: [check.md](check.md).\n\n| check | severity | passes when |\n| --- | --- | --- |\n")
	for _, c := range All() {
		fmt.Fprintf(&b, "| [%s](#%s) | %s | %s |\n", c.ID, c.ID, c.Severity, c.Title)
	}
	for _, c := range All() {
		fmt.Fprintf(&b, "\n## %s\n\n%s. Severity: %s.\n\n%s\n\n**To mend it.** %s\n\n", c.ID, c.Title, c.Severity, c.Why, c.Fix.Text)
		fmt.Fprintf(&b, "Console: %s\n\n", strings.ReplaceAll(c.Fix.Console, "\n", " "))
		for _, block := range [][2]string{{"sh", c.Fix.CLI}, {"yaml", c.Fix.CloudFormation}, {"hcl", c.Fix.Terraform}} {
			fmt.Fprintf(&b, "```%s\n%s\n```\n\n", block[0], strings.TrimRight(block[1], "\n"))
		}
		fmt.Fprintf(&b, "AWS says: <%s>\n", c.Fix.URL)
		if len(c.Needs) > 0 {
			calls := make([]string, len(c.Needs))
			for i, n := range c.Needs {
				calls[i] = string(n)
			}
			fmt.Fprintf(&b, "\nReads, beside the key itself: %s.\n", strings.Join(calls, ", "))
		}
		if len(c.Controls) > 0 {
			list := make([]string, len(c.Controls))
			for i, k := range c.Controls {
				list[i] = strings.Join(strings.Fields(k.Framework+" "+k.Version+" "+k.ID), " ")
			}
			fmt.Fprintf(&b, "\nAnswers: %s.\n", strings.Join(list, "; "))
		}
	}
	return b.Bytes()
}
