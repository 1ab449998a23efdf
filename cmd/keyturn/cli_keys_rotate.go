package main

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/spf13/cobra"

	"github.com/keyturn/keyturn/internal/api"
)

const (
	rotationWait     = 10 * time.Second // how long to wait for a rotation that the service does in the background
	rotationInterval = 500 * time.Millisecond
)

// rotatedKey is what keys rotate did, as --output json prints it.
type rotatedKey struct {
	KeyID        string `json:"keyId"`
	ARN          string `json:"arn"`
	Previous     string `json:"previousKeyMaterialId,omitempty"`
	Current      string `json:"currentKeyMaterialId,omitempty"` // absent while in progress
	InProgress   bool   `json:"inProgress"`
	OnDemandUsed *int   `json:"onDemandRotations,omitempty"` // absent if it cannot be read
	OnDemandMax  int    `json:"onDemandRotationsLimit"`
}

// rotationClient is what keys rotate needs of a *kms.Client.
type rotationClient interface {
	DescribeKey(context.Context, *kms.DescribeKeyInput, ...func(*kms.Options)) (*kms.DescribeKeyOutput, error)
	RotateKeyOnDemand(context.Context, *kms.RotateKeyOnDemandInput, ...func(*kms.Options)) (*kms.RotateKeyOnDemandOutput, error)
	kms.ListKeyRotationsAPIClient
}

func newKeysRotateCommand(flags *clientFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "rotate KEY",
		Short: "Rotate a key now: give it new current key material",
		Long: `Rotate a key now: give it new current key material. What was encrypted before can still be
decrypted. A key can be rotated on demand 25 times; automatic rotation does not count.`,
		Args: oneArg("a key: its ID, its ARN or an alias"),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, m, err := connectToKey(cmd.Context(), flags, args[0])
			if err != nil {
				return err
			}
			r, err := rotateKey(cmd.Context(), c.kms, m)
			if err != nil {
				return c.explain(err)
			}
			if flags.output == jsonOutput {
				return writeJSON(cmd.OutOrStdout(), r)
			}
			return printRotated(cmd.OutOrStdout(), r)
		},
	}
}

// rotationHint adds to what RotateKeyOnDemand refuses what to do instead.
func rotationHint(err error) error {
	switch api.ErrorCode(errorCode(err)) {
	case api.UnsupportedOperationException:
		return withHint(explain(err, ""), "only symmetric encryption keys that you manage can be rotated; to replace another, create a new key and point the alias at it")
	case api.LimitExceededException:
		return withHint(explain(err, ""), "automatic rotation has no such limit: turn it on with EnableKeyRotation")
	}
	return err
}

// rotateKey rotates the key and waits for it a while.
func rotateKey(ctx context.Context, client rotationClient, m *types.KeyMetadata) (*rotatedKey, error) {
	r := &rotatedKey{KeyID: *m.KeyId, ARN: *m.Arn, Previous: aws.ToString(m.CurrentKeyMaterialId), OnDemandMax: onDemandLimit}
	// Sent once: an answer that gets lost must not use up another of the key's rotations.
	if _, err := client.RotateKeyOnDemand(ctx, &kms.RotateKeyOnDemandInput{KeyId: m.KeyId}, once); err != nil {
		return nil, rotationHint(err)
	}
	var err error
	if r.Current, err = awaitRotation(ctx, client, r.KeyID, r.Previous); err != nil {
		return nil, &afterError{"the rotation was accepted, but what became of it could not be read", err}
	}
	r.InProgress = r.Current == ""
	n, err := countOnDemand(ctx, client, r.KeyID)
	switch {
	case err == nil:
		r.OnDemandUsed = &n
	case errorCode(err) == "":
		return nil, &afterError{"the key was rotated, but its rotations could not be counted", err}
	}
	return r, nil
}

// awaitRotation returns the ID of the current material once it is not previous any more, "" if that takes too long.
func awaitRotation(ctx context.Context, client rotationClient, key, previous string) (string, error) {
	timeout := time.NewTimer(rotationWait)
	defer timeout.Stop()
	for {
		out, err := client.DescribeKey(ctx, &kms.DescribeKeyInput{KeyId: &key})
		if err != nil {
			return "", err
		}
		if m := out.KeyMetadata; m != nil && m.CurrentKeyMaterialId != nil && *m.CurrentKeyMaterialId != previous {
			return *m.CurrentKeyMaterialId, nil
		}
		pause := time.NewTimer(rotationInterval)
		select {
		case <-pause.C:
		case <-timeout.C:
			pause.Stop()
			return "", nil
		case <-ctx.Done():
			pause.Stop()
			return "", ctx.Err()
		}
	}
}

func printRotated(w io.Writer, r *rotatedKey) error {
	current, used := r.Current, "unknown"
	if r.InProgress {
		current = "in progress: see keyturn keys show " + r.KeyID
	}
	if r.OnDemandUsed != nil {
		used = strconv.Itoa(*r.OnDemandUsed)
	}
	return writeFields(w, [][2]string{
		{"Key ID", r.KeyID},
		{"ARN", r.ARN},
		{"Previous material", r.Previous},
		{"Current material", current},
		{"On-demand rotations", fmt.Sprintf("%s of %d used", used, r.OnDemandMax)},
	})
}
