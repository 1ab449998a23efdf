package record

import (
	"fmt"
	"time"

	"github.com/keyturn/keyturn/internal/keys"
	"github.com/keyturn/keyturn/internal/xaes"
)

// State is a key state, by the API's name.
type State string

const (
	Enabled         State = "Enabled"
	Disabled        State = "Disabled"
	PendingDeletion State = "PendingDeletion"
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

// Key is a KMS key: all of it but its materials.
type Key struct {
	made        `json:",inline"`
	Owner       `json:",inline"`
	ID          string    `json:"id"` // a UUID
	Created     time.Time `json:"created"`
	Description string    `json:"description,omitempty"`
	Spec        string    `json:"spec"`
	Usage       string    `json:"usage"`
	Origin      string    `json:"origin"`
	Manager     Manager   `json:"manager"`
	State       State     `json:"state"`
	Policy      string    `json:"policy,omitempty"` // "" is the default policy
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

	arn string // made by Decode; "" in a key that was not stored yet
}

// Rotation is a key's automatic rotation.
type Rotation struct {
	Enabled bool      `json:"enabled,omitempty"`
	Days    int64     `json:"days,omitempty"`
	Next    time.Time `json:"next,omitzero"` // the date promised
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

// KeysPrefix is the index of an account's keys in a region; what follows it is the key ID.
func KeysPrefix(o Owner) string { return o.path("i/keys", "") }

// Indexes implements Record: the list of keys and what is due.
func (k *Key) Indexes() []string {
	ix := []string{KeysPrefix(k.Owner) + k.ID}
	if due, ok := k.Due(); ok {
		ix = append(ix, due.IndexKey())
	}
	return ix
}

// Due returns what happens to the key next: deletion if it is pending, else rotation if that is on and the key enabled.
func (k *Key) Due() (Due, bool) {
	jitter := time.Duration(k.JitterSeconds) * time.Second
	switch {
	case k.State == PendingDeletion:
		return Due{At: k.DeletionDate.Add(jitter), Kind: DueDeletion, Owner: k.Owner, KeyID: k.ID}, true
	case k.State == Enabled && k.Rotation.Enabled:
		return Due{At: k.Rotation.Next.Add(-jitter), Kind: DueRotation, Owner: k.Owner, KeyID: k.ID}, true
	}
	return Due{}, false
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

// Counters implements Record. Only customer managed keys count against a quota.
func (k *Key) Counters() []string {
	if k.Manager != Customer {
		return nil
	}
	return []string{k.path("c/keys", k.ID[:1])}
}

// RotationType says how a material came to be current, by the API's name; "" for the first one.
type RotationType string

const (
	Automatic RotationType = "AUTOMATIC"
	OnDemand  RotationType = "ON_DEMAND"
)

// Material is one key material. It never changes after it was made.
type Material struct {
	made     `json:",inline"`
	Owner    `json:",inline"`
	KeyID    string       `json:"key"`
	ID       string       `json:"id"`  // 64 hexadecimal characters
	Seq      int          `json:"seq"` // 0 for the first
	Created  time.Time    `json:"created"`
	Rotation RotationType `json:"rotation,omitempty"`
	Secret   []byte       `json:"secret"`

	// Made by Open.
	aead       *xaes.AEAD
	keyID      keys.KeyID
	materialID keys.MaterialID
}

// String keeps the secret out of whatever prints a Material.
func (m *Material) String() string { return "material " + m.ID }

// GoString does the same for %#v.
func (m *Material) GoString() string { return m.String() }

// MaterialStoreKey is where a material stands.
func MaterialStoreKey(o Owner, keyID, id string) string { return o.path2("m", keyID, id) }

// StoreKey implements Record.
func (m *Material) StoreKey() string { return MaterialStoreKey(m.Owner, m.KeyID, m.ID) }

// MaterialsPrefix is the index of a key's materials in order; what follows it is SEQ/ID, see ParseMaterialIndex.
func MaterialsPrefix(o Owner, keyID string) string { return o.path2("i/materials", keyID, "") }

// MaterialIndex is the index entry of the material with a sequence number; it sorts by that.
func MaterialIndex(o Owner, keyID string, seq int, id string) string {
	return MaterialsPrefix(o, keyID) + fmt.Sprintf("%010d/%s", seq, id)
}

// Indexes implements Record.
func (m *Material) Indexes() []string {
	return []string{MaterialIndex(m.Owner, m.KeyID, m.Seq, m.ID)}
}

// Counters implements Record.
func (m *Material) Counters() []string { return nil }

// Open prepares the material for use and checks that it is the one its ID names. Call it once, before the record is shared.
func (m *Material) Open() error {
	keyID, ok1 := keys.ParseKeyID(m.KeyID)
	id, err := keys.NewMaterialID(m.Secret, keyID)
	if !ok1 || err != nil || id.String() != m.ID {
		return fmt.Errorf("%w: material %s is not what its ID names", ErrDecode, m.ID)
	}
	m.keyID, m.materialID = keyID, id
	m.aead, err = xaes.New(m.Secret)
	return err
}

// AEAD returns the opened material.
func (m *Material) AEAD() *xaes.AEAD { return m.aead }

// IDs returns the opened material's key ID and its own, in binary.
func (m *Material) IDs() (keys.KeyID, keys.MaterialID) { return m.keyID, m.materialID }

// Alias is a name for a key.
type Alias struct {
	made    `json:",inline"`
	Owner   `json:",inline"`
	Name    string    `json:"name"` // with "alias/"
	KeyID   string    `json:"key"`
	Created time.Time `json:"created"`
	Updated time.Time `json:"updated"`
}

// AliasesPrefix is where an account's aliases in a region stand; what follows is the alias name.
func AliasesPrefix(o Owner) string { return o.path("a", "") }

// StoreKey implements Record.
func (a *Alias) StoreKey() string { return AliasesPrefix(a.Owner) + a.Name }

// ARN is the alias's Amazon Resource Name.
func (a *Alias) ARN() string { return AliasARN(a.Owner, a.Name) }

// AliasARN is the Amazon Resource Name of an alias, there or not.
func AliasARN(o Owner, name string) string { return o.arn(name) }

// KeyAliasesPrefix is the index of a key's aliases; what follows is the alias name.
func KeyAliasesPrefix(o Owner, keyID string) string { return o.path2("i/aliases", keyID, "") }

// Indexes implements Record.
func (a *Alias) Indexes() []string { return []string{KeyAliasesPrefix(a.Owner, a.KeyID) + a.Name} }

// AliasCounter counts a key's aliases.
func AliasCounter(o Owner, keyID string) string { return o.path("c/aliases", keyID) }

// Counters implements Record.
func (a *Alias) Counters() []string { return []string{AliasCounter(a.Owner, a.KeyID)} }

// Tombstone marks a deleted key whose materials and aliases are still to be removed. Nothing finds them any more.
type Tombstone struct {
	made    `json:",inline"`
	Owner   `json:",inline"`
	KeyID   string    `json:"key"`
	Deleted time.Time `json:"deleted"`
}

// TombstoneStoreKey is where a tombstone stands.
func TombstoneStoreKey(o Owner, keyID string) string { return o.path("t", keyID) }

// StoreKey implements Record.
func (t *Tombstone) StoreKey() string { return TombstoneStoreKey(t.Owner, t.KeyID) }

// Indexes implements Record: sweeping is due at once.
func (t *Tombstone) Indexes() []string {
	return []string{Due{At: t.Deleted, Kind: DueSweep, Owner: t.Owner, KeyID: t.KeyID}.IndexKey()}
}

// Counters implements Record.
func (t *Tombstone) Counters() []string { return nil }

// Clock is how far the service's time is ahead of real time. Only keyturn dev has one.
type Clock struct {
	made   `json:",inline"`
	Offset int64 `json:"offset"` // nanoseconds
}

// ClockStoreKey is where the clock stands.
const ClockStoreKey = "d/clock"

// StoreKey implements Record.
func (*Clock) StoreKey() string { return ClockStoreKey }

// Indexes implements Record.
func (*Clock) Indexes() []string { return nil }

// Counters implements Record.
func (*Clock) Counters() []string { return nil }
