package kms

import (
	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/keys"
	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/service"
)

// metadata describes a key as CreateKey, DescribeKey and ReplicateKey answer.
func metadata(tx *service.Tx, k *record.Key) (*api.KeyMetadata, error) {
	state, err := keyState(tx, k)
	if err != nil {
		return nil, err
	}
	m := &api.KeyMetadata{
		AWSAccountId:          api.Some(k.Account),
		KeyId:                 api.Some(k.ID),
		Arn:                   api.Some(k.ARN()),
		CreationDate:          api.Some(k.Created),
		Enabled:               api.Some(state == record.Enabled),
		Description:           api.Some(k.Description),
		KeyUsage:              api.Some(api.KeyUsageType(k.Usage)),
		KeyState:              api.Some(api.KeyState(state)),
		Origin:                api.Some(api.OriginType(k.Origin)),
		KeyManager:            api.Some(api.KeyManagerType(k.Manager)),
		CustomerMasterKeySpec: api.Some(api.CustomerMasterKeySpec(k.Spec)),
		KeySpec:               api.Some(api.KeySpec(k.Spec)),
		MultiRegion:           api.Some(k.MultiRegion != nil),
		CurrentKeyMaterialId:  shownMaterial(k, k.Current),
		KeyRotationStatus:     api.Some(api.KeyRotationStatusTypeDisabled),
	}
	describeAlgorithms(m, k)
	switch k.State {
	case record.PendingDeletion:
		m.DeletionDate = api.Some(k.DeletionDate)
	case record.PendingReplicaDeletion:
		m.PendingDeletionWindowInDays = api.Some(k.DeletionDays)
	}
	if rotationOn(k) {
		m.KeyRotationStatus = api.Some(api.KeyRotationStatusTypeEnabled)
	}
	if k.MultiRegion != nil {
		m.MultiRegionConfiguration = multiRegionConfiguration(k)
	}
	if k.Origin == record.OriginImported && !k.MaterialMissing() {
		m.ExpirationModel = api.Some(api.ExpirationModelTypeKeyMaterialDoesNotExpire)
		if at := k.ValidTo(); !at.IsZero() {
			m.ExpirationModel, m.ValidTo = api.Some(api.ExpirationModelTypeKeyMaterialExpires), api.Some(at)
		}
	}
	if k.KeyStore != "" {
		m.CustomKeyStoreId = api.Some(k.KeyStore)
		store, err := service.Lookup[*record.KeyStore](tx, record.KeyStoresPrefix(k.Owner)+k.KeyStore)
		if err != nil {
			return nil, err
		}
		if store != nil && store.ClusterID != "" {
			m.CloudHsmClusterId = api.Some(store.ClusterID)
		}
		if k.ExternalKey != "" {
			m.XksKeyConfiguration = &api.XksKeyConfigurationType{Id: api.Some(k.ExternalKey)}
		}
	}
	return m, nil
}

// describeAlgorithms adds the algorithms that can be used with the key: those of its spec for its usage.
func describeAlgorithms(m *api.KeyMetadata, k *record.Key) {
	spec := keys.SpecByName(k.Spec)
	if spec == nil {
		return
	}
	switch k.Usage {
	case keys.EncryptDecrypt:
		m.EncryptionAlgorithms = named[api.EncryptionAlgorithmSpec](spec.EncryptionAlgorithms)
	case keys.SignVerify:
		m.SigningAlgorithms = named[api.SigningAlgorithmSpec](spec.SigningAlgorithms)
	case keys.GenerateMAC:
		m.MacAlgorithms = named[api.MacAlgorithmSpec](spec.MACAlgorithms)
	case keys.KeyAgreement:
		m.KeyAgreementAlgorithms = named[api.KeyAgreementAlgorithmSpec](spec.KeyAgreementAlgorithms)
	case keys.Encapsulate:
		m.EncapsulationAlgorithms = named[api.EncapsulationAlgorithmSpec](spec.EncapsulationAlgorithms)
	}
}

func named[T ~string](names []string) []T {
	list := make([]T, len(names))
	for i, n := range names {
		list[i] = T(n)
	}
	return list
}

func multiRegionConfiguration(k *record.Key) *api.MultiRegionConfiguration {
	at := func(region string) api.MultiRegionKey {
		arn := record.KeyARN(record.Owner{Account: k.Account, Region: region}, k.ID)
		return api.MultiRegionKey{Arn: api.Some(arn), Region: api.Some(region)}
	}
	primary := at(k.MultiRegion.Primary)
	c := &api.MultiRegionConfiguration{
		MultiRegionKeyType: api.Some(api.MultiRegionKeyTypeReplica), PrimaryKey: &primary, ReplicaKeys: []api.MultiRegionKey{},
	}
	if k.Primary() {
		c.MultiRegionKeyType = api.Some(api.MultiRegionKeyTypePrimary)
	}
	for _, region := range k.MultiRegion.Replicas {
		c.ReplicaKeys = append(c.ReplicaKeys, at(region))
	}
	return c
}
