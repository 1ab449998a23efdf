package service

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/store"
)

// usageFlush is how often what keys were used for is written down: so much of it can be lost in a crash.
const usageFlush = 2 * time.Second

const (
	// usageFull is how many keys and materials may wait to be written. A call that finds more makes no note: uses are lost before
	// memory is.
	usageFull = 100_000
	// usageBatch is how many of them one commit takes: each has a write, and up to two checks.
	usageBatch = 40
)

// Direction says what a material was used for.
type Direction uint8

const (
	Encrypting Direction = iota // encrypting, signing, making a MAC
	Decrypting                  // decrypting, verifying, agreeing on a secret
)

// used is one use of a material by an operation.
type used struct {
	key        *record.Key
	materialID string
	direction  Direction
	bytes      int
}

// Use notes that the operation used a material of a key, for so many bytes. It counts once the operation has succeeded.
func (tx *Tx) Use(k *record.Key, materialID string, d Direction, bytes int) {
	if tx.usedN < len(tx.used) {
		tx.used[tx.usedN] = used{k, materialID, d, bytes}
		tx.usedN++
	}
}

// usage gathers what keys and materials were used for, and writes it down every now and then, so that no call waits for it.
type usage struct {
	p    *Pipeline
	stop chan struct{}
	done chan struct{}
	wake chan struct{} // has room for one

	writing sync.Mutex // held by flush

	marks accessKeyMarks

	mu         sync.Mutex
	keys       map[usedKey]*record.KeyUsage           // guarded by mu
	materials  map[usedMaterial]*record.MaterialUsage // what is to be added; guarded by mu
	accessKeys map[string]*record.AccessKeyUse        // guarded by mu
}

// usedKey and usedMaterial name what is used without making a string of it: that is on the way of every use.
type usedKey struct {
	record.Owner
	id string
}

type usedMaterial struct {
	usedKey
	material string
}

func newUsage(p *Pipeline) *usage {
	return &usage{
		p: p, stop: make(chan struct{}), done: make(chan struct{}), wake: make(chan struct{}, 1),
		keys: make(map[usedKey]*record.KeyUsage), materials: make(map[usedMaterial]*record.MaterialUsage),
		accessKeys: make(map[string]*record.AccessKeyUse),
	}
}

// note takes the uses of an operation that succeeded.
func (u *usage) note(op *Op, call *Call, uses []used, eventID string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if len(u.keys) == 0 {
		u.signal()
	}
	for i := range uses {
		use := &uses[i]
		k := use.key
		if len(u.keys)+len(u.materials) >= usageFull {
			return
		}
		key := usedKey{k.Owner, k.ID}
		last := u.keys[key]
		if last == nil {
			last = &record.KeyUsage{Owner: k.Owner, KeyID: k.ID}
			u.keys[key] = last
		}
		if !call.Now.Before(last.At) {
			last.Operation, last.At, last.EventID, last.RequestID = op.Name, call.Now, eventID, call.RequestID
		}
		material := usedMaterial{key, use.materialID}
		m := u.materials[material]
		if m == nil {
			m = &record.MaterialUsage{Owner: k.Owner, KeyID: k.ID, ID: use.materialID}
			u.materials[material] = m
		}
		more := record.MaterialUsage{Decryptions: 1, Decrypted: call.Now}
		if use.direction == Encrypting {
			more = record.MaterialUsage{Encryptions: 1, Bytes: int64(use.bytes), Encrypted: call.Now}
		}
		m.Add(&more)
	}
}

// loop writes what is noted, usageFlush after the first note, until close.
func (u *usage) loop() {
	defer close(u.done)
	for {
		select {
		case <-u.wake:
		case <-u.stop:
			return
		}
		select {
		case <-time.After(usageFlush):
		case <-u.stop:
			return
		}
		if err := u.flush(context.Background()); err != nil {
			u.p.log.Error("cannot write down what keys were used for; it is tried again", "error", err)
		}
	}
}

// signal tells loop that there is something to write.
func (u *usage) signal() {
	select {
	case u.wake <- struct{}{}:
	default:
	}
}

func (u *usage) close(ctx context.Context) error {
	close(u.stop)
	<-u.done
	return u.flush(ctx)
}

// flush writes what has been noted. What could not be written is noted again.
func (u *usage) flush(ctx context.Context) error {
	u.writing.Lock()
	defer u.writing.Unlock()
	u.mu.Lock()
	ks, ms, as := u.keys, u.materials, u.accessKeys
	if len(ks)+len(ms)+len(as) == 0 {
		u.mu.Unlock()
		return nil
	}
	u.keys, u.materials = make(map[usedKey]*record.KeyUsage), make(map[usedMaterial]*record.MaterialUsage)
	u.accessKeys = make(map[string]*record.AccessKeyUse)
	u.mu.Unlock()

	ctx, cancel := context.WithTimeout(ctx, commitTimeout)
	defer cancel()
	var list []usageRecord
	for _, k := range ks {
		list = append(list, k)
	}
	for _, m := range ms {
		list = append(list, m)
	}
	for _, a := range as {
		list = append(list, a)
	}
	for len(list) > 0 {
		n := min(len(list), usageBatch)
		if err := u.write(ctx, list[:n]); err != nil {
			if errors.Is(err, store.ErrUnknown) { // written or not: counting twice is worse than not at all
				list = list[n:]
			}
			u.back(list)
			return err
		}
		list = list[n:]
	}
	return nil
}

// usageRecord is a KeyUsage, a MaterialUsage or an AccessKeyUse.
type usageRecord interface {
	record.Record
	OfKey() string // the store key of the key that was used
	// After returns what to store over what stands in the store, nil if that is nothing; the old record is not changed.
	After(old record.Record) record.Record
}

// write adds to what the store has, in one commit. What is of keys that are gone is dropped.
func (u *usage) write(ctx context.Context, list []usageRecord) error {
	for attempt := 0; ; attempt++ {
		b, err := u.batch(ctx, list)
		if err != nil || len(b.Writes) == 0 {
			return err
		}
		_, err = u.p.store.Commit(ctx, b)
		if err == nil || errors.Is(err, store.ErrUnknown) {
			for _, w := range b.Writes {
				u.p.cache.invalidate(w.Key)
			}
		}
		if !errors.Is(err, store.ErrConflict) || attempt >= maxAttempts {
			return err
		}
	}
}

func (u *usage) batch(ctx context.Context, list []usageRecord) (store.Batch, error) {
	var b store.Batch
	checked := make(map[string]bool)
	for _, r := range list {
		entries, err := u.p.store.Get(ctx, r.OfKey(), r.StoreKey())
		if err != nil {
			return b, err
		}
		key, own := entries[0], entries[1]
		if key.Rev == 0 {
			continue
		}
		var old record.Record
		if own.Rev != 0 {
			if old, err = u.p.decode(own.Key, own.Value); err != nil {
				return b, err
			}
		}
		next := r.After(old)
		if next == nil {
			continue
		}
		next.Provenance().Version++
		value, err := record.Encode(next)
		if err != nil {
			return b, err
		}
		if !checked[key.Key] { // so that nothing is written for a key that is deleted meanwhile
			checked[key.Key] = true
			b.Checks = append(b.Checks, store.Check{Key: key.Key, Rev: key.Rev})
		}
		b.Checks = append(b.Checks, store.Check{Key: own.Key, Rev: own.Rev})
		b.Writes = append(b.Writes, store.Write{Key: own.Key, Value: value})
	}
	return b, nil
}

// back notes again what could not be written.
func (u *usage) back(list []usageRecord) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.signal()
	for _, r := range list {
		switch r := r.(type) {
		case *record.KeyUsage:
			if at := (usedKey{r.Owner, r.KeyID}); u.keys[at] == nil {
				u.keys[at] = r
			}
		case *record.MaterialUsage:
			at := usedMaterial{usedKey{r.Owner, r.KeyID}, r.ID}
			if now := u.materials[at]; now != nil {
				r.Add(now)
			}
			u.materials[at] = r
		case *record.AccessKeyUse:
			if u.accessKeys[r.ID] == nil {
				u.accessKeys[r.ID] = r
			}
		}
	}
}
