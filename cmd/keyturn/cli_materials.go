package main

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"github.com/keyturn/keyturn/internal/api"
)

// onDemandLimit is how often a key can be rotated on demand, over its lifetime.
const onDemandLimit = 25

// material is one key material of a key, as --output json prints it.
type material struct {
	Version int    `json:"version,omitempty"` // from 1; 0 for a material that is not yet the key's
	ID      string `json:"keyMaterialId"`
	Date    string `json:"date,omitempty"` // since when it is the key's; absent for a pending one
	Type    string `json:"type"`           // created, imported, automatic, on demand, or pending
	State   string `json:"state"`          // KeyMaterialState in plain words: current, non current, pending rotation, ...
	Current bool   `json:"current"`
}

// rotationEntries returns the key's materials as ListKeyRotations does, in no promised order. The key is named by ID or ARN.
func rotationEntries(ctx context.Context, client kms.ListKeyRotationsAPIClient, key string, include types.IncludeKeyMaterial) ([]types.RotationsListEntry, error) {
	in := &kms.ListKeyRotationsInput{KeyId: &key, IncludeKeyMaterial: include}
	pages := kms.NewListKeyRotationsPaginator(client, in, func(o *kms.ListKeyRotationsPaginatorOptions) {
		o.StopOnDuplicateToken = true
		o.Limit = 1000
	})
	return collect(ctx, 0, pages.HasMorePages, pages.NextPage, func(p *kms.ListKeyRotationsOutput) []types.RotationsListEntry { return p.Rotations })
}

// listMaterials returns the key's materials, oldest first and pending ones last; ok is false for keys whose material is never
// rotated.
func listMaterials(ctx context.Context, client kms.ListKeyRotationsAPIClient, m *types.KeyMetadata) (list []material, ok bool, err error) {
	entries, err := rotationEntries(ctx, client, aws.ToString(m.Arn), types.IncludeKeyMaterialAllKeyMaterial)
	if errorCode(err) == string(api.UnsupportedOperationException) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	return timeline(m, entries), true, nil
}

// timeline orders the materials and says where each comes from.
func timeline(m *types.KeyMetadata, entries []types.RotationsListEntry) []material {
	entries = slices.Clone(entries)
	slices.SortStableFunc(entries, func(a, b types.RotationsListEntry) int {
		return cmp.Or(cmp.Compare(age(a), age(b)), aws.ToTime(a.RotationDate).Compare(aws.ToTime(b.RotationDate)))
	})
	list := make([]material, len(entries))
	for i, e := range entries {
		x := material{
			ID:      aws.ToString(e.KeyMaterialId),
			State:   words(string(e.KeyMaterialState)),
			Current: e.KeyMaterialState == types.KeyMaterialStateCurrent,
			Date:    stamp(e.RotationDate),
			Type:    words(string(e.RotationType)),
		}
		switch age(e) {
		case isFirst:
			x.Date, x.Type = stamp(m.CreationDate), "created"
			if m.Origin == types.OriginTypeExternal {
				x.Type = "imported"
			}
		case isPending:
			x.Type = "pending"
		}
		if age(e) != isPending {
			x.Version = i + 1
		}
		list[i] = x
	}
	return list
}

const (
	isFirst = iota
	isRotated
	isPending
)

// age tells the first material, which no rotation brought, from rotated and pending ones.
func age(e types.RotationsListEntry) int {
	switch {
	case e.KeyMaterialState == types.KeyMaterialStatePendingRotation || e.KeyMaterialState == types.KeyMaterialStatePendingMultiRegionImportAndRotation:
		return isPending
	case e.RotationDate == nil:
		return isFirst
	}
	return isRotated
}

// words turns a value of the API into words: "ON_DEMAND" into "on demand".
func words(s string) string { return strings.ToLower(strings.ReplaceAll(s, "_", " ")) }

// countOnDemand returns how many on-demand rotations the key has used.
func countOnDemand(ctx context.Context, client kms.ListKeyRotationsAPIClient, key string) (int, error) {
	entries, err := rotationEntries(ctx, client, key, types.IncludeKeyMaterialRotationsOnly)
	if err != nil {
		return 0, err
	}
	n := 0
	for _, e := range entries {
		if e.RotationType == types.RotationTypeOnDemand {
			n++
		}
	}
	return n, nil
}
