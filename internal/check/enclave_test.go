package check

import "testing"

// forEnclaves is a change of the facts after which the key is known as one for enclaves.
func forEnclaves(statements ...string) func(*Facts) {
	return func(f *Facts) {
		underPolicy(statements...)(f)
		f.Tags = map[string]string{"workload": "Enclave-7"}
	}
}

const (
	attested    = `"StringEqualsIgnoreCase": {"kms:RecipientAttestation:ImageSha384": "9fedcba8"}`
	fiveActions = `["kms:Decrypt", "kms:DeriveSharedSecret", "kms:GenerateDataKey*", "kms:GenerateRandom"]`
	sixActions  = `["kms:Decrypt", "kms:DeriveSharedSecret", "kms:GenerateDataKey*", "kms:GenerateRandom", "kms:ReEncryptFrom"]`
)

func TestEnclaveSigns(t *testing.T) {
	open := stmt("Allow", toAdmin, `"kms:Decrypt"`, "")
	for _, id := range []string{"enclave-attestation", "enclave-bypass"} {
		runRule(t, id, []ruleCase{
			{"no sign", underPolicy(open), NotApplicable, "Neither"},
			{"not enabled", func(f *Facts) { forEnclaves(open)(f); f.Key.State = StateDisabled }, NotApplicable, "state Disabled"},
			{"the description", func(f *Facts) { underPolicy(open)(f); f.Key.Description = "for the ENCLAVE" }, Fail, "its description"},
			{"a tag's key", func(f *Facts) { underPolicy(open)(f); f.Tags = map[string]string{"nitro-enclave": "no"} }, Fail, "its tags"},
			{"a tag's value", forEnclaves(open), Fail, "its tags"},
			{"an alias", func(f *Facts) { underPolicy(open)(f); f.Aliases = []Alias{{Name: "alias/my-Enclave"}} }, Fail, "alias alias/my-Enclave"},
			{"a condition", underPolicy(open, stmt("Allow", toAdmin, `"kms:Encrypt"`, attested)), Fail, "a condition of its policy"},
		})
	}
}

func TestEnclaveAttestation(t *testing.T) {
	under := func(condition string) func(*Facts) {
		return forEnclaves(stmt("Allow", toAdmin, `"kms:Decrypt"`, condition))
	}
	runRule(t, "enclave-attestation", []ruleCase{
		{"attested", under(attested), Pass, "asks for attestation"},
		{"a PCR, in capitals", under(`"StringEquals": {"KMS:RECIPIENTATTESTATION:PCR3": "ab"}`), Pass, "asks for attestation"},
		{"StringLike with a whole value", under(`"StringLike": {"kms:RecipientAttestation:PCR0": "ab"}`), Pass, "asks for attestation"},
		{"ForAnyValue", under(`"ForAnyValue:StringEquals": {"kms:RecipientAttestation:PCR0": "ab"}`), Pass, "asks for attestation"},
		{"no condition", under(""), Fail, "Statement 1 allows kms:Decrypt to arn:aws:iam::111122223333:role/admin without"},
		{"another condition", under(`"StringEquals": {"kms:CallerAccount": "111122223333"}`), Fail, "without a condition"},
		{"a wildcard", under(`"StringLike": {"kms:RecipientAttestation:PCR0": "ab*"}`), Fail, "without a condition"},
		{"a wildcard among values", under(`"StringLike": {"kms:RecipientAttestation:PCR0": ["ab", "?"]}`), Fail, "without a condition"},
		{"IfExists", under(`"StringEqualsIfExists": {"kms:RecipientAttestation:PCR0": "ab"}`), Fail, "without a condition"},
		{"StringNotEquals", under(`"StringNotEquals": {"kms:RecipientAttestation:PCR0": "ab"}`), Fail, "without a condition"},
		{"only that it is there", under(`"Null": {"kms:RecipientAttestation:PCR0": "false"}`), Fail, "without a condition"},
		{"ForAllValues", under(`"ForAllValues:StringEquals": {"kms:RecipientAttestation:PCR0": "ab"}`), Fail, "without a condition"},
		{"ForAllValues of a key that is there", under(`"ForAllValues:StringEquals": {"kms:RecipientAttestation:PCR0": "ab"},
			"Null": {"kms:RecipientAttestation:PCR0": "false"}`), Pass, "asks for attestation"},
		{"and the account by kms:*", forEnclaves(stmt("Allow", toAdmin, `"kms:Decrypt"`, attested), stmt("Allow", toRoot, `"kms:*"`, "")), Fail, "Statement 2"},
		{"and administration", forEnclaves(stmt("Allow", toAdmin, `"kms:Decrypt"`, attested), stmt("Allow", toRoot, `["kms:Put*", "kms:Encrypt"]`, "")), Pass, "asks for"},
		{"key pairs without the private key", forEnclaves(stmt("Allow", toAdmin, `"kms:GenerateDataKeyPairWithoutPlaintext"`, "")), Pass, "asks for"},
		{"NotAction", forEnclaves(`{"Effect": "Allow", "Principal": "*", "NotAction": "kms:Decrypt", "Resource": "*"}`), Fail, "kms:GenerateRandom"},
		{"NotAction of all five", forEnclaves(`{"Effect": "Allow", "Principal": "*", "NotAction": ` + fiveActions + `, "Resource": "*"}`), Pass, "asks for"},
		{"a Deny does not help here", forEnclaves(stmt("Allow", toRoot, `"kms:*"`, ""),
			stmt("Deny", toAll, fiveActions, `"Null": {"kms:RecipientAttestation:PCR0": "true"}`)), Fail, "Statement 1"},
	})
}

func TestEnclaveBypass(t *testing.T) {
	deny := func(principal, actions, condition string) func(*Facts) {
		return forEnclaves(stmt("Allow", toRoot, `"kms:*"`, ""), stmt("Deny", principal, actions, condition))
	}
	const absent = `"Null": {"kms:RecipientAttestation:PCR0": "true"}`
	runRule(t, "enclave-bypass", []ruleCase{
		{"attested", forEnclaves(stmt("Allow", toAdmin, `"kms:Decrypt"`, attested)), Pass, "asks for attestation"},
		{"no Deny", forEnclaves(stmt("Allow", toRoot, `"kms:*"`, "")), Fail, "Statement 1 allows kms:Decrypt, kms:DeriveSharedSecret, kms:GenerateDataKey, kms:GenerateDataKeyPair, kms:GenerateRandom, kms:CreateGrant and kms:ReEncryptFrom"},
		{"a Deny where it is absent", deny(toAll, sixActions, absent), Pass, "whatever image attests itself"},
		{"a Deny where it is absent, as AWS", deny(`{"AWS": ["*"]}`, `"kms:*"`, absent), Pass, "statement 2"},
		{"a Deny where it differs", deny(toAll, sixActions, `"StringNotEqualsIgnoreCaseIfExists": {"kms:RecipientAttestation:ImageSha384": "9f"}`), Pass, "without the right one"},
		{"a negated operator holds without IfExists", deny(toAll, sixActions, `"StringNotEquals": {"kms:RecipientAttestation:PCR0": "9f"}`), Pass, "without the right one"},
		{"a Deny where it differs from any", deny(toAll, sixActions, `"StringNotLike": {"kms:RecipientAttestation:PCR0": "*"}`), Pass, "whatever image"},
		{"a Deny by NotAction", forEnclaves(stmt("Allow", toRoot, `"kms:*"`, ""),
			`{"Effect": "Deny", "Principal": "*", "NotAction": "kms:Put*", "Resource": "*", "Condition": {`+absent+`}}`), Pass, "statement 2"},
		{"two Denies together", forEnclaves(stmt("Allow", toRoot, `["kms:Decrypt", "kms:GenerateDataKey"]`, ""),
			stmt("Deny", toAll, `"kms:Decrypt"`, absent), stmt("Deny", toAll, `"kms:GenerateDataKey"`, absent)), Pass, "denies"},
		{"a Deny of some actions", deny(toAll, `["kms:Decrypt", "kms:GenerateDataKey*"]`, absent), Fail, "allows kms:DeriveSharedSecret, kms:GenerateRandom, kms:CreateGrant and kms:ReEncryptFrom"},
		{"a Deny to somebody", deny(toAdmin, sixActions, absent), Fail, "no Deny"},
		{"a Deny to all but somebody", forEnclaves(stmt("Allow", toRoot, `"kms:*"`, ""),
			`{"Effect": "Deny", "NotPrincipal": `+toRoot+`, "Action": "kms:*", "Resource": "*", "Condition": {`+absent+`}}`), Fail, "no Deny"},
		{"a Deny where it is there", deny(toAll, sixActions, `"Null": {"kms:RecipientAttestation:PCR0": "false"}`), Fail, "no Deny"},
		{"a Deny of any value that differs", deny(toAll, sixActions, `"ForAnyValue:StringNotEquals": {"kms:RecipientAttestation:PCR0": "9f"}`), Fail, "no Deny"},
		{"a grant", forEnclaves(stmt("Allow", toAdmin, `"kms:Decrypt"`, attested), stmt("Allow", toRoot, `"kms:CreateGrant"`, "")), Fail, "allows kms:CreateGrant to"},
		{"a grant of what is denied without attestation", forEnclaves(stmt("Allow", toRoot, `"kms:CreateGrant"`, ""), stmt("Deny", toAll, sixActions, absent)), Pass, "whatever image"},
		{"a grant of the right image only", forEnclaves(stmt("Allow", toRoot, `"kms:CreateGrant"`, ""),
			stmt("Deny", toAll, sixActions, `"StringNotEquals": {"kms:RecipientAttestation:PCR0": "9f"}`)), Pass, "without the right one"},
		{"a grant that may re-encrypt", forEnclaves(stmt("Allow", toRoot, `"kms:CreateGrant"`, ""), stmt("Deny", toAll, fiveActions, absent)), Fail, "allows kms:CreateGrant to"},
		{"an attested grant", forEnclaves(stmt("Allow", toRoot, `"kms:CreateGrant"`, attested)), Pass, "asks for attestation"},
		{"re-encryption", forEnclaves(stmt("Allow", toAdmin, `"kms:Decrypt"`, attested), stmt("Allow", toRoot, `"kms:ReEncrypt*"`, "")), Fail, "allows kms:ReEncryptFrom to"},
		{"re-encryption denied", forEnclaves(stmt("Allow", toRoot, `"kms:ReEncrypt*"`, ""), stmt("Deny", toAll, sixActions, absent)), Pass, "statement 2"},
		{"re-encryption to the key", forEnclaves(stmt("Allow", toRoot, `"kms:ReEncryptTo"`, "")), Pass, "asks for attestation"},
		{"a Deny of no values", valueless(deny(toAll, sixActions, `"StringNotEquals": {"kms:RecipientAttestation:PCR0": "9f"}`), 1), Fail, "no Deny"},
		{"a Deny that asks more", deny(toAll, sixActions, absent+`, "IpAddress": {"aws:SourceIp": "192.0.2.1"}`), Fail, "no Deny"},
	})
}
