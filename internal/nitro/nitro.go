// Package nitro verifies the attestation documents of AWS Nitro Enclaves: COSE_Sign1 messages (RFC 9052) in which the Nitro
// hypervisor states what an enclave measures and which public key it made. It follows "Nitro Enclaves Attestation Process" of
// github.com/aws/aws-nitro-enclaves-nsm-api and the page "Verifying the root of trust" of the AWS Nitro Enclaves User Guide.
//
// The documents of real hypervisors differ from that text in three points, and go before it:
//
//   - optional fields without a value are there, as null;
//   - newer ones have a payload map without a length in front (an indefinite-length map);
//   - user_data and nonce may have 1024 bytes, as public_key may, not 512.
//
// NitroTPM documents, which lead to the same root, have nitrotpm_pcrs in place of pcrs and are refused: their registers mean
// something else, and must never pass for those of an enclave.
package nitro

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"time"
)

// Bounds of freshness.
const (
	// DefaultMaxAge is how old a document may be when Config says nothing. What AWS KMS allows is not published.
	DefaultMaxAge = 5 * time.Minute

	// maxSkew is how far ahead of the server's clock the hypervisor's may be.
	maxSkew = time.Minute
)

// Config says whom a Verifier trusts.
type Config struct {
	// Roots are the roots of trust. Nil means the root of AWS, AWSRoots.
	Roots *x509.CertPool

	// MaxAge is how long after its timestamp a document is accepted. 0 means DefaultMaxAge. The signing certificate of a
	// real document is valid for three hours, so more than that changes nothing.
	MaxAge time.Duration
}

// Verifier verifies attestation documents. It is never changed and may be used by any number of goroutines.
type Verifier struct {
	roots  *x509.CertPool
	maxAge time.Duration
}

// New returns a Verifier. It fails if MaxAge is negative.
func New(cfg Config) (*Verifier, error) {
	v := &Verifier{roots: cfg.Roots, maxAge: cfg.MaxAge}
	if v.maxAge == 0 {
		v.maxAge = DefaultMaxAge
	}
	if v.maxAge < 0 {
		return nil, errors.New("nitro: the maximum age of an attestation document is negative")
	}
	if v.roots == nil { // left nil, crypto/x509 would take the system's roots
		var err error
		if v.roots, err = AWSRoots(); err != nil {
			return nil, err
		}
	}
	return v, nil
}

// Document is what a verified attestation document says.
type Document struct {
	ModuleID  string         // the enclave's ID: that of its instance, "-enc", a number
	Timestamp time.Time      // when the hypervisor made the document, UTC, in whole milliseconds
	PCRs      map[int][]byte // the locked platform configuration registers by index, 0 to 31; 48 bytes each on real hypervisors
	PublicKey *rsa.PublicKey // to encrypt to the enclave; 2048 to 4096 bits
	UserData  []byte         // of the enclave, up to 1024 bytes; nil if it gave none
	Nonce     []byte         // likewise
}

// Verify checks document, a COSE_Sign1 message, at the time now and returns what it says. Every error wraps ErrDocument and one
// of the reasons declared with it; its text may be shown to whoever sent the document.
//
// A document that verifies is authentic and fresh. It may be used again until it is too old, and says nothing about which
// enclave may have what: that is for policies to decide, from ConditionValues.
func (v *Verifier) Verify(document []byte, now time.Time) (*Document, error) {
	m, err := parseMessage(document)
	if err != nil {
		return nil, err
	}
	p, err := parsePayload(m.payload)
	if err != nil {
		return nil, err
	}
	key, err := v.signer(p.certificate, p.bundle, now)
	if err != nil {
		return nil, err
	}
	if err := m.verify(key); err != nil {
		return nil, err
	}
	if p.timestamp.Before(now.Add(-v.maxAge)) {
		return nil, fmt.Errorf("%w: it was made more than %v ago", ErrStale, v.maxAge)
	}
	if p.timestamp.After(now.Add(maxSkew)) {
		return nil, fmt.Errorf("%w: its timestamp lies in the future", ErrStale)
	}
	d := &Document{ModuleID: p.moduleID, Timestamp: p.timestamp, PCRs: p.pcrs, UserData: p.userData, Nonce: p.nonce}
	if d.PublicKey, err = recipientKey(p.publicKey); err != nil {
		return nil, err
	}
	return d, nil
}

// conditionPrefix begins the names of all condition keys of attestation.
const conditionPrefix = "kms:RecipientAttestation:"

// ConditionValues returns the condition keys that the document gives to a request, with their values, as "Condition keys for
// Nitro Enclaves" of the AWS KMS Developer Guide has them: kms:RecipientAttestation:PCR<n> for every register, and for PCR0 also
// kms:RecipientAttestation:ImageSha384. Values are lower-case hexadecimal.
//
// Registers 0 to 2 of an enclave in debug mode are zero. They are returned as they are: no policy should name them.
func (d *Document) ConditionValues() map[string]string {
	values := make(map[string]string, len(d.PCRs)+1)
	for index, pcr := range d.PCRs {
		values[conditionPrefix+"PCR"+strconv.Itoa(index)] = hex.EncodeToString(pcr)
	}
	if pcr0, ok := d.PCRs[0]; ok {
		values[conditionPrefix+"ImageSha384"] = hex.EncodeToString(pcr0)
	}
	return values
}
