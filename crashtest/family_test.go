package crashtest

import (
	"maps"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kms/types"
)

// regions are where keys are made and replicated to. Aliases are in the first only.
var regions = []string{"us-east-1", "eu-west-1", "ap-southeast-2"}

// The states of keys.
const (
	enabled            = string(types.KeyStateEnabled)
	disabled           = string(types.KeyStateDisabled)
	pendingImport      = string(types.KeyStatePendingImport)
	pendingDeletion    = string(types.KeyStatePendingDeletion)
	pendingReplicaGone = string(types.KeyStatePendingReplicaDeletion)
)

func deleting(state string) bool { return state == pendingDeletion || state == pendingReplicaGone }

// family is a single-Region key, or related multi-Region keys: what they share.
type family struct {
	id       string
	worker   int // who may change it
	kind     kind
	multi    bool
	imported bool
	hot      bool   // used by all workers at once
	members  []*key // one for each region that it ever was in; the latest, if it was there more than once

	now    *standing // as of the last answer
	logged *standing // as of the last line of the audit log that was read; nil but for imported material
	// expired has the materials that were seen to have expired before the audit log told of it.
	expired map[holding]bool

	rotation int32     // period in days, 0: off
	next     time.Time // next rotation, zero: not known yet
	onDemand int       // on-demand rotations asked for
	chain    []*material
	waiting  map[string]*material // logged before the one that they follow
	outputs  []*output
	public   []byte // SubjectPublicKeyInfo of an asymmetric key, nil until known
	history  []string
	waited   bool // for the last replica to be deleted: the primary's waiting period began with that
	buried   bool // all keys are gone, and were seen to be
}

// standing is where a family stands after some of its changes. Those of a family whose material the service made happen one after
// the other, each once it is answered, but for deletion; and deletion is final. Imported material expires in between: what then holds
// is told by the order of the audit log. So its changes are applied twice, when they are answered and when they are read in the log,
// and the second result counts.
type standing struct {
	primary string // region
	at      map[*key]*place
	imports []*imported // that belong to the keys, in order
	pending *imported   // waits for rotation
}

// place is where one key stands.
type place struct {
	state string
	held  map[*imported]time.Time // imported material that is there, and until when; zero: for ever
}

// imported is key material that was imported into a family at least once.
type imported struct {
	id     string // "" if the API shows none
	secret []byte // as it is wrapped
}

// holding is a material in one key.
type holding struct {
	key      *key
	material *imported
}

func (s *standing) clone() *standing {
	c := &standing{primary: s.primary, at: make(map[*key]*place, len(s.at)), imports: slices.Clone(s.imports), pending: s.pending}
	for k, p := range s.at {
		c.at[k] = &place{state: p.state, held: maps.Clone(p.held)}
	}
	return c
}

// of returns where a key stands. Of one that is gone nothing is kept: that a call changed it is a fault, which others tell.
func (s *standing) of(k *key) *place {
	if p := s.at[k]; p != nil {
		return p
	}
	return &place{held: make(map[*imported]time.Time)}
}

// join takes in a key that was just made.
func (s *standing) join(k *key) {
	s.at[k] = &place{state: enabled, held: make(map[*imported]time.Time)}
	s.settle(k)
}

// lose removes a key that was deleted. A primary that waited for its last replica to go begins its own waiting period.
func (s *standing) lose(k *key) {
	delete(s.at, k)
	for other, p := range s.at {
		if len(s.at) == 1 && other.region == s.primary && p.state == pendingReplicaGone {
			p.state = pendingDeletion
		}
	}
}

// settle sets the state that follows from which imported materials are there.
func (s *standing) settle(k *key) {
	p := s.at[k]
	if !k.imported || p == nil || deleting(p.state) {
		return
	}
	missing := len(s.imports) == 0
	for _, m := range s.imports {
		if _, ok := p.held[m]; !ok {
			missing = true
		}
	}
	switch {
	case missing:
		p.state = pendingImport
	case p.state == pendingImport:
		p.state = enabled
	}
}

// take adds a material to a key: the first one belongs to the family at once, a further one waits for rotation.
func (s *standing) take(k *key, m *imported, until time.Time) {
	switch {
	case len(s.imports) == 0:
		s.imports = append(s.imports, m)
	case s.pending == nil && !slices.Contains(s.imports, m):
		s.pending = m
	}
	s.of(k).held[m] = until
	s.settle(k)
}

// remove takes a material out of a key; one that waits for rotation in the primary out of all.
func (s *standing) remove(k *key, m *imported) {
	if m == s.pending && k.region == s.primary {
		for _, p := range s.at {
			delete(p.held, m)
		}
		s.pending = nil
		return
	}
	delete(s.of(k).held, m)
	s.settle(k)
}

// ready tells whether there is a material to rotate to.
func (s *standing) ready() bool {
	if s.pending == nil {
		return false
	}
	for _, p := range s.at {
		if _, ok := p.held[s.pending]; !ok {
			return false
		}
	}
	return true
}

// turn makes the pending material one that belongs to the family.
func (s *standing) turn() {
	if s.pending != nil {
		s.imports, s.pending = append(s.imports, s.pending), nil
	}
	for k := range s.at {
		s.settle(k)
	}
}

// known finds a material by its ID, "" if there is only one.
func (s *standing) known(id string) *imported {
	for _, m := range s.imports {
		if m.id == id {
			return m
		}
	}
	if s.pending != nil && s.pending.id == id {
		return s.pending
	}
	return nil
}

// mirror brings the keys in line with where they stand.
func (f *family) mirror() {
	for k, p := range f.now.at {
		k.state = p.state
	}
}

// change applies a change that was answered, or turned out to have happened.
func (f *family) change(change func(*standing)) {
	change(f.now)
	f.mirror()
}

// lose removes a key that was deleted.
func (f *family) lose(k *key) {
	before := f.primaryState()
	f.now.lose(k)
	f.waited = f.waited || before == pendingReplicaGone && f.primaryState() == pendingDeletion
	if f.logged != nil {
		f.logged.lose(k)
	}
	f.mirror()
}

// primary returns the family's primary key, nil if it was deleted.
func (f *family) primary() *key {
	for k := range f.now.at {
		if k.region == f.now.primary {
			return k
		}
	}
	return nil
}

func (f *family) primaryState() string {
	if k := f.primary(); k != nil {
		return f.now.at[k].state
	}
	return ""
}

// in returns the latest key of a region, nil if there never was one.
func (f *family) in(region string) *key {
	for _, k := range f.members {
		if k.region == region {
			return k
		}
	}
	return nil
}

func (f *family) symmetric() bool { return f.kind.spec == types.KeySpecSymmetricDefault }

// expiring tells whether imported material of the family may expire by a time: then its keys may be in either state.
func (f *family) expiring(by time.Time) bool {
	for _, p := range f.now.at {
		for _, until := range p.held {
			if !until.IsZero() && !until.After(by) {
				return true
			}
		}
	}
	return false
}

// kind is what keys are made as.
type kind struct {
	weight    int
	spec      types.KeySpec
	usage     types.KeyUsageType
	algorithm string // of Sign or GenerateMac
	imported  bool
}

// kinds are the kinds of keys in a storm, and how often of each hundred.
var kinds = []kind{
	{weight: 67, spec: types.KeySpecSymmetricDefault, usage: types.KeyUsageTypeEncryptDecrypt},
	{weight: 11, spec: types.KeySpecSymmetricDefault, usage: types.KeyUsageTypeEncryptDecrypt, imported: true},
	{weight: 5, spec: types.KeySpecEccNistP256, usage: types.KeyUsageTypeSignVerify, algorithm: "ECDSA_SHA_256", imported: true},
	{weight: 2, spec: types.KeySpecHmac256, usage: types.KeyUsageTypeGenerateVerifyMac, algorithm: "HMAC_SHA_256", imported: true},
	{weight: 4, spec: types.KeySpecHmac256, usage: types.KeyUsageTypeGenerateVerifyMac, algorithm: "HMAC_SHA_256"},
	{weight: 4, spec: types.KeySpecEccNistP256, usage: types.KeyUsageTypeSignVerify, algorithm: "ECDSA_SHA_256"},
	{weight: 3, spec: types.KeySpecEccNistEdwards25519, usage: types.KeyUsageTypeSignVerify, algorithm: "ED25519_SHA_512"},
	{weight: 3, spec: types.KeySpecMlDsa65, usage: types.KeyUsageTypeSignVerify, algorithm: "ML_DSA_SHAKE_256"},
	{weight: 1, spec: types.KeySpecRsa2048, usage: types.KeyUsageTypeSignVerify, algorithm: "RSASSA_PSS_SHA_256"},
}
