package nitro

import (
	"crypto/elliptic"
	"crypto/x509"
	"crypto/x509/pkix"
	"slices"
	"testing"
	"time"

	"github.com/keyturn/keyturn/internal/nitro/nitrotest"
)

// TestRefuseCertificates makes a PKI with one certificate that breaks one rule.
func TestRefuseCertificates(t *testing.T) {
	const (
		root, region, zone, instance, enclave = nitrotest.Root, nitrotest.Region, nitrotest.Zone, nitrotest.Instance, nitrotest.Enclave
	)
	critical := func(critical bool, value ...byte) func(*x509.Certificate) {
		return func(c *x509.Certificate) {
			c.ExtraExtensions = []pkix.Extension{{Id: basicConstraints, Critical: critical, Value: value}}
		}
	}
	for name, tt := range map[string]struct {
		level nitrotest.Level
		edit  func(c *x509.Certificate)
		text  string // "" if it verifies
	}{
		"nothing": {root, func(*x509.Certificate) {}, ""},

		"root expired":           {root, func(c *x509.Certificate) { c.NotAfter = testNow.Add(-time.Second) }, "not valid at this time"},
		"zone expired":           {zone, func(c *x509.Certificate) { c.NotAfter = testNow.Add(-time.Second) }, "not valid at this time"},
		"enclave expired":        {enclave, func(c *x509.Certificate) { c.NotAfter = testNow.Add(-time.Second) }, "not valid at this time"},
		"root not yet valid":     {root, func(c *x509.Certificate) { c.NotBefore = testNow.Add(time.Second) }, "not valid at this time"},
		"instance not yet valid": {instance, func(c *x509.Certificate) { c.NotBefore = testNow.Add(time.Second) }, "not valid at this time"},
		"enclave not yet valid":  {enclave, func(c *x509.Certificate) { c.NotBefore = testNow.Add(time.Second) }, "not valid at this time"},

		"root no CA":      {root, func(c *x509.Certificate) { c.IsCA = false }, "not a certificate authority's"},
		"region no CA":    {region, func(c *x509.Certificate) { c.IsCA, c.MaxPathLen = false, -1 }, "not a certificate authority's"},
		"instance silent": {instance, func(c *x509.Certificate) { c.BasicConstraintsValid = false }, "not a certificate authority's"},
		"zone uncritical": {zone, critical(false, 0x30, 0x03, 0x01, 0x01, 0xff), "not a certificate authority's"},
		"zone critical":   {zone, critical(true, 0x30, 0x03, 0x01, 0x01, 0xff), ""},
		"enclave a CA":    {enclave, func(c *x509.Certificate) { c.IsCA = true }, "is a certificate authority's"},
		"enclave path":    {enclave, critical(true, 0x30, 0x03, 0x02, 0x01, 0x00), "is a certificate authority's"},
		"enclave silent":  {enclave, func(c *x509.Certificate) { c.BasicConstraintsValid = false }, ""},

		"root path":   {root, func(c *x509.Certificate) { c.MaxPathLen = 2 }, "more of them than one allows"},
		"root path 3": {root, func(c *x509.Certificate) { c.MaxPathLen = 3 }, ""},
		"region path": {region, func(c *x509.Certificate) { c.MaxPathLen = 1 }, "more of them than one allows"},
		"zone path":   {zone, func(c *x509.Certificate) { c.MaxPathLen, c.MaxPathLenZero = 0, true }, "more of them than one allows"},

		"root usage":       {root, func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageCRLSign }, "may not be used to sign certificates"},
		"zone usage":       {zone, func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageDigitalSignature }, "may not be used to sign certificates"},
		"instance usage":   {instance, func(c *x509.Certificate) { c.KeyUsage = 0 }, "may not be used to sign certificates"},
		"enclave usage":    {enclave, func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageContentCommitment }, "may not be used for signatures"},
		"enclave no usage": {enclave, func(c *x509.Certificate) { c.KeyUsage = 0 }, "may not be used for signatures"},

		"SHA-256":   {instance, func(c *x509.Certificate) { c.SignatureAlgorithm = x509.ECDSAWithSHA256 }, "not signed with ECDSA and SHA-384"},
		"SHA-512":   {enclave, func(c *x509.Certificate) { c.SignatureAlgorithm = x509.ECDSAWithSHA512 }, "not signed with ECDSA and SHA-384"},
		"extension": {zone, unknownExtension(true), "critical extension"},
		"harmless":  {zone, unknownExtension(false), ""},
		"same name": {zone, func(c *x509.Certificate) { c.Subject.CommonName = "0123.test-1.test.nitro-enclaves" }, "the same subject"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, err := nitrotest.New(nitrotest.Config{Now: testNow, Edit: func(level nitrotest.Level, c *x509.Certificate) {
				if level == tt.level {
					tt.edit(c)
				}
			}})
			if err != nil {
				t.Fatal(err)
			}
			_, err = testVerifier(t, p).Verify(testDocument(t, p, testClaims(t)), testNow)
			if tt.text == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			wantRefusal(t, err, ErrChain, tt.text)
		})
	}
}

func unknownExtension(critical bool) func(c *x509.Certificate) {
	return func(c *x509.Certificate) {
		c.ExtraExtensions = []pkix.Extension{{Id: []int{1, 3, 6, 1, 4, 1, 99999, 1}, Critical: critical, Value: []byte{0x05, 0x00}}}
	}
}

// TestRefuseCurve has a key on another curve at each level. Under P-256 the issuer's signatures say SHA-384 all the same.
func TestRefuseCurve(t *testing.T) {
	for level := nitrotest.Root; level <= nitrotest.Instance; level++ {
		for _, curve := range []elliptic.Curve{elliptic.P256(), elliptic.P521()} {
			p, err := nitrotest.New(nitrotest.Config{Now: testNow, Curve: func(l nitrotest.Level) elliptic.Curve {
				if l == level {
					return curve
				}
				return elliptic.P384()
			}})
			if err != nil {
				t.Fatal(err)
			}
			_, err = testVerifier(t, p).Verify(testDocument(t, p, testClaims(t)), testNow)
			wantRefusal(t, err, ErrChain, "not on P-384")
		}
	}
	p, err := nitrotest.New(nitrotest.Config{Now: testNow, Curve: func(l nitrotest.Level) elliptic.Curve {
		if l == nitrotest.Enclave {
			return elliptic.P256()
		}
		return elliptic.P384()
	}})
	if err != nil {
		t.Fatal(err)
	}
	_, err = testVerifier(t, p).Verify(testDocument(t, p, testClaims(t)), testNow)
	wantRefusal(t, err, ErrChain, "not on P-384")
}

// TestRefuseBundle changes what certificates a document has, and their order.
func TestRefuseBundle(t *testing.T) {
	p := testPKI()
	other, err := nitrotest.New(nitrotest.Config{Now: testNow}) // the same names, other keys
	if err != nil {
		t.Fatal(err)
	}
	v := testVerifier(t, p)
	bundle, foreign := p.Bundle(), other.Bundle()
	swapped := slices.Clone(bundle)
	swapped[1], swapped[2] = swapped[2], swapped[1]
	reverse := reversed(bundle)
	for name, tt := range map[string]struct {
		certificate []byte
		bundle      [][]byte
		text        string
	}{
		"not a certificate":      {[]byte("certificate"), bundle, "cannot be parsed"},
		"trailing byte":          {append(p.Certificate(), 0), bundle, "cannot be parsed"},
		"not one in the bundle":  {p.Certificate(), slices.Concat(bundle[:3], [][]byte{{0}}), "cannot be parsed"},
		"a CA signs":             {bundle[3], bundle[:3], "may not be used for signatures"},
		"no root":                {p.Certificate(), bundle[1:], "do not lead to a trusted root"},
		"none between":           {p.Certificate(), bundle[:1], "not issued by the next"},
		"one missing":            {p.Certificate(), slices.Delete(slices.Clone(bundle), 2, 3), "not issued by the next"},
		"one twice":              {p.Certificate(), slices.Insert(slices.Clone(bundle), 2, bundle[2]), "not issued by the next"},
		"root twice":             {p.Certificate(), slices.Insert(slices.Clone(bundle), 0, bundle[0]), "the same subject"},
		"one more":               {p.Certificate(), append(slices.Clone(bundle), foreign[1]), "not issued by the next"},
		"swapped":                {p.Certificate(), swapped, "not issued by the next"},
		"reversed":               {p.Certificate(), reverse, "not issued by the next"},
		"root of another":        {p.Certificate(), slices.Concat(foreign[:1], bundle[1:]), "does not begin with the root"},
		"region of another":      {p.Certificate(), slices.Concat(bundle[:1], foreign[1:2], bundle[2:]), "do not lead to a trusted root"},
		"instance of another":    {p.Certificate(), slices.Concat(bundle[:3], foreign[3:]), "do not lead to a trusted root"},
		"all of another":         {other.Certificate(), foreign, "do not lead to a trusted root"},
		"all of another, root's": {other.Certificate(), slices.Concat(bundle[:1], foreign[1:]), "do not lead to a trusted root"},
	} {
		t.Run(name, func(t *testing.T) {
			fields := p.Fields(testClaims(t))
			fields["certificate"], fields["cabundle"] = tt.certificate, tt.bundle
			_, err := v.Verify(signFields(t, p, fields), testNow)
			wantRefusal(t, err, ErrChain, tt.text)
		})
	}
	t.Run("signed by another", func(t *testing.T) {
		_, err := v.Verify(signFields(t, other, p.Fields(testClaims(t))), testNow)
		wantRefusal(t, err, ErrSignature, "")
	})
}
