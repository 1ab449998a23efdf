package oidc

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Bounds of claims.
const (
	maxIssuer    = 255 // characters, as of a provider's URL in IAM
	maxSubject   = 255 // SubjectFromWebIdentityToken in the AWS Security Token Service API Reference
	maxAudience  = 255 // a client ID in IAM
	maxAudiences = 100
	maxValues    = 100 // of any claim that is a list
	maxTags      = 50
	maxTagName   = 128
	maxTagValue  = 256
)

// Names of claims that AWS gave a meaning ("Pass session tags in AWS STS" and "Monitor and control actions taken with assumed roles", IAM
// User Guide).
const (
	tagsClaim           = "https://aws.amazon.com/tags"
	flatTagPrefix       = tagsClaim + "/principal_tags/"
	flatTransitive      = tagsClaim + "/transitive_tag_keys"
	sourceIdentityClaim = "https://aws.amazon.com/source_identity"
)

// Claims are what a token says.
type Claims struct {
	Issuer          string
	Subject         string
	Audience        []string // at least one
	AuthorizedParty string   // azp; "" for none
	Expires         time.Time
	NotBefore       time.Time // zero for none
	IssuedAt        time.Time

	values map[string]jsontext.Value
}

// MissingError is what Parse returns, wrapped, for a token without a claim that it needs.
type MissingError struct{ Claim string }

// Error names the claim.
func (e *MissingError) Error() string { return "oidc: the token has no claim " + e.Claim }

// Unwrap is ErrMalformed.
func (e *MissingError) Unwrap() error { return ErrMalformed }

func malformed(claim string) error { return fmt.Errorf("%w: claim %s", ErrMalformed, claim) }

// parse reads a payload. Two claims of one name, and text that is not UTF-8, are refused: readers could differ on what they say.
func (c *Claims) parse(payload []byte) error {
	if err := json.Unmarshal(payload, &c.values); err != nil || c.values == nil {
		return fmt.Errorf("%w: payload", ErrMalformed)
	}
	for _, name := range []string{"iss", "sub", "aud", "exp", "iat"} {
		if !c.has(name) {
			return &MissingError{name}
		}
	}
	var ok bool
	if c.Issuer, ok = c.text("iss", maxIssuer); !ok {
		return malformed("iss")
	}
	if c.Subject, ok = c.text("sub", maxSubject); !ok {
		return malformed("sub")
	}
	if c.Audience = c.Strings("aud"); len(c.Audience) == 0 || len(c.Audience) > maxAudiences || slices.ContainsFunc(c.Audience, badAudience) {
		return malformed("aud")
	}
	if c.has("azp") {
		if c.AuthorizedParty, ok = c.text("azp", maxAudience); !ok {
			return malformed("azp")
		}
	}
	for name, t := range map[string]*time.Time{"exp": &c.Expires, "iat": &c.IssuedAt, "nbf": &c.NotBefore} {
		if c.has(name) && !c.date(name, t) {
			return malformed(name)
		}
	}
	return nil
}

func badAudience(s string) bool { return s == "" || len(s) > maxAudience }

// has tells whether a claim is there; null is as good as absent.
func (c *Claims) has(name string) bool {
	v, ok := c.values[name]
	return ok && v.Kind() != 'n'
}

// text returns a claim that is a string with something in it.
func (c *Claims) text(name string, limit int) (string, bool) {
	s, ok := str(c.values[name])
	return s, ok && s != "" && len(s) <= limit
}

func str(v jsontext.Value) (string, bool) {
	if v.Kind() != '"' {
		return "", false
	}
	b, err := jsontext.AppendUnquote(nil, v)
	return string(b), err == nil
}

// date reads a NumericDate: seconds since 1970, perhaps with a fraction. Dates out of all reason are refused.
func (c *Claims) date(name string, t *time.Time) bool {
	v := c.values[name]
	if v.Kind() != '0' {
		return false
	}
	const year9999 = 253402300799
	seconds, err := strconv.ParseFloat(string(v), 64)
	if err != nil || seconds < 0 || seconds > year9999 {
		return false
	}
	whole, fraction := math.Modf(seconds)
	*t = time.Unix(int64(whole), int64(fraction*1e9)).UTC()
	return true
}

// Strings returns the values of a claim that is a string or a list of strings; nil if it is neither, is absent, or has too many.
func (c *Claims) Strings(name string) []string { return list(c.values[name]) }

func list(v jsontext.Value) []string {
	if s, ok := str(v); ok {
		return []string{s}
	}
	if v.Kind() != '[' {
		return nil
	}
	var values []jsontext.Value
	if err := json.Unmarshal(v, &values); err != nil || len(values) > maxValues {
		return nil
	}
	out := make([]string, len(values))
	for i, v := range values {
		var ok bool
		if out[i], ok = str(v); !ok {
			return nil
		}
	}
	return out
}

// Tag is a session tag.
type Tag struct{ Name, Value string }

var (
	tagName  = regexp.MustCompile(`^[\p{L}\p{Z}\p{N}_.:/=+\-@]+$`)
	tagValue = regexp.MustCompile(`^[\p{L}\p{Z}\p{N}_.:/=+\-@]*$`)
	identity = regexp.MustCompile(`^[\w+=,.@-]{2,256}$`)
)

// SessionTags returns the session tags that the token asks for, sorted by name, and the names of those that are transitive. Both forms that
// AWS has for them are read: one claim with an object, and claims whose names have the tag's name at their end. The error wraps
// ErrMalformed.
func (c *Claims) SessionTags() (tags []Tag, transitive []string, err error) {
	raw := make(map[string]jsontext.Value)
	for name, v := range c.values {
		if tag, ok := strings.CutPrefix(name, flatTagPrefix); ok {
			raw[tag] = v
		}
	}
	transitive = c.Strings(flatTransitive)
	if c.has(flatTransitive) && transitive == nil {
		return nil, nil, malformed(flatTransitive)
	}
	if c.has(tagsClaim) {
		var nested struct {
			Tags       map[string]jsontext.Value `json:"principal_tags"`
			Transitive []string                  `json:"transitive_tag_keys"`
		}
		if len(raw) > 0 || transitive != nil || json.Unmarshal(c.values[tagsClaim], &nested) != nil {
			return nil, nil, malformed(tagsClaim)
		}
		raw, transitive = nested.Tags, nested.Transitive
	}
	if tags, err = sessionTags(raw); err != nil {
		return nil, nil, err
	}
	return tags, transitive, transitiveOf(tags, transitive)
}

func sessionTags(raw map[string]jsontext.Value) ([]Tag, error) {
	if len(raw) > maxTags {
		return nil, malformed(tagsClaim)
	}
	tags := make([]Tag, 0, len(raw))
	seen := make(map[string]bool, len(raw))
	for name, v := range raw {
		values := list(v)
		folded := fold(name)
		if len(values) != 1 || seen[folded] || strings.HasPrefix(folded, "aws:") ||
			runes(name) > maxTagName || !tagName.MatchString(name) || runes(values[0]) > maxTagValue || !tagValue.MatchString(values[0]) {
			return nil, malformed(tagsClaim)
		}
		seen[folded] = true
		tags = append(tags, Tag{name, values[0]})
	}
	slices.SortFunc(tags, func(a, b Tag) int { return strings.Compare(a.Name, b.Name) })
	return tags, nil
}

func runes(s string) int { return len([]rune(s)) }

// fold makes names of tags that differ in the case of ASCII letters only the same, which they are where tags are used.
func fold(s string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, s)
}

// transitiveOf refuses names that no tag has.
func transitiveOf(tags []Tag, names []string) error {
	for _, name := range names {
		if !slices.ContainsFunc(tags, func(t Tag) bool { return fold(t.Name) == fold(name) }) {
			return malformed(tagsClaim)
		}
	}
	if len(names) > maxTags {
		return malformed(tagsClaim)
	}
	return nil
}

// SourceIdentity returns the source identity that the token sets for the session, "" for none. The error wraps ErrMalformed.
func (c *Claims) SourceIdentity() (string, error) {
	if !c.has(sourceIdentityClaim) {
		return "", nil
	}
	s, ok := str(c.values[sourceIdentityClaim])
	if !ok || !identity.MatchString(s) || strings.HasPrefix(strings.ToLower(s), "aws:") {
		return "", malformed(sourceIdentityClaim)
	}
	return s, nil
}
