package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/service"
)

// newAccountsCommand returns the commands on accounts, which are keyturn's own API.
func newAccountsCommand() *cobra.Command {
	flags := new(clientFlags)
	cmd := &cobra.Command{
		Use:   "accounts",
		Short: "Create, list, suspend and resume accounts",
		Long: `Create, list, suspend and resume accounts, and make their root users further access keys.

Only principals of the account that manages the others can do this: the one that keyturn init made,
in keyturn dev 000000000000. What is in an account is managed with its own credentials and the AWS CLI.

Without an endpoint in --endpoint or the AWS environment it is that of keyturn dev:
` + devEndpoint,
		Example: `  keyturn accounts create payments --credentials-file payments.credentials
  keyturn accounts list
  keyturn accounts suspend 111122223333`,
		Args:          noSuchCommand,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		SilenceErrors: true,
		SilenceUsage:  true,

		SuggestionsMinimumDistance: 2,
	}
	cmd.SetFlagErrorFunc(flagError)
	flags.register(cmd.PersistentFlags())
	cmd.AddCommand(newAccountsCreateCommand(flags), newAccountsListCommand(flags), newAccountsSuspendCommand(flags), newAccountsResumeCommand(flags),
		newAccountsRootKeyCommand(flags))
	return cmd
}

// accountCall connects and calls one of the operations.
func accountCall(ctx context.Context, flags *clientFlags, operation string, in api.Response, out interface{ DecodeJSON([]byte) error }) error {
	c, err := flags.connect(ctx, devEndpoint)
	if err != nil {
		return err
	}
	return explainAccounts(c, c.call(ctx, "Keyturn."+operation, in, out))
}

func explainAccounts(c *connection, err error) error {
	switch api.ErrorCode(errorCode(err)) {
	case api.NotFoundException:
		return withHint(err, "keyturn accounts list shows the accounts that keyturn has made; accounts of the configuration file are managed there")
	case api.AlreadyExistsException:
		return withHint(err, "choose another ID, or leave --account out for a random one")
	case api.LimitExceededException:
		return withHint(err, "delete one of them with the same change: --replace ACCESS-KEY-ID")
	case api.AccessDeniedException:
		return withHint(err, "use credentials of the account that manages the others, which keyturn init makes: of its root user, or of a principal that its IAM policies allow this")
	case api.UnknownOperationException:
		return withHint(c.explain(err), "only keyturn has these accounts: is the endpoint one of it?")
	}
	return c.explain(err)
}

// accountID is the argument of commands on one account.
func accountID(s string) error {
	if !service.IsAccountID(s) {
		return usagef("%q is no account ID: it has 12 digits", printable(s))
	}
	return nil
}

func newAccountsCreateCommand(flags *clientFlags) *cobra.Command {
	var id string
	var key rootKeyFlags
	cmd := &cobra.Command{
		Use:   "create NAME",
		Short: "Create an account, and an access key for its root user",
		Args:  oneArg("a name for the account"),
		RunE: func(cmd *cobra.Command, args []string) error {
			in := &api.CreateAccountRequest{AccountName: api.Some(args[0])}
			if id != "" {
				if err := accountID(id); err != nil {
					return err
				}
				in.AccountId = api.Some(id)
			}
			if in.Validate() != nil {
				return usagef("account name %q: it has 1 to 50 characters of ASCII", printable(args[0]))
			}
			file, err := key.reserve()
			if err != nil {
				return err
			}
			var out api.CreateAccountResponse
			if err := accountCall(cmd.Context(), flags, "CreateAccount", in, &out); err != nil {
				file.discard()
				return err
			}
			if out.Account == nil {
				out.Account = new(api.ManagedAccount)
			}
			return file.finish(cmd.OutOrStdout(), flags.output, out.Account.AccountId.V, args[0], out.AccessKey)
		},
	}
	cmd.Flags().StringVar(&id, "account", "", "`ID` of the account, 12 digits (default: a random one)")
	key.register(cmd.Flags())
	return cmd
}

func newAccountsRootKeyCommand(flags *clientFlags) *cobra.Command {
	var replace string
	var key rootKeyFlags
	cmd := &cobra.Command{
		Use:   "root-key ID",
		Short: "Make another access key for the root user of an account",
		Args:  oneArg("an account ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := accountID(args[0]); err != nil {
				return err
			}
			in := &api.CreateRootAccessKeyRequest{AccountId: api.Some(args[0])}
			if replace != "" {
				in.ReplacedAccessKeyId = api.Some(replace)
			}
			file, err := key.reserve()
			if err != nil {
				return err
			}
			var out api.CreateRootAccessKeyResponse
			if err := accountCall(cmd.Context(), flags, "CreateRootAccessKey", in, &out); err != nil {
				file.discard()
				return err
			}
			return file.finish(cmd.OutOrStdout(), flags.output, args[0], "", out.AccessKey)
		},
	}
	cmd.Flags().StringVar(&replace, "replace", "", "delete the access key of this `ID` with the same change")
	key.register(cmd.Flags())
	return cmd
}

// finish writes a new access key to its file or prints it.
func (k *keyFile) finish(w io.Writer, format outputFormat, account, name string, made *api.RootAccessKey) error {
	if !service.IsAccountID(account) {
		made = nil
	}
	key, err := newRootKey(account, made)
	if err != nil {
		k.discard()
		return err
	}
	if err := k.write(key); err != nil {
		return withHint(err, "make another with: keyturn accounts root-key "+account+" --replace "+key.id)
	}
	if format == jsonOutput {
		return writeJSON(w, k.made(key, name))
	}
	fields := [][2]string{{"Account ID", account}, {"Root access key", key.id}}
	if name != "" {
		fields = append(fields[:1], [2]string{"Name", name}, fields[1])
	}
	if k != nil {
		return writeFields(w, append(fields, [2]string{"Credentials file", k.path}))
	}
	if err := writeFields(w, append(fields, [2]string{"Secret", key.secret})); err != nil {
		return err
	}
	_, err = fmt.Fprint(w, "\nThe secret is shown this once. To use the key:\n\n"+k.exports(key))
	return err
}

func newAccountsListCommand(flags *clientFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the accounts that keyturn has made",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := flags.connect(cmd.Context(), devEndpoint)
			if err != nil {
				return err
			}
			list := []api.ManagedAccount{}
			in := &api.ListAccountsRequest{Limit: api.Some[int64](1000)}
			for range maxPages {
				var page api.ListAccountsResponse
				if err := c.call(cmd.Context(), "Keyturn.ListAccounts", in, &page); err != nil {
					return explainAccounts(c, err)
				}
				list = append(list, page.Accounts...)
				if !page.NextMarker.Set {
					return printAccounts(cmd.OutOrStdout(), flags.output, list)
				}
				if page.NextMarker == in.Marker {
					break
				}
				in.Marker = page.NextMarker
			}
			return errEndless
		},
	}
}

// listedAccount is an account as --output json prints it.
type listedAccount struct {
	ID         string `json:"accountId"`
	Name       string `json:"accountName"`
	Created    string `json:"creationDate"`
	State      string `json:"state"`
	Suspended  string `json:"suspensionDate,omitempty"`
	Management bool   `json:"management"`
}

func listed(a *api.ManagedAccount) listedAccount {
	return listedAccount{a.AccountId.V, a.AccountName.V, wireTime(a.CreationDate), string(a.State.V), wireTime(a.SuspensionDate), a.Management.V}
}

func printAccounts(w io.Writer, format outputFormat, list []api.ManagedAccount) error {
	accounts := make([]listedAccount, len(list))
	rows := make([][]string, len(list))
	for i := range list {
		a := listed(&list[i])
		accounts[i] = a
		state := strings.ToLower(a.State)
		if a.Management {
			state += ", manages the others"
		}
		rows[i] = []string{a.ID, a.Name, a.Created, state}
	}
	if format == jsonOutput {
		return writeJSON(w, accounts)
	}
	return writeTable(w, []string{"ACCOUNT ID", "NAME", "CREATED", "STATE"}, rows)
}

func newAccountsSuspendCommand(flags *clientFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "suspend ID",
		Short: "Refuse all credentials of an account from now on, until it resumes",
		Args:  oneArg("an account ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := accountID(args[0]); err != nil {
				return err
			}
			var out api.SuspendAccountResponse
			if err := accountCall(cmd.Context(), flags, "SuspendAccount", &api.SuspendAccountRequest{AccountId: api.Some(args[0])}, &out); err != nil {
				return err
			}
			return printAccount(cmd.OutOrStdout(), flags.output, out.Account)
		},
	}
}

func newAccountsResumeCommand(flags *clientFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "resume ID",
		Short: "Take the credentials of a suspended account again",
		Args:  oneArg("an account ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := accountID(args[0]); err != nil {
				return err
			}
			var out api.ResumeAccountResponse
			if err := accountCall(cmd.Context(), flags, "ResumeAccount", &api.ResumeAccountRequest{AccountId: api.Some(args[0])}, &out); err != nil {
				return err
			}
			return printAccount(cmd.OutOrStdout(), flags.output, out.Account)
		},
	}
}

func printAccount(w io.Writer, format outputFormat, account *api.ManagedAccount) error {
	if account == nil {
		account = new(api.ManagedAccount)
	}
	a := listed(account)
	if format == jsonOutput {
		return writeJSON(w, a)
	}
	return writeFields(w, [][2]string{{"Account ID", a.ID}, {"Name", a.Name}, {"State", strings.ToLower(a.State)}})
}
