package main

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awsiam "github.com/aws/aws-sdk-go-v2/service/iam"
	iamtypes "github.com/aws/aws-sdk-go-v2/service/iam/types"
	awskms "github.com/aws/aws-sdk-go-v2/service/kms"
)

// TestUserKeysInDev makes a user with keys in keyturn dev, which trusts whom it does not know, and takes away what they may do: keys that
// are inactive or gone are not those of a stranger.
func TestUserKeysInDev(t *testing.T) {
	s := startDev(t, "")
	ctx := t.Context()
	iam := awsiam.New(awsiam.Options{BaseEndpoint: &s.URL, Region: "us-east-1", RetryMaxAttempts: 1, Credentials: credentials.NewStaticCredentialsProvider("anybody", "any-secret-will-do", "")})
	key, err := kmsClient(s.URL, "any", "us-east-1").CreateKey(ctx, &awskms.CreateKeyInput{})
	if err != nil {
		t.Fatal(err)
	}
	user, name := aws.String("alice"), aws.String("encrypt")
	must := func(_ any, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(iam.CreateUser(ctx, &awsiam.CreateUserInput{UserName: user}))
	made, err := iam.CreateAccessKey(ctx, &awsiam.CreateAccessKeyInput{UserName: user})
	if err != nil {
		t.Fatal(err)
	}
	id := made.AccessKey.AccessKeyId
	encrypt := func(secret string) string {
		c := awskms.New(awskms.Options{BaseEndpoint: &s.URL, Region: "us-east-1", RetryMaxAttempts: 1, Credentials: credentials.NewStaticCredentialsProvider(*id, secret, "")})
		_, err := c.Encrypt(ctx, &awskms.EncryptInput{KeyId: key.KeyMetadata.KeyId, Plaintext: []byte("x")})
		return apiCode(err)
	}
	secret := *made.AccessKey.SecretAccessKey
	expect := func(what, secret, want string) {
		t.Helper()
		if got := encrypt(secret); got != want {
			t.Errorf("%s: %q, want %q", what, got, want)
		}
	}
	expect("without a policy", secret, "AccessDeniedException")
	must(iam.PutUserPolicy(ctx, &awsiam.PutUserPolicyInput{UserName: user, PolicyName: name, PolicyDocument: aws.String(alicePolicy)}))
	expect("with a policy", secret, "")
	expect("with a wrong secret", secret+"x", "InvalidSignatureException")
	must(iam.UpdateAccessKey(ctx, &awsiam.UpdateAccessKeyInput{UserName: user, AccessKeyId: id, Status: iamtypes.StatusTypeInactive}))
	expect("with an inactive key", secret, "UnrecognizedClientException")
	must(iam.UpdateAccessKey(ctx, &awsiam.UpdateAccessKeyInput{UserName: user, AccessKeyId: id, Status: iamtypes.StatusTypeActive}))
	must(iam.DeleteUserPolicy(ctx, &awsiam.DeleteUserPolicyInput{UserName: user, PolicyName: name}))
	expect("without the policy", secret, "AccessDeniedException")
	must(iam.DeleteAccessKey(ctx, &awsiam.DeleteAccessKeyInput{UserName: user, AccessKeyId: id}))
	expect("with a deleted key", secret, "UnrecognizedClientException")
	must(iam.DeleteUser(ctx, &awsiam.DeleteUserInput{UserName: user}))
}
