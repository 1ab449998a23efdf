package record

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/keyturn/keyturn/internal/keys"
	"github.com/keyturn/keyturn/internal/xaes"
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

	arn string // made by Decode; "" in a key that was not stored yet
}

// MultiRegion is what a multi-Region key knows of its related keys. Rotation, Current, CurrentSince, Materials and OnDemandCount are
// the same in all of them: every change of these, and of this, is one commit to all.
type MultiRegion struct {
	Primary  string   `json:"primary"`            // region of the primary key
	Replicas []string `json:"replicas,omitempty"` // regions of the replica keys, sorted
}

// Primary tells whether the key is a single-Region key or the primary of its related keys: settings that they share change here.
func (k *Key) Primary() bool { return k.MultiRegion == nil || k.MultiRegion.Primary == k.Region }

// Import is one imported material of a key: what is known of it whether it is there or not.
type Import struct {
	ID          string    `json:"id"`
	Seq         int       `json:"seq"`
	Description string    `json:"description,omitempty"`
	Present     bool      `json:"present,omitempty"` // false: to be imported (again)
	Expires     time.Time `json:"expires,omitzero"`  // zero: never
	// Pending: it becomes current with the next rotation, and belongs to the key only from then on.
	Pending bool         `json:"pending,omitempty"`
	Rotated time.Time    `json:"rotated,omitzero"` // when it became current by rotation
	How     RotationType `json:"how,omitempty"`    // of that rotation
}

// Import returns the key's imported material of an ID, nil if it has none.
func (k *Key) Import(id string) *Import {
	for i := range k.Imports {
		if k.Imports[i].ID == id {
			return &k.Imports[i]
		}
	}
	return nil
}

// PendingImport returns the imported material that waits for rotation, nil if none does.
func (k *Key) PendingImport() *Import {
	for i := range k.Imports {
		if k.Imports[i].Pending {
			return &k.Imports[i]
		}
	}
	return nil
}

// MaterialMissing tells whether a material that belongs to the key is to be imported: then nothing can be done with it.
func (k *Key) MaterialMissing() bool {
	if k.Origin != OriginImported {
		return false
	}
	for i := range k.Imports {
		if !k.Imports[i].Present && !k.Imports[i].Pending {
			return true
		}
	}
	return len(k.Imports) == 0
}

// Expiry returns when the first of the key's imported materials expires; zero if none does.
func (k *Key) Expiry() time.Time {
	var first time.Time
	for _, i := range k.Imports {
		if i.Present && !i.Expires.IsZero() && (first.IsZero() || i.Expires.Before(first)) {
			first = i.Expires
		}
	}
	return first
}

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
	w := len(k.Policy) + len(k.Description) + 256*len(k.Imports)
	for _, t := range k.Tags {
		w += 64 + len(t.Key) + len(t.Value)
	}
	return w
}

// KeysPrefix is the index of an account's keys in a region; what follows it is the key ID.
func KeysPrefix(o Owner) string { return o.path("i/keys", "") }

// Indexes implements Record: the list of keys and what is due.
func (k *Key) Indexes() []string {
	ix := []string{KeysPrefix(k.Owner) + k.ID}
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

// RotationType says how a material came to be current, by the API's name; "" for the first one.
type RotationType string

const (
	Automatic RotationType = "AUTOMATIC"
	OnDemand  RotationType = "ON_DEMAND"
)

// Material is one key material. It never changes after it was made, but for Messages. One that was imported can be deleted, and
// imported again.
type Material struct {
	made     `json:",inline"`
	Owner    `json:",inline"`
	KeyID    string       `json:"key"`
	ID       string       `json:"id"`  // 64 hexadecimal characters
	Seq      int          `json:"seq"` // 0 for the first
	Created  time.Time    `json:"created"`
	Rotation RotationType `json:"rotation,omitempty"`
	Spec     string       `json:"spec,omitempty"` // the key's spec; "" is SYMMETRIC_DEFAULT
	// Secret is in the spec's stored form; absent if the material never leaves its token, and then the ID is random.
	Secret []byte `json:"secret,omitempty"`
	// Token: the material is in a token, and what there is of it here is its name.
	Token bool `json:"token,omitempty"`
	// Messages is how many messages may have been encrypted under a material in a token, which draws its IVs at random: they are
	// reserved, many at a time, before they are.
	Messages int64 `json:"messages,omitempty"`

	// Made by Open.
	key        any // what the spec opens to; nil if the material is in a token
	keyID      keys.KeyID
	materialID keys.MaterialID
}

// String keeps the secret out of whatever prints a Material.
func (m *Material) String() string { return "material " + m.ID }

// GoString does the same for %#v.
func (m *Material) GoString() string { return m.String() }

// Weight implements Record: what the opened material takes.
func (m *Material) Weight() int {
	if spec := keys.SpecByName(m.Spec); spec != nil {
		return spec.Weight + len(m.Secret)
	}
	return len(m.Secret)
}

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
	if m.Token {
		id, ok2 := keys.ParseMaterialID(m.ID)
		if !ok1 || !ok2 || m.Secret != nil {
			return fmt.Errorf("%w: token material %s", ErrDecode, m.ID)
		}
		m.keyID, m.materialID = keyID, id
		return nil
	}
	id, err := keys.NewMaterialID(m.Secret, keyID)
	if !ok1 || err != nil || id.String() != m.ID {
		return fmt.Errorf("%w: material %s is not what its ID names", ErrDecode, m.ID)
	}
	m.keyID, m.materialID = keyID, id
	spec := keys.SpecByName(cmp.Or(m.Spec, "SYMMETRIC_DEFAULT"))
	if spec == nil {
		return fmt.Errorf("%w: material %s is of an unknown spec", ErrDecode, m.ID)
	}
	if m.key, err = spec.Open(m.Secret); err != nil {
		if errors.Is(err, keys.ErrFIPS) {
			return fmt.Errorf("record: material %s: %w", m.ID, err)
		}
		return fmt.Errorf("%w: material %s does not open", ErrDecode, m.ID)
	}
	return nil
}

// Key returns the opened material: what it can do is told by the interfaces of package keys that it implements.
func (m *Material) Key() any { return m.key }

// AEAD returns the opened material of a symmetric key; nil if it is none, or in a token.
func (m *Material) AEAD() *xaes.AEAD {
	aead, _ := m.key.(*xaes.AEAD)
	return aead
}

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
	// MaterialRegion is where the materials stand that go with the key: "" in its own region, AllRegions with the last of related
	// multi-Region keys, NoRegion if the key leaves none behind.
	MaterialRegion string `json:"materialRegion,omitempty"`
}

// NoRegion says that nothing stands anywhere.
const NoRegion = "-"

// MaterialOwner is the owner of the materials to remove; ok is false if there are none.
func (t *Tombstone) MaterialOwner() (owner Owner, ok bool) {
	switch t.MaterialRegion {
	case "":
		return t.Owner, true
	case NoRegion:
		return Owner{}, false
	}
	return Owner{Account: t.Account, Region: t.MaterialRegion}, true
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
