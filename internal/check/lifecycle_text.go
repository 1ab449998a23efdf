package check

var fixKeyEnabled = Remediation{
	Text: "Enable the key if it is needed; if nothing encrypted under it is, schedule its deletion. A key that waits for material needs an " +
		"import, one in a custom key store a connected store.",
	Console:        "KMS, Customer managed keys, the key: Key actions, Enable; or Key actions, Schedule key deletion.",
	CLI:            "aws kms enable-key --key-id <key-id> --region <region>",
	CloudFormation: "Key:\n  Type: AWS::KMS::Key\n  Properties:\n    Enabled: true\n",
	Terraform:      "resource \"aws_kms_key\" \"key\" {\n  is_enabled = true\n}\n",
	URL:            developerGuide + "enabling-keys.html",
}

var fixPendingDeletion = Remediation{
	Text: "Cancel the deletion if it was not meant, and enable the key: cancelling leaves it disabled. If it was meant, accept the finding " +
		"until the date.",
	Console: "KMS, Customer managed keys, the key: Key actions, Cancel key deletion; then Key actions, Enable.",
	CLI: `aws kms cancel-key-deletion --key-id <key-id> --region <region>
aws kms enable-key --key-id <key-id> --region <region>`,
	CloudFormation: `# Cancel with the CLI. So that no change of a stack deletes the key again:
Key:
  Type: AWS::KMS::Key
  DeletionPolicy: Retain
  UpdateReplacePolicy: Retain
  Properties:
    PendingWindowInDays: 30
`,
	Terraform: `# Cancel with the CLI. So that no plan deletes the key again:
resource "aws_kms_key" "key" {
  deletion_window_in_days = 30

  lifecycle {
    prevent_destroy = true
  }
}
`,
	URL: developerGuide + "deleting-keys-scheduling-key-deletion.html",
}

var fixUnusedKey = Remediation{
	Text: "Ask the owner, disable the key, and wait as long as the rarest job takes to come round. Only then schedule its deletion, with " +
		"the longest waiting period.",
	Console: "KMS, Customer managed keys, the key: Key actions, Disable. Later: Key actions, Schedule key deletion, 30 days.",
	CLI: `aws kms disable-key --key-id <key-id> --region <region>

# Later, when nobody has missed it:
aws kms schedule-key-deletion --key-id <key-id> --pending-window-in-days 30 --region <region>`,
	CloudFormation: `# Disable it first; take it out of the template later.
Key:
  Type: AWS::KMS::Key
  Properties:
    Enabled: false
    PendingWindowInDays: 30
`,
	Terraform: `# Disable it first; take it out of the configuration later.
resource "aws_kms_key" "key" {
  is_enabled              = false
  deletion_window_in_days = 30
}
`,
	URL: "https://docs.aws.amazon.com/kms/latest/APIReference/API_GetKeyLastUsage.html",
}

var fixHasAlias = Remediation{
	Text:    "Give the key an alias that says what it is for, and let applications name the alias.",
	Console: "KMS, Customer managed keys, the key, tab Aliases: Create alias.",
	CLI:     "aws kms create-alias --alias-name <alias> --target-key-id <key-id> --region <region>",
	CloudFormation: `Alias:
  Type: AWS::KMS::Alias
  Properties:
    AliasName: <alias>
    TargetKeyId: <key-id>
`,
	Terraform: `resource "aws_kms_alias" "alias" {
  name          = "<alias>"
  target_key_id = "<key-id>"
}
`,
	URL: developerGuide + "kms-alias.html",
}

var fixHasOwner = Remediation{
	Text:    "Tag the key with the team or person who answers for it.",
	Console: "KMS, Customer managed keys, the key, tab Tags: Edit, Add tag, Owner and a name, Save.",
	CLI:     "aws kms tag-resource --key-id <key-id> --tags TagKey=Owner,TagValue=<owner> --region <region>",
	CloudFormation: `Key:
  Type: AWS::KMS::Key
  Properties:
    Tags:
      - Key: Owner
        Value: <owner>
`,
	Terraform: `resource "aws_kms_key" "key" {
  tags = {
    Owner = "<owner>"
  }
}
`,
	URL: developerGuide + "tagging-keys.html",
}

var fixBlastRadius = Remediation{
	Text: "Make one key for each class of data, and let only the services that keep it use the key. Encrypt new data under the new keys, " +
		"move the old data, then narrow the policy.",
	Console: "KMS, Customer managed keys, Create key for each class, with a tag that names it; then the key, tab Key policy: Edit, and " +
		"keep one service in kms:ViaService.",
	CLI: `aws kms create-key --tags TagKey=Classification,TagValue=confidential --region <region>
aws kms put-key-policy --key-id <key-id> --policy file://policy.json --region <region>`,
	CloudFormation: `ConfidentialKey:
  Type: AWS::KMS::Key
  Properties:
    EnableKeyRotation: true
    KeyPolicy:
      Version: "2012-10-17"
      Statement:
        - Sid: Administration
          Effect: Allow
          Principal:
            AWS: !Sub arn:${AWS::Partition}:iam::${AWS::AccountId}:root
          Action: kms:*
          Resource: "*"
        - Sid: ThroughOneService
          Effect: Allow
          Principal:
            AWS: !Sub arn:${AWS::Partition}:iam::${AWS::AccountId}:role/reports
          Action:
            - kms:Decrypt
            - kms:GenerateDataKey
          Resource: "*"
          Condition:
            StringEquals:
              kms:ViaService: !Sub s3.${AWS::Region}.amazonaws.com
    Tags:
      - Key: Classification
        Value: confidential
`,
	Terraform: `resource "aws_kms_key" "confidential" {
  enable_key_rotation = true
  policy              = data.aws_iam_policy_document.confidential.json
  tags = {
    Classification = "confidential"
  }
}

# In the policy document, on the statement that lets people use the key:
#   condition {
#     test     = "StringEquals"
#     variable = "kms:ViaService"
#     values   = ["s3.<region>.amazonaws.com"]
#   }
`,
	URL: developerGuide + "least-privilege.html",
}

var fixReplicasAgree = Remediation{
	Text: "Make the replica like its primary: policy, tags, description, enabled or not, and for imported material the same material. A replica " +
		"that is gone is made again from the primary.",
	Console: "KMS, the replica's Region, Customer managed keys, the key with the same ID: Key actions, Enable; tab Key policy, tab Tags: Edit.",
	CLI: `aws kms get-key-policy --key-id <key-id> --policy-name default --query Policy --output text --region <region> > policy.json
aws kms put-key-policy --key-id <key-id> --policy file://policy.json --region <replica-region>
aws kms update-key-description --key-id <key-id> --description <description> --region <replica-region>
aws kms tag-resource --key-id <key-id> --tags TagKey=<tag>,TagValue=<value> --region <replica-region>
aws kms enable-key --key-id <key-id> --region <replica-region>`,
	CloudFormation: `# In a stack in the replica's Region; a stack set keeps all of them the same.
Replica:
  Type: AWS::KMS::ReplicaKey
  Properties:
    PrimaryKeyArn: arn:aws:kms:<region>:<account>:key/<key-id>
    Description: the same as the primary's
    Enabled: true
    KeyPolicy:
      Version: "2012-10-17"
      Statement:
        - Sid: Administration
          Effect: Allow
          Principal:
            AWS: !Sub arn:${AWS::Partition}:iam::${AWS::AccountId}:root
          Action: kms:*
          Resource: "*"
`,
	Terraform: `resource "aws_kms_replica_key" "replica" {
  provider        = aws.replica
  primary_key_arn = aws_kms_key.primary.arn
  description     = aws_kms_key.primary.description
  enabled         = aws_kms_key.primary.is_enabled
  policy          = aws_kms_key.primary.policy
  tags            = aws_kms_key.primary.tags
}
`,
	URL: developerGuide + "multi-region-keys-overview.html",
}

var fixMultiRegion = Remediation{
	Text: "Nothing turns a multi-Region key into a single-Region one. Where no application decrypts in another Region, delete the replicas, " +
		"or encrypt the data again under a single-Region key; otherwise accept the finding.",
	Console: "KMS, the replica's Region, Customer managed keys, the key: Key actions, Schedule key deletion. A new key: Create key, " +
		"Advanced options, Single-Region key.",
	CLI: `aws kms create-key --no-multi-region --region <region>
aws kms update-alias --alias-name <alias> --target-key-id <new-key-id> --region <region>`,
	CloudFormation: "Key:\n  Type: AWS::KMS::Key\n  Properties:\n    MultiRegion: false\n    EnableKeyRotation: true\n",
	Terraform:      "resource \"aws_kms_key\" \"key\" {\n  multi_region        = false\n  enable_key_rotation = true\n}\n",
	URL:            developerGuide + "multi-region-keys-overview.html",
}
