package service_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/service"
	"github.com/keyturn/keyturn/internal/store"
)

// handClock is a clock that goes when it is told to.
type handClock struct{ ns atomic.Int64 }

func (c *handClock) Now() time.Time { return now.Add(time.Duration(c.ns.Load())) }

func (h *house) accessKey(id string) {
	h.t.Helper()
	k := &record.AccessKey{ID: id, Account: account, Active: true, Created: now}
	value, err := record.Encode(k)
	if err == nil {
		_, err = h.p.Store().Commit(h.t.Context(), store.Batch{Writes: []store.Write{{Key: k.StoreKey(), Value: value}}})
	}
	if err != nil {
		h.t.Fatal(err)
	}
}

// lastUsed returns what the store says of an access key's use, nil for nothing.
func (h *house) lastUsed(id string) *record.AccessKeyUse {
	h.t.Helper()
	r, err := h.p.Record(h.t.Context(), record.AccessKeyUseStoreKey(id))
	if err != nil {
		h.t.Fatal(err)
	}
	use, _ := r.(*record.AccessKeyUse)
	return use
}

func ofAccessKeys(b store.Batch) (n int) {
	for _, w := range b.Writes {
		if strings.HasPrefix(w.Key, "xu/") {
			n++
		}
	}
	return n
}

func TestAccessKeyUses(t *testing.T) {
	clock := new(handClock)
	h := newHouse(t, nil, nil, func(c *service.Config) { c.Clock = clock })
	defer h.close()
	var writes atomic.Int64
	h.store.set(nil, func(b store.Batch) error {
		writes.Add(int64(ofAccessKeys(b)))
		return nil
	})
	h.accessKey(h.caller.AccessKeyID)
	call := func() { h.must("ListKeys", &api.ListKeysRequest{}) }
	call()
	if h.lastUsed(h.caller.AccessKeyID) != nil {
		t.Error("a call waited for its use to be written")
	}
	for range 10 {
		call()
		h.flush()
		clock.ns.Add(int64(time.Second))
	}
	if use := h.lastUsed(h.caller.AccessKeyID); writes.Load() != 1 || use == nil || !use.At.Equal(now) || use.Service != "kms" || use.Region != region {
		t.Errorf("%d writes, %+v", writes.Load(), use)
	}
	clock.ns.Store(int64(time.Minute))
	h.newKey() // a change counts, too
	h.flush()
	if use := h.lastUsed(h.caller.AccessKeyID); writes.Load() != 2 || !use.At.Equal(now.Add(time.Minute)) || use.By.Version != 2 {
		t.Errorf("%d writes, %+v", writes.Load(), use)
	}
	// Not a use: a session, a call that is refused, a key that no record is of.
	clock.ns.Store(int64(time.Hour))
	root := h.caller
	h.caller = service.NewCaller(service.Caller{Account: account, Type: "Root", AccessKeyID: root.AccessKeyID, Session: &service.Session{}})
	call()
	h.caller = root
	if _, err := h.do(h.kmsOp("DescribeKey"), &api.DescribeKeyRequest{KeyId: some("none")}); err == nil {
		t.Error("found")
	}
	h.caller = service.RootCaller(account, "AKIAOTHER")
	call()
	h.flush()
	if writes.Load() != 2 || h.lastUsed("AKIAOTHER") != nil {
		t.Errorf("%d writes", writes.Load())
	}
}

// TestAccessKeyUsesInBatches has more keys in use than one commit takes, all at once, and a store that fails meanwhile.
func TestAccessKeyUsesInBatches(t *testing.T) {
	h := newHouse(t, nil, nil)
	defer h.close()
	var wg sync.WaitGroup
	ids := make([]string, 150)
	for i := range ids {
		ids[i] = fmt.Sprintf("AKIA%016d", i)
		h.accessKey(ids[i])
	}
	var failed atomic.Bool
	h.store.set(func(b store.Batch) error {
		if ofAccessKeys(b) > 0 && !failed.Swap(true) {
			return errors.New("busy")
		}
		return nil
	}, nil)
	op := h.kmsOp("ListKeys")
	for _, id := range ids {
		wg.Go(func() {
			for range 5 {
				call := &service.Call{Caller: service.RootCaller(account, id), Region: region}
				if _, err := h.p.Do(t.Context(), op, call, &api.ListKeysRequest{}, nil); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	for range 2 {
		if err := h.p.Flush(t.Context()); err != nil && failed.Load() {
			continue
		}
	}
	for _, id := range ids {
		if use := h.lastUsed(id); use == nil || use.ID != id {
			t.Errorf("%s: %+v", id, use)
		}
	}
}
