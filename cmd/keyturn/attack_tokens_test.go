package main

import (
	"crypto/fips140"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base32"
	"encoding/base64"
	"encoding/binary"
	"encoding/pem"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsiam "github.com/aws/aws-sdk-go-v2/service/iam"
	awskms "github.com/aws/aws-sdk-go-v2/service/kms"
	awssts "github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/keyturn/keyturn/internal/oidc/discovery"
	"github.com/keyturn/keyturn/internal/oidc/oidctest"
	"github.com/keyturn/keyturn/internal/throttle"
)

// TestAttackWebIdentity brings tokens of OpenID Connect providers that are not what they seem. Who brings one is known only once it has
// been verified, so what is wrong with a token is in the security log; a good one with the wrong claims is in the audit log.
func TestAttackWebIdentity(t *testing.T) {
	issuer, rogue := oidctest.New(t, "/cluster"), oidctest.New(t, "/cluster")
	f := newBattlefield(t, func(c *appConfig) {
		c.WebIdentity = &discovery.Config{AllowPrivate: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, Roots: issuer.Roots()}
	})
	ctx, admin := t.Context(), f.iam(victimRoot, "setup", nil)
	if _, err := admin.CreateOpenIDConnectProvider(ctx, &awsiam.CreateOpenIDConnectProviderInput{Url: &issuer.URL, ClientIDList: []string{"sts.amazonaws.com"}}); err != nil {
		t.Fatal(err)
	}
	name := strings.TrimPrefix(issuer.URL, "https://")
	role := f.role(t, "pod", `"Principal":{"Federated":"arn:aws:iam::`+victim+`:oidc-provider/`+name+`"},"Action":"sts:AssumeRoleWithWebIdentity",`+
		`"Condition":{"StringEquals":{"`+name+`:sub":"system:serviceaccount:app:writer"}}`, `"Action":"kms:Encrypt","Resource":"*"`)
	now := time.Now()
	claims := func(more map[string]any) map[string]any {
		all := map[string]any{"sub": "system:serviceaccount:app:writer"}
		for k, v := range more {
			all[k] = v
		}
		return issuer.Claims(now, "sts.amazonaws.com", all)
	}
	assume := func(app, token, arn string) error {
		f.secret(token)
		_, err := f.sts(aws.Credentials{}, app, nil).AssumeRoleWithWebIdentity(ctx, &awssts.AssumeRoleWithWebIdentityInput{
			RoleArn: &arn, RoleSessionName: aws.String("pod-1"), WebIdentityToken: &token,
		})
		return err
	}
	good := issuer.Sign(t, "RS256", "rsa", claims(nil))
	if err := assume("setup", good, role); err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(good, ".")
	public := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: issuer.KeySet()})
	const bad, denied = "InvalidIdentityToken", "AccessDenied"
	for app, token := range map[string]string{
		"alg-none":             oidctest.Raw(`{"alg":"none"}`, payload(t, parts[1]), nil),
		"alg-none-with-kid":    oidctest.Raw(`{"alg":"none","kid":"rsa"}`, payload(t, parts[1]), nil),
		"hmac-with-public-key": oidctest.SignWith(t, public, "HS256", map[string]any{"kid": "rsa"}, claims(nil)),
		"wrong-audience":       issuer.Sign(t, "RS256", "rsa", issuer.Claims(now, "another", nil)),
		"unknown-issuer":       rogue.Sign(t, "RS256", "rsa", claims(map[string]any{"iss": rogue.URL})),
		"issuer-with-a-slash":  issuer.Sign(t, "RS256", "rsa", claims(map[string]any{"iss": issuer.URL + "/"})),
		"key-of-the-token":     oidctest.SignWith(t, rogue.Key("p256"), "ES256", map[string]any{"kid": "p256", "jku": rogue.URL + "/keys"}, claims(nil)),
		"altered-payload":      parts[0] + "." + strings.Split(issuer.Sign(t, "RS256", "rsa", claims(map[string]any{"sub": "root"})), ".")[1] + "." + parts[2],
	} {
		f.refused(t, app, bad, false, assume(app, token, role))
	}
	if n := rogue.Connections.Load(); n != 0 {
		t.Errorf("%d connections to where only tokens point", n)
	}
	old := issuer.Sign(t, "RS256", "rsa", claims(map[string]any{"exp": now.Add(-time.Hour).Unix(), "iat": now.Add(-2 * time.Hour).Unix()}))
	if code := apiCode(assume("expired-token", old, role)); code != "ExpiredTokenException" {
		t.Errorf("an expired token: %s", code)
	}
	f.expect = append(f.expect, attack{"expired-token", "ExpiredIdentityToken", false})
	f.refused(t, "another-subject", denied, true, assume("another-subject", issuer.Sign(t, "RS256", "rsa", claims(map[string]any{"sub": "system:serviceaccount:app:reader"})), role))
	f.refused(t, "role-that-is-not-there", denied, true, assume("role-that-is-not-there", good, role+"x"))
	users := f.role(t, "users", `"Principal":{"AWS":"`+victim+`"},"Action":"sts:AssumeRole"`, `"Action":"*","Resource":"*"`)
	f.refused(t, "role-for-users", denied, true, assume("role-for-users", good, users))
	f.inspect(t)
}

// TestAttackWithPublicTokens floods with tokens that anybody can have of a provider that serves everybody: neither the calls of the account that
// trusts the provider nor its audit log suffer.
func TestAttackWithPublicTokens(t *testing.T) {
	issuer := oidctest.New(t, "/public")
	f := newBattlefield(t, func(c *appConfig) {
		c.WebIdentity = &discovery.Config{AllowPrivate: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, Roots: issuer.Roots()}
		var err error
		c.Quotas, err = throttle.New(throttle.Config{
			Rates: map[throttle.Class]float64{throttle.STS: 3, throttle.WebIdentity: 2}, Now: func() time.Duration { return 0 },
		})
		if err != nil {
			t.Fatal(err)
		}
	})
	ctx := t.Context()
	if _, err := f.iam(victimRoot, "setup", nil).CreateOpenIDConnectProvider(ctx, &awsiam.CreateOpenIDConnectProviderInput{Url: &issuer.URL, ClientIDList: []string{"sts.amazonaws.com"}}); err != nil {
		t.Fatal(err)
	}
	token := issuer.Sign(t, "RS256", "rsa", issuer.Claims(time.Now(), "sts.amazonaws.com", map[string]any{"sub": "repo:mallory/x"}))
	for i := range 10 {
		app, code := fmt.Sprint("flood-", i), "AccessDenied"
		if i >= 2 {
			code = "Throttling"
		}
		_, err := f.sts(aws.Credentials{}, app, nil).AssumeRoleWithWebIdentity(ctx, &awssts.AssumeRoleWithWebIdentityInput{
			RoleArn: aws.String("arn:aws:iam::" + victim + ":role/any"), RoleSessionName: aws.String("flood"), WebIdentityToken: &token,
		})
		f.refused(t, app, code, i < 2, err)
	}
	if _, err := f.sts(victimRoot, "setup", nil).GetCallerIdentity(ctx, &awssts.GetCallerIdentityInput{}); err != nil {
		t.Errorf("the account's own call: %v", err)
	}
	f.inspect(t)
	segments, err := filepath.Glob(filepath.Join(f.dir, auditDir, "audit-*.jsonl"))
	if err != nil || len(segments) != 1 {
		t.Fatalf("%d audit segments, %v", len(segments), err)
	}
	if text, err := os.ReadFile(segments[0]); err != nil || strings.Count(string(text), `"eventName":"AssumeRoleWithWebIdentity"`) != 2 {
		t.Errorf("the flood is in the audit log, %v", err)
	}
}

// payload is the second part of a token, decoded.
func payload(t *testing.T, part string) string {
	t.Helper()
	text, err := base64.RawURLEncoding.DecodeString(part)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestAttackCodes brings codes of an MFA device that are not the user's to give, or not any more.
func TestAttackCodes(t *testing.T) {
	if fips140.Enforced() {
		t.Skip("codes are HMAC-SHA-1, which this mode has not")
	}
	f := newBattlefield(t)
	ctx, admin := t.Context(), f.iam(victimRoot, "setup", nil)
	ann, bob := f.user(t, "ann", `"Action":"kms:*","Resource":"*"`), f.user(t, "bob", `"Action":"kms:*","Resource":"*"`)
	device, err := admin.CreateVirtualMFADevice(ctx, &awsiam.CreateVirtualMFADeviceInput{VirtualMFADeviceName: aws.String("anns-phone")})
	if err != nil {
		t.Fatal(err)
	}
	serial := device.VirtualMFADevice.SerialNumber
	f.secret(string(device.VirtualMFADevice.Base32StringSeed))
	// The server's time stands in the middle of a step, so that none ends while the test runs.
	f.ahead.Store(int64(15*time.Second - time.Duration(time.Now().UnixNano())%(30*time.Second)))
	step := time.Now().Add(time.Duration(f.ahead.Load())).Unix() / 30
	code := func(n int64) *string {
		return aws.String(code(t, string(device.VirtualMFADevice.Base32StringSeed), step+n))
	}
	if _, err := admin.EnableMFADevice(ctx, &awsiam.EnableMFADeviceInput{UserName: aws.String("ann"), SerialNumber: serial, AuthenticationCode1: code(-1), AuthenticationCode2: code(0)}); err != nil {
		t.Fatal(err)
	}
	session := func(creds aws.Credentials, app string, code *string) (*awssts.GetSessionTokenOutput, error) {
		return f.sts(creds, app, nil).GetSessionToken(ctx, &awssts.GetSessionTokenInput{SerialNumber: serial, TokenCode: code})
	}
	const denied = "AccessDenied"
	_, err = session(ann, "code-used-to-enable", code(0))
	f.refused(t, "code-used-to-enable", denied, true, err)
	_, err = session(bob, "anothers-device", code(1))
	f.refused(t, "anothers-device", denied, true, err)

	// The same code at once, eight times: it is good for one.
	var tries sync.WaitGroup
	results := make([]error, 8)
	for i := range results {
		tries.Go(func() { _, results[i] = session(ann, "code-at-once", code(1)) })
	}
	tries.Wait()
	won := 0
	for _, err := range results {
		if err == nil {
			won++
		} else {
			f.refused(t, "code-at-once", denied, true, err)
		}
	}
	if won > 1 {
		t.Errorf("a code was good for %d sessions", won)
	}
	_, err = session(ann, "code-replayed", code(1))
	f.refused(t, "code-replayed", denied, true, err)

	// Without a code, what a key policy wants one for.
	key := f.key(t, `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"`+victim+`"},"Action":"kms:*","Resource":"*"},`+
		`{"Effect":"Deny","Principal":"*","Action":"kms:ScheduleKeyDeletion","Resource":"*","Condition":{"BoolIfExists":{"aws:MultiFactorAuthPresent":"false"}}}]}`)
	_, err = f.kms(ann, "deletion-without-a-code", nil).ScheduleKeyDeletion(ctx, &awskms.ScheduleKeyDeletionInput{KeyId: &key})
	f.refused(t, "deletion-without-a-code", "AccessDeniedException", true, err)
	for i := range 6 {
		app := fmt.Sprint("guess-", i)
		_, err = session(ann, app, aws.String(fmt.Sprintf("%06d", i)))
		f.refused(t, app, denied, true, err)
	}
	_, err = session(ann, "right-code-while-locked", code(1))
	f.refused(t, "right-code-while-locked", denied, true, err)
	f.inspect(t)
}

// code is the code of a time step (RFC 6238).
func code(t *testing.T, seed string, step int64) string {
	t.Helper()
	secret, err := base32.StdEncoding.DecodeString(seed)
	if err != nil {
		t.Fatal(err)
	}
	mac := hmac.New(sha1.New, secret)
	binary.Write(mac, binary.BigEndian, step) //nolint:errcheck // a hash takes everything
	sum := mac.Sum(nil)
	n := binary.BigEndian.Uint32(sum[sum[len(sum)-1]&15:]) & 0x7fffffff
	return fmt.Sprintf("%06d", n%1_000_000)
}
