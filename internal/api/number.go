package api

import (
	"bytes"
	"math"
	"strconv"
	"time"
)

// Bounds of a timestamp in milliseconds: year 1 to year 9999.
const (
	minEpochMilli = -62135596800_000
	maxEpochMilli = 253402300800_000 - 1
)

// parseInteger returns the value of a JSON number if it is an integer within int64, in any notation: 10, 1.0, 1e1.
func parseInteger(raw []byte) (int64, bool) {
	if len(raw) < 19 && !bytes.ContainsAny(raw, ".eE") {
		n, err := strconv.ParseInt(string(raw), 10, 64)
		return n, err == nil
	}
	mantissa, exponent := raw, 0
	if i := bytes.IndexAny(raw, "eE"); i >= 0 {
		mantissa = raw[:i]
		e, err := strconv.Atoi(string(raw[i+1:]))
		if err != nil || e > math.MaxInt32 || e < math.MinInt32 {
			// No document is long enough to make an integer of it, but zero stays zero.
			return 0, len(bytes.Trim(mantissa, "-0.")) == 0
		}
		exponent = e
	}
	mantissa, negative := bytes.CutPrefix(mantissa, []byte("-"))
	whole, fraction, _ := bytes.Cut(mantissa, []byte("."))
	digits := append(append(make([]byte, 0, len(mantissa)), whole...), fraction...)
	exponent -= len(fraction)
	digits = bytes.TrimLeft(digits, "0")
	significant := bytes.TrimRight(digits, "0")
	exponent += len(digits) - len(significant)
	switch {
	case len(significant) == 0:
		return 0, true
	case exponent < 0 || len(significant)+exponent > 19:
		return 0, false
	}
	text := make([]byte, 0, 20)
	if negative {
		text = append(text, '-')
	}
	text = append(text, significant...)
	for range exponent {
		text = append(text, '0')
	}
	n, err := strconv.ParseInt(string(text), 10, 64)
	return n, err == nil
}

// parseEpoch returns the time of a number of seconds since the epoch, rounded to the millisecond.
func parseEpoch(s string) (time.Time, bool) {
	f, err := strconv.ParseFloat(s, 64)
	if err != nil {
		return time.Time{}, false
	}
	ms := math.Round(f * 1000)
	if !(ms >= minEpochMilli && ms <= maxEpochMilli) {
		return time.Time{}, false
	}
	return time.UnixMilli(int64(ms)).UTC(), true
}

// appendEpoch appends t as seconds since the epoch, with as many decimals, up to three, as it needs.
func appendEpoch(dst []byte, t time.Time) []byte {
	ms := t.UnixMilli()
	if ms < 0 {
		dst = append(dst, '-')
		ms = -ms
	}
	dst = strconv.AppendInt(dst, ms/1000, 10)
	fraction := ms % 1000
	if fraction == 0 {
		return dst
	}
	dst = append(dst, '.', byte('0'+fraction/100), byte('0'+fraction/10%10), byte('0'+fraction%10))
	return bytes.TrimRight(dst, "0") // ends at a digit that is not zero, since fraction is not
}
