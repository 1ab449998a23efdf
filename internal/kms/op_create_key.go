package kms

import (
	"slices"
	"strconv"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/audit"
	"github.com/keyturn/keyturn/internal/keys"
	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/service"
)

func (k *KMS) createKey() *service.Op {
	conds := slices.Concat(
		conditions[api.CreateKeyRequest]{
			text("kms:BypassPolicyLockoutSafetyCheck", func(q *api.CreateKeyRequest) string { return flag(q.BypassPolicyLockoutSafetyCheck) }),
			// The page has this key for EnableKeyRotation alone, and is older than the parameter: a limit must hold here as well.
			text("kms:RotationPeriodInDays", requestedRotation),
		},
		newKeyConditions(func(_ *service.Tx, q *api.CreateKeyRequest, _ *service.Target) *record.Key { return describedKey(q) }),
		tagConditions(func(q *api.CreateKeyRequest) []api.Tag { return q.Tags }),
	)
	return service.Def[api.CreateKeyRequest, api.CreateKeyResponse]{
		Name: "CreateKey", Kind: service.Change,
		Actions: []string{"kms:CreateKey", "kms:TagResource"},
		Cond:    conds.Cond(), CondKeys: conds.Names(),
		Resolve: func(tx *service.Tx, q *api.CreateKeyRequest) ([]service.Target, error) {
			account := tx.Call.Caller.Account
			targets := []service.Target{{Action: "kms:CreateKey", Account: account, ARN: "*"}}
			if len(q.Tags) > 0 {
				targets = append(targets, service.Target{Action: "kms:TagResource", Account: account, ARN: "*"})
			}
			return targets, nil
		},
		Check: countBound(func(q *api.CreateKeyRequest) int { return len(q.Tags) }),
		Audit: auditCreateKey,
		Result: func(r *api.CreateKeyResponse, p *audit.Params) {
			auditMetadata(p, "keyMetadata", r.KeyMetadata)
		},
		Plan: k.planCreateKey,
	}.Op("kms")
}

func auditCreateKey(q *api.CreateKeyRequest, p *audit.Params) {
	str(p, "description", q.Description)
	str(p, "keyUsage", q.KeyUsage)
	str(p, "customerMasterKeySpec", q.CustomerMasterKeySpec)
	str(p, "keySpec", q.KeySpec)
	str(p, "origin", q.Origin)
	str(p, "customKeyStoreId", q.CustomKeyStoreId)
	str(p, "policy", q.Policy)
	boolean(p, "bypassPolicyLockoutSafetyCheck", q.BypassPolicyLockoutSafetyCheck)
	auditTags(p, q.Tags)
	boolean(p, "multiRegion", q.MultiRegion)
	str(p, "xksKeyId", q.XksKeyId)
	boolean(p, "enableKeyRotation", q.EnableKeyRotation)
	integer(p, "rotationPeriodInDays", q.RotationPeriodInDays)
}

func (k *KMS) planCreateKey(tx *service.Tx, q *api.CreateKeyRequest, _ []service.Target) (*api.CreateKeyResponse, error) {
	key, err := k.requestedKey(tx, q)
	if err != nil {
		return nil, err
	}
	if key.Policy, key.Pins, err = checkPolicy(tx, q.Policy); err != nil {
		return nil, err
	}
	if key.Tags, err = addTags(nil, q.Tags); err != nil {
		return nil, err
	}
	if err := k.keepsHold(tx, key, q.BypassPolicyLockoutSafetyCheck); err != nil {
		return nil, err
	}
	if err := k.roomForKey(tx, key.Owner); err != nil {
		return nil, err
	}
	if q.EnableKeyRotation.Set && !q.EnableKeyRotation.V && q.RotationPeriodInDays.Set {
		return nil, api.Errorf(api.ValidationException, "RotationPeriodInDays needs EnableKeyRotation")
	}
	if q.EnableKeyRotation.V || q.RotationPeriodInDays.Set {
		if err := rotatesByItself(key); err != nil {
			return nil, err
		}
		startRotation(key, tx.Now, rotationDays(q.RotationPeriodInDays))
	}
	if err := k.putCreated(tx, key); err != nil {
		return nil, err
	}
	m, err := metadata(tx, key)
	return &api.CreateKeyResponse{KeyMetadata: m}, err
}

// roomForKey refuses keys beyond the quota.
func (k *KMS) roomForKey(tx *service.Tx, o record.Owner) error {
	count, err := tx.Sum(record.KeyCounters(o))
	if err == nil && count >= k.config.KeysPerRegion {
		err = api.Errorf(api.LimitExceededException, "The account has reached its quota of %d KMS keys in %s.", k.config.KeysPerRegion, o.Region)
	}
	return err
}

// putCreated writes a new key, with its first material unless that is to be imported.
func (k *KMS) putCreated(tx *service.Tx, key *record.Key) error {
	switch {
	case key.Origin == record.OriginImported:
		if _, err := service.Lookup[*record.Key](tx, key.StoreKey()); err != nil {
			return err
		}
		key.State = record.PendingImport
		tx.Put(key)
		return nil
	case key.KeyStore != "":
		return k.putInKeyStore(tx, key)
	}
	return putNewKey(tx, key)
}

// specName is the key spec that a request asks for.
func specName(q *api.CreateKeyRequest) string {
	switch {
	case q.KeySpec.Set:
		return string(q.KeySpec.V)
	case q.CustomerMasterKeySpec.Set:
		return string(q.CustomerMasterKeySpec.V)
	}
	return symmetricSpec
}

// describedKey is the key that a request asks for as conditions see it, with the defaults of CreateKey, whether it can be made or not.
func describedKey(q *api.CreateKeyRequest) *record.Key {
	k := &record.Key{Spec: specName(q), Usage: keys.EncryptDecrypt, Origin: record.OriginKMS}
	if q.KeyUsage.Set {
		k.Usage = string(q.KeyUsage.V)
	}
	if q.Origin.Set {
		k.Origin = record.Origin(q.Origin.V)
	}
	if q.MultiRegion.V {
		k.MultiRegion = &record.MultiRegion{Primary: k.Region}
	}
	return k
}

// requestedRotation is the period of the automatic rotation that a request asks for, in days; "" if it asks for none.
func requestedRotation(q *api.CreateKeyRequest) string {
	if !q.EnableKeyRotation.V && !q.RotationPeriodInDays.Set {
		return ""
	}
	return strconv.FormatInt(rotationDays(q.RotationPeriodInDays), 10)
}

// requestedKey makes the key that a request describes, its material left out.
func (k *KMS) requestedKey(tx *service.Tx, q *api.CreateKeyRequest) (*record.Key, error) {
	if q.KeySpec.Set && q.CustomerMasterKeySpec.Set {
		return nil, api.Errorf(api.ValidationException, "You cannot specify KeySpec and CustomerMasterKeySpec in the same request. CustomerMasterKeySpec is deprecated.")
	}
	name := specName(q)
	spec := keys.SpecByName(name)
	if spec == nil {
		return nil, api.Errorf(api.UnsupportedOperationException, "KeySpec %s is not available on this server.", name)
	}
	key := &record.Key{
		Owner: callOwner(tx), Created: tx.Now, Description: q.Description.V, Spec: name, Usage: spec.Usages[0], Origin: record.OriginKMS,
		Manager: record.Customer, State: record.Enabled, JitterSeconds: k.jitter(),
	}
	switch {
	case q.KeyUsage.Set:
		key.Usage = string(q.KeyUsage.V)
	case name != symmetricSpec:
		return nil, api.Errorf(api.ValidationException, "You must specify a KeyUsage value for all KMS keys except for symmetric encryption keys.")
	}
	if !slices.Contains(spec.Usages, key.Usage) {
		return nil, api.Errorf(api.ValidationException, "KeyUsage %s is not compatible with KeySpec %s", key.Usage, name)
	}
	if q.Origin.Set {
		key.Origin = record.Origin(q.Origin.V)
	}
	if err := checkOrigin(q, key, spec); err != nil {
		return nil, err
	}
	id, err := service.Once(tx, "keyID", func() (keys.KeyID, error) {
		if q.MultiRegion.V {
			return keys.NewMultiRegionKeyID(), nil
		}
		return keys.NewKeyID(), nil
	})
	if err != nil {
		return nil, err
	}
	key.ID = id.String()
	if q.MultiRegion.V {
		key.MultiRegion = &record.MultiRegion{Primary: key.Region}
	}
	key.KeyStore, key.ExternalKey = q.CustomKeyStoreId.V, q.XksKeyId.V
	return key, nil
}

// checkOrigin checks what CreateKey is asked for against where the material is to come from.
func checkOrigin(q *api.CreateKeyRequest, key *record.Key, spec *keys.Spec) error {
	inStore := key.Origin == record.OriginToken || key.Origin == record.OriginExternal
	switch {
	case inStore && !q.CustomKeyStoreId.Set:
		return api.Errorf(api.ValidationException, "Origin %s needs CustomKeyStoreId.", key.Origin)
	case !inStore && q.CustomKeyStoreId.Set:
		return api.Errorf(api.ValidationException, "Origin %s is not valid with CustomKeyStoreId.", key.Origin)
	case (key.Origin == record.OriginExternal) != q.XksKeyId.Set:
		return api.Errorf(api.ValidationException, "XksKeyId is required with Origin EXTERNAL_KEY_STORE, and valid with no other.")
	case inStore && !spec.Rotates:
		return api.Errorf(api.UnsupportedOperationException, "KeySpec %s is not supported in custom key stores.", spec.Name)
	case inStore && q.MultiRegion.V:
		return api.Errorf(api.UnsupportedOperationException, "Multi-Region keys are not supported in custom key stores.")
	case key.Origin == record.OriginImported && spec.Import == nil:
		return api.Errorf(api.UnsupportedOperationException, "Key material of KeySpec %s cannot be imported.", spec.Name)
	}
	return nil
}

func rotationDays(period api.Opt[int64]) int64 {
	if period.Set {
		return period.V
	}
	return defaultRotationDays
}
