package service_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/service"
	"github.com/keyturn/keyturn/internal/store"
)

// usage returns what the store says of a key's use: by record, and whether there is any.
func (h *house) usage(id string) (last *record.KeyUsage, materials []*record.MaterialUsage) {
	h.t.Helper()
	owner := record.Owner{Account: account, Region: region}
	entries, err := h.p.Store().Get(context.Background(), record.KeyUsageStoreKey(owner, id))
	if err != nil {
		h.t.Fatal(err)
	}
	more, err := h.p.Store().Scan(context.Background(), record.MaterialUsagePrefix(owner, id), "", 100)
	if err != nil {
		h.t.Fatal(err)
	}
	for _, e := range append(entries, more...) {
		if e.Rev == 0 {
			continue
		}
		r, err := record.Decode(e.Key, e.Value)
		if err != nil {
			h.t.Fatal(err)
		}
		switch r := r.(type) {
		case *record.KeyUsage:
			last = r
		case *record.MaterialUsage:
			materials = append(materials, r)
		}
	}
	return last, materials
}

func (h *house) encrypt(id string, bytes int) []byte {
	h.t.Helper()
	return h.must("Encrypt", &api.EncryptRequest{KeyId: some(id), Plaintext: make([]byte, bytes)}).(*api.EncryptResponse).CiphertextBlob
}

// ofUsage tells whether a commit writes down uses.
func ofUsage(b store.Batch) bool {
	for _, w := range b.Writes {
		if strings.HasPrefix(w.Key, "v/") || strings.HasPrefix(w.Key, "u/") {
			return true
		}
	}
	return false
}

func TestUsageIsWritten(t *testing.T) {
	h := newHouse(t, nil, nil)
	defer h.close()
	id, idle := h.newKey(), h.newKey()
	blob := h.encrypt(id, 10)
	h.encrypt(id, 5)
	h.must("Decrypt", &api.DecryptRequest{CiphertextBlob: blob})
	h.must("DescribeKey", &api.DescribeKeyRequest{KeyId: some(id)}) // not a use
	if last, materials := h.usage(id); last != nil || materials != nil {
		t.Error("a call waited for its use to be written")
	}
	h.flush()
	h.encrypt(id, 1)
	h.flush()
	h.flush() // nothing more
	last, materials := h.usage(id)
	if last == nil || last.Operation != "Encrypt" || !last.At.Equal(now) || last.EventID == "" || last.RequestID == "" {
		t.Errorf("last use %+v", last)
	}
	if len(materials) != 1 || materials[0].Encryptions != 3 || materials[0].Bytes != 16 || materials[0].Decryptions != 1 {
		t.Errorf("materials %+v", materials)
	}
	if last, materials := h.usage(idle); last != nil || materials != nil {
		t.Error("a key that was not used has a use")
	}
	found := false
	for _, line := range h.log() {
		found = found || line.EventID == last.EventID && line.EventName == "Encrypt"
	}
	if !found {
		t.Errorf("no audit record is event %s", last.EventID)
	}
}

// TestUsageOfFailures makes the store fail while uses are written: none is lost that can be kept, and none counts twice.
func TestUsageOfFailures(t *testing.T) {
	busy := errors.New("busy")
	tests := []struct {
		name          string
		before, after error // what the commit answers, instead of and after being carried out
		want          int64
	}{
		{"not written", busy, nil, 2},
		{"conflict", store.ErrConflict, nil, 2},
		{"perhaps written, it was not", store.ErrUnknown, nil, 1},
		{"perhaps written, it was", nil, store.ErrUnknown, 2},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			h := newHouse(t, nil, nil)
			id := h.newKey()
			h.flush()
			h.encrypt(id, 1)
			var failed atomic.Bool
			once := func(err error) func(store.Batch) error {
				return func(b store.Batch) error {
					if err == nil || !ofUsage(b) || failed.Swap(true) {
						return nil
					}
					return err
				}
			}
			h.store.set(once(test.before), once(test.after))
			err := h.p.Flush(context.Background())
			if !failed.Load() || (err == nil) != errors.Is(test.before, store.ErrConflict) {
				t.Errorf("Flush: %v (the store failed: %v)", err, failed.Load())
			}
			h.store.set(nil, nil)
			h.encrypt(id, 1)
			h.flush()
			if _, materials := h.usage(id); len(materials) != 1 || materials[0].Encryptions != test.want {
				t.Errorf("%+v, want %d encryptions", materials, test.want)
			}
			h.close()
		})
	}
}

// TestUsageOfDeletedKeys uses a key that is gone before the use is written: nothing may come back.
func TestUsageOfDeletedKeys(t *testing.T) {
	h := newHouse(t, nil, nil)
	defer h.close()
	gone, stays := h.newKey(), h.newKey()
	h.encrypt(gone, 1)
	h.encrypt(stays, 1)
	at := record.KeyStoreKey(record.Owner{Account: account, Region: region}, gone)
	remove := testOp(service.Change, func(tx *service.Tx) error {
		k, err := service.Lookup[*record.Key](tx, at)
		if err == nil {
			tx.Delete(k)
		}
		return err
	})
	if _, err := h.do(remove, &api.ListKeysRequest{}); err != nil {
		t.Fatal(err)
	}
	h.flush()
	if last, materials := h.usage(gone); last != nil || materials != nil {
		t.Error("the use of a deleted key was written")
	}
	if last, _ := h.usage(stays); last == nil {
		t.Error("the use of another key was not written")
	}
}

// TestOnce runs a plan again after a conflict: what it may do once only is not done again.
func TestOnce(t *testing.T) {
	h := newHouse(t, nil, nil)
	defer h.close()
	id := h.newKey()
	at := record.KeyStoreKey(record.Owner{Account: account, Region: region}, id)
	plans, done := 0, 0
	op := testOp(service.Change, func(tx *service.Tx) error {
		plans++
		n, err := service.Once(tx, "n", func() (int, error) { done++; return done, nil })
		if err != nil || n != 1 {
			t.Errorf("Once: %d, %v", n, err)
		}
		k, err := service.Lookup[*record.Key](tx, at)
		if err != nil {
			return err
		}
		k.Description = "changed"
		tx.Put(k)
		return nil
	})
	h.flush()
	var failed atomic.Bool
	h.store.set(func(store.Batch) error {
		if !failed.Swap(true) {
			return store.ErrConflict
		}
		return nil
	}, nil)
	if _, err := h.do(op, &api.ListKeysRequest{}); err != nil || plans != 2 || done != 1 {
		t.Errorf("%v; %d plans, done %d times", err, plans, done)
	}
	failing := errors.New("not yet")
	op = testOp(service.Change, func(tx *service.Tx) error {
		if _, err := service.Once(tx, "n", func() (int, error) { return 0, failing }); !errors.Is(err, failing) {
			t.Errorf("an error became %v", err)
		}
		n, err := service.Once(tx, "n", func() (int, error) { return 5, nil })
		if n != 5 || err != nil {
			t.Errorf("after an error: %d, %v", n, err)
		}
		return nil
	})
	if _, err := h.do(op, &api.ListKeysRequest{}); err != nil {
		t.Error(err)
	}
}

// TestUsageOfUnknownOutcome has one of several commits end unknown: only what that one held may be lost.
func TestUsageOfUnknownOutcome(t *testing.T) {
	h := newHouse(t, nil, nil)
	defer h.close()
	var ids []string
	for range 100 {
		ids = append(ids, h.newKey())
	}
	for _, id := range ids {
		h.encrypt(id, 1)
	}
	var failed atomic.Bool
	h.store.set(func(b store.Batch) error {
		if ofUsage(b) && !failed.Swap(true) {
			return store.ErrUnknown
		}
		return nil
	}, nil)
	if err := h.p.Flush(t.Context()); err == nil {
		t.Error("the failure was not told")
	}
	h.store.set(nil, nil)
	h.flush()
	counted := 0
	for _, id := range ids {
		if _, m := h.usage(id); len(m) > 0 {
			counted++
		}
	}
	if counted < 60 {
		t.Errorf("of 100 keys that were used %d are counted; one commit takes 40", counted)
	}
}
