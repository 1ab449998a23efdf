package crashtest

import (
	"bytes"
	"context"
	"maps"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
)

// checkMaterials compares the materials with those the audit log tells of, and takes in rotations that came due since this run
// began. It returns the materials that were not listed at the last check.
func (w *world) checkMaterials(k *key, s *state) (added []*material) {
	w.mu.Lock()
	runClock, clock := w.runClock, w.clock.Add(time.Minute) // it goes on while we check
	w.mu.Unlock()
	if k.symmetric() && len(s.materials) < len(k.chain) {
		w.keyFault(k, "it has %d materials, and the audit log and its answers tell of %d", len(s.materials), len(k.chain))
		return nil
	}
	if !k.symmetric() {
		return nil
	}
	w.checkImports(k, s)
	var previous time.Time
	if !k.multi {
		previous = *s.key.CreationDate
	}
	current := 0
	for i, e := range s.materials {
		id := aws.ToString(e.KeyMaterialId)
		if e.KeyMaterialState == types.KeyMaterialStateCurrent {
			current++
			if i != len(s.materials)-1 || id != aws.ToString(s.key.CurrentKeyMaterialId) {
				w.keyFault(k, "material %d of %d, %s, is CURRENT, and CurrentKeyMaterialId is %s", i, len(s.materials), id, aws.ToString(s.key.CurrentKeyMaterialId))
			}
		}
		if i == 0 {
			if id != k.chain[0].id || e.RotationDate != nil || e.RotationType != "" {
				w.keyFault(k, "its first material is %s, of %v %s; it was made with %s", id, e.RotationDate, e.RotationType, k.chain[0].id)
			}
			continue
		}
		if e.RotationDate == nil {
			w.keyFault(k, "material %s has no rotation date", id)
			continue
		}
		automatic := e.RotationType == types.RotationTypeAutomatic
		if i >= len(k.chain) {
			if !automatic || k.rotation == 0 || e.RotationDate.Before(runClock) {
				w.keyFault(k, "it has material %s (%s, %v) that neither the audit log nor an answer tells of", id, e.RotationType, e.RotationDate)
			}
			k.chain = append(k.chain, &material{id: id, automatic: true, from: w.readTick, to: w.ticks.Add(1)})
		}
		m := k.chain[i]
		if m.id != id || m.automatic != automatic {
			w.keyFault(k, "material %d is %s, %s; the audit log tells of %s, automatic: %t", i, id, e.RotationType, m.id, m.automatic)
		}
		if !m.listed {
			m.listed = true
			added = append(added, m)
			if m.date.IsZero() {
				m.date = *e.RotationDate
			}
		}
		if !same(m.date, *e.RotationDate) || m.logged && !same(m.logDate, m.date.Add(time.Millisecond).Truncate(time.Second)) && !same(m.logDate, m.date.Truncate(time.Second)) {
			w.keyFault(k, "the date of rotation %d is %v; it was %v, and %v in the audit log", i, e.RotationDate, m.date, m.logDate)
		}
		if e.RotationDate.Before(previous) || e.RotationDate.After(clock) {
			w.keyFault(k, "the date of rotation %d is %v; the one before is of %v, and the clock at %v", i, e.RotationDate, previous, clock)
		}
		previous = *e.RotationDate
	}
	if current != 1 && len(k.chain) > 0 {
		w.keyFault(k, "%d of its materials are CURRENT", current)
	}
	return added
}

// checkRotation compares the settings, and the dates of automatic rotations with the period.
func (w *world) checkRotation(k *key, s *state, added []*material) {
	on := k.rotation != 0 && !deleting(k.state)
	if s.rotation.KeyRotationEnabled != on {
		w.keyFault(k, "its rotation is on: %t, not %t", s.rotation.KeyRotationEnabled, on)
		return
	}
	if k.rotation == 0 {
		return
	}
	period := time.Duration(k.rotation) * day
	for _, m := range added {
		if !m.automatic || k.next.IsZero() {
			continue
		}
		switch late := m.date.Sub(k.next); {
		case late < -time.Millisecond:
			w.keyFault(k, "it turned at %v, before its date %v", m.date, k.next)
		case late > day:
			k.next = m.date.Add(period)
		default:
			k.next = k.next.Add(period)
		}
	}
	if !on {
		return
	}
	if days := aws.ToInt32(s.rotation.RotationPeriodInDays); days != k.rotation {
		w.keyFault(k, "its rotation period is %d days, not %d", days, k.rotation)
	}
	if k.next.IsZero() {
		k.next = *s.rotation.NextRotationDate
	}
	if !same(*s.rotation.NextRotationDate, k.next) {
		w.keyFault(k, "its next rotation is at %v, not %v", s.rotation.NextRotationDate, k.next)
	}
}

// takeExpired takes in what is seen to have expired since the audit log was read, if its time is over.
func (w *world) takeExpired(k *key, s *state) {
	if !k.imported {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	there := make(map[string]bool)
	for _, e := range s.materials {
		there[aws.ToString(e.KeyMaterialId)] = e.ImportState == types.ImportStateImported
	}
	if s.pending != nil {
		there[aws.ToString(s.pending.KeyMaterialId)] = s.pending.ImportState == types.ImportStateImported
	}
	if !k.symmetric() {
		there[""] = s.key.KeyState != types.KeyStatePendingImport
	}
	for m, until := range maps.Clone(k.now.of(k).held) {
		if !there[m.id] && !until.IsZero() && !until.After(w.serviceTime().Add(time.Second)) {
			k.sawExpired(k, m)
		}
	}
}

// checkImports compares which imported materials are there, and until when.
func (w *world) checkImports(k *key, s *state) {
	if !k.imported {
		return
	}
	w.mu.Lock()
	now, expiring := k.now.clone(), k.expiring(w.serviceTime().Add(startLimit))
	w.mu.Unlock()
	list, want := slices.Clone(s.materials), slices.Clone(now.imports)
	if s.pending != nil {
		list = append(list, *s.pending)
	}
	if now.pending != nil {
		want = append(want, now.pending)
	}
	if len(list) != len(want) {
		w.keyFault(k, "it has %d imported materials, not %d", len(list), len(want))
		return
	}
	for i, m := range want {
		e := list[i]
		until, held := now.at[k].held[m]
		if *e.KeyMaterialId != m.id || (e.ImportState == types.ImportStateImported) != held {
			w.keyFault(k, "its imported material %d is %s, %s; it must be %s, there: %t", i, *e.KeyMaterialId, e.ImportState, m.id, held)
		}
		if held && (e.ValidTo == nil) != until.IsZero() || e.ValidTo != nil && !same(*e.ValidTo, until) {
			w.keyFault(k, "its imported material %s is valid to %v, not %v", m.id, e.ValidTo, until)
		}
		ready := e.KeyMaterialState == types.KeyMaterialStatePendingRotation
		if m == now.pending && k.multi && ready != now.ready() && !expiring {
			w.keyFault(k, "its imported material %s is %s; all related keys have it: %t", m.id, e.KeyMaterialState, now.ready())
		}
	}
}

// checkOutputs opens and verifies, in every region, what the family's keys made: new ones and some old ones, or all.
func (w *world) checkOutputs(ctx context.Context, c *client, f *family, full bool) {
	w.mu.Lock()
	members := slices.DeleteFunc(slices.Clone(f.members), func(k *key) bool { return k.gone })
	w.mu.Unlock()
	opened := make(map[*output]bool)
	for _, k := range members {
		w.checkPublic(ctx, c, k)
		for i, o := range f.outputs {
			if o.checked && !full && !k.fresh && i > 0 {
				continue
			}
			if w.open(ctx, c, k, o) == nil {
				opened[o] = true
			} else if k.state != enabled {
				break
			}
		}
	}
	for o := range opened {
		o.checked = true
		if !f.symmetric() {
			continue
		}
		at := slices.IndexFunc(f.chain, func(m *material) bool { return m.id == o.material })
		switch {
		case at < 0:
			w.keyFault(members[0], "a ciphertext names material %s, which it never had", o.material)
		case f.chain[at].from > o.to:
			w.keyFault(members[0], "a ciphertext names material %d of %d, which came to be only after it", at, len(f.chain))
		case at+1 < len(f.chain) && f.chain[at+1].to < o.from:
			w.keyFault(members[0], "a ciphertext names material %d of %d, which had been replaced before", at, len(f.chain))
		}
	}
}

// checkPublic compares the public half of an asymmetric key with what it was before, or in another region.
func (w *world) checkPublic(ctx context.Context, c *client, k *key) {
	if k.kind.usage != types.KeyUsageTypeSignVerify || k.state != enabled {
		return
	}
	var out *kms.GetPublicKeyOutput
	if w.do(ctx, &call{name: "GetPublicKey", key: k, allowed: k.mayLackMaterial()}, func(ctx context.Context) (err error) {
		out, err = c.of(k).GetPublicKey(ctx, &kms.GetPublicKeyInput{KeyId: &k.id})
		return err
	}) != nil {
		return
	}
	if k.public == nil {
		k.public = out.PublicKey
	}
	if !bytes.Equal(out.PublicKey, k.public) {
		w.keyFault(k, "its public key is another one")
	}
}

// same tells whether two dates are the same but for the millisecond that the SDK loses when it reads some of them: it cuts off a
// binary fraction that is a little less than the decimal one was.
func same(a, b time.Time) bool { return a.Sub(b).Abs() <= time.Millisecond }
