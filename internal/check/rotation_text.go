package check

// editions are the versions of the frameworks that are cited in one version only.
var editions = map[string]string{NIST80053: "Rev. 5", NIST80057: "Rev. 5", PCIDSS: "4.0.1", SOC2: "2017", ISO27001: "2022"}

// cite returns controls of a framework.
func cite(framework string, ids ...string) []Control {
	controls := make([]Control, len(ids))
	for i, id := range ids {
		controls[i] = Control{Framework: framework, Version: editions[framework], ID: id}
	}
	return controls
}

// cisRotation is the one recommendation on rotation of the benchmark, whose number changes.
var cisRotation = []Control{
	{CIS, "1.4.0", "3.8"}, {CIS, "1.5.0", "3.8"}, {CIS, "2.0.0", "3.8"},
	{CIS, "3.0.0", "3.6"}, {CIS, "4.0.0", "3.6"}, {CIS, "5.0.0", "3.6"},
	{CIS, "6.0.0", "4.6"}, {CIS, "7.0.0", "4.6"},
}

const developerGuide = "https://docs.aws.amazon.com/kms/latest/developerguide/"

// The two ways to write a key that rotates, for all checks that end in one.
const (
	rotatingKeyCloudFormation = `Key:
  Type: AWS::KMS::Key
  Properties:
    EnableKeyRotation: true
    RotationPeriodInDays: 365
`
	rotatingKeyTerraform = `resource "aws_kms_key" "key" {
  enable_key_rotation     = true
  rotation_period_in_days = 365
}
`
)

var fixRotationEnabled = Remediation{
	Text: "Enable automatic rotation. The key ID, its aliases and everything encrypted under it stay as they are; of a multi-Region key, " +
		"enable it on the primary.",
	Console: "KMS, Customer managed keys, the key, tab Key rotation: Edit automatic rotation, Enable, a period in days, Save.",
	CLI:     "aws kms enable-key-rotation --key-id <key-id> --rotation-period-in-days 365 --region <region>",

	CloudFormation: rotatingKeyCloudFormation,
	Terraform:      rotatingKeyTerraform,
	URL:            developerGuide + "rotating-keys-enable.html",
}

var fixManualRotation = Remediation{
	Text: "Make a key like it, point the alias to the new one, and keep the old one enabled to decrypt or verify. A symmetric key with " +
		"imported material keeps its ID: import new material and rotate to it on demand.",
	Console: "KMS, Customer managed keys, Create key with the same type and usage; then the old key, tab Aliases: delete the alias, and " +
		"create it on the new key. For imported material: the key, tab Key material, Import new key material, then Rotate now.",
	CLI: `aws kms create-key --key-spec <key-spec> --key-usage <key-usage> --region <region>
aws kms update-alias --alias-name <alias> --target-key-id <new-key-id> --region <region>

# For a symmetric key with imported material, after get-parameters-for-import:
aws kms import-key-material --key-id <key-id> --import-type NEW_KEY_MATERIAL --encrypted-key-material fileb://material.bin --import-token fileb://token.bin --expiration-model KEY_MATERIAL_DOES_NOT_EXPIRE --region <region>
aws kms rotate-key-on-demand --key-id <key-id> --region <region>`,
	CloudFormation: `# The old key stays in the template, under its own name, for as long as anything has to be decrypted or verified with it.
# Imported material cannot be rotated by CloudFormation.
Key2:
  Type: AWS::KMS::Key
  Properties:
    KeySpec: ECC_NIST_P256
    KeyUsage: SIGN_VERIFY
Alias:
  Type: AWS::KMS::Alias
  Properties:
    AliasName: <alias>
    TargetKeyId: !Ref Key2
`,
	Terraform: `# The old key stays in the configuration, under its own name, for as long as anything has to be decrypted or verified with it.
# Imported material cannot be rotated on demand by Terraform.
resource "aws_kms_key" "key2" {
  customer_master_key_spec = "ECC_NIST_P256"
  key_usage                = "SIGN_VERIFY"
}

resource "aws_kms_alias" "alias" {
  name          = "<alias>"
  target_key_id = aws_kms_key.key2.key_id
}
`,
	URL: developerGuide + "rotate-keys-manually.html",
}

var fixRotationPeriod = Remediation{
	Text: "Enable rotation once more with a shorter period, of 90 days or more. Nothing else of the key changes.",
	Console: "KMS, Customer managed keys, the key, tab Key rotation: Edit automatic rotation, a shorter period in days, Save. " +
		"Of a multi-Region key, do it at the primary.",
	CLI: "aws kms enable-key-rotation --key-id <key-id> --rotation-period-in-days 365 --region <region>",

	CloudFormation: rotatingKeyCloudFormation,
	Terraform:      rotatingKeyTerraform,
	URL:            developerGuide + "rotate-keys.html",
}

var fixRotationOverdue = Remediation{
	Text: "Rotate the key on demand now, which leaves the schedule as it is; then find out why the promised rotation did not happen: " +
		"on AWS ask Support, elsewhere look at whatever runs the rotations.",
	Console: "KMS, Customer managed keys, the key, tab Key rotation: Rotate now. The list below shows every rotation there was.",
	CLI: `aws kms rotate-key-on-demand --key-id <key-id> --region <region>
aws kms list-key-rotations --key-id <key-id> --include-key-material ALL_KEY_MATERIAL --region <region>`,
	CloudFormation: "# CloudFormation cannot rotate on demand. It can only say that the key is to rotate:\n" + rotatingKeyCloudFormation,
	Terraform:      "# Terraform cannot rotate on demand. It can only say that the key is to rotate:\n" + rotatingKeyTerraform,
	URL:            developerGuide + "rotating-keys-on-demand.html",
}

var fixOnDemandLimit = Remediation{
	Text: "Let automatic rotation do what is planned, which has no limit, and keep on-demand rotation for what is not. For a key with " +
		"imported material, plan a successor and point the alias to it.",
	Console: "KMS, Customer managed keys, the key, tab Key rotation: Edit automatic rotation, Enable. The tab also says how many on-demand " +
		"rotations are left.",
	CLI: `aws kms enable-key-rotation --key-id <key-id> --rotation-period-in-days 90 --region <region>

# For a key with imported material, a successor:
aws kms create-key --origin EXTERNAL --region <region>
aws kms update-alias --alias-name <alias> --target-key-id <new-key-id> --region <region>`,
	CloudFormation: `Key:
  Type: AWS::KMS::Key
  Properties:
    EnableKeyRotation: true
    RotationPeriodInDays: 90
`,
	Terraform: `resource "aws_kms_key" "key" {
  enable_key_rotation     = true
  rotation_period_in_days = 90
}
`,
	URL: developerGuide + "rotating-keys-on-demand.html",
}

var fixImportExpiry = Remediation{
	Text: "Import the same material again, without an expiry or with a later one; KMS takes no other material in its place. Do it for every " +
		"material of the key, and in every Region of a multi-Region key.",
	Console: "KMS, Customer managed keys, the key, tab Key material: Reimport key material, download the wrapping key and import token, " +
		"upload the wrapped material, and choose the expiry.",
	CLI: `aws kms get-parameters-for-import --key-id <key-id> --wrapping-algorithm RSAES_OAEP_SHA_256 --wrapping-key-spec RSA_4096 --region <region>
aws kms import-key-material --key-id <key-id> --import-type EXISTING_KEY_MATERIAL --encrypted-key-material fileb://material.bin --import-token fileb://token.bin --expiration-model KEY_MATERIAL_DOES_NOT_EXPIRE --region <region>`,
	CloudFormation: `# CloudFormation makes the key without material, and cannot import any: that takes the CLI or the console.
Key:
  Type: AWS::KMS::Key
  Properties:
    Origin: EXTERNAL
`,
	Terraform: `# Without valid_to the material does not expire. It is kept in the state: protect that like the key.
resource "aws_kms_external_key" "key" {
  key_material_base64 = var.key_material
  enabled             = true
}
`,
	URL: developerGuide + "importing-keys-import-key-material.html",
}
