package identity

// Policies that AWS manages, as far as they make sense here: by name and path, what they allow as AWS documents it ("AWS Managed Policy
// Reference Guide"). Their ARNs are arn:aws:iam::aws:policy PATH NAME.

// Managed is a policy that AWS manages.
type Managed struct {
	Name, Path, Description, ID, Document string
}

// ARN is the policy's Amazon Resource Name in the partition "aws".
func (m *Managed) ARN() string { return "arn:aws:iam::" + awsAccount + ":policy" + m.Path + m.Name }

// AWSManaged returns the policies that AWS manages, sorted by name.
func AWSManaged() []Managed { return append([]Managed(nil), awsManaged[:]...) }

var awsManaged = [...]Managed{
	{"AdministratorAccess", "/", "Everything.", "ANPAIWMBCKSKIEE64ZLYK",
		`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}`},
	{"AWSKeyManagementServicePowerUser", "/", "Making, tagging and describing KMS keys.", "ANPAJNPP7PPPPMJRV2SA4",
		`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["kms:CreateAlias","kms:CreateKey","kms:DeleteAlias","kms:Describe*",` +
			`"kms:GenerateRandom","kms:Get*","kms:List*","kms:TagResource","kms:UntagResource","iam:ListGroups","iam:ListRoles","iam:ListUsers"],"Resource":"*"}]}`},
	{"IAMFullAccess", "/", "Everything in IAM.", "ANPAI7XKCFMBPM3QQRRVQ",
		`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"iam:*","Resource":"*"}]}`},
	{"IAMReadOnlyAccess", "/", "Reading IAM.", "ANPAJKSO7NDY4T57MWDSQ",
		`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["iam:Get*","iam:List*","iam:Simulate*"],"Resource":"*"}]}`},
	{"PowerUserAccess", "/", "Everything but managing identities.", "ANPAJYRXTHIB4FOVS3ZXS",
		`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","NotAction":["iam:*","organizations:*","account:*","keyturn:*Account*","keyturn:*RootAccessKey"],"Resource":"*"},` +
			`{"Effect":"Allow","Action":["iam:ListRoles"],"Resource":"*"}]}`},
}

// ManagedByARN returns the policy that AWS manages with an ARN in the partition "aws", nil if there is none here.
func ManagedByARN(arn string) *Managed {
	for i := range awsManaged {
		if awsManaged[i].ARN() == arn {
			return &awsManaged[i]
		}
	}
	return nil
}
