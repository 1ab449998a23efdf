package main

import (
	"context"
	"crypto/fips140"
	"encoding/base64"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"

	agecrypt "filippo.io/age"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	awskms "github.com/aws/aws-sdk-go-v2/service/kms"
)

// Programs that guides use and that are not on every machine: these do what their commands there do, with the same libraries.

// standInAWS is the AWS CLI, as far as docs/disaster-recovery.md uses it.
func standInAWS() {
	if err := runStandInAWS(context.Background(), os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "aws:", err)
		os.Exit(1)
	}
}

func runStandInAWS(ctx context.Context, args []string) error {
	if len(args) < 2 || args[0] != "kms" {
		return fmt.Errorf("no such command: %q", args)
	}
	fs := flag.NewFlagSet("aws", flag.ContinueOnError)
	key, plain, blob := fs.String("key-id", "", ""), fs.String("plaintext", "", ""), fs.String("ciphertext-blob", "", "")
	query, output := fs.String("query", "", ""), fs.String("output", "", "")
	if err := fs.Parse(args[2:]); err != nil {
		return err
	}
	cfg, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return err
	}
	client := awskms.NewFromConfig(cfg)
	file := func(arg string) []byte {
		b, readErr := os.ReadFile(strings.TrimPrefix(arg, "fileb://"))
		if err == nil {
			err = readErr
		}
		return b
	}
	var out []byte
	switch args[1] {
	case "encrypt":
		in := &awskms.EncryptInput{KeyId: aws.String(*key), Plaintext: file(*plain)}
		if err != nil || *query != "CiphertextBlob" || *output != "text" {
			return fmt.Errorf("encrypt: %q, %w", args, err)
		}
		r, err := client.Encrypt(ctx, in)
		if err != nil {
			return err
		}
		out = r.CiphertextBlob
	case "decrypt":
		in := &awskms.DecryptInput{CiphertextBlob: file(*blob)}
		if err != nil || *query != "Plaintext" || *output != "text" {
			return fmt.Errorf("decrypt: %q, %w", args, err)
		}
		r, err := client.Decrypt(ctx, in)
		if err != nil {
			return err
		}
		out = r.Plaintext
	default:
		return fmt.Errorf("no such command: %q", args)
	}
	_, err = fmt.Println(base64.StdEncoding.EncodeToString(out))
	return err
}

// standInAgeKeygen is age-keygen.
func standInAgeKeygen() {
	args := os.Args[1:]
	err := func() error {
		switch {
		case slices.Equal(args, []string{"-pq", "-o", "identity.txt"}):
			id, err := agecrypt.GenerateHybridIdentity()
			if err != nil {
				return err
			}
			return os.WriteFile(args[2], []byte("# public key: "+id.Recipient().String()+"\n"+id.String()+"\n"), 0o600)
		case len(args) == 2 && args[0] == "-y":
			f, err := os.Open(args[1])
			if err != nil {
				return err
			}
			defer f.Close() //nolint:errcheck // it was only read
			ids, err := agecrypt.ParseIdentities(io.LimitReader(f, 1<<20))
			if err != nil {
				return err
			}
			_, err = fmt.Println(ids[0].(*agecrypt.HybridIdentity).Recipient())
			return err
		}
		return fmt.Errorf("no such command: %q", args)
	}()
	if err != nil {
		fmt.Fprintln(os.Stderr, "age-keygen:", err)
		os.Exit(1)
	}
}

// needsAge skips a test where age cannot work.
func needsAge(t *testing.T) {
	t.Helper()
	if fips140.Enforced() {
		t.Skip("age uses ChaCha20-Poly1305, which FIPS 140-only mode refuses")
	}
}
