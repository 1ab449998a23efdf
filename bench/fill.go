package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/keyturn/keyturn/internal/audit"
	"github.com/keyturn/keyturn/internal/clock"
	"github.com/keyturn/keyturn/internal/keys"
	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/store"
)

const (
	keysPerCommit = 16 // each takes six writes: key, material, and four index entries
	fillers       = 64 // commits under way at once; the engine combines them
	day           = 24 * time.Hour
	rotationDays  = 365
)

// fill writes n keys straight into a store, with all that CreateKey with rotation would leave there: records, index entries and
// counters. It goes past the pipeline, which would take minutes for what takes seconds here, and in the order of the key IDs, so
// that commits made together share pages.
//
// With a log, the record of each key's making gets there, as CreateKey would have it.
func fill(ctx context.Context, st store.Store, log *audit.Log, owner record.Owner, n int, now time.Time) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	ids := make([]keys.KeyID, n)
	for i := range ids {
		ids[i] = keys.NewKeyID()
	}
	slices.SortFunc(ids, func(a, b keys.KeyID) int { return strings.Compare(a.String(), b.String()) })
	// Their rotations spread over the period to come, so that nothing is due.
	next := func(i int) time.Time {
		return clock.Stamp(now.Add(day + (rotationDays-1)*day/time.Duration(n)*time.Duration(i)))
	}
	jobs := make(chan int)
	counters := make(map[string]int64)
	var mu sync.Mutex // guards counters
	var wg sync.WaitGroup
	for range min(fillers, n/keysPerCommit+1) {
		wg.Go(func() {
			for first := range jobs {
				counts, err := fillSome(ctx, st, log, owner, ids[first:min(first+keysPerCommit, n)], func(i int) time.Time { return next(first + i) })
				if err != nil {
					cancel(err)
					continue
				}
				mu.Lock()
				for name, count := range counts {
					counters[name] += count
				}
				mu.Unlock()
			}
		})
	}
	for first := 0; first < n; first += keysPerCommit {
		jobs <- first
	}
	close(jobs)
	wg.Wait()
	if err := context.Cause(ctx); err != nil {
		return fmt.Errorf("filling a store: %w", err)
	}
	var b store.Batch
	for name, count := range counters {
		b.Writes = append(b.Writes, store.Write{Key: name, Value: record.EncodeCounter(count)})
	}
	_, err := st.Commit(ctx, b)
	return err
}

// fillSome commits keys, the i-th to be rotated at next(i), and returns how many it adds to each counter.
func fillSome(ctx context.Context, st store.Store, log *audit.Log, owner record.Owner, ids []keys.KeyID, next func(i int) time.Time) (map[string]int64, error) {
	var b store.Batch
	counters := make(map[string]int64)
	var lines [][]byte
	for i, id := range ids {
		records, err := newKey(owner, id, next(i))
		if err != nil {
			return nil, err
		}
		lines = append(lines, created(owner, id, records).AppendJSON(nil))
		for _, r := range records {
			value, err := record.Encode(r)
			if err != nil {
				return nil, err
			}
			b.Writes = append(b.Writes, store.Write{Key: r.StoreKey(), Value: value})
			for _, ix := range r.Indexes() {
				b.Writes = append(b.Writes, store.Write{Key: ix, Value: []byte{}})
			}
			for _, c := range r.Counters() {
				counters[c]++
			}
		}
	}
	_, err := st.Commit(ctx, b)
	if err == nil && log != nil {
		_, err = log.AppendSync(lines)
	}
	return counters, err
}

// created is the audit record of the making of a key.
func created(owner record.Owner, id keys.KeyID, records []record.Record) *audit.Record {
	r := &audit.Record{
		Identity: audit.Identity{AccountID: owner.Account, Type: "Root"}, EventTime: time.Now(), EventSource: "kms.amazonaws.com", EventName: "CreateKey",
		AWSRegion: owner.Region, SourceIPAddress: "127.0.0.1", UserAgent: "bench", EventType: audit.APICall, ManagementEvent: true,
		RecipientAccountID: owner.Account, RequestID: keys.NewKeyID().String(), EventID: records[0].Provenance().Event,
		Resources: []audit.Resource{{AccountID: owner.Account, Type: "AWS::KMS::Key", ARN: record.KeyARN(owner, id.String())}},
	}
	for _, one := range records {
		r.Writes = append(r.Writes, audit.Write{Record: one.StoreKey(), Version: one.Provenance().Version})
	}
	return r
}

// newKey makes a key and its material.
func newKey(owner record.Owner, id keys.KeyID, next time.Time) ([]record.Record, error) {
	spec := keys.SpecByName("SYMMETRIC_DEFAULT")
	secret, err := spec.NewMaterial()
	if err != nil {
		return nil, err
	}
	materialID, err := keys.NewMaterialID(secret, id)
	if err != nil {
		return nil, err
	}
	created := next.Add(-rotationDays * day)
	k := &record.Key{
		Owner: owner, ID: id.String(), Created: created, Description: "bench", Spec: spec.Name, Usage: spec.Usages[0],
		Origin: "AWS_KMS", Manager: record.Customer, State: record.Enabled, Current: materialID.String(), Materials: 1,
		Rotation: record.Rotation{Enabled: true, Days: rotationDays, Next: next},
	}
	m := &record.Material{Owner: owner, KeyID: k.ID, ID: k.Current, Created: created, Secret: secret}
	event := record.Provenance{Version: 1, Event: keys.NewKeyID().String()}
	*k.Provenance(), *m.Provenance() = event, event
	return []record.Record{k, m}, nil
}

// fillAudit appends records until the current segment of the log has about size bytes.
func fillAudit(log *audit.Log, size int) error {
	r := audit.Record{
		Identity: audit.Identity{AccountID: account, Type: "Root"}, EventTime: time.Now(), EventSource: "kms.amazonaws.com", EventName: "Encrypt",
		AWSRegion: region, SourceIPAddress: "127.0.0.1", UserAgent: "bench", EventType: audit.APICall, ManagementEvent: true,
		RecipientAccountID: account, ReadOnly: true, RequestID: keys.NewKeyID().String(), EventID: keys.NewKeyID().String(),
		Resources: []audit.Resource{{AccountID: account, Type: "AWS::KMS::Key", ARN: record.KeyARN(benchOwner(), keys.NewKeyID().String())}},
	}
	r.RequestParameters.StrMap("encryptionContext", benchContext)
	line := r.AppendJSON(nil)
	batch := make([][]byte, 1000)
	for i := range batch {
		batch[i] = line
	}
	for written := 0; written < size; written += len(batch) * len(line) {
		if _, err := log.AppendSync(batch); err != nil {
			return err
		}
	}
	return nil
}

func benchOwner() record.Owner { return record.Owner{Account: account, Region: region} }
