package audit

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestWrites reads back what a record lists, whatever stands in store keys.
func TestWrites(t *testing.T) {
	r := Record{EventID: "the-id", EventName: "CreateKey", EventSource: "kms.amazonaws.com", EventTime: time.Unix(0, 0), Writes: []Write{
		{Record: "k/1/r/x", Version: 1}, {Record: `a/"\x` + "\n", Version: 1 << 63}, {Record: "m/é", Removed: true}, {Record: "t", Version: 7, Removed: true},
	}}
	line := r.AppendJSON(nil)
	if err := checkRecord(line); err != nil {
		t.Fatal(err)
	}
	c, err := ParseChange(line)
	if err != nil || c.EventID != "the-id" || c.Name != "CreateKey" || !slices.Equal(c.Writes, r.Writes) {
		t.Errorf("%+v %v", c, err)
	}
	r.Writes = nil
	if line := string(r.AppendJSON(nil)); strings.Contains(line, "keyturn") {
		t.Errorf("a record that wrote nothing has %s", line)
	}
}

// TestFastChange never tells another event ID than reading the line does.
func TestFastChange(t *testing.T) {
	for _, c := range []struct {
		line string
		fast bool
	}{
		{`{"eventName":"Encrypt","eventID":"a","readOnly":true}`, true},
		{`{"requestParameters":{"encryptionContext":{"a":"b","eventID":"c"}},"eventID":"a"}`, false},
		{`{"requestParameters":{"encryptionContext":{"a":",\"eventID\":\"c"}},"eventID":"a"}`, true},
		{`{"eventSource":"keyturn","eventID":"a"}`, false},
		{`{"x":1,"eventID":"a","keyturnWrites":[]}`, false},
		{`{"x":1,"eventID":"\u0061"}`, false},
		{`{"x":1,"eventID":""}`, false},
		{`{"x":1}`, false},
		{`{"x":1,"eventID":"a`, false},
	} {
		id, ok := FastChange([]byte(c.line))
		if ok != c.fast {
			t.Errorf("%s: %q %t", c.line, id, ok)
		}
		if whole, err := ParseChange([]byte(c.line)); ok && (err != nil || whole.EventID != id) {
			t.Errorf("%s: %q, read whole %q %v", c.line, id, whole.EventID, err)
		}
	}
}

func TestParseChangeRefuses(t *testing.T) {
	for _, line := range []string{``, `[]`, `{}`, `{"eventID":1}`, `{"eventID":"a","keyturnWrites":{}}`,
		`{"eventID":"a","keyturnWrites":[` + strings.TrimSuffix(strings.Repeat(`{},`, maxWrites+1), ",") + `]}`} {
		if c, err := ParseChange([]byte(line)); err == nil {
			t.Errorf("%.40s: %+v", line, fmt.Sprint(c))
		}
	}
}
