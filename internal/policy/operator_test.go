package policy

import (
	"encoding/json"
	"testing"
	"time"
)

func TestConditionValues(t *testing.T) {
	tests := []struct {
		operator string
		good     []string
		bad      []string
	}{
		{"StringEquals", []string{"", "x", "${aws:username}"}, nil},
		{"ArnLike", []string{"arn:aws:iam::*:role/x", "*"}, nil},
		{"NumericEquals", []string{"0", "-1", "1.5", "1e3", "+7"}, []string{"", "x", "0x10", "inf", "NaN", "1_000", "1e999", " 1", "1.2.3"}},
		{"DateLessThan", []string{"2024", "2024-02", "2024-02-29", "2024-02-29T12:00Z", "2024-02-29T12:00:00Z", "2024-02-29T12:00:00.5+01:00", "1700000000"},
			[]string{"", "yesterday", "2023-02-29", "2024-13", "2024-02-29T12:00:00", "-5", "99999999999999999999", "253402300800"}},
		{"Bool", []string{"true", "false"}, []string{"", "yes", "1", " true"}},
		{"Null", []string{"true", "false"}, []string{"", "null"}},
		{"BinaryEquals", []string{"", "QmluYXJ5"}, []string{"Q", "QmluYXJ5=", "Qml\nuYXJ5", "QmluY-J5", "QR=="}},
		{"IpAddress", []string{"203.0.113.7", "203.0.113.0/24", "10.1.2.3/8", "2001:db8::/32", "::1"},
			[]string{"", "203.0.113", "203.0.113.0/33", "fe80::1%eth0", "203.0.113.0/", "/24", "host"}},
	}
	for _, tt := range tests {
		for want, values := range map[bool][]string{true: tt.good, false: tt.bad} {
			for _, v := range values {
				quoted, _ := json.Marshal(v)
				_, err := Parse([]byte(doc(`"Effect":"Deny","Action":"*","Condition":{"` + tt.operator + `":{"aws:k":` + string(quoted) + `}}`)))
				if got := err == nil; got != want {
					t.Errorf("%s %q: error %v, want accepted %t", tt.operator, v, err, want)
				}
			}
		}
	}
}

func TestConditionScalars(t *testing.T) {
	p := mustParse(t, doc(`"Effect":"Deny","Action":"*","Condition":{"Bool":{"a:b":[true,"FALSE"]},"NumericEquals":{"a:c":1.50}}`))
	if got := p.Statements[0].Conditions; got[0].Values[0] != "true" || got[0].Values[1] != "false" || got[1].Values[0] != "1.50" {
		t.Errorf("conditions = %+v", got)
	}
}

func TestOperators(t *testing.T) {
	for _, q := range []Quantifier{Single, ForAllValues, ForAnyValue} {
		for _, name := range []string{"StringEquals", "StringNotEqualsIgnoreCase", "NumericGreaterThanEquals", "DateNotEquals", "Bool",
			"BinaryEquals", "NotIpAddress", "ArnNotLike"} {
			for _, ifExists := range []bool{false, true} {
				op := Operator{q, name, ifExists}
				got, ok := parseOperator(op.String())
				if !ok || got != op {
					t.Errorf("parseOperator(%q) = %+v, %t", op.String(), got, ok)
				}
			}
		}
	}
	if op, ok := parseOperator("Null"); !ok || op != (Operator{Name: "Null"}) {
		t.Errorf("Null = %+v, %t", op, ok)
	}
}

func TestParseDate(t *testing.T) {
	for in, want := range map[string]time.Time{
		"2024":                      time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC),
		"2024-02-29T12:00:00+01:00": time.Date(2024, 2, 29, 11, 0, 0, 0, time.UTC),
		"86400":                     time.Date(1970, 1, 2, 0, 0, 0, 0, time.UTC),
	} {
		if got, ok := parseDate(in); !ok || !got.Equal(want) {
			t.Errorf("parseDate(%q) = %v, %t; want %v", in, got, ok, want)
		}
	}
}
