package hsm

import (
	"errors"
	"fmt"
	"strings"

	"github.com/keyturn/keyturn/internal/hsm/hsmwire"
)

// Errors of a Token, to be told apart with errors.Is. None of them holds a PIN or plaintext.
var (
	// ErrUnavailable: the helper died, hung or talks nonsense, too many calls are under way, or the device does not work.
	// Whether a GenerateKey or DestroyKey took place is unknown; HasKey tells.
	ErrUnavailable = errors.New("hsm: unavailable")
	// ErrNoModule: the PKCS#11 library cannot be loaded or does not initialize.
	ErrNoModule = errors.New("hsm: no PKCS#11 module")
	// ErrNoToken: no token has this label or serial number, several have, or it was removed.
	ErrNoToken = errors.New("hsm: no such token")
	// ErrPIN: the token refused the PIN. Tokens lock after a few of these.
	ErrPIN = errors.New("hsm: wrong PIN")
	// ErrPINLocked: the PIN was entered wrongly too often; the security officer has to set a new one.
	ErrPINLocked = errors.New("hsm: PIN locked")
	// ErrUserNotInitialized: the token has no user PIN yet.
	ErrUserNotInitialized = errors.New("hsm: token has no user PIN")
	// ErrLoggedIn: somebody is logged in, with another PIN.
	ErrLoggedIn = errors.New("hsm: logged in with another PIN; log out first")
	// ErrNotLoggedIn: nobody is logged in; wraps ErrPIN, ErrPINLocked or the like when that is because a PIN that used to work was refused.
	ErrNotLoggedIn = errors.New("hsm: not logged in")
	// ErrKeyNotFound: the token has no key with this ID.
	ErrKeyNotFound = errors.New("hsm: key not found")
	// ErrKeyExists: the token has a key with this ID.
	ErrKeyExists = errors.New("hsm: key exists")
	// ErrCiphertext: the ciphertext is not one of this key, IV and additional data.
	ErrCiphertext = errors.New("hsm: invalid ciphertext")
	// ErrToken: the token refused or failed in another way, which the text names: it has no AES-GCM, no space left, ...
	ErrToken = errors.New("hsm: token failed")
	// ErrInvalid: an argument is empty, too long, or no key ID.
	ErrInvalid = errors.New("hsm: invalid argument")
)

var byStatus = map[hsmwire.Status]error{
	hsmwire.StatusNoModule:           ErrNoModule,
	hsmwire.StatusNoToken:            ErrNoToken,
	hsmwire.StatusPIN:                ErrPIN,
	hsmwire.StatusPINLocked:          ErrPINLocked,
	hsmwire.StatusUserNotInitialized: ErrUserNotInitialized,
	hsmwire.StatusNotLoggedIn:        ErrNotLoggedIn,
	hsmwire.StatusKeyNotFound:        ErrKeyNotFound,
	hsmwire.StatusKeyExists:          ErrKeyExists,
	hsmwire.StatusCiphertext:         ErrCiphertext,
	hsmwire.StatusDevice:             ErrUnavailable,
	hsmwire.StatusFailed:             ErrToken,
}

// replyError returns the error that a checked reply stands for.
func replyError(m hsmwire.Message) error {
	if m.Code == byte(hsmwire.StatusOK) {
		return nil
	}
	return fmt.Errorf("%w: %s", byStatus[hsmwire.Status(m.Code)], printable(m.Fields[0]))
}

// printable makes text of the helper fit for errors and logs.
func printable(b []byte) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, string(b))
}

func unavailable(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrUnavailable, fmt.Errorf(format, args...))
}
