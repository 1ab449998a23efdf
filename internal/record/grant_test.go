package record

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

func sampleGrant() *Grant {
	return &Grant{
		Owner: owner, KeyID: "k", ID: strings.Repeat("12", 32), Created: when, Name: "n", Issuer: owner.Account, Grantee: "arn:aws:iam::111122223333:role/r",
		Retiring: "arn:aws:iam::111122223333:root", Operations: []string{"Decrypt", "DescribeKey"}, Subset: []ContextPair{{"a", "1"}, {"b", "2"}},
	}
}

// TestGrantMask keeps the positions of operations, which index entries in stores have.
func TestGrantMask(t *testing.T) {
	for op, want := range map[string]uint32{"Decrypt": 1, "GetPublicKey": 1 << 8, "DescribeKey": 1 << 11, "Decapsulate": 1 << 18, "decrypt": 0, "": 0} {
		if got := GrantMask(op); got != want {
			t.Errorf("%q: %x, want %x", op, got, want)
		}
	}
	if got := GrantMask("Decrypt", "Encrypt", "Decrypt"); got != 3 {
		t.Errorf("%x, want 3", got)
	}
}

func TestContextDigests(t *testing.T) {
	digest := func(name, value string) string { return ContextPair{name, value}.Digest() }
	for what, pair := range map[string][2]ContextPair{
		"value's case":      {{"a", "b"}, {"a", "B"}},
		"moved border":      {{"ab", "c"}, {"a", "bc"}},
		"other than ASCII":  {{"É", "x"}, {"é", "x"}},
		"Kelvin sign":       {{"K", "x"}, {"\u212a", "x"}},
		"empty name":        {{"", "x"}, {"x", ""}},
		"looks like border": {{"1:a", "b"}, {"1", ":ab"}},
	} {
		if pair[0].Digest() == pair[1].Digest() {
			t.Errorf("%s: %q and %q have the same digest", what, pair[0], pair[1])
		}
	}
	if digest("AWS:Ebs", "v") != digest("aws:ebs", "v") {
		t.Error("the case of a name makes a difference")
	}
	a, b := Digests(ContextPairs(map[string]string{"A": "1", "b": "2"})), Digests(ContextPairs(map[string]string{"B": "2", "a": "1"}))
	if !slices.Equal(a, b) {
		t.Errorf("%v and %v", a, b)
	}
}

// TestGrantIndexes looks for a grant where it has to be found, and nowhere else.
func TestGrantIndexes(t *testing.T) {
	g := sampleGrant()
	grantee := GranteePrefix(owner, "k", g.Grantee)
	subset := grantee + "-/" + SubsetClass(ContextPair{"A", "1"}.Digest()) + OperationsPart(GrantMask("Decrypt", "DescribeKey")) + g.ID
	described := DescribedPrefix(owner, "k", g.Grantee) + "-/" + g.ID
	retirable := RetirablePrefix(owner.Region, g.Retiring) + owner.Account + "/k/" + g.ID
	same := g.SamePrefix() + g.ID
	check := func(what string, want ...string) {
		t.Helper()
		if got := g.Indexes(); !slices.Equal(got, want) {
			t.Errorf("%s\n got %v\nwant %v", what, got, want)
		}
	}
	check("subset", subset, described, retirable, same)
	if c := g.Counters(); !slices.Equal(c, []string{GrantCounter(owner, "k"), g.LeadCounter(0)}) {
		t.Errorf("counters %v", c)
	}
	if key, err := RetirableStoreKey(owner.Region, strings.TrimPrefix(retirable, RetirablePrefix(owner.Region, g.Retiring))); err != nil || key != g.StoreKey() {
		t.Errorf("%s, %v", key, err)
	}
	g.Lead = 1
	if got := g.Indexes()[0]; !strings.Contains(got, ContextPair{"b", "2"}.Digest()) {
		t.Errorf("not found by its second pair: %s", got)
	}
	g.Subset, g.Lead, g.Name, g.Retiring, g.SourceARN = nil, 0, "", "", "arn:aws:s3:eu-central-1:111122223333:b"
	check("plain", grantee+GrantSource(g.SourceARN)+PlainClass+OperationsPart(GrantMask("Decrypt", "DescribeKey"))+g.ID)
	if c := g.Counters(); len(c) != 1 {
		t.Errorf("counters %v", c)
	}
}

// TestSameGrant changes each property in turn: none may be left out of what makes two requests the same.
func TestSameGrant(t *testing.T) {
	seen := map[string]string{sampleGrant().SamePrefix(): "nothing"}
	for what, change := range map[string]func(*Grant){
		"key":             func(g *Grant) { g.KeyID = "l" },
		"region":          func(g *Grant) { g.Region = "us-east-1" },
		"name":            func(g *Grant) { g.Name = "m" },
		"issuer":          func(g *Grant) { g.Issuer = "444455556666" },
		"grantee":         func(g *Grant) { g.Grantee += "s" },
		"no retiring":     func(g *Grant) { g.Retiring = "" },
		"operations":      func(g *Grant) { g.Operations = g.Operations[:1] },
		"source":          func(g *Grant) { g.SourceARN = "arn" },
		"subset":          func(g *Grant) { g.Subset = g.Subset[:1] },
		"subset's case":   func(g *Grant) { g.Subset[0].Name = "A" },
		"equals":          func(g *Grant) { g.Equals, g.Subset = g.Subset, nil },
		"border of names": func(g *Grant) { g.Name, g.Issuer = "n1", g.Issuer[1:] },
	} {
		g := sampleGrant()
		change(g)
		if other, ok := seen[g.SamePrefix()]; ok {
			t.Errorf("%s: the same as with %s changed", what, other)
		}
		seen[g.SamePrefix()] = what
	}
	g := sampleGrant()
	g.Operations, g.ID, g.Lead = []string{"DescribeKey", "Decrypt", "Decrypt"}, "other", 1
	if seen[g.SamePrefix()] != "nothing" {
		t.Error("the order of operations makes a difference")
	}
}

func TestParseGranted(t *testing.T) {
	if mask, id, err := ParseGranted(OperationsPart(3) + "abc"); mask != 3 || id != "abc" || err != nil {
		t.Errorf("%x %s %v", mask, id, err)
	}
	for _, bad := range []string{"", "/", "x/abc", "00000003", "00000003/", "00000003/a/b", "1ffffffff/a", "-1/a"} {
		if _, _, err := ParseGranted(bad); !errors.Is(err, ErrDecode) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	for _, bad := range []string{"", "a", "a/b", "a/b/c/d"} {
		if _, err := RetirableStoreKey("r", bad); !errors.Is(err, ErrDecode) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}
