package main

import (
	"errors"
	"strings"
	"testing"
)

func TestKeyName(t *testing.T) {
	const id, mrk = "1234abcd-12ab-34cd-56ef-1234567890ab", "mrk-1234abcd12ab34cd56ef1234567890ab"
	const arn = "arn:aws:kms:us-east-1:000000000000:key/" + id
	for in, want := range map[string]string{
		id: id, mrk: mrk, arn: arn, "alias/orders": "alias/orders", "orders": "alias/orders", "aws/s3": "alias/aws/s3",
		"mrk-orders": "alias/mrk-orders", id + "0": "alias/" + id + "0",
	} {
		if got, err := keyName(in); got != want || err != nil {
			t.Errorf("%s: %s, %v, want %s", in, got, err, want)
		}
	}
	for _, in := range []string{"", strings.Repeat("x", 2049)} {
		if got, err := keyName(in); !errors.As(err, new(usageError)) {
			t.Errorf("%.10q: %.10q, %v, want a usage error", in, got, err)
		}
	}
}

func TestAliasName(t *testing.T) {
	long := strings.Repeat("a", 250)
	for in, want := range map[string]string{
		"orders": "alias/orders", "alias/orders": "alias/orders", "a/b_C-9": "alias/a/b_C-9", "alias/alias/x": "alias/alias/x", long: "alias/" + long,
		"aws": "alias/aws", "awsome/x": "alias/awsome/x",
	} {
		if got, err := aliasName(in); got != want || err != nil {
			t.Errorf("%.20s: %.20s, %v", in, got, err)
		}
	}
	for _, in := range []string{"", "alias/", "aws/s3", "alias/aws/s3", "a b", "a:b", "ä", "a\n", "arn:aws:kms:::alias/x", long + "a"} {
		if got, err := aliasName(in); err == nil {
			t.Errorf("%.20q: %.20s, want an error", in, got)
		}
	}
}

func TestParseTags(t *testing.T) {
	tags, err := parseTags([]string{"team=payments", "formula=a=b", "empty="})
	if err != nil || len(tags) != 3 || *tags[1].TagKey != "formula" || *tags[1].TagValue != "a=b" || *tags[2].TagValue != "" {
		t.Errorf("%v, %v", tags, err)
	}
	many := make([]string, 51)
	for name, in := range map[string][]string{
		"no value": {"team"}, "no key": {"=x"}, "reserved": {"AWS:x=y"}, "twice": {"a=1", "a=2"}, "many": many,
		"long key": {strings.Repeat("ä", 129) + "=x"}, "long value": {"x=" + strings.Repeat("ä", 257)},
	} {
		if got, err := parseTags(in); err == nil {
			t.Errorf("%s: %v, want an error", name, got)
		}
	}
}

// Every mistake on the command line is a usage error, and found before anything is called.
func TestUsageErrors(t *testing.T) {
	withoutAWS(t)
	never := newFakeKMS(t, nil)
	at := "--endpoint=" + never.url
	for _, args := range [][]string{
		{"keys", "lst", at},
		{"keys", "list", "x", at},
		{"keys", "list", "--limit", "0", at},
		{"keys", "list", "--limit=-1", at},
		{"keys", "list", "--output", "yaml", at},
		{"keys", "list", "--no-such-flag", at},
		{"keys", "show", at},
		{"keys", "show", "a", "b", at},
		{"keys", "show", "", at},
		{"keys", "versions", at},
		{"keys", "rotate", at},
		{"keys", "create", "x", at},
		{"keys", "create", "--alias", "a b", at},
		{"keys", "create", "--alias", "alias/aws/x", at},
		{"keys", "create", "--rotate-every", "30d", at},
		{"keys", "create", "--rotate-every", "180", at},
		{"keys", "create", "--rotate-every", "180d", "--enable-key-rotation", at},
		{"keys", "create", "--tag", "x", at},
		{"keys", "create", "--description", strings.Repeat("x", 8193), at},
		{"clock", "turn", at},
		{"clock", "advance", at},
		{"clock", "advance", "--", "-1d", at},
		{"clock", "advance", "101y", at},
		{"clock", "advance", "soon", at},
		{"version", "x"},
		{"version", "--output", "xml"},
	} {
		cmd := newKeysCommand()
		switch args[0] {
		case "clock":
			cmd = newClockCommand()
		case "version":
			cmd = newVersionCommand()
		}
		if out, err := execute(t, cmd, args[1:]...); !errors.As(err, new(usageError)) || out != "" {
			t.Errorf("%.60q: %v and %q, want a usage error", args, err, out)
		}
	}
	if len(never.requests) > 0 {
		t.Errorf("called: %v", never.requests)
	}
}
