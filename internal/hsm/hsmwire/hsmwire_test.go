package hsmwire_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/keyturn/keyturn/internal/hsm/hsmwire"
)

type fields = [][]byte

func request(op hsmwire.Op, f ...[]byte) hsmwire.Message {
	return hsmwire.Message{ID: 7, Code: byte(op), Fields: f}
}

func reply(s hsmwire.Status, f ...[]byte) hsmwire.Message {
	return hsmwire.Message{ID: 7, Code: byte(s), Fields: f}
}

func equal(a, b hsmwire.Message) bool {
	return a.ID == b.ID && a.Code == b.Code && slices.EqualFunc(a.Fields, b.Fields, bytes.Equal)
}

func TestRoundTrip(t *testing.T) {
	messages := []hsmwire.Message{
		{},
		{ID: 1<<64 - 1, Code: 255, Fields: fields{{}, {1}, make([]byte, 60000)}},
		{ID: 2, Code: 3, Fields: fields{{}, {}, {}, {}, {}, {}, {}}},
		request(hsmwire.OpEncrypt, []byte("id"), make([]byte, hsmwire.MaxAAD), make([]byte, hsmwire.MaxPlaintext)),
	}
	var stream []byte
	for _, m := range messages {
		var err error
		if stream, err = hsmwire.Append(stream, m); err != nil {
			t.Fatal(err)
		}
	}
	r := bytes.NewReader(stream)
	for i, want := range messages {
		got, err := hsmwire.Read(r)
		if err != nil || !equal(got, want) {
			t.Fatalf("message %d: %v, %v", i, got.ID, err)
		}
		got.Wipe()
		for _, f := range got.Fields {
			if slices.ContainsFunc(f, func(b byte) bool { return b != 0 }) {
				t.Error("Wipe left something")
			}
		}
	}
	if _, err := hsmwire.Read(r); err != io.EOF {
		t.Errorf("at the end: %v", err)
	}
}

func TestAppendRefuses(t *testing.T) {
	for name, m := range map[string]hsmwire.Message{
		"too long":        {Fields: fields{make([]byte, 40000), make([]byte, 40000)}},
		"one byte more":   {Fields: fields{make([]byte, 32768), make([]byte, 65536-9-4-32768+1)}},
		"too many fields": {Fields: make(fields, 8)},
	} {
		if _, err := hsmwire.Append(nil, m); !errors.Is(err, hsmwire.ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func frame(payload ...byte) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(payload))), payload...)
}

func TestReadRefuses(t *testing.T) {
	head := make([]byte, 9)
	tests := []struct {
		name string
		in   []byte
		want error
	}{
		{"half a length", []byte{0, 0}, io.ErrUnexpectedEOF},
		{"empty frame", frame(), hsmwire.ErrMalformed},
		{"no header", frame(head[:8]...), hsmwire.ErrMalformed},
		{"nothing after the length", []byte{0, 0, 0, 9}, io.ErrUnexpectedEOF},
		{"half a frame", frame(head...)[:8], io.ErrUnexpectedEOF},
		{"far too long", []byte{0xff, 0xff, 0xff, 0xff}, hsmwire.ErrMalformed},
		{"a byte too long", []byte{0, 1, 0, 1}, hsmwire.ErrMalformed},
		{"half a field length", frame(append(head, 0)...), hsmwire.ErrMalformed},
		{"field beyond the frame", frame(append(head, 0, 2, 1)...), hsmwire.ErrMalformed},
		{"too many fields", frame(append(head, make([]byte, 16)...)...), hsmwire.ErrMalformed},
	}
	for _, test := range tests {
		if _, err := hsmwire.Read(bytes.NewReader(test.in)); !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", test.name, err, test.want)
		}
	}
}

func TestCheckRequest(t *testing.T) {
	id, iv := []byte("k-1_.Z"), make([]byte, 12)
	long := make([]byte, 1<<15)
	tests := []struct {
		name string
		m    hsmwire.Message
		ok   bool
	}{
		{"info", request(hsmwire.OpInfo, []byte{1}), true},
		{"info without version", request(hsmwire.OpInfo), false},
		{"login", request(hsmwire.OpLogin, []byte("1234")), true},
		{"login without PIN", request(hsmwire.OpLogin, []byte{}), false},
		{"login with a long PIN", request(hsmwire.OpLogin, long[:257]), false},
		{"logout", request(hsmwire.OpLogout), true},
		{"logout with a field", request(hsmwire.OpLogout, id), false},
		{"generate", request(hsmwire.OpGenerateKey, id), true},
		{"generate a strange name", request(hsmwire.OpGenerateKey, []byte("a/b")), false},
		{"encrypt", request(hsmwire.OpEncrypt, id, nil, []byte("x")), true},
		{"encrypt nothing", request(hsmwire.OpEncrypt, id, nil, nil), false},
		{"encrypt much", request(hsmwire.OpEncrypt, id, nil, long[:hsmwire.MaxPlaintext+1]), false},
		{"encrypt with much beside", request(hsmwire.OpEncrypt, id, long[:hsmwire.MaxAAD+1], []byte("x")), false},
		{"decrypt", request(hsmwire.OpDecrypt, id, iv, nil, long[:17]), true},
		{"decrypt a tag", request(hsmwire.OpDecrypt, id, iv, nil, long[:16]), false},
		{"decrypt, short IV", request(hsmwire.OpDecrypt, id, iv[1:], nil, long[:17]), false},
		{"random", request(hsmwire.OpRandom, hsmwire.PutCount(hsmwire.MaxRandom)), true},
		{"no random", request(hsmwire.OpRandom, hsmwire.PutCount(0)), false},
		{"too much random", request(hsmwire.OpRandom, hsmwire.PutCount(hsmwire.MaxRandom+1)), false},
		{"unknown", request(99), false},
		{"zero", request(0), false},
	}
	for _, test := range tests {
		if err := hsmwire.CheckRequest(test.m); (err == nil) != test.ok {
			t.Errorf("%s: %v", test.name, err)
		}
	}
}

func TestCheckReply(t *testing.T) {
	id, iv := []byte("k"), make([]byte, 12)
	encrypt := request(hsmwire.OpEncrypt, id, nil, []byte("abc"))
	decrypt := request(hsmwire.OpDecrypt, id, iv, nil, make([]byte, 20))
	has := request(hsmwire.OpHasKey, id)
	random := request(hsmwire.OpRandom, hsmwire.PutCount(3))
	info := request(hsmwire.OpInfo, []byte{1})
	tests := []struct {
		name string
		q, m hsmwire.Message
		ok   bool
	}{
		{"encrypt", encrypt, reply(0, iv, make([]byte, 19)), true},
		{"encrypt, a byte more", encrypt, reply(0, iv, make([]byte, 20)), false},
		{"encrypt, short IV", encrypt, reply(0, iv[1:], make([]byte, 19)), false},
		{"encrypt, no IV", encrypt, reply(0, make([]byte, 19)), false},
		{"decrypt", decrypt, reply(0, make([]byte, 4)), true},
		{"decrypt, a byte less", decrypt, reply(0, make([]byte, 3)), false},
		{"has", has, reply(0, []byte{1}), true},
		{"has two", has, reply(0, []byte{2}), false},
		{"random", random, reply(0, make([]byte, 3)), true},
		{"random, less", random, reply(0, make([]byte, 2)), false},
		{"info", info, reply(0, nil, nil, nil, nil, nil, make([]byte, 8), []byte{1}), true},
		{"info, neither logged in nor not", info, reply(0, nil, nil, nil, nil, nil, make([]byte, 8), []byte{2}), false},
		{"failure", has, reply(hsmwire.StatusFailed, []byte("why")), true},
		{"failure without text", has, reply(hsmwire.StatusFailed), false},
		{"failure with a long text", has, reply(hsmwire.StatusFailed, make([]byte, 257)), false},
		{"unknown status", has, reply(hsmwire.StatusFailed+1, []byte("why")), false},
		{"another's", has, hsmwire.Message{ID: 8, Fields: fields{{1}}}, false},
	}
	for _, test := range tests {
		if err := hsmwire.CheckRequest(test.q); err != nil {
			t.Fatalf("%s: %v", test.name, err)
		}
		if err := hsmwire.CheckReply(test.q, test.m); (err == nil) != test.ok {
			t.Errorf("%s: %v", test.name, err)
		}
	}
}

func TestValidKeyID(t *testing.T) {
	for id, want := range map[string]bool{
		"a": true, "1234abcd-12ab-34cd-56ef-1234567890ab": true, "mrk-0.1_B": true, strings.Repeat("x", 64): true,
		"": false, strings.Repeat("x", 65): false, "a b": false, "a\x00": false, "ä": false, "a:b": false, "a/b": false,
	} {
		if hsmwire.ValidKeyID(id) != want {
			t.Errorf("ValidKeyID(%q) = %v", id, !want)
		}
	}
}

// FuzzRead checks that what is read encodes to the very bytes it was read from: there is one encoding of a message.
func FuzzRead(f *testing.F) {
	for _, m := range []hsmwire.Message{{}, request(hsmwire.OpLogin, []byte("1234")), reply(0, nil, []byte{1}, make([]byte, 300))} {
		b, err := hsmwire.Append(nil, m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte{0, 0, 0, 10, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0})
	f.Fuzz(func(t *testing.T, in []byte) {
		r := bytes.NewReader(in)
		m, err := hsmwire.Read(r)
		if err != nil {
			return
		}
		out, err := hsmwire.Append(nil, m)
		if err != nil {
			t.Fatalf("what was read cannot be written: %v", err)
		}
		if read := in[:len(in)-r.Len()]; !bytes.Equal(out, read) {
			t.Errorf("read %x, wrote %x", read, out)
		}
		if hsmwire.CheckRequest(m) == nil {
			_ = hsmwire.CheckReply(m, m) // must not panic whatever the fields
		}
	})
}
