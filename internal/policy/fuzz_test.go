package policy

import (
	"bytes"
	"errors"
	"reflect"
	"testing"
)

// FuzzParse: no document makes Parse panic, every refusal is an *Error of bounded length, and what is accepted has one
// canonical form that reads back as the same policy.
func FuzzParse(f *testing.F) {
	f.Add([]byte(Default("aws", account)))
	f.Add([]byte(doc(`"Effect":"Allow","Action":"kms:*","Resource":"*"`)))
	f.Add([]byte(`{"Statement":{"Effect":"Deny","NotPrincipal":{"AWS":["111122223333","*"],"Service":"a.b"},"NotAction":["*","*:x?"],` +
		`"NotResource":"arn:aws:kms:::key/${a:b}","Condition":{"ForAllValues:DateLessThanIfExists":{"a:b":2024},"Null":{"a:b":true}}}}`))
	f.Add([]byte(`{"Statement":[{"Effect":"Allow","Principal":"*","Action":"a:b","Condition":{}}]`))
	f.Fuzz(func(t *testing.T, in []byte) {
		p, err := Parse(in)
		if err != nil {
			var e *Error
			if p != nil || !errors.As(err, &e) {
				t.Fatalf("%v, %v", p, err)
			}
			if len(e.Message) > 1000 {
				t.Fatalf("message of %d bytes", len(e.Message))
			}
			return
		}
		canonical := p.AppendJSON(nil)
		if len(canonical) > MaxKeyPolicyBytes {
			return // brackets around single values can push it past the limit
		}
		again, err := Parse(canonical)
		if err != nil {
			t.Fatalf("canonical form refused: %v\n%s", err, canonical)
		}
		if !Equivalent(p, again) || !Equivalent(again, p) {
			t.Fatalf("canonical form differs: %s", canonical)
		}
		if !reflect.DeepEqual(p, again) {
			t.Fatalf("canonical form reads back as another policy: %s", canonical)
		}
		if !bytes.Equal(again.AppendJSON(nil), canonical) {
			t.Fatalf("canonical form is not stable: %s", canonical)
		}
	})
}
