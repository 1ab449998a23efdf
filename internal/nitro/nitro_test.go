package nitro

import (
	"bytes"
	"crypto/rsa"
	"crypto/x509"
	"encoding/hex"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/keyturn/keyturn/internal/nitro/nitrotest"
)

func TestVerify(t *testing.T) {
	p := testPKI()
	v := testVerifier(t, p)
	claims := testClaims(t)
	document := testDocument(t, p, claims)
	tagged := append([]byte{coseSign1Tag}, document...)
	for name, document := range map[string][]byte{"untagged": document, "tagged": tagged} {
		t.Run(name, func(t *testing.T) {
			d, err := v.Verify(document, testNow)
			if err != nil {
				t.Fatal(err)
			}
			if d.ModuleID != nitrotest.ModuleID || !d.Timestamp.Equal(claims.Timestamp) || d.Timestamp.Location() != time.UTC {
				t.Errorf("got %q of %v", d.ModuleID, d.Timestamp)
			}
			if !d.PublicKey.Equal(&testKey().PublicKey) {
				t.Error("another public key")
			}
			if string(d.UserData) != "user data" || string(d.Nonce) != "nonce" {
				t.Errorf("user data %q, nonce %q", d.UserData, d.Nonce)
			}
			if len(d.PCRs) != 16 || !bytes.Equal(d.PCRs[3], nitrotest.PCR("PCR3")) {
				t.Errorf("PCRs %v", d.PCRs)
			}
		})
	}
}

func TestVerifyOptionalFields(t *testing.T) {
	p := testPKI()
	v := testVerifier(t, p)
	for name, tt := range map[string]struct {
		value any // of user_data and nonce; absent if false
		want  []byte
	}{
		"absent":     {false, nil},
		"null":       {nil, nil},
		"empty":      {[]byte{}, []byte{}},
		"1024 bytes": {make([]byte, 1024), make([]byte, 1024)},
	} {
		t.Run(name, func(t *testing.T) {
			fields := p.Fields(testClaims(t))
			for _, field := range []string{"user_data", "nonce"} {
				fields[field] = tt.value
				if tt.value == false {
					delete(fields, field)
				}
			}
			d, err := v.Verify(signFields(t, p, fields), testNow)
			if err != nil {
				t.Fatal(err)
			}
			for _, got := range [][]byte{d.UserData, d.Nonce} {
				if !bytes.Equal(got, tt.want) || (got == nil) != (tt.want == nil) {
					t.Errorf("got %x, want %x", got, tt.want)
				}
			}
		})
	}
}

func TestFreshness(t *testing.T) {
	p := testPKI()
	document := testDocument(t, p, testClaims(t)) // made at testNow less a second
	made := testNow.Add(-time.Second)
	for name, tt := range map[string]struct {
		maxAge time.Duration
		now    time.Time
		want   string // "" if it verifies
	}{
		"default, at the limit":    {0, made.Add(5 * time.Minute), ""},
		"default, past it":         {0, made.Add(5*time.Minute + time.Millisecond), "made more than 5m0s ago"},
		"ten minutes, at limit":    {10 * time.Minute, made.Add(10 * time.Minute), ""},
		"ten minutes, past it":     {10 * time.Minute, made.Add(10*time.Minute + 1), "made more than 10m0s ago"},
		"a minute from the future": {0, made.Add(-time.Minute), ""},
		"more":                     {0, made.Add(-time.Minute - time.Millisecond), "in the future"},
	} {
		t.Run(name, func(t *testing.T) {
			v, err := New(Config{Roots: p.Roots(), MaxAge: tt.maxAge})
			if err != nil {
				t.Fatal(err)
			}
			_, err = v.Verify(document, tt.now)
			if tt.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			wantRefusal(t, err, ErrStale, tt.want)
		})
	}
	t.Run("no time at all", func(t *testing.T) {
		if _, err := testVerifier(t, p).Verify(document, time.Time{}); err == nil {
			t.Error("verified")
		}
	})
}

func TestConfig(t *testing.T) {
	if _, err := New(Config{MaxAge: -1}); err == nil {
		t.Error("a negative MaxAge was taken")
	}
	v, err := New(Config{}) // trusts AWS, and not the PKI of the tests
	if err != nil {
		t.Fatal(err)
	}
	_, err = v.Verify(testDocument(t, testPKI(), testClaims(t)), testNow)
	wantRefusal(t, err, ErrChain, "do not lead to a trusted root")
}

// TestNoTrust checks that a pool without roots trusts nobody, rather than the system's roots.
func TestNoTrust(t *testing.T) {
	v, err := New(Config{Roots: x509.NewCertPool()})
	if err != nil {
		t.Fatal(err)
	}
	_, err = v.Verify(testDocument(t, testPKI(), testClaims(t)), testNow)
	wantRefusal(t, err, ErrChain, "do not lead to a trusted root")
}

// TestRealDocuments verifies documents of the Nitro hypervisor under the root of AWS. All that is wrong with them is the last
// thing looked at, their public keys.
func TestRealDocuments(t *testing.T) {
	v, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		file, module, pcr0, key string
		nonce                   int
	}{
		{
			"enclave-2026.cose", "i-0761a4cbcc7632aef-enc019c320cb32f6b7a",
			"6165855369654a587bdad59fa532f430d7defa38ecf57eeac6d29c7e87a32b621891862d04fb64423f6bb1e1626fc026",
			"there is none", 32,
		},
		{
			"enclave-2024.cose", "i-0a22e5c5f24d22174-enc0191cceb4289903f",
			"e72a46ca80a260fb044a125442f0c7e331813bcbaf9724d9f3857758992766f2d65710a27aa94ae3949dd54e7c9fe86a",
			"not a SubjectPublicKeyInfo", 1024,
		},
	} {
		t.Run(tt.file, func(t *testing.T) {
			document, err := os.ReadFile("testdata/" + tt.file)
			if err != nil {
				t.Fatal(err)
			}
			m, err := parseMessage(document)
			if err != nil {
				t.Fatal(err)
			}
			p, err := parsePayload(m.payload)
			if err != nil {
				t.Fatal(err)
			}
			if p.moduleID != tt.module || hex.EncodeToString(p.pcrs[0]) != tt.pcr0 || len(p.pcrs) != 16 || len(p.nonce) != tt.nonce {
				t.Errorf("got %q, PCR0 %x, %d PCRs, a nonce of %d bytes", p.moduleID, p.pcrs[0], len(p.pcrs), len(p.nonce))
			}
			_, err = v.Verify(document, p.timestamp)
			wantRefusal(t, err, ErrPublicKey, tt.key)
			_, err = v.Verify(document, p.timestamp.Add(DefaultMaxAge+time.Second))
			wantRefusal(t, err, ErrStale, "")
			_, err = v.Verify(document, p.timestamp.Add(3*time.Hour))
			wantRefusal(t, err, ErrChain, "not valid at this time")

			altered := bytes.Replace(document, p.pcrs[0], make([]byte, 48), 1)
			_, err = v.Verify(altered, p.timestamp)
			wantRefusal(t, err, ErrSignature, "")
		})
	}
}

// TestDocumentShared checks that what Verify returns does not change with the bytes it was given.
func TestDocumentShared(t *testing.T) {
	p := testPKI()
	document := testDocument(t, p, testClaims(t))
	d, err := testVerifier(t, p).Verify(document, testNow)
	if err != nil {
		t.Fatal(err)
	}
	clear(document)
	if !bytes.Equal(d.PCRs[0], nitrotest.PCR("PCR0")) || string(d.Nonce) != "nonce" || d.ModuleID != nitrotest.ModuleID {
		t.Error("it does")
	}
}

func TestConditionValues(t *testing.T) {
	d := &Document{PCRs: map[int][]byte{0: {0xAB, 0}, 8: {0x0C}, 31: make([]byte, 2)}, PublicKey: new(rsa.PublicKey)}
	got := d.ConditionValues()
	want := map[string]string{
		"kms:RecipientAttestation:ImageSha384": "ab00",
		"kms:RecipientAttestation:PCR0":        "ab00",
		"kms:RecipientAttestation:PCR8":        "0c",
		"kms:RecipientAttestation:PCR31":       "0000",
	}
	if len(got) != len(want) {
		t.Errorf("got %v", got)
	}
	for name, value := range want {
		if got[name] != value {
			t.Errorf("%s is %q, want %q", name, got[name], value)
		}
	}
	delete(d.PCRs, 0)
	if _, ok := d.ConditionValues()["kms:RecipientAttestation:ImageSha384"]; ok {
		t.Error("a document without PCR0 gives an image")
	}
}

// TestErrorsSayNothing checks that no refusal repeats what a document says.
func TestErrorsSayNothing(t *testing.T) {
	const marker = "MARKER"
	p := testPKI()
	v := testVerifier(t, p)
	marked := []byte(strings.Repeat(marker, 200)) // longer than any field may be
	for _, field := range []string{"module_id", "digest", "certificate", "public_key", "user_data", "nonce", marker} {
		fields := p.Fields(testClaims(t))
		if _, text := fields[field].(string); text {
			fields[field] = string(marked)
		} else {
			fields[field] = marked
		}
		_, err := v.Verify(signFields(t, p, fields), testNow)
		wantRefusal(t, err, ErrMalformed, "")
		if strings.Contains(err.Error(), marker) {
			t.Errorf("%s: %v", field, err)
		}
	}
}
