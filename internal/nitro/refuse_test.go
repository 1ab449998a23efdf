package nitro

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/pem"
	"fmt"
	"math/big"
	"slices"
	"testing"

	"github.com/fxamacker/cbor/v2"

	"github.com/keyturn/keyturn/internal/nitro/nitrotest"
)

// signFields signs a payload of these fields.
func signFields(t testing.TB, p *nitrotest.PKI, fields map[string]any) []byte {
	t.Helper()
	payload, err := nitrotest.EncodePayload(fields)
	if err != nil {
		t.Fatal(err)
	}
	document, err := p.Sign(payload)
	if err != nil {
		t.Fatal(err)
	}
	return document
}

// TestRefuseMessage changes one thing of the outer structure, or of the signature.
func TestRefuseMessage(t *testing.T) {
	p := testPKI()
	v := testVerifier(t, p)
	good := testDocument(t, p, testClaims(t))
	var parts []cbor.RawMessage
	if err := cbor.Unmarshal(good, &parts); err != nil {
		t.Fatal(err)
	}
	with := func(i int, item any) []byte {
		changed := slices.Clone(parts)
		changed[i] = mustCBOR(t, item)
		return mustCBOR(t, changed)
	}
	m, err := parseMessage(good)
	if err != nil {
		t.Fatal(err)
	}
	signature := func(edit func(s []byte)) []byte {
		s := slices.Clone(m.signature)
		edit(s)
		return with(3, s)
	}
	tagged := func(tag uint64) []byte { return mustCBOR(t, cbor.RawTag{Number: tag, Content: good}) }

	for name, tt := range map[string]struct {
		document []byte
		want     error
	}{
		"nothing":              {nil, ErrMalformed},
		"a tag alone":          {[]byte{coseSign1Tag}, ErrMalformed},
		"too long":             {make([]byte, MaxDocument+1), ErrMalformed},
		"trailing byte":        {append(slices.Clone(good), 0), ErrMalformed},
		"cut":                  {good[:len(good)-1], ErrMalformed},
		"another tag":          {tagged(17), ErrMalformed},
		"a tag in a tag":       {append([]byte{coseSign1Tag, coseSign1Tag}, good...), ErrMalformed},
		"the tag in two bytes": {append([]byte{0xd8, 18}, good...), ErrMalformed},
		"three items":          {mustCBOR(t, parts[:3]), ErrMalformed},
		"five items":           {mustCBOR(t, append(slices.Clone(parts), parts[3])), ErrMalformed},
		"a map":                {mustCBOR(t, map[int]int{}), ErrMalformed},
		"indefinite length":    {slices.Concat([]byte{0x9f}, good[1:], []byte{0xff}), ErrMalformed},

		"protected: a map":           {with(0, map[int]int{1: -35}), ErrMalformed},
		"protected: empty":           {with(0, []byte{}), ErrMalformed},
		"protected: ES256":           {with(0, []byte{0xa1, 0x01, 0x26}), ErrMalformed},
		"protected: ES512":           {with(0, []byte{0xa1, 0x01, 0x38, 0x23}), ErrMalformed},
		"protected: a second header": {with(0, mustCBOR(t, map[int]int{1: -35, 4: 0})), ErrMalformed},
		"protected: an array":        {with(0, []int{0xa1, 0x01, 0x38, 0x22}), ErrMalformed},
		"unprotected: a key ID":      {with(1, map[int][]byte{4: {1}}), ErrMalformed},
		"unprotected: null":          {with(1, nil), ErrMalformed},
		"payload: detached":          {with(2, nil), ErrMalformed},
		"payload: empty":             {with(2, []byte{}), ErrMalformed},
		"payload: too long":          {with(2, make([]byte, maxPayload+1)), ErrMalformed},
		"payload: not wrapped":       {with(2, cbor.RawMessage(m.payload)), ErrMalformed},
		"payload: changed":           {with(2, bytes.Replace(m.payload, []byte("user data"), []byte("user date"), 1)), ErrSignature},
		"signature: none":            {with(3, nil), ErrMalformed},
		"signature: short":           {with(3, m.signature[:95]), ErrMalformed},
		"signature: long":            {with(3, append(slices.Clone(m.signature), 0)), ErrMalformed},
		"signature: ES256's size":    {with(3, m.signature[:64]), ErrMalformed},
		"signature: a bit of r":      {signature(func(s []byte) { s[0] ^= 1 }), ErrSignature},
		"signature: a bit of s":      {signature(func(s []byte) { s[95] ^= 1 }), ErrSignature},
		"signature: zero":            {signature(func(s []byte) { clear(s) }), ErrSignature},
		"signature: r is zero":       {signature(func(s []byte) { clear(s[:48]) }), ErrSignature},
		"signature: s is the order":  {signature(func(s []byte) { elliptic.P384().Params().N.FillBytes(s[48:]) }), ErrSignature},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := v.Verify(tt.document, testNow)
			wantRefusal(t, err, tt.want, "")
		})
	}
}

// TestRefusePayload changes one field of the payload and signs it: what is refused is refused for its form.
func TestRefusePayload(t *testing.T) {
	p := testPKI()
	v := testVerifier(t, p)
	remove := struct{}{}
	pcr := nitrotest.PCR("x")
	many := map[int][]byte{}
	for i := range 33 {
		many[i] = pcr
	}
	for _, tt := range []struct {
		field string
		value any
		text  string
	}{
		{"module_id", remove, "module_id has 0 bytes"},
		{"module_id", nil, "module_id has 0 bytes"},
		{"module_id", "", "module_id has 0 bytes"},
		{"module_id", string(make([]byte, 257)), "module_id has 257 bytes"},
		{"module_id", []byte("i-0"), "not the map"},
		{"module_id", cbor.RawMessage{0x62, 0xff, 0xfe}, "not the map"}, // not UTF-8
		{"digest", remove, "digest"},
		{"digest", "SHA256", "digest"},
		{"digest", "sha384", "digest"},
		{"digest", []byte("SHA384"), "not the map"},
		{"timestamp", remove, "timestamp"},
		{"timestamp", nil, "timestamp"},
		{"timestamp", 0, "timestamp"},
		{"timestamp", -1, "not the map"},
		{"timestamp", 1.5, "not the map"},
		{"timestamp", "1", "not the map"},
		{"timestamp", true, "not the map"},
		{"timestamp", cbor.SimpleValue(7), "not the map"},
		{"timestamp", cbor.RawMessage{0xc2, 0x41, 0x07}, "not the map"}, // a bignum
		{"timestamp", uint64(maxTimestamp + 1), "timestamp"},
		{"timestamp", ^uint64(0), "timestamp"},
		{"pcrs", remove, "pcrs has 0 registers"},
		{"pcrs", nil, "pcrs has 0 registers"},
		{"pcrs", map[int][]byte{}, "pcrs has 0 registers"},
		{"pcrs", many, "not the map"},
		{"pcrs", [][]byte{pcr}, "not the map"},
		{"pcrs", map[int][]byte{32: pcr}, "above 31"},
		{"pcrs", map[int][]byte{-1: pcr}, "not the map"},
		{"pcrs", map[string][]byte{"0": pcr}, "not the map"},
		{"pcrs", map[cbor.SimpleValue][]byte{0: pcr}, "not the map"},
		{"pcrs", map[int][]byte{0: pcr[:47]}, "PCR0 has 47 bytes"},
		{"pcrs", map[int][]byte{3: {}}, "PCR3 has 0 bytes"},
		{"pcrs", map[int]any{3: nil}, "PCR3 has 0 bytes"},
		{"pcrs", map[int]string{0: string(make([]byte, 48))}, "not the map"},
		{"pcrs", map[int]any{0: make([]int, 16)}, "not the map"},
		{"pcrs", cbor.RawMessage(slices.Concat([]byte{0xa2, 0, 0x58, 48}, pcr, []byte{0, 0x58, 48}, pcr)), "not the map"}, // PCR0 twice
		{"certificate", remove, "certificate has 0 bytes"},
		{"certificate", nil, "certificate has 0 bytes"},
		{"certificate", make([]byte, 1025), "certificate has 1025 bytes"},
		{"certificate", string(make([]byte, 10)), "not the map"},
		{"cabundle", remove, "cabundle has 0 certificates"},
		{"cabundle", nil, "cabundle has 0 certificates"},
		{"cabundle", [][]byte{}, "cabundle has 0 certificates"},
		{"cabundle", make([]string, 3), "not the map"},
		{"cabundle", slices.Repeat([][]byte{{1}}, 9), "cabundle has 9 certificates"},
		{"cabundle", slices.Repeat([][]byte{{1}}, 17), "not the map"},
		{"cabundle", append(p.Bundle(), []byte{}), "a certificate of cabundle has 0 bytes"},
		{"cabundle", append(p.Bundle(), nil), "a certificate of cabundle has 0 bytes"},
		{"cabundle", append(p.Bundle(), make([]byte, 1025)), "a certificate of cabundle has 1025 bytes"},
		{"cabundle", p.Bundle()[0], "not the map"},
		{"public_key", []byte{}, "public_key has 0 bytes"},
		{"public_key", make([]byte, 1025), "public_key has 1025 bytes"},
		{"public_key", "text", "not the map"},
		{"public_key", []int{1, 2}, "not the map"},
		{"public_key", cbor.SimpleValue(23), "not the map"}, // undefined
		{"user_data", make([]byte, 1025), "user_data has 1025 bytes"},
		{"user_data", "text", "not the map"},
		{"nonce", make([]byte, 1025), "nonce has 1025 bytes"},
		{"nonce", 7, "not the map"},
		{"nonce", cbor.RawMessage{0xd8, 0x18, 0x41, 0x00}, "not the map"}, // tagged
		{"another", 1, "not the map"},
		{"Nonce", []byte{1}, "not the map"},
		{"nitrotpm_pcrs", map[int][]byte{0: pcr}, "not the map"},
	} {
		t.Run(fmt.Sprintf("%s: %T %.20v", tt.field, tt.value, tt.value), func(t *testing.T) {
			fields := p.Fields(testClaims(t))
			fields[tt.field] = tt.value
			if tt.value == remove {
				delete(fields, tt.field)
			}
			_, err := v.Verify(signFields(t, p, fields), testNow)
			wantRefusal(t, err, ErrMalformed, tt.text)
		})
	}
}

// TestRefusePayloadEncoding has payloads that no map of fields gives.
func TestRefusePayloadEncoding(t *testing.T) {
	p := testPKI()
	v := testVerifier(t, p)
	good, err := nitrotest.EncodePayload(p.Fields(testClaims(t))) // 0xbf ... 0xff
	if err != nil {
		t.Fatal(err)
	}
	nonce := []byte("\x65nonce\x41\x00")
	for name, payload := range map[string][]byte{
		"a field twice":        slices.Concat(good[:len(good)-1], nonce, []byte{0xff}),
		"trailing byte":        append(slices.Clone(good), 0),
		"no end":               good[:len(good)-1],
		"an array":             {0x80},
		"null":                 {0xf6},
		"a tag":                append([]byte{0xd8, 0x18}, good...),
		"a name in bytes":      slices.Concat([]byte{0xbf, 0x45}, []byte("nonce"), []byte{0x41, 0x00}, good[1:]),
		"a name in other case": bytes.Replace(good, []byte("\x65nonce"), []byte("\x65Nonce"), 1),
		"nesting without end":  bytes.Repeat([]byte{0x81}, 1000),
		"a length of 2^64 - 1": {0xbb, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
	} {
		t.Run(name, func(t *testing.T) {
			document, err := p.Sign(payload)
			if err != nil {
				t.Fatal(err)
			}
			_, err = v.Verify(document, testNow)
			wantRefusal(t, err, ErrMalformed, "")
		})
	}
}

// TestRefusePublicKey has documents without fault but for the key.
func TestRefusePublicKey(t *testing.T) {
	p := testPKI()
	v := testVerifier(t, p)
	ec, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	good := spki(t, &testKey().PublicKey)
	made := func(bits uint, low int64, e int) []byte { // a number of so many bits; nobody has its factors
		n := new(big.Int).Lsh(big.NewInt(1), bits-1)
		return spki(t, &rsa.PublicKey{N: n.Add(n, big.NewInt(low)), E: e})
	}
	for name, tt := range map[string]struct {
		key  []byte
		text string // "" if it verifies
	}{
		"null":          {nil, "there is none"},
		"PEM":           {pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: good}), "not a SubjectPublicKeyInfo"},
		"trailing byte": {append(slices.Clone(good), 0), "not a SubjectPublicKeyInfo"},
		"P-384":         {spki(t, &ec.PublicKey), "not an RSA key"},
		"2047 bits":     {made(2047, 1, 65537), "2047 bits"},
		"2048 bits":     {made(2048, 1, 65537), ""},
		"4096 bits":     {made(4096, 1, 65537), ""},
		"4097 bits":     {made(4097, 1, 65537), "4097 bits"},
		"even":          {made(2048, 0, 65537), "modulus is even"},
		"exponent 1":    {made(2048, 1, 1), "exponent"},
		"exponent 3":    {made(2048, 1, 3), "exponent"},
		"exponent even": {made(2048, 1, 65538), "exponent"},
	} {
		t.Run(name, func(t *testing.T) {
			claims := testClaims(t)
			claims.PublicKey = tt.key
			_, err := v.Verify(testDocument(t, p, claims), testNow)
			if tt.text == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			wantRefusal(t, err, ErrPublicKey, tt.text)
		})
	}
}
