package record

import "time"

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

// Tombstone marks a deleted key whose materials, aliases and grants are still to be removed. Nothing finds them any more.
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
