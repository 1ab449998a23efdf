package sts_test

import (
	"context"
	"crypto/fips140"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/audit"
	"github.com/keyturn/keyturn/internal/authz"
	"github.com/keyturn/keyturn/internal/clock"
	"github.com/keyturn/keyturn/internal/iam"
	"github.com/keyturn/keyturn/internal/identity"
	"github.com/keyturn/keyturn/internal/keys"
	"github.com/keyturn/keyturn/internal/kms"
	"github.com/keyturn/keyturn/internal/policy"
	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/seal"
	"github.com/keyturn/keyturn/internal/service"
	"github.com/keyturn/keyturn/internal/store"
	"github.com/keyturn/keyturn/internal/store/memstore"
	"github.com/keyturn/keyturn/internal/sts"
)

const mfaAccount = "111122223333"

// mfaBench is KMS, IAM and STS over one store, as the server puts them together, at a time that stands still until it is told to go on.
type mfaBench struct {
	t         *testing.T
	p         *service.Pipeline
	ops       map[string]*service.Op
	directory *identity.Directory
	sink      *audit.Memory
	root      *service.Caller

	mu     sync.Mutex
	now    time.Time // guarded by mu
	before func()    // guarded by mu; runs before the next commit of an MFA device
}

// mfaStore lets a test do something right before a commit.
type mfaStore struct {
	store.Store
	b *mfaBench
}

func (s mfaStore) Commit(ctx context.Context, batch store.Batch) (store.Rev, error) {
	// Not what the pipeline commits by itself meanwhile, such as audit records that it has written.
	device := slices.ContainsFunc(batch.Writes, func(w store.Write) bool { return strings.HasPrefix(w.Key, record.MFADevicesPrefix(mfaAccount)) })
	var before func()
	s.b.mu.Lock()
	if device {
		before, s.b.before = s.b.before, nil
	}
	s.b.mu.Unlock()
	if before != nil {
		before()
	}
	return s.Store.Commit(ctx, batch)
}

// mfaMachine is a user of the configuration, and mfaRootKey an access key of the root user in it.
const (
	mfaMachine = "AKIACONFIGUREDUSER00"
	mfaRootKey = "AKIACONFIGUREDROOT00"
)

func newMFABench(t *testing.T) *mfaBench {
	t.Helper()
	b := &mfaBench{t: t, sink: audit.NewMemory(10_000), root: service.RootCaller(mfaAccount, "AKIAROOT"), now: time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)}
	sealed, err := seal.Open(t.Context(), mfaStore{memstore.New(), b}, seal.Options{Provider: seal.NewKeyFile(make([]byte, 32)), Now: b.realTime()})
	if err != nil {
		t.Fatal(err)
	}
	b.directory = identity.NewDirectory(identity.Config{RealTime: b.realTime, Configured: map[string]identity.Configured{
		mfaMachine: {Secret: "machines-secret", Caller: service.NewCaller(service.Caller{
			Account: mfaAccount, ARN: "arn:aws:iam::" + mfaAccount + ":user/machine", Type: "IAMUser", PrincipalID: "AIDAMACHINE", UserName: "machine", AccessKeyID: mfaMachine,
		})},
		mfaRootKey: {Secret: "roots-secret", Caller: service.RootCaller(mfaAccount, mfaRootKey)},
	}})
	k := kms.New(kms.Config{})
	mfa := identity.NewMFA(b.realTime)
	b.p, err = service.New(t.Context(), service.Config{
		Store: sealed, Keyring: sealed.Keyring(), Clock: clock.System{}, Audit: b.sink, NodeID: "n1", Log: slog.New(slog.DiscardHandler), RealTime: b.realTime,
		Authorize: func(a *service.Authorization) error {
			if a.Op.Service == "kms" {
				return k.Authorize(a)
			}
			return b.directory.Authorize(a)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.p.Close(context.Background()) })
	k.Attach(b.p)
	b.directory.Attach(b.p)
	b.ops = service.Table(
		k.Operations(), iam.New(iam.Config{Directory: b.directory, MFA: mfa, RealTime: b.realTime}).Operations(),
		sts.New(sts.Config{Directory: b.directory, MFA: mfa, RealTime: b.realTime}).Operations(),
	)
	return b
}

func (b *mfaBench) realTime() time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.now
}

func (b *mfaBench) pass(d time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.now = b.now.Add(d)
}

// beforeCommit makes the next commit of an MFA device run f first.
func (b *mfaBench) beforeCommit(f func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.before = f
}

// as runs an operation for a caller; the error is nil or an *api.Error.
func (b *mfaBench) as(caller *service.Caller, op string, req api.Request) (api.Response, *api.Error) {
	b.t.Helper()
	call := &service.Call{Caller: caller, Region: "eu-central-1", RequestID: keys.NewKeyID().String(), SourceIP: "192.0.2.1", UserAgent: "test"}
	resp, err := b.p.Do(context.Background(), b.ops[op], call, req, nil)
	if err == nil {
		return resp, nil
	}
	e := (*api.Error)(nil)
	if !errors.As(err, &e) {
		b.t.Errorf("%s: error of type %T: %v", op, err, err)
	}
	return nil, e
}

func (b *mfaBench) must(caller *service.Caller, op string, req api.Request) api.Response {
	b.t.Helper()
	resp, err := b.as(caller, op, req)
	if err != nil {
		b.t.Fatalf("%s: %v", op, err)
	}
	return resp
}

// user makes a user and returns them as they sign with an access key.
func (b *mfaBench) user(name string) *service.Caller {
	b.t.Helper()
	u := b.must(b.root, "iam.CreateUser", &api.CreateUserRequest{UserName: api.Some(name)}).(*api.CreateUserResponse).User
	caller, err := b.directory.Principal(b.t.Context(), u.Arn.V)
	if err != nil {
		b.t.Fatal(err)
	}
	return caller
}

// mfaAllowed returns a caller whom an IAM policy allows everything.
func mfaAllowed(t *testing.T, c *service.Caller) *service.Caller {
	t.Helper()
	p, err := policy.Parse([]byte(`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}`))
	if err != nil {
		t.Fatal(err)
	}
	moved := *c
	moved.Identity = &authz.Identity{Policies: []authz.Named{{Name: "all", Compiled: policy.Compile(p)}}}
	return service.NewCaller(moved)
}

// mfaPhone is a virtual device in a test's hands.
type mfaPhone struct {
	b            *mfaBench
	serial, seed string
	ahead        time.Duration // of its clock
}

// phone makes a device that is not enabled.
func (b *mfaBench) phone(name string) *mfaPhone {
	b.t.Helper()
	if fips140.Enforced() {
		b.t.Skip("HMAC-SHA-1 is refused in FIPS 140-only mode")
	}
	d := b.must(b.root, "iam.CreateVirtualMFADevice", &api.CreateVirtualMFADeviceRequest{VirtualMFADeviceName: api.Some(name)}).(*api.CreateVirtualMFADeviceResponse).VirtualMFADevice
	return &mfaPhone{b: b, serial: d.SerialNumber.V, seed: string(d.Base32StringSeed)}
}

// code is what the phone shows so many steps from now.
func (p *mfaPhone) code(steps int) string {
	p.b.t.Helper()
	code, err := totp.GenerateCode(p.seed, p.b.realTime().Add(p.ahead).Add(time.Duration(steps)*30*time.Second))
	if err != nil {
		p.b.t.Fatal(err)
	}
	return code
}

// wrong is a code that the phone does not show anywhere near now.
func (p *mfaPhone) wrong() string {
	for i := 50; ; i++ {
		if c := p.code(i); c != p.code(-1) && c != p.code(0) && c != p.code(1) {
			return c
		}
	}
}

// enable enables the phone for a user; half a minute later its next code can be used.
func (p *mfaPhone) enable(user string) *mfaPhone {
	p.b.t.Helper()
	p.b.must(p.b.root, "iam.EnableMFADevice", &api.EnableMFADeviceRequest{
		UserName: api.Some(user), SerialNumber: api.Some(p.serial), AuthenticationCode1: api.Some(p.code(-1)), AuthenticationCode2: api.Some(p.code(0)),
	})
	p.b.pass(30 * time.Second)
	return p
}

func mfaRequest(serial, code string) *api.GetSessionTokenRequest {
	return &api.GetSessionTokenRequest{SerialNumber: api.Some(serial), TokenCode: api.Some(code)}
}

// signIn gets a session and returns who signs with it.
func (b *mfaBench) signIn(caller *service.Caller, q *api.GetSessionTokenRequest) *service.Caller {
	b.t.Helper()
	c := b.must(caller, "sts.GetSessionToken", q).(*api.GetSessionTokenResponse).Credentials
	found, err := b.directory.Lookup(b.t.Context(), c.AccessKeyId.V, c.SessionToken.V)
	if err != nil {
		b.t.Fatal(err)
	}
	if found.Secret != c.SecretAccessKey.V || found.Caller.AccessKeyID != c.AccessKeyId.V {
		b.t.Errorf("the session is of %s, not of %s", found.Caller.AccessKeyID, c.AccessKeyId.V)
	}
	return found.Caller
}
