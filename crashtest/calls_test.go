package crashtest

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
)

// The calls of the storm. Each says what it changes in the model once it is known to have happened.

func (w *worker) createKey(ctx context.Context) error {
	f := &family{worker: w.index, kind: w.drawKind()}
	f.imported = f.kind.imported
	f.multi = w.rand.IntN(10) < 3 || f.imported && w.rand.IntN(2) == 0
	w.mu.Lock()
	enough := len(w.live) >= liveKeys || f.imported && w.countImported() >= importedFamilies || f.kind.spec == types.KeySpecRsa2048 && w.round > 20
	w.mu.Unlock()
	if enough {
		return nil
	}
	k := &key{family: f, region: regions[0], description: w.mark("key"), tags: map[string]string{}}
	if f.multi && w.rand.IntN(4) == 0 {
		k.region = regions[1]
	}
	in := &kms.CreateKeyInput{Description: &k.description, KeySpec: f.kind.spec, KeyUsage: f.kind.usage, MultiRegion: &f.multi}
	if f.imported {
		in.Origin = types.OriginTypeExternal
	}
	if w.rand.IntN(2) == 0 {
		k.tags["made"] = w.mark("by")
		in.Tags = []types.Tag{{TagKey: aws.String("made"), TagValue: aws.String(k.tags["made"])}}
	}
	c := &call{name: "CreateKey", mark: k.description}
	var out *kms.CreateKeyOutput
	c.apply = func(r *auditRecord) {
		material := ""
		if r != nil {
			m := r.ResponseElements.KeyMetadata
			f.id, k.arn, material = m.KeyID, m.ARN, m.MaterialID
		} else {
			m := out.KeyMetadata
			f.id, k.arn, material = *m.KeyId, *m.Arn, aws.ToString(m.CurrentKeyMaterialId)
		}
		w.addKey(k, material, c.from, c.to)
	}
	return w.do(ctx, c, func(ctx context.Context) (err error) {
		out, err = w.client.of(k).CreateKey(ctx, in)
		return err
	})
}

func (w *worker) drawKind() kind {
	n := w.rand.IntN(100)
	for _, k := range kinds {
		if n -= k.weight; n < 0 {
			return k
		}
	}
	panic("the weights of kinds are less than a hundred")
}

func (w *worker) setState(ctx context.Context, k *key, state string) error {
	c := &call{key: k, allowed: k.mayLackMaterial(), change: func(s *standing) { s.of(k).state = state }}
	if state == enabled {
		c.name = "EnableKey"
		return w.do(ctx, c, func(ctx context.Context) error {
			_, err := w.client.of(k).EnableKey(ctx, &kms.EnableKeyInput{KeyId: &k.id})
			return err
		})
	}
	c.name = "DisableKey"
	return w.do(ctx, c, func(ctx context.Context) error {
		_, err := w.client.of(k).DisableKey(ctx, &kms.DisableKeyInput{KeyId: &k.id})
		return err
	})
}

func (w *worker) scheduleDeletion(ctx context.Context, k *key) error {
	var out *kms.ScheduleKeyDeletionOutput
	var state string // a primary with replicas waits for these to go
	c := &call{name: "ScheduleKeyDeletion", key: k}
	c.apply = func(r *auditRecord) {
		k.deletion = time.Time{}
		if r != nil {
			state = r.ResponseElements.KeyState
			return
		}
		state = string(out.KeyState)
		if out.DeletionDate != nil {
			k.deletion = *out.DeletionDate
		}
	}
	c.change = func(s *standing) { s.of(k).state = state }
	return w.do(ctx, c, func(ctx context.Context) (err error) {
		out, err = w.client.of(k).ScheduleKeyDeletion(ctx, &kms.ScheduleKeyDeletionInput{KeyId: &k.id, PendingWindowInDays: aws.Int32(7)})
		return err
	})
}

func (w *worker) cancelDeletion(ctx context.Context, k *key) error {
	// The clock may be on its way past the date. Then the audit log must have the deletion.
	c := &call{name: "CancelKeyDeletion", key: k, allowed: []string{"NotFoundException"}}
	c.apply = func(*auditRecord) { k.deletion = time.Time{} }
	c.change = func(s *standing) {
		s.of(k).state = disabled
		s.settle(k)
	}
	return w.do(ctx, c, func(ctx context.Context) error {
		_, err := w.client.of(k).CancelKeyDeletion(ctx, &kms.CancelKeyDeletionInput{KeyId: &k.id})
		return err
	})
}

func (w *worker) rotate(ctx context.Context, k *key) error {
	w.mu.Lock()
	if k.onDemand >= maxOnDemand {
		w.mu.Unlock()
		return nil
	}
	k.onDemand++ // also if it comes to nothing
	w.mu.Unlock()
	c := &call{name: "RotateKeyOnDemand", key: k, allowed: k.mayLackMaterial(), apply: func(*auditRecord) {}}
	if k.imported {
		c.change = (*standing).turn
	}
	return w.do(ctx, c, func(ctx context.Context) error {
		_, err := w.client.of(k).RotateKeyOnDemand(ctx, &kms.RotateKeyOnDemandInput{KeyId: &k.id})
		return err
	})
}

func (w *worker) enableRotation(ctx context.Context, k *key) error {
	days := 90 + w.rand.Int32N(40)
	c := &call{name: "EnableKeyRotation", key: k}
	c.apply = func(*auditRecord) {
		if k.rotation != days {
			k.rotation, k.next = days, time.Time{}
		}
	}
	return w.do(ctx, c, func(ctx context.Context) error {
		_, err := w.client.of(k).EnableKeyRotation(ctx, &kms.EnableKeyRotationInput{KeyId: &k.id, RotationPeriodInDays: &days})
		return err
	})
}

func (w *worker) disableRotation(ctx context.Context, k *key) error {
	c := &call{name: "DisableKeyRotation", key: k, apply: func(*auditRecord) { k.rotation, k.next = 0, time.Time{} }}
	return w.do(ctx, c, func(ctx context.Context) error {
		_, err := w.client.of(k).DisableKeyRotation(ctx, &kms.DisableKeyRotationInput{KeyId: &k.id})
		return err
	})
}

func (w *worker) tag(ctx context.Context, k *key) error {
	name, value := fmt.Sprintf("t%d-%d", w.index, w.rand.IntN(4)), w.mark("tag")
	c := &call{name: "TagResource", key: k, mark: value, apply: func(*auditRecord) { k.tags[name] = value }}
	return w.do(ctx, c, func(ctx context.Context) error {
		_, err := w.client.of(k).TagResource(ctx, &kms.TagResourceInput{KeyId: &k.id, Tags: []types.Tag{{TagKey: &name, TagValue: &value}}})
		return err
	})
}

func (w *worker) untag(ctx context.Context, k *key) error {
	names := slices.Sorted(maps.Keys(k.tags))
	if len(names) == 0 {
		return nil
	}
	name := names[w.rand.IntN(len(names))]
	c := &call{name: "UntagResource", key: k, apply: func(*auditRecord) { delete(k.tags, name) }}
	return w.do(ctx, c, func(ctx context.Context) error {
		_, err := w.client.of(k).UntagResource(ctx, &kms.UntagResourceInput{KeyId: &k.id, TagKeys: []string{name}})
		return err
	})
}

func (w *worker) describe(ctx context.Context, k *key) error {
	text := w.mark("about")
	c := &call{name: "UpdateKeyDescription", key: k, mark: text, apply: func(*auditRecord) { k.description = text }}
	return w.do(ctx, c, func(ctx context.Context) error {
		_, err := w.client.of(k).UpdateKeyDescription(ctx, &kms.UpdateKeyDescriptionInput{KeyId: &k.id, Description: &text})
		return err
	})
}

func (w *worker) createAlias(ctx context.Context, k *key) error {
	name := "alias/" + w.mark("name")
	c := &call{name: "CreateAlias", key: k, mark: name, apply: func(*auditRecord) { w.aliases[name] = k }}
	return w.do(ctx, c, func(ctx context.Context) error {
		_, err := w.client.of(k).CreateAlias(ctx, &kms.CreateAliasInput{AliasName: &name, TargetKeyId: &k.id})
		return err
	})
}

// aliasOf returns an alias of the key, "" if it has none.
func (w *worker) aliasOf(k *key) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(w.aliases)) {
		if w.aliases[name] == k {
			return name
		}
	}
	return ""
}

func (w *worker) updateAlias(ctx context.Context, k *key) error {
	to := w.pick(enabled, disabled)
	name := w.aliasOf(k)
	if name == "" || to == nil || to.region != k.region || to.kind.spec != k.kind.spec {
		return nil
	}
	c := &call{name: "UpdateAlias", key: to, mark: name, apply: func(*auditRecord) { w.aliases[name] = to }}
	return w.do(ctx, c, func(ctx context.Context) error {
		_, err := w.client.of(k).UpdateAlias(ctx, &kms.UpdateAliasInput{AliasName: &name, TargetKeyId: &to.id})
		return err
	})
}

func (w *worker) deleteAlias(ctx context.Context, k *key) error {
	name := w.aliasOf(k)
	if name == "" {
		return nil
	}
	c := &call{name: "DeleteAlias", key: k, mark: name, apply: func(*auditRecord) { delete(w.aliases, name) }}
	return w.do(ctx, c, func(ctx context.Context) error {
		_, err := w.client.of(k).DeleteAlias(ctx, &kms.DeleteAliasInput{AliasName: &name})
		return err
	})
}

// replicate makes a replica of a primary key in a region that has none.
func (w *worker) replicate(ctx context.Context, k *key) error {
	region := regions[w.rand.IntN(len(regions))]
	if old := k.in(region); old != nil && !old.goneLogged {
		return nil
	}
	r := &key{family: k.family, region: region, description: w.mark("replica"), tags: map[string]string{}}
	// What an earlier key of the region left behind may still be on its way out.
	c := &call{name: "ReplicateKey", key: k, mark: r.description, allowed: []string{"KMSInvalidStateException"}}
	var out *kms.ReplicateKeyOutput
	c.apply = func(record *auditRecord) {
		if record != nil {
			r.arn = record.ResponseElements.Replica.ARN
		} else {
			r.arn = *out.ReplicaKeyMetadata.Arn
		}
		w.stats.replicas++
		w.join(r)
	}
	c.change = func(s *standing) { s.join(r) }
	return w.do(ctx, c, func(ctx context.Context) (err error) {
		out, err = w.client.of(k).ReplicateKey(ctx, &kms.ReplicateKeyInput{KeyId: &k.id, ReplicaRegion: &region, Description: &r.description})
		return err
	})
}

// promote makes a replica the primary key.
func (w *worker) promote(ctx context.Context, k *key) error {
	var to *key
	for _, other := range k.members {
		if other != k && !other.gone && other.state == enabled {
			to = other
		}
	}
	if to == nil {
		return nil
	}
	c := &call{name: "UpdatePrimaryRegion", key: k, allowed: k.mayLackMaterial()}
	c.apply = func(*auditRecord) { w.stats.promotions++ }
	c.change = func(s *standing) { s.primary = to.region }
	return w.do(ctx, c, func(ctx context.Context) error {
		_, err := w.client.of(k).UpdatePrimaryRegion(ctx, &kms.UpdatePrimaryRegionInput{KeyId: &k.id, PrimaryRegion: &to.region})
		return err
	})
}
