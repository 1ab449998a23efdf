package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"

	"github.com/keyturn/keyturn/internal/api"
)

// newCheckFindingsCommand returns the command that shows what a keyturn server's own checks found.
func newCheckFindingsCommand() *cobra.Command {
	var flags clientFlags
	var only string
	cmd := &cobra.Command{
		Use:   "findings",
		Short: "Show what a keyturn server's own checks of its keys found",
		Long: `Show what a keyturn server's own checks of its keys found in the account and region: the section check of its configuration
makes it check them. Nothing is checked now.`,
		Args:          noArgs,
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := flags.connect(cmd.Context(), "")
			if err != nil {
				return err
			}
			all := &api.ListFindingsResponse{Findings: []api.FindingEntry{}}
			req := &api.ListFindingsRequest{Limit: api.Some[int64](1000)}
			if only != "" {
				req.CheckId = api.Some(only)
			}
			for {
				var page api.ListFindingsResponse
				if err := c.call(cmd.Context(), "Keyturn.ListFindings", req, &page); err != nil {
					return c.explain(err)
				}
				all.Findings = append(all.Findings, page.Findings...)
				all.LastRun, all.KeysChecked, all.Complete = page.LastRun, page.KeysChecked, page.Complete
				if !page.NextMarker.Set {
					break
				}
				req.Marker = page.NextMarker
			}
			if flags.output == jsonOutput {
				return writeWireJSON(cmd.OutOrStdout(), all)
			}
			return printFindings(cmd.OutOrStdout(), all)
		},
	}
	cmd.SetFlagErrorFunc(flagError)
	flags.register(cmd.Flags())
	cmd.Flags().StringVar(&only, "check", "", "only those of one check (`ID`)")
	return cmd
}

var severityOrder = []api.FindingSeverityType{"CRITICAL", "HIGH", "MEDIUM", "LOW", "INFORMATIONAL"}

func printFindings(w io.Writer, r *api.ListFindingsResponse) error {
	if !r.LastRun.Set {
		fmt.Fprintln(w, "The server's first check has not ended yet.")
		return nil
	}
	slices.SortStableFunc(r.Findings, func(a, b api.FindingEntry) int {
		return cmp.Or(cmp.Compare(slices.Index(severityOrder, a.Severity.V), slices.Index(severityOrder, b.Severity.V)),
			cmp.Compare(a.CheckId.V, b.CheckId.V), cmp.Compare(a.KeyArn.V, b.KeyArn.V))
	})
	var rows [][]string
	for _, f := range r.Findings {
		rows = append(rows, []string{words(string(f.Severity.V)), string(f.Status.V), f.CheckId.V, f.KeyArn.V, wireTime(f.FirstSeen), f.Detail.V})
	}
	if err := writeTable(w, []string{"SEVERITY", "STATUS", "CHECK", "KEY", "SINCE", "DETAIL"}, rows); err != nil {
		return err
	}
	complete := ""
	if !r.Complete.V {
		complete = "; not everything could be read"
	}
	_, err := fmt.Fprintf(w, "\n%d findings in this region; %d keys of the account checked, ended %s%s\n", len(r.Findings), r.KeysChecked.V, wireTime(r.LastRun), complete)
	return err
}
