package seal

import (
	"errors"
	"fmt"
)

// ErrUnavailable: what the provider needs cannot be had now and may be had later, with nothing changed here: a KMS does not answer, or refuses.
// Test with errors.Is.
var ErrUnavailable = errors.New("seal: the key is not available now")

// ErrGiven: what a person gives was given before. Test with errors.Is.
var ErrGiven = errors.New("this was given already")

// Attended is a Provider that people have to give something to before it can unseal: shares, a passphrase. It keeps the key that it got, so that it
// seals a new root key with nobody there. Implementations are used from one goroutine at a time, as every Provider.
type Attended interface {
	Provider
	// Needs says what opens a sealed root key, and how much of it has been given. ErrDamaged, ErrFormat.
	Needs(sealed []byte) (Needs, error)
	// Give takes what one person has. Once as much has been given as is needed, Unseal does the rest. Every error's text may be shown to whoever
	// gave: ErrWrongKey for what is not, or not of, what opens this root key, ErrGiven, or what is wrong with the text. ErrDamaged means that nothing will
	// help. text is not kept.
	Give(sealed, text []byte) (Needs, error)
	// Forget wipes what was given, as far as Go lets it. What has been unsealed stays so.
	Forget()
}

// Needs says what a sealed root key waits for.
type Needs struct {
	What   string // "share" or "passphrase"
	Given  int
	Needed int
	Of     int    // how many there are; 0 for a passphrase
	Set    string // which shares, "" for a passphrase
}

// Done tells whether enough has been given.
func (n Needs) Done() bool { return n.Given >= n.Needed }

// String says what is still missing, for people.
func (n Needs) String() string {
	if n.What == "share" {
		return fmt.Sprintf("%d of %d shares given", n.Given, n.Needed)
	}
	if n.Done() {
		return "the " + n.What + " was given"
	}
	return "waiting for the " + n.What
}

// Bound is a Provider that binds what it seals to the store. Bind is called with the deployment's ID before anything is sealed or unsealed.
type Bound interface {
	Provider
	Bind(deployment string)
}

// bind tells a provider which store it works for, if it wants to know.
func bind(p Provider, deployment string) {
	if b, ok := p.(Bound); ok {
		b.Bind(deployment)
	}
}

// Wrap seals a root key under a key of 32 bytes, for providers outside this package. params is what it takes to find that key again; it is stored
// in the clear in front, and authenticated.
func Wrap(key, params, root []byte) ([]byte, error) { return sealWith(key, params, root) }

// Unwrap opens what Wrap sealed under the same key and params. ErrWrongKey, ErrDamaged, ErrFormat.
func Unwrap(key, params, sealed []byte) ([]byte, error) {
	if err := checkVersion(sealed); err != nil {
		return nil, err
	}
	return unsealWith(key, params, sealed)
}

// Params returns what stands behind the version of a sealed root key. ErrDamaged, ErrFormat.
func Params(sealed []byte) ([]byte, error) {
	if err := checkVersion(sealed); err != nil {
		return nil, err
	}
	return sealed[1:], nil
}

// Unbound starts a sealed root key of a provider that has its own way to seal: the version, then params.
func Unbound(params []byte) []byte { return append([]byte{sealedV1}, params...) }
