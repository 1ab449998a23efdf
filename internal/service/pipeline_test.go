package service_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/audit"
	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/service"
	"github.com/keyturn/keyturn/internal/store"
)

var owner = record.Owner{Account: account, Region: region}

// TestConflict lets a change be overtaken between its reads and its commit: it must start over, and lose nothing.
func TestConflict(t *testing.T) {
	h := newHouse(t, nil, nil)
	defer h.close()
	id := h.newKey()
	var once sync.Once
	plans := 0
	slow := testOp(service.Change, func(tx *service.Tx) error {
		plans++
		k, err := service.Lookup[*record.Key](tx, record.KeyStoreKey(owner, id))
		if err != nil {
			return err
		}
		once.Do(func() {
			h.must("TagResource", &api.TagResourceRequest{KeyId: some(id), Tags: []api.Tag{{TagKey: some("t"), TagValue: some("v")}}})
		})
		k.Description = "changed"
		tx.Put(k)
		return nil
	})
	if _, err := h.do(slow, &api.ListKeysRequest{}); err != nil {
		t.Fatal(err)
	}
	if plans != 2 {
		t.Errorf("planned %d times, want 2", plans)
	}
	tags := h.must("ListResourceTags", &api.ListResourceTagsRequest{KeyId: some(id)}).(*api.ListResourceTagsResponse)
	meta := h.must("DescribeKey", &api.DescribeKeyRequest{KeyId: some(id)}).(*api.DescribeKeyResponse)
	if len(tags.Tags) != 1 || meta.KeyMetadata.Description.V != "changed" {
		t.Errorf("after two changes at once: tags %v, description %q", tags.Tags, meta.KeyMetadata.Description.V)
	}
	h.flush()
	names := ""
	for _, l := range h.log() {
		names += l.EventName + " "
	}
	if want := "CreateKey TagResource ListResourceTags DescribeKey Test "; !sameWords(names, want) {
		t.Errorf("audit log has %s, want %s", names, want)
	}
}

func sameWords(a, b string) bool {
	count := map[string]int{}
	for _, w := range strings.Fields(a) {
		count[w]++
	}
	for _, w := range strings.Fields(b) {
		count[w]--
	}
	for _, n := range count {
		if n != 0 {
			return false
		}
	}
	return true
}

// TestAbsenceIsGuarded lets somebody else make what a change found absent.
func TestAbsenceIsGuarded(t *testing.T) {
	h := newHouse(t, nil, nil)
	defer h.close()
	id := h.newKey()
	var once sync.Once
	found := errors.New("found")
	alias := &record.Alias{Owner: owner, Name: "alias/a", KeyID: id, Created: now, Updated: now}
	slow := testOp(service.Change, func(tx *service.Tx) error {
		old, err := service.Lookup[*record.Alias](tx, alias.StoreKey())
		if err != nil {
			return err
		}
		if old != nil {
			return api.Errorf(api.AlreadyExistsException, "%v", found)
		}
		once.Do(func() {
			h.must("CreateAlias", &api.CreateAliasRequest{AliasName: some("alias/a"), TargetKeyId: some(id)})
		})
		a := *alias
		tx.Put(&a)
		return nil
	})
	if _, err := h.do(slow, &api.ListKeysRequest{}); err == nil || err.Code != api.AlreadyExistsException {
		t.Errorf("got %v, want AlreadyExistsException from the second plan", err)
	}
}

// TestEndlessConflict bounds how often a change that always loses is tried.
func TestEndlessConflict(t *testing.T) {
	h := newHouse(t, nil, nil)
	id := h.newKey()
	h.flush()
	before := contents(t, h.store.Store)
	h.store.set(func(store.Batch) error { return fmt.Errorf("%w: for the test", store.ErrConflict) }, nil)
	_, err := h.do(h.kmsOp("DisableKey"), &api.DisableKeyRequest{KeyId: some(id)})
	h.store.set(nil, nil)
	if err == nil || err.Code != api.DependencyTimeoutException {
		t.Errorf("got %v, want DependencyTimeoutException", err)
	}
	if !sameContents(before, contents(t, h.store.Store)) {
		t.Error("something was written")
	}
	h.close()
}

func TestDryRunWritesNothing(t *testing.T) {
	h := newHouse(t, nil, nil)
	defer h.close()
	h.newKey()
	h.flush()
	before := contents(t, h.store.Store)
	ran := false
	dry := service.Def[api.ListKeysRequest, service.None]{
		Name: "Dry", Kind: service.Change, Actions: []string{"kms:Dry"},
		DryRun: func(*api.ListKeysRequest) bool { return true },
		Plan: func(tx *service.Tx, _ *api.ListKeysRequest, _ []service.Target) (*service.None, error) {
			ran = true
			a := &record.Alias{Owner: owner, Name: "alias/dry"}
			if _, err := service.Lookup[*record.Alias](tx, a.StoreKey()); err != nil {
				return nil, err
			}
			tx.Put(a)
			return &service.None{}, nil
		},
	}.Op("kms")
	if _, err := h.do(dry, &api.ListKeysRequest{}); err == nil || err.Code != api.DryRunOperationException {
		t.Errorf("got %v, want DryRunOperationException", err)
	}
	if !ran {
		t.Error("the plan was not tried")
	}
	if !sameContents(before, contents(t, h.store.Store)) {
		t.Error("something was written")
	}
	if log := h.log(); log[len(log)-1].ErrorCode != "DryRunOperationException" {
		t.Errorf("last record: %s", log[len(log)-1].text)
	}
}

// TestAuthorizationFirst checks that a missing target is told of only when all targets are allowed.
func TestAuthorizationFirst(t *testing.T) {
	h := newHouse(t, nil, nil)
	defer h.close()
	missing := api.Errorf(api.NotFoundException, "secret knowledge")
	target := func(account string, missing error) service.Target {
		return service.Target{Action: "kms:Test", Account: account, ARN: "arn", Missing: missing}
	}
	tests := []struct {
		name    string
		targets []service.Target
		code    api.ErrorCode
	}{
		{"own", []service.Target{target(account, nil)}, ""},
		{"own, missing", []service.Target{target(account, missing)}, api.NotFoundException},
		{"foreign", []service.Target{target("999988887777", nil)}, api.AccessDeniedException},
		{"foreign, missing", []service.Target{target("999988887777", missing)}, api.AccessDeniedException},
		{"own missing, then foreign", []service.Target{target(account, missing), target("999988887777", nil)}, api.AccessDeniedException},
		{"undeclared action", []service.Target{{Action: "kms:Other", Account: account, ARN: "arn"}}, api.KMSInternalException},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			planned := false
			op := service.Def[api.ListKeysRequest, service.None]{
				Name: "Test", Kind: service.Read, Actions: []string{"kms:Test"},
				Resolve: func(*service.Tx, *api.ListKeysRequest) ([]service.Target, error) { return test.targets, nil },
				Plan: func(*service.Tx, *api.ListKeysRequest, []service.Target) (*service.None, error) {
					planned = true
					return &service.None{}, nil
				},
			}.Op("kms")
			_, err := h.do(op, &api.ListKeysRequest{})
			if code := codeOf(err); code != test.code || planned != (test.code == "") {
				t.Errorf("got %q, planned %v; want %q", code, planned, test.code)
			}
			if test.code == api.AccessDeniedException && strings.Contains(err.Message, "secret") {
				t.Errorf("it tells what is missing: %s", err.Message)
			}
		})
	}
}

func codeOf(err *api.Error) api.ErrorCode {
	if err == nil {
		return ""
	}
	return err.Code
}

// unbuilt is an operation of the model as a server has it that does not have it.
func unbuilt(name string) *service.Op {
	ops := api.KMSOperations()
	return service.Unbuilt(ops[slices.IndexFunc(ops, func(m api.Operation) bool { return m.Name == name })])
}

// TestEveryCallIsRecorded checks the audit record of each way a call can end.
func TestEveryCallIsRecorded(t *testing.T) {
	h := newHouse(t, nil, nil)
	defer h.close()
	id := h.newKey()
	h.flush()
	h.sink.Append([]byte(`{"eventID":"mark"}`))
	tests := []struct {
		name string
		op   *service.Op
		req  api.Request
		code api.ErrorCode
		keys int // resources
	}{
		{"read", h.kmsOp("DescribeKey"), &api.DescribeKeyRequest{KeyId: some(id)}, "", 1},
		{"crypto", h.kmsOp("Encrypt"), &api.EncryptRequest{KeyId: some(id), Plaintext: []byte("TOPSECRET")}, "", 1},
		{"change", h.kmsOp("DisableKey"), &api.DisableKeyRequest{KeyId: some(id)}, "", 1},
		{"refusal", h.kmsOp("Encrypt"), &api.EncryptRequest{KeyId: some(id), Plaintext: []byte("TOPSECRET")}, api.DisabledException, 1},
		{"change that changes nothing", h.kmsOp("DisableKey"), &api.DisableKeyRequest{KeyId: some(id)}, "", 1},
		{"validation", h.kmsOp("Encrypt"), &api.EncryptRequest{KeyId: some(id), Plaintext: []byte(strings.Repeat("TOPSECRET", 999))}, api.ValidationException, 0},
		{"not built", unbuilt("RevokeGrant"), &api.RevokeGrantRequest{KeyId: some(id), GrantId: some("TOPSECRET")}, api.UnsupportedOperationException, 0},
		{"panic", testOp(service.Read, func(*service.Tx) error { panic("TOPSECRET") }), &api.ListKeysRequest{}, api.KMSInternalException, 0},
		{"server's fault", testOp(service.Read, func(*service.Tx) error { return errors.New("TOPSECRET") }), &api.ListKeysRequest{}, api.KMSInternalException, 0},
		{"unguarded write", testOp(service.Change, func(tx *service.Tx) error { tx.Put(&record.Clock{}); return nil }), &api.ListKeysRequest{}, api.KMSInternalException, 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			before := len(h.log())
			_, err := h.do(test.op, test.req)
			if codeOf(err) != test.code {
				t.Fatalf("got %v, want %q", err, test.code)
			}
			h.flush()
			log := h.log()[before:]
			if len(log) != 1 {
				t.Fatalf("%d records, want 1: %v", len(log), log)
			}
			l := log[0]
			if l.EventName != test.op.Name || l.ErrorCode != string(test.code) || len(l.Resources) != test.keys || l.Identity["arn"] != h.caller.ARN {
				t.Errorf("record: %s", l.text)
			}
			if strings.Contains(l.text, "TOPSECRET") || err != nil && strings.Contains(err.Message, "TOPSECRET") {
				t.Errorf("a secret got out: %s, %v", l.text, err)
			}
			if want := test.op.Kind == service.Read || test.op.Kind == service.Crypto; l.ReadOnly != want {
				t.Errorf("readOnly is %v, want %v", l.ReadOnly, want)
			}
		})
	}
}

// TestRecordHasAllOfAChange checks the parts of one record.
func TestRecordHasAllOfAChange(t *testing.T) {
	h := newHouse(t, nil, nil)
	defer h.close()
	resp := h.must("CreateKey", &api.CreateKeyRequest{Description: some("d")}).(*api.CreateKeyResponse)
	h.flush()
	log := h.log()
	l := log[len(log)-1]
	meta, _ := l.Response["keyMetadata"].(map[string]any)
	if l.Parameters["description"] != "d" || meta["keyId"] != resp.KeyMetadata.KeyId.V || l.RequestID == "" || l.EventID == "" {
		t.Errorf("record: %s", l.text)
	}
	entries, err := h.p.Store().Get(t.Context(), record.KeyStoreKey(owner, resp.KeyMetadata.KeyId.V))
	if err != nil {
		t.Fatal(err)
	}
	k, err := record.Decode(entries[0].Key, entries[0].Value)
	if err != nil {
		t.Fatal(err)
	}
	if by := k.Provenance(); by.Event != l.EventID || by.Version != 1 {
		t.Errorf("the key says it was made by event %s, version %d; the record is %s", by.Event, by.Version, l.EventID)
	}
}

// TestNoAuditNoAnswer checks that nothing is done, or told, that the log does not get.
func TestNoAuditNoAnswer(t *testing.T) {
	h := newHouse(t, nil, nil)
	id := h.newKey()
	h.flush()
	before := contents(t, h.store.Store)
	h.sink.fail(audit.ErrNoSpace, nil, false)
	for name, req := range map[string]api.Request{
		"GenerateDataKey": &api.GenerateDataKeyRequest{KeyId: some(id), NumberOfBytes: some(int64(32))},
		"GenerateRandom":  &api.GenerateRandomRequest{NumberOfBytes: some(int64(32))},
		"DescribeKey":     &api.DescribeKeyRequest{KeyId: some(id)},
		"DisableKey":      &api.DisableKeyRequest{KeyId: some(id)},
		"CreateKey":       &api.CreateKeyRequest{},
		"Encrypt":         &api.EncryptRequest{}, // not valid: that is not told either
	} {
		resp, err := h.do(h.kmsOp(name), req)
		if resp != nil || codeOf(err) != api.KMSInternalException || err.Message != "" {
			t.Errorf("%s: %v, %v; want KMSInternalException and nothing else", name, resp, err)
		}
	}
	own := service.Def[api.ListKeysRequest, service.None]{ // for those who run the server, and can make room
		Name: "Test", Kind: service.Read, Actions: []string{"keyturn:Test"},
		Resolve: func(*service.Tx, *api.ListKeysRequest) ([]service.Target, error) {
			return []service.Target{{Action: "keyturn:Test", Account: account, ARN: "*"}}, nil
		},
		Plan: func(*service.Tx, *api.ListKeysRequest, []service.Target) (*service.None, error) {
			return &service.None{}, nil
		},
	}.Op("keyturn")
	if resp, err := h.do(own, &api.ListKeysRequest{}); resp != nil || codeOf(err) != api.KMSInternalException || err.Message != "The server's disk is full." {
		t.Errorf("keyturn's own: %v, %v", resp, err)
	}
	if !sameContents(before, contents(t, h.store.Store)) {
		t.Error("something was written")
	}
	if h.p.Healthy() == nil {
		t.Error("the pipeline says it is healthy")
	}
	h.sink.fail(nil, nil, false)
	if err := h.p.Healthy(); err != nil {
		t.Errorf("after recovery: %v", err)
	}
	h.must("DescribeKey", &api.DescribeKeyRequest{KeyId: some(id)})
	h.close()
}

// TestHangUp checks that a client that is gone cannot stop a commit on its way.
func TestHangUp(t *testing.T) {
	h := newHouse(t, nil, nil)
	defer h.close()
	id := h.newKey()
	ctx, cancel := context.WithCancel(context.Background())
	op := testOp(service.Change, func(tx *service.Tx) error {
		k, err := service.Lookup[*record.Key](tx, record.KeyStoreKey(owner, id))
		if err != nil {
			return err
		}
		k.Description = "changed"
		tx.Put(k)
		cancel() // between the last read and the commit
		return nil
	})
	if _, err := h.doIn(ctx, op, &api.ListKeysRequest{}); err != nil {
		t.Fatalf("got %v", err)
	}
	h.flush()
	if log := h.log(); log[len(log)-1].EventName != "Test" {
		t.Error("the change is not in the log")
	}
}

// TestUnknownOutcome checks that nothing cached outlives a commit that may have happened.
func TestUnknownOutcome(t *testing.T) {
	h := newHouse(t, nil, nil)
	id := h.newKey()
	h.must("Encrypt", &api.EncryptRequest{KeyId: some(id), Plaintext: []byte("x")}) // caches the key
	h.store.set(nil, func(b store.Batch) error {
		if len(b.Checks) == 0 {
			return nil // the outbox at work
		}
		return store.ErrUnknown
	})
	if _, err := h.do(h.kmsOp("DisableKey"), &api.DisableKeyRequest{KeyId: some(id)}); codeOf(err) != api.KMSInternalException {
		t.Fatalf("got %v, want KMSInternalException", err)
	}
	h.store.set(nil, nil)
	if _, err := h.do(h.kmsOp("Encrypt"), &api.EncryptRequest{KeyId: some(id), Plaintext: []byte("x")}); codeOf(err) != api.DisabledException {
		t.Errorf("Encrypt after the commit that did happen: %v, want DisabledException", err)
	}
	h.flush()
	done := 0
	for _, l := range h.log() {
		if l.EventName == "DisableKey" && l.ErrorCode == "" {
			done++
		}
	}
	if done != 1 {
		t.Errorf("the change is in the log %d times, want once", done)
	}
	h.close()
}

// TestDamageIsNoSecret checks that a record that does not open is an internal error, and makes the server not ready.
func TestDamageIsNoSecret(t *testing.T) {
	h := newHouse(t, nil, nil)
	defer h.close()
	id := h.newKey()
	key := record.KeyStoreKey(owner, id)
	entries, err := h.store.Get(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	entries[0].Value[len(entries[0].Value)-1] ^= 1
	if _, err := h.store.Commit(t.Context(), store.Batch{Writes: []store.Write{{Key: key, Value: entries[0].Value}}}); err != nil {
		t.Fatal(err)
	}
	if _, err := h.do(h.kmsOp("DescribeKey"), &api.DescribeKeyRequest{KeyId: some(id)}); codeOf(err) != api.KMSInternalException || err.Message != "" {
		t.Errorf("got %v", err)
	}
}

// TestStress runs changes and uses of a few keys at once; -race watches. Nothing may be lost.
func TestStress(t *testing.T) {
	h := newHouse(t, nil, nil)
	ids := []string{h.newKey(), h.newKey()}
	blob := h.must("Encrypt", &api.EncryptRequest{KeyId: some(ids[0]), Plaintext: []byte("x")}).(*api.EncryptResponse).CiphertextBlob
	var rotated atomic.Int64
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for i := range 12 {
				id := ids[i%2]
				switch w % 4 {
				case 0:
					tag := api.Tag{TagKey: some(fmt.Sprintf("t%d-%d", w, i)), TagValue: some("")}
					if _, err := h.do(h.kmsOp("TagResource"), &api.TagResourceRequest{KeyId: some(id), Tags: []api.Tag{tag}}); err != nil {
						t.Errorf("TagResource: %v", err)
					}
				case 1:
					if _, err := h.do(h.kmsOp("RotateKeyOnDemand"), &api.RotateKeyOnDemandRequest{KeyId: some(id)}); err != nil {
						t.Errorf("RotateKeyOnDemand: %v", err)
					}
					rotated.Add(1)
				case 2:
					if _, err := h.do(h.kmsOp("Decrypt"), &api.DecryptRequest{CiphertextBlob: blob}); err != nil {
						t.Errorf("Decrypt: %v", err)
					}
				default:
					resp, err := h.do(h.kmsOp("GenerateDataKey"), &api.GenerateDataKeyRequest{KeyId: some(id), NumberOfBytes: some(int64(16))})
					if err != nil {
						t.Errorf("GenerateDataKey: %v", err)
						return
					}
					dk := resp.(*api.GenerateDataKeyResponse)
					out, err := h.do(h.kmsOp("Decrypt"), &api.DecryptRequest{CiphertextBlob: dk.CiphertextBlob})
					if err != nil || string(out.(*api.DecryptResponse).Plaintext) != string(dk.Plaintext) {
						t.Errorf("a data key made during rotations does not open: %v", err)
					}
				}
			}
		})
	}
	wg.Wait()
	total, tags := 0, 0
	for _, id := range ids {
		r := h.must("ListKeyRotations", &api.ListKeyRotationsRequest{KeyId: some(id)}).(*api.ListKeyRotationsResponse)
		total += len(r.Rotations)
		tags += len(h.must("ListResourceTags", &api.ListResourceTagsRequest{KeyId: some(id)}).(*api.ListResourceTagsResponse).Tags)
	}
	if total != int(rotated.Load()) || tags != 24 {
		t.Errorf("%d rotations and %d tags are there, want %d and 24", total, tags, rotated.Load())
	}
	h.close()
	events := 0
	for _, l := range h.log() {
		if l.EventName == "RotateKey" {
			events++
		}
	}
	if events != total {
		t.Errorf("%d RotateKey events, want %d", events, total)
	}
}

// TestFail lets a condition's value be unreadable: the call fails although the authorizer allows it, changes nothing and tells no detail.
func TestFail(t *testing.T) {
	h := newHouse(t, nil, nil)
	defer h.close()
	h.flush()
	before := contents(t, h.store.Store)
	planned := false
	op := service.Def[api.ListKeysRequest, service.None]{
		Name: "Test", Kind: service.Change, Actions: []string{"kms:Test"},
		Resolve: func(tx *service.Tx, _ *api.ListKeysRequest) ([]service.Target, error) {
			tx.Fail(errors.New("the disk is gone"))
			tx.Fail(api.New(api.NotFoundException))
			return []service.Target{{Action: "kms:Test", Account: account, ARN: "*"}}, nil
		},
		Plan: func(tx *service.Tx, _ *api.ListKeysRequest, _ []service.Target) (*service.None, error) {
			planned = true
			return &service.None{}, nil
		},
	}.Op("kms")
	_, err := h.do(op, &api.ListKeysRequest{})
	if err == nil || err.Code != api.KMSInternalException || strings.Contains(err.Message, "disk") {
		t.Errorf("got %v, want an internal error", err)
	}
	if planned || !sameContents(before, contents(t, h.store.Store)) {
		t.Error("the call went on")
	}
}
