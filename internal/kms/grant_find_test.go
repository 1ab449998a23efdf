package kms_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"sync/atomic"
	"testing"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/audit"
	"github.com/keyturn/keyturn/internal/kms"
	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/service"
	"github.com/keyturn/keyturn/internal/store"
)

func (b *bench) setCounter(t checker, name string, n int64) {
	t.Helper()
	b.damaged.Store(true)
	_, err := b.sealed.Commit(context.Background(), store.Batch{Writes: []store.Write{{Key: name, Value: record.EncodeCounter(n)}}})
	if err != nil {
		t.Fatalf("setting a counter: %v", err)
	}
}

// countingStore counts entries read.
type countingStore struct {
	store.Store
	reads atomic.Int64
}

func (s *countingStore) Get(c context.Context, keys ...string) ([]store.Entry, error) {
	s.reads.Add(int64(len(keys)))
	return s.Store.Get(c, keys...)
}

func (s *countingStore) Scan(c context.Context, prefix, after string, limit int) ([]store.Entry, error) {
	entries, err := s.Store.Scan(c, prefix, after, limit)
	s.reads.Add(int64(len(entries)) + 1)
	return entries, err
}

// counted turns the bench to a pipeline that counts what is read.
func (b *bench) counted(t *testing.T) *countingStore {
	t.Helper()
	s := &countingStore{Store: b.sealed}
	p, err := service.New(context.Background(), service.Config{
		Store: s, Keyring: b.sealed.Keyring(), Clock: b.clock, Audit: audit.NewMemory(50_000), NodeID: "n2", Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
		Authorize: b.kms.Authorize, Exclusive: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	old := b.p
	b.p = p
	t.Cleanup(func() {
		if err := p.Close(context.Background()); err != nil {
			t.Error(err)
		}
		b.p = old
	})
	return s
}

// reading runs something with a transaction that reads, as operations of these kinds do: through the cache, or guarded.
func (b *bench) reading(t checker, guarded bool, f func(*service.Tx)) {
	t.Helper()
	kind := service.Read
	if guarded {
		kind = service.Internal
	}
	op := service.Def[kms.DueRequest, service.None]{
		Name: "TestRead", Kind: kind, Actions: []string{"kms:TestRead"}, Audit: func(*kms.DueRequest, *audit.Params) {},
		Plan: func(tx *service.Tx, _ *kms.DueRequest, _ []service.Target) (*service.None, error) {
			f(tx)
			return &service.None{}, nil
		},
	}.Op("kms")
	owner := record.Owner{Account: account, Region: region}
	var err error
	if guarded {
		_, err = b.p.DoInternal(context.Background(), op, owner, b.now(), 0, &kms.DueRequest{Owner: owner})
	} else {
		_, err = b.p.ReadOwn(context.Background(), op, owner, &kms.DueRequest{Owner: owner})
	}
	if err != nil {
		t.Fatalf("reading: %v", err)
	}
}

// search is a question to GrantFor.
type search struct {
	name       string
	op         string
	principals []string
	context    map[string]string
	source     string
	want       string // the grant's name; "" for none
}

func (s search) run(t checker, b *bench, key *record.Key) *record.Grant {
	t.Helper()
	var found *record.Grant
	b.reading(t, false, func(tx *service.Tx) {
		g, err := kms.GrantFor(b.kms, tx, key, api.GrantOperation(s.op), s.principals, s.context, s.source)
		if err != nil {
			t.Errorf("%s: %v", s.name, err)
		}
		found = g
	})
	name := ""
	if found != nil {
		name = found.Name
	}
	if name != s.want {
		t.Errorf("%s: grant %q, want %q", s.name, name, s.want)
	}
	return found
}

// searched makes a few grants that answer the searches.
func (b *bench) searched(t checker, key string) []search {
	t.Helper()
	grant := func(name, who string, c *api.GrantConstraints, ops ...string) {
		b.grant(t, &api.CreateGrantRequest{KeyId: str(key), Name: str(name), GranteePrincipal: str(who), RetiringPrincipal: str(retirer), Constraints: c, Operations: operations(ops...)})
	}
	const plain, pairs, sourced = grantee + "-plain", grantee + "-pairs", grantee + "-sourced"
	grant("plain", plain, nil, "Decrypt", "DescribeKey")
	grant("equal", pairs, equals("Tenant", "7", "b", "2"), "Encrypt")
	grant("one", pairs, subset("volume", "special"), "Decrypt", "DescribeKey")
	grant("two", pairs, subset("volume", "x", "tenant", "9"), "Encrypt")
	grant("source", sourced, &api.GrantConstraints{SourceArn: str(source)}, "Decrypt", "DescribeKey")
	both := subset("a", "1")
	both.SourceArn = str(source)
	grant("both", sourced, both, "Encrypt", "DescribeKey")
	return []search{
		{"plain", "Decrypt", []string{plain}, nil, "", "plain"},
		{"plain, with a context", "Decrypt", []string{plain}, pairsOf("x", "y"), "", "plain"},
		{"plain, described", "DescribeKey", []string{plain}, nil, "", "plain"},
		{"plain, another operation", "Encrypt", []string{plain}, nil, "", ""},
		{"the second of the principals", "Decrypt", []string{grantee + "-none", plain}, nil, "", "plain"},
		{"nobody", "Decrypt", []string{"", grantee + "-none"}, nil, "", ""},
		{"no principals", "Decrypt", nil, nil, "", ""},
		{"equal", "Encrypt", []string{pairs}, pairsOf("tenant", "7", "B", "2"), "", "equal"},
		{"not quite equal", "Encrypt", []string{pairs}, pairsOf("tenant", "7", "b", "2", "c", "3"), "", ""},
		{"subset", "Decrypt", []string{pairs}, pairsOf("a", "1", "volume", "special", "z", "26"), "", "one"},
		{"another of the same name", "Decrypt", []string{pairs}, pairsOf("volume", "special2"), "", ""},
		{"subset, without a context", "Decrypt", []string{pairs}, nil, "", ""},
		{"subset of two", "Encrypt", []string{pairs}, pairsOf("Volume", "x", "TENANT", "9", "more", ""), "", "two"},
		{"half a subset", "Encrypt", []string{pairs}, pairsOf("tenant", "9"), "", ""},
		{"the other half", "Encrypt", []string{pairs}, pairsOf("volume", "x"), "", ""},
		{"constrained, described", "DescribeKey", []string{pairs}, nil, "", "one"},
		{"source", "Decrypt", []string{sourced}, nil, source, "source"},
		{"no source", "Decrypt", []string{sourced}, nil, "", ""},
		{"another source", "Decrypt", []string{sourced}, nil, source + "2", ""},
		{"source and context", "Encrypt", []string{sourced}, pairsOf("a", "1"), source, "both"},
		{"source without context", "Encrypt", []string{sourced}, nil, source, ""},
		{"no source, described", "DescribeKey", []string{sourced}, nil, "", ""},
		{"making grants is another question", "CreateGrant", []string{plain}, nil, "", ""},
		{"not an operation", "nothing", []string{plain}, nil, "", ""},
	}
}

// TestGrantFor asks with few grants on the key and with 2,000 more, of others and of the same grantee, and counts what is read from the store: it must
// be the same.
func TestGrantFor(t *testing.T) {
	b := testBench(t)
	b.damaged.Store(true) // grants are put past the pipeline
	id, _ := b.newKey(t, &api.CreateKeyRequest{})
	searches := b.searched(t, id)
	key := b.keyRecord(t, region, id)
	counting := b.counted(t)
	cost := func() map[string]int64 {
		if err := b.p.Flush(context.Background()); err != nil { // what it reads is not counted
			t.Fatal(err)
		}
		costs := map[string]int64{}
		for _, s := range searches {
			s.run(t, b, key) // now it is cached
			from := counting.reads.Load()
			s.run(t, b, key)
			costs[s.name] = counting.reads.Load() - from
		}
		for list, run := range map[string]func() *api.ListGrantsResponse{
			"list of a grantee": func() *api.ListGrantsResponse {
				return b.listGrants(t, &api.ListGrantsRequest{KeyId: str(id), GranteePrincipal: str(grantee + "-plain")})
			},
			"list of those to retire": func() *api.ListGrantsResponse {
				return must[api.ListGrantsResponse](t, b, "ListRetirableGrants", &api.ListRetirableGrantsRequest{RetiringPrincipal: str(retirer), Limit: api.Some[int64](3)})
			},
			"page of all": func() *api.ListGrantsResponse {
				return b.listGrants(t, &api.ListGrantsRequest{KeyId: str(id), Limit: api.Some[int64](3)})
			},
		} {
			from := counting.reads.Load()
			run()
			costs[list] = counting.reads.Load() - from
		}
		return costs
	}
	few := cost()
	for i := range 2000 {
		q := decrypting(id)
		q.Operations = operations("Decrypt", "Encrypt", "GenerateDataKey")
		switch i % 4 {
		case 0: // somebody else's
			q.GranteePrincipal = str(fmt.Sprint(grantee, i))
		case 1: // the same grantee's, for other contexts
			q.GranteePrincipal, q.Constraints = str(grantee+"-pairs"), subset("volume", fmt.Sprint(i))
		case 2:
			q.GranteePrincipal, q.Constraints = str(grantee+"-pairs"), subset("tenant", "9", "volume", fmt.Sprint(i))
		case 3:
			q.GranteePrincipal, q.Constraints = str(grantee+"-sourced"), &api.GrantConstraints{SourceArn: str(fmt.Sprint(source, i))}
		}
		b.grant(t, q)
	}
	for name, n := range cost() {
		if n > few[name]+6 { // beside each pair of the context there now is another that is looked at
			t.Errorf("%s: %d entries read with 2,000 grants more, %d before", name, n, few[name])
		}
	}
	checkStore(t, b)
}

// TestGrantForMany asks for a use when as many grants as may be have to be looked at to know, and with a context of thousands of pairs.
func TestGrantForMany(t *testing.T) {
	b := testBench(t)
	id, _ := b.newKey(t, &api.CreateKeyRequest{})
	key := b.keyRecord(t, region, id)
	for i := range 40 {
		q := decrypting(id)
		q.Constraints = subset("a", "1", "b", "2", "c", fmt.Sprint(i))
		b.grant(t, q)
	}
	large := map[string]string{}
	for i := range 2000 {
		large[fmt.Sprintf("%03x", i)] = ""
	}
	search{"thousands of pairs", "Decrypt", []string{grantee}, large, "", ""}.run(t, b, key)
	large["a"], large["b"], large["c"] = "1", "2", "39"
	if g := (search{"among thousands of pairs", "Decrypt", []string{grantee}, large, "", ""}).run(t, b, key); g == nil || g.Subset[2].Value != "39" {
		t.Errorf("found %+v", g)
	}
	// The pair that tells them apart is what they are found by.
	q := decrypting(id)
	q.Constraints = subset("a", "1", "b", "2", "c", "new")
	q.Name = str("last")
	b.grant(t, q)
	search{"by its own pair", "Decrypt", []string{grantee}, pairsOf("a", "1", "b", "2", "c", "new"), "", "last"}.run(t, b, key)
}

// TestParentFor asks who may make which grant because of another.
func TestParentFor(t *testing.T) {
	b := testBench(t)
	id, _ := b.newKey(t, &api.CreateKeyRequest{})
	key := b.keyRecord(t, region, id)
	grant := func(name string, c *api.GrantConstraints, ops ...string) {
		b.grant(t, &api.CreateGrantRequest{KeyId: str(id), Name: str(name), GranteePrincipal: str(grantee), Constraints: c, Operations: operations(ops...)})
	}
	sourced := subset("s", "1")
	sourced.SourceArn = str(source)
	grant("useless", nil, "Decrypt", "Encrypt", "GenerateDataKey")
	grant("plain", nil, "CreateGrant", "Decrypt")
	grant("subset", subset("a", "1"), "CreateGrant", "Encrypt")
	grant("equals", equals("a", "2"), "CreateGrant", "Encrypt")
	grant("sourced", sourced, "CreateGrant", "GenerateDataKey")
	for _, c := range []struct {
		name          string
		operations    []string
		subset, equal []record.ContextPair
		source, call  string
		want          string
	}{
		{"within plain", []string{"Decrypt"}, nil, nil, "", "", "plain"},
		{"stricter than plain", []string{"CreateGrant", "Decrypt"}, nil, record.ContextPairs(pairsOf("x", "y")), source, "", "plain"},
		{"what no parent has", []string{"Decrypt", "DescribeKey"}, nil, nil, "", "", ""},
		{"operations of two parents", []string{"Decrypt", "Encrypt"}, record.ContextPairs(pairsOf("a", "1")), nil, "", "", ""},
		{"without the constraint", []string{"Encrypt"}, nil, nil, "", "", ""},
		{"with the constraint", []string{"Encrypt"}, record.ContextPairs(pairsOf("A", "1", "b", "2")), nil, "", "", "subset"},
		{"with it as part of all", []string{"Encrypt"}, nil, record.ContextPairs(pairsOf("a", "1", "b", "2")), "", "", "subset"},
		{"equal", []string{"Encrypt"}, nil, record.ContextPairs(pairsOf("a", "2")), "", "", "equals"},
		{"equal no more", []string{"Encrypt"}, record.ContextPairs(pairsOf("a", "2")), nil, "", "", ""},
		{"on behalf", []string{"GenerateDataKey"}, record.ContextPairs(pairsOf("s", "1")), nil, source, source, "sourced"},
		{"not on behalf", []string{"GenerateDataKey"}, record.ContextPairs(pairsOf("s", "1")), nil, source, "", ""},
		{"for anybody", []string{"GenerateDataKey"}, record.ContextPairs(pairsOf("s", "1")), nil, "", source, ""},
	} {
		child := &record.Grant{Owner: key.Owner, KeyID: id, Operations: c.operations, Subset: c.subset, Equals: c.equal, SourceARN: c.source}
		b.reading(t, true, func(tx *service.Tx) {
			g, err := kms.ParentFor(b.kms, tx, key, child, []string{grantee}, c.call)
			if got := ""; err != nil {
				t.Errorf("%s: %v", c.name, err)
			} else {
				if g != nil {
					got = g.Name
				}
				if got != c.want {
					t.Errorf("%s: %q, want %q", c.name, got, c.want)
				}
			}
			if other, err := kms.ParentFor(b.kms, tx, key, child, []string{grantee + "2", ""}, c.call); other != nil || err != nil {
				t.Errorf("%s: somebody else may too (%v)", c.name, err)
			}
		})
	}
}

// TestRevokedAtOnce: a grant permits nothing once the call that revokes it has returned, whatever was cached.
func TestRevokedAtOnce(t *testing.T) {
	b := testBench(t)
	id, _ := b.newKey(t, &api.CreateKeyRequest{})
	key := b.keyRecord(t, region, id)
	q := decrypting(id)
	q.Name = str("n")
	grant, _ := b.grant(t, q)
	s := search{"there", "Decrypt", []string{grantee}, nil, "", "n"}
	s.run(t, b, key)
	b.run(t, "RevokeGrant", &api.RevokeGrantRequest{KeyId: str(id), GrantId: str(grant)})
	s.name, s.want = "gone", ""
	s.run(t, b, key)
}
