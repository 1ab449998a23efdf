package policy

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// keyPolicy20 is a key policy of 20 statements such as large accounts have.
func keyPolicy20(t testing.TB) *Compiled {
	t.Helper()
	statements := []string{
		`{"Sid":"Root","Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111122223333:root"},"Action":"kms:*","Resource":"*"}`,
		`{"Sid":"MFA","Effect":"Deny","Principal":"*","Action":["kms:ScheduleKeyDeletion","kms:DeleteImportedKeyMaterial"],"Resource":"*",
			"Condition":{"BoolIfExists":{"aws:MultiFactorAuthPresent":"false"}}}`,
		`{"Sid":"TLS","Effect":"Deny","Principal":"*","Action":"kms:*","Resource":"*","Condition":{"Bool":{"aws:SecureTransport":"false"}}}`,
		`{"Sid":"Networks","Effect":"Deny","Principal":"*","Action":"kms:*","Resource":"*","Condition":{"NotIpAddress":
			{"aws:SourceIp":["10.0.0.0/8","192.0.2.0/24","203.0.113.0/24","2001:db8::/32"]},"Bool":{"aws:ViaAWSService":"false"}}}`,
		`{"Sid":"Admins","Effect":"Allow","Principal":{"AWS":["arn:aws:iam::111122223333:role/Admin","arn:aws:iam::111122223333:role/Break"]},
			"Action":["kms:Create*","kms:Describe*","kms:Enable*","kms:List*","kms:Put*","kms:Update*","kms:Revoke*","kms:Disable*","kms:Get*",
			"kms:Delete*","kms:TagResource","kms:UntagResource","kms:ScheduleKeyDeletion","kms:CancelKeyDeletion"],"Resource":"*"}`,
		`{"Sid":"Grants","Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111122223333:role/team/Deploy"},"Action":["kms:CreateGrant","kms:ListGrants"],
			"Resource":"*","Condition":{"Bool":{"kms:GrantIsForAWSResource":true}}}`,
		`{"Sid":"Logs","Effect":"Allow","Principal":{"Service":"logs.us-east-1.amazonaws.com"},"Action":["kms:Encrypt*","kms:Decrypt*"],"Resource":"*",
			"Condition":{"ArnLike":{"kms:EncryptionContext:aws:logs:arn":"arn:aws:logs:us-east-1:111122223333:log-group:*"}}}`,
		`{"Sid":"Tagged","Effect":"Allow","Principal":"*","Action":"kms:Decrypt","Resource":"*","Condition":{"StringEquals":
			{"aws:PrincipalTag/Team":"${kms:EncryptionContext:Team}","aws:PrincipalAccount":"111122223333"}}}`,
	}
	for i := len(statements); i < 20; i++ {
		statements = append(statements, fmt.Sprintf(`{"Sid":"App%d","Effect":"Allow","Principal":{"AWS":["arn:aws:iam::111122223333:role/team/App%[1]d",
			"arn:aws:iam::111122223333:role/team/Deploy"]},"Action":["kms:Encrypt","kms:Decrypt","kms:ReEncrypt*","kms:GenerateDataKey*","kms:DescribeKey"],
			"Resource":"*","Condition":{"StringEquals":{"kms:EncryptionContext:AppName":"App%[1]d"},"StringLike":{"kms:ViaService":"s3.*.amazonaws.com"}}}`, i))
	}
	p, err := ParseKeyPolicy([]byte(`{"Version":"2012-10-17","Statement":[` + strings.Join(statements, ",") + `]}`))
	if err != nil {
		t.Fatal(err)
	}
	return Compile(p)
}

func decryptRequest() *Request {
	return &Request{Who: deploy, Action: "kms:Decrypt", Resource: keyARN, Value: context{
		"aws:securetransport": {"true"}, "aws:sourceip": {"10.1.2.3"}, "aws:viaawsservice": {"false"}, "aws:principalaccount": {"111122223333"},
		"aws:principaltag/team": {"payments"}, "kms:encryptioncontext:team": {"payments"}, "kms:encryptioncontext:appname": {"App17"},
		"kms:viaservice": {"s3.us-east-1.amazonaws.com"},
	}.value}
}

func TestKeyPolicy20(t *testing.T) {
	p, out := keyPolicy20(t), Outcome{}
	p.EvaluateInto(decryptRequest(), &out)
	if want := []Ref{{0, "Root", Account}, {7, "Tagged", Everybody}, {17, "App17", Direct}}; !slices.Equal(out.Allow, want) || len(out.Deny) != 0 {
		t.Errorf("%v, want %v allowed", out, want)
	}
	// Whoever keeps an Outcome pays for no memory.
	request := decryptRequest()
	if n := testing.AllocsPerRun(100, func() {
		out.Allow, out.Deny = out.Allow[:0], out.Deny[:0]
		p.EvaluateInto(request, &out)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// TestEvaluateConcurrently is for the race detector.
func TestEvaluateConcurrently(t *testing.T) {
	p, request := keyPolicy20(t), decryptRequest()
	want := p.Evaluate(request)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 100 {
				if got := p.Evaluate(request); !slices.Equal(got.Allow, want.Allow) || !slices.Equal(got.Deny, want.Deny) {
					t.Errorf("%v, want %v", got, want)
				}
				p.EvaluateIdentity(request)
				p.NeedsValue("aws:sourceip")
			}
		})
	}
	wg.Wait()
}

// BenchmarkEvaluate reports its time also as a share of hashing 4 KiB, which does not change.
func BenchmarkEvaluate(b *testing.B) {
	p, request, out := keyPolicy20(b), decryptRequest(), Outcome{}
	b.ReportAllocs()
	for b.Loop() {
		out.Allow, out.Deny = out.Allow[:0], out.Deny[:0]
		p.EvaluateInto(request, &out)
	}
	evaluating := b.Elapsed()
	const hashes = 2000
	data, start := make([]byte, 4<<10), time.Now()
	for range hashes {
		sum := sha256.Sum256(data)
		data[0] = sum[0]
	}
	hashing := time.Since(start)
	b.ReportMetric(float64(evaluating)/float64(b.N)/(float64(hashing)/hashes), "evaluate/sha256-4KiB")
}
