package kms_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/authz"
	"github.com/keyturn/keyturn/internal/kms"
	"github.com/keyturn/keyturn/internal/policy"
	"github.com/keyturn/keyturn/internal/service"
)

// BenchmarkAuthorize measures what authorization takes of an Encrypt by a user with 5 IAM policies, under a key with a key policy of 20
// statements and 1,000 grants. It reports the time of a decision, and its share of the operation without HTTP and signature.
func BenchmarkAuthorize(b *testing.B) {
	t := newBench(b, kms.Config{})
	defer t.close(b)
	id, _ := t.newKey(b, &api.CreateKeyRequest{})
	statements := make([]string, 0, 19)
	for i := range 19 {
		statements = append(statements, fmt.Sprintf(
			`{"Sid":"s%d","Effect":"Allow","Principal":{"AWS":"arn:aws:iam::%s:role/team-%d"},"Action":["kms:Encrypt","kms:Decrypt","kms:GenerateDataKey*"],"Resource":"*",`+
				`"Condition":{"StringEquals":{"kms:EncryptionContext:team":"%d","aws:RequestedRegion":"us-east-1"}}}`, i, account, i, i))
	}
	t.run(b, "PutKeyPolicy", &api.PutKeyPolicyRequest{KeyId: str(id), Policy: str(keyPolicy(statements...))})
	for i := range 1000 {
		t.run(b, "CreateGrant", &api.CreateGrantRequest{
			KeyId: str(id), GranteePrincipal: str(fmt.Sprintf("arn:aws:iam::%s:user/u%d", account, i)), Operations: []api.GrantOperation{"Encrypt", "Decrypt"},
		})
	}
	user := service.Caller{Account: account, ARN: ann, Type: "IAMUser", PrincipalID: "AIDAANN", UserName: "ann", Identity: &authz.Identity{}}
	for i := range 5 {
		action := []string{"s3:*", "ec2:Describe*", "kms:List*", "logs:*", "kms:Encrypt"}[i]
		p, err := policy.Parse([]byte(`{"Version":"2012-10-17","Statement":[` + strings.Repeat(`{"Effect":"Allow","Action":"iam:Get*","Resource":"*"},`, 4) +
			`{"Effect":"Allow","Action":"` + action + `","Resource":"arn:aws:kms:*:` + account + `:key/*"}]}`))
		if err != nil {
			b.Fatal(err)
		}
		user.Identity.Policies = append(user.Identity.Policies, authz.Named{Name: fmt.Sprint("p", i), Compiled: policy.Compile(p)})
	}
	caller := service.NewCaller(user)
	var spent time.Duration
	asked := 0
	t.onAsked(func(a *service.Authorization) { // the harness asks once more by itself: this one is timed
		begin := time.Now()
		if err := t.kms.Authorize(a); err != nil {
			b.Fatal(err)
		}
		spent += time.Since(begin)
		asked++
	})
	req := &api.EncryptRequest{KeyId: str(id), Plaintext: []byte("data key"), EncryptionContext: oneEntry("purpose", "bench")}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := t.as(b, caller, "kms.Encrypt", req); err != nil {
			b.Fatal(err)
		}
	}
	whole := b.Elapsed() - spent // what the operation takes with one decision
	b.ReportMetric(float64(spent.Nanoseconds())/float64(asked), "ns/decision")
	b.ReportMetric(100*float64(spent)/float64(whole), "%-of-operation")
}
