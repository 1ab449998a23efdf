package backup

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"filippo.io/age"

	"github.com/keyturn/keyturn/internal/seal"
	"github.com/keyturn/keyturn/internal/xaes"
)

// A backup for the seal has one stanza: the store's keyring as it was wrapped then, in which the root key stands sealed by its provider, and
// the file key under a key that follows from the root key. So the provider that sealed the deployment at the time opens the backup.

const (
	sealStanza = "keyturn-seal"
	sealV1     = "1"
	// filePurpose is what the key that wraps file keys is derived for.
	filePurpose = "backup file key"
)

// sealRecipient implements age.Recipient.
type sealRecipient struct{ escrow *seal.Escrow }

func wrapping(e *seal.Escrow) (aead *xaes.AEAD, bound []byte, err error) {
	key, err := e.DerivedKey(filePurpose)
	if err != nil {
		return nil, nil, err
	}
	aead, err = xaes.New(key)
	return aead, append([]byte("keyturn backup file key 1"), e.Meta...), err
}

// Wrap implements age.Recipient.
func (r sealRecipient) Wrap(fileKey []byte) ([]*age.Stanza, error) {
	aead, bound, err := wrapping(r.escrow)
	if err != nil {
		return nil, err
	}
	body := binary.BigEndian.AppendUint32(nil, uint32(len(r.escrow.Meta)))
	body, err = aead.Seal(append(body, r.escrow.Meta...), fileKey, bound)
	return []*age.Stanza{{Type: sealStanza, Args: []string{sealV1}, Body: body}}, err
}

// SealIdentity is an age.Identity that decrypts backups for the seal, with the provider that sealed the deployment then.
type SealIdentity struct {
	ctx      context.Context
	provider seal.Provider
	escrows  []*seal.Escrow // those that it has unsealed
}

// NewSealIdentity returns the identity of a provider. ctx is that of what the provider does.
func NewSealIdentity(ctx context.Context, p seal.Provider) *SealIdentity {
	return &SealIdentity{ctx: ctx, provider: p}
}

// Unwrap implements age.Identity.
func (i *SealIdentity) Unwrap(stanzas []*age.Stanza) ([]byte, error) {
	err := age.ErrIncorrectIdentity
	for _, s := range stanzas {
		if s.Type != sealStanza {
			continue
		}
		if len(s.Args) != 1 || s.Args[0] != sealV1 {
			return nil, fmt.Errorf("%w: it is for a seal in a way that this keyturn does not know", ErrFormat)
		}
		key, reason := i.unwrap(s.Body)
		if reason == nil {
			return key, nil
		}
		if !errors.Is(reason, seal.ErrWrongKey) {
			return nil, reason
		}
		err = fmt.Errorf("%w: %w", age.ErrIncorrectIdentity, reason)
	}
	return nil, err
}

func (i *SealIdentity) unwrap(body []byte) ([]byte, error) {
	if len(body) < 4 || uint64(binary.BigEndian.Uint32(body)) > uint64(len(body)-4) {
		return nil, fmt.Errorf("%w: what the seal opens is cut short", ErrDamaged)
	}
	n := binary.BigEndian.Uint32(body)
	e := &seal.Escrow{Meta: bytes.Clone(body[4 : 4+n])}
	if err := e.Unseal(i.ctx, i.provider); err != nil {
		return nil, &unsealError{err}
	}
	aead, bound, err := wrapping(e)
	if err != nil {
		return nil, err
	}
	key, err := aead.Open(nil, body[4+n:], bound)
	if err != nil {
		return nil, fmt.Errorf("%w: the file key does not open under the root key", ErrDamaged)
	}
	i.escrows = append(i.escrows, e)
	return key, nil
}

// unsealError is what a provider says that could not unseal: of people who gave no share, or of a KMS that is not reached, and not of the file.
type unsealError struct{ error }

// Unwrap returns the provider's error.
func (e *unsealError) Unwrap() error { return e.error }

// root returns the root key that goes with a wrapped keyring, nil if this identity has not met it.
func (i *SealIdentity) root(meta []byte) []byte {
	for _, e := range i.escrows {
		if bytes.Equal(e.Meta, meta) {
			return e.Root
		}
	}
	return nil
}
