package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/fips140"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/keyturn/keyturn/internal/api"
)

// TestIdentitiesDocs does what the guides say of identities and accounts, word by word, in a deployment that
// keyturn init has just made. Commands of the AWS CLI are run by it where KEYTURN_TEST_AWS_CLI says where it is; elsewhere this test signs and sends
// what they would.
func TestIdentitiesDocs(t *testing.T) {
	for file, c := range map[string]struct {
		commands *regexp.Regexp
		least    int
	}{
		"identities.md":   {regexp.MustCompile(`(?m)^    ((?:aws|keyturn|export) .*)$`), 18},
		"server.md":       {regexp.MustCompile(`(?m)^    ((?:aws|keyturn accounts|export) .*)$`), 12},
		"web-identity.md": {regexp.MustCompile(`(?m)^    ((?:aws|export) .*)$`), 6},
	} {
		t.Run(file, func(t *testing.T) {
			if fips140.Enforced() && file == "identities.md" {
				t.Skip("MFA devices are refused in FIPS 140-only mode")
			}
			text, err := os.ReadFile("../../docs/" + file)
			if err != nil {
				t.Fatal(err)
			}
			d := newDocs(t)
			for _, m := range regexp.MustCompile("(?s)`([a-z-]+\\.json)`[^`]*:\n\n```json\n(.*?)```").FindAllSubmatch(text, -1) {
				if err := os.WriteFile(filepath.Join(d.dir, string(m[1])), m[2], 0o600); err != nil {
					t.Fatal(err)
				}
			}
			commands := c.commands.FindAllSubmatch(text, -1)
			if len(commands) < c.least {
				t.Errorf("only %d commands found", len(commands))
			}
			for _, m := range commands {
				d.run(string(m[1]))
			}
		})
	}
}

// docs is a reader of the documentation, at a shell.
type docs struct {
	t      *testing.T
	dir    string
	url    string
	env    map[string]string
	key    map[string]string // what AKIA... and ... stand for
	seed   string            // of the MFA device
	awsCLI string
	typed  string // what commands read
}

func newDocs(t *testing.T) *docs {
	config := initFiles(t, keyFileSeal)
	replaceInFile(t, config, "us-east-1", "eu-central-1")
	root, err := runInitCommand(t, "--config", config, "--account", "111122223333")
	if err != nil {
		t.Fatal(err)
	}
	ready := filepath.Join(t.TempDir(), "ready")
	runCommand(t, "server", "--config", config, "--ready-file", ready)
	d := &docs{t: t, dir: t.TempDir(), url: waitEndpoint(t, ready), awsCLI: os.Getenv("KEYTURN_TEST_AWS_CLI")}
	d.env = map[string]string{
		"HOME": d.dir, "PATH": os.Getenv("PATH"), "NO_COLOR": "1", "AWS_EC2_METADATA_DISABLED": "true", "AWS_PAGER": "",
		"AWS_ACCESS_KEY_ID": root.AccessKeyID, "AWS_SECRET_ACCESS_KEY": root.SecretAccessKey,
	}
	return d
}

func replaceInFile(t *testing.T, file, from, to string) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err == nil {
		err = os.WriteFile(file, bytes.ReplaceAll(b, []byte(from), []byte(to)), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// newKey is an access key in JSON, as the AWS CLI prints it, or in XML.
var newKey = regexp.MustCompile(`(?s)AccessKeyId(?:>|": ")(\w+).*SecretAccessKey(?:>|": ")([^<"]+)`)

// run runs a line; what it prints of new secrets is what later lines mean.
func (d *docs) run(line string) {
	d.t.Helper()
	args := strings.Fields(line)
	for i, a := range args {
		args[i] = d.meant(a)
	}
	if args[0] == "export" {
		for _, assignment := range args[1:] {
			if name, value, _ := strings.Cut(assignment, "="); name != "AWS_CA_BUNDLE" { // there is no TLS here
				d.env[name] = os.Expand(value, func(name string) string { return d.env[name] })
			}
		}
		return
	}
	out, err := d.output(args[0], args[1:])
	if err != nil {
		d.t.Fatalf("%s: %v\n%s", line, err, out)
	}
	if made := newKey.FindSubmatch(out); strings.Contains(line, "create-access-key") && made != nil {
		d.key = map[string]string{"AWS_ACCESS_KEY_ID=AKIA...": string(made[1]), "AWS_SECRET_ACCESS_KEY=...": string(made[2])}
	}
	if file := filepath.Join(d.dir, "qr.png"); d.seed == "" && strings.Contains(line, "qr.png") {
		b, err := os.ReadFile(file)
		if err != nil {
			d.t.Fatal(err)
		}
		d.seed = strings.TrimSpace(string(b))
	}
}

// endpoints are how the guides call the server.
var endpoints = regexp.MustCompile(`https://(kms|keyturn)\.example\.com(:8443)?`)

// meant is what a word of the documentation stands for.
func (d *docs) meant(word string) string {
	now := time.Now().Unix() / 30
	switch word {
	case "123456":
		return code(d.t, d.seed, now-1)
	case "789012":
		return code(d.t, d.seed, now)
	case "345678":
		return code(d.t, d.seed, now+1)
	case "QRCodePNG": // a phone would read it
		return "Base32StringSeed"
	}
	if value, ok := d.key[word]; ok {
		name, _, _ := strings.Cut(word, "=")
		return name + "=" + value
	}
	return endpoints.ReplaceAllString(word, d.url)
}

// output runs a command to its end.
func (d *docs) output(name string, args []string) ([]byte, error) {
	if name == "aws" && d.awsCLI == "" {
		return d.aws(args[0], args[1], args[2:])
	}
	if name == "aws" {
		name = d.awsCLI
	}
	cmd := exec.CommandContext(d.t.Context(), name, args...)
	cmd.Dir, cmd.Stdin = d.dir, strings.NewReader(d.typed)
	for name, value := range d.env {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	return cmd.CombinedOutput()
}

// aws calls an operation of IAM or STS.
func (d *docs) aws(service, operation string, args []string) ([]byte, error) {
	version := map[string]string{"iam": api.IAMVersion, "sts": api.STSVersion}[service]
	form := url.Values{"Action": {camel(operation)}, "Version": {version}}
	outfile := ""
	for i := 0; i+1 < len(args); i += 2 {
		name, value := strings.TrimPrefix(args[i], "--"), args[i+1]
		if file, ok := strings.CutPrefix(value, "file://"); ok {
			b, err := os.ReadFile(filepath.Join(d.dir, file))
			if err != nil {
				return nil, err
			}
			value = string(b)
		}
		switch name {
		case "outfile": // of the CLI's own, as is bootstrap-method
			outfile = value
		case "bootstrap-method":
		case "client-id-list":
			form.Set("ClientIDList.member.1", value)
		default:
			form.Set(camel(name), value)
		}
	}
	body, err := d.post(service, []byte(form.Encode()))
	if err != nil || outfile == "" {
		return body, err
	}
	var made struct {
		Seed string `xml:"CreateVirtualMFADeviceResult>VirtualMFADevice>Base32StringSeed"`
	}
	if err := xml.Unmarshal(body, &made); err != nil {
		return body, err
	}
	seed, err := base64.StdEncoding.DecodeString(made.Seed)
	if err != nil {
		return body, err
	}
	return body, os.WriteFile(filepath.Join(d.dir, outfile), seed, 0o600)
}

// camel makes UserName of user-name, and MFADevice of mfa-device.
func camel(s string) string {
	var b strings.Builder
	for word := range strings.SplitSeq(s, "-") {
		if word == "mfa" || word == "id" {
			word = strings.ToUpper(word)
		}
		b.WriteString(strings.ToUpper(word[:1]) + word[1:])
	}
	return b.String()
}

func (d *docs) post(service string, body []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(d.t.Context(), 30*time.Second)
	defer cancel()
	endpoint := cmp.Or(d.env["AWS_ENDPOINT_URL_"+strings.ToUpper(service)], d.env["AWS_ENDPOINT_URL"])
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
	sum := sha256.Sum256(body)
	who := aws.Credentials{AccessKeyID: d.env["AWS_ACCESS_KEY_ID"], SecretAccessKey: d.env["AWS_SECRET_ACCESS_KEY"]}
	if err := v4.NewSigner().SignHTTP(ctx, who, req, hex.EncodeToString(sum[:]), service, d.env["AWS_REGION"], time.Now()); err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("status %d", resp.StatusCode)
	}
	return answer, err
}

// TestProfileWithCode: keyturn's commands work with profiles that assume a role with a code of an MFA device, which they ask for.
func TestProfileWithCode(t *testing.T) {
	if fips140.Enforced() {
		t.Skip("MFA devices are refused in FIPS 140-only mode")
	}
	d := newDocs(t)
	d.awsCLI = ""
	const arn = "arn:aws:iam::111122223333:"
	for name, text := range map[string]string{
		"trust.json": `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"` + arn + `user/admin"},"Action":"sts:AssumeRole",` +
			`"Condition":{"Bool":{"aws:MultiFactorAuthPresent":"true"}}}]}`,
		"config": "[profile ops]\nrole_arn = " + arn + "role/ops\ncredential_source = Environment\nmfa_serial = " + arn + "mfa/phone\n" +
			"[profile closed]\nrole_arn = " + arn + "role/closed\ncredential_source = Environment\n",
	} {
		if err := os.WriteFile(filepath.Join(d.dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	d.env["AWS_CONFIG_FILE"] = filepath.Join(d.dir, "config")
	for _, line := range []string{
		"export AWS_REGION=eu-central-1 AWS_ENDPOINT_URL_KMS=https://kms.example.com AWS_ENDPOINT_URL_IAM=https://kms.example.com AWS_ENDPOINT_URL_STS=https://kms.example.com",
		"aws iam create-user --user-name admin",
		"aws iam attach-user-policy --user-name admin --policy-arn arn:aws:iam::aws:policy/AdministratorAccess",
		"aws iam create-role --role-name ops --assume-role-policy-document file://trust.json",
		"aws iam attach-role-policy --role-name ops --policy-arn arn:aws:iam::aws:policy/AdministratorAccess",
		"aws iam create-virtual-mfa-device --virtual-mfa-device-name phone --outfile qr.png",
		"aws iam enable-mfa-device --user-name admin --serial-number " + arn + "mfa/phone --authentication-code1 123456 --authentication-code2 789012",
		"aws iam create-access-key --user-name admin",
		"export AWS_ACCESS_KEY_ID=AKIA... AWS_SECRET_ACCESS_KEY=...",
	} {
		d.run(line)
	}
	d.typed = d.meant("345678") + "\n"
	if out, err := d.output("keyturn", []string{"keys", "create", "--alias", "first", "--profile", "ops"}); err != nil || !strings.Contains(string(out), "alias/first") {
		t.Errorf("with a code: %v\n%s", err, out)
	}
	for profile, want := range map[string]string{"ops": "none was given", "closed": "hint: the profile's role could not be assumed"} {
		d.typed = ""
		if out, err := d.output("keyturn", []string{"keys", "list", "--profile", profile}); err == nil || !strings.Contains(string(out), want) {
			t.Errorf("%s: %v\n%s", profile, err, out)
		}
	}
}
