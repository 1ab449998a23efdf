package shamir

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/keyturn/keyturn/internal/seal"
)

var root = bytes.Repeat([]byte{9}, 32)

// sealed seals the root key anew and returns what is stored, and the shares.
func sealed(t testing.TB, shares, threshold int) (stored []byte, texts []string) {
	t.Helper()
	p, err := New(shares, threshold)
	if err != nil {
		t.Fatal(err)
	}
	stored, err = p.Seal(t.Context(), root)
	if err != nil {
		t.Fatal(err)
	}
	texts = p.Handout()
	if len(texts) != shares {
		t.Fatalf("%d shares, want %d", len(texts), shares)
	}
	if p.Handout() != nil {
		t.Error("the shares are told twice")
	}
	return stored, texts
}

func opened(t *testing.T, stored []byte, texts ...string) (*Provider, error) {
	t.Helper()
	p := new(Provider)
	for _, text := range texts {
		if _, err := p.Give(stored, []byte(text)); err != nil {
			return p, err
		}
	}
	got, err := p.Unseal(t.Context(), stored)
	if err == nil && !bytes.Equal(got, root) {
		t.Error("another root key came out")
	}
	return p, err
}

// TestEverySubset opens with every subset of the shares, in both orders, that is large enough, and with none that is smaller.
func TestEverySubset(t *testing.T) {
	for _, size := range []struct{ shares, threshold int }{{2, 2}, {3, 2}, {5, 3}, {4, 4}} {
		stored, texts := sealed(t, size.shares, size.threshold)
		for mask := range 1 << size.shares {
			var some []string
			for i, text := range texts {
				if mask>>i&1 == 1 {
					some = append(some, text)
				}
			}
			for range 2 {
				_, err := opened(t, stored, some...)
				if enough := len(some) >= size.threshold; enough != (err == nil) || !enough && !errors.Is(err, seal.ErrWrongKey) {
					t.Errorf("%d of %d, threshold %d: %v", len(some), size.shares, size.threshold, err)
				}
				slices.Reverse(some)
			}
		}
	}
	stored, texts := sealed(t, MaxShares, MaxShares)
	if _, err := opened(t, stored, texts...); err != nil {
		t.Errorf("%d of %d: %v", MaxShares, MaxShares, err)
	}
}

func TestBounds(t *testing.T) {
	for _, c := range []struct {
		shares, threshold int
		ok                bool
	}{{2, 2, true}, {MaxShares, MaxShares, true}, {MaxShares, 2, true}, {1, 1, false}, {3, 1, false}, {2, 3, false}, {MaxShares + 1, 3, false}, {0, 0, false}, {-1, -1, false}, {256, 3, false}} {
		if _, err := New(c.shares, c.threshold); (err == nil) != c.ok {
			t.Errorf("%d of %d: %v", c.threshold, c.shares, err)
		}
	}
}

// TestGive gives what is not right between shares that are.
func TestGive(t *testing.T) {
	stored, texts := sealed(t, 5, 3)
	_, foreign := sealed(t, 5, 3)
	forged, err := ParseShare([]byte(texts[3]))
	if err != nil {
		t.Fatal(err)
	}
	forged.value[0] ^= 1 // with a checksum that fits
	renumbered, err := ParseShare([]byte(texts[3]))
	if err != nil {
		t.Fatal(err)
	}
	renumbered.index = 16
	p := new(Provider)
	for i, step := range []struct {
		name, text string
		want       error
		given      int
	}{
		{"nothing", "", ErrShare, 0},
		{"the first", texts[0], nil, 1},
		{"the first again", texts[0], seal.ErrGiven, 1},
		{"the first again, written otherwise", " " + strings.ToLower(texts[0]) + "\r\n", seal.ErrGiven, 1},
		{"one of another set", foreign[1], seal.ErrWrongKey, 1},
		{"mistyped", swapLast(texts[1]), ErrShare, 1},
		{"forged", forged.Text(), seal.ErrWrongKey, 1},
		{"renumbered", renumbered.Text(), seal.ErrWrongKey, 1},
		{"cut", texts[1][:len(texts[1])-1], ErrShare, 1},
		{"the second", texts[4], nil, 2},
		{"the third", texts[2], nil, 3},
		{"one more", texts[1], nil, 3},
		{"a foreign one more", foreign[1], seal.ErrWrongKey, 3},
	} {
		n, err := p.Give(stored, []byte(step.text))
		if !errors.Is(err, step.want) || n.Given != step.given || n.Needed != 3 || n.Of != 5 {
			t.Errorf("%d, %s: %v with %+v, want %v with %d", i, step.name, err, n, step.want, step.given)
		}
		if err != nil {
			for _, text := range append(texts, foreign...) {
				if secret := text[strings.LastIndexByte(text, ':')+1:]; strings.Contains(err.Error(), secret[:12]) {
					t.Errorf("%s: the error has a share in it: %v", step.name, err)
				}
			}
		}
	}
	if len(p.given) != 0 {
		t.Error("shares are kept although the key is known")
	}
	if got, err := p.Unseal(t.Context(), stored); err != nil || !bytes.Equal(got, root) {
		t.Errorf("Unseal: %v", err)
	}
}

// swapLast exchanges the last two letters that differ.
func swapLast(text string) string {
	b := []byte(text)
	for i := len(b) - 1; ; i-- {
		if b[i] != b[i-1] {
			b[i], b[i-1] = b[i-1], b[i]
			return string(b)
		}
	}
}

func TestForget(t *testing.T) {
	stored, texts := sealed(t, 3, 2)
	p := new(Provider)
	if _, err := p.Give(stored, []byte(texts[0])); err != nil {
		t.Fatal(err)
	}
	kept := p.given[0]
	p.Forget()
	if n, err := p.Needs(stored); err != nil || n.Given != 0 {
		t.Errorf("after Forget: %+v, %v", n, err)
	}
	if kept.value != [valueSize]byte{} {
		t.Error("the share was not wiped")
	}
	for _, text := range texts[:2] {
		if _, err := p.Give(stored, []byte(text)); err != nil {
			t.Errorf("given after Forget: %v", err)
		}
	}
	if _, err := p.Unseal(t.Context(), stored); err != nil {
		t.Errorf("Unseal: %v", err)
	}
}

// TestSealAgain rotates the root key with nobody there: the same shares open the new one.
func TestSealAgain(t *testing.T) {
	stored, texts := sealed(t, 5, 3)
	p, err := opened(t, stored, texts[:3]...)
	if err != nil {
		t.Fatal(err)
	}
	again, err := p.Seal(t.Context(), root)
	if err != nil || p.Handout() != nil {
		t.Fatalf("sealing again: %v, with new shares or not", err)
	}
	if bytes.Equal(again, stored) {
		t.Error("sealing twice gives the same bytes")
	}
	if _, err := p.Unseal(t.Context(), again); err != nil {
		t.Errorf("the process that sealed it: %v", err)
	}
	if _, err := opened(t, again, texts[2:]...); err != nil {
		t.Errorf("the old shares: %v", err)
	}
	// What other shares sealed waits for these.
	other, others := sealed(t, 3, 2)
	if n, err := p.Needs(other); err != nil || n.Done() {
		t.Errorf("another set: %+v, %v", n, err)
	}
	for _, text := range others[:2] {
		if _, err := p.Give(other, []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := p.Unseal(t.Context(), other); err != nil {
		t.Errorf("another set, with its shares: %v", err)
	}
}

// TestDamage alters every byte of what is stored. With the right shares it must be refused, and never panic.
func TestDamage(t *testing.T) {
	stored, texts := sealed(t, 3, 2)
	for i := range stored {
		for _, flip := range []byte{0x01, 0x80} {
			altered := bytes.Clone(stored)
			altered[i] ^= flip
			_, err := opened(t, altered, texts[:2]...)
			var want error
			switch {
			case i == 0:
				want = seal.ErrFormat
			case i <= setSize: // the ID
				want = seal.ErrWrongKey
			case i <= setSize+2: // threshold and number: too few, too many, or not fitting
				want = nil
			case i <= setSize+2+2*32: // a commitment
				want = seal.ErrWrongKey
			case i <= setSize+2+3*32: // that of the share that is not given: it is authenticated with the rest
				want = seal.ErrDamaged
			default:
				want = seal.ErrDamaged
			}
			if err == nil || want != nil && !errors.Is(err, want) {
				t.Errorf("byte %d ^ %#x: %v, want %v", i, flip, err, want)
			}
		}
	}
	for n := range stored {
		if _, err := opened(t, stored[:n], texts[:2]...); !errors.Is(err, seal.ErrDamaged) {
			t.Errorf("cut to %d bytes: %v", n, err)
		}
	}
}

func TestNothingSecretIsStoredOrPrinted(t *testing.T) {
	stored, texts := sealed(t, 3, 2)
	for _, text := range texts {
		s, err := ParseShare([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(stored, s.value[:]) {
			t.Error("a share stands in what is stored")
		}
		for _, printed := range []string{fmt.Sprint(s), fmt.Sprintf("%+v", s), fmt.Sprintf("%#v", s)} {
			if strings.Contains(printed, encoding.EncodeToString(s.value[:])[:12]) || !strings.Contains(printed, s.Set()) {
				t.Errorf("it prints as %s", printed)
			}
		}
	}
	if bytes.Contains(stored, root) {
		t.Error("the root key stands in what is stored")
	}
}

// goldenShare and goldenSealed were made by the first version. They must open for ever.
const (
	goldenSealed = "AFNM6EJ6VYR7WCQUIABAGZDNRHCBGIMDSDGRCCV3KY3H3Z4JGGLMFVK3AZKFJ3XK36S75ZOWFHSRRRSBT2DJE67GGW7ZVIY2C26SRPJY6FLT5Y5DIRSMQ65QHES3USHNSN4XTRFEJJ6DVS462UPCIH37YMLKMMFQHTI7MUFOITMNYH36U3TQETXDW63XZZKHJATNOFZPBJ5SJ6QTXWVBP5WNHJWIKL266YYM3CG2YHZ675ZMIK63JVZE6KMZJ2NBCXPCANYGNW7D643LWZYSLYW4VMCHPD3KRV5F5TCSYEN7Y5Q"
	goldenOne    = "keyturn-share-v1:LLHRCPVOEP5QUFCA:1:2:CGWW3CXX7VWFC6VBMS4RXDAQUFIQFI4Z3P2LMLNTZTZBBITXKQH7KV4MW2ARCZGQ"
	goldenThree  = "keyturn-share-v1:LLHRCPVOEP5QUFCA:3:2:G4LJMLXMUWB6LLQRKYPEXFQRYB3YW47JBCOWAXJS2ZPET3MNZUBZNCTNP4YTM4W7"
)

func TestCompatibility(t *testing.T) {
	stored, err := encoding.DecodeString(goldenSealed)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := opened(t, stored, goldenThree, goldenOne); err != nil {
		t.Error(err)
	}
}

func FuzzParseShare(f *testing.F) {
	_, texts := sealed(f, 3, 2)
	for _, text := range append(texts, goldenOne, "", ":", strings.ToLower(texts[0]), texts[1][:40], strings.Repeat("A", MaxText+1), prefix+"::::") {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		before := bytes.Clone(text)
		s, err := ParseShare(text)
		if !bytes.Equal(text, before) {
			t.Fatal("the text was changed")
		}
		if err != nil {
			if !errors.Is(err, ErrShare) || s != nil {
				t.Fatalf("%v, %v", s, err)
			}
			return
		}
		again, err := ParseShare([]byte(s.Text()))
		if err != nil || *again != *s {
			t.Fatalf("written and read again: %v", err)
		}
		if s.threshold < MinThreshold || s.threshold > MaxShares || s.index < 1 || s.index > MaxShares {
			t.Fatalf("threshold %d, index %d", s.threshold, s.index)
		}
	})
}
