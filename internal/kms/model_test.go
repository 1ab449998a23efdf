package kms_test

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/keys"
	"github.com/keyturn/keyturn/internal/record"
)

const day = 24 * time.Hour

// anyMessage in an expected error stands for whatever the service says: no source documents the wording.
const anyMessage = "*"

// model holds what the service must hold, by the documented rules alone: plain maps, no revisions, no indexes.
type model struct {
	now       time.Time
	keys      map[string]*modelKey
	order     []string // IDs of all keys ever, in the order they were made
	aliases   map[string]*modelAlias
	blobs     []modelBlob
	gone      []string // IDs of deleted keys
	rotations int      // of all keys, deleted ones too
	deletions int
	calls     int // requests made: one audit record each
}

type modelKey struct {
	id, arn, description string
	created              time.Time
	managed              bool
	state                record.State
	deletion             time.Time

	rotation  bool
	period    int64
	next      time.Time
	onDemand  int
	materials []modelMaterial // the last is current
	tags      [][2]string
}

type modelMaterial struct {
	id     string // "" while not yet known
	date   time.Time
	reason record.RotationType
}

type modelAlias struct {
	key              string
	created, updated time.Time
}

type modelBlob struct {
	data, plain []byte
	key         string
	material    string
	context     map[string]string
}

// modelEvent is one thing that happened when it was due.
type modelEvent struct {
	at   time.Time
	kind record.DueKind
	key  *modelKey
}

func newModel(now time.Time) *model {
	return &model{now: now, keys: map[string]*modelKey{}, aliases: map[string]*modelAlias{}}
}

func (k *modelKey) current() *modelMaterial { return &k.materials[len(k.materials)-1] }

// due tells what happens to a key next, and when.
func (k *modelKey) due() (time.Time, record.DueKind, bool) {
	switch {
	case k.state == record.PendingDeletion:
		return k.deletion, record.DueDeletion, true
	case k.state == record.Enabled && k.rotation:
		return k.next, record.DueRotation, true
	}
	return time.Time{}, "", false
}

func (k *modelKey) startRotation(now time.Time, days int64) {
	k.rotation, k.period, k.next = true, days, now.Add(time.Duration(days)*day)
}

func (k *modelKey) rotate(at time.Time, reason record.RotationType) {
	k.materials = append(k.materials, modelMaterial{date: at, reason: reason})
}

// happen carries out a key's due event at a time.
func (m *model) happen(k *modelKey, kind record.DueKind, at time.Time) modelEvent {
	if kind == record.DueDeletion {
		delete(m.keys, k.id)
		m.gone = append(m.gone, k.id)
		maps.DeleteFunc(m.aliases, func(_ string, a *modelAlias) bool { return a.key == k.id })
		m.deletions++
		return modelEvent{at, kind, k}
	}
	k.rotate(at, record.Automatic)
	m.rotations++
	period := time.Duration(k.period) * day
	if at.Sub(k.next) > day {
		k.next = at.Add(period)
	} else {
		k.next = k.next.Add(period)
	}
	return modelEvent{at, kind, k}
}

// dueBy lists the keys with something due by a time, the earliest first.
func (m *model) dueBy(t time.Time) []*modelKey {
	var list []*modelKey
	for _, k := range m.keys {
		if at, _, ok := k.due(); ok && !at.After(t) {
			list = append(list, k)
		}
	}
	slices.SortFunc(list, func(a, b *modelKey) int {
		atA, kindA, _ := a.due()
		atB, kindB, _ := b.due()
		return cmp.Or(atA.Compare(atB), strings.Compare(string(kindA), string(kindB)), strings.Compare(a.id, b.id))
	})
	return list
}

// advance moves the development clock: each event happens at its own date, what was overdue already happens first, now.
func (m *model) advance(d time.Duration) []modelEvent {
	target := m.now.Add(d)
	var events []modelEvent
	for {
		due := m.dueBy(target)
		if len(due) == 0 {
			m.now = target
			return events
		}
		at, kind, _ := due[0].due()
		if at.Before(m.now) {
			at = m.now
		}
		m.now = at // later events are never dated before this one
		events = append(events, m.happen(due[0], kind, at))
	}
}

// catchUp is what the scheduler does after downtime: what is overdue happens once, now.
func (m *model) catchUp() {
	for _, k := range m.dueBy(m.now) {
		_, kind, _ := k.due()
		m.happen(k, kind, m.now)
	}
}

// Errors by the documented rules; nil is success.

func fault(code api.ErrorCode, format string, args ...any) *api.Error {
	return api.Errorf(code, format, args...)
}

func (k *modelKey) disabled() *api.Error {
	if k.state == record.Disabled {
		return fault(api.DisabledException, "%s is disabled.", k.arn)
	}
	return k.pendingDeletion()
}

func (k *modelKey) pendingDeletion() *api.Error {
	if k.state == record.PendingDeletion {
		return fault(api.KMSInvalidStateException, "%s is pending deletion.", k.arn)
	}
	return nil
}

func (k *modelKey) denied() *api.Error {
	if k.managed {
		return fault(api.AccessDeniedException, anyMessage)
	}
	return nil
}

func (k *modelKey) rotates() *api.Error {
	if k.managed {
		return fault(api.UnsupportedOperationException, "")
	}
	return k.disabled()
}

// first returns the first error that is not nil.
func first(errs ...*api.Error) *api.Error {
	for _, e := range errs {
		if e != nil {
			return e
		}
	}
	return nil
}

func keyARN(id string) string     { return "arn:aws:kms:" + region + ":" + account + ":key/" + id }
func aliasARN(name string) string { return "arn:aws:kms:" + region + ":" + account + ":" + name }

// resolve finds the key that a KeyId names, as an operation that takes aliases or not does.
func (m *model) resolve(name string, aliases bool) (*modelKey, *api.Error) {
	resource := name
	if strings.HasPrefix(name, "arn:") {
		parts := strings.SplitN(name, ":", 6)
		if parts[4] != account {
			return nil, fault(api.AccessDeniedException, anyMessage)
		}
		if parts[3] != region {
			return nil, fault(api.NotFoundException, "Invalid arn %s", parts[3])
		}
		resource = strings.TrimPrefix(parts[5], "key/")
	}
	if strings.HasPrefix(resource, "alias/") {
		if !aliases {
			return nil, fault(api.NotFoundException, "Invalid keyId '%s'", name)
		}
		a := m.aliases[resource]
		if a == nil {
			return nil, fault(api.NotFoundException, "Alias %s is not found.", aliasARN(resource))
		}
		return m.keys[a.key], nil
	}
	if _, ok := keys.ParseKeyID(resource); !ok {
		return nil, fault(api.NotFoundException, "Invalid keyId '%s'", name)
	}
	if k := m.keys[resource]; k != nil {
		return k, nil
	}
	return nil, fault(api.NotFoundException, "Key '%s' does not exist", keyARN(resource))
}

// tag adds tags as TagResource and CreateKey do.
func tag(have [][2]string, add [][2]string) ([][2]string, *api.Error) {
	out := slices.Clone(have)
	seen := map[string]bool{}
	for _, t := range add {
		if seen[t[0]] {
			return nil, fault(api.TagException, "Duplicate tag keys")
		}
		seen[t[0]] = true
		if strings.HasPrefix(strings.ToLower(t[0]), "aws:") {
			return nil, fault(api.TagException, "Tags beginning with aws: are reserved")
		}
		if i := slices.IndexFunc(out, func(o [2]string) bool { return o[0] == t[0] }); i >= 0 {
			out[i][1] = t[1]
		} else {
			out = append(out, t)
		}
	}
	if len(out) > 50 {
		return nil, fault(api.TagException, "Too many tags")
	}
	return out, nil
}

// rotationsOf lists a key's materials as ListKeyRotations does.
func rotationsOf(k *modelKey, all bool) []string {
	var out []string
	for i, mt := range k.materials {
		if i == 0 && !all {
			continue
		}
		state := "NON_CURRENT"
		if i == len(k.materials)-1 {
			state = "CURRENT"
		}
		line := fmt.Sprintf("%s %s %s", k.id, mt.id, state)
		if i > 0 {
			line += fmt.Sprintf(" %s %s", mt.date.Format(time.RFC3339Nano), mt.reason)
		}
		out = append(out, line)
	}
	return out
}
