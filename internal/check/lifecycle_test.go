package check

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/keyturn/keyturn/internal/policy"
)

func inState(state string) func(*Facts) { return func(f *Facts) { f.Key.State = state } }

// withPolicy sets the policy of a key.
func withPolicy(f *Facts, text string) {
	p, err := policy.Parse([]byte(text))
	if err != nil {
		panic(err)
	}
	f.PolicyText, f.Policy = text, p
}

func TestKeyEnabled(t *testing.T) {
	runRule(t, "key-enabled", []ruleCase{
		{"enabled", nil, Pass, "enabled"},
		{"pending deletion", inState(StatePendingDeletion), Pass, "on its way out"},
		{"pending replica deletion", inState(StatePendingReplicaDeletion), Pass, "on its way out"},
		{"disabled", inState(StateDisabled), Fail, "state Disabled: enable it"},
		{"pending import", inState(StatePendingImport), Fail, "import its material"},
		{"unavailable", inState(StateUnavailable), Fail, "connect its custom key store"},
		{"creating", inState("Creating"), Fail, "wait"},
		{"a state of later", inState("Resting"), Fail, "state Resting and cannot be used"},
	})
}

func TestPendingDeletion(t *testing.T) {
	runRule(t, "pending-deletion", []ruleCase{
		{"enabled", nil, Pass, "no deletion is scheduled"},
		{"disabled", inState(StateDisabled), Pass, "no deletion is scheduled"},
		{"pending", func(f *Facts) { f.Key.State, f.Key.DeletionDate = StatePendingDeletion, daysAgo(-7) }, Fail, "deleted on 2026-06-08. Cancel it if it was not meant"},
		{"pending, date unsaid", inState(StatePendingDeletion), Fail, "does not say when"},
		{"replicas go first", func(f *Facts) { f.Key.State, f.Key.Replicas = StatePendingReplicaDeletion, []string{"arn:1", "arn:2"} }, Fail, "last of its 2 replicas"},
	})
}

func TestUnusedKey(t *testing.T) {
	last := func(at time.Time) func(*Facts) { return func(f *Facts) { f.Usage.Last = at } }
	never := func(created, tracked time.Time) func(*Facts) {
		return func(f *Facts) { f.Key.Created, f.Usage = created, &Usage{Tracked: tracked} }
	}
	runRule(t, "unused-key", []ruleCase{
		{"used as long ago as allowed", last(daysAgo(90)), Pass, "last used on 2026-03-03, for Decrypt, within the last 90 days"},
		{"used longer ago", last(daysAgo(90).Add(-time.Second)), Fail, "last used on 2026-03-03, for Decrypt, 90 days ago"},
		{"operation unsaid", func(f *Facts) { f.Usage = &Usage{Last: daysAgo(2)} }, Pass, "last used on 2026-05-30, within"},
		{"never, long enough", never(daysAgo(91), daysAgo(500)), Fail, "since it was made on 2026-03-02"},
		{"never, tracked long enough", never(daysAgo(500), daysAgo(91)), Fail, "since uses are tracked on 2026-03-02"},
		{"never, tracked for too short a time", never(daysAgo(500), daysAgo(90)), Pass, "too early to tell"},
		{"never, made too short ago", never(daysAgo(90), daysAgo(500)), Pass, "too early to tell"},
		{"not told", func(f *Facts) { f.Usage = nil }, Manual, "does not tell"},
		{"disabled", func(f *Facts) { f.Key.State = StateDisabled; last(daysAgo(500))(f) }, NotApplicable, "state Disabled"},
	})
}

func TestHasAlias(t *testing.T) {
	runRule(t, "has-alias", []ruleCase{
		{"none", nil, Fail, "No alias"},
		{"two", func(f *Facts) { f.Aliases = []Alias{{Name: "alias/a"}, {Name: "alias/b"}} }, Pass, "alias/a, alias/b"},
		{"disabled", inState(StateDisabled), Fail, "No alias"},
		{"pending deletion", inState(StatePendingDeletion), NotApplicable, "pending-deletion"},
	})
}

func TestHasOwner(t *testing.T) {
	tags := func(kv ...string) func(*Facts) {
		return func(f *Facts) {
			f.Tags = map[string]string{}
			for i := 0; i < len(kv); i += 2 {
				f.Tags[kv[i]] = kv[i+1]
			}
		}
	}
	runRule(t, "has-owner", []ruleCase{
		{"no tags", nil, Fail, "None of the tags owner, team"},
		{"other tags", tags("Stage", "prod"), Fail, "None of the tags"},
		{"in other case", tags("OWNER", " payments "), Pass, "The tag OWNER names payments"},
		{"blank", tags("Owner", " \t"), Fail, "names nobody"},
		{"one of two blank", tags("Owner", "", "team", "payments"), Pass, "team names payments"},
		{"pending deletion", inState(StatePendingDeletion), NotApplicable, "pending-deletion"},
	})
}

func TestBlastRadius(t *testing.T) {
	const allow = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"111122223333"},"Action":"kms:*","Resource":"*"}`
	through := func(operator, values string) string {
		return allow[:len(allow)-1] + `,"Condition":{"` + operator + `":{"kms:viaService":` + values + `}}}]}`
	}
	services := func(principals string) string {
		return allow + `,{"Effect":"Allow","Principal":{"Service":` + principals + `},"Action":"kms:Decrypt","Resource":"*"}]}`
	}
	rule := func(text string, tags ...string) func(*Facts) {
		return func(f *Facts) {
			withPolicy(f, text)
			f.Tags = map[string]string{}
			for i := 0; i < len(tags); i += 2 {
				f.Tags[tags[i]] = tags[i+1]
			}
		}
	}
	runRule(t, "blast-radius", []ruleCase{
		{"nothing said", nil, NotApplicable, "Neither the policy nor a tag"},
		{"as many services as allowed", rule(through("StringEquals", `["s3.us-east-1.amazonaws.com","ec2.us-east-1.amazonaws.com","rds.us-east-1.amazonaws.com"]`)),
			Pass, "names ec2, rds, s3, and at most 3"},
		{"one more", rule(services(`["logs.us-east-1.amazonaws.com","sns.amazonaws.com","sqs.amazonaws.com","cloudtrail.amazonaws.com"]`)),
			Fail, "names 4 services, more than the 3 allowed: cloudtrail, logs, sns, sqs"},
		{"one service in many Regions", rule(through("StringEquals", `["s3.us-east-1.amazonaws.com","s3.eu-west-1.amazonaws.com","S3.eu-west-2.amazonaws.com","s3.eu-west-3.amazonaws.com"]`)),
			Pass, "names s3,"},
		{"its Region by wildcard", rule(through("ForAnyValue:StringLikeIfExists", `["s3.*.amazonaws.com","s3*"]`)), Pass, "names s3,"},
		{"any service", rule(through("StringLike", `"*.us-east-1.amazonaws.com"`)), Fail, "any service"},
		{"a wildcard compared as text", rule(through("StringEquals", `"*.us-east-1.amazonaws.com"`)), NotApplicable, "Neither"},
		{"not through a service", rule(through("StringNotEquals", `"s3.us-east-1.amazonaws.com"`)), NotApplicable, "Neither"},
		{"denied", rule(`{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Principal":{"Service":"sns.amazonaws.com"},"Action":"kms:*","Resource":"*"}]}`),
			NotApplicable, "Neither"},
		{"one class", rule(allow+"]}", "Classification", "Confidential"), Pass, "one class of data, confidential"},
		{"the same class twice", rule(allow+"]}", "Classification", "Confidential", "sensitivity", "confidential"), Pass, "confidential"},
		{"two tags", rule(allow+"]}", "Classification", "public", "Sensitivity", "secret"), Fail, "2 classes of data: public, secret"},
		{"one tag with a comma", rule(allow+"]}", "Data-Class", "pii, pci"), Fail, "pci, pii"},
		{"one tag with a plus", rule(allow+"]}", "Data-Class", "pii+pci"), Fail, "pci, pii"},
		{"one tag with a space", rule(allow+"]}", "Data-Class", "pii pci"), Fail, "pci, pii"},
		{"a blank tag", rule(allow+"]}", "Data-Class", " "), NotApplicable, "Neither"},
		{"another tag", rule(allow+"]}", "Stage", "dev, prod"), NotApplicable, "Neither"},
		{"both wrong", rule(through("StringLike", `"*"`), "sensitivity", "low/high"), Fail, "any service use the key for its callers. Its tags name 2 classes"},
		{"both right", rule(through("StringLike", `"s3.*"`), "sensitivity", "low"), Pass, "names s3, and at most 3 services are allowed. Its tags name one class"},
		{"pending deletion", inState(StatePendingDeletion), NotApplicable, "pending-deletion"},
	})
	s := DefaultSettings()
	f := ruleFacts(rule(allow+"]}", "Sensitivity", "low"))
	if v := judgeRule(ByID("blast-radius"), f, &s); v.Detail != "Its tags name one class of data, low." {
		t.Errorf("a policy that names no service: %q", v.Detail)
	}
}

func TestClassesOf(t *testing.T) {
	for value, want := range map[string][]string{
		"Top Secret":                     {"top secret"},
		"highly confidential":            {"highly confidential"},
		"Internal use only":              {"internal use only"},
		"public and secret":              {"public", "secret"},
		"confidential|top secret;public": {"confidential", "public", "top secret"},
		"PII / non public":               {"non public", "pii"},
		"only":                           {"only"},
		"&":                              nil,
	} {
		if got := classesOf(map[string]string{"c": value}, []string{"C"}); !slices.Equal(got, want) {
			t.Errorf("%q: %q, want %q", value, got, want)
		}
	}
}

func TestMultiRegion(t *testing.T) {
	runRule(t, "multi-region", []ruleCase{
		{"single", nil, Pass, "single-Region"},
		{"primary", func(f *Facts) { f.Key.Role, f.Key.Replicas = RolePrimary, []string{"arn:1", "arn:2"} }, Fail, "exists in 3 Regions"},
		{"replica", func(f *Facts) { f.Key.Role, f.Key.Replicas = RoleReplica, []string{"arn:1"} }, Fail, "exists in 2 Regions"},
		{"disabled", func(f *Facts) { f.Key.State, f.Key.Role = StateDisabled, RolePrimary }, NotApplicable, "state Disabled"},
	})
}

func TestReplicasAgree(t *testing.T) {
	const arn = "arn:aws:kms:eu-west-1:111122223333:key/mrk-1"
	regional := func(region string) string {
		return `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"111122223333"},"Action":"kms:*",` +
			`"Resource":"arn:aws:kms:` + region + `:111122223333:key/mrk-1"}]}`
	}
	// pair makes a primary and a replica alike, then changes them.
	pair := func(change func(p, r *Facts)) func(*Facts) {
		return func(p *Facts) {
			r := ruleFacts(nil)
			r.Region = "eu-west-1"
			r.Key.ARN, r.Key.Region, r.Key.Role = arn, r.Region, RoleReplica
			p.Key.Role, p.Key.Replicas = RolePrimary, []string{arn}
			for _, f := range []*Facts{p, r} {
				f.Key.MaterialID, f.Key.Description, f.Tags = "m1", "d", map[string]string{"a": "1"}
			}
			p.Replicas = []Replica{{ARN: arn, Facts: r}}
			if change != nil {
				change(p, r)
			}
		}
	}
	runRule(t, "replicas-agree", []ruleCase{
		{"alike", pair(nil), Pass, "the same in us-east-1 and its 1 replicas"},
		{"each its own Region in the policy", pair(func(p, r *Facts) { withPolicy(p, regional(p.Region)); withPolicy(r, regional(r.Region)) }), Pass, "policy"},
		{"both the same Region in the policy", pair(func(p, r *Facts) { withPolicy(p, regional("eu-west-1")); withPolicy(r, regional("eu-west-1")) }), Pass, "policy"},
		{"a third Region in one", pair(func(p, r *Facts) { withPolicy(p, regional(p.Region)); withPolicy(r, regional("ap-south-1")) }), Fail, "the policy differs"},
		{"another policy", pair(func(p, r *Facts) { withPolicy(r, strings.Replace(r.PolicyText, "kms:*", "kms:Decrypt", 1)) }), Fail, "eu-west-1: the policy differs."},
		{"the policy laid out otherwise", pair(func(p, r *Facts) { withPolicy(r, strings.ReplaceAll(r.PolicyText, "\n", "")) }), Pass, "policy"},
		{"description and tags", pair(func(p, r *Facts) { r.Key.Description, r.Tags = "", nil }), Fail, "eu-west-1: the description differs, the tags differ."},
		{"disabled", pair(func(p, r *Facts) { r.Key.State = StateDisabled }), Fail, "the state is Disabled, not Enabled"},
		{"neither enabled", pair(func(p, r *Facts) { p.Key.State, r.Key.State = StateDisabled, StateUnavailable }), Pass, "State"},
		{"waits for its material", pair(func(p, r *Facts) { p.Key.State, r.Key.State = StateDisabled, StatePendingImport }), Fail, "the state is PendingImport, not Disabled"},
		{"another material", pair(func(p, r *Facts) { r.Key.MaterialID = "m0" }), Fail, "the current material is m0, not m1"},
		{"material not told", pair(func(p, r *Facts) { r.Key.MaterialID = "" }), Pass, "material"},
		{"another expiry", pair(func(p, r *Facts) { r.Key.ValidTo = daysAgo(-9) }), Fail, "expires on 2026-06-10, not never"},
		{"absent", pair(func(p, r *Facts) { p.Replicas[0] = Replica{ARN: arn, Absent: true} }), Fail, "eu-west-1: the replica is not there"},
		{"unreadable", pair(func(p, r *Facts) { p.Replicas[0] = Replica{ARN: arn, Err: errors.New("AccessDeniedException")} }), Error, "eu-west-1: AccessDeniedException"},
		{"tags unreadable", pair(func(p, r *Facts) { r.Errors = map[Call]error{ListResourceTags: errors.New("denied")} }), Error, "ListResourceTags could not be read: denied"},
		{"never read", pair(func(p, r *Facts) { p.Replicas[0].Facts = nil }), Error, "was not read"},
		{"one unreadable, one absent", pair(func(p, r *Facts) {
			p.Replicas = []Replica{{ARN: arn, Err: errors.New("denied")}, {ARN: strings.Replace(arn, "eu-west-1", "eu-west-2", 1), Absent: true}}
		}), Error, "differ from the primary. eu-west-2: the replica is not there"},
		{"replica", func(f *Facts) { f.Key.Role, f.Key.Primary = RoleReplica, "arn:p" }, NotApplicable, "primary key, arn:p"},
		{"single-Region", nil, NotApplicable, "single-Region"},
		{"no replicas", func(f *Facts) { f.Key.Role = RolePrimary }, NotApplicable, "no replicas"},
		{"replicas going", pair(func(p, r *Facts) { p.Key.State = StatePendingReplicaDeletion; r.Tags = nil }), NotApplicable, "pending-deletion"},
	})
}
