package check

import (
	"math/bits"

	"github.com/keyturn/keyturn/internal/policy"
)

// denials are the Deny statements of a key policy, to be held against those whom its Allow statements name.
type denials struct {
	list   []statement
	freed  []*principalSet // by statement: whom its NotPrincipal frees, nil if it has Principal
	index  *principalIndex
	known  map[principal]*denial
	exempt []caller // whom a Deny leaves out by name, each once
}

// denial is what the Deny statements take from somebody.
type denial struct {
	taken    actionSet // certainly, from all whom the principal stands for
	doubtful actionSet // perhaps, or from some of them
	by       [64]int32 // by bit of an action, the place in the list of the first Deny that takes it
	doubt    [64]int32 // and of the first that perhaps does
	longTerm actionSet // certainly, from whoever comes with long-term credentials, so without MFA
	passing  actionSet // certainly, from whoever comes with temporary ones and without MFA
}

func newDenials(f *Facts) *denials {
	d := &denials{list: keyStatements(f, policy.Deny), known: map[principal]*denial{}}
	d.index = newPrincipalIndex(d.list)
	d.freed = make([]*principalSet, len(d.list))
	seen := map[principal]bool{}
	exempt := func(ps []principal) {
		for _, p := range ps {
			if p.kind != anybodyKind && !seen[p] {
				seen[p] = true
				d.exempt = append(d.exempt, caller{principal: p, asEverybody: true})
			}
		}
	}
	for i, st := range d.list {
		if st.NotPrincipal != nil {
			d.freed[i] = newPrincipalSet(st.named)
			exempt(st.named)
		}
		for _, c := range st.conds {
			if c.who != nil && c.who.negated {
				exempt(c.who.people)
			}
		}
	}
	for i := range d.exempt {
		d.exempt[i].denial = d.of(d.exempt[i].principal)
	}
	return d
}

// of returns what is taken from p.
func (d *denials) of(p principal) *denial {
	if r := d.known[p]; r != nil {
		return r
	}
	r := &denial{}
	d.known[p] = r
	for _, i := range inOrder(d.index.forName(p), d.index.forAccount(p)) {
		st := &d.list[i]
		if st.actions&^(r.taken&r.longTerm&r.passing) == 0 {
			continue
		}
		reach := surely
		if d.freed[i] != nil {
			reach = d.freed[i].reaches(p)
		}
		sure, longTerm, passing := reach, reach == surely, reach == surely
		for k := range st.conds {
			c := &st.conds[k]
			holds := c.holdsFor(p)
			sure = min(sure, holds)
			longTerm = longTerm && (holds == surely || holdsWithoutMFA(c.Condition, true))
			passing = passing && (holds == surely || holdsWithoutMFA(c.Condition, false))
		}
		if longTerm {
			r.longTerm |= st.actions
		}
		if passing {
			r.passing |= st.actions
		}
		switch sure {
		case surely:
			note(&r.taken, &r.by, st.actions, i)
		case maybe:
			note(&r.doubtful, &r.doubt, st.actions, i)
		}
	}
	return r
}

// note adds actions to a set, and for each that is new the place of the statement.
func note(set *actionSet, places *[64]int32, actions actionSet, place int) {
	for rest := uint64(actions &^ *set); rest != 0; rest &= rest - 1 {
		places[bits.TrailingZeros64(rest)] = int32(place)
	}
	*set |= actions
}

// taking returns the first Deny that takes one of the actions, all of which are taken.
func (d *denials) taking(r *denial, actions actionSet) statement { return d.first(&r.by, actions) }

// doubting returns the first Deny that perhaps takes one of the actions, all of which are doubtful.
func (d *denials) doubting(r *denial, actions actionSet) statement { return d.first(&r.doubt, actions) }

func (d *denials) first(places *[64]int32, actions actionSet) statement {
	at := len(d.list) - 1
	for rest := uint64(actions); rest != 0; rest &= rest - 1 {
		at = min(at, int(places[bits.TrailingZeros64(rest)]))
	}
	return d.list[at]
}
