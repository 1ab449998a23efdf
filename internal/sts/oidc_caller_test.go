package sts

import (
	"reflect"
	"testing"

	"github.com/keyturn/keyturn/internal/oidc"
	"github.com/keyturn/keyturn/internal/oidc/oidctest"
	"github.com/keyturn/keyturn/internal/record"
)

// TestOIDCClaims has the condition keys of GitHub's tokens that AWS has, those of no other claim, and for no other provider.
func TestOIDCClaims(t *testing.T) {
	const claims = `"sub":"repo:Octo/App:ref:refs/heads/main","aud":"sts.amazonaws.com","exp":1,"iat":1,` +
		`"repository":"Octo/App","repository_id":"74","environment":"prod","run_id":"1","ref":null,"actor":["a","b"],"email":"x@example.com"`
	for url, want := range map[string]map[string][]string{
		"token.actions.githubusercontent.com": {
			"token.actions.githubusercontent.com:aud":           {"sts.amazonaws.com"},
			"token.actions.githubusercontent.com:oaud":          {"sts.amazonaws.com"},
			"token.actions.githubusercontent.com:sub":           {"repo:Octo/App:ref:refs/heads/main"},
			"token.actions.githubusercontent.com:repository":    {"Octo/App"},
			"token.actions.githubusercontent.com:repository_id": {"74"},
			"token.actions.githubusercontent.com:environment":   {"prod"},
			"token.actions.githubusercontent.com:actor":         {"a", "b"},
		},
		"GitHub.example.com/_services/Token": {
			"github.example.com/_services/token:aud":  {"sts.amazonaws.com"},
			"github.example.com/_services/token:oaud": {"sts.amazonaws.com"},
			"github.example.com/_services/token:sub":  {"repo:Octo/App:ref:refs/heads/main"},
		},
	} {
		token, err := oidc.Parse(oidctest.Raw(`{"alg":"RS256","kid":"k"}`, `{"iss":"https://`+url+`",`+claims+`}`, []byte("x")))
		if err != nil {
			t.Fatal(err)
		}
		p := &record.OIDCProvider{Account: "111122223333", URL: url, ClientIDs: []string{"sts.amazonaws.com"}}
		c := webIdentityCaller(p, &token.Claims, "aws")
		if !reflect.DeepEqual(c.Session.Claims, want) {
			t.Errorf("%s: %v", url, c.Session.Claims)
		}
		if c.PrincipalID != "arn:aws:iam::111122223333:oidc-provider/"+url+":sts.amazonaws.com:repo:Octo/App:ref:refs/heads/main" {
			t.Errorf("principal ID %s", c.PrincipalID)
		}
	}
}
