package policy

import (
	"bytes"
	"errors"
	"reflect"
	"strings"
	"testing"
)

// TestPlaces compares with what AWS reports. The first two cases are those of the AWS CLI Command Reference, the third has the layout of
// AdministratorAccess with the place that simulations of it answer; a second statement starts where the first ends.
func TestPlaces(t *testing.T) {
	type lines [4]int // start line and column, end line and column
	for _, c := range []struct {
		name, doc string
		want      []lines
	}{
		{"a statement in no list", `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"dynamodb:*","Resource":"*",` +
			`"Condition":{"DateGreaterThan":{"aws:CurrentTime":"2018-08-16T12:00:00Z"}}}}`, []lines{{1, 38, 1, 167}}},
		{"a list, indented by four", "{\n    \"Version\": \"2012-10-17\",\n    \"Statement\": [\n        {\n            \"Effect\": \"Allow\",\n" +
			"            \"Action\": [\n                \"codecommit:ListRepositories\"],\n            \"Resource\": \"*\"\n        }\n    ]\n}",
			[]lines{{3, 19, 9, 10}}},
		{"a list, indented by two", "{\n  \"Version\": \"2012-10-17\",\n  \"Statement\": [\n    {\n      \"Effect\": \"Allow\",\n      \"Action\": \"*\",\n" +
			"      \"Resource\": \"*\"\n    }\n  ]\n}", []lines{{3, 17, 8, 6}}},
		{"two statements in a line", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*"},{"Effect":"Deny","Action":"*"}]}`,
			[]lines{{1, 38, 1, 69}, {1, 69, 1, 100}}},
		{"Windows lines", "{\r\n\"Statement\": [\r\n{\"Effect\":\r\n\"Allow\"},\r\n{}]}", []lines{{2, 15, 4, 9}, {4, 9, 5, 3}}},
		{"old Macintosh lines", "{\r\"Statement\":\r{\r}}", []lines{{3, 2, 4, 2}}},
		{"characters, not bytes", `{"Id":"é€","Statement":[{"Sid":"é€"}]}`, []lines{{1, 25, 1, 37}}},
		{"after other elements that hold brackets", `{"Id":"[{","Statement":[ {"Sid":"]}"} ],"Version":"2012-10-17"}`, []lines{{1, 25, 1, 38}}},
		{"none", `{"Statement":[]}`, nil},
		{"no Statement", `{"Version":"2012-10-17"}`, nil},
	} {
		places, err := Places([]byte(c.doc))
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		var got []lines
		for _, p := range places {
			got = append(got, lines{p.Start.Line, p.Start.Column, p.End.Line, p.End.Column})
			if text := c.doc[p.From:p.To]; text[0] != '{' || text[len(text)-1] != '}' {
				t.Errorf("%s: a statement is %q", c.name, text)
			}
		}
		if !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

// TestPlacesOfNoPolicy gives documents that are none.
func TestPlacesOfNoPolicy(t *testing.T) {
	for _, doc := range []string{
		``, `[]`, `"Statement"`, `{"Statement":[{]}`, `{"Statement":[{}`, `{"Statement":{}`, `{"Statement":[{}],"Statement":[{}]}`,
		`{"Statement":[{"Sid":"a","Sid":"b"}]}`, `{"Id":{"a":1,"a":2}}`, "{\"Statement\":[\"\xff\"]}",
		`{"Id":"` + strings.Repeat("a", MaxInForceBytes) + `"}`, `{"Statement":` + strings.Repeat("[", 100_000),
	} {
		places, err := Places([]byte(doc))
		if e := (*Error)(nil); !errors.As(err, &e) || len(e.Message) > 1000 {
			t.Errorf("%.40s: %v, %v", doc, places, err)
		}
	}
}

// FuzzPlaces: in every document that is a policy, each statement is found, its text alone reads as that one statement, and AWS's
// positions enclose it: what lies between Start and the statement is at most a comma, white space and, in no list, its brace.
func FuzzPlaces(f *testing.F) {
	f.Add([]byte(Default("aws", account)))
	f.Add([]byte(`{"Statement":{"Effect":"Allow","Action":"a:b"}}`))
	f.Add([]byte("{\"Statement\" :\r\n[ {\"Effect\":\"Allow\",\"Action\":\"a:b\"} \r, {\"Effect\":\"Deny\",\n\"Action\":[\"a:c\"]}]}"))
	f.Add([]byte(`{"Id":"é{[","Statement":[{"Sid":"]}é","Effect":"Deny","NotAction":"*"}],"Version":"2012-10-17"}`))
	f.Fuzz(func(t *testing.T, doc []byte) {
		places, placesErr := Places(doc)
		pol, err := Parse(doc)
		if err != nil {
			return // finding places must not have panicked, that is all
		}
		if placesErr != nil || len(places) != len(pol.Statements) {
			t.Fatalf("%d places of %d statements, %v", len(places), len(pol.Statements), placesErr)
		}
		for i, p := range places {
			alone := `{"Version":"` + pol.Version + `","Statement":` + string(doc[p.From:p.To]) + `}`
			one, err := Parse([]byte(alone))
			if len(alone) <= MaxKeyPolicyBytes && (err != nil || !reflect.DeepEqual(one.Statements, pol.Statements[i:i+1])) {
				t.Fatalf("statement %d reads alone as %v, %v", i, one, err)
			}
			start, end := offsetOf(doc, p.Start), offsetOf(doc, p.End)
			if end != p.To {
				t.Fatalf("statement %d ends at %d, reported as %d", i, p.To, end)
			}
			if start == p.From+1 && len(places) == 1 {
				continue
			}
			if gap := string(doc[start:p.From]); strings.Trim(gap, " \t\r\n,") != "" || strings.Count(gap, ",") > 1 {
				t.Fatalf("%q lies before statement %d", gap, i)
			}
		}
	})
}

// offsetOf finds a position the slow way: line by line.
func offsetOf(doc []byte, p Position) int {
	unix := bytes.ReplaceAll(doc, []byte("\r\n"), []byte("\x00\n")) // as long as before, with one end to a line
	unix = bytes.ReplaceAll(unix, []byte("\r"), []byte("\n"))
	lines := bytes.SplitAfter(unix, []byte("\n"))
	offset := len(bytes.Join(lines[:p.Line-1], nil))
	for i := range string(lines[p.Line-1]) {
		if p.Column--; p.Column == 0 {
			return offset + i
		}
	}
	return offset + len(lines[p.Line-1])
}
