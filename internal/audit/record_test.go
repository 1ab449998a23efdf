package audit

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// sample is a Decrypt as the service will record it.
func sample() *Record {
	r := &Record{
		Identity: Identity{
			Type: "IAMUser", PrincipalID: "AIDAEXAMPLE", ARN: "arn:aws:iam::111122223333:user/alice",
			AccountID: "111122223333", AccessKeyID: "AKIDEXAMPLE", UserName: "alice",
		},
		EventTime:   time.Date(2025, 3, 4, 5, 6, 7, 890, time.FixedZone("", 3600)),
		EventSource: "kms.amazonaws.com", EventName: "Decrypt", AWSRegion: "us-east-1",
		SourceIPAddress: "192.0.2.1", UserAgent: "aws-cli/2.0",
		RequestID: "11111111-2222-3333-4444-555555555555", EventID: "66666666-7777-8888-9999-000000000000", ReadOnly: true,
		Resources: []Resource{{AccountID: "111122223333", Type: "AWS::KMS::Key", ARN: "arn:aws:kms:us-east-1:111122223333:key/k"}},
		EventType: APICall, ManagementEvent: true, RecipientAccountID: "111122223333",
		TLS: TLSDetails{"TLSv1.3", "TLS_AES_128_GCM_SHA256", "kms.example.com"},
	}
	r.RequestParameters.Str("encryptionAlgorithm", "SYMMETRIC_DEFAULT")
	r.RequestParameters.StrMap("encryptionContext", map[string]string{"b": "2", "a": "1"})
	return r
}

func TestRecordJSON(t *testing.T) {
	const want = `{"eventVersion":"1.11","userIdentity":{"type":"IAMUser","principalId":"AIDAEXAMPLE",` +
		`"arn":"arn:aws:iam::111122223333:user/alice","accountId":"111122223333","accessKeyId":"AKIDEXAMPLE","userName":"alice"},` +
		`"eventTime":"2025-03-04T04:06:07Z","eventSource":"kms.amazonaws.com","eventName":"Decrypt","awsRegion":"us-east-1",` +
		`"sourceIPAddress":"192.0.2.1","userAgent":"aws-cli/2.0",` +
		`"requestParameters":{"encryptionAlgorithm":"SYMMETRIC_DEFAULT","encryptionContext":{"a":"1","b":"2"}},"responseElements":null,` +
		`"requestID":"11111111-2222-3333-4444-555555555555","eventID":"66666666-7777-8888-9999-000000000000","readOnly":true,` +
		`"resources":[{"accountId":"111122223333","type":"AWS::KMS::Key","ARN":"arn:aws:kms:us-east-1:111122223333:key/k"}],` +
		`"eventType":"AwsApiCall","managementEvent":true,"recipientAccountId":"111122223333","eventCategory":"Management",` +
		`"tlsDetails":{"tlsVersion":"TLSv1.3","cipherSuite":"TLS_AES_128_GCM_SHA256","clientProvidedHostHeader":"kms.example.com"}}`
	r := sample()
	if got := string(r.AppendJSON(nil)); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	r.IdentityJSON, r.Identity = r.Identity.AppendJSON(nil), Identity{Type: "unused"}
	if got := string(r.AppendJSON([]byte("x"))); got != "x"+want {
		t.Errorf("with an encoded identity, got\n%s\nwant\nx%s", got, want)
	}
}

func TestRecordServiceEvent(t *testing.T) {
	r := Record{
		Identity:  Identity{AccountID: "111122223333", InvokedBy: "AWS Internal"},
		EventTime: time.Unix(0, 0), EventName: "RotateKey", EventType: ServiceEvent,
		ErrorCode: "KMSInternalException", ErrorMessage: "line\nbreak",
	}
	r.ServiceEventDetails.Str("keyId", "k")
	r.AdditionalEventData.Int("attempt", -2)
	r.ResponseElements.Bool("ok", false)
	const want = `{"eventVersion":"1.11","userIdentity":{"accountId":"111122223333","invokedBy":"AWS Internal"},` +
		`"eventTime":"1970-01-01T00:00:00Z","eventName":"RotateKey","errorCode":"KMSInternalException","errorMessage":"line\nbreak",` +
		`"requestParameters":null,"responseElements":{"ok":false},"additionalEventData":{"attempt":-2},` +
		`"readOnly":false,"eventType":"AwsServiceEvent","managementEvent":false,` +
		`"serviceEventDetails":{"keyId":"k"},"eventCategory":"Management"}`
	if got := string(r.AppendJSON(nil)); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestIdentitySession(t *testing.T) {
	id := Identity{
		Type: "AssumedRole", ARN: "arn:aws:sts::111122223333:assumed-role/R/s",
		SessionContext: &SessionContext{
			Issuer:       SessionIssuer{Type: "Role", PrincipalID: "AROA", ARN: "arn:aws:iam::111122223333:role/R", AccountID: "111122223333", UserName: "R"},
			CreationDate: time.Unix(86400, 0), MFAAuthenticated: true,
		},
		InvokedBy: "s3.amazonaws.com",
	}
	const want = `{"type":"AssumedRole","arn":"arn:aws:sts::111122223333:assumed-role/R/s","sessionContext":{"sessionIssuer":` +
		`{"type":"Role","principalId":"AROA","arn":"arn:aws:iam::111122223333:role/R","accountId":"111122223333","userName":"R"},` +
		`"attributes":{"creationDate":"1970-01-02T00:00:00Z","mfaAuthenticated":"true"}},"invokedBy":"s3.amazonaws.com"}`
	if got := string(id.AppendJSON(nil)); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	id = Identity{SessionContext: &SessionContext{}}
	if got := string(id.AppendJSON(nil)); got != `{"sessionContext":{"attributes":{"mfaAuthenticated":"false"}}}` {
		t.Errorf("empty session: %s", got)
	}
}

func TestParams(t *testing.T) {
	var p, tag, meta Params
	if !p.IsZero() {
		t.Error("zero value is not absent")
	}
	p.StrList("list", []string{"a", "b\"", "\xff"})
	p.StrList("none", nil)
	p.StrMap("map", nil)
	tag.Str("tagKey", "k")
	p.ObjList("tags", []Params{tag, tag})
	p.ObjList("noTags", nil)
	meta.Bool("enabled", true)
	p.Obj("keyMetadata", &meta)
	p.Obj("empty", &Params{})
	const want = `{"list":["a","b\"","` + "�" + `"],"none":[],"map":{},"tags":[{"tagKey":"k"},{"tagKey":"k"}],"noTags":[],` +
		`"keyMetadata":{"enabled":true},"empty":{}}`
	if got := string(p.appendObject(nil)); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	p.Reset()
	if !p.IsZero() {
		t.Error("not absent after Reset")
	}
}

func TestRecordTruncates(t *testing.T) {
	for _, text := range []string{strings.Repeat("a", 5000), "a" + strings.Repeat("é", 5000), strings.Repeat("\x80", 5000), strings.Repeat("\U0001F511", 5000)} {
		r := Record{UserAgent: text, ErrorMessage: text}
		out := r.AppendJSON(nil)
		if !utf8.Valid(out) || !jsontext.Value(out).IsValid() {
			t.Fatalf("%.8q: not valid JSON", text)
		}
		var got struct{ UserAgent, ErrorMessage string }
		if err := json.Unmarshal(out, &got); err != nil {
			t.Fatal(err)
		}
		if got.UserAgent != got.ErrorMessage || len(got.UserAgent) > 3*1024 {
			t.Errorf("%.8q: %d bytes", text, len(got.UserAgent))
		}
		if utf8.ValidString(text) && (!strings.HasPrefix(text, got.UserAgent) || len(got.UserAgent) < 1021 || len(got.UserAgent) > 1024) {
			t.Errorf("%.8q: cut to %d bytes", text, len(got.UserAgent))
		}
	}
}

func TestRecordAllocates(t *testing.T) {
	r := sample()
	buf := r.AppendJSON(nil)
	if n := testing.AllocsPerRun(100, func() { buf = r.AppendJSON(buf[:0]) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkRecord(b *testing.B) {
	r := sample()
	r.IdentityJSON = r.Identity.AppendJSON(nil)
	buf := r.AppendJSON(nil)
	b.SetBytes(int64(len(buf)))
	b.ReportAllocs()
	for b.Loop() {
		buf = r.AppendJSON(buf[:0])
	}
}

// FuzzRecord: whatever a caller sends, the record is one line of valid JSON that the log takes.
func FuzzRecord(f *testing.F) {
	f.Add("aws-cli/2.0", "message", "value")
	f.Add("\xff\x00", "\n\u2028", "\"\\")
	f.Fuzz(func(t *testing.T, agent, message, value string) {
		r := Record{UserAgent: agent, ErrorMessage: message, SourceIPAddress: value, Identity: Identity{UserName: value}}
		r.RequestParameters.Str("v", value)
		r.RequestParameters.StrMap("m", map[string]string{value: value})
		out := r.AppendJSON(nil)
		if !jsontext.Value(out).IsValid() {
			t.Fatalf("not valid JSON: %q", out)
		}
		if err := checkRecord(out); err != nil && len(out) <= MaxRecordBytes {
			t.Fatal(err)
		}
	})
}
