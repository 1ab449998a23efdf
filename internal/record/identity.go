package record

import (
	"strings"
	"time"
)

// Identities belong to an account, not to a region. A principal stands under its unique ID, which nothing ever changes; a Name leads to
// it. Names are compared without regard to case where they are made ("IAM names and character limits", IAM User Guide), so that is how
// they are stored.

// PrincipalKind is a kind of principal, as it stands in ARNs.
type PrincipalKind string

// The kinds.
const (
	UserKind  PrincipalKind = "user"
	GroupKind PrincipalKind = "group"
	RoleKind  PrincipalKind = "role"
)

// Account is an account that keyturn made. Those of a configuration file, and all of keyturn dev, have none.
type Account struct {
	made      `json:",inline"`
	ID        string    `json:"id"`
	Name      string    `json:"name,omitempty"`
	Created   time.Time `json:"created"`
	Suspended time.Time `json:"suspended,omitzero"` // zero: it is not
}

// AccountsPrefix is where accounts stand; what follows is the account ID.
const AccountsPrefix = "n/"

// AccountStoreKey is where an account stands.
func AccountStoreKey(id string) string { return AccountsPrefix + id }

// StoreKey implements Record.
func (a *Account) StoreKey() string { return AccountStoreKey(a.ID) }

// Indexes implements Record.
func (a *Account) Indexes() []string { return nil }

// Counters implements Record.
func (a *Account) Counters() []string { return nil }

// Deployment says which account manages the others.
type Deployment struct {
	made       `json:",inline"`
	Management string    `json:"management"` // an account ID
	Created    time.Time `json:"created"`
}

// DeploymentStoreKey is where it stands.
const DeploymentStoreKey = "d/deployment"

// StoreKey implements Record.
func (*Deployment) StoreKey() string { return DeploymentStoreKey }

// Indexes implements Record.
func (*Deployment) Indexes() []string { return nil }

// Counters implements Record.
func (*Deployment) Counters() []string { return nil }

// AccountAlias is a name for an account, unique among all accounts.
type AccountAlias struct {
	made    `json:",inline"`
	Alias   string `json:"alias"`
	Account string `json:"account"`
}

// AccountAliasStoreKey is where an alias stands.
func AccountAliasStoreKey(alias string) string { return "na/" + alias }

// StoreKey implements Record.
func (a *AccountAlias) StoreKey() string { return AccountAliasStoreKey(a.Alias) }

// AccountAliasesPrefix is the index of an account's aliases; what follows is the alias.
func AccountAliasesPrefix(account string) string { return "i/accountalias/" + account + "/" }

// Indexes implements Record.
func (a *AccountAlias) Indexes() []string { return []string{AccountAliasesPrefix(a.Account) + a.Alias} }

// AccountAliasCounter counts an account's aliases: one at most.
func AccountAliasCounter(account string) string { return "c/accountalias/" + account }

// Counters implements Record.
func (a *AccountAlias) Counters() []string { return []string{AccountAliasCounter(a.Account)} }

// Name leads from the name of a principal to what has it.
type Name struct {
	made    `json:",inline"`
	Account string        `json:"account"`
	Kind    PrincipalKind `json:"kind"`
	Name    string        `json:"name"` // as it was given
	ID      string        `json:"id"`
}

// NameStoreKey is where a name stands, in whatever case it is given.
func NameStoreKey(account string, kind PrincipalKind, name string) string {
	return "pn/" + account + "/" + string(kind) + "/" + FoldName(name)
}

// FoldName is the form in which names that differ in case only are the same: in that of ASCII letters, as condition keys are compared. If more
// names of tags were the same here, a tag could be replaced by the name of another that no condition is on.
func FoldName(name string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, name)
}

// StoreKey implements Record.
func (n *Name) StoreKey() string { return NameStoreKey(n.Account, n.Kind, n.Name) }

// Indexes implements Record.
func (*Name) Indexes() []string { return nil }

// Counters implements Record.
func (*Name) Counters() []string { return nil }

// Principal is what users, groups and roles have in common.
type Principal struct {
	Account  string    `json:"account"`
	ID       string    `json:"id"` // AIDA..., AGPA..., AROA...
	Name     string    `json:"name"`
	Path     string    `json:"path"` // begins and ends with a slash
	Created  time.Time `json:"created"`
	Inline   []Inline  `json:"inline,omitempty"`   // sorted by name
	Attached []string  `json:"attached,omitempty"` // ARNs of managed policies in the partition "aws", in the order of attaching
	Boundary string    `json:"boundary,omitempty"` // likewise, of the permissions boundary; "" for none
	Tags     []Tag     `json:"tags,omitempty"`     // in the order given
}

// Inline is a policy that belongs to one principal.
type Inline struct {
	Name     string `json:"n"`
	Document string `json:"d"`
}

// PrincipalStoreKey is where a principal stands, by its unique ID.
func PrincipalStoreKey(account string, kind PrincipalKind, id string) string {
	return "p/" + account + "/" + string(kind) + "/" + id
}

// PathsPrefix is the index of principals by path and name. What follows is PATH NAME/ID, the path with its slashes.
func PathsPrefix(account string, kind PrincipalKind) string {
	return "i/paths/" + account + "/" + string(kind)
}

// ParsePathEntry returns the ID at the end of an entry of PathsPrefix's index.
func ParsePathEntry(entry string) (id string) { return entry[strings.LastIndexByte(entry, '/')+1:] }

// AttachedPrefix is the index of what a managed policy is attached to; what follows is KIND/ID.
func AttachedPrefix(account, policyARN string) string {
	return "i/attached/" + account + "/" + hashed(policyARN) + "/"
}

// BoundsPrefix is the index of what a managed policy is the permissions boundary of; what follows is KIND/ID.
func BoundsPrefix(account, policyARN string) string {
	return "i/bounds/" + account + "/" + hashed(policyARN) + "/"
}

// AttachmentCounter and BoundaryCounter count what a managed policy is attached to, and is the boundary of.
func AttachmentCounter(account, policyARN string) string {
	return "c/attached/" + account + "/" + hashed(policyARN)
}

// BoundaryCounter is beside AttachmentCounter.
func BoundaryCounter(account, policyARN string) string {
	return "c/bounds/" + account + "/" + hashed(policyARN)
}

// PrincipalCounter counts an account's principals of a kind.
func PrincipalCounter(account string, kind PrincipalKind) string {
	return "c/principals/" + account + "/" + string(kind)
}

func (p *Principal) indexes(kind PrincipalKind) []string {
	ix := []string{PathsPrefix(p.Account, kind) + p.Path + p.Name + "/" + p.ID}
	for _, arn := range p.Attached {
		ix = append(ix, AttachedPrefix(p.Account, arn)+string(kind)+"/"+p.ID)
	}
	if p.Boundary != "" {
		ix = append(ix, BoundsPrefix(p.Account, p.Boundary)+string(kind)+"/"+p.ID)
	}
	return ix
}

func (p *Principal) counters(kind PrincipalKind) []string {
	c := []string{PrincipalCounter(p.Account, kind)}
	for _, arn := range p.Attached {
		c = append(c, AttachmentCounter(p.Account, arn))
	}
	if p.Boundary != "" {
		c = append(c, BoundaryCounter(p.Account, p.Boundary))
	}
	return c
}

func (p *Principal) weight() int {
	w := 64 * (len(p.Attached) + len(p.Tags))
	for _, in := range p.Inline {
		w += len(in.Name) + len(in.Document)
	}
	for _, t := range p.Tags {
		w += len(t.Key) + len(t.Value)
	}
	return w
}

// newPrincipal returns an empty record of the kind that stands at a store key; a User where there is no such kind, which then will not
// be found to stand there.
func newPrincipal(storeKey string) Record {
	switch parts := strings.Split(storeKey, "/"); {
	case len(parts) == 4 && parts[2] == string(GroupKind):
		return new(Group)
	case len(parts) == 4 && parts[2] == string(RoleKind):
		return new(Role)
	}
	return new(User)
}

// User is an IAM user.
type User struct {
	made      `json:",inline"`
	Principal `json:",inline"`
	Groups    []string `json:"groups,omitempty"` // IDs, in the order of joining
}

// StoreKey implements Record.
func (u *User) StoreKey() string { return PrincipalStoreKey(u.Account, UserKind, u.ID) }

// MembersPrefix is the index of a group's users; what follows is the user's ID.
func MembersPrefix(account, groupID string) string {
	return "i/members/" + account + "/" + groupID + "/"
}

// MemberCounter counts a group's users.
func MemberCounter(account, groupID string) string { return "c/members/" + account + "/" + groupID }

// Indexes implements Record.
func (u *User) Indexes() []string {
	ix := u.indexes(UserKind)
	for _, g := range u.Groups {
		ix = append(ix, MembersPrefix(u.Account, g)+u.ID)
	}
	return ix
}

// Counters implements Record.
func (u *User) Counters() []string {
	c := u.counters(UserKind)
	for _, g := range u.Groups {
		c = append(c, MemberCounter(u.Account, g))
	}
	return c
}

// Weight implements Record.
func (u *User) Weight() int { return u.weight() + 64*len(u.Groups) }

// Group is an IAM group.
type Group struct {
	made      `json:",inline"`
	Principal `json:",inline"`
}

// StoreKey implements Record.
func (g *Group) StoreKey() string { return PrincipalStoreKey(g.Account, GroupKind, g.ID) }

// Indexes implements Record.
func (g *Group) Indexes() []string { return g.indexes(GroupKind) }

// Counters implements Record.
func (g *Group) Counters() []string { return g.counters(GroupKind) }

// Weight implements Record.
func (g *Group) Weight() int { return g.weight() }

// Role is an IAM role.
type Role struct {
	made        `json:",inline"`
	Principal   `json:",inline"`
	Description string `json:"description,omitempty"`
	Trust       string `json:"trust"`      // the policy that says who may assume it; users and roles stand in it by their unique IDs
	MaxSeconds  int64  `json:"maxSeconds"` // how long its sessions may be
	// Pins are the users and roles whose unique IDs stand in Trust, with the ARNs that they had.
	Pins []Pin `json:"pins,omitempty"`
}

// StoreKey implements Record.
func (r *Role) StoreKey() string { return PrincipalStoreKey(r.Account, RoleKind, r.ID) }

// Indexes implements Record.
func (r *Role) Indexes() []string { return r.indexes(RoleKind) }

// Counters implements Record.
func (r *Role) Counters() []string { return r.counters(RoleKind) }

// Weight implements Record.
func (r *Role) Weight() int {
	return r.weight() + len(r.Trust) + len(r.Description) + 256*len(r.Pins)
}
