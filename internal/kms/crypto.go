package kms

import (
	"errors"
	"slices"
	"strings"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/keys"
	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/service"
)

// symmetric is the algorithm of ciphertexts that name their key.
var symmetric = api.Some(api.EncryptionAlgorithmSpecSymmetricDefault)

// material returns an opened material of a key.
func material(tx *service.Tx, k *record.Key, id string) (*record.Material, error) {
	m, err := service.Lookup[*record.Material](tx, record.MaterialStoreKey(k.MaterialOwner(), k.ID, id))
	if err == nil && m == nil {
		if err = errNoMaterial(id); k.Origin == record.OriginImported {
			err = pendingImport(k) // deleted since the key was read
		}
	}
	return m, err
}

// current returns the opened current material of a key as what an operation needs it to be.
func current[T any](tx *service.Tx, k *record.Key) (T, error) {
	var none T
	m, err := material(tx, k, k.Current)
	if err != nil {
		return none, err
	}
	key, ok := m.Key().(T)
	if !ok {
		return none, errWrongMaterial(m.ID)
	}
	return key, nil
}

type errNoMaterial string

func (e errNoMaterial) Error() string { return "kms: key material " + string(e) + " is missing" }

type errWrongMaterial string

func (e errWrongMaterial) Error() string {
	return "kms: key material " + string(e) + " is not what the key's spec says"
}

// encrypt encrypts under the key's current material. The algorithm has been checked.
func (k *KMS) encryptWith(tx *service.Tx, key *record.Key, algorithm string, plaintext []byte, context map[string]string) ([]byte, error) {
	if algorithm == symmetricSpec {
		return k.seal(tx, key, plaintext, context)
	}
	if err := noContext(context); err != nil {
		return nil, err
	}
	d, err := current[keys.Decrypter](tx, key)
	if err != nil {
		return nil, err
	}
	if limit := d.MaxPlaintext(algorithm); len(plaintext) > limit {
		return nil, api.Errorf(api.ValidationException,
			"Algorithm %s and key spec %s cannot encrypt data larger than %d bytes.", algorithm, key.Spec, limit)
	}
	tx.Use(key, key.Current, service.Encrypting, len(plaintext))
	return d.Encrypt(algorithm, plaintext)
}

// decryptWith decrypts what encryptWith made. For a symmetric algorithm the blob has been parsed into tx.Ciphertext. The material is
// named only where callers are told of it.
func (k *KMS) decryptWith(tx *service.Tx, key *record.Key, algorithm string, blob []byte, context map[string]string) (plaintext []byte, materialID api.Opt[string], err error) {
	if algorithm == symmetricSpec {
		plaintext, id, err := k.open(tx, key, tx.Ciphertext, context)
		return plaintext, shownMaterial(key, id), err
	}
	if err := noContext(context); err != nil {
		return nil, materialID, err
	}
	d, err := current[keys.Decrypter](tx, key)
	if err != nil {
		return nil, materialID, err
	}
	tx.Use(key, key.Current, service.Decrypting, 0)
	plaintext, err = d.Decrypt(algorithm, blob)
	if errors.Is(err, keys.ErrCiphertext) {
		err = api.New(api.InvalidCiphertextException)
	}
	return plaintext, materialID, err
}

func noContext(context map[string]string) error {
	if len(context) > 0 {
		return api.Errorf(api.ValidationException, "You cannot use an encryption context with an asymmetric encryption algorithm.")
	}
	return nil
}

// shownMaterial is a material's ID for a reply: those of symmetric keys that the service keeps have one that callers see.
func shownMaterial(k *record.Key, id string) api.Opt[string] {
	if !rotatable(k) || k.KeyStore != "" || id == "" {
		return api.Opt[string]{}
	}
	return api.Some(id)
}

// seal encrypts under the current material of a symmetric key.
func (k *KMS) seal(tx *service.Tx, key *record.Key, plaintext []byte, context map[string]string) ([]byte, error) {
	m, err := material(tx, key, key.Current)
	if err != nil {
		return nil, err
	}
	body, alg, err := k.body(tx, key, m)
	if err != nil {
		return nil, err
	}
	tx.Use(key, m.ID, service.Encrypting, len(plaintext))
	keyID, materialID := m.IDs()
	return keys.Seal(nil, plaintext, alg, keyID, materialID, body, tx.Keyring().CurrentMAC(), key.Account, context)
}

// open decrypts a ciphertext whose MAC has been checked, and names the material that did it.
func (k *KMS) open(tx *service.Tx, key *record.Key, c keys.Ciphertext, context map[string]string) (plaintext []byte, materialID string, err error) {
	id := c.MaterialID.String()
	m, err := material(tx, key, id)
	if err != nil {
		// The MAC says that this service made the ciphertext, so the material existed: it is gone.
		return nil, "", err
	}
	body, alg, err := k.body(tx, key, m)
	if err != nil {
		return nil, "", err
	}
	if alg != c.Algorithm {
		return nil, "", errWrongMaterial(id)
	}
	tx.Use(key, id, service.Decrypting, 0)
	plaintext, err = c.Open(nil, body, key.Account, context)
	if errors.Is(err, keys.ErrCiphertext) {
		err = api.New(api.InvalidCiphertextException)
	}
	return plaintext, id, err
}

// body returns what seals and opens under a material of a symmetric key, and the algorithm that ciphertexts name for it.
func (k *KMS) body(tx *service.Tx, key *record.Key, m *record.Material) (keys.Body, keys.Algorithm, error) {
	if key.KeyStore != "" {
		if tx.DryRun {
			return nil, 0, service.ErrDryRun
		}
		return k.storeBody(tx, key, m)
	}
	aead := m.AEAD()
	if aead == nil {
		return nil, 0, errWrongMaterial(m.ID)
	}
	return aead, keys.XAES, nil
}

// source resolves the key of a ciphertext to decrypt. A symmetric blob is checked first, so that what was altered gets the same answer
// whatever it names; the parsed ciphertext is left in tx.Ciphertext. With a KeyId, that key is the target, and whether it is the
// ciphertext's is checked by sourceKey after authorization.
func (k *KMS) source(tx *service.Tx, action string, blob []byte, name api.Opt[string], algorithm api.Opt[api.EncryptionAlgorithmSpec]) (service.Target, error) {
	if algorithm.Set && algorithm.V != symmetric.V {
		if !name.Set {
			return service.Target{}, api.Errorf(api.ValidationException, "KeyId is required to decrypt with an asymmetric encryption algorithm.")
		}
		return k.resolveKey(tx, action, name.V, anyForm)
	}
	c, err := keys.ParseCiphertext(blob, tx.Keyring())
	if err != nil {
		return service.Target{}, api.New(api.InvalidCiphertextException)
	}
	tx.Ciphertext = c
	if name.Set {
		return k.resolveKey(tx, action, name.V, anyForm)
	}
	unknown := api.Errorf(api.AccessDeniedException, ciphertextUnknownReply)
	t := service.Target{Action: action, Account: tx.Call.Caller.Account}
	if err := lookupKey(tx, &t, callOwner(tx), c.KeyID.String()); err != nil {
		return t, err
	}
	if t.Key != nil {
		return t, nil
	}
	// The key may be another account's, which may let the caller use it. Where it does not, the answer is as if there were no key.
	owner, err := keyOwner(tx, c.KeyID.String())
	if err != nil {
		return t, err
	}
	if owner != nil {
		t = service.Target{Action: action, Account: owner.Account, Denied: unknown}
		if err := lookupKey(tx, &t, *owner, c.KeyID.String()); err != nil {
			return t, err
		}
	}
	if t.Key == nil {
		t = service.Target{Action: action, Account: tx.Call.Caller.Account, ARN: record.KeyARN(callOwner(tx), c.KeyID.String()), Missing: unknown, Denied: unknown}
	}
	return t, nil
}

// keyOwner returns whose the key of an ID is in the call's Region, nil if there is none. IDs are drawn at random, so there is one at most;
// keys that were stored before they were listed by ID are not found.
func keyOwner(tx *service.Tx, id string) (*record.Owner, error) {
	prefix := record.KeyIDPrefix(tx.Call.Region, id)
	entries, err := tx.Scan(prefix, "", 1)
	if err != nil || len(entries) == 0 {
		return nil, err
	}
	return &record.Owner{Account: strings.TrimPrefix(entries[0].Key, prefix), Region: tx.Call.Region}, nil
}

// sourceKey checks that an authorized target can decrypt: that it may be used so and, if the algorithm is symmetric, that it is
// the key of tx.Ciphertext.
func sourceKey(tx *service.Tx, k *record.Key, u use) error {
	if u.algorithm == symmetricSpec {
		if id, ok := keys.ParseKeyID(k.ID); !ok || id != tx.Ciphertext.KeyID {
			return api.Errorf(api.IncorrectKeyException, "The key ID in the request does not identify a CMK that can perform this operation.")
		}
	}
	return usable(tx, k, u)
}

// ciphertextNeeded tells whether a request must have a ciphertext: a dry run may leave it out if it says so, and then has to name the
// key, in the member called so.
func ciphertextNeeded(blob []byte, dryRun api.Opt[bool], modifiers []api.DryRunModifierType, keyID api.Opt[string], keyMember string) (bool, error) {
	switch {
	case blob != nil:
		return true, nil
	case !dryRun.V || !slices.Contains(modifiers, api.DryRunModifierTypeIgnoreCiphertext):
		return true, missingMember("ciphertextBlob")
	case !keyID.Set:
		return false, missingMember(keyMember)
	}
	return false, nil
}

// missingMember is what the validation of the model says of a required member: some that the model has as optional are not.
func missingMember(member string) error {
	return api.Errorf(api.ValidationException,
		"1 validation error detected: Value null at '%s' failed to satisfy constraint: Member must not be null", member)
}
