package iam_test

import (
	"context"
	"errors"
	"fmt"
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
	"github.com/keyturn/keyturn/internal/policy"
	"github.com/keyturn/keyturn/internal/seal"
	"github.com/keyturn/keyturn/internal/service"
	"github.com/keyturn/keyturn/internal/store/memstore"
)

const oidcAccount = "111122223333"

// oidcHouse is IAM in a pipeline.
type oidcHouse struct {
	t        *testing.T
	pipeline *service.Pipeline
	ops      map[string]*service.Op
	log      *audit.Memory
}

func newOIDCHouse(t *testing.T) *oidcHouse {
	t.Helper()
	sealed, err := seal.Open(t.Context(), memstore.New(), seal.Options{Provider: seal.NewKeyFile(make([]byte, 32)), Now: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	directory := identity.NewDirectory(identity.Config{})
	h := &oidcHouse{t: t, log: audit.NewMemory(1000), ops: service.Table(iam.New(iam.Config{Directory: directory}).Operations())}
	h.pipeline, err = service.New(t.Context(), service.Config{
		Store: sealed, Keyring: sealed.Keyring(), Clock: clock.System{}, Audit: h.log, NodeID: "n1", Log: slog.New(slog.DiscardHandler), Authorize: directory.Authorize,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.pipeline.Close(context.Background()) }) //nolint:errcheck // the test is over
	directory.Attach(h.pipeline)
	return h
}

func (h *oidcHouse) as(caller *service.Caller, name string, req api.Request) (api.Response, error) {
	return h.pipeline.Do(h.t.Context(), h.ops["iam."+name], &service.Call{Caller: caller, Region: "us-east-1"}, req, nil)
}

// root runs an operation as the root user.
func (h *oidcHouse) root(name string, req api.Request) (api.Response, error) {
	return h.as(service.RootCaller(oidcAccount, ""), name, req)
}

func (h *oidcHouse) ok(name string, req api.Request) api.Response {
	h.t.Helper()
	resp, err := h.root(name, req)
	if err != nil {
		h.t.Fatalf("%s: %v", name, err)
	}
	return resp
}

func (h *oidcHouse) refused(what, name string, req api.Request, code api.ErrorCode, message string) {
	h.t.Helper()
	_, err := h.root(name, req)
	e := (*api.Error)(nil)
	if !errors.As(err, &e) || e.Code != code || !strings.Contains(e.Message, message) {
		h.t.Errorf("%s: %v, want %s: %s", what, err, code, message)
	}
}

func (h *oidcHouse) get(arn api.Opt[string]) *api.GetOpenIDConnectProviderResponse {
	h.t.Helper()
	return h.ok("GetOpenIDConnectProvider", &api.GetOpenIDConnectProviderRequest{OpenIDConnectProviderArn: arn}).(*api.GetOpenIDConnectProviderResponse)
}

const oidcThumbprint = "0123456789abcdef0123456789ABCDEF01234567"

// TestOIDCProvider takes a provider through its life.
func TestOIDCProvider(t *testing.T) {
	h := newOIDCHouse(t)
	tags := []api.IamTag{{Key: api.Some("Team"), Value: api.Some("blue")}}
	made := h.ok("CreateOpenIDConnectProvider", &api.CreateOpenIDConnectProviderRequest{
		Url: api.Some("https://gitlab.example.com:8443/realms/A_b/"), ClientIDList: []string{"a", "b", "a"}, ThumbprintList: []string{oidcThumbprint}, Tags: tags,
	}).(*api.CreateOpenIDConnectProviderResponse)
	arn := made.OpenIDConnectProviderArn
	if arn.V != "arn:aws:iam::111122223333:oidc-provider/gitlab.example.com:8443/realms/A_b/" {
		t.Errorf("ARN %s", arn.V)
	}
	h.refused("again", "CreateOpenIDConnectProvider", &api.CreateOpenIDConnectProviderRequest{Url: api.Some("https://gitlab.example.com:8443/realms/A_b/")},
		api.EntityAlreadyExists, "Provider with url https://gitlab.example.com:8443/realms/A_b/ already exists.")
	for range 2 { // idempotent
		h.ok("AddClientIDToOpenIDConnectProvider", &api.AddClientIDToOpenIDConnectProviderRequest{OpenIDConnectProviderArn: arn, ClientID: api.Some("c")})
		h.ok("RemoveClientIDFromOpenIDConnectProvider", &api.RemoveClientIDFromOpenIDConnectProviderRequest{OpenIDConnectProviderArn: arn, ClientID: api.Some("a")})
	}
	digest := strings.Repeat("cd", 20)
	h.ok("UpdateOpenIDConnectProviderThumbprint", &api.UpdateOpenIDConnectProviderThumbprintRequest{OpenIDConnectProviderArn: arn, ThumbprintList: []string{digest}})
	h.refused("no thumbprint", "UpdateOpenIDConnectProviderThumbprint", &api.UpdateOpenIDConnectProviderThumbprintRequest{OpenIDConnectProviderArn: arn, ThumbprintList: []string{}},
		api.InvalidInput, "Thumbprint list must contain at least one entry.")
	h.ok("TagOpenIDConnectProvider", &api.TagOpenIDConnectProviderRequest{OpenIDConnectProviderArn: arn, Tags: []api.IamTag{
		{Key: api.Some("team"), Value: api.Some("red")}, {Key: api.Some("Cost"), Value: api.Some("1")}}})
	p := h.get(arn)
	if p.Url.V != "gitlab.example.com:8443/realms/A_b/" || fmt.Sprint(p.ClientIDList) != "[b c]" || fmt.Sprint(p.ThumbprintList) != "["+digest+"]" || len(p.Tags) != 2 || p.Tags[0].Value.V != "red" {
		t.Errorf("provider %+v", p)
	}
	list := h.ok("ListOpenIDConnectProviderTags", &api.ListOpenIDConnectProviderTagsRequest{OpenIDConnectProviderArn: arn, MaxItems: api.Some[int64](1)}).(*api.ListOpenIDConnectProviderTagsResponse)
	if len(list.Tags) != 1 || !list.IsTruncated.V {
		t.Errorf("tags %+v", list)
	}
	rest := h.ok("ListOpenIDConnectProviderTags", &api.ListOpenIDConnectProviderTagsRequest{OpenIDConnectProviderArn: arn, Marker: list.Marker}).(*api.ListOpenIDConnectProviderTagsResponse)
	if len(rest.Tags) != 1 || rest.IsTruncated.V || rest.Tags[0].Key.V != "Cost" {
		t.Errorf("tags %+v", rest)
	}
	h.ok("UntagOpenIDConnectProvider", &api.UntagOpenIDConnectProviderRequest{OpenIDConnectProviderArn: arn, TagKeys: []string{"TEAM"}})
	if p := h.get(arn); len(p.Tags) != 1 {
		t.Errorf("tags %+v", p.Tags)
	}
	for range 2 { // idempotent
		h.ok("DeleteOpenIDConnectProvider", &api.DeleteOpenIDConnectProviderRequest{OpenIDConnectProviderArn: arn})
	}
	for name, req := range map[string]api.Request{
		"GetOpenIDConnectProvider":                &api.GetOpenIDConnectProviderRequest{OpenIDConnectProviderArn: arn},
		"AddClientIDToOpenIDConnectProvider":      &api.AddClientIDToOpenIDConnectProviderRequest{OpenIDConnectProviderArn: arn, ClientID: api.Some("c")},
		"RemoveClientIDFromOpenIDConnectProvider": &api.RemoveClientIDFromOpenIDConnectProviderRequest{OpenIDConnectProviderArn: arn, ClientID: api.Some("c")},
		"UpdateOpenIDConnectProviderThumbprint":   &api.UpdateOpenIDConnectProviderThumbprintRequest{OpenIDConnectProviderArn: arn, ThumbprintList: []string{}},
		"TagOpenIDConnectProvider":                &api.TagOpenIDConnectProviderRequest{OpenIDConnectProviderArn: arn, Tags: tags},
		"UntagOpenIDConnectProvider":              &api.UntagOpenIDConnectProviderRequest{OpenIDConnectProviderArn: arn, TagKeys: []string{"a"}},
		"ListOpenIDConnectProviderTags":           &api.ListOpenIDConnectProviderTagsRequest{OpenIDConnectProviderArn: arn},
	} {
		h.refused(name, name, req, api.NoSuchEntity, "OpenIDConnect Provider not found for arn "+arn.V)
	}
}

// TestOIDCProviderInvalid has URLs, lists and ARNs that are refused.
func TestOIDCProviderInvalid(t *testing.T) {
	h := newOIDCHouse(t)
	for _, url := range []string{
		"http://example.com", "HTTPS://example.com", "https://", "https:///path", "https://:443", "example.com", "https://example.com?a=b", "https://example.com#a",
		"https://example.com/a b", "https://user@example.com", "https://user:pass@example.com", "https://example.com/\u00e4", "https://example.com/a*", "https://example.com/%zz",
		"https://example.com/${aws:username}", "https://example.com\\a", "https://example.com:port",
	} {
		h.refused(url, "CreateOpenIDConnectProvider", &api.CreateOpenIDConnectProviderRequest{Url: api.Some(url)}, api.ValidationException, "")
	}
	const url = "https://example.com"
	ids := make([]string, 101)
	for i := range ids {
		ids[i] = fmt.Sprint("id", i)
	}
	for name, c := range map[string]struct {
		req  api.CreateOpenIDConnectProviderRequest
		code api.ErrorCode
	}{
		"too many client IDs":   {api.CreateOpenIDConnectProviderRequest{ClientIDList: ids}, api.LimitExceeded},
		"too many thumbprints":  {api.CreateOpenIDConnectProviderRequest{ThumbprintList: []string{oidcThumbprint, oidcThumbprint, oidcThumbprint, oidcThumbprint, oidcThumbprint, oidcThumbprint}}, api.InvalidInput},
		"no thumbprint":         {api.CreateOpenIDConnectProviderRequest{ThumbprintList: []string{strings.Repeat("g", 40)}}, api.InvalidInput},
		"a long URL":            {api.CreateOpenIDConnectProviderRequest{Url: api.Some(url + strings.Repeat("a", 250))}, api.ValidationException},
		"propagated identities": {api.CreateOpenIDConnectProviderRequest{IdentityCenterInstanceArn: api.Some("arn:aws:sso:::instance/ssoins-1234567890abcdef")}, api.InvalidInput},
	} {
		if !c.req.Url.Set {
			c.req.Url = api.Some(url)
		}
		h.refused(name, "CreateOpenIDConnectProvider", &c.req, c.code, "")
	}
	h.ok("CreateOpenIDConnectProvider", &api.CreateOpenIDConnectProviderRequest{Url: api.Some(url), ClientIDList: ids[:100]})
	arn := api.Some("arn:aws:iam::111122223333:oidc-provider/example.com")
	h.refused("one client ID more", "AddClientIDToOpenIDConnectProvider", &api.AddClientIDToOpenIDConnectProviderRequest{OpenIDConnectProviderArn: arn, ClientID: api.Some("x")},
		api.LimitExceeded, "Cannot exceed quota for ClientIdsPerOpenIdConnectProvider: 100")
	for arn, code := range map[string]api.ErrorCode{
		"arn:aws:iam::111122223333:oidc-provider/example.com/":    api.NoSuchEntity,
		"arn:aws:iam::111122223333:oidc-provider/Example.com":     api.NoSuchEntity,
		"arn:aws:iam::444455556666:oidc-provider/example.com":     api.NoSuchEntity,
		"arn:aws-cn:iam::111122223333:oidc-provider/example.com":  api.InvalidInput,
		"arn:aws:iam::111122223333:saml-provider/example.com":     api.InvalidInput,
		"arn:aws:sts::111122223333:oidc-provider/example.com":     api.InvalidInput,
		"arn:aws:iam::111122223333:oidc-provider/https://example": api.NoSuchEntity,
	} {
		h.refused(arn, "GetOpenIDConnectProvider", &api.GetOpenIDConnectProviderRequest{OpenIDConnectProviderArn: api.Some(arn)}, code, "")
	}
}

// TestOIDCProvidersPerAccount reaches the quota, and lists what is there.
func TestOIDCProvidersPerAccount(t *testing.T) {
	h := newOIDCHouse(t)
	create := func(n int) *api.CreateOpenIDConnectProviderRequest {
		return &api.CreateOpenIDConnectProviderRequest{Url: api.Some(fmt.Sprintf("https://%03d.example.com", n))}
	}
	for n := range 100 {
		h.ok("CreateOpenIDConnectProvider", create(n))
	}
	h.refused("one more", "CreateOpenIDConnectProvider", create(100), api.LimitExceeded, "Cannot exceed quota for OpenIdConnectProvidersPerAccount: 100")
	list := h.ok("ListOpenIDConnectProviders", &api.ListOpenIDConnectProvidersRequest{}).(*api.ListOpenIDConnectProvidersResponse).OpenIDConnectProviderList
	if len(list) != 100 || list[0].Arn.V != "arn:aws:iam::111122223333:oidc-provider/000.example.com" || list[99].Arn.V != "arn:aws:iam::111122223333:oidc-provider/099.example.com" {
		t.Errorf("%d providers, %+v", len(list), list)
	}
	h.ok("DeleteOpenIDConnectProvider", &api.DeleteOpenIDConnectProviderRequest{OpenIDConnectProviderArn: list[0].Arn})
	h.ok("CreateOpenIDConnectProvider", create(100))
	if _, err := h.as(service.RootCaller("444455556666", ""), "CreateOpenIDConnectProvider", create(1)); err != nil {
		t.Errorf("another account: %v", err)
	}
}

// TestOIDCProviderPermissions asks for permission on the provider, and for another one to tag it.
func TestOIDCProviderPermissions(t *testing.T) {
	h := newOIDCHouse(t)
	may := func(statement string) *service.Caller {
		p, err := policy.Parse([]byte(`{"Version":"2012-10-17","Statement":[` + statement + `]}`))
		if err != nil {
			t.Fatal(err)
		}
		return service.NewCaller(service.Caller{
			Account: oidcAccount, ARN: "arn:aws:iam::" + oidcAccount + ":user/alice", Type: "IAMUser", PrincipalID: "AIDAEXAMPLE", UserName: "alice",
			Identity: &authz.Identity{Policies: []authz.Named{{Name: "p", Compiled: policy.Compile(p)}}},
		})
	}
	const own = `"Resource":"arn:aws:iam::111122223333:oidc-provider/ci.example.com/*"`
	creator := may(`{"Effect":"Allow","Action":"iam:CreateOpenIDConnectProvider",` + own + `}`)
	tagged := &api.CreateOpenIDConnectProviderRequest{Url: api.Some("https://ci.example.com/a"), Tags: []api.IamTag{{Key: api.Some("Team"), Value: api.Some("blue")}}}
	for name, test := range map[string]struct {
		caller *service.Caller
		op     string
		req    api.Request
		ok     bool
	}{
		"elsewhere":                   {creator, "CreateOpenIDConnectProvider", &api.CreateOpenIDConnectProviderRequest{Url: api.Some("https://ci.example.org/a")}, false},
		"tags without permission":     {creator, "CreateOpenIDConnectProvider", tagged, false},
		"tags of another value":       {may(`{"Effect":"Allow","Action":"iam:*","Resource":"*","Condition":{"StringEquals":{"aws:RequestTag/Team":"red"}}}`), "CreateOpenIDConnectProvider", tagged, false},
		"its own, without tags":       {creator, "CreateOpenIDConnectProvider", &api.CreateOpenIDConnectProviderRequest{Url: api.Some("https://ci.example.com/b")}, true},
		"reading what is not there":   {creator, "GetOpenIDConnectProvider", &api.GetOpenIDConnectProviderRequest{OpenIDConnectProviderArn: api.Some("arn:aws:iam::111122223333:oidc-provider/none.example")}, false},
		"listing":                     {creator, "ListOpenIDConnectProviders", &api.ListOpenIDConnectProvidersRequest{}, false},
		"listing with the permission": {may(`{"Effect":"Allow","Action":"iam:List*","Resource":"*"}`), "ListOpenIDConnectProviders", &api.ListOpenIDConnectProvidersRequest{}, true},
	} {
		_, err := h.as(test.caller, test.op, test.req)
		e := (*api.Error)(nil)
		if errors.As(err, &e); test.ok != (err == nil) || !test.ok && e.Code != api.AccessDeniedException {
			t.Errorf("%s: %v", name, err)
		}
	}
	// By the tags of the provider.
	h.ok("CreateOpenIDConnectProvider", tagged)
	arn := api.Some("arn:aws:iam::111122223333:oidc-provider/ci.example.com/a")
	for team, want := range map[string]bool{"blue": true, "red": false} {
		caller := may(`{"Effect":"Allow","Action":"iam:GetOpenIDConnectProvider","Resource":"*","Condition":{"StringEquals":{"aws:ResourceTag/Team":"` + team + `"}}}`)
		if _, err := h.as(caller, "GetOpenIDConnectProvider", &api.GetOpenIDConnectProviderRequest{OpenIDConnectProviderArn: arn}); (err == nil) != want {
			t.Errorf("%s: %v", team, err)
		}
	}
}
