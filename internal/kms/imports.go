package kms

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/keys"
	"github.com/keyturn/keyturn/internal/keywrap"
	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/service"
)

const (
	// importTokenLife is how long the parameters for an import are valid.
	importTokenLife = 24 * time.Hour
	// maxValidity is how far in the future imported material may expire.
	maxValidity = 365 * day
)

// importToken is what ImportKeyMaterial needs of GetParametersForImport. It is the caller's to keep, sealed by the keyring, so that
// nothing of it is stored here.
type importToken struct {
	Account   string    `json:"a"`
	Region    string    `json:"r"`
	KeyID     string    `json:"k"`
	Spec      string    `json:"s"` // of the wrapping key
	Algorithm string    `json:"w"`
	Private   []byte    `json:"p"`
	ValidTo   time.Time `json:"t"`
}

// tokenPurpose separates import tokens from whatever else the keyring seals.
const tokenPurpose = "keyturn import token v1"

func sealToken(tx *service.Tx, t *importToken) ([]byte, error) {
	text, err := json.Marshal(t)
	if err != nil {
		return nil, fmt.Errorf("kms: encoding an import token: %w", err)
	}
	defer clear(text)
	return tx.Keyring().SealToken(text, tokenPurpose)
}

// openToken returns what an import token for the key holds.
func openToken(tx *service.Tx, k *record.Key, token []byte) (*importToken, error) {
	var t importToken
	text, err := tx.Keyring().OpenToken(token, tokenPurpose)
	if err == nil {
		err = json.Unmarshal(text, &t, json.RejectUnknownMembers(true))
		clear(text)
	}
	if err != nil || t.Account != k.Account || t.Region != k.Region || t.KeyID != k.ID {
		return nil, api.New(api.InvalidImportTokenException)
	}
	if tx.Now.After(t.ValidTo) {
		return nil, api.New(api.ExpiredImportTokenException)
	}
	return &t, nil
}

// unwrap returns the imported material in its stored form.
func unwrap(k *record.Key, t *importToken, wrapped []byte) ([]byte, error) {
	key, err := keywrap.Parse(t.Spec, t.Private)
	if err != nil {
		return nil, err
	}
	plain, err := key.Unwrap(t.Algorithm, wrapped)
	if errors.Is(err, keywrap.ErrNotApproved) {
		err = keys.ErrFIPS
	}
	if errors.Is(err, keywrap.ErrUnwrap) {
		return nil, api.New(api.InvalidCiphertextException)
	}
	if err != nil {
		return nil, err
	}
	defer clear(plain)
	secret, err := keys.SpecByName(k.Spec).Import(plain)
	if errors.Is(err, keys.ErrMaterial) {
		return nil, api.Errorf(api.IncorrectKeyMaterialException, "The key material is not valid for key spec %s.", k.Spec)
	}
	return secret, err
}

// validity returns when the material is to expire; zero for never.
func validity(model api.Opt[api.ExpirationModelType], validTo api.Opt[time.Time], now time.Time) (time.Time, error) {
	expires := !model.Set || model.V == api.ExpirationModelTypeKeyMaterialExpires
	switch {
	case expires && !validTo.Set:
		return time.Time{}, api.Errorf(api.ValidationException, "A validTo date must be set if the ExpirationModel is KEY_MATERIAL_EXPIRES")
	case !expires && validTo.Set:
		return time.Time{}, api.Errorf(api.ValidationException, "A validTo date must not be set if the ExpirationModel is KEY_MATERIAL_DOES_NOT_EXPIRE")
	case !expires:
		return time.Time{}, nil
	case !validTo.V.After(now):
		return time.Time{}, api.Errorf(api.ValidationException, "The validTo date must be in the future")
	case validTo.V.After(now.Add(maxValidity)):
		return time.Time{}, api.Errorf(api.ValidationException, "The validTo date must be at most 365 days in the future")
	}
	return validTo.V, nil
}

// unixTime is a time as kms:ValidTo has it, in seconds since 1970 with a fraction where there is one; "" for none.
func unixTime(t api.Opt[time.Time]) string {
	if !t.Set {
		return ""
	}
	return strconv.FormatFloat(float64(t.V.UnixMilli())/1000, 'f', -1, 64)
}

func expiresOf(i *record.Import) time.Time {
	if i == nil {
		return time.Time{}
	}
	return i.Expires
}

// settleImports sets the state that follows from which of the key's imported materials are there. A key to be deleted stays so.
func settleImports(k *record.Key) {
	if deleting(k) {
		return
	}
	switch missing := k.MaterialMissing(); {
	case missing:
		k.State = record.PendingImport
	case k.State == record.PendingImport:
		k.State = record.Enabled
	}
}

// removeMaterial removes the secret of an imported material of a key; what is known of it stays.
func removeMaterial(tx *service.Tx, k *record.Key, i *record.Import) error {
	m, err := service.Lookup[*record.Material](tx, record.MaterialStoreKey(k.MaterialOwner(), k.ID, i.ID))
	if err != nil {
		return err
	}
	if m != nil {
		tx.Delete(m)
	}
	i.Present, i.Expires = false, time.Time{}
	return nil
}

// dropPending removes the material that waits for rotation from a key, and all that is known of it.
func dropPending(tx *service.Tx, k *record.Key) error {
	for n := range k.Imports {
		if i := &k.Imports[n]; i.Pending {
			if err := removeMaterial(tx, k, i); err != nil {
				return err
			}
			k.Imports = append(k.Imports[:n:n], k.Imports[n+1:]...)
			return nil
		}
	}
	return nil
}

// pendingEverywhere tells whether the material that waits for rotation is present in the key and all its related keys.
func pendingEverywhere(tx *service.Tx, k *record.Key) (bool, error) {
	others, err := relatedKeys(tx, k)
	if err != nil {
		return false, err
	}
	for _, other := range append(others, k) {
		if p := other.PendingImport(); p == nil || !p.Present {
			return false, nil
		}
	}
	return true, nil
}

// rotateImported makes the material that waits for it the current one.
func rotateImported(tx *service.Tx, k *record.Key, rotation record.RotationType, at time.Time) error {
	ready, err := pendingEverywhere(tx, k)
	if err != nil {
		return err
	}
	if !ready {
		return api.Errorf(api.KMSInvalidStateException, "No available key material pending rotation for the key: %s.", k.ARN())
	}
	next := k.PendingImport()
	next.Pending, next.Rotated, next.How = false, at, rotation
	k.Current, k.CurrentSince = next.ID, at
	return nil
}
