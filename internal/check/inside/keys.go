// Package inside runs the checks in the server whose keys they are about: it reads through the server's own operations, and serves what
// was found.
package inside

import (
	"context"
	"errors"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/check"
	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/service"
)

// Keys is a check.Source over the operations of this process.
type Keys struct {
	p     *service.Pipeline
	ops   map[string]*service.Op // of KMS, by name
	owner record.Owner
}

// NewKeys returns the Source of an account's keys in a region. ops are the operations of KMS.
func NewKeys(p *service.Pipeline, ops []*service.Op, account, region string) *Keys {
	k := &Keys{p: p, ops: map[string]*service.Op{}, owner: record.Owner{Account: account, Region: region}}
	for _, op := range ops {
		k.ops[op.Name] = op
	}
	return k
}

// In implements check.Source.
func (s *Keys) In(region string) (check.Source, error) {
	return &Keys{p: s.p, ops: s.ops, owner: record.Owner{Account: s.owner.Account, Region: region}}, nil
}

// answer is an error of an operation, with its code as checks want it.
type answer struct{ err *api.Error }

func (a answer) Error() string { return a.err.Error() }
func (a answer) Unwrap() error { return a.err }

// ErrorCode returns the error's code.
func (a answer) ErrorCode() string { return string(a.err.Code) }

// read runs an operation.
func read[R any](ctx context.Context, s *Keys, name string, req any) (*R, error) {
	resp, err := s.p.ReadOwn(ctx, s.ops[name], s.owner, req)
	var e *api.Error
	if errors.As(err, &e) {
		return nil, answer{e}
	}
	if err != nil {
		return nil, err
	}
	return resp.(*R), nil
}

// Keys implements check.Source.
func (s *Keys) Keys(ctx context.Context, marker string) (check.KeyPage, error) {
	req := &api.ListKeysRequest{Limit: api.Some[int64](1000)}
	if marker != "" {
		req.Marker = api.Some(marker)
	}
	resp, err := read[api.ListKeysResponse](ctx, s, "ListKeys", req)
	if err != nil {
		return check.KeyPage{}, err
	}
	page := check.KeyPage{Next: resp.NextMarker.V}
	for _, k := range resp.Keys {
		page.Keys = append(page.Keys, check.KeyRef{ID: k.KeyId.V, ARN: k.KeyArn.V})
	}
	return page, nil
}

// Describe implements check.Source.
func (s *Keys) Describe(ctx context.Context, id string) (*check.Key, error) {
	resp, err := read[api.DescribeKeyResponse](ctx, s, "DescribeKey", &api.DescribeKeyRequest{KeyId: api.Some(id)})
	if err != nil {
		return nil, err
	}
	m := resp.KeyMetadata
	k := &check.Key{
		ID: m.KeyId.V, ARN: m.Arn.V, Account: m.AWSAccountId.V, Region: s.owner.Region, Manager: string(m.KeyManager.V),
		Spec: string(m.KeySpec.V), Usage: string(m.KeyUsage.V), State: string(m.KeyState.V), Origin: string(m.Origin.V),
		Description: m.Description.V, Created: m.CreationDate.V, DeletionDate: m.DeletionDate.V, ValidTo: m.ValidTo.V,
		Expires: m.ExpirationModel.V == api.ExpirationModelTypeKeyMaterialExpires, MaterialID: m.CurrentKeyMaterialId.V,
		KeyStore: m.CustomKeyStoreId.V,
	}
	if c := m.MultiRegionConfiguration; c != nil {
		k.Role = string(c.MultiRegionKeyType.V)
		if c.PrimaryKey != nil {
			k.Primary = c.PrimaryKey.Arn.V
		}
		for _, r := range c.ReplicaKeys {
			k.Replicas = append(k.Replicas, r.Arn.V)
		}
	}
	return k, nil
}

// Rotation implements check.Source.
func (s *Keys) Rotation(ctx context.Context, k *check.Key) (*check.Rotation, error) {
	resp, err := read[api.GetKeyRotationStatusResponse](ctx, s, "GetKeyRotationStatus", &api.GetKeyRotationStatusRequest{KeyId: api.Some(k.ID)})
	if err != nil {
		return nil, err
	}
	return &check.Rotation{Enabled: resp.KeyRotationEnabled.V, Days: int(resp.RotationPeriodInDays.V), Next: resp.NextRotationDate.V}, nil
}

// Materials implements check.Source.
func (s *Keys) Materials(ctx context.Context, k *check.Key) (list []check.Material, err error) {
	req := &api.ListKeyRotationsRequest{
		KeyId: api.Some(k.ID), IncludeKeyMaterial: api.Some(api.IncludeKeyMaterialAllKeyMaterial), Limit: api.Some[int64](1000),
	}
	for {
		resp, err := read[api.ListKeyRotationsResponse](ctx, s, "ListKeyRotations", req)
		if check.ErrorCode(err) == string(api.UnsupportedOperationException) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		for _, e := range resp.Rotations {
			list = append(list, check.Material{
				ID: e.KeyMaterialId.V, State: string(e.KeyMaterialState.V), Rotated: e.RotationDate.V,
				OnDemand: e.RotationType.V == api.RotationTypeOnDemand, Imported: e.ImportState.Set,
				Missing: e.ImportState.V == api.ImportStatePendingImport, ValidTo: e.ValidTo.V,
			})
		}
		if !resp.NextMarker.Set {
			return list, nil
		}
		req.Marker = resp.NextMarker
	}
}

// Aliases implements check.Source.
func (s *Keys) Aliases(ctx context.Context, k *check.Key) (list []check.Alias, err error) {
	req := &api.ListAliasesRequest{KeyId: api.Some(k.ID), Limit: api.Some[int64](100)}
	for {
		resp, err := read[api.ListAliasesResponse](ctx, s, "ListAliases", req)
		if err != nil {
			return nil, err
		}
		for _, a := range resp.Aliases {
			list = append(list, check.Alias{Name: a.AliasName.V, Created: a.CreationDate.V, Updated: a.LastUpdatedDate.V})
		}
		if !resp.NextMarker.Set {
			return list, nil
		}
		req.Marker = resp.NextMarker
	}
}

// Tags implements check.Source.
func (s *Keys) Tags(ctx context.Context, k *check.Key) (map[string]string, error) {
	tags := map[string]string{}
	req := &api.ListResourceTagsRequest{KeyId: api.Some(k.ID), Limit: api.Some[int64](50)}
	for {
		resp, err := read[api.ListResourceTagsResponse](ctx, s, "ListResourceTags", req)
		if err != nil {
			return nil, err
		}
		for _, t := range resp.Tags {
			tags[t.TagKey.V] = t.TagValue.V
		}
		if !resp.NextMarker.Set {
			return tags, nil
		}
		req.Marker = resp.NextMarker
	}
}

// Policy implements check.Source.
func (s *Keys) Policy(ctx context.Context, k *check.Key) (string, error) {
	resp, err := read[api.GetKeyPolicyResponse](ctx, s, "GetKeyPolicy", &api.GetKeyPolicyRequest{KeyId: api.Some(k.ID)})
	if err != nil {
		return "", err
	}
	return resp.Policy.V, nil
}

// Usage implements check.Source.
func (s *Keys) Usage(ctx context.Context, k *check.Key) (*check.Usage, error) {
	resp, err := read[api.GetKeyLastUsageResponse](ctx, s, "GetKeyLastUsage", &api.GetKeyLastUsageRequest{KeyId: api.Some(k.ID)})
	if err != nil {
		return nil, err
	}
	u := &check.Usage{Tracked: resp.TrackingStartDate.V}
	if last := resp.KeyLastUsage; last != nil {
		u.Last, u.Operation = last.Timestamp.V, string(last.Operation.V)
	}
	return u, nil
}
