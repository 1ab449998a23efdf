package cms

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"errors"
	"math/big"
	"os"
	"sync"
	"testing"
)

// awsMessage is an entry of testdata/aws.json.
type awsMessage struct {
	Source                  string
	Key, Message, Plaintext []byte
}

func awsMessages(t testing.TB) []awsMessage {
	t.Helper()
	b, err := os.ReadFile("testdata/aws.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct{ Messages []awsMessage }
	if err := json.Unmarshal(b, &file); err != nil || len(file.Messages) != 2 {
		t.Fatal(len(file.Messages), err)
	}
	return file.Messages
}

func (m awsMessage) key(t testing.TB) *rsa.PrivateKey {
	t.Helper()
	key, err := x509.ParsePKCS8PrivateKey(m.Key)
	if err != nil {
		t.Fatal(err)
	}
	return key.(*rsa.PrivateKey)
}

var newKey = sync.OnceValues(func() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 2048) })

func testKey(t testing.TB) *rsa.PrivateKey {
	t.Helper()
	key, err := newKey()
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// What AWS KMS made opens, and is encoded byte for byte the same here.
func TestMessagesOfAWS(t *testing.T) {
	for _, aws := range awsMessages(t) {
		key := aws.key(t)
		got, err := Open(aws.Message, key)
		if err != nil || !bytes.Equal(got, aws.Plaintext) {
			t.Errorf("%s: %x, %v", aws.Source, got, err)
		}
		m, err := parse(aws.Message)
		if err != nil {
			t.Fatal(err)
		}
		if again := m.encode(); !bytes.Equal(again, aws.Message) {
			t.Errorf("%s: encodes as\n%x, was\n%x", aws.Source, again, aws.Message)
		}
		spki, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
		if err != nil {
			t.Fatal(err)
		}
		if id := sha256.Sum256(spki); !bytes.Equal(m.keyID, id[:]) {
			t.Errorf("%s: key identifier %x, the key's is %x", aws.Source, m.keyID, id)
		}
	}
}

func TestRoundTrip(t *testing.T) {
	key := testKey(t)
	for _, n := range []int{0, 1, 15, 16, 17, 32, 991, 992, 1000, 1001, 2375, MaxPlaintext} {
		plaintext := make([]byte, n)
		rand.Read(plaintext)
		message, err := Envelop(plaintext, &key.PublicKey)
		if err != nil || len(message) > MaxMessage {
			t.Fatalf("%d bytes: message of %d, %v", n, len(message), err)
		}
		got, err := Open(message, key)
		if err != nil || !bytes.Equal(got, plaintext) {
			t.Fatalf("%d bytes: opened %d, %v", n, len(got), err)
		}
		again, err := Envelop(plaintext, &key.PublicKey)
		if err != nil {
			t.Fatal(err)
		}
		one, _ := parse(message)
		other, _ := parse(again)
		if bytes.Equal(one.encryptedKey, other.encryptedKey) || bytes.Equal(one.iv, other.iv) || bytes.Equal(one.content, other.content) {
			t.Fatalf("%d bytes: two messages share a part", n)
		}
	}
	// The largest: to a key of 4096 bits, of which the length is all that matters here.
	largest := message{make([]byte, 32), make([]byte, 512), make([]byte, 16), make([]byte, MaxPlaintext+16)}.encode()
	if _, err := parse(largest); err != nil || len(largest) > MaxMessage {
		t.Errorf("largest message: %d bytes, %v", len(largest), err)
	}
}

func TestEnvelopRefuses(t *testing.T) {
	key := testKey(t)
	if _, err := Envelop(make([]byte, MaxPlaintext+1), &key.PublicKey); !errors.Is(err, ErrPlaintextLength) {
		t.Error(err)
	}
	short := &rsa.PublicKey{N: new(big.Int).Rsh(key.N, 1), E: key.E}
	for _, recipient := range []*rsa.PublicKey{nil, {}, short} {
		if _, err := Envelop(nil, recipient); !errors.Is(err, ErrRecipient) {
			t.Error(err)
		}
	}
}

// Whatever does not open for a reason that depends on the key gives the very same error.
func TestOpenRefuses(t *testing.T) {
	aws := awsMessages(t)[0]
	key := aws.key(t)
	good, err := parse(aws.Message)
	if err != nil {
		t.Fatal(err)
	}
	refused := func(name string, m message, key *rsa.PrivateKey) {
		t.Helper()
		if got, err := Open(m.encode(), key); err != ErrOpen || got != nil {
			t.Errorf("%s: %x, %v", name, got, err)
		}
	}
	refused("another key", good, testKey(t))

	m := good
	m.encryptedKey = bytes.Clone(m.encryptedKey)
	m.encryptedKey[100] ^= 1
	refused("altered key", m, key)
	for _, n := range []int{0, 1, 255, 257} {
		m.encryptedKey = make([]byte, n)
		refused("key of another length", m, key)
	}
	for _, n := range []int{0, 16, 24, 31, 33} {
		if m.encryptedKey, err = rsa.EncryptOAEP(sha256.New(), rand.Reader, &key.PublicKey, make([]byte, n), nil); err != nil {
			t.Fatal(err)
		}
		refused("content key of another length", m, key)
	}

	m = good
	m.content = m.content[:len(m.content)-16]
	refused("without the padding", m, key)

	if _, err := Open(aws.Message, nil); !errors.Is(err, ErrRecipient) {
		t.Error(err)
	}
}

// Every padding there can be: the last block is replaced by altering the one in front of it, here the IV.
func TestPadding(t *testing.T) {
	key, iv := make([]byte, keySize), make([]byte, 16)
	content, err := encryptCBC(key, iv, nil) // one block of padding
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		last []byte
		want int // bytes of plaintext, or -1
	}{
		{bytes.Repeat([]byte{16}, 16), 0},
		{append(make([]byte, 15), 1), 15},
		{append(make([]byte, 14), 2, 2), 14},
		{append(make([]byte, 14), 1, 2), -1},
		{append([]byte{0}, bytes.Repeat([]byte{15}, 15)...), 1},
		{append([]byte{15}, bytes.Repeat([]byte{16}, 15)...), -1},
		{append([]byte{1, 14}, bytes.Repeat([]byte{15}, 14)...), -1},
		{bytes.Repeat([]byte{17}, 16), -1},
		{make([]byte, 16), -1},
		{bytes.Repeat([]byte{255}, 16), -1},
	} {
		altered := bytes.Clone(iv)
		for i := range altered {
			altered[i] ^= 16 ^ c.last[i]
		}
		got, err := decryptCBC(key, altered, content)
		if c.want < 0 && (err != ErrOpen || got != nil) || c.want >= 0 && (err != nil || !bytes.Equal(got, c.last[:c.want])) {
			t.Errorf("%x: %x, %v", c.last, got, err)
		}
	}
}

// FuzzOpen: any bytes open, or are refused without a word; what parses is the same message when encoded anew.
func FuzzOpen(f *testing.F) {
	aws := awsMessages(f)
	for _, m := range aws {
		f.Add(m.Message)
	}
	f.Add(definite(f, aws[0].Message, false))
	long, err := Envelop(make([]byte, 3000), &aws[0].key(f).PublicKey)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(long)
	key := aws[0].key(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := Open(b, key)
		if err != nil && (got != nil || err != ErrMessage && err != ErrOpen) {
			t.Fatalf("%x, %v", got, err)
		}
		m, parseErr := parse(b)
		if parseErr != nil {
			if err != ErrMessage {
				t.Fatalf("%v, but parsing gives %v", err, parseErr)
			}
			return
		}
		encoded := m.encode()
		if len(encoded) > MaxMessage {
			return // it was written in fewer pieces
		}
		again, err := parse(encoded)
		if err != nil || !again.equal(m) {
			t.Fatalf("%v: %+v, was %+v", err, again, m)
		}
	})
}

func (m message) equal(n message) bool {
	return bytes.Equal(m.keyID, n.keyID) && bytes.Equal(m.encryptedKey, n.encryptedKey) && bytes.Equal(m.iv, n.iv) && bytes.Equal(m.content, n.content)
}
