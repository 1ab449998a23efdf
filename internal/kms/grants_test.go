package kms_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/record"
)

// Principals of grants.
const (
	grantee = "arn:aws:iam::" + account + ":role/grantee"
	retirer = "arn:aws:iam::" + account + ":user/retirer"
	source  = "arn:aws:s3:eu-central-1:" + account + ":bucket"
)

func operations(names ...string) []api.GrantOperation {
	ops := make([]api.GrantOperation, len(names))
	for i, n := range names {
		ops[i] = api.GrantOperation(n)
	}
	return ops
}

func subset(pairs ...string) *api.GrantConstraints {
	return &api.GrantConstraints{EncryptionContextSubset: pairsOf(pairs...)}
}

func equals(pairs ...string) *api.GrantConstraints {
	return &api.GrantConstraints{EncryptionContextEquals: pairsOf(pairs...)}
}

func pairsOf(pairs ...string) map[string]string {
	m := map[string]string{}
	for i := 0; i < len(pairs); i += 2 {
		m[pairs[i]] = pairs[i+1]
	}
	return m
}

// decrypting is a request for a grant of Decrypt to the grantee.
func decrypting(key string) *api.CreateGrantRequest {
	return &api.CreateGrantRequest{KeyId: str(key), GranteePrincipal: str(grantee), Operations: operations("Decrypt")}
}

// granted reads what CreateGrant answered, as it is on the wire.
func granted(t checker, resp api.Response) (id, token string) {
	t.Helper()
	var r struct{ GrantId, GrantToken string }
	if err := json.Unmarshal(resp.AppendJSON(nil), &r, json.RejectUnknownMembers(true)); err != nil {
		t.Fatalf("%v", err)
	}
	return r.GrantId, r.GrantToken
}

func (b *bench) grant(t checker, req *api.CreateGrantRequest) (id, token string) {
	t.Helper()
	resp, err := b.do(t, "CreateGrant", req)
	if err != nil {
		t.Fatalf("CreateGrant: %v", err)
	}
	return granted(t, resp)
}

func (b *bench) listGrants(t checker, req *api.ListGrantsRequest) *api.ListGrantsResponse {
	t.Helper()
	return must[api.ListGrantsResponse](t, b, "ListGrants", req)
}

func grantIDs(r *api.ListGrantsResponse) []string {
	var ids []string
	for _, g := range r.Grants {
		ids = append(ids, g.GrantId.V)
	}
	slices.Sort(ids)
	return ids
}

// TestGrantLife makes a grant, finds it in every list, and ends it in each of the ways.
func TestGrantLife(t *testing.T) {
	b := testBench(t)
	key, arn := b.newKey(t, &api.CreateKeyRequest{})
	for name, end := range map[string]func(id, token string) (string, api.Request){
		"retired by its token": func(_, token string) (string, api.Request) {
			return "RetireGrant", &api.RetireGrantRequest{GrantToken: str(token)}
		},
		"retired by its ID": func(id, _ string) (string, api.Request) {
			return "RetireGrant", &api.RetireGrantRequest{KeyId: str(arn), GrantId: str(id)}
		},
		"revoked": func(id, _ string) (string, api.Request) {
			return "RevokeGrant", &api.RevokeGrantRequest{KeyId: str(key), GrantId: str(id)}
		},
	} {
		req := decrypting(key)
		req.Name, req.RetiringPrincipal, req.Constraints = str("a/b:c_d-e"), str(retirer), subset("A", "1", "b", "2")
		req.Operations = operations("Encrypt", "Decrypt", "Encrypt", "RetireGrant")
		id, token := b.grant(t, req)
		if len(id) != 64 || strings.Trim(id, "0123456789abcdef") != "" || token == "" || len(token) > 8192 {
			t.Errorf("%s: grant %s, token %s", name, id, token)
		}
		want := api.GrantListEntry{
			KeyId: str(arn), GrantId: str(id), Name: str("a/b:c_d-e"), CreationDate: api.Some(b.now()), GranteePrincipal: str(grantee),
			RetiringPrincipal: str(retirer), IssuingAccount: str("arn:aws:iam::" + account + ":root"),
			Operations: operations("Encrypt", "Decrypt", "RetireGrant"), Constraints: subset("A", "1", "b", "2"),
		}
		wantText, _ := json.Marshal(&api.ListGrantsResponse{Grants: []api.GrantListEntry{want}, Truncated: api.Some(false)}, json.Deterministic(true))
		lists := map[string]*api.ListGrantsResponse{
			"all":        b.listGrants(t, &api.ListGrantsRequest{KeyId: str(key)}),
			"by ID":      b.listGrants(t, &api.ListGrantsRequest{KeyId: str(arn), GrantId: str(id)}),
			"by grantee": b.listGrants(t, &api.ListGrantsRequest{KeyId: str(key), GranteePrincipal: str(grantee)}),
			"by both":    b.listGrants(t, &api.ListGrantsRequest{KeyId: str(key), GranteePrincipal: str(grantee), GrantId: str(id)}),
			"retirable":  must[api.ListGrantsResponse](t, b, "ListRetirableGrants", &api.ListRetirableGrantsRequest{RetiringPrincipal: str(retirer)}),
		}
		for list, got := range lists {
			if text, _ := json.Marshal(got, json.Deterministic(true)); string(text) != string(wantText) {
				t.Errorf("%s, list %s:\n got %s\nwant %s", name, list, text, wantText)
			}
		}
		op, request := end(id, token)
		b.run(t, op, request)
		for _, req := range []*api.ListGrantsRequest{
			{KeyId: str(key)}, {KeyId: str(key), GrantId: str(id)}, {KeyId: str(key), GranteePrincipal: str(grantee)},
		} {
			if r := b.listGrants(t, req); len(r.Grants) != 0 {
				t.Errorf("%s, and still listed", name)
			}
		}
		if r := must[api.ListGrantsResponse](t, b, "ListRetirableGrants", &api.ListRetirableGrantsRequest{RetiringPrincipal: str(retirer)}); len(r.Grants) != 0 {
			t.Errorf("%s, and still retirable", name)
		}
		_, err := b.do(t, op, request)
		refusal(t, name+" again", err, api.NotFoundException, "Grant ID "+id+" not found")
	}
	if counts := checkStore(t, b); counts["g"] != 0 || counts["i"] != 3 || counts["c"] != 1 { // those of the key
		t.Errorf("the store has %v", counts)
	}
}

// TestGrantEvents holds the records that the examples of "Logging AWS KMS API calls with AWS CloudTrail" show, pages CreateGrant,
// RetireGrant, RevokeGrant, but for what CloudTrail alone has.
func TestGrantEvents(t *testing.T) {
	b := testBench(t)
	key, arn := b.newKey(t, &api.CreateKeyRequest{})
	req := decrypting(arn)
	req.Constraints, req.Operations = subset("ContextKey1", "Value1"), operations("Encrypt", "RetireGrant")
	retired, token := b.grant(t, req)
	b.run(t, "RetireGrant", &api.RetireGrantRequest{GrantToken: str(token)})
	service := &api.CreateGrantRequest{
		KeyId: str(arn), GranteeServicePrincipal: str("logs.amazonaws.com"), RetiringServicePrincipal: str("logs.amazonaws.com"),
		Operations: operations("Decrypt"), Constraints: &api.GrantConstraints{SourceArn: str(source)}, Name: str("n"), GrantTokens: []string{token},
	}
	revoked, _ := b.grant(t, service)
	b.run(t, "RevokeGrant", &api.RevokeGrantRequest{KeyId: str(key), GrantId: str(revoked)})
	common := `"awsRegion": "HOME", "eventCategory": "Management", "eventSource": "kms.amazonaws.com", "eventType": "AwsApiCall", "managementEvent": true,
		"readOnly": false, "recipientAccountId": "ACCOUNT", "resources": [{"ARN": "KEY", "accountId": "ACCOUNT", "type": "AWS::KMS::Key"}],
		"sourceIPAddress": "192.0.2.1", "userAgent": "test",
		"userIdentity": {"accessKeyId": "AKIAEXAMPLE", "accountId": "ACCOUNT", "arn": "arn:aws:iam::ACCOUNT:root", "principalId": "ACCOUNT", "type": "Root"}`
	for name, wants := range map[string][]string{
		"CreateGrant": {
			`{"requestParameters": {"keyId": "KEY", "constraints": {"encryptionContextSubset": {"ContextKey1": "Value1"}},
				"operations": ["Encrypt", "RetireGrant"], "granteePrincipal": "GRANTEE"},
				"responseElements": {"grantId": "RETIRED", "keyId": "KEY"}}`,
			`{"requestParameters": {"keyId": "KEY", "constraints": {"sourceArn": "SOURCE"}, "operations": ["Decrypt"],
				"granteeServicePrincipal": "logs.amazonaws.com", "retiringServicePrincipal": "logs.amazonaws.com", "name": "n"},
				"responseElements": {"grantId": "REVOKED", "keyId": "KEY"}}`,
		},
		"RetireGrant": {`{"requestParameters": null, "responseElements": null, "additionalEventData": {"grantId": "RETIRED"}}`},
		"RevokeGrant": {`{"requestParameters": {"keyId": "` + key + `", "grantId": "REVOKED"}, "responseElements": null}`},
	} {
		found := b.shapes(t, name)
		if len(found) != len(wants) {
			t.Fatalf("%d %s records, want %d", len(found), name, len(wants))
		}
		for i, want := range wants {
			want = strings.Replace(want, "{", `{"eventName": "`+name+`", "requestID": "of `+name+`", `+common+", ", 1)
			value := jsontext.Value(strings.NewReplacer("ACCOUNT", account, "HOME", region, "KEY\"", arn+`"`, "GRANTEE", grantee,
				"RETIRED", retired, "REVOKED", revoked, "SOURCE", source).Replace(want))
			var members any
			if err := json.Unmarshal(value, &members); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			text, _ := json.Marshal(members, json.Deterministic(true))
			if found[i] != string(text) {
				t.Errorf("%s\n got %s\nwant %s", name, found[i], text)
			}
		}
	}
	for line, err := range b.sink.Since(1) {
		if err != nil || strings.Contains(string(line.JSON), token) {
			t.Errorf("record %d has the grant token in it (%v)", line.Seq, err)
		}
	}
}

// TestGrantNames: a request in the same words, with a name, is the same grant with another token; anything else is another grant.
func TestGrantNames(t *testing.T) {
	b := testBench(t)
	key, _ := b.newKey(t, &api.CreateKeyRequest{})
	second, _ := b.newKey(t, &api.CreateKeyRequest{})
	request := func() *api.CreateGrantRequest {
		q := decrypting(key)
		q.Name, q.RetiringPrincipal, q.Operations, q.Constraints = str("n"), str(retirer), operations("Decrypt", "Encrypt"), subset("a", "1", "b", "2")
		return q
	}
	id, token := b.grant(t, request())
	for _, order := range [][]api.GrantOperation{operations("Decrypt", "Encrypt"), operations("Encrypt", "Decrypt", "Decrypt")} {
		again := request()
		again.Operations, again.GrantTokens = order, []string{token}
		same, another := b.grant(t, again)
		if same != id || another == token {
			t.Errorf("again: grant %s, want %s; the token is the same: %v", same, id, another == token)
		}
	}
	seen := map[string]string{id: "nothing"}
	for what, change := range map[string]func(*api.CreateGrantRequest){
		"key":         func(q *api.CreateGrantRequest) { q.KeyId = str(second) },
		"name":        func(q *api.CreateGrantRequest) { q.Name = str("m") },
		"no name":     func(q *api.CreateGrantRequest) { q.Name = api.Opt[string]{} },
		"no name 2":   func(q *api.CreateGrantRequest) { q.Name = api.Opt[string]{} },
		"grantee":     func(q *api.CreateGrantRequest) { q.GranteePrincipal = str(grantee + "2") },
		"retiring":    func(q *api.CreateGrantRequest) { q.RetiringPrincipal = api.Opt[string]{} },
		"operations":  func(q *api.CreateGrantRequest) { q.Operations = operations("Decrypt") },
		"constraints": func(q *api.CreateGrantRequest) { q.Constraints = nil },
		"subset":      func(q *api.CreateGrantRequest) { q.Constraints = subset("a", "1") },
		"equals":      func(q *api.CreateGrantRequest) { q.Constraints = equals("a", "1", "b", "2") },
		"source":      func(q *api.CreateGrantRequest) { q.Constraints.SourceArn = str(source) },
	} {
		q := request()
		change(q)
		other, _ := b.grant(t, q)
		if seen[other] != "" {
			t.Errorf("%s changed: the same grant as with %s changed", what, seen[other])
		}
		seen[other] = what
	}
	// Once the grant is gone, the same words make a new one.
	b.run(t, "RevokeGrant", &api.RevokeGrantRequest{KeyId: str(key), GrantId: str(id)})
	if renewed, _ := b.grant(t, request()); seen[renewed] != "" {
		t.Error("a revoked grant came back")
	}
	// However many ask at the same time, there is one.
	q := request()
	q.Name = str("at-once")
	ids := make([]string, 16)
	var wg sync.WaitGroup
	for i := range ids {
		wg.Go(func() {
			resp, err := b.do(t, "CreateGrant", q)
			if err != nil {
				t.Errorf("at once: %v", err)
				return
			}
			ids[i], _ = granted(t, resp)
		})
	}
	wg.Wait()
	if slices.Sort(ids); ids[0] == "" || len(slices.Compact(ids)) != 1 {
		t.Errorf("at once: grants %v", ids)
	}
	checkStore(t, b)
}

// TestGrantPages pages through each of the lists: every grant once, none of anybody else's.
func TestGrantPages(t *testing.T) {
	b := testBench(t)
	keys := make([]string, 3)
	for i := range keys {
		keys[i], _ = b.newKey(t, &api.CreateKeyRequest{})
	}
	var onKey, ofGrantee, retirable []string
	for i := range 130 {
		q := decrypting(keys[i%3])
		q.GranteePrincipal = str(fmt.Sprint(grantee, i%2))
		q.RetiringPrincipal = str(fmt.Sprint(retirer, i%5))
		q.Constraints = []*api.GrantConstraints{nil, subset("a", fmt.Sprint(i)), equals("a", fmt.Sprint(i)), {SourceArn: str(source)}}[i%4]
		q.Operations = [][]api.GrantOperation{operations("Decrypt"), operations("Encrypt", "DescribeKey")}[i/2%2]
		id, _ := b.grant(t, q)
		if i%3 == 0 {
			onKey = append(onKey, id)
		}
		if i%3 == 0 && i%2 == 0 {
			ofGrantee = append(ofGrantee, id)
		}
		if i%5 == 0 {
			retirable = append(retirable, id)
		}
	}
	for _, c := range []struct {
		name string
		want []string
		page func(limit api.Opt[int64], marker api.Opt[string]) (string, api.Request)
	}{
		{"on a key", onKey, func(limit api.Opt[int64], marker api.Opt[string]) (string, api.Request) {
			return "ListGrants", &api.ListGrantsRequest{KeyId: str(keys[0]), Limit: limit, Marker: marker}
		}},
		{"of a grantee", ofGrantee, func(limit api.Opt[int64], marker api.Opt[string]) (string, api.Request) {
			return "ListGrants", &api.ListGrantsRequest{KeyId: str(keys[0]), GranteePrincipal: str(grantee + "0"), Limit: limit, Marker: marker}
		}},
		{"retirable", retirable, func(limit api.Opt[int64], marker api.Opt[string]) (string, api.Request) {
			return "ListRetirableGrants", &api.ListRetirableGrantsRequest{RetiringPrincipal: str(retirer + "0"), Limit: limit, Marker: marker}
		}},
	} {
		slices.Sort(c.want)
		for _, limit := range []int64{1, 7, 50, 1000} {
			var got []string
			var marker api.Opt[string]
			for {
				op, req := c.page(api.Some(limit), marker)
				r := must[api.ListGrantsResponse](t, b, op, req)
				if len(r.Grants) > int(min(limit, 100)) || r.Truncated.V != r.NextMarker.Set {
					t.Errorf("%s, %d at once: a page of %d", c.name, limit, len(r.Grants))
				}
				got = append(got, grantIDs(r)...)
				if marker = r.NextMarker; !marker.Set {
					break
				}
			}
			if slices.Sort(got); !slices.Equal(got, c.want) {
				t.Errorf("%s, %d at once: %d grants, want %d", c.name, limit, len(got), len(c.want))
			}
		}
	}
	// The marker of one list is none of another's.
	r := b.listGrants(t, &api.ListGrantsRequest{KeyId: str(keys[0]), Limit: api.Some[int64](1)})
	_, err := b.do(t, "ListGrants", &api.ListGrantsRequest{KeyId: str(keys[0]), GranteePrincipal: str(grantee + "0"), Marker: r.NextMarker})
	refusal(t, "a marker of another list", err, api.InvalidMarkerException, "*")
	checkStore(t, b)
}

// TestGrantsOfReplicas: related keys have grants of their own, and a key that is deleted takes its grants along, so many at a time.
func TestGrantsOfReplicas(t *testing.T) {
	b := testBench(t)
	id := b.newMultiRegion(t, api.CreateKeyRequest{})
	b.replicate(t, id, west)
	for i := range 45 {
		q := decrypting(id)
		q.Name, q.RetiringPrincipal, q.Constraints = str(fmt.Sprint(i)), str(retirer), subset("a", "1", "b", fmt.Sprint(i))
		q.Operations = operations("Decrypt", "DescribeKey")
		b.runIn(t, west, "CreateGrant", q)
		b.runIn(t, west, "CreateAlias", &api.CreateAliasRequest{AliasName: str(fmt.Sprint("alias/", i)), TargetKeyId: str(id)})
	}
	kept, _ := b.grant(t, decrypting(id))
	if got := grantIDs(b.listGrants(t, &api.ListGrantsRequest{KeyId: str(id)})); !slices.Equal(got, []string{kept}) {
		t.Errorf("the primary has grants %v", got)
	}
	retirable := func() int {
		return len(mustIn[api.ListGrantsResponse](t, b, west, "ListRetirableGrants", &api.ListRetirableGrantsRequest{RetiringPrincipal: str(retirer)}).Grants)
	}
	if n := retirable(); n != 45 {
		t.Errorf("%d retirable grants, want 45", n)
	}
	b.runIn(t, west, "ScheduleKeyDeletion", &api.ScheduleKeyDeletionRequest{KeyId: str(id), PendingWindowInDays: api.Some[int64](7)})
	b.pass(8 * day)
	b.due(t, b.kms.DeleteKey, west, id)
	if n := retirable(); n != 0 {
		t.Errorf("%d retirable grants on a deleted key", n)
	}
	runs := 1
	for b.due(t, b.kms.SweepKey, west, id).More {
		runs++
	}
	if counts := checkStore(t, b); counts["g"] != 1 || counts["t"] != 0 || runs < 4 {
		t.Errorf("after %d runs the store has %v", runs, counts)
	}
	b.replicate(t, id, west)
	if r := mustIn[api.ListGrantsResponse](t, b, west, "ListGrants", &api.ListGrantsRequest{KeyId: str(id)}); len(r.Grants) != 0 {
		t.Errorf("the replica that came after has %d grants", len(r.Grants))
	}
}

// TestGrantQuotas sets the counters to where the last grant has been made.
func TestGrantQuotas(t *testing.T) {
	b := testBench(t)
	key, arn := b.newKey(t, &api.CreateKeyRequest{})
	owner := record.Owner{Account: account, Region: region}
	q := decrypting(key)
	q.Name = str("n")
	id, _ := b.grant(t, q)
	b.setCounter(t, record.GrantCounter(owner, key), 50_000)
	_, err := b.do(t, "CreateGrant", decrypting(key))
	refusal(t, "one grant more", err, api.LimitExceededException, "The KMS key "+arn+" has reached its quota of 50000 grants.")
	if same, _ := b.grant(t, q); same != id {
		t.Errorf("a retry at the quota: %s, want %s", same, id)
	}
	b.setCounter(t, record.GrantCounter(owner, key), 1)

	g := &record.Grant{Owner: owner, KeyID: key, Grantee: grantee, Subset: record.ContextPairs(pairsOf("a", "1", "b", "2"))}
	q = decrypting(key)
	q.Constraints = subset("a", "1", "b", "2")
	b.setCounter(t, g.LeadCounter(0), 500)
	b.grant(t, q) // found by b then
	b.setCounter(t, g.LeadCounter(1), 500)
	_, err = b.do(t, "CreateGrant", q)
	refusal(t, "too many in one place", err, api.LimitExceededException, "*")
	q.Constraints = subset("a", "1")
	b.grant(t, q) // one pair tells by itself
	q.Constraints = subset("a", "1", "c", "3")
	b.grant(t, q)
}
