package kms

import (
	"time"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/audit"
	"github.com/keyturn/keyturn/internal/keys"
	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/service"
)

// Seed is a key with given ID and material, for repeatable tests. Only keyturn dev makes such keys.
type Seed struct {
	record.Owner
	ID          string
	Description string
	Aliases     []string
	Tags        []record.Tag
	Policy      string
	Disabled    bool
	RotateDays  int64 // 0: no automatic rotation
	NextDate    time.Time
	Materials   []SeedMaterial // oldest first; the last is current
}

// SeedMaterial is one material of a Seed: 32 bytes, and when and why it became current ("" for the first).
type SeedMaterial struct {
	Secret   []byte
	Date     time.Time
	Rotation record.RotationType
}

// String keeps the secret out of whatever prints a SeedMaterial.
func (SeedMaterial) String() string { return "material" }

// GoString does the same for %#v.
func (SeedMaterial) GoString() string { return "material" }

// Limits of a Seed: it is made in one commit.
const (
	MaxSeedMaterials = 25
	MaxSeedAliases   = 10
)

// SeedKey is the Internal operation that makes the key of a *Seed, unless a key of that ID is there already.
func (k *KMS) SeedKey() *service.Op {
	return service.Def[Seed, service.None]{
		Name: "CreateKey", Kind: service.Internal,
		Actions: []string{"kms:CreateKey"},
		Audit:   func(q *Seed, p *audit.Params) { p.Str("keyId", q.ID) },
		Plan:    k.planSeed,
	}.Op("kms")
}

func (k *KMS) planSeed(tx *service.Tx, q *Seed, _ []service.Target) (*service.None, error) {
	if old, err := service.Lookup[*record.Key](tx, record.KeyStoreKey(q.Owner, q.ID)); err != nil || old != nil {
		return &service.None{}, err
	}
	if id, ok := keys.ParseKeyID(q.ID); !ok || id.MultiRegion() {
		return nil, api.Errorf(api.ValidationException, "key ID %q is not a UUID in lower case", q.ID)
	}
	if tomb, err := service.Lookup[*record.Tombstone](tx, record.TombstoneStoreKey(q.Owner, q.ID)); err != nil {
		return nil, err
	} else if tomb != nil {
		return nil, api.Errorf(api.ValidationException, "key %s was deleted, and what it leaves is still being removed", q.ID)
	}
	if len(q.Materials) == 0 || len(q.Materials) > MaxSeedMaterials || len(q.Aliases) > MaxSeedAliases {
		return nil, api.Errorf(api.ValidationException, "key %s: 1 to %d materials and up to %d aliases are possible", q.ID, MaxSeedMaterials, MaxSeedAliases)
	}
	text, pins, err := checkPolicy(tx, api.Opt[string]{V: q.Policy, Set: q.Policy != ""})
	if err != nil {
		return nil, err
	}
	key := &record.Key{
		Owner: q.Owner, ID: q.ID, Created: q.Materials[0].Date, Description: q.Description, Spec: symmetricSpec, Usage: keys.EncryptDecrypt,
		Origin: record.OriginKMS, Manager: record.Customer, State: record.Enabled, Policy: text, Pins: pins, Tags: q.Tags,
	}
	if q.Disabled {
		key.State = record.Disabled
	}
	if q.RotateDays != 0 {
		key.Rotation = record.Rotation{Enabled: true, Days: q.RotateDays, Next: q.NextDate}
	}
	for _, m := range q.Materials {
		if len(m.Secret) != keys.SymmetricMaterialSize {
			return nil, api.Errorf(api.ValidationException, "key %s: a material has %d bytes, not %d", q.ID, len(m.Secret), keys.SymmetricMaterialSize)
		}
		if err := addMaterial(tx, key, m.Rotation, m.Date, m.Secret); err != nil {
			return nil, err
		}
		if m.Rotation == record.OnDemand {
			key.OnDemandCount++
		}
	}
	tx.Put(key)
	for _, name := range q.Aliases {
		if err := checkAliasName(name); err != nil {
			return nil, err
		}
		old, err := lookupAlias(tx, q.Owner, name)
		if err != nil {
			return nil, err
		}
		if old != nil {
			return nil, api.Errorf(api.ValidationException, "alias %s points at key %s already", name, old.KeyID)
		}
		tx.Put(&record.Alias{Owner: q.Owner, Name: name, KeyID: key.ID, Created: key.Created, Updated: key.Created})
	}
	return &service.None{}, nil
}
