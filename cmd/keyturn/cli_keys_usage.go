package main

import (
	"context"
	"io"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/spf13/cobra"

	"github.com/keyturn/keyturn/internal/api"
)

func newKeysUsageCommand(flags *clientFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "usage KEY",
		Short: "Show how much each key material of a key was used, and when last",
		Long: `Show how much each key material of a key was used, and when last.

An old material that still decrypts is one that data still needs. Only keyturn counts this,
AWS does not. Counts follow the calls by a few seconds.`,
		Example: "  keyturn keys usage orders",
		Args:    oneArg("a key: its ID, its ARN or an alias"),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, m, err := connectToKey(cmd.Context(), flags, args[0])
			if err != nil {
				return err
			}
			resp, err := materialUsage(cmd.Context(), c, aws.ToString(m.Arn))
			if err != nil {
				return explainUsage(c, err)
			}
			if flags.output == jsonOutput {
				return writeWireJSON(cmd.OutOrStdout(), resp)
			}
			return printUsage(cmd.OutOrStdout(), resp)
		},
	}
}

// materialUsage returns the usage of all materials of a key.
func materialUsage(ctx context.Context, c *connection, arn string) (*api.GetKeyMaterialUsageResponse, error) {
	all := &api.GetKeyMaterialUsageResponse{}
	in := &api.GetKeyMaterialUsageRequest{KeyId: api.Some(arn), Limit: api.Some(int64(1000))}
	for {
		var page api.GetKeyMaterialUsageResponse
		if err := c.call(ctx, "Keyturn.GetKeyMaterialUsage", in, &page); err != nil {
			return nil, err
		}
		page.Materials = append(all.Materials, page.Materials...)
		again := page.NextMarker.Set && page.NextMarker != in.Marker
		in.Marker = page.NextMarker
		page.NextMarker = api.Opt[string]{}
		all = &page
		if !again {
			return all, nil
		}
	}
}

func explainUsage(c *connection, err error) error {
	if api.ErrorCode(errorCode(err)) == api.UnknownOperationException {
		return withHint(c.explain(err), "only keyturn counts the uses of key materials: is the endpoint one of it?")
	}
	return c.explain(err)
}

func printUsage(w io.Writer, r *api.GetKeyMaterialUsageResponse) error {
	rows := make([][]string, len(r.Materials))
	for i, m := range r.Materials {
		rows[i] = []string{
			strconv.Itoa(i + 1), m.KeyMaterialId.V, yesNo(m.Current.V), strconv.FormatInt(m.EncryptionCount.V, 10), strconv.FormatInt(m.EncryptedBytes.V, 10),
			wireTime(m.LastEncryption), strconv.FormatInt(m.DecryptionCount.V, 10), wireTime(m.LastDecryption),
		}
	}
	return writeTable(w, []string{"VERSION", "KEY MATERIAL ID", "CURRENT", "ENCRYPTIONS", "BYTES", "LAST ENCRYPTION", "DECRYPTIONS", "LAST DECRYPTION"}, rows)
}
