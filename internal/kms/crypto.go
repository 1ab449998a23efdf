package kms

import (
	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/keys"
	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/service"
)

// symmetric is the algorithm every reply of this file's operations names.
var symmetric = api.Some(api.EncryptionAlgorithmSpecSymmetricDefault)

// material returns an opened material of a key.
func material(tx *service.Tx, k *record.Key, id string) (*record.Material, error) {
	return service.Lookup[*record.Material](tx, record.MaterialStoreKey(k.Owner, k.ID, id))
}

// seal encrypts under the key's current material.
func seal(tx *service.Tx, k *record.Key, plaintext []byte, context map[string]string) ([]byte, error) {
	m, err := material(tx, k, k.Current)
	if err != nil {
		return nil, err
	}
	if m == nil {
		return nil, errNoMaterial(k.Current)
	}
	keyID, materialID := m.IDs()
	return keys.Seal(nil, plaintext, keyID, materialID, m.AEAD(), tx.Keyring().CurrentMAC(), k.Account, context)
}

type errNoMaterial string

func (e errNoMaterial) Error() string { return "kms: key material " + string(e) + " is missing" }

// open decrypts a ciphertext whose MAC has been checked, and names the material that did it.
func open(tx *service.Tx, k *record.Key, c keys.Ciphertext, context map[string]string) (plaintext []byte, materialID string, err error) {
	id := c.MaterialID.String()
	m, err := material(tx, k, id)
	if err != nil {
		return nil, "", err
	}
	if m == nil {
		// The MAC says that this service made it, so the material existed: it is gone.
		return nil, "", errNoMaterial(id)
	}
	plaintext, err = c.Open(nil, m.AEAD(), k.Account, context)
	if err != nil {
		return nil, "", api.New(api.InvalidCiphertextException)
	}
	return plaintext, id, nil
}

// source resolves the key of a ciphertext to decrypt. The blob is checked first, so that what was altered gets the same answer
// whatever it names; the parsed ciphertext is left in tx.Ciphertext. With a KeyId, that key is the target, and matches is
// checked by sourceKey after authorization.
func (k *KMS) source(tx *service.Tx, action string, blob []byte, name api.Opt[string]) (service.Target, error) {
	c, err := keys.ParseCiphertext(blob, tx.Keyring())
	if err != nil {
		return service.Target{}, api.New(api.InvalidCiphertextException)
	}
	tx.Ciphertext = c
	if name.Set {
		return k.resolveKey(tx, action, name.V, anyForm)
	}
	t := service.Target{Action: action, Account: tx.Call.Caller.Account}
	if err := lookupKey(tx, &t, callOwner(tx), c.KeyID.String()); err != nil {
		return t, err
	}
	if t.Key == nil {
		t.Missing = api.Errorf(api.AccessDeniedException, ciphertextUnknownReply)
	}
	return t, nil
}

// sourceKey checks that an authorized target can open tx.Ciphertext.
func sourceKey(tx *service.Tx, k *record.Key, operation string, algorithm api.Opt[api.EncryptionAlgorithmSpec]) error {
	if id, ok := keys.ParseKeyID(k.ID); !ok || id != tx.Ciphertext.KeyID {
		return api.Errorf(api.IncorrectKeyException, "The key ID in the request does not identify a CMK that can perform this operation.")
	}
	return usable(k, operation, algorithm)
}

// ciphertextNeeded tells whether a request must have a ciphertext: a dry run may leave it out if it says so and names the key.
func ciphertextNeeded(blob []byte, dryRun api.Opt[bool], modifiers []api.DryRunModifierType, keyID api.Opt[string], member string) (bool, error) {
	if blob != nil {
		return true, nil
	}
	for _, m := range modifiers {
		if m == api.DryRunModifierTypeIgnoreCiphertext && dryRun.V && keyID.Set {
			return false, nil
		}
	}
	return true, api.Errorf(api.ValidationException,
		"1 validation error detected: Value null at '%s' failed to satisfy constraint: Member must not be null", member)
}

func noRecipient(r *api.RecipientInfo) error {
	if r != nil {
		return api.Errorf(api.UnsupportedOperationException, "Recipient is not available on this server.")
	}
	return nil
}
