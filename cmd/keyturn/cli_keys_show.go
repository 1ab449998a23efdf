package main

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/spf13/cobra"

	"github.com/keyturn/keyturn/internal/api"
)

// shownKey is a key of keys show, as --output json prints it.
type shownKey struct {
	KeyID           string         `json:"keyId"`
	ARN             string         `json:"arn"`
	Aliases         []string       `json:"aliases"`
	Description     string         `json:"description"`
	Spec            string         `json:"keySpec"`
	Usage           string         `json:"keyUsage"`
	State           string         `json:"keyState"`
	Manager         string         `json:"keyManager"`
	Origin          string         `json:"origin"`
	MultiRegion     bool           `json:"multiRegion"`
	Created         string         `json:"creationDate"`
	DeletionDate    string         `json:"deletionDate,omitempty"`
	Rotation        *rotationState `json:"rotation,omitempty"`
	CurrentMaterial string         `json:"currentKeyMaterialId,omitempty"`
	Materials       []material     `json:"keyMaterials,omitempty"` // nil for keys whose material is never rotated
}

func newKeysShowCommand(flags *clientFlags) *cobra.Command {
	return &cobra.Command{
		Use:     "show KEY",
		Aliases: []string{"describe-key"},
		Short:   "Show a key, and every key material it has had",
		Example: "  keyturn keys show orders\n  keyturn keys show 1234abcd-12ab-34cd-56ef-1234567890ab --output json",
		Args:    oneArg("a key: its ID, its ARN or an alias"),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, m, err := connectToKey(cmd.Context(), flags, args[0])
			if err != nil {
				return err
			}
			k, err := showKey(cmd.Context(), c.kms, m)
			if err != nil {
				return c.explain(err)
			}
			if flags.output == jsonOutput {
				return writeJSON(cmd.OutOrStdout(), k)
			}
			return printKey(cmd.OutOrStdout(), k)
		},
	}
}

// connectToKey finds the key that an argument names.
func connectToKey(ctx context.Context, flags *clientFlags, arg string) (*connection, *types.KeyMetadata, error) {
	name, err := keyName(arg)
	if err != nil {
		return nil, nil, err
	}
	c, err := flags.connect(ctx, "")
	if err != nil {
		return nil, nil, err
	}
	out, err := c.kms.DescribeKey(ctx, &kms.DescribeKeyInput{KeyId: &name})
	if err != nil {
		return nil, nil, c.explain(err)
	}
	if out.KeyMetadata == nil || out.KeyMetadata.KeyId == nil || out.KeyMetadata.Arn == nil {
		return nil, nil, fmt.Errorf("the service describes no key: is it a KMS endpoint?")
	}
	return c, out.KeyMetadata, nil
}

func showKey(ctx context.Context, client *kms.Client, m *types.KeyMetadata) (*shownKey, error) {
	k := &shownKey{
		KeyID: *m.KeyId, ARN: *m.Arn, Aliases: []string{}, Description: aws.ToString(m.Description),
		Spec: string(m.KeySpec), Usage: string(m.KeyUsage), State: string(m.KeyState), Manager: string(m.KeyManager),
		Origin: string(m.Origin), MultiRegion: aws.ToBool(m.MultiRegion),
		Created: stamp(m.CreationDate), DeletionDate: stamp(m.DeletionDate), CurrentMaterial: aws.ToString(m.CurrentKeyMaterialId),
	}
	byKey, err := listAliases(ctx, client, m.Arn)
	if err != nil {
		return nil, err
	}
	if names := byKey[k.KeyID]; names != nil {
		k.Aliases = names
	}
	if k.Rotation, err = readRotation(ctx, client, m); err != nil {
		return nil, err
	}
	k.Materials, _, err = listMaterials(ctx, client, m)
	return k, err
}

func printKey(w io.Writer, k *shownKey) error {
	fields := [][2]string{
		{"Key ID", k.KeyID},
		{"ARN", k.ARN},
		{"Aliases", strings.Join(k.Aliases, ", ")},
		{"Description", k.Description},
		{"Spec", k.Spec},
		{"Usage", k.Usage},
		{"State", k.State},
		{"Manager", k.Manager},
		{"Origin", k.Origin},
		{"Multi-Region", yesNo(k.MultiRegion)},
		{"Created", k.Created},
	}
	if k.DeletionDate != "" {
		fields = append(fields, [2]string{"Deletion", k.DeletionDate})
	}
	fields = append(fields, [2]string{"Rotation", k.Rotation.String()})
	if next := k.Rotation.next(); next != "" {
		fields = append(fields, [2]string{"Next rotation", next})
	}
	if err := writeFields(w, fields); err != nil || k.Materials == nil {
		return err
	}
	rows := make([][]string, len(k.Materials))
	for i, m := range k.Materials {
		rows[i] = []string{version(m), m.ID, m.Date, m.Type, m.State}
	}
	if _, err := fmt.Fprintln(w); err != nil {
		return err
	}
	return writeTable(w, []string{"#", "KEY MATERIAL ID", "SINCE", "WHY", "STATE"}, rows)
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

func version(m material) string {
	if m.Version == 0 {
		return ""
	}
	return strconv.Itoa(m.Version)
}

func newKeysVersionsCommand(flags *clientFlags) *cobra.Command {
	return &cobra.Command{
		Use:     "versions KEY",
		Aliases: []string{"list-key-versions"},
		Short:   "List the key materials of a key, oldest first",
		Args:    oneArg("a key: its ID, its ARN or an alias"),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, m, err := connectToKey(cmd.Context(), flags, args[0])
			if err != nil {
				return err
			}
			list, ok, err := listMaterials(cmd.Context(), c.kms, m)
			if err != nil {
				return c.explain(err)
			}
			if !ok {
				return withHint(&remoteError{code: string(api.UnsupportedOperationException), message: "a " + string(m.KeySpec) + " key has one key material for life"},
					"to replace it, create a new key and point the alias at it")
			}
			if flags.output == jsonOutput {
				return writeJSON(cmd.OutOrStdout(), list)
			}
			rows := make([][]string, len(list))
			for i, m := range list {
				rows[i] = []string{version(m), m.ID, m.Date, m.Type, yesNo(m.Current)}
			}
			return writeTable(cmd.OutOrStdout(), []string{"VERSION", "KEY MATERIAL ID", "SINCE", "TYPE", "CURRENT"}, rows)
		},
	}
}
