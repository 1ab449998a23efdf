package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
)

// The same seed gives the same cases, another one others; decide answers them as generate did; no feature has a name that is not listed.
func TestGenerateAndDecide(t *testing.T) {
	output := func(in string, args ...string) string {
		t.Helper()
		var out bytes.Buffer
		if err := run(args, strings.NewReader(in), &out); err != nil {
			t.Fatal(err)
		}
		return out.String()
	}
	const cases = "300"
	text := output("", "generate", "-seed", "7", "-cases", cases)
	if output("", "generate", "-seed", "7", "-cases", cases) != text {
		t.Error("the cases do not follow from the seed alone")
	}
	if output("", "generate", "-seed", "8", "-cases", cases) == text {
		t.Error("the seed makes no difference")
	}

	first, rest, _ := strings.Cut(text, "\n")
	var header struct{ Features []string }
	if err := json.Unmarshal([]byte(first), &header); err != nil {
		t.Fatal(err)
	}
	listed := map[string]bool{}
	for _, name := range header.Features {
		listed[name] = true
	}
	lines := strings.Split(strings.TrimSuffix(rest, "\n"), "\n")
	answers := strings.Fields(output(rest, "decide"))
	if len(lines) != 300 || len(answers) != len(lines) {
		t.Fatalf("%d cases, %d answers", len(lines), len(answers))
	}
	allowed := 0
	for i, line := range lines {
		var c testCase
		if err := json.Unmarshal([]byte(line), &c); err != nil {
			t.Fatal(err)
		}
		if got := answers[i] == "true"; got != c.Allowed {
			t.Errorf("decided otherwise than generated, %v: %s", got, line)
		}
		if c.Allowed {
			allowed++
		}
		for name := range c.Features {
			if !listed[name] {
				t.Errorf("feature %q is not listed", name)
			}
		}
	}
	if allowed == 0 || allowed == len(lines) {
		t.Errorf("%d of %d cases are allowed", allowed, len(lines))
	}
}

// What is no case is an error, never an answer.
func TestDecideRefuses(t *testing.T) {
	for _, in := range []string{
		`{`,
		`{"who":{"kind":"nobody"}}`,
		`{"who":{"kind":"user"},"keyPolicy":{"Statement":1}}`,
		`{"who":{"kind":"user"},"context":{"aws:RequestTag/binary":["?"]}}`,
	} {
		var out bytes.Buffer
		if err := run([]string{"decide"}, strings.NewReader(in), &out); err == nil || out.Len() > 0 {
			t.Errorf("%s: %v, %q", in, err, out.String())
		}
	}
	for _, args := range [][]string{nil, {"explain"}, {"generate", "-seed", "x"}} {
		if err := run(args, strings.NewReader(""), &bytes.Buffer{}); err == nil {
			t.Errorf("%q is taken", args)
		}
	}
}
