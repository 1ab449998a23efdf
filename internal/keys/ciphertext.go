package keys

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"hash"
	"slices"
	"sync"

	"github.com/keyturn/keyturn/internal/xaes"
)

// A symmetric ciphertext, format version 1:
//
//	offset size
//	     0    1  format version, 1
//	     1    1  algorithm of the body, see Algorithm
//	     2    1  kind of key ID: 0 = UUID, 1 = multi-Region
//	     3    4  version of the keyring key whose MAC follows, big endian
//	     7   16  key ID
//	    23   32  key material ID
//	    55   16  MAC: HMAC-SHA-256, cut to 128 bits, of everything before and after it
//	    71       body, by algorithm; of XAES: 24 bytes nonce, ciphertext, 16 bytes tag
//
// The MAC is checked before anything is looked up, so that every altered byte gets the one answer, ErrCiphertext, whether
// the key it names exists or not. The body's additional data binds the header, the owner's account and the encryption
// context; see additionalData.
const (
	formatV1 = 1

	idUUID        = 0
	idMultiRegion = 1

	macOffset  = 55
	macSize    = 16
	bodyOffset = macOffset + macSize

	// Overhead is what sealing adds to a plaintext with XAES.
	Overhead = bodyOffset + xaes.Overhead
	// minBody is the shortest body of any algorithm: a 12-byte nonce and a 16-byte tag.
	minBody = 12 + 16
	// MaxCiphertext is the longest blob parsed; the API takes no longer one.
	MaxCiphertext = 6144
)

// Algorithm says what seals the body of a ciphertext.
type Algorithm byte

const (
	XAES     Algorithm = 1 // XAES-256-GCM under the key material
	Token    Algorithm = 2 // AES-256-GCM in a PKCS #11 token: 12 bytes nonce, ciphertext, 16 bytes tag
	External Algorithm = 3 // XAES-256-GCM under the key material, then by an external key
)

// Body seals and opens the bodies of one material. Open's error is ErrCiphertext, or xaes.ErrOpen, if the body was not sealed by this
// material with this additional data; any other error passes through. *xaes.AEAD is one.
type Body interface {
	Seal(dst, plaintext, additionalData []byte) ([]byte, error)
	Open(dst, body, additionalData []byte) ([]byte, error)
}

// ErrCiphertext is returned for every blob that is not a ciphertext of this service, or was altered, or is opened with
// another encryption context: which of them is not told.
var ErrCiphertext = errors.New("keys: invalid ciphertext")

// MACKey authenticates ciphertexts under one version of the keyring. It is safe for concurrent use.
type MACKey struct {
	version uint32
	pool    sync.Pool // of *macState: keyed HMACs
}

type macState struct {
	h   hash.Hash
	sum [sha256.Size]byte
}

// NewMACKey returns the MAC key of a keyring version.
func NewMACKey(version uint32, key []byte) *MACKey {
	key = slices.Clone(key)
	return &MACKey{version: version, pool: sync.Pool{New: func() any { return &macState{h: hmac.New(sha256.New, key)} }}}
}

// sum writes the MAC of the blob, its MAC field left out, to out.
func (k *MACKey) sum(out *[macSize]byte, blob []byte) {
	st := k.pool.Get().(*macState)
	st.h.Reset()
	st.h.Write(blob[:macOffset])
	st.h.Write(blob[bodyOffset:])
	copy(out[:], st.h.Sum(st.sum[:0]))
	k.pool.Put(st)
}

// MACKeys finds the MAC key of a keyring version, nil if there is none. The keyring is one.
type MACKeys interface {
	MACKey(version uint32) *MACKey
}

// Ciphertext is a genuine symmetric ciphertext: its MAC has been checked, so its key and material were named by this
// service. Its fields alias the blob.
type Ciphertext struct {
	Algorithm  Algorithm
	KeyID      KeyID
	MaterialID MaterialID
	blob       []byte
}

// ParseCiphertext checks form and MAC of a blob. The only error is ErrCiphertext.
func ParseCiphertext(blob []byte, macs MACKeys) (Ciphertext, error) {
	if len(blob) < bodyOffset+minBody || len(blob) > MaxCiphertext || blob[0] != formatV1 || blob[2] > idMultiRegion {
		return Ciphertext{}, ErrCiphertext
	}
	if alg := Algorithm(blob[1]); alg < XAES || alg > External {
		return Ciphertext{}, ErrCiphertext
	}
	key := macs.MACKey(binary.BigEndian.Uint32(blob[3:]))
	if key == nil {
		return Ciphertext{}, ErrCiphertext
	}
	var want [macSize]byte
	key.sum(&want, blob)
	if !hmac.Equal(want[:], blob[macOffset:bodyOffset]) {
		return Ciphertext{}, ErrCiphertext
	}
	return Ciphertext{
		Algorithm: Algorithm(blob[1]), KeyID: KeyID{kind: blob[2], id: [16]byte(blob[7:23])}, MaterialID: MaterialID(blob[23:55]), blob: blob,
	}, nil
}

// Open decrypts the body with the material that the ciphertext names and appends the plaintext to dst. account is the
// owner of the key. The error is ErrCiphertext, or what keeps the material's keeper from opening it.
func (c Ciphertext) Open(dst []byte, material Body, account string, context Context) ([]byte, error) {
	buf := aadPool.Get().(*[]byte)
	defer aadPool.Put(buf)
	*buf = additionalData((*buf)[:0], c.blob[:macOffset], account, context)
	out, err := material.Open(dst, c.blob[bodyOffset:], *buf)
	if errors.Is(err, xaes.ErrOpen) {
		return nil, ErrCiphertext
	}
	return out, err
}

// Seal encrypts under the material and appends the ciphertext to dst: with XAES, len(plaintext)+Overhead bytes.
func Seal(dst, plaintext []byte, alg Algorithm, id KeyID, materialID MaterialID, material Body, mac *MACKey, account string, context Context) ([]byte, error) {
	start := len(dst)
	dst = slices.Grow(dst, len(plaintext)+Overhead)
	dst = append(dst, formatV1, byte(alg), id.kind)
	dst = binary.BigEndian.AppendUint32(dst, mac.version)
	dst = append(dst, id.id[:]...)
	dst = append(dst, materialID[:]...)
	dst = append(dst, make([]byte, macSize)...)

	buf := aadPool.Get().(*[]byte)
	defer aadPool.Put(buf)
	*buf = additionalData((*buf)[:0], dst[start:start+macOffset], account, context)
	dst, err := material.Seal(dst, plaintext, *buf)
	if err != nil {
		return nil, err
	}
	var sum [macSize]byte
	mac.sum(&sum, dst[start:])
	copy(dst[start+macOffset:], sum[:])
	return dst, nil
}

var aadPool = sync.Pool{New: func() any { b := make([]byte, 0, 512); return &b }}

// Context is an encryption context: names and values that must be given again to decrypt.
type Context map[string]string

// additionalData appends what the body is bound to: the header up to its MAC, the account and the context, sorted bytewise by
// name, every string with its length in front, so that no two contexts give the same bytes.
func additionalData(dst, header []byte, account string, context Context) []byte {
	dst = append(dst, header...)
	dst = appendString(dst, account)
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(context)))
	if len(context) == 0 {
		return dst
	}
	var few [8]string
	names := few[:0]
	for name := range context {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		dst = appendString(dst, name)
		dst = appendString(dst, context[name])
	}
	return dst
}

func appendString(dst []byte, s string) []byte {
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(s)))
	return append(dst, s...)
}
