package check

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/keyturn/keyturn/internal/policy"
)

// wide makes a policy of at most size bytes, of statements made by their number.
func wide(size int, statement func(i int) string) string {
	var doc strings.Builder
	doc.WriteString(`{"Version": "2012-10-17", "Statement": [`)
	for i := 0; ; i++ {
		st := statement(i)
		if doc.Len()+len(st)+3 > size {
			break
		}
		if i > 0 {
			doc.WriteByte(',')
		}
		doc.WriteString(st)
	}
	doc.WriteString(`]}`)
	return doc.String()
}

func wideFacts(t testing.TB, doc string) *Facts {
	t.Helper()
	pol, err := policy.ParseInForce([]byte(doc))
	if err != nil {
		t.Fatal(err)
	}
	return ruleFacts(func(f *Facts) {
		f.Policy, f.Key.Description = pol, "of an enclave"
		f.IAM = &IAMAccount{Principals: []IAMPrincipal{iamRole("r")}}
	})
}

func shapes() map[string]func(i int) string {
	arn := func(i int) string { return fmt.Sprintf("arn:aws:iam::%012d:role/r", i) }
	list := func(from, n int) string {
		var arns []string
		for i := range n {
			arns = append(arns, `"`+arn(from+i)+`"`)
		}
		return strings.Join(arns, ",")
	}
	turn := func(i int, allow, deny string) string {
		if i%2 == 0 {
			return allow
		}
		return deny
	}
	return map[string]func(i int) string{
		"short statements": func(i int) string {
			return turn(i, stmt("Allow", toAll, `"*"`, ""), stmt("Deny", toAll, `"*"`, `"Bool": {"aws:SecureTransport": "false"}`))
		},
		"names": func(i int) string {
			return stmt([]string{"Allow", "Deny"}[i%2], `{"AWS": [`+list(i*100, 100)+`]}`, `"kms:*"`, "")
		},
		"exemptions": func(i int) string {
			return turn(i, stmt("Allow", toAll, `"kms:*"`, ""), stmt("Deny", toAll, `"kms:*"`, `"ArnNotEquals": {"aws:PrincipalArn": "`+arn(i)+`"}`))
		},
		"exemptions from exemptions": func(i int) string {
			return turn(i, stmt("Allow", toAll, `"kms:*"`, ""), butFor(`{"AWS": "`+arn(i)+`"}`, `"kms:*"`, `"StringNotLike": {"aws:PrincipalArn": "arn:aws:iam::1*`+fmt.Sprint(i)+`:*"}`))
		},
		"values": func(i int) string {
			return turn(i, stmt("Allow", toAll, `"kms:*"`, `"ArnLike": {"aws:PrincipalArn": [`+list(i*200, 200)+`]}`),
				stmt("Deny", toAll, `"kms:*"`, `"ArnNotLike": {"aws:PrincipalArn": [`+list(i*200, 200)+`]}`))
		},
		"patterns": func(i int) string {
			var patterns []string
			for k := range 200 {
				patterns = append(patterns, fmt.Sprintf(`"kms:*a*b*%d*"`, i*200+k))
			}
			return stmt([]string{"Allow", "Deny"}[i%2], toAdmin, `[`+strings.Join(patterns, ",")+`]`, "")
		},
		"conditions": func(i int) string {
			var keys []string
			for k := range 200 { // each a spelling of its own
				key := []byte("aws:principalorgid")
				for bit := range 9 {
					if k>>bit&1 != 0 {
						key[4+bit] -= 'a' - 'A'
					}
				}
				keys = append(keys, fmt.Sprintf(`"%s": "o-%d"`, key, i))
			}
			return stmt([]string{"Allow", "Deny"}[i%2], toAll, `"kms:*"`, `"StringEqualsIfExists": {`+strings.Join(keys, ",")+`}`)
		},
	}
}

// BenchmarkWidestPolicy runs every check of policies on the longest policies that are read, and reports how many times longer it takes
// than to parse the policy.
func BenchmarkWidestPolicy(b *testing.B) {
	s := DefaultSettings()
	for name, shape := range shapes() {
		doc := wide(policy.MaxInForceBytes, shape)
		for _, c := range slices.Concat(accessChecks, enclaveChecks, iamChecks[:1]) {
			b.Run(name+"/"+c.ID, func(b *testing.B) {
				var parsing, judging time.Duration
				for b.Loop() {
					start := time.Now()
					f := wideFacts(b, doc)
					read := time.Now()
					c.Eval(f, &s)
					parsing, judging = parsing+read.Sub(start), judging+time.Since(read)
				}
				b.ReportMetric(float64(judging)/float64(parsing), "parses")
			})
		}
	}
}

// TestWidePolicies: no check loses its way in key policies as long as they may be, and none says more of them than people read.
func TestWidePolicies(t *testing.T) {
	s := DefaultSettings()
	for name, shape := range shapes() {
		f := wideFacts(t, wide(policy.MaxKeyPolicyBytes, shape))
		for _, c := range slices.Concat(accessChecks, enclaveChecks, iamChecks[:1]) {
			v := c.Eval(f, &s)
			size := len(v.Detail)
			for _, n := range v.Notes {
				size += len(n)
			}
			if size == 0 || size > 10_000 || v.Detail == "" || len(v.Notes) > 2*maxNotes+2 || slices.Contains(v.Notes, "") {
				t.Errorf("%s of %s: %d bytes in %d notes", c.ID, name, size, len(v.Notes))
			}
		}
	}
}
