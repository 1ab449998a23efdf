package record

import (
	"time"
)

// ManagedPolicy is a policy that principals can have attached.
type ManagedPolicy struct {
	made        `json:",inline"`
	Account     string          `json:"account"`
	ID          string          `json:"id"` // ANPA...
	Name        string          `json:"name"`
	Path        string          `json:"path"`
	Description string          `json:"description,omitempty"`
	Created     time.Time       `json:"created"`
	Updated     time.Time       `json:"updated"`
	Default     int             `json:"default"`  // number of the version in force
	Versions    []PolicyVersion `json:"versions"` // ascending; five at most
	Last        int             `json:"last"`     // number of the latest version there has been
	Tags        []Tag           `json:"tags,omitempty"`
}

// PolicyVersion is one version of a managed policy.
type PolicyVersion struct {
	Number   int       `json:"n"`
	Document string    `json:"d"`
	Created  time.Time `json:"created"`
}

// PoliciesPrefix is where an account's managed policies stand; what follows is the name, folded.
func PoliciesPrefix(account string) string { return "pp/" + account + "/" }

// PolicyStoreKey is where a managed policy stands.
func PolicyStoreKey(account, name string) string { return PoliciesPrefix(account) + FoldName(name) }

// StoreKey implements Record.
func (p *ManagedPolicy) StoreKey() string { return PolicyStoreKey(p.Account, p.Name) }

// PolicyPathsPrefix is the index of managed policies by path and name. What follows is PATH NAME/FOLDED NAME.
func PolicyPathsPrefix(account string) string { return "i/policypaths/" + account }

// Indexes implements Record.
func (p *ManagedPolicy) Indexes() []string {
	return []string{PolicyPathsPrefix(p.Account) + p.Path + p.Name + "/" + FoldName(p.Name)}
}

// PolicyCounter counts an account's managed policies.
func PolicyCounter(account string) string { return "c/policies/" + account }

// PolicyVersionCounter counts the versions of an account's managed policies.
func PolicyVersionCounter(account string) string { return "c/policyversions/" + account }

// Counters implements Record.
func (p *ManagedPolicy) Counters() []string {
	c := []string{PolicyCounter(p.Account)}
	for range p.Versions {
		c = append(c, PolicyVersionCounter(p.Account))
	}
	return c
}

// Weight implements Record.
func (p *ManagedPolicy) Weight() int {
	w := len(p.Description)
	for _, v := range p.Versions {
		w += 64 + len(v.Document)
	}
	return w
}

// ARN is the policy's Amazon Resource Name in the partition "aws".
func (p *ManagedPolicy) ARN() string {
	return "arn:aws:iam::" + p.Account + ":policy" + p.Path + p.Name
}

// InForce is the document of the version in force.
func (p *ManagedPolicy) InForce() string {
	for i := range p.Versions {
		if p.Versions[i].Number == p.Default {
			return p.Versions[i].Document
		}
	}
	return ""
}
