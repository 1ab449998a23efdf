package kms_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/service"
)

func TestCreateGrantRefused(t *testing.T) {
	b := testBench(t)
	symmetric, _ := b.newKey(t, &api.CreateKeyRequest{})
	signing, signingARN := b.newKey(t, &api.CreateKeyRequest{KeySpec: str(api.KeySpecEccNistP256), KeyUsage: str(api.KeyUsageTypeSignVerify)})
	mac, macARN := b.newKey(t, &api.CreateKeyRequest{KeySpec: str(api.KeySpecHmac256), KeyUsage: str(api.KeyUsageTypeGenerateVerifyMac)})
	many := map[string]string{}
	for i := range 9 {
		many[fmt.Sprint(i)] = "v"
	}
	for _, c := range []struct {
		name    string
		key     string
		change  func(*api.CreateGrantRequest)
		code    api.ErrorCode
		message string
	}{
		{"no operations", symmetric, func(q *api.CreateGrantRequest) { q.Operations = nil }, api.ValidationException,
			"1 validation error detected: Value null at 'operations' failed to satisfy constraint: Member must not be null"},
		{"empty operations", symmetric, func(q *api.CreateGrantRequest) { q.Operations = operations() }, api.ValidationException,
			"1 validation error detected: Value '[]' at 'operations' failed to satisfy constraint: Member must have length greater than or equal to 1"},
		{"an unknown operation", symmetric, func(q *api.CreateGrantRequest) { q.Operations = operations("ScheduleKeyDeletion") }, api.ValidationException, "*"},
		{"absurdly many operations", symmetric, func(q *api.CreateGrantRequest) { q.Operations = slices.Repeat(operations("Decrypt"), 39) }, api.ValidationException, "*"},
		{"nothing but CreateGrant", symmetric, func(q *api.CreateGrantRequest) { q.Operations = operations("CreateGrant", "CreateGrant") }, api.ValidationException,
			"Grants must not contain only the CreateGrant operation."},
		{"Sign of a symmetric key", symmetric, func(q *api.CreateGrantRequest) { q.Operations = operations("Decrypt", "Sign") }, api.ValidationException, "*"},
		{"GenerateDataKey of a signing key", signing, func(q *api.CreateGrantRequest) { q.Operations = operations("GenerateDataKey", "Sign", "Decrypt") }, api.ValidationException,
			"Grants on " + signingARN + " cannot permit [GenerateDataKey, Decrypt]: its key spec is ECC_NIST_P256, its key usage SIGN_VERIFY."},
		{"GetPublicKey of a MAC key", mac, func(q *api.CreateGrantRequest) { q.Operations = operations("GetPublicKey") }, api.ValidationException, "*"},
		{"a context for a MAC key", mac, func(q *api.CreateGrantRequest) {
			q.Operations, q.Constraints = operations("VerifyMac"), equals("a", "b")
		}, api.ValidationException,
			"Encryption context grant constraints are not valid for " + macARN + ": its key spec is HMAC_256."},
		{"two kinds of context", symmetric, func(q *api.CreateGrantRequest) {
			q.Constraints = &api.GrantConstraints{EncryptionContextSubset: pairsOf("a", "b"), EncryptionContextEquals: pairsOf("a", "b")}
		}, api.ValidationException, "A grant can have either EncryptionContextSubset or EncryptionContextEquals, but not both."},
		{"nine pairs", symmetric, func(q *api.CreateGrantRequest) { q.Constraints = &api.GrantConstraints{EncryptionContextEquals: many} }, api.ValidationException,
			"A grant constraint cannot have more than 8 encryption context pairs."},
		{"a long value", symmetric, func(q *api.CreateGrantRequest) { q.Constraints = subset("a", strings.Repeat("é", 385)) }, api.ValidationException,
			"An encryption context value in a grant constraint cannot be longer than 384 characters."},
		{"a long name", symmetric, func(q *api.CreateGrantRequest) { q.Constraints = subset(strings.Repeat("a", 8193), "") }, api.ValidationException, "*"},
		{"no ARN as source", symmetric, func(q *api.CreateGrantRequest) {
			q.Constraints = &api.GrantConstraints{SourceArn: str("aws:s3:::no-such-form-of-arn")}
		}, api.ValidationException, "*"},
		{"no grantee", symmetric, func(q *api.CreateGrantRequest) { q.GranteePrincipal = api.Opt[string]{} }, api.ValidationException,
			"You must specify either GranteePrincipal or GranteeServicePrincipal, but not both."},
		{"two grantees", symmetric, func(q *api.CreateGrantRequest) { q.GranteeServicePrincipal = str("logs.amazonaws.com") }, api.ValidationException,
			"You must specify either GranteePrincipal or GranteeServicePrincipal, but not both."},
		{"two who retire", symmetric, func(q *api.CreateGrantRequest) {
			q.RetiringPrincipal, q.RetiringServicePrincipal = str(retirer), str("logs.amazonaws.com")
		}, api.ValidationException, "You can specify either RetiringPrincipal or RetiringServicePrincipal, but not both."},
		{"a service without a source", symmetric, func(q *api.CreateGrantRequest) {
			q.GranteePrincipal, q.GranteeServicePrincipal, q.RetiringPrincipal = api.Opt[string]{}, str("logs.amazonaws.com"), str(retirer)
		}, api.ValidationException, "A grant for a GranteeServicePrincipal must have a SourceArn constraint."},
		{"a service that nobody retires", symmetric, func(q *api.CreateGrantRequest) {
			q.GranteePrincipal, q.GranteeServicePrincipal = api.Opt[string]{}, str("logs.amazonaws.com")
			q.Constraints = &api.GrantConstraints{SourceArn: str(source)}
		}, api.ValidationException, "A grant for a GranteeServicePrincipal must have a RetiringPrincipal or a RetiringServicePrincipal."},
		{"a group", symmetric, func(q *api.CreateGrantRequest) { q.GranteePrincipal = str("arn:aws:iam::" + account + ":group/g") }, api.InvalidArnException,
			"ARN does not refer to a valid principal: arn:aws:iam::" + account + ":group/g"},
		{"an account's number", symmetric, func(q *api.CreateGrantRequest) { q.GranteePrincipal = str(account) }, api.InvalidArnException, "*"},
		{"a service as a principal", symmetric, func(q *api.CreateGrantRequest) { q.GranteePrincipal = str("logs.amazonaws.com") }, api.InvalidArnException, "*"},
		{"a key", symmetric, func(q *api.CreateGrantRequest) { q.GranteePrincipal = str(signingARN) }, api.InvalidArnException, "*"},
		{"a principal of another partition", symmetric, func(q *api.CreateGrantRequest) { q.GranteePrincipal = str("arn:aws-cn:iam::" + account + ":root") }, api.InvalidArnException, "*"},
		{"everybody", symmetric, func(q *api.CreateGrantRequest) { q.GranteePrincipal = str("*") }, api.ValidationException, "*"},
		{"everybody who retires", symmetric, func(q *api.CreateGrantRequest) { q.RetiringPrincipal = str("arn:aws:iam::" + account + ":user/") }, api.InvalidArnException, "*"},
		{"a name with a space", symmetric, func(q *api.CreateGrantRequest) { q.Name = str("a b") }, api.ValidationException, "*"},
		{"no such key", "00000000-0000-4000-8000-000000000000", func(*api.CreateGrantRequest) {}, api.NotFoundException, "*"},
		{"an alias", "alias/a", func(*api.CreateGrantRequest) {}, api.NotFoundException, "Invalid keyId 'alias/a'"},
		{"a token of somebody else's", symmetric, func(q *api.CreateGrantRequest) { q.GrantTokens = []string{"AQpAM2Rh"} }, api.InvalidGrantTokenException, "Invalid grant token."},
	} {
		req := decrypting(c.key)
		c.change(req)
		_, err := b.do(t, "CreateGrant", req)
		refusal(t, c.name, err, c.code, c.message)
		dry := *req
		dry.DryRun = api.Some(true)
		_, err = b.do(t, "CreateGrant", &dry)
		refusal(t, c.name+", dry run", err, c.code, c.message)
	}
	if counts := checkStore(t, b); counts["g"] != 0 {
		t.Errorf("%d grants", counts["g"])
	}
}

// TestManagedKeyGrants: nobody but its service may make grants on an AWS managed key, and anybody of the account lists them.
func TestManagedKeyGrants(t *testing.T) {
	b := testBench(t)
	id := must[api.DescribeKeyResponse](t, b, "DescribeKey", &api.DescribeKeyRequest{KeyId: str("alias/aws/s3")}).KeyMetadata.KeyId.V
	_, err := b.do(t, "CreateGrant", decrypting(id))
	refusal(t, "a grant on an AWS managed key", err, api.AccessDeniedException, "*")
	if r := b.listGrants(t, &api.ListGrantsRequest{KeyId: str(id)}); len(r.Grants) != 0 {
		t.Errorf("%d grants", len(r.Grants))
	}
}

func TestGrantRefusals(t *testing.T) {
	b := testBench(t)
	key, arn := b.newKey(t, &api.CreateKeyRequest{})
	id, token := b.grant(t, decrypting(key))
	other, _ := b.newKey(t, &api.CreateKeyRequest{})
	none := strings.Repeat("0", 64)
	elsewhere, _ := mustGrantIn(t, b, west)
	retire := func(q api.RetireGrantRequest) api.Request { return &q }
	for _, c := range []struct {
		name, op string
		req      api.Request
		code     api.ErrorCode
		message  string
	}{
		{"revoking what never was", "RevokeGrant", &api.RevokeGrantRequest{KeyId: str(key), GrantId: str(none)}, api.NotFoundException, "Grant ID " + none + " not found"},
		{"revoking on another key", "RevokeGrant", &api.RevokeGrantRequest{KeyId: str(other), GrantId: str(id)}, api.NotFoundException, "*"},
		{"revoking on no key", "RevokeGrant", &api.RevokeGrantRequest{KeyId: str("x"), GrantId: str("y")}, api.NotFoundException, "Invalid keyId 'x'"},
		{"not a grant ID", "RevokeGrant", &api.RevokeGrantRequest{KeyId: str(key), GrantId: str(strings.ToUpper(id))}, api.InvalidGrantIdException, "*"},
		{"a way out of the key", "RevokeGrant", &api.RevokeGrantRequest{KeyId: str(other), GrantId: str("../" + key + "/" + id)}, api.InvalidGrantIdException, "*"},
		{"retiring nothing", "RetireGrant", retire(api.RetireGrantRequest{}), api.ValidationException, "You must specify either GrantToken, or KeyId and GrantId."},
		{"retiring without a key", "RetireGrant", retire(api.RetireGrantRequest{GrantId: str(id)}), api.ValidationException, "*"},
		{"retiring without a grant", "RetireGrant", retire(api.RetireGrantRequest{KeyId: str(arn)}), api.ValidationException, "*"},
		{"retiring in two ways", "RetireGrant", retire(api.RetireGrantRequest{GrantToken: str(token), KeyId: str(arn), GrantId: str(id)}), api.ValidationException, "*"},
		{"retiring on another key", "RetireGrant", retire(api.RetireGrantRequest{KeyId: str(other), GrantId: str(id)}), api.NotFoundException, "*"},
		{"retiring by no ID", "RetireGrant", retire(api.RetireGrantRequest{KeyId: str(arn), GrantId: str("x")}), api.InvalidGrantIdException, "Invalid grant ID 'x'"},
		{"retiring by no token", "RetireGrant", retire(api.RetireGrantRequest{GrantToken: str("x")}), api.InvalidGrantTokenException, "Invalid grant token."},
		{"retiring by an altered token", "RetireGrant", retire(api.RetireGrantRequest{GrantToken: str(token[:20] + flip(token[20]) + token[21:])}), api.InvalidGrantTokenException, "*"},
		{"retiring by a token with a line break", "RetireGrant", retire(api.RetireGrantRequest{GrantToken: str(token[:9] + "\n" + token[9:])}), api.InvalidGrantTokenException, "*"},
		{"retiring by a token of another region", "RetireGrant", retire(api.RetireGrantRequest{GrantToken: str(elsewhere)}), api.InvalidGrantTokenException, "*"},
		{"listing by no ID", "ListGrants", &api.ListGrantsRequest{KeyId: str(key), GrantId: str("x")}, api.InvalidGrantIdException, "*"},
		{"listing by two grantees", "ListGrants", &api.ListGrantsRequest{KeyId: str(key), GranteePrincipal: str(grantee), GranteeServicePrincipal: str("logs.amazonaws.com")}, api.ValidationException, "*"},
		{"listing by a service", "ListGrants", &api.ListGrantsRequest{KeyId: str(key), GranteeServicePrincipal: str("logs.amazonaws.com")}, api.AccessDeniedException, "*"},
		{"listing from nowhere", "ListGrants", &api.ListGrantsRequest{KeyId: str(key), Marker: str("x")}, api.InvalidMarkerException, "*"},
		{"listing for nobody", "ListRetirableGrants", &api.ListRetirableGrantsRequest{}, api.ValidationException, "*"},
		{"listing for a service", "ListRetirableGrants", &api.ListRetirableGrantsRequest{RetiringServicePrincipal: str("logs.amazonaws.com")}, api.AccessDeniedException, "*"},
		{"listing for no principal", "ListRetirableGrants", &api.ListRetirableGrantsRequest{RetiringPrincipal: str("x")}, api.InvalidArnException, "*"},
		{"listing for another account", "ListRetirableGrants", &api.ListRetirableGrantsRequest{RetiringPrincipal: str("arn:aws:iam::444455556666:root")}, api.AccessDeniedException, "*"},
	} {
		_, err := b.do(t, c.op, c.req)
		refusal(t, c.name, err, c.code, c.message)
	}
	// A dry run succeeds as the operation would, and does nothing.
	for op, req := range map[string]api.Request{
		"CreateGrant": &api.CreateGrantRequest{KeyId: str(key), GranteePrincipal: str(grantee), Operations: operations("Encrypt"), DryRun: api.Some(true)},
		"RevokeGrant": &api.RevokeGrantRequest{KeyId: str(key), GrantId: str(id), DryRun: api.Some(true)},
		"RetireGrant": &api.RetireGrantRequest{GrantToken: str(token), DryRun: api.Some(true)},
	} {
		_, err := b.do(t, op, req)
		refusal(t, op, err, api.DryRunOperationException, service.ErrDryRun.Message)
	}
	if got := grantIDs(b.listGrants(t, &api.ListGrantsRequest{KeyId: str(key)})); !slices.Equal(got, []string{id}) {
		t.Errorf("grants %v, want %s alone", got, id)
	}
}

// flip returns another letter of base64.
func flip(c byte) string {
	if c == 'A' {
		return "B"
	}
	return "A"
}

// mustGrantIn makes a key and a grant on it in a region, and returns the grant's token.
func mustGrantIn(t checker, b *bench, region string) (token, key string) {
	t.Helper()
	key = mustIn[api.CreateKeyResponse](t, b, region, "CreateKey", &api.CreateKeyRequest{}).KeyMetadata.KeyId.V
	resp, err := b.in(t, region, "CreateGrant", decrypting(key))
	if err != nil {
		t.Fatalf("CreateGrant in %s: %v", region, err)
	}
	_, token = granted(t, resp)
	return token, key
}
