package crashtest

import (
	"slices"
	"time"
)

// What the service does by itself, and what AdvanceClock answers of it.

// readServiceEvent takes in what the service did by itself.
func (w *world) readServiceEvent(r *auditRecord, onDemand map[*family][]*call) {
	if t := r.EventTime.Add(time.Second); t.After(w.horizon) { // the log has whole seconds
		w.horizon = t
	}
	if r.EventName == "DestroyMaterialCopies" {
		if r.Details.Number != w.scrubbed+1 {
			w.fault("audit line %d: DestroyMaterialCopies number %d after number %d", r.Keyturn.Seq, r.Details.Number, w.scrubbed)
		}
		w.scrubbed = r.Details.Number
		return
	}
	var k *key
	if len(r.Resources) == 1 {
		k = w.keys[r.Resources[0].ARN]
	}
	if k == nil || k.id != r.Details.KeyID || k.region != r.Region {
		w.fault("audit line %d: %s of unknown key %s in %s, resources %v", r.Keyturn.Seq, r.EventName, r.Details.KeyID, r.Region, r.Resources)
		return
	}
	k.touched, k.changed = true, true
	k.remember("round %d: %s in %s, of %v", w.round, r.EventName, r.Region, r.EventTime)
	switch r.EventName {
	case "RotateKey":
		w.readRotation(k, r, onDemand)
	case "DeleteExpiredKeyMaterial":
		w.readExpiry(k, r)
	case "DeleteKey":
		w.stats.deletions++
		if k.goneLogged || k.state != pendingDeletion {
			w.fault("audit line %d: DeleteKey of key %s, which is %s, recorded before: %t", r.Keyturn.Seq, k.arn, k.state, k.goneLogged)
		}
		if !k.deletion.IsZero() && r.EventTime.Before(k.deletion.Truncate(time.Second)) {
			w.fault("key %s was deleted at %v, before its date %v", k.arn, r.EventTime, k.deletion)
		}
		if k.multi && k.region == k.now.primary && k.waited {
			w.stats.waited++
		}
		k.gone, k.goneLogged = true, true
		k.lose(k)
	case "SweepKey":
		if !k.goneLogged && !k.again {
			w.fault("audit line %d: SweepKey of key %s, which is not deleted", r.Keyturn.Seq, k.arn)
		}
	default:
		w.fault("audit line %d: unknown event %s", r.Keyturn.Seq, r.EventName)
	}
}

// readSynchronized takes in that what related keys share went from their primary to the others. The record names the primary alone.
func (w *world) readSynchronized(r *auditRecord) {
	w.stats.synchronized++
	if r.EventName == "DestroyMaterialCopies" {
		if r.Details.Number != w.scrubbed+1 {
			w.fault("audit line %d: DestroyMaterialCopies number %d after number %d", r.Keyturn.Seq, r.Details.Number, w.scrubbed)
		}
		w.scrubbed = r.Details.Number
		return
	}
	var k *key
	if len(r.Resources) == 1 {
		k = w.keys[r.Resources[0].ARN]
	}
	if k == nil || !k.multi || k.region != r.Region || r.ResponseElements.KeyID != k.arn {
		w.fault("audit line %d: SynchronizeMultiRegionKey of %q in %s, resources %v", r.Keyturn.Seq, r.ResponseElements.KeyID, r.Region, r.Resources)
		return
	}
	for _, member := range k.members {
		member.touched, member.changed = true, true
	}
}

// readRotation takes in a RotateKey event.
func (w *world) readRotation(k *key, r *auditRecord, onDemand map[*family][]*call) {
	w.stats.rotations++
	if k.imported {
		w.stats.turns++
	}
	m := &material{id: r.Details.Current, automatic: r.Details.RotationType == "AUTOMATIC", logged: true, logDate: r.EventTime, from: w.readTick, to: w.ticks.Add(1)}
	if !m.automatic {
		asked := onDemand[k.family]
		if len(asked) == 0 {
			w.fault("audit line %d: RotateKey ON_DEMAND of key %s that nobody asked for", r.Keyturn.Seq, k.arn)
		} else {
			onDemand[k.family] = asked[1:]
			m.from, m.to = asked[0].from, asked[0].to
		}
	} else if c := w.advanceTo(m.id); c != nil {
		m.from, m.to = c.from, c.to
	}
	w.appendMaterial(k, m, r)
}

// readExpiry takes in that imported material expired.
func (w *world) readExpiry(k *key, r *auditRecord) {
	w.stats.expiries++
	w.expired[k.arn+" "+r.Details.MaterialID] = true
	if !k.imported || k.logged.at[k] == nil {
		w.fault("audit line %d: material of key %s expired, which has none that can", r.Keyturn.Seq, k.arn)
		return
	}
	m := k.logged.known(r.Details.MaterialID)
	until, ok := k.logged.at[k].held[m]
	if m == nil || !ok || until.IsZero() || r.EventTime.Before(until) {
		w.faultOf(k, "audit line %d: material %q expired at %v; it was there: %t, until %v", r.Keyturn.Seq, r.Details.MaterialID, r.EventTime, ok, until)
		return
	}
	everywhere := k.logged.pending == m && k.logged.primary == k.region
	k.logged.remove(k, m)
	for h := range k.family.expired {
		if h.material == m && (everywhere || h.key == k) {
			delete(k.family.expired, h) // it may have been over for a replica at the same time
		}
	}
}

// appendMaterial takes in a RotateKey event: the key's materials must form one chain, and the log must have it in order.
func (w *world) appendMaterial(k *key, m *material, r *auditRecord) {
	for i, have := range k.chain {
		if have.id != m.id {
			continue
		}
		if have.logged || i == 0 || k.chain[i-1].id != r.Details.Previous || have.automatic != m.automatic {
			w.fault("key %s: RotateKey event (audit line %d) %s -> %s, but the rotation to it is %d of %d, recorded before: %t",
				k.arn, r.Keyturn.Seq, r.Details.Previous, m.id, i, len(k.chain)-1, have.logged)
		}
		have.logged, have.logDate = true, m.logDate
		return
	}
	if last := k.chain[len(k.chain)-1]; last.id != r.Details.Previous {
		if k.waiting == nil {
			k.waiting = make(map[string]*material)
		}
		k.waiting[r.Details.Previous] = m
		w.stats.swapped++
		return
	}
	for m != nil {
		k.chain = append(k.chain, m)
		m = k.waiting[m.id]
		delete(k.waiting, k.chain[len(k.chain)-1].id)
	}
}

// advanceTo returns the answered AdvanceClock call of this round that made a material, or nil.
func (w *world) advanceTo(materialID string) *call {
	for _, c := range w.advances {
		if c.events != nil {
			for _, e := range c.events.Events {
				if e.KeyMaterialID == materialID {
					return c
				}
			}
		}
	}
	return nil
}

// checkAdvances: what an answered AdvanceClock said to have happened must have.
func (w *world) checkAdvances() {
	for _, c := range w.advances {
		if c.events == nil {
			if c.seen { // it had happened at the crash: the clock may be there
				if t := c.floor.Add(time.Duration(c.seconds) * time.Second); t.After(w.horizon) {
					w.horizon = t
				}
			}
			continue
		}
		if n := len(c.events.Events); n < 1000 && n != c.events.EventCount {
			w.fault("AdvanceClock answered %d events and says %d", n, c.events.EventCount)
		}
		for _, e := range c.events.Events {
			k := w.keys[e.KeyArn]
			if k == nil {
				w.fault("AdvanceClock answered an event of the unknown key %s", e.KeyArn)
				continue
			}
			i := slices.IndexFunc(k.chain, func(m *material) bool { return m.id == e.KeyMaterialID })
			switch {
			case e.Event == "DeleteKey" && !k.goneLogged:
				w.fault("AdvanceClock answered that key %s was deleted, and the audit log does not know", e.KeyArn)
			case e.Event == "RotateKey" && i < 0:
				w.fault("AdvanceClock answered that key %s turned to %s, and the audit log does not know", e.KeyArn, e.KeyMaterialID)
			case e.Event == "RotateKey":
				k.chain[i].date = e.Date.Time
			case e.Event == "DeleteExpiredKeyMaterial" && k.symmetric() && !w.expired[e.KeyArn+" "+e.KeyMaterialID]:
				w.fault("AdvanceClock answered that material %s of key %s expired, and the audit log does not know", e.KeyMaterialID, e.KeyArn)
			}
		}
	}
	clear(w.expired)
	w.advances = nil
}
