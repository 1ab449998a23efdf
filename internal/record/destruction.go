package record

import (
	"crypto/sha256"
	"strings"
	"time"
)

// Destroyed is when a secret was last destroyed: key material, an access key, the seed of an MFA device, what opens a custom key store. It
// is written with each commit that does so, unread, so that no two of them conflict; it carries no audit event of its own. Its
// revision tells what a scrub of the store came after.
type Destroyed struct {
	made `json:",inline"`
	At   time.Time `json:"at"` // real time
}

// DestroyedStoreKey is where it stands.
const DestroyedStoreKey = "d/destroyed"

// StoreKey implements Record.
func (*Destroyed) StoreKey() string { return DestroyedStoreKey }

// Indexes implements Record.
func (*Destroyed) Indexes() []string { return nil }

// Counters implements Record.
func (*Destroyed) Counters() []string { return nil }

// Scrubbed is the last scrub of the store that was completed.
type Scrubbed struct {
	made     `json:",inline"`
	Number   int64     `json:"number"` // 1 for the first
	Started  time.Time `json:"started"`
	Finished time.Time `json:"finished"`
	// What it came after: revisions of Destroyed and of the keyring, 0 for none.
	Destroyed uint64 `json:"destroyed,omitempty"`
	Keyring   uint64 `json:"keyring"`
	// What it found, in bytes.
	File        int64 `json:"file"`
	Free        int64 `json:"free"`
	Overwritten int64 `json:"overwritten"`
}

// ScrubbedStoreKey is where it stands.
const ScrubbedStoreKey = "d/scrubbed"

// StoreKey implements Record.
func (*Scrubbed) StoreKey() string { return ScrubbedStoreKey }

// Indexes implements Record.
func (*Scrubbed) Indexes() []string { return nil }

// Counters implements Record.
func (*Scrubbed) Counters() []string { return nil }

// HoldsSecret tells whether what stands at a store key has a secret, as far as the key says: a material in a token has none.
func HoldsSecret(storeKey string) bool {
	kind, _, _ := strings.Cut(storeKey, "/")
	switch kind {
	case "m", "s", "x", "pm":
		return true
	}
	return false
}

// SecretDigest is a hash of the secret in a record, to tell whether it is another one; zero if there is none.
func SecretDigest(r Record) [sha256.Size]byte {
	var secret []byte
	switch r := r.(type) {
	case *Material:
		secret = r.Secret
	case *AccessKey:
		secret = []byte(r.Secret)
	case *MFADevice:
		secret = r.Secret
	case *KeyStore: // one of the two
		secret = []byte(r.Password + r.Proxy.SecretAccessKey)
	}
	if len(secret) == 0 {
		return [sha256.Size]byte{}
	}
	return sha256.Sum256(secret)
}
