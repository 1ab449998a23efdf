package kms

import (
	"slices"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/record"
)

// What a grant says, as pure functions for whoever decides who may. principals are all that a caller goes by: its own ARN, and for a
// session that of the role; whether the account's root is among them is the decider's to say. Grants know ARNs exactly.

// inContext tells whether an operation that grants can permit has an encryption context, on keys whose grants can demand one.
func inContext(operation string) bool { return slices.Contains(grantedOnSymmetric, operation) }

// holds tells whether a grant permits an operation with this encryption context, on behalf of the resource with this ARN; "" is none.
// Operations without an encryption context ignore what the grant demands of it (GrantConstraints, AWS KMS API Reference).
// CreateGrant and RetireGrant have rules of their own, within and mayRetire, and are never permitted here.
func holds(g *record.Grant, op api.GrantOperation, context map[string]string, sourceARN string) bool {
	return permits(g, op, record.Digests(record.ContextPairs(context)), sourceARN)
}

// permits is holds with the digests of the encryption context, for whoever asks of many grants.
func permits(g *record.Grant, op api.GrantOperation, context []string, sourceARN string) bool {
	switch {
	case op == api.GrantOperationCreateGrant || op == api.GrantOperationRetireGrant || !slices.Contains(g.Operations, string(op)):
		return false
	case g.SourceARN != "" && g.SourceARN != sourceARN:
		return false
	case !inContext(string(op)):
		return true
	}
	return covers(context, g)
}

// covers tells whether an encryption context, as sorted digests, meets a grant's demands.
func covers(context []string, g *record.Grant) bool {
	if len(g.Equals) > 0 && !slices.Equal(context, record.Digests(g.Equals)) {
		return false
	}
	for _, p := range g.Subset {
		if _, found := slices.BinarySearch(context, p.Digest()); !found {
			return false
		}
	}
	return true
}

// within tells whether a grant may be made by who may make grants only because of another, its parent: with operations of the
// parent's, and constraints at least as strict ("Granting CreateGrant permission", AWS KMS developer guide). That both are on the same
// key is the caller's to know.
func within(parent, child *record.Grant) bool {
	if !slices.Contains(parent.Operations, string(api.GrantOperationCreateGrant)) {
		return false
	}
	for _, op := range child.Operations {
		if !slices.Contains(parent.Operations, op) {
			return false
		}
	}
	if parent.SourceARN != "" && parent.SourceARN != child.SourceARN {
		return false
	}
	if len(parent.Equals) > 0 && len(child.Equals) == 0 {
		return false // a Subset of these pairs allows others besides
	}
	return covers(record.Digests(demanded(child)), parent)
}

// demanded are the pairs that every encryption context has for which the grant can be used.
func demanded(g *record.Grant) []record.ContextPair {
	if len(g.Equals) > 0 {
		return g.Equals
	}
	return g.Subset
}

// mayRetire tells whether the grant itself lets a principal retire it: the retiring principal, the grantee if RetireGrant is
// among its operations, and the root of the account in which it was made or of the key's ("Retiring and revoking grants", AWS KMS developer
// guide). Constraints do not apply.
func mayRetire(by holder, g *record.Grant) bool {
	for _, p := range by.names {
		switch {
		case p == "": // nobody
		case p == g.Retiring && by.is(g.RetiringID), p == rootARN(g.Issuer, g.Region), p == rootARN(g.Account, g.Region):
			return true
		case p == g.Grantee && by.is(g.GranteeID):
			if slices.Contains(g.Operations, string(api.GrantOperationRetireGrant)) {
				return true
			}
		}
	}
	return false
}
