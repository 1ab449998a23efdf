package kms

import (
	"slices"
	"strings"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/service"
)

// grantScan is how many index entries are read at once. Most often the first is the one.
const grantScan = 16

// holder is who may have a grant: a principal by its ARNs, a session also by that of its role, and by their unique IDs.
type holder struct{ names, ids []string }

// is tells whether a principal may be the one that had a unique ID; "" is not known.
func (h holder) is(id string) bool { return id == "" || slices.Contains(h.ids, id) }

// grantFor returns the first grant found on the key that permits an operation to a principal, nil if there is none; see holds.
// The cost does not depend on how many other grants there are: for a source ARN, a class of constraints and a set of operations there
// is one place to look at. What it reads in a change is guarded, so that a grant revoked meanwhile stops the change.
func (k *KMS) grantFor(tx *service.Tx, key *record.Key, op api.GrantOperation, by holder, context map[string]string, sourceARN string) (*record.Grant, error) {
	if !slices.Contains(record.GrantOperations, string(op)) || op == api.GrantOperationCreateGrant || op == api.GrantOperationRetireGrant {
		return nil, nil // see holds
	}
	if !inContext(string(op)) {
		context = nil
	}
	f := grantFinder{tx: tx, key: key, by: by, mask: record.GrantMask(string(op)), context: record.Digests(record.ContextPairs(context))}
	f.accept = func(g *record.Grant) bool { return permits(g, op, f.context, sourceARN) }
	return f.find(sourceARN, op == api.GrantOperationDescribeKey)
}

// parentFor returns a grant on the key that lets a principal make the child, nil if there is none; see within. The request
// itself must be on behalf of the resource that the parent demands.
func (k *KMS) parentFor(tx *service.Tx, key *record.Key, child *record.Grant, by holder, sourceARN string) (*record.Grant, error) {
	f := grantFinder{
		tx: tx, key: key, by: by, mask: record.GrantMask(append([]string{string(api.GrantOperationCreateGrant)}, child.Operations...)...),
		context: record.Digests(demanded(child)), change: true,
	}
	f.accept = func(g *record.Grant) bool { return within(g, child) && (g.SourceARN == "" || g.SourceARN == sourceARN) }
	return f.find(sourceARN, false)
}

// grantFinder looks for a grant in the index of a grantee's grants.
type grantFinder struct {
	tx      *service.Tx
	key     *record.Key
	by      holder
	mask    uint32   // operations that the grant must have
	context []string // sorted digests of the encryption context
	accept  func(*record.Grant) bool
	change  bool // the search is a change's

	principal string // whose grants are being looked at
}

func (f *grantFinder) find(sourceARN string, described bool) (*record.Grant, error) {
	sources := []string{record.GrantSource("")}
	if sourceARN != "" {
		sources = append(sources, record.GrantSource(sourceARN))
	}
	for _, principal := range f.by.names {
		if f.principal = principal; principal == "" {
			continue
		}
		for _, source := range sources {
			prefix := record.GranteePrefix(f.key.Owner, f.key.ID, principal) + source
			if g, err := f.class(prefix + record.PlainClass); g != nil || err != nil {
				return g, err
			}
			if described {
				if g, err := f.described(record.DescribedPrefix(f.key.Owner, f.key.ID, principal) + source); g != nil || err != nil {
					return g, err
				}
			}
			if len(f.context) == 0 {
				continue
			}
			if g, err := f.class(prefix + record.EqualsClass(f.context)); g != nil || err != nil {
				return g, err
			}
			if g, err := f.subsets(prefix); g != nil || err != nil {
				return g, err
			}
		}
	}
	return nil, nil
}

// subsets looks at the grants that are found by one pair of the context. It goes through the pairs and the classes that there are side
// by side, so that the fewer of the two bound the steps.
func (f *grantFinder) subsets(prefix string) (*record.Grant, error) {
	prefix += record.SubsetClasses
	for i := 0; i < len(f.context); {
		entries, err := f.tx.Scan(prefix, prefix+f.context[i], 1)
		if err != nil || len(entries) == 0 {
			return nil, err
		}
		digest, _, _ := strings.Cut(strings.TrimPrefix(entries[0].Key, prefix), "/")
		n, found := slices.BinarySearch(f.context, digest)
		if i = n; !found {
			continue // none of the context's pairs comes between
		}
		if g, err := f.class(prefix + digest + "/"); g != nil || err != nil {
			return g, err
		}
		for i++; i < len(f.context) && f.context[i] == digest; i++ { // pairs that grants do not tell apart
		}
	}
	return nil, nil
}

// class looks at the grants of one class, and passes over sets of operations that lack one.
func (f *grantFinder) class(prefix string) (*record.Grant, error) {
	after := ""
scan:
	for {
		entries, err := f.tx.Scan(prefix, after, grantScan)
		if err != nil || len(entries) == 0 {
			return nil, err
		}
		for _, e := range entries {
			mask, id, err := record.ParseGranted(strings.TrimPrefix(e.Key, prefix))
			if err != nil {
				return nil, err
			}
			if mask&f.mask != f.mask {
				after = prefix + record.OperationsPart(mask) + "~" // sorts after every grant ID
				continue scan
			}
			if g, err := f.grant(id); g != nil || err != nil {
				return g, err
			}
		}
		after = entries[len(entries)-1].Key
	}
}

// described looks at the grants that permit DescribeKey whatever else they demand: the first will do, unless it is just being deleted.
func (f *grantFinder) described(prefix string) (*record.Grant, error) {
	entries, err := f.tx.Scan(prefix, "", grantScan)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if g, err := f.grant(strings.TrimPrefix(e.Key, prefix)); g != nil || err != nil {
			return g, err
		}
	}
	return nil, nil
}

// grant reads a grant and returns it if it is accepted. A change is guarded by what it relies on only: there may be more grants to look
// at than a commit can check.
func (f *grantFinder) grant(id string) (*record.Grant, error) {
	if f.change {
		seen, err := service.LookupAll[*record.Grant](f.tx, []string{record.GrantsPrefix(f.key.Owner, f.key.ID) + id})
		if err != nil || len(seen) == 0 || !f.accepts(seen[0]) {
			return nil, err
		}
	}
	g, err := lookupGrant(f.tx, f.key.Owner, f.key.ID, id)
	if err != nil || g == nil || !f.accepts(g) {
		return nil, err
	}
	return g, nil
}

// accepts asks the grant itself, its grantee too: the index has only a hash of that.
func (f *grantFinder) accepts(g *record.Grant) bool {
	return g.Grantee == f.principal && f.by.is(g.GranteeID) && f.accept(g)
}
