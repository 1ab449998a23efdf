package check

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"
)

// severities is what every check's failure weighs: people set --fail-on by it, so that a change has to be meant.
var severities = map[string]Severity{
	"rotation-enabled": Medium, "manual-rotation": Medium, "rotation-period": Low, "rotation-overdue": High,
	"on-demand-limit": Low, "import-expiry": High,
	"key-enabled": Low, "pending-deletion": Critical, "unused-key": Low, "has-alias": Low, "has-owner": Low,
	"blast-radius": Medium, "replicas-agree": Medium, "multi-region": Informational,
	"policy-public": Critical, "policy-unknown-account": High, "policy-lockout": High, "policy-mfa-deletion": Low, "policy-wildcard-admin": Medium,
	"enclave-attestation": High, "enclave-bypass": High,
	"iam-enable-rotation": Medium, "rotation-events": Low,
	"cost": Informational,
}

func TestSeverities(t *testing.T) {
	got := map[string]Severity{}
	for _, c := range All() {
		got[c.ID] = c.Severity
		if want, ok := severities[c.ID]; !ok {
			t.Errorf("%s (%s) is not in the table", c.ID, c.Severity)
		} else if c.Severity != want {
			t.Errorf("%s is %s, want %s", c.ID, c.Severity, want)
		}
	}
	for id := range severities {
		if _, ok := got[id]; !ok {
			t.Errorf("there is no check %s", id)
		}
	}
}

func TestCatalog(t *testing.T) {
	kebab := regexp.MustCompile(`^[a-z]+(-[a-z]+)*$`)
	calls := []Call{GetKeyRotationStatus, ListKeyRotations, GetKeyPolicy, ListAliases, ListResourceTags, GetKeyLastUsage, Replicas,
		IAMPolicies, RotationEvents}
	seen := map[string]bool{}
	for _, c := range All() {
		t.Run(c.ID, func(t *testing.T) {
			if !kebab.MatchString(c.ID) {
				t.Errorf("%q is not in kebab case", c.ID)
			}
			if seen[c.ID] {
				t.Errorf("%s is there twice", c.ID)
			}
			seen[c.ID] = true
			if ByID(c.ID) != c {
				t.Errorf("%s is not found by its ID", c.ID)
			}
			if c.Severity < Informational || c.Severity > Critical {
				t.Errorf("severity %d", c.Severity)
			}
			if c.Title == "" || strings.HasSuffix(c.Title, ".") {
				t.Errorf("title %q: want a sentence without a full stop", c.Title)
			}
			if c.Eval == nil {
				t.Error("no Eval")
			}
			for _, n := range c.Needs {
				if !slices.Contains(calls, n) {
					t.Errorf("needs %q, which nothing reads", n)
				}
			}
			checkControls(t, c)
			checkTexts(t, c)
		})
	}
}

func checkControls(t *testing.T, c *Check) {
	frameworks := []string{CIS, NIST80053, NIST80057, PCIDSS, HIPAA, SOC2, ISO27001, SecurityHub, Prowler}
	for i, x := range c.Controls {
		if !slices.Contains(frameworks, x.Framework) || x.ID == "" {
			t.Errorf("control %+v: want a known framework and an ID", x)
		}
		if edition := editions[x.Framework]; edition != "" && x.Version != edition {
			t.Errorf("control %+v: want version %s", x, edition)
		}
		if x.Framework == CIS && x.Version == "" {
			t.Errorf("control %+v: want a version, since numbers change", x)
		}
		if slices.Contains(c.Controls[:i], x) {
			t.Errorf("control %+v is there twice", x)
		}
	}
}

func checkTexts(t *testing.T, c *Check) {
	for name, text := range map[string]string{
		"Why": c.Why, "Text": c.Fix.Text, "Console": c.Fix.Console, "CLI": c.Fix.CLI, "CloudFormation": c.Fix.CloudFormation,
		"Terraform": c.Fix.Terraform, "URL": c.Fix.URL,
	} {
		if strings.TrimSpace(text) == "" {
			t.Errorf("%s is empty", name)
		}
		if strings.Contains(text, "\t") {
			t.Errorf("%s has a tab", name)
		}
	}
	for name, text := range map[string]string{"Why": c.Why, "Text": c.Fix.Text, "Console": c.Fix.Console} {
		if !strings.HasSuffix(text, ".") {
			t.Errorf("%s does not end with a full stop: %q", name, text)
		}
	}
	if !strings.HasPrefix(c.Fix.CLI, "aws ") {
		t.Errorf("CLI does not begin with aws: %q", c.Fix.CLI)
	}
	if !strings.HasPrefix(c.Fix.URL, "https://docs.aws.amazon.com/") && !strings.HasPrefix(c.Fix.URL, "https://aws.amazon.com/") {
		t.Errorf("URL %q is not of AWS's documentation", c.Fix.URL)
	}
	var resources map[string]struct {
		Type string `yaml:"Type"`
	}
	if err := yaml.Unmarshal([]byte(c.Fix.CloudFormation), &resources); err != nil {
		t.Fatalf("CloudFormation: %v", err)
	}
	for name, r := range resources {
		if !strings.HasPrefix(r.Type, "AWS::") {
			t.Errorf("CloudFormation: %s has type %q", name, r.Type)
		}
	}
	if o, c := strings.Count(c.Fix.Terraform, "{"), strings.Count(c.Fix.Terraform, "}"); o != c {
		t.Errorf("Terraform: %d braces open, %d close", o, c)
	}
}

// The benchmark's only word on key rotation is answered by one check, under every number it had.
func TestCISRotation(t *testing.T) {
	want := map[string]string{"1.4.0": "3.8", "1.5.0": "3.8", "2.0.0": "3.8", "3.0.0": "3.6", "4.0.0": "3.6", "5.0.0": "3.6", "6.0.0": "4.6", "7.0.0": "4.6"}
	got := map[string]string{}
	for _, x := range ByID("rotation-enabled").Controls {
		if x.Framework == CIS {
			got[x.Version] = x.ID
		}
	}
	for version, id := range want {
		if got[version] != id {
			t.Errorf("version %s: %q, want %s", version, got[version], id)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%v, want %v", got, want)
	}
}
