package crashtest

import (
	"bytes"
	"context"
	"maps"
	mrand "math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
)

const day = 24 * time.Hour

// verify compares the service, just started, with the model: what the last round touched, or everything.
func (w *world) verify(ctx context.Context, p *process, c *client, r *mrand.Rand, full bool) {
	w.readClock(ctx, p, c, true)
	w.mu.Lock()
	w.readAudit()
	if limit := w.horizon.Add(time.Since(w.clockRead) + 2*time.Second); w.clock.After(limit) {
		w.fault("the clock is at %v, and nothing explains more than %v", w.clock, limit)
	}
	w.doubts = nil
	w.mu.Unlock()
	if full {
		// Everything due happens now, so that the lists below have nothing left of what is gone.
		w.advanceClock(ctx, c, 0, 0)
	}
	w.checkLists(ctx, c)
	w.mu.Lock()
	var list []*key
	for _, k := range w.keys {
		if k.touched || full || r.IntN(40) == 0 {
			list = append(list, k)
		}
	}
	w.mu.Unlock()
	slices.SortFunc(list, func(a, b *key) int { return bytes.Compare([]byte(a.id), []byte(b.id)) })
	queue := make(chan *key)
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for k := range queue {
				w.checkKey(ctx, c, k, full)
			}
		})
	}
	for _, k := range list {
		queue <- k
	}
	close(queue)
	wg.Wait()
	w.readClock(ctx, p, c, false)
	w.mu.Lock()
	w.stats.checks += len(list)
	w.horizon, w.clockRead = w.clock, time.Now()
	w.mu.Unlock()
}

// readClock checks that the service's time has not gone back.
func (w *world) readClock(ctx context.Context, p *process, c *client, first bool) {
	var reply *clockReply
	get := &call{name: "GetClock"}
	get.apply = func(*auditRecord) {
		if reply.Now.Before(w.clock) {
			w.fault("the clock went back from %v to %v", w.clock, reply.Now)
		}
		w.clock = reply.Now.Time
		if first {
			w.runClock = w.clock.Add(-time.Since(p.started) - 5*time.Millisecond)
		}
	}
	w.do(ctx, get, func(ctx context.Context) (err error) { //nolint:errcheck // filed by do
		reply, err = c.keyturn(ctx, "GetClock", "{}")
		return err
	})
}

// checkLists compares the keys and aliases that are listed with those that must be there.
func (w *world) checkLists(ctx context.Context, c *client) {
	listed := make(map[string]bool)
	keys := kms.NewListKeysPaginator(c, &kms.ListKeysInput{Limit: aws.Int32(1000)})
	for keys.HasMorePages() {
		var page *kms.ListKeysOutput
		if w.do(ctx, &call{name: "ListKeys"}, func(ctx context.Context) (err error) { page, err = keys.NextPage(ctx); return err }) != nil {
			return
		}
		for _, k := range page.Keys {
			listed[*k.KeyId] = true
		}
	}
	targets := make(map[string]string)
	aliases := kms.NewListAliasesPaginator(c, &kms.ListAliasesInput{Limit: aws.Int32(100)})
	for aliases.HasMorePages() {
		var page *kms.ListAliasesOutput
		if w.do(ctx, &call{name: "ListAliases"}, func(ctx context.Context) (err error) { page, err = aliases.NextPage(ctx); return err }) != nil {
			return
		}
		for _, a := range page.Aliases {
			targets[*a.AliasName] = *a.TargetKeyId
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, k := range w.live {
		if !listed[k.id] && k.state != "PendingDeletion" {
			w.fault("key %s (%s) is not listed", k.id, k.state)
		}
		delete(listed, k.id)
	}
	for id := range listed {
		w.fault("key %s is listed and must not be there", id)
	}
	for name, id := range w.aliases {
		if to, ok := targets[name]; to != id && !w.keys[id].gone && w.keys[id].state != "PendingDeletion" {
			w.fault("%s must point at %s; listed: %t, at %q", name, id, ok, to)
		}
	}
	for name, to := range targets {
		if id := w.aliases[name]; id != to {
			w.fault("%s is listed, at %s; it must be at %q", name, to, id)
		}
	}
	maps.DeleteFunc(w.aliases, func(name, id string) bool { return w.keys[id].gone && targets[name] == "" })
}

// state is what the service says of a key.
type state struct {
	key       *types.KeyMetadata // nil: it does not exist
	rotation  *kms.GetKeyRotationStatusOutput
	materials []types.RotationsListEntry
	tags      map[string]string
}

// fetch asks for everything about a key, at one state of its materials.
func (w *world) fetch(ctx context.Context, c *client, k *key) (*state, error) {
	w.mu.Lock()
	mayBeGone := []string(nil)
	if k.gone || k.state == "PendingDeletion" {
		mayBeGone = []string{"NotFoundException"}
	}
	w.mu.Unlock()
	read := func(name string, f func(ctx context.Context) error) (bool, error) {
		r := &call{name: name, key: k, allowed: mayBeGone}
		err := w.do(ctx, r, f)
		if err == errRefused && r.allows(r.code) {
			return false, nil
		}
		return err == nil, err
	}
	for {
		s := &state{tags: make(map[string]string)}
		if ok, err := read("ListKeyRotations", func(ctx context.Context) (err error) {
			s.materials, err = listMaterials(ctx, c, k.id)
			return err
		}); !ok {
			return s, err
		}
		if ok, err := read("ListResourceTags", func(ctx context.Context) error {
			out, err := c.ListResourceTags(ctx, &kms.ListResourceTagsInput{KeyId: &k.id})
			if err == nil {
				for _, t := range out.Tags {
					s.tags[*t.TagKey] = *t.TagValue
				}
			}
			return err
		}); !ok {
			return s, err
		}
		if ok, err := read("GetKeyRotationStatus", func(ctx context.Context) (err error) {
			s.rotation, err = c.GetKeyRotationStatus(ctx, &kms.GetKeyRotationStatusInput{KeyId: &k.id})
			return err
		}); !ok {
			return s, err
		}
		var described *kms.DescribeKeyOutput
		if ok, err := read("DescribeKey", func(ctx context.Context) (err error) {
			described, err = c.DescribeKey(ctx, &kms.DescribeKeyInput{KeyId: &k.id})
			return err
		}); !ok {
			return s, err
		}
		s.key = described.KeyMetadata
		again := *s
		if ok, err := read("ListKeyRotations", func(ctx context.Context) (err error) {
			again.materials, err = listMaterials(ctx, c, k.id)
			return err
		}); !ok {
			s.key = nil
			return s, err
		}
		if len(again.materials) == len(s.materials) {
			return s, nil
		}
		// It turned meanwhile, as keys do when they are due: look again.
	}
}

func listMaterials(ctx context.Context, c *client, id string) ([]types.RotationsListEntry, error) {
	out, err := c.ListKeyRotations(ctx, &kms.ListKeyRotationsInput{
		KeyId: &id, IncludeKeyMaterial: types.IncludeKeyMaterialAllKeyMaterial, Limit: aws.Int32(1000),
	})
	if err != nil {
		return nil, err
	}
	return out.Rotations, nil
}

// checkKey compares one key with the model.
func (w *world) checkKey(ctx context.Context, c *client, k *key, full bool) {
	s, err := w.fetch(ctx, c, k)
	if err != nil {
		return // filed
	}
	if s.key == nil {
		w.checkGone(ctx, c, k)
		return
	}
	if k.gone {
		w.keyFault(k, "it was deleted and is there again")
		return
	}
	if string(s.key.KeyState) != k.state || s.key.Enabled != (k.state == "Enabled") {
		w.keyFault(k, "its state is %s, not %s", s.key.KeyState, k.state)
	}
	if aws.ToString(s.key.Description) != k.description {
		w.keyFault(k, "its description is %q, not %q", *s.key.Description, k.description)
	}
	if !maps.Equal(s.tags, k.tags) {
		w.keyFault(k, "its tags are %v, not %v", s.tags, k.tags)
	}
	if k.state == "PendingDeletion" {
		if k.deletion.IsZero() {
			k.deletion = *s.key.DeletionDate
		}
		if !s.key.DeletionDate.Equal(k.deletion) {
			w.keyFault(k, "its deletion date is %v, not %v", s.key.DeletionDate, k.deletion)
		}
	}
	added := w.checkMaterials(k, s)
	w.checkRotation(k, s, added)
	w.checkCiphertexts(ctx, c, k, full)
	k.touched = false
}

// checkGone checks a key that does not exist: it must have been deleted, and what it encrypted must stay closed.
func (w *world) checkGone(ctx context.Context, c *client, k *key) {
	w.mu.Lock()
	if !k.gone && !k.deletion.IsZero() && k.deletion.After(w.clock.Add(startLimit)) {
		w.fault("key %s does not exist, its deletion date is %v and the clock at %v", k.id, k.deletion, w.clock)
	}
	k.gone = true // its DeleteKey event may be yet to come
	k.touched = false
	w.mu.Unlock()
	if len(k.ciphertexts) == 0 {
		return
	}
	ct := k.ciphertexts[0]
	d := &call{name: "Decrypt", allowed: []string{"AccessDeniedException"}}
	if w.do(ctx, d, func(ctx context.Context) error {
		_, err := c.Decrypt(ctx, &kms.DecryptInput{CiphertextBlob: ct.blob, EncryptionContext: ct.context})
		return err
	}) == nil {
		w.keyFault(k, "it was deleted, and still decrypts")
	}
}
