package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awskms "github.com/aws/aws-sdk-go-v2/service/kms"
	awssts "github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"

	"github.com/keyturn/keyturn/internal/audit"
)

// apiCode is the error code that a client sees, "" for none.
func apiCode(err error) string {
	var e smithy.APIError
	if errors.As(err, &e) {
		return e.ErrorCode()
	}
	if err != nil {
		return err.Error()
	}
	return ""
}

func TestTrustingAccounts(t *testing.T) {
	s := startDev(t, "")
	ctx := t.Context()
	one, two := kmsClient(s.URL, "111122223333", "us-east-1"), kmsClient(s.URL, "444455556666", "us-east-1")
	k, err := one.CreateKey(ctx, &awskms.CreateKeyInput{})
	if err != nil || *k.KeyMetadata.AWSAccountId != "111122223333" {
		t.Fatalf("%+v, %v", k, err)
	}
	// Another account learns nothing, not even whether a key is there.
	missing := strings.Replace(*k.KeyMetadata.Arn, *k.KeyMetadata.KeyId, "00000000-0000-4000-8000-000000000000", 1)
	for _, arn := range []string{*k.KeyMetadata.Arn, missing} {
		if _, err := two.DescribeKey(ctx, &awskms.DescribeKeyInput{KeyId: &arn}); apiCode(err) != "AccessDeniedException" {
			t.Errorf("foreign %s: %v", arn, err)
		}
	}
	e, err := one.Encrypt(ctx, &awskms.EncryptInput{KeyId: k.KeyMetadata.KeyId, Plaintext: []byte("x")})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := two.Decrypt(ctx, &awskms.DecryptInput{CiphertextBlob: e.CiphertextBlob}); apiCode(err) != "AccessDeniedException" {
		t.Errorf("foreign ciphertext: %v", err)
	}
	other := kmsClient(s.URL, "111122223333", "eu-west-1")
	if _, err := other.Decrypt(ctx, &awskms.DecryptInput{CiphertextBlob: e.CiphertextBlob}); apiCode(err) != "AccessDeniedException" {
		t.Errorf("ciphertext of another region: %v", err)
	}
	if _, err := other.DescribeKey(ctx, &awskms.DescribeKeyInput{KeyId: k.KeyMetadata.Arn}); err == nil || !strings.Contains(err.Error(), "NotFoundException: Invalid arn us-east-1") {
		t.Errorf("ARN of another region: %v", err)
	}
	if _, err := kmsClient(s.URL, "x", "moon-west-1").ListKeys(ctx, &awskms.ListKeysInput{}); apiCode(err) != "InvalidSignatureException" {
		t.Errorf("unknown region: %v", err)
	}
	whoami, err := stsClient(s.URL, "111122223333", "secret-of-the-client").GetCallerIdentity(ctx, &awssts.GetCallerIdentityInput{})
	if err != nil || *whoami.Account != "111122223333" || *whoami.Arn != "arn:aws:iam::111122223333:root" {
		t.Errorf("identity %+v, %v", whoami, err)
	}
}

func stsClient(url, id, secret string) *awssts.Client {
	return awssts.New(awssts.Options{BaseEndpoint: &url, Region: "us-east-1", RetryMaxAttempts: 1,
		Credentials: credentials.NewStaticCredentialsProvider(id, secret, "")})
}

// alicePolicy is what alice may do, where key policies leave it to IAM.
const alicePolicy = `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":["kms:Describe*","kms:Encrypt"],"Resource":"*"}}`

// serverFiles writes a configuration with its key file, access key and certificate into a folder.
func serverFiles(t *testing.T, change func(yaml string) string) (config string) {
	t.Helper()
	dir := t.TempDir()
	writeCertificate(t, dir, "first")
	yaml := `listen: 127.0.0.1:0
data_dir: data
tls: {certificate: cert.pem, key: key.pem}
regions: [eu-central-1]
seal: {key_file: seal.key}
accounts:
  - id: "111122223333"
    access_keys:
      - {id: AKIAIOSFODNN7EXAMPLE, secret: {env: KEYTURN_TEST_SECRET}}
      - {id: AKIAI44QH8DHBEXAMPLE, secret: {file: secret}, user: alice, policies: [alice.json]}
`
	if change != nil {
		yaml = change(yaml)
	}
	for name, text := range map[string]string{"keyturn.yaml": yaml, "secret": "je7MtGbClwBF/2Zp9Utk/h3yCo8nvbEXAMPLEKEY\n", "alice.json": alicePolicy} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("KEYTURN_TEST_SECRET", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
	return filepath.Join(dir, "keyturn.yaml")
}

func writeCertificate(t *testing.T, dir, name string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{"cert.pem": {Type: "CERTIFICATE", Bytes: der}, "key.pem": {Type: "PRIVATE KEY", Bytes: keyDER}} {
		if err := os.WriteFile(filepath.Join(dir, file), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// runCommand runs the real command line in this process until stop is called, which returns its error.
func runCommand(t *testing.T, args ...string) (stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	cmd := newRootCommand()
	cmd.SetArgs(args)
	cmd.SetOut(testWriter{t})
	cmd.SetErr(testWriter{t})
	done := make(chan error, 1)
	go func() { done <- cmd.ExecuteContext(ctx) }()
	var err error
	stopped := false
	stop = func() error {
		if !stopped {
			stopped = true
			cancel()
			err = <-done
		}
		return err
	}
	t.Cleanup(func() { stop() })
	return stop
}

// runToEnd runs a command that ends by itself.
func runToEnd(t *testing.T, args ...string) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	cmd := newRootCommand()
	cmd.SetArgs(args)
	cmd.SetOut(testWriter{t})
	cmd.SetErr(testWriter{t})
	return cmd.ExecuteContext(ctx)
}

type testWriter struct{ t *testing.T }

func (w testWriter) Write(b []byte) (int, error) {
	if strings.Contains(string(b), "EXAMPLEKEY") {
		w.t.Error("a secret was printed")
	}
	return len(b), nil
}

func waitEndpoint(t *testing.T, file string) string {
	t.Helper()
	deadline := time.After(30 * time.Second)
	for poll := time.NewTicker(5 * time.Millisecond); ; {
		if b, err := os.ReadFile(file); err == nil {
			poll.Stop()
			return strings.TrimSpace(string(b))
		}
		select {
		case <-poll.C:
		case <-deadline:
			t.Fatal("the server did not get ready")
		}
	}
}

func TestServer(t *testing.T) {
	config := serverFiles(t, nil)
	dir := filepath.Dir(config)
	if err := runToEnd(t, "server", "--config", config); err == nil || !strings.Contains(err.Error(), "key file not found") {
		t.Fatalf("without its key file: %v", err)
	}
	if err := runToEnd(t, "seal", "generate", filepath.Join(dir, "seal.key")); err != nil {
		t.Fatal(err)
	}
	ready := filepath.Join(dir, "ready")
	stop := runCommand(t, "server", "--config", config, "--ready-file", ready)
	url := waitEndpoint(t, ready)

	var state *tls.ConnectionState
	client := func(id, secret, region string) *awskms.Client {
		return awskms.New(awskms.Options{BaseEndpoint: &url, Region: region, RetryMaxAttempts: 1,
			Credentials: credentials.NewStaticCredentialsProvider(id, secret, ""), HTTPClient: httpsClient(&state)})
	}
	ctx := t.Context()
	c := client("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "eu-central-1")
	k, err := c.CreateKey(ctx, &awskms.CreateKeyInput{})
	if err != nil {
		t.Fatal(err)
	}
	if state.Version != tls.VersionTLS13 || state.CurveID != tls.X25519MLKEM768 {
		t.Errorf("TLS %x with %v", state.Version, state.CurveID)
	}
	if subject := state.PeerCertificates[0].Subject.CommonName; subject != "first" {
		t.Errorf("certificate %s", subject)
	}

	for name, want := range map[string]struct {
		client *awskms.Client
		code   string
	}{
		"user":           {client("AKIAI44QH8DHBEXAMPLE", "je7MtGbClwBF/2Zp9Utk/h3yCo8nvbEXAMPLEKEY", "eu-central-1"), ""},
		"wrong secret":   {client("AKIAIOSFODNN7EXAMPLE", "je7MtGbClwBF/2Zp9Utk/h3yCo8nvbEXAMPLEKEY", "eu-central-1"), "InvalidSignatureException"},
		"unknown key":    {client("AKIAAAAAAAAAAAAAAAAA", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "eu-central-1"), "UnrecognizedClientException"},
		"account as key": {client("111122223333", "secret-of-the-client", "eu-central-1"), "UnrecognizedClientException"},
		"other region":   {client("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "us-east-1"), "InvalidSignatureException"},
	} {
		if _, err := want.client.DescribeKey(ctx, &awskms.DescribeKeyInput{KeyId: k.KeyMetadata.KeyId}); apiCode(err) != want.code {
			t.Errorf("%s: %v, want %q", name, err, want.code)
		}
	}

	// What only development has.
	req, err := http.NewRequest("POST", url, strings.NewReader(`{"Seconds":1}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-amz-json-1.1")
	req.Header.Set("X-Amz-Target", "Keyturn.AdvanceClock")
	resp, err := httpsClient(&state).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != 400 {
		t.Errorf("unsigned AdvanceClock: %d", resp.StatusCode)
	}

	// Policies decide: IAM where the key policy leaves it to IAM, and the key policy itself, from the moment it is put.
	alice := client("AKIAI44QH8DHBEXAMPLE", "je7MtGbClwBF/2Zp9Utk/h3yCo8nvbEXAMPLEKEY", "eu-central-1")
	sealed, err := alice.Encrypt(ctx, &awskms.EncryptInput{KeyId: k.KeyMetadata.KeyId, Plaintext: []byte("x")})
	if err != nil {
		t.Fatal(err)
	}
	decrypt := func() error {
		_, err := alice.Decrypt(ctx, &awskms.DecryptInput{CiphertextBlob: sealed.CiphertextBlob})
		return err
	}
	if err := decrypt(); !strings.Contains(err.Error(), "user/alice is not authorized to perform: kms:Decrypt on resource: "+*k.KeyMetadata.Arn+" because no identity-based policy allows the kms:Decrypt action") {
		t.Errorf("what no policy allows: %v", err)
	}
	p, err := c.GetKeyPolicy(ctx, &awskms.GetKeyPolicyInput{KeyId: k.KeyMetadata.KeyId})
	if err != nil {
		t.Fatal(err)
	}
	put := func(statement string) {
		t.Helper()
		text := strings.Replace(*p.Policy, "} ]", "}, "+statement+" ]", 1)
		if _, err := c.PutKeyPolicy(ctx, &awskms.PutKeyPolicyInput{KeyId: k.KeyMetadata.KeyId, Policy: &text}); err != nil {
			t.Fatal(err)
		}
	}
	put(`{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111122223333:user/alice"},"Action":"kms:Decrypt","Resource":"*"}`)
	if err := decrypt(); err != nil {
		t.Errorf("what the key policy allows: %v", err)
	}
	put(`{"Effect":"Deny","Principal":"*","Action":"kms:Decrypt","Resource":"*","Condition":{"StringNotEquals":{"aws:PrincipalArn":"arn:aws:iam::111122223333:root"}}}`)
	if err := decrypt(); !strings.Contains(err.Error(), "with an explicit deny in a resource-based policy") {
		t.Errorf("what the key policy denies: %v", err)
	}
	if _, err := c.Decrypt(ctx, &awskms.DecryptInput{CiphertextBlob: sealed.CiphertextBlob}); err != nil {
		t.Errorf("whom the deny spares: %v", err)
	}

	// A new certificate is served without a restart.
	writeCertificate(t, dir, "second")
	deadline := time.Now().Add(20 * time.Second)
	for poll := time.NewTicker(50 * time.Millisecond); ; <-poll.C {
		if _, err := client("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "eu-central-1").ListKeys(ctx, &awskms.ListKeysInput{}); err == nil &&
			state.PeerCertificates[0].Subject.CommonName == "second" {
			poll.Stop()
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the new certificate was not served")
		}
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}

	// What failed before authentication is in the security log, and not in the audit log.
	security, err := os.ReadFile(filepath.Join(dir, "data", securityFile))
	if err != nil {
		t.Fatal(err)
	}
	for _, reason := range []string{"InvalidSignatureException", "UnrecognizedClientException", "MissingAuthenticationTokenException", "TrentService.DescribeKey", "127.0.0.1"} {
		if !strings.Contains(string(security), reason) {
			t.Errorf("the security log lacks %s:\n%s", reason, security)
		}
	}
	for line, err := range audit.Read(filepath.Join(dir, "data", auditDir), 0) {
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(line.JSON), "SignatureException") {
			t.Errorf("in the audit log: %s", line.JSON)
		}
	}

	// keyturn dev, which would let anybody in, does not open the store.
	if err := os.Rename(filepath.Join(dir, "seal.key"), filepath.Join(dir, "data", sealKeyFile)); err != nil {
		t.Fatal(err)
	}
	if err := runToEnd(t, "dev", "--data-dir", filepath.Join(dir, "data"), "--listen", "127.0.0.1:0"); err == nil || !strings.Contains(err.Error(), "made by 'keyturn server'") {
		t.Errorf("dev on a server's store: %v", err)
	}
}

// httpsClient trusts every certificate and shows the state of its last connection.
func httpsClient(state **tls.ConnectionState) *http.Client {
	return &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		TLSClientConfig: &tls.Config{
			InsecureSkipVerify: true,
			VerifyConnection: func(cs tls.ConnectionState) error {
				*state = &cs
				return nil
			},
		},
	}}
}

func TestServerConfiguration(t *testing.T) {
	for name, c := range map[string]struct {
		change func(string) string
		want   string
	}{
		"unknown key":         {func(y string) string { return y + "telemetry: on\n" }, "telemetry"},
		"plain HTTP abroad":   {replace("listen: 127.0.0.1:0", "listen: 0.0.0.0:0", "tls: {certificate: cert.pem, key: key.pem}", "plain_http: true"), "loopback address only"},
		"no TLS":              {replace("tls: {certificate: cert.pem, key: key.pem}\n", ""), "tls.certificate and tls.key are missing"},
		"seal key beside":     {replace("key_file: seal.key", "key_file: data/seal.key"), "must not be in data_dir"},
		"two seals":           {replace("key_file: seal.key", "key_file: seal.key, passphrase: {env: X}"), "exactly one of key_file, passphrase, shamir and kms"},
		"secret in the file":  {replace("{env: KEYTURN_TEST_SECRET}", "wJalrXUtnFEMI"), "never the secret itself"},
		"secrets in the file": {replace("{env: KEYTURN_TEST_SECRET}", "[wJalrXUtnFEMI]"), "never the secret itself"},
		"secret from nowhere": {replace("{env: KEYTURN_TEST_SECRET}", "{vault: wJalrXUtnFEMI}"), "vault not found"},
		"passphrase itself":   {replace("key_file: seal.key", "passphrase: wJalrXUtnFEMI"), "never the passphrase itself"},
		"no host and port":    {replace("listen: 127.0.0.1:0", "listen: 8443", "tls: {certificate: cert.pem, key: key.pem}", "plain_http: true"), "is not HOST:PORT"},
		"missing secret":      {replace("KEYTURN_TEST_SECRET", "KEYTURN_TEST_NOT_SET"), "the secret is empty"},
		"account as a number": {replace(`"111122223333"`, `1111`), "12 digits"},
		"no regions":          {replace("regions: [eu-central-1]\n", ""), "regions is missing"},
		"bad region":          {replace("eu-central-1", "Frankfurt"), "no region name"},
		"no access key":       {func(y string) string { y, _, _ = strings.Cut(y, "    access_keys"); return y }, "no access key"},
		"two documents":       {func(y string) string { return y + "---\nlisten: x\n" }, "more than one document"},
		"empty":               {func(string) string { return "" }, "the file is empty"},
		"short passphrase":    {replace("key_file: seal.key", "passphrase: {env: KEYTURN_TEST_SHORT}"), "too short"},
	} {
		t.Run(name, func(t *testing.T) {
			config := serverFiles(t, c.change)
			t.Setenv("KEYTURN_TEST_SHORT", "short")
			err := runToEnd(t, "server", "--config", config)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v; want %q", err, c.want)
			}
			if err != nil && strings.Contains(err.Error(), "wJalrXU") {
				t.Errorf("the error holds a secret: %v", err)
			}
		})
	}
}

// TestConfiguredPolicies are those that IAM would not take for a user either.
func TestConfiguredPolicies(t *testing.T) {
	for text, want := range map[string]string{
		`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"kms:*"}]}`:                                "must contain resources",
		`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"kms:*","Resource":"*"}]}`: "should not specify a principal",
	} {
		config := serverFiles(t, nil)
		if err := os.WriteFile(filepath.Join(filepath.Dir(config), "alice.json"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := runToEnd(t, "server", "--config", config); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

func replace(pairs ...string) func(string) string { return strings.NewReplacer(pairs...).Replace }

func TestServerPassphrase(t *testing.T) {
	config := serverFiles(t, replace("tls: {certificate: cert.pem, key: key.pem}", "plain_http: true", "key_file: seal.key", "passphrase: {env: KEYTURN_TEST_PASSPHRASE}"))
	t.Setenv("KEYTURN_TEST_PASSPHRASE", "correct horse battery staple")
	ready := filepath.Join(filepath.Dir(config), "ready")
	stop := runCommand(t, "server", "--config", config, "--ready-file", ready)
	url := waitEndpoint(t, ready)
	c := awskms.New(awskms.Options{BaseEndpoint: &url, Region: "eu-central-1",
		Credentials: credentials.NewStaticCredentialsProvider("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "")})
	k, err := c.CreateKey(t.Context(), &awskms.CreateKeyInput{})
	if err != nil || !strings.HasPrefix(aws.ToString(k.KeyMetadata.Arn), "arn:aws:kms:eu-central-1:111122223333:key/") {
		t.Fatalf("%+v, %v", k, err)
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	t.Setenv("KEYTURN_TEST_PASSPHRASE", "incorrect horse battery staple")
	if err := runToEnd(t, "server", "--config", config); err == nil || !strings.Contains(err.Error(), "not the key that seals the store") {
		t.Errorf("another passphrase: %v", err)
	}
}

// TestStrict is keyturn dev --strict: its own access key, verified.
func TestStrict(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, credentialsFile)
	start := func() (url string, stop func() error) {
		ready := filepath.Join(t.TempDir(), "ready")
		stop = runCommand(t, "dev", "--strict", "--data-dir", dir, "--listen", "127.0.0.1:0", "--ready-file", ready)
		return waitEndpoint(t, ready), stop
	}
	url, stop := start()
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("credentials file: %v, %v", info, err)
	}
	key, err := devAccessKey(path)
	if err != nil || !strings.HasPrefix(key.id, "AKIA") || len(key.id) != 20 || len(key.secret) != 40 {
		t.Fatalf("access key %v with a secret of %d, %v", key, len(key.secret), err)
	}
	who, err := stsClient(url, key.id, key.secret).GetCallerIdentity(t.Context(), &awssts.GetCallerIdentityInput{})
	if err != nil || *who.Arn != "arn:aws:iam::000000000000:root" {
		t.Errorf("%+v, %v", who, err)
	}
	for code, c := range map[string]*awssts.Client{
		"SignatureDoesNotMatch": stsClient(url, key.id, key.secret+"x"), "InvalidClientTokenId": stsClient(url, "AKIAAAAAAAAAAAAAAAAA", key.secret),
	} {
		if _, err := c.GetCallerIdentity(t.Context(), &awssts.GetCallerIdentityInput{}); apiCode(err) != code {
			t.Errorf("%v, want %s", err, code)
		}
	}
	// Presigned, as tools that prove an identity to a third party do.
	signed, err := awssts.NewPresignClient(stsClient(url, key.id, key.secret)).PresignGetCallerIdentity(t.Context(), &awssts.GetCallerIdentityInput{})
	if err != nil {
		t.Fatal(err)
	}
	for u, want := range map[string]int{signed.URL: 200, strings.Replace(signed.URL, "X-Amz-Date=2", "X-Amz-Date=1", 1): 403} {
		req, err := http.NewRequest(signed.Method, u, nil)
		if err != nil {
			t.Fatal(err)
		}
		if status, body := do(t, req); status != want {
			t.Errorf("presigned: %d %s, want %d", status, body, want)
		}
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	// The same key on the next run.
	url, _ = start()
	if _, err := stsClient(url, key.id, key.secret).GetCallerIdentity(t.Context(), &awssts.GetCallerIdentityInput{}); err != nil {
		t.Error(err)
	}
	if s := slog.AnyValue(key).String(); strings.Contains(s, key.secret) {
		t.Error("the access key prints its secret")
	}
}
