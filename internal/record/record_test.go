package record

import (
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/keyturn/keyturn/internal/keys"
)

var (
	owner = Owner{Account: "111122223333", Region: "eu-central-1"}
	when  = time.Date(2026, 3, 4, 5, 6, 7, 890e6, time.UTC)
)

func samples(t testing.TB) []Record {
	id := "1234abcd-12ab-34cd-56ef-1234567890ab"
	keyID, _ := keys.ParseKeyID(id)
	secret := []byte("0123456789abcdef0123456789abcdef")
	mid, err := keys.NewMaterialID(secret, keyID)
	if err != nil {
		t.Fatal(err)
	}
	k := &Key{
		Owner: owner, ID: id, Created: when, Description: "d", Spec: "SYMMETRIC_DEFAULT", Usage: "ENCRYPT_DECRYPT", Origin: "AWS_KMS",
		Manager: Customer, State: Enabled, Policy: "{}", Tags: []Tag{{"a", "b"}}, Current: mid.String(), Materials: 1,
		Rotation: Rotation{Enabled: true, Days: 90, Next: when.AddDate(0, 0, 90)}, OnDemandCount: 3, JitterSeconds: 60,
	}
	k.By = Provenance{Version: 4, Event: "e"}
	k.arn = KeyARN(owner, id)
	copied := *k
	pending := &copied
	pending.State, pending.DeletionDate, pending.DeletionDays = PendingDeletion, when.AddDate(0, 0, 7), 7
	return []Record{
		k, pending,
		&Material{Owner: owner, KeyID: id, ID: mid.String(), Created: when, Rotation: Automatic, Secret: secret},
		&Alias{Owner: owner, Name: "alias/a/b", KeyID: id, Created: when, Updated: when.Add(time.Hour)},
		&Tombstone{Owner: owner, KeyID: id, Deleted: when},
		&Clock{Offset: int64(91 * 24 * time.Hour)},
		sampleGrant(),
		&Account{ID: owner.Account, Name: "n", Created: when},
		&Name{Account: owner.Account, Kind: RoleKind, Name: "Deploy", ID: "AROAEXAMPLE"},
		&User{Principal: samplePrincipal("AIDAEXAMPLE", "Ann"), Groups: []string{"AGPAEXAMPLE"}},
		&Group{Principal: samplePrincipal("AGPAEXAMPLE", "ops")},
		&Role{Principal: samplePrincipal("AROAEXAMPLE", "deploy"), Trust: "{}", MaxSeconds: 3600},
		samplePolicy(),
		&AccessKey{ID: "AKIAEXAMPLE", Account: owner.Account, Secret: "secret", Active: true, Created: when},
		&MFADevice{Account: owner.Account, Name: "phone", Path: "/", Created: when, Secret: secret, UserID: "AIDAEXAMPLE"},
		&OIDCProvider{Account: owner.Account, URL: "oidc.example", Created: when},
	}
}

func TestRoundTrip(t *testing.T) {
	for _, r := range samples(t) {
		b, err := Encode(r)
		if err != nil {
			t.Fatal(err)
		}
		got, err := Decode(r.StoreKey(), b)
		if err != nil {
			t.Fatalf("%s: %v", r.StoreKey(), err)
		}
		if !reflect.DeepEqual(got, r) {
			t.Errorf("%s: got %+v, want %+v", r.StoreKey(), got, r)
		}
		if _, err := Decode(r.StoreKey()+"x", b); !errors.Is(err, ErrDecode) {
			t.Errorf("%s found at another key: %v", r.StoreKey(), err)
		}
		b[0]++
		if _, err := Decode(r.StoreKey(), b); !errors.Is(err, ErrDecode) {
			t.Errorf("%s of a newer schema: %v", r.StoreKey(), err)
		}
	}
}

func TestDueIndex(t *testing.T) {
	k := samples(t)[0].(*Key)
	find := func() (Due, bool) {
		for _, ix := range k.Indexes() {
			if strings.HasPrefix(ix, DuePrefix) {
				d, err := ParseDue(ix)
				if err != nil {
					t.Fatal(err)
				}
				return d, true
			}
		}
		return Due{}, false
	}
	d, ok := find()
	if want := k.Rotation.Next.Add(-time.Minute); !ok || d.Kind != DueRotation || !d.At.Equal(want) || d.KeyID != k.ID || d.Owner != owner {
		t.Errorf("enabled: %+v %v, want rotation a minute (the jitter) before %v", d, ok, want)
	}
	k.State = Disabled
	if d, ok := find(); ok {
		t.Errorf("a disabled key is due: %+v", d)
	}
	k.State, k.DeletionDate = PendingDeletion, when.AddDate(0, 0, 7)
	if d, ok := find(); !ok || d.Kind != DueDeletion || !d.At.Equal(k.DeletionDate.Add(time.Minute)) {
		t.Errorf("pending deletion: %+v %v, want deletion a minute after its date, never before", d, ok)
	}
	k.State, k.Rotation.Enabled = Enabled, false
	if d, ok := find(); ok {
		t.Errorf("a key without rotation is due: %+v", d)
	}
	var order []string
	for _, at := range []time.Time{when, when.Add(time.Millisecond), when.AddDate(100, 0, 0), when.AddDate(7900, 0, 0)} {
		order = append(order, Due{At: at, Kind: DueRotation, Owner: owner, KeyID: k.ID}.IndexKey())
	}
	if !slices.IsSorted(order) {
		t.Errorf("due entries do not sort by time: %v", order)
	}
	for _, bad := range []string{"", "i/due/", "i/due/x/y", "i/due/00000000000000x/rotate/a/b/c"} {
		if _, err := ParseDue(bad); err == nil {
			t.Errorf("%q parsed", bad)
		}
	}
}

func TestMaterialCommitsToItsID(t *testing.T) {
	m := samples(t)[2].(*Material)
	if err := m.Open(); err != nil || m.AEAD() == nil {
		t.Fatal(err)
	}
	m.Secret[0] ^= 1
	if err := m.Open(); !errors.Is(err, ErrDecode) {
		t.Errorf("another secret under the same ID: %v", err)
	}
	if s := m.String() + m.GoString(); strings.Contains(s, "0123456789abcdef0") {
		t.Errorf("printed secret: %s", s)
	}
}

func TestCounters(t *testing.T) {
	k := samples(t)[0].(*Key)
	if c := k.Counters(); len(c) != 1 || !slices.Contains(KeyCounters(owner), c[0]) {
		t.Errorf("customer managed key counts in %v", c)
	}
	k.Manager = AWS
	if c := k.Counters(); c != nil {
		t.Errorf("AWS managed key counts in %v", c)
	}
	for _, n := range []int64{0, 1, -5, 1 << 40} {
		if got, err := DecodeCounter(EncodeCounter(n)); err != nil || got != n {
			t.Errorf("%d: %d, %v", n, got, err)
		}
	}
	for _, bad := range [][]byte{{}, {1}, {2, 2}, {1, 2, 3}, {1, 0x80}} {
		if n, err := DecodeCounter(bad); err == nil {
			t.Errorf("%v: %d", bad, n)
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, r := range samples(f) {
		b, err := Encode(r)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(r.StoreKey(), b)
	}
	f.Fuzz(func(t *testing.T, storeKey string, value []byte) {
		r, err := Decode(storeKey, value)
		if err != nil {
			if !errors.Is(err, ErrDecode) {
				t.Fatalf("error of another kind: %v", err)
			}
			return
		}
		r.Indexes()
		r.Counters()
		b, err := Encode(r)
		if err != nil {
			t.Fatalf("decoded, but does not encode: %v", err)
		}
		again, err := Decode(storeKey, b)
		if err != nil || !reflect.DeepEqual(again, r) {
			t.Fatalf("round trip: %+v, %v; want %+v", again, err, r)
		}
	})
}
