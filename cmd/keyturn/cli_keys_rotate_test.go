package main

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/aws/smithy-go"
)

// slowClient is a service that rotates in the background.
type slowClient struct {
	takes   time.Duration
	started time.Time
	list    error
}

func (c *slowClient) RotateKeyOnDemand(context.Context, *kms.RotateKeyOnDemandInput, ...func(*kms.Options)) (*kms.RotateKeyOnDemandOutput, error) {
	c.started = time.Now()
	return &kms.RotateKeyOnDemandOutput{}, nil
}

func (c *slowClient) DescribeKey(context.Context, *kms.DescribeKeyInput, ...func(*kms.Options)) (*kms.DescribeKeyOutput, error) {
	id := "m1"
	if time.Since(c.started) >= c.takes {
		id = "m2"
	}
	return &kms.DescribeKeyOutput{KeyMetadata: &types.KeyMetadata{CurrentKeyMaterialId: &id}}, nil
}

func (c *slowClient) ListKeyRotations(context.Context, *kms.ListKeyRotationsInput, ...func(*kms.Options)) (*kms.ListKeyRotationsOutput, error) {
	return &kms.ListKeyRotationsOutput{Rotations: []types.RotationsListEntry{{RotationType: types.RotationTypeOnDemand}, {RotationType: types.RotationTypeAutomatic}}}, c.list
}

func TestRotateWaits(t *testing.T) {
	for _, tt := range []struct {
		takes, waited time.Duration
		current       string
	}{
		{0, 0, "m2"},
		{1200 * time.Millisecond, 1500 * time.Millisecond, "m2"},
		{time.Hour, rotationWait, ""},
	} {
		synctest.Test(t, func(t *testing.T) {
			c := &slowClient{takes: tt.takes}
			start := time.Now()
			r, err := rotateKey(t.Context(), c, &types.KeyMetadata{KeyId: aws.String("k1"), Arn: aws.String("arn:k1"), CurrentKeyMaterialId: aws.String("m1")})
			if err != nil {
				t.Fatal(err)
			}
			if r.Previous != "m1" || r.Current != tt.current || r.InProgress != (tt.current == "") || *r.OnDemandUsed != 1 {
				t.Errorf("takes %v: %+v", tt.takes, r)
			}
			if got := time.Since(start); got != tt.waited {
				t.Errorf("takes %v: waited %v, want %v", tt.takes, got, tt.waited)
			}
		})
	}
}

func TestRotateInterrupted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := rotateKey(ctx, &slowClient{takes: time.Hour}, &types.KeyMetadata{KeyId: aws.String("k1"), Arn: aws.String("arn:k1"), CurrentKeyMaterialId: aws.String("m1")})
		if err == nil || !strings.Contains(err.Error(), "the rotation was accepted") {
			t.Error(err)
		}
	})
}

// Not being allowed to list rotations does not make a rotation fail.
func TestRotateUncounted(t *testing.T) {
	c := &slowClient{list: &smithy.GenericAPIError{Code: "AccessDeniedException"}}
	r, err := rotateKey(t.Context(), c, &types.KeyMetadata{KeyId: aws.String("k1"), Arn: aws.String("arn:k1")})
	if err != nil || r.OnDemandUsed != nil || r.Current != "m2" {
		t.Errorf("%+v, %v", r, err)
	}
	var out strings.Builder
	if err := printRotated(&out, r); err != nil || !strings.Contains(out.String(), "unknown of 25 used") {
		t.Errorf("%v\n%s", err, out.String())
	}
}

func TestRotate(t *testing.T) {
	withoutAWS(t)
	rotated := false
	f := newFakeKMS(t, map[string]func(map[string]any) (int, string){
		"DescribeKey": func(map[string]any) (int, string) {
			current := "m1"
			if rotated {
				current = "m2"
			}
			return http.StatusOK, `{"KeyMetadata":{"KeyId":"k1","Arn":"arn:k1","CurrentKeyMaterialId":"` + current + `"}}`
		},
		"RotateKeyOnDemand": func(map[string]any) (int, string) {
			rotated = true
			return http.StatusOK, `{"KeyId":"arn:k1"}`
		},
		"ListKeyRotations": always(`{"Rotations":[{"RotationType":"ON_DEMAND"}]}`),
	})
	out, err := execute(t, newKeysCommand(), "rotate", "orders", "--endpoint", f.url)
	want := `Key ID               k1
ARN                  arn:k1
Previous material    m1
Current material     m2
On-demand rotations  1 of 25 used
`
	if out != want || err != nil {
		t.Errorf("%v, got\n%s\nwant\n%s", err, out, want)
	}
	if got := f.calls("RotateKeyOnDemand")[0].in["KeyId"]; got != "k1" {
		t.Errorf("rotated %v, which no alias may name", got)
	}
	rotated = false
	out, err = execute(t, newKeysCommand(), "rotate", "orders", "--output", "json", "--endpoint", f.url)
	var r rotatedKey
	if err != nil || json.Unmarshal([]byte(out), &r) != nil || r.Current != "m2" || r.InProgress || r.OnDemandMax != 25 {
		t.Errorf("%v\n%s", err, out)
	}
	for code, hint := range map[string]string{"UnsupportedOperationException": "symmetric", "LimitExceededException": "automatic", "DisabledException": ""} {
		f.answer("RotateKeyOnDemand", fails(code, ""))
		_, err := execute(t, newKeysCommand(), "rotate", "orders", "--endpoint", f.url)
		if err == nil || err.Error() != "RotateKeyOnDemand: "+code || !strings.Contains(hintFor(err), hint) || (hint == "") != (hintFor(err) == "") {
			t.Errorf("%s: %v, hint %q", code, err, hintFor(err))
		}
	}
}

// What happens after the rotation was accepted must not read as if there had been none.
func TestRotateUnseen(t *testing.T) {
	withoutAWS(t)
	f := newFakeKMS(t, map[string]func(map[string]any) (int, string){})
	f.answer("RotateKeyOnDemand", always(`{"KeyId":"arn:k1"}`))
	f.answer("DescribeKey", func(in map[string]any) (int, string) {
		if len(f.calls("RotateKeyOnDemand")) > 0 {
			return fails("ThrottlingException", "Rate exceeded")(in)
		}
		return http.StatusOK, `{"KeyMetadata":{"KeyId":"k1","Arn":"arn:k1","CurrentKeyMaterialId":"m1"}}`
	})
	_, err := execute(t, newKeysCommand(), "rotate", "orders", "--endpoint", f.url)
	want := "the rotation was accepted, but what became of it could not be read: DescribeKey: ThrottlingException: Rate exceeded"
	if err == nil || err.Error() != want || !strings.Contains(hintFor(err), "try again") {
		t.Errorf("%v, hint %q", err, hintFor(err))
	}
	if n := len(f.calls("RotateKeyOnDemand")); n != 1 {
		t.Errorf("rotated %d times", n)
	}
}
