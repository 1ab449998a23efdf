package sigv4

import (
	"bytes"
	"crypto/sha256"
	"strings"
	"testing"

	signer "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// benchRequest is a KMS request of usual size: 7 signed headers, a body of 300 bytes.
func benchRequest(b *testing.B, keyID string) *Input {
	body := `{"KeyId":"alias/app","Plaintext":"` + strings.Repeat("A", 264) + `"}`
	r := newHTTP(b, "/", body)
	r.Header.Set("Amz-Sdk-Invocation-Id", "3ee7f1a1-5f4b-4a87-a31f-cd5ee4b7a2d1")
	r.Header.Set("Amz-Sdk-Request", "attempt=1; max=3")
	r.Header.Set("Accept-Encoding", "identity")
	if err := signer.NewSigner().SignHTTP(b.Context(), credentialsOf(keyID), r, hexSum(body), "kms", "eu-central-1", testNow); err != nil {
		b.Fatal(err)
	}
	return toInput(r, body)
}

// BenchmarkVerify has SHA-256 over the same number of bytes as its yardstick: the floor under any verification.
func BenchmarkVerify(b *testing.B) {
	in := benchRequest(b, testKeyID)
	v := New(testConfig())
	verify := func(b *testing.B, in *Input) {
		for b.Loop() {
			if _, err := v.Verify(b.Context(), in, testNow, "kms"); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.Run("header", func(b *testing.B) { b.ReportAllocs(); verify(b, in) })
	b.Run("session", func(b *testing.B) { b.ReportAllocs(); verify(b, benchRequest(b, testTempID)) })
	b.Run("presigned", func(b *testing.B) { b.ReportAllocs(); verify(b, presigned(b, testKeyID, "kms", "60", testNow)) })
	b.Run("parallel", func(b *testing.B) {
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if _, err := v.Verify(b.Context(), in, testNow, "kms"); err != nil {
					b.Error(err)
					return
				}
			}
		})
	})
	b.Run("unknown", func(b *testing.B) {
		b.ReportAllocs()
		d := newDraft()
		d.keyID = "AKIDNOBODY"
		stranger := d.header()
		for b.Loop() {
			if _, err := v.Verify(b.Context(), stranger, testNow, "kms"); err == nil {
				b.Fatal("accepted")
			}
		}
	})
	b.Run("floor", func(b *testing.B) {
		var s scratch
		if err := s.parse(in); err != nil {
			b.Fatal(err)
		}
		if err := s.canonicalize(in); err != nil {
			b.Fatal(err)
		}
		canonical, body := bytes.Clone(s.buf), in.Body
		toSign := s.stringToSign()
		for b.Loop() {
			sha256.Sum256(body)
			sha256.Sum256(canonical)
			sha256.Sum256(toSign)
			sha256.Sum256(body[:32])
		}
	})
}

// The hot path allocates the Identity and nothing else; one more is left to a collection that empties the pools.
func TestAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("allocations cannot be counted under the race detector")
	}
	in := newDraft().header()
	v := New(testConfig())
	got := testing.AllocsPerRun(200, func() {
		if _, err := v.Verify(t.Context(), in, testNow, "kms"); err != nil {
			t.Fatal(err)
		}
	})
	if got > 2 {
		t.Errorf("%.0f allocations, want at most 2", got)
	}
}
