package check

import (
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/keyturn/keyturn/internal/policy"
)

func hasReplicas(k *Key, s *Settings) (bool, string) {
	switch {
	case k.Role == RoleNone:
		return false, "The key is a single-Region key."
	case k.Role == RoleReplica:
		return false, "The key is a replica; replicas are judged at their primary key, " + k.Primary + "."
	case len(k.Replicas) == 0:
		return false, "The multi-Region key has no replicas."
	default:
		return staying(k, s)
	}
}

func evalReplicasAgree(f *Facts, _ *Settings) Verdict {
	var different, unread []string
	for _, r := range f.Replicas {
		region := regionOf(r.ARN)
		switch err := r.unread(); {
		case r.Absent:
			different = append(different, fmt.Sprintf("%s: the replica is not there", region))
		case err != nil:
			unread = append(unread, fmt.Sprintf("%s: %v", region, err))
		default:
			if d := differences(f, r.Facts); len(d) > 0 {
				different = append(different, fmt.Sprintf("%s: %s", region, strings.Join(d, ", ")))
			}
		}
	}
	found := strings.Join(different, "; ")
	switch {
	case len(unread) > 0:
		v := verdict(Error, "Replicas could not be read: %s.", strings.Join(unread, "; "))
		if found != "" {
			v = v.and("Those that could be read differ from the primary. %s.", found)
		}
		return v
	case found != "":
		return fail("Replicas differ from the primary in %s. %s.", f.Region, found)
	default:
		return pass("State, description, tags, policy and material are the same in %s and its %d replicas.", f.Region, len(f.Replicas))
	}
}

// unread returns why a replica that is there cannot be compared, nil if it can.
func (r *Replica) unread() error {
	switch {
	case r.Absent:
		return nil
	case r.Err != nil:
		return r.Err
	case r.Facts == nil || r.Facts.Key == nil:
		return fmt.Errorf("%s was not read", r.ARN)
	}
	for _, call := range []Call{DescribeKey, GetKeyPolicy, ListResourceTags} {
		if err := r.Facts.Errors[call]; err != nil {
			return fmt.Errorf("%s could not be read: %w", call, err)
		}
	}
	return nil
}

// differences lists what differs between a primary and a replica, of what each has of its own.
func differences(primary, replica *Facts) []string {
	var d []string
	p, r := primary.Key, replica.Key
	// Which of the states without use it is makes a difference only where one of them waits for material.
	if (p.State == StateEnabled) != (r.State == StateEnabled) || (p.State == StatePendingImport) != (r.State == StatePendingImport) {
		d = append(d, fmt.Sprintf("the state is %s, not %s", r.State, p.State))
	}
	if p.MaterialID != "" && r.MaterialID != "" && p.MaterialID != r.MaterialID {
		d = append(d, fmt.Sprintf("the current material is %s, not %s", r.MaterialID, p.MaterialID))
	}
	if !p.ValidTo.Equal(r.ValidTo) {
		d = append(d, fmt.Sprintf("the material expires %s, not %s", expiry(r.ValidTo), expiry(p.ValidTo)))
	}
	if p.Description != r.Description {
		d = append(d, "the description differs")
	}
	if !maps.Equal(primary.Tags, replica.Tags) {
		d = append(d, "the tags differ")
	}
	if !samePolicy(primary, replica) {
		d = append(d, "the policy differs")
	}
	return d
}

func expiry(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return "on " + ymd(t)
}

// samePolicy compares the policies of two related keys. Each may name its own Region where the other names the other.
func samePolicy(a, b *Facts) bool {
	if policy.Equivalent(a.Policy, b.Policy) {
		return true
	}
	x, errX := policy.ParseInForce([]byte(strings.ReplaceAll(a.PolicyText, a.Region, "its-region")))
	y, errY := policy.ParseInForce([]byte(strings.ReplaceAll(b.PolicyText, b.Region, "its-region")))
	return errX == nil && errY == nil && policy.Equivalent(x, y)
}
