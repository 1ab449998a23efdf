package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/spf13/cobra"

	"github.com/keyturn/keyturn/internal/api"
)

const (
	describers  = 8   // keys that are looked at at once
	progressMin = 200 // keys from which on a progress bar is worth it
)

// listedKey is one key of keys list, as --output json prints it.
type listedKey struct {
	KeyID    string         `json:"keyId"`
	ARN      string         `json:"arn"`
	Aliases  []string       `json:"aliases"`
	Spec     string         `json:"keySpec,omitempty"`
	State    string         `json:"keyState,omitempty"`
	Manager  string         `json:"keyManager,omitempty"`
	Rotation *rotationState `json:"rotation,omitempty"` // nil for keys that cannot rotate automatically
	Error    string         `json:"error,omitempty"`    // the code of what kept the rest from being read

	gone bool
}

// rotationState is the automatic rotation of a key.
type rotationState struct {
	Enabled bool   `json:"enabled"`
	Days    int32  `json:"periodInDays,omitempty"`
	Next    string `json:"nextRotationDate,omitempty"`
}

// String is how tables show it.
func (r *rotationState) String() string {
	switch {
	case r == nil:
		return "n/a"
	case !r.Enabled:
		return "off"
	case r.Days == 0:
		return "on"
	}
	return fmt.Sprintf("%dd", r.Days)
}

func (r *rotationState) next() string {
	if r == nil {
		return ""
	}
	return r.Next
}

func newKeysListCommand(flags *clientFlags) *cobra.Command {
	var limit int
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the keys of the account and region, and how they rotate",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if limit < 0 || cmd.Flags().Changed("limit") && limit == 0 {
				return usagef("--limit: it is at least 1")
			}
			c, err := flags.connect(cmd.Context(), "")
			if err != nil {
				return err
			}
			list, err := listKeys(cmd.Context(), c.kms, limit, cmd.ErrOrStderr())
			if err != nil {
				return c.explain(err)
			}
			if err := printKeys(cmd.OutOrStdout(), flags.output, list); err != nil {
				return err
			}
			return unreadable(list)
		},
	}
	cmd.Flags().IntVar(&limit, "limit", 0, "list at most `N` keys (default: all)")
	return cmd
}

// unreadable is the error that ends a list some keys of which could not be read.
func unreadable(list []listedKey) error {
	n, code := 0, ""
	for _, k := range list {
		if k.Error != "" {
			n++
			code = k.Error
		}
	}
	if n == 0 {
		return nil
	}
	return withHint(fmt.Errorf("%d of %d keys could not be read", n, len(list)), codeHint(api.ErrorCode(code)))
}

// listKeys returns the keys, by their first alias, those without one last. A key that goes away meanwhile is left out. Progress
// goes to stderr if that is a terminal.
func listKeys(ctx context.Context, client *kms.Client, limit int, stderr io.Writer) ([]listedKey, error) {
	pages := kms.NewListKeysPaginator(client, &kms.ListKeysInput{}, func(o *kms.ListKeysPaginatorOptions) {
		o.StopOnDuplicateToken = true
		o.Limit = 1000
		if limit > 0 {
			o.Limit = int32(min(limit, 1000))
		}
	})
	entries, err := collect(ctx, limit, pages.HasMorePages, pages.NextPage, func(p *kms.ListKeysOutput) []types.KeyListEntry { return p.Keys })
	if err != nil || len(entries) == 0 {
		return nil, err
	}
	aliases, err := listAliases(ctx, client, nil)
	if err != nil {
		return nil, err
	}
	list := make([]listedKey, len(entries))
	for i, e := range entries {
		id := aws.ToString(e.KeyId)
		list[i] = listedKey{KeyID: id, ARN: aws.ToString(e.KeyArn), Aliases: aliases[id]}
		if list[i].Aliases == nil {
			list[i].Aliases = []string{}
		}
	}
	if err := readKeys(ctx, client, list, stderr); err != nil {
		return nil, err
	}
	list = slices.DeleteFunc(list, func(k listedKey) bool { return k.gone })
	slices.SortFunc(list, func(a, b listedKey) int {
		return cmp.Or(cmp.Compare(btoi(len(a.Aliases) == 0), btoi(len(b.Aliases) == 0)), slices.Compare(a.Aliases, b.Aliases), cmp.Compare(a.KeyID, b.KeyID))
	})
	return list, nil
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// listAliases returns the sorted aliases by key ID: those of one key, or of all if key is nil.
func listAliases(ctx context.Context, client *kms.Client, key *string) (map[string][]string, error) {
	pages := kms.NewListAliasesPaginator(client, &kms.ListAliasesInput{KeyId: key}, func(o *kms.ListAliasesPaginatorOptions) {
		o.StopOnDuplicateToken = true
		o.Limit = 100
	})
	entries, err := collect(ctx, 0, pages.HasMorePages, pages.NextPage, func(p *kms.ListAliasesOutput) []types.AliasListEntry { return p.Aliases })
	if err != nil {
		return nil, err
	}
	byKey := map[string][]string{}
	for _, a := range entries {
		if a.TargetKeyId != nil { // aliases of AWS have none until the key is first used
			byKey[*a.TargetKeyId] = append(byKey[*a.TargetKeyId], aws.ToString(a.AliasName))
		}
	}
	for _, names := range byKey {
		slices.Sort(names)
	}
	return byKey, nil
}

// readKeys completes every entry of list. Only what the service answers about one key is that key's error; anything else ends it.
func readKeys(ctx context.Context, client *kms.Client, list []listedKey, stderr io.Writer) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	step, finish := func() {}, func(error) {}
	if len(list) > progressMin && isTerminal(stderr) {
		step, finish = startProgress(stderr, "reading keys", int64(len(list)))
	}
	next := make(chan *listedKey)
	var workers sync.WaitGroup
	for range min(describers, len(list)) {
		workers.Go(func() {
			for k := range next {
				if err := k.read(ctx, client); err != nil {
					cancel(err)
				}
				step()
			}
		})
	}
	for i := range list {
		if ctx.Err() != nil {
			break
		}
		next <- &list[i]
	}
	close(next)
	workers.Wait()
	err := context.Cause(ctx)
	finish(err)
	return err
}

func (k *listedKey) read(ctx context.Context, client *kms.Client) error {
	out, err := client.DescribeKey(ctx, &kms.DescribeKeyInput{KeyId: &k.KeyID})
	if err == nil && out.KeyMetadata != nil {
		m := out.KeyMetadata
		k.Spec, k.State, k.Manager = string(m.KeySpec), string(m.KeyState), string(m.KeyManager)
		k.Rotation, err = readRotation(ctx, client, m)
	}
	switch code := errorCode(err); {
	case code == string(api.NotFoundException):
		k.gone = true
	case code != "":
		k.Error = code
	default:
		return err
	}
	return nil
}

// readRotation returns a key's automatic rotation, nil if the key cannot have any.
func readRotation(ctx context.Context, client *kms.Client, m *types.KeyMetadata) (*rotationState, error) {
	if m.KeySpec != types.KeySpecSymmetricDefault || m.Origin != types.OriginTypeAwsKms {
		return nil, nil
	}
	out, err := client.GetKeyRotationStatus(ctx, &kms.GetKeyRotationStatusInput{KeyId: m.KeyId})
	if err != nil {
		if errorCode(err) == string(api.UnsupportedOperationException) {
			return nil, nil
		}
		return nil, err
	}
	return &rotationState{Enabled: out.KeyRotationEnabled, Days: aws.ToInt32(out.RotationPeriodInDays), Next: stamp(out.NextRotationDate)}, nil
}

func printKeys(w io.Writer, format outputFormat, list []listedKey) error {
	if format == jsonOutput {
		if list == nil {
			list = []listedKey{}
		}
		return writeJSON(w, list)
	}
	rows := make([][]string, len(list))
	for i, k := range list {
		state, rotation := k.State, k.Rotation.String()
		if k.Error != "" {
			state, rotation = "error: "+k.Error, ""
		}
		rows[i] = []string{strings.Join(k.Aliases, ", "), k.KeyID, k.Spec, state, rotation, k.Rotation.next(), k.Manager}
	}
	return writeTable(w, []string{"ALIAS", "KEY ID", "SPEC", "STATE", "ROTATION", "NEXT ROTATION", "MANAGER"}, rows)
}
