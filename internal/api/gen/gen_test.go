package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestUpToDate fails when a model or the generator changed and go generate has not run.
func TestUpToDate(t *testing.T) {
	files, err := generate(filepath.Join("..", "..", ".."), sources())
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range files {
		got, err := os.ReadFile(filepath.Join("..", name))
		if err != nil {
			t.Errorf("%v; run go generate ./internal/api", err)
		} else if !bytes.Equal(got, want) {
			t.Errorf("%s is stale; run go generate ./internal/api", name)
		}
	}
	onDisk, err := filepath.Glob(filepath.Join("..", "zz_*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range onDisk {
		if files[filepath.Base(path)] == nil {
			t.Errorf("%s is not generated any more: delete it", path)
		}
	}
}

func TestDeterministic(t *testing.T) {
	root := filepath.Join("..", "..", "..")
	first, err := generate(root, sources())
	if err != nil {
		t.Fatal(err)
	}
	second, err := generate(root, sources())
	if err != nil {
		t.Fatal(err)
	}
	if len(first) == 0 || len(first) != len(second) {
		t.Fatalf("%d files, then %d", len(first), len(second))
	}
	for name := range first {
		if !bytes.Equal(first[name], second[name]) {
			t.Errorf("%s differs between two runs", name)
		}
	}
}

func TestConstName(t *testing.T) {
	for _, tt := range []struct{ typ, value, want string }{
		{"KeySpec", "SYMMETRIC_DEFAULT", "KeySpecSymmetricDefault"},
		{"KeySpec", "ECC_SECG_P256K1", "KeySpecEccSecgP256k1"},
		{"AlgorithmSpec", "RSAES_PKCS1_V1_5", "AlgorithmSpecRsaesPkcs1V15"},
		{"KeyState", "PendingReplicaDeletion", "KeyStatePendingReplicaDeletion"},
		{"Colour", "dark-blue", "ColourDarkBlue"},
	} {
		if got := constName(tt.typ, tt.value); got != tt.want {
			t.Errorf("constName(%s, %s) = %s, want %s", tt.typ, tt.value, got, tt.want)
		}
	}
}

func TestRefusesModels(t *testing.T) {
	const head = `{"service": "x", "protocol": "AWS JSON 1.1", "shapes": {`
	const query = `{"service": "x", "protocol": "AWS Query", `
	for _, tt := range []struct{ name, model, want string }{
		{"unknown field", `{"service": "x", "colour": "red"}`, `unknown field "colour"`},
		{"unknown shape field", head + `"A": {"type": "string", "length": 3}}}`, `unknown field "length"`},
		{"unknown type", head + `"A": {"type": "float"}}}`, `type "float" is not supported`},
		{"missing shape", head + `"A": {"type": "structure", "members": {"B": "C"}}}}`, `shape "C" does not exist`},
		{"missing member", head + `"A": {"type": "structure", "members": {}, "required": ["B"]}}}`, "required member B"},
		{"recursion", head + `"A": {"type": "structure", "members": {"L": "L"}}, "L": {"type": "list", "member": "A"}}}`, "contains itself"},
		{"pattern without re2", head + `"A": {"type": "string", "pattern": "a"}}}`, "belong together"},
		{"bad re2", head + `"A": {"type": "string", "pattern": "(", "re2": "("}}}`, "missing closing"},
		{"list of lists", head + `"A": {"type": "list", "member": "A"}}}`, "lists of list"},
		{"constrained map", head + `"K": {"type": "string", "max": 3}, "M": {"type": "map", "key": "K", "value": "K"}}}`, "only maps"},
		{"map in a request of the Query protocol", query + `"operations": {"Do": {"input": "A"}}, "shapes": {"A": {"type": "structure", "members": {"L": "L"}}, ` +
			`"L": {"type": "list", "member": "B"}, "B": {"type": "structure", "members": {"M": "M"}}, "S": {"type": "string"}, "M": {"type": "map", "key": "S", "value": "S"}}}`,
			"requests with maps"},
		{"map of structures", query + `"shapes": {"S": {"type": "string"}, "A": {"type": "structure", "members": {}}, "M": {"type": "map", "key": "S", "value": "A"}}}`, "only maps"},
		{"map by integers", query + `"shapes": {"S": {"type": "string"}, "I": {"type": "integer"}, "M": {"type": "map", "key": "I", "value": "S"}}}`, "only maps"},
		{"map of secrets", query + `"shapes": {"S": {"type": "string"}, "P": {"type": "string", "sensitive": true}, "M": {"type": "map", "key": "S", "value": "P"}}}`, "only maps"},
		{"map of integers in JSON", head + `"S": {"type": "string"}, "I": {"type": "integer"}, "M": {"type": "map", "key": "S", "value": "I"}}}`, "only maps"},
		{"extends nothing", `{"service": "x", "extends": "y.model.json"}`, "does not come before"},
		{"strange status", `{"service": "x", "errors": {"E": {"status": 302}}}`, "status 302"},
		{"duplicate shape", head + `"A": {"type": "string"}, "A": {"type": "string"}}}`, "duplicate"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "x.model.json"), []byte(tt.model), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := generate(dir, []source{{"x.model.json", public}})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want one with %q", err, tt.want)
			}
		})
	}
}

// TestSharedShapes checks that equal definitions share one Go type and different ones are told apart.
func TestSharedShapes(t *testing.T) {
	dir := t.TempDir()
	write := func(name, data string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const same = `"Same": {"type": "structure", "members": {"S": "Str"}}, "Str": {"type": "string"}`
	const op = `"protocol": "AWS JSON 1.1", "operations": {"Do": {"input": "Same"}}, "shapes": {`
	write("a.json", `{"service": "alpha", `+strings.Replace(op, "Do", "DoA", 1)+same+`, "Other": {"type": "string", "enum": ["a"]}}}`)
	write("b.json", `{"service": "beta", `+strings.Replace(op, "Do", "DoB", 1)+same+`, "Other": {"type": "string", "enum": ["b"]}}}`)
	files, err := generate(dir, []source{{"a.json", public}, {"b.json", public}})
	if err != nil {
		t.Fatal(err)
	}
	a, b := string(files["zz_alpha_gen.go"]), string(files["zz_beta_gen.go"])
	if !strings.Contains(a, "type Same struct") || strings.Contains(b, "type Same struct") {
		t.Error("Same should be declared once, with the first model")
	}
	if !strings.Contains(a, "type Other string") || !strings.Contains(b, "type BetaOther string") {
		t.Error("the second Other should be BetaOther")
	}
	if !strings.Contains(b, "new(Same)") {
		t.Error("the second model should use the first one's Same")
	}
}
