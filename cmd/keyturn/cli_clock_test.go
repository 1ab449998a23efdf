package main

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
)

func TestClock(t *testing.T) {
	withoutAWS(t)
	f := newFakeKMS(t, map[string]func(map[string]any) (int, string){
		"GetClock": always(`{"Now":1800000000,"Adjustable":true,"OffsetSeconds":7862400}`),
	})
	out, err := execute(t, newClockCommand(), "--endpoint", f.url+"/base/")
	if want := "now         2027-01-15T08:00:00Z\noffset      91d\nadjustable  yes\n"; out != want || err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	out, err = execute(t, newClockCommand(), "--output", "json", "--endpoint", f.url)
	if want := "{\n  \"Now\": 1800000000,\n  \"Adjustable\": true,\n  \"OffsetSeconds\": 7862400\n}\n"; out != want || err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	calls := f.calls("GetClock")
	r := calls[0]
	auth := r.header.Get("Authorization")
	if r.path != "/base/" || calls[1].path != "/" || r.header.Get("Content-Type") != "application/x-amz-json-1.1" || r.header.Get("X-Amz-Target") != "Keyturn.GetClock" ||
		!strings.HasPrefix(auth, "AWS4-HMAC-SHA256 Credential=keyturn/") || !strings.Contains(auth, "/us-east-1/kms/aws4_request") {
		t.Errorf("request %+v", r)
	}
}

func TestClockAdvance(t *testing.T) {
	withoutAWS(t)
	f := newFakeKMS(t, map[string]func(map[string]any) (int, string){
		"AdvanceClock": func(in map[string]any) (int, string) {
			switch in["Seconds"] {
			case 0.0:
				return http.StatusOK, `{"Now":1800000000,"EventCount":0,"Events":[]}`
			case 86400.0:
				return http.StatusOK, `{"Now":1800000000,"EventCount":1,"Events":[{"Date":1790000000,"Event":"DeleteKey","KeyArn":"arn:k1"}]}`
			}
			return http.StatusOK, `{"Now":1800000000,"EventCount":7,"Events":[{"Date":1790000000,"Event":"RotateKey","KeyArn":"arn:k1","KeyMaterialId":"m2"}]}`
		},
	})
	for arg, want := range map[string]string{
		"0":  "now  2027-01-15T08:00:00Z\n0 events\n",
		"1d": "now  2027-01-15T08:00:00Z\n1 event\n\nDATE                  EVENT      KEY     KEY MATERIAL ID\n2026-09-21T14:13:20Z  DeleteKey  arn:k1  -\n",
		"2y": "now  2027-01-15T08:00:00Z\n7 events\n\nDATE                  EVENT      KEY     KEY MATERIAL ID\n2026-09-21T14:13:20Z  RotateKey  arn:k1  m2\nand 6 more\n",
	} {
		if out, err := execute(t, newClockCommand(), "advance", arg, "--endpoint", f.url); out != want || err != nil {
			t.Errorf("%s: %v, got\n%s\nwant\n%s", arg, err, out, want)
		}
	}
	out, err := execute(t, newClockCommand(), "advance", "1d", "--output", "json", "--endpoint", f.url)
	var got struct{ EventCount int }
	if err != nil || json.Unmarshal([]byte(out), &got) != nil || got.EventCount != 1 {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestClockErrors(t *testing.T) {
	for name, tt := range map[string]struct {
		answer    func(map[string]any) (int, string)
		err, hint string
	}{
		"refused":    {fails("com.amazonaws#UnsupportedOperationException", "Only in dev."), "UnsupportedOperationException: Only in dev.", "keyturn dev"},
		"unknown":    {nil, "UnknownOperationException", "only keyturn has this clock"},
		"steering":   {fails("AccessDeniedException", "no\\u001b[2Jway"), "AccessDeniedException: no\ufffd[2Jway", "permission"},
		"not JSON":   {func(map[string]any) (int, string) { return 502, "<html>" }, "the endpoint answers HTTP status 502, and not as a KMS does", ""},
		"other JSON": {func(map[string]any) (int, string) { return 404, `{"error":"x"}` }, "the endpoint answers HTTP status 404, and not as a KMS does", ""},
		"bad answer": {always(`{"Now":"soon"}`), "the answer is not what Keyturn.GetClock answers: SerializationException", ""},
		"no object":  {always(`[]`), "the answer is not what Keyturn.GetClock answers: SerializationException", ""},
	} {
		t.Run(name, func(t *testing.T) {
			withoutAWS(t)
			f := newFakeKMS(t, map[string]func(map[string]any) (int, string){"GetClock": tt.answer})
			_, err := execute(t, newClockCommand(), "--endpoint", f.url)
			if err == nil || !strings.HasPrefix(err.Error(), tt.err) || !strings.Contains(hintFor(err), tt.hint) || (tt.hint == "") != (hintFor(err) == "") {
				t.Errorf("%v, hint %q", err, hintFor(err))
			}
		})
	}
}

func TestBoundedSeconds(t *testing.T) {
	for _, n := range []int64{1 << 62, -1 << 62} {
		if d := boundedSeconds(n); (d > 0) != (n > 0) {
			t.Errorf("%d became %v", n, d)
		}
	}
}
