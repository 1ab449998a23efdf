package kms_test

import (
	"strings"
	"testing"

	"github.com/go-json-experiment/json"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/authz"
	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/service"
)

// identities writes users and roles of the account into the store, and takes them out again.
type putIdentities struct{ put, remove []record.Record }

func (b *bench) identities(t *testing.T, q putIdentities) {
	t.Helper()
	op := service.Def[putIdentities, service.None]{
		Name: "PutIdentities", Kind: service.Internal,
		Plan: func(tx *service.Tx, q *putIdentities, _ []service.Target) (*service.None, error) {
			for _, r := range q.put {
				if _, err := service.Lookup[record.Record](tx, r.StoreKey()); err != nil {
					return nil, err
				}
				tx.Put(r)
			}
			for _, r := range q.remove {
				old, err := service.Lookup[record.Record](tx, r.StoreKey())
				if err != nil {
					return nil, err
				}
				tx.Delete(old)
			}
			return &service.None{}, nil
		},
	}.Op("kms")
	if _, err := b.p.DoInternal(t.Context(), op, record.Owner{Account: account, Region: region}, b.clock.Now(), 0, &q); err != nil {
		t.Fatal(err)
	}
}

func annWith(id string) (*record.User, *record.Name) {
	return &record.User{Principal: record.Principal{Account: account, ID: id, Name: "ann", Path: "/"}},
		&record.Name{Account: account, Kind: record.UserKind, Name: "ann", ID: id}
}

// TestPinnedPrincipals deletes a user that a key policy and a grant name, and makes it again: the new one is somebody else, and the old one's
// rights are not its own. What a policy says of a name that nobody had goes to whoever has it.
func TestPinnedPrincipals(t *testing.T) {
	b := testBench(t)
	user := func(id string) *service.Caller {
		return service.NewCaller(service.Caller{Account: account, ARN: ann, Type: "IAMUser", PrincipalID: id, UserName: "ann", Identity: &authz.Identity{}})
	}
	policy := str(keyPolicy(`{"Effect":"Allow","Principal":{"AWS":"` + ann + `"},"Action":"kms:Encrypt","Resource":"*"}`))
	before, _ := b.newKey(t, &api.CreateKeyRequest{Policy: policy})
	old, name := annWith("AIDAOLD")
	b.identities(t, putIdentities{put: []record.Record{old, name}})
	pinned, _ := b.newKey(t, &api.CreateKeyRequest{Policy: policy})
	put, _ := b.newKey(t, &api.CreateKeyRequest{})
	b.run(t, "PutKeyPolicy", &api.PutKeyPolicyRequest{KeyId: str(put), Policy: policy})
	granted, _ := b.newKey(t, &api.CreateKeyRequest{})
	grant := &api.CreateGrantRequest{
		KeyId: str(granted), GranteePrincipal: str(ann), RetiringPrincipal: str(ann), Operations: []api.GrantOperation{"Encrypt"}, Name: str("g"),
	}
	first, _ := b.grant(t, grant)

	encrypt := func(id, key string) string {
		_, err := b.as(t, user(id), "kms.Encrypt", &api.EncryptRequest{KeyId: str(key), Plaintext: []byte("x")})
		if err == nil {
			return ""
		}
		return string(err.Code)
	}
	for _, key := range []string{before, pinned, put, granted} {
		if code := encrypt("AIDAOLD", key); code != "" {
			t.Errorf("%s: %s", key, code)
		}
	}
	b.identities(t, putIdentities{remove: []record.Record{old, name}})
	again, name := annWith("AIDANEW")
	b.identities(t, putIdentities{put: []record.Record{again, name}})
	for key, want := range map[string]string{before: "", pinned: "AccessDeniedException", put: "AccessDeniedException", granted: "AccessDeniedException"} {
		if code := encrypt("AIDANEW", key); code != want {
			t.Errorf("the new one on %s: %q, want %q", key, code, want)
		}
	}
	if _, err := b.as(t, user("AIDANEW"), "kms.RetireGrant", &api.RetireGrantRequest{KeyId: str(granted), GrantId: str(first)}); err == nil {
		t.Error("the new one retired the old one's grant")
	}
	second, _ := b.grant(t, grant)
	if second == first {
		t.Error("a grant to the new one is taken for that to the old one")
	}
	if code := encrypt("AIDANEW", granted); code != "" {
		t.Errorf("with a grant of its own: %s", code)
	}
	b.run(t, "PutKeyPolicy", &api.PutKeyPolicyRequest{KeyId: str(put), Policy: policy})
	if code := encrypt("AIDANEW", put); code != "" {
		t.Errorf("with the policy put again: %s", code)
	}
	if code := encrypt("AIDAOLD", put); code != "AccessDeniedException" {
		t.Errorf("the old one: %q", code)
	}
}

// TestGrantInTheRecord uses a key by grants: the audit records say by which. What a policy allows anyway is not put down to one.
func TestGrantInTheRecord(t *testing.T) {
	b := testBench(t)
	who := service.NewCaller(service.Caller{Account: account, ARN: ann, Type: "IAMUser", PrincipalID: "AIDAANN", UserName: "ann", Identity: &authz.Identity{}})
	from, _ := b.newKey(t, &api.CreateKeyRequest{})
	to, _ := b.newKey(t, &api.CreateKeyRequest{})
	one, _ := b.grant(t, &api.CreateGrantRequest{KeyId: str(from), GranteePrincipal: str(ann), Operations: []api.GrantOperation{"ReEncryptFrom"}})
	two, _ := b.grant(t, &api.CreateGrantRequest{KeyId: str(to), GranteePrincipal: str(ann), Operations: []api.GrantOperation{"ReEncryptTo"}})
	enc := must[api.EncryptResponse](t, b, "Encrypt", &api.EncryptRequest{KeyId: str(from), Plaintext: []byte("x")})
	if _, err := b.as(t, who, "kms.ReEncrypt", &api.ReEncryptRequest{CiphertextBlob: enc.CiphertextBlob, DestinationKeyId: str(to)}); err != nil {
		t.Fatal(err)
	}
	var ids [][]string
	for line, err := range b.sink.Since(1) {
		if err != nil {
			t.Fatal(err)
		}
		var r struct {
			EventName string `json:"eventName"`
			Extra     struct {
				GrantIDs []string `json:"grantIds"`
			} `json:"additionalEventData"`
		}
		if err := json.Unmarshal(line.JSON, &r); err != nil {
			t.Fatal(err)
		}
		if r.EventName == "Encrypt" && r.Extra.GrantIDs != nil {
			t.Errorf("what the root user may do anyway is put down to %v", r.Extra.GrantIDs)
		}
		if r.EventName == "ReEncrypt" {
			ids = append(ids, r.Extra.GrantIDs)
		}
	}
	if len(ids) != 1 || len(ids[0]) != 2 || ids[0][0] != one || ids[0][1] != two {
		t.Errorf("the record names %v, want %s and %s", ids, one, two)
	}
}

// TestShownPins reads a key policy after a user that it names was renamed, and after it was deleted and made again: what is shown does not name
// somebody else, so that putting it again, as whoever changes another statement does, lets nobody in.
func TestShownPins(t *testing.T) {
	b := testBench(t)
	b.damaged.Store(true) // a user is renamed, and its name stays
	old, name := annWith("AIDAOLD")
	b.identities(t, putIdentities{put: []record.Record{old, name}})
	policy := keyPolicy(`{"Effect":"Allow","Principal":{"AWS":["` + ann + `","` + account + `"]},"Action":"kms:Encrypt","Resource":"*","Condition":{"StringNotEquals":{"aws:PrincipalArn":"` + ann + `"}}}`)
	key, _ := b.newKey(t, &api.CreateKeyRequest{Policy: str(policy)})
	shown := func() string {
		t.Helper()
		return must[api.GetKeyPolicyResponse](t, b, "GetKeyPolicy", &api.GetKeyPolicyRequest{KeyId: str(key)}).Policy.V
	}
	if got := shown(); got != policy {
		t.Errorf("shown as %s", got)
	}
	renamed := *old
	renamed.Name, renamed.Path = "anna", "/p/"
	b.identities(t, putIdentities{put: []record.Record{&renamed}})
	if got, want := shown(), strings.Replace(policy, `["`+ann, `["arn:aws:iam::`+account+`:user/p/anna`, 1); got != want {
		t.Errorf("renamed, shown as %s", got)
	}
	b.identities(t, putIdentities{remove: []record.Record{&renamed, name}})
	again, name := annWith("AIDANEW")
	b.identities(t, putIdentities{put: []record.Record{again, name}})
	gone := strings.Replace(policy, `["`+ann, `["AIDAOLD`, 1)
	if got := shown(); got != gone {
		t.Errorf("deleted and made again, shown as %s", got)
	}
	_, err := b.do(t, "PutKeyPolicy", &api.PutKeyPolicyRequest{KeyId: str(key), Policy: str(gone)})
	refusal(t, "put as shown", err, api.MalformedPolicyDocumentException, "*")

	// Another account's user is renamed: what it is called now is not told.
	theirs := &record.User{Principal: record.Principal{Account: "999988887777", ID: "AIDABOB", Name: "bob", Path: "/"}}
	b.identities(t, putIdentities{put: []record.Record{theirs, &record.Name{Account: theirs.Account, Kind: record.UserKind, Name: "bob", ID: theirs.ID}}})
	policy = keyPolicy(`{"Effect":"Allow","Principal":{"AWS":"` + bob + `"},"Action":"kms:Encrypt","Resource":"*"}`)
	b.run(t, "PutKeyPolicy", &api.PutKeyPolicyRequest{KeyId: str(key), Policy: str(policy)})
	if got := shown(); got != policy {
		t.Errorf("another account's, shown as %s", got)
	}
	moved := *theirs
	moved.Name = "robert"
	b.identities(t, putIdentities{put: []record.Record{&moved}})
	if got := shown(); got != strings.Replace(policy, bob, "AIDABOB", 1) {
		t.Errorf("another account's, renamed, shown as %s", got)
	}
}
