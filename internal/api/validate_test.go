package api

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestValidate(t *testing.T) {
	tags := func(n int, tag Tag) []Tag {
		list := make([]Tag, n)
		for i := range list {
			list[i] = tag
		}
		return list
	}
	valid := PutThingRequest{Name: Some("abc"), Count: Some[int64](0), When: Some(time.Unix(0, 0)), Body: []byte("ab"),
		Flag: Some(false), Tags: []SampleTag{}, Colours: []Colour{}, Part: &Part{}}
	with := func(change func(*PutThingRequest)) *PutThingRequest {
		v := valid
		change(&v)
		return &v
	}
	tests := []struct {
		name string
		in   Request
		want string // without the number of errors
	}{
		{"valid", &EncryptRequest{KeyId: Some("k"), Plaintext: []byte("p")}, ""},
		{"valid sample", &valid, ""},
		{"missing, in order", &EncryptRequest{}, "2: Value null at 'keyId' failed to satisfy constraint: Member must not be null; " +
			"Value null at 'plaintext' failed to satisfy constraint: Member must not be null"},
		{"too small", &GenerateRandomRequest{NumberOfBytes: Some[int64](0)},
			"1: Value '0' at 'numberOfBytes' failed to satisfy constraint: Member must have value greater than or equal to 1"},
		{"too big", &GenerateRandomRequest{NumberOfBytes: Some[int64](1025)},
			"1: Value '1025' at 'numberOfBytes' failed to satisfy constraint: Member must have value less than or equal to 1024"},
		{"negative bound holds", with(func(v *PutThingRequest) { v.Count = Some[int64](-5) }), ""},
		{"below negative bound", with(func(v *PutThingRequest) { v.Count = Some[int64](-6) }),
			"1: Value '-6' at 'count' failed to satisfy constraint: Member must have value greater than or equal to -5"},
		{"big integer bound", &AdvanceClockRequest{Seconds: Some[int64](3155760001)},
			"1: Value '3155760001' at 'seconds' failed to satisfy constraint: Member must have value less than or equal to 3155760000"},
		{"empty string", &DescribeKeyRequest{KeyId: Some("")},
			"1: Value '' at 'keyId' failed to satisfy constraint: Member must have length greater than or equal to 1"},
		{"UTF-16 length holds", &UpdateKeyDescriptionRequest{KeyId: Some("k"), Description: Some(strings.Repeat("😀", 4096))}, ""},
		{"length and pattern", with(func(v *PutThingRequest) { v.Name = Some("ABCDEF") }),
			"2: Value 'ABCDEF' at 'name' failed to satisfy constraint: Member must have length less than or equal to 5; " +
				"Value 'ABCDEF' at 'name' failed to satisfy constraint: Member must satisfy regular expression pattern: [a-z]+"},
		{"pattern takes the whole value", &CreateAliasRequest{AliasName: Some("alias/a\n"), TargetKeyId: Some("k")},
			"1: Value 'alias/a\n' at 'aliasName' failed to satisfy constraint: Member must satisfy regular expression pattern: ^[a-zA-Z0-9:/_-]+$"},
		{"alternation takes the whole value", &UpdateCustomKeyStoreRequest{CustomKeyStoreId: Some("c"), XksProxyUriPath: Some("/kms/xks/v1/x")},
			"1: Value '/kms/xks/v1/x' at 'xksProxyUriPath' failed to satisfy constraint: Member must satisfy regular expression pattern: " +
				`^(/[a-zA-Z0-9\/_-]+/kms/xks/v\d{1,2})$|^(/kms/xks/v\d{1,2})$`},
		{"enum", &GetPublicKeyRequest{KeyId: Some("k")}, ""},
		{"enum only", &GenerateDataKeyRequest{KeyId: Some("k"), KeySpec: Some(DataKeySpec(""))},
			"1: Value '' at 'keySpec' failed to satisfy constraint: Member must satisfy enum value set: [AES_256, AES_128]"},
		{"sensitive blob", &EncryptRequest{KeyId: Some("k"), Plaintext: []byte{}},
			"1: Value at 'plaintext' failed to satisfy constraint: Member must have length greater than or equal to 1"},
		{"sensitive blob too long", &EncryptRequest{KeyId: Some("k"), Plaintext: make([]byte, 4097)},
			"1: Value at 'plaintext' failed to satisfy constraint: Member must have length less than or equal to 4096"},
		{"other blob", &DecryptRequest{CiphertextBlob: make([]byte, 6145)}, "1: Value 'java.nio.HeapByteBuffer[pos=0 lim=6145 cap=6145]' " +
			"at 'ciphertextBlob' failed to satisfy constraint: Member must have length less than or equal to 6144"},
		{"in list", &TagResourceRequest{KeyId: Some("k"), Tags: []Tag{{Some("a"), Some("")}, {Some(""), Opt[string]{}}}},
			"2: Value '' at 'tags.2.member.tagKey' failed to satisfy constraint: Member must have length greater than or equal to 1; " +
				"Value null at 'tags.2.member.tagValue' failed to satisfy constraint: Member must not be null"},
		{"in structure", &DecryptRequest{CiphertextBlob: []byte{1}, Recipient: &RecipientInfo{AttestationDocument: []byte{}}},
			"1: Value 'java.nio.HeapByteBuffer[pos=0 lim=0 cap=0]' at 'recipient.attestationDocument' failed to satisfy constraint: " +
				"Member must have length greater than or equal to 1"},
		{"deep", with(func(v *PutThingRequest) { v.Part = &Part{Tags: []SampleTag{{}}} }),
			"1: Value null at 'part.tags.1.member.key' failed to satisfy constraint: Member must not be null"},
		{"list of strings", &UntagResourceRequest{KeyId: Some("k"), TagKeys: []string{"a", ""}},
			"1: Value '[a, ]' at 'tagKeys' failed to satisfy constraint: Member must satisfy constraint: " +
				"[Member must have length less than or equal to 128, Member must have length greater than or equal to 1]"},
		{"list of patterns", with(func(v *PutThingRequest) { v.Words = []string{"abc", "AB", "x"} }),
			"1: Value '[abc, AB, x]' at 'words' failed to satisfy constraint: Member must satisfy constraint: " +
				"[Member must have length less than or equal to 5, Member must have length greater than or equal to 3, " +
				"Member must satisfy regular expression pattern: [a-z]+]"},
		{"list length", &DescribeKeyRequest{KeyId: Some("k"), GrantTokens: strings.Split(strings.Repeat("t", 11), "")},
			"1: Value '[t, t, t, t, t, t, t, t, t, t, t]' at 'grantTokens' failed to satisfy constraint: Member must have length less than or equal to 10"},
		{"empty list", with(func(v *PutThingRequest) { v.Words = []string{} }),
			"1: Value '[]' at 'words' failed to satisfy constraint: Member must have length greater than or equal to 1"},
		{"list of structures too long", with(func(v *PutThingRequest) { v.Tags = make([]SampleTag, 3); v.Tags[0].Key = Some("abc") }),
			"3: Value at 'tags' failed to satisfy constraint: Member must have length less than or equal to 2; " +
				"Value null at 'tags.2.member.key' failed to satisfy constraint: Member must not be null; " +
				"Value null at 'tags.3.member.key' failed to satisfy constraint: Member must not be null"},
		{"enum list", with(func(v *PutThingRequest) { v.Colours = []Colour{"red", "Bogus"} }),
			"1: Value '[red, Bogus]' at 'colours' failed to satisfy constraint: Member must satisfy constraint: " +
				"[Member must satisfy enum value set: [red, dark-blue, RGB_0]]"},
		{"sensitive list", with(func(v *PutThingRequest) { v.Pins = []string{"12345", "1234", "1234"} }),
			"2: Value at 'pins' failed to satisfy constraint: Member must have length less than or equal to 2; " +
				"Value at 'pins' failed to satisfy constraint: Member must satisfy constraint: " +
				"[Member must have length less than or equal to 4, Member must have length greater than or equal to 4]"},
		{"sensitive parent", with(func(v *PutThingRequest) {
			v.Vault = &Vault{Name: Some("secret"), Tags: []SampleTag{{Key: Some("X")}}}
			v.Colours = []Colour{"x"}
			v.Pins = nil
		}),
			"5: Value '[x]' at 'colours' failed to satisfy constraint: Member must satisfy constraint: " +
				"[Member must satisfy enum value set: [red, dark-blue, RGB_0]]; " +
				"Value null at 'vault.pin' failed to satisfy constraint: Member must not be null; " +
				"Value at 'vault.name' failed to satisfy constraint: Member must have length less than or equal to 5; " +
				"Value at 'vault.tags.1.member.key' failed to satisfy constraint: Member must have length greater than or equal to 3; " +
				"Value at 'vault.tags.1.member.key' failed to satisfy constraint: Member must satisfy regular expression pattern: [a-z]+"},
		{"echo is clipped", &DescribeKeyRequest{KeyId: Some(strings.Repeat("é", 2049))}, "1: Value '" + strings.Repeat("é", 1024) +
			"' at 'keyId' failed to satisfy constraint: Member must have length less than or equal to 2048"},
		{"violations are capped", &TagResourceRequest{KeyId: Some(""), Tags: tags(1000, Tag{Some("k"), Opt[string]{}})},
			"50: Value '' at 'keyId' failed to satisfy constraint: Member must have length greater than or equal to 1; " + cappedTags(49)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := tt.in.Validate()
			if tt.want == "" {
				if err != nil {
					t.Errorf("got %v", err)
				}
				return
			}
			count, text, _ := strings.Cut(tt.want, ": ")
			plural := "s"
			if count == "1" {
				plural = ""
			}
			want := fmt.Sprintf("%s validation error%s detected: %s", count, plural, text)
			var e *Error
			if !errors.As(err, &e) || e.Code != ValidationException || e.Message != want {
				t.Errorf("got\n%v\nwant\n%s", err, want)
			}
		})
	}
}

func cappedTags(n int) string {
	var parts []string
	for i := range n {
		parts = append(parts, fmt.Sprintf("Value null at 'tags.%d.member.tagValue' failed to satisfy constraint: Member must not be null", i+1))
	}
	return strings.Join(parts, "; ")
}

// TestValidateBounded checks that the worst request cannot buy a huge answer.
func TestValidateBounded(t *testing.T) {
	bad := Tag{TagKey: Some(strings.Repeat("😀", 5000)), TagValue: Some(strings.Repeat("😀", 5000))}
	list := make([]Tag, maxElements)
	for i := range list {
		list[i] = bad
	}
	err := (&TagResourceRequest{KeyId: Some(strings.Repeat("😀", 100000)), Tags: list}).Validate()
	if err == nil || len(err.Error()) > 50*(1024*4+200) {
		t.Errorf("%d bytes", len(fmt.Sprint(err)))
	}
	long := make([]string, maxElements)
	for i := range long {
		long[i] = strings.Repeat("x", 100)
	}
	err = (&DescribeKeyRequest{KeyId: Some("k"), GrantTokens: long}).Validate()
	if err == nil || len(err.Error()) > 2000 {
		t.Errorf("%d bytes", len(fmt.Sprint(err)))
	}
}
