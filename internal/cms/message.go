package cms

import (
	"bytes"
	"crypto/aes"
	"slices"
)

// message is what varies in an EnvelopedData of AWS KMS.
type message struct {
	keyID        []byte // the recipient's subjectKeyIdentifier
	encryptedKey []byte
	iv           []byte // one block
	content      []byte // one block or more
}

// Tags (X.690). Only low tag numbers occur.
const (
	tagInteger     = 0x02
	tagOctetString = 0x04
	tagSequence    = 0x30
	tagSet         = 0x31
	tagKeyID       = 0x80 // [0] IMPLICIT SubjectKeyIdentifier
	tagContent     = 0x80 // [0] IMPLICIT EncryptedContent, in one piece
	tagExplicit    = 0xa0 // [0] EXPLICIT, and [0] IMPLICIT EncryptedContent in pieces
)

// Elements that are the same in every message, in DER.
var (
	version2 = []byte{tagInteger, 1, 2} // of EnvelopedData and KeyTransRecipientInfo, where the recipient has a key identifier

	oidEnvelopedData = []byte{0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x03} // 1.2.840.113549.1.7.3
	oidData          = []byte{0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x01} // 1.2.840.113549.1.7.1
	oidAES256CBC     = []byte{0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x01, 0x2a} // 2.16.840.1.101.3.4.1.42
	oidRSAESOAEP     = []byte{0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x07} // 1.2.840.113549.1.1.7
	oidMGF1          = []byte{0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x08} // 1.2.840.113549.1.1.8
	oidSHA256        = []byte{0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01} // 2.16.840.1.101.3.4.2.1
	null             = []byte{0x05, 0x00}

	// oaepSHA256 is the AlgorithmIdentifier of RSAES-OAEP (RFC 4055, section 4.1) with SHA-256 for both hashes, and no label.
	oaepSHA256 = oaep(element(tagSequence, oidSHA256, null))
	// oaepSHA256Bare is the same without the NULL parameters of SHA-256, which RFC 5754 makes optional.
	oaepSHA256Bare = oaep(element(tagSequence, oidSHA256))
)

func oaep(hash []byte) []byte {
	return element(tagSequence, oidRSAESOAEP, element(tagSequence,
		element(tagExplicit, hash),
		element(tagExplicit|1, element(tagSequence, oidMGF1, hash))))
}

// pieceSize is the length of the octet strings that a longer content is cut into. AWS does cut ("scattered content" in
// aws-nitro-enclaves-sdk-c); at 1000 bytes does the library whose output that of AWS looks like (Bouncy Castle).
const pieceSize = 1000

// encode writes the message as AWS KMS does.
func (m message) encode() []byte {
	recipient := element(tagSequence, version2, element(tagKeyID, m.keyID), oaepSHA256, element(tagOctetString, m.encryptedKey))
	var pieces []byte
	for piece := range slices.Chunk(m.content, pieceSize) {
		pieces = append(pieces, element(tagOctetString, piece)...)
	}
	return indefinite(tagSequence, oidEnvelopedData, indefinite(tagExplicit, indefinite(tagSequence,
		version2,
		element(tagSet, recipient),
		indefinite(tagSequence,
			oidData,
			element(tagSequence, oidAES256CBC, element(tagOctetString, m.iv)),
			indefinite(tagExplicit, pieces)))))
}

// parse reads a message. The result points into ber, but for a content in pieces.
func parse(ber []byte) (message, error) {
	var m message
	if len(ber) > MaxMessage {
		return m, ErrMessage
	}
	r := &reader{in: ber}
	r.constructed(tagSequence, func(r *reader) {
		r.exactly(oidEnvelopedData)
		r.constructed(tagExplicit, func(r *reader) {
			r.constructed(tagSequence, func(r *reader) {
				r.exactly(version2)
				r.constructed(tagSet, func(r *reader) {
					r.constructed(tagSequence, m.readRecipient)
				})
				r.constructed(tagSequence, m.readContent)
			})
		})
	})
	if r.failed || len(r.in) > 0 || len(m.iv) != aes.BlockSize || len(m.content) == 0 || len(m.content)%aes.BlockSize != 0 {
		return message{}, ErrMessage
	}
	return m, nil
}

// readRecipient reads the inside of a KeyTransRecipientInfo.
func (m *message) readRecipient(r *reader) {
	r.exactly(version2)
	m.keyID = r.primitive(tagKeyID)
	if bytes.HasPrefix(r.in, oaepSHA256) {
		r.exactly(oaepSHA256)
	} else {
		r.exactly(oaepSHA256Bare)
	}
	m.encryptedKey = r.primitive(tagOctetString)
}

// readContent reads the inside of an EncryptedContentInfo.
func (m *message) readContent(r *reader) {
	r.exactly(oidData)
	r.constructed(tagSequence, func(r *reader) {
		r.exactly(oidAES256CBC)
		m.iv = r.primitive(tagOctetString)
	})
	if !r.next(tagExplicit) {
		m.content = r.primitive(tagContent)
		return
	}
	r.constructed(tagExplicit, func(r *reader) {
		for r.next(tagOctetString) {
			m.content = append(m.content, r.primitive(tagOctetString)...)
		}
	})
}
