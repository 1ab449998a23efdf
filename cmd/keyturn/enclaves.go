package main

import (
	"crypto/x509"
	"fmt"

	"github.com/keyturn/keyturn/internal/nitro"
)

// enclaveConfig says which enclaves can be the recipients of replies.
type enclaveConfig struct {
	Roots string `yaml:"roots"` // PEM; empty for the root of AWS Nitro Enclaves
}

const maxRootsBytes = 1 << 20

// attestation returns what verifies the attestation documents of enclaves.
func attestation(c enclaveConfig) (*nitro.Verifier, error) {
	var roots *x509.CertPool
	if c.Roots != "" {
		pem, err := readBounded(c.Roots, maxRootsBytes)
		if err != nil {
			return nil, fmt.Errorf("reading the roots of enclaves: %w", err)
		}
		roots = x509.NewCertPool()
		if !roots.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s holds no certificate in PEM", c.Roots)
		}
	}
	return nitro.New(nitro.Config{Roots: roots})
}
