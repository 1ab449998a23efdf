package discovery

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/go-json-experiment/json"

	"github.com/keyturn/keyturn/internal/egress"
	"github.com/keyturn/keyturn/internal/oidc"
)

const wellKnown = "/.well-known/openid-configuration"

// fetch asks a provider for its keys: OpenID Connect Discovery 1.0, section 4.
func (k *Keys) fetch(ctx context.Context, issuerURL string) (oidc.KeySet, error) {
	text, err := k.get(ctx, strings.TrimSuffix(issuerURL, "/")+wellKnown)
	if err != nil {
		return nil, err
	}
	var document struct {
		Issuer string `json:"issuer"`
		Keys   string `json:"jwks_uri"`
	}
	if err := json.Unmarshal(text, &document); err != nil {
		return nil, fmt.Errorf("%w: the configuration is no JSON object", ErrAnswer)
	}
	// Otherwise one provider could speak for another.
	if document.Issuer != issuerURL {
		return nil, fmt.Errorf("%w: the configuration is that of issuer %.300q", ErrAnswer, document.Issuer)
	}
	if !strings.HasPrefix(document.Keys, "https://") {
		return nil, fmt.Errorf("%w: jwks_uri is not https", ErrAnswer)
	}
	if text, err = k.get(ctx, document.Keys); err != nil {
		return nil, err
	}
	set, err := oidc.ParseKeySet(text)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrAnswer, err)
	}
	return set, nil
}

// get reads a document. A redirect is not followed: it would lead to whom nobody has named.
func (k *Keys) get(ctx context.Context, url string) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrAnswer, err)
	}
	r.Header.Set("Accept", "application/json")
	r.Header.Set("User-Agent", "keyturn")
	resp, err := k.client.Do(r)
	if err != nil {
		if errors.Is(err, egress.ErrURL) || errors.Is(err, egress.ErrAddress) {
			return nil, fmt.Errorf("%w: %w", ErrAnswer, err)
		}
		return nil, fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	defer resp.Body.Close() //nolint:errcheck // it was read
	if resp.StatusCode != http.StatusOK {
		kind := ErrAnswer
		if resp.StatusCode >= 500 || resp.StatusCode == http.StatusTooManyRequests {
			kind = ErrUnreachable
		}
		return nil, fmt.Errorf("%w: status %d", kind, resp.StatusCode)
	}
	text, err := io.ReadAll(resp.Body)
	if errors.Is(err, egress.ErrTooLarge) {
		return nil, fmt.Errorf("%w: %w", ErrAnswer, err)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	return text, nil
}
