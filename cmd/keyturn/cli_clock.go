package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/keyturn/keyturn/internal/api"
)

// newClockCommand returns the commands on the service's clock, which is keyturn's own API.
func newClockCommand() *cobra.Command {
	flags := new(clientFlags)
	show := func(cmd *cobra.Command, _ []string) error { return showClock(cmd, flags) }
	cmd := &cobra.Command{
		Use:   "clock",
		Short: "Show the service's clock, accept it after a jump, or turn it forward in keyturn dev",
		Long: `Show the service's clock, accept it after a jump, or turn it forward in keyturn dev.

Without an endpoint in --endpoint or the AWS environment it is that of keyturn dev:
` + devEndpoint,
		Args:          noSuchCommand,
		RunE:          show,
		SilenceErrors: true,
		SilenceUsage:  true,

		SuggestionsMinimumDistance: 2,
	}
	cmd.SetFlagErrorFunc(flagError)
	flags.register(cmd.PersistentFlags())
	cmd.AddCommand(&cobra.Command{Use: "show", Short: "Show the clock, and whether the server believes it", Args: noArgs, RunE: show},
		newClockAcceptCommand(flags), newClockAdvanceCommand(flags))
	return cmd
}

func showClock(cmd *cobra.Command, flags *clientFlags) error {
	c, err := flags.connect(cmd.Context(), devEndpoint)
	if err != nil {
		return err
	}
	var resp api.GetClockResponse
	if err := c.call(cmd.Context(), "Keyturn.GetClock", &api.GetClockRequest{}, &resp); err != nil {
		return explainClock(c, err)
	}
	if flags.output == jsonOutput {
		return writeWireJSON(cmd.OutOrStdout(), &resp)
	}
	fields := [][2]string{
		{"now", wireTime(resp.Now)},
		{"offset", formatDuration(boundedSeconds(resp.OffsetSeconds.V))},
		{"adjustable", yesNo(resp.Adjustable.V)},
	}
	if resp.Standing.Set {
		fields = append(fields, [2]string{"machine", wireTime(resp.MachineTime)}, [2]string{"high-water mark", wireTime(resp.HighWaterMark)},
			[2]string{"believed", believed(&resp)})
	}
	return writeFields(cmd.OutOrStdout(), fields)
}

// believed says what the server thinks of its clock.
func believed(resp *api.GetClockResponse) string {
	switch resp.Standing.V {
	case api.ClockStandingTypeTrusted:
		return "yes"
	case api.ClockStandingTypeAhead:
		return "no: it jumped forwards. Deletions, expiry and rotations are suspended since " + wireTime(resp.SuspendedSince)
	case api.ClockStandingTypeHeld:
		return "not yet: the store was restored from a backup. Deletions, expiry and rotations are suspended since " + wireTime(resp.SuspendedSince)
	case api.ClockStandingTypeBehind:
		return "no: it is before the high-water mark. Nothing becomes due until it has caught up"
	}
	return printable(string(resp.Standing.V))
}

func newClockAcceptCommand(flags *clientFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "accept DATE",
		Short: "Tell a server that its clock is right, after a jump that it does not believe",
		Long: `Tell a server that its clock is right, after a jump that it does not believe: what is overdue by it happens then, deletions
of keys included. Only the account that manages the deployment can do it.

DATE is what the time is, to the day (2026-11-28, which is its noon in UTC) or exactly (2026-11-28T14:00:00Z), from another clock than
the server's. If the server's is not within 24 hours of it, nothing happens.`,
		Example: "  keyturn clock accept 2026-11-28",
		Args:    oneArg("the date"),
		RunE: func(cmd *cobra.Command, args []string) error {
			date, err := parseDate(args[0])
			if err != nil {
				return usageError{err}
			}
			c, err := flags.connect(cmd.Context(), devEndpoint)
			if err != nil {
				return err
			}
			var resp api.AcceptClockResponse
			if err := c.call(cmd.Context(), "Keyturn.AcceptClock", &api.AcceptClockRequest{Date: api.Some(date)}, &resp); err != nil {
				return explainAccept(c, err)
			}
			if flags.output == jsonOutput {
				return writeWireJSON(cmd.OutOrStdout(), &resp)
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "accepted: it is %s, after %s\n", wireTime(resp.Now), wireTime(resp.HighWaterMark))
			return err
		},
	}
}

func explainAccept(c *connection, err error) error {
	switch api.ErrorCode(errorCode(err)) {
	case api.ValidationException:
		return withHint(c.explain(err), "set the clock of the server's machine; keyturn clock show says what it tells")
	case api.UnsupportedOperationException:
		return withHint(c.explain(err), "a clock is accepted on a server only")
	}
	return explainClock(c, err)
}

func newClockAdvanceCommand(flags *clientFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "advance DURATION",
		Short: "Turn the clock forward: all that becomes due on the way happens, in order",
		Long: `Turn the clock of keyturn dev forward. All that becomes due on the way happens, in the order
of its dates and dated with them: rotations and deletions of keys.

A DURATION is one or more numbers with units: y (365 days), w, d, h, m, s.`,
		Example: "  keyturn clock advance 91d\n  keyturn clock advance 1y6w3d",
		Args:    oneArg("a duration like 91d"),
		RunE: func(cmd *cobra.Command, args []string) error {
			seconds, err := parseSeconds(args[0])
			if err != nil {
				return usageError{err}
			}
			c, err := flags.connect(cmd.Context(), devEndpoint)
			if err != nil {
				return err
			}
			var resp api.AdvanceClockResponse
			if err := c.call(cmd.Context(), "Keyturn.AdvanceClock", &api.AdvanceClockRequest{Seconds: api.Some(seconds)}, &resp); err != nil {
				return explainClock(c, err)
			}
			if flags.output == jsonOutput {
				return writeWireJSON(cmd.OutOrStdout(), &resp)
			}
			return printAdvanced(cmd.OutOrStdout(), &resp)
		},
	}
}

func explainClock(c *connection, err error) error {
	switch api.ErrorCode(errorCode(err)) {
	case api.UnsupportedOperationException:
		return withHint(c.explain(err), "only the clock of keyturn dev can be turned")
	case api.UnknownOperationException:
		return withHint(c.explain(err), "only keyturn has this clock: is the endpoint one of it?")
	}
	return c.explain(err)
}

func printAdvanced(w io.Writer, resp *api.AdvanceClockResponse) error {
	count := resp.EventCount.V
	plural := "s"
	if count == 1 {
		plural = ""
	}
	if _, err := fmt.Fprintf(w, "now  %s\n%d event%s\n", wireTime(resp.Now), count, plural); err != nil || len(resp.Events) == 0 {
		return err
	}
	rows := make([][]string, len(resp.Events))
	for i, e := range resp.Events {
		rows[i] = []string{wireTime(e.Date), string(e.Event.V), e.KeyArn.V, e.KeyMaterialId.V}
	}
	if _, err := fmt.Fprintln(w); err != nil {
		return err
	}
	if err := writeTable(w, []string{"DATE", "EVENT", "KEY", "KEY MATERIAL ID"}, rows); err != nil {
		return err
	}
	if more := count - int64(len(resp.Events)); more > 0 {
		_, err := fmt.Fprintf(w, "and %d more\n", more)
		return err
	}
	return nil
}

// wireTime writes a date of an answer; "" if there is none.
func wireTime(t api.Opt[time.Time]) string {
	if !t.Set {
		return ""
	}
	return stamp(&t.V)
}

// boundedSeconds keeps what cannot be a duration from overflowing.
func boundedSeconds(n int64) time.Duration {
	const limit = int64(290 * 365 * day / time.Second)
	return time.Duration(max(-limit, min(n, limit))) * time.Second
}

// writeWireJSON writes an answer as the wire has it, indented.
func writeWireJSON(w io.Writer, resp api.Response) error {
	var out bytes.Buffer
	if err := json.Indent(&out, resp.AppendJSON(nil), "", "  "); err != nil {
		return err
	}
	out.WriteByte('\n')
	_, err := w.Write(out.Bytes())
	return err
}
