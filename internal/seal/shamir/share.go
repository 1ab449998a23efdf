// Package shamir is a seal provider whose key nobody has: it is split into shares (Shamir, How to share a secret, 1979), each for another person,
// and comes back from a number of them. The arithmetic is that of github.com/cloudflare/circl, over the scalars of ristretto255 (RFC 9496), where it
// takes constant time.
package shamir

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base32"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/cloudflare/circl/group"
)

// Limits of a set of shares.
const (
	MinThreshold = 2
	MaxShares    = 16
	// MaxText is the length in bytes up to which a text is looked at.
	MaxText = 256
)

const (
	setSize      = 10
	valueSize    = 32
	checksumSize = 8
	prefix       = "keyturn-share-v1"
)

// ErrShare: a text is not a share: mistyped, cut, or something else. Test with errors.Is.
var ErrShare = errors.New("this is not a share")

var scalars = group.Ristretto255

// encoding has no letter that is easily taken for a digit, and both lengths that it is used for fill it to the last bit.
var encoding = base32.StdEncoding.WithPadding(base32.NoPadding)

// Share is one person's part of a key. It prints without what is secret.
type Share struct {
	set       [setSize]byte // which set of shares; drawn when they are made
	index     byte          // 1 and up
	threshold byte
	value     [valueSize]byte // a canonical scalar
}

// String tells which share it is.
func (s *Share) String() string { return fmt.Sprintf("share %d of set %s", s.index, s.Set()) }

// GoString is String.
func (s *Share) GoString() string { return s.String() }

// Set is the ID of the set of shares that it belongs to.
func (s *Share) Set() string { return encoding.EncodeToString(s.set[:]) }

// Index is its number, from 1 on.
func (s *Share) Index() int { return int(s.index) }

// Threshold is the number of shares that it takes.
func (s *Share) Threshold() int { return int(s.threshold) }

// Text is the share in one line, secret included: prefix, set, index, threshold, then value and checksum.
func (s *Share) Text() string {
	secret := s.checksum()
	return strings.Join([]string{prefix, s.Set(), strconv.Itoa(int(s.index)), strconv.Itoa(int(s.threshold)),
		encoding.EncodeToString(append(bytes.Clone(s.value[:]), secret...))}, ":")
}

// checksum covers everything, so that a typing error anywhere is told at once. It says nothing to who has not the share.
func (s *Share) checksum() []byte {
	h := sha256.New()
	h.Write([]byte(prefix))
	h.Write(s.set[:])
	h.Write([]byte{s.index, s.threshold})
	h.Write(s.value[:])
	return h.Sum(nil)[:checksumSize]
}

// commitment is what the store knows a share by. The value has 252 random bits, so that it can be neither guessed nor computed from this; a
// commitment in a group (Feldman) would add nothing while the shares' maker is trusted, and would fall to a quantum computer.
func (s *Share) commitment() [sha256.Size]byte {
	h := sha256.New()
	h.Write([]byte("keyturn share commitment v1"))
	h.Write(s.set[:])
	h.Write([]byte{s.index, s.threshold})
	h.Write(s.value[:])
	return [sha256.Size]byte(h.Sum(nil))
}

// wipe overwrites the secret.
func (s *Share) wipe() { clear(s.value[:]) }

// ParseShare reads a share's text. Case, and spaces around and in it, do not matter. The error is ErrShare and repeats nothing of the text.
func ParseShare(text []byte) (*Share, error) {
	if len(text) > MaxText {
		return nil, fmt.Errorf("%w: the text is too long", ErrShare)
	}
	line := bytes.Join(bytes.Fields(bytes.ToUpper(text)), nil)
	defer clear(line)
	fields := bytes.Split(line, []byte(":"))
	if string(fields[0]) != strings.ToUpper(prefix) {
		return nil, fmt.Errorf("%w: a share begins with %s", ErrShare, prefix)
	}
	if len(fields) != 5 {
		return nil, fmt.Errorf("%w: a share has 5 parts with colons between them", ErrShare)
	}
	set, err := encoding.AppendDecode(nil, fields[1])
	if err != nil || len(set) != setSize {
		return nil, fmt.Errorf("%w: its second part, the set, is mistyped", ErrShare)
	}
	index, okIndex := smallNumber(string(fields[2]), MaxShares)
	threshold, okThreshold := smallNumber(string(fields[3]), MaxShares)
	if !okIndex || !okThreshold || threshold < MinThreshold {
		return nil, fmt.Errorf("%w: its third or fourth part, two numbers, is mistyped", ErrShare)
	}
	secret, err := encoding.AppendDecode(make([]byte, 0, MaxText), fields[4])
	defer clear(secret)
	if err != nil || len(secret) != valueSize+checksumSize {
		return nil, fmt.Errorf("%w: its last part is mistyped or cut short", ErrShare)
	}
	s := &Share{set: [setSize]byte(set), index: index, threshold: threshold, value: [valueSize]byte(secret)}
	if subtle.ConstantTimeCompare(s.checksum(), secret[valueSize:]) != 1 {
		s.wipe()
		return nil, fmt.Errorf("%w: something in it is mistyped, its checksum does not fit", ErrShare)
	}
	if scalars.NewScalar().UnmarshalBinary(s.value[:]) != nil {
		s.wipe()
		return nil, fmt.Errorf("%w: its value is out of range", ErrShare)
	}
	return s, nil
}

// smallNumber reads a number from 1 to most, in the one way that it is written.
func smallNumber(text string, most int) (byte, bool) {
	n, err := strconv.Atoi(text)
	return byte(n), err == nil && n >= 1 && n <= most && strconv.Itoa(n) == text
}
