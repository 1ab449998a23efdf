package nitro

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/sha512"
	"math/big"

	"github.com/fxamacker/cbor/v2"
)

// MaxDocument is the longest document that is looked at, in bytes: the limit of RecipientInfo in the AWS KMS API.
const MaxDocument = 262144

// Rules of the outer structure. The payload's is AWS's.
const (
	maxPayload    = 16384
	signatureSize = 96 // ES384: r and s, 48 bytes each (RFC 9053, section 2.1)
	coseSign1Tag  = 0xd2
)

// es384Header is the protected header of every document, {1: -35}: the algorithm, ES384, and nothing else. It is compared as a
// whole, so no header parameter has to be understood.
var es384Header = []byte{0xa1, 0x01, 0x38, 0x22}

// message is a COSE_Sign1 message whose protected header is es384Header.
type message struct {
	payload   []byte
	signature []byte
}

// parseMessage takes a COSE_Sign1 message apart, with its tag or, as hypervisors make them, without.
func parseMessage(document []byte) (*message, error) {
	if len(document) > MaxDocument {
		return nil, malformed("it has more than %d bytes", MaxDocument)
	}
	if len(document) > 0 && document[0] == coseSign1Tag {
		document = document[1:]
	}
	var outer struct {
		_           struct{} `cbor:",toarray"`
		Protected   cbor.ByteString
		Unprotected cbor.RawMessage
		Payload     cbor.ByteString
		Signature   cbor.ByteString
	}
	if err := messageMode.Unmarshal(document, &outer); err != nil {
		return nil, malformed("it is not a COSE_Sign1 message")
	}
	if outer.Protected != cbor.ByteString(es384Header) {
		return nil, malformed("its protected header is not ES384 alone")
	}
	if !bytes.Equal(outer.Unprotected, []byte{0xa0}) { // an empty map
		return nil, malformed("its unprotected header is not empty")
	}
	if n := len(outer.Payload); n < 1 || n > maxPayload {
		return nil, malformed("its payload has %d bytes, not 1 to %d", n, maxPayload)
	}
	if n := len(outer.Signature); n != signatureSize {
		return nil, malformed("its signature has %d bytes, not %d", n, signatureSize)
	}
	return &message{payload: outer.Payload.Bytes(), signature: outer.Signature.Bytes()}, nil
}

// verify checks the signature under key, which must be on P-384.
func (m *message) verify(key *ecdsa.PublicKey) error {
	signed, err := cbor.Marshal(struct { // Sig_structure, RFC 9052, section 4.4
		_         struct{} `cbor:",toarray"`
		Context   string
		Protected []byte
		External  []byte
		Payload   []byte
	}{Context: "Signature1", Protected: es384Header, External: []byte{}, Payload: m.payload})
	if err != nil {
		return err // not reached: these types can always be encoded
	}
	hash := sha512.Sum384(signed)
	r := new(big.Int).SetBytes(m.signature[:signatureSize/2])
	s := new(big.Int).SetBytes(m.signature[signatureSize/2:])
	if !ecdsa.Verify(key, hash[:], r, s) {
		return ErrSignature
	}
	return nil
}
