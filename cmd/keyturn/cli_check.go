package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/keyturn/keyturn/internal/check"
	"github.com/keyturn/keyturn/internal/check/report"
	"github.com/keyturn/keyturn/internal/service"
)

// checkFlags are the flags of keyturn check.
type checkFlags struct {
	client     clientFlags
	regions    []string
	allRegions bool
	roleARN    string
	externalID string

	checks          []string
	maxAge          string
	maxPeriod       string
	unusedAfter     string
	expiryWarning   string
	maxServices     int
	ownerTags       []string
	classTags       []string
	trustedAccounts []string
	withIAM         bool

	formats       []string
	output        string
	verbose       bool
	failOn        string
	baseline      string
	writeBaseline string
	reason        string
	expires       string
	concurrency   int

	fix            bool
	rotationPeriod string
	yes            bool
	dryRun         bool

	printPolicy bool
	listChecks  bool

	watch watchFlags
}

func newCheckCommand() *cobra.Command {
	f := new(checkFlags)
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Find keys that do not rotate, and much else, on keyturn or AWS; mend them with --fix",
		Long: `Check the keys of an account on any endpoint that speaks the AWS KMS API, AWS itself included: whether they rotate, who may
use them, whether anybody does. It only reads, until --fix is given.

Exit status: 0 nothing failed, 3 failures at or above --fail-on, 1 something could not be read or done (this wins over 3), 2 usage.

docs/checks.md describes every check; keyturn check --list-checks lists them.`,
		Example: `  keyturn check --endpoint http://127.0.0.1:4599
  keyturn check --profile audit --all-regions --format table --format html --output report/
  keyturn check --fix --rotation-period 180d --dry-run
  keyturn check --print-policy --fix > policy.json`,
		Args:          noArgs,
		RunE:          func(cmd *cobra.Command, _ []string) error { return runCheck(cmd, f) },
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	cmd.SetFlagErrorFunc(flagError)
	f.register(cmd.Flags())
	cmd.AddCommand(newCheckFindingsCommand())
	return cmd
}

func (f *checkFlags) register(fs *pflag.FlagSet) {
	fs.SortFlags = false
	f.client.registerEndpoint(fs)
	fs.StringArrayVar(&f.regions, "region", nil, "`REGION` to check (repeatable; default: that of the AWS environment)")
	fs.BoolVar(&f.allRegions, "all-regions", false, "check every region that the account has on")
	fs.StringVar(&f.roleARN, "role-arn", "", "role to assume first, in this account or another")
	fs.StringVar(&f.externalID, "external-id", "", "external ID that the role asks for")

	d := check.DefaultSettings()
	fs.StringArrayVar(&f.checks, "check", nil, "run only this check (`ID`, repeatable)")
	fs.StringVar(&f.maxAge, "max-age", formatDuration(d.MaxAge), "cryptoperiod of keys that cannot rotate automatically")
	fs.StringVar(&f.maxPeriod, "max-period", fmt.Sprintf("%dd", d.MaxPeriod), "longest rotation period")
	fs.StringVar(&f.unusedAfter, "unused-after", formatDuration(d.UnusedAfter), "a key that was not used for so long is unused")
	fs.StringVar(&f.expiryWarning, "expiry-warning", formatDuration(d.ExpiryWarning), "how long ahead expiring key material is a failure")
	fs.IntVar(&f.maxServices, "max-services", d.MaxServices, "how many services one key may serve")
	fs.StringSliceVar(&f.ownerTags, "owner-tag", d.OwnerTags, "tags that name a key's owner")
	fs.StringSliceVar(&f.classTags, "class-tag", d.ClassTags, "tags that name the class of a key's data")
	fs.StringSliceVar(&f.trustedAccounts, "trusted-account", nil, "`ACCOUNT` whose principals may use keys, beside one's own (repeatable)")
	fs.BoolVar(&f.withIAM, "with-iam", false, "read IAM and CloudTrail too: who may enable rotation, what rotated")

	fs.StringSliceVar(&f.formats, "format", []string{"table"}, "of the report (repeatable): "+strings.Join(report.Formats(), ", "))
	fs.StringVar(&f.output, "output", "", "`FILE` or folder for the report (default: standard output)")
	fs.BoolVar(&f.verbose, "verbose", false, "list in the table what passes, too")
	fs.StringVar(&f.failOn, "fail-on", check.Low.String(), "lowest severity of failures that make the exit status 3: informational, low, medium, high, critical, or none")
	fs.StringVar(&f.baseline, "baseline", "", "`FILE` of accepted findings, see docs/check.md")
	fs.StringVar(&f.writeBaseline, "write-baseline", "", "write a baseline `FILE` that accepts what fails now; wants --reason and --expires")
	fs.StringVar(&f.reason, "reason", "", "why --write-baseline accepts it")
	fs.StringVar(&f.expires, "expires", "", "last day on which --write-baseline accepts it, `YYYY-MM-DD`")
	fs.IntVar(&f.concurrency, "concurrency", check.DefaultConcurrency, "most calls at once; fewer while the service throttles")

	fs.BoolVar(&f.fix, "fix", false, "enable rotation where it is off, and shorten periods that are too long")
	fs.StringVar(&f.rotationPeriod, "rotation-period", "365d", "rotation period that --fix sets, 90d to 2560d")
	fs.BoolVar(&f.yes, "yes", false, "do not ask before --fix changes something")
	fs.BoolVar(&f.dryRun, "dry-run", false, "with --fix: print the AWS CLI commands and change nothing")

	fs.BoolVar(&f.printPolicy, "print-policy", false, "print the IAM policy that this command line needs, and end")
	fs.BoolVar(&f.listChecks, "list-checks", false, "list the checks, and end")
	f.watch.register(fs)
}

// checkOptions is what the flags mean.
type checkOptions struct {
	settings check.Settings
	checks   []*check.Check
	failOn   check.Severity // 0 for none
	days     int            // rotation period to set
	baseline *check.Baseline
}

// options checks the flags that say what to check.
func (f *checkFlags) options() (o checkOptions, err error) {
	o.settings = check.DefaultSettings()
	s := &o.settings
	for _, d := range []struct {
		flag, value string
		to          *time.Duration
	}{{"max-age", f.maxAge, &s.MaxAge}, {"unused-after", f.unusedAfter, &s.UnusedAfter}, {"expiry-warning", f.expiryWarning, &s.ExpiryWarning}} {
		if *d.to, err = parseDuration(d.value); err != nil {
			return o, usagef("--%s: %w", d.flag, err)
		}
	}
	period, err := parseRotationPeriod(f.maxPeriod)
	if err != nil {
		return o, usagef("--max-period: %w", err)
	}
	days, err := parseRotationPeriod(f.rotationPeriod)
	if err != nil {
		return o, usagef("--rotation-period: %w", err)
	}
	s.MaxPeriod, o.days = int(period), int(days)
	if f.fix && days > period {
		return o, usagef("--rotation-period %s is longer than --max-period %s: what it sets would fail", f.rotationPeriod, f.maxPeriod)
	}
	for _, a := range f.trustedAccounts {
		if !service.IsAccountID(a) {
			return o, usagef("--trusted-account %q is not 12 digits", a)
		}
	}
	if f.maxServices < 1 {
		return o, usagef("--max-services: it is at least 1")
	}
	if f.concurrency < 1 || f.concurrency > 1000 {
		return o, usagef("--concurrency: it is 1 to 1000")
	}
	s.MaxServices, s.OwnerTags, s.ClassTags, s.TrustedAccounts = f.maxServices, f.ownerTags, f.classTags, f.trustedAccounts
	s.WithIAM, s.Checks = f.withIAM, f.checks
	if o.checks, err = s.Selected(); err != nil {
		return o, withHint(usageError{err}, "--list-checks lists them; those that read IAM or CloudTrail want --with-iam")
	}
	if f.failOn != "none" {
		if o.failOn, err = check.ParseSeverity(f.failOn); err != nil {
			return o, usagef("--fail-on: %w, nor none", err)
		}
	}
	for _, format := range f.formats {
		if !slices.Contains(report.Formats(), format) {
			return o, usagef("--format %q: it is one of %s", format, strings.Join(report.Formats(), ", "))
		}
	}
	if err := f.together(); err != nil {
		return o, err
	}
	if f.fix && len(check.Fixable(o.checks)) == 0 {
		return o, usagef("--fix mends failures of rotation-enabled and rotation-period, and --check chose neither")
	}
	if f.writeBaseline != "" {
		if last, err := time.Parse(time.DateOnly, f.expires); err != nil || !last.AddDate(0, 0, 1).After(time.Now()) {
			return o, usagef("--expires %q is no day to come, like %s", f.expires, time.Now().AddDate(0, 3, 0).Format(time.DateOnly))
		}
	}
	if f.baseline != "" {
		if o.baseline, err = readBaseline(f.baseline); err != nil {
			return o, err
		}
	}
	return o, nil
}

// together checks which flags go with which.
func (f *checkFlags) together() error {
	switch {
	case f.allRegions && len(f.regions) > 0:
		return usagef("--region and --all-regions exclude each other")
	case f.externalID != "" && f.roleARN == "":
		return usagef("--external-id goes with --role-arn")
	case !f.fix && (f.dryRun || f.yes):
		return usagef("--yes and --dry-run go with --fix")
	case f.dryRun && f.yes:
		return usagef("--yes and --dry-run exclude each other")
	case f.dryRun && (f.output != "" || f.writeBaseline != "" || !slices.Equal(f.formats, []string{"table"})):
		return usagef("--dry-run prints commands and no report: it does not go with --format, --output and --write-baseline")
	case len(f.formats) > 1 && f.output == "":
		return withHint(usagef("several formats need a place to go to"), "name a folder with --output")
	case (f.writeBaseline == "") != (f.reason == "") || (f.writeBaseline == "") != (f.expires == ""):
		return usagef("--write-baseline, --reason and --expires go together")
	}
	return f.watch.together(f)
}

// findingsError ends a check that found failures: the exit status is 3.
type findingsError struct{ text string }

func (e findingsError) Error() string { return e.text }

// runCheck runs keyturn check.
func runCheck(cmd *cobra.Command, f *checkFlags) error {
	if f.listChecks {
		return printChecks(cmd.OutOrStdout())
	}
	o, err := f.options()
	if err != nil {
		return err
	}
	if f.printPolicy {
		return printCheckPolicy(cmd.OutOrStdout(), f, o.checks)
	}
	t, err := f.target(cmd.Context())
	if err != nil {
		return err
	}
	c := &checker{cmd: cmd, flags: f, options: o, target: t, limiter: check.NewLimiter(f.concurrency)}
	switch {
	case f.watch.every != "":
		return c.watch()
	case f.fix:
		return c.fix()
	}
	summary, err := c.report(nil)
	return c.outcome(summary, err)
}

// outcome is the error that a run ends with: what could not be read comes before what failed.
func (c *checker) outcome(s *check.Summary, err error) error {
	if err != nil {
		return c.target.explain(err)
	}
	failed := 0
	for _, n := range s.Checks {
		if c.options.failOn != 0 && n.Severity >= c.options.failOn {
			failed += n.Counts[check.Fail] - n.Accepted
		}
	}
	findings := fmt.Sprintf("%d findings fail at or above %s", failed, c.options.failOn)
	if failed == 1 {
		findings = fmt.Sprintf("1 finding fails at or above %s", c.options.failOn)
	}
	if s.Unread() {
		text := "not everything could be read or done; the report says what"
		if failed > 0 {
			text += "; and " + findings
		}
		return errors.New(text)
	}
	if failed > 0 {
		return findingsError{findings}
	}
	return nil
}
