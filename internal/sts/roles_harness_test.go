package sts_test

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
	"github.com/keyturn/keyturn/internal/sts"
)

const (
	rolesAccount = "111122223333"
	rolesOther   = "444455556666"
)

// rolesHouse is a pipeline with the operations of IAM and STS, as a server has it.
type rolesHouse struct {
	t         *testing.T
	p         *service.Pipeline
	ops       map[string]*service.Op
	names     map[string]string // of operations, by the types of their requests
	directory *identity.Directory
	sink      *audit.Memory
	region    string
	now       time.Time
}

func newRolesHouse(t *testing.T) *rolesHouse {
	t.Helper()
	sealed, err := seal.Open(t.Context(), memstore.New(), seal.Options{Provider: seal.NewKeyFile(make([]byte, 32)), Now: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	h := &rolesHouse{t: t, sink: audit.NewMemory(10_000), region: "eu-central-1", now: time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)}
	real := func() time.Time { return h.now }
	h.directory = identity.NewDirectory(identity.Config{RealTime: real, Configured: map[string]identity.Configured{"AKIACONFIGURED00": {
		Secret: "secret",
		Caller: service.NewCaller(service.Caller{
			Account: rolesAccount, ARN: "arn:aws:iam::" + rolesAccount + ":user/machine", Type: "IAMUser", PrincipalID: "AIDACONFIGURED",
			UserName: "machine", AccessKeyID: "AKIACONFIGURED00", Identity: &authz.Identity{},
		}),
	}}})
	h.p, err = service.New(t.Context(), service.Config{
		Store: sealed, Keyring: sealed.Keyring(), Clock: clock.System{}, Audit: h.sink, NodeID: "n1", RealTime: real,
		Log: slog.New(slog.NewTextHandler(io.Discard, nil)), Authorize: h.directory.Authorize,
	})
	if err != nil {
		t.Fatal(err)
	}
	h.directory.Attach(h.p)
	t.Cleanup(func() { h.p.Close(t.Context()) })
	mfa := identity.NewMFA(real)
	h.ops = service.Table(
		iam.New(iam.Config{Directory: h.directory, MFA: mfa, RealTime: real}).Operations(),
		sts.New(sts.Config{Directory: h.directory, MFA: mfa, RealTime: real}).Operations(),
	)
	h.names = make(map[string]string)
	for _, m := range append(api.IAMOperations(), api.STSOperations()...) {
		h.names[fmt.Sprintf("%T", m.NewInput())] = m.Service + "." + m.Name
	}
	return h
}

// as calls an operation, which is named by the type of its request.
func (h *rolesHouse) as(caller *service.Caller, req api.Request) (api.Response, *api.Error) {
	h.t.Helper()
	call := &service.Call{Caller: caller.In(h.region), Region: h.region, RequestID: "r", SourceIP: "192.0.2.1"}
	resp, err := h.p.Do(h.t.Context(), h.ops[h.names[fmt.Sprintf("%T", req)]], call, req, nil)
	if err == nil {
		return resp, nil
	}
	var e *api.Error
	if !errors.As(err, &e) {
		h.t.Fatal(err)
	}
	return nil, e
}

// must calls as the root user of an account and expects success.
func (h *rolesHouse) must(account string, req api.Request) api.Response {
	h.t.Helper()
	resp, err := h.as(service.RootCaller(account, ""), req)
	if err != nil {
		h.t.Fatalf("%T: %v", req, err)
	}
	return resp
}

// outcome calls and expects success, or with want an error that begins like this.
func (h *rolesHouse) outcome(caller *service.Caller, want string, req api.Request) api.Response {
	h.t.Helper()
	resp, err := h.as(caller, req)
	switch {
	case want == "" && err != nil:
		h.t.Errorf("%T: %v", req, err)
	case want != "" && (err == nil || !strings.HasPrefix(err.Error(), want)):
		h.t.Errorf("%T is answered %v, want %s", req, err, want)
	}
	return resp
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

// store puts a record, whatever is there.
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
	made := h.must(account, &api.CreateUserRequest{UserName: api.Some(name)}).(*api.CreateUserResponse)
	if document != "" {
		h.edit(func(tx *service.Tx) error {
			u, err := service.Lookup[*record.User](tx, record.PrincipalStoreKey(account, record.UserKind, made.User.UserId.V))
			u.Inline = []record.Inline{{Name: "in", Document: document}}
			tx.Put(u)
			return err
		})
	}
	c, err := h.directory.Principal(h.t.Context(), "arn:aws:iam::"+account+":user/"+name)
	if err != nil {
		h.t.Fatal(err)
	}
	return c
}

// role makes a role with a trust policy and an inline policy, "" for none, and returns its ARN.
func (h *rolesHouse) role(account, name, trust, document string, tags ...api.IamTag) string {
	h.t.Helper()
	made := h.must(account, &api.CreateRoleRequest{RoleName: api.Some(name), AssumeRolePolicyDocument: api.Some(trust), Tags: tags}).(*api.CreateRoleResponse)
	if document != "" {
		h.must(account, &api.PutRolePolicyRequest{RoleName: api.Some(name), PolicyName: api.Some("in"), PolicyDocument: api.Some(document)})
	}
	return made.Role.Arn.V
}

// assume makes a session, and returns it as whoever signs with its credentials.
func (h *rolesHouse) assume(caller *service.Caller, req *api.AssumeRoleRequest) *service.Caller {
	h.t.Helper()
	resp, err := h.as(caller, req)
	if err != nil {
		h.t.Fatal(err)
	}
	return h.signs(resp.(*api.AssumeRoleResponse).Credentials)
}

func (h *rolesHouse) signs(c *api.Credentials) *service.Caller {
	h.t.Helper()
	found, err := h.directory.Lookup(h.t.Context(), c.AccessKeyId.V, c.SessionToken.V)
	if err != nil || found.Secret != c.SecretAccessKey.V {
		h.t.Fatalf("the credentials are worth %v, %v", found, err)
	}
	return found.Caller
}

func rolesAsk(arn string) *api.AssumeRoleRequest {
	return &api.AssumeRoleRequest{RoleArn: api.Some(arn), RoleSessionName: api.Some("session")}
}

// rolesTrust is a trust policy with this Principal and actions, and whatever follows.
func rolesTrust(principal, actions string, more ...string) string {
	return `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":` + principal + `,"Action":` + actions + strings.Join(more, "") + `}]}`
}

// rolesAllow is a policy of an identity.
func rolesAllow(actions string) string {
	return `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":` + actions + `,"Resource":"*"}]}`
}

func rolesTag(name, value string) api.StsTag {
	return api.StsTag{Key: api.Some(name), Value: api.Some(value)}
}
