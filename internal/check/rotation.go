package check

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

var rotationChecks = []*Check{
	{
		ID: "rotation-enabled", Title: "Automatic rotation is enabled", Severity: Medium,
		Why: "Data encrypted under one key material is lost together with it. Rotation limits how much that is, costs nobody any work, " +
			"and is what auditors ask for first: old ciphertexts stay readable, and the key ID does not change.",
		Fix: fixRotationEnabled,
		Controls: slices.Concat(cisRotation, cite(SecurityHub, "KMS.4"), cite(Prowler, "kms_cmk_rotation_enabled"),
			cite(NIST80053, "SC-12", "SC-12(2)", "SC-28(3)"), cite(NIST80057, "5.3", "8.2.3"), cite(PCIDSS, "3.7.4"),
			cite(HIPAA, "164.312(a)(2)(iv)"), cite(SOC2, "CC6.1"), cite(ISO27001, "A.8.24")),
		Scope: AllKeys, Needs: []Call{GetKeyRotationStatus}, Applies: rotatesItself, Eval: evalRotationEnabled,
	},
	{
		ID: "manual-rotation", Title: "Key material that cannot rotate automatically is replaced within its cryptoperiod", Severity: Medium,
		Why: "Asymmetric and HMAC keys, imported material and keys in custom key stores never rotate by themselves. Somebody has to, and " +
			"nothing reminds them: such keys are the oldest in most accounts.",
		Fix: fixManualRotation,
		Controls: slices.Concat(cite(NIST80053, "SC-12", "SC-12(2)", "SC-12(3)"), cite(NIST80057, "5.3", "8.2.3"), cite(PCIDSS, "3.7.4"),
			cite(HIPAA, "164.312(a)(2)(iv)"), cite(SOC2, "CC6.1"), cite(ISO27001, "A.8.24")),
		Needs: []Call{ListKeyRotations, ListAliases}, Applies: rotatesByHand, Eval: evalManualRotation,
	},
	{
		ID: "rotation-period", Title: "The rotation period is no longer than allowed", Severity: Low,
		Why: "A period can be up to 2560 days. One that is longer than the cryptoperiod of the key makes rotation look enabled while it comes too late.",
		Fix: fixRotationPeriod,
		Controls: slices.Concat(cite(NIST80053, "SC-12", "SC-12(2)"), cite(NIST80057, "5.3"), cite(PCIDSS, "3.7.4"),
			cite(ISO27001, "A.8.24")),
		Needs: []Call{GetKeyRotationStatus}, Applies: rotatesItself, Eval: evalRotationPeriod,
	},
	{
		ID: "rotation-overdue", Title: "Rotation happened when it was due", Severity: High,
		Why: "Rotation that is enabled but does not happen is worse than rotation that is off: everybody believes in it. A date that passed " +
			"without a rotation means that the service, or what runs it, does not do what it says.",
		Fix: fixRotationOverdue,
		Controls: slices.Concat(cite(NIST80053, "SC-12", "SC-12(2)"), cite(NIST80057, "5.3", "8.2.3"), cite(PCIDSS, "3.7.4"),
			cite(SOC2, "CC6.1"), cite(ISO27001, "A.8.24")),
		Needs: []Call{GetKeyRotationStatus, ListKeyRotations}, Applies: rotatesItself, Eval: evalRotationOverdue,
	},
	{
		ID: "on-demand-limit", Title: "On-demand rotations are left for an emergency", Severity: Low,
		Why: "A key can be rotated on demand 25 times in its life. When they are used up, a suspected compromise can only be answered with " +
			"a new key, and with a change to everything that names the old one.",
		Fix:      fixOnDemandLimit,
		Controls: slices.Concat(cite(NIST80053, "SC-12"), cite(NIST80057, "8.2.3"), cite(PCIDSS, "3.7.4")),
		Needs:    []Call{ListKeyRotations}, Applies: rotatesOnDemand, Eval: evalOnDemandLimit,
	},
	{
		ID: "import-expiry", Title: "Imported key material is present and does not expire soon", Severity: High,
		Why: "When imported material expires, KMS deletes it: from that moment nothing encrypted under the key can be read, until the very " +
			"same material is imported again. AWS keeps no copy.",
		Fix:      fixImportExpiry,
		Controls: slices.Concat(cite(NIST80053, "SC-12", "SC-12(1)"), cite(NIST80057, "8.2.2"), cite(ISO27001, "A.8.24")),
		Needs:    []Call{ListKeyRotations}, Applies: hasImported, Eval: evalImportExpiry,
	},
}

// The dates of rotations are promises by the day.
const rotationGrace = 24 * time.Hour

// onlyPeriod was the period, in days, of every key before AWS let people choose one.
const onlyPeriod = 365

// On-demand rotations that AWS allows in a key's life, and how many used are nearly all.
const (
	maxOnDemand    = 25
	nearlyOnDemand = 20
)

func ymd(t time.Time) string { return t.UTC().Format(time.DateOnly) }

// wholeDays counts the days that have passed.
func wholeDays(d time.Duration) int { return int(d / day) }

func inDays(n int) string {
	if n == 1 {
		return "1 day"
	}
	return fmt.Sprintf("%d days", n)
}

// cannotRotate says why KMS cannot rotate the key automatically, "" if it can.
func cannotRotate(k *Key) string {
	what := ""
	switch {
	case k.RotatesItself():
		return ""
	case strings.HasPrefix(k.Spec, "HMAC_"):
		what = "An HMAC key"
	case k.Spec != SpecSymmetric:
		what = fmt.Sprintf("An asymmetric key (%s)", k.Spec)
	case k.Origin == OriginExternal:
		what = "A key with imported material"
	default:
		what = "A key in a custom key store"
	}
	return what + " cannot rotate automatically."
}

func notEnabled(k *Key) string {
	return fmt.Sprintf("The key is in state %s, and rotation is asked of enabled keys.", k.State)
}

func rotatesItself(k *Key, _ *Settings) (bool, string) {
	if k.Manager == ManagerAWS {
		return false, "AWS manages this key, and AWS rotates it every year."
	}
	if why := cannotRotate(k); why != "" {
		return false, why + " The check manual-rotation judges it by the age of its material."
	}
	if k.State != StateEnabled {
		return false, notEnabled(k)
	}
	return true, ""
}

func rotatesOnDemand(k *Key, _ *Settings) (bool, string) {
	if k.Spec != SpecSymmetric || k.Origin != OriginKMS && k.Origin != OriginExternal {
		return false, "Only symmetric encryption keys outside custom key stores rotate on demand."
	}
	return staying(k, nil)
}

func hasImported(k *Key, _ *Settings) (bool, string) {
	if k.Origin != OriginExternal {
		return false, "The key's material is not imported."
	}
	return staying(k, nil)
}

// atPrimary adds where a failure of a replica is mended: rotation is a property that related keys share.
func (v Verdict) atPrimary(k *Key) Verdict {
	if k.Role != RoleReplica {
		return v
	}
	return v.and("The key is a replica: its rotation is set at the primary key, %s.", k.Primary)
}

func evalRotationEnabled(f *Facts, _ *Settings) Verdict {
	r := f.Rotation
	if !r.Enabled {
		return fail("Automatic rotation is off; the key was made on %s.", ymd(f.Key.Created)).atPrimary(f.Key)
	}
	v := pass("Automatic rotation is on, every %d days.", r.Days)
	if r.Days == 0 {
		v = pass("Automatic rotation is on; the endpoint does not say how often.")
	}
	if !r.Next.IsZero() {
		v.Detail += fmt.Sprintf(" The next one is due on %s.", ymd(r.Next))
	}
	return v
}

func evalRotationPeriod(f *Facts, s *Settings) Verdict {
	r := f.Rotation
	if !r.Enabled {
		return notApplicable("Rotation is off and has no period; the check rotation-enabled judges that.")
	}
	period, rests := r.Days, ""
	if period == 0 {
		period = onlyPeriod
		rests = " The endpoint does not say the period; 365 days was the only one before it could be chosen."
	}
	if period > s.MaxPeriod {
		return fail("The key rotates every %d days; at most %d are allowed.%s", period, s.MaxPeriod, rests).atPrimary(f.Key)
	}
	return pass("The key rotates every %d days, and at most %d are allowed.%s", period, s.MaxPeriod, rests)
}

func evalRotationOverdue(f *Facts, _ *Settings) Verdict {
	r := f.Rotation
	if !r.Enabled {
		return notApplicable("Rotation is off, so none is due; the check rotation-enabled judges that.")
	}
	due, rests, weak := r.Next, "This is the date the endpoint names.", false
	if due.IsZero() {
		due, rests, weak = f.dueWithoutPromise()
	}
	if late := f.Now.Sub(due); late > rotationGrace {
		v := fail("The rotation due on %s has not happened, %s later. %s", ymd(due), inDays(wholeDays(late)), rests)
		if weak { // the period begins when rotation is enabled, which may have been yesterday
			v = manual("The rotation due on %s has not happened, %s later, if rotation was enabled when the key was made. %s", ymd(due), inDays(wholeDays(late)), rests)
		}
		return v.atPrimary(f.Key)
	}
	if due.Before(f.Now) {
		return pass("The rotation due on %s is less than 24 hours late. %s", ymd(due), rests)
	}
	return pass("The next rotation is due on %s. %s", ymd(due), rests)
}

// dueWithoutPromise works out the date of the next rotation where the endpoint names none, and says from what. It is weak evidence if
// there was no rotation yet, since the period begins when rotation is enabled.
func (f *Facts) dueWithoutPromise() (due time.Time, rests string, weak bool) {
	period := f.Rotation.Days
	if period == 0 {
		period = onlyPeriod
	}
	var last time.Time
	for _, m := range f.Materials {
		if !m.OnDemand && m.Rotated.After(last) {
			last = m.Rotated
		}
	}
	if last.IsZero() {
		created := f.Key.Created
		return created.Add(time.Duration(period) * day), fmt.Sprintf("The endpoint names no date and lists no automatic rotation: "+
			"this is %d days after the key was made, %s.", period, ymd(created)), true
	}
	return last.Add(time.Duration(period) * day), fmt.Sprintf("The endpoint names no date: this is %d days after the newest automatic rotation, %s.",
		period, ymd(last)), false
}

func evalOnDemandLimit(f *Facts, _ *Settings) Verdict {
	if f.Materials == nil && f.Key.State != StatePendingImport {
		return manual("The endpoint lists no rotations of this key, so those on demand cannot be counted.")
	}
	used := 0
	for _, m := range f.Materials {
		if m.OnDemand {
			used++
		}
	}
	left := max(0, maxOnDemand-used)
	if used >= nearlyOnDemand {
		return fail("%d of %d on-demand rotations are used, %d are left.", used, maxOnDemand, left).atPrimary(f.Key)
	}
	return pass("%d of %d on-demand rotations are used, %d are left.", used, maxOnDemand, left)
}

func evalImportExpiry(f *Facts, s *Settings) Verdict {
	var missing []string
	first := f.Key.ValidTo
	for _, m := range f.Materials {
		// A pending material is not used yet: nothing depends on its being there.
		inUse := m.State == "" || m.State == materialCurrent || m.State == materialNonCurrent
		if m.Missing && inUse {
			missing = append(missing, m.ID)
		}
		if !m.Missing && !m.ValidTo.IsZero() && (first.IsZero() || m.ValidTo.Before(first)) {
			first = m.ValidTo
		}
	}
	switch {
	case len(missing) > 0:
		return fail("Key material is missing, and with it the use of the key (state %s): %s.", f.Key.State, strings.Join(missing, ", "))
	case f.Key.State == StatePendingImport:
		return fail("The key waits for its material to be imported and cannot be used.")
	case first.IsZero() && f.Key.Expires:
		return manual("The key material expires, but the endpoint does not say when.")
	case first.IsZero():
		return pass("The key material does not expire.")
	case !first.After(f.Now):
		return fail("Key material expired on %s.", ymd(first))
	case !first.After(f.Now.Add(s.ExpiryWarning)):
		return fail("Key material expires on %s, within %s.", ymd(first), inDays(wholeDays(s.ExpiryWarning)))
	default:
		return pass("Key material expires on %s, not within %s.", ymd(first), inDays(wholeDays(s.ExpiryWarning)))
	}
}
