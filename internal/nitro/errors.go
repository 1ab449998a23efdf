package nitro

import (
	"errors"
	"fmt"
)

// ErrDocument is what every error of Verify wraps: the document is refused. The reasons below wrap it in turn. Their texts, and
// what is added to them, hold nothing of the document but numbers, so they are safe to show and to log.
var ErrDocument = errors.New("the attestation document is refused")

// Reasons why a document is refused.
var (
	// ErrMalformed: it is not an attestation document of a Nitro enclave, or breaks a rule of its form.
	ErrMalformed = fmt.Errorf("%w: malformed", ErrDocument)

	// ErrChain: its certificates do not lead to a trusted root by the rules, at this time.
	ErrChain = fmt.Errorf("%w: certificates", ErrDocument)

	// ErrSignature: it was not signed by the key of its certificate.
	ErrSignature = fmt.Errorf("%w: signature", ErrDocument)

	// ErrStale: it is authentic, but too old, or from the future.
	ErrStale = fmt.Errorf("%w: stale", ErrDocument)

	// ErrPublicKey: it is authentic and fresh, but carries no public key, or none that can be encrypted to.
	ErrPublicKey = fmt.Errorf("%w: public key", ErrDocument)
)

// malformed returns an ErrMalformed. What it is given must not hold bytes of a document.
func malformed(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrMalformed, fmt.Sprintf(format, args...))
}
