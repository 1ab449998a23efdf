package keys

import (
	"bytes"
	"testing"

	"filippo.io/mldsa"
)

// FuzzMLDSAVerify: both verifiers agree on any key and signature, the one of messages and the one of μ. The input is XORed over a valid
// pair, from an offset on, so that the fuzzer starts close to valid ones.
func FuzzMLDSAVerify(f *testing.F) {
	message := []byte("a message")
	type valid struct {
		library           mldsa.Parameters
		params            *mldsaParams
		public, signature []byte
	}
	var cases []valid
	for i, library := range []mldsa.Parameters{mldsa.MLDSA44(), mldsa.MLDSA65(), mldsa.MLDSA87()} {
		k := testMLDSAKey(f, mldsaSpecs[i].Name[7:], loadMLDSA().Encoded[0].Seed)
		signature, err := k.Sign("ML_DSA_SHAKE_256", Raw, message)
		if err != nil {
			f.Fatal(err)
		}
		cases = append(cases, valid{library, k.params, k.public.Bytes(), signature})
		f.Add(byte(i), uint16(0), uint16(0), []byte{}, []byte{})
		f.Add(byte(i), uint16(len(signature)-1), uint16(0), []byte{1}, []byte{})
		f.Add(byte(i), uint16(len(signature)-k.params.k-1), uint16(31), []byte{7, 1}, []byte{})
		f.Add(byte(i), uint16(0), uint16(40), []byte{}, []byte{0xff, 0xff})
	}
	f.Fuzz(func(t *testing.T, which byte, inSignature, inPublic uint16, signatureMask, publicMask []byte) {
		c := cases[int(which)%len(cases)]
		mix := func(b []byte, at uint16, mask []byte) []byte {
			b = bytes.Clone(b)
			for i, m := range mask {
				b[(int(at)+i)%len(b)] ^= m
			}
			return b
		}
		public, signature := mix(c.public, inPublic, publicMask), mix(c.signature, inSignature, signatureMask)
		key, err := mldsa.NewPublicKey(c.library, public)
		if err != nil {
			t.Fatal(err)
		}
		want := mldsa.Verify(key, message, signature, nil) == nil
		if got := c.params.verifyMu(public, mldsaMu(public, message), signature); got != want {
			t.Errorf("by μ %t, by message %t", got, want)
		}
		if c.params.verifyMu(public, make([]byte, 64), signature) {
			t.Error("verifies another μ")
		}
	})
}
