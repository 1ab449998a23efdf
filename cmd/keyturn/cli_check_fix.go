package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/keyturn/keyturn/internal/check"
)

// fix finds what can be mended, shows it, asks, mends it, and then checks everything and reports.
func (c *checker) fix() error {
	plan, summary, err := c.plan()
	if err != nil {
		return c.target.explain(err)
	}
	stderr := c.cmd.ErrOrStderr()
	for _, arn := range plan.Elsewhere {
		fmt.Fprintf(stderr, "not changed: %s is the primary of keys here, and its region is not checked; name it with --region\n", printable(arn))
	}
	if c.flags.dryRun {
		return c.printCommands(plan, summary)
	}
	if len(plan.Changes) > 0 {
		showPlan(stderr, plan)
		if !c.flags.yes {
			if err := c.ask(len(plan.Changes)); err != nil {
				return err
			}
		}
		c.apply(plan)
	}
	summary, err = c.report(plan.Changes)
	return c.outcome(summary, err)
}

// plan runs those of the chosen checks whose failures can be mended. What cannot be read cannot be planned for, and is in the summary.
func (c *checker) plan() (*check.Plan, *check.Summary, error) {
	plan := &check.Plan{Days: c.options.days, Regions: c.target.regions}
	if c.flags.client.profile != "" {
		plan.CLI = append(plan.CLI, "--profile", c.flags.client.profile)
	}
	if c.target.endpoint != "" {
		plan.CLI = append(plan.CLI, "--endpoint-url", c.target.endpoint)
	}
	scan := c.scan(check.Fixable(c.options.checks))
	finish := c.progress(scan, "keys looked at")
	summary, err := scan.Run(c.cmd.Context(), func(f *check.Finding) error {
		plan.Add(f)
		return nil
	})
	finish(err)
	return plan, summary, err
}

// apply makes the changes. An interruption ends it once those under way are made; what was done and what was not is reported all the same.
func (c *checker) apply(plan *check.Plan) {
	step, finish := func() {}, func(error) {}
	if stderr := c.cmd.ErrOrStderr(); isTerminal(stderr) {
		step, finish = startProgress(stderr, "changes", int64(len(plan.Changes)))
	}
	plan.Apply(c.cmd.Context(), c.target.keys, c.limiter, func(int) { step() })
	finish(c.cmd.Context().Err())
}

// showPlan lists the changes, at most as many as a person would read.
func showPlan(w io.Writer, plan *check.Plan) {
	const most = 40
	fmt.Fprintf(w, "%d keys will rotate every %d days:\n", len(plan.Changes), plan.Days)
	for i, ch := range plan.Changes {
		if i == most {
			fmt.Fprintf(w, "  and %d more; --dry-run lists all\n", len(plan.Changes)-most)
			break
		}
		fmt.Fprintf(w, "  %s  (now: %s)\n", printable(ch.KeyARN), ch.Before)
	}
}

// ask wants a yes from the person at the terminal.
func (c *checker) ask(n int) error {
	in, ok := c.cmd.InOrStdin().(*os.File)
	if !ok || !isTerminal(in) {
		return withHint(usagef("--fix changes %d keys, and there is nobody to ask", n), "say --yes, or look first with --dry-run")
	}
	fmt.Fprintf(c.cmd.ErrOrStderr(), "Change them? [y/N] ")
	answer := make(chan string, 1)
	go func() {
		line, _ := bufio.NewReader(io.LimitReader(in, 100)).ReadString('\n')
		answer <- strings.ToLower(strings.TrimSpace(line))
	}()
	select {
	case a := <-answer:
		if a == "y" || a == "yes" {
			return nil
		}
		return errors.New("nothing was changed")
	case <-c.cmd.Context().Done():
		return fmt.Errorf("nothing was changed: %w", context.Canceled)
	}
}

// printCommands prints what --fix would do as commands of the AWS CLI, and how to undo each.
func (c *checker) printCommands(plan *check.Plan, s *check.Summary) error {
	w := c.cmd.OutOrStdout()
	if c.flags.roleARN != "" && len(plan.Changes) > 0 {
		fmt.Fprintf(w, "# with the credentials of the role %s\n", printable(c.flags.roleARN))
	}
	for _, ch := range plan.Changes {
		fmt.Fprintf(w, "%s\n# undo (now: %s): %s\n", shellWords(ch.Command), ch.Before, shellWords(ch.Undo))
	}
	for _, e := range s.Errors {
		fmt.Fprintf(c.cmd.ErrOrStderr(), "not read: %s %s %s: %s\n", e.Region, e.Call, e.Code, printable(e.Detail))
	}
	if n := s.Counts[check.Error]; n > 0 {
		fmt.Fprintf(c.cmd.ErrOrStderr(), "%d verdicts could not be reached; keyturn check without --fix says why\n", n)
	}
	return c.outcome(s, nil)
}

// shellWords quotes arguments for a POSIX shell.
func shellWords(args []string) string {
	words := make([]string, len(args))
	for i, a := range args {
		a = printable(a)
		if a == "" || !madeOf(a, letters+"0123456789-_./:=@%+,") {
			a = "'" + strings.ReplaceAll(a, "'", `'\''`) + "'"
		}
		words[i] = a
	}
	return strings.Join(words, " ")
}
