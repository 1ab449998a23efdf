// Package identity knows who the principals of accounts are: it makes their names, IDs and credentials, opens session tokens, and puts
// together what policies say of whoever signed a request. Package iam has the operations that manage them, package sts those that make
// sessions.
package identity

import (
	"crypto/rand"
	"encoding/base32"
	"encoding/base64"
	"encoding/binary"
	"strconv"

	"github.com/keyturn/keyturn/internal/service"
)

// Prefixes of unique IDs and access key IDs ("Understanding unique ID prefixes", IAM User Guide).
const (
	UserIDPrefix     = "AIDA"
	GroupIDPrefix    = "AGPA"
	RoleIDPrefix     = "AROA"
	PolicyIDPrefix   = "ANPA"
	LongTermPrefix   = "AKIA"
	TemporaryPrefix  = "ASIA"
	uniqueIDLength   = 17 // characters after the prefix
	accessKeyLength  = 16
	secretBytes      = 30 // 40 characters in base64
	accountBits      = 40
	accessKeyIDBytes = 10
)

// NewUniqueID returns a new ID of a principal or a policy.
func NewUniqueID(prefix string) string {
	b := make([]byte, 11)
	rand.Read(b) //nolint:errcheck // never fails
	return prefix + base32.StdEncoding.EncodeToString(b)[:uniqueIDLength]
}

// NewAccessKeyID returns a new access key ID. The account stands in it, as in those that AWS makes, so that it can be told without looking
// anything up: one bit that is set, 40 bits of account, 39 random ones, in base32. It is not a secret, and nothing trusts it.
func NewAccessKeyID(prefix, account string) string {
	var b [accessKeyIDBytes]byte
	rand.Read(b[:]) //nolint:errcheck // never fails
	n, err := strconv.ParseUint(account, 10, accountBits)
	if err != nil {
		n = 0 // an account has 12 digits, which fit
	}
	var head [8]byte
	copy(head[2:], b[:6])
	v := binary.BigEndian.Uint64(head[:])&0x7f | n<<7 | 1<<47
	binary.BigEndian.PutUint64(head[:], v)
	copy(b[:6], head[2:])
	return prefix + base32.StdEncoding.EncodeToString(b[:])
}

// AccountOf returns the account that stands in an access key ID, "" if there is none.
func AccountOf(accessKeyID string) string {
	if len(accessKeyID) != len(LongTermPrefix)+accessKeyLength {
		return ""
	}
	b, err := base32.StdEncoding.DecodeString(accessKeyID[len(LongTermPrefix):])
	if err != nil || b[0]&0x80 == 0 {
		return ""
	}
	var head [8]byte
	copy(head[2:], b[:6])
	account := strconv.FormatUint(binary.BigEndian.Uint64(head[:])&(1<<47-1)>>7, 10)
	for len(account) < 12 {
		account = "0" + account
	}
	if !service.IsAccountID(account) {
		return ""
	}
	return account
}

// NewSecret returns a new secret access key: 240 random bits in 40 characters.
func NewSecret() string {
	b := make([]byte, secretBytes)
	rand.Read(b) //nolint:errcheck // never fails
	return base64.StdEncoding.EncodeToString(b)
}

// NewAccountID returns a random account ID. That it is not taken is for the caller to see.
func NewAccountID() string {
	var b [8]byte
	rand.Read(b[:]) //nolint:errcheck // never fails
	const from, count = 100_000_000_000, 900_000_000_000
	return strconv.FormatUint(from+binary.BigEndian.Uint64(b[:])%count, 10)
}
