package api

import (
	"bytes"
	"reflect"
	"testing"
)

// FuzzCodecs decodes arbitrary bytes as any input or output: what decodes must encode to a fixed point, and validate
// without harm.
func FuzzCodecs(f *testing.F) {
	var types []codec
	for _, op := range allOperations() {
		types = append(types, op.NewInput().(codec))
		if op.HasOutput {
			types = append(types, op.NewOutput().(codec))
		}
	}
	for i, typ := range types {
		full, n := reflect.New(reflect.TypeOf(typ).Elem()), 0
		fill(full.Elem(), false, &n)
		f.Add(byte(i), full.Interface().(codec).AppendJSON(nil))
	}
	f.Add(byte(0), []byte(`{"KeyId":"\ud83d\ude00","X":[{"a":null}],"ValidTo":1e9}`))
	f.Add(byte(0), []byte(`{"Limit":1.0e2,"Tags":[{}],"EncryptionContext":{"":""}}`))
	f.Fuzz(func(t *testing.T, which byte, data []byte) {
		typ := reflect.TypeOf(types[int(which)%len(types)]).Elem()
		first := reflect.New(typ).Interface().(codec)
		if first.DecodeJSON(data) != nil {
			return
		}
		once := first.AppendJSON(nil)
		second := reflect.New(typ).Interface().(codec)
		if err := second.DecodeJSON(once); err != nil {
			t.Fatalf("%v in %s", err, once)
		}
		if !reflect.DeepEqual(first, second) {
			t.Errorf("%+v became %+v", first, second)
		}
		if twice := second.AppendJSON(nil); !bytes.Equal(once, twice) {
			t.Errorf("%s became %s", once, twice)
		}
		if in, ok := first.(Request); ok {
			if err := in.Validate(); err != nil && len(err.Error()) > 50*(maxEcho*4+8192) {
				t.Errorf("a validation message of %d bytes", len(err.Error()))
			}
		}
	})
}

// FuzzParseInteger checks the notations of a number against each other.
func FuzzParseInteger(f *testing.F) {
	for _, n := range []int64{0, 1, -1, 10, 1 << 62, -1 << 63} {
		f.Add(n, uint8(3))
	}
	f.Fuzz(func(t *testing.T, n int64, shift uint8) {
		var v Opt[int64]
		plain := putInt(nil, "", Some(n))
		plain = plain[:len(plain)-1]
		zeros := bytes.Repeat([]byte("0"), int(shift%50))
		long := append(append(bytes.Clone(plain), '.'), append(zeros, '0')...)
		scaled := append(append(bytes.Clone(plain), zeros...), []byte("e-"+itoa(len(zeros)))...)
		for _, raw := range [][]byte{plain, long, scaled} {
			got, ok := parseInteger(raw)
			if v = Some(got); !ok || v != Some(n) {
				t.Errorf("%s: got %d, %t", raw, got, ok)
			}
		}
	})
}

func itoa(n int) string {
	return string(bytes.TrimSuffix(putInt(nil, "", Some(int64(n))), []byte(",")))
}
