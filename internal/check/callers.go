package check

// caller is somebody whom an Allow lets in.
type caller struct {
	principal
	denial      *denial
	asEverybody bool // not by name, but because the Allow names everybody
}

// callersOf returns whom an Allow lets in, but for those whom its own conditions certainly keep out. Everybody stands for three: anybody
// at all, unless the conditions tell of which accounts they must be; everyone in the key's own account; and whom the policy itself
// picks out of everybody, by the conditions of the Allow or because a Deny leaves them out. What a Deny takes from strangers it may
// leave to these, so each has to be held against it.
func callersOf(st statement, own string, denies *denials) []caller {
	var list []caller
	everybody := false
	for _, p := range st.principals() {
		if p.kind == anybodyKind {
			everybody = true
		} else if st.lets(p) != never {
			list = append(list, caller{p, denies.of(p), false})
		}
	}
	if !everybody {
		return list
	}
	if !tellsAccounts(st) {
		list = append(list, caller{stranger, denies.of(stranger), true})
	}
	picked := []principal{{everyoneKind, own, own}}
	for _, c := range st.conds {
		if c.who != nil && !c.who.negated {
			picked = append(picked, c.who.people...)
		}
	}
	for _, p := range picked {
		if st.lets(p) != never {
			list = append(list, caller{p, denies.of(p), true})
		}
	}
	for _, c := range denies.exempt {
		if st.lets(c.principal) != never {
			list = append(list, c)
		}
	}
	return list
}

// tellsAccounts tells whether a condition confines everybody to accounts that it names.
func tellsAccounts(st statement) bool {
	for _, c := range st.conds {
		if c.who != nil && !c.who.vague && st.confines(c) {
			return true
		}
	}
	return false
}
