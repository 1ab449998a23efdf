package report

import (
	"encoding/json"

	"github.com/keyturn/keyturn/internal/check"
)

// jsonVersion is raised when a reader of the format json would have to change.
const jsonVersion = 1

// jsonWriter writes one object: version, run, findings (one a line), summary.
type jsonWriter struct{ *base }

func (j *jsonWriter) Begin(r check.Run) error {
	r.Regions, r.Checks = list(r.Regions), list(r.Checks)
	text, err := json.Marshal(r)
	if err != nil {
		return err
	}
	version, _ := json.Marshal(jsonVersion)
	j.w.WriteString(`{"version":` + string(version) + `,"run":` + string(text) + `,"findings":[`)
	return j.base.Begin(r)
}

func (j *jsonWriter) Finding(f *check.Finding) error {
	text, err := json.Marshal(f)
	if err != nil {
		return err
	}
	j.array()
	_, err = j.w.Write(text)
	return err
}

func (j *jsonWriter) End(s *check.Summary) error {
	whole := *s
	whole.Checks, whole.Errors, whole.Changes = list(s.Checks), list(s.Errors), list(s.Changes)
	text, err := json.Marshal(whole)
	if err != nil {
		return err
	}
	j.w.WriteString("\n],\"summary\":" + string(text) + "}\n")
	return j.w.Flush()
}

// list makes an empty array of what JSON would write as null.
func list[E any](s []E) []E {
	if s == nil {
		return []E{}
	}
	return s
}
