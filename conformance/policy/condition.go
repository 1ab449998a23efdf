package main

import (
	"slices"
	"strings"
	"unicode"

	"github.com/keyturn/keyturn/internal/policy"
)

// keysOf returns the condition keys of a family.
func keysOf(f family) []contextKey {
	var list []contextKey
	for _, k := range keys {
		if k.family == f {
			list = append(list, k)
		}
	}
	return list
}

// condition draws an operator, then a key that it fits, most often.
func (d *drawer) condition(effect policy.Effect) policy.Condition {
	f := one(d.generator, text, text, text, text, arnText, number, date, boolean, address, binary)
	k := one(d.generator, keysOf(f)...)
	if f != binary && f != text && d.maybe(0.06) {
		k = keys[0] // a value that the operator cannot read
	}
	c := policy.Condition{Operator: policy.Operator{Name: one(d.generator, operators[f]...)}, Key: d.spelled(k.name)}
	if f == arnText && d.maybe(0.3) {
		c.Key = "aws:PrincipalArn"
	}
	if d.maybe(0.12) {
		c.Operator.Name = "Null"
		c.Values = []string{one(d.generator, "true", "false")}
		return c
	}
	if f == text && d.maybe(0.1) {
		k = one(d.generator, keys[len(keys)-4:]...) // the multivalued ones
	}
	if k.several && d.maybe(0.7) || d.maybe(0.12) {
		c.Operator.Quantifier = one(d.generator, policy.ForAllValues, policy.ForAnyValue)
	}
	c.Operator.IfExists = d.maybe(0.25)
	if effect == policy.Deny && len(d.request.Context[k.name]) == 0 && d.maybe(0.3) {
		c.Operator.Quantifier, c.Operator.IfExists = policy.ForAnyValue, true // rare otherwise
	}
	for range one(d.generator, 1, 1, 2, 3) {
		if v := d.value(c.Operator.Name, c.Key, f, k); !slices.Contains(c.Values, v) {
			c.Values = append(c.Values, v)
		}
	}
	return c
}

// spelled varies the case of a key, which makes no difference.
func (d *drawer) spelled(key string) string {
	if d.maybe(0.1) {
		return strings.ToLower(key)
	}
	return key
}

// value draws a value of a policy: what the request has or is near to it, a variable, or anything.
func (d *drawer) value(operator, key string, f family, k contextKey) string {
	variables := f == text || f == arnText
	has := d.request.Context[k.name]
	if key == "aws:PrincipalArn" {
		has = d.request.Context[key]
	}
	switch n := d.IntN(100); {
	case n < 45 && len(has) > 0 && (f == text || f == arnText):
		return d.near(operator, one(d.generator, has...))
	case n < 60 && f == text:
		return one(d.generator, k.values...)
	case n < 75 && variables:
		return d.variable(f)
	default:
		return one(d.generator, policyValues[f]...)
	}
}

// near changes a value a little, in ways of which some match.
func (d *drawer) near(operator, v string) string {
	runes := []rune(v)
	i := d.IntN(len(runes))
	changed := slices.Clone(runes)
	switch {
	case strings.Contains(v, "*") && d.maybe(0.7):
		return strings.ReplaceAll(v, "*", "${*}")
	case strings.HasSuffix(operator, "IgnoreCase"):
		changed[i] = unicode.ToUpper(changed[i])
		return string(changed)
	case strings.HasSuffix(operator, "Like"), strings.HasPrefix(operator, "Arn"):
		switch d.IntN(5) {
		case 0:
			changed[i] = '?'
			return string(changed)
		case 3: // fits the start only, unless the value goes on as it began
			changed[i] = '?'
			return string(changed[:len(changed)-1])
		case 1:
			return string(runes[:i]) + "*"
		case 2:
			return string(runes[:i]) + "*" + string(runes[min(i+2, len(runes)):])
		}
	}
	return v
}

// variable draws a value with a variable, one without a value among them.
func (d *drawer) variable(f family) string {
	v := one(d.generator, "${aws:PrincipalTag/team}", "${aws:RequestTag/env}", "${aws:username}", "${aws:PrincipalTag/none, 'blue'}", "${aws:RequestTag/env, 'blue'}",
		"${aws:PrincipalTag/none}", "${aws:TagKeys}", "${aws:CalledVia}", "${AWS:UserName}", "${kms:EncryptionContext:app}")
	v = one(d.generator, v, v, v, v+"-1", "b"+v, v+"*")
	if f == arnText {
		return one(d.generator, "arn:aws:s3:::", "arn:aws:iam::111122223333:user/") + v
	}
	return v
}
