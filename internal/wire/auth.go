package wire

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/service"
	"github.com/keyturn/keyturn/internal/sigv4"
)

// Verified authenticates by signature. Subjects of the verifier's credentials are *service.Caller.
func Verified(v *sigv4.Verifier, now func() time.Time) func(*sigv4.Input, *http.Request, string) (*service.Caller, string, error) {
	return func(in *sigv4.Input, r *http.Request, scope string) (*service.Caller, string, error) {
		id, err := v.Verify(r.Context(), in, now(), scope)
		if err != nil {
			var refused *sigv4.Error
			if errors.As(err, &refused) {
				return nil, "", &api.Error{Code: api.ErrorCode(refused.Code), Message: refused.Message}
			}
			return nil, "", err
		}
		return id.Subject.(*service.Caller).In(id.Region), id.Region, nil
	}
}

// DevAccount is the account of whoever has no better credentials.
const DevAccount = "000000000000"

// Trusting takes any credentials, also none, as the root of DevAccount, or of the account whose 12 digits are the access key ID. Who has
// credentials that are known, be they of any worth or not, is who they stand for, and has to sign with them: that is for verified. Only keyturn dev uses it.
func Trusting(defaultRegion string, region func(service, region string) bool, known func(ctx context.Context, accessKeyID, sessionToken string) bool,
	verified func(*sigv4.Input, *http.Request, string) (*service.Caller, string, error)) func(*sigv4.Input, *http.Request, string) (*service.Caller, string, error) {
	return func(in *sigv4.Input, r *http.Request, scope string) (*service.Caller, string, error) {
		accessKeyID, scopeRegion, scopeService, ok := sigv4.Peek(in)
		if scope != "kms" && r.Header.Get("Authorization") == "" {
			// Forms can be sent by any web page, so they need what a page cannot send along without being asked about it.
			return nil, "", api.Errorf(api.MissingAuthenticationTokenException, "Missing Authentication Token")
		}
		if !ok {
			return service.RootCaller(DevAccount, "").In(defaultRegion), defaultRegion, nil
		}
		token := r.Header.Get("X-Amz-Security-Token")
		if token == "" && strings.Contains(r.URL.RawQuery, "X-Amz-Security-Token=") {
			token = r.URL.Query().Get("X-Amz-Security-Token")
		}
		if known(r.Context(), accessKeyID, token) {
			return verified(in, r, scope)
		}
		account := DevAccount
		if service.IsAccountID(accessKeyID) {
			account = accessKeyID
		}
		if !region(scopeService, scopeRegion) {
			return nil, "", api.Errorf(api.InvalidSignatureException, "Credential should be scoped to a valid region.")
		}
		return service.RootCaller(account, accessKeyID).In(scopeRegion), scopeRegion, nil
	}
}
