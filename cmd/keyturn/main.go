// Keyturn is a key management service that speaks the AWS KMS API: the server, and a command line for it.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
)

func main() { os.Exit(run()) }

// run is main with an exit status: 0, 1 for a failure, 2 for a usage error, 3 for findings of a check and for the answer no.
func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	err := newRootCommand().ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	fmt.Fprintln(os.Stderr, "keyturn:", message(err))
	if hint := hintFor(err); hint != "" {
		fmt.Fprintln(os.Stderr, "hint:", hint)
	}
	switch {
	case errors.As(err, new(usageError)):
		return 2
	case errors.As(err, new(findingsError)), errors.As(err, new(deniedError)):
		return 3
	}
	return 1
}

// message is an error as it is printed. A command that was interrupted says so, wherever it was.
func message(err error) string {
	text := err.Error()
	if errors.Is(err, context.Canceled) {
		text = strings.ReplaceAll(text, context.Canceled.Error(), "interrupted")
	}
	return text
}

func newRootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:           "keyturn",
		Short:         "A key management service whose keys turn, with the AWS KMS API",
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          noSuchCommand,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },

		SuggestionsMinimumDistance: 2,
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	root.AddCommand(newDevCommand(), newInitCommand(), newServerCommand(), newXKSProxyCommand(), newSealCommand(), newUnsealCommand(), newBackupCommand(), newRestoreCommand(), newCompactCommand(),
		newAccountsCommand(), newKeysCommand(), newCheckCommand(), newDoctorCommand(), newHealthcheckCommand(), newExplainCommand(), newWhoCanCommand(), newClockCommand(), newVerifyCommand(), newVersionCommand())
	return root
}
