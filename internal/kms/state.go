package kms

import (
	"slices"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/keys"
	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/service"
)

// enabled refuses keys that cannot be used for cryptography or rotated now, for what their own record says.
func enabled(k *record.Key) error {
	switch k.State {
	case record.Disabled:
		return api.Errorf(api.DisabledException, "%s is disabled.", k.ARN())
	case record.PendingImport:
		return pendingImport(k)
	}
	return notPendingDeletion(k)
}

// notPendingDeletion refuses changes of a key that is to be deleted.
func notPendingDeletion(k *record.Key) error {
	switch k.State {
	case record.PendingDeletion:
		return api.Errorf(api.KMSInvalidStateException, "%s is pending deletion.", k.ARN())
	case record.PendingReplicaDeletion:
		return api.Errorf(api.KMSInvalidStateException, "%s is pending replica deletion.", k.ARN())
	}
	return nil
}

// deleting tells whether the key's deletion is scheduled.
func deleting(k *record.Key) bool {
	return k.State == record.PendingDeletion || k.State == record.PendingReplicaDeletion
}

func pendingImport(k *record.Key) error {
	return api.Errorf(api.KMSInvalidStateException, "%s is pending import.", k.ARN())
}

// keyState is the state that a key is seen in: one in a custom key store that is not connected is Unavailable, unless its deletion
// is scheduled.
func keyState(tx *service.Tx, k *record.Key) (record.State, error) {
	if k.KeyStore == "" || deleting(k) {
		return k.State, nil
	}
	store, err := service.Lookup[*record.KeyStore](tx, record.KeyStoresPrefix(k.Owner)+k.KeyStore)
	if err != nil {
		return "", err
	}
	if store == nil || store.Connection != record.Connected {
		return record.Unavailable, nil
	}
	return k.State, nil
}

// available refuses keys in a custom key store that is not connected.
func available(tx *service.Tx, k *record.Key) error {
	state, err := keyState(tx, k)
	if err == nil && state == record.Unavailable {
		err = api.Errorf(api.KMSInvalidStateException, "%s is unavailable.", k.ARN())
	}
	return err
}

// use is what an operation wants of a key.
type use struct {
	operation  string
	usage      string
	algorithm  string
	algorithms func(*keys.Spec) []string // those of a spec that the algorithm must be one of
}

func encryptionAlgorithms(s *keys.Spec) []string    { return s.EncryptionAlgorithms }
func signingAlgorithms(s *keys.Spec) []string       { return s.SigningAlgorithms }
func macAlgorithms(s *keys.Spec) []string           { return s.MACAlgorithms }
func agreementAlgorithms(s *keys.Spec) []string     { return s.KeyAgreementAlgorithms }
func encapsulationAlgorithms(s *keys.Spec) []string { return s.EncapsulationAlgorithms }

// encryption is the use of a key to encrypt or decrypt; without an algorithm, the symmetric one is meant.
func encryption(operation string, algorithm api.Opt[api.EncryptionAlgorithmSpec]) use {
	u := use{operation: operation, usage: keys.EncryptDecrypt, algorithm: symmetricSpec, algorithms: encryptionAlgorithms}
	if algorithm.Set {
		u.algorithm = string(algorithm.V)
	}
	return u
}

// encryption is the algorithm as replies name it.
func (u use) encryption() api.Opt[api.EncryptionAlgorithmSpec] {
	return api.Some(api.EncryptionAlgorithmSpec(u.algorithm))
}

// usable refuses keys that cannot be used for cryptography now, or not so.
func usable(tx *service.Tx, k *record.Key, u use) error {
	if err := enabled(k); err != nil {
		return err
	}
	if err := available(tx, k); err != nil {
		return err
	}
	if k.Usage != u.usage {
		return api.Errorf(api.InvalidKeyUsageException, "%s key usage is %s which is not valid for %s.", k.ARN(), k.Usage, u.operation)
	}
	if spec := keys.SpecByName(k.Spec); spec == nil || !slices.Contains(u.algorithms(spec), u.algorithm) {
		return api.Errorf(api.InvalidKeyUsageException, "Algorithm %s is incompatible with key spec %s.", u.algorithm, k.Spec)
	}
	return nil
}

// customerManaged refuses changes to AWS managed keys. Nobody may make them: their key policies allow it to no one.
func customerManaged(k *record.Key, caller, action string) error {
	if k.Manager == record.AWS {
		return api.Errorf(api.AccessDeniedException,
			"User: %s is not authorized to perform: %s on resource: %s because no resource-based policy allows the %s action", caller, action, k.ARN(), action)
	}
	return nil
}

// fromOrigin refuses keys whose material comes from elsewhere than the operation needs.
func fromOrigin(k *record.Key, origin record.Origin) error {
	if k.Origin != origin {
		return api.Errorf(api.UnsupportedOperationException, "%s origin is %s which is not valid for this operation.", k.ARN(), k.Origin)
	}
	return nil
}
