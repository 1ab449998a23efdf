package nitrotest

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha512"
	"errors"
	"fmt"
	"time"

	"github.com/fxamacker/cbor/v2"
)

// ModuleID is the module ID of documents whose Claims have none.
const ModuleID = "i-0123456789abcdef0-enc0123456789abcdef"

// Claims is what a document says.
type Claims struct {
	ModuleID  string         // ModuleID if empty
	Timestamp time.Time      // in whole milliseconds; the rest is cut off
	PCRs      map[int][]byte // if nil, PCR0 to PCR15 as PCR gives them
	PublicKey []byte         // SubjectPublicKeyInfo in DER; nil for null
	UserData  []byte         // nil for null
	Nonce     []byte         // nil for null
}

// PCR returns a value for a register: 48 bytes that are the same for the same text.
func PCR(text string) []byte {
	sum := sha512.Sum384([]byte(text))
	return sum[:]
}

// fields are the names of a payload's fields, in the order of real documents.
var fields = []string{"module_id", "digest", "timestamp", "pcrs", "certificate", "cabundle", "public_key", "user_data", "nonce"}

// Fields returns the fields of a payload with these claims and the certificates of p, for a test to change before EncodePayload.
func (p *PKI) Fields(c Claims) map[string]any {
	if c.ModuleID == "" {
		c.ModuleID = ModuleID
	}
	if c.PCRs == nil {
		c.PCRs = map[int][]byte{}
		for i := range 16 {
			c.PCRs[i] = PCR(fmt.Sprintf("PCR%d", i))
		}
	}
	return map[string]any{
		"module_id":   c.ModuleID,
		"digest":      "SHA384",
		"timestamp":   uint64(c.Timestamp.UnixMilli()),
		"pcrs":        c.PCRs,
		"certificate": p.Certificate(),
		"cabundle":    p.Bundle(),
		"public_key":  c.PublicKey, // a nil slice is encoded as null
		"user_data":   c.UserData,
		"nonce":       c.Nonce,
	}
}

// EncodePayload encodes a payload as hypervisors do, as a map of indefinite length: the known fields in their order, then any
// others.
func EncodePayload(values map[string]any) ([]byte, error) {
	var b bytes.Buffer
	enc := cbor.NewEncoder(&b)
	err := enc.StartIndefiniteMap()
	put := func(name string, value any) { err = errors.Join(err, enc.Encode(name), enc.Encode(value)) }
	known := map[string]bool{}
	for _, name := range fields {
		known[name] = true
		if value, ok := values[name]; ok {
			put(name, value)
		}
	}
	for name, value := range values {
		if !known[name] {
			put(name, value)
		}
	}
	if err = errors.Join(err, enc.EndIndefinite()); err != nil {
		return nil, fmt.Errorf("nitrotest: %w", err)
	}
	return b.Bytes(), nil
}

// header is the protected header of documents: {1: -35}, ES384.
var header = []byte{0xa1, 0x01, 0x38, 0x22}

// Sign returns payload, whatever it is, as a signed COSE_Sign1 message without a tag.
func (p *PKI) Sign(payload []byte) ([]byte, error) {
	signed, err := cbor.Marshal([]any{"Signature1", header, []byte{}, payload})
	if err != nil {
		return nil, fmt.Errorf("nitrotest: %w", err)
	}
	hash := sha512.Sum384(signed)
	r, s, err := ecdsa.Sign(rand.Reader, p.key, hash[:])
	if err != nil {
		return nil, fmt.Errorf("nitrotest: %w", err)
	}
	signature := make([]byte, 96)
	r.FillBytes(signature[:48])
	s.FillBytes(signature[48:])
	return cbor.Marshal([]any{header, map[int]int{}, payload, signature})
}

// Document returns a signed attestation document with these claims.
func (p *PKI) Document(c Claims) ([]byte, error) {
	payload, err := EncodePayload(p.Fields(c))
	if err != nil {
		return nil, err
	}
	return p.Sign(payload)
}
