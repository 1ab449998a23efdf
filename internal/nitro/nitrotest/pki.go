// Package nitrotest plays the AWS Nitro system for tests: a chain of certificates like that of real documents, under a root of
// its own, and attestation documents signed with it. Nothing it makes is trusted by a verifier that was not given its root.
package nitrotest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"slices"
	"time"
)

// Level is the place of a certificate in the chain.
type Level int

// The levels of a chain, from the root to the certificate that signs documents, each issued by the one before.
const (
	Root Level = iota
	Region
	Zone
	Instance
	Enclave
	levels
)

// Config says how to make a PKI.
type Config struct {
	// Now is a time at which all certificates are valid. They are for an hour before it and an hour after, the root for a day.
	Now time.Time

	// Edit, if there is one, changes the template of each certificate before it is signed. What is issued below sees the change.
	Edit func(level Level, template *x509.Certificate)

	// Curve, if there is one, chooses the curve of each key in place of P-384. Documents can be signed on P-384 only.
	Curve func(level Level) elliptic.Curve
}

// PKI is a chain of certificates with the key of its last.
type PKI struct {
	chain [levels]*x509.Certificate
	key   *ecdsa.PrivateKey
}

// New makes a PKI.
func New(cfg Config) (*PKI, error) {
	p := new(PKI)
	var parent *ecdsa.PrivateKey
	for level := range levels {
		curve := elliptic.P384()
		if cfg.Curve != nil {
			curve = cfg.Curve(level)
		}
		key, err := ecdsa.GenerateKey(curve, rand.Reader)
		if err != nil {
			return nil, fmt.Errorf("nitrotest: %w", err)
		}
		template := templateOf(level, cfg.Now)
		if cfg.Edit != nil {
			cfg.Edit(level, template)
		}
		issuer := template
		if level == Root {
			parent = key
		} else {
			issuer = p.chain[level-1]
		}
		der, err := x509.CreateCertificate(rand.Reader, template, issuer, &key.PublicKey, parent)
		if err != nil {
			return nil, fmt.Errorf("nitrotest: %w", err)
		}
		if p.chain[level], err = x509.ParseCertificate(der); err != nil {
			return nil, fmt.Errorf("nitrotest: %w", err)
		}
		parent = key
	}
	p.key = parent
	return p, nil
}

// templateOf returns the template of a certificate, with the extensions that AWS's have.
func templateOf(level Level, now time.Time) *x509.Certificate {
	name := [levels]string{"test.nitro-enclaves", "0123.test-1.test.nitro-enclaves", "4567.zonal.test-1.test.nitro-enclaves",
		"i-0123456789abcdef0.test-1.test.nitro-enclaves", "i-0123456789abcdef0-enc0123456789abcdef.test-1.test"}[level]
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(int64(level) + 1),
		Subject:               pkix.Name{Country: []string{"US"}, Organization: []string{"Test"}, CommonName: name},
		NotBefore:             now.Add(-time.Hour),
		NotAfter:              now.Add(time.Hour),
		SignatureAlgorithm:    x509.ECDSAWithSHA384,
		BasicConstraintsValid: true,
		IsCA:                  true,
		KeyUsage:              x509.KeyUsageCertSign,
		MaxPathLen:            int(Instance - level),
		MaxPathLenZero:        level == Instance,
	}
	switch level {
	case Root:
		template.NotBefore, template.NotAfter = now.Add(-24*time.Hour), now.Add(24*time.Hour)
		template.KeyUsage |= x509.KeyUsageDigitalSignature | x509.KeyUsageCRLSign
		template.MaxPathLen = -1
	case Enclave:
		template.IsCA, template.MaxPathLen = false, -1
		template.KeyUsage = x509.KeyUsageDigitalSignature | x509.KeyUsageContentCommitment
	}
	return template
}

// Roots returns a pool with the root alone.
func (p *PKI) Roots() *x509.CertPool {
	roots := x509.NewCertPool()
	roots.AddCert(p.chain[Root])
	return roots
}

// RootPEM returns the root as a server's configuration takes it.
func (p *PKI) RootPEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.chain[Root].Raw})
}

// Certificate returns the certificate that signs documents, in DER.
func (p *PKI) Certificate() []byte { return slices.Clone(p.chain[Enclave].Raw) }

// Bundle returns the certificates above it in DER, the root first.
func (p *PKI) Bundle() [][]byte {
	var bundle [][]byte
	for _, cert := range p.chain[:Enclave] {
		bundle = append(bundle, slices.Clone(cert.Raw))
	}
	return bundle
}
