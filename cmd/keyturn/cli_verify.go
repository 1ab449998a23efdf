package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/jedib0t/go-pretty/v6/progress"
	"github.com/spf13/cobra"

	"github.com/keyturn/keyturn/internal/verify"
)

// verifyFlags are those of keyturn verify.
type verifyFlags struct {
	client  clientFlags
	config  string
	dataDir string
	scratch string
	repair  bool
	noWait  bool
}

func newVerifyCommand() *cobra.Command {
	var f verifyFlags
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Prove that a store is whole, and as its audit log says",
		Long: `Read a store and its audit log from end to end: every value opens, every index and counter is what the records
say, every key has its materials, every record is what the log's last change of it left, and no line of the
log is missing. What is wrong is named, with what to do about it. Nothing is changed.

--config FILE or --data-dir DIR reads the data directory of a server that does not run. With --data-dir alone, and no
seal.key in it, no value can be opened: then only what needs no keys is looked at.
--endpoint URL has a running server verify itself, slowly, with credentials of the account that manages the others.

--repair, with --config or for the directory of a keyturn dev, puts index entries and counters right, which follow from records, says
so in the audit log, and verifies again. It touches nothing else.

The exit status is 0 if nothing was found, 3 if something was, and 1 if it could not be looked at.`,
		Example: `  keyturn verify --config server.yaml
  keyturn verify --data-dir /mnt/copy --output json
  keyturn verify --endpoint https://kms.example.com:8443`,
		Args:          noArgs,
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE:          func(cmd *cobra.Command, _ []string) error { return runVerify(cmd, &f) },
	}
	cmd.SetFlagErrorFunc(flagError)
	f.client.register(cmd.Flags())
	fl := cmd.Flags()
	fl.StringVar(&f.config, "config", "", "configuration `FILE` of a server that does not run")
	fl.StringVar(&f.dataDir, "data-dir", "", "data directory `DIR` that no server uses")
	fl.StringVar(&f.scratch, "scratch", "", "`DIR` for scratch files, about 100 bytes for each record and each line of the log (default: the system's place for them)")
	fl.BoolVar(&f.repair, "repair", false, "put index entries and counters right, offline only")
	fl.BoolVar(&f.noWait, "no-wait", false, "with --endpoint: show how far the latest run is, and start none")
	return cmd
}

func runVerify(cmd *cobra.Command, f *verifyFlags) error {
	offline := f.config != "" || f.dataDir != ""
	switch {
	case f.config != "" && f.dataDir != "":
		return usagef("--config names the data directory; --data-dir is for one without a configuration")
	case offline && (f.client.endpoint != "" || f.noWait):
		return usagef("--config and --data-dir are for a server that does not run, --endpoint for one that does")
	case f.repair && !offline:
		return withHint(usagef("--repair works on the data directory of a server that does not run"), "stop the server, then run keyturn verify --config FILE --repair")
	}
	var report *verify.Report
	var err error
	switch {
	case f.repair:
		report, err = f.runRepair(cmd)
	case offline:
		report, err = f.runOffline(cmd)
	default:
		report, err = f.runOnline(cmd)
	}
	if err != nil || report == nil {
		return err
	}
	if f.client.output == jsonOutput {
		err = writeJSON(cmd.OutOrStdout(), report)
	} else {
		err = printVerification(cmd.OutOrStdout(), report)
	}
	if n := report.Total(); err == nil && n > 0 {
		err = findingsError{plural(n, "finding")}
	}
	return err
}

func plural(n int64, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// printVerification writes a report for people: what was looked at, then what was found.
func printVerification(w io.Writer, r *verify.Report) error {
	var b strings.Builder
	if r.Unopened {
		b.WriteString("store      it is gone, or so damaged that it does not open: neither what is in it nor the audit log was looked at\n")
	} else {
		printCounts(&b, r)
	}
	if r.Total() == 0 {
		b.WriteString("\nNothing is wrong.\n")
		_, err := io.WriteString(w, b.String())
		return err
	}
	for _, fd := range r.Findings {
		fmt.Fprintf(&b, "\n%s  %s  %s\n  %s.\n", fd.Severity, fd.Kind, printable(fd.Where), fd.Title)
		if fd.Detail != "" {
			fmt.Fprintf(&b, "  Here: %s.\n", printable(fd.Detail))
		}
		fmt.Fprintf(&b, "  %s\n", fd.Remedy)
	}
	if more := r.Total() - int64(len(r.Findings)); more > 0 {
		fmt.Fprintf(&b, "\nand %d more, in all:\n", more)
		for _, kind := range slices.Sorted(maps.Keys(r.Counts)) {
			fmt.Fprintf(&b, "  %8d  %s\n", r.Counts[kind], kind)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// printCounts writes what was looked at.
func printCounts(b *strings.Builder, r *verify.Report) {
	fmt.Fprintf(b, "store      revision %d: %d entries, %d records, %s\n", r.Revision, r.Entries, r.Records, plural(r.Keys, "key"))
	switch {
	case r.Sealed:
		b.WriteString("           there is no seal: values were not opened, indexes, counters and versions not compared\n")
	case !r.Indexes:
		b.WriteString("           indexes and counters were not compared, since records cannot be read\n")
	}
	printHistory(b, r)
}

// printHistory writes how the store compares with the audit log.
func printHistory(b *strings.Builder, r *verify.Report) {
	h := r.History
	switch {
	case h == nil:
		b.WriteString("audit log  none to compare with\n")
		return
	case h.Lines == 0:
		b.WriteString("audit log  without a line\n")
		return
	}
	fmt.Fprintf(b, "audit log  lines %d to %d in %s, written by %s\n", h.First, h.Last, plural(int64(h.Segments), "segment"), printable(strings.Join(h.Nodes, ", ")))
	if h.Torn {
		b.WriteString("           the last line is torn, as a crash leaves it; the next start of the server cuts it off\n")
	}
	if h.First > 1 {
		fmt.Fprintf(b, "           it begins at line %d: what changed last before that is not compared\n", h.First)
	}
	for _, t := range h.Restored {
		fmt.Fprintf(b, "           the store was restored from a backup at %s\n", printable(t))
	}
	if r.Sealed {
		fmt.Fprintf(b, "records    %d are there, as the log says; of %d it says nothing that could be compared without a seal\n", h.Vouched, h.Unvouched+h.Uncovered)
		return
	}
	fmt.Fprintf(b, "records    %d as the log's last change left them", h.Vouched)
	if h.Unvouched > 0 {
		fmt.Fprintf(b, ", %d made when the log did not list what changes write", h.Unvouched)
	}
	if h.Uncovered > 0 {
		fmt.Fprintf(b, ", %d made before the log begins", h.Uncovered)
	}
	b.WriteString("\n")
}

// verifyProgress draws how far a verification is, on a terminal only, until finish is called.
func verifyProgress(w io.Writer) (show func(verify.Progress), finish func(error)) {
	if !isTerminal(w) {
		return func(verify.Progress) {}, func(error) {}
	}
	bar := progress.NewWriter()
	bar.SetOutputWriter(w)
	bar.SetAutoStop(false)
	bar.SetTrackerLength(30)
	drawn := make(chan struct{})
	go func() {
		bar.Render()
		close(drawn)
	}()
	var now verify.Phase
	var tracker *progress.Tracker
	show = func(p verify.Progress) {
		if p.Phase != now {
			if tracker != nil {
				tracker.MarkAsDone()
			}
			now, tracker = p.Phase, &progress.Tracker{Message: string(p.Phase), Units: progress.UnitsBytes}
			bar.AppendTracker(tracker)
		}
		if p.Total > 0 {
			tracker.UpdateTotal(p.Total + 1) // ends with the phase, not by itself
		}
		tracker.SetValue(p.Done)
	}
	return show, func(err error) {
		if tracker != nil && err != nil {
			tracker.MarkAsErrored()
		} else if tracker != nil {
			tracker.MarkAsDone()
		}
		bar.Stop()
		<-drawn
	}
}

// verifyLog is the audit log of a data directory.
func verifyLog(dataDir string) verify.Log {
	return verify.LogDir{Dir: filepath.Join(dataDir, auditDir)}
}

// verifying runs a verification with its progress on w.
func verifying(ctx context.Context, w io.Writer, c verify.Config, dataDir string) (*verify.Report, error) {
	show, finish := verifyProgress(w)
	c.Progress, c.StoreBytes, c.LogBytes = show, fileBytes(filepath.Join(dataDir, storeFile)), dirBytes(filepath.Join(dataDir, auditDir))
	report, err := verify.Run(ctx, c)
	finish(err)
	return report, err
}
