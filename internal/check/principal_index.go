package check

import "slices"

// principalIndex finds the statements of a list that name somebody, without asking each of them.
type principalIndex struct {
	broad     []int            // those for everybody, and those with NotPrincipal
	byAccount map[string][]int // by the accounts that they name
	byID      map[string][]int // by whom else they name
	byRole    map[string][]int // by the roles that they name, for the roles' sessions
	bySession map[string][]int // by the roles of the sessions that they name
}

func newPrincipalIndex(list []statement) *principalIndex {
	x := &principalIndex{
		byAccount: map[string][]int{}, byID: map[string][]int{}, byRole: map[string][]int{}, bySession: map[string][]int{},
	}
	for i, st := range list {
		if st.NotPrincipal != nil {
			x.broad = append(x.broad, i)
			continue
		}
		for _, p := range st.named {
			switch p.kind {
			case anybodyKind:
				x.broad = append(x.broad, i)
			case accountKind:
				x.byAccount[p.account] = append(x.byAccount[p.account], i)
			default:
				x.byID[p.id] = append(x.byID[p.id], i)
			}
			if common, session, ok := p.role(); ok && session {
				x.bySession[common] = append(x.bySession[common], i)
			} else if ok {
				x.byRole[common] = append(x.byRole[common], i)
			}
		}
	}
	return x
}

// forAccount returns the statements that mean p because they name p's whole account.
func (x *principalIndex) forAccount(p principal) []int {
	if p.whole() || p.kind == identityKind {
		return x.byAccount[p.account]
	}
	return nil
}

// forName returns the statements that mean p otherwise: by name, as a session of a role, or as one of everybody.
func (x *principalIndex) forName(p principal) []int {
	found := slices.Clone(x.broad)
	if p.whole() || p.kind == anybodyKind || p.kind == sourceKind {
		return found
	}
	found = append(found, x.byID[p.id]...)
	if common, session, _ := p.role(); session {
		found = append(found, x.byRole[common]...)
	}
	return found
}

// inOrder sorts the places of statements and leaves each once.
func inOrder(found ...[]int) []int {
	all := slices.Concat(found...)
	slices.Sort(all)
	return slices.Compact(all)
}

// principalSet is whom a NotPrincipal frees.
type principalSet struct {
	any, services   bool
	accounts, ids   map[string]bool
	owners          map[string]bool // accounts of the users and roles in it
	roles, sessions map[string]bool // of roles in it, and of sessions
}

func newPrincipalSet(ps []principal) *principalSet {
	s := &principalSet{
		accounts: map[string]bool{}, ids: map[string]bool{}, owners: map[string]bool{}, roles: map[string]bool{}, sessions: map[string]bool{},
	}
	for _, p := range ps {
		switch p.kind {
		case anybodyKind:
			s.any = true
		case accountKind:
			s.accounts[p.account] = true
		case serviceKind:
			s.services = true
		case identityKind:
			s.owners[p.account] = true
		}
		if p.kind != accountKind {
			s.ids[p.id] = true
		}
		if common, session, ok := p.role(); ok && session {
			s.sessions[common] = true
		} else if ok {
			s.roles[common] = true
		}
	}
	return s
}

// reaches tells how surely a Deny with this set under NotPrincipal is meant for p, for all whom p stands for. An account in it frees its
// root, and no user or role beside; a user without its account may be denied all the same, and so may a role, of which each
// session counts ("AWS JSON policy elements: NotPrincipal").
func (s *principalSet) reaches(p principal) certainty {
	common, session, isRole := p.role()
	switch {
	case s.any:
		return never
	case p.whole() && s.accounts[p.account]:
		return never
	case p.whole() && s.owners[p.account], p.kind == sourceKind && s.services:
		return maybe
	case p.whole(), p.kind == sourceKind, p.kind == anybodyKind:
		return surely
	case s.ids[p.id] && (p.kind != identityKind || s.accounts[p.account] && (!isRole || session && s.roles[common])):
		return never
	case s.ids[p.id], session && s.roles[common], isRole && !session && s.sessions[common]:
		return maybe
	default:
		return surely
	}
}
