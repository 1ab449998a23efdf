package policy

import (
	"strings"
	"testing"
)

func TestPrincipalARN(t *testing.T) {
	for s, want := range map[string]string{
		"arn:aws:iam::111122223333:root":                   "aws 111122223333",
		"arn:aws:iam::111122223333:user/division/a":        "aws 111122223333",
		"arn:aws-cn:iam::111122223333:role/service-role/r": "aws-cn 111122223333",
		"arn:aws:sts::111122223333:assumed-role/r/session": "aws 111122223333",
		"arn:aws:sts::111122223333:federated-user/f":       "aws 111122223333",
		"*":                                          "",
		"111122223333":                               "",
		"logs.amazonaws.com":                         "",
		"arn:aws:iam::111122223333:group/g":          "",
		"arn:aws:iam::111122223333:user/*":           "",
		"arn:aws:iam::111122223333:user/":            "",
		"arn:aws:iam::1111:root":                     "",
		"arn:aws:iam:eu-central-1:111122223333:root": "",
		"arn:aws:sts::111122223333:assumed-role/r":   "",
		"arn:aws:s3:::b":                             "",
		"arn:aws:iam::111122223333:user/" + strings.Repeat("a", 1024): "",
		"": "",
	} {
		partition, account, ok := PrincipalARN(s)
		if got := strings.TrimSpace(partition + " " + account); got != want || ok != (want != "") {
			t.Errorf("%.60q: %q %v, want %q", s, got, ok, want)
		}
	}
}
