package record

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Grant lets a principal use a key as far as it says ("Grants in AWS KMS", AWS KMS developer guide). Related multi-Region keys have
// grants of their own.
type Grant struct {
	made    `json:",inline"`
	Owner   `json:",inline"`
	KeyID   string    `json:"key"`
	ID      string    `json:"id"` // 64 hexadecimal digits
	Created time.Time `json:"created"`
	Name    string    `json:"name,omitempty"`
	Issuer  string    `json:"issuer"` // the account of who made it
	// Grantee may use the key, Retiring may retire the grant; "" is nobody. Each is an ARN, or the name of a service.
	Grantee  string `json:"grantee"`
	Retiring string `json:"retiring,omitempty"`
	// GranteeID and RetiringID are the unique IDs that the two had when the grant was made; "" where there was no such user or role.
	GranteeID  string   `json:"granteeId,omitempty"`
	RetiringID string   `json:"retiringId,omitempty"`
	Operations []string `json:"operations,omitempty"` // of GrantOperations, each once, in the order given
	// Subset must be in the encryption context of a use, Equals must be all of it. One of them at most has pairs, as ContextPairs
	// sorts them.
	Subset    []ContextPair `json:"subset,omitempty"`
	Equals    []ContextPair `json:"equals,omitempty"`
	SourceARN string        `json:"sourceArn,omitempty"` // the resource on whose behalf a use must be
	// Lead is which pair of Subset the grant is found by.
	Lead int `json:"lead,omitempty"`
}

// GrantOperations are the operations that grants can permit. Positions are stored: the list only grows.
var GrantOperations = []string{
	"Decrypt", "Encrypt", "GenerateDataKey", "GenerateDataKeyWithoutPlaintext", "ReEncryptFrom", "ReEncryptTo", "Sign", "Verify",
	"GetPublicKey", "CreateGrant", "RetireGrant", "DescribeKey", "GenerateDataKeyPair", "GenerateDataKeyPairWithoutPlaintext",
	"GenerateMac", "VerifyMac", "DeriveSharedSecret", "Encapsulate", "Decapsulate",
}

const describeKey = "DescribeKey" // has no encryption context, and so ignores what grants demand of it

// GrantMask has a bit for each operation; unknown ones have none.
func GrantMask(operations ...string) uint32 {
	var mask uint32
	for _, op := range operations {
		if i := slices.Index(GrantOperations, op); i >= 0 {
			mask |= 1 << i
		}
	}
	return mask
}

// ContextPair is one name and value of an encryption context.
type ContextPair struct {
	Name  string `json:"n"`
	Value string `json:"v"`
}

// ContextPairs returns the pairs of an encryption context, sorted by name.
func ContextPairs(context map[string]string) []ContextPair {
	var pairs []ContextPair
	for name, value := range context {
		pairs = append(pairs, ContextPair{name, value})
	}
	slices.SortFunc(pairs, func(a, b ContextPair) int { return strings.Compare(a.Name, b.Name) })
	return pairs
}

// Digest is the same for pairs that grants do not tell apart, and only for these: the case of names is nothing to them
// ("GrantConstraints", AWS KMS API Reference). Only ASCII is folded; what else may be alike stays different, which refuses more.
func (p ContextPair) Digest() string {
	name := strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, p.Name)
	sum := sha256.Sum256([]byte(strconv.Itoa(len(name)) + ":" + name + p.Value)) // whole: uses are permitted by it
	return hex.EncodeToString(sum[:])
}

// Digests returns the digest of each pair, sorted. Contexts that grants do not tell apart have the same.
func Digests(pairs []ContextPair) []string {
	list := make([]string, len(pairs))
	for i, p := range pairs {
		list[i] = p.Digest()
	}
	slices.Sort(list)
	return list
}

// GrantsPrefix is where a key's grants stand; what follows is the grant ID.
func GrantsPrefix(o Owner, keyID string) string { return o.path2("g", keyID, "") }

// StoreKey implements Record.
func (g *Grant) StoreKey() string { return GrantsPrefix(g.Owner, g.KeyID) + g.ID }

// Weight implements Record.
func (g *Grant) Weight() int {
	w := 512
	for _, p := range slices.Concat(g.Subset, g.Equals) {
		w += 64 + len(p.Name) + len(p.Value)
	}
	return w
}

// GranteePrefix is the index of a grantee's grants on a key. What follows is SOURCE/CLASS/OPERATIONS/GRANT: for each source ARN, class of
// constraints and set of operations there is a place to look at, however many grants stand elsewhere.
func GranteePrefix(o Owner, keyID, grantee string) string {
	return o.path2("i/grantee", keyID, hashed(grantee)+"/")
}

// GranteesPrefix is the index of all grants on a key by grantee. What follows is GRANTEE/ and then as GranteePrefix has it.
func GranteesPrefix(o Owner, keyID string) string { return o.path2("i/grantee", keyID, "") }

// GrantSource is the part of an index entry that stands for a source ARN; "" is none.
func GrantSource(sourceARN string) string {
	if sourceARN == "" {
		return "-/"
	}
	return hashed(sourceARN) + "/"
}

// Classes of encryption context constraints, as parts of an index entry.

// PlainClass is that of grants that demand nothing of the encryption context.
const PlainClass = "0/"

// SubsetClasses begins the classes of all grants with a Subset.
const SubsetClasses = "s"

// SubsetClass is that of grants with a Subset that are found by a pair with the digest.
func SubsetClass(digest string) string { return SubsetClasses + digest + "/" }

// EqualsClass is that of grants with an Equals of these digests.
func EqualsClass(digests []string) string { return "e" + hashed(strings.Join(digests, "")) + "/" }

func (g *Grant) class() string {
	switch {
	case len(g.Equals) > 0:
		return EqualsClass(Digests(g.Equals))
	case len(g.Subset) > 0:
		return SubsetClass(g.lead().Digest())
	}
	return PlainClass
}

// lead is the pair of Subset that the grant is found by.
func (g *Grant) lead() ContextPair { return g.Subset[max(0, min(g.Lead, len(g.Subset)-1))] }

// OperationsPart is the part of an index entry that stands for a set of operations.
func OperationsPart(mask uint32) string { return fmt.Sprintf("%08x/", mask) }

// ParseGranted reads what follows the class in an entry of GranteePrefix's index.
func ParseGranted(rest string) (mask uint32, grantID string, err error) {
	part, id, ok := strings.Cut(rest, "/")
	n, err := strconv.ParseUint(part, 16, 32)
	if !ok || err != nil || id == "" || strings.Contains(id, "/") {
		return 0, "", fmt.Errorf("%w: grantee entry", ErrDecode)
	}
	return uint32(n), id, nil
}

// DescribedPrefix is the index of a grantee's grants that permit DescribeKey and demand something of the encryption context, which
// DescribeKey does not have. What follows is SOURCE/GRANT.
func DescribedPrefix(o Owner, keyID, grantee string) string {
	return o.path2("i/described", keyID, hashed(grantee)+"/")
}

// RetirablePrefix is the index of the grants in a region that a principal may retire; what follows is ACCOUNT/KEY/GRANT.
func RetirablePrefix(region, principal string) string {
	return "i/retirable/" + region + "/" + hashed(principal) + "/"
}

// RetirableStoreKey is where the grant of an entry of RetirablePrefix's index stands, by what follows the prefix.
func RetirableStoreKey(region, rest string) (string, error) {
	parts := strings.Split(rest, "/")
	if len(parts) != 3 {
		return "", fmt.Errorf("%w: retirable entry", ErrDecode)
	}
	return GrantsPrefix(Owner{Account: parts[0], Region: region}, parts[1]) + parts[2], nil
}

// SamePrefix is the index of grants on the key that were asked for in the same words, name included; what follows is the grant ID.
func (g *Grant) SamePrefix() string {
	parts := []string{g.Name, g.Issuer, g.Grantee, g.Retiring, strconv.FormatUint(uint64(GrantMask(g.Operations...)), 16), g.SourceARN, "subset"}
	for _, p := range g.Subset {
		parts = append(parts, p.Name, p.Value)
	}
	parts = append(parts, "equals")
	for _, p := range g.Equals {
		parts = append(parts, p.Name, p.Value)
	}
	if g.GranteeID != "" || g.RetiringID != "" { // else as it was before there were any
		parts = append(parts, "ids", g.GranteeID, g.RetiringID)
	}
	var all strings.Builder
	for _, s := range parts { // each with its length: no two lists give the same text
		all.WriteString(strconv.Itoa(len(s)) + ":" + s)
	}
	return g.path2("i/samegrant", g.KeyID, hashed(all.String())+"/")
}

// Indexes implements Record.
func (g *Grant) Indexes() []string {
	source, mask := GrantSource(g.SourceARN), GrantMask(g.Operations...)
	ix := []string{GranteePrefix(g.Owner, g.KeyID, g.Grantee) + source + g.class() + OperationsPart(mask) + g.ID}
	if mask&GrantMask(describeKey) != 0 && g.class() != PlainClass {
		ix = append(ix, DescribedPrefix(g.Owner, g.KeyID, g.Grantee)+source+g.ID)
	}
	if g.Retiring != "" {
		ix = append(ix, RetirablePrefix(g.Region, g.Retiring)+g.Account+"/"+g.KeyID+"/"+g.ID)
	}
	if g.Name != "" {
		ix = append(ix, g.SamePrefix()+g.ID)
	}
	return ix
}

// GrantCounter counts a key's grants.
func GrantCounter(o Owner, keyID string) string { return o.path("c/grants", keyID) }

// LeadCounter counts the grants whose Subset has more pairs than the one, number i, that this grant would be found by, and which are
// found by the same: all of them have to be looked at to find one.
func (g *Grant) LeadCounter(i int) string {
	return g.path2("c/grantlead", g.KeyID, hashed(g.Grantee)+"/"+GrantSource(g.SourceARN)+g.Subset[i].Digest())
}

// Counters implements Record.
func (g *Grant) Counters() []string {
	counters := []string{GrantCounter(g.Owner, g.KeyID)}
	if len(g.Subset) > 1 && len(g.Equals) == 0 {
		counters = append(counters, g.LeadCounter(max(0, min(g.Lead, len(g.Subset)-1))))
	}
	return counters
}
