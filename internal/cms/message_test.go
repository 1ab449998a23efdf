package cms

import (
	"bytes"
	"testing"
)

// definite writes a message of AWS KMS in DER; pieces leaves the content in octet strings, which only BER allows.
func definite(t testing.TB, ber []byte, pieces bool) []byte {
	t.Helper()
	m, err := parse(ber)
	if err != nil {
		t.Fatal(err)
	}
	content := element(tagContent, m.content)
	if pieces {
		content = element(tagExplicit, element(tagOctetString, m.content[:16]), element(tagOctetString), element(tagOctetString, m.content[16:]))
	}
	return element(tagSequence, oidEnvelopedData, element(tagExplicit, element(tagSequence,
		version2,
		element(tagSet, element(tagSequence, version2, element(tagKeyID, m.keyID), oaepSHA256Bare, element(tagOctetString, m.encryptedKey))),
		element(tagSequence, oidData, element(tagSequence, oidAES256CBC, element(tagOctetString, m.iv)), content))))
}

func TestParseForms(t *testing.T) {
	aws := awsMessages(t)[0]
	want, err := parse(aws.Message)
	if err != nil {
		t.Fatal(err)
	}
	longLengths := bytes.Replace(aws.Message, append([]byte{tagKeyID, 0x20}, want.keyID...), append([]byte{tagKeyID, 0x82, 0, 0x20}, want.keyID...), 1)
	longLengths = bytes.Replace(longLengths, []byte{0x31, 0x82, 0x01, 0x6b, 0x30, 0x82, 0x01, 0x67}, []byte{0x31, 0x82, 0x01, 0x6d, 0x30, 0x82, 0x01, 0x69}, 1)
	for name, ber := range map[string][]byte{
		"DER":                    definite(t, aws.Message, false),
		"pieces":                 definite(t, aws.Message, true),
		"a length in more bytes": longLengths,
	} {
		got, err := parse(ber)
		if err != nil || !got.equal(want) {
			t.Errorf("%s: %v, %+v", name, err, got)
		}
		if plaintext, err := Open(ber, aws.key(t)); err != nil || !bytes.Equal(plaintext, aws.Plaintext) {
			t.Errorf("%s: %x, %v", name, plaintext, err)
		}
	}
}

// The content is cut at 1000 bytes, the last piece being what is left.
func TestPieces(t *testing.T) {
	m := message{content: bytes.Repeat([]byte{0xaa}, 2016)}
	tail := m.encode()[bytes.Index(m.encode(), []byte{0xa0, 0x80, 0x04}):]
	want := append([]byte{0xa0, 0x80, 0x04, 0x82, 0x03, 0xe8}, m.content[:1000]...)
	want = append(want, append([]byte{0x04, 0x82, 0x03, 0xe8}, m.content[:1000]...)...)
	want = append(want, append([]byte{0x04, 0x10}, m.content[:16]...)...)
	want = append(want, make([]byte, 10)...) // five ends of contents
	if !bytes.Equal(tail, want) {
		t.Errorf("%x", tail)
	}
}

func TestParseRefuses(t *testing.T) {
	aws := awsMessages(t)[0].Message
	der := definite(t, aws, false)
	good, err := parse(aws)
	if err != nil {
		t.Fatal(err)
	}
	replace := func(b, old, new []byte) []byte {
		t.Helper()
		if !bytes.Contains(b, old) {
			t.Fatalf("%x does not occur", old)
		}
		return bytes.Replace(b, old, new, 1)
	}
	alter := func(f func(*message)) []byte {
		m := good
		f(&m)
		return m.encode()
	}
	for name, b := range map[string][]byte{
		"nothing":              nil,
		"one byte":             {0x30},
		"longer":               append(bytes.Clone(aws), 0),
		"longer, DER":          append(bytes.Clone(der), 0),
		"too long":             append(bytes.Clone(aws), make([]byte, MaxMessage)...),
		"nested deeply":        bytes.Repeat([]byte{0x30, 0x80}, MaxMessage/2),
		"another content type": replace(aws, oidEnvelopedData, oidData),
		"another inner type":   replace(aws, oidData, oidEnvelopedData),
		"AES-256-GCM":          replace(aws, oidAES256CBC, append(bytes.Clone(oidAES256CBC[:10]), 0x2e)),
		"PKCS #1 v1.5":         replace(aws, oidRSAESOAEP, append(bytes.Clone(oidRSAESOAEP[:10]), 0x01)),
		"another hash":         replace(aws, oidSHA256, append(bytes.Clone(oidSHA256[:10]), 0x02)),
		"version":              replace(aws, []byte{0x30, 0x80, 2, 1, 2}, []byte{0x30, 0x80, 2, 1, 0}),
		"recipient's version":  replace(aws, []byte{2, 1, 2, 0x80}, []byte{2, 1, 0, 0x80}),
		"length beyond":        replace(der, []byte{0x30, 0x82}, []byte{0x30, 0x83, 0x01}),
		"length in no bytes":   replace(aws, []byte{0x80, 0x20}, []byte{0x80, 0xff}),
		"iv of 8 bytes":        alter(func(m *message) { m.iv = m.iv[:8] }),
		"no content":           alter(func(m *message) { m.content = nil }),
		"half a block":         alter(func(m *message) { m.content = m.content[:40] }),
		"indefinite primitive": replace(der, []byte{0x80, 0x30}, []byte{0x80, 0x80}),
		"two recipients": replace(aws, []byte{0x31, 0x82, 0x01, 0x6b, 0x30}, append([]byte{0x31, 0x82, 0x02, 0xd6},
			append(bytes.Clone(aws[24:387]), 0x30)...)),
	} {
		if got, err := parse(b); err != ErrMessage || got.content != nil {
			t.Errorf("%s: %v, %+v", name, err, got)
		}
	}
	for _, whole := range [][]byte{aws, der} {
		for n := range whole {
			if _, err := parse(whole[:n]); err != ErrMessage {
				t.Errorf("the first %d bytes: %v", n, err)
			}
		}
	}
}
