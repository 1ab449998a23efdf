package policy

import (
	"fmt"
	"testing"
)

var (
	rootUser = &Who{Kind: Root, ARN: "arn:aws:iam::111122223333:root", Account: "111122223333"}
	alice    = &Who{Kind: User, ARN: "arn:aws:iam::111122223333:user/team/alice", Account: "111122223333", UniqueIDs: []string{"AIDACKCEVSQ6C2EXAMPLE"}}
	bob      = &Who{Kind: User, ARN: "arn:aws:iam::444455556666:user/Bob", Account: "444455556666"}
	deploy   = &Who{Kind: RoleSession, ARN: "arn:aws:sts::111122223333:assumed-role/Deploy/ci", Role: "arn:aws:iam::111122223333:role/team/Deploy",
		Account: "111122223333", UniqueIDs: []string{"AROADBQP57FF2AEXAMPLE"}}
	token = &Who{Kind: RoleSession, ARN: "arn:aws:sts::111122223333:assumed-role/Pod/x", Role: "arn:aws:iam::111122223333:role/Pod",
		Account: "111122223333", Provider: "arn:aws:iam::111122223333:oidc-provider/oidc.example.com"}
	guest = &Who{Kind: FederatedUser, ARN: "arn:aws:sts::111122223333:federated-user/guest", User: "arn:aws:iam::111122223333:user/broker",
		Account: "111122223333"}
	bearer  = &Who{Kind: WebIdentity, Provider: "accounts.google.com"}
	saml    = &Who{Kind: SAML, Provider: "arn:aws:iam::111122223333:saml-provider/Okta"}
	logs    = &Who{Kind: Service, Service: "logs.us-east-1.amazonaws.com"}
	unknown = &Who{}
)

// TestPrincipalMatch has the rules of "AWS JSON policy elements: Principal" of the IAM user guide.
func TestPrincipalMatch(t *testing.T) {
	for _, tc := range []struct {
		principal string
		who       *Who
		want      Via
	}{
		{`"*"`, alice, Everybody},
		{`{"AWS":"*"}`, alice, Everybody},
		{`"*"`, unknown, Everybody},
		{`"*"`, nil, Everybody},
		{`"*"`, logs, Everybody},

		{`{"AWS":"111122223333"}`, rootUser, Account},
		{`{"AWS":"111122223333"}`, alice, Account},
		{`{"AWS":"arn:aws:iam::111122223333:root"}`, alice, Account},
		{`{"AWS":"arn:aws:iam::111122223333:root"}`, deploy, Account},
		{`{"AWS":"arn:aws:iam::111122223333:root"}`, guest, Account},
		{`{"AWS":"arn:aws-cn:iam::111122223333:root"}`, alice, None},
		{`{"AWS":"111122223333"}`, bob, None},
		{`{"AWS":"111122223333"}`, saml, None},
		{`{"AWS":"111122223333"}`, logs, None},
		{`{"AWS":"111122223333"}`, unknown, None},

		{`{"AWS":"arn:aws:iam::111122223333:user/team/alice"}`, alice, Direct},
		{`{"AWS":"arn:aws:iam::111122223333:user/alice"}`, alice, None}, // the path is part of who it is
		{`{"AWS":"arn:aws:iam::111122223333:user/team/Alice"}`, alice, None},
		{`{"AWS":"arn:aws:iam::444455556666:user/team/alice"}`, alice, None},
		{`{"AWS":"arn:aws:iam::111122223333:user/team/alice"}`, rootUser, None},

		{`{"AWS":"arn:aws:iam::111122223333:role/team/Deploy"}`, deploy, Direct},
		{`{"AWS":"arn:aws:iam::111122223333:role/Deploy"}`, deploy, None},
		{`{"AWS":"arn:aws:sts::111122223333:assumed-role/Deploy/ci"}`, deploy, Session},
		{`{"AWS":"arn:aws:sts::111122223333:assumed-role/Deploy/other"}`, deploy, None},
		{`{"AWS":["arn:aws:iam::111122223333:role/team/Deploy","arn:aws:sts::111122223333:assumed-role/Deploy/ci"]}`, deploy, Session},
		// What gives most counts, whatever else the list has ("How AWS enforcement code logic evaluates requests to allow or deny access").
		{`{"AWS":["*","111122223333","arn:aws:iam::111122223333:role/team/Deploy"]}`, deploy, Everybody},
		{`{"AWS":["111122223333","arn:aws:iam::111122223333:role/team/Deploy"]}`, deploy, Direct},
		{`{"AWS":["*","111122223333"]}`, deploy, Everybody},
		{`{"AWS":["*","arn:aws:sts::111122223333:assumed-role/Deploy/ci"]}`, deploy, Session},

		{`{"AWS":"arn:aws:sts::111122223333:federated-user/guest"}`, guest, Session},
		{`{"AWS":"arn:aws:iam::111122223333:user/broker"}`, guest, Direct},
		{`{"AWS":"arn:aws:sts::111122223333:federated-user/other"}`, guest, None},

		{`{"AWS":"AIDACKCEVSQ6C2EXAMPLE"}`, alice, Direct},
		{`{"AWS":"AROADBQP57FF2AEXAMPLE"}`, deploy, Direct},
		{`{"AWS":"AIDACKCEVSQ6C2EXAMPLX"}`, alice, None},

		{`{"Service":"logs.us-east-1.amazonaws.com"}`, logs, Direct},
		{`{"Service":"Logs.US-east-1.amazonaws.com"}`, logs, Direct},
		{`{"Service":"logs.eu-west-1.amazonaws.com"}`, logs, None},
		{`{"Service":"logs.us-east-1.amazonaws.com"}`, alice, None},

		{`{"Federated":"accounts.google.com"}`, bearer, Direct},
		{`{"Federated":"www.amazon.com"}`, bearer, None},
		{`{"Federated":"arn:aws:iam::111122223333:saml-provider/Okta"}`, saml, Direct},
		{`{"Federated":"arn:aws:iam::444455556666:saml-provider/Okta"}`, saml, None},
		{`{"Federated":"arn:aws:iam::111122223333:oidc-provider/oidc.example.com"}`, token, Direct},
		{`{"Federated":"accounts.google.com"}`, alice, None},
		{`{"CanonicalUser":"79a59df900b949e55d96a1e698fbacedfd6e09d98eacf8f8d5218e7cd47ef2be"}`, alice, None},
	} {
		for _, effect := range []string{"Allow", "Deny"} {
			p, err := ParseInForce([]byte(doc(fmt.Sprintf(`"Effect":%q,"Principal":%s,"Action":"*","Resource":"*"`, effect, tc.principal))))
			if err != nil {
				t.Fatal(err)
			}
			out := Compile(p).Evaluate(&Request{Who: tc.who, Action: "kms:Decrypt", Resource: keyARN})
			got := None
			for _, ref := range append(out.Allow, out.Deny...) {
				got = ref.Via
			}
			if got != tc.want {
				t.Errorf("%s %s, %+v: %v, want %v", effect, tc.principal, tc.who, got, tc.want)
			}
		}
	}
}

// TestNotPrincipal has the examples of "AWS JSON policy elements: NotPrincipal" of the IAM user guide.
func TestNotPrincipal(t *testing.T) {
	const (
		app     = `"arn:aws:sts::111122223333:assumed-role/Deploy/ci"`
		role    = `"arn:aws:iam::111122223333:role/team/Deploy"`
		account = `"arn:aws:iam::111122223333:root"`
		user    = `"arn:aws:iam::111122223333:user/team/alice"`
	)
	bounded := *alice
	bounded.Bounded = true
	other := *deploy
	other.ARN = "arn:aws:sts::111122223333:assumed-role/Deploy/other"
	for _, tc := range []struct {
		notPrincipal string
		who          *Who
		denied       bool
	}{
		{`{"AWS":[` + user + `,` + account + `]}`, alice, false},
		{`{"AWS":[` + user + `,"111122223333"]}`, alice, false},
		{`{"AWS":["AIDACKCEVSQ6C2EXAMPLE",` + account + `]}`, alice, false},
		{`{"AWS":[` + user + `,` + account + `]}`, &bounded, true},
		{`{"AWS":[` + user + `,` + account + `]}`, rootUser, false},
		{`{"AWS":[` + user + `,` + account + `]}`, deploy, true},
		{`{"AWS":[` + user + `,` + account + `]}`, bob, true},
		{`{"AWS":[` + user + `,` + account + `]}`, logs, true},
		{`{"AWS":[` + user + `,` + account + `]}`, unknown, true},
		{`{"AWS":` + user + `}`, alice, true}, // "you must also specify the account ARN"
		{`{"AWS":` + account + `}`, alice, true},

		{`{"AWS":[` + app + `,` + role + `,` + account + `]}`, deploy, false},
		{`{"AWS":[` + app + `,` + role + `,` + account + `]}`, &other, true},
		{`{"AWS":[` + role + `,` + account + `]}`, deploy, true},
		{`{"AWS":[` + app + `,` + account + `]}`, deploy, true},
		{`{"AWS":[` + app + `,` + role + `]}`, deploy, true},

		{`{"Service":"logs.us-east-1.amazonaws.com"}`, logs, false},
		{`{"Service":"logs.us-east-1.amazonaws.com"}`, alice, true},
		{`{"Federated":"accounts.google.com"}`, bearer, false},
		{`{"Federated":"accounts.google.com"}`, saml, true},
		{`"*"`, alice, false},
	} {
		p, err := ParseInForce([]byte(doc(`"Effect":"Deny","NotPrincipal":` + tc.notPrincipal + `,"Action":"*","Resource":"*"`)))
		if err != nil {
			t.Fatal(err)
		}
		out := Compile(p).Evaluate(&Request{Who: tc.who, Action: "kms:Decrypt", Resource: keyARN})
		if got := len(out.Deny) == 1; got != tc.denied {
			t.Errorf("%s, %+v: denied %v", tc.notPrincipal, tc.who, got)
		}
	}
}
