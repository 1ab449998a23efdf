package api

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"
)

func allOperations() []Operation {
	ops := append(KMSOperations(), KeyturnOperations()...)
	ops = append(ops, STSOperations()...)
	return append(ops, sampleOperations()...)
}

func TestDecode(t *testing.T) {
	tests := []struct {
		name, in string
		into     Request
		want     Request
	}{
		{"empty body", "", &ListKeysRequest{Limit: Some[int64](1)}, &ListKeysRequest{}},
		{"empty object", " {} \n", &ListKeysRequest{}, &ListKeysRequest{}},
		{"integer", `{"Limit":10}`, &ListKeysRequest{}, &ListKeysRequest{Limit: Some[int64](10)}},
		{"integral fraction", `{"Limit":1.0}`, &ListKeysRequest{}, &ListKeysRequest{Limit: Some[int64](1)}},
		{"integral exponent", `{"Limit":1e2}`, &ListKeysRequest{}, &ListKeysRequest{Limit: Some[int64](100)}},
		{"null member", `{"Limit":null,"Marker":"m"}`, &ListKeysRequest{}, &ListKeysRequest{Marker: Some("m")}},
		{"unknown members", `{"X":{"Y":[1,{"Z":null}]},"Marker":"m","W":"v"}`, &ListKeysRequest{}, &ListKeysRequest{Marker: Some("m")}},
		{"names are case sensitive", `{"marker":"m"}`, &ListKeysRequest{}, &ListKeysRequest{}},
		{"escaped name", `{"Mark\u0065r":"m"}`, &ListKeysRequest{}, &ListKeysRequest{Marker: Some("m")}},
		{"escaped value", `{"Marker":"\u00e4\ud83d\ude00\n"}`, &ListKeysRequest{}, &ListKeysRequest{Marker: Some("ä😀\n")}},
		{"empty string", `{"Marker":""}`, &ListKeysRequest{}, &ListKeysRequest{Marker: Some("")}},
		{"blob", `{"CiphertextBlob":"AP8="}`, &DecryptRequest{}, &DecryptRequest{CiphertextBlob: []byte{0, 255}}},
		{"escaped blob", `{"CiphertextBlob":"\/\/\/\/"}`, &DecryptRequest{}, &DecryptRequest{CiphertextBlob: []byte{255, 255, 255}}},
		{"empty blob", `{"CiphertextBlob":""}`, &DecryptRequest{}, &DecryptRequest{CiphertextBlob: []byte{}}},
		{"null blob, list, map, structure", `{"CiphertextBlob":null,"GrantTokens":null,"EncryptionContext":null,"Recipient":null}`,
			&DecryptRequest{}, &DecryptRequest{}},
		{"empty list and map", `{"GrantTokens":[],"EncryptionContext":{}}`, &DecryptRequest{},
			&DecryptRequest{GrantTokens: []string{}, EncryptionContext: map[string]string{}}},
		{"map", `{"EncryptionContext":{"a":"bc","\u0061b":"c","":""}}`, &DecryptRequest{},
			&DecryptRequest{EncryptionContext: map[string]string{"a": "bc", "ab": "c", "": ""}}},
		{"enum, known or not", `{"EncryptionAlgorithm":"ROT13"}`, &DecryptRequest{},
			&DecryptRequest{EncryptionAlgorithm: Some(EncryptionAlgorithmSpec("ROT13"))}},
		{"bool", `{"DryRun":true}`, &DecryptRequest{}, &DecryptRequest{DryRun: Some(true)}},
		{"structures", `{"KeyId":"k","Tags":[{"TagKey":"a","TagValue":""},{}]}`, &TagResourceRequest{},
			&TagResourceRequest{KeyId: Some("k"), Tags: []Tag{{TagKey: Some("a"), TagValue: Some("")}, {}}}},
		{"enum list", `{"Operations":["Decrypt"]}`, &CreateGrantRequest{},
			&CreateGrantRequest{Operations: []GrantOperation{GrantOperationDecrypt}}},
		{"timestamp", `{"ValidTo":1700000000.1234}`, &ImportKeyMaterialRequest{},
			&ImportKeyMaterialRequest{ValidTo: Some(time.UnixMilli(1700000000123).UTC())}},
		{"timestamp exponent", `{"ValidTo":1.7E9}`, &ImportKeyMaterialRequest{},
			&ImportKeyMaterialRequest{ValidTo: Some(time.UnixMilli(1700000000000).UTC())}},
		{"depth 32", `{"X":` + strings.Repeat("[", 31) + strings.Repeat("]", 31) + `}`, &ListKeysRequest{}, &ListKeysRequest{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if err := tt.into.DecodeJSON([]byte(tt.in)); err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(tt.into, tt.want) {
				t.Errorf("got %+v, want %+v", tt.into, tt.want)
			}
		})
	}
}

func TestDecodeRefuses(t *testing.T) {
	const malformed = "Malformed JSON"
	tests := []struct {
		name, in string
		into     Request
		want     string
	}{
		{"not an object", `[]`, &EncryptRequest{}, "Start of list found where not expected"},
		{"null", `null`, &EncryptRequest{}, "Expected structure or map or null"},
		{"only space", ` `, &EncryptRequest{}, malformed},
		{"trailing data", `{} {}`, &EncryptRequest{}, "Malformed JSON: data after the top-level value"},
		{"trailing comma", `{"KeyId":"a",}`, &EncryptRequest{}, malformed},
		{"cut off", `{"KeyId":"a"`, &EncryptRequest{}, malformed},
		{"cut off in a map", `{"EncryptionContext":{"a"`, &EncryptRequest{}, malformed},
		{"cut off in a list", `{"GrantTokens":["a"`, &EncryptRequest{}, malformed},
		{"name not a string", `{1:2}`, &EncryptRequest{}, malformed},
		{"duplicate", `{"KeyId":"a","KeyId":"a"}`, &EncryptRequest{}, "Malformed JSON: duplicate member name"},
		{"duplicate by escape", `{"KeyId":"a","\u004beyId":"a"}`, &EncryptRequest{}, "Malformed JSON: duplicate member name"},
		{"duplicate in map", `{"EncryptionContext":{"a":"b","a":"c"}}`, &EncryptRequest{}, "Malformed JSON: duplicate member name"},
		{"duplicate unknown", `{"X":1,"X":2}`, &EncryptRequest{}, "Malformed JSON: duplicate member name"},
		{"duplicate in skipped value", `{"X":[{"a":1,"a":1}]}`, &EncryptRequest{}, "Malformed JSON: duplicate member name"},
		{"invalid UTF-8", "{\"KeyId\":\"\xff\"}", &EncryptRequest{}, malformed},
		{"invalid UTF-8 in name", "{\"\xff\":1}", &EncryptRequest{}, malformed},
		{"invalid UTF-8 in map", "{\"EncryptionContext\":{\"\xc0\x80\":\"\"}}", &EncryptRequest{}, malformed},
		{"invalid UTF-8 in skipped value", "{\"X\":[\"\xed\xa0\x80\"]}", &EncryptRequest{}, malformed},
		{"lone surrogate", `{"KeyId":"\ud800"}`, &EncryptRequest{}, malformed},
		{"lone low surrogate in map", `{"EncryptionContext":{"\udc00":""}}`, &EncryptRequest{}, malformed},
		{"lone surrogate in skipped value", `{"X":"\ud800\u0041"}`, &EncryptRequest{}, malformed},
		{"control character", "{\"KeyId\":\"\n\"}", &EncryptRequest{}, malformed},
		{"too deep", `{"X":` + strings.Repeat("[", 32) + strings.Repeat("]", 32) + `}`, &EncryptRequest{}, "Malformed JSON: nested too deeply"},
		{"far too deep", `{"X":` + strings.Repeat(`{"a":`, 300000), &EncryptRequest{}, "Malformed JSON: nested too deeply"},
		{"too many elements", `{"GrantTokens":[""` + strings.Repeat(`,""`, maxElements) + `]}`, &EncryptRequest{}, "Too many elements"},
		{"too many structures", `{"Tags":[{}` + strings.Repeat(`,{}`, maxElements) + `]}`, &TagResourceRequest{}, "Too many elements"},
		{"number for string", `{"KeyId":1}`, &EncryptRequest{}, "NUMBER_VALUE can not be converted to a String"},
		{"true for string", `{"KeyId":true}`, &EncryptRequest{}, "TRUE_VALUE can not be converted to a String"},
		{"object for string", `{"KeyId":{}}`, &EncryptRequest{}, "Start of structure or map found where not expected."},
		{"list for string", `{"KeyId":[]}`, &EncryptRequest{}, "Start of list found where not expected"},
		{"string for integer", `{"Limit":"1"}`, &ListKeysRequest{}, "STRING_VALUE can not be converted to an Integer"},
		{"fraction for integer", `{"Limit":1.5}`, &ListKeysRequest{}, "NUMBER_VALUE can not be converted to an Integer"},
		{"string for boolean", `{"DryRun":"true"}`, &EncryptRequest{}, "STRING_VALUE can not be converted to a Boolean"},
		{"number for blob", `{"Plaintext":1}`, &EncryptRequest{}, "NUMBER_VALUE can not be converted to a Blob"},
		{"base64 without padding", `{"Plaintext":"QQ"}`, &EncryptRequest{}, "STRING_VALUE can not be converted to a Blob"},
		{"base64 with stray bits", `{"Plaintext":"QR=="}`, &EncryptRequest{}, "STRING_VALUE can not be converted to a Blob"},
		{"base64 with line break", `{"Plaintext":"QUFB\nQUFB"}`, &EncryptRequest{}, "STRING_VALUE can not be converted to a Blob"},
		{"base64 with break in padding", `{"Plaintext":"QQ=\r="}`, &EncryptRequest{}, "STRING_VALUE can not be converted to a Blob"},
		{"URL base64", `{"Plaintext":"__-_"}`, &EncryptRequest{}, "STRING_VALUE can not be converted to a Blob"},
		{"string for list", `{"GrantTokens":"a"}`, &EncryptRequest{}, "Expected list or null"},
		{"object for list", `{"GrantTokens":{}}`, &EncryptRequest{}, "Start of structure or map found where not expected."},
		{"null in list", `{"GrantTokens":[null]}`, &EncryptRequest{}, "NULL_VALUE can not be converted to a String"},
		{"number in list", `{"GrantTokens":["a",1]}`, &EncryptRequest{}, "NUMBER_VALUE can not be converted to a String"},
		{"string for map", `{"EncryptionContext":"a"}`, &EncryptRequest{}, "Expected structure or map or null"},
		{"list for map", `{"EncryptionContext":[]}`, &EncryptRequest{}, "Start of list found where not expected"},
		{"null in map", `{"EncryptionContext":{"a":null}}`, &EncryptRequest{}, "NULL_VALUE can not be converted to a String"},
		{"object in map", `{"EncryptionContext":{"a":{}}}`, &EncryptRequest{}, "Start of structure or map found where not expected."},
		{"null structure in list", `{"Tags":[null]}`, &TagResourceRequest{}, "Expected structure or map or null"},
		{"string for timestamp", `{"ValidTo":"2026-01-01"}`, &ImportKeyMaterialRequest{}, "STRING_VALUE can not be converted to milliseconds since epoch"},
		{"timestamp after 9999", `{"ValidTo":253402300800}`, &ImportKeyMaterialRequest{}, "NUMBER_VALUE can not be converted to milliseconds since epoch"},
		{"timestamp before 1", `{"ValidTo":-62135596801}`, &ImportKeyMaterialRequest{}, "NUMBER_VALUE can not be converted to milliseconds since epoch"},
		{"infinite timestamp", `{"ValidTo":1e999}`, &ImportKeyMaterialRequest{}, "NUMBER_VALUE can not be converted to milliseconds since epoch"},
		{"not a number", `{"ValidTo":NaN}`, &ImportKeyMaterialRequest{}, malformed},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := tt.into.DecodeJSON([]byte(tt.in))
			var e *Error
			if !errors.As(err, &e) || e.Code != SerializationException || e.Message != tt.want {
				t.Errorf("got %v, want %s: %s", err, SerializationException, tt.want)
			}
		})
	}
}

func TestParseInteger(t *testing.T) {
	for _, tt := range []struct {
		in   string
		want int64
		ok   bool
	}{
		{"0", 0, true}, {"-0", 0, true}, {"-0.0e5", 0, true}, {"7", 7, true}, {"-7", -7, true},
		{"1.0", 1, true}, {"1e2", 100, true}, {"1E+2", 100, true}, {"120e-1", 12, true}, {"12.50e1", 125, true},
		{"0.001e3", 1, true}, {"1.5", 0, false}, {"15e-1", 0, false}, {"1e-1", 0, false},
		{"9223372036854775807", 9223372036854775807, true}, {"9223372036854775808", 0, false},
		{"-9223372036854775808", -9223372036854775808, true}, {"-9223372036854775809", 0, false},
		{"9.223372036854775807e18", 9223372036854775807, true}, {"1e19", 0, false},
		{"100000000000000000000e-10", 10000000000, true},
		{"0e99999999999999999999", 0, true}, {"1e99999999999999999999", 0, false}, {"1e-99999999999999999999", 0, false},
		{"1e2147483647", 0, false}, {"1e-2147483648", 0, false},
	} {
		if got, ok := parseInteger([]byte(tt.in)); ok != tt.ok || ok && got != tt.want {
			t.Errorf("parseInteger(%s) = %d, %t; want %d, %t", tt.in, got, ok, tt.want, tt.ok)
		}
	}
}

func TestEncode(t *testing.T) {
	created := time.Unix(1700000000, 123_999_999)
	for _, tt := range []struct {
		in   Response
		want string
	}{
		{&ListKeysResponse{}, `{}`},
		{&ListKeysResponse{Keys: []KeyListEntry{}, Truncated: Some(false)}, `{"Keys":[],"Truncated":false}`},
		{&ListKeysResponse{Keys: []KeyListEntry{{KeyId: Some("a")}, {}}}, `{"Keys":[{"KeyId":"a"},{}]}`},
		{&EncryptResponse{CiphertextBlob: []byte{}, KeyId: Some("")}, `{"CiphertextBlob":"","KeyId":""}`},
		{&EncryptResponse{CiphertextBlob: []byte{255}, KeyId: Some("\"\\\x00\u2028ä<\xff")},
			`{"CiphertextBlob":"/w==","KeyId":"\"\\\u0000` + "\u2028ä<\ufffd" + `"}`},
		{&DescribeKeyResponse{KeyMetadata: &KeyMetadata{CreationDate: Some(created), KeySpec: Some(KeySpecSymmetricDefault)}},
			`{"KeyMetadata":{"CreationDate":1700000000.123,"KeySpec":"SYMMETRIC_DEFAULT"}}`},
		{&KeyMetadata{CreationDate: Some(time.UnixMilli(-1500))}, `{"CreationDate":-1.5}`},
		{&KeyMetadata{CreationDate: Some(time.UnixMilli(-50))}, `{"CreationDate":-0.05}`},
		{&KeyMetadata{CreationDate: Some(time.Unix(0, 0))}, `{"CreationDate":0}`},
		{&AdvanceClockResponse{EventCount: Some[int64](-3)}, `{"EventCount":-3}`},
		{&GrantConstraints{EncryptionContextEquals: map[string]string{"b": "2", "a": "1"}, EncryptionContextSubset: map[string]string{}},
			`{"EncryptionContextSubset":{},"EncryptionContextEquals":{"a":"1","b":"2"}}`},
	} {
		if got := string(tt.in.AppendJSON([]byte("x"))); got != "x"+tt.want {
			t.Errorf("got %s, want x%s", got, tt.want)
		}
	}
}

// fill sets every field below v to a present value; empty collections where hollow.
func fill(v reflect.Value, hollow bool, n *int) {
	*n++
	switch v.Kind() {
	case reflect.String:
		v.SetString(fmt.Sprintf("s\"%d ä", *n))
	case reflect.Int64:
		v.SetInt(int64(*n) - 5)
	case reflect.Bool:
		v.SetBool(*n%2 == 0)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), hollow, n)
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		for i := 0; i < 3 && !hollow; i++ {
			value := reflect.New(v.Type().Elem()).Elem()
			fill(value, hollow, n)
			v.SetMapIndex(reflect.ValueOf(fmt.Sprint("k", i)), value)
		}
	case reflect.Slice:
		size := 2
		if hollow {
			size = 0
		}
		v.Set(reflect.MakeSlice(v.Type(), size, size))
		for i := range size {
			if v.Type().Elem().Kind() == reflect.Uint8 {
				v.Index(i).SetUint(uint64(200 + i))
			} else {
				fill(v.Index(i), hollow, n)
			}
		}
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			v.Set(reflect.ValueOf(time.UnixMilli(1700000000001 + int64(*n)*10).UTC()))
			return
		}
		for i := range v.NumField() {
			if v.Type().Field(i).Name == "Set" {
				v.Field(i).SetBool(true)
			} else {
				fill(v.Field(i), hollow, n)
			}
		}
	}
}

type codec interface {
	Response
	DecodeJSON([]byte) error
}

// TestRoundTrip encodes and decodes every input and output with every member present.
func TestRoundTrip(t *testing.T) {
	for _, op := range allOperations() {
		values := []any{op.NewInput()}
		if op.HasOutput != (op.NewOutput != nil) {
			t.Errorf("%s: HasOutput is %t", op.Name, op.HasOutput)
		}
		if op.HasOutput {
			values = append(values, op.NewOutput())
		}
		for _, value := range values {
			for _, hollow := range []bool{false, true} {
				in, n := value.(codec), 0
				fill(reflect.ValueOf(in).Elem(), hollow, &n)
				wire := in.AppendJSON(nil)
				out := reflect.New(reflect.TypeOf(in).Elem()).Interface().(codec)
				if err := out.DecodeJSON(wire); err != nil {
					t.Errorf("%T: %v in %s", in, err, wire)
				} else if !reflect.DeepEqual(in, out) {
					t.Errorf("%T: %+v became %+v", in, in, out)
				}
			}
		}
	}
}

// TestDecodeKeepsNothing checks that a decoded request does not live in the caller's buffer, nor in the pooled decoder.
func TestDecodeKeepsNothing(t *testing.T) {
	data := []byte(`{"KeyId":"key","Plaintext":"c2VjcmV0","EncryptionContext":{"a":"b\u0041"},"GrantTokens":["t"]}`)
	var got EncryptRequest
	if err := got.DecodeJSON(data); err != nil {
		t.Fatal(err)
	}
	clear(data)
	if err := new(EncryptRequest).DecodeJSON([]byte(`{"EncryptionContext":{"xxxxxx":"yyyyyy"},"KeyId":"zzzzzz"}`)); err != nil {
		t.Fatal(err)
	}
	want := EncryptRequest{KeyId: Some("key"), Plaintext: []byte("secret"), EncryptionContext: map[string]string{"a": "bA"}, GrantTokens: []string{"t"}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}
