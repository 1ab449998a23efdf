package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awskms "github.com/aws/aws-sdk-go-v2/service/kms"

	"github.com/keyturn/keyturn/internal/audit"
)

// TestAnnouncedBodies opens many connections that announce large bodies and send nothing: others must be served meanwhile.
func TestAnnouncedBodies(t *testing.T) {
	s := startDev(t, "")
	for range 300 {
		conn, err := net.Dial("tcp", strings.TrimPrefix(s.URL, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-amz-json-1.1\r\nX-Amz-Target: TrentService.ListKeys\r\nContent-Length: 1048576\r\n\r\n")
	}
	large := `{"x":"` + strings.Repeat("a", 900_000) + `"}`
	for _, body := range []string{"{}", large} {
		if status, answer := s.post(t, "TrentService.ListKeys", body); status != 200 {
			t.Errorf("body of %d: %d %.200s", len(body), status, answer)
		}
	}
}

// TestBodyInPieces sends a body slowly, in pieces across the sizes where buffers grow.
func TestBodyInPieces(t *testing.T) {
	s := startDev(t, "")
	body := `{"x":"` + strings.Repeat("b", 300_000) + `"}`
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-amz-json-1.1\r\nX-Amz-Target: TrentService.ListKeys\r\nContent-Length: %d\r\n\r\n", len(body))
	for len(body) > 0 {
		n := min(len(body), 7919)
		if _, err := io.WriteString(conn, body[:n]); err != nil {
			t.Fatal(err)
		}
		body = body[n:]
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != 200 || !strings.HasPrefix(string(answer), `{"Keys":[]`) {
		t.Errorf("%d %s, %v", resp.StatusCode, answer, err)
	}
}

// TestLongContext shows that an encryption context is bounded, and that a refused call is recorded all the same.
func TestLongContext(t *testing.T) {
	dir := t.TempDir()
	s := startDev(t, dir)
	c := kmsClient(s.URL, "keyturn", "us-east-1")
	k, err := c.CreateKey(t.Context(), &awskms.CreateKeyInput{})
	if err != nil {
		t.Fatal(err)
	}
	for size, want := range map[int]string{8191: "", 8192: "ValidationException", 700_000: "ValidationException"} {
		_, err := c.Encrypt(t.Context(), &awskms.EncryptInput{KeyId: k.KeyMetadata.KeyId, Plaintext: []byte("x"), EncryptionContext: map[string]string{"n": strings.Repeat("v", size)}})
		if apiCode(err) != want {
			t.Errorf("context of %d: %.200v, want %q", size, err, want)
		}
	}
	refused := 0
	for line, err := range audit.Read(filepath.Join(dir, auditDir), 0) {
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(line.JSON), `"errorCode":"ValidationException"`) {
			refused++
		}
		if len(line.JSON) > 20_000 {
			t.Errorf("audit record of %d bytes", len(line.JSON))
		}
	}
	if refused != 2 {
		t.Errorf("%d refusals are recorded, want 2", refused)
	}
}

// TestForeignNamesStaySecret shows that neither answers nor one's own audit log tell what exists in another account.
func TestForeignNamesStaySecret(t *testing.T) {
	dir := t.TempDir()
	s := startDev(t, dir)
	owner, stranger := kmsClient(s.URL, "222222222222", "us-east-1"), kmsClient(s.URL, "111111111111", "us-east-1")
	k, err := owner.CreateKey(t.Context(), &awskms.CreateKeyInput{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := owner.CreateAlias(t.Context(), &awskms.CreateAliasInput{AliasName: aws.String("alias/prod-db"), TargetKeyId: k.KeyMetadata.KeyId}); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"alias/prod-db", "alias/nothing"} {
		arn := "arn:aws:kms:us-east-1:222222222222:" + name
		if _, err := stranger.Encrypt(t.Context(), &awskms.EncryptInput{KeyId: &arn, Plaintext: []byte("x")}); apiCode(err) != "AccessDeniedException" || strings.Contains(err.Error(), *k.KeyMetadata.KeyId) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for line, err := range audit.Read(filepath.Join(dir, auditDir), 0) {
		if err != nil {
			t.Fatal(err)
		}
		if text := string(line.JSON); strings.Contains(text, `"recipientAccountId":"111111111111"`) && strings.Contains(text, *k.KeyMetadata.KeyId) {
			t.Errorf("the stranger's log tells the key: %s", text)
		}
	}
}

// TestTwoManagedKeys names two AWS managed keys in one request before either exists.
func TestTwoManagedKeys(t *testing.T) {
	s := startDev(t, "")
	c := kmsClient(s.URL, "keyturn", "us-east-1")
	if _, err := c.Encrypt(t.Context(), &awskms.EncryptInput{KeyId: aws.String("alias/aws/s3"), Plaintext: []byte("x"), DryRun: aws.Bool(true)}); apiCode(err) != "DryRunOperationException" {
		t.Errorf("a dry run: %v", err)
	}
	if l, err := c.ListAliases(t.Context(), &awskms.ListAliasesInput{}); err != nil || len(l.Aliases) > 0 {
		t.Errorf("a dry run has made %+v, %v", l.Aliases, err)
	}
	e, err := c.Encrypt(t.Context(), &awskms.EncryptInput{KeyId: aws.String("alias/aws/s3"), Plaintext: []byte("x")})
	if err != nil {
		t.Fatal(err)
	}
	c = kmsClient(s.URL, "keyturn", "eu-west-1") // where neither exists
	if _, err := c.ReEncrypt(t.Context(), &awskms.ReEncryptInput{CiphertextBlob: e.CiphertextBlob, SourceKeyId: aws.String("alias/aws/s3"), DestinationKeyId: aws.String("alias/aws/ebs")}); apiCode(err) != "IncorrectKeyException" {
		t.Errorf("%v", err)
	}
}

// TestPartitions checks ARNs outside AWS's main partition.
func TestPartitions(t *testing.T) {
	s := startDev(t, "")
	for region, partition := range map[string]string{"us-east-1": "aws", "cn-north-1": "aws-cn", "us-gov-west-1": "aws-us-gov", "eusc-de-east-1": "aws-eusc"} {
		c := kmsClient(s.URL, "111122223333", region)
		k, err := c.CreateKey(t.Context(), &awskms.CreateKeyInput{})
		if err != nil || !strings.HasPrefix(*k.KeyMetadata.Arn, "arn:"+partition+":kms:"+region+":111122223333:key/") {
			t.Fatalf("%s: %+v, %v", region, k, err)
		}
		if _, err := c.DescribeKey(t.Context(), &awskms.DescribeKeyInput{KeyId: k.KeyMetadata.Arn}); err != nil {
			t.Errorf("%s: %v", region, err)
		}
		p, err := c.GetKeyPolicy(t.Context(), &awskms.GetKeyPolicyInput{KeyId: k.KeyMetadata.KeyId})
		if err != nil || !strings.Contains(*p.Policy, `"arn:`+partition+`:iam::111122223333:root"`) {
			t.Errorf("%s: %+v, %v", region, p, err)
		}
	}
}

// TestPermissions refuses data directories that others could write.
func TestPermissions(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := runToEnd(t, "dev", "--data-dir", dir, "--listen", "127.0.0.1:0"); err == nil || !strings.Contains(err.Error(), "can be written by others") {
		t.Errorf("%v", err)
	}
	if files, err := os.ReadDir(dir); err != nil || len(files) > 0 {
		t.Errorf("%v, %v were made", files, err)
	}
}
