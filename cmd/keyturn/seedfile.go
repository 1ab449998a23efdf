package main

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/keyturn/keyturn/internal/clock"
	"github.com/keyturn/keyturn/internal/keys"
	"github.com/keyturn/keyturn/internal/kms"
	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/service"
	"github.com/keyturn/keyturn/internal/wire"
)

// seedFile is the YAML of keyturn dev --seed-file; docs/seed-file.md describes it.
type seedFile struct {
	Keys []seedKey `yaml:"keys"`
}

type seedKey struct {
	ID          string            `yaml:"id"`
	Account     string            `yaml:"account"` // default 000000000000
	Region      string            `yaml:"region"`  // default the first region
	Description string            `yaml:"description"`
	Aliases     []string          `yaml:"aliases"`
	Tags        map[string]string `yaml:"tags"`
	Policy      string            `yaml:"policy"`
	Disabled    bool              `yaml:"disabled"`
	Rotation    *seedRotation     `yaml:"rotation"`
	Materials   []seedMaterial    `yaml:"materials"`
}

type seedRotation struct {
	PeriodInDays int64     `yaml:"period_in_days"`
	Next         time.Time `yaml:"next"`
}

type seedMaterial struct {
	Hex    string    `yaml:"hex"`
	Base64 string    `yaml:"base64"`
	Date   time.Time `yaml:"date"` // when it became current
	Type   string    `yaml:"type"` // AUTOMATIC or ON_DEMAND; not for the first
}

// maxSeedKeys bounds a seed file.
const maxSeedKeys = 10_000

// readSeedFile reads and checks a seed file.
func readSeedFile(path string, regions regions) ([]kms.Seed, error) {
	data, err := readBounded(path, 16<<20)
	if err != nil {
		return nil, fmt.Errorf("reading the seed file: %w", err)
	}
	var f seedFile
	if err := decodeYAML(data, &f); err != nil {
		return nil, fmt.Errorf("seed file %s: %w", path, err)
	}
	if len(f.Keys) > maxSeedKeys {
		return nil, fmt.Errorf("seed file %s: %d keys, at most %d are possible", path, len(f.Keys), maxSeedKeys)
	}
	seeds := make([]kms.Seed, 0, len(f.Keys))
	for i, k := range f.Keys {
		s, err := k.seed(regions)
		if err != nil {
			return nil, fmt.Errorf("seed file %s: key %d (%s): %w", path, i+1, k.ID, err)
		}
		seeds = append(seeds, s)
	}
	return seeds, nil
}

func (k seedKey) seed(regions regions) (kms.Seed, error) {
	s := kms.Seed{
		Owner: record.Owner{Account: k.Account, Region: k.Region}, ID: k.ID, Description: k.Description, Policy: k.Policy, Disabled: k.Disabled,
	}
	if s.Account == "" {
		s.Account = wire.DevAccount
	}
	if s.Region == "" {
		s.Region = regions.first
	}
	if id, ok := keys.ParseKeyID(s.ID); !ok || id.MultiRegion() {
		return s, fmt.Errorf("id is not a UUID in lower case")
	}
	if !service.IsAccountID(s.Account) {
		return s, fmt.Errorf("account %q is not 12 digits (write it in quotes)", s.Account)
	}
	if !regions.has(s.Region) {
		return s, fmt.Errorf("region %q is not served", s.Region)
	}
	for _, a := range k.Aliases {
		if !strings.HasPrefix(a, "alias/") {
			a = "alias/" + a
		}
		s.Aliases = append(s.Aliases, a)
	}
	for _, name := range slices.Sorted(maps.Keys(k.Tags)) {
		s.Tags = append(s.Tags, record.Tag{Key: name, Value: k.Tags[name]})
	}
	if len(k.Materials) == 0 {
		return s, fmt.Errorf("materials is missing")
	}
	for i, m := range k.Materials {
		sm, err := m.material(i == 0)
		if err != nil {
			return s, fmt.Errorf("material %d: %w", i+1, err)
		}
		if i > 0 && !sm.Date.After(s.Materials[i-1].Date) {
			return s, fmt.Errorf("material %d: its date is not after that of the one before", i+1)
		}
		s.Materials = append(s.Materials, sm)
	}
	if r := k.Rotation; r != nil {
		if r.PeriodInDays < 90 || r.PeriodInDays > 2560 {
			return s, fmt.Errorf("rotation.period_in_days must be 90 to 2560")
		}
		s.RotateDays, s.NextDate = r.PeriodInDays, clock.Stamp(r.Next)
	}
	return s, nil
}

func (m seedMaterial) material(first bool) (kms.SeedMaterial, error) {
	s := kms.SeedMaterial{Date: clock.Stamp(m.Date), Rotation: record.RotationType(m.Type)}
	var err error
	switch {
	case (m.Hex == "") == (m.Base64 == ""):
		return s, fmt.Errorf("it needs either hex or base64")
	case m.Hex != "":
		s.Secret, err = hex.DecodeString(m.Hex)
	default:
		s.Secret, err = base64.StdEncoding.DecodeString(m.Base64)
	}
	if err != nil || len(s.Secret) != keys.SymmetricMaterialSize {
		return s, fmt.Errorf("it is not %d bytes in hex or base64", keys.SymmetricMaterialSize)
	}
	switch {
	case m.Date.IsZero():
		return s, fmt.Errorf("date is missing")
	case first && m.Type != "":
		return s, fmt.Errorf("the first material came with the key and has no type")
	case !first && s.Rotation != record.Automatic && s.Rotation != record.OnDemand:
		return s, fmt.Errorf("type must be AUTOMATIC or ON_DEMAND")
	}
	return s, nil
}

// applySeeds makes the keys that are not there yet. A next rotation that is not given, or is past, is a period from now, so that the
// seeded material is still the current one.
func applySeeds(ctx context.Context, p *service.Pipeline, k *kms.KMS, seeds []kms.Seed) error {
	op := k.SeedKey()
	now := p.Clock().Now()
	for i := range seeds {
		s := &seeds[i]
		if !s.NextDate.After(now) {
			s.NextDate = now.Add(time.Duration(s.RotateDays) * 24 * time.Hour)
		}
		if _, err := p.DoInternal(ctx, op, s.Owner, now, 0, s); err != nil {
			return fmt.Errorf("making seeded key %s: %w", s.ID, err)
		}
	}
	return nil
}
