package iam

import (
	"errors"
	"testing"

	"github.com/keyturn/keyturn/internal/authz"
	"github.com/keyturn/keyturn/internal/policy"
)

// TestSimulateTake: what the directory says and what the records say must be the same policies, or else both are read again.
func TestSimulateTake(t *testing.T) {
	c := new(policy.Compiled)
	for _, test := range []struct {
		name              string
		records           []string
		boundary          string
		directory         []string
		directoryBoundary string
		want              error
	}{
		{"the same", []string{"a", "b"}, "c", []string{"a", "b"}, "c", nil},
		{"none", nil, "", nil, "", nil},
		{"one more", []string{"a"}, "", []string{"a", "b"}, "", errMoved},
		{"one less", []string{"a", "b"}, "", []string{"a"}, "", errMoved},
		{"another order", []string{"a", "b"}, "", []string{"b", "a"}, "", errMoved},
		{"a boundary more", []string{"a"}, "", []string{"a"}, "c", errMoved},
		{"a boundary less", []string{"a"}, "c", []string{"a"}, "", errMoved},
		{"another boundary", []string{"a"}, "c", []string{"a"}, "d", errMoved},
	} {
		of, id := &simulated{}, &authz.Identity{}
		for _, name := range test.records {
			of.policies = append(of.policies, &source{name: name})
		}
		if test.boundary != "" {
			of.boundary = &source{name: test.boundary}
		}
		for _, name := range test.directory {
			id.Policies = append(id.Policies, authz.Named{Name: name, Compiled: c})
		}
		if test.directoryBoundary != "" {
			id.Boundary = &authz.Named{Name: test.directoryBoundary, Compiled: c}
		}
		if err := of.take(id); !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", test.name, err, test.want)
			continue
		}
		for _, s := range of.policies {
			if test.want == nil && s.compiled != c {
				t.Errorf("%s: policy %s is not the directory's", test.name, s.name)
			}
		}
	}
}

func TestSimulateGlobbed(t *testing.T) {
	for _, c := range []struct {
		pattern, text string
		want          bool
	}{
		{"alice", "alice", true}, {"alice", "alicea", false}, {"alice", "Alice", false}, {"al?ce", "alice", true}, {"al?ce", "alce", false},
		{"*", "", true}, {"*", "x", true}, {"a*", "a", true}, {"a*", "ba", false}, {"*a", "ba", true}, {"*a", "ab", false},
		{"ab*ba", "abba", true}, {"ab*ba", "aba", false}, {"a?*?c", "a12c", true}, {"a?*?c", "a1c", false}, {"?", "", false},
	} {
		if got := globbed(c.pattern, c.text); got != c.want {
			t.Errorf("%q and %q: %v", c.pattern, c.text, got)
		}
	}
}
