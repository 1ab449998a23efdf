package record

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// TestIdentityIndexes spells out where identities are found and counted: what else reads these depends on every letter.
func TestIdentityIndexes(t *testing.T) {
	const admin, bound = "arn:aws:iam::aws:policy/AdministratorAccess", "arn:aws:iam::111122223333:policy/p"
	user := &User{Principal: samplePrincipal("AIDAEXAMPLE", "Ann"), Groups: []string{"AGPAEXAMPLE"}}
	for _, tc := range []struct {
		record            Record
		at                string
		indexes, counters []string
	}{
		{
			user, "p/111122223333/user/AIDAEXAMPLE",
			[]string{
				"i/paths/111122223333/user/team/Ann/AIDAEXAMPLE", AttachedPrefix(owner.Account, admin) + "user/AIDAEXAMPLE",
				BoundsPrefix(owner.Account, bound) + "user/AIDAEXAMPLE", "i/members/111122223333/AGPAEXAMPLE/AIDAEXAMPLE",
			},
			[]string{
				"c/principals/111122223333/user", AttachmentCounter(owner.Account, admin), BoundaryCounter(owner.Account, bound),
				"c/members/111122223333/AGPAEXAMPLE",
			},
		},
		{&Name{Account: owner.Account, Kind: UserKind, Name: "Ann"}, "pn/111122223333/user/ann", nil, nil},
		{samplePolicy(), "pp/111122223333/p", []string{"i/policypaths/111122223333/p/p"}, []string{"c/policies/111122223333", "c/policyversions/111122223333", "c/policyversions/111122223333"}},
		{
			&AccessKey{ID: "AKIAEXAMPLE", Account: owner.Account}, "x/AKIAEXAMPLE",
			[]string{"i/accesskeys/111122223333/root/AKIAEXAMPLE"}, []string{"c/accesskeys/111122223333/root"},
		},
		{&MFADevice{Account: owner.Account, Name: "Phone"}, "pm/111122223333/phone", nil, []string{"c/mfadevices/111122223333"}},
		{
			&MFADevice{Account: owner.Account, Name: "Phone", UserID: "AIDAEXAMPLE"}, "pm/111122223333/phone",
			[]string{"i/mfa/111122223333/AIDAEXAMPLE/phone"}, []string{"c/mfadevices/111122223333", "c/mfa/111122223333/AIDAEXAMPLE", "c/mfaenabled/111122223333"},
		},
		{
			&AccountAlias{Alias: "a", Account: owner.Account}, "na/a", []string{"i/accountalias/111122223333/a"},
			[]string{"c/accountalias/111122223333"},
		},
	} {
		if got := tc.record.StoreKey(); got != tc.at {
			t.Errorf("%T stands at %s, want %s", tc.record, got, tc.at)
		}
		if got := tc.record.Indexes(); !slices.Equal(got, tc.indexes) {
			t.Errorf("%s has indexes %q, want %q", tc.at, got, tc.indexes)
		}
		if got := tc.record.Counters(); !slices.Equal(got, tc.counters) {
			t.Errorf("%s counts in %q, want %q", tc.at, got, tc.counters)
		}
	}
	if id := ParsePathEntry("/a//b/Ann/AIDAEXAMPLE"); id != "AIDAEXAMPLE" {
		t.Errorf("the entry's ID is %s", id)
	}
	if p := samplePolicy(); p.InForce() != `{"a":1}` || p.ARN() != bound {
		t.Errorf("version in force %s, ARN %s", p.InForce(), p.ARN())
	}
	p := OIDCProvider{Account: owner.Account, URL: "oidc.example/a/b"}
	if got := p.StoreKey(); strings.Count(got, "/") != 2 {
		t.Errorf("a provider stands at %s, where its URL's slashes would be taken for more", got)
	}
}

// TestSecretsDoNotPrint prints records that hold secrets in every way that a log might.
func TestSecretsDoNotPrint(t *testing.T) {
	key := &AccessKey{ID: "AKIAEXAMPLE", Secret: "hidden-secret"}
	device := &MFADevice{Name: "phone", Secret: []byte("hidden-secret")}
	for _, verb := range []string{"%v", "%+v", "%s", "%q"} {
		if s := fmt.Sprintf(verb+verb, key, device); strings.Contains(s, "hidden") || strings.Contains(s, "104 105 100") {
			t.Errorf("%s prints %s", verb, s)
		}
	}
}

// TestPolicyName tells policies with the same text apart by whom it named.
func TestPolicyName(t *testing.T) {
	k := &Key{Owner: owner, ID: "1234abcd-12ab-34cd-56ef-1234567890ab", Policy: "{}"}
	if other := (&Key{Owner: Owner{Account: "1", Region: "cn-north-1"}}).PolicyName(); k.PolicyName() != "{}" || other != "1aws-cn" {
		t.Errorf("names %q", k.PolicyName())
	}
	k.Pins = []Pin{{"arn:u", "AIDAONE"}}
	one := k.PolicyName()
	b, err := Encode(k)
	if err != nil {
		t.Fatal(err)
	}
	r, err := Decode(k.StoreKey(), b)
	if err != nil {
		t.Fatal(err)
	}
	stored := r.(*Key)
	if stored.PolicyName() != one || one == "{}" {
		t.Errorf("stored it is %q, before %q", stored.PolicyName(), one)
	}
	stored.SetPolicy("{}", []Pin{{"arn:u", "AIDATWO"}})
	if n := stored.PolicyName(); n == one || n == "{}" {
		t.Errorf("with another pin it is %q", n)
	}
}
