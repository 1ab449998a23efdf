package sts_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/audit"
	"github.com/keyturn/keyturn/internal/clock"
	"github.com/keyturn/keyturn/internal/iam"
	"github.com/keyturn/keyturn/internal/identity"
	"github.com/keyturn/keyturn/internal/oidc/discovery"
	"github.com/keyturn/keyturn/internal/oidc/oidctest"
	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/seal"
	"github.com/keyturn/keyturn/internal/service"
	"github.com/keyturn/keyturn/internal/store/memstore"
	"github.com/keyturn/keyturn/internal/sts"
)

const (
	oidcAccount = "111122223333"
	oidcClient  = "sts.amazonaws.com"
	oidcRole    = "arn:aws:iam::" + oidcAccount + ":role/ci/deploy"
)

// oidcHouse is IAM and STS in a pipeline, with a provider on loopback. The service's time is years off: tokens are dated by real time.
type oidcHouse struct {
	t         *testing.T
	issuer    *oidctest.Issuer
	pipeline  *service.Pipeline
	directory *identity.Directory
	web       *sts.WebIdentities
	ops       map[string]*service.Op
	log       *audit.Memory
	turned    atomic.Int64 // of the real time
	decided   func()       // called once a call was allowed, before it is planned; nil for nothing
}

func (h *oidcHouse) now() time.Time {
	return time.Unix(1_790_000_000, 0).Add(time.Duration(h.turned.Load()))
}

func newOIDCHouse(t *testing.T) *oidcHouse {
	t.Helper()
	h := &oidcHouse{t: t, issuer: oidctest.New(t, "/realms/ci"), log: audit.NewMemory(1000)}
	sealed, err := seal.Open(t.Context(), memstore.New(), seal.Options{Provider: seal.NewKeyFile(make([]byte, 32)), Now: h.now()})
	if err != nil {
		t.Fatal(err)
	}
	h.directory = identity.NewDirectory(identity.Config{RealTime: h.now})
	h.pipeline, err = service.New(t.Context(), service.Config{
		Store: sealed, Keyring: sealed.Keyring(), Clock: clock.NewShifted(h.now, 100_000*time.Hour), Audit: h.log, NodeID: "n1",
		Log: slog.New(slog.DiscardHandler), RealTime: h.now, Authorize: func(a *service.Authorization) error {
			err := h.directory.Authorize(a)
			if err == nil && h.decided != nil && a.Op.Service == "sts" {
				h.decided()
			}
			return err
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.pipeline.Close(context.Background()) }) //nolint:errcheck // the test is over
	h.directory.Attach(h.pipeline)
	keys, err := discovery.New(discovery.Config{AllowPrivate: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, Roots: h.issuer.Roots(), Now: h.now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { keys.Close() }) //nolint:errcheck // the test is over
	h.web = &sts.WebIdentities{
		Records: h.pipeline, Keys: keys, RealTime: h.now, Retry: func(err error) bool { return errors.Is(err, discovery.ErrUnreachable) },
		Region: func(partition string) string {
			return map[string]string{"aws": "eu-central-1", "aws-cn": "cn-north-1"}[partition]
		},
	}
	h.ops = service.Table(
		iam.New(iam.Config{Directory: h.directory, RealTime: h.now}).Operations(), sts.New(sts.Config{Directory: h.directory, RealTime: h.now}).Operations(),
	)
	h.provider(h.issuer.URL)
	h.trust(`"Action":"sts:AssumeRoleWithWebIdentity"`, "")
	return h
}

// root runs an operation of IAM as the root user.
func (h *oidcHouse) root(name string, req api.Request) (api.Response, error) {
	return h.pipeline.Do(h.t.Context(), h.ops["iam."+name], &service.Call{Caller: service.RootCaller(oidcAccount, ""), Region: "us-east-1"}, req, nil)
}

func (h *oidcHouse) provider(url string) {
	h.t.Helper()
	if _, err := h.root("CreateOpenIDConnectProvider", &api.CreateOpenIDConnectProviderRequest{Url: api.Some(url), ClientIDList: []string{oidcClient, "other"}}); err != nil {
		h.t.Fatal(err)
	}
}

func (h *oidcHouse) providerARN() string {
	return "arn:aws:iam::" + oidcAccount + ":oidc-provider/" + strings.TrimPrefix(h.issuer.URL, "https://")
}

// trust gives the role a trust policy with one statement, about the provider.
func (h *oidcHouse) trust(action, condition string) {
	if condition != "" {
		condition = `,"Condition":{` + strings.ReplaceAll(condition, "PROVIDER", strings.TrimPrefix(h.issuer.URL, "https://")) + "}"
	}
	h.role(&record.Role{Trust: `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Federated":"` + h.providerARN() + `"},` + action + condition + `}]}`})
}

// role puts the role, which has a path and may have sessions of two hours.
func (h *oidcHouse) role(r *record.Role) {
	h.t.Helper()
	r.Principal = record.Principal{Account: oidcAccount, ID: "AROAEXAMPLE", Name: "deploy", Path: "/ci/", Tags: []record.Tag{{Key: "Stage", Value: "test"}}}
	r.MaxSeconds = 7200
	h.put(&record.Name{Account: oidcAccount, Kind: record.RoleKind, Name: r.Name, ID: r.ID}, r)
}

// put writes records as the service itself.
func (h *oidcHouse) put(records ...record.Record) {
	h.t.Helper()
	type list struct{ records []record.Record }
	op := service.Def[list, service.None]{Name: "Put", Kind: service.Internal, Plan: func(tx *service.Tx, q *list, _ []service.Target) (*service.None, error) {
		for _, r := range q.records {
			if _, err := service.Lookup[record.Record](tx, r.StoreKey()); err != nil {
				return nil, err
			}
			tx.Put(r)
		}
		return &service.None{}, nil
	}}.Op("iam")
	if _, err := h.pipeline.DoInternal(h.t.Context(), op, record.Owner{Account: oidcAccount}, h.now(), 0, &list{records}); err != nil {
		h.t.Fatal(err)
	}
}

func (h *oidcHouse) request(token string) *api.AssumeRoleWithWebIdentityRequest {
	return &api.AssumeRoleWithWebIdentityRequest{RoleArn: api.Some(oidcRole), RoleSessionName: api.Some("build-7"), WebIdentityToken: api.Some(token)}
}

// assume does what the wire does.
func (h *oidcHouse) assume(q *api.AssumeRoleWithWebIdentityRequest) (*api.AssumeRoleWithWebIdentityResponse, error) {
	if err := q.Validate(); err != nil {
		return nil, err
	}
	caller, region, err := h.web.Bearer(h.t.Context(), q)
	if err != nil {
		return nil, err
	}
	resp, err := h.pipeline.Do(h.t.Context(), h.ops["sts.AssumeRoleWithWebIdentity"], &service.Call{Caller: caller, Region: region, SourceIP: "192.0.2.1"}, q, nil)
	if err != nil {
		return nil, err
	}
	return resp.(*api.AssumeRoleWithWebIdentityResponse), nil
}

// token is one that is good, with claims put over.
func (h *oidcHouse) token(claims map[string]any) string {
	return h.issuer.Sign(h.t, "ES256", "p256", h.issuer.Claims(h.now(), oidcClient, claims))
}

func (h *oidcHouse) refused(what string, q *api.AssumeRoleWithWebIdentityRequest, code api.ErrorCode, message string) {
	h.t.Helper()
	resp, err := h.assume(q)
	e := (*api.Error)(nil)
	if !errors.As(err, &e) || e.Code != code || !strings.Contains(e.Message, message) || resp != nil {
		h.t.Errorf("%s: %v, want %s: %s", what, err, code, message)
	}
}

// lastRecord is the last line of the audit log that is about STS: changes in IAM come when the outbox is emptied.
func (h *oidcHouse) lastRecord() string {
	h.t.Helper()
	last := ""
	for line, err := range h.log.Since(1) {
		if err != nil {
			h.t.Fatal(err)
		}
		if text := string(line.JSON); strings.Contains(text, `"eventSource":"sts.amazonaws.com"`) {
			last = text
		}
	}
	return last
}

// TestOIDCSession exchanges a token for a session, and looks at the answer, at the record and at who the session is.
func TestOIDCSession(t *testing.T) {
	h := newOIDCHouse(t)
	h.trust(`"Action":["sts:AssumeRoleWithWebIdentity","sts:TagSession","sts:SetSourceIdentity"]`, `"StringEquals":{
		"PROVIDER:aud":"sts.amazonaws.com","PROVIDER:sub":"system:serviceaccount:default:app","sts:RoleSessionName":"build-7","aws:RequestTag/Team":"blue",
		"sts:SourceIdentity":"alice","aws:ResourceTag/Stage":"test","aws:FederatedProvider":"`+h.providerARN()+`"},
		"ForAllValues:StringEquals":{"aws:TagKeys":["Team"],"sts:TransitiveTagKeys":["Team"]},"Null":{"aws:TokenIssueTime":"true","aws:MultiFactorAuthPresent":"true","aws:PrincipalTag/Team":"true"}`)
	token := h.token(map[string]any{
		"https://aws.amazon.com/tags":            map[string]any{"principal_tags": map[string]any{"Team": []string{"blue"}}, "transitive_tag_keys": []string{"Team"}},
		"https://aws.amazon.com/source_identity": "alice",
	})
	q := h.request(token)
	q.DurationSeconds = api.Some[int64](7200)
	q.Policy = api.Some(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"kms:Encrypt","Resource":"*"}]}`)
	q.PolicyArns = []api.PolicyDescriptorType{{Arn: api.Some("arn:aws:iam::aws:policy/PowerUserAccess")}}
	r, err := h.assume(q)
	if err != nil {
		t.Fatal(err)
	}
	if r.Provider.V != h.providerARN() || r.Audience.V != oidcClient || r.SubjectFromWebIdentityToken.V != "system:serviceaccount:default:app" ||
		r.SourceIdentity.V != "alice" || r.AssumedRoleUser.AssumedRoleId.V != "AROAEXAMPLE:build-7" || !r.PackedPolicySize.Set ||
		r.AssumedRoleUser.Arn.V != "arn:aws:sts::111122223333:assumed-role/deploy/build-7" || !r.Credentials.Expiration.V.Equal(h.now().Add(2*time.Hour)) {
		t.Errorf("answer %+v %+v", r, r.AssumedRoleUser)
	}
	line := h.lastRecord()
	for _, want := range []string{
		`"userIdentity":{"type":"WebIdentityUser","principalId":"` + h.providerARN() + `:sts.amazonaws.com:system:serviceaccount:default:app",` +
			`"userName":"system:serviceaccount:default:app","identityProvider":"` + h.providerARN() + `"}`,
		`"eventName":"AssumeRoleWithWebIdentity"`, `"awsRegion":"eu-central-1"`, `"recipientAccountId":"111122223333"`, `"roleArn":"` + oidcRole + `"`,
		`"roleSessionName":"build-7"`, `"principalTags":{"Team":"blue"},"transitiveTagKeys":["Team"]`, `"durationSeconds":7200`, `"sourceIdentity":"alice"`,
		`"accessKeyId":"` + r.Credentials.AccessKeyId.V + `"`, `"subjectFromWebIdentityToken":"system:serviceaccount:default:app"`,
	} {
		if !strings.Contains(line, want) {
			t.Errorf("the record has no %s:\n%s", want, line)
		}
	}
	for _, secret := range []string{token, strings.Split(token, ".")[1], r.Credentials.SecretAccessKey.V, r.Credentials.SessionToken.V} {
		if strings.Contains(line, secret) {
			t.Errorf("the record has %.20s...", secret)
		}
	}
	c, err := h.directory.Lookup(t.Context(), r.Credentials.AccessKeyId.V, r.Credentials.SessionToken.V)
	if err != nil {
		t.Fatal(err)
	}
	caller := c.Caller
	if caller.Type != "AssumedRole" || caller.ARN != r.AssumedRoleUser.Arn.V || !slices.Contains(caller.Tags, record.Tag{Key: "Team", Value: "blue"}) ||
		caller.Session.Provider != h.providerARN() || caller.Session.SourceIdentity != "alice" || !slices.Equal(caller.Session.Transitive, []string{"Team"}) ||
		!caller.Identity.Limited || len(caller.Identity.Session) != 2 || !caller.Session.NoMFA {
		t.Errorf("session %+v %+v", caller, caller.Session)
	}
	h.turned.Add(int64(2 * time.Hour))
	if _, err := h.directory.Lookup(t.Context(), r.Credentials.AccessKeyId.V, r.Credentials.SessionToken.V); !errors.Is(err, identity.ErrExpired) {
		t.Errorf("after its end: %v", err)
	}
}

// TestOIDCRefused has tokens that no role should be assumed with. None of them is in the audit log: nobody is known yet.
func TestOIDCRefused(t *testing.T) {
	h := newOIDCHouse(t)
	elsewhere := oidctest.New(t, "")
	if err := h.pipeline.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	before := h.log.NextSeq()
	at := func(d time.Duration) int64 { return h.now().Add(d).Unix() }
	none := "No OpenIDConnect provider found in your account for "
	for _, test := range []struct {
		name    string
		token   string
		code    api.ErrorCode
		message string
	}{
		{"not a token", "abcd", api.InvalidIdentityToken, "is not a valid JWT"},
		{"none", oidctest.Raw(`{"alg":"none","kid":"p256"}`, `{"iss":"`+h.issuer.URL+`"}`, []byte("x")), api.InvalidIdentityToken, "Supported are: RS256, RS384, RS512, ES256"},
		{"without an expiration", h.token(map[string]any{"exp": nil}), api.InvalidIdentityToken, "Missing a required claim: exp"},
		{"another audience", h.token(map[string]any{"aud": "kubernetes.default.svc"}), api.InvalidIdentityToken, "Incorrect token audience"},
		{"an audience in another case", h.token(map[string]any{"aud": "STS.amazonaws.com"}), api.InvalidIdentityToken, "Incorrect token audience"},
		{"for another party", h.token(map[string]any{"azp": "somebody"}), api.InvalidIdentityToken, "Incorrect token audience"},
		{"expired", h.token(map[string]any{"iat": at(-time.Hour), "exp": at(-5 * time.Minute)}), api.ExpiredIdentityToken,
			fmt.Sprintf("Token expired: current date/time %d must be before the expiration date/time %d", at(0), at(-5*time.Minute))},
		{"too old", h.token(map[string]any{"iat": at(-24 * time.Hour), "exp": at(time.Hour)}), api.ExpiredIdentityToken, "Token too old: 86400"},
		{"not valid yet", h.token(map[string]any{"nbf": at(6 * time.Minute)}), api.InvalidIdentityToken, "not valid yet"},
		{"issued in the future", h.token(map[string]any{"iat": at(6 * time.Minute)}), api.InvalidIdentityToken, "not valid yet"},
		{"an unknown issuer", elsewhere.Sign(t, "ES256", "p256", elsewhere.Claims(h.now(), oidcClient, nil)), api.InvalidIdentityToken, none + elsewhere.URL},
		{"an issuer with a slash more", h.token(map[string]any{"iss": h.issuer.URL + "/"}), api.InvalidIdentityToken, none + h.issuer.URL + "/"},
		{"an issuer in another case", h.token(map[string]any{"iss": strings.ToUpper(h.issuer.URL)}), api.InvalidIdentityToken, none},
		{"an issuer over plain HTTP", h.token(map[string]any{"iss": "http" + strings.TrimPrefix(h.issuer.URL, "https")}), api.InvalidIdentityToken, none},
		{"signed by another provider", elsewhere.Sign(t, "ES256", "p256", h.issuer.Claims(h.now(), oidcClient, nil)), api.InvalidIdentityToken, "signature"},
		{"an unknown key", oidctest.SignWith(t, h.issuer.Key("p256"), "ES256", map[string]any{"kid": "unknown"}, h.issuer.Claims(h.now(), oidcClient, nil)),
			api.InvalidIdentityToken, "Couldn't retrieve verification key from your identity provider"},
		{"tags that are no tags", h.token(map[string]any{"https://aws.amazon.com/tags": "x"}), api.InvalidIdentityToken, "session tags"},
		{"a source identity that is none", h.token(map[string]any{"https://aws.amazon.com/source_identity": "a b"}), api.InvalidIdentityToken, "source identity"},
	} {
		h.refused(test.name, h.request(test.token), test.code, test.message)
	}
	good := h.token(nil)
	for name, change := range map[string]func(*api.AssumeRoleWithWebIdentityRequest){
		"no role":       func(q *api.AssumeRoleWithWebIdentityRequest) { q.RoleArn.V = "arn:aws:iam::111122223333:user/deploy" },
		"a role of AWS": func(q *api.AssumeRoleWithWebIdentityRequest) { q.RoleArn.V = "arn:aws:iam::aws:role/deployment" },
		"an unserved partition": func(q *api.AssumeRoleWithWebIdentityRequest) {
			q.RoleArn.V = "arn:aws-us-gov:iam::111122223333:role/ci/deploy"
		},
		"a provider ID": func(q *api.AssumeRoleWithWebIdentityRequest) { q.ProviderId = api.Some("www.amazon.com") },
		"a token that is too long": func(q *api.AssumeRoleWithWebIdentityRequest) {
			q.WebIdentityToken.V = good + strings.Repeat("A", 20000)
		},
	} {
		q := h.request(good)
		change(q)
		h.refused(name, q, api.ValidationException, "")
	}
	q := h.request(good)
	q.RoleArn.V = "arn:aws:iam::444455556666:role/ci/deploy" // whose account has no provider
	h.refused("another account", q, api.InvalidIdentityToken, none)
	if after := h.log.NextSeq(); after != before {
		t.Errorf("%d audit records", after-before)
	}
	if n := elsewhere.Connections.Load(); n != 0 {
		t.Errorf("%d connections to an issuer that is no provider", n)
	}
	for name, token := range map[string]string{
		"just before its end":   h.token(map[string]any{"iat": at(-time.Hour), "exp": at(-4 * time.Minute)}),
		"a clock ahead":         h.token(map[string]any{"iat": at(4 * time.Minute), "nbf": at(4 * time.Minute)}),
		"several audiences":     h.token(map[string]any{"aud": []string{"x", oidcClient}}),
		"an authorized party":   h.token(map[string]any{"aud": "x", "azp": oidcClient}),
		"RS512":                 h.issuer.Sign(t, "RS512", "rsa", h.issuer.Claims(h.now(), oidcClient, nil)),
		"ES384":                 h.issuer.Sign(t, "ES384", "p384", h.issuer.Claims(h.now(), "other", nil)),
		"fractions of a second": h.token(map[string]any{"iat": float64(at(0)) - 0.5}),
	} {
		if _, err := h.assume(h.request(token)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestOIDCHeaders follows none of the keys that a token names or brings itself.
func TestOIDCHeaders(t *testing.T) {
	h := newOIDCHouse(t)
	trap := oidctest.New(t, "")
	mine := trap.Key("p256")
	claims := h.issuer.Claims(h.now(), oidcClient, nil)
	x, err := mine.Public().(interface{ Bytes() ([]byte, error) }).Bytes()
	if err != nil {
		t.Fatal(err)
	}
	for name, header := range map[string]map[string]any{
		"jku":                    {"kid": "p256", "jku": trap.URL + "/keys"},
		"x5u":                    {"kid": "p256", "x5u": trap.URL + "/keys"},
		"x5c":                    {"kid": "p256", "x5c": []string{"AAAA"}},
		"jwk":                    {"kid": "p256", "jwk": map[string]any{"kty": "EC", "crv": "P-256", "x": base64.RawURLEncoding.EncodeToString(x[1:33]), "y": base64.RawURLEncoding.EncodeToString(x[33:])}},
		"a key ID that is a URL": {"kid": trap.URL + "/keys"},
	} {
		_, err := h.assume(h.request(oidctest.SignWith(t, mine, "ES256", header, claims)))
		e := (*api.Error)(nil)
		if !errors.As(err, &e) || e.Code != api.InvalidIdentityToken {
			t.Errorf("%s: %v", name, err)
		}
	}
	if n := trap.Connections.Load(); n != 0 {
		t.Errorf("%d connections to where tokens pointed", n)
	}
}

// TestOIDCTrust is decided by the role's trust policy. Whether there is such a role is not told.
func TestOIDCTrust(t *testing.T) {
	h := newOIDCHouse(t)
	const assume = `"Action":"sts:AssumeRoleWithWebIdentity"`
	denied := func(action string) string { return "Not authorized to perform sts:" + action }
	for _, test := range []struct {
		name, action, condition string
		claims                  map[string]any
		denied                  string // "" for allowed
	}{
		{"the provider", assume, "", nil, ""},
		{"another action", `"Action":"sts:AssumeRole"`, "", nil, denied("AssumeRoleWithWebIdentity")},
		{"subject", assume, `"StringEquals":{"PROVIDER:sub":"system:serviceaccount:default:app"}`, nil, ""},
		{"another subject", assume, `"StringEquals":{"PROVIDER:sub":"system:serviceaccount:default:other"}`, nil, denied("AssumeRoleWithWebIdentity")},
		{"a pattern of subjects", assume, `"StringLike":{"PROVIDER:sub":"system:serviceaccount:default:*"}`, nil, ""},
		{"names of keys in another case", assume, `"StringEquals":{"provider:SUB":"x"}`, nil, denied("AssumeRoleWithWebIdentity")},
		{"authorized party", assume, `"StringEquals":{"PROVIDER:aud":"other","PROVIDER:azp":"other","PROVIDER:oaud":"x"}`, map[string]any{"aud": "x", "azp": "other"}, ""},
		{"methods", assume, `"ForAnyValue:StringEquals":{"PROVIDER:amr":"mfa"}`, map[string]any{"amr": []string{"pwd", "mfa"}}, ""},
		{"no methods", assume, `"ForAnyValue:StringEquals":{"PROVIDER:amr":"mfa"}`, nil, denied("AssumeRoleWithWebIdentity")},
		{"a claim that is no condition key", assume, `"StringEquals":{"PROVIDER:email":"a@example.com"}`, map[string]any{"email": "a@example.com"}, denied("AssumeRoleWithWebIdentity")},
		{"tags without permission", assume, "", map[string]any{"https://aws.amazon.com/tags/principal_tags/Team": "blue"}, denied("TagSession")},
		{"source identity without permission", assume, "", map[string]any{"https://aws.amazon.com/source_identity": "alice"}, denied("SetSourceIdentity")},
		{"tags that are not allowed", `"Action":["sts:AssumeRoleWithWebIdentity","sts:TagSession"]`, `"ForAllValues:StringEquals":{"aws:TagKeys":["Cost"]}`,
			map[string]any{"https://aws.amazon.com/tags/principal_tags/Team": "blue"}, denied("AssumeRoleWithWebIdentity")},
	} {
		h.trust(test.action, test.condition)
		_, err := h.assume(h.request(h.token(test.claims)))
		e := (*api.Error)(nil)
		if errors.As(err, &e); test.denied == "" && err != nil || test.denied != "" && (e == nil || e.Code != api.AccessDeniedException || e.Message != test.denied) {
			t.Errorf("%s: %v, want %q", test.name, err, test.denied)
		}
	}
	for name, principal := range map[string]string{
		"another provider":               `{"Federated":"arn:aws:iam::111122223333:oidc-provider/example.com"}`,
		"the provider with a slash":      `{"Federated":"` + h.providerARN() + `/"}`,
		"another account's provider":     `{"Federated":"` + strings.Replace(h.providerARN(), oidcAccount, "444455556666", 1) + `"}`,
		"the account":                    `{"AWS":"` + oidcAccount + `"}`,
		"a provider, denied below":       `{"Federated":"` + h.providerARN() + `"},"Condition":{"StringEquals":{"aws:PrincipalAccount":"111122223333"}},"Sid":"a"`,
		"a principal of another service": `{"Service":"ec2.amazonaws.com"}`,
	} {
		h.role(&record.Role{Trust: `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"sts:*","Principal":` + principal + `}]}`})
		h.refused(name, h.request(h.token(nil)), api.AccessDeniedException, denied("AssumeRoleWithWebIdentity"))
	}
	if line := h.lastRecord(); !strings.Contains(line, `"errorCode":"AccessDenied`) || !strings.Contains(line, `"type":"WebIdentityUser"`) {
		t.Errorf("record %s", line)
	}
	h.trust(assume, "")
	for _, arn := range []string{"arn:aws:iam::111122223333:role/ci/nobody", "arn:aws:iam::111122223333:role/deploy", "arn:aws:iam::111122223333:role/ci/Deploy"} {
		q := h.request(h.token(nil))
		q.RoleArn.V = arn
		h.refused(arn, q, api.AccessDeniedException, denied("AssumeRoleWithWebIdentity"))
	}
}

// TestOIDCLimits bounds what sessions are asked for with.
func TestOIDCLimits(t *testing.T) {
	h := newOIDCHouse(t)
	type request = api.AssumeRoleWithWebIdentityRequest
	arns := func(list ...string) (out []api.PolicyDescriptorType) {
		for _, a := range list {
			out = append(out, api.PolicyDescriptorType{Arn: api.Some(a)})
		}
		return out
	}
	for _, test := range []struct {
		name    string
		change  func(*request)
		code    api.ErrorCode
		message string
	}{
		{"longer than the role allows", func(q *request) { q.DurationSeconds = api.Some[int64](7201) }, api.ValidationException, "exceeds the MaxSessionDuration"},
		{"too short", func(q *request) { q.DurationSeconds = api.Some[int64](899) }, api.ValidationException, "durationSeconds"},
		{"no policy", func(q *request) { q.Policy = api.Some("{}") }, api.MalformedPolicyDocument, ""},
		{"a principal", func(q *request) {
			q.Policy = api.Some(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*"}]}`)
		}, api.MalformedPolicyDocument, "principal"},
		{"no resource", func(q *request) {
			q.Policy = api.Some(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*"}]}`)
		}, api.MalformedPolicyDocument, ""},
		{"no such policy", func(q *request) { q.PolicyArns = arns("arn:aws:iam::111122223333:policy/none") }, api.ValidationException, "does not exist"},
		{"another account's policy", func(q *request) { q.PolicyArns = arns("arn:aws:iam::444455556666:policy/none") }, api.ValidationException, "does not exist"},
		{"no ARN of a policy", func(q *request) { q.PolicyArns = arns(oidcRole) }, api.ValidationException, "is not valid"},
		{"eleven policies", func(q *request) {
			q.PolicyArns = arns(slices.Repeat([]string{"arn:aws:iam::aws:policy/PowerUserAccess"}, 11)...)
		}, api.ValidationException, "less than or equal to 10"},
	} {
		q := h.request(h.token(nil))
		test.change(q)
		h.refused(test.name, q, test.code, test.message)
	}
	h.trust(`"Action":["sts:AssumeRoleWithWebIdentity","sts:TagSession"]`, "")
	tags := make(map[string]any)
	for n := range 20 {
		tags[fmt.Sprint("t", n)] = []string{strings.Repeat("v", 250)}
	}
	h.refused("tags that are too long", h.request(h.token(map[string]any{"https://aws.amazon.com/tags": map[string]any{"principal_tags": tags}})), api.PackedPolicyTooLarge, "%")
	// What is just not too long fits into a session token.
	for n := range 5 {
		delete(tags, fmt.Sprint("t", n))
	}
	if r, err := h.assume(h.request(h.token(map[string]any{"https://aws.amazon.com/tags": map[string]any{"principal_tags": tags}}))); err != nil || r.PackedPolicySize.V < 90 {
		t.Errorf("%+v, %v", r, err)
	}
}

// TestOIDCAtOnce takes no token of a provider that has been deleted, has lost the client, or belongs to a suspended account.
func TestOIDCAtOnce(t *testing.T) {
	h := newOIDCHouse(t)
	q := h.request(h.token(nil))
	if _, err := h.assume(q); err != nil {
		t.Fatal(err)
	}
	suspend := func(at time.Time) {
		h.put(&record.Account{ID: oidcAccount, Suspended: at})
	}
	suspend(h.now())
	h.refused("account suspended", q, api.InvalidIdentityToken, "No OpenIDConnect provider")
	suspend(time.Time{})
	if _, err := h.assume(q); err != nil {
		t.Fatal(err)
	}
	arn := api.Some(h.providerARN())
	if _, err := h.root("RemoveClientIDFromOpenIDConnectProvider", &api.RemoveClientIDFromOpenIDConnectProviderRequest{OpenIDConnectProviderArn: arn, ClientID: api.Some(oidcClient)}); err != nil {
		t.Fatal(err)
	}
	h.refused("client removed", q, api.InvalidIdentityToken, "Incorrect token audience")
	if _, err := h.root("DeleteOpenIDConnectProvider", &api.DeleteOpenIDConnectProviderRequest{OpenIDConnectProviderArn: arn}); err != nil {
		t.Fatal(err)
	}
	h.refused("provider deleted", q, api.InvalidIdentityToken, "No OpenIDConnect provider")
	asked := h.issuer.Configurations.Load()
	h.turned.Add(int64(time.Hour))
	h.refused("provider deleted, later", q, api.InvalidIdentityToken, "No OpenIDConnect provider")
	if n := h.issuer.Configurations.Load(); n != asked {
		t.Error("a provider that is not there any more was asked")
	}
}

// TestOIDCNotSigned: nobody but the bearer of a token can run the operation, whatever the trust policy says.
func TestOIDCNotSigned(t *testing.T) {
	h := newOIDCHouse(t)
	h.role(&record.Role{Trust: `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"sts:*","Principal":"*"}]}`})
	q := h.request(h.token(nil))
	_, err := h.pipeline.Do(t.Context(), h.ops["sts.AssumeRoleWithWebIdentity"], &service.Call{Caller: service.RootCaller(oidcAccount, ""), Region: "eu-central-1"}, q, nil)
	e := (*api.Error)(nil)
	if !errors.As(err, &e) || e.Code != api.AccessDeniedException {
		t.Errorf("the root user: %v", err)
	}
	if _, _, err := h.web.Bearer(t.Context(), &api.GetCallerIdentityRequest{}); err == nil {
		t.Error("an operation that has to be signed has a bearer")
	}
	if !h.ops["sts.AssumeRoleWithWebIdentity"].Unsigned || h.ops["sts.GetCallerIdentity"].Unsigned {
		t.Error("unsigned operations")
	}
}

// TestOIDCPartition assumes a role as it is named in another partition.
func TestOIDCPartition(t *testing.T) {
	h := newOIDCHouse(t)
	cn := strings.NewReplacer("arn:aws:", "arn:aws-cn:")
	h.role(&record.Role{Trust: `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"sts:*","Principal":{"Federated":"` + cn.Replace(h.providerARN()) + `"}}]}`})
	q := h.request(h.token(nil))
	q.RoleArn.V = cn.Replace(oidcRole)
	r, err := h.assume(q)
	if err != nil {
		t.Fatal(err)
	}
	if r.Provider.V != cn.Replace(h.providerARN()) || r.AssumedRoleUser.Arn.V != "arn:aws-cn:sts::111122223333:assumed-role/deploy/build-7" {
		t.Errorf("%+v %+v", r, r.AssumedRoleUser)
	}
	if line := h.lastRecord(); !strings.Contains(line, `"principalId":"arn:aws-cn:iam`) || !strings.Contains(line, `"awsRegion":"cn-north-1"`) {
		t.Errorf("record %s", line)
	}
}

// TestWebIdentityRoleMadeAgain deletes the role after its trust policy has allowed a call, and makes another of its name, which trusts nobody: the
// session is not one of that.
func TestWebIdentityRoleMadeAgain(t *testing.T) {
	h := newOIDCHouse(t)
	h.decided = func() {
		h.decided = nil
		again := &record.Role{MaxSeconds: 7200, Trust: `{"Version":"2012-10-17","Statement":[]}`,
			Principal: record.Principal{Account: oidcAccount, ID: "AROAAGAIN", Name: "deploy", Path: "/ci/"}}
		h.put(&record.Name{Account: oidcAccount, Kind: record.RoleKind, Name: "deploy", ID: again.ID}, again)
	}
	resp, err := h.assume(h.request(h.token(nil)))
	if err != nil {
		t.Fatal(err)
	}
	if id := resp.AssumedRoleUser.AssumedRoleId.V; id != "AROAEXAMPLE:build-7" {
		t.Errorf("a session of %s", id)
	}
}
