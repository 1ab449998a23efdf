package service

import (
	"encoding/base64"
	"fmt"

	"github.com/go-json-experiment/json"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/record"
)

// GrantToken is what a grant token says: which grant it is of. It is the caller's to keep, sealed by the keyring; nothing of it is
// stored. That it opens says that the grant was made, not that it is still there. ("Grant token" in "Grants in AWS KMS", AWS KMS developer
// guide.)
type GrantToken struct {
	record.Owner `json:",inline"`
	KeyID        string `json:"key"`
	GrantID      string `json:"grant"`
	Grantee      string `json:"grantee"`
}

// grantTokenPurpose separates grant tokens from whatever else the keyring seals.
const grantTokenPurpose = "keyturn grant token v1"

// SealGrantToken makes a grant token. No two are alike.
func (tx *Tx) SealGrantToken(t GrantToken) (string, error) {
	text, err := json.Marshal(&t)
	if err != nil {
		return "", fmt.Errorf("service: encoding a grant token: %w", err)
	}
	sealed, err := tx.Keyring().SealToken(text, grantTokenPurpose)
	return base64.StdEncoding.EncodeToString(sealed), err
}

// OpenGrantToken reads a grant token. The error is InvalidGrantTokenException.
func (tx *Tx) OpenGrantToken(token string) (GrantToken, error) {
	var t GrantToken
	sealed, err := base64.StdEncoding.Strict().DecodeString(token)
	if err == nil && base64.StdEncoding.EncodeToString(sealed) != token {
		err = errTokenForm // line breaks, which decoding passes over
	}
	if err == nil {
		sealed, err = tx.Keyring().OpenToken(sealed, grantTokenPurpose)
	}
	if err == nil {
		err = json.Unmarshal(sealed, &t, json.RejectUnknownMembers(true))
	}
	if err != nil {
		return GrantToken{}, errTokenForm
	}
	return t, nil
}

var errTokenForm = api.Errorf(api.InvalidGrantTokenException, "Invalid grant token.")

// checkGrantTokens refuses tokens that this deployment did not make. Grants are in force at once here, so that nothing else depends on
// them.
func (tx *Tx) checkGrantTokens(tokens []string) error {
	for _, token := range tokens {
		if _, err := tx.OpenGrantToken(token); err != nil {
			return err
		}
	}
	return nil
}
