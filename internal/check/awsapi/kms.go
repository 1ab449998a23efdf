// Package awsapi is what keyturn check reads from: the API of AWS KMS, on AWS, on keyturn or anywhere else, and those of IAM, CloudTrail
// and Account Management. It maps answers and decides nothing.
package awsapi

import (
	"context"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"github.com/keyturn/keyturn/internal/check"
)

// Keys is a check.Source over a KMS client.
type Keys struct {
	client *kms.Client
	region string
	dial   func(region string) (*kms.Client, error)
}

// NewKeys returns the Source of one region. dial makes the client of any region.
func NewKeys(region string, dial func(region string) (*kms.Client, error)) (*Keys, error) {
	client, err := dial(region)
	if err != nil {
		return nil, err
	}
	return &Keys{client: client, region: region, dial: dial}, nil
}

// In implements check.Source.
func (s *Keys) In(region string) (check.Source, error) {
	if region == s.region {
		return s, nil
	}
	return NewKeys(region, s.dial)
}

// Bounds against lists that do not end.
const (
	maxKeysPage = 1000
	maxPages    = 1000 // of what belongs to one key
)

// Keys implements check.Source.
func (s *Keys) Keys(ctx context.Context, marker string) (check.KeyPage, error) {
	in := &kms.ListKeysInput{Limit: aws.Int32(maxKeysPage)}
	if marker != "" {
		in.Marker = &marker
	}
	out, err := s.client.ListKeys(ctx, in)
	if err != nil {
		return check.KeyPage{}, err
	}
	page := check.KeyPage{Keys: make([]check.KeyRef, len(out.Keys))}
	for i, k := range out.Keys {
		page.Keys[i] = check.KeyRef{ID: aws.ToString(k.KeyId), ARN: aws.ToString(k.KeyArn)}
	}
	if out.Truncated {
		if page.Next = aws.ToString(out.NextMarker); page.Next == "" {
			return check.KeyPage{}, errors.New("ListKeys says that there is more, and not where")
		}
	}
	return page, nil
}

// Describe implements check.Source.
func (s *Keys) Describe(ctx context.Context, id string) (*check.Key, error) {
	out, err := s.client.DescribeKey(ctx, &kms.DescribeKeyInput{KeyId: &id})
	if err != nil {
		return nil, err
	}
	m := out.KeyMetadata
	if m == nil {
		return nil, fmt.Errorf("DescribeKey answered without KeyMetadata")
	}
	k := &check.Key{
		ID: aws.ToString(m.KeyId), ARN: aws.ToString(m.Arn), Account: aws.ToString(m.AWSAccountId), Region: s.region,
		Manager: string(m.KeyManager), Spec: string(m.KeySpec), Usage: string(m.KeyUsage), State: string(m.KeyState), Origin: string(m.Origin),
		Description: aws.ToString(m.Description), Created: aws.ToTime(m.CreationDate), DeletionDate: aws.ToTime(m.DeletionDate),
		ValidTo: aws.ToTime(m.ValidTo), Expires: m.ExpirationModel == types.ExpirationModelTypeKeyMaterialExpires,
		MaterialID: aws.ToString(m.CurrentKeyMaterialId), KeyStore: aws.ToString(m.CustomKeyStoreId),
	}
	if k.Manager == "" { // nobody else's, so that nothing is left out
		k.Manager = check.ManagerCustomer
	}
	if k.Spec == "" { // endpoints of before the name was changed
		//lint:ignore SA1019 deprecated, and all that they have
		k.Spec = string(m.CustomerMasterKeySpec)
	}
	if c := m.MultiRegionConfiguration; c != nil && aws.ToBool(m.MultiRegion) {
		k.Role = string(c.MultiRegionKeyType)
		if c.PrimaryKey != nil {
			k.Primary = aws.ToString(c.PrimaryKey.Arn)
		}
		for _, r := range c.ReplicaKeys {
			k.Replicas = append(k.Replicas, aws.ToString(r.Arn))
		}
	}
	return k, nil
}

// Rotation implements check.Source. AWS has no status for keys whose origin cannot rotate: theirs is off.
func (s *Keys) Rotation(ctx context.Context, k *check.Key) (*check.Rotation, error) {
	out, err := s.client.GetKeyRotationStatus(ctx, &kms.GetKeyRotationStatusInput{KeyId: &k.ID})
	if !k.RotatesItself() && check.ErrorCode(err) == "UnsupportedOperationException" {
		return &check.Rotation{}, nil
	}
	if err != nil {
		return nil, err
	}
	return &check.Rotation{Enabled: out.KeyRotationEnabled, Days: int(aws.ToInt32(out.RotationPeriodInDays)), Next: aws.ToTime(out.NextRotationDate)}, nil
}

// Materials implements check.Source. Keys whose material never rotates have no list.
func (s *Keys) Materials(ctx context.Context, k *check.Key) ([]check.Material, error) {
	in := &kms.ListKeyRotationsInput{KeyId: &k.ID, IncludeKeyMaterial: types.IncludeKeyMaterialAllKeyMaterial, Limit: aws.Int32(1000)}
	var list []check.Material
	for range maxPages {
		out, err := s.client.ListKeyRotations(ctx, in)
		if check.ErrorCode(err) == "UnsupportedOperationException" {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		for _, e := range out.Rotations {
			list = append(list, check.Material{
				ID: aws.ToString(e.KeyMaterialId), State: string(e.KeyMaterialState), Rotated: aws.ToTime(e.RotationDate),
				OnDemand: e.RotationType == types.RotationTypeOnDemand, Imported: e.ImportState != "",
				Missing: e.ImportState == types.ImportStatePendingImport, ValidTo: aws.ToTime(e.ValidTo),
			})
		}
		if !out.Truncated {
			return list, nil
		}
		in.Marker = out.NextMarker
	}
	return nil, errEndless("ListKeyRotations")
}

// Aliases implements check.Source.
func (s *Keys) Aliases(ctx context.Context, k *check.Key) ([]check.Alias, error) {
	in := &kms.ListAliasesInput{KeyId: &k.ID, Limit: aws.Int32(100)}
	var list []check.Alias
	for range maxPages {
		out, err := s.client.ListAliases(ctx, in)
		if err != nil {
			return nil, err
		}
		for _, a := range out.Aliases {
			list = append(list, check.Alias{Name: aws.ToString(a.AliasName), Created: aws.ToTime(a.CreationDate), Updated: aws.ToTime(a.LastUpdatedDate)})
		}
		if !out.Truncated {
			return list, nil
		}
		in.Marker = out.NextMarker
	}
	return nil, errEndless("ListAliases")
}

// Tags implements check.Source.
func (s *Keys) Tags(ctx context.Context, k *check.Key) (map[string]string, error) {
	in := &kms.ListResourceTagsInput{KeyId: &k.ID, Limit: aws.Int32(50)}
	tags := map[string]string{}
	for range maxPages {
		out, err := s.client.ListResourceTags(ctx, in)
		if err != nil {
			return nil, err
		}
		for _, t := range out.Tags {
			tags[aws.ToString(t.TagKey)] = aws.ToString(t.TagValue)
		}
		if !out.Truncated {
			return tags, nil
		}
		in.Marker = out.NextMarker
	}
	return nil, errEndless("ListResourceTags")
}

// Policy implements check.Source.
func (s *Keys) Policy(ctx context.Context, k *check.Key) (string, error) {
	out, err := s.client.GetKeyPolicy(ctx, &kms.GetKeyPolicyInput{KeyId: &k.ID, PolicyName: aws.String("default")})
	if err != nil {
		return "", err
	}
	return aws.ToString(out.Policy), nil
}

// untold are the codes with which endpoints answer an operation that they do not know.
var untold = map[string]bool{"UnsupportedOperationException": true, "UnknownOperationException": true, "InvalidAction": true, "NotImplementedException": true}

// Usage implements check.Source. Endpoints that do not know the operation do not tell.
func (s *Keys) Usage(ctx context.Context, k *check.Key) (*check.Usage, error) {
	out, err := s.client.GetKeyLastUsage(ctx, &kms.GetKeyLastUsageInput{KeyId: &k.ID})
	if untold[check.ErrorCode(err)] {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	u := &check.Usage{Tracked: aws.ToTime(out.TrackingStartDate)}
	if last := out.KeyLastUsage; last != nil {
		u.Last, u.Operation = aws.ToTime(last.Timestamp), string(last.Operation)
	}
	return u, nil
}

// EnableRotation implements check.Changer.
func (s *Keys) EnableRotation(ctx context.Context, region, keyARN string, days int) error {
	client := s.client
	if region != s.region {
		var err error
		if client, err = s.dial(region); err != nil {
			return err
		}
	}
	_, err := client.EnableKeyRotation(ctx, &kms.EnableKeyRotationInput{KeyId: &keyARN, RotationPeriodInDays: aws.Int32(int32(days))})
	return err
}

func errEndless(call string) error {
	return fmt.Errorf("%s: the list has more than %d pages", call, maxPages)
}
