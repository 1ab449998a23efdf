package iam_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/audit"
	"github.com/keyturn/keyturn/internal/clock"
	"github.com/keyturn/keyturn/internal/iam"
	"github.com/keyturn/keyturn/internal/identity"
	"github.com/keyturn/keyturn/internal/keys"
	"github.com/keyturn/keyturn/internal/kms"
	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/seal"
	"github.com/keyturn/keyturn/internal/service"
	"github.com/keyturn/keyturn/internal/store/memstore"
)

const (
	simulateAccount = "111122223333"
	simulateOther   = "444455556666"
	simulateRegion  = "eu-central-1"
	simulateKey     = "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"
)

// simulateBench is the operations of IAM and KMS over one store, decided about as the server decides.
type simulateBench struct {
	t         *testing.T
	p         *service.Pipeline
	directory *identity.Directory
	ops       map[string]*service.Op
	put       *service.Op
	sink      *audit.Memory
	now       func() time.Time // of the simulator; replace before use
	root      *service.Caller
}

func newSimulateBench(t *testing.T, configured map[string]identity.Configured) *simulateBench {
	t.Helper()
	start := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	b := &simulateBench{
		t: t, sink: audit.NewMemory(10_000), root: service.RootCaller(simulateAccount, "AKIAEXAMPLE"),
		now: func() time.Time { return start }, directory: identity.NewDirectory(identity.Config{Configured: configured}),
	}
	sealed, err := seal.Open(t.Context(), memstore.New(), seal.Options{Provider: seal.NewKeyFile(make([]byte, 32)), Dev: true, Now: start})
	if err != nil {
		t.Fatal(err)
	}
	k := kms.New(kms.Config{})
	b.p, err = service.New(t.Context(), service.Config{
		Store: sealed, Keyring: sealed.Keyring(), Clock: clock.System{}, Audit: b.sink, NodeID: "n1", Log: slog.New(slog.DiscardHandler),
		Authorize: func(a *service.Authorization) error {
			if a.Op.Service == "iam" {
				return b.directory.Authorize(a)
			}
			return k.Authorize(a)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.p.Close(context.Background()) })
	k.Attach(b.p)
	b.directory.Attach(b.p)
	config := iam.Config{Directory: b.directory, RealTime: func() time.Time { return b.now() }}
	b.ops = service.Table(k.Operations(), iam.New(config).Operations())
	b.put = service.Def[[]record.Record, service.None]{
		Name: "Put", Kind: service.Internal,
		Resolve: func(*service.Tx, *[]record.Record) ([]service.Target, error) { return nil, nil },
		Plan: func(tx *service.Tx, q *[]record.Record, _ []service.Target) (*service.None, error) {
			for _, r := range *q {
				if _, err := service.Lookup[record.Record](tx, r.StoreKey()); err != nil {
					return nil, err
				}
				tx.Put(r)
			}
			return &service.None{}, nil
		},
	}.Op("keyturn")
	return b
}

// store puts records into the store, each principal with its name.
func (b *simulateBench) store(records ...record.Record) {
	b.t.Helper()
	for _, r := range records {
		list := []record.Record{r}
		switch p := r.(type) {
		case *record.User:
			list = append(list, simulateName(&p.Principal, record.UserKind))
		case *record.Group:
			list = append(list, simulateName(&p.Principal, record.GroupKind))
		case *record.Role:
			list = append(list, simulateName(&p.Principal, record.RoleKind))
		}
		if _, err := b.p.DoInternal(b.t.Context(), b.put, record.Owner{Account: simulateAccount, Region: simulateRegion}, b.now(), 0, &list); err != nil {
			b.t.Fatal(err)
		}
	}
}

func simulateName(p *record.Principal, kind record.PrincipalKind) record.Record {
	if p.Account == "" {
		p.Account = simulateAccount
	}
	if p.Path == "" {
		p.Path = "/"
	}
	p.ID = "ID" + strings.ToUpper(string(kind)+p.Name)
	return &record.Name{Account: p.Account, Kind: kind, Name: p.Name, ID: p.ID}
}

// as runs an operation for a caller. The error is nil or an *api.Error; anything else fails the test.
func (b *simulateBench) as(caller *service.Caller, op string, req api.Request) (api.Response, *api.Error) {
	b.t.Helper()
	call := &service.Call{Caller: caller, Region: simulateRegion, RequestID: keys.NewKeyID().String(), SourceIP: "192.0.2.1", UserAgent: "test"}
	resp, err := b.p.Do(b.t.Context(), b.ops[op], call, req, nil)
	if err == nil {
		return resp, nil
	}
	e := (*api.Error)(nil)
	if !errors.As(err, &e) {
		b.t.Fatalf("%s: error of type %T: %v", op, err, err)
	}
	return nil, e
}

// user is the caller that a user of the store is.
func (b *simulateBench) caller(arn string) *service.Caller {
	b.t.Helper()
	c, err := b.directory.Principal(b.t.Context(), arn)
	if err != nil {
		b.t.Fatalf("%s: %v", arn, err)
	}
	return c
}

// custom simulates as the root user and returns the results.
func (b *simulateBench) custom(q *api.SimulateCustomPolicyRequest) ([]api.EvaluationResult, *api.Error) {
	b.t.Helper()
	if q.PolicyInputList == nil {
		q.PolicyInputList = []string{}
	}
	resp, err := b.as(b.root, "iam.SimulateCustomPolicy", q)
	if err != nil {
		return nil, err
	}
	return resp.(*api.SimulatePolicyResponse).EvaluationResults, nil
}

// principal does the same for a principal of the store.
func (b *simulateBench) principal(q *api.SimulatePrincipalPolicyRequest) ([]api.EvaluationResult, *api.Error) {
	b.t.Helper()
	resp, err := b.as(b.root, "iam.SimulatePrincipalPolicy", q)
	if err != nil {
		return nil, err
	}
	return resp.(*api.SimulatePolicyResponse).EvaluationResults, nil
}

func simulateARN(rest string) string { return "arn:aws:iam::" + simulateAccount + ":" + rest }

// statement is an identity policy of one statement.
func simulatePolicy(effect, actions, more string) string {
	return `{"Version":"2012-10-17","Statement":{"Effect":"` + effect + `","Action":"` + actions + `","Resource":"*"` + more + `}}`
}

// simulateShort is what tests compare of a result: decision, statements as POLICY:TYPE, missing values.
func simulateShort(r api.EvaluationResult) string {
	var parts []string
	for _, s := range r.MatchedStatements {
		parts = append(parts, s.SourcePolicyId.V+":"+string(s.SourcePolicyType.V))
	}
	slices.Sort(parts)
	out := string(r.EvalDecision.V) + " [" + strings.Join(parts, " ") + "]"
	if len(r.MissingContextValues) > 0 {
		out += " missing " + strings.Join(r.MissingContextValues, " ")
	}
	if b := r.PermissionsBoundaryDecisionDetail; b != nil {
		out += " boundary"
		if !b.AllowedByPermissionsBoundary.V {
			out += " not"
		}
	}
	return out
}
