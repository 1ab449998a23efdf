package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/keyturn/keyturn/internal/check"
	"github.com/keyturn/keyturn/internal/check/awsapi"
	"github.com/keyturn/keyturn/internal/check/report"
)

// checker is one keyturn check under way.
type checker struct {
	cmd     *cobra.Command
	flags   *checkFlags
	options checkOptions
	target  *checkTarget
	limiter *check.Limiter
}

// scan returns the scan of some checks.
func (c *checker) scan(checks []*check.Check) *check.Scan {
	s := &check.Scan{
		Source: c.target.keys, Regions: c.target.regions, Settings: c.options.settings, Checks: checks, Now: c.target.now,
		Limiter: c.limiter, Baseline: c.options.baseline,
	}
	if c.options.settings.WithIAM {
		s.Account = awsapi.NewAccount(c.target.cfg, func() time.Time { return c.target.now(context.Background()) })
	}
	return s
}

// report runs the checks and writes the report, with the changes that were made before. What ends the run early is in the report, too.
func (c *checker) report(changes []check.Change) (*check.Summary, error) {
	out, err := c.openReports()
	if err != nil {
		return nil, err
	}
	defer out.discard()
	if err := out.Begin(c.target.run(c.options)); err != nil {
		return nil, err
	}
	accept := &check.Baseline{}
	if c.options.baseline != nil {
		accept = c.options.baseline
	}
	scan := c.scan(c.options.checks)
	finish := c.progress(scan, "keys checked")
	ctx := c.cmd.Context()
	var failed error // of the report itself: nothing more can be written
	summary, err := scan.Run(ctx, func(f *check.Finding) error {
		if c.flags.writeBaseline != "" && f.Failed() {
			if err := accept.Accept(f, c.flags.reason, c.flags.expires); err != nil {
				return usagef("--expires: %w", err)
			}
		}
		failed = out.Finding(f)
		return failed
	})
	finish(err)
	if failed != nil {
		return nil, failed
	}
	if err != nil {
		summary.Errors = append(summary.Errors, check.RunError{Call: "check", Code: "Interrupted", Detail: err.Error()})
	}
	if changes != nil {
		summary.Changes = changes
	}
	if err := out.End(summary); err != nil {
		return nil, err
	}
	if err == nil && c.flags.writeBaseline != "" {
		if err := writeBaseline(c.flags.writeBaseline, accept); err != nil {
			return nil, err
		}
	}
	return summary, err
}

// progress draws a scan's progress if there is a terminal to draw on.
func (c *checker) progress(s *check.Scan, what string) (finish func(error)) {
	stderr := c.cmd.ErrOrStderr()
	if !isTerminal(stderr) {
		return func(error) {}
	}
	step, finish := startProgress(stderr, what, 0)
	s.Progress = func(int) { step() }
	return finish
}

// reports is the report in every format that was asked for.
type reports struct {
	writers []report.Writer
	files   []*os.File // still under their temporary names
	names   []string
	streams []*os.File // written in place
}

const reportName = "keyturn-check."

// openReports opens a file for each format, or standard output. A file takes its name when it is complete.
func (c *checker) openReports() (*reports, error) {
	f := c.flags
	r := &reports{}
	for _, format := range f.formats {
		var w io.Writer
		o := report.Options{Verbose: f.verbose, Checks: c.options.checks}
		if f.output == "" {
			w = c.cmd.OutOrStdout()
			o.Color, o.Width = colored(w), terminalWidth(w)
		} else {
			file, err := r.create(f.output, format, len(f.formats) > 1)
			if err != nil {
				r.discard()
				return nil, err
			}
			w = file
		}
		writer, err := report.New(format, w, o)
		if err != nil {
			r.discard()
			return nil, err
		}
		r.writers = append(r.writers, writer)
	}
	return r, nil
}

// create makes the file of a format. output is a folder if several formats go there, if it is one, or if it ends like one.
func (r *reports) create(output, format string, folder bool) (*os.File, error) {
	if info, err := os.Stat(output); err == nil && info.IsDir() {
		folder = true
	}
	name := output
	if folder || strings.HasSuffix(output, "/") || strings.HasSuffix(output, string(filepath.Separator)) {
		if err := os.MkdirAll(output, 0o750); err != nil {
			return nil, fmt.Errorf("making the folder for the report: %w", err)
		}
		name = filepath.Join(output, reportName+report.Extension(format))
	}
	if real, err := filepath.EvalSymlinks(name); err == nil {
		name = real // what a link leads to is replaced, not the link
	}
	if info, err := os.Stat(name); err == nil && !info.Mode().IsRegular() {
		file, err := os.OpenFile(name, os.O_WRONLY, 0) // a device or a pipe is written to and stays what it is
		if err != nil {
			return nil, fmt.Errorf("opening the report: %w", err)
		}
		r.streams = append(r.streams, file)
		return file, nil
	}
	file, err := os.CreateTemp(filepath.Dir(name), ".keyturn-check-*")
	if err != nil {
		return nil, fmt.Errorf("making the report: %w", err)
	}
	r.files, r.names = append(r.files, file), append(r.names, name)
	return file, nil
}

func (r *reports) each(do func(report.Writer) error) error {
	var errs []error
	for _, w := range r.writers {
		errs = append(errs, do(w))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("writing the report: %w", err)
	}
	return nil
}

// Begin implements report.Writer.
func (r *reports) Begin(run check.Run) error {
	return r.each(func(w report.Writer) error { return w.Begin(run) })
}

// Finding implements report.Writer.
func (r *reports) Finding(f *check.Finding) error {
	return r.each(func(w report.Writer) error { return w.Finding(f) })
}

// End implements report.Writer; then the files take their names.
func (r *reports) End(s *check.Summary) error {
	if err := r.each(func(w report.Writer) error { return w.End(s) }); err != nil {
		return err
	}
	for _, file := range r.streams {
		if err := file.Close(); err != nil {
			return fmt.Errorf("writing the report: %w", err)
		}
	}
	r.streams = nil
	for i, file := range r.files {
		if err := errors.Join(file.Sync(), file.Close()); err != nil {
			return fmt.Errorf("writing the report: %w", err)
		}
		if err := os.Rename(file.Name(), r.names[i]); err != nil {
			return fmt.Errorf("writing the report: %w", err)
		}
	}
	r.files = nil
	return nil
}

// discard removes what was not ended.
func (r *reports) discard() {
	for _, w := range r.writers {
		if c, ok := w.(io.Closer); ok {
			_ = c.Close()
		}
	}
	for _, file := range r.streams {
		_ = file.Close()
	}
	for _, file := range r.files {
		_ = file.Close()
		_ = os.Remove(file.Name())
	}
	r.files, r.streams = nil, nil
}

func readBaseline(path string) (*check.Baseline, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("reading the baseline: %w", err)
	}
	defer file.Close()
	b, err := check.ReadBaseline(file)
	if err != nil {
		return nil, fmt.Errorf("baseline %s: %w", path, err)
	}
	return b, nil
}

func writeBaseline(path string, b *check.Baseline) error {
	var text strings.Builder
	if _, err := b.WriteTo(&text); err != nil {
		return err
	}
	if err := writeFileWhole(path, []byte(text.String()), 0o644); err != nil {
		return fmt.Errorf("writing the baseline: %w", err)
	}
	return nil
}
