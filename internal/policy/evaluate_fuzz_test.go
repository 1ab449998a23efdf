package policy

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

// chooser makes choices out of bytes, so that a fuzzer steers them.
type chooser struct {
	bytes []byte
}

func (c *chooser) next(n int) int {
	if len(c.bytes) == 0 {
		return 0
	}
	b := int(c.bytes[0])
	c.bytes = c.bytes[1:]
	return b % n
}

func (c *chooser) of(list ...string) string { return list[c.next(len(list))] }

// text is made of pieces that mean something in policies. Braces and colons outside variables are left to others: how they are to be
// read when they stand in the wrong place is what TestVariablesMalformed says.
func (c *chooser) text(pieces ...string) string {
	var s strings.Builder
	for range c.next(5) {
		s.WriteString(c.of(pieces...))
	}
	return s.String()
}

var fuzzValues = []string{"a", "ab", "b", "*", "?", "é", "10", "2020", "$"}

var fuzzPatterns = append([]string{"${aws:a}", "${aws:b, 'a*'}", "${AWS:c, ''}", "${*}", "${?}", "${$}", "${aws}", "${aws:absent}"}, fuzzValues...)

func (c *chooser) arn(pieces []string) string {
	return c.of("arn:aws:kms:us-east-1:111122223333:", "arn:aws:kms:*:*:", "arn:*:k?s:us-east-1:1111*:", "arn:aws:kms:us-east-1:${aws:a}:",
		"arn:aws:kms:", "arn:aws:kms:us-east-1:111122223333:a:") + "a" + c.text(pieces...)
}

func (c *chooser) principals() string {
	ids := []string{`"111122223333"`, `"*"`, `"arn:aws:iam::111122223333:root"`, `"arn:aws:iam::111122223333:user/team/alice"`,
		`"arn:aws:iam::111122223333:role/team/Deploy"`, `"arn:aws:sts::111122223333:assumed-role/Deploy/ci"`, `"444455556666"`}
	list := []string{c.of(ids...), c.of(ids...), c.of(ids...)}[:1+c.next(3)]
	return c.of(`"*"`, `{"Service":"logs.us-east-1.amazonaws.com"}`, `{"AWS":[`+strings.Join(list, ",")+`]}`, `{"AWS":[`+strings.Join(list, ",")+`]}`)
}

func (c *chooser) condition() (operator, body string) {
	operator = c.of("StringEquals", "StringLike", "StringEqualsIgnoreCase", "Arn", "Numeric", "Date", "Bool", "Null", "IpAddress", "Binary")
	negated := c.next(2) == 1
	var value func() string
	switch operator {
	case "Arn":
		operator += c.of("Like", "Equals")
		value = func() string { return c.arn(fuzzPatterns) }
	case "Numeric", "Date":
		operator += c.of("Equals", "LessThan", "LessThanEquals", "GreaterThan", "GreaterThanEquals")
		value = func() string { return c.of("10", "2020", "5", "2021") }
		negated = negated && (operator == "NumericEquals" || operator == "DateEquals")
	case "Bool", "Null":
		value, negated = func() string { return c.of("true", "false") }, false
	case "Binary":
		operator, negated = "BinaryEquals", false
		value = func() string { return c.of("YQ==", "YWI=") }
	case "IpAddress":
		value = func() string { return c.of("10.0.0.0/8", "10.1.2.3", "2001:db8::/32") }
	default:
		value = func() string { return c.text(fuzzPatterns...) }
	}
	switch {
	case negated && operator == "IpAddress":
		operator = "NotIpAddress"
	case negated:
		i := strings.IndexAny(operator[1:], "ABCDEFGHIJKLMNOPQRSTUVWXYZ") + 1
		operator = operator[:i] + "Not" + operator[i:]
	}
	if operator != "Null" {
		operator = c.of("", "", "ForAllValues:", "ForAnyValue:") + operator + c.of("", "", "IfExists")
	}
	list, _ := json.Marshal([]string{value(), value(), value()}[:1+c.next(3)])
	return operator, fmt.Sprintf("{%q:%s}", "aws:"+c.of("a", "B", "c", "d"), list)
}

func (c *chooser) statement() string {
	var s strings.Builder
	effect := c.of("Allow", "Deny")
	fmt.Fprintf(&s, `{"Effect":%q`, effect)
	switch c.next(4) {
	case 0, 1:
		s.WriteString(`,"Principal":` + c.principals())
	case 2:
		if effect == "Deny" {
			s.WriteString(`,"NotPrincipal":` + c.principals())
		}
	}
	fmt.Fprintf(&s, `,%q:[%q,%q]`, c.of("Action", "NotAction"), c.of("*", "kms:*", "KMS:De*", "kms:Encrypt", "s3:*"), c.of("kms:?ecrypt", "s3:Get*"))
	if c.next(5) > 0 {
		list, _ := json.Marshal([]string{c.of("*", c.arn(fuzzPatterns)), c.arn(fuzzPatterns)}[c.next(2):])
		fmt.Fprintf(&s, `,%q:%s`, c.of("Resource", "Resource", "NotResource"), list)
	}
	if n := c.next(3); n > 0 {
		conditions := map[string]string{}
		for range n {
			operator, body := c.condition()
			conditions[operator] = body
		}
		var list []string
		for operator, body := range conditions {
			list = append(list, fmt.Sprintf("%q:%s", operator, body))
		}
		slices.Sort(list)
		s.WriteString(`,"Condition":{` + strings.Join(list, ",") + `}`)
	}
	return s.String() + "}"
}

func (c *chooser) request() *Request {
	values := context{}
	for _, key := range []string{"aws:a", "aws:b", "aws:c", "aws:d"} {
		for range c.next(4) {
			values[key] = append(values[key], c.of(c.text(fuzzValues...), c.text(fuzzValues...), c.arn(fuzzValues), "true", "10.1.2.3", "2001:db8::1", "11"))
		}
	}
	return &Request{
		Who:      []*Who{alice, deploy, rootUser, bob, logs}[c.next(5)],
		Action:   c.of("kms:Decrypt", "kms:Encrypt", "s3:GetObject"),
		Resource: c.of("*", c.arn(fuzzValues)),
		Value:    values.value,
	}
}

// FuzzEvaluate: the compiled policy decides as the slow reference does, on policies made of what the fuzzer chooses.
func FuzzEvaluate(f *testing.F) {
	for seed := range 64 {
		bytes := make([]byte, 200)
		x := uint32(seed + 1)
		for i := range bytes {
			x = x*1664525 + 1013904223
			bytes[i] = byte(x >> 24)
		}
		f.Add(bytes)
	}
	f.Fuzz(func(t *testing.T, in []byte) { agrees(t, in) })
}

// TestEvaluateAgrees does what FuzzEvaluate does in every run, and checks that enough comes of the choices.
func TestEvaluateAgrees(t *testing.T) {
	random := rand.NewChaCha8([32]byte{5})
	cases, matching := 0, 0
	in := make([]byte, 300)
	for range 20000 {
		random.Read(in)
		parsed, matches := agrees(t, in)
		if parsed {
			cases++
		}
		if matches {
			matching++
		}
	}
	if cases < 10000 || matching < cases/10 || matching > cases*9/10 {
		t.Errorf("of %d policies a statement matches in %d", cases, matching)
	}
}

// agrees makes a policy and a request of in, and compares how they are decided. It tells whether the policy is one, and whether a
// statement matches.
func agrees(t *testing.T, in []byte) (parsed, matches bool) {
	c := &chooser{in}
	request := c.request()
	version := c.of(Version2012, Version2012, Version2008)
	var statements []string
	for range 1 + c.next(4) {
		statements = append(statements, c.statement())
	}
	document := fmt.Sprintf(`{"Version":%q,"Statement":[%s]}`, version, strings.Join(statements, ","))
	p, err := Parse([]byte(document))
	if err != nil {
		return false, false // an ARN cut short
	}
	compiled := Compile(p)
	for _, onResource := range []bool{true, false} {
		var out Outcome
		compiled.evaluate(request, &out, onResource)
		var got []int
		for _, ref := range append(out.Allow, out.Deny...) {
			got = append(got, ref.Index)
		}
		slices.Sort(got)
		if want := reference(p, request, onResource); !slices.Equal(got, want) {
			t.Errorf("on a resource %v: %v match, want %v\n%s\n%+v", onResource, got, want, document, request)
		}
		matches = matches || len(got) > 0
	}
	return true, matches
}

// FuzzEvaluateHostile: no policy and no request makes evaluation panic, or take long.
func FuzzEvaluateHostile(f *testing.F) {
	f.Add([]byte(doc(`"Effect":"Deny","Principal":"*","Action":"*","Resource":"*","Condition":{"StringLike":{"aws:a":"*?*?*?b"}}`)), "kms:Decrypt", keyARN, "aaaa")
	f.Add([]byte(doc(`"Effect":"Allow","NotAction":"a:?","NotResource":"arn:aws:a:b:c:${aws:a}","Condition":{"ForAllValues:ArnLike":{"aws:a":"${aws:a, '*:'}:*:*:*:*"}}`)), "", "*", "arn:::::")
	f.Add([]byte(doc(`"Effect":"Allow","Principal":"*","Action":"*","Resource":"*","Condition":{"StringEqualsIgnoreCase":{"aws:a":"${aws:a}${aws:a}"},"IpAddress":{"aws:a":"::ffff:0:0/96"}}`)), "kms:x", "arn:a:b:c:d:e", "1.2.3.4")
	f.Fuzz(func(t *testing.T, document []byte, action, resource, value string) {
		p, err := ParseInForce(document)
		if err != nil {
			return
		}
		compiled := Compile(p)
		request := &Request{Who: deploy, Action: action, Resource: resource, Value: func(key string) ([]string, bool) {
			if !compiled.NeedsValue(key) {
				t.Errorf("asked for %q, which is not among the keys", key)
			}
			return []string{value, strings.ToUpper(value)}[:1+len(key)%2], true
		}}
		start := time.Now()
		first := compiled.Evaluate(request)
		compiled.EvaluateIdentity(request)
		if took := time.Since(start); took > 5*time.Second {
			t.Errorf("took %v", took)
		}
		if again := compiled.Evaluate(request); !slices.Equal(first.Allow, again.Allow) || !slices.Equal(first.Deny, again.Deny) {
			t.Errorf("decides differently the second time: %v, %v", first, again)
		}
	})
}
