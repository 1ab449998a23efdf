// Package backup writes a deployment into one file and restores it from there: the store at one revision, what opens it, and the audit log
// up to the same moment. The file is an age file (C2SP, age-encryption.org/v1), for age recipients or for whoever has the seal. What is in
// it is described in docs/backup.md.
package backup

import (
	"crypto/fips140"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/keyturn/keyturn/internal/store"
)

// Format is the version of backups that this package writes, and the newest that it reads.
const Format = 1

// Errors; test with errors.Is. They say nothing of what is in a backup.
var (
	// ErrDamaged: the file is not what was written: altered, cut short, or put together of others.
	ErrDamaged = errors.New("backup: damaged")
	// ErrFormat: the file is no backup, or one of a newer keyturn.
	ErrFormat = errors.New("backup: unknown format")
	// ErrIdentity: nothing that was given decrypts the file.
	ErrIdentity = errors.New("backup: no identity decrypts it")
	// ErrChain: the files do not follow upon each other.
	ErrChain = errors.New("backup: the files do not belong together")
	// ErrFIPS: age encrypts with ChaCha20-Poly1305, which the FIPS 140-only mode refuses, also where the file key comes from the seal.
	ErrFIPS = errors.New("backup: age files use ChaCha20-Poly1305, which FIPS 140-only mode does not allow")
)

// Position is the state that a backup holds, by which an incremental one finds its base. Nothing of it is secret.
type Position struct {
	Format     int    `json:"format"`
	Backup     string `json:"backup"`     // random, of this backup
	Deployment string `json:"deployment"` // of the store
	// History is the ID of the restore that made the store, "" if none did: after a restore revisions count differently.
	History  string    `json:"history"`
	Revision store.Rev `json:"revision"`
	// Audit tells whether backups of this chain have the audit log; Next is the number of the first line that this one does not have.
	Audit bool      `json:"audit"`
	Next  uint64    `json:"next"`
	Time  time.Time `json:"time"`
	// Line is the SHA-256 of the audit line before Next, in hexadecimal, also without Audit: it tells the store from one that was put back to an
	// earlier state and went on otherwise. "" if there was none, and in backups of before there was this member: nothing goes on from those.
	Line string `json:"line,omitempty"`
	// Recorded: store and audit log have a record of the backup, once that is whole.
	Recorded bool `json:"recorded,omitempty"`
}

// ParsePosition reads what MarshalPosition wrote. ErrFormat.
func ParsePosition(text []byte) (*Position, error) {
	p := new(Position)
	if err := json.Unmarshal(text, p, json.RejectUnknownMembers(true)); err != nil {
		return nil, fmt.Errorf("%w: no state of a backup", ErrFormat)
	}
	if err := p.check(); err != nil {
		return nil, err
	}
	return p, nil
}

// MarshalPosition returns a position as text.
func MarshalPosition(p *Position) ([]byte, error) {
	text, err := json.Marshal(p)
	if err != nil {
		return nil, fmt.Errorf("backup: encoding: %w", err)
	}
	return append(text, '\n'), nil
}

// maxID is the longest ID that is taken; those that are made have 36 characters.
const maxID = 64

func (p *Position) check() error {
	if p.Format < 1 || p.Format > Format {
		return fmt.Errorf("%w: version %d, this keyturn knows up to %d", ErrFormat, p.Format, Format)
	}
	if p.Backup == "" || p.Deployment == "" || len(p.Backup) > maxID || len(p.Deployment) > maxID || len(p.History) > maxID || p.Next == 0 {
		return fmt.Errorf("%w: no position of a backup", ErrDamaged)
	}
	if sum, err := hex.DecodeString(p.Line); err != nil || len(sum) != 0 && len(sum) != sha256.Size {
		return fmt.Errorf("%w: no digest of an audit line", ErrDamaged)
	}
	return nil
}

// Header is the first thing in a backup.
type Header struct {
	Position
	Keyturn string `json:"keyturn"` // the version that wrote it
	Dev     bool   `json:"dev"`     // of a store of keyturn dev
	// Base is what an incremental backup goes on from; nil: this one is full.
	Base *Position `json:"base,omitempty"`
}

func (h *Header) check() error {
	if err := h.Position.check(); err != nil {
		return err
	}
	if h.Base == nil {
		return nil
	}
	if err := h.Base.check(); err != nil {
		return err
	}
	return h.follows(h.Base)
}

// follows returns ErrChain unless this backup goes on from another.
func (p *Position) follows(base *Position) error {
	switch {
	case p.Deployment != base.Deployment:
		return fmt.Errorf("%w: deployment %s, and %s before", ErrChain, p.Deployment, base.Deployment)
	case p.History != base.History:
		return fmt.Errorf("%w: the store was restored in between", ErrChain)
	case p.Audit != base.Audit:
		return fmt.Errorf("%w: the audit log is in one and not in the other", ErrChain)
	case p.Revision < base.Revision || p.Next < base.Next:
		return fmt.Errorf("%w: revision %d and audit line %d come before %d and %d", ErrChain, p.Revision, p.Next, base.Revision, base.Next)
	case p.Next == base.Next && p.Line != base.Line && base.Line != "" && p.Line != "":
		return fmt.Errorf("%w: line %d of the audit log is another: the data directory was put back to an earlier state", ErrChain, p.Next-1)
	}
	return nil
}

// same tells whether two positions are of the same backup.
func (p *Position) same(q *Position) bool {
	return p.Backup == q.Backup && p.Deployment == q.Deployment && p.History == q.History && p.Revision == q.Revision && p.Audit == q.Audit && p.Next == q.Next &&
		p.Line == q.Line && p.Recorded == q.Recorded
}

// Manifest is the last thing in a backup: a file without it is cut short.
type Manifest struct {
	Entries    int64            `json:"entries"` // entries with their values
	Kept       int64            `json:"kept"`    // in an incremental one: keys that are as in its base
	ValueBytes int64            `json:"valueBytes"`
	Kinds      map[string]int64 `json:"kinds"` // entries by the first part of their keys
	Lines      int64            `json:"lines"` // of the audit log
	LineBytes  int64            `json:"lineBytes"`
	First      uint64           `json:"first"` // number of the first line; that of the line after the last if there is none
	Last       uint64           `json:"last"`
	Frames     int64            `json:"frames"`
	// KeptDigest is, in an incremental backup, the SHA-256 of the entryDigests of all that is kept, in hexadecimal: what the base must have. "" in
	// those of before there was this member.
	KeptDigest string `json:"keptSha256,omitempty"`
	// Digest is the SHA-256 of everything before the manifest, in hexadecimal.
	Digest string `json:"sha256"`
}

// allowed returns ErrFIPS where age cannot work.
func allowed() error {
	if fips140.Enforced() {
		return ErrFIPS
	}
	return nil
}
