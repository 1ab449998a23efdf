package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// listFake has six keys on two pages.
func listFake(t *testing.T) *fakeKMS {
	metadata := func(id, more string) string {
		return `{"KeyMetadata":{"KeyId":"` + id + `","Arn":"arn:` + id + `","KeySpec":"SYMMETRIC_DEFAULT","KeyState":"Enabled","KeyManager":"CUSTOMER","Origin":"AWS_KMS"` + more + `}}`
	}
	return newFakeKMS(t, map[string]func(map[string]any) (int, string){
		"ListKeys": func(in map[string]any) (int, string) {
			if in["Marker"] == nil {
				return http.StatusOK, `{"Keys":[{"KeyId":"rotates","KeyArn":"arn:rotates"},{"KeyId":"vanishes","KeyArn":"arn:vanishes"},{"KeyId":"bare","KeyArn":"arn:bare"}],"Truncated":true,"NextMarker":"two"}`
			}
			return http.StatusOK, `{"Keys":[{"KeyId":"forbidden","KeyArn":"arn:forbidden"},{"KeyId":"signs","KeyArn":"arn:signs"},{"KeyId":"managed","KeyArn":"arn:managed"}],"Truncated":false}`
		},
		"ListAliases": func(in map[string]any) (int, string) {
			if in["Marker"] == nil {
				return http.StatusOK, `{"Aliases":[{"AliasName":"alias/z","TargetKeyId":"rotates"},{"AliasName":"alias/aws/s3"}],"Truncated":true,"NextMarker":"two"}`
			}
			return http.StatusOK, `{"Aliases":[{"AliasName":"alias/a","TargetKeyId":"rotates"},{"AliasName":"alias/m","TargetKeyId":"signs"}],"Truncated":false}`
		},
		"DescribeKey": func(in map[string]any) (int, string) {
			switch id := in["KeyId"].(string); id {
			case "vanishes":
				return fails("NotFoundException", "Key 'arn:vanishes' does not exist")(in)
			case "forbidden":
				return fails("AccessDeniedException", "no")(in)
			case "signs":
				return http.StatusOK, strings.Replace(metadata(id, ""), "SYMMETRIC_DEFAULT", "ECC_NIST_P256", 1)
			default:
				return http.StatusOK, metadata(id, "")
			}
		},
		"GetKeyRotationStatus": func(in map[string]any) (int, string) {
			switch in["KeyId"] {
			case "rotates":
				return http.StatusOK, `{"KeyRotationEnabled":true,"RotationPeriodInDays":90,"NextRotationDate":1800000000.5}`
			case "managed":
				return fails("UnsupportedOperationException", "")(in)
			}
			return http.StatusOK, `{"KeyRotationEnabled":false}`
		},
	})
}

func TestListTable(t *testing.T) {
	withoutAWS(t)
	f := listFake(t)
	out, err := execute(t, newKeysCommand(), "list", "--endpoint", f.url)
	if err == nil || err.Error() != "1 of 5 keys could not be read" {
		t.Errorf("error %v", err)
	}
	want := `ALIAS             KEY ID     SPEC               STATE                         ROTATION  NEXT ROTATION         MANAGER
alias/a, alias/z  rotates    SYMMETRIC_DEFAULT  Enabled                       90d       2027-01-15T08:00:00Z  CUSTOMER
alias/m           signs      ECC_NIST_P256      Enabled                       n/a       -                     CUSTOMER
-                 bare       SYMMETRIC_DEFAULT  Enabled                       off       -                     CUSTOMER
-                 forbidden  -                  error: AccessDeniedException  -         -                     -
-                 managed    SYMMETRIC_DEFAULT  Enabled                       n/a       -                     CUSTOMER
`
	if out != want {
		t.Errorf("got\n%s\nwant\n%s", out, want)
	}
	for _, r := range f.calls("GetKeyRotationStatus") {
		if r.in["KeyId"] == "signs" {
			t.Error("the rotation of an asymmetric key was asked for")
		}
	}
}

func TestListJSON(t *testing.T) {
	withoutAWS(t)
	out, err := execute(t, newKeysCommand(), "list", "--output", "json", "--endpoint", listFake(t).url)
	if err == nil {
		t.Error("no error for a key that could not be read")
	}
	var list []map[string]any
	if err := json.Unmarshal([]byte(out), &list); err != nil {
		t.Fatal(err)
	}
	got, _ := json.Marshal(list[0])
	want := `{"aliases":["alias/a","alias/z"],"arn":"arn:rotates","keyId":"rotates","keyManager":"CUSTOMER","keySpec":"SYMMETRIC_DEFAULT","keyState":"Enabled",` +
		`"rotation":{"enabled":true,"nextRotationDate":"2027-01-15T08:00:00Z","periodInDays":90}}`
	if string(got) != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
	got, _ = json.Marshal(list[3])
	if want := `{"aliases":[],"arn":"arn:forbidden","error":"AccessDeniedException","keyId":"forbidden"}`; string(got) != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
}

func TestListLimit(t *testing.T) {
	withoutAWS(t)
	f := listFake(t)
	out, err := execute(t, newKeysCommand(), "list", "--limit", "1", "--endpoint", f.url)
	if err != nil || strings.Count(out, "\n") != 2 || !strings.Contains(out, "rotates") {
		t.Errorf("%v\n%s", err, out)
	}
	if calls := f.calls("ListKeys"); len(calls) != 1 || calls[0].in["Limit"] != 1.0 {
		t.Errorf("calls %v", calls)
	}
}

func TestListEmpty(t *testing.T) {
	withoutAWS(t)
	f := newFakeKMS(t, map[string]func(map[string]any) (int, string){"ListKeys": always(`{"Keys":[],"Truncated":false}`)})
	if out, err := execute(t, newKeysCommand(), "list", "--endpoint", f.url, "--output", "json"); out != "[]\n" || err != nil {
		t.Errorf("%q, %v", out, err)
	}
}

// A service that answers the same marker for ever does not hold the command up for ever.
func TestListSameMarker(t *testing.T) {
	withoutAWS(t)
	f := newFakeKMS(t, map[string]func(map[string]any) (int, string){
		"ListKeys":    always(`{"Keys":[],"Truncated":true,"NextMarker":"again"}`),
		"ListAliases": always(`{}`),
	})
	if _, err := execute(t, newKeysCommand(), "list", "--endpoint", f.url); err != nil {
		t.Error(err)
	}
}

// What is not about one key ends the list.
func TestListBroken(t *testing.T) {
	withoutAWS(t)
	f := listFake(t)
	f.answer("DescribeKey", always("no JSON"))
	if out, err := execute(t, newKeysCommand(), "list", "--endpoint", f.url); err == nil || out != "" {
		t.Errorf("%v\n%s", err, out)
	}
	f.answer("ListKeys", fails("UnrecognizedClientException", "The security token included in the request is invalid.\\u001b[2J"))
	_, err := execute(t, newKeysCommand(), "list", "--endpoint", f.url)
	if want := "ListKeys: UnrecognizedClientException: The security token included in the request is invalid.\ufffd[2J"; err == nil || err.Error() != want {
		t.Errorf("%v", err)
	}
	if !strings.Contains(hintFor(err), "--profile") {
		t.Errorf("hint %q", hintFor(err))
	}
}

// Many keys are read by a bounded number of workers, each once and in its place.
func TestListMany(t *testing.T) {
	withoutAWS(t)
	const n = 300
	var entries []string
	for i := range n {
		entries = append(entries, fmt.Sprintf(`{"KeyId":"k%03d","KeyArn":"arn:k%03d"}`, i, i))
	}
	f := newFakeKMS(t, map[string]func(map[string]any) (int, string){
		"ListKeys":             always(`{"Keys":[` + strings.Join(entries, ",") + `]}`),
		"ListAliases":          always(`{"Aliases":[]}`),
		"GetKeyRotationStatus": always(`{"KeyRotationEnabled":false}`),
		"DescribeKey": func(in map[string]any) (int, string) {
			return http.StatusOK, `{"KeyMetadata":{"KeyId":"` + in["KeyId"].(string) + `","KeySpec":"SYMMETRIC_DEFAULT","Origin":"AWS_KMS","KeyState":"` + in["KeyId"].(string) + `"}}`
		},
	})
	out, err := execute(t, newKeysCommand(), "list", "--endpoint", f.url, "--output", "json")
	var list []listedKey
	if err := errors.Join(err, json.Unmarshal([]byte(out), &list)); err != nil || len(list) != n {
		t.Fatal(err, len(list))
	}
	for _, k := range list {
		if k.State != k.KeyID {
			t.Errorf("%s has the state of %s", k.KeyID, k.State)
		}
	}
	if got := len(f.calls("DescribeKey")); got != n {
		t.Errorf("%d DescribeKey", got)
	}
}

// The bar ends by itself, whatever it got to.
func TestProgress(t *testing.T) {
	for want, err := range map[string]error{"done": nil, "fail": errors.New("no")} {
		var out bytes.Buffer
		step, finish := startProgress(&out, "reading keys", 3)
		step()
		finish(err)
		if !strings.Contains(out.String(), "reading keys") || !strings.Contains(out.String(), want) {
			t.Errorf("drawn: %q, want it to say %s", out.String(), want)
		}
	}
}
