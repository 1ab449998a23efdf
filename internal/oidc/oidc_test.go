package oidc_test

import (
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/keyturn/keyturn/internal/oidc"
	"github.com/keyturn/keyturn/internal/oidc/oidctest"
)

var now = time.Unix(1_790_000_000, 0)

func keySet(t testing.TB, i *oidctest.Issuer) oidc.KeySet {
	t.Helper()
	set, err := oidc.ParseKeySet(i.KeySet())
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// TestVerify verifies tokens of every algorithm, and refuses each of them under another key and after any change.
func TestVerify(t *testing.T) {
	i, other := oidctest.New(t, ""), oidctest.New(t, "")
	set, others := keySet(t, i), keySet(t, other)
	for algorithm, id := range map[string]string{"RS256": "rsa", "RS384": "rsa", "RS512": "rsa", "ES256": "p256", "ES384": "p384", "ES512": "p521"} {
		raw := i.Sign(t, algorithm, id, i.Claims(now, "sts.amazonaws.com", nil))
		token, err := oidc.Parse(raw)
		if err != nil {
			t.Fatalf("%s: %v", algorithm, err)
		}
		if err := token.Verify(set[token.KeyID]); err != nil {
			t.Errorf("%s: %v", algorithm, err)
		}
		if token.Claims.Issuer != i.URL || token.Claims.Subject != "system:serviceaccount:default:app" || !token.Claims.IssuedAt.Equal(now) {
			t.Errorf("%s: claims %+v", algorithm, token.Claims)
		}
		if id != "rsa" { // the RSA key is the same everywhere
			if err := token.Verify(others[token.KeyID]); !errors.Is(err, oidc.ErrSignature) {
				t.Errorf("%s under another key: %v", algorithm, err)
			}
		}
		for wrong := range set {
			if wrong != id && !errors.Is(token.Verify(set[wrong]), oidc.ErrSignature) {
				t.Errorf("%s verified with %s", algorithm, wrong)
			}
		}
		if err := token.Verify(nil); !errors.Is(err, oidc.ErrSignature) {
			t.Errorf("%s without a key: %v", algorithm, err)
		}
		for n := range len(raw) {
			b := []byte(raw)
			if b[n] == '.' {
				continue
			}
			b[n] = map[bool]byte{true: 'B', false: 'A'}[b[n] == 'A']
			changed, err := oidc.Parse(string(b))
			if err == nil && changed.Verify(set[id]) == nil {
				t.Fatalf("%s verifies with byte %d changed", algorithm, n)
			}
		}
	}
}

// TestForged has tokens that nobody with a key has signed.
func TestForged(t *testing.T) {
	i := oidctest.New(t, "")
	set := keySet(t, i)
	claims := i.Claims(now, "a", nil)
	payload, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	public, err := x509.MarshalPKIXPublicKey(i.Key("rsa").Public())
	if err != nil {
		t.Fatal(err)
	}
	good := i.Sign(t, "RS256", "rsa", claims)
	parts := strings.Split(good, ".")
	for name, test := range map[string]struct {
		token string
		want  error
	}{
		"none":                              {oidctest.Raw(`{"alg":"none","kid":"rsa"}`, string(payload), []byte("x")), oidc.ErrAlgorithm},
		"none without a signature":          {parts[0] + "." + parts[1] + ".", oidc.ErrMalformed},
		"NONE":                              {oidctest.Raw(`{"alg":"NONE","kid":"rsa"}`, string(payload), []byte("x")), oidc.ErrAlgorithm},
		"no algorithm":                      {oidctest.Raw(`{"kid":"rsa"}`, string(payload), []byte("x")), oidc.ErrAlgorithm},
		"HS256 with the public key":         {oidctest.SignWith(t, public, "HS256", map[string]any{"kid": "rsa"}, claims), oidc.ErrAlgorithm},
		"HS256 with the key set":            {oidctest.SignWith(t, i.KeySet(), "HS256", map[string]any{"kid": "rsa"}, claims), oidc.ErrAlgorithm},
		"PS256":                             {oidctest.SignWith(t, i.Key("rsa"), "PS256", map[string]any{"kid": "rsa"}, claims), oidc.ErrAlgorithm},
		"no key ID":                         {oidctest.SignWith(t, i.Key("rsa"), "RS256", nil, claims), oidc.ErrMalformed},
		"critical extension":                {oidctest.SignWith(t, i.Key("rsa"), "RS256", map[string]any{"kid": "rsa", "crit": []string{"b64"}, "b64": true}, claims), oidc.ErrMalformed},
		"two algorithms":                    {oidctest.Raw(`{"alg":"none","alg":"RS256","kid":"rsa"}`, string(payload), []byte("x")), oidc.ErrMalformed},
		"EC algorithm, key ID of RSA":       {oidctest.SignWith(t, i.Key("p256"), "ES256", map[string]any{"kid": "rsa"}, claims), oidc.ErrSignature},
		"RSA algorithm, signature of EC":    {oidctest.Raw(`{"alg":"RS256","kid":"rsa"}`, string(payload), make([]byte, 64)), oidc.ErrSignature},
		"an EC signature of zeros":          {oidctest.Raw(`{"alg":"ES256","kid":"p256"}`, string(payload), make([]byte, 64)), oidc.ErrSignature},
		"payload of another token":          {parts[0] + "." + strings.Split(i.Sign(t, "RS256", "rsa", i.Claims(now, "b", nil)), ".")[1] + "." + parts[2], oidc.ErrSignature},
		"two parts":                         {parts[0] + "." + parts[1], oidc.ErrMalformed},
		"four parts":                        {good + ".", oidc.ErrMalformed},
		"encrypted":                         {good + ".a.b", oidc.ErrMalformed},
		"padding":                           {good + "=", oidc.ErrMalformed},
		"a line break":                      {parts[0] + "." + parts[1] + "\n." + parts[2], oidc.ErrMalformed},
		"JSON form":                         {`{"payload":"` + parts[1] + `"}`, oidc.ErrMalformed},
		"empty":                             {"", oidc.ErrMalformed},
		"dots":                              {"..", oidc.ErrMalformed},
		"too long":                          {good + strings.Repeat("A", oidc.MaxToken), oidc.ErrMalformed},
		"a header that is too long":         {oidctest.SignWith(t, i.Key("rsa"), "RS256", map[string]any{"kid": "rsa", "x": strings.Repeat("a", 8000)}, claims), oidc.ErrMalformed},
		"a key ID that is too long":         {oidctest.SignWith(t, i.Key("rsa"), "RS256", map[string]any{"kid": strings.Repeat("a", 300)}, claims), oidc.ErrMalformed},
		"a key of its own in the header":    {oidctest.SignWith(t, oidctest.New(t, "").Key("p256"), "ES256", map[string]any{"kid": "p256", "jku": "https://elsewhere"}, claims), oidc.ErrSignature},
		"a payload that is no object":       {oidctest.Raw(`{"alg":"RS256","kid":"rsa"}`, `[]`, []byte("x")), oidc.ErrMalformed},
		"a payload that is null":            {oidctest.Raw(`{"alg":"RS256","kid":"rsa"}`, `null`, []byte("x")), oidc.ErrMalformed},
		"a payload that is no UTF-8":        {oidctest.Raw(`{"alg":"RS256","kid":"rsa"}`, "{\"iss\":\"\xff\"}", []byte("x")), oidc.ErrMalformed},
		"a payload with something after it": {oidctest.Raw(`{"alg":"RS256","kid":"rsa"}`, string(payload)+"{}", []byte("x")), oidc.ErrMalformed},
	} {
		token, err := oidc.Parse(test.token)
		if err == nil {
			err = token.Verify(set[token.KeyID])
		}
		if !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", name, err, test.want)
		}
	}
}

// TestClaims reads claims that are there once, twice, not at all and in other forms.
func TestClaims(t *testing.T) {
	const good = `{"iss":"https://a","sub":"s","aud":"c","exp":1790000000,"iat":1790000000.5`
	for payload, want := range map[string]string{
		good + `}`:                                                                       "",
		good + `,"aud":"d"}`:                                                             "malformed token: payload",
		good + `,"\u0061ud":1}`:                                                          "malformed token: payload",
		`{"sub":"s","aud":"c","exp":1,"iat":1}`:                                          "no claim iss",
		`{"iss":"https://a","aud":"c","exp":1,"iat":1}`:                                  "no claim sub",
		`{"iss":"https://a","sub":"s","exp":1,"iat":1}`:                                  "no claim aud",
		`{"iss":"https://a","sub":"s","aud":"c","iat":1}`:                                "no claim exp",
		`{"iss":"https://a","sub":"s","aud":"c","exp":1}`:                                "no claim iat",
		`{"iss":null,"sub":"s","aud":"c","exp":1,"iat":1}`:                               "no claim iss",
		`{"iss":["https://a"],"sub":"s","aud":"c","exp":1,"iat":1}`:                      "claim iss",
		`{"iss":"https://a","sub":"","aud":"c","exp":1,"iat":1}`:                         "claim sub",
		`{"iss":"https://a","sub":1,"aud":"c","exp":1,"iat":1}`:                          "claim sub",
		`{"iss":"https://a","sub":"s","aud":[],"exp":1,"iat":1}`:                         "claim aud",
		`{"iss":"https://a","sub":"s","aud":["c",1],"exp":1,"iat":1}`:                    "claim aud",
		`{"iss":"https://a","sub":"s","aud":{"c":1},"exp":1,"iat":1}`:                    "claim aud",
		`{"iss":"https://a","sub":"s","aud":["c",""],"exp":1,"iat":1}`:                   "claim aud",
		`{"iss":"https://a","sub":"s","aud":"c","exp":"1","iat":1}`:                      "claim exp",
		`{"iss":"https://a","sub":"s","aud":"c","exp":1e300,"iat":1}`:                    "claim exp",
		`{"iss":"https://a","sub":"s","aud":"c","exp":-1,"iat":1}`:                       "claim exp",
		`{"iss":"https://a","sub":"s","aud":"c","exp":1,"iat":1,"nbf":true}`:             "claim nbf",
		`{"iss":"https://a","sub":"s","aud":"c","exp":1,"iat":1,"azp":["c"]}`:            "claim azp",
		`{"iss":"https://a","sub":"s","aud":"c","exp":1,"iat":1,"azp":""}`:               "claim azp",
		`{"iss":"` + strings.Repeat("a", 256) + `","sub":"s","aud":"c","exp":1,"iat":1}`: "claim iss",
	} {
		_, err := oidc.Parse(oidctest.Raw(`{"alg":"RS256","kid":"k"}`, payload, []byte("x")))
		if want == "" && err != nil || want != "" && (err == nil || !strings.HasSuffix(err.Error(), want) || !errors.Is(err, oidc.ErrMalformed)) {
			t.Errorf("%.100s: %v, want %q", payload, err, want)
		}
	}
}

// TestSessionTags reads what tokens say of session tags, in both forms.
func TestSessionTags(t *testing.T) {
	const nested, flat = `"https://aws.amazon.com/tags":`, `"https://aws.amazon.com/tags/principal_tags/`
	many := strings.TrimSuffix(strings.Repeat(`"%d":["x"],`, 51), ",")
	for n := range 51 {
		many = strings.Replace(many, "%d", fmt.Sprintf("t%d", n), 1)
	}
	for claims, want := range map[string]struct {
		tags       []oidc.Tag
		transitive []string
		bad        bool
	}{
		`"x":1`: {tags: []oidc.Tag{}},
		nested + `{"principal_tags":{"Team":["blue"],"Cost":["1"]},"transitive_tag_keys":["team"]}`: {tags: []oidc.Tag{{"Cost", "1"}, {"Team", "blue"}}, transitive: []string{"team"}},
		nested + `{"principal_tags":{"Team":"blue"}}`:                                               {tags: []oidc.Tag{{"Team", "blue"}}},
		flat + `Team":["blue"],"https://aws.amazon.com/tags/transitive_tag_keys":["Team"]`:          {tags: []oidc.Tag{{"Team", "blue"}}, transitive: []string{"Team"}},
		nested + `{"principal_tags":{"Team":["blue","red"]}}`:                                       {bad: true},
		nested + `{"principal_tags":{"Team":[]}}`:                                                   {bad: true},
		nested + `{"principal_tags":{"Team":["a"],"team":["b"]}}`:                                   {bad: true},
		nested + `{"principal_tags":{"Team":["a"],"Team":["b"]}}`:                                   {bad: true},
		nested + `{"principal_tags":{"aws:x":["a"]}}`:                                               {bad: true},
		nested + `{"principal_tags":{"T{}":["a"]}}`:                                                 {bad: true},
		nested + `{"principal_tags":{"T":["` + strings.Repeat("a", 257) + `"]}}`:                    {bad: true},
		nested + `{"principal_tags":{"T":["a"]},"transitive_tag_keys":["U"]}`:                       {bad: true},
		nested + `{"principal_tags":{"T":["a"]}},` + flat + `U":["b"]`:                              {bad: true},
		nested + "{\"principal_tags\":{\"rank\":[\"a\"]},\"transitive_tag_keys\":[\"ran\u212a\"]}":  {bad: true}, // a Kelvin sign
		nested + `[]`: {bad: true},
		nested + `{"principal_tags":{` + many + `}}`: {bad: true},
	} {
		token, err := oidc.Parse(oidctest.Raw(`{"alg":"RS256","kid":"k"}`, `{"iss":"https://a","sub":"s","aud":"c","exp":1,"iat":1,`+claims+`}`, []byte("x")))
		if err != nil {
			if !want.bad {
				t.Errorf("%.100s: %v", claims, err)
			}
			continue
		}
		tags, transitive, err := token.Claims.SessionTags()
		if (err != nil) != want.bad || err == nil && (!reflect.DeepEqual(tags, want.tags) || !reflect.DeepEqual(transitive, want.transitive)) {
			t.Errorf("%.100s: %v, %v, %v", claims, tags, transitive, err)
		}
	}
	for value, want := range map[string]string{`"alice@example.com"`: "alice@example.com", `"a"`: "!", `"aws:x"`: "!", `["alice"]`: "!", `"a b"`: "!", `null`: ""} {
		token, err := oidc.Parse(oidctest.Raw(`{"alg":"RS256","kid":"k"}`, `{"iss":"https://a","sub":"s","aud":"c","exp":1,"iat":1,"https://aws.amazon.com/source_identity":`+value+`}`, []byte("x")))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := token.Claims.SourceIdentity(); (err != nil) != (want == "!") || err == nil && got != want {
			t.Errorf("source identity %s: %q, %v", value, got, err)
		}
	}
}

// TestKeySet reads sets with keys that are of no use, and refuses those with too many.
func TestKeySet(t *testing.T) {
	i := oidctest.New(t, "")
	var own struct {
		Keys []map[string]any `json:"keys"`
	}
	if err := json.Unmarshal(i.KeySet(), &own); err != nil {
		t.Fatal(err)
	}
	with := func(change func(map[string]any)) string {
		k := map[string]any{}
		for _, o := range own.Keys {
			if o["kid"] == "p256" {
				for name, v := range o {
					k[name] = v
				}
			}
		}
		change(k)
		text, err := json.Marshal(k)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	usable := with(func(map[string]any) {})
	for name, test := range map[string]struct {
		keys string
		want int // -1: an error
	}{
		"usable":           {usable, 1},
		"for encryption":   {usable + "," + with(func(k map[string]any) { k["use"], k["kid"] = "enc", "e" }), 1},
		"without an ID":    {usable + "," + with(func(k map[string]any) { delete(k, "kid") }), 1},
		"of another kind":  {usable + `,{"kty":"oct","k":"AAAA","kid":"o"},{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo","kid":"d"}`, 1},
		"off the curve":    {usable + "," + with(func(k map[string]any) { k["x"], k["kid"] = k["y"], "off" }), 1},
		"a short RSA key":  {usable + `,{"kty":"RSA","kid":"r","n":"u1SU1LfVLPHCozMxH2Mo4lgOEePzNm0tRgeLezV6ffAt0gunVTLw7onLRnrq0_IzW7yWR7QkrmBL7jTKEn5u-qKhbwKfBstIs-bMY2Zkp18gnTxKLxoS2tFczGkPLPgizskuemMghRniWaoLcyehkd3qqGElvW_VDL5AaWTg0nLV","e":"AQAB"}`, 1},
		"not even objects": {usable + `,1,"x",null`, 1},
		"none usable":      {`{"kty":"oct","k":"AAAA","kid":"o"}`, -1},
		"100 of a kind":    {usable + strings.Repeat(","+usable, 99), 100},
		"101 of a kind":    {usable + strings.Repeat(","+usable, 100), -1},
		"10,000":           {`{"kid":"a"}` + strings.Repeat(`,{"kid":"a"}`, 9999), -1},
		"empty":            {"", -1},
	} {
		set, err := oidc.ParseKeySet([]byte(`{"keys":[` + test.keys + `]}`))
		n := 0
		for _, keys := range set {
			n += len(keys)
		}
		if err != nil {
			n = -1
		}
		if n != test.want || err != nil && !errors.Is(err, oidc.ErrKeySet) {
			t.Errorf("%s: %d keys, %v", name, n, err)
		}
	}
	for _, text := range []string{"", "[]", "null", `{"keys":{}}`, `{"keys":[],"keys":[]}`, strings.Repeat(" ", oidc.MaxKeySet) + "{}"} {
		if _, err := oidc.ParseKeySet([]byte(text)); !errors.Is(err, oidc.ErrKeySet) {
			t.Errorf("%.20q: %v", text, err)
		}
	}
	// A key that is for one algorithm is not for another.
	set, err := oidc.ParseKeySet([]byte(`{"keys":[` + with(func(k map[string]any) { k["alg"] = "ES384" }) + `]}`))
	if err != nil {
		t.Fatal(err)
	}
	token, err := oidc.Parse(i.Sign(t, "ES256", "p256", i.Claims(now, "a", nil)))
	if err != nil || !errors.Is(token.Verify(set["p256"]), oidc.ErrSignature) {
		t.Errorf("a key for ES384 verifies ES256: %v", err)
	}
}

// FuzzParse reads arbitrary tokens: what is read has what it needs, is bounded, prints nothing of itself, and verifies with no key.
func FuzzParse(f *testing.F) {
	i := oidctest.New(f, "")
	set := keySet(f, i)
	f.Add("a.b.c")
	f.Add(oidctest.Raw(`{"alg":"ES256","kid":"p256"}`, `{"iss":"https://a","sub":"s","aud":["c"],"exp":1,"iat":1,"https://aws.amazon.com/tags":{"principal_tags":{"a":["b"]}}}`, make([]byte, 64)))
	f.Add(oidctest.Raw(`{"alg":"RS256","kid":"rsa","jku":"https://x"}`, `{"iss":"https://a","sub":"s","aud":"c","exp":1e9,"iat":1,"nbf":2.5,"azp":"c"}`, make([]byte, 256)))
	f.Fuzz(func(t *testing.T, raw string) {
		token, err := oidc.Parse(raw)
		if err != nil {
			if !errors.Is(err, oidc.ErrMalformed) && !errors.Is(err, oidc.ErrAlgorithm) {
				t.Fatalf("error %v", err)
			}
			return
		}
		c := &token.Claims
		if len(raw) > oidc.MaxToken || token.KeyID == "" || c.Issuer == "" || c.Subject == "" || len(c.Subject) > 255 || len(c.Audience) == 0 {
			t.Fatalf("read %+v", c)
		}
		if tags, _, err := c.SessionTags(); err == nil && len(tags) > 50 {
			t.Fatalf("%d tags", len(tags))
		}
		if s, err := c.SourceIdentity(); err == nil && len(s) > 256 {
			t.Fatalf("source identity %q", s)
		}
		if s := fmt.Sprint(token); strings.Contains(s, c.Issuer) && len(c.Issuer) > 7 {
			t.Fatalf("prints %s", s)
		}
		for _, keys := range set {
			if token.Verify(keys) == nil {
				t.Fatal("verified without having been signed")
			}
		}
	})
}

// FuzzParseKeySet reads arbitrary key sets: those that are read have a bounded number of keys with IDs.
func FuzzParseKeySet(f *testing.F) {
	f.Add(oidctest.New(f, "").KeySet())
	f.Add([]byte(`{"keys":[{"kty":"RSA","kid":"a","n":"AQAB","e":"AQAB"},{"kty":"EC","kid":"b","crv":"P-256","x":"","y":""},1,{}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		set, err := oidc.ParseKeySet(text)
		if err != nil {
			if !errors.Is(err, oidc.ErrKeySet) {
				t.Fatalf("error %v", err)
			}
			return
		}
		n := 0
		for id, keys := range set {
			if id == "" {
				t.Fatal("a key without an ID")
			}
			n += len(keys)
		}
		if n == 0 || n > 200 {
			t.Fatalf("%d keys", n)
		}
	})
}
