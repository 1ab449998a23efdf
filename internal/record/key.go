package record

import (
	"fmt"
	"strings"
	"time"

	"github.com/keyturn/keyturn/internal/keys"
)

// State is a key state, by the API's name.
type State string

const (
	Enabled                State = "Enabled"
	Disabled               State = "Disabled"
	PendingImport          State = "PendingImport"
	PendingDeletion        State = "PendingDeletion"
	PendingReplicaDeletion State = "PendingReplicaDeletion"
	// Unavailable is never stored: it follows from the key store of a key.
	Unavailable State = "Unavailable"
)

// Origin is where a key's material comes from, by the API's name.
type Origin string

const (
	OriginKMS      Origin = "AWS_KMS"
	OriginImported Origin = "EXTERNAL"
	OriginToken    Origin = "AWS_CLOUDHSM"
	OriginExternal Origin = "EXTERNAL_KEY_STORE"
)

// Manager says who manages a key, by the API's name.
type Manager string

const (
	Customer Manager = "CUSTOMER"
	AWS      Manager = "AWS"
)

// Tag is one tag of a key.
type Tag struct {
	Key   string `json:"k"`
	Value string `json:"v"`
}

// Pin says which user or role an ARN named at some time: whoever has the name later is somebody else.
type Pin struct {
	ARN string `json:"a"`
	ID  string `json:"i"` // AIDA..., AROA...
}

// Key is a KMS key: all of it but its materials.
type Key struct {
	made        `json:",inline"`
	Owner       `json:",inline"`
	ID          string    `json:"id"` // a UUID, or "mrk-" and 32 hexadecimal digits
	Created     time.Time `json:"created"`
	Description string    `json:"description,omitempty"`
	Spec        string    `json:"spec"`
	Usage       string    `json:"usage"`
	Origin      Origin    `json:"origin"`
	Manager     Manager   `json:"manager"`
	State       State     `json:"state"`
	Policy      string    `json:"policy,omitempty"` // "" is the default policy
	Pins        []Pin     `json:"pins,omitempty"`   // whom the ARNs in Policy named when it was put, sorted by ARN
	Tags        []Tag     `json:"tags,omitempty"`   // in the order given

	DeletionDate  time.Time `json:"deletionDate,omitzero"`  // with PendingDeletion
	DeletionDays  int64     `json:"deletionDays,omitempty"` // the waiting period asked for
	Rotation      Rotation  `json:"rotation,omitzero"`
	OnDemandCount int       `json:"onDemandCount,omitempty"` // on-demand rotations so far

	Current   string `json:"current"`   // ID of the current material
	Materials int    `json:"materials"` // how many there have been: the next one's sequence number
	// CurrentSince is when the current material became that.
	CurrentSince time.Time `json:"currentSince,omitzero"`

	// JitterSeconds spreads the due times of keys made in one bulk: rotation comes so much before its date, deletion after.
	JitterSeconds int64 `json:"jitter,omitempty"`

	// MultiRegion is nil for a single-Region key.
	MultiRegion *MultiRegion `json:"multiRegion,omitempty"`
	// Imports has the materials of a key with OriginImported, in the order of their first import. There are never many: each but the
	// first takes an on-demand rotation to become permanent.
	Imports []Import `json:"imports,omitempty"`
	// KeyStore is the custom key store's ID, "" if the key is in none; ExternalKey is the key's name in an external one.
	KeyStore    string `json:"keyStore,omitempty"`
	ExternalKey string `json:"externalKey,omitempty"`

	arn        string // made by Decode; "" in a key that was not stored yet
	policyName string // likewise
}

// MultiRegion is what a multi-Region key knows of its related keys. Rotation, Current, CurrentSince, Materials and OnDemandCount are
// the same in all of them: every change of these, and of this, is one commit to all.
type MultiRegion struct {
	Primary  string   `json:"primary"`            // region of the primary key
	Replicas []string `json:"replicas,omitempty"` // regions of the replica keys, sorted
}

// Primary tells whether the key is a single-Region key or the primary of its related keys: settings that they share change here.
func (k *Key) Primary() bool { return k.MultiRegion == nil || k.MultiRegion.Primary == k.Region }

// MaterialOwner is the owner under whom the key's materials stand: those of a multi-Region key whose material the service made are
// stored once for all regions; imported ones are each region's own.
func (k *Key) MaterialOwner() Owner {
	if k.MultiRegion != nil && k.Origin == OriginKMS {
		return Owner{Account: k.Account, Region: AllRegions}
	}
	return k.Owner
}

// AllRegions stands for the region of what related multi-Region keys share. No region has that name.
const AllRegions = "*"

// Rotation is a key's automatic rotation.
type Rotation struct {
	Enabled bool      `json:"enabled,omitempty"`
	Days    int64     `json:"days,omitempty"`
	Next    time.Time `json:"next,omitzero"` // the date promised
}

// SetPolicy gives the key another policy.
func (k *Key) SetPolicy(text string, pins []Pin) { k.Policy, k.Pins, k.policyName = text, pins, "" }

// PolicyName is the same for keys whose policies say the same of the same principals.
func (k *Key) PolicyName() string {
	switch {
	case k.policyName != "":
		return k.policyName
	case k.Policy == "": // no policy looks like that
		return k.Account + Partition(k.Region)
	case len(k.Pins) == 0:
		return k.Policy
	}
	var b strings.Builder
	b.WriteString(k.Policy)
	for _, p := range k.Pins {
		b.WriteString("\n" + p.ARN + " " + p.ID)
	}
	return b.String()
}

// KeyStoreKey is where a key stands.
func KeyStoreKey(o Owner, id string) string { return o.path("k", id) }

// StoreKey implements Record.
func (k *Key) StoreKey() string { return KeyStoreKey(k.Owner, k.ID) }

// ARN is the key's Amazon Resource Name.
func (k *Key) ARN() string {
	if k.arn != "" {
		return k.arn
	}
	return KeyARN(k.Owner, k.ID)
}

// KeyARN is the Amazon Resource Name of a key, there or not.
func KeyARN(o Owner, id string) string { return o.arn("key/" + id) }

// Weight implements Record.
func (k *Key) Weight() int {
	w := 2*len(k.Policy) + len(k.Description) + 256*len(k.Imports) + 256*len(k.Pins)
	for _, t := range k.Tags {
		w += 64 + len(t.Key) + len(t.Value)
	}
	return w
}

// KeysPrefix is the index of an account's keys in a region; what follows it is the key ID.
func KeysPrefix(o Owner) string { return o.path("i/keys", "") }

// KeyIDPrefix is the index of keys by their ID in a region, whosever they are; what follows it is the account.
func KeyIDPrefix(region, id string) string { return "i/id/" + region + "/" + id + "/" }

// Indexes implements Record: the list of keys, keys by their ID, and what is due.
func (k *Key) Indexes() []string {
	ix := []string{KeysPrefix(k.Owner) + k.ID, KeyIDPrefix(k.Region, k.ID) + k.Account}
	if due, ok := k.Due(); ok {
		ix = append(ix, due.IndexKey())
	}
	if due, ok := k.DueExpiry(); ok {
		ix = append(ix, due.IndexKey())
	}
	return ix
}

// Due returns what happens to the key next: deletion if it is pending, else rotation if that is on, the key enabled, and no replica.
func (k *Key) Due() (Due, bool) {
	jitter := time.Duration(k.JitterSeconds) * time.Second
	switch {
	case k.State == PendingDeletion:
		return Due{At: k.DeletionDate.Add(jitter), Kind: DueDeletion, Owner: k.Owner, KeyID: k.ID}, true
	case k.State == Enabled && k.Rotation.Enabled && k.Primary():
		return Due{At: k.Rotation.Next.Add(-jitter), Kind: DueRotation, Owner: k.Owner, KeyID: k.ID}, true
	}
	return Due{}, false
}

// DueExpiry returns when imported material of the key expires next, whatever state the key is in.
func (k *Key) DueExpiry() (Due, bool) {
	at := k.Expiry()
	return Due{At: at, Kind: DueExpiry, Owner: k.Owner, KeyID: k.ID}, !at.IsZero()
}

// CounterShards is how many counters an account's keys are spread over, so that keys made at once rarely meet in one.
const CounterShards = 16

// KeyCounters names the counters of customer managed keys in an account and region; their sum counts.
func KeyCounters(o Owner) []string {
	names := make([]string, CounterShards)
	for i := range names {
		names[i] = o.path("c/keys", fmt.Sprintf("%x", i))
	}
	return names
}

// Counters implements Record. Only customer managed keys count against a quota; a custom key store counts its keys.
func (k *Key) Counters() []string {
	if k.Manager != Customer {
		return nil
	}
	shard := strings.TrimPrefix(k.ID, keys.MultiRegionPrefix)[:1]
	counters := []string{k.path("c/keys", shard)}
	if k.KeyStore != "" {
		counters = append(counters, KeyStoreKeysCounter(k.Owner, k.KeyStore))
		if k.ExternalKey != "" {
			counters = append(counters, ExternalKeyCounter(k.Owner, k.KeyStore, k.ExternalKey))
		}
	}
	return counters
}
