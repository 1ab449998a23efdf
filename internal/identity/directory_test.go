package identity_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/keyturn/keyturn/internal/authz"
	"github.com/keyturn/keyturn/internal/identity"
	"github.com/keyturn/keyturn/internal/policy"
	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/seal"
	"github.com/keyturn/keyturn/internal/service"
	"github.com/keyturn/keyturn/internal/store/memstore"
)

const (
	account = "111122223333"
	allow   = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"%s","Resource":"*"}]}`
)

// shelf is records by where they stand, and counts how often it is asked.
type shelf struct {
	records map[string]record.Record
	keyring service.Keyring
	asked   int
	broken  error
}

func (s *shelf) Record(_ context.Context, storeKey string) (record.Record, error) {
	s.asked++
	if s.broken != nil {
		return nil, s.broken
	}
	if r, ok := s.records[storeKey]; ok {
		return r, nil
	}
	return nil, nil
}

func (s *shelf) Keyring() service.Keyring { return s.keyring }

func (s *shelf) put(list ...record.Record) {
	for _, r := range list {
		s.records[r.StoreKey()] = r
	}
}

// house is a directory over a shelf, at a time of its own.
type house struct {
	*identity.Directory
	*shelf
	now time.Time
}

func newHouse(t *testing.T) *house {
	t.Helper()
	sealed, err := seal.Open(t.Context(), memstore.New(), seal.Options{Provider: seal.NewKeyFile(make([]byte, 32)), Now: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	h := &house{shelf: &shelf{records: map[string]record.Record{}, keyring: sealed.Keyring()}, now: time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)}
	h.Directory = identity.NewDirectory(identity.Config{
		RealTime: func() time.Time { return h.now },
		Configured: map[string]identity.Configured{"AKIACONFIGURED": {
			Secret: "configured-secret",
			Caller: service.NewCaller(service.Caller{
				Account: account, ARN: "arn:aws:iam::" + account + ":user/machine", Type: "IAMUser", PrincipalID: "AIDACONFIGURED", UserName: "machine",
				AccessKeyID: "AKIACONFIGURED", Identity: &authz.Identity{},
			}),
		}},
	})
	h.Attach(h.shelf)
	h.put(
		&record.User{
			Principal: record.Principal{
				Account: account, ID: "AIDAANN", Name: "Ann", Path: "/team/", Inline: []record.Inline{{Name: "in", Document: fmt.Sprintf(allow, "kms:Encrypt")}},
				Attached: []string{"arn:aws:iam::" + account + ":policy/p"}, Boundary: "arn:aws:iam::aws:policy/AdministratorAccess",
				Tags: []record.Tag{{Key: "Team", Value: "red"}},
			},
			Groups: []string{"AGPAOPS"},
		},
		&record.Name{Account: account, Kind: record.UserKind, Name: "Ann", ID: "AIDAANN"},
		&record.Group{Principal: record.Principal{Account: account, ID: "AGPAOPS", Name: "ops", Path: "/", Attached: []string{"arn:aws:iam::aws:policy/IAMReadOnlyAccess"}}},
		&record.ManagedPolicy{
			Account: account, ID: "ANPAP", Name: "p", Path: "/", Default: 1, Last: 1,
			Versions: []record.PolicyVersion{{Number: 1, Document: fmt.Sprintf(allow, "kms:Decrypt")}},
		},
		&record.AccessKey{ID: "AKIAANN", Account: account, UserID: "AIDAANN", Secret: "anns-secret", Active: true},
		&record.AccessKey{ID: "AKIAROOT", Account: account, Secret: "roots-secret", Active: true},
		&record.Role{Principal: record.Principal{
			Account: account, ID: "AROADEPLOY", Name: "Deploy", Path: "/ci/", Tags: []record.Tag{{Key: "Team", Value: "red"}, {Key: "Stage", Value: "test"}},
			Attached: []string{"arn:aws:iam::aws:policy/AdministratorAccess"},
		}},
		&record.Name{Account: account, Kind: record.RoleKind, Name: "Deploy", ID: "AROADEPLOY"},
	)
	return h
}

// may tells whether IAM policies allow a caller an action on something of its account.
func may(t *testing.T, c *service.Caller, action string) bool {
	t.Helper()
	d, err := authz.Decide(&authz.Question{Who: c.Who(), Identity: c.Identity, Action: action, Resource: "arn:aws:kms:eu-central-1:" + account + ":key/k", ResourceAccount: account})
	if err != nil {
		t.Fatal(err)
	}
	return d.Allowed
}

func (h *house) sign(t *testing.T, id, token string) identity.Credential {
	t.Helper()
	c, err := h.Lookup(t.Context(), id, token)
	if err != nil {
		t.Fatalf("%s: %v", id, err)
	}
	return c
}

func (h *house) refused(t *testing.T, why, id, token string, want error) {
	t.Helper()
	if c, err := h.Lookup(t.Context(), id, token); !errors.Is(err, want) {
		t.Errorf("%s: %v, %v; want %v", why, c, err, want)
	}
}

// TestLongTermKeys looks up access keys of the store and of the configuration.
func TestLongTermKeys(t *testing.T) {
	h := newHouse(t)
	ann := h.sign(t, "AKIAANN", "")
	c := ann.Caller
	if ann.Secret != "anns-secret" || c.ARN != "arn:aws:iam::111122223333:user/team/Ann" || c.PrincipalID != "AIDAANN" || c.UserName != "Ann" || c.AccessKeyID != "AKIAANN" {
		t.Errorf("%+v", c)
	}
	for action, want := range map[string]bool{"kms:Encrypt": true, "kms:Decrypt": true, "iam:ListUsers": true, "kms:Sign": false} {
		if got := may(t, c, action); got != want {
			t.Errorf("Ann may %s: %t", action, got)
		}
	}
	if !c.Who().Bounded {
		t.Error("Ann's boundary is not known")
	}
	if root := h.sign(t, "AKIAROOT", "").Caller; root.Type != "Root" || root.ARN != "arn:aws:iam::111122223333:root" || !may(t, root, "kms:Sign") {
		t.Errorf("%+v", root)
	}
	if m := h.sign(t, "AKIACONFIGURED", ""); m.Secret != "configured-secret" || m.Caller.UserName != "machine" {
		t.Errorf("%v", m)
	}
	h.refused(t, "unknown", "AKIANOBODY", "", identity.ErrUnknown)
	h.refused(t, "a token with a long-term key", "AKIAANN", "token", identity.ErrUnknown)
	if s := fmt.Sprintf("%v %+v %s", ann, ann, ann); strings.Contains(s, "anns-secret") {
		t.Errorf("the secret prints: %s", s)
	}
}

// TestChangesAreSeen changes what a caller was put together from: the next use sees it.
func TestChangesAreSeen(t *testing.T) {
	h := newHouse(t)
	h.put(&record.Account{ID: account})
	user := func(change func(*record.User)) {
		u := *h.records[record.PrincipalStoreKey(account, record.UserKind, "AIDAANN")].(*record.User)
		change(&u)
		h.put(&u)
	}
	before := h.sign(t, "AKIAANN", "").Caller
	if again := h.sign(t, "AKIAANN", "").Caller; again != before {
		t.Error("what nothing has changed is put together again")
	}
	for _, step := range []struct {
		what   string
		do     func()
		action string
		may    bool
	}{
		{"an inline policy goes", func() { user(func(u *record.User) { u.Inline = nil }) }, "kms:Encrypt", false},
		{"the policy's version changes", func() {
			p := *h.records[record.PolicyStoreKey(account, "p")].(*record.ManagedPolicy)
			p.Versions = append(p.Versions, record.PolicyVersion{Number: 2, Document: fmt.Sprintf(allow, "kms:Sign")})
			p.Default = 2
			h.put(&p)
		}, "kms:Decrypt", false},
		{"so the new one counts", func() {}, "kms:Sign", true},
		{"the group's policy goes", func() {
			h.put(&record.Group{Principal: record.Principal{Account: account, ID: "AGPAOPS", Name: "ops", Path: "/"}})
		}, "iam:ListUsers", false},
		{"the boundary narrows", func() { user(func(u *record.User) { u.Boundary = "arn:aws:iam::aws:policy/IAMFullAccess" }) }, "kms:Sign", false},
		{"the boundary goes", func() { user(func(u *record.User) { u.Boundary = "" }) }, "kms:Sign", true},
	} {
		step.do()
		if got := may(t, h.sign(t, "AKIAANN", "").Caller, step.action); got != step.may {
			t.Errorf("%s: may %s: %t", step.what, step.action, got)
		}
	}
	h.put(&record.Account{ID: account, Suspended: h.now})
	h.refused(t, "suspended", "AKIAANN", "", identity.ErrUnknown)
	h.refused(t, "suspended root", "AKIAROOT", "", identity.ErrUnknown)
	h.put(&record.Account{ID: account})
	h.sign(t, "AKIAANN", "")
	h.put(&record.AccessKey{ID: "AKIAANN", Account: account, UserID: "AIDAANN", Secret: "anns-secret"})
	h.refused(t, "inactive", "AKIAANN", "", identity.ErrUnknown)
	h.put(&record.AccessKey{ID: "AKIAANN", Account: account, UserID: "AIDAANN", Secret: "anns-secret", Active: true})
	delete(h.records, record.PrincipalStoreKey(account, record.GroupKind, "AGPAOPS"))
	h.refused(t, "a group that is missing might have denied", "AKIAANN", "", identity.ErrUnknown)
	delete(h.records, record.PrincipalStoreKey(account, record.UserKind, "AIDAANN"))
	h.refused(t, "deleted", "AKIAANN", "", identity.ErrUnknown)
}

// TestDamage lets reading fail, and policies be unreadable: nobody signs in then, and it is no fault of theirs.
func TestDamage(t *testing.T) {
	h := newHouse(t)
	h.put(&record.Group{Principal: record.Principal{Account: account, ID: "AGPAOPS", Inline: []record.Inline{{Name: "in", Document: "{"}}}})
	if c, err := h.Lookup(t.Context(), "AKIAANN", ""); err == nil || errors.Is(err, identity.ErrUnknown) {
		t.Errorf("%v, %v", c, err)
	}
	h = newHouse(t)
	h.sign(t, "AKIAANN", "")
	h.broken = errors.New("disk on fire")
	if c, err := h.Lookup(t.Context(), "AKIAANN", ""); !errors.Is(err, h.broken) {
		t.Errorf("%v, %v", c, err)
	}
}

// TestSessionsAfterALeak: whoever has the keyring of before a rotation can seal sessions of their own. One that says it was made after the
// rotation is none, nor is one that lasts longer than any; what had been handed out goes on until its time.
func TestSessionsAfterALeak(t *testing.T) {
	h := newHouse(t)
	raw := memstore.New()
	sealed, err := seal.Open(t.Context(), raw, seal.Options{Provider: seal.NewKeyFile(make([]byte, 32)), Now: h.now.Add(-24 * time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	sn, err := sealed.TakeSnapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer sn.Close()
	e, err := sn.Escrow()
	if err != nil {
		t.Fatal(err)
	}
	leaked, err := e.Keyring()
	if err != nil {
		t.Fatal(err)
	}
	h.keyring = sealed.Keyring()
	mint := func(k service.Keyring, issued time.Time, lasts time.Duration) identity.Credentials {
		t.Helper()
		c, err := identity.Mint(k, identity.Session{Kind: identity.RootSession, Account: account, Issued: issued, Expires: issued.Add(lasts)})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	before := mint(h.keyring, h.now, 36*time.Hour)
	if err := sealed.RotateRoot(t.Context(), h.now.Add(time.Second)); err != nil {
		t.Fatal(err)
	}
	h.now = h.now.Add(time.Hour)
	h.sign(t, before.AccessKeyID, before.SessionToken)
	after := mint(h.keyring, h.now, 36*time.Hour)
	h.sign(t, after.AccessKeyID, after.SessionToken)
	forged := mint(leaked, h.now, time.Hour)
	h.refused(t, "sealed by what a thief has, dated after the rotation", forged.AccessKeyID, forged.SessionToken, identity.ErrUnknown)
	forged = mint(leaked, h.now.Add(-2*time.Hour), 10*365*24*time.Hour)
	h.refused(t, "sealed by what a thief has, dated before, for years", forged.AccessKeyID, forged.SessionToken, identity.ErrUnknown)
}

// TestSessions uses session tokens, right ones and others.
func TestSessions(t *testing.T) {
	h := newHouse(t)
	mint := func(s identity.Session) identity.Credentials {
		t.Helper()
		s.Account, s.Issued, s.Expires = account, h.now, h.now.Add(time.Hour)
		c, err := identity.Mint(h.keyring, s)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	role := identity.Session{
		Kind: identity.RoleSession, PrincipalID: "AROADEPLOY", Name: "ci", Limited: true, Inline: fmt.Sprintf(allow, "kms:Encrypt"),
		Policies: []string{"arn:aws:iam::" + account + ":policy/p"}, Tags: []record.Tag{{Key: "team", Value: "blue"}},
	}
	creds := mint(role)
	got := h.sign(t, creds.AccessKeyID, creds.SessionToken)
	c := got.Caller
	if got.Secret != creds.SecretAccessKey || got.SessionToken != creds.SessionToken || c.ARN != "arn:aws:sts::111122223333:assumed-role/Deploy/ci" || c.PrincipalID != "AROADEPLOY:ci" {
		t.Errorf("%+v", c)
	}
	if who := c.Who(); who.Kind != policy.RoleSession || who.Role != "arn:aws:iam::111122223333:role/ci/Deploy" || len(who.UniqueIDs) != 1 || who.UniqueIDs[0] != "AROADEPLOY" {
		t.Errorf("%+v", who)
	}
	if len(c.Tags) != 2 || c.Tags[0].Value != "blue" || c.Tags[1].Key != "Stage" {
		t.Errorf("tags %v", c.Tags)
	}
	for action, want := range map[string]bool{"kms:Encrypt": true, "kms:Decrypt": true, "kms:Sign": false} {
		if may(t, c, action) != want {
			t.Errorf("the session may %s: %t", action, !want)
		}
	}
	if gov := c.In("us-gov-west-1"); gov.ARN != "arn:aws-us-gov:sts::111122223333:assumed-role/Deploy/ci" || gov.Who().Role != "arn:aws-us-gov:iam::111122223333:role/ci/Deploy" {
		t.Errorf("elsewhere %s of %s", gov.ARN, gov.Who().Role)
	}

	other := mint(role)
	h.refused(t, "another session's token", creds.AccessKeyID, other.SessionToken, identity.ErrUnknown)
	h.refused(t, "no token", creds.AccessKeyID, "", identity.ErrUnknown)
	altered := []byte(creds.SessionToken)
	altered[40] ^= 1
	h.refused(t, "altered", creds.AccessKeyID, string(altered), identity.ErrUnknown)
	h.refused(t, "with a line break", creds.AccessKeyID, creds.SessionToken[:8]+"\n"+creds.SessionToken[8:], identity.ErrUnknown)
	h.refused(t, "too long", creds.AccessKeyID, strings.Repeat("A", identity.MaxSessionToken+4), identity.ErrUnknown)
	grant, err := h.keyring.SealToken([]byte(`{"id":"`+creds.AccessKeyID+`","secret":"s","kind":"root","account":"111122223333"}`), "keyturn grant token v1")
	if err != nil {
		t.Fatal(err)
	}
	h.refused(t, "a token for something else", creds.AccessKeyID, string(grant), identity.ErrUnknown)

	delete(h.records, record.PolicyStoreKey(account, "p"))
	h.refused(t, "a session policy that is gone", creds.AccessKeyID, creds.SessionToken, identity.ErrUnknown)
	h = newHouse(t)
	user, root, machine := mint(identity.Session{Kind: identity.UserSession, PrincipalID: "AIDAANN", MFA: h.now}), mint(identity.Session{Kind: identity.RootSession}),
		mint(identity.Session{Kind: identity.ConfiguredSession, Base: "AKIACONFIGURED"})
	for _, s := range []struct {
		creds identity.Credentials
		arn   string
	}{
		{user, "arn:aws:iam::111122223333:user/team/Ann"}, {root, "arn:aws:iam::111122223333:root"}, {machine, "arn:aws:iam::111122223333:user/machine"},
	} {
		if c := h.sign(t, s.creds.AccessKeyID, s.creds.SessionToken).Caller; c.ARN != s.arn || c.AccessKeyID != s.creds.AccessKeyID || c.Session == nil {
			t.Errorf("%+v, want %s", c, s.arn)
		}
	}
	strange := mint(identity.Session{Kind: "other"})
	h.refused(t, "a kind of session that is unknown", strange.AccessKeyID, strange.SessionToken, identity.ErrUnknown)
	delete(h.records, record.PrincipalStoreKey(account, record.UserKind, "AIDAANN"))
	h.put(&record.User{Principal: record.Principal{Account: account, ID: "AIDAOTHER", Name: "Ann", Path: "/team/"}})
	h.refused(t, "the session of a deleted user, though there is one of the same name", user.AccessKeyID, user.SessionToken, identity.ErrUnknown)

	h.now = h.now.Add(time.Hour - time.Second)
	h.sign(t, root.AccessKeyID, root.SessionToken)
	h.now = h.now.Add(time.Second)
	h.refused(t, "over", root.AccessKeyID, root.SessionToken, identity.ErrExpired)
	if _, err := identity.Mint(h.keyring, identity.Session{Account: account, Inline: strings.Repeat("x", identity.MaxSessionToken)}); !errors.Is(err, identity.ErrTooPacked) {
		t.Errorf("a session that does not fit: %v", err)
	}
}

// TestPrincipal finds principals by their ARNs.
func TestPrincipal(t *testing.T) {
	h := newHouse(t)
	for arn, want := range map[string]string{
		"arn:aws:iam::111122223333:root":                          "arn:aws:iam::111122223333:root",
		"arn:aws:iam::111122223333:user/team/Ann":                 "arn:aws:iam::111122223333:user/team/Ann",
		"arn:aws-cn:iam::111122223333:user/team/Ann":              "arn:aws:iam::111122223333:user/team/Ann",
		"arn:aws:iam::111122223333:user/machine":                  "arn:aws:iam::111122223333:user/machine",
		"arn:aws:iam::111122223333:role/ci/Deploy":                "arn:aws:sts::111122223333:assumed-role/Deploy/*",
		"arn:aws:sts::111122223333:assumed-role/Deploy/a-session": "arn:aws:sts::111122223333:assumed-role/Deploy/a-session",
	} {
		if c, err := h.Principal(t.Context(), arn); err != nil || c.ARN != want {
			t.Errorf("%s: %v, %v", arn, c, err)
		}
	}
	for _, arn := range []string{
		"", "arn:aws:iam::111122223333:user/Ann", "arn:aws:iam::111122223333:user/team/ann", "arn:aws:iam::444455556666:user/team/Ann",
		"arn:aws:iam::111122223333:role/Deploy", "arn:aws:sts::111122223333:assumed-role/Deploy", "arn:aws:iam::111122223333:group/ops",
	} {
		if c, err := h.Principal(t.Context(), arn); !errors.Is(err, identity.ErrNoPrincipal) {
			t.Errorf("%s: %v, %v", arn, c, err)
		}
	}
}

// BenchmarkLookup is what a request pays for its caller being known.
func BenchmarkLookup(b *testing.B) {
	sealed, err := seal.Open(b.Context(), memstore.New(), seal.Options{Provider: seal.NewKeyFile(make([]byte, 32)), Now: time.Now()})
	if err != nil {
		b.Fatal(err)
	}
	s := &shelf{records: map[string]record.Record{}, keyring: sealed.Keyring()}
	s.put(
		&record.User{Principal: record.Principal{Account: account, ID: "AIDAANN", Name: "Ann", Path: "/"}},
		&record.AccessKey{ID: "AKIAANN", Account: account, UserID: "AIDAANN", Secret: "anns-secret", Active: true},
	)
	d := identity.NewDirectory(identity.Config{})
	d.Attach(s)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := d.Lookup(b.Context(), "AKIAANN", ""); err != nil {
			b.Fatal(err)
		}
	}
}
