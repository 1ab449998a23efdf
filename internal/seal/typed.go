package seal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
)

// TypedPassphrase is a passphrase that a person types whenever the store is opened. What it seals is what Passphrase seals, so a store can change
// from one to the other without being sealed anew. It keeps the derived key, never the passphrase.
type TypedPassphrase struct {
	key    []byte // nil until the passphrase was given
	params []byte // iterations and salt that key comes from
}

// MaxPassphrase is the length in bytes up to which a typed passphrase is looked at.
const MaxPassphrase = 1024

// NewTypedPassphrase returns a provider that no passphrase was given to.
func NewTypedPassphrase() *TypedPassphrase { return new(TypedPassphrase) }

// Name implements Provider.
func (*TypedPassphrase) Name() string { return (*Passphrase)(nil).Name() }

// Needs implements Attended.
func (p *TypedPassphrase) Needs(sealed []byte) (Needs, error) {
	params, err := passphraseParams(sealed)
	if err != nil {
		return Needs{}, err
	}
	n := Needs{What: "passphrase", Needed: 1}
	if p.key != nil && bytes.Equal(p.params, params) {
		n.Given = 1
	}
	return n, nil
}

// Give implements Attended. It takes the time of PBKDF2, unless the text is none that could be a passphrase.
func (p *TypedPassphrase) Give(sealed, text []byte) (Needs, error) {
	params, err := passphraseParams(sealed)
	if err != nil {
		return Needs{}, err
	}
	n := Needs{What: "passphrase", Needed: 1}
	text = bytes.TrimRight(text, "\r\n")
	if len(text) < minPassphrase || len(text) > MaxPassphrase {
		return n, fmt.Errorf("%w: a passphrase has %d to %d characters", ErrWrongKey, minPassphrase, MaxPassphrase)
	}
	key, err := (&Passphrase{passphrase: string(text)}).derive(params)
	if err != nil {
		return n, err
	}
	if _, err := unsealWith(key, params, sealed); errors.Is(err, ErrWrongKey) {
		clear(key)
		return n, fmt.Errorf("%w: this is not the passphrase", ErrWrongKey)
	}
	// Whatever else is wrong, Unseal says.
	p.key, p.params = key, bytes.Clone(params)
	n.Given = 1
	return n, nil
}

// Forget implements Attended.
func (p *TypedPassphrase) Forget() {}

// Seal implements Provider: under the key of the passphrase that was given.
func (p *TypedPassphrase) Seal(_ context.Context, root []byte) ([]byte, error) {
	if p.key == nil {
		return nil, errors.New("seal: no passphrase was given yet")
	}
	return sealWith(p.key, p.params, root)
}

// Unseal implements Provider. Without the passphrase it is ErrWrongKey.
func (p *TypedPassphrase) Unseal(_ context.Context, sealed []byte) ([]byte, error) {
	params, err := passphraseParams(sealed)
	if err != nil {
		return nil, err
	}
	if p.key == nil || !bytes.Equal(p.params, params) {
		return nil, fmt.Errorf("%w: no passphrase was given", ErrWrongKey)
	}
	return unsealWith(p.key, p.params, sealed)
}

// passphraseParams are iteration count and salt of what a passphrase sealed.
func passphraseParams(sealed []byte) ([]byte, error) {
	if err := checkVersion(sealed); err != nil {
		return nil, err
	}
	if len(sealed) < 1+4+saltSize {
		return nil, fmt.Errorf("%w: sealed root key is cut short", ErrDamaged)
	}
	return sealed[1 : 1+4+saltSize], nil
}
