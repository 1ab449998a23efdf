package api

import (
	"encoding/xml"
	"errors"
	"net/url"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestDecodeQuery(t *testing.T) {
	for _, tt := range []struct {
		name, form string
		want       PutThingRequest
	}{
		{"nothing", "Action=PutThing&Version=2026-01-01&Other.member.x=1", PutThingRequest{}},
		{"scalars", "Name=a%20b&Count=-3&Flag=true&Body=AP8%3D&When=2026-11-01T10:00:00.1239Z&Colour=red",
			PutThingRequest{Name: Some("a b"), Count: Some[int64](-3), Flag: Some(true), Body: []byte{0, 255},
				When: Some(time.Date(2026, 11, 1, 10, 0, 0, 123e6, time.UTC)), Colour: Some(ColourRed)}},
		{"time zone", "When=2026-11-01T10:00:00%2B02:00", PutThingRequest{When: Some(time.Date(2026, 11, 1, 8, 0, 0, 0, time.UTC))}},
		{"empty values", "Name=&Body=", PutThingRequest{Name: Some(""), Body: []byte{}}},
		{"structure", "Part.Name=x&Part.Tags.member.1.Key=k", PutThingRequest{Part: &Part{Name: Some("x"), Tags: []SampleTag{{Key: Some("k")}}}}},
		{"list of strings", "Words.member.2=b&Words.member.1=a&Colours.member.1=red",
			PutThingRequest{Words: []string{"a", "b"}, Colours: []Colour{ColourRed}}},
		{"empty list", "Words=&Tags=", PutThingRequest{Words: []string{}, Tags: []SampleTag{}}},
		{"ten elements", "Words.member.10=j&Words.member.1=a&Words.member.2=b&Words.member.3=c&Words.member.4=d&" +
			"Words.member.5=e&Words.member.6=f&Words.member.7=g&Words.member.8=h&Words.member.9=i",
			PutThingRequest{Words: strings.Split("abcdefghij", "")}},
		{"list of structures", "Tags.member.1.Key=a&Tags.member.2.Key=b&Tags.member.1.Value=v",
			PutThingRequest{Tags: []SampleTag{{Some("a"), Some("v")}, {Key: Some("b")}}}},
		{"prefix is not a member", "NameX=1&Part2.Name=x&Words.memberx.1=a", PutThingRequest{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			form, err := url.ParseQuery(tt.form)
			if err != nil {
				t.Fatal(err)
			}
			got := PutThingRequest{Name: Some("old")}
			if err := got.DecodeQuery(form); err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
		})
	}
}

func TestDecodeQueryRefuses(t *testing.T) {
	for _, tt := range []struct{ form, want string }{
		{"Name=a&Name=b", "Duplicate parameter"},
		{"Name=%ff", "Malformed parameter: invalid UTF-8"},
		{"Count=1.0", "Parameter can not be converted to an Integer"},
		{"Count=", "Parameter can not be converted to an Integer"},
		{"Flag=True", "Parameter can not be converted to a Boolean"},
		{"Body=QQ", "Parameter can not be converted to a Blob"},
		{"When=yesterday", "Parameter can not be converted to a timestamp"},
		{"When=0000-01-01T00:00:00Z", "Parameter can not be converted to a timestamp"},
		{"Words.member.0=a", "Malformed list parameter"},
		{"Words.member.2=a", "Malformed list parameter"},
		{"Words.member.1=a&Words.member.3=a", "Malformed list parameter"},
		{"Words.member.1=a&Words.member.01=a", "Malformed list parameter"},
		{"Words.member.x=a", "Malformed list parameter"},
		{"Words.member.99999999999999999999=a", "Malformed list parameter"},
		{"Words.member.16385=a", "Malformed list parameter"},
		{"Words.member.1.Key=a", "Malformed list parameter"},
		{"Tags.member.2.Key=a", "Malformed list parameter"},
	} {
		form, err := url.ParseQuery(tt.form)
		if err != nil {
			t.Fatal(err)
		}
		var e *Error
		if err := new(PutThingRequest).DecodeQuery(form); !errors.As(err, &e) || e.Code != SerializationException || e.Message != tt.want {
			t.Errorf("%s: got %v, want %s", tt.form, err, tt.want)
		}
	}
}

func TestQueryOperations(t *testing.T) {
	for _, op := range append(STSOperations(), sampleOperations()...) {
		if _, ok := op.NewInput().(QueryRequest); !ok {
			t.Errorf("the input of %s is no QueryRequest", op.Name)
		}
		if op.HasOutput {
			if _, ok := op.NewOutput().(QueryResponse); !ok {
				t.Errorf("the output of %s is no QueryResponse", op.Name)
			}
		}
	}
}

func TestAppendXML(t *testing.T) {
	r := PutThingResponse{Name: Some("<a> & \"b\"\r\n\x00\xff😀"), Count: Some[int64](3), Flag: Some(true), Body: []byte{255},
		When: Some(time.Date(2026, 11, 1, 12, 0, 0, 120e6, time.FixedZone("", 7200))), Words: []string{"x", ""},
		Tags: []SampleTag{{Key: Some("k")}, {}}, Part: &Part{Tags: []SampleTag{}},
		Notes: map[string]string{"b": "<&", "": "x", "a\"": ""}, Totals: map[string]int64{"red": -1 << 63, "RGB_0": 7}, Verdicts: map[string]Verdict{}}
	want := "<Name>&lt;a&gt; &amp; &quot;b&quot;&#xD;\n\ufffd\ufffd😀</Name><Count>3</Count><When>2026-11-01T10:00:00.12Z</When>" +
		"<Body>/w==</Body><Flag>true</Flag><Tags><member><Key>k</Key></member><member></member></Tags>" +
		"<Words><member>x</member><member></member></Words><Part><Tags></Tags></Part>" +
		"<Notes><entry><key></key><value>x</value></entry><entry><key>a&quot;</key><value></value></entry><entry><key>b</key><value>&lt;&amp;</value></entry></Notes>" +
		"<Totals><entry><key>RGB_0</key><value>7</value></entry><entry><key>red</key><value>-9223372036854775808</value></entry></Totals><Verdicts></Verdicts>"
	if got := string(r.AppendXML(nil)); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// TestMaps checks that maps of every kind come through JSON, and what does not.
func TestMaps(t *testing.T) {
	for _, want := range []PutThingResponse{
		{}, {Notes: map[string]string{}, Totals: map[string]int64{}, Verdicts: map[string]Verdict{}},
		{Notes: map[string]string{"a": "b"}, Totals: map[string]int64{"a\n": 1, "b": -2}, Verdicts: map[string]Verdict{"x": VerdictYes, "y": "maybe"}},
	} {
		var got PutThingResponse
		text := want.AppendJSON(nil)
		if err := got.DecodeJSON(text); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s became %+v, %v", text, got, err)
		}
	}
	var null PutThingResponse
	if err := null.DecodeJSON([]byte(`{"Totals":null,"Verdicts":null}`)); err != nil || null.Totals != nil || null.Verdicts != nil {
		t.Errorf("null became %+v, %v", null, err)
	}
	many := `{"Totals":{"0":0`
	for i := 1; i <= maxElements; i++ {
		many += `,"` + strconv.Itoa(i) + `":0`
	}
	for _, text := range []string{
		`{"Totals":[]}`, `{"Totals":{"a":null}}`, `{"Totals":{"a":"1"}}`, `{"Totals":{"a":1.5}}`, `{"Totals":{"a":1e30}}`, `{"Totals":{"a":1,"a":1}}`, `{"Totals":{"a"`, `{"Totals":{"a":1`,
		`{"Verdicts":{"a":null}}`, `{"Verdicts":{"a":1}}`, many + `}}`,
	} {
		var got PutThingResponse
		if err := got.DecodeJSON([]byte(text)); err == nil || got.Totals != nil || got.Verdicts != nil {
			t.Errorf("%.60s became %+v, %v", text, got, err)
		}
	}
}

func TestQueryEnvelopes(t *testing.T) {
	identity := GetCallerIdentityResponse{UserId: Some("AIDA"), Account: Some("111122223333"), Arn: Some("arn:aws:iam::111122223333:user/a&b")}
	got := string(AppendQueryResponse([]byte("x"), STSNamespace, "GetCallerIdentity", "id-1", &identity))
	want := `x<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult>` +
		`<UserId>AIDA</UserId><Account>111122223333</Account><Arn>arn:aws:iam::111122223333:user/a&amp;b</Arn></GetCallerIdentityResult>` +
		`<ResponseMetadata><RequestId>id-1</RequestId></ResponseMetadata></GetCallerIdentityResponse>`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	got = string(AppendQueryResponse(nil, "n", "Do", "id", nil))
	if want := `<DoResponse xmlns="n"><ResponseMetadata><RequestId>id</RequestId></ResponseMetadata></DoResponse>`; got != want {
		t.Errorf("got %s", got)
	}
	for _, tt := range []struct {
		err  *Error
		want string
	}{
		{Errorf(AccessDeniedException, "no <you>"), "<Type>Sender</Type><Code>AccessDeniedException</Code><Message>no &lt;you&gt;</Message>"},
		{New(KMSInternalException), "<Type>Receiver</Type><Code>KMSInternalException</Code><Message></Message>"},
	} {
		got := string(AppendQueryError(nil, "n", "id", tt.err.Code.Status(), tt.err))
		if want := `<ErrorResponse xmlns="n"><Error>` + tt.want + `</Error><RequestId>id</RequestId></ErrorResponse>`; got != want {
			t.Errorf("got\n%s\nwant\n%s", got, want)
		}
	}
}

// FuzzXMLText checks that any string survives a conforming XML parser, but for what XML cannot hold.
func FuzzXMLText(f *testing.F) {
	for _, s := range []string{"", "a<b>&\"'", "\r\n\t", "\x00\xff\ufffe\uffff", "]]>", "<!--"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		doc := appendTextElement(nil, "T", s)
		var got struct {
			Text string `xml:",chardata"`
		}
		if err := xml.Unmarshal(doc, &got); err != nil {
			t.Fatalf("%v in %q", err, doc)
		}
		want := strings.Map(func(r rune) rune {
			if r < ' ' && r != '\t' && r != '\n' && r != '\r' || r == 0xFFFE || r == 0xFFFF {
				return '\ufffd'
			}
			return r
		}, strings.ToValidUTF8(s, "\x00"))
		if collapse(got.Text) != collapse(want) {
			t.Errorf("%q became %q", s, got.Text)
		}
	})
}

// collapse makes runs of U+FFFD one: ToValidUTF8 replaces a run of bad bytes once.
func collapse(s string) string {
	for strings.Contains(s, "\ufffd\ufffd") {
		s = strings.ReplaceAll(s, "\ufffd\ufffd", "\ufffd")
	}
	return s
}

// FuzzDecodeQuery checks that hostile parameters do no harm, and that what decodes has no nil element left out.
func FuzzDecodeQuery(f *testing.F) {
	f.Add("Tags.member.1.Key=a&Tags.member.2.Key=b&Part.Tags.member.1.Value=x&Words.member.1=w")
	f.Add("Words=&Tags.member.1=&Part=")
	f.Fuzz(func(t *testing.T, query string) {
		form, err := url.ParseQuery(query)
		if err != nil {
			return
		}
		var first, second PutThingRequest
		if first.DecodeQuery(form) != nil {
			return
		}
		// The decoded request means the same in JSON.
		if err := second.DecodeJSON(first.AppendJSON(nil)); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(first, second) {
			t.Errorf("%+v became %+v", first, second)
		}
	})
}
