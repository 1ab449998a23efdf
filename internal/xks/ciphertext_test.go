package xks

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"reflect"
	"testing"
)

func fromBase64(t *testing.T, s string) []byte {
	t.Helper()
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The example of the specification's Encrypt and Appendix C.
func TestIntegrityValue(t *testing.T) {
	c := &Ciphertext{
		Data:     fromBase64(t, "ghxkK1txeDNn3q8Y"),
		IV:       fromBase64(t, "HMrlRw85cAJUd5Ax"),
		Tag:      fromBase64(t, "vBxN2ncH1oEkR8WVXpmyYQ=="),
		Metadata: fromBase64(t, "a2V5X3ZlcnNpb249MQ=="),
	}
	sum := c.IntegrityValue([]byte("project=nile,department=marketing"))
	if got := hex.EncodeToString(sum[:]); got != "a8703f2260bd8791ec2d15ea0b23e65a0631eedcf2a13a65cc82db3f47cf5ec7" {
		t.Errorf("%s", got)
	}
	if got := base64.StdEncoding.EncodeToString(sum[:]); got != "qHA/ImC9h5HsLRXqCyPmWgYx7tzyoTplzILbP0fPXsc=" {
		t.Errorf("%s", got)
	}
}

func TestAdditionalData(t *testing.T) {
	for _, tt := range []struct {
		aad, metadata, want string
	}{
		{"", "", "\x00\x00\x00"},
		{"ab", "", "\x00\x02ab\x00"},
		{"", "ab", "\x00\x00\x02ab"},
		{"a", "b", "\x00\x01a\x01b"},
		{string(make([]byte, 0x1234)), "b", "\x12\x34" + string(make([]byte, 0x1234)) + "\x01b"},
	} {
		got, err := AdditionalData([]byte(tt.aad), []byte(tt.metadata))
		if err != nil || string(got) != tt.want {
			t.Errorf("%d and %d bytes: %x, %v", len(tt.aad), len(tt.metadata), got, err)
		}
	}
	if _, err := AdditionalData(make([]byte, MaxAAD+1), nil); err == nil {
		t.Error("long AAD")
	}
	if _, err := AdditionalData(nil, make([]byte, MaxMetadata+1)); err == nil {
		t.Error("long metadata")
	}
}

// The encoding is stored with what it protects: it must never change.
func TestMarshalGolden(t *testing.T) {
	c := &Ciphertext{Data: []byte("data"), IV: []byte("twelve bytes"), Tag: []byte("sixteen bytes :)"), Metadata: []byte("v1")}
	want := "\x01\x02\x0c" + "v1" + "twelve bytes" + "sixteen bytes :)" + "data"
	got, err := c.Marshal()
	if err != nil || string(got) != want {
		t.Fatalf("%q, %v", got, err)
	}
	back, err := Unmarshal([]byte(want))
	if err != nil || !reflect.DeepEqual(back, c) {
		t.Fatalf("%+v, %v", back, err)
	}
}

func TestMarshalSizes(t *testing.T) {
	biggest := &Ciphertext{Data: make([]byte, MaxPlaintext), IV: make([]byte, 16), Tag: make([]byte, 16), Metadata: make([]byte, MaxMetadata)}
	b, err := biggest.Marshal()
	if err != nil || len(b) != MaxEncoded {
		t.Fatalf("%d bytes, %v", len(b), err)
	}
	if got, err := Unmarshal(b); err != nil || !reflect.DeepEqual(got, biggest) {
		t.Fatalf("%v", err)
	}
	for _, c := range []*Ciphertext{
		{},
		{Data: nil, IV: make([]byte, 12), Tag: make([]byte, 16)},
		{Data: make([]byte, MaxPlaintext+1), IV: make([]byte, 12), Tag: make([]byte, 16)},
		{Data: []byte{1}, IV: make([]byte, 13), Tag: make([]byte, 16)},
		{Data: []byte{1}, IV: make([]byte, 12), Tag: make([]byte, 15)},
		{Data: []byte{1}, IV: make([]byte, 12), Tag: make([]byte, 17)},
		{Data: []byte{1}, IV: make([]byte, 12), Tag: make([]byte, 16), Metadata: make([]byte, 21)},
	} {
		if b, err := c.Marshal(); !errors.Is(err, ErrCiphertext) || b != nil {
			t.Errorf("%+v: %x, %v", c, b, err)
		}
	}
}

func TestUnmarshalHostile(t *testing.T) {
	good, err := someCiphertext().Marshal()
	if err != nil {
		t.Fatal(err)
	}
	for n := range good {
		if _, err := Unmarshal(good[:n]); !errors.Is(err, ErrCiphertext) {
			t.Errorf("cut to %d bytes: %v", n, err)
		}
	}
	with := func(at int, v byte) []byte { b := bytes.Clone(good); b[at] = v; return b }
	for _, b := range [][]byte{
		with(0, 0), with(0, 2), with(1, 1), with(1, 21), with(1, 255), with(2, 0), with(2, 11), with(2, 13), with(2, 16), with(2, 255),
		append(bytes.Clone(good), make([]byte, MaxEncoded)...),
	} {
		if _, err := Unmarshal(b); !errors.Is(err, ErrCiphertext) {
			t.Errorf("%x: %v", b[:4], err)
		}
	}
	// The result shares no memory with what was parsed.
	c, err := Unmarshal(good)
	if err != nil {
		t.Fatal(err)
	}
	clear(good)
	if c.Data[0] != 1 {
		t.Error("the input is part of the result")
	}
}

// FuzzUnmarshal: whatever is accepted has one encoding, the one it came from, and nothing in it reaches into another field.
func FuzzUnmarshal(f *testing.F) {
	for _, c := range []*Ciphertext{
		someCiphertext(),
		{Data: []byte("data"), IV: make([]byte, 16), Tag: []byte("sixteen bytes :)"), Metadata: []byte("v1")},
	} {
		b, err := c.Marshal()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte{1, 255, 255})
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := Unmarshal(b)
		if err != nil {
			if c != nil || !errors.Is(err, ErrCiphertext) {
				t.Fatalf("%v, %v", c, err)
			}
			return
		}
		again, err := c.Marshal()
		if err != nil || !bytes.Equal(again, b) {
			t.Fatalf("%x became %x, %v", b, again, err)
		}
		for _, p := range [][]byte{c.Metadata, c.IV, c.Tag} {
			_ = append(p, 0xff) // must not grow into the next field
		}
		if again, _ = c.Marshal(); !bytes.Equal(again, b) {
			t.Fatal("the fields overlap")
		}
	})
}
