package check

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/keyturn/keyturn/internal/policy"
)

const (
	ownAccount     = "111122223333"
	foreignAccount = "444455556666"
	strangeAccount = "777788889999" // which no policy names
)

// dice makes policies at random, of few words, so that their statements meet.
type dice struct{ *rand.Rand }

func (d dice) pick(words ...string) string { return words[d.IntN(len(words))] }

func (d dice) arn() string {
	return "arn:aws:iam::" + d.pick(ownAccount, foreignAccount) + ":" + d.pick("root", "user/u", "role/admin")
}

func (d dice) principal() string {
	switch d.IntN(4) {
	case 0:
		return `{"AWS": "` + d.arn() + `"}`
	case 1:
		return `{"AWS": ["` + d.arn() + `", "` + d.arn() + `"]}`
	default:
		return toAll
	}
}

func (d dice) condition() string {
	quantifier, ifExists := d.pick("", "", "ForAllValues:", "ForAnyValue:"), d.pick("", "", "IfExists")
	switch d.IntN(6) {
	case 0:
		return d.pick(withoutMFA, `"Bool": {"aws:MultiFactorAuthPresent": "true"}`, `"Bool": {"aws:PrincipalIsAWSService": "false"}`)
	case 1:
		return fmt.Sprintf(`"%s": {"aws:userid": ["%s", "%s"]}`, d.pick("StringLike", "StringNotLike"),
			d.pick(ownAccount, foreignAccount), d.pick("AROAX:*", foreignAccount+":bob"))
	case 2:
		return fmt.Sprintf(`"%s%s%s": {"%s": ["%s", "%s"]}`, quantifier, d.pick("StringEquals", "StringNotEquals", "StringLike", "StringNotLike"),
			ifExists, d.pick("aws:PrincipalAccount", "kms:CallerAccount"), d.pick(ownAccount, "1111*"), d.pick(ownAccount, foreignAccount, "4*"))
	case 3:
		return fmt.Sprintf(`"%s%s%s": {"aws:PrincipalArn": ["%s", "%s"]}`, quantifier, d.pick("ArnLike", "ArnNotLike", "StringLike", "StringNotLike"),
			ifExists, d.arn(), d.pick("arn:aws:iam::"+ownAccount+":*", "arn:aws:*:*:"+ownAccount+":*", "arn:aws:iam::*:role/admin", d.arn()))
	default:
		return ""
	}
}

func (d dice) policy() string {
	var list []string
	for range 2 + d.IntN(4) {
		st := stmt(d.pick("Allow", "Deny"), d.principal(), d.pick(`"kms:*"`, `"kms:Decrypt"`, bothActions), d.condition())
		if strings.Contains(st, "Deny") && d.IntN(3) == 0 {
			st = strings.Replace(st, `"Principal"`, `"NotPrincipal"`, 1)
		}
		list = append(list, st)
	}
	return `{"Version": "2012-10-17", "Statement": [` + strings.Join(list, ",\n") + `]}`
}

// call is a request that a policy is asked about.
type call struct {
	who          policy.Who
	arn, id, mfa string // values of aws:PrincipalArn, aws:userid and aws:MultiFactorAuthPresent, the last "" if absent
}

func (c *call) value(key string) ([]string, bool) {
	switch key {
	case "aws:principalaccount", "kms:calleraccount":
		return []string{c.who.Account}, true
	case "aws:principalarn":
		return []string{c.arn}, true
	case "aws:userid":
		return []string{c.id}, true
	case "aws:principalisawsservice":
		return []string{"false"}, true
	case mfaPresent:
		return []string{c.mfa}, c.mfa != ""
	default:
		return nil, false
	}
}

func calls() []call {
	var list []call
	for _, account := range []string{ownAccount, foreignAccount, strangeAccount} {
		iam := "arn:aws:iam::" + account + ":"
		session := "arn:aws:sts::" + account + ":assumed-role/admin/s"
		for _, mfa := range []string{"", "false", "true"} {
			list = append(list, call{policy.Who{Kind: policy.Root, ARN: iam + "root", Account: account}, iam + "root", account, mfa},
				call{policy.Who{Kind: policy.User, ARN: iam + "user/u", Account: account}, iam + "user/u", "AIDAX", mfa},
				call{policy.Who{Kind: policy.User, ARN: iam + "user/:" + ownAccount + ":/v", Account: account}, iam + "user/:" + ownAccount + ":/v", "AIDAY", mfa},
				call{policy.Who{Kind: policy.RoleSession, ARN: session, Role: iam + "role/admin", Account: account}, iam + "role/admin", "AROAY:s", mfa})
		}
	}
	return list
}

// TestChecksAgreeWithEvaluation: what the evaluation of a policy lets somebody do, no check of it may deny.
func TestChecksAgreeWithEvaluation(t *testing.T) {
	d := dice{rand.New(rand.NewPCG(1, 2))}
	settings := DefaultSettings()
	requests := calls()
	passed := map[string]int{}
	for range 3000 {
		doc := d.policy()
		pol, err := policy.Parse([]byte(doc))
		if err != nil {
			t.Fatalf("%v: %s", err, doc)
		}
		f := ruleFacts(func(f *Facts) { f.Policy = pol })
		status := map[string]Status{}
		for _, c := range accessChecks {
			status[c.ID] = c.Eval(f, &settings).Status
			if status[c.ID] == Pass {
				passed[c.ID]++
			}
		}
		compiled := policy.Compile(pol)
		for _, action := range []string{actionDecrypt, actionScheduleDeletion, actionPutKeyPolicy} {
			for i := range requests {
				q := &requests[i]
				out := compiled.Evaluate(&policy.Request{Who: &q.who, Action: action, Resource: f.Key.ARN, Value: q.value})
				if out.Allow == nil || out.Deny != nil {
					continue
				}
				for id, wrong := range map[string]bool{
					"policy-public":          status["policy-public"] == Pass && q.who.Account == strangeAccount,
					"policy-unknown-account": status["policy-unknown-account"] == Pass && status["policy-public"] == Pass && q.who.Account == foreignAccount,
					"policy-mfa-deletion":    status["policy-mfa-deletion"] == Pass && action == actionScheduleDeletion && q.mfa != "true",
					"policy-lockout":         status["policy-lockout"] == Fail && action == actionPutKeyPolicy && q.who.Account == ownAccount,
				} {
					if wrong {
						t.Fatalf("%s says %s, but %s (MFA %q) may call %s: %s", id, status[id], q.who.ARN, q.mfa, action, doc)
					}
				}
			}
		}
	}
	for _, c := range accessChecks {
		if passed[c.ID] < 300 {
			t.Errorf("%s passed %d policies: too few to tell", c.ID, passed[c.ID])
		}
	}
}
