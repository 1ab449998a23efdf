package check

const iamGuide = "https://docs.aws.amazon.com/IAM/latest/UserGuide/"

// What every change of a key policy has in common.
const (
	editPolicyConsole = "KMS, Customer managed keys, the key, tab Key policy, Switch to policy view, Edit: "
	editPolicyCLI     = `aws kms get-key-policy --key-id <key-id> --query Policy --output text --region <region> > policy.json
# Edit policy.json, then:
aws kms put-key-policy --key-id <key-id> --policy file://policy.json --region <region>`
)

var fixPolicyPublic = Remediation{
	Text: "Name the accounts, users or roles that need the key in the place of \"*\". Where it has to stay \"*\", add a condition that says " +
		"who calls, such as kms:CallerAccount or aws:PrincipalOrgID; kms:ViaService alone does not.",
	Console: editPolicyConsole + "put ARNs or a condition in the statement, Save changes.",
	CLI:     editPolicyCLI,
	CloudFormation: `Key:
  Type: AWS::KMS::Key
  Properties:
    KeyPolicy:
      Version: "2012-10-17"
      Statement:
        - Sid: Users of the organization
          Effect: Allow
          Principal: "*"
          Action: kms:Decrypt
          Resource: "*"
          Condition:
            StringEquals:
              aws:PrincipalOrgID: o-exampleorgid
`,
	Terraform: `data "aws_iam_policy_document" "key" {
  statement {
    sid       = "Users of the organization"
    actions   = ["kms:Decrypt"]
    resources = ["*"]
    principals {
      type        = "*"
      identifiers = ["*"]
    }
    condition {
      test     = "StringEquals"
      variable = "aws:PrincipalOrgID"
      values   = ["o-exampleorgid"]
    }
  }
}
`,
	URL: developerGuide + "key-policies.html",
}

var fixPolicyUnknownAccount = Remediation{
	Text: "Find out whose the account is. If nobody needs the access, remove the principal; if somebody does, give the account to " +
		"keyturn check as a trusted one, and allow only the actions and roles that are needed.",
	Console: "KMS, Customer managed keys, the key, tab Key policy, Other AWS accounts: remove the account. Or, " + editPolicyConsole +
		"remove the principal, Save changes.",
	CLI: editPolicyCLI,
	CloudFormation: `Key:
  Type: AWS::KMS::Key
  Properties:
    KeyPolicy:
      Version: "2012-10-17"
      Statement:
        - Sid: Partner decrypts
          Effect: Allow
          Principal:
            AWS: arn:aws:iam::444455556666:role/reader # one role of a known account
          Action: kms:Decrypt
          Resource: "*"
`,
	Terraform: `data "aws_iam_policy_document" "key" {
  statement {
    sid       = "Partner decrypts"
    actions   = ["kms:Decrypt"]
    resources = ["*"]
    principals {
      type        = "AWS"
      identifiers = ["arn:aws:iam::444455556666:role/reader"] # one role of a known account
    }
  }
}
`,
	URL: developerGuide + "key-policy-modifying-external-accounts.html",
}

var fixPolicyLockout = Remediation{
	Text: "If the root user or somebody with access can still change the policy, add the statement that lets the account's IAM policies " +
		"permit access. If nobody can, open a case with AWS Support, from the root user of the account.",
	Console: editPolicyConsole + "add the statement for the account's root, Save changes.",
	CLI:     editPolicyCLI,
	CloudFormation: `Key:
  Type: AWS::KMS::Key
  Properties:
    KeyPolicy:
      Version: "2012-10-17"
      Statement:
        - Sid: Enable IAM User Permissions
          Effect: Allow
          Principal:
            AWS: !Sub "arn:${AWS::Partition}:iam::${AWS::AccountId}:root"
          Action: kms:*
          Resource: "*"
`,
	Terraform: `data "aws_caller_identity" "current" {}

data "aws_iam_policy_document" "key" {
  statement {
    sid       = "Enable IAM User Permissions"
    actions   = ["kms:*"]
    resources = ["*"]
    principals {
      type        = "AWS"
      identifiers = ["arn:aws:iam::${data.aws_caller_identity.current.account_id}:root"]
    }
  }
}
`,
	URL: developerGuide + "key-policy-default.html",
}

var fixPolicyMFADeletion = Remediation{
	Text: "Add a Deny of kms:ScheduleKeyDeletion, and for imported material of kms:DeleteImportedKeyMaterial, with BoolIfExists on " +
		"aws:MultiFactorAuthPresent. Bool without IfExists lets long-term access keys through.",
	Console: editPolicyConsole + "add the Deny, Save changes.",
	CLI:     editPolicyCLI,
	CloudFormation: `Key:
  Type: AWS::KMS::Key
  Properties:
    KeyPolicy:
      Version: "2012-10-17"
      Statement: # beside the statements that are there
        - Sid: Deletion takes MFA
          Effect: Deny
          Principal: "*"
          Action:
            - kms:ScheduleKeyDeletion
            - kms:DeleteImportedKeyMaterial
          Resource: "*"
          Condition:
            BoolIfExists:
              aws:MultiFactorAuthPresent: "false"
`,
	Terraform: `data "aws_iam_policy_document" "key" {
  # beside the statements that are there
  statement {
    sid       = "Deletion takes MFA"
    effect    = "Deny"
    actions   = ["kms:ScheduleKeyDeletion", "kms:DeleteImportedKeyMaterial"]
    resources = ["*"]
    principals {
      type        = "*"
      identifiers = ["*"]
    }
    condition {
      test     = "BoolIfExists"
      variable = "aws:MultiFactorAuthPresent"
      values   = ["false"]
    }
  }
}
`,
	URL: iamGuide + "reference_policies_condition-keys.html",
}

var fixPolicyWildcardAdmin = Remediation{
	Text: "List the actions of administrators one by one, and leave out those of use such as kms:Decrypt. Only the statement for the " +
		"account itself keeps kms:*.",
	Console: editPolicyConsole + "put the actions in the place of the wildcard, Save changes.",
	CLI:     editPolicyCLI,
	CloudFormation: `Key:
  Type: AWS::KMS::Key
  Properties:
    KeyPolicy:
      Version: "2012-10-17"
      Statement: # beside the one for the account
        - Sid: Administrators
          Effect: Allow
          Principal:
            AWS: !Sub "arn:${AWS::Partition}:iam::${AWS::AccountId}:role/key-admin"
          Action:
            - kms:DescribeKey
            - kms:GetKeyPolicy
            - kms:PutKeyPolicy
            - kms:EnableKeyRotation
            - kms:GetKeyRotationStatus
            - kms:ListKeyRotations
            - kms:ScheduleKeyDeletion
            - kms:CancelKeyDeletion
          Resource: "*"
`,
	Terraform: `data "aws_iam_policy_document" "key" {
  # beside the statement for the account
  statement {
    sid = "Administrators"
    actions = [
      "kms:DescribeKey", "kms:GetKeyPolicy", "kms:PutKeyPolicy", "kms:EnableKeyRotation", "kms:GetKeyRotationStatus",
      "kms:ListKeyRotations", "kms:ScheduleKeyDeletion", "kms:CancelKeyDeletion",
    ]
    resources = ["*"]
    principals {
      type        = "AWS"
      identifiers = ["arn:aws:iam::111122223333:role/key-admin"]
    }
  }
}
`,
	URL: developerGuide + "key-policy-default.html",
}
