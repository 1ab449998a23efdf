package kms

import (
	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/record"
)

// enabled refuses keys that cannot be used for cryptography or rotated now.
func enabled(k *record.Key) error {
	if k.State == record.Disabled {
		return api.Errorf(api.DisabledException, "%s is disabled.", k.ARN())
	}
	return notPendingDeletion(k)
}

func notPendingDeletion(k *record.Key) error {
	if k.State == record.PendingDeletion {
		return api.Errorf(api.KMSInvalidStateException, "%s is pending deletion.", k.ARN())
	}
	return nil
}

// usable refuses keys that cannot be used for cryptography now, or not with this usage and algorithm.
func usable(k *record.Key, operation string, algorithm api.Opt[api.EncryptionAlgorithmSpec]) error {
	if err := enabled(k); err != nil {
		return err
	}
	if k.Usage != encryptDecrypt {
		return api.Errorf(api.InvalidKeyUsageException, "%s key usage is %s which is not valid for %s.", k.ARN(), k.Usage, operation)
	}
	if algorithm.Set && algorithm.V != api.EncryptionAlgorithmSpecSymmetricDefault {
		return api.Errorf(api.InvalidKeyUsageException, "Algorithm %s is incompatible with key spec %s.", algorithm.V, k.Spec)
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
