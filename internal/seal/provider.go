// Package seal protects what the store holds: a provider seals the root key, the root key wraps a versioned keyring, and the
// current key of the keyring seals each value. So the root key changes without touching a value, and the keyring rotates
// like any key: old versions stay and go on opening what they sealed.
package seal

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/keyturn/keyturn/internal/disk"
	"github.com/keyturn/keyturn/internal/xaes"
)

// Errors; test with errors.Is.
var (
	// ErrWrongKey: the key file or passphrase is not the one that sealed the root key.
	ErrWrongKey = errors.New("seal: this is not the key that seals the store")
	// ErrNoKey: there is no key file where one is configured.
	ErrNoKey = errors.New("seal: key file not found")
	// ErrDamaged: what should open does not. The store was altered or is broken.
	ErrDamaged = errors.New("seal: damaged")
	// ErrFormat: the store was written by a newer keyturn, or is none.
	ErrFormat = errors.New("seal: unknown data format")
)

// Provider seals the root key. Implementations are used from one goroutine at a time.
type Provider interface {
	// Name is stored beside the sealed root key, so that the wrong kind of provider is told apart from the wrong key.
	Name() string
	// Seal returns an opaque, versioned form of the root key.
	Seal(ctx context.Context, root []byte) ([]byte, error)
	// Unseal returns the root key. ErrWrongKey, ErrDamaged.
	Unseal(ctx context.Context, sealed []byte) ([]byte, error)
}

// Handout is a Provider that makes secrets for people to keep when it first seals something, such as shares.
type Handout interface {
	Provider
	// Handout returns them, once: they are kept nowhere.
	Handout() []string
}

const (
	sealedV1        = 1
	fingerprintSize = 8
)

// sealWith wraps the root key under key: version, parameters, fingerprint of the key, XAES-256-GCM.
func sealWith(key, params, root []byte) ([]byte, error) {
	aead, err := xaes.New(key)
	if err != nil {
		return nil, err
	}
	header := append(append([]byte{sealedV1}, params...), fingerprint(key)...)
	return aead.Seal(header, root, header)
}

func unsealWith(key, params, sealed []byte) ([]byte, error) {
	n := 1 + len(params) + fingerprintSize
	if len(sealed) < n || !bytes.Equal(sealed[1:1+len(params)], params) {
		return nil, fmt.Errorf("%w: sealed root key is cut short", ErrDamaged)
	}
	if !hmac.Equal(sealed[n-fingerprintSize:n], fingerprint(key)) {
		return nil, ErrWrongKey
	}
	aead, err := xaes.New(key)
	if err != nil {
		return nil, err
	}
	root, err := aead.Open(nil, sealed[n:], sealed[:n])
	if err != nil {
		return nil, fmt.Errorf("%w: the root key does not open", ErrDamaged)
	}
	return root, nil
}

// fingerprint tells a wrong key from a damaged blob. It reveals nothing of a random key.
func fingerprint(key []byte) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte("keyturn seal fingerprint v1"))
	return h.Sum(nil)[:fingerprintSize]
}

func checkVersion(sealed []byte) error {
	if len(sealed) == 0 {
		return fmt.Errorf("%w: sealed root key is empty", ErrDamaged)
	}
	if sealed[0] != sealedV1 {
		return fmt.Errorf("%w: sealed root key has version %d", ErrFormat, sealed[0])
	}
	return nil
}

// KeyFile is a Provider whose key stands in a file that only its owner can read.
type KeyFile struct {
	key  []byte
	path string // "" if the key is in no file
	fs   disk.FS
}

const (
	keyFilePrefix = "keyturn-seal-key-v1:"
	// KeyFileTemp matches what CreateKeyFile leaves beside the key file when it is killed: a key, and where files cannot be renamed without
	// replacing another it may be the one that the key file has.
	KeyFileTemp = ".seal-key-*"
)

// CreateKeyFile writes a new random key to path, mode 0600. It never overwrites a file.
func CreateKeyFile(path string) error {
	if err := createKeyFile(disk.OS, path); err != nil {
		return fmt.Errorf("creating the key file %s: %w", path, err)
	}
	return nil
}

func createKeyFile(fsys disk.FS, path string) error {
	key := make([]byte, xaes.KeySize)
	rand.Read(key)
	text := []byte(keyFilePrefix + base64.StdEncoding.EncodeToString(key) + "\n")
	// Written under another name first: a crash must not leave half a key under the real one.
	dir := filepath.Dir(path)
	tmp, err := fsys.CreateTemp(dir, KeyFileTemp)
	if err != nil {
		return err
	}
	if err := write(fsys.File(tmp), text); err != nil {
		return errors.Join(err, fsys.Remove(tmp.Name()))
	}
	err = fsys.RenameNew(tmp.Name(), path)
	switch {
	case errors.Is(err, errors.ErrUnsupported):
		err = linkKeyFile(fsys, tmp.Name(), path, text)
	case err != nil:
		err = errors.Join(err, fsys.Remove(tmp.Name()))
	}
	if err != nil {
		return err
	}
	return disk.SyncNames(fsys, dir)
}

// linkKeyFile gives a key file its name where a file cannot be renamed without replacing another. The old name goes before the new one is durable: a key
// that seals something has no second name.
func linkKeyFile(fsys disk.FS, tmp, path string, text []byte) error {
	err := fsys.Link(tmp, path) // fails if path exists, unlike a plain rename
	if gone := fsys.Remove(tmp); gone != nil {
		return errors.Join(err, gone)
	}
	if err == nil || errors.Is(err, fs.ErrExist) {
		return err
	}
	// A file system without hard links: create exclusively instead.
	f, err := fsys.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	if err := write(fsys.File(f), text); err != nil {
		return errors.Join(err, fsys.Remove(path))
	}
	return nil
}

// write writes, syncs and closes a file.
func write(f disk.File, text []byte) error {
	_, err := f.Write(text)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// OpenKeyFile reads a key file. ErrNoKey if there is none; an error if others than the owner can read it. It waits for nobody to write into a pipe.
func OpenKeyFile(path string) (*KeyFile, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|openNonblock, 0)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%w: %s", ErrNoKey, path)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the key file: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("reading the key file: %w", err)
	}
	if readableByOthers(path, info) {
		return nil, fmt.Errorf("key file %s can be read by others (mode %v); it must have mode 0600", path, info.Mode().Perm())
	}
	if info.Size() > 1024 {
		return nil, fmt.Errorf("key file %s is not a keyturn key file: too long", path)
	}
	text, err := io.ReadAll(io.LimitReader(f, 1024))
	if err != nil {
		return nil, fmt.Errorf("reading the key file: %w", err)
	}
	encoded, ok := strings.CutPrefix(strings.TrimSpace(string(text)), keyFilePrefix)
	key, err := base64.StdEncoding.Strict().DecodeString(encoded)
	if !ok || err != nil || len(key) != xaes.KeySize {
		return nil, fmt.Errorf("key file %s is not a keyturn key file: it must hold one line that starts with %s", path, keyFilePrefix)
	}
	return &KeyFile{key: key, path: path, fs: disk.OS}, nil
}

// NewKeyFile returns a KeyFile provider for a key of 32 bytes that is already at hand.
func NewKeyFile(key []byte) *KeyFile { return &KeyFile{key: bytes.Clone(key)} }

func (*KeyFile) Name() string { return "keyfile" }

// Seal implements Provider. File and name are on the disk before anything is sealed with the key: whoever made them, here or elsewhere, may have died
// before that. A file that has been taken away since it was read, to be kept elsewhere, is its keeper's.
func (k *KeyFile) Seal(_ context.Context, root []byte) ([]byte, error) {
	if k.path != "" {
		if err := disk.Settle(k.fs, k.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("making the key file durable: %w", err)
		}
	}
	return sealWith(k.key, nil, root)
}

func (k *KeyFile) Unseal(_ context.Context, sealed []byte) ([]byte, error) {
	if err := checkVersion(sealed); err != nil {
		return nil, err
	}
	return unsealWith(k.key, nil, sealed)
}

// Passphrase is a Provider whose key is derived from a passphrase with PBKDF2-HMAC-SHA-256 (SP 800-132), salt and iteration
// count stored beside what it seals.
type Passphrase struct {
	passphrase string
	iterations uint32
}

const (
	saltSize             = 32
	passphraseIterations = 600_000 // OWASP Password Storage Cheat Sheet, PBKDF2-HMAC-SHA256
	maxIterations        = 100_000_000
	minPassphrase        = 14 // shorter ones PBKDF2 refuses in FIPS 140-only mode (112 bits)
)

// NewPassphrase returns the provider for a passphrase of at least 14 bytes.
func NewPassphrase(passphrase string) (*Passphrase, error) {
	if len(passphrase) < minPassphrase {
		return nil, fmt.Errorf("seal: the passphrase is too short: at least %d characters are needed", minPassphrase)
	}
	return &Passphrase{passphrase: passphrase, iterations: passphraseIterations}, nil
}

func (*Passphrase) Name() string { return "passphrase" }

func (p *Passphrase) Seal(_ context.Context, root []byte) ([]byte, error) {
	params := binary.BigEndian.AppendUint32(nil, p.iterations)
	params = append(params, make([]byte, saltSize)...)
	rand.Read(params[4:])
	key, err := p.derive(params)
	if err != nil {
		return nil, err
	}
	return sealWith(key, params, root)
}

func (p *Passphrase) Unseal(_ context.Context, sealed []byte) ([]byte, error) {
	params, err := passphraseParams(sealed)
	if err != nil {
		return nil, err
	}
	key, err := p.derive(params)
	if err != nil {
		return nil, err
	}
	return unsealWith(key, params, sealed)
}

func (p *Passphrase) derive(params []byte) ([]byte, error) {
	iterations := binary.BigEndian.Uint32(params)
	if iterations == 0 || iterations > maxIterations {
		return nil, fmt.Errorf("%w: iteration count %d", ErrDamaged, iterations)
	}
	key, err := pbkdf2.Key(sha256.New, p.passphrase, params[4:], int(iterations), xaes.KeySize)
	if err != nil {
		return nil, fmt.Errorf("seal: deriving the key: %w", err)
	}
	return key, nil
}
