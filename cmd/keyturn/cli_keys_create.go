package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/spf13/cobra"
)

// createFlags are the flags of keys create.
type createFlags struct {
	alias, description string
	tags               []string
	every              string
	rotate             bool
}

// keyPlan is what keys create is to do, checked.
type keyPlan struct {
	alias       string // with alias/; "" for none
	description string
	tags        []types.Tag
	rotate      bool
	days        int32 // 0 for the service's default
}

// createdKey is the key that keys create made, as --output json prints it.
type createdKey struct {
	KeyID    string        `json:"keyId"`
	ARN      string        `json:"arn"`
	Alias    string        `json:"alias,omitempty"`
	Rotation rotationState `json:"rotation"`
}

func newKeysCreateCommand(flags *clientFlags) *cobra.Command {
	f := new(createFlags)
	cmd := &cobra.Command{
		Use:     "create",
		Aliases: []string{"create-key"},
		Short:   "Create a symmetric encryption key, with its alias and rotation",
		Example: "  keyturn keys create --alias orders --rotate-every 180d --tag team=payments",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			plan, err := f.plan()
			if err != nil {
				return usageError{err}
			}
			c, err := flags.connect(cmd.Context(), "")
			if err != nil {
				return err
			}
			k, err := plan.create(cmd.Context(), c)
			if k == nil {
				return err
			}
			// What has been made is printed even if not all of it could be.
			return errors.Join(err, printCreated(cmd.OutOrStdout(), flags.output, k))
		},
	}
	cmd.Flags().StringVar(&f.alias, "alias", "", "alias of the key, with or without alias/")
	cmd.Flags().StringVar(&f.description, "description", "", "what the key is for")
	cmd.Flags().StringArrayVar(&f.tags, "tag", nil, "tag as `KEY=VALUE`; may be repeated")
	cmd.Flags().StringVar(&f.every, "rotate-every", "", "rotate automatically each `PERIOD`, 90d to 2560d, like 180d, 26w or 1y")
	cmd.Flags().BoolVar(&f.rotate, "enable-key-rotation", false, "rotate automatically, with the service's default period of 365 days")
	return cmd
}

// plan checks the flags, so that nothing is created if anything is wrong with them.
func (f *createFlags) plan() (*keyPlan, error) {
	p := &keyPlan{description: f.description, rotate: f.rotate || f.every != ""}
	var err error
	if f.alias != "" {
		if p.alias, err = aliasName(f.alias); err != nil {
			return nil, err
		}
	}
	if f.every != "" {
		if f.rotate {
			return nil, errors.New("--rotate-every already turns rotation on: leave out --enable-key-rotation")
		}
		if p.days, err = parseRotationPeriod(f.every); err != nil {
			return nil, err
		}
	}
	if utf8.RuneCountInString(f.description) > 8192 {
		return nil, errors.New("the description is longer than 8192 characters")
	}
	p.tags, err = parseTags(f.tags)
	return p, err
}

// parseTags reads tags, by the limits of the KMS API.
func parseTags(pairs []string) ([]types.Tag, error) {
	if len(pairs) > 50 {
		return nil, errors.New("a key has at most 50 tags")
	}
	var tags []types.Tag
	seen := map[string]bool{}
	for _, pair := range pairs {
		key, value, ok := strings.Cut(pair, "=")
		switch {
		case !ok || key == "":
			return nil, fmt.Errorf("tag %q: write it KEY=VALUE", pair)
		case utf8.RuneCountInString(key) > 128:
			return nil, errors.New("the key of a tag is longer than 128 characters")
		case utf8.RuneCountInString(value) > 256:
			return nil, fmt.Errorf("tag %q: its value is longer than 256 characters", key)
		case strings.HasPrefix(strings.ToLower(key), "aws:"):
			return nil, fmt.Errorf("tag %q: names that start with aws: are reserved", key)
		case seen[key]:
			return nil, fmt.Errorf("tag %q is given twice", key)
		}
		seen[key] = true
		tags = append(tags, types.Tag{TagKey: &key, TagValue: &value})
	}
	return tags, nil
}

// create carries the plan out. If the key exists it is returned, also together with an error.
func (p *keyPlan) create(ctx context.Context, c *connection) (*createdKey, error) {
	in := &kms.CreateKeyInput{Tags: p.tags}
	if p.description != "" {
		in.Description = &p.description
	}
	out, err := c.kms.CreateKey(ctx, in, once)
	if err != nil {
		return nil, c.explain(err)
	}
	if out.KeyMetadata == nil || out.KeyMetadata.KeyId == nil {
		return nil, errors.New("the service does not say which key it created: is it a KMS endpoint?")
	}
	k := &createdKey{KeyID: *out.KeyMetadata.KeyId, ARN: aws.ToString(out.KeyMetadata.Arn)}
	if p.rotate {
		in := &kms.EnableKeyRotationInput{KeyId: &k.KeyID}
		if p.days != 0 {
			in.RotationPeriodInDays = &p.days
		}
		if _, err := c.kms.EnableKeyRotation(ctx, in); err != nil {
			return k, p.incomplete(k, c.explain(err))
		}
		k.Rotation = rotationState{Enabled: true, Days: p.days}
	}
	if p.alias != "" {
		if _, err := c.kms.CreateAlias(ctx, &kms.CreateAliasInput{AliasName: &p.alias, TargetKeyId: &k.KeyID}, once); err != nil {
			return k, p.incomplete(k, c.explain(err))
		}
		k.Alias = p.alias
	}
	if p.rotate {
		r, err := readRotation(ctx, c.kms, out.KeyMetadata)
		if err != nil {
			return k, fmt.Errorf("all is done, but the date of the next rotation could not be read: %w", c.explain(err))
		}
		if r != nil {
			k.Rotation = *r
		}
	}
	return k, nil
}

// incomplete says how far it got, from what k says is done, and what is left to do.
func (p *keyPlan) incomplete(k *createdKey, cause error) error {
	done := "the key " + k.KeyID + " was created"
	var missing, finish []string
	if p.rotate {
		if k.Rotation.Enabled {
			done += " and rotates"
		} else {
			missing = append(missing, "its rotation was not enabled")
			finish = append(finish, p.enableCall())
		}
	}
	if p.alias != "" && k.Alias == "" {
		missing = append(missing, "its alias "+p.alias+" was not created")
		finish = append(finish, "CreateAlias "+p.alias)
	}
	return withHint(fmt.Errorf("%s, but %s: %w", done, strings.Join(missing, " and "), cause),
		fmt.Sprintf("to finish, call %s for key %s; to undo, ScheduleKeyDeletion of it", strings.Join(finish, " and "), k.KeyID))
}

func (p *keyPlan) enableCall() string {
	if p.days == 0 {
		return "EnableKeyRotation"
	}
	return fmt.Sprintf("EnableKeyRotation with a period of %d days", p.days)
}

func printCreated(w io.Writer, format outputFormat, k *createdKey) error {
	if format == jsonOutput {
		return writeJSON(w, k)
	}
	return writeFields(w, [][2]string{
		{"Key ID", k.KeyID},
		{"ARN", k.ARN},
		{"Alias", k.Alias},
		{"Rotation", k.Rotation.String()},
		{"Next rotation", k.Rotation.Next},
	})
}
