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
	cmd := &cobra.Command{
		Use:   "clock",
		Short: "Show the service's clock, or turn it forward in keyturn dev",
		Long: `Show the service's clock, or turn it forward in keyturn dev.

Without an endpoint in --endpoint or the AWS environment it is that of keyturn dev:
` + devEndpoint,
		Args: noSuchCommand,
		RunE: func(cmd *cobra.Command, _ []string) error {
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
			return writeFields(cmd.OutOrStdout(), [][2]string{
				{"now", wireTime(resp.Now)},
				{"offset", formatDuration(boundedSeconds(resp.OffsetSeconds.V))},
				{"adjustable", yesNo(resp.Adjustable.V)},
			})
		},
		SilenceErrors: true,
		SilenceUsage:  true,

		SuggestionsMinimumDistance: 2,
	}
	cmd.SetFlagErrorFunc(flagError)
	flags.register(cmd.PersistentFlags())
	cmd.AddCommand(newClockAdvanceCommand(flags))
	return cmd
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
