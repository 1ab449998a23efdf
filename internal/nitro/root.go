package nitro

import (
	"crypto/sha256"
	"crypto/x509"
	_ "embed"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
)

// awsRootG1 is the certificate of the AWS Nitro Enclaves root G1, the root of AWS's commercial Regions, valid until 28 October
// 2049. AWS publishes it at https://aws-nitro-enclaves.amazonaws.com/AWS_NitroEnclaves_Root-G1.zip.
//
//go:embed aws-nitro-root-g1.pem
var awsRootG1 []byte

// awsRootG1Fingerprint is the SHA-256 of the certificate in DER, as "Verifying the root of trust" of the AWS Nitro Enclaves User
// Guide prints it.
const awsRootG1Fingerprint = "641a0321a3e244efe456463195d606317ed7cdcc3c1756e09893f3c68f79bb5b"

// AWSRoots returns a pool with the AWS Nitro Enclaves root G1 alone. It fails only if the program was built with another file in
// its place.
func AWSRoots() (*x509.CertPool, error) {
	block, _ := pem.Decode(awsRootG1)
	if block == nil {
		return nil, errors.New("nitro: the embedded root certificate is not PEM")
	}
	if sum := sha256.Sum256(block.Bytes); hex.EncodeToString(sum[:]) != awsRootG1Fingerprint {
		return nil, errors.New("nitro: the embedded root certificate does not have the fingerprint that AWS publishes")
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("nitro: the embedded root certificate: %w", err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(cert)
	return roots, nil
}
