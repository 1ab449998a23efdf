package identity

import (
	"bytes"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base32"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"time"

	"github.com/pquerna/otp"
	"github.com/pquerna/otp/hotp"
	"github.com/pquerna/otp/totp"

	"github.com/keyturn/keyturn/internal/record"
)

// One-time passwords as authenticator apps make them: RFC 6238 with HMAC-SHA-1, 6 digits and steps of 30 seconds.
const (
	totpDigits   = otp.DigitsSix
	totpPeriod   = 30 // seconds
	secretLength = 40 // bytes: 64 characters in base32, as AWS has it
)

// NewMFASecret returns a new secret of an MFA device.
func NewMFASecret() []byte {
	b := make([]byte, secretLength)
	rand.Read(b) //nolint:errcheck // never fails
	return b
}

// MFASeed is a device's secret as people type it: in base32.
func MFASeed(d *record.MFADevice) string {
	return base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(d.Secret)
}

// Sizes of the QR code, in pixels. Around it the standard wants a light margin of four modules; a module is smaller than 8 pixels here.
const (
	qrSide   = 320
	qrMargin = 40
)

// MFAImage is a device's secret as apps scan it: a QR code of its otpauth URL, in PNG.
func MFAImage(d *record.MFADevice) ([]byte, error) {
	key, err := totp.Generate(totp.GenerateOpts{
		Issuer: "keyturn", AccountName: d.Name + "@" + d.Account, Secret: d.Secret, Period: totpPeriod, Digits: totpDigits, Algorithm: otp.AlgorithmSHA1,
	})
	if err != nil {
		return nil, fmt.Errorf("identity: making an otpauth URL: %w", err)
	}
	code, err := key.Image(qrSide, qrSide)
	if err != nil {
		return nil, fmt.Errorf("identity: making a QR code: %w", err)
	}
	side := image.Rect(0, 0, qrSide+2*qrMargin, qrSide+2*qrMargin)
	page := image.NewPaletted(side, color.Palette{color.White, color.Black})
	draw.Draw(page, code.Bounds().Add(image.Pt(qrMargin, qrMargin)), code, code.Bounds().Min, draw.Src)
	var b bytes.Buffer
	if err := png.Encode(&b, page); err != nil {
		return nil, fmt.Errorf("identity: encoding a QR code: %w", err)
	}
	return b.Bytes(), nil
}

// stepAt is the time step that a clock without drift is in.
func stepAt(t time.Time) int64 { return t.Unix() / totpPeriod }

// codeAt is a device's code of a time step. The seed is the secret in base32.
func codeAt(seed string, step int64) (string, error) {
	return hotp.GenerateCodeCustom(seed, uint64(step), hotp.ValidateOpts{Digits: totpDigits, Algorithm: otp.AlgorithmSHA1})
}

// span are the time steps in which codes are looked for. Those up to after are used up.
type span struct{ from, to, after int64 }

// find returns the last time step of a span whose codes end with these, one step after the other; 0 if there is none. How long it takes
// does not depend on what it finds.
func (s span) find(seed string, codes ...string) (int64, error) {
	found := int64(0)
	first := max(s.from, s.after+1, 1)
	for step := first; step <= s.to; step++ {
		matches := 1
		for i, code := range codes {
			want, err := codeAt(seed, step-int64(len(codes)-1-i))
			if err != nil {
				return 0, err
			}
			matches &= subtle.ConstantTimeCompare([]byte(want), []byte(code))
		}
		if step-int64(len(codes)-1) >= first && matches == 1 {
			found = step
		}
	}
	return found, nil
}
