//go:build torture

package torture

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"slices"
	"time"

	mrand "math/rand/v2"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/record"
)

// some wraps an optional member.
func some[T any](v T) api.Opt[T] { return api.Some(v) }

const maxKeys = 12

// pick draws a key that nobody is in doubt of, nil if there is none.
func (w *world) pick(r *mrand.Rand, ok func(*key) bool) *key {
	w.mu.Lock()
	defer w.mu.Unlock()
	var list []*key
	for _, k := range w.keys {
		if !k.doubt && !k.gone && ok(k) {
			list = append(list, k)
		}
	}
	if len(list) == 0 {
		return nil
	}
	return list[r.IntN(len(list))]
}

func usable(k *key) bool { return k.state == record.Enabled }

// step makes one call, of a kind that is drawn, with a key that is drawn among those that may be used.
func (w *world) step(r *mrand.Rand, may func(*key) bool) {
	in := func(ok func(*key) bool) *key {
		return w.pick(r, func(k *key) bool { return may(k) && ok(k) })
	}
	n := r.IntN(100)
	switch {
	case n < 12 || len(w.keys) == 0:
		w.createKey(r)
	case n < 40:
		if k := in(usable); k != nil {
			w.encrypt(k)
		}
	case n < 50:
		if k := in(func(k *key) bool { return usable(k) && len(k.blobs) > 0 }); k != nil {
			w.decrypt(k, k.blobs[r.IntN(len(k.blobs))])
		}
	case n < 62:
		if k := in(func(k *key) bool { return usable(k) && !k.imported && k.rotations < 10 }); k != nil {
			w.rotate(k)
		}
	case n < 72:
		if k := in(func(k *key) bool { return k.deletion.IsZero() && k.state != record.PendingImport }); k != nil {
			w.toggle(k)
		}
	case n < 80:
		if k := in(func(k *key) bool { return k.deletion.IsZero() }); k != nil {
			w.alias(k)
		}
	case n < 86:
		if k := in(func(k *key) bool { return k.deletion.IsZero() }); k != nil {
			w.tag(k, r)
		}
	case n < 92:
		if k := in(usable); k != nil {
			w.grant(k)
		}
	case n < 96:
		if k := in(func(k *key) bool { return k.deletion.IsZero() }); k != nil {
			w.describe(k)
		}
	default:
		if k := in(func(k *key) bool { return k.state != record.PendingImport }); k != nil {
			w.deletion(k)
		}
	}
}

func (w *world) createKey(*mrand.Rand) { w.makeKey(false) }

// makeKey creates a key, to import material into if that is asked for.
func (w *world) makeKey(imported bool) (made *key) {
	w.mu.Lock()
	full := len(w.keys) >= maxKeys
	w.mu.Unlock()
	if full {
		return nil
	}
	text := w.mark("key")
	req := &api.CreateKeyRequest{Description: some(text)}
	state := record.Enabled
	if imported {
		req.Origin = some(api.OriginTypeExternal)
		state = record.PendingImport
	}
	var id string
	o := &op{name: "CreateKey", change: true, apply: func(r *auditRecord) {
		if r != nil {
			id = r.ResponseElements.KeyMetadata.KeyID
		}
		made = &key{
			id: id, state: state, description: text, imported: imported,
			tags: map[string]string{}, aliases: map[string]bool{}, grants: map[string]bool{},
		}
		w.keys = append(w.keys, made)
	}}
	w.call(o, req, func(resp api.Response) { id = resp.(*api.CreateKeyResponse).KeyMetadata.KeyId.V })
	return made
}

func (w *world) encrypt(k *key) {
	b := blob{plaintext: []byte(w.mark("plaintext")), context: map[string]string{"purpose": w.mark("torture")}}
	o := &op{name: "Encrypt", key: k}
	w.call(o, &api.EncryptRequest{KeyId: some(k.id), Plaintext: b.plaintext, EncryptionContext: b.context}, func(resp api.Response) {
		b.ciphertext = resp.(*api.EncryptResponse).CiphertextBlob
		k.blobs = append(k.blobs, b)
	})
}

func (w *world) decrypt(k *key, b blob) (ok bool) {
	o := &op{name: "Decrypt", key: k}
	return w.call(o, &api.DecryptRequest{CiphertextBlob: b.ciphertext, EncryptionContext: b.context}, func(resp api.Response) {
		if got := resp.(*api.DecryptResponse).Plaintext; !slices.Equal(got, b.plaintext) {
			w.faults = append(w.faults, "a ciphertext decrypts to something else than what was encrypted")
		}
	})
}

func (w *world) rotate(k *key) {
	o := &op{name: "RotateKeyOnDemand", change: true, key: k, apply: func(*auditRecord) { k.rotations++ }}
	w.call(o, &api.RotateKeyOnDemandRequest{KeyId: some(k.id)}, nil)
}

func (w *world) toggle(k *key) {
	if k.state == record.Enabled {
		o := &op{name: "DisableKey", change: true, key: k, apply: func(*auditRecord) { k.state = record.Disabled }}
		w.call(o, &api.DisableKeyRequest{KeyId: some(k.id)}, nil)
		return
	}
	o := &op{name: "EnableKey", change: true, key: k, apply: func(*auditRecord) { k.state = record.Enabled }}
	w.call(o, &api.EnableKeyRequest{KeyId: some(k.id)}, nil)
}

func (w *world) alias(k *key) {
	for name := range k.aliases { // there is one at most: it goes, and the next time another comes
		o := &op{name: "DeleteAlias", change: true, key: k, apply: func(*auditRecord) { delete(k.aliases, name) }}
		w.call(o, &api.DeleteAliasRequest{AliasName: some(name)}, nil)
		return
	}
	name := "alias/" + w.mark("name")
	o := &op{name: "CreateAlias", change: true, key: k, apply: func(*auditRecord) { k.aliases[name] = true }}
	w.call(o, &api.CreateAliasRequest{AliasName: some(name), TargetKeyId: some(k.id)}, nil)
}

func (w *world) tag(k *key, r *mrand.Rand) {
	name, value := string(rune('a'+r.IntN(3))), w.mark("value")
	o := &op{name: "TagResource", change: true, key: k, apply: func(*auditRecord) { k.tags[name] = value }}
	w.call(o, &api.TagResourceRequest{KeyId: some(k.id), Tags: []api.Tag{{TagKey: some(name), TagValue: some(value)}}}, nil)
}

// grant makes a grant, or revokes the one there is.
func (w *world) grant(k *key) {
	for id := range k.grants {
		o := &op{name: "RevokeGrant", change: true, key: k, apply: func(*auditRecord) { delete(k.grants, id) }}
		w.call(o, &api.RevokeGrantRequest{KeyId: some(k.id), GrantId: some(id)}, nil)
		return
	}
	var id string
	o := &op{name: "CreateGrant", change: true, key: k, apply: func(r *auditRecord) {
		if r != nil {
			id = r.ResponseElements.GrantID
		}
		k.grants[id] = true
	}}
	w.call(o, &api.CreateGrantRequest{
		KeyId: some(k.id), GranteePrincipal: some("arn:aws:iam::" + account + ":root"),
		Operations: []api.GrantOperation{api.GrantOperationDecrypt},
	}, func(resp api.Response) {
		var out struct{ GrantId string } // the response has a type of its own
		if err := json.Unmarshal(resp.AppendJSON(nil), &out); err != nil || out.GrantId == "" {
			w.faults = append(w.faults, "CreateGrant answers without a grant ID")
		}
		id = out.GrantId
	})
}

func (w *world) describe(k *key) {
	text := w.mark("about")
	o := &op{name: "UpdateKeyDescription", change: true, key: k, apply: func(*auditRecord) { k.description = text }}
	w.call(o, &api.UpdateKeyDescriptionRequest{KeyId: some(k.id), Description: some(text)}, nil)
}

const deletionDays = 7

// deletion schedules the key's deletion, or cancels it.
func (w *world) deletion(k *key) {
	if !k.deletion.IsZero() {
		o := &op{name: "CancelKeyDeletion", change: true, key: k, apply: func(*auditRecord) {
			k.deletion, k.state = time.Time{}, record.Disabled
		}}
		w.call(o, &api.CancelKeyDeletionRequest{KeyId: some(k.id)}, nil)
		return
	}
	at := time.Now()
	o := &op{name: "ScheduleKeyDeletion", change: true, key: k, apply: func(*auditRecord) {
		k.deletion, k.state = at.Add(deletionDays*24*time.Hour), record.PendingDeletion
	}}
	w.call(o, &api.ScheduleKeyDeletionRequest{KeyId: some(k.id), PendingWindowInDays: some[int64](deletionDays)}, nil)
}

// importKey makes a key and imports material into it. The wrapping key is RSA and takes long to make: few schedules do it.
func (w *world) importKey() {
	k := w.makeKey(true)
	if k == nil {
		return
	}
	var params *api.GetParametersForImportResponse
	if !w.call(&op{name: "GetParametersForImport", key: k}, &api.GetParametersForImportRequest{
		KeyId: some(k.id), WrappingAlgorithm: some(api.AlgorithmSpecRsaesOaepSha256), WrappingKeySpec: some(api.WrappingKeySpecRsa2048),
	}, func(resp api.Response) { params = resp.(*api.GetParametersForImportResponse) }) {
		return
	}
	public, err := x509.ParsePKIXPublicKey(params.PublicKey)
	if err != nil {
		w.fault("the wrapping key does not parse: %v", err)
		return
	}
	h := hmac.New(sha256.New, []byte("torture"+k.id))
	wrapped, err := rsa.EncryptOAEP(sha256.New(), rand.Reader, public.(*rsa.PublicKey), h.Sum(nil), nil)
	if err != nil {
		w.fault("wrapping: %v", err)
		return
	}
	o := &op{name: "ImportKeyMaterial", change: true, key: k, apply: func(*auditRecord) { k.state = record.Enabled }}
	w.call(o, &api.ImportKeyMaterialRequest{
		KeyId: some(k.id), ImportToken: params.ImportToken, EncryptedKeyMaterial: wrapped,
		ExpirationModel: some(api.ExpirationModelTypeKeyMaterialDoesNotExpire),
	}, nil)
}
