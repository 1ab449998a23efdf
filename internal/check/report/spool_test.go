package report

import (
	"fmt"
	"io"
	"os"
	"testing"

	"github.com/keyturn/keyturn/internal/check"
)

// Findings beyond a few wait in a file, which is gone whether a report is ended or left.
func TestSpoolIsRemoved(t *testing.T) {
	for _, format := range Formats() {
		for _, ended := range []bool{true, false} {
			dir := t.TempDir()
			w, _ := New(format, io.Discard, Options{Checks: sampleChecks(), TempDir: dir})
			if err := w.Begin(sampleRun()); err != nil {
				t.Fatal(err)
			}
			for range 2000 {
				if err := w.Finding(sampleFindings()[0]); err != nil {
					t.Fatal(err)
				}
			}
			if ended {
				if err := w.End(sampleSummary(nil)); err != nil {
					t.Fatal(err)
				}
			}
			for range 2 {
				if err := w.Close(); err != nil {
					t.Errorf("%s, ended %t: %v", format, ended, err)
				}
			}
			if left, _ := os.ReadDir(dir); len(left) > 0 {
				t.Errorf("%s, ended %t, leaves %v", format, ended, left)
			}
		}
	}
}

func TestSpoolKeepsOrder(t *testing.T) {
	s := spool{dir: t.TempDir()}
	defer s.Close()
	const n = 3000
	for i := range n {
		f := sampleFindings()[0]
		f.Detail = fmt.Sprint(i)
		if err := s.add([]string{"even", "odd"}[i%2], f); err != nil {
			t.Fatal(err)
		}
	}
	if s.file == nil {
		t.Fatal("nothing went to the file: the test does not test it")
	}
	for start, group := range []string{"even", "odd"} {
		next := start
		err := s.each(group, func(f *check.Finding) error {
			if f.Detail != fmt.Sprint(next) {
				return fmt.Errorf("%s has %s where %d belongs", group, f.Detail, next)
			}
			next += 2
			return nil
		})
		if err != nil || next != n+start {
			t.Errorf("%s ends at %d: %v", group, next, err)
		}
	}
}
