package kms

import (
	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/keys"
	"github.com/keyturn/keyturn/internal/record"
)

// metadata describes a key as CreateKey and DescribeKey answer.
func metadata(k *record.Key) *api.KeyMetadata {
	m := &api.KeyMetadata{
		AWSAccountId:          api.Some(k.Account),
		KeyId:                 api.Some(k.ID),
		Arn:                   api.Some(k.ARN()),
		CreationDate:          api.Some(k.Created),
		Enabled:               api.Some(k.State == record.Enabled),
		Description:           api.Some(k.Description),
		KeyUsage:              api.Some(api.KeyUsageType(k.Usage)),
		KeyState:              api.Some(api.KeyState(k.State)),
		Origin:                api.Some(api.OriginType(k.Origin)),
		KeyManager:            api.Some(api.KeyManagerType(k.Manager)),
		CustomerMasterKeySpec: api.Some(api.CustomerMasterKeySpec(k.Spec)),
		KeySpec:               api.Some(api.KeySpec(k.Spec)),
		MultiRegion:           api.Some(false),
		CurrentKeyMaterialId:  api.Some(k.Current),
		KeyRotationStatus:     api.Some(api.KeyRotationStatusTypeDisabled),
	}
	if spec := keys.SpecByName(k.Spec); spec != nil {
		for _, a := range spec.EncryptionAlgorithms {
			m.EncryptionAlgorithms = append(m.EncryptionAlgorithms, api.EncryptionAlgorithmSpec(a))
		}
	}
	if k.State == record.PendingDeletion {
		m.DeletionDate = api.Some(k.DeletionDate)
	}
	if rotationOn(k) {
		m.KeyRotationStatus = api.Some(api.KeyRotationStatusTypeEnabled)
	}
	return m
}
