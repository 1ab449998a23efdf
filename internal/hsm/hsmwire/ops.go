package hsmwire

// Op is what a request asks for.
type Op byte

// The operations, with the fields of a request and of its reply.
const (
	OpInfo        Op = iota + 1 // version -> label, manufacturer, model, serial, firmware, free private memory, logged in
	OpLogin                     // PIN ->
	OpLogout                    // ->
	OpGenerateKey               // key ID ->
	OpEncrypt                   // key ID, additional data, plaintext -> IV, ciphertext with tag
	OpDecrypt                   // key ID, IV, additional data, ciphertext with tag -> plaintext
	OpDestroyKey                // key ID ->
	OpHasKey                    // key ID -> 0 or 1
	OpRandom                    // count, big-endian -> so many bytes
)

// Status is how a request ended. Every reply that is not OK has one field, a text that names the PKCS#11 error.
type Status byte

// The statuses.
const (
	StatusOK                 Status = iota
	StatusNoModule                  // the module cannot be loaded or does not start
	StatusNoToken                   // no such token, or it was taken away
	StatusPIN                       // the PIN is wrong, or cannot be one
	StatusPINLocked                 // too many wrong PINs
	StatusUserNotInitialized        // the token has no user PIN yet
	StatusNotLoggedIn               // the operation needs a login
	StatusKeyNotFound               // no key has this ID
	StatusKeyExists                 // a key has this ID
	StatusCiphertext                // the ciphertext is not one of this key, IV and additional data
	StatusDevice                    // the device or the way to it failed; a fresh start may help
	StatusFailed                    // the token refused or failed in another way
)

// Limits of what goes through the protocol, most of them in bytes. CloudHSM takes at most 16 KiB in a GCM call.
const (
	MaxKeyID     = 64
	MaxPIN       = 256
	MaxPlaintext = 8 << 10
	MaxAAD       = 16 << 10
	MaxRandom    = 1 << 10
	MaxText      = 256
	IVSize       = 12
	TagSize      = 16

	// MaxInFlight is the most requests that may wait for their reply at a time; a helper ends when there are more.
	MaxInFlight = 1024
)

// span is the allowed length of a field.
type span struct{ min, max int }

var (
	keyID      = span{1, MaxKeyID}
	info       = span{0, 64} // Cryptoki's longest text of a token has 32 bytes
	iv         = span{IVSize, IVSize}
	plaintext  = span{1, MaxPlaintext}
	ciphertext = span{1 + TagSize, MaxPlaintext + TagSize}
	aad        = span{0, MaxAAD}
)

// shape is the fields of an operation's request, and of its reply when all went well.
type shape struct{ request, reply []span }

var shapes = map[Op]shape{
	OpInfo:        {[]span{{1, 1}}, []span{info, info, info, info, info, {8, 8}, {1, 1}}},
	OpLogin:       {[]span{{1, MaxPIN}}, nil},
	OpLogout:      {nil, nil},
	OpGenerateKey: {[]span{keyID}, nil},
	OpEncrypt:     {[]span{keyID, aad, plaintext}, []span{iv, ciphertext}},
	OpDecrypt:     {[]span{keyID, iv, aad, ciphertext}, []span{plaintext}},
	OpDestroyKey:  {[]span{keyID}, nil},
	OpHasKey:      {[]span{keyID}, []span{{1, 1}}},
	OpRandom:      {[]span{{2, 2}}, []span{{1, MaxRandom}}},
}

func check(fields [][]byte, want []span) error {
	if len(fields) != len(want) {
		return malformed("%d fields instead of %d", len(fields), len(want))
	}
	for i, f := range fields {
		if len(f) < want[i].min || len(f) > want[i].max {
			return malformed("field %d has %d bytes", i, len(f))
		}
	}
	return nil
}

// CheckRequest checks that a request is one of a known operation, with the fields it takes, in length and number.
func CheckRequest(m Message) error {
	s, ok := shapes[Op(m.Code)]
	if !ok {
		return malformed("operation %d", m.Code)
	}
	if err := check(m.Fields, s.request); err != nil {
		return err
	}
	switch Op(m.Code) {
	case OpGenerateKey, OpEncrypt, OpDecrypt, OpDestroyKey, OpHasKey:
		if !ValidKeyID(string(m.Fields[0])) {
			return malformed("key ID")
		}
	case OpRandom:
		if n := Count(m.Fields[0]); n < 1 || n > MaxRandom {
			return malformed("%d random bytes", n)
		}
	}
	return nil
}

// CheckReply checks that m can be the reply to request, which must have passed CheckRequest.
func CheckReply(request, m Message) error {
	if m.ID != request.ID {
		return malformed("reply to another request")
	}
	if s := Status(m.Code); s > StatusFailed {
		return malformed("status %d", s)
	} else if s != StatusOK {
		return check(m.Fields, []span{{0, MaxText}})
	}
	op := Op(request.Code)
	if err := check(m.Fields, shapes[op].reply); err != nil {
		return err
	}
	ok := true
	switch op {
	case OpEncrypt:
		ok = len(m.Fields[1]) == len(request.Fields[2])+TagSize
	case OpDecrypt:
		ok = len(m.Fields[0]) == len(request.Fields[3])-TagSize
	case OpHasKey:
		ok = m.Fields[0][0] <= 1
	case OpInfo:
		ok = m.Fields[6][0] <= 1
	case OpRandom:
		ok = len(m.Fields[0]) == Count(request.Fields[0])
	}
	if !ok {
		return malformed("reply does not fit its request")
	}
	return nil
}

// Count reads the field of OpRandom, PutCount makes it.
func Count(field []byte) int { return int(field[0])<<8 | int(field[1]) }

// PutCount makes the field of OpRandom for n, 1 to MaxRandom.
func PutCount(n int) []byte { return []byte{byte(n >> 8), byte(n)} }

// ValidKeyID tells whether id can name a key: 1 to 64 letters, digits, '-', '_' and '.'.
func ValidKeyID(id string) bool {
	if len(id) < 1 || len(id) > MaxKeyID {
		return false
	}
	for _, c := range []byte(id) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_', c == '.':
		default:
			return false
		}
	}
	return true
}
