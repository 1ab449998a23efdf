package keys

import (
	"bytes"
	"encoding/asn1"
	"errors"
	"os/exec"
	"strings"
	"testing"
)

// berStyle is one way of writing what DER writes in one way only.
type berStyle struct {
	indefinite bool // lengths of what is constructed
	lengthSize int  // bytes of a definite length, 0 for as few as can be
	piece      int  // bytes of the pieces of strings, 0 for whole ones
	inside     bool // the encoding in PKCS #8's OCTET STRING too
}

var berStyles = map[string]berStyle{
	"indefinite":        {indefinite: true},
	"indefinite inside": {indefinite: true, inside: true},
	"long lengths":      {lengthSize: 4, inside: true},
	"very long lengths": {lengthSize: 9},
	"pieces":            {piece: 20},
	"all of it":         {indefinite: true, lengthSize: 3, piece: 7, inside: true},
}

// restyle writes an element in DER as the style has it. Only the test of the parser's limits has more than one level of pieces.
func (s berStyle) restyle(t testing.TB, der []byte) []byte {
	t.Helper()
	var out []byte
	for len(der) > 0 {
		var v asn1.RawValue
		rest, err := asn1.Unmarshal(der, &v)
		if err != nil {
			t.Fatal(err)
		}
		tag, content := der[0], v.Bytes
		der = rest
		if tag == asn1.TagOctetString && s.inside && len(content) > 2 && content[0] == 0x30 {
			content = s.restyle(t, content)
		}
		switch {
		case v.IsCompound:
			content = s.restyle(t, content)
		case tag == asn1.TagOctetString && s.piece > 0 && len(content) > s.piece:
			content, tag = s.cut(tag, nil, content), octetPieces
		case tag == asn1.TagBitString && s.piece > 0 && len(content) > s.piece:
			content, tag = s.cut(tag, []byte{0}, content[1:]), bitPieces
		}
		if s.indefinite && tag&constructedBit != 0 {
			out = append(append(append(out, tag, 0x80), content...), 0, 0)
			continue
		}
		out = append(append(append(out, tag), s.length(len(content))...), content...)
	}
	return out
}

func (s berStyle) length(n int) []byte {
	if s.lengthSize == 0 {
		header := derElement(asn1.TagOctetString, make([]byte, n))
		return header[1 : len(header)-n]
	}
	b := make([]byte, 1+s.lengthSize)
	b[0] = 0x80 | byte(s.lengthSize)
	for i := s.lengthSize; n > 0; i-- {
		b[i], n = byte(n), n>>8
	}
	return b
}

func (s berStyle) cut(tag byte, before, content []byte) []byte {
	var out []byte
	for len(content) > 0 {
		n := min(s.piece, len(content))
		piece := append(bytes.Clone(before), content[:n]...)
		out = append(append(append(out, tag), s.length(len(piece))...), piece...)
		content = content[n:]
	}
	return out
}

// One key has one stored form, in whatever BER it comes; OpenSSL, where there is one, reads the same key from it.
func TestImportBER(t *testing.T) {
	openssl, _ := exec.LookPath("openssl")
	list := vectors[opensslKey](t, "openssl_keys.json")
	if sm2 := loadSM2().OpenSSL; sm2.PKCS8 != "" {
		list = append(list, opensslKey{Spec: "SM2", Kind: "canonical", OK: true, PKCS8: fromHex(t, sm2.PKCS8)})
	}
	for _, v := range list {
		if !v.OK {
			continue
		}
		spec := SpecByName(v.Spec)
		for name, style := range berStyles {
			t.Run(v.Spec+" "+v.Kind+" "+name, func(t *testing.T) {
				skipOutsideFIPS(t, v.Spec)
				if v.Spec == "SM2" {
					skipInFIPS(t)
				}
				want, err := spec.Import(v.PKCS8)
				if err != nil {
					t.Fatal(err)
				}
				ber := style.restyle(t, v.PKCS8)
				if bytes.Equal(ber, v.PKCS8) {
					t.Fatal("the test's BER is DER")
				}
				got, err := spec.Import(ber)
				if len(ber) > maxPKCS8 {
					if !errors.Is(err, ErrMaterial) {
						t.Fatalf("%d bytes: %v", len(ber), err)
					}
					return
				}
				if err != nil || !bytes.Equal(got, want) {
					t.Fatalf("imported as another key: %v\n%x", err, ber)
				}
				for what, b := range map[string][]byte{
					"trailing byte": append(bytes.Clone(ber), 0), "trailing end": append(bytes.Clone(ber), 0, 0), "twice": append(bytes.Clone(ber), ber...),
					"cut": ber[:len(ber)-1], "too long": append(bytes.Clone(ber), make([]byte, maxPKCS8)...),
				} {
					if _, err := spec.Import(b); !errors.Is(err, ErrMaterial) {
						t.Errorf("%s: %v", what, err)
					}
				}
				if _, err := spec.Open(ber); !errors.Is(err, ErrMaterial) {
					t.Errorf("what is stored may be BER: %v", err)
				}
				if openssl == "" || v.Kind != "canonical" || v.PublicKey == nil || style.inside || style.lengthSize > 0 {
					return // OpenSSL 3.0 writes the point as it came, and reads some BER only
				}
				cmd := exec.Command(openssl, "pkey", "-inform", "DER", "-pubout", "-outform", "DER")
				cmd.Stdin = bytes.NewReader(ber)
				if out, err := cmd.Output(); err != nil || !bytes.Equal(out, v.PublicKey) {
					t.Errorf("openssl: %v, %x", err, out)
				}
			})
		}
	}
}

// Examples by hand, from X.690's own words.
func TestToDER(t *testing.T) {
	for _, c := range []struct{ name, ber, der string }{
		{"already DER", "3003020105", "3003020105"},
		{"indefinite", "3080 020105 0000", "3003020105"},
		{"indefinite in indefinite", "3080 3080 0000 0000", "30023000"},
		{"indefinite in definite", "3007 3080 020105 0000", "30053003020105"},
		{"two end octets inside an element", "3080 04020000 0000", "300404020000"},
		{"long length", "308103 020105", "3003020105"},
		{"zeros before a length", "3086000000000003 020105", "3003020105"},
		{"octets in pieces", "2480 0402abcd 040100 0000", "0403abcd00"},
		{"pieces in pieces", "2408 2404 0402abcd 0400", "0402abcd"},
		{"no pieces", "2400", "0400"},
		{"bits in pieces", "2309 030300abcd 030204e0", "030404abcde0"},
		{"no bits", "2380 0000", "030100"},
		{"no bits in two bytes", "2300", "030100"},
		{"context tags", "a080 020101 0000", "a003020101"},

		{"nothing", "", ""},
		{"half a header", "30", ""},
		{"trailing", "3000 00", ""},
		{"trailing end", "3000 0000", ""},
		{"no end", "3080 020105", ""},
		{"half an end", "3080 020105 00", ""},
		{"an end of nothing", "0000", ""},
		{"an end in a definite length", "3004 0201050000", ""},
		{"indefinite primitive", "0480 0401ab 0000", ""},
		{"beyond its end", "3004 020105", ""},
		{"beyond the outer's end", "3003 020205 00", ""},
		{"length beyond all sense", "30ff", ""},
		{"length beyond numbers", "3089ffffffffffffffffff00", ""},
		{"length cut short", "308200", ""},
		{"long tag", "1f8100", ""},
		{"a piece of another kind", "2403 020105", ""},
		{"bits that do not count, in the middle", "2308 030204e0 030200ab", ""},
		{"a piece of bits without any", "2302 0300", ""},
	} {
		ber, want := unhexAll(t, strings.ReplaceAll(c.ber, " ", "")), unhexAll(t, c.der)
		got, ok := toDER(ber)
		if ok != (c.der != "") || ok && !bytes.Equal(got, want) {
			t.Errorf("%s: %x, %t", c.name, got, ok)
		}
	}
	for depth, want := range map[int]bool{maxBERDepth: true, maxBERDepth + 1: false} {
		nested := bytes.Repeat([]byte{0x30, 0x80}, depth)
		if _, ok := toDER(append(nested, make([]byte, 2*depth)...)); ok != want {
			t.Errorf("%d levels: %t", depth, ok)
		}
	}
}

// FuzzToDER: what comes out is one element in the shortest form, which comes out as itself.
func FuzzToDER(f *testing.F) {
	for _, v := range vectors[opensslKey](f, "openssl_keys.json") {
		for _, style := range berStyles {
			f.Add(style.restyle(f, v.PKCS8))
		}
	}
	f.Add([]byte{0x23, 0})
	f.Add(append([]byte{0x30, 127}, bytes.Repeat([]byte{0x23, 0}, 63)...)) // with a byte missing
	f.Add(append([]byte{0x30, 126}, bytes.Repeat([]byte{0x23, 0}, 63)...)) // whose length needs a byte more
	f.Fuzz(func(t *testing.T, ber []byte) {
		pkcs8ToDER(ber)
		der, ok := toDER(ber)
		if !ok {
			return
		}
		var v asn1.RawValue
		rest, err := asn1.Unmarshal(der, &v)
		if err != nil || len(rest) > 0 || len(der) >= 2*len(ber) {
			t.Fatalf("%x of %x: %v", der, ber, err)
		}
		if again, ok := toDER(der); !ok || !bytes.Equal(again, der) {
			t.Fatalf("%x, then %x", der, again)
		}
	})
}
