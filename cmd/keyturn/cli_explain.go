package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/policy"
)

// deniedError is the answer no of a command that asks whether something is allowed: the exit status is 3.
type deniedError struct{ text string }

func (e deniedError) Error() string { return e.text }

// accessFlags say what is supposed of a call that nobody makes.
type accessFlags struct {
	encryptionContext []string
	context           []string
}

func (f *accessFlags) register(fs *pflag.FlagSet) {
	fs.StringArrayVar(&f.encryptionContext, "encryption-context", nil, "`NAME=VALUE` of the encryption context; repeatable")
	fs.StringArrayVar(&f.context, "context", nil, "`KEY=VALUE` of a condition key, like aws:SourceIp=192.0.2.1; repeatable, also with the same key")
}

// values reads the flags.
func (f *accessFlags) values() (map[string]string, []api.AccessContext, error) {
	var encryption map[string]string
	for _, s := range f.encryptionContext {
		name, value, ok := strings.Cut(s, "=")
		if !ok || name == "" {
			return nil, nil, usagef("--encryption-context %q is not NAME=VALUE", s)
		}
		if encryption == nil {
			encryption = map[string]string{}
		}
		if _, again := encryption[name]; again {
			return nil, nil, usagef("--encryption-context has %q twice", name)
		}
		encryption[name] = value
	}
	var entries []api.AccessContext
	index := map[string]int{}
	for _, s := range f.context {
		key, value, ok := strings.Cut(s, "=")
		if !ok || key == "" {
			return nil, nil, usagef("--context %q is not KEY=VALUE", s)
		}
		i, again := index[policy.FoldKey(key)]
		if !again {
			i = len(entries)
			index[policy.FoldKey(key)], entries = i, append(entries, api.AccessContext{Key: api.Some(key)})
		}
		entries[i].Values = append(entries[i].Values, value)
	}
	return encryption, entries, nil
}

// actionName completes the name of an action on keys: Decrypt is kms:Decrypt.
func actionName(s string) string {
	if s == "" || strings.Contains(s, ":") {
		return s
	}
	return "kms:" + s
}

func newExplainCommand() *cobra.Command {
	var flags clientFlags
	var access accessFlags
	var principal, action, policyFile string
	cmd := &cobra.Command{
		Use:   "explain KEY --action ACTION [--principal ARN]",
		Short: "Tell whether a principal may do something to a key, and why",
		Long: `Tell whether a principal may do something to a key now, and why: what decides, and every statement
of key policy, IAM policies, permissions boundary and session policies that matches. The answer is
that of the code that decides about calls.

A PRINCIPAL is the ARN of a user, a role, the session of a role or a root user, or the name of a
service; without it, it is who you are. Nobody calls, so source address, TLS, user agent and MFA are
not there unless --context gives them: aws:SourceIp, aws:SecureTransport, aws:UserAgent,
aws:MultiFactorAuthPresent. If policies ask for such values, the answer says so.

With --policy the answer is what it would be with that key policy; nothing is changed.

It needs kms:GetKeyPolicy and kms:ListGrants on the key, and to ask about others
iam:SimulatePrincipalPolicy on the principal, which must be of your account. Without an endpoint in --endpoint or the AWS
environment it is that of keyturn dev: ` + devEndpoint + `

Exit status: 0 allowed, 3 denied, 1 if it could not be told, 2 for a usage error.`,
		Example: `  keyturn explain orders --action kms:Decrypt
  keyturn explain orders --principal arn:aws:iam::111122223333:user/ann --action Decrypt --encryption-context team=red
  keyturn explain orders --principal arn:aws:iam::111122223333:role/app --action kms:Sign --context aws:SourceIp=192.0.2.1
  keyturn explain orders --action kms:Decrypt --policy new-policy.json`,
		Args:          oneArg("a key: its ID, its ARN or an alias"),
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE: func(cmd *cobra.Command, args []string) error {
			if action == "" {
				return usagef("--action is missing: what may be allowed, like kms:Decrypt")
			}
			name, err := keyName(args[0])
			if err != nil {
				return err
			}
			q := &api.ExplainAccessRequest{KeyId: api.Some(name), Action: api.Some(actionName(action))}
			if principal != "" {
				q.Principal = api.Some(principal)
			}
			if q.EncryptionContext, q.Context, err = access.values(); err != nil {
				return err
			}
			if policyFile != "" {
				text, err := readBounded(policyFile, policy.MaxKeyPolicyBytes)
				if err != nil {
					return fmt.Errorf("reading the key policy: %w", err)
				}
				q.KeyPolicy = api.Some(string(text))
			}
			c, err := flags.connect(cmd.Context(), devEndpoint)
			if err != nil {
				return err
			}
			var r api.ExplainAccessResponse
			if err := c.call(cmd.Context(), "Keyturn.ExplainAccess", q, &r); err != nil {
				return explainAccess(c, err)
			}
			if flags.output == jsonOutput {
				err = writeWireJSON(cmd.OutOrStdout(), &r)
			} else {
				err = printExplained(cmd.OutOrStdout(), &r)
			}
			if err == nil && !r.Allowed.V {
				err = deniedError{printable(r.Action.V) + " is denied"}
			}
			return err
		},
	}
	cmd.SetFlagErrorFunc(flagError)
	flags.register(cmd.Flags())
	access.register(cmd.Flags())
	cmd.Flags().StringVar(&principal, "principal", "", "who: an `ARN`, or the name of a service (default: you)")
	cmd.Flags().StringVar(&action, "action", "", "what: an `ACTION` on keys, like kms:Decrypt")
	cmd.Flags().StringVar(&policyFile, "policy", "", "`FILE` with a key policy to suppose in the place of the key's own")
	return cmd
}

// explainAccess words an error of the operations about access.
func explainAccess(c *connection, err error) error {
	switch api.ErrorCode(errorCode(err)) {
	case api.AccessDeniedException:
		return withHint(err, "it takes kms:GetKeyPolicy and kms:ListGrants on the key and the right to ask about principals, see --help; nobody can ask about those of another account")
	case api.UnknownOperationException:
		return withHint(c.explain(err), "only keyturn explains access: is the endpoint one of it?")
	case api.NotFoundException:
		return withHint(c.explain(err), "keys and principals belong to one account: keyturn keys list shows its keys, aws iam list-users and list-roles its principals")
	case api.InvalidArnException:
		return withHint(c.explain(err), "name a user, a role, a session of a role or a root user by its ARN, or a service by its name")
	case api.MalformedPolicyDocumentException:
		return withHint(c.explain(err), "PutKeyPolicy would refuse this key policy, too")
	}
	return c.explain(err)
}

func printExplained(w io.Writer, r *api.ExplainAccessResponse) error {
	fields := [][2]string{{"Allowed", yesNo(r.Allowed.V)}, {"Decision", decisionWords(r)}, {"Principal", r.Principal.V}, {"Action", r.Action.V}, {"Key", r.KeyId.V}}
	if r.Grant.Set {
		fields = append(fields, [2]string{"Grant", r.Grant.V})
	}
	if r.Message.Set {
		fields = append(fields, [2]string{"Message", r.Message.V})
	}
	if len(r.MissingContextKeys) > 0 {
		what := "without a value, and so the answer may differ"
		if r.Conditional.V {
			what = "without a value; with the right ones it is allowed"
		}
		fields = append(fields, [2]string{"Missing", strings.Join(r.MissingContextKeys, ", ") + " (" + what + ")"})
	}
	if err := writeFields(w, fields); err != nil {
		return err
	}
	if len(r.Statements) == 0 {
		_, err := fmt.Fprint(w, "\nNo statement of any policy matches.\n")
		return err
	}
	rows := make([][]string, len(r.Statements))
	for i, s := range r.Statements {
		rows[i] = []string{s.Effect.V, s.PolicyType.V, s.PolicyName.V, s.Sid.V, strconv.FormatInt(s.Index.V+1, 10), s.Via.V}
	}
	if _, err := fmt.Fprintln(w); err != nil {
		return err
	}
	return writeTable(w, []string{"EFFECT", "POLICY TYPE", "POLICY", "SID", "STATEMENT", "PRINCIPAL MATCHES BY"}, rows)
}

// decisionWords says what decided.
func decisionWords(r *api.ExplainAccessResponse) string {
	switch r.Decision.V {
	case api.AccessDecisionTypeAllowed:
		if r.DecidedBy.V == "root user" {
			return "allowed: the root user needs no IAM policy"
		}
		return "allowed by " + r.DecidedBy.V
	case api.AccessDecisionTypeExplicitDeny:
		return "explicitly denied by " + r.DecidedBy.V
	case api.AccessDecisionTypeImplicitDeny:
		return "denied: no " + r.DecidedBy.V + " allows it"
	}
	return string(r.Decision.V)
}

func newWhoCanCommand() *cobra.Command {
	var flags clientFlags
	var access accessFlags
	cmd := &cobra.Command{
		Use:   "who-can ACTION KEY",
		Short: "List who can do something to a key",
		Long: `List who can do something to a key: the account's root user, its users and roles, and whom else the key policy
or a grant names. Principals of other accounts have access if their own account allows it, too.

Nobody calls, so source address, TLS, user agent, MFA and encryption context are not there unless --context and
--encryption-context give them. "if" stands before what it still depends on: a principal with such an entry has
access with the right values of these condition keys.

It needs kms:GetKeyPolicy and kms:ListGrants on the key, and iam:ListUsers and iam:ListRoles. Without an endpoint
in --endpoint or the AWS environment it is that of keyturn dev: ` + devEndpoint,
		Example:       "  keyturn who-can kms:Decrypt orders\n  keyturn who-can Sign alias/releases --output json",
		SilenceErrors: true,
		SilenceUsage:  true,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 2 {
				return usagef("%s wants an action, like kms:Decrypt, and a key", cmd.CommandPath())
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			name, err := keyName(args[1])
			if err != nil {
				return err
			}
			q := &api.ListKeyAccessRequest{KeyId: api.Some(name), Action: api.Some(actionName(args[0])), Limit: api.Some[int64](100)}
			if q.EncryptionContext, q.Context, err = access.values(); err != nil {
				return err
			}
			c, err := flags.connect(cmd.Context(), devEndpoint)
			if err != nil {
				return err
			}
			all := &api.ListKeyAccessResponse{Principals: []api.KeyAccess{}}
			for range maxPages {
				var page api.ListKeyAccessResponse
				if err := c.call(cmd.Context(), "Keyturn.ListKeyAccess", q, &page); err != nil {
					return explainAccess(c, err)
				}
				all.KeyId, all.Action, all.Principals = page.KeyId, page.Action, append(all.Principals, page.Principals...)
				if !page.NextMarker.Set {
					if flags.output == jsonOutput {
						return writeWireJSON(cmd.OutOrStdout(), all)
					}
					return printAccess(cmd.OutOrStdout(), all.Principals)
				}
				q.Marker = page.NextMarker
			}
			return errEndless
		},
	}
	cmd.SetFlagErrorFunc(flagError)
	flags.register(cmd.Flags())
	access.register(cmd.Flags())
	return cmd
}

func printAccess(w io.Writer, list []api.KeyAccess) error {
	rows := make([][]string, len(list))
	for i, p := range list {
		var reasons []string
		for _, s := range p.Statements {
			reason := s.PolicyType.V
			switch {
			case s.Sid.V != "":
				reason += " " + s.Sid.V
			case s.PolicyName.V != "":
				reason += " " + s.PolicyName.V
			}
			reasons = append(reasons, reason)
		}
		for _, g := range p.Grants {
			reasons = append(reasons, "grant "+g)
		}
		var provided []string
		if p.Conditional.V {
			provided = append(provided, "if "+strings.Join(p.MissingContextKeys, ", "))
		}
		if p.OwnAccountDecides.V {
			provided = append(provided, "if its own account allows it")
		}
		rows[i] = []string{p.Principal.V, string(p.PrincipalType.V), p.DecidedBy.V, strings.Join(reasons, "; "), strings.Join(provided, "; ")}
	}
	return writeTable(w, []string{"PRINCIPAL", "TYPE", "ALLOWED BY", "STATEMENTS AND GRANTS", "PROVIDED"}, rows)
}
