package sigv4

import (
	"crypto/fips140"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"hash"
	"strings"
	"sync"
	"sync/atomic"
)

// ErrWeakSecret: in FIPS 140-only mode a secret access key must have at least 10 characters (112 bits with its prefix).
var ErrWeakSecret = errors.New("sigv4: secret access key too short for FIPS 140-only mode")

const keyPrefix = "AWS4"

// keyName names a derived signing key.
type keyName struct{ accessKeyID, date, region, service string }

// signingKey is a derived key and the secret that it was derived from.
type signingKey struct {
	name   keyName
	secret string
	used   atomic.Bool // since the clock hand last came by; set by readers
	macs   sync.Pool   // of *mac, keyed
}

// mac is a keyed HMAC with the buffer for its sum, which would otherwise be allocated for each call through hash.Hash.
type mac struct {
	h   hash.Hash
	sum [sha256.Size]byte
}

// newSigningKey derives the key of a day, a region and a service from the secret.
func newSigningKey(name keyName, secret string) (*signingKey, error) {
	key := append(make([]byte, 0, 64), keyPrefix...)
	key = append(key, secret...)
	if len(key) < 14 && fips140.Enforced() {
		return nil, ErrWeakSecret
	}
	for _, part := range [...]string{name.date, name.region, name.service, terminator} {
		h := hmac.New(sha256.New, key)
		h.Write([]byte(part))
		key = h.Sum(key[:0])
	}
	k := &signingKey{name: name, secret: secret}
	k.macs.New = func() any { return &mac{h: hmac.New(sha256.New, key)} }
	return k, nil
}

// sign appends the HMAC of message to dst.
func (k *signingKey) sign(dst, message []byte) []byte {
	m := k.macs.Get().(*mac)
	m.h.Reset()
	m.h.Write(message)
	dst = append(dst, m.h.Sum(m.sum[:0])...)
	clear(m.sum[:])
	k.macs.Put(m)
	return dst
}

// keyCache keeps signing keys, at most as many as ring has room for. Eviction is the clock algorithm: a hit marks, the hand
// passes over a mark once.
type keyCache struct {
	mu   sync.RWMutex
	keys map[keyName]int // index into ring; guarded by mu
	ring []*signingKey   // guarded by mu
	hand int             // guarded by mu
}

// maxProbes bounds how far one insertion moves the hand, so that it takes constant time even if every entry is marked.
const maxProbes = 16

func newKeyCache(size int) *keyCache {
	return &keyCache{keys: make(map[keyName]int), ring: make([]*signingKey, 0, size)}
}

// get returns the key if it was derived from this secret, else nil.
func (c *keyCache) get(name keyName, secret string) *signingKey {
	c.mu.RLock()
	var k *signingKey
	if i, ok := c.keys[name]; ok {
		k = c.ring[i]
	}
	c.mu.RUnlock()
	if k == nil || subtle.ConstantTimeCompare([]byte(k.secret), []byte(secret)) != 1 {
		return nil
	}
	if !k.used.Load() { // a plain read first: hits must not contend for the cache line
		k.used.Store(true)
	}
	return k
}

// put stores k, in the place of an earlier key with its name. The names are copied: they point into a request.
func (c *keyCache) put(k *signingKey) {
	k.name = keyName{
		accessKeyID: strings.Clone(k.name.accessKeyID),
		date:        strings.Clone(k.name.date),
		region:      strings.Clone(k.name.region),
		service:     strings.Clone(k.name.service),
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if i, ok := c.keys[k.name]; ok {
		c.ring[i] = k
		return
	}
	if len(c.ring) < cap(c.ring) {
		c.keys[k.name] = len(c.ring)
		c.ring = append(c.ring, k)
		return
	}
	for range maxProbes {
		if !c.ring[c.hand].used.Swap(false) {
			break
		}
		c.hand = (c.hand + 1) % len(c.ring)
	}
	delete(c.keys, c.ring[c.hand].name)
	c.ring[c.hand] = k
	c.keys[k.name] = c.hand
	c.hand = (c.hand + 1) % len(c.ring)
}
