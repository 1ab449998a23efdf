package keys

import (
	"bytes"
	"encoding/asn1"
	"errors"
	"math/big"
	"testing"
)

// pkcs1 is RSAPrivateKey of RFC 8017, A.1.2.
type pkcs1 struct {
	Version               int
	N                     *big.Int
	E                     int
	D, P, Q, DP, DQ, Qinv *big.Int
}

func wrapPKCS1(k pkcs1) []byte {
	info := privateKeyInfo{PrivateKey: mustMarshal(k)}
	info.Algorithm.Algorithm, info.Algorithm.Parameters = oidRSA, asn1.NullRawValue
	return mustMarshal(info)
}

// One key has one stored form: with its primes the other way around, with another private exponent, with attributes behind it.
func TestRSAStoredForm(t *testing.T) {
	key := testRSA[2048](t).priv
	want, err := marshalRSA(key)
	if err != nil {
		t.Fatal(err)
	}
	p, q := key.Primes[0], key.Primes[1]
	if p.Cmp(q) < 0 {
		t.Fatal("the smaller prime stands first")
	}
	one := big.NewInt(1)
	p1, q1 := new(big.Int).Sub(p, one), new(big.Int).Sub(q, one)
	phi := new(big.Int).Mul(p1, q1)
	mod := func(a, b *big.Int) *big.Int { return new(big.Int).Mod(a, b) }
	inverse := func(a, b *big.Int) *big.Int { return new(big.Int).ModInverse(a, b) }
	d := inverse(big.NewInt(65537), phi)
	good := pkcs1{0, key.N, 65537, d, p, q, mod(d, p1), mod(d, q1), inverse(q, p)}
	swapped := pkcs1{0, key.N, 65537, d, q, p, mod(d, q1), mod(d, p1), inverse(p, q)}
	lambda := good
	lambda.D = key.D
	for name, k := range map[string]pkcs1{"by phi": good, "swapped": swapped, "by lambda": lambda} {
		if stored, err := importRSA(2048, wrapPKCS1(k)); err != nil || !bytes.Equal(stored, want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	var info privateKeyInfo
	if _, err := asn1.Unmarshal(wrapPKCS1(good), &info); err != nil {
		t.Fatal(err)
	}
	withAttributes := mustMarshal(struct {
		Version    int
		Algorithm  any
		PrivateKey []byte
		Attributes asn1.RawValue
	}{0, info.Algorithm, info.PrivateKey, asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 0, IsCompound: true}})
	if stored, err := importRSA(2048, withAttributes); err != nil || !bytes.Equal(stored, want) {
		t.Errorf("with attributes: %v", err)
	}

	edit := func(f func(*pkcs1)) []byte {
		k := good
		f(&k)
		return wrapPKCS1(k)
	}
	for name, der := range map[string][]byte{
		"modulus":     edit(func(k *pkcs1) { k.N = new(big.Int).Add(k.N, big.NewInt(2)) }),
		"exponent":    edit(func(k *pkcs1) { k.E = 3 }),
		"d":           edit(func(k *pkcs1) { k.D = new(big.Int).Add(k.D, one) }),
		"no d":        edit(func(k *pkcs1) { k.D = big.NewInt(0) }),
		"p":           edit(func(k *pkcs1) { k.P = new(big.Int).Add(k.P, big.NewInt(2)) }),
		"p and q":     edit(func(k *pkcs1) { k.Q = k.P }),
		"trivial":     edit(func(k *pkcs1) { k.P, k.Q = k.N, one }),
		"dP":          edit(func(k *pkcs1) { k.DP = new(big.Int).Add(k.DP, one) }),
		"dQ":          edit(func(k *pkcs1) { k.DQ = new(big.Int).Add(k.DQ, one) }),
		"coefficient": edit(func(k *pkcs1) { k.Qinv = new(big.Int).Add(k.Qinv, one) }),
		"negative":    edit(func(k *pkcs1) { k.P = new(big.Int).Neg(k.P) }),
	} {
		if _, err := importRSA(2048, der); !errors.Is(err, ErrMaterial) {
			t.Errorf("imported with another %s: %v", name, err)
		}
	}
	if _, err := openRSA(2048, withAttributes); !errors.Is(err, ErrMaterial) {
		t.Errorf("a key opens that is not in its stored form: %v", err)
	}
}

// Composite numbers for primes pass every check of the numbers with each other, since they are chosen so.
func TestRSAImportComposite(t *testing.T) {
	one, e := big.NewInt(1), big.NewInt(65537)
	// The first number from top*2^1020 on that is odd, composite and 65537 invertible modulo it less one.
	composite := func(top int64) *big.Int {
		n := new(big.Int).Lsh(big.NewInt(top), 1020)
		for n.Add(n, one); n.ProbablyPrime(0) || new(big.Int).ModInverse(e, new(big.Int).Sub(n, one)) == nil; n.Add(n, big.NewInt(2)) {
		}
		return n
	}
	p, q := composite(15), composite(13)
	p1, q1 := new(big.Int).Sub(p, one), new(big.Int).Sub(q, one)
	d, coefficient := new(big.Int).ModInverse(e, new(big.Int).Mul(p1, q1)), new(big.Int).ModInverse(q, p)
	if d == nil || coefficient == nil {
		t.Fatal("the numbers do not make a key")
	}
	der := wrapPKCS1(pkcs1{0, new(big.Int).Mul(p, q), 65537, d, p, q, new(big.Int).Mod(d, p1), new(big.Int).Mod(d, q1), coefficient})
	if _, err := parseRSA(2048, der); err != nil {
		t.Fatalf("something else is wrong with the key: %v", err)
	}
	if _, err := importRSA(2048, der); !errors.Is(err, ErrMaterial) {
		t.Errorf("imported with composite numbers for primes: %v", err)
	}
}

func TestRSAImportRefuses(t *testing.T) {
	three := vectors[wycheproof](t, "wycheproof/rsa_three_primes.json")[0]
	if _, err := importRSA(three.KeySize, three.PrivateKeyPKCS8); !errors.Is(err, ErrMaterial) {
		t.Errorf("three primes: %v", err)
	}
	for _, g := range vectors[wycheproof](t, "wycheproof/rsa_oaep.json") {
		for _, bits := range []int{2048, 3072, 4096} {
			if _, err := importRSA(bits, g.PrivateKeyPKCS8); (err == nil) != (bits == g.KeySize) {
				t.Errorf("a key of %d bits imported as %d: %v", g.KeySize, bits, err)
			}
		}
	}
}

func TestRSANewMaterial(t *testing.T) {
	if testing.Short() {
		t.Skip("generating large keys takes seconds")
	}
	for i, bits := range []int{2048, 3072, 4096} {
		material, err := rsaSpecs[i].NewMaterial()
		if err != nil {
			t.Fatal(err)
		}
		key, err := openRSA(bits, material)
		if err != nil {
			t.Fatal(err)
		}
		if key.priv.N.BitLen() != bits || key.priv.E != 65537 {
			t.Errorf("%d bits, e = %d", key.priv.N.BitLen(), key.priv.E)
		}
		sig, err := key.Sign("RSASSA_PSS_SHA_256", Raw, nil)
		if err != nil || key.Verify("RSASSA_PSS_SHA_256", Raw, nil, sig) != nil {
			t.Errorf("%d bits: a new key does not sign: %v", bits, err)
		}
	}
}
