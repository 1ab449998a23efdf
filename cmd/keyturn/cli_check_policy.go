package main

import (
	"cmp"
	"io"
	"slices"
	"strings"

	"github.com/keyturn/keyturn/internal/check"
)

// policyStatement is a statement of the policy that printCheckPolicy prints.
type policyStatement struct {
	Sid      string
	Effect   string
	Action   []string
	Resource string
}

// printCheckPolicy prints the least IAM policy that lets a principal run the checks as the flags say.
func printCheckPolicy(w io.Writer, f *checkFlags, checks []*check.Check) error {
	actions := map[string]bool{"kms:ListKeys": true, "kms:DescribeKey": true, "kms:ListAliases": true}
	var beyond []string
	for _, c := range checks {
		for _, need := range c.Needs {
			switch need {
			case check.Replicas:
				actions["kms:GetKeyPolicy"], actions["kms:ListResourceTags"] = true, true
			case check.IAMPolicies:
				beyond = append(beyond, "iam:GetAccountAuthorizationDetails")
			case check.RotationEvents:
				beyond = append(beyond, "cloudtrail:LookupEvents")
			default:
				actions["kms:"+string(need)] = true
			}
		}
	}
	if f.allRegions {
		if f.client.endpoint == "" {
			beyond = append(beyond, "account:ListRegions")
		} else {
			beyond = append(beyond, "keyturn:ListRegions")
		}
	}
	var read []string
	for a := range actions {
		read = append(read, a)
	}
	slices.SortFunc(read, func(a, b string) int { return cmp.Compare(strings.ToLower(a), strings.ToLower(b)) })
	slices.Sort(beyond)
	policy := struct {
		Version   string
		Statement []policyStatement
	}{Version: "2012-10-17", Statement: []policyStatement{{"ReadKeys", "Allow", read, "*"}}}
	if len(beyond) > 0 {
		policy.Statement = append(policy.Statement, policyStatement{"ReadAccount", "Allow", slices.Compact(beyond), "*"})
	}
	if f.fix && !f.dryRun {
		policy.Statement = append(policy.Statement, policyStatement{"MendRotation", "Allow", []string{"kms:EnableKeyRotation"}, "*"})
	}
	if f.roleARN != "" {
		policy.Statement = append(policy.Statement, policyStatement{"AssumeTheRole", "Allow", []string{"sts:AssumeRole"}, f.roleARN})
	}
	return writeJSON(w, policy)
}

// printChecks lists the checks.
func printChecks(w io.Writer) error {
	var rows [][]string
	for _, c := range check.All() {
		rows = append(rows, []string{c.ID, c.Severity.String(), c.Title})
	}
	return writeTable(w, []string{"CHECK", "SEVERITY", "PASSES WHEN"}, rows)
}
