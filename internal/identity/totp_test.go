package identity

import (
	"bytes"
	"crypto/fips140"
	"encoding/base32"
	"image/png"
	"testing"
	"time"

	"github.com/keyturn/keyturn/internal/record"
)

// rfcSeed is the secret of RFC 6238, appendix B, for HMAC-SHA-1.
var rfcSeed = base32.StdEncoding.EncodeToString([]byte("12345678901234567890"))

// mfaNeedsSHA1 skips a test of what there is no hash function for.
func mfaNeedsSHA1(t *testing.T) {
	t.Helper()
	if fips140.Enforced() {
		t.Skip("HMAC-SHA-1 is refused in FIPS 140-only mode")
	}
}

// TestTOTPVectors has the times and codes of RFC 6238, appendix B: of their eight digits the last six.
func TestTOTPVectors(t *testing.T) {
	mfaNeedsSHA1(t)
	for seconds, want := range map[int64]string{
		59: "287082", 1111111109: "081804", 1111111111: "050471", 1234567890: "005924", 2000000000: "279037", 20000000000: "353130",
	} {
		if got, err := codeAt(rfcSeed, stepAt(time.Unix(seconds, 0))); err != nil || got != want {
			t.Errorf("at %d: %s, %v; want %s", seconds, got, err, want)
		}
	}
}

// TestTOTPFind looks for codes in spans of time steps.
func TestTOTPFind(t *testing.T) {
	mfaNeedsSHA1(t)
	at := func(step int64) string {
		code, err := codeAt(rfcSeed, step)
		if err != nil {
			t.Fatal(err)
		}
		return code
	}
	for _, tc := range []struct {
		name  string
		span  span
		codes []string
		want  int64
	}{
		{"now", span{99, 101, 0}, []string{at(100)}, 100},
		{"at the beginning", span{99, 101, 0}, []string{at(99)}, 99},
		{"at the end", span{99, 101, 0}, []string{at(101)}, 101},
		{"too early", span{99, 101, 0}, []string{at(98)}, 0},
		{"too late", span{99, 101, 0}, []string{at(102)}, 0},
		{"used", span{99, 101, 100}, []string{at(100)}, 0},
		{"before the one that was used", span{99, 101, 100}, []string{at(99)}, 0},
		{"after the one that was used", span{99, 101, 100}, []string{at(101)}, 101},
		{"too short", span{99, 101, 0}, []string{at(100)[:5]}, 0},
		{"empty", span{99, 101, 0}, []string{""}, 0},
		{"before all time", span{-5, -1, 0}, []string{at(-1)}, 0},
		{"two", span{90, 110, 0}, []string{at(100), at(101)}, 101},
		{"two, the last", span{90, 110, 0}, []string{at(109), at(110)}, 110},
		{"two, the first too early", span{90, 110, 0}, []string{at(89), at(90)}, 0},
		{"two, the first used", span{90, 110, 100}, []string{at(100), at(101)}, 0},
		{"two, in the wrong order", span{90, 110, 0}, []string{at(101), at(100)}, 0},
		{"two, one left out", span{90, 110, 0}, []string{at(100), at(102)}, 0},
		{"the same twice", span{90, 110, 0}, []string{at(100), at(100)}, 0},
	} {
		if got, err := tc.span.find(rfcSeed, tc.codes...); err != nil || got != tc.want {
			t.Errorf("%s: %d, %v; want %d", tc.name, got, err, tc.want)
		}
	}
}

// TestMFAImage makes QR codes of a short and of the longest name: both must be large enough, with a light margin.
func TestMFAImage(t *testing.T) {
	for _, n := range []int{1, 226} {
		d := &record.MFADevice{Account: "111122223333", Name: string(bytes.Repeat([]byte("x"), n)), Path: "/", Secret: NewMFASecret()}
		if seed := MFASeed(d); len(seed) != 64 {
			t.Errorf("a seed of %d characters", len(seed))
		}
		b, err := MFAImage(d)
		if err != nil {
			t.Fatal(err)
		}
		page, err := png.Decode(bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		dark := page.Bounds()
		dark.Min, dark.Max = dark.Max, dark.Min
		for y := range page.Bounds().Dy() {
			for x := range page.Bounds().Dx() {
				if r, _, _, _ := page.At(x, y).RGBA(); r == 0 {
					dark.Min.X, dark.Min.Y, dark.Max.X, dark.Max.Y = min(dark.Min.X, x), min(dark.Min.Y, y), max(dark.Max.X, x+1), max(dark.Max.Y, y+1)
				}
			}
		}
		if dark.Min.X < qrMargin || dark.Min.Y < qrMargin || dark.Dx() < qrSide/2 || dark.Dx() != dark.Dy() || page.Bounds().Dx()-dark.Max.X < qrMargin {
			t.Errorf("a name of %d characters: the code takes %v of %v", n, dark, page.Bounds())
		}
	}
}
