package authz

// Verdicts are what decisions come to, in the words of explanations and audit records.
const (
	Allowed      = "allowed"
	ExplicitDeny = "explicitDeny"
	ImplicitDeny = "implicitDeny"
	// Refused is a denial of which it is not told whether a statement or the lack of one denies.
	Refused = "deny"
)

// Verdict is the decision in a word.
func (d *Decision) Verdict() string {
	switch {
	case d.Allowed:
		return Allowed
	case d.Explicit:
		return ExplicitDeny
	}
	return ImplicitDeny
}

// onResourceSide tells whether another account than the principal's decided.
func (d *Decision) onResourceSide() bool {
	return d.CrossAccount && d.By != IdentityPolicy && d.By != Boundary && d.By != SessionPolicy
}

// Told is what the principal's own account may know of a decision, beside Message.
type Told struct {
	Verdict    string
	By         Kind
	Statements []Statement
}

// Told keeps back what another account's policy says. If that account refuses, nothing is told but that it does, nor what the principal's
// own policies say: their conditions on the resource would tell what it is, and a record for what is not there has to look the same.
func (d *Decision) Told() Told {
	if d.onResourceSide() && !d.Allowed {
		return Told{Verdict: Refused, By: ResourcePolicy}
	}
	t := Told{Verdict: d.Verdict(), By: d.By, Statements: d.Statements}
	if !d.CrossAccount {
		return t
	}
	t.Statements = nil
	for _, s := range d.Statements {
		if s.Kind != ResourcePolicy {
			t.Statements = append(t.Statements, s)
		}
	}
	return t
}
