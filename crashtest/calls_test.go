package crashtest

import (
	"context"
	"crypto/rand"
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
	w.mu.Lock()
	enough := len(w.live) >= liveKeys
	w.mu.Unlock()
	if enough {
		return nil
	}
	k := &key{worker: w.index, description: w.mark("key"), tags: map[string]string{}}
	in := &kms.CreateKeyInput{Description: &k.description}
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
			k.id, k.arn, material = m.KeyID, m.ARN, m.MaterialID
		} else {
			m := out.KeyMetadata
			k.id, k.arn, material = *m.KeyId, *m.Arn, *m.CurrentKeyMaterialId
		}
		w.addKey(k, material, c.from, c.to)
	}
	return w.do(ctx, c, func(ctx context.Context) (err error) {
		out, err = w.client.CreateKey(ctx, in)
		return err
	})
}

func (w *worker) setState(ctx context.Context, k *key, state string) error {
	c := &call{key: k, apply: func(*auditRecord) { k.state = state }}
	if state == "Enabled" {
		c.name = "EnableKey"
		return w.do(ctx, c, func(ctx context.Context) error {
			_, err := w.client.EnableKey(ctx, &kms.EnableKeyInput{KeyId: &k.id})
			return err
		})
	}
	c.name = "DisableKey"
	return w.do(ctx, c, func(ctx context.Context) error {
		_, err := w.client.DisableKey(ctx, &kms.DisableKeyInput{KeyId: &k.id})
		return err
	})
}

func (w *worker) scheduleDeletion(ctx context.Context, k *key) error {
	var out *kms.ScheduleKeyDeletionOutput
	c := &call{name: "ScheduleKeyDeletion", key: k}
	c.apply = func(r *auditRecord) {
		k.state, k.deletion = "PendingDeletion", time.Time{}
		if r == nil {
			k.deletion = *out.DeletionDate
		}
	}
	return w.do(ctx, c, func(ctx context.Context) (err error) {
		out, err = w.client.ScheduleKeyDeletion(ctx, &kms.ScheduleKeyDeletionInput{KeyId: &k.id, PendingWindowInDays: aws.Int32(7)})
		return err
	})
}

func (w *worker) cancelDeletion(ctx context.Context, k *key) error {
	// The clock may be on its way past the date. Then the audit log must have the deletion.
	c := &call{name: "CancelKeyDeletion", key: k, allowed: []string{"NotFoundException"}}
	c.apply = func(*auditRecord) { k.state, k.deletion = "Disabled", time.Time{} }
	return w.do(ctx, c, func(ctx context.Context) error {
		_, err := w.client.CancelKeyDeletion(ctx, &kms.CancelKeyDeletionInput{KeyId: &k.id})
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
	c := &call{name: "RotateKeyOnDemand", key: k, apply: func(*auditRecord) {}}
	return w.do(ctx, c, func(ctx context.Context) error {
		_, err := w.client.RotateKeyOnDemand(ctx, &kms.RotateKeyOnDemandInput{KeyId: &k.id})
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
		_, err := w.client.EnableKeyRotation(ctx, &kms.EnableKeyRotationInput{KeyId: &k.id, RotationPeriodInDays: &days})
		return err
	})
}

func (w *worker) disableRotation(ctx context.Context, k *key) error {
	c := &call{name: "DisableKeyRotation", key: k, apply: func(*auditRecord) { k.rotation, k.next = 0, time.Time{} }}
	return w.do(ctx, c, func(ctx context.Context) error {
		_, err := w.client.DisableKeyRotation(ctx, &kms.DisableKeyRotationInput{KeyId: &k.id})
		return err
	})
}

func (w *worker) tag(ctx context.Context, k *key) error {
	name, value := fmt.Sprintf("t%d-%d", w.index, w.rand.IntN(4)), w.mark("tag")
	c := &call{name: "TagResource", key: k, mark: value, apply: func(*auditRecord) { k.tags[name] = value }}
	return w.do(ctx, c, func(ctx context.Context) error {
		_, err := w.client.TagResource(ctx, &kms.TagResourceInput{KeyId: &k.id, Tags: []types.Tag{{TagKey: &name, TagValue: &value}}})
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
		_, err := w.client.UntagResource(ctx, &kms.UntagResourceInput{KeyId: &k.id, TagKeys: []string{name}})
		return err
	})
}

func (w *worker) describe(ctx context.Context, k *key) error {
	text := w.mark("about")
	c := &call{name: "UpdateKeyDescription", key: k, mark: text, apply: func(*auditRecord) { k.description = text }}
	return w.do(ctx, c, func(ctx context.Context) error {
		_, err := w.client.UpdateKeyDescription(ctx, &kms.UpdateKeyDescriptionInput{KeyId: &k.id, Description: &text})
		return err
	})
}

func (w *worker) createAlias(ctx context.Context, k *key) error {
	name := "alias/" + w.mark("name")
	c := &call{name: "CreateAlias", key: k, mark: name, apply: func(*auditRecord) { w.aliases[name] = k.id }}
	return w.do(ctx, c, func(ctx context.Context) error {
		_, err := w.client.CreateAlias(ctx, &kms.CreateAliasInput{AliasName: &name, TargetKeyId: &k.id})
		return err
	})
}

// aliasOf returns an alias of the key, "" if it has none.
func (w *worker) aliasOf(k *key) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(w.aliases)) {
		if w.aliases[name] == k.id {
			return name
		}
	}
	return ""
}

func (w *worker) updateAlias(ctx context.Context, k *key) error {
	to := w.pick("Enabled", "Disabled")
	name := w.aliasOf(k)
	if name == "" || to == nil {
		return nil
	}
	c := &call{name: "UpdateAlias", key: to, mark: name, apply: func(*auditRecord) { w.aliases[name] = to.id }}
	return w.do(ctx, c, func(ctx context.Context) error {
		_, err := w.client.UpdateAlias(ctx, &kms.UpdateAliasInput{AliasName: &name, TargetKeyId: &to.id})
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
		_, err := w.client.DeleteAlias(ctx, &kms.DeleteAliasInput{AliasName: &name})
		return err
	})
}

func (w *worker) encrypt(ctx context.Context, k *key) error {
	mark := w.mark("context")
	ct := &ciphertext{plaintext: make([]byte, 1+w.rand.IntN(64)), context: map[string]string{"call": mark}}
	rand.Read(ct.plaintext)
	c := &call{name: "Encrypt", key: k, mark: mark}
	var out *kms.EncryptOutput
	c.apply = func(r *auditRecord) {
		if r == nil { // else nobody has the ciphertext
			ct.blob, ct.from, ct.to = out.CiphertextBlob, c.from, c.to
			k.addCiphertext(ct, w.rand)
		}
	}
	return w.do(ctx, c, func(ctx context.Context) (err error) {
		out, err = w.client.Encrypt(ctx, &kms.EncryptInput{KeyId: &k.id, Plaintext: ct.plaintext, EncryptionContext: ct.context})
		return err
	})
}

func (w *worker) generateDataKey(ctx context.Context, k *key) error {
	mark := w.mark("context")
	c := &call{name: "GenerateDataKey", key: k, mark: mark}
	var out *kms.GenerateDataKeyOutput
	c.apply = func(r *auditRecord) {
		if r == nil {
			k.addCiphertext(&ciphertext{
				blob: out.CiphertextBlob, plaintext: out.Plaintext, context: map[string]string{"call": mark},
				material: aws.ToString(out.KeyMaterialId), from: c.from, to: c.to,
			}, w.rand)
		}
	}
	return w.do(ctx, c, func(ctx context.Context) (err error) {
		out, err = w.client.GenerateDataKey(ctx, &kms.GenerateDataKeyInput{
			KeyId: &k.id, KeySpec: types.DataKeySpecAes256, EncryptionContext: map[string]string{"call": mark},
		})
		return err
	})
}

func (w *worker) decrypt(ctx context.Context, k *key) error {
	w.mu.Lock()
	if len(k.ciphertexts) == 0 {
		w.mu.Unlock()
		return nil
	}
	ct := k.ciphertexts[w.rand.IntN(len(k.ciphertexts))]
	w.mu.Unlock()
	return w.open(ctx, w.client, k, ct)
}
