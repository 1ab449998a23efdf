package kms_test

import (
	"reflect"
	"strings"
	"testing"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/service"
)

// TestTokens sends each operation that takes grant tokens one of this server's, and some that are not. Who may not call it learns nothing
// of a token.
func TestTokens(t *testing.T) {
	b := &stateBench{bench: testBench(t), otherAlias: "alias/other"}
	b.other, _ = b.newKey(t, &api.CreateKeyRequest{})
	b.otherBlob = b.sealWith(t, region, b.other, "other")
	_, token := b.grant(t, decrypting(b.other))
	foreign := testBench(t)
	elsewhere, _ := foreign.newKey(t, &api.CreateKeyRequest{})
	_, otherToken := foreign.grant(t, decrypting(elsewhere))
	stranger := service.RootCaller("444455556666", "AKIAOTHER")
	tested := map[string]bool{}
	for row := range strings.Lines(strings.TrimSpace(stateTable)) {
		cells := strings.Fields(row)
		if cells[0] == "operation" {
			continue
		}
		name, _, _ := strings.Cut(cells[0], "/")
		s := b.subject(t, cells[1], record.Enabled, record.OriginKMS)
		request := func(tokens ...string) api.Request {
			req := s.request(t, cells[0])
			if f := reflect.ValueOf(req).Elem().FieldByName("GrantTokens"); f.IsValid() {
				f.Set(reflect.ValueOf(tokens))
				tested[name] = true
			}
			return req
		}
		if request(); !tested[name] {
			continue
		}
		for what, bad := range map[string][]string{
			"no token": {"x"}, "no token after one that is": {token, "x"}, "another server's": {otherToken}, "no base64": {"*"}, "cut": {token[:len(token)-4]},
		} {
			_, err := b.do(t, name, request(bad...))
			refusal(t, name+", "+what, err, api.InvalidGrantTokenException, "Invalid grant token.")
		}
		if _, err := b.as(t, stranger, "kms."+name, request("x")); err == nil || err.Code == api.InvalidGrantTokenException {
			t.Errorf("%s: a stranger is told %v", name, err)
		}
		if _, err := b.do(t, name, request(token)); err != nil {
			t.Errorf("%s with a token: %v", name, err)
		}
	}
	for _, m := range api.KMSOperations() {
		if reflect.ValueOf(m.NewInput()).Elem().FieldByName("GrantTokens").IsValid() && !tested[m.Name] {
			t.Errorf("%s was not tested", m.Name)
		}
	}
}
