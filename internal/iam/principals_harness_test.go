package iam_test

import (
	"context"
	"errors"
	"log/slog"
	"net/url"
	"slices"
	"strings"
	"sync"
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
	"github.com/keyturn/keyturn/internal/store"
	"github.com/keyturn/keyturn/internal/store/memstore"
	"github.com/keyturn/keyturn/internal/verify/verifytest"
)

const (
	principalsAccount = "111122223333"
	principalsRegion  = "eu-central-1"
	principalsAllow   = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}`
	principalsDeny    = `{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":"*","Resource":"*"}]}`
)

var principalsStart = time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)

// moment is when a test has something done in the midst of a change.
type moment string

const (
	beforeCounting   moment = "before a counter is read"
	afterCounting    moment = "after a counter was read"
	beforeCommitting moment = "before the commit"
)

// meddling is a store in which a test can have something done in the midst of the next change.
type meddling struct {
	store.Store
	mu   sync.Mutex
	when moment // guarded by mu
	do   func() // guarded by mu; nil for nothing
}

func (m *meddling) inNextChange(when moment, do func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.when, m.do = when, do
}

// reached does what is to be done, once.
func (m *meddling) reached(when moment) {
	m.mu.Lock()
	do := m.do
	if m.when != when {
		do = nil
	}
	if do != nil {
		m.do = nil
	}
	m.mu.Unlock()
	if do != nil {
		do()
	}
}

func (m *meddling) Get(ctx context.Context, keys ...string) ([]store.Entry, error) {
	counts := slices.ContainsFunc(keys, func(k string) bool { return strings.HasPrefix(k, "c/") })
	if counts {
		m.reached(beforeCounting)
	}
	entries, err := m.Store.Get(ctx, keys...)
	if counts {
		m.reached(afterCounting)
	}
	return entries, err
}

func (m *meddling) Commit(ctx context.Context, b store.Batch) (store.Rev, error) {
	if slices.ContainsFunc(b.Writes, func(w store.Write) bool { return strings.HasPrefix(w.Key, "o/") && !w.Delete }) { // has an audit record
		m.reached(beforeCommitting)
	}
	return m.Store.Commit(ctx, b)
}

// principalsBench is IAM and KMS in one process, with a directory of identities, over a sealed store in memory. Its clock stands still.
type principalsBench struct {
	t         testing.TB
	p         *service.Pipeline
	ops       map[string]*service.Op
	directory *identity.Directory
	sink      *audit.Memory
	root      *service.Caller
	store     *meddling
	damaged   bool // the test has written to the store past the service, so that it is not verified at the end
}

func newPrincipalsBench(t testing.TB) *principalsBench {
	t.Helper()
	configured := service.NewCaller(service.Caller{
		Account: principalsAccount, ARN: "arn:aws:iam::" + principalsAccount + ":user/configured", Type: "IAMUser", PrincipalID: "AIDACONFIGURED",
		UserName: "configured", AccessKeyID: "AKIACONFIGURED000000",
	})
	b := &principalsBench{
		t: t, store: &meddling{Store: memstore.New()}, sink: audit.NewMemory(100_000), root: service.RootCaller(principalsAccount, "AKIAEXAMPLE"),
		directory: identity.NewDirectory(identity.Config{Configured: map[string]identity.Configured{
			"AKIACONFIGURED000000": {Secret: "secret", Caller: configured},
		}}),
	}
	sealed, err := seal.Open(t.Context(), b.store, seal.Options{Provider: seal.NewKeyFile(make([]byte, 32)), Dev: true, Now: principalsStart})
	if err != nil {
		t.Fatal(err)
	}
	k := kms.New(kms.Config{})
	b.p, err = service.New(t.Context(), service.Config{
		Store: sealed, Keyring: sealed.Keyring(), Clock: clock.NewShifted(func() time.Time { return principalsStart }, 0), Audit: b.sink, NodeID: "n1",
		Log: slog.New(slog.DiscardHandler), Authorize: func(a *service.Authorization) error {
			if a.Op.Service == "iam" {
				return b.directory.Authorize(a)
			}
			return k.Authorize(a)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := b.p.Close(ctx); err != nil {
			t.Error(err)
		}
		if !b.damaged {
			verifytest.Clean(t, sealed, b.sink)
		}
	})
	k.Attach(b.p)
	b.directory.Attach(b.p)
	b.ops = service.Table(k.Operations(), iam.New(iam.Config{Directory: b.directory}).Operations())
	return b
}

// as runs an operation for a caller.
func (b *principalsBench) as(caller *service.Caller, op string, req api.Request) (api.Response, *api.Error) {
	b.t.Helper()
	return b.call(caller, principalsRegion, op, req)
}

// in runs an operation of IAM in a Region as the root user.
func (b *principalsBench) in(region, op string, req api.Request) (api.Response, *api.Error) {
	b.t.Helper()
	return b.call(b.root.In(region), region, "iam."+op, req)
}

func (b *principalsBench) call(caller *service.Caller, region, op string, req api.Request) (api.Response, *api.Error) {
	b.t.Helper()
	call := &service.Call{Caller: caller, Region: region, RequestID: keys.NewKeyID().String(), SourceIP: "192.0.2.1", UserAgent: "test"}
	if b.ops[op] == nil {
		b.t.Fatalf("there is no %s", op)
	}
	resp, err := b.p.Do(b.t.Context(), b.ops[op], call, req, nil)
	if err == nil {
		return resp, nil
	}
	e := (*api.Error)(nil)
	if !errors.As(err, &e) {
		b.t.Errorf("%s: error of type %T: %v", op, err, err)
		e = api.New(api.KMSInternalException)
	}
	return nil, e
}

// do runs an operation of IAM as the root user.
func (b *principalsBench) do(op string, req api.Request) *api.Error {
	b.t.Helper()
	_, err := b.as(b.root, "iam."+op, req)
	return err
}

// run is do for what has to succeed.
func (b *principalsBench) run(op string, req api.Request) {
	b.t.Helper()
	if err := b.do(op, req); err != nil {
		b.t.Fatalf("%s: %s: %s", op, err.Code, err.Message)
	}
}

// principalsGet is run with an answer.
func principalsGet[R any](b *principalsBench, op string, req api.Request) *R {
	b.t.Helper()
	resp, err := b.as(b.root, "iam."+op, req)
	if err != nil {
		b.t.Fatalf("%s: %s: %s", op, err.Code, err.Message)
	}
	r, ok := any(resp).(*R)
	if !ok {
		b.t.Fatalf("%s: response of type %T", op, resp)
	}
	return r
}

// refused checks that the root user gets an error.
func (b *principalsBench) refused(op string, req api.Request, code api.ErrorCode, message string) {
	b.t.Helper()
	err := b.do(op, req)
	if err == nil || err.Code != code || err.Message != message {
		b.t.Errorf("%s: %v, want %s: %s", op, err, code, message)
	}
}

func (b *principalsBench) user(name string) {
	b.t.Helper()
	b.run("CreateUser", &api.CreateUserRequest{UserName: api.Some(name)})
}

func (b *principalsBench) group(name string) {
	b.t.Helper()
	b.run("CreateGroup", &api.CreateGroupRequest{GroupName: api.Some(name)})
}

// policy makes a managed policy and returns its ARN.
func (b *principalsBench) policy(name, document string) string {
	b.t.Helper()
	return principalsGet[api.CreatePolicyResponse](b, "CreatePolicy", &api.CreatePolicyRequest{PolicyName: api.Some(name), PolicyDocument: api.Some(document)}).Policy.Arn.V
}

// key makes an access key of a user and returns its ID.
func (b *principalsBench) key(user string) string {
	b.t.Helper()
	return principalsGet[api.CreateAccessKeyResponse](b, "CreateAccessKey", &api.CreateAccessKeyRequest{UserName: api.Some(user)}).AccessKey.AccessKeyId.V
}

// caller is who signs with an access key now; nil for nobody.
func (b *principalsBench) caller(accessKeyID string) *service.Caller {
	b.t.Helper()
	c, err := b.directory.Lookup(b.t.Context(), accessKeyID, "")
	if errors.Is(err, identity.ErrUnknown) {
		return nil
	}
	if err != nil {
		b.t.Fatal(err)
	}
	return c.Caller
}

// may tells whether an access key may list keys of KMS now.
func (b *principalsBench) may(accessKeyID string) bool {
	b.t.Helper()
	caller := b.caller(accessKeyID)
	if caller == nil {
		return false
	}
	_, err := b.as(caller, "kms.ListKeys", &api.ListKeysRequest{})
	if err != nil && err.Code != api.AccessDeniedException {
		b.t.Fatalf("ListKeys: %v", err)
	}
	return err == nil
}

// stored returns the record at a store key, nil if there is none.
func (b *principalsBench) stored(storeKey string) record.Record {
	b.t.Helper()
	r, err := b.p.Record(b.t.Context(), storeKey)
	if err != nil {
		b.t.Fatal(err)
	}
	return r
}

// entries are what the store has below a prefix.
func (b *principalsBench) entries(prefix string) []string {
	b.t.Helper()
	entries, err := b.p.Store().Scan(b.t.Context(), prefix, "", 1000)
	if err != nil {
		b.t.Fatal(err)
	}
	list := make([]string, len(entries))
	for i, e := range entries {
		list[i] = e.Key
	}
	return list
}

func principalsDecoded(t testing.TB, document string) string {
	t.Helper()
	s, err := url.PathUnescape(document)
	if err != nil || strings.Contains(document, "+") {
		t.Errorf("%q is not encoded as RFC 3986 has it", document)
	}
	return s
}
