package report

import (
	"encoding/xml"
	"strings"
	"time"

	"github.com/keyturn/keyturn/internal/check"
)

// The elements of a JUnit report that the schema of Jenkins (junit-10.xsd) has, as far as they are used here. encoding/xml writes U+FFFD
// for the characters that XML 1.0 forbids.
type (
	junitProperty struct {
		Name  string `xml:"name,attr"`
		Value string `xml:"value,attr"`
	}
	junitProblem struct {
		Message string `xml:"message,attr,omitempty"`
		Type    string `xml:"type,attr,omitempty"`
		Text    string `xml:",chardata"`
	}
	junitCase struct {
		XMLName   xml.Name      `xml:"testcase"`
		Name      string        `xml:"name,attr"`
		Classname string        `xml:"classname,attr"`
		Time      string        `xml:"time,attr"`
		Skipped   *junitProblem `xml:"skipped"`
		Error     *junitProblem `xml:"error"`
		Failure   *junitProblem `xml:"failure"`
		Out       string        `xml:"system-out,omitempty"`
	}
	junitCounts struct{ tests, failures, errors, skipped int }
)

// junitWriter writes a suite for each check with a case for each resource. Manual verdicts and accepted failures are skipped cases: a
// build cannot mend them, and must not take them for passed.
type junitWriter struct {
	*base
	spool  spool
	counts map[string]*junitCounts
}

func newJUnit(b *base) Writer {
	return &junitWriter{base: b, spool: spool{dir: b.TempDir}, counts: map[string]*junitCounts{}}
}

func (j *junitWriter) Finding(f *check.Finding) error {
	c := j.counts[f.Check]
	if c == nil {
		c = &junitCounts{}
		j.counts[f.Check] = c
	}
	c.tests++
	switch {
	case f.Failed():
		c.failures++
	case f.Status == check.Error:
		c.errors++
	case f.Status != check.Pass:
		c.skipped++
	}
	return j.spool.add(f.Check, f)
}

func (j *junitWriter) End(s *check.Summary) error {
	defer j.Close()
	e := xml.NewEncoder(j.w)
	e.Indent("", "  ")
	all := junitCounts{tests: len(s.Errors), errors: len(s.Errors)}
	for _, c := range j.counts {
		all = junitCounts{all.tests + c.tests, all.failures + c.failures, all.errors + c.errors, all.skipped + c.skipped}
	}
	j.w.WriteString(xml.Header)
	root := xml.StartElement{Name: xml.Name{Local: "testsuites"}, Attr: append(
		attrs("name", "keyturn check", "time", seconds(s.Finished.Sub(j.run.Started))), counted(all, false)...)}
	if err := e.EncodeToken(root); err != nil {
		return err
	}
	for _, id := range ordered(j.run.Checks, j.spool.names()) {
		if err := j.suite(e, id); err != nil {
			return err
		}
	}
	if err := j.unread(e, s.Errors); err != nil {
		return err
	}
	if err := e.EncodeToken(root.End()); err != nil {
		return err
	}
	if err := e.Close(); err != nil {
		return err
	}
	j.w.WriteByte('\n')
	return j.w.Flush()
}

// suite writes the cases of one check.
func (j *junitWriter) suite(e *xml.Encoder, id string) error {
	counts := j.counts[id]
	if counts == nil {
		counts = &junitCounts{}
	}
	c := j.lookup(id)
	properties := []junitProperty{{"title", c.Title}, {"severity", c.Severity.String()}}
	for _, control := range c.Controls {
		properties = append(properties, junitProperty{control.Framework, strings.TrimSpace(control.Version + " " + control.ID)})
	}
	return j.element(e, id, *counts, properties, func() error {
		return j.spool.each(id, func(f *check.Finding) error { return e.Encode(testCase(f)) })
	})
}

// unread writes what could not be read and belongs to no key.
func (j *junitWriter) unread(e *xml.Encoder, errors []check.RunError) error {
	if len(errors) == 0 {
		return nil
	}
	return j.element(e, "reading", junitCounts{tests: len(errors), errors: len(errors)}, nil, func() error {
		for _, r := range errors {
			c := junitCase{Name: clean(r.Call + " " + r.Region), Classname: "keyturn.reading", Time: "0",
				Error: &junitProblem{Message: clean(r.Code), Type: "ERROR", Text: clean(r.Detail)}}
			if err := e.Encode(c); err != nil {
				return err
			}
		}
		return nil
	})
}

func (j *junitWriter) element(e *xml.Encoder, name string, n junitCounts, properties []junitProperty, cases func() error) error {
	start := xml.StartElement{Name: xml.Name{Local: "testsuite"}, Attr: append(
		attrs("name", name, "time", "0", "timestamp", j.run.Started.UTC().Format("2006-01-02T15:04:05")), counted(n, true)...)}
	if err := e.EncodeToken(start); err != nil {
		return err
	}
	if len(properties) > 0 {
		list := struct {
			XMLName    xml.Name        `xml:"properties"`
			Properties []junitProperty `xml:"property"`
		}{Properties: properties}
		if err := e.Encode(list); err != nil {
			return err
		}
	}
	if err := cases(); err != nil {
		return err
	}
	return e.EncodeToken(start.End())
}

func testCase(f *check.Finding) junitCase {
	c := junitCase{Name: name(&f.Resource) + " " + f.Resource.Region, Classname: "keyturn." + f.Check, Time: "0"}
	if f.Resource.ID != "" && name(&f.Resource) != f.Resource.ID {
		c.Name = name(&f.Resource) + " (" + f.Resource.ID + ") " + f.Resource.Region
	}
	c.Name = clean(c.Name)
	title, text, arn := clean(f.Severity.String()+": "+f.Title), clean(f.Detail), "\n"+clean(f.Resource.ARN)
	for _, n := range f.Notes {
		text += "\n" + clean(n)
	}
	switch {
	case f.Accepted != nil:
		c.Skipped = &junitProblem{Message: clean("accepted until " + date(f.Accepted.Expires) + ": " + f.Accepted.Reason)}
		c.Out = text
	case f.Status == check.Pass:
		c.Out = text
	case f.Status == check.Fail:
		c.Failure = &junitProblem{Message: title, Type: string(f.Status), Text: text + arn}
	case f.Status == check.Error:
		c.Error = &junitProblem{Message: clean(f.Error), Type: string(f.Status), Text: text + arn}
	default:
		c.Skipped = &junitProblem{Message: clean(words[f.Status] + ": " + f.Detail)}
	}
	return c
}

// Close removes the temporary file.
func (j *junitWriter) Close() error { return j.spool.Close() }

func attrs(pairs ...string) []xml.Attr {
	var list []xml.Attr
	for i := 0; i+1 < len(pairs); i += 2 {
		list = append(list, xml.Attr{Name: xml.Name{Local: pairs[i]}, Value: pairs[i+1]})
	}
	return list
}

func counted(c junitCounts, skipped bool) []xml.Attr {
	list := attrs("tests", itoa(c.tests), "failures", itoa(c.failures), "errors", itoa(c.errors))
	if skipped {
		list = append(list, attrs("skipped", itoa(c.skipped))...)
	}
	return list
}

func seconds(d time.Duration) string { return ftoa(max(0, d.Seconds())) }
