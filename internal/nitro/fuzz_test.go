package nitro

import (
	"bytes"
	"errors"
	"os"
	"reflect"
	"slices"
	"testing"

	"github.com/keyturn/keyturn/internal/nitro/nitrotest"
)

// FuzzVerify changes a good document. What verifies must have the payload that was signed, and say what it says: only the
// signature has a second form, (r, n-s), and the whole a tag or none.
func FuzzVerify(f *testing.F) {
	p := testPKI()
	v := testVerifier(f, p)
	good := testDocument(f, p, testClaims(f))
	signed, err := parseMessage(good)
	if err != nil {
		f.Fatal(err)
	}
	want, err := v.Verify(good, testNow)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add(append([]byte{coseSign1Tag}, good...))
	for _, file := range []string{"enclave-2024.cose", "enclave-2026.cose"} {
		genuine, err := os.ReadFile("testdata/" + file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(genuine)
	}
	f.Fuzz(func(t *testing.T, document []byte) {
		got, err := v.Verify(document, testNow)
		if err != nil {
			wantAReason(t, err)
			return
		}
		m, err := parseMessage(document)
		if err != nil {
			t.Fatalf("verified, but %v", err)
		}
		if !bytes.Equal(m.payload, signed.payload) || !reflect.DeepEqual(got, want) {
			t.Errorf("verified, but nobody signed %x", m.payload)
		}
	})
}

// FuzzPayload reads payloads as they are behind the signature. What is read must keep the rules, and must be read the same again
// after it is encoded anew.
func FuzzPayload(f *testing.F) {
	fields := testPKI().Fields(testClaims(f))
	good, err := nitrotest.EncodePayload(fields)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add(mustCBOR(f, fields))
	delete(fields, "nonce")
	f.Add(mustCBOR(f, fields))
	f.Fuzz(func(t *testing.T, encoded []byte) {
		p, err := parsePayload(encoded)
		if err != nil {
			wantAReason(t, err)
			return
		}
		if p.moduleID == "" || p.timestamp.UnixMilli() < 1 || len(p.pcrs) < 1 || len(p.pcrs) > 32 || len(p.bundle) < 1 {
			t.Errorf("read %+v", p)
		}
		for i, pcr := range p.pcrs {
			if i < 0 || i > 31 || len(pcr) != 32 && len(pcr) != 48 && len(pcr) != 64 {
				t.Errorf("read PCR%d of %d bytes", i, len(pcr))
			}
		}
		for _, cert := range append([][]byte{p.certificate}, p.bundle...) {
			if len(cert) < 1 || len(cert) > 1024 {
				t.Errorf("read a certificate of %d bytes", len(cert))
			}
		}
		if p.publicKey != nil && len(p.publicKey) == 0 || len(p.publicKey) > 1024 || len(p.userData) > 1024 || len(p.nonce) > 1024 {
			t.Errorf("read %+v", p)
		}
		again, err := nitrotest.EncodePayload(map[string]any{
			"module_id": p.moduleID, "digest": "SHA384", "timestamp": p.timestamp.UnixMilli(), "pcrs": p.pcrs,
			"certificate": p.certificate, "cabundle": p.bundle,
			"public_key": p.publicKey, "user_data": p.userData, "nonce": p.nonce,
		})
		if err != nil {
			t.Fatal(err)
		}
		if q, err := parsePayload(again); err != nil || !reflect.DeepEqual(p, q) {
			t.Errorf("read %+v, encoded and read again %+v, %v", p, q, err)
		}
	})
}

// wantAReason checks that err is one of the documented ones.
func wantAReason(t *testing.T, err error) {
	t.Helper()
	if !slices.ContainsFunc(reasons, func(reason error) bool { return errors.Is(err, reason) }) {
		t.Errorf("an error without a reason: %v", err)
	}
}
