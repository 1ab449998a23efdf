package kms_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/identity"
	"github.com/keyturn/keyturn/internal/kms"
	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/service"
)

const mayAsk = `{"Effect":"Allow","Action":["kms:GetKeyPolicy","kms:ListGrants"],"Resource":"*"}`

// TestExplainPermissions: who may ask about whom, and that nobody is told more than that by a refusal.
func TestExplainPermissions(t *testing.T) {
	b, who := explainBench(t)
	_, arn := b.newKey(t, &api.CreateKeyRequest{Policy: str(keyPolicy(`{"Effect":"Allow","Principal":{"AWS":"` + bob + `"},"Action":"kms:*","Resource":"*"}`))})
	gone := "arn:aws:iam::" + account + ":user/nobody"
	eve := "arn:aws:iam::" + account + ":user/eve"
	who.add(person(t, eve))
	who.add(person(t, bob, mayDecrypt))
	ask := func(caller *service.Caller, key, principal string) *api.Error {
		q := &api.ExplainAccessRequest{KeyId: str(key), Action: str("kms:Decrypt")}
		if principal != "" {
			q.Principal = str(principal)
		}
		_, err := b.as(t, caller, "keyturn.ExplainAccess", q)
		return err
	}
	reader := person(t, ann, mayAsk)
	onEve := person(t, ann, mayAsk, `{"Effect":"Allow","Action":"iam:SimulatePrincipalPolicy","Resource":"`+eve+`"}`)
	onAll := person(t, ann, mayAsk, `{"Effect":"Allow","Action":"iam:SimulatePrincipalPolicy","Resource":"*"}`)
	for _, tt := range []struct {
		name           string
		caller         *service.Caller
		key, principal string
		want           api.ErrorCode // "" is answered
	}{
		{"herself", reader, arn, "", ""},
		{"herself by name", reader, arn, ann, ""},
		{"a service", reader, arn, "logs.amazonaws.com", ""},
		{"another", reader, arn, eve, api.AccessDeniedException},
		{"another who is not there", reader, arn, gone, api.AccessDeniedException},
		{"another, allowed", onEve, arn, eve, ""},
		{"allowed for one only", onEve, arn, gone, api.AccessDeniedException},
		{"who is not there", onAll, arn, gone, api.NotFoundException},
		{"another account's", onAll, arn, bob, api.AccessDeniedException},
		{"another account's, the root user asks", b.caller, arn, bob, api.AccessDeniedException},
		{"nobody's ARN", onAll, arn, "arn:aws:iam::" + account + ":group/x", api.InvalidArnException},
		{"without the key policy", person(t, ann, `{"Effect":"Allow","Action":["kms:GetKeyPolicy"],"Resource":"*"}`), arn, "", api.AccessDeniedException},
		{"from another account", person(t, bob, `{"Effect":"Allow","Action":"*","Resource":"*"}`), arn, "", api.AccessDeniedException},
		{"a key that is not there", reader, strings.Replace(arn, arn[len(arn)-4:], "0000", 1), "", api.NotFoundException},
	} {
		err := ask(tt.caller, tt.key, tt.principal)
		if (err == nil) != (tt.want == "") || err != nil && err.Code != tt.want {
			t.Errorf("%s: %v, want %s", tt.name, err, tt.want)
		}
	}
	there, absent := ask(reader, arn, eve), ask(reader, arn, gone)
	if strings.ReplaceAll(there.Message, eve, gone) != absent.Message {
		t.Errorf("%v of who is there, %v of who is not", there, absent)
	}
	if _, err := b.as(t, reader, "keyturn.ExplainAccess", &api.ExplainAccessRequest{KeyId: str("alias/aws/s3"), Action: str("kms:Decrypt")}); err == nil || err.Code != api.NotFoundException {
		t.Errorf("an AWS managed key that is not made: %v", err)
	}
	for _, action := range []string{"kms:ListKeys", "kms:CreateKey", "kms:Nothing", "s3:GetObject", "kms:*"} {
		if _, err := b.as(t, reader, "keyturn.ExplainAccess", &api.ExplainAccessRequest{KeyId: str(arn), Action: str(action)}); err == nil || err.Code != api.ValidationException {
			t.Errorf("%s: %v", action, err)
		}
	}
	big := []api.AccessContext{{Key: str("aws:SourceIp")}}
	for range 50 {
		big[0].Values = append(big[0].Values, strings.Repeat("x", 1024))
	}
	if _, err := b.as(t, reader, "keyturn.ExplainAccess", &api.ExplainAccessRequest{KeyId: str(arn), Action: str("kms:Decrypt"), Context: big}); err == nil || err.Code != api.ValidationException {
		t.Errorf("a long context: %v", err)
	}
}

// TestExplainReasons: which statements, which grant, what is missing, and what another key policy would change.
func TestExplainReasons(t *testing.T) {
	b, who := explainBench(t)
	who.add(person(t, ann, `{"Sid":"office","Effect":"Allow","Action":"kms:Decrypt","Resource":"*","Condition":{"IpAddress":{"aws:SourceIp":"192.0.2.0/24"}}}`))
	id, arn := b.newKey(t, &api.CreateKeyRequest{Policy: str(keyPolicy())})
	q := api.ExplainAccessRequest{KeyId: str(id), Principal: str(ann), Action: str("kms:Decrypt")}
	r := b.explain(t, &q)
	if r.Allowed.V || !r.Conditional.V || !slices.Equal(r.MissingContextKeys, []string{"aws:SourceIp"}) || r.DecidedBy.V != "identity-based policy" ||
		len(r.Statements) != 1 || r.Statements[0].Sid.V != "root" || r.Statements[0].Via.V != "account" || r.KeyId.V != arn {
		t.Errorf("without an address: %+v", r)
	}
	q.Context = []api.AccessContext{entry("AWS:SourceIP", "192.0.2.7")}
	if r = b.explain(t, &q); !r.Allowed.V || len(r.Statements) != 2 || r.Statements[1].PolicyName.V != "p" || r.Statements[1].Sid.V != "office" || len(r.MissingContextKeys) != 0 {
		t.Errorf("from the office: %+v", r)
	}
	q.Context[0].Values = []string{"198.51.100.1"}
	if r = b.explain(t, &q); r.Allowed.V || r.Conditional.V || !strings.HasSuffix(r.Message.V, "because no identity-based policy allows the kms:Decrypt action") {
		t.Errorf("from elsewhere: %+v", r)
	}
	q.KeyPolicy = str(keyPolicy(`{"Sid":"ann","Effect":"Allow","Principal":{"AWS":"` + ann + `"},"Action":"kms:Decrypt","Resource":"*"}`))
	if r = b.explain(t, &q); !r.Allowed.V || r.DecidedBy.V != "resource-based policy" {
		t.Errorf("with another key policy: %+v", r)
	}
	q.KeyPolicy = str(`{"Version":"2012-10-17"}`)
	if _, err := b.as(t, b.caller, "keyturn.ExplainAccess", &q); err == nil || err.Code != api.MalformedPolicyDocumentException {
		t.Errorf("with what is no key policy: %v", err)
	}
	q.KeyPolicy, q.Context = api.Opt[string]{}, nil
	made, err := b.do(t, "CreateGrant", &api.CreateGrantRequest{
		KeyId: str(id), GranteePrincipal: str(ann), Operations: []api.GrantOperation{"Decrypt", "CreateGrant"}, Constraints: &api.GrantConstraints{EncryptionContextSubset: oneEntry("Team", "x")},
	})
	if err != nil {
		t.Fatal(err)
	}
	grant, _ := granted(t, made)
	q.Context = []api.AccessContext{entry("aws:SourceIp")} // none
	if r = b.explain(t, &q); r.Allowed.V || !r.Conditional.V || !slices.Equal(r.MissingContextKeys, []string{"kms:EncryptionContext:team"}) || r.Grant.Set {
		t.Errorf("granted for a context: %+v", r)
	}
	q.EncryptionContext = oneEntry("team", "x")
	if r = b.explain(t, &q); !r.Allowed.V || r.Grant.V != grant || r.DecidedBy.V != "grant" {
		t.Errorf("with the context: %+v", r)
	}
	q.EncryptionContext = oneEntry("team", "y")
	if r = b.explain(t, &q); r.Allowed.V || r.Conditional.V {
		t.Errorf("with another context: %+v", r)
	}
	q.Action, q.EncryptionContext = str("kms:CreateGrant"), oneEntry("team", "x")
	if r = b.explain(t, &q); !r.Allowed.V || r.Grant.V != grant {
		t.Errorf("passing it on: %+v", r)
	}
	// What the asking call has is not what is explained.
	if r, err := b.as(t, person(t, ann, mayAsk, `{"Effect":"Allow","Action":"kms:Decrypt","Resource":"*","Condition":{"IpAddress":{"aws:SourceIp":"192.0.2.1"}}}`), "keyturn.ExplainAccess",
		&api.ExplainAccessRequest{KeyId: str(id), Action: str("kms:Decrypt")}); err != nil || r.(*api.ExplainAccessResponse).Allowed.V {
		t.Errorf("from where one asks: %+v, %v", r, err)
	}
}

// TestWhoCan lists everybody who can decrypt, each by what allows it, and page by page the same.
func TestWhoCan(t *testing.T) {
	b, who := explainBench(t)
	eve := "arn:aws:iam::" + account + ":user/eve"
	who.add(person(t, ann, mayDecrypt))
	who.add(person(t, eve))
	who.add(session(t, "app", "s", "", ""))
	sessionARN := "arn:aws:sts::" + account + ":assumed-role/app/s"
	id, _ := b.newKey(t, &api.CreateKeyRequest{Policy: str(keyPolicy(
		fmt.Sprintf(`{"Sid":"bob","Effect":"Allow","Principal":{"AWS":[%q,"222233334444"],"Service":"logs.amazonaws.com"},"Action":"kms:Decrypt","Resource":"*"}`, bob),
		fmt.Sprintf(`{"Sid":"role","Effect":"Allow","Principal":{"AWS":["arn:aws:iam::999988887777:role/dir/far",%q]},"Action":"kms:*","Resource":"*"}`, sessionARN),
		`{"Sid":"mfa","Effect":"Allow","Principal":"*","Action":"kms:Decrypt","Resource":"*","Condition":{"Bool":{"aws:MultiFactorAuthPresent":"true"},"StringEquals":{"kms:CallerAccount":"333344445555"}}}`,
		`{"Sid":"no","Effect":"Deny","Principal":{"AWS":"arn:aws:iam::999988887777:role/dir/far"},"Action":"kms:Decrypt","Resource":"*"}`,
	))})
	grantees := []string{"arn:aws:iam::444455556666:role/r", eve, bob, "arn:aws:iam::444455556666:user/u"}
	for i, grantee := range grantees {
		q := &api.CreateGrantRequest{KeyId: str(id), GranteePrincipal: str(grantee), Operations: []api.GrantOperation{"Decrypt"}}
		if i == 3 {
			q.Constraints = &api.GrantConstraints{EncryptionContextEquals: oneEntry("a", "b")}
		}
		b.run(t, "CreateGrant", q)
		b.run(t, "CreateGrant", q)
	}
	b.run(t, "CreateGrant", &api.CreateGrantRequest{KeyId: str(id), GranteePrincipal: str("arn:aws:iam::444455556666:role/other"), Operations: []api.GrantOperation{"Encrypt"}})
	list := func(limit int64) (rows []string) {
		q := &api.ListKeyAccessRequest{KeyId: str(id), Action: str("kms:Decrypt"), Limit: api.Some(limit)}
		for range 40 {
			resp, err := b.as(t, b.caller, "keyturn.ListKeyAccess", q)
			if err != nil {
				t.Fatal(err)
			}
			r := resp.(*api.ListKeyAccessResponse)
			if len(r.Principals) > int(limit) {
				t.Errorf("%d on a page of %d", len(r.Principals), limit)
			}
			for _, p := range r.Principals {
				sids := []string{}
				for _, s := range p.Statements {
					sids = append(sids, s.Sid.V)
				}
				rows = append(rows, fmt.Sprintf("%s %s %s %v %d %v own=%v", p.PrincipalType.V, strings.TrimPrefix(p.Principal.V, "arn:aws:"), p.DecidedBy.V, sids, len(p.Grants), p.MissingContextKeys, p.OwnAccountDecides.V))
			}
			if !r.NextMarker.Set {
				return rows
			}
			q.Marker = r.NextMarker
		}
		t.Fatal("the list does not end")
		return nil
	}
	want := []string{
		"Account iam::222233334444:root resource-based policy [bob] 0 [aws:MultiFactorAuthPresent] own=true",
		"Everybody *  [] 0 [aws:MultiFactorAuthPresent kms:CallerAccount] own=true",
		"Role iam::444455556666:role/r grant [] 1 [aws:MultiFactorAuthPresent] own=true",
		"Root iam::111122223333:root root user [root] 0 [aws:MultiFactorAuthPresent] own=false",
		"Service logs.amazonaws.com resource-based policy [bob] 0 [aws:MultiFactorAuthPresent] own=false",
		"Session sts::111122223333:assumed-role/app/s resource-based policy [root role] 0 [aws:MultiFactorAuthPresent] own=false",
		"User iam::111122223333:user/ann identity-based policy [root ] 0 [aws:MultiFactorAuthPresent] own=false",
		"User iam::111122223333:user/eve grant [root] 1 [aws:MultiFactorAuthPresent] own=false",
		"User iam::444455556666:user/u  [] 1 [aws:MultiFactorAuthPresent kms:EncryptionContext:a] own=true",
		"User iam::999988887777:user/bob resource-based policy [bob] 0 [aws:MultiFactorAuthPresent] own=true",
	}
	all := list(100)
	if got := slices.Sorted(slices.Values(all)); !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	for _, limit := range []int64{1, 3} {
		if got := list(limit); !slices.Equal(got, all) {
			t.Errorf("by %d:\n%s\nat once:\n%s", limit, strings.Join(got, "\n"), strings.Join(all, "\n"))
		}
	}
	for _, statements := range [][]string{{mayAsk}, {mayAsk, `{"Effect":"Allow","Action":"iam:ListUsers","Resource":"*"}`}, {`{"Effect":"Allow","Action":["iam:List*","kms:GetKeyPolicy"],"Resource":"*"}`}} {
		if _, err := b.as(t, person(t, ann, statements...), "keyturn.ListKeyAccess", &api.ListKeyAccessRequest{KeyId: str(id), Action: str("kms:Decrypt")}); err == nil || err.Code != api.AccessDeniedException {
			t.Errorf("with %v: %v", statements, err)
		}
	}
	for _, marker := range []string{"x", "MS9hY2Nlc3MvOS8", "MS9hY2Nlc3MvMC8tMQ"} {
		if _, err := b.as(t, b.caller, "keyturn.ListKeyAccess", &api.ListKeyAccessRequest{KeyId: str(id), Action: str("kms:Decrypt"), Marker: str(marker)}); err == nil || err.Code != api.InvalidMarkerException {
			t.Errorf("marker %s: %v", marker, err)
		}
	}
}

// TestRefusalRecorded: a refusal's audit record tells what refused, and nothing of what another account's policies say.
func TestRefusalRecorded(t *testing.T) {
	b := testBench(t)
	deny := fmt.Sprintf(`{"Sid":"no","Effect":"Deny","Principal":{"AWS":[%q,%q]},"Action":"kms:DescribeKey","Resource":"*"}`, ann, bob)
	open := fmt.Sprintf(`{"Sid":"yes","Effect":"Allow","Principal":{"AWS":%q},"Action":"kms:DescribeKey","Resource":"*"}`, bob)
	_, closed := b.newKey(t, &api.CreateKeyRequest{Policy: str(keyPolicy(deny))})
	_, shared := b.newKey(t, &api.CreateKeyRequest{Policy: str(keyPolicy(open))})
	own := `{"Sid":"mine","Effect":"Deny","Action":"kms:DescribeKey","Resource":"*"}`
	b.events(t) // those of the changes are in the log now
	for _, tt := range []struct {
		who  *service.Caller
		key  string
		want string
	}{
		{person(t, ann, mayDecrypt), closed, `map[decidedBy:resource-based policy decision:explicitDeny statements:[map[effect:Deny index:1 policyType:resource-based policy sid:no] map[effect:Allow index:0 policyType:resource-based policy sid:root] map[effect:Allow index:0 policyName:p policyType:identity-based policy]]]`},
		{person(t, ann), shared, `map[decidedBy:identity-based policy decision:implicitDeny statements:[map[effect:Allow index:0 policyType:resource-based policy sid:root]]]`},
		{person(t, bob, mayDecrypt), closed, `map[decidedBy:resource-based policy decision:deny statements:[]]`},
		{person(t, bob, own), closed, `map[decidedBy:resource-based policy decision:deny statements:[]]`},
		{person(t, bob, own), closed[:len(closed)-4] + "0000", `map[decidedBy:resource-based policy decision:deny statements:[]]`},
		{person(t, bob, own), shared, `map[decidedBy:identity-based policy decision:explicitDeny statements:[map[effect:Deny index:0 policyName:p policyType:identity-based policy sid:mine]]]`},
		{person(t, ann), "alias/aws/s3", `map[decidedBy:identity-based policy decision:implicitDeny statements:[]]`},
		{b.caller, shared, `<nil>`},
	} {
		b.as(t, tt.who, "kms.DescribeKey", &api.DescribeKeyRequest{KeyId: str(tt.key)})
		events := b.events(t)
		if got := fmt.Sprint(events[len(events)-1].Additional["authorization"]); got != tt.want {
			t.Errorf("%s, %s:\n%s\nwant\n%s", tt.who.ARN, tt.key, got, tt.want)
		}
	}
}

// TestWhoCanStored lists users and roles from the store: a page looks at so many and no more.
func TestWhoCanStored(t *testing.T) {
	directory := identity.NewDirectory(identity.Config{Configured: map[string]identity.Configured{
		"AKIACONFIGURED": {Caller: person(t, "arn:aws:iam::"+account+":user/configured", mayDecrypt)},
	}})
	b := newBench(t, kms.Config{Principals: identity.Known{Directory: directory}})
	t.Cleanup(func() { b.close(t) })
	directory.Attach(b.p)
	id, _ := b.newKey(t, &api.CreateKeyRequest{})
	inline := func(statement string) []record.Inline {
		return []record.Inline{{Name: "inline", Document: `{"Version":"2012-10-17","Statement":[` + statement + `]}`}}
	}
	put := service.Def[record.Principal, service.None]{Name: "Put", Kind: service.Internal, Plan: func(tx *service.Tx, p *record.Principal, _ []service.Target) (*service.None, error) {
		kind, r := record.UserKind, record.Record(&record.User{Principal: *p})
		if strings.HasPrefix(p.ID, "AROA") {
			kind, r = record.RoleKind, &record.Role{Principal: *p}
		}
		name := &record.Name{Account: account, Kind: kind, Name: p.Name, ID: p.ID}
		for _, x := range []record.Record{r, name} {
			if _, err := service.Lookup[record.Record](tx, x.StoreKey()); err != nil {
				return nil, err
			}
			tx.Put(x)
		}
		return nil, nil
	}}.Op("iam")
	for i := range 250 {
		p := &record.Principal{Account: account, ID: fmt.Sprintf("AIDA%03d", i), Name: fmt.Sprintf("u%03d", i), Path: "/"}
		if i == 240 {
			p.Path, p.Inline = "/team/", inline(mayDecrypt)
		}
		if i == 249 {
			p.ID, p.Name, p.Path, p.Inline = "AROAAPP", "app", "/svc/", inline(`{"Effect":"Allow","Action":"kms:*","Resource":"*","Condition":{"StringEquals":{"aws:PrincipalTag/team":"x"}}}`)
		}
		if _, err := b.p.DoInternal(t.Context(), put, record.Owner{Account: account, Region: region}, start, 0, p); err != nil {
			t.Fatal(err)
		}
	}
	var rows []string
	pages, q := 0, &api.ListKeyAccessRequest{KeyId: str(id), Action: str("kms:Decrypt")}
	for {
		resp, err := b.as(t, b.caller, "keyturn.ListKeyAccess", q)
		if err != nil {
			t.Fatal(err)
		}
		pages++
		for _, p := range resp.(*api.ListKeyAccessResponse).Principals {
			rows = append(rows, fmt.Sprint(p.Principal.V, " ", p.Allowed.V, " ", p.MissingContextKeys))
		}
		if q.Marker = resp.(*api.ListKeyAccessResponse).NextMarker; !q.Marker.Set {
			break
		}
	}
	prefix := "arn:aws:iam::" + account
	want := []string{prefix + ":root true []", prefix + ":user/configured true []", prefix + ":user/team/u240 true []", prefix + ":role/svc/app false [aws:principaltag/team]"}
	if !slices.Equal(rows, want) || pages != 2 {
		t.Errorf("%d pages:\n%s\nwant 2 pages:\n%s", pages, strings.Join(rows, "\n"), strings.Join(want, "\n"))
	}
	for principal, want := range map[string]bool{":user/team/u240": true, ":user/u001": false, ":user/configured": true, ":role/svc/app": false, ":root": true} {
		if r := b.explain(t, &api.ExplainAccessRequest{KeyId: str(id), Action: str("kms:Decrypt"), Principal: str(prefix + principal)}); r.Allowed.V != want {
			t.Errorf("%s: %+v", principal, r)
		}
	}
	for _, principal := range []string{":user/u240", ":user/nobody", ":role/app", ":user/u001/"} {
		_, err := b.as(t, b.caller, "keyturn.ExplainAccess", &api.ExplainAccessRequest{KeyId: str(id), Action: str("kms:Decrypt"), Principal: str(prefix + principal)})
		if err == nil || err.Code != api.NotFoundException && err.Code != api.InvalidArnException {
			t.Errorf("%s: %v", principal, err)
		}
	}
}

// TestWhoCanPinned lists users and roles of another account that have records, so that a key policy and grants name them by their unique IDs.
func TestWhoCanPinned(t *testing.T) {
	b, _ := explainBench(t)
	const other = "999988887777"
	user := &record.User{Principal: record.Principal{Account: other, ID: "AIDABOB", Name: "bob", Path: "/"}}
	role := &record.Role{Principal: record.Principal{Account: other, ID: "AROAFAR", Name: "far", Path: "/dir/"}}
	b.identities(t, putIdentities{put: []record.Record{
		user, &record.Name{Account: other, Kind: record.UserKind, Name: "bob", ID: user.ID},
		role, &record.Name{Account: other, Kind: record.RoleKind, Name: "far", ID: role.ID},
	}})
	far := "arn:aws:iam::" + other + ":role/dir/far"
	named, _ := b.newKey(t, &api.CreateKeyRequest{Policy: str(keyPolicy(`{"Effect":"Allow","Principal":{"AWS":["` + bob + `","` + far + `"]},"Action":"kms:Decrypt","Resource":"*"}`))})
	granted, _ := b.newKey(t, &api.CreateKeyRequest{})
	for _, arn := range []string{bob, far} {
		for _, key := range []string{granted, named} {
			b.run(t, "CreateGrant", &api.CreateGrantRequest{KeyId: str(key), GranteePrincipal: str(arn), Operations: []api.GrantOperation{"Decrypt"}})
		}
	}
	for _, key := range []string{named, granted} {
		resp, err := b.as(t, b.caller, "keyturn.ListKeyAccess", &api.ListKeyAccessRequest{KeyId: str(key), Action: str("kms:Decrypt")})
		if err != nil {
			t.Fatal(err)
		}
		var rows []string
		for _, p := range resp.(*api.ListKeyAccessResponse).Principals {
			if p.OwnAccountDecides.V {
				rows = append(rows, p.Principal.V)
			}
		}
		if slices.Sort(rows); !slices.Equal(rows, []string{far, bob}) {
			t.Errorf("%v", rows)
		}
	}
}
