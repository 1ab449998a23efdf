package check

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// KeyMaterialState of ListKeyRotations.
const (
	materialCurrent       = "CURRENT"
	materialNonCurrent    = "NON_CURRENT"
	materialPending       = "PENDING_ROTATION"
	materialPendingImport = "PENDING_MULTI_REGION_IMPORT_AND_ROTATION"
)

// repointed is how long after the making of its key an alias has to be updated to have been there before. Templates make the key and
// its alias one right after the other.
const repointed = time.Minute

func rotatesByHand(k *Key, _ *Settings) (bool, string) {
	if k.RotatesItself() {
		return false, "KMS can rotate this key automatically; the check rotation-enabled judges that."
	}
	if k.State != StateEnabled {
		return false, notEnabled(k)
	}
	return true, ""
}

func evalManualRotation(f *Facts, s *Settings) Verdict {
	k := f.Key
	switch {
	case k.Origin == OriginXKS:
		return f.noteAliases(manual("The external key manager may rotate the external key without KMS knowing. What is known: "+
			"the KMS key was made on %s, %s ago.", ymd(k.Created), inDays(wholeDays(f.Now.Sub(k.Created)))))
	case k.Spec == SpecSymmetric && k.Origin == OriginExternal && len(f.Materials) > 0:
		return f.judgeImported(s)
	default:
		return f.judgeByKey(s)
	}
}

// judgeImported judges a key whose imported material can be rotated on demand, by its current material.
func (f *Facts) judgeImported(s *Settings) Verdict {
	since, rests := f.Key.Created, fmt.Sprintf("The current material is the key's first, imported at some time after the key was made on %s; "+
		"its age is counted from that date.", ymd(f.Key.Created))
	if m := currentMaterial(f.Materials); m != nil && !m.Rotated.IsZero() {
		since, rests = m.Rotated, fmt.Sprintf("The current material is in use since the rotation on %s.", ymd(m.Rotated))
	}
	age, allowed := f.Now.Sub(since), wholeDays(s.MaxAge)
	v := pass("%s That makes %s, and %d are allowed.", rests, inDays(wholeDays(age)), allowed)
	if age > s.MaxAge {
		v = fail("%s That makes %s, more than the %d allowed; new material can be imported and rotated to on demand.",
			rests, inDays(wholeDays(age)), allowed).atPrimary(f.Key)
	}
	for _, m := range f.Materials {
		switch m.State {
		case materialPending:
			v = v.and("Material %s is imported and waits for RotateKeyOnDemand.", m.ID)
		case materialPendingImport:
			v = v.and("Material %s waits to be imported into every replica.", m.ID)
		}
	}
	return v
}

// currentMaterial returns the material in use; where the endpoint does not mark it, the newest. Nil if that cannot be told.
func currentMaterial(all []Material) *Material {
	var newest *Material
	for i := range all {
		m := &all[i]
		if m.State == materialCurrent {
			return m
		}
		if m.State == "" && (newest == nil || m.Rotated.After(newest.Rotated)) {
			newest = m
		}
	}
	return newest
}

// judgeByKey judges a key whose material is replaced only together with the key.
func (f *Facts) judgeByKey(s *Settings) Verdict {
	k, age := f.Key, f.Now.Sub(f.Key.Created)
	rests := fmt.Sprintf("The key was made on %s, %s ago, and its material is as old.", ymd(k.Created), inDays(wholeDays(age)))
	if k.Origin == OriginExternal {
		rests = fmt.Sprintf("The key was made on %s, %s ago; how old its material was when it was imported is not known.",
			ymd(k.Created), inDays(wholeDays(age)))
	}
	allowed := wholeDays(s.MaxAge)
	switch {
	case age <= s.MaxAge:
		return f.noteAliases(pass("%s That is within the %d days allowed.", rests, allowed))
	case len(f.Aliases) > 0:
		return f.noteAliases(fail("%s That is more than the %d days allowed, and %s still points to it.", rests, allowed, f.Aliases[0].Name))
	default:
		return manual("%s That is more than the %d days allowed, but no alias points to it: if it was replaced, it is kept to decrypt "+
			"or verify only.", rests, allowed)
	}
}

// noteAliases adds the newest sign that the key took the place of another.
func (f *Facts) noteAliases(v Verdict) Verdict {
	if len(f.Aliases) == 0 {
		return v
	}
	a := slices.MaxFunc(f.Aliases, func(a, b Alias) int { return cmp.Or(a.Updated.Compare(b.Updated), cmp.Compare(b.Name, a.Name)) })
	if a.Updated.Sub(f.Key.Created) <= repointed {
		return v
	}
	return v.and("%s was pointed here on %s; the verdict rests on that date and the key's age.", a.Name, ymd(a.Updated))
}
