package check

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

var lifecycleChecks = []*Check{
	{
		ID: "key-enabled", Title: "The key is enabled", Severity: Low,
		Why: "A key that is neither usable nor on its way out costs as much as any other, and what was encrypted under it cannot be read. " +
			"Nobody notices until somebody needs it.",
		Fix: fixKeyEnabled,
		Controls: slices.Concat(cite(Prowler, "kms_cmk_are_used"), cite(NIST80053, "SC-12"), cite(NIST80057, "7.3"), cite(PCIDSS, "3.7.5"),
			cite(ISO27001, "A.8.24")),
		Eval: evalKeyEnabled,
	},
	{
		ID: "pending-deletion", Title: "The key is not scheduled for deletion", Severity: Critical,
		Why: "When a key is deleted, everything encrypted under it is lost for good, unless a related multi-Region key has the same " +
			"material. The waiting period is the last chance to notice a mistake, or somebody who means harm.",
		Fix: fixPendingDeletion,
		Controls: slices.Concat(cite(SecurityHub, "KMS.3"), cite(Prowler, "kms_cmk_not_deleted_unintentionally"),
			cite(NIST80053, "SC-12", "SC-12(1)", "SC-12(2)"), cite(NIST80057, "8.3.4"), cite(PCIDSS, "3.7.5"), cite(HIPAA, "164.312(c)(1)"),
			cite(ISO27001, "A.8.24")),
		Eval: evalPendingDeletion,
	},
	{
		ID: "unused-key", Title: "The key is in use", Severity: Low,
		Why: "A key that nobody uses is still there to be misused, has to be rotated and reviewed, and is paid for every month.",
		Fix: fixUnusedKey,
		Controls: slices.Concat(cite(NIST80053, "SC-12"), cite(NIST80057, "8.3.4"), cite(PCIDSS, "3.7.5"),
			cite(ISO27001, "A.8.24")),
		Needs: []Call{GetKeyLastUsage}, Applies: usable, Eval: evalUnusedKey,
	},
	{
		ID: "has-alias", Title: "The key has an alias", Severity: Low,
		Why: "Without an alias, applications name the key by its ID: it cannot be replaced without changing each of them, and nobody can " +
			"tell from the ID what the key is for.",
		Fix:      fixHasAlias,
		Controls: slices.Concat(cite(NIST80053, "CM-8"), cite(ISO27001, "A.5.9")),
		Needs:    []Call{ListAliases}, Applies: staying, Eval: evalHasAlias,
	},
	{
		ID: "has-owner", Title: "A tag names the owner of the key", Severity: Low,
		Why: "Whoever finds something wrong with a key has to ask somebody. Without an owner nobody dares to rotate, disable or delete it, " +
			"and so it stays.",
		Fix:      fixHasOwner,
		Controls: slices.Concat(cite(NIST80053, "CM-8"), cite(ISO27001, "A.5.9")),
		Needs:    []Call{ListResourceTags}, Applies: staying, Eval: evalHasOwner,
	},
	{
		ID: "blast-radius", Title: "The key serves one class of data and few services", Severity: Medium,
		Why: "Whoever may use a key may read everything under it. One key for each class of data keeps a leaked permission, or a " +
			"mistake in a policy, from opening all of it at once.",
		Fix: fixBlastRadius,
		Controls: slices.Concat(cite(NIST80053, "AC-6", "SC-12"), cite(NIST80057, "5.2"), cite(SOC2, "CC6.1"),
			cite(ISO27001, "A.5.12", "A.8.24")),
		Needs: []Call{GetKeyPolicy, ListResourceTags}, Applies: staying, Eval: evalBlastRadius,
	},
	{
		ID: "replicas-agree", Title: "The replicas of a multi-Region key agree with their primary", Severity: Medium,
		Why: "Replicas share the material, but each has its own policy, tags, description and state. Where they differ, a failover finds " +
			"the key disabled, or data is open in one Region to people whom another keeps out.",
		Fix:      fixReplicasAgree,
		Controls: slices.Concat(cite(NIST80053, "AC-3", "CM-6", "SC-12"), cite(ISO27001, "A.8.9", "A.8.24")),
		Needs:    []Call{Replicas, GetKeyPolicy, ListResourceTags}, Applies: hasReplicas, Eval: evalReplicasAgree,
	},
	{
		ID: "multi-region", Title: "The key exists in one Region only", Severity: Informational,
		Why: "The material of a multi-Region key is in every Region of its replicas, under a policy of its own in each. That is what " +
			"some applications need, and one more place to protect for all others.",
		Fix: fixMultiRegion,
		Controls: slices.Concat(cite(Prowler, "kms_cmk_not_multi_region"), cite(PCIDSS, "3.6.1.4"), cite(NIST80053, "SC-12"),
			cite(ISO27001, "A.8.24")),
		Applies: usable, Eval: evalMultiRegion,
	},
}

// deletionPending tells whether the key is on its way out.
func deletionPending(k *Key) bool {
	return k.State == StatePendingDeletion || k.State == StatePendingReplicaDeletion
}

// staying is of checks that would ask for work on a key that is going anyway.
func staying(k *Key, _ *Settings) (bool, string) {
	if deletionPending(k) {
		return false, fmt.Sprintf("The key is in state %s; the check pending-deletion judges that.", k.State)
	}
	return true, ""
}

func usable(k *Key, _ *Settings) (bool, string) {
	if k.State != StateEnabled {
		return false, fmt.Sprintf("The key is in state %s and cannot be used.", k.State)
	}
	return true, ""
}

// stateAdvice says what to do about keys that are not enabled.
var stateAdvice = map[string]string{
	StateDisabled:      "enable it, or schedule its deletion if nothing under it is needed",
	StatePendingImport: "import its material, or schedule its deletion",
	StateUnavailable:   "connect its custom key store",
	"Creating":         "wait until it is made",
	"Updating":         "wait until its change is done",
}

func evalKeyEnabled(f *Facts, _ *Settings) Verdict {
	switch k := f.Key; {
	case k.State == StateEnabled:
		return pass("The key is enabled.")
	case deletionPending(k):
		return pass("The key is not enabled, but on its way out (state %s); the check pending-deletion judges that.", k.State)
	default:
		if advice := stateAdvice[k.State]; advice != "" {
			return fail("The key is in state %s: %s.", k.State, advice)
		}
		return fail("The key is in state %s and cannot be used.", k.State)
	}
}

func evalPendingDeletion(f *Facts, _ *Settings) Verdict {
	k := f.Key
	switch {
	case !deletionPending(k):
		return pass("The key is in state %s; no deletion is scheduled.", k.State)
	case !k.DeletionDate.IsZero():
		return fail("The key is to be deleted on %s. Cancel it if it was not meant.", ymd(k.DeletionDate))
	case k.State == StatePendingReplicaDeletion:
		return fail("The key is to be deleted: its waiting period begins when the last of its %d replicas is gone. Cancel it if it was not meant.",
			len(k.Replicas))
	default:
		return fail("The key is to be deleted; the endpoint does not say when. Cancel it if it was not meant.")
	}
}

func evalUnusedKey(f *Facts, s *Settings) Verdict {
	u, limit := f.Usage, wholeDays(s.UnusedAfter)
	if u == nil {
		return manual("The endpoint does not tell when keys were last used; look for the key in the audit log.")
	}
	if !u.Last.IsZero() {
		last := "The key was last used on " + ymd(u.Last)
		if u.Operation != "" {
			last += ", for " + u.Operation
		}
		if idle := f.Now.Sub(u.Last); idle > s.UnusedAfter {
			return fail("%s, %s ago; a key is unused after %d.", last, inDays(wholeDays(idle)), limit)
		}
		return pass("%s, within the last %d days.", last, limit)
	}
	// Nothing is known of the time before both.
	since, rests := f.Key.Created, "it was made"
	if u.Tracked.After(since) {
		since, rests = u.Tracked, "uses are tracked"
	}
	if f.Now.Sub(since) > s.UnusedAfter {
		return fail("The key has not been used since %s on %s; a key is unused after %d days.", rests, ymd(since), limit)
	}
	return pass("The key has not been used since %s on %s, but it is too early to tell: a key is unused after %d days.", rests, ymd(since), limit)
}

func evalHasAlias(f *Facts, _ *Settings) Verdict {
	if len(f.Aliases) == 0 {
		return fail("No alias points to the key.")
	}
	names := make([]string, len(f.Aliases))
	for i, a := range f.Aliases {
		names[i] = a.Name
	}
	return pass("The key is the target of %s.", strings.Join(names, ", "))
}

// tagsNamed returns the keys of the tags that have one of the names, sorted. Case makes no difference.
func tagsNamed(tags map[string]string, names []string) []string {
	var found []string
	for _, key := range slices.Sorted(maps.Keys(tags)) {
		if slices.ContainsFunc(names, func(n string) bool { return strings.EqualFold(n, key) }) {
			found = append(found, key)
		}
	}
	return found
}

func evalHasOwner(f *Facts, s *Settings) Verdict {
	named := tagsNamed(f.Tags, s.OwnerTags)
	for _, key := range named {
		if owner := strings.TrimSpace(f.Tags[key]); owner != "" {
			return pass("The tag %s names %s.", key, owner)
		}
	}
	if len(named) > 0 {
		return fail("The tag %s is there, but names nobody.", named[0])
	}
	return fail("None of the tags %s is there.", strings.Join(s.OwnerTags, ", "))
}

func evalMultiRegion(f *Facts, _ *Settings) Verdict {
	if f.Key.Role == RoleNone {
		return pass("The key is a single-Region key.")
	}
	return fail("The same material exists in %d Regions; keep it only where it is needed.", 1+len(f.Key.Replicas))
}
