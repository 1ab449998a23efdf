package check

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

var iamChecks = []*Check{
	{
		ID: "iam-enable-rotation", Title: "Somebody other than the root user may enable rotation", Severity: Medium,
		Why: "Where nobody may call EnableKeyRotation, rotation that was switched off stays off, and mending it takes the root user, whose " +
			"credentials should stay locked away.",
		Fix: fixEnableRotationAccess,
		Controls: slices.Concat(cite(NIST80053, "AC-6", "SC-12"), cite(NIST80057, "5.3"), cite(PCIDSS, "3.7.4"),
			cite(ISO27001, "A.5.18", "A.8.24")),
		Needs: []Call{IAMPolicies, GetKeyPolicy}, Applies: rotatesHere, Eval: evalEnableRotationAccess,
	},
	{
		ID: "rotation-events", Title: "CloudTrail has an event for every recent rotation", Severity: Low,
		Why: "The event RotateKey is the evidence that a rotation took place. Where the key lists one and CloudTrail does not, an auditor " +
			"has only the key's word for it, or events are missing for other reasons too.",
		Fix: fixRotationEvents,
		Controls: slices.Concat(cite(NIST80053, "AU-12", "SC-12"), cite(PCIDSS, "3.7.4", "10.2.1"), cite(HIPAA, "164.312(b)"),
			cite(SOC2, "CC7.2"), cite(ISO27001, "A.8.15")),
		Needs:   []Call{RotationEvents, ListKeyRotations, GetKeyRotationStatus},
		Applies: rotationRecorded, Eval: evalRotationEvents,
	},
}

func rotatesHere(k *Key, s *Settings) (bool, string) {
	if ok, why := rotationRecorded(k, s); !ok {
		return false, why
	}
	if k.State != StateEnabled {
		return false, notEnabled(k)
	}
	return true, ""
}

// rotationRecorded leaves out replicas: the rotation of related keys is set at the primary, and the event is the primary's.
func rotationRecorded(k *Key, _ *Settings) (bool, string) {
	if why := cannotRotate(k); why != "" {
		return false, why
	}
	if k.Role == RoleReplica {
		return false, "The key is a replica: rotation belongs to the primary key, " + k.Primary + "."
	}
	return true, ""
}

// maxNamed is how many principals a finding names.
const maxNamed = 5

func evalEnableRotationAccess(f *Facts, _ *Settings) Verdict {
	q := newAccessQuestion(f, actionEnableKeyRotation)
	var may, might, unread []string
	for i := range f.IAM.Principals {
		p := &f.IAM.Principals[i]
		answer, blind := q.mayCall(p)
		switch {
		case blind != "":
			might = append(might, p.ARN)
			if !slices.Contains(unread, blind) {
				unread = append(unread, blind)
			}
		case answer == surely:
			may = append(may, p.ARN)
		case answer == maybe:
			might = append(might, p.ARN)
		}
		if len(may) > maxNamed {
			break // enough for the sentence; accounts have thousands of roles
		}
	}
	switch {
	case len(may) > maxNamed:
		return pass("kms:EnableKeyRotation is permitted to %s and others.", strings.Join(may[:maxNamed], ", "))
	case may != nil:
		return pass("kms:EnableKeyRotation is permitted to %s.", andList(may))
	case might != nil:
		v := manual("kms:EnableKeyRotation may be permitted to %s: that depends on conditions or on policies that are not understood.",
			someOf(might, maxNamed))
		return v.andAll(unread)
	}
	v := fail("No user or role of account %s may call kms:EnableKeyRotation on this key.", f.Account)
	if q.opened == never {
		return v.and("The key policy does not let the account's IAM policies permit it.")
	}
	return v.and("The key policy lets the account's IAM policies permit it, and none does.")
}

// eventWindow is how far a rotation's date and its event may be apart.
const eventWindow = 10 * time.Minute

// eventHistory is how far LookupEvents of CloudTrail reaches back, and eventDelay more than events take to appear.
const (
	eventHistory = 90 * day
	eventDelay   = time.Hour
)

func evalRotationEvents(f *Facts, _ *Settings) Verdict {
	var recent []time.Time
	for _, m := range f.Materials {
		if !m.Rotated.IsZero() && m.Rotated.After(f.Now.Add(-eventHistory)) {
			recent = append(recent, m.Rotated)
		}
	}
	if recent == nil {
		v := notApplicable("The key lists no rotation within the last 90 days, as far as CloudTrail's event history reaches.")
		if f.Rotation != nil && !f.Rotation.Enabled {
			v = v.and("Automatic rotation is off.")
		}
		return v
	}
	slices.SortFunc(recent, func(a, b time.Time) int { return b.Compare(a) })
	var missing, late []string
	var last string
	for _, at := range recent {
		i := slices.IndexFunc(f.Events, func(e Event) bool { return e.At.Sub(at).Abs() <= eventWindow })
		switch {
		case i >= 0 && last == "":
			last = fmt.Sprintf("the last, of %s, is event %s", stamp(at), f.Events[i].ID)
		case i >= 0:
		case f.Now.Sub(at) < eventDelay:
			late = append(late, stamp(at))
		default:
			missing = append(missing, stamp(at))
		}
	}
	switch {
	case missing != nil:
		return fail("CloudTrail has no RotateKey event within 10 minutes of the rotation of %s.", someOf(missing, maxNamed))
	case last == "":
		return manual("The rotation of %s is so recent that CloudTrail may not have its event yet.", andList(late))
	}
	v := pass("CloudTrail has a RotateKey event for every rotation of the last 90 days (%d): %s.", len(recent)-len(late), last)
	if late != nil {
		return v.and("The rotation of %s is so recent that CloudTrail may not have its event yet.", andList(late))
	}
	return v
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
