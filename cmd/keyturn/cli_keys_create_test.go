package main

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
)

func createFake(t *testing.T) *fakeKMS {
	return newFakeKMS(t, map[string]func(map[string]any) (int, string){
		"CreateKey":            always(`{"KeyMetadata":{"KeyId":"k1","Arn":"arn:k1","KeySpec":"SYMMETRIC_DEFAULT","Origin":"AWS_KMS"}}`),
		"EnableKeyRotation":    always(``),
		"CreateAlias":          always(``),
		"GetKeyRotationStatus": always(`{"KeyRotationEnabled":true,"RotationPeriodInDays":180,"NextRotationDate":1800000000}`),
	})
}

func TestCreate(t *testing.T) {
	withoutAWS(t)
	f := createFake(t)
	out, err := execute(t, newKeysCommand(), "create", "--alias", "orders", "--description", "for orders", "--tag", "team=payments", "--tag", "x=", "--rotate-every", "180d", "--endpoint", f.url)
	if err != nil {
		t.Fatal(err)
	}
	want := `Key ID         k1
ARN            arn:k1
Alias          alias/orders
Rotation       180d
Next rotation  2027-01-15T08:00:00Z
`
	if out != want {
		t.Errorf("got\n%s\nwant\n%s", out, want)
	}
	for op, want := range map[string]string{
		"CreateKey":         `{"Description":"for orders","Tags":[{"TagKey":"team","TagValue":"payments"},{"TagKey":"x","TagValue":""}]}`,
		"EnableKeyRotation": `{"KeyId":"k1","RotationPeriodInDays":180}`,
		"CreateAlias":       `{"AliasName":"alias/orders","TargetKeyId":"k1"}`,
	} {
		calls := f.calls(op)
		if len(calls) != 1 {
			t.Fatalf("%s was called %d times", op, len(calls))
		}
		if got, _ := json.Marshal(calls[0].in); string(got) != want {
			t.Errorf("%s: got %s, want %s", op, got, want)
		}
	}
}

func TestCreateDefaults(t *testing.T) {
	withoutAWS(t)
	f := createFake(t)
	out, err := execute(t, newKeysCommand(), "create-key", "--output", "json", "--endpoint", f.url)
	if want := "{\n  \"keyId\": \"k1\",\n  \"arn\": \"arn:k1\",\n  \"rotation\": {\n    \"enabled\": false\n  }\n}\n"; out != want || err != nil {
		t.Errorf("%v, %s", err, out)
	}
	if len(f.requests) != 1 {
		t.Errorf("%d requests, want only CreateKey", len(f.requests))
	}
	if _, err := execute(t, newKeysCommand(), "create", "--enable-key-rotation", "--endpoint", f.url); err != nil {
		t.Fatal(err)
	}
	if calls := f.calls("EnableKeyRotation"); len(calls) != 1 || calls[0].in["RotationPeriodInDays"] != nil {
		t.Errorf("calls %v: the period is the service's to choose", calls)
	}
}

// When a later step fails, the key is there: its ID is printed, and the error tells what is missing.
func TestCreateIncomplete(t *testing.T) {
	for _, tt := range []struct {
		fails      string
		args       []string
		err        string
		hint       string
		out        []string
		notCreated string // an operation that must not be called any more
	}{
		{
			fails: "EnableKeyRotation", args: []string{"--alias", "orders", "--rotate-every", "180d"},
			err:  "the key k1 was created, but its rotation was not enabled and its alias alias/orders was not created: OP: AccessDeniedException: no",
			hint: "to finish, call EnableKeyRotation with a period of 180 days and CreateAlias alias/orders for key k1; to undo, ScheduleKeyDeletion of it",
			out:  []string{"k1", "off"}, notCreated: "CreateAlias",
		},
		{
			fails: "CreateAlias", args: []string{"--alias", "orders", "--enable-key-rotation"},
			err:  "the key k1 was created and rotates, but its alias alias/orders was not created: OP: AccessDeniedException: no",
			hint: "to finish, call CreateAlias alias/orders for key k1; to undo, ScheduleKeyDeletion of it",
			out:  []string{"k1", "on"},
		},
		{
			fails: "GetKeyRotationStatus", args: []string{"--alias", "orders", "--rotate-every", "26w"},
			err: "all is done, but the date of the next rotation could not be read: OP: AccessDeniedException: no",
			out: []string{"k1", "182d", "alias/orders"},
		},
		{fails: "CreateKey", args: []string{"--alias", "orders"}, err: "OP: AccessDeniedException: no", notCreated: "CreateAlias"},
	} {
		t.Run(tt.fails, func(t *testing.T) {
			withoutAWS(t)
			f := createFake(t)
			f.answer(tt.fails, fails("AccessDeniedException", "no"))
			out, err := execute(t, newKeysCommand(), append([]string{"create", "--endpoint", f.url}, tt.args...)...)
			if want := strings.Replace(tt.err, "OP", tt.fails, 1); err == nil || err.Error() != want {
				t.Errorf("got %v\nwant %v", err, want)
			}
			if errors.As(err, new(usageError)) || !strings.Contains(hintFor(err), tt.hint) {
				t.Errorf("hint %q", hintFor(err))
			}
			for _, s := range tt.out {
				if !strings.Contains(out, s) {
					t.Errorf("the output has no %q:\n%s", s, out)
				}
			}
			if tt.out == nil && out != "" {
				t.Errorf("output %q", out)
			}
			if tt.notCreated != "" && len(f.calls(tt.notCreated)) > 0 {
				t.Errorf("%s was called", tt.notCreated)
			}
		})
	}
}

// An answer that gets lost must not make a second key.
func TestCreateIsSentOnce(t *testing.T) {
	withoutAWS(t)
	f := createFake(t)
	f.answer("CreateKey", func(map[string]any) (int, string) { return 500, `{"__type":"KMSInternalException"}` })
	if _, err := execute(t, newKeysCommand(), "create", "--endpoint", f.url); err == nil {
		t.Error("no error")
	}
	if n := len(f.calls("CreateKey")); n != 1 {
		t.Errorf("sent %d times", n)
	}
}
