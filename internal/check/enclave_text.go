package check

var fixEnclaveAttestation = Remediation{
	Text: "Put a condition on kms:RecipientAttestation:ImageSha384 or a PCR, with its value, in every statement that allows kms:Decrypt, " +
		"kms:DeriveSharedSecret, kms:GenerateDataKey, kms:GenerateDataKeyPair or kms:GenerateRandom, and list the account's actions by name.",
	Console:        editPolicyConsole + "add the condition, Save changes.",
	CLI:            editPolicyCLI,
	CloudFormation: enclaveCloudFormation,
	Terraform:      enclaveTerraform,
	URL:            developerGuide + "conditions-attestation.html",
}

var fixEnclaveBypass = Remediation{
	Text: "Add a Deny for everybody of the same five actions and kms:ReEncryptFrom, with StringNotEqualsIgnoreCaseIfExists on " +
		"kms:RecipientAttestation:ImageSha384: it holds where there is no attestation and where there is another one, for grants too. Or take " +
		"the actions out of the statement, kms:CreateGrant and kms:ReEncryptFrom with them.",
	Console:        editPolicyConsole + "add the Deny, Save changes.",
	CLI:            editPolicyCLI,
	CloudFormation: enclaveCloudFormation,
	Terraform:      enclaveTerraform,
	URL:            developerGuide + "conditions-attestation.html",
}

const enclaveCloudFormation = `Key:
  Type: AWS::KMS::Key
  Properties:
    KeyPolicy:
      Version: "2012-10-17"
      Statement:
        - Sid: Enclave decrypts
          Effect: Allow
          Principal:
            AWS: !Sub "arn:${AWS::Partition}:iam::${AWS::AccountId}:role/enclave-parent"
          Action: kms:Decrypt
          Resource: "*"
          Condition:
            StringEqualsIgnoreCase:
              kms:RecipientAttestation:ImageSha384: !Ref ImageSha384
        - Sid: Only the enclave
          Effect: Deny
          Principal: "*"
          Action:
            - kms:Decrypt
            - kms:DeriveSharedSecret
            - kms:GenerateDataKey
            - kms:GenerateDataKeyPair
            - kms:GenerateRandom
            - kms:ReEncryptFrom
          Resource: "*"
          Condition:
            StringNotEqualsIgnoreCaseIfExists:
              kms:RecipientAttestation:ImageSha384: !Ref ImageSha384
`

const enclaveTerraform = `data "aws_iam_policy_document" "key" {
  statement {
    sid       = "Enclave decrypts"
    actions   = ["kms:Decrypt"]
    resources = ["*"]
    principals {
      type        = "AWS"
      identifiers = ["arn:aws:iam::111122223333:role/enclave-parent"]
    }
    condition {
      test     = "StringEqualsIgnoreCase"
      variable = "kms:RecipientAttestation:ImageSha384"
      values   = [var.image_sha384]
    }
  }
  statement {
    sid    = "Only the enclave"
    effect = "Deny"
    actions = [
      "kms:Decrypt", "kms:DeriveSharedSecret", "kms:GenerateDataKey", "kms:GenerateDataKeyPair", "kms:GenerateRandom",
      "kms:ReEncryptFrom",
    ]
    resources = ["*"]
    principals {
      type        = "*"
      identifiers = ["*"]
    }
    condition {
      test     = "StringNotEqualsIgnoreCaseIfExists"
      variable = "kms:RecipientAttestation:ImageSha384"
      values   = [var.image_sha384]
    }
  }
}
`
