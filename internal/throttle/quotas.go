package throttle

// Class is what calls are counted by: the calls of one class share a quota. The zero Class is none.
type Class uint8

// The classes, as AWS KMS has its request quotas: those that operations share first, then one for each of the other operations.
const (
	_ Class = iota

	CryptographicSymmetric // HMAC keys included
	CryptographicRSA
	CryptographicECC // SM2 included
	CryptographicMLDSA
	CryptographicMLKEM
	CustomKeyStore // of each custom key store, beside the account's own

	// Both operations that make data key pairs, by the spec of the pair.
	DataKeyPairRSA2048
	DataKeyPairRSA3072
	DataKeyPairRSA4096
	DataKeyPairP256
	DataKeyPairP384
	DataKeyPairP521
	DataKeyPairSecp256k1
	DataKeyPairEd25519
	DataKeyPairSM2
	DataKeyPairMLKEM512
	DataKeyPairMLKEM768
	DataKeyPairMLKEM1024

	CancelKeyDeletion
	ConnectCustomKeyStore
	CreateAlias
	CreateCustomKeyStore
	CreateGrant
	CreateKey
	DeleteAlias
	DeleteCustomKeyStore
	DeleteImportedKeyMaterial
	DescribeCustomKeyStores
	DescribeKey
	DisableKey
	DisableKeyRotation
	DisconnectCustomKeyStore
	EnableKey
	EnableKeyRotation
	GetKeyLastUsage
	GetKeyPolicy
	GetKeyRotationStatus
	GetParametersForImport
	GetPublicKey
	ImportKeyMaterial
	ListAliases
	ListGrants
	ListKeyPolicies
	ListKeyRotations
	ListKeys
	ListResourceTags
	ListRetirableGrants
	PutKeyPolicy
	ReplicateKey
	RetireGrant
	RevokeGrant
	RotateKeyOnDemand
	ScheduleKeyDeletion
	TagResource
	UntagResource
	UpdateAlias
	UpdateCustomKeyStore
	UpdateKeyDescription
	UpdatePrimaryRegion

	STS         // every operation of AWS STS that is signed
	WebIdentity // AssumeRoleWithWebIdentity, which whoever has a token of some provider may call
	IAM         // every operation of AWS IAM
	Keyturn     // every operation that is not AWS's

	classes // how many there are, none included
)

// quota is how many calls of a class a second one account may make in one Region.
type quota struct {
	name     string
	rate     float64
	regional map[string]float64 // where it is another
}

// quotas are the defaults of AWS: "Request quotas" in the AWS KMS Developer Guide
// (https://docs.aws.amazon.com/kms/latest/developerguide/requests-per-second.html), and for STS "IAM and AWS STS quotas" in the IAM
// User Guide (https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html). AWS gives no numbers for ML-KEM;
// here they are those of elliptic curves. Keyturn's own operations are no part of either page.
var quotas = [classes]quota{
	CryptographicSymmetric: {"CryptographicSymmetric", 10_000, map[string]float64{
		"us-east-1": 100_000, "us-west-2": 100_000, "eu-west-1": 100_000,
		"us-east-2": 20_000, "ap-southeast-1": 20_000, "ap-southeast-2": 20_000, "ap-northeast-1": 20_000,
		"eu-central-1": 20_000, "eu-west-2": 20_000,
	}},
	CryptographicRSA:   {"CryptographicRSA", 1000, nil},
	CryptographicECC:   {"CryptographicECC", 1000, nil},
	CryptographicMLDSA: {"CryptographicMLDSA", 1000, nil},
	CryptographicMLKEM: {"CryptographicMLKEM", 1000, nil},
	CustomKeyStore:     {"CustomKeyStore", 1800, nil},

	DataKeyPairRSA2048:   {"GenerateDataKeyPair_RSA_2048", 20, inChina(1)},
	DataKeyPairRSA3072:   {"GenerateDataKeyPair_RSA_3072", 4, inChina(0.5)},
	DataKeyPairRSA4096:   {"GenerateDataKeyPair_RSA_4096", 1, inChina(0.1)},
	DataKeyPairP256:      {"GenerateDataKeyPair_ECC_NIST_P256", 100, nil},
	DataKeyPairP384:      {"GenerateDataKeyPair_ECC_NIST_P384", 100, nil},
	DataKeyPairP521:      {"GenerateDataKeyPair_ECC_NIST_P521", 100, nil},
	DataKeyPairSecp256k1: {"GenerateDataKeyPair_ECC_SECG_P256K1", 100, nil},
	DataKeyPairEd25519:   {"GenerateDataKeyPair_ECC_NIST_EDWARDS25519", 100, nil},
	DataKeyPairSM2:       {"GenerateDataKeyPair_SM2", 25, nil},
	DataKeyPairMLKEM512:  {"GenerateDataKeyPair_ML_KEM_512", 100, nil},
	DataKeyPairMLKEM768:  {"GenerateDataKeyPair_ML_KEM_768", 100, nil},
	DataKeyPairMLKEM1024: {"GenerateDataKeyPair_ML_KEM_1024", 100, nil},

	CancelKeyDeletion:         {"CancelKeyDeletion", 5, nil},
	ConnectCustomKeyStore:     {"ConnectCustomKeyStore", 5, nil},
	CreateAlias:               {"CreateAlias", 5, nil},
	CreateCustomKeyStore:      {"CreateCustomKeyStore", 5, nil},
	CreateGrant:               {"CreateGrant", 50, nil},
	CreateKey:                 {"CreateKey", 5, nil},
	DeleteAlias:               {"DeleteAlias", 15, nil},
	DeleteCustomKeyStore:      {"DeleteCustomKeyStore", 5, nil},
	DeleteImportedKeyMaterial: {"DeleteImportedKeyMaterial", 15, nil},
	DescribeCustomKeyStores:   {"DescribeCustomKeyStores", 5, nil},
	DescribeKey:               {"DescribeKey", 2000, nil},
	DisableKey:                {"DisableKey", 5, nil},
	DisableKeyRotation:        {"DisableKeyRotation", 5, nil},
	DisconnectCustomKeyStore:  {"DisconnectCustomKeyStore", 5, nil},
	EnableKey:                 {"EnableKey", 5, nil},
	EnableKeyRotation:         {"EnableKeyRotation", 15, nil},
	GetKeyLastUsage:           {"GetKeyLastUsage", 5, nil},
	GetKeyPolicy:              {"GetKeyPolicy", 1000, nil},
	GetKeyRotationStatus:      {"GetKeyRotationStatus", 1000, nil},
	GetParametersForImport:    {"GetParametersForImport", 1, nil},
	GetPublicKey:              {"GetPublicKey", 2000, nil},
	ImportKeyMaterial:         {"ImportKeyMaterial", 15, nil},
	ListAliases:               {"ListAliases", 500, nil},
	ListGrants:                {"ListGrants", 100, nil},
	ListKeyPolicies:           {"ListKeyPolicies", 100, nil},
	ListKeyRotations:          {"ListKeyRotations", 100, nil},
	ListKeys:                  {"ListKeys", 500, nil},
	ListResourceTags:          {"ListResourceTags", 2000, nil},
	ListRetirableGrants:       {"ListRetirableGrants", 100, nil},
	PutKeyPolicy:              {"PutKeyPolicy", 15, nil},
	ReplicateKey:              {"ReplicateKey", 5, nil},
	RetireGrant:               {"RetireGrant", 50, nil},
	RevokeGrant:               {"RevokeGrant", 50, nil},
	RotateKeyOnDemand:         {"RotateKeyOnDemand", 5, nil},
	ScheduleKeyDeletion:       {"ScheduleKeyDeletion", 15, nil},
	TagResource:               {"TagResource", 10, nil},
	UntagResource:             {"UntagResource", 5, nil},
	UpdateAlias:               {"UpdateAlias", 5, nil},
	UpdateCustomKeyStore:      {"UpdateCustomKeyStore", 5, nil},
	UpdateKeyDescription:      {"UpdateKeyDescription", 5, nil},
	UpdatePrimaryRegion:       {"UpdatePrimaryRegion", 5, nil},

	STS:         {"STS", 600, nil},
	WebIdentity: {"AssumeRoleWithWebIdentity", 100, nil}, // AWS publishes none
	IAM:         {"IAM", 100, nil},                       // likewise
	Keyturn:     {"Keyturn", 100, nil},
}

func inChina(rate float64) map[string]float64 {
	return map[string]float64{"cn-north-1": rate, "cn-northwest-1": rate}
}

// String returns the class's name, as configurations have it.
func (c Class) String() string {
	if c >= classes {
		return ""
	}
	return quotas[c].name
}

// ClassByName returns the class of a name; ok is false if there is none.
func ClassByName(name string) (c Class, ok bool) {
	for c := Class(1); c < classes; c++ {
		if quotas[c].name == name {
			return c, true
		}
	}
	return 0, false
}
