package record

import "time"

// KeyUsage is when and how a key was last used for cryptography. It follows the calls by a few seconds.
type KeyUsage struct {
	made      `json:",inline"`
	Owner     `json:",inline"`
	KeyID     string    `json:"key"`
	Operation string    `json:"op"` // the API's name
	At        time.Time `json:"at"`
	EventID   string    `json:"event"`   // of its audit record
	RequestID string    `json:"request"` // of the call
}

// KeyUsageStoreKey is where a key's usage stands.
func KeyUsageStoreKey(o Owner, keyID string) string { return o.path("u", keyID) }

// StoreKey implements Record.
func (u *KeyUsage) StoreKey() string { return KeyUsageStoreKey(u.Owner, u.KeyID) }

// Indexes implements Record.
func (*KeyUsage) Indexes() []string { return nil }

// Counters implements Record.
func (*KeyUsage) Counters() []string { return nil }

// MaterialUsage is how much one material was used since it was made. It follows the calls by a few seconds.
type MaterialUsage struct {
	made        `json:",inline"`
	Owner       `json:",inline"`
	KeyID       string    `json:"key"`
	ID          string    `json:"id"`
	Encryptions int64     `json:"encryptions,omitempty"` // signatures and MACs made included
	Bytes       int64     `json:"bytes,omitempty"`       // encrypted, signed or authenticated
	Decryptions int64     `json:"decryptions,omitempty"` // verifications included
	Encrypted   time.Time `json:"encrypted,omitzero"`    // the last time
	Decrypted   time.Time `json:"decrypted,omitzero"`    // the last time
}

// MaterialUsagePrefix is where the usages of a key's materials stand; what follows is the material's ID.
func MaterialUsagePrefix(o Owner, keyID string) string { return o.path2("v", keyID, "") }

// StoreKey implements Record.
func (u *MaterialUsage) StoreKey() string { return MaterialUsagePrefix(u.Owner, u.KeyID) + u.ID }

// Indexes implements Record.
func (*MaterialUsage) Indexes() []string { return nil }

// Counters implements Record.
func (*MaterialUsage) Counters() []string { return nil }

// OfKey is where the key stands that was used.
func (u *KeyUsage) OfKey() string { return KeyStoreKey(u.Owner, u.KeyID) }

// OfKey is where the key stands that was used.
func (u *MaterialUsage) OfKey() string { return KeyStoreKey(u.Owner, u.KeyID) }

// After returns the later of the use and what the store has, nil if that is nothing.
func (u *KeyUsage) After(old Record) Record {
	next := *u
	if o, ok := old.(*KeyUsage); ok {
		if o.At.After(u.At) {
			next = *o
		}
		next.By = o.By
	}
	return &next
}

// After returns the sum of the uses and what the store has, nil if that is nothing.
func (u *MaterialUsage) After(old Record) Record {
	next := *u
	if o, ok := old.(*MaterialUsage); ok {
		next.Add(o)
		next.By = o.By
	}
	return &next
}

// Add adds what another record counts.
func (u *MaterialUsage) Add(o *MaterialUsage) {
	u.Encryptions += o.Encryptions
	u.Bytes += o.Bytes
	u.Decryptions += o.Decryptions
	if o.Encrypted.After(u.Encrypted) {
		u.Encrypted = o.Encrypted
	}
	if o.Decrypted.After(u.Decrypted) {
		u.Decrypted = o.Decrypted
	}
}

// Tracking is since when uses have been written down: a store may be older than that.
type Tracking struct {
	made  `json:",inline"`
	Since time.Time `json:"since"`
}

// TrackingStoreKey is where it stands.
const TrackingStoreKey = "d/tracking"

// StoreKey implements Record.
func (*Tracking) StoreKey() string { return TrackingStoreKey }

// Indexes implements Record.
func (*Tracking) Indexes() []string { return nil }

// Counters implements Record.
func (*Tracking) Counters() []string { return nil }
