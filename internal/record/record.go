// Package record defines what is stored: records with versioned encodings, where each stands in the store, and the indexes and
// counters that follow from it. All of it is pure; the service's transaction keeps indexes and counters true by comparing
// the old record with the new one in the same commit.
//
// Store keys, with A an account, R a region and K a key ID:
//
//	k/A/R/K                     Key
//	m/A/R/K/MATERIAL            Material
//	a/A/R/NAME                  Alias
//	g/A/R/K/GRANT               Grant
//	t/A/R/K                     Tombstone: a deleted key whose materials, aliases and grants are being swept
//	s/A/R/ID                    KeyStore: a custom key store
//	u/A/R/K                     KeyUsage: when the key was last used
//	v/A/R/K/MATERIAL            MaterialUsage: how much a material was used
//	n/A                         Account
//	na/ALIAS                    AccountAlias
//	p/A/KIND/ID                 User, Group, Role: by unique ID
//	pn/A/KIND/NAME              Name: leads to one of these
//	pp/A/NAME                   ManagedPolicy
//	pm/A/NAME                   MFADevice
//	po/A/URL                    OIDCProvider
//	x/ACCESSKEY                 AccessKey
//	xu/ACCESSKEY                AccessKeyUse
//	d/clock                     Clock (keyturn dev only)
//	d/deployment                Deployment
//	d/destroyed                 Destroyed
//	d/scrubbed                  Scrubbed
//	d/mark                      Mark: the high-water mark of time (not in keyturn dev)
//	d/tracking                  Tracking
//	d/restored                  Restored
//	d/backup                    LastBackup
//	o/NODE/SEQUENCE             an audit record not yet in the log (package service)
//	i/...                       indexes: the key says everything, the value is empty
//	c/...                       counters
package record

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
)

// ErrDecode: a stored record is not what this package writes.
var ErrDecode = errors.New("record: malformed")

// Record is one stored thing.
type Record interface {
	// StoreKey is where it stands.
	StoreKey() string
	// Indexes are the index entries it appears under, a pure function of the record.
	Indexes() []string
	// Counters are the counters it counts in, by one each.
	Counters() []string
	// Provenance is the record's version and what made it.
	Provenance() *Provenance
	// Weight is about how many bytes it takes in memory, beyond 1 KiB.
	Weight() int
}

// Provenance lets verification against the audit log find a record that was put back to an older state.
type Provenance struct {
	Version uint64 `json:"v"`  // 1 when made, one more with each change
	Event   string `json:"ev"` // eventID of the audit record of the change that made this version
}

// made is embedded in every record; it has the method, and the field another name.
type made struct {
	By Provenance `json:"by"`
}

// Provenance implements Record.
func (m *made) Provenance() *Provenance { return &m.By }

// Weight implements Record, for all that is small.
func (*made) Weight() int { return 0 }

// Derived tells whether what stands at a store key is an index entry or a counter: it follows from records, and no audit record lists it.
func Derived(storeKey string) bool {
	return strings.HasPrefix(storeKey, IndexPrefix) || strings.HasPrefix(storeKey, CounterPrefix)
}

// Unlogged tells whether what stands at a store key is a record that is also written without an audit record: what was used and when, how far
// the clock was, when a secret went. The audit log cannot vouch for it.
func Unlogged(storeKey string) bool {
	switch kind, _, _ := strings.Cut(storeKey, "/"); kind {
	case "u", "v", "xu":
		return true
	}
	return storeKey == TrackingStoreKey || storeKey == MarkStoreKey || storeKey == DestroyedStoreKey
}

// Where all index entries, all counters and all audit records on their way stand.
const (
	IndexPrefix   = "i/"
	CounterPrefix = "c/"
	OutboxPrefix  = "o/"
)

// schema is the version of the encodings below. A decoder reads every version that was ever written.
const schema = 1

// Encode returns the stored form: a schema byte, then JSON.
func Encode(r Record) ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte(schema)
	if err := json.MarshalWrite(&b, r); err != nil {
		return nil, fmt.Errorf("record: encoding %s: %w", r.StoreKey(), err)
	}
	return b.Bytes(), nil
}

// Decode reads the record that stands at storeKey. The error is ErrDecode, without any of the content.
func Decode(storeKey string, value []byte) (Record, error) {
	var r Record
	kind, _, _ := strings.Cut(storeKey, "/")
	switch kind {
	case "k":
		r = new(Key)
	case "m":
		r = new(Material)
	case "a":
		r = new(Alias)
	case "g":
		r = new(Grant)
	case "t":
		r = new(Tombstone)
	case "s":
		r = new(KeyStore)
	case "u":
		r = new(KeyUsage)
	case "v":
		r = new(MaterialUsage)
	case "n":
		r = new(Account)
	case "na":
		r = new(AccountAlias)
	case "p":
		r = newPrincipal(storeKey)
	case "pn":
		r = new(Name)
	case "pp":
		r = new(ManagedPolicy)
	case "pm":
		r = new(MFADevice)
	case "po":
		r = new(OIDCProvider)
	case "x":
		r = new(AccessKey)
	case "xu":
		r = new(AccessKeyUse)
	case "d":
		switch storeKey {
		case TrackingStoreKey:
			r = new(Tracking)
		case DeploymentStoreKey:
			r = new(Deployment)
		case DestroyedStoreKey:
			r = new(Destroyed)
		case ScrubbedStoreKey:
			r = new(Scrubbed)
		case MarkStoreKey:
			r = new(Mark)
		case RestoredStoreKey:
			r = new(Restored)
		case LastBackupStoreKey:
			r = new(LastBackup)
		default:
			r = new(Clock)
		}
	default:
		return nil, fmt.Errorf("%w: no record stands at %q", ErrDecode, kind)
	}
	if len(value) == 0 || value[0] != schema {
		return nil, fmt.Errorf("%w: unknown version of %s", ErrDecode, storeKey)
	}
	if err := json.Unmarshal(value[1:], r, json.RejectUnknownMembers(true)); err != nil {
		return nil, fmt.Errorf("%w: %s", ErrDecode, storeKey)
	}
	if r.StoreKey() != storeKey {
		return nil, fmt.Errorf("%w: %s holds another record", ErrDecode, storeKey)
	}
	if k, ok := r.(*Key); ok {
		if k.ID == "" {
			return nil, fmt.Errorf("%w: %s has no key ID", ErrDecode, storeKey)
		}
		k.arn = KeyARN(k.Owner, k.ID)
		if k.Policy == "" || len(k.Pins) > 0 {
			k.policyName = k.PolicyName()
		}
	}
	return r, nil
}

// EncodeCounter and DecodeCounter are the stored form of a counter.
func EncodeCounter(n int64) []byte { return binary.AppendVarint([]byte{schema}, n) }

// DecodeCounter reads what EncodeCounter wrote; an absent counter (nil) is 0.
func DecodeCounter(value []byte) (int64, error) {
	if value == nil {
		return 0, nil
	}
	if len(value) < 2 || value[0] != schema {
		return 0, fmt.Errorf("%w: counter", ErrDecode)
	}
	n, size := binary.Varint(value[1:])
	if size != len(value)-1 {
		return 0, fmt.Errorf("%w: counter", ErrDecode)
	}
	return n, nil
}

// Owner says whose a record is.
type Owner struct {
	Account string `json:"account"`
	Region  string `json:"region"`
}

// path and path2 are a store key of one and of two parts below the owner. They are on the way of every request.
func (o Owner) path(kind, name string) string {
	return kind + "/" + o.Account + "/" + o.Region + "/" + name
}

func (o Owner) path2(kind, name, more string) string {
	return kind + "/" + o.Account + "/" + o.Region + "/" + name + "/" + more
}

// Partition is the first part of ARNs in a region.
func Partition(region string) string {
	for _, p := range partitions {
		if strings.HasPrefix(region, p.prefix) {
			return p.name
		}
	}
	return "aws"
}

var partitions = []struct{ prefix, name string }{
	{"cn-", "aws-cn"}, {"us-gov-", "aws-us-gov"}, {"eusc-", "aws-eusc"}, {"us-iso-", "aws-iso"}, {"us-isob-", "aws-iso-b"},
	{"eu-isoe-", "aws-iso-e"}, {"us-isof-", "aws-iso-f"},
}

func (o Owner) arn(resource string) string {
	return "arn:" + Partition(o.Region) + ":kms:" + o.Region + ":" + o.Account + ":" + resource
}

// Due is an entry of the due index: something that happens to a key at a time.
type Due struct {
	At   time.Time
	Kind DueKind
	Owner
	KeyID string
}

// DueKind says what happens.
type DueKind string

const (
	DueRotation DueKind = "rotate"
	DueDeletion DueKind = "delete"
	DueExpiry   DueKind = "expire"  // imported material
	DueSweep    DueKind = "sweep"   // what a deleted key leaves behind
	DueConnect  DueKind = "connect" // a custom key store; KeyID is its ID
)

// DuePrefix is where the due index stands; its entries sort by time.
const DuePrefix = "i/due/"

// IndexKey is where the entry stands.
func (d Due) IndexKey() string {
	// Milliseconds since 1970, zero-padded: sorts by time through the year 9999.
	ms := max(d.At.UnixMilli(), 0)
	return fmt.Sprintf("%s%015d/%s/%s/%s/%s", DuePrefix, ms, d.Kind, d.Account, d.Region, d.KeyID)
}

// ParseDue reads an entry's store key.
func ParseDue(indexKey string) (Due, error) {
	parts := strings.Split(strings.TrimPrefix(indexKey, DuePrefix), "/")
	if len(parts) != 5 || len(parts[0]) != 15 {
		return Due{}, fmt.Errorf("%w: due entry", ErrDecode)
	}
	ms, err := strconv.ParseInt(parts[0], 10, 64)
	if err != nil {
		return Due{}, fmt.Errorf("%w: due entry", ErrDecode)
	}
	return Due{At: time.UnixMilli(ms).UTC(), Kind: DueKind(parts[1]), Owner: Owner{parts[2], parts[3]}, KeyID: parts[4]}, nil
}
