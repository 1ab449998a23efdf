package crashtest

import (
	"bytes"
	"context"
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
	if len(s.materials) < len(k.chain) {
		w.keyFault(k, "it has %d materials, and the audit log and its answers tell of %d", len(s.materials), len(k.chain))
		return nil
	}
	previous := *s.key.CreationDate
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
	if current != 1 {
		w.keyFault(k, "%d of its materials are CURRENT", current)
	}
	return added
}

// checkRotation compares the settings, and the dates of automatic rotations with the period.
func (w *world) checkRotation(k *key, s *state, added []*material) {
	on := k.rotation != 0 && k.state != "PendingDeletion"
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

// checkCiphertexts opens what the key encrypted: new ones and some old ones, or all.
func (w *world) checkCiphertexts(ctx context.Context, c *client, k *key, full bool) {
	for i, ct := range k.ciphertexts {
		if ct.checked && !full && i > 0 {
			continue
		}
		if w.open(ctx, c, k, ct) != nil {
			if k.state != "Enabled" {
				return
			}
			continue
		}
		ct.checked = true
		at := slices.IndexFunc(k.chain, func(m *material) bool { return m.id == ct.material })
		switch {
		case at < 0:
			w.keyFault(k, "a ciphertext names material %s, which it never had", ct.material)
		case k.chain[at].from > ct.to:
			w.keyFault(k, "a ciphertext names material %d of %d, which came to be only after it", at, len(k.chain))
		case at+1 < len(k.chain) && k.chain[at+1].to < ct.from:
			w.keyFault(k, "a ciphertext names material %d of %d, which had been replaced before", at, len(k.chain))
		}
	}
}

// open decrypts a ciphertext and compares what comes out.
func (w *world) open(ctx context.Context, c *client, k *key, ct *ciphertext) error {
	d := &call{name: "Decrypt", key: k, mark: ct.context["call"]}
	switch k.state {
	case "Disabled":
		d.allowed = []string{"DisabledException"}
	case "PendingDeletion":
		d.allowed = []string{"KMSInvalidStateException", "AccessDeniedException"}
	}
	var out *kms.DecryptOutput
	err := w.do(ctx, d, func(ctx context.Context) (err error) {
		out, err = c.Decrypt(ctx, &kms.DecryptInput{CiphertextBlob: ct.blob, EncryptionContext: ct.context})
		return err
	})
	if err != nil {
		return err
	}
	if k.state != "Enabled" {
		w.keyFault(k, "it decrypts, being %s", k.state)
	}
	if !bytes.Equal(out.Plaintext, ct.plaintext) {
		w.keyFault(k, "a ciphertext opens to something else than was encrypted")
	}
	if named := aws.ToString(out.KeyMaterialId); ct.material != "" && ct.material != named {
		w.keyFault(k, "a ciphertext under %s is opened by %s", ct.material, named)
	} else {
		ct.material = named
	}
	return nil
}

// same tells whether two dates are the same but for the millisecond that the SDK loses when it reads some of them: it cuts off a
// binary fraction that is a little less than the decimal one was.
func same(a, b time.Time) bool { return a.Sub(b).Abs() <= time.Millisecond }
