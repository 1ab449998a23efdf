package report

import (
	"crypto/sha256"
	"encoding/base64"
	"regexp"
	"strings"
	"testing"

	"github.com/keyturn/keyturn/internal/check"
)

func TestMarkdownIsText(t *testing.T) {
	for in, want := range map[string]string{
		"<b>&amp;":            "&lt;b&gt;&amp;amp;",
		"a|b":                 `a\|b`,
		"[x](y)":              `\[x\](y)`,
		"@all":                "\\@\u200ball",
		"fixes #12":           "fixes \\#\u200b12",
		"https://example.org": "https:\u200b//example.org",
		"- a":                 `\- a`,
		"1. a":                `1\. a`,
		"1.2.3":               "1.2.3",
		"eu-central-1":        "eu-central-1",
		"a\nb":                "a b",
	} {
		if got := escape(in); got != want {
			t.Errorf("%q is written as %q, want %q", in, got, want)
		}
	}
	for in, want := range map[string]string{"a": "`a`", "a`b": "``a`b``", "`a": "`` `a ``", "a|b": "`a¦b`"} {
		if got := codeSpan(in); got != want {
			t.Errorf("%q in code is %q, want %q", in, got, want)
		}
	}
	if got := fence("```\nx", "sh"); got != "````sh\n```\nx\n````" {
		t.Errorf("a fence is %q", got)
	}
}

func TestCommandsAreQuoted(t *testing.T) {
	got := command([]string{"aws", "--key-id", "a b", "it's", "$(x)", ""})
	if want := `aws --key-id 'a b' 'it'\''s' '$(x)' ''`; got != want {
		t.Errorf("the command is %s, want %s", got, want)
	}
}

func TestHTMLPolicy(t *testing.T) {
	out := write(t, "html", Options{}, sampleFindings())
	policy := regexp.MustCompile(`http-equiv="Content-Security-Policy" content="([^"]*)"`).FindStringSubmatch(out)
	if policy == nil {
		t.Fatal("the page has no Content-Security-Policy")
	}
	allowed := strings.NewReplacer("&#39;", "'", "&#43;", "+").Replace(policy[1])
	if !strings.HasPrefix(allowed, "default-src 'none';") || strings.Contains(allowed, "unsafe") {
		t.Errorf("the policy is %s", allowed)
	}
	for _, tag := range []string{"style", "script"} {
		blocks := regexp.MustCompile(`(?s)<`+tag+`>(.*?)</`+tag+`>`).FindAllStringSubmatch(out, -1)
		if len(blocks) != 1 {
			t.Fatalf("the page has %d elements %s", len(blocks), tag)
		}
		sum := sha256.Sum256([]byte(blocks[0][1]))
		if !strings.Contains(allowed, tag+"-src 'sha256-"+base64.StdEncoding.EncodeToString(sum[:])+"'") {
			t.Errorf("the policy %s does not allow the page's own %s", allowed, tag)
		}
	}
	tags := regexp.MustCompile(`<[a-z][^>]*>`).FindAllString(regexp.MustCompile(`="[^"]*"`).ReplaceAllString(out, "=_"), -1)
	if len(tags) < 200 {
		t.Fatalf("only %d tags were found", len(tags))
	}
	for _, tag := range tags {
		if regexp.MustCompile(`\s(on[a-z]+|style)=`).MatchString(tag) {
			t.Errorf("%s has an attribute that the policy forbids", tag)
		}
	}
	if strings.Contains(out, "<img") || strings.Contains(out, "ZgotmplZ") {
		t.Error("an alias became an element, or the template refused one of its values")
	}
}

func TestHTMLLimit(t *testing.T) {
	var findings []*check.Finding
	for range htmlRows {
		f := *sampleFindings()[1]
		findings = append(findings, &f)
	}
	findings = append(findings, sampleFindings()...)
	out := write(t, "html", Options{}, findings)
	if n := strings.Count(out, "data-severity="); n != htmlRows {
		t.Errorf("the page lists %d findings", n)
	}
	if !strings.Contains(out, "The page lists 5000 of 5015 findings") {
		t.Error("the page does not say what it leaves out")
	}
	// Passes give way, whenever they came.
	if n := strings.Count(out, `<tr class="fail"`); n != 5 {
		t.Errorf("%d failures of 5 are listed", n)
	}
}

func TestTimelineChoosesFailures(t *testing.T) {
	var k keyring
	for i := range keyringKeys + 100 {
		f := sampleFindings()[1]
		f.Resource.ARN += string(rune('a'+i%26)) + itoa(i)
		if i >= keyringKeys+50 {
			f.Status, f.Resource.Rotation = check.Fail, &check.Turn{}
		}
		k.add(f)
	}
	if len(k.byARN) != keyringKeys {
		t.Errorf("%d keys are remembered", len(k.byARN))
	}
	l := k.timeline(day(2026, 11, 20), 700)
	if len(l.Lanes) != timelineKeys || l.Lanes[49].State != "off" || l.Lanes[50].State != "every 365 d" || l.Keys != 700 {
		t.Errorf("the timeline has %d lanes, the 50th %+v", len(l.Lanes), l.Lanes[49])
	}
	if lane := l.Lanes[50]; len(lane.Dots) != 3 || !lane.Promised || lane.Next == "" || lane.Text == "" {
		t.Errorf("a lane is %+v", lane)
	}
	if (&keyring{}).timeline(day(2026, 11, 20), 0) != nil {
		t.Error("there is a timeline of no key")
	}
}
