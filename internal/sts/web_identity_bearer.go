package sts

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/identity"
	"github.com/keyturn/keyturn/internal/oidc"
	"github.com/keyturn/keyturn/internal/policy"
	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/service"
)

// ProviderKeys finds the keys of OpenID Connect providers: *discovery.Keys.
type ProviderKeys interface {
	// Find returns the keys of an issuer with an ID, at least one. The issuer is asked on behalf of an account.
	Find(ctx context.Context, account, issuer, keyID string) ([]oidc.Key, error)
}

// WebIdentities finds out who brings the token of an OpenID Connect provider.
type WebIdentities struct {
	Records identity.Records
	Keys    ProviderKeys
	// Retry tells of an error of Keys that the provider could not be reached, so that trying again may help.
	Retry func(error) bool
	// Region returns the region that unsigned calls for a partition are of, "" if there is none.
	Region func(partition string) string
	// RealTime is what tokens are dated by. Nil: time.Now.
	RealTime func() time.Time
}

const (
	// clockSkew is how far a provider's clock may be off ("OIDC federation", IAM User Guide).
	clockSkew = 5 * time.Minute
	// maxTokenAge is how long after it was issued AWS takes a token, however late it expires.
	maxTokenAge = 24 * time.Hour
)

func invalidToken(format string, args ...any) *api.Error {
	return api.Errorf(api.InvalidIdentityToken, format, args...)
}

var (
	errToken = invalidToken("The ID Token provided is not a valid JWT. (You may see this error if you sent an Access Token)")
	errKey   = invalidToken("Couldn't retrieve verification key from your identity provider,  please reference AssumeRoleWithWebIdentity documentation for requirements")
	errIdP   = api.Errorf(api.IDPCommunicationError, "The identity provider could not be reached to verify the incoming identity token. Please retry.")
)

// Bearer verifies the token of an AssumeRoleWithWebIdentity request, which has been validated, and returns its bearer and the region of the
// call. It is a wire.Config.Bearer. What it refuses is nobody's call yet.
func (w *WebIdentities) Bearer(ctx context.Context, req api.Request) (*service.Caller, string, error) {
	q, ok := req.(*api.AssumeRoleWithWebIdentityRequest)
	if !ok {
		return nil, "", api.New(api.MissingAuthenticationTokenException)
	}
	if q.ProviderId.Set {
		return nil, "", api.Errorf(api.ValidationException, "ProviderId is for OAuth 2.0 access tokens, which are not supported.")
	}
	role, ok := webIdentityRoleARN(q)
	if !ok {
		return nil, "", errRoleARN
	}
	region := w.Region(role.Partition)
	if region == "" {
		return nil, "", errRoleARN
	}
	token, err := oidc.Parse(q.WebIdentityToken.V)
	if err != nil {
		return nil, "", unreadable(err)
	}
	provider, err := w.provider(ctx, role.Account, token.Claims.Issuer)
	if err != nil {
		return nil, "", err
	}
	if err := w.acceptable(provider, &token.Claims); err != nil {
		return nil, "", err
	}
	if err := w.verify(ctx, role.Account, token); err != nil {
		return nil, "", err
	}
	return webIdentityCaller(provider, &token.Claims, role.Partition).In(region), region, nil
}

var errRoleARN = api.Errorf(api.ValidationException, "Request ARN is invalid")

// webIdentityRoleARN takes the ARN of the role apart.
func webIdentityRoleARN(q *api.AssumeRoleWithWebIdentityRequest) (identity.Parsed, bool) {
	p, ok := identity.ParseARN(q.RoleArn.V)
	return p, ok && p.Service == "iam" && p.Kind == string(record.RoleKind) && service.IsAccountID(p.Account)
}

func unreadable(err error) error {
	if missing := (*oidc.MissingError)(nil); errors.As(err, &missing) {
		return invalidToken("Missing a required claim: %s", missing.Claim)
	}
	if errors.Is(err, oidc.ErrAlgorithm) {
		return invalidToken("The signature algorithm of the token is not supported. Supported are: %s", strings.Join(oidc.Algorithms(), ", "))
	}
	return errToken
}

// provider finds an account's provider by the very text of the issuer.
func (w *WebIdentities) provider(ctx context.Context, account, issuer string) (*record.OIDCProvider, error) {
	none := invalidToken("No OpenIDConnect provider found in your account for %s", issuer)
	url, ok := strings.CutPrefix(issuer, "https://")
	if !ok {
		return nil, none
	}
	a, err := w.Records.Record(ctx, record.AccountStoreKey(account))
	if err != nil {
		return nil, err
	}
	if a, ok := a.(*record.Account); ok && !a.Suspended.IsZero() {
		return nil, none
	}
	r, err := w.Records.Record(ctx, record.OIDCProviderStoreKey(account, url))
	if err != nil {
		return nil, err
	}
	p, ok := r.(*record.OIDCProvider)
	if !ok || p.Account != account || p.URL != url {
		return nil, none
	}
	return p, nil
}

// acceptable checks what needs no key, so that few tokens need one: audience and dates, and that what the token wants of AWS can be read.
func (w *WebIdentities) acceptable(p *record.OIDCProvider, c *oidc.Claims) error {
	if len(webIdentityAudience(p, c)) == 0 {
		return invalidToken("Incorrect token audience")
	}
	now := w.now()
	switch {
	case !now.Before(c.Expires.Add(clockSkew)):
		return expiredToken("Token expired: current date/time %d must be before the expiration date/time %d", now.Unix(), c.Expires.Unix())
	case now.Sub(c.IssuedAt) >= maxTokenAge:
		return expiredToken("Token too old: %d", now.Unix()-c.IssuedAt.Unix())
	case now.Before(c.NotBefore.Add(-clockSkew)), now.Before(c.IssuedAt.Add(-clockSkew)):
		return invalidToken("The token is not valid yet")
	}
	if _, _, err := c.SessionTags(); err != nil {
		return invalidToken("The session tags of the token are not valid")
	}
	if _, err := c.SourceIdentity(); err != nil {
		return invalidToken("The source identity of the token is not valid")
	}
	return nil
}

func expiredToken(format string, args ...any) *api.Error {
	return api.Errorf(api.ExpiredIdentityToken, format, args...)
}

func (w *WebIdentities) now() time.Time {
	if w.RealTime == nil {
		return time.Now()
	}
	return w.RealTime()
}

// verify checks the signature with the provider's keys.
func (w *WebIdentities) verify(ctx context.Context, account string, t *oidc.Token) error {
	keys, err := w.Keys.Find(ctx, account, t.Claims.Issuer, t.KeyID)
	switch {
	case err != nil && ctx.Err() != nil:
		return errIdP // whoever asked has gone
	case err != nil && w.Retry(err):
		return errIdP
	case err != nil:
		return errKey
	}
	if t.Verify(keys) != nil {
		return invalidToken("The signature of the token is not valid")
	}
	return nil
}

// webIdentityAudience returns for which of a provider's client IDs a token is; none: for nobody here. Where the token names an authorized
// party (azp), that is who must be one of them, as AWS has it.
func webIdentityAudience(p *record.OIDCProvider, c *oidc.Claims) []string {
	candidates := c.Audience
	if c.AuthorizedParty != "" {
		candidates = []string{c.AuthorizedParty}
	}
	var accepted []string
	for _, a := range candidates {
		if slices.Contains(p.ClientIDs, a) {
			accepted = append(accepted, a)
		}
	}
	return accepted
}

// providerClaims are the claims of single providers that are condition keys, by the host of the provider ("IAM and AWS STS condition context
// keys", IAM User Guide).
var providerClaims = map[string][]string{
	"accounts.google.com": {"email"},
	"token.actions.githubusercontent.com": {
		"actor", "actor_id", "enterprise_id", "environment", "job_workflow_ref", "ref", "repository", "repository_id", "workflow",
	},
}

// webIdentityCaller is the bearer of a verified token. Its condition keys are PROVIDER:CLAIM.
func webIdentityCaller(p *record.OIDCProvider, c *oidc.Claims, partition string) *service.Caller {
	audience := webIdentityAudience(p, c)
	claims := make(map[string][]string)
	set := func(name string, values ...string) {
		if len(values) > 0 {
			claims[webIdentityKey(c.Issuer, name)] = values
		}
	}
	set("aud", audience...)
	set("oaud", c.Audience...)
	set("sub", c.Subject)
	set("amr", c.Strings("amr")...)
	if c.AuthorizedParty != "" {
		set("azp", c.AuthorizedParty)
	}
	host, _, _ := strings.Cut(p.URL, "/")
	for _, name := range providerClaims[host] {
		set(name, c.Strings(name)...)
	}
	arn := webIdentityProviderARN(partition, p.Account, c.Issuer)
	return service.NewCaller(service.Caller{
		Account: p.Account, Type: "WebIdentityUser", UserName: c.Subject, PrincipalID: arn + ":" + audience[0] + ":" + c.Subject,
		Session: &service.Session{NoMFA: true, Provider: p.ARN(), Claims: claims},
	})
}

// webIdentityKey is the condition key of a provider's claim, as it is looked up: PROVIDER:CLAIM in lower case.
func webIdentityKey(issuer, claim string) string {
	return policy.FoldKey(strings.TrimPrefix(issuer, "https://") + ":" + claim)
}

func webIdentityProviderARN(partition, account, issuer string) string {
	return identity.ARN(partition, account, "oidc-provider", "/", strings.TrimPrefix(issuer, "https://"))
}
