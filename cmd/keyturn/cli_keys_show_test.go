package main

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
)

func showFake(t *testing.T) *fakeKMS {
	return newFakeKMS(t, map[string]func(map[string]any) (int, string){
		"DescribeKey": always(`{"KeyMetadata":{"KeyId":"k1","Arn":"arn:k1","Description":"for\norders","KeySpec":"SYMMETRIC_DEFAULT","KeyUsage":"ENCRYPT_DECRYPT",` +
			`"KeyState":"Enabled","KeyManager":"CUSTOMER","Origin":"AWS_KMS","CreationDate":1700000000,"CurrentKeyMaterialId":"m3"}}`),
		"ListAliases":          always(`{"Aliases":[{"AliasName":"alias/orders","TargetKeyId":"k1"},{"AliasName":"alias/foreign","TargetKeyId":"k2"}]}`),
		"GetKeyRotationStatus": always(`{"KeyRotationEnabled":true,"RotationPeriodInDays":90,"NextRotationDate":1800000000}`),
		// The newest first, over two pages: the order is the command's business.
		"ListKeyRotations": func(in map[string]any) (int, string) {
			switch {
			case in["IncludeKeyMaterial"] != "ALL_KEY_MATERIAL":
				return fails("ValidationException", "not asked for all")(in)
			case in["Marker"] == nil:
				return http.StatusOK, `{"Rotations":[{"KeyMaterialId":"m4","KeyMaterialState":"PENDING_ROTATION"},` +
					`{"KeyMaterialId":"m3","KeyMaterialState":"CURRENT","RotationDate":1790000000,"RotationType":"AUTOMATIC"}],"Truncated":true,"NextMarker":"two"}`
			}
			return http.StatusOK, `{"Rotations":[{"KeyMaterialId":"m2","KeyMaterialState":"NON_CURRENT","RotationDate":1780000000,"RotationType":"ON_DEMAND"},` +
				`{"KeyMaterialId":"m1","KeyMaterialState":"NON_CURRENT"}]}`
		},
	})
}

func TestShow(t *testing.T) {
	withoutAWS(t)
	f := showFake(t)
	out, err := execute(t, newKeysCommand(), "show", "orders", "--endpoint", f.url)
	if err != nil {
		t.Fatal(err)
	}
	want := `Key ID         k1
ARN            arn:k1
Aliases        alias/orders
Description    for` + "\ufffd" + `orders
Spec           SYMMETRIC_DEFAULT
Usage          ENCRYPT_DECRYPT
State          Enabled
Manager        CUSTOMER
Origin         AWS_KMS
Multi-Region   no
Created        2023-11-14T22:13:20Z
Rotation       90d
Next rotation  2027-01-15T08:00:00Z

#  KEY MATERIAL ID  SINCE                 WHY        STATE
1  m1               2023-11-14T22:13:20Z  created    non current
2  m2               2026-05-28T20:26:40Z  on demand  non current
3  m3               2026-09-21T14:13:20Z  automatic  current
-  m4               -                     pending    pending rotation
`
	if out != want {
		t.Errorf("got\n%s\nwant\n%s", out, want)
	}
	if got := f.calls("DescribeKey")[0].in["KeyId"]; got != "alias/orders" {
		t.Errorf("asked for %v", got)
	}
}

func TestShowJSON(t *testing.T) {
	withoutAWS(t)
	out, err := execute(t, newKeysCommand(), "describe-key", "orders", "--output", "json", "--endpoint", showFake(t).url)
	var k shownKey
	if err != nil || json.Unmarshal([]byte(out), &k) != nil {
		t.Fatal(err, out)
	}
	if k.Description != "for\norders" || k.CurrentMaterial != "m3" || len(k.Materials) != 4 || k.Materials[2] != (material{3, "m3", "2026-09-21T14:13:20Z", "automatic", "current", true}) {
		t.Errorf("%+v", k)
	}
}

// A key that never rotates is shown without materials.
func TestShowAsymmetric(t *testing.T) {
	withoutAWS(t)
	f := showFake(t)
	f.answer("DescribeKey", always(`{"KeyMetadata":{"KeyId":"k1","Arn":"arn:k1","KeySpec":"RSA_2048","Origin":"AWS_KMS","KeyState":"PendingDeletion","DeletionDate":1800000000}}`))
	f.answer("ListKeyRotations", fails("UnsupportedOperationException", ""))
	out, err := execute(t, newKeysCommand(), "show", "k", "--endpoint", f.url)
	if err != nil || strings.Contains(out, "KEY MATERIAL") || !strings.Contains(out, "Rotation      n/a\n") || !strings.Contains(out, "Deletion      2027-01-15T08:00:00Z\n") {
		t.Errorf("%v\n%s", err, out)
	}
	_, err = execute(t, newKeysCommand(), "versions", "k", "--endpoint", f.url)
	if err == nil || err.Error() != "UnsupportedOperationException: a RSA_2048 key has one key material for life" || hintFor(err) == "" {
		t.Errorf("versions: %v", err)
	}
}

func TestShowErrors(t *testing.T) {
	withoutAWS(t)
	f := showFake(t)
	f.answer("ListAliases", fails("AccessDeniedException", "no"))
	if _, err := execute(t, newKeysCommand(), "show", "k", "--endpoint", f.url); err == nil || !strings.HasPrefix(err.Error(), "ListAliases: AccessDenied") {
		t.Errorf("%v", err)
	}
	f.answer("DescribeKey", fails("NotFoundException", "Alias arn:x is not found."))
	_, err := execute(t, newKeysCommand(), "show", "k", "--endpoint", f.url)
	if err == nil || err.Error() != "DescribeKey: NotFoundException: Alias arn:x is not found." || !strings.Contains(hintFor(err), "keyturn keys list") {
		t.Errorf("%v, %q", err, hintFor(err))
	}
	f.answer("DescribeKey", always(`{}`))
	if _, err := execute(t, newKeysCommand(), "show", "k", "--endpoint", f.url); err == nil {
		t.Error("an answer without a key is no error")
	}
}

func TestVersions(t *testing.T) {
	withoutAWS(t)
	f := showFake(t)
	out, err := execute(t, newKeysCommand(), "list-key-versions", "orders", "--endpoint", f.url)
	want := `VERSION  KEY MATERIAL ID  SINCE                 TYPE       CURRENT
1        m1               2023-11-14T22:13:20Z  created    no
2        m2               2026-05-28T20:26:40Z  on demand  no
3        m3               2026-09-21T14:13:20Z  automatic  yes
-        m4               -                     pending    no
`
	if out != want || err != nil {
		t.Errorf("%v, got\n%s\nwant\n%s", err, out, want)
	}
	out, err = execute(t, newKeysCommand(), "versions", "orders", "--endpoint", f.url, "--output", "json")
	var list []material
	if err != nil || json.Unmarshal([]byte(out), &list) != nil || len(list) != 4 || list[0].Version != 1 || list[3].Version != 0 {
		t.Errorf("%v\n%s", err, out)
	}
}
