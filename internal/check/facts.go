package check

import (
	"errors"
	"time"

	"github.com/keyturn/keyturn/internal/policy"
)

// Call names what is read of a key or an account, as errors of findings name it.
type Call string

const (
	DescribeKey          Call = "DescribeKey"
	GetKeyRotationStatus Call = "GetKeyRotationStatus"
	ListKeyRotations     Call = "ListKeyRotations"
	GetKeyPolicy         Call = "GetKeyPolicy"
	ListAliases          Call = "ListAliases"
	ListResourceTags     Call = "ListResourceTags"
	GetKeyLastUsage      Call = "GetKeyLastUsage"
	Replicas             Call = "Replicas"                       // the related keys of a multi-Region primary, each in its region
	IAMPolicies          Call = "GetAccountAuthorizationDetails" // of IAM; only with Settings.WithIAM
	RotationEvents       Call = "LookupEvents"                   // of CloudTrail; only with Settings.WithIAM
)

// Values of the KMS API that checks ask about.
const (
	ManagerCustomer = "CUSTOMER"
	ManagerAWS      = "AWS"

	StateEnabled                = "Enabled"
	StateDisabled               = "Disabled"
	StatePendingDeletion        = "PendingDeletion"
	StatePendingReplicaDeletion = "PendingReplicaDeletion"
	StatePendingImport          = "PendingImport"
	StateUnavailable            = "Unavailable"

	OriginKMS      = "AWS_KMS"
	OriginExternal = "EXTERNAL"
	OriginCloudHSM = "AWS_CLOUDHSM"
	OriginXKS      = "EXTERNAL_KEY_STORE"

	SpecSymmetric = "SYMMETRIC_DEFAULT"

	RoleNone    = ""
	RolePrimary = "PRIMARY"
	RoleReplica = "REPLICA"
)

// Key is what DescribeKey and ListKeys say of a key. Only ID, ARN, Account and Region are there if DescribeKey failed.
type Key struct {
	ID, ARN, Account, Region string

	Manager      string // ManagerCustomer or ManagerAWS
	Spec         string
	Usage        string // ENCRYPT_DECRYPT, SIGN_VERIFY, GENERATE_VERIFY_MAC, KEY_AGREEMENT, ...
	State        string
	Origin       string
	Description  string
	Created      time.Time
	DeletionDate time.Time // zero unless it is to be deleted
	ValidTo      time.Time // expiry of imported material; zero for none
	Expires      bool      // ExpirationModel is KEY_MATERIAL_EXPIRES
	MaterialID   string    // CurrentKeyMaterialId
	KeyStore     string    // CustomKeyStoreId
	Role         string    // RoleNone for single-Region keys
	Primary      string    // ARN of the primary; multi-Region keys only
	Replicas     []string  // ARNs of the replicas
}

// RotatesItself tells whether KMS can rotate the key automatically: symmetric encryption keys with material of KMS's own.
func (k *Key) RotatesItself() bool { return k.Spec == SpecSymmetric && k.Origin == OriginKMS }

// Rotation is what GetKeyRotationStatus says.
type Rotation struct {
	Enabled bool
	Days    int       // period; 0 where rotation is off or the endpoint does not say
	Next    time.Time // zero where the endpoint does not say
}

// Material is one entry of ListKeyRotations with ALL_KEY_MATERIAL.
type Material struct {
	ID       string
	State    string    // CURRENT, NON_CURRENT, PENDING_ROTATION, ...
	Rotated  time.Time // zero for the first material and pending ones
	OnDemand bool      // RotationType
	Imported bool      // ImportState is there
	Missing  bool      // ImportState PENDING_IMPORT
	ValidTo  time.Time // zero for none
}

// Alias is one entry of ListAliases. Times may be zero.
type Alias struct {
	Name             string // alias/...
	Created, Updated time.Time
}

// Usage is what GetKeyLastUsage says.
type Usage struct {
	Tracked   time.Time // since when uses are written down
	Last      time.Time // zero: none since Tracked
	Operation string
}

// Event is a RotateKey event of CloudTrail.
type Event struct {
	ID string
	At time.Time
}

// Facts is everything that was read of one key. What could not be read is absent, and its error in Errors.
type Facts struct {
	Now             time.Time // the service's
	Account, Region string
	Key             *Key
	Rotation        *Rotation
	Materials       []Material // in the order of ListKeyRotations; nil where the endpoint keeps none
	Aliases         []Alias    // sorted by name
	Tags            map[string]string
	PolicyText      string
	Policy          *policy.Policy
	Usage           *Usage // nil: the endpoint does not tell
	Replicas        []Replica
	Events          []Event     // newest first
	IAM             *IAMAccount // shared by all keys of the account
	Errors          map[Call]error
}

// Replica is a related key of a multi-Region primary, as read in its own region. Err is why it could not be read.
type Replica struct {
	ARN    string
	Facts  *Facts // Key, Tags, PolicyText, Policy, Rotation
	Absent bool   // the primary names it, its region does not have it
	Err    error
}

// IAMAccount is what IAM says of an account's principals.
type IAMAccount struct {
	Principals []IAMPrincipal
}

// IAMPrincipal is a user or role with everything attached to it. Policies of groups are among its own.
type IAMPrincipal struct {
	ARN      string
	Policies []IAMPolicy
	Boundary *IAMPolicy // nil for none
}

// IAMPolicy is one identity policy. Policy is nil if the document cannot be parsed; then Err says why.
type IAMPolicy struct {
	Name   string
	Policy *policy.Policy
	Err    error
}

// Settings are what the person who asks decides. Use DefaultSettings.
type Settings struct {
	MaxAge          time.Duration // cryptoperiod of material that does not rotate by itself
	MaxPeriod       int           // longest rotation period, days
	UnusedAfter     time.Duration
	ExpiryWarning   time.Duration // how long before imported material expires it is a failure
	MaxServices     int           // services that one key may serve
	OwnerTags       []string      // any of them names an owner; compared without regard to case
	ClassTags       []string      // tags that name the class of data
	TrustedAccounts []string      // beside the key's own
	WithIAM         bool
	Checks          []string // IDs; empty for all
}

const day = 24 * time.Hour

// DefaultSettings returns the settings in force where nobody says otherwise.
func DefaultSettings() Settings {
	return Settings{
		MaxAge: 365 * day, MaxPeriod: 365, UnusedAfter: 90 * day, ExpiryWarning: 30 * day, MaxServices: 3,
		OwnerTags: []string{"owner", "team", "contact", "cost-center", "costcenter"},
		ClassTags: []string{"classification", "data-classification", "dataclassification", "data-class", "sensitivity"},
	}
}

// ErrorCode returns the code of an error that the service answered, "" for any other.
func ErrorCode(err error) string {
	var answer interface{ ErrorCode() string }
	if errors.As(err, &answer) {
		return answer.ErrorCode()
	}
	return ""
}
