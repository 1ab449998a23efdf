package xks

import (
	"fmt"
)

func invalid(message string) *Error { return &Error{Name: ValidationException, Message: message} }

// parse reads the body of an authenticated request into x.body and checks it.
func (x *exchange) parse(raw []byte) error {
	if x.op != opHealth && !ValidKeyID(x.keyID) {
		return &Error{Name: KeyNotFoundException, Message: "The external key ID is not valid."}
	}
	b := &x.body
	if err := decode(raw, b); err != nil {
		return invalid("The request was refused: " + err.Error() + ".")
	}
	if b.RequestMetadata == nil {
		return invalid("requestMetadata is missing.")
	}
	if err := b.RequestMetadata.check(x.op); err != nil {
		return invalid("The request was refused: " + err.Error() + ".")
	}
	switch x.op {
	case opEncrypt:
		return b.checkEncrypt()
	case opDecrypt:
		return b.checkDecrypt()
	}
	return nil
}

func (b *requestBody) checkEncrypt() error {
	switch {
	case b.Algorithm != algorithmGCM:
		return invalid("encryptionAlgorithm is not " + algorithmGCM + ".")
	case len(b.Plaintext) == 0:
		return invalid("plaintext is missing or empty.")
	case len(b.Plaintext) > MaxPlaintext:
		return tooLong("plaintext", MaxPlaintext)
	case len(b.AAD) > MaxAAD:
		return tooLong("additionalAuthenticatedData", MaxAAD)
	case b.CDIVAlgorithm != nil && *b.CDIVAlgorithm != cdivSHA256:
		return invalid("ciphertextDataIntegrityValueAlgorithm is not " + cdivSHA256 + ".")
	}
	return nil
}

// checkDecrypt tells what has not the form of a request from a ciphertext that no proxy can have made: the specification has
// InvalidCiphertextException for that.
func (b *requestBody) checkDecrypt() error {
	switch {
	case b.Algorithm != algorithmGCM:
		return invalid("encryptionAlgorithm is not " + algorithmGCM + ".")
	case b.Ciphertext == nil || b.IV == nil || b.Tag == nil:
		return invalid("ciphertext, initializationVector or authenticationTag is missing.")
	case len(b.Ciphertext) > MaxPlaintext:
		return tooLong("ciphertext", MaxPlaintext)
	case len(b.AAD) > MaxAAD:
		return tooLong("additionalAuthenticatedData", MaxAAD)
	case len(b.Metadata) > MaxMetadata:
		return invalid(fmt.Sprintf("ciphertextMetadata is longer than %d bytes.", MaxMetadata))
	}
	c := Ciphertext{Data: b.Ciphertext, IV: b.IV, Tag: b.Tag, Metadata: b.Metadata}
	if err := c.check(); err != nil {
		return &Error{Name: InvalidCiphertextException, Message: "The ciphertext is not valid: " + err.Error() + "."}
	}
	return nil
}

// tooLong is what the specification has for values beyond the sizes that a proxy must take.
func tooLong(member string, limit int) *Error {
	return &Error{Name: UnsupportedOperationException, Message: fmt.Sprintf("%s is longer than %d bytes.", member, limit)}
}

// clear wipes what may be secret, after the answer.
func (b *requestBody) clear() {
	clear(b.Plaintext)
	b.Plaintext = nil
}
