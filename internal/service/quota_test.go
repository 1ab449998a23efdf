package service_test

import (
	"sync"
	"testing"
	"time"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/audit"
	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/service"
	"github.com/keyturn/keyturn/internal/throttle"
)

// withRates gives a house quotas, with a clock that stands still.
func withRates(t *testing.T, rates map[throttle.Class]float64) func(*service.Config) {
	t.Helper()
	l, err := throttle.New(throttle.Config{Rates: rates, Now: func() time.Duration { return 0 }})
	if err != nil {
		t.Fatal(err)
	}
	return func(c *service.Config) { c.Quotas = l }
}

// quotaOp is an operation on an account's key, with a quota that counts how often it is asked.
type quotaOp struct {
	op       *service.Op
	resolved int
	planned  int
	asked    [][]service.Target
}

func newQuotaOp(target service.Target, early throttle.Class) *quotaOp {
	q := &quotaOp{}
	q.op = service.Def[api.ListKeysRequest, service.None]{
		Name: "Test", Kind: service.Read, Actions: []string{"kms:Test"},
		Check: func(r *api.ListKeysRequest) error {
			if r.Marker.V == "bad" {
				return api.Errorf(api.ValidationException, "bad")
			}
			return nil
		},
		Resolve: func(*service.Tx, *api.ListKeysRequest) ([]service.Target, error) {
			q.resolved++
			return []service.Target{target}, nil
		},
		Audit: func(r *api.ListKeysRequest, p *audit.Params) { p.Str("marker", r.Marker.V) },
		Plan: func(*service.Tx, *api.ListKeysRequest, []service.Target) (*service.None, error) {
			q.planned++
			return &service.None{}, nil
		},
	}.Op("kms")
	q.op.Quota = service.Quota{
		Class: early,
		Targets: func(tx *service.Tx, _ any, targets []service.Target) (c throttle.Charges) {
			q.asked = append(q.asked, targets)
			c.Add(tx.Charge(throttle.CryptographicRSA))
			return c
		},
	}
	return q
}

func ownTarget() service.Target {
	key := &record.Key{Owner: owner, ID: "1234abcd-12ab-34cd-56ef-1234567890ab"}
	return service.Target{Action: "kms:Test", Account: account, ARN: key.ARN(), Key: key}
}

// TestThrottled checks what a call beyond its quota is told and how it is recorded, before and after its targets are known.
func TestThrottled(t *testing.T) {
	for name, test := range map[string]struct {
		early     throttle.Class
		rates     map[throttle.Class]float64
		resolved  int // in all
		resources int // in the record of the throttled call
	}{
		"by its operation": {throttle.ListKeys, map[throttle.Class]float64{throttle.ListKeys: 2}, 2, 0},
		"by its target":    {0, map[throttle.Class]float64{throttle.CryptographicRSA: 2}, 3, 1},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t, nil, nil, withRates(t, test.rates))
			defer h.close()
			q := newQuotaOp(ownTarget(), test.early)
			for i := range 2 {
				if _, err := h.do(q.op, &api.ListKeysRequest{}); err != nil {
					t.Fatalf("call %d: %v", i, err)
				}
			}
			_, err := h.do(q.op, &api.ListKeysRequest{Marker: some("third")})
			if err == nil || err.Code != api.ThrottlingException || err.Message != service.TooManyCalls {
				t.Fatalf("third call: %v", err)
			}
			if q.resolved != test.resolved || q.planned != 2 {
				t.Errorf("resolved %d times, planned %d, want %d and 2", q.resolved, q.planned, test.resolved)
			}
			log := h.log()
			last := log[len(log)-1]
			if last.ErrorCode != "ThrottlingException" || last.ErrorMessage != service.TooManyCalls || last.Parameters["marker"] != "third" || len(last.Resources) != test.resources {
				t.Errorf("recorded as %s", last.text)
			}
			h.caller = service.RootCaller("444455556666", "AKIAOTHER")
			if _, err := h.do(q.op, &api.ListKeysRequest{}); err == nil || err.Code != api.AccessDeniedException {
				t.Errorf("another account: %v, want its own answer", err)
			}
		})
	}
}

// TestQuotaTellsNothing checks that what a caller may not see counts, and is recorded when throttled, as if it were not there.
func TestQuotaTellsNothing(t *testing.T) {
	missing := ownTarget()
	missing.Key, missing.Missing = nil, api.Errorf(api.NotFoundException, "not there")
	foreign := ownTarget()
	foreign.Account = "999988887777"
	for name, test := range map[string]struct {
		target service.Target
		want   api.ErrorCode
	}{
		"missing": {missing, api.NotFoundException},
		"foreign": {foreign, api.AccessDeniedException},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t, nil, nil, withRates(t, map[throttle.Class]float64{throttle.CryptographicRSA: 1}))
			defer h.close()
			q := newQuotaOp(test.target, 0)
			for _, want := range []api.ErrorCode{test.want, api.ThrottlingException} {
				if _, err := h.do(q.op, &api.ListKeysRequest{}); err == nil || err.Code != want {
					t.Errorf("%v, want %s", err, want)
				}
			}
			if len(q.asked) != 2 || q.asked[0] != nil || q.asked[1] != nil {
				t.Errorf("counted by %v", q.asked)
			}
			for _, l := range h.log() {
				if len(l.Resources) > 0 {
					t.Errorf("recorded with its resource: %s", l.text)
				}
			}
		})
	}
}

// TestNotCounted checks what takes nothing of a quota of one: what was not valid, and the service's own work.
func TestNotCounted(t *testing.T) {
	h := newHouse(t, nil, nil, withRates(t, map[throttle.Class]float64{throttle.ListKeys: 1, throttle.CryptographicRSA: 1}))
	defer h.close()
	q := newQuotaOp(ownTarget(), throttle.ListKeys)
	for range 3 {
		for _, bad := range []*api.ListKeysRequest{{Marker: some("bad")}, {Limit: some[int64](-1)}} {
			if _, err := h.do(q.op, bad); err == nil || err.Code != api.ValidationException {
				t.Fatalf("bad request: %v", err)
			}
		}
		if _, err := h.p.ReadOwn(t.Context(), q.op, owner, &api.ListKeysRequest{}); err != nil {
			t.Fatalf("the service's own call: %v", err)
		}
	}
	if _, err := h.do(q.op, &api.ListKeysRequest{}); err != nil {
		t.Errorf("the first call that counts: %v", err)
	}
	if _, err := h.do(q.op, &api.ListKeysRequest{}); err == nil || err.Code != api.ThrottlingException {
		t.Errorf("the second: %v", err)
	}
}

// TestCountedOnce lets a change be planned twice: it counts as one call.
func TestCountedOnce(t *testing.T) {
	h := newHouse(t, nil, nil, withRates(t, map[throttle.Class]float64{throttle.UpdateAlias: 1, throttle.CryptographicRSA: 1}))
	defer h.close()
	id := h.newKey()
	var once sync.Once
	plans := 0
	op := testOp(service.Change, func(tx *service.Tx) error {
		plans++
		k, err := service.Lookup[*record.Key](tx, record.KeyStoreKey(owner, id))
		if err != nil {
			return err
		}
		once.Do(func() { h.must("DisableKey", &api.DisableKeyRequest{KeyId: some(id)}) })
		k.Description = "changed"
		tx.Put(k)
		return nil
	})
	op.Quota = service.Quota{Class: throttle.UpdateAlias, Targets: func(tx *service.Tx, _ any, _ []service.Target) (c throttle.Charges) {
		c.Add(tx.Charge(throttle.CryptographicRSA))
		return c
	}}
	if _, err := h.do(op, &api.ListKeysRequest{}); err != nil || plans != 2 {
		t.Errorf("planned %d times: %v", plans, err)
	}
}

// TestDefaultClass checks which quotas operations have outside of AWS KMS.
func TestDefaultClass(t *testing.T) {
	for name, want := range map[string]throttle.Class{"sts": throttle.STS, "keyturn": throttle.Keyturn, "kms": 0, "xks": 0} {
		d := service.Def[api.ListKeysRequest, service.None]{Name: "Test", Kind: service.Read}
		if got := d.Op(name).Quota.Class; got != want {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
		d.Kind = service.Internal
		if got := d.Op(name).Quota.Class; got != 0 {
			t.Errorf("%s, internal: %v", name, got)
		}
	}
}
