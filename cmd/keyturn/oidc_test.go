package main

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	awsiam "github.com/aws/aws-sdk-go-v2/service/iam"
	awskms "github.com/aws/aws-sdk-go-v2/service/kms"
	awssts "github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/keyturn/keyturn/internal/oidc/discovery"
	"github.com/keyturn/keyturn/internal/oidc/oidctest"
	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/service"
)

const oidcAccount = "111122223333"

// oidcRole puts a role that a provider's tokens may assume, which may use KMS.
func oidcRole(t *testing.T, s *testServer, issuer string) {
	t.Helper()
	r := &record.Role{
		Principal: record.Principal{Account: oidcAccount, ID: "AROAEXAMPLE", Name: "app", Path: "/", Inline: []record.Inline{
			{Name: "kms", Document: `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["kms:CreateKey","kms:Encrypt","kms:Decrypt"],"Resource":"*"}]}`},
		}},
		Trust: `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"sts:AssumeRoleWithWebIdentity","Principal":{"Federated":"arn:aws:iam::` +
			oidcAccount + `:oidc-provider/` + strings.TrimPrefix(issuer, "https://") + `"}}]}`,
		MaxSeconds: 3600,
	}
	op := service.Def[record.Role, service.None]{Name: "PutRole", Kind: service.Internal, Plan: func(tx *service.Tx, r *record.Role, _ []service.Target) (*service.None, error) {
		for _, r := range []record.Record{&record.Name{Account: oidcAccount, Kind: record.RoleKind, Name: r.Name, ID: r.ID}, r} {
			if _, err := service.Lookup[record.Record](tx, r.StoreKey()); err != nil {
				return nil, err
			}
			tx.Put(r)
		}
		return &service.None{}, nil
	}}.Op("iam")
	if _, err := s.app.pipeline.DoInternal(t.Context(), op, record.Owner{Account: oidcAccount}, time.Now(), 0, r); err != nil {
		t.Fatal(err)
	}
}

// oidcToken is a token in a file, as pods have it.
type oidcToken string

func (o oidcToken) GetIdentityToken() ([]byte, error) { return []byte(o), nil }

// TestOIDCFederation goes the way of a pod with the AWS SDK: a provider made in IAM, a token exchanged without a signature, then KMS.
func TestOIDCFederation(t *testing.T) {
	issuer := oidctest.New(t, "/cluster")
	dir := t.TempDir()
	s := startDev(t, dir, func(c *appConfig) {
		c.WebIdentity = &discovery.Config{AllowPrivate: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, Roots: issuer.Roots()}
	})
	root := credentials.NewStaticCredentialsProvider(oidcAccount, "secret-of-the-client", "")
	iam := awsiam.New(awsiam.Options{BaseEndpoint: &s.URL, Region: "us-east-1", Credentials: root, RetryMaxAttempts: 1})
	made, err := iam.CreateOpenIDConnectProvider(t.Context(), &awsiam.CreateOpenIDConnectProviderInput{Url: &issuer.URL, ClientIDList: []string{"sts.amazonaws.com"}})
	if err != nil {
		t.Fatal(err)
	}
	oidcRole(t, s, issuer.URL)
	sts := awssts.New(awssts.Options{BaseEndpoint: &s.URL, Region: "eu-central-1", RetryMaxAttempts: 1})
	now := time.Now()
	good := issuer.Sign(t, "RS256", "rsa", issuer.Claims(now, "sts.amazonaws.com", nil))
	provider := stscreds.NewWebIdentityRoleProvider(sts, "arn:aws:iam::"+oidcAccount+":role/app", oidcToken(good), func(o *stscreds.WebIdentityRoleOptions) { o.RoleSessionName = "pod-1" })
	kms := awskms.New(awskms.Options{BaseEndpoint: &s.URL, Region: "eu-central-1", Credentials: aws.NewCredentialsCache(provider), RetryMaxAttempts: 1})
	key, err := kms.CreateKey(t.Context(), &awskms.CreateKeyInput{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := kms.Encrypt(t.Context(), &awskms.EncryptInput{KeyId: key.KeyMetadata.KeyId, Plaintext: []byte("x")}); err != nil {
		t.Error(err)
	}
	var denied smithy.APIError
	if _, err := kms.ListKeys(t.Context(), &awskms.ListKeysInput{}); !errors.As(err, &denied) || denied.ErrorCode() != "AccessDeniedException" {
		t.Errorf("ListKeys: %v", err)
	}
	// What is refused, as clients see it.
	for name, c := range map[string]struct {
		token, role, code string
		status            int
	}{
		"expired":        {issuer.Sign(t, "RS256", "rsa", issuer.Claims(now, "sts.amazonaws.com", map[string]any{"exp": now.Add(-time.Hour).Unix(), "iat": now.Add(-2 * time.Hour).Unix()})), "app", "ExpiredTokenException", 400},
		"audience":       {issuer.Sign(t, "RS256", "rsa", issuer.Claims(now, "x", nil)), "app", "InvalidIdentityToken", 400},
		"no such role":   {good, "nobody", "AccessDenied", 403},
		"odd issuer":     {oidctest.Raw(`{"alg":"RS256","kid":"rsa"}`, `{"iss":"https://<a>&\u0000","sub":"s","aud":"a","exp":1,"iat":1}`, []byte("x")), "app", "InvalidIdentityToken", 400},
		"not even valid": {"x", "app", "ValidationError", 400},
	} {
		arn := "arn:aws:iam::" + oidcAccount + ":role/" + c.role
		_, err := sts.AssumeRoleWithWebIdentity(t.Context(), &awssts.AssumeRoleWithWebIdentityInput{RoleArn: &arn, RoleSessionName: aws.String("pod-1"), WebIdentityToken: &c.token})
		var e smithy.APIError
		var status *smithyhttp.ResponseError
		if !errors.As(err, &e) || e.ErrorCode() != c.code || !errors.As(err, &status) || status.HTTPStatusCode() != c.status {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := iam.DeleteOpenIDConnectProvider(t.Context(), &awsiam.DeleteOpenIDConnectProviderInput{OpenIDConnectProviderArn: made.OpenIDConnectProviderArn}); err != nil {
		t.Fatal(err)
	}
	if _, err := provider.Retrieve(t.Context()); err == nil || !strings.Contains(err.Error(), "No OpenIDConnect provider found in your account for "+issuer.URL) {
		t.Errorf("after the provider was deleted: %v", err)
	}
	s.stop()
	security, err := os.ReadFile(filepath.Join(dir, securityFile))
	if err != nil {
		t.Fatal(err)
	}
	for _, reason := range []string{"ExpiredIdentityToken", "InvalidIdentityToken"} {
		if !strings.Contains(string(security), reason) {
			t.Errorf("the security log has no %s", reason)
		}
	}
	if strings.Contains(string(security), strings.Split(good, ".")[1]) {
		t.Error("the security log has a token")
	}
}

// TestOIDCFile runs keyturn dev with keys in a file: the issuer is never asked.
func TestOIDCFile(t *testing.T) {
	issuer := oidctest.New(t, "")
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	write("keys.json", string(issuer.KeySet()))
	file := write("web.yaml", "issuers:\n  - {issuer: "+issuer.URL+", keys_file: keys.json}\n")
	ready := filepath.Join(dir, "ready")
	stop := runCommand(t, "dev", "--in-memory", "--listen", "127.0.0.1:0", "--web-identity", file, "--ready-file", ready)
	endpoint := waitEndpoint(t, ready)
	iam := awsiam.New(awsiam.Options{BaseEndpoint: &endpoint, Region: "us-east-1", Credentials: credentials.NewStaticCredentialsProvider(oidcAccount, "secret-of-the-client", "")})
	if _, err := iam.CreateOpenIDConnectProvider(t.Context(), &awsiam.CreateOpenIDConnectProviderInput{Url: &issuer.URL, ClientIDList: []string{"a"}}); err != nil {
		t.Fatal(err)
	}
	// There is no role, which only somebody with a verified token is told as a denial.
	form := url.Values{
		"Action": {"AssumeRoleWithWebIdentity"}, "Version": {"2011-06-15"}, "RoleArn": {"arn:aws:iam::" + oidcAccount + ":role/app"}, "RoleSessionName": {"a1"},
		"WebIdentityToken": {issuer.Sign(t, "ES256", "p256", issuer.Claims(time.Now(), "a", nil))},
	}
	for _, c := range []struct{ token, want string }{
		{form.Get("WebIdentityToken"), "<Message>Not authorized to perform sts:AssumeRoleWithWebIdentity</Message>"},
		{oidctest.New(t, "").Sign(t, "ES256", "p256", issuer.Claims(time.Now(), "a", nil)), "<Code>InvalidIdentityToken</Code>"},
	} {
		form.Set("WebIdentityToken", c.token)
		req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, endpoint, strings.NewReader(form.Encode()))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		if _, body := do(t, req); !strings.Contains(body, c.want) {
			t.Errorf("%s\nwant %s", body, c.want)
		}
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
	if n := issuer.Connections.Load(); n != 0 {
		t.Errorf("%d connections", n)
	}
}

// TestOIDCConfig reads configurations, and refuses those that are wrong.
func TestOIDCConfig(t *testing.T) {
	issuer := oidctest.New(t, "")
	dir := t.TempDir()
	for name, text := range map[string][]byte{"keys.json": issuer.KeySet(), "ca.pem": issuer.CertificatePEM(), "empty.json": []byte(`{"keys":[]}`)} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for text, want := range map[string]string{
		"{}": "",
		"issuers: [{issuer: 'https://a.example', keys_file: keys.json}]\nca_file: ca.pem\nallow_private: [10.0.0.0/8]":        "",
		"issuers: [{issuer: 'http://a.example', keys_file: keys.json}]":                                                       "must be an https URL",
		"issuers: [{issuer: 'https://a.example?b', keys_file: keys.json}]":                                                    "must be an https URL",
		"issuers: [{issuer: 'https://a.example'}]":                                                                            "keys_file is missing",
		"issuers: [{issuer: 'https://a.example', keys_file: none.json}]":                                                      "none.json",
		"issuers: [{issuer: 'https://a.example', keys_file: empty.json}]":                                                     "has no key",
		"issuers: [{issuer: 'https://a.example', keys_file: keys.json}, {issuer: 'https://a.example', keys_file: keys.json}]": "is there twice",
		"allow_private: [10.0.0.1/8]":                                                                                         "bits set beyond",
		"allow_private: [loopback]":                                                                                           "allow_private",
		"ca_file: keys.json":                                                                                                  "no certificate",
		"issuer: []":                                                                                                          "issuer",
	} {
		path := filepath.Join(dir, "web.yaml")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := devWebIdentity(path)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v", text, err)
		}
		// This machine may be asked only by who says whom to trust on it.
		if err == nil && (len(c.AllowPrivate) == 3) != strings.Contains(text, "ca_file") {
			t.Errorf("%s: %v", text, c.AllowPrivate)
		}
	}
	if c, err := devWebIdentity(""); err != nil || len(c.AllowPrivate) != 0 || c.Roots != nil {
		t.Errorf("without a file: %+v, %v", c, err)
	}
	server := filepath.Join(dir, "server.yaml")
	text := "listen: 127.0.0.1:0\ndata_dir: data\nplain_http: true\nregions: [eu-central-1]\nseal: {key_file: seal.key}\n" +
		"web_identity:\n  ca_file: ca.pem\n  issuers: [{issuer: 'https://a.example', keys_file: keys.json}]\n"
	if err := os.WriteFile(server, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	loaded, err := loadConfig(server)
	if err != nil {
		t.Fatal(err)
	}
	if c, err := loaded.WebIdentity.resolve(); err != nil || len(c.Static) != 1 || c.Roots == nil || len(c.AllowPrivate) != 0 {
		t.Errorf("server: %+v, %v", c, err)
	}
	regions := regionsOf(t, []string{"eu-central-1", "cn-north-1", "us-east-1"})
	for partition, want := range map[string]string{"aws": "eu-central-1", "aws-cn": "", "aws-us-gov": "", "": ""} {
		if got := regions.ofPartition(partition); got != want {
			t.Errorf("region of %q: %q, want %q", partition, got, want)
		}
	}
	if got := regionsOf(t, nil).ofPartition("aws-cn"); got != "cn-north-1" { // keyturn dev
		t.Errorf("region of aws-cn by default: %q", got)
	}
}
