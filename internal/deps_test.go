// Package internal_test checks which package may import which.
package internal_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/keyturn/keyturn/"

// allowed lists, for each package, the packages of this module it may import, tests left out. A new edge is a decision: leaves
// import no adapter and little of each other; engines import their interface only; only the command, and what measures it, sees everything.
var allowed = map[string]string{
	// Leaves.
	"internal/api":             "",
	"internal/audit":           "internal/disk",
	"internal/authz":           "internal/policy",
	"internal/clock":           "",
	"internal/cms":             "",
	"internal/disk":            "",
	"internal/disk/disktest":   "internal/disk",
	"internal/egress":          "",
	"internal/hsm":             "internal/hsm/hsmwire",
	"internal/hsm/hsmwire":     "",
	"internal/keys":            "internal/xaes",
	"internal/keywrap":         "",
	"internal/nitro":           "",
	"internal/nitro/nitrotest": "",
	"internal/oidc":            "",
	"internal/policy":          "",
	"internal/record":          "internal/keys internal/xaes",
	"internal/seal":            "internal/disk internal/keys internal/store internal/xaes",
	"internal/sigv4":           "",
	"internal/store":           "",
	"internal/throttle":        "",
	"internal/xaes":            "",
	"internal/xks":             "internal/sigv4",

	// Engines, and what tests them.
	"internal/store/boltstore": "internal/disk internal/store",
	"internal/store/memstore":  "internal/store",
	"internal/store/storetest": "internal/store",

	// Seal providers that bring a library along, and the front door of a sealed server.
	"internal/seal/awskms": "internal/seal internal/xaes",
	"internal/seal/shamir": "internal/seal",
	"internal/unseal":      "internal/audit internal/seal internal/seal/awskms",

	// The pipeline, and the operations.
	"internal/service":  "internal/api internal/audit internal/authz internal/clock internal/keys internal/policy internal/record internal/store internal/throttle",
	"internal/kms":      "internal/api internal/audit internal/authz internal/cms internal/identity internal/keys internal/keywrap internal/nitro internal/policy internal/record internal/service internal/throttle internal/xaes",
	"internal/identity": "internal/api internal/audit internal/authz internal/policy internal/record internal/service",
	"internal/iam":      "internal/api internal/audit internal/authz internal/identity internal/policy internal/record internal/service",
	"internal/accounts": "internal/api internal/audit internal/identity internal/record internal/service",
	"internal/operator": "internal/accounts internal/api internal/audit internal/backup internal/record internal/seal internal/service internal/store internal/verify",
	"internal/backup":   "internal/api internal/audit internal/clock internal/disk internal/keys internal/record internal/seal internal/service internal/store internal/xaes",
	"internal/sts":      "internal/api internal/audit internal/identity internal/oidc internal/policy internal/record internal/service",

	// The process that loads PKCS #11 modules, and what tests it.
	"cmd/keyturn-pkcs11":            "*", // with cgo; without, it imports nothing
	"internal/hsm/helper":           "internal/hsm/hsmwire",
	"internal/hsm/helper/softtoken": "internal/hsm/helper",
	"internal/hsm/hsmtest":          "internal/hsm",

	// What drives them.
	"internal/keystores":      "internal/egress internal/hsm internal/keys internal/kms internal/record internal/xks",
	"internal/oidc/oidctest":  "",
	"internal/oidc/discovery": "internal/egress internal/oidc",
	"internal/ekm":            "internal/api internal/keys internal/kms internal/service internal/xks",
	"internal/schedule":       "internal/api internal/audit internal/clock internal/kms internal/record internal/service internal/store",
	"internal/wire":           "internal/api internal/audit internal/keys internal/service internal/sigv4 internal/store",

	"internal/telemetry": "internal/api internal/audit internal/record internal/schedule internal/service internal/store internal/wire",

	// The checks: a core that only decides, and what it reads from and writes to.
	"internal/check":        "internal/policy",
	"internal/check/awsapi": "internal/check internal/policy internal/record",
	"internal/check/inside": "internal/api internal/audit internal/check internal/record internal/service",
	"internal/check/report": "internal/check",

	// Verification of a store and its audit log.
	"internal/verify":            "internal/audit internal/keys internal/record internal/seal internal/store",
	"internal/verify/verifytest": "internal/audit internal/seal internal/verify",

	// The doctor: a core that only judges, and what gathers the facts.
	"internal/doctor":       "",
	"internal/doctor/probe": "internal/audit internal/doctor internal/store internal/store/boltstore",

	// Tools.
	"internal/api/gen":   "",
	"cmd/keyturn":        "*",
	"bench":              "*", // puts a server together, as the command does
	"conformance/policy": "internal/authz internal/policy",
	"torture/patch":      "",
}

// banned lists what a package, with all it imports, must not reach.
var banned = map[string][]string{
	"internal/service":  {"net/http", module + "internal/store/"},
	"internal/kms":      {"net/http", module + "internal/store/"},
	"internal/sts":      {"net/http", module + "internal/store/"},
	"internal/identity": {"net/http", module + "internal/store/"},
	"internal/iam":      {"net/http", module + "internal/store/"},
	"internal/accounts": {"net/http", module + "internal/store/"},
	"internal/backup":   {"net/http", module + "internal/store/"},
	"internal/schedule": {"net/http", module + "internal/store/"},
	"internal/oidc":     {"net/http", "os/exec", "log"},
	"internal/policy":   {"net/http", "os/exec"},
	"internal/authz":    {"net/http", "os/exec"},
	"internal/check":    {"net/http", "os/exec"},
	"internal/doctor":   {"net/http", "os/exec"},
	"internal/keys":     {"net/http", "os/exec", "log"},
	"internal/throttle": {"net/http", "os/exec", "log"},
	"internal/xaes":     {"net/http", "os/exec", "log"},
	"internal/record":   {"net/http", "os/exec", "log"},
}

// listed is what go list says of a package.
type listed struct {
	ImportPath string
	Imports    []string
	Deps       []string
	CgoFiles   []string
}

func list(t *testing.T) []listed {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Imports,Deps,CgoFiles", module+"...")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.Bytes())
	}
	var packages []listed
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return packages
		} else if err != nil {
			t.Fatal(err)
		}
		packages = append(packages, p)
	}
}

func TestImports(t *testing.T) {
	seen := map[string]bool{}
	for _, p := range list(t) {
		name := strings.TrimPrefix(p.ImportPath, module)
		seen[name] = true
		edges, ok := allowed[name]
		if !ok {
			if len(p.Imports) > 0 { // a folder of tests has none
				t.Errorf("%s is not in the table of allowed imports", name)
			}
			continue
		}
		for _, imp := range p.Imports {
			own, ok := strings.CutPrefix(imp, module)
			if ok && edges != "*" && !slices.Contains(strings.Fields(edges), own) {
				t.Errorf("%s imports %s, which the table does not allow", name, own)
			}
		}
		for _, edge := range strings.Fields(edges) {
			if edge != "*" && !slices.Contains(p.Imports, module+edge) {
				t.Errorf("%s does not import %s any more: take it out of the table", name, edge)
			}
		}
		for _, dep := range p.Deps {
			for _, ban := range banned[name] {
				if dep == ban || strings.HasSuffix(ban, "/") && strings.HasPrefix(dep, ban) {
					t.Errorf("%s reaches %s", name, dep)
				}
			}
		}
		if len(p.CgoFiles) > 0 && name != "cmd/keyturn-pkcs11" { // the only one, in a process of its own
			t.Errorf("%s uses cgo: %v", name, p.CgoFiles)
		}
	}
	for name := range allowed {
		if !seen[name] {
			t.Errorf("%s is in the table, but not there", name)
		}
	}
}
