package verify

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/keyturn/keyturn/internal/keys"
	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/store"
)

// checkKey checks what belongs to a key against what the key says.
func (v *verifier) checkKey(ctx context.Context, g *group) error {
	k := g.key
	if _, ok := keys.ParseKeyID(k.ID); !ok || keys.SpecByName(k.Spec) == nil {
		v.find(RecordMalformed, k.StoreKey(), "its ID or key spec is none")
		return nil
	}
	v.checkState(k)
	if k.KeyStore != "" {
		at := record.KeyStoresPrefix(k.Owner) + k.KeyStore
		err := v.ask(ctx, func(entries []store.Entry) {
			if !there(entries[0]) {
				v.find(KeyStoreMissing, k.StoreKey(), "it is in %s", at)
			}
		}, at)
		if err != nil {
			return err
		}
	}
	if k.MultiRegion != nil {
		if err := v.checkRelated(ctx, k); err != nil {
			return err
		}
	}
	materials, blind := g.materials, g.blind
	if owner := k.MaterialOwner(); owner != k.Owner {
		if !k.Primary() {
			return nil // they are its primary's, and compared there
		}
		var err error
		if materials, blind, err = v.sharedMaterials(ctx, owner, k.ID); err != nil {
			return err
		}
		for _, m := range g.materials {
			v.find(MaterialUnknown, record.MaterialStoreKey(k.Owner, k.ID, m.id), "the key's materials stand under all regions")
		}
	}
	if !blind {
		v.checkMaterials(k, materials)
	}
	return nil
}

// sharedMaterials reads those that stand under all regions.
func (v *verifier) sharedMaterials(ctx context.Context, owner record.Owner, id string) (list []material, blind bool, err error) {
	err = v.scan(ctx, record.MaterialStoreKey(owner, id, ""), func(e store.Entry) error {
		m, ok := v.decode(e, false).(*record.Material)
		if !ok {
			blind = true
			return nil
		}
		list = append(list, material{m.ID, m.Seq, m.Spec, m.Token})
		return nil
	})
	return list, blind, err
}

// checkState checks the state against what else the key says.
func (v *verifier) checkState(k *record.Key) {
	wrong := ""
	switch k.State {
	case record.Enabled, record.Disabled:
		if k.MaterialMissing() {
			wrong = "and a material is to be imported"
		}
	case record.PendingImport:
		if k.Origin != record.OriginImported || !k.MaterialMissing() {
			wrong = "and no material is to be imported"
		}
	case record.PendingDeletion:
		if k.DeletionDate.IsZero() {
			wrong = "without a date"
		}
	case record.PendingReplicaDeletion:
		if k.MultiRegion == nil || !k.Primary() || len(k.MultiRegion.Replicas) == 0 {
			wrong = "and has no replicas"
		}
	default:
		wrong = "which is none"
	}
	if k.State == record.PendingDeletion && k.MultiRegion != nil && k.Primary() && len(k.MultiRegion.Replicas) > 0 {
		wrong = "with replicas left"
	}
	if wrong != "" {
		v.find(KeyStateWrong, k.StoreKey(), "it is %q, %s", k.State, wrong)
	}
}

// checkMaterials checks that a key has the materials that it should have, and no others.
func (v *verifier) checkMaterials(k *record.Key, list []material) {
	at := k.StoreKey()
	byID := make(map[string]material, len(list))
	for _, m := range list {
		byID[m.id] = m
		if cmp.Or(m.spec, "SYMMETRIC_DEFAULT") != k.Spec || m.token != (k.Origin == record.OriginToken) {
			v.find(MaterialMismatch, record.MaterialStoreKey(k.MaterialOwner(), k.ID, m.id), "it is of another key spec or origin than its key")
		}
	}
	if k.Origin == record.OriginImported {
		v.checkImports(k, byID)
		return
	}
	if _, ok := byID[k.Current]; !ok {
		v.find(MaterialMissing, at, "the current one, %s", k.Current)
	}
	seqs := make(map[int]string, len(list))
	for _, m := range list {
		switch {
		case m.seq < 0 || m.seq >= k.Materials:
			v.find(MaterialUnknown, record.MaterialStoreKey(k.MaterialOwner(), k.ID, m.id), "its number is %d, and the key has had %d", m.seq, k.Materials)
		case seqs[m.seq] != "":
			v.find(MaterialMismatch, record.MaterialStoreKey(k.MaterialOwner(), k.ID, m.id), "its number, %d, is that of %s too", m.seq, seqs[m.seq])
		}
		seqs[m.seq] = m.id
	}
	var missing []string
	for i := range k.Materials {
		if seqs[i] == "" && len(missing) < 10 {
			missing = append(missing, fmt.Sprint(i))
		}
	}
	if len(missing) == 0 {
		return
	}
	if _, ok := byID[k.Current]; ok || len(missing) > 1 || missing[0] != fmt.Sprint(k.Materials-1) { // else it is the one that was just told
		v.find(MaterialMissing, at, "number %s of %d", strings.Join(missing, ", "), k.Materials)
	}
}

// checkImports is checkMaterials for imported ones: what there has been is listed in the key.
func (v *verifier) checkImports(k *record.Key, byID map[string]material) {
	for _, m := range byID {
		if i := k.Import(m.id); i == nil {
			v.find(MaterialUnknown, record.MaterialStoreKey(k.MaterialOwner(), k.ID, m.id), "")
		} else if i.Seq != m.seq {
			v.find(MaterialMismatch, record.MaterialStoreKey(k.MaterialOwner(), k.ID, m.id), "its number is %d, the key says %d", m.seq, i.Seq)
		}
	}
	for _, i := range k.Imports {
		_, ok := byID[i.ID]
		switch {
		case i.Present && !ok:
			v.find(MaterialMissing, k.StoreKey(), "the imported one %s", i.ID)
		case ok && !i.Present:
			v.find(MaterialUnknown, record.MaterialStoreKey(k.MaterialOwner(), k.ID, i.ID), "the key says that it was deleted")
		}
	}
	if len(k.Imports) > 0 && k.Import(k.Current) == nil {
		v.find(MaterialMismatch, k.StoreKey(), "the current one, %s, is none that was imported", k.Current)
	}
}

// checkRelated checks a multi-Region key against its primary, and a primary against its replicas.
func (v *verifier) checkRelated(ctx context.Context, k *record.Key) error {
	others := []string{k.MultiRegion.Primary}
	if k.Primary() {
		others = k.MultiRegion.Replicas
	} else if !slices.Contains(k.MultiRegion.Replicas, k.Region) {
		v.find(RelatedDisagree, k.StoreKey(), "it is not among the replicas that it knows of")
	}
	const most = 200 // far more than there can be
	for _, region := range others[:min(len(others), most)] {
		at := record.KeyStoreKey(record.Owner{Account: k.Account, Region: region}, k.ID)
		err := v.ask(ctx, func(entries []store.Entry) {
			if !there(entries[0]) {
				v.find(RelatedMissing, k.StoreKey(), "that in %s", region)
				return
			}
			other, ok := v.decode(entries[0], false).(*record.Key)
			if !ok || k.Primary() {
				return // told where it stands; replicas compare themselves
			}
			if other.MultiRegion == nil || shared(other) != shared(k) {
				v.find(RelatedDisagree, k.StoreKey(), "with its primary in %s", region)
			}
		}, at)
		if err != nil {
			return err
		}
	}
	return nil
}

// shared is what related keys have the same.
func shared(k *record.Key) string {
	var b strings.Builder
	stamp := func(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }
	fmt.Fprintf(&b, "%q %q %q primary %q replicas %q rotation %t %d %s on demand %d current %q since %s materials %d", k.Spec, k.Usage, k.Origin,
		k.MultiRegion.Primary, k.MultiRegion.Replicas, k.Rotation.Enabled, k.Rotation.Days, stamp(k.Rotation.Next), k.OnDemandCount, k.Current,
		stamp(k.CurrentSince), k.Materials)
	for _, i := range k.Imports {
		fmt.Fprintf(&b, " [%q %d pending %t rotated %s %q]", i.ID, i.Seq, i.Pending, stamp(i.Rotated), i.How)
	}
	return b.String()
}
