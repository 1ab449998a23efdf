package probe

import (
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"fmt"

	"github.com/keyturn/keyturn/internal/doctor"
)

// readPair reads certificate and key as the server does; the key is not kept.
func readPair(certificate, key string) doctor.Fact[doctor.Certificate] {
	pair, err := tls.LoadX509KeyPair(certificate, key)
	if err != nil {
		return doctor.Unknown[doctor.Certificate](err.Error())
	}
	return doctor.Got(describe(pair.Leaf))
}

func describe(c *x509.Certificate) doctor.Certificate {
	d := doctor.Certificate{Subject: c.Subject.String(), NotAfter: c.NotAfter, NotYet: c.NotBefore, Names: c.DNSNames, Matches: c.VerifyHostname}
	for _, ip := range c.IPAddresses {
		d.Names = append(d.Names, ip.String())
	}
	if d.Subject == "" && len(d.Names) > 0 {
		d.Subject = d.Names[0]
	}
	switch k := c.PublicKey.(type) {
	case *rsa.PublicKey:
		if n := k.N.BitLen(); n < 2048 {
			d.Weak = fmt.Sprintf("an RSA key of %d bits is too short", n)
		}
	case *ecdsa.PublicKey:
		if n := k.Curve.Params().BitSize; n < 256 {
			d.Weak = fmt.Sprintf("an ECDSA key on a curve of %d bits is too short", n)
		}
	}
	return d
}

// verify tells why clients would not accept the server's chain, "" if they do.
func verify(state *tls.ConnectionState, host string, roots *x509.CertPool) string {
	if len(state.PeerCertificates) == 0 {
		return "it shows none"
	}
	o := x509.VerifyOptions{Roots: roots, DNSName: host, Intermediates: x509.NewCertPool()}
	for _, c := range state.PeerCertificates[1:] {
		o.Intermediates.AddCert(c)
	}
	if _, err := state.PeerCertificates[0].Verify(o); err != nil {
		return err.Error()
	}
	return ""
}
