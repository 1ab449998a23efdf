package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/spf13/cobra"

	"github.com/keyturn/keyturn/internal/keys"
)

// newKeysCommand returns the commands on keys. They use nothing but the public KMS API, so they work on every endpoint, that of
// AWS included.
func newKeysCommand() *cobra.Command {
	flags := new(clientFlags)
	cmd := &cobra.Command{
		Use:   "keys",
		Short: "List, create, show and rotate keys, on keyturn or AWS",
		Long: `List, create, show and rotate keys.

These commands use the AWS KMS API, so they work with keyturn and with AWS. The endpoint is
that of --endpoint, or else that of the AWS environment. An endpoint on this machine needs
neither region nor credentials. A KEY is a key ID, a key ARN, or an alias, with or without
"alias/".`,
		Example: `  keyturn keys list --endpoint http://127.0.0.1:4599
  keyturn keys create --alias orders --rotate-every 180d
  keyturn keys show orders`,
		Args:          noSuchCommand,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		SilenceErrors: true,
		SilenceUsage:  true,

		SuggestionsMinimumDistance: 2,
	}
	cmd.SetFlagErrorFunc(flagError)
	flags.register(cmd.PersistentFlags())
	cmd.AddCommand(newKeysListCommand(flags), newKeysCreateCommand(flags), newKeysShowCommand(flags), newKeysRotateCommand(flags), newKeysVersionsCommand(flags), newKeysUsageCommand(flags))
	return cmd
}

func flagError(_ *cobra.Command, err error) error { return usageError{err} }

const (
	aliasPrefix   = "alias/"
	aliasAlphabet = letters + "0123456789/_-"
)

// keyName turns the KEY of a command into what DescribeKey takes: a word that is no key ID, ARN or alias name is an alias.
func keyName(s string) (string, error) {
	if s == "" || len(s) > 2048 {
		return "", usagef("a key is named by its ID, its ARN or an alias")
	}
	if _, ok := keys.ParseKeyID(s); ok || strings.HasPrefix(s, "arn:") || strings.HasPrefix(s, aliasPrefix) {
		return s, nil
	}
	return aliasPrefix + s, nil
}

// aliasName completes and checks the name of an alias that is to be made.
func aliasName(s string) (string, error) {
	name := strings.TrimPrefix(s, aliasPrefix)
	switch {
	case name == "":
		return "", errors.New("the alias is empty")
	case len(aliasPrefix+name) > 256:
		return "", errors.New("the alias is longer than 256 characters")
	case !madeOf(name, aliasAlphabet):
		return "", fmt.Errorf("alias %q: only letters, digits and / _ - may stand in it", printable(s))
	case strings.HasPrefix(name, "aws/"):
		return "", fmt.Errorf("alias %q: names that start with aws/ are reserved for AWS managed keys", s)
	}
	return aliasPrefix + name, nil
}

// maxPages bounds a list whose end never comes.
const maxPages = 100_000

// errEndless is a list that does not end.
var errEndless = fmt.Errorf("the list has more than %d pages", maxPages)

// collect reads the pages of a list, until it has limit items if limit is not 0.
func collect[P, T any](ctx context.Context, limit int, more func() bool, next func(context.Context, ...func(*kms.Options)) (*P, error), items func(*P) []T) ([]T, error) {
	var all []T
	for range maxPages {
		if !more() {
			return all, nil
		}
		page, err := next(ctx)
		if err != nil {
			return nil, err
		}
		all = append(all, items(page)...)
		if limit > 0 && len(all) >= limit {
			return all[:limit], nil
		}
	}
	return nil, errEndless
}
