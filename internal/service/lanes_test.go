package service_test

import (
	"fmt"
	"runtime"
	"sync"
	"testing"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/store"
)

// TestManyChangesOfOneKey lets far more clients change one key, and make keys in one account, than conflicts could ever be resolved
// for by chance alone: none may be refused, and nothing may get lost.
func TestManyChangesOfOneKey(t *testing.T) {
	h := newHouse(t, nil, nil)
	defer h.close()
	id := h.newKey()
	const clients, each = 100, 10
	h.store.set(func(store.Batch) error {
		for range 20 { // an engine that takes its time
			runtime.Gosched()
		}
		return nil
	}, nil)
	var wg sync.WaitGroup
	for c := range clients {
		wg.Go(func() {
			for i := range each {
				tag := api.Tag{TagKey: some(fmt.Sprintf("t%d", c%40)), TagValue: some(fmt.Sprint(i))}
				if _, err := h.do(h.kmsOp("TagResource"), &api.TagResourceRequest{KeyId: some(id), Tags: []api.Tag{tag}}); err != nil {
					t.Errorf("client %d: %v", c, err)
				}
			}
			if _, err := h.do(h.kmsOp("CreateKey"), &api.CreateKeyRequest{}); err != nil {
				t.Errorf("client %d: %v", c, err)
			}
		})
	}
	wg.Wait()
	tags := h.must("ListResourceTags", &api.ListResourceTagsRequest{KeyId: some(id)}).(*api.ListResourceTagsResponse)
	if len(tags.Tags) != 40 {
		t.Errorf("%d tags, want 40", len(tags.Tags))
	}
	keys := h.must("ListKeys", &api.ListKeysRequest{Limit: api.Some[int64](1000)}).(*api.ListKeysResponse)
	if len(keys.Keys) != clients+1 {
		t.Errorf("%d keys, want %d", len(keys.Keys), clients+1)
	}
	changes := 0
	h.flush()
	for _, l := range h.log() {
		if l.EventName == "TagResource" && l.ErrorCode == "" {
			changes++
		}
	}
	if changes != clients*each {
		t.Errorf("%d changes are recorded, want %d", changes, clients*each)
	}
}
