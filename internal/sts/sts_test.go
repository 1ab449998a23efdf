package sts_test

import (
	"log/slog"
	"testing"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/audit"
	"github.com/keyturn/keyturn/internal/clock"
	"github.com/keyturn/keyturn/internal/service"
	"github.com/keyturn/keyturn/internal/store/memstore"
	"github.com/keyturn/keyturn/internal/sts"
)

// TestGetCallerIdentity asks as different principals; nobody needs a permission for it.
func TestGetCallerIdentity(t *testing.T) {
	sink := audit.NewMemory(10)
	p, err := service.New(t.Context(), service.Config{
		Store: memstore.New(), Clock: clock.System{}, Audit: sink, NodeID: "n1", Log: slog.New(slog.DiscardHandler),
		Authorize: func(*service.Authorization) error { return api.New(api.AccessDeniedException) },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close(t.Context()) })
	op := service.Table(sts.New(sts.Config{}).Operations())["sts.GetCallerIdentity"]
	for _, caller := range []*service.Caller{
		service.RootCaller("111122223333", "AKIAEXAMPLE"),
		service.NewCaller(service.Caller{
			Account: "111122223333", ARN: "arn:aws:iam::111122223333:user/alice", Type: "IAMUser", PrincipalID: "AIDAEXAMPLE", UserName: "alice",
		}),
	} {
		resp, err := p.Do(t.Context(), op, &service.Call{Caller: caller, Region: "eu-central-1"}, op.NewRequest(), nil)
		if err != nil {
			t.Fatal(err)
		}
		got := resp.(*api.GetCallerIdentityResponse)
		if got.Account.V != caller.Account || got.Arn.V != caller.ARN || got.UserId.V != caller.PrincipalID {
			t.Errorf("%s is told %+v", caller.ARN, got)
		}
	}
	if n := sink.NextSeq() - 1; n != 2 {
		t.Errorf("%d audit records, want 2", n)
	}
}

// TestModel checks that every operation of the model is there.
func TestModel(t *testing.T) {
	table := service.Table(sts.New(sts.Config{}).Operations())
	for _, m := range api.STSOperations() {
		if op := table["sts."+m.Name]; op == nil {
			t.Errorf("%s is not there", m.Name)
		}
	}
}
