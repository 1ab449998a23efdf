package policy

import (
	"encoding/base64"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// valueKind is what the values of an operator must be.
type valueKind int

const (
	textValue valueKind = iota + 1
	numericValue
	dateValue
	boolValue
	binaryValue
	ipValue
)

// operatorKind returns what the operator compares, or 0 for a name the language does not have. Names are those of "IAM
// JSON policy elements: Condition operators", which gives no leave to vary their case, and IAM grants none.
func operatorKind(name string) valueKind {
	switch name {
	case "StringEquals", "StringNotEquals", "StringEqualsIgnoreCase", "StringNotEqualsIgnoreCase", "StringLike", "StringNotLike",
		"ArnEquals", "ArnNotEquals", "ArnLike", "ArnNotLike":
		return textValue
	case "NumericEquals", "NumericNotEquals", "NumericLessThan", "NumericLessThanEquals", "NumericGreaterThan",
		"NumericGreaterThanEquals":
		return numericValue
	case "DateEquals", "DateNotEquals", "DateLessThan", "DateLessThanEquals", "DateGreaterThan", "DateGreaterThanEquals":
		return dateValue
	case "Bool", "Null":
		return boolValue
	case "BinaryEquals":
		return binaryValue
	case "IpAddress", "NotIpAddress":
		return ipValue
	default:
		return 0
	}
}

// parseOperator takes an operator's name apart. Null stands alone: it asks whether a key is there, so neither IfExists
// nor a quantifier means anything with it.
func parseOperator(s string) (Operator, bool) {
	var op Operator
	rest := s
	for _, q := range []Quantifier{ForAllValues, ForAnyValue} {
		if after, ok := strings.CutPrefix(s, string(q)+":"); ok {
			op.Quantifier, rest = q, after
		}
	}
	op.Name, op.IfExists = strings.CutSuffix(rest, "IfExists")
	if op.Name == "Null" && (op.IfExists || op.Quantifier != Single) {
		return op, false
	}
	return op, operatorKind(op.Name) != 0
}

// normalValue checks a condition value for its operator and returns the form Condition.Values has it in.
func normalValue(operator, v string) (string, bool) {
	switch operatorKind(operator) {
	case numericValue:
		_, ok := parseNumeric(v)
		return v, ok
	case dateValue:
		_, ok := parseDate(v)
		return v, ok
	case boolValue:
		v = lower(v)
		return v, v == "true" || v == "false"
	case binaryValue:
		_, err := base64.StdEncoding.Strict().DecodeString(v)
		return v, err == nil && !strings.ContainsAny(v, "\r\n")
	case ipValue:
		_, ok := parseIP(v)
		return v, ok
	default:
		return v, true
	}
}

// parseNumeric reads an integer or decimal number; not the hexadecimal, infinite and underscored forms Go has besides.
func parseNumeric(s string) (float64, bool) {
	for i := range len(s) {
		if strings.IndexByte("0123456789+-.eE", s[i]) < 0 {
			return 0, false
		}
	}
	f, err := strconv.ParseFloat(s, 64)
	return f, err == nil
}

// parseDate reads the W3C profile of ISO 8601 that IAM names, from a year to fractions of a second, or Unix time in
// seconds. Four digits are a year.
func parseDate(s string) (time.Time, bool) {
	if len(s) > 35 { // the longest: nanoseconds and an offset
		return time.Time{}, false
	}
	for _, layout := range []string{"2006", "2006-01", time.DateOnly, "2006-01-02T15:04Z07:00", time.RFC3339} {
		if t, err := time.Parse(layout, s); err == nil {
			return t.UTC(), true
		}
	}
	// Up to the year 9999, so that the date can always be written again.
	if sec, err := strconv.ParseUint(s, 10, 63); err == nil && sec <= 253402300799 {
		return time.Unix(int64(sec), 0).UTC(), true
	}
	return time.Time{}, false
}

// parseIP reads an address or a CIDR range; a lone address is the range of itself.
func parseIP(s string) (netip.Prefix, bool) {
	if strings.Contains(s, "/") {
		p, err := netip.ParsePrefix(s)
		return p.Masked(), err == nil
	}
	a, err := netip.ParseAddr(s)
	if err != nil || a.Zone() != "" {
		return netip.Prefix{}, false
	}
	return netip.PrefixFrom(a, a.BitLen()), true
}
