package main

import (
	"bytes"
	"os"
	"strings"
	"testing"
	"time"
)

func TestWriteTable(t *testing.T) {
	var out bytes.Buffer
	if err := writeTable(&out, []string{"ALIAS", "KEY ID", "MANAGER"}, [][]string{{"alias/orders", "k1", "CUSTOMER"}, {"", "k22", ""}}); err != nil {
		t.Fatal(err)
	}
	want := "ALIAS         KEY ID  MANAGER\n" +
		"alias/orders  k1      CUSTOMER\n" +
		"-             k22     -\n"
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", out.String(), want)
	}
	out.Reset()
	if err := writeTable(&out, []string{"ALIAS", "KEY ID"}, nil); err != nil || out.String() != "ALIAS  KEY ID\n" {
		t.Errorf("without rows: %q, %v", out.String(), err)
	}
}

func TestWriteFields(t *testing.T) {
	var out bytes.Buffer
	if err := writeFields(&out, [][2]string{{"Key ID", "k"}, {"Description", "a\nb\x1b[31m\u202ec"}}); err != nil {
		t.Fatal(err)
	}
	if want := "Key ID       k\nDescription  a\ufffdb\ufffd[31m\ufffdc\n"; out.String() != want {
		t.Errorf("got %q, want %q", out.String(), want)
	}
}

func TestPrintable(t *testing.T) {
	for in, want := range map[string]string{
		"Schlüssel für Bestellungen, 鍵": "Schlüssel für Bestellungen, 鍵",
		"\x00\t\r\u009b":                "\ufffd\ufffd\ufffd\ufffd",
		"\xff":                          "\ufffd",
		strings.Repeat("x", 9000):       strings.Repeat("x", 8192) + "...",
	} {
		if got := printable(in); got != want {
			t.Errorf("printable(%.20q) = %.40q", in, got)
		}
	}
}

func TestStamp(t *testing.T) {
	at := time.Date(2027, 3, 1, 1, 30, 5, 999, time.FixedZone("", 3600))
	if got := stamp(&at); got != "2027-03-01T00:30:05Z" {
		t.Error(got)
	}
	if got := stamp(nil); got != "" {
		t.Error(got)
	}
}

func TestOutputFormat(t *testing.T) {
	f := tableOutput
	if err := f.Set("json"); err != nil || f != jsonOutput {
		t.Errorf("json: %v, %v", f, err)
	}
	if err := f.Set("yaml"); err == nil || f != jsonOutput {
		t.Errorf("yaml: %v, %v", f, err)
	}
}

// A file is no terminal, so what is redirected has no colours.
func TestColoredFile(t *testing.T) {
	f, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if isTerminal(f) || colored(f) {
		t.Error("a file counts as a terminal")
	}
}

func TestShellWord(t *testing.T) {
	for s, want := range map[string]string{
		"/var/lib/keyturn/root.credentials": "/var/lib/keyturn/root.credentials", "": "''", "a b": "'a b'", "it's": `'it'\''s'`, "$(sh)": "'$(sh)'", "~x": "'~x'",
	} {
		if got := shellWord(s); got != want {
			t.Errorf("%q is quoted as %s, want %s", s, got, want)
		}
	}
}
