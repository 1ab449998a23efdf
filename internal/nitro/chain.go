package nitro

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"slices"
	"time"
)

var basicConstraints = asn1.ObjectIdentifier{2, 5, 29, 19}

// signer checks the certificates of a document at the time now and returns the key of the one that signs it.
//
// The chain must be exactly what the document has, in its order: certificate, then bundle from its end to its start, which is one
// of the roots. That the names follow from each other and none comes twice is checked first, so that crypto/x509 has one path to
// look at, and as many signatures to verify as there are certificates.
func (v *Verifier) signer(certificate []byte, bundle [][]byte, now time.Time) (*ecdsa.PublicKey, error) {
	chain := make([]*x509.Certificate, 0, 1+len(bundle))
	for _, der := range append([][]byte{certificate}, reversed(bundle)...) {
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, chainError("one cannot be parsed")
		}
		chain = append(chain, cert)
	}
	if err := linked(chain); err != nil {
		return nil, err
	}
	for i, cert := range chain {
		if err := checkCertificate(cert, i == 0); err != nil {
			return nil, err
		}
	}

	intermediates := x509.NewCertPool()
	for _, cert := range chain[1 : len(chain)-1] {
		intermediates.AddCert(cert)
	}
	found, err := chain[0].Verify(x509.VerifyOptions{
		Roots:         v.roots,
		Intermediates: intermediates,
		CurrentTime:   now,
		KeyUsages:     []x509.ExtKeyUsage{x509.ExtKeyUsageAny}, // AWS's certificates have none
	})
	if err != nil {
		return nil, chainError(reasonOf(err))
	}
	if !slices.ContainsFunc(found, func(c []*x509.Certificate) bool { return slices.EqualFunc(c, chain, (*x509.Certificate).Equal) }) {
		return nil, chainError("cabundle does not begin with the root that they lead to")
	}
	return chain[0].PublicKey.(*ecdsa.PublicKey), nil // checkCertificate has looked
}

// linked checks that each certificate of a chain names the next as its issuer, and that no subject occurs twice.
func linked(chain []*x509.Certificate) error {
	for i, cert := range chain {
		if i+1 < len(chain) && !bytes.Equal(cert.RawIssuer, chain[i+1].RawSubject) {
			return chainError("one is not issued by the next")
		}
		for _, other := range chain[:i] {
			if bytes.Equal(cert.RawSubject, other.RawSubject) {
				return chainError("two have the same subject")
			}
		}
	}
	return nil
}

// checkCertificate checks what AWS demands beyond what crypto/x509 does: the algorithm, the key usage, and basic constraints that
// are critical in a certificate authority and set no path length in the certificate that signs documents.
func checkCertificate(cert *x509.Certificate, leaf bool) error {
	key, ok := cert.PublicKey.(*ecdsa.PublicKey)
	if !ok || key.Curve != elliptic.P384() {
		return chainError("one has a key that is not on P-384")
	}
	if cert.SignatureAlgorithm != x509.ECDSAWithSHA384 {
		return chainError("one is not signed with ECDSA and SHA-384")
	}
	if leaf {
		switch {
		case cert.KeyUsage&x509.KeyUsageDigitalSignature == 0:
			return chainError("the signing one may not be used for signatures")
		case cert.IsCA, cert.BasicConstraintsValid && cert.MaxPathLen >= 0:
			return chainError("the signing one is a certificate authority's")
		}
		return nil
	}
	critical := slices.ContainsFunc(cert.Extensions, func(e pkix.Extension) bool { return e.Critical && e.Id.Equal(basicConstraints) })
	switch {
	case !cert.BasicConstraintsValid, !cert.IsCA, !critical:
		return chainError("one of cabundle is not a certificate authority's")
	case cert.KeyUsage&x509.KeyUsageCertSign == 0:
		return chainError("one of cabundle may not be used to sign certificates")
	}
	return nil
}

// reasonOf puts an error of crypto/x509, whose text has names from the certificates, into words that are safe to show.
func reasonOf(err error) string {
	var invalid x509.CertificateInvalidError
	switch {
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "one is not valid at this time"
	case errors.As(err, &invalid) && invalid.Reason == x509.TooManyIntermediates:
		return "there are more of them than one allows"
	case errors.As(err, new(x509.UnhandledCriticalExtension)):
		return "one has a critical extension that is not known"
	case errors.As(err, new(x509.UnknownAuthorityError)):
		return "they do not lead to a trusted root"
	}
	return "they do not verify"
}

func chainError(reason string) error { return fmt.Errorf("%w: %s", ErrChain, reason) }

func reversed(certs [][]byte) [][]byte {
	certs = slices.Clone(certs)
	slices.Reverse(certs)
	return certs
}
