package iam_test

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/audit"
	"github.com/keyturn/keyturn/internal/authz"
	"github.com/keyturn/keyturn/internal/clock"
	"github.com/keyturn/keyturn/internal/iam"
	"github.com/keyturn/keyturn/internal/identity"
	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/seal"
	"github.com/keyturn/keyturn/internal/service"
	"github.com/keyturn/keyturn/internal/store/memstore"
)

const (
	rolesAccount = "111122223333"
	rolesOther   = "444455556666"
)

// rolesHouse is a pipeline with the operations of IAM, as a server has it.
type rolesHouse struct {
	t         *testing.T
	p         *service.Pipeline
	ops       map[string]*service.Op
	directory *identity.Directory
	sink      *audit.Memory
	region    string
}

func newRolesHouse(t *testing.T) *rolesHouse {
	t.Helper()
	sealed, err := seal.Open(t.Context(), memstore.New(), seal.Options{Provider: seal.NewKeyFile(make([]byte, 32)), Now: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	h := &rolesHouse{t: t, sink: audit.NewMemory(10_000), region: "eu-central-1"}
	h.directory = identity.NewDirectory(identity.Config{Configured: map[string]identity.Configured{"AKIACONFIGURED": {
		Secret: "secret",
		Caller: service.NewCaller(service.Caller{
			Account: rolesAccount, ARN: "arn:aws:iam::" + rolesAccount + ":user/machine", Type: "IAMUser", PrincipalID: "AIDACONFIGURED",
			UserName: "machine", Identity: &authz.Identity{},
		}),
	}}})
	h.p, err = service.New(t.Context(), service.Config{
		Store: sealed, Keyring: sealed.Keyring(), Clock: clock.System{}, Audit: h.sink, NodeID: "n1",
		Log: slog.New(slog.NewTextHandler(io.Discard, nil)), Authorize: h.directory.Authorize,
	})
	if err != nil {
		t.Fatal(err)
	}
	h.directory.Attach(h.p)
	t.Cleanup(func() { h.p.Close(t.Context()) })
	h.ops = service.Table(iam.New(iam.Config{Directory: h.directory}).Operations())
	return h
}

// as calls an operation, which is named by the type of its request.
func (h *rolesHouse) as(caller *service.Caller, req api.Request) (api.Response, *api.Error) {
	h.t.Helper()
	op := h.ops["iam."+rolesOperation(h.t, req)]
	if op == nil {
		h.t.Fatalf("no operation for a %T", req)
	}
	resp, err := h.p.Do(h.t.Context(), op, &service.Call{Caller: caller.In(h.region), Region: h.region, RequestID: "r"}, req, nil)
	if err == nil {
		return resp, nil
	}
	var e *api.Error
	if !errors.As(err, &e) {
		h.t.Fatal(err)
	}
	return nil, e
}

func rolesOperation(t *testing.T, req api.Request) string {
	for _, m := range api.IAMOperations() {
		if fmt.Sprintf("%T", m.NewInput()) == fmt.Sprintf("%T", req) {
			return m.Name
		}
	}
	t.Fatalf("no operation has a %T", req)
	return ""
}

// must calls as the root user of rolesAccount and expects success.
func (h *rolesHouse) must(req api.Request) api.Response {
	h.t.Helper()
	return h.mustIn(rolesAccount, req)
}

func (h *rolesHouse) mustIn(account string, req api.Request) api.Response {
	h.t.Helper()
	resp, err := h.as(service.RootCaller(account, ""), req)
	if err != nil {
		h.t.Fatalf("%T: %v", req, err)
	}
	return resp
}

// refused calls as the root user and expects an error that begins like this.
func (h *rolesHouse) refused(want string, req api.Request) {
	h.t.Helper()
	h.refusedAs(service.RootCaller(rolesAccount, ""), want, req)
}

func (h *rolesHouse) refusedAs(caller *service.Caller, want string, req api.Request) {
	h.t.Helper()
	_, err := h.as(caller, req)
	if err == nil || !strings.HasPrefix(err.Error(), want) {
		h.t.Errorf("%T is answered %v, want %s", req, err, want)
	}
}

// edit changes records in a way that no operation here does.
func (h *rolesHouse) edit(f func(*service.Tx) error) {
	h.t.Helper()
	op := service.Def[struct{}, service.None]{Name: "Edit", Kind: service.Internal, Plan: func(tx *service.Tx, _ *struct{}, _ []service.Target) (*service.None, error) {
		return &service.None{}, f(tx)
	}}.Op("keyturn")
	if _, err := h.p.DoInternal(h.t.Context(), op, record.Owner{Account: rolesAccount, Region: h.region}, time.Now(), 0, new(struct{})); err != nil {
		h.t.Fatal(err)
	}
}

// store puts a new record.
func (h *rolesHouse) store(r record.Record) {
	h.t.Helper()
	h.edit(func(tx *service.Tx) error {
		_, err := service.Lookup[record.Record](tx, r.StoreKey())
		tx.Put(r)
		return err
	})
}

// user makes a user with an inline policy, "" for none, and returns it as a caller.
func (h *rolesHouse) user(account, name, document string) *service.Caller {
	h.t.Helper()
	made := h.mustIn(account, &api.CreateUserRequest{UserName: api.Some(name)}).(*api.CreateUserResponse)
	if document != "" {
		h.edit(func(tx *service.Tx) error {
			u, err := service.Lookup[*record.User](tx, record.PrincipalStoreKey(account, record.UserKind, made.User.UserId.V))
			u.Inline = []record.Inline{{Name: "in", Document: document}}
			tx.Put(u)
			return err
		})
	}
	c, err := h.directory.Principal(h.t.Context(), made.User.Arn.V)
	if err != nil {
		h.t.Fatal(err)
	}
	return c
}

// managed makes a managed policy and returns its ARN.
func (h *rolesHouse) managed(name, document string) string {
	h.t.Helper()
	p := &record.ManagedPolicy{
		Account: rolesAccount, ID: "ANPA" + name, Name: name, Path: "/", Default: 1, Last: 1, Versions: []record.PolicyVersion{{Number: 1, Document: document}},
	}
	h.store(p)
	return p.ARN()
}

const rolesTrustAccount = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"` + rolesAccount + `"},"Action":"sts:AssumeRole"}]}`

// trusting is a trust policy with this Principal.
func rolesTrust(principal string) string {
	return `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":` + principal + `,"Action":"sts:AssumeRole"}]}`
}

func rolesAllow(actions string) string {
	return `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":` + actions + `,"Resource":"*"}]}`
}

func rolesCreate(name string) *api.CreateRoleRequest {
	return &api.CreateRoleRequest{RoleName: api.Some(name), AssumeRolePolicyDocument: api.Some(rolesTrustAccount)}
}
