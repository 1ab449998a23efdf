// Package helper is what keyturn-pkcs11 does with a PKCS#11 module, without the module: it answers the requests of package
// hsmwire through a Module, over a pool of sessions. Only the command itself needs cgo; this package and its tests do not.
package helper

import "fmt"

type (
	// Session is a session handle, CK_SESSION_HANDLE.
	Session uint
	// Object is an object handle, CK_OBJECT_HANDLE. It holds for every session of the process.
	Object uint
)

// Module is a PKCS#11 module and one token of it. Its methods may be called from several goroutines, for different sessions.
// Errors of the module are of type *Error.
type Module interface {
	TokenInfo() (TokenInfo, error)
	// OpenSession opens a read-write session: CloudHSM has no others.
	OpenSession() (Session, error)
	CloseSession(Session) error

	// Login logs the normal user in, for all sessions; pin is not kept.
	Login(s Session, pin []byte) error
	Logout(Session) error
	// LoggedIn tells whether the normal user is logged in.
	LoggedIn(Session) (bool, error)

	// Find returns at most limit AES keys on the token with this label and ID.
	Find(s Session, label, id string, limit int) ([]Object, error)
	Attributes(Session, Object) (Attributes, error)
	// GenerateKey makes a 256-bit AES key on the token that is sensitive, cannot be extracted, and does nothing but encrypt and decrypt.
	GenerateKey(s Session, label, id string) (Object, error)
	DestroyKey(Session, Object) error

	// Encrypt is AES-GCM with a 128-bit tag. It returns the IV that is in the parameters after the call: a token may put its
	// own there.
	Encrypt(s Session, key Object, iv, aad, plaintext []byte) (usedIV, ciphertext []byte, err error)
	Decrypt(s Session, key Object, iv, aad, ciphertext []byte) ([]byte, error)
	// Random returns n bytes of the token's random generator.
	Random(s Session, n int) ([]byte, error)
}

// TokenInfo is what CK_TOKEN_INFO says, texts without padding.
type TokenInfo struct {
	Label, Manufacturer, Model, Serial, Firmware string
	FreePrivateMemory                            uint64 // bytes; all ones if the token does not tell
}

// Attributes are those of a key that are checked before it is used.
type Attributes struct {
	ID                     []byte // CKA_ID
	Sensitive, Extractable bool
}

// CKR is a PKCS#11 return value.
type CKR uint

// The return values that make a difference here; PKCS#11 has many more. Numbers as in the OASIS headers, version 3.0.
const (
	HostMemory            CKR = 0x002
	GeneralError          CKR = 0x005
	FunctionFailed        CKR = 0x006
	ArgumentsBad          CKR = 0x007
	DataInvalid           CKR = 0x020
	DeviceError           CKR = 0x030
	DeviceMemory          CKR = 0x031
	DeviceRemoved         CKR = 0x032
	EncryptedDataInvalid  CKR = 0x040
	EncryptedDataLenRange CKR = 0x041
	AEADDecryptFailed     CKR = 0x042
	KeyHandleInvalid      CKR = 0x060
	MechanismInvalid      CKR = 0x070
	MechanismParamInvalid CKR = 0x071
	ObjectHandleInvalid   CKR = 0x082
	OperationActive       CKR = 0x090
	PINIncorrect          CKR = 0x0A0
	PINInvalid            CKR = 0x0A1
	PINLenRange           CKR = 0x0A2
	PINExpired            CKR = 0x0A3
	PINLocked             CKR = 0x0A4
	SessionClosed         CKR = 0x0B0
	SessionCount          CKR = 0x0B1
	SessionHandleInvalid  CKR = 0x0B3
	SignatureInvalid      CKR = 0x0C0
	TokenNotPresent       CKR = 0x0E0
	TokenNotRecognized    CKR = 0x0E1
	UserAlreadyLoggedIn   CKR = 0x100
	UserNotLoggedIn       CKR = 0x101
	UserPINNotInitialized CKR = 0x102
	NotInitialized        CKR = 0x190
)

// Names are the values' names in PKCS#11.
var Names = map[CKR]string{
	HostMemory:            "CKR_HOST_MEMORY",
	GeneralError:          "CKR_GENERAL_ERROR",
	FunctionFailed:        "CKR_FUNCTION_FAILED",
	ArgumentsBad:          "CKR_ARGUMENTS_BAD",
	DataInvalid:           "CKR_DATA_INVALID",
	DeviceError:           "CKR_DEVICE_ERROR",
	DeviceMemory:          "CKR_DEVICE_MEMORY",
	DeviceRemoved:         "CKR_DEVICE_REMOVED",
	EncryptedDataInvalid:  "CKR_ENCRYPTED_DATA_INVALID",
	EncryptedDataLenRange: "CKR_ENCRYPTED_DATA_LEN_RANGE",
	AEADDecryptFailed:     "CKR_AEAD_DECRYPT_FAILED",
	KeyHandleInvalid:      "CKR_KEY_HANDLE_INVALID",
	MechanismInvalid:      "CKR_MECHANISM_INVALID",
	MechanismParamInvalid: "CKR_MECHANISM_PARAM_INVALID",
	ObjectHandleInvalid:   "CKR_OBJECT_HANDLE_INVALID",
	OperationActive:       "CKR_OPERATION_ACTIVE",
	PINIncorrect:          "CKR_PIN_INCORRECT",
	PINInvalid:            "CKR_PIN_INVALID",
	PINLenRange:           "CKR_PIN_LEN_RANGE",
	PINExpired:            "CKR_PIN_EXPIRED",
	PINLocked:             "CKR_PIN_LOCKED",
	SessionClosed:         "CKR_SESSION_CLOSED",
	SessionCount:          "CKR_SESSION_COUNT",
	SessionHandleInvalid:  "CKR_SESSION_HANDLE_INVALID",
	SignatureInvalid:      "CKR_SIGNATURE_INVALID",
	TokenNotPresent:       "CKR_TOKEN_NOT_PRESENT",
	TokenNotRecognized:    "CKR_TOKEN_NOT_RECOGNIZED",
	UserAlreadyLoggedIn:   "CKR_USER_ALREADY_LOGGED_IN",
	UserNotLoggedIn:       "CKR_USER_NOT_LOGGED_IN",
	UserPINNotInitialized: "CKR_USER_PIN_NOT_INITIALIZED",
	NotInitialized:        "CKR_CRYPTOKI_NOT_INITIALIZED",
}

// Error is a return value other than CKR_OK, and the function it came from.
type Error struct {
	Call string // "C_Login"
	Code CKR
}

// Error names function and value, and the number for values that are not in Names.
func (e *Error) Error() string {
	if name, ok := Names[e.Code]; ok {
		return e.Call + ": " + name
	}
	return fmt.Sprintf("%s: CKR %#x", e.Call, uint(e.Code))
}
