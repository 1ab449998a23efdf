package report

import (
	"cmp"

	"github.com/keyturn/keyturn/internal/check"
)

// accountResource is the type of what unread's findings are about, as Security Hub names it.
const accountResource = "AwsAccount"

// unread makes findings of what a run could not read at all. Formats that have findings and nothing else would look clean without.
func unread(r check.Run, s *check.Summary) []*check.Finding {
	var list []*check.Finding
	for _, e := range s.Errors {
		region, account := cmp.Or(e.Region, first(r.Regions)), cmp.Or(r.Account, "000000000000")
		arn := "arn:" + cmp.Or(r.Partition, "aws") + ":iam::" + account + ":root"
		list = append(list, &check.Finding{
			ID: check.FindingID("unread "+e.Call, account, region, arn), Check: "unread", Title: "Everything could be read", Severity: check.High,
			Status: check.Error, Detail: cmp.Or(e.Call, "The region") + " could not be read: " + e.Detail, Error: cmp.Or(e.Code, "Unreadable"), LastSeen: s.Finished,
			Resource: check.Resource{Type: accountResource, ARN: arn, ID: account, Account: account, Region: region},
		})
	}
	return list
}

func first(list []string) string {
	if len(list) == 0 {
		return ""
	}
	return list[0]
}
