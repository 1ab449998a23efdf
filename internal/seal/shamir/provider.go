package shamir

import (
	"bytes"
	"context"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"

	"github.com/cloudflare/circl/group"
	"github.com/cloudflare/circl/secretsharing"

	"github.com/keyturn/keyturn/internal/seal"
)

// Provider seals under a key that is split. It is a seal.Attended and a seal.Handout.
type Provider struct {
	shares, threshold int // of a new set

	key     []byte // once it is known: made, or recovered from shares
	params  []byte // the set that it was split into
	given   []*Share
	handout []string
}

// New returns a provider that, unless shares are given to it, splits a new key into so many shares when it seals. An error says which number is out of
// bounds.
func New(shares, threshold int) (*Provider, error) {
	switch {
	case shares > MaxShares || shares < MinThreshold:
		return nil, fmt.Errorf("shares: %d to %d are possible", MinThreshold, MaxShares)
	case threshold < MinThreshold || threshold > shares:
		return nil, fmt.Errorf("threshold: %d, up to the number of shares, is possible; with 1 every share alone would open the store", MinThreshold)
	}
	return &Provider{shares: shares, threshold: threshold}, nil
}

// Name implements seal.Provider.
func (*Provider) Name() string { return "shamir" }

// Seal implements seal.Provider. The first time it makes the shares, which Handout returns; later it seals under the same key.
func (p *Provider) Seal(_ context.Context, root []byte) ([]byte, error) {
	if p.key == nil {
		if err := p.split(); err != nil {
			return nil, err
		}
	}
	return seal.Wrap(p.key, p.params, root)
}

func (p *Provider) split() error {
	secret := scalars.RandomNonZeroScalar(rand.Reader)
	s := set{threshold: byte(p.threshold)}
	rand.Read(s.id[:])
	for _, part := range secretsharing.New(rand.Reader, uint(p.threshold-1), secret).Share(uint(p.shares)) {
		share := &Share{set: s.id, index: byte(len(s.commitments) + 1), threshold: s.threshold}
		value, err := part.Value.MarshalBinary()
		if err != nil || copy(share.value[:], value) != valueSize {
			return errors.New("seal: a share could not be written") // the library's error could say what it is
		}
		clear(value)
		s.commitments = append(s.commitments, share.commitment())
		p.handout = append(p.handout, share.Text())
		share.wipe()
	}
	key, err := s.key(secret)
	if err != nil {
		return err
	}
	p.key, p.params = key, s.append(nil)
	return nil
}

// Handout implements seal.Handout.
func (p *Provider) Handout() []string {
	handout := p.handout
	p.handout = nil
	return handout
}

// Needs implements seal.Attended.
func (p *Provider) Needs(sealed []byte) (seal.Needs, error) {
	s, err := parseSet(sealed)
	if err != nil {
		return seal.Needs{}, err
	}
	return p.needs(s), nil
}

func (p *Provider) needs(s *set) seal.Needs {
	n := seal.Needs{What: "share", Needed: int(s.threshold), Of: len(s.commitments), Set: encoding.EncodeToString(s.id[:])}
	switch {
	case p.key != nil && bytes.Equal(p.params, s.append(nil)):
		n.Given = n.Needed
	case len(p.given) > 0 && p.given[0].set == s.id:
		n.Given = len(p.given)
	}
	return n
}

// Give implements seal.Attended. Beside seal.ErrWrongKey: seal.ErrGiven, ErrShare.
func (p *Provider) Give(sealed, text []byte) (seal.Needs, error) {
	s, err := parseSet(sealed)
	if err != nil {
		return seal.Needs{}, err
	}
	share, err := ParseShare(text)
	if err != nil {
		return p.needs(s), err
	}
	if err := s.check(share); err != nil {
		share.wipe()
		return p.needs(s), err
	}
	if p.needs(s).Done() {
		share.wipe()
		return p.needs(s), nil
	}
	if len(p.given) > 0 && p.given[0].set != s.id {
		p.Forget() // of another root key's time
	}
	for _, g := range p.given {
		if g.index == share.index {
			share.wipe()
			return p.needs(s), fmt.Errorf("%w: share %d", seal.ErrGiven, g.index)
		}
	}
	p.given = append(p.given, share)
	if len(p.given) == int(s.threshold) {
		key, err := s.recover(p.given)
		p.Forget()
		if err != nil {
			return p.needs(s), err
		}
		p.key, p.params = key, s.append(nil)
	}
	return p.needs(s), nil
}

// Check tells whether a text is one of the shares, without taking it. Errors as of Give, but for seal.ErrGiven. It looks at nothing of the provider's
// state: it is safe at any time, beside any other method.
func (p *Provider) Check(sealed, text []byte) error {
	s, err := parseSet(sealed)
	if err != nil {
		return err
	}
	share, err := ParseShare(text)
	if err != nil {
		return err
	}
	defer share.wipe()
	return s.check(share)
}

// Forget implements seal.Attended.
func (p *Provider) Forget() {
	for _, s := range p.given {
		s.wipe()
	}
	p.given = nil
}

// Unseal implements seal.Provider. seal.ErrWrongKey before enough shares were given.
func (p *Provider) Unseal(_ context.Context, sealed []byte) ([]byte, error) {
	s, err := parseSet(sealed)
	if err != nil {
		return nil, err
	}
	if n := p.needs(s); !n.Done() {
		return nil, fmt.Errorf("%w: %v", seal.ErrWrongKey, n)
	}
	root, err := seal.Unwrap(p.key, p.params, sealed)
	if errors.Is(err, seal.ErrWrongKey) {
		// Every share was checked, so it is not the shares.
		return nil, fmt.Errorf("%w: the shares are right, and the root key does not open", seal.ErrDamaged)
	}
	return root, err
}

// set is what is stored of a set of shares: its ID, the threshold, and a commitment to each share.
type set struct {
	id          [setSize]byte
	threshold   byte
	commitments [][sha256.Size]byte // share 1 first
}

func (s *set) append(dst []byte) []byte {
	dst = append(append(dst, s.id[:]...), s.threshold, byte(len(s.commitments)))
	for _, c := range s.commitments {
		dst = append(dst, c[:]...)
	}
	return dst
}

// parseSet reads the set in front of a sealed root key. seal.ErrDamaged, seal.ErrFormat.
func parseSet(sealed []byte) (*set, error) {
	b, err := seal.Params(sealed)
	if err != nil {
		return nil, err
	}
	const head = setSize + 2
	if len(b) < head {
		return nil, fmt.Errorf("%w: sealed root key is cut short", seal.ErrDamaged)
	}
	s := &set{id: [setSize]byte(b), threshold: b[setSize]}
	n := int(b[setSize+1])
	if s.threshold < MinThreshold || n > MaxShares || int(s.threshold) > n || len(b) < head+n*sha256.Size {
		return nil, fmt.Errorf("%w: the description of the shares is not readable", seal.ErrDamaged)
	}
	for b = b[head:]; len(s.commitments) < n; b = b[sha256.Size:] {
		s.commitments = append(s.commitments, [sha256.Size]byte(b))
	}
	return s, nil
}

// check tells whether a share is of this set. The error is seal.ErrWrongKey.
func (s *set) check(share *Share) error {
	if share.set != s.id {
		return fmt.Errorf("%w: the share is of another set, %s; this store wants those of set %s", seal.ErrWrongKey, share.Set(), encoding.EncodeToString(s.id[:]))
	}
	if int(share.index) <= len(s.commitments) {
		c := share.commitment()
		if subtle.ConstantTimeCompare(c[:], s.commitments[share.index-1][:]) == 1 {
			return nil
		}
	}
	return fmt.Errorf("%w: the share says that it is of this set, and is not", seal.ErrWrongKey)
}

// recover returns the key from as many checked, different shares as the threshold says.
func (s *set) recover(shares []*Share) ([]byte, error) {
	parts := make([]secretsharing.Share, len(shares))
	for i, share := range shares {
		value := scalars.NewScalar()
		if err := value.UnmarshalBinary(share.value[:]); err != nil {
			return nil, fmt.Errorf("%w: a share is out of range", seal.ErrDamaged)
		}
		parts[i] = secretsharing.Share{ID: scalars.NewScalar().SetUint64(uint64(share.index)), Value: value}
	}
	secret, err := secretsharing.Recover(uint(s.threshold-1), parts)
	if err != nil {
		return nil, errors.New("seal: the shares could not be put together")
	}
	return s.key(secret)
}

// key derives the key of 32 bytes that seals the root key: HKDF-SHA-256 (RFC 5869) of the secret, salted with the set's ID.
func (s *set) key(secret group.Scalar) ([]byte, error) {
	b, err := secret.MarshalBinary()
	if err != nil {
		return nil, errors.New("seal: the secret could not be written")
	}
	defer clear(b)
	key, err := hkdf.Key(sha256.New, b, s.id[:], "keyturn shamir seal v1", 32)
	if err != nil {
		return nil, fmt.Errorf("seal: deriving the key: %w", err)
	}
	return key, nil
}
