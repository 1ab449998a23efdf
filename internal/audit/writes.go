package audit

import (
	"bytes"
	"fmt"
	"strconv"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// writesMember is the member of a record that lists what a change wrote: objects with the members record, version and, for a record that was
// removed, removed.
const writesMember = "keyturnWrites"

// maxWrites bounds how many are read from one line; a commit of the store takes 100 writes.
const maxWrites = 1000

func appendWrites(dst []byte, list []Write) []byte {
	dst = append(dst, '[')
	for i, w := range list {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, `{"record":`...)
		dst = appendString(dst, w.Record)
		dst = append(dst, `,"version":`...)
		dst = strconv.AppendUint(dst, w.Version, 10)
		if w.Removed {
			dst = append(dst, `,"removed":true`...)
		}
		dst = append(dst, '}')
	}
	return append(dst, ']')
}

// Change is what verification needs of a line of the log.
type Change struct {
	EventID string
	Name    string // eventName
	Source  string // eventSource
	Time    string // eventTime, as it stands there
	// Writes is nil where the line lists none: it changed nothing, or was written before lines did.
	Writes []Write
}

// ParseChange reads a line of the log, or a record that is on its way there. The error is ErrRecord, without any of the content.
func ParseChange(line []byte) (Change, error) {
	var c struct {
		EventID string `json:"eventID"`
		Name    string `json:"eventName"`
		Source  string `json:"eventSource"`
		Time    string `json:"eventTime"`
		Writes  []struct {
			Record  string `json:"record"`
			Version uint64 `json:"version"`
			Removed bool   `json:"removed"`
		} `json:"keyturnWrites"`
	}
	if err := json.Unmarshal(line, &c, jsontext.AllowDuplicateNames(true)); err != nil || c.EventID == "" || len(c.Writes) > maxWrites {
		return Change{}, fmt.Errorf("%w: not a record of an event", ErrRecord)
	}
	out := Change{EventID: c.EventID, Name: c.Name, Source: c.Source, Time: c.Time}
	for _, w := range c.Writes {
		out.Writes = append(out.Writes, Write(w))
	}
	return out, nil
}

// FastChange is ParseChange for lines that list no writes, which nearly all do: those that only used something. ok is false for all others,
// and for lines that are not as this package writes them.
func FastChange(line []byte) (eventID string, ok bool) {
	if bytes.Contains(line, []byte(`"`+writesMember+`"`)) || bytes.Contains(line, []byte(`"eventSource":"keyturn"`)) {
		return "", false
	}
	// A quotation mark inside of a string is escaped, so these bytes are a member's name wherever they stand. One of a caller's making, in
	// an encryption context, has no place before the service's own unless it comes first: then there are two, and the line is parsed.
	name := []byte(`,"eventID":"`)
	i := bytes.Index(line, name)
	if i < 0 || bytes.LastIndex(line, name) != i {
		return "", false
	}
	rest := line[i+len(name):]
	end := bytes.IndexByte(rest, '"')
	if end < 0 || bytes.IndexByte(rest[:end], '\\') >= 0 {
		return "", false
	}
	return string(rest[:end]), end > 0
}
