package backup

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"

	"filippo.io/age"
	"github.com/go-json-experiment/json"

	"github.com/keyturn/keyturn/internal/audit"
	"github.com/keyturn/keyturn/internal/seal"
	"github.com/keyturn/keyturn/internal/store"
)

// Limits of what a reader takes, beside those of frames.
const (
	maxHeader = 64 << 10
	maxKinds  = 256
)

// Reader reads a backup from front to back: header and keyring, then entries (Next), then lines of the audit log (Line), then the manifest
// (Finish). It keeps one frame in memory.
type Reader struct {
	header   Header
	escrow   seal.Escrow
	src      *source
	frames   *frameReader
	kind     frameKind // of the frame that is being read
	payload  decoder
	last     string // the key before in the frame
	lastKey  string // in the file
	nextLine uint64 // 0: not known
	found    Manifest
	lineSum  string // lineDigest of the last line of the header's log; "": not read
}

// source tells what its reader's error was: age wraps some and words others anew.
type source struct {
	r   io.Reader
	err error
}

func (s *source) Read(b []byte) (int, error) {
	n, err := s.r.Read(b)
	if err != nil && !errors.Is(err, io.EOF) {
		s.err = err
	}
	return n, err
}

// NewReader decrypts a backup with whichever identity does and reads its beginning. ErrIdentity, ErrFormat, ErrDamaged, ErrFIPS; errors of
// identities and of r.
func NewReader(r io.Reader, identities ...Identity) (*Reader, error) {
	if err := allowed(); err != nil {
		return nil, err
	}
	src := &source{r: r}
	plain, err := age.Decrypt(src, identities...)
	var none *age.NoIdentityMatchError
	switch {
	case src.err != nil:
		return nil, src.err
	case errors.As(err, &none):
		return nil, noIdentity(none)
	case errors.Is(err, ErrDamaged), errors.Is(err, ErrFormat), seal.IsDamage(err), errors.Is(err, seal.ErrFormat):
		return nil, err
	case errors.As(err, new(*unsealError)):
		return nil, fmt.Errorf("the seal of the backup: %w", err)
	case err != nil:
		return nil, fmt.Errorf("%w: no age file, or the beginning of one was altered: %w", ErrFormat, err)
	}
	rd := &Reader{src: src, found: Manifest{Kinds: map[string]int64{}}}
	if err := rd.open(plain); err != nil {
		return nil, rd.explain(err)
	}
	if rd.escrow.Root == nil {
		for _, id := range identities {
			if s, ok := id.(*SealIdentity); ok && rd.escrow.Root == nil {
				rd.escrow.Root = s.root(rd.escrow.Meta)
			}
		}
	}
	if rd.escrow.Root == nil {
		return nil, fmt.Errorf("%w: the root key is not in it", ErrDamaged)
	}
	return rd, nil
}

// noIdentity says whom the file is for, as far as it tells.
func noIdentity(e *age.NoIdentityMatchError) error {
	for _, t := range e.StanzaTypes {
		if t == sealStanza {
			for _, reason := range e.Errors {
				if errors.Is(reason, seal.ErrWrongKey) {
					return fmt.Errorf("%w: it is for another seal: %w", ErrIdentity, reason)
				}
			}
			return fmt.Errorf("%w: it is for the seal of its deployment", ErrIdentity)
		}
	}
	return fmt.Errorf("%w: it is for other age recipients", ErrIdentity)
}

// explain tells damage from what went wrong with the reader.
func (r *Reader) explain(err error) error {
	switch {
	case err == nil, err == io.EOF: // the end of what is asked for; a file that ends is ErrDamaged
		return err
	case r.src.err != nil:
		return r.src.err
	case errors.Is(err, ErrDamaged), errors.Is(err, ErrFormat), errors.Is(err, ErrChain):
		return err
	}
	return fmt.Errorf("%w: altered or cut short: %w", ErrDamaged, err)
}

func (r *Reader) open(plain io.Reader) (err error) {
	if r.frames, err = newFrameReader(plain); err != nil {
		return err
	}
	text, err := r.expect(headerFrame)
	if err != nil {
		return err
	}
	if len(text) > maxHeader {
		return fmt.Errorf("%w: header of %d bytes", ErrDamaged, len(text))
	}
	// The format first, alone: what a newer one looks like is not known.
	var format struct {
		Format int `json:"format"`
	}
	if err := json.Unmarshal(text, &format); err != nil {
		return fmt.Errorf("%w: the header is not readable", ErrDamaged)
	}
	if format.Format > Format {
		return fmt.Errorf("%w: version %d, this keyturn knows up to %d", ErrFormat, format.Format, Format)
	}
	if err := json.Unmarshal(text, &r.header, json.RejectUnknownMembers(true)); err != nil {
		return fmt.Errorf("%w: the header is not readable", ErrDamaged)
	}
	if err := r.header.check(); err != nil {
		return err
	}
	if r.header.Base != nil {
		r.nextLine = r.header.Base.Next
	}
	if text, err = r.expect(escrowFrame); err != nil {
		return err
	}
	var e escrowData
	if err := json.Unmarshal(text, &e, json.RejectUnknownMembers(true)); err != nil || len(e.Meta) == 0 {
		return fmt.Errorf("%w: the keyring is not readable", ErrDamaged) // its bytes are secret: no detail
	}
	r.escrow = seal.Escrow{Meta: e.Meta, Root: e.Root}
	return r.turn()
}

// expect returns the payload of the next frame, which must be of a kind.
func (r *Reader) expect(kind frameKind) ([]byte, error) {
	got, payload, err := r.frames.next()
	if err == nil && got != kind {
		err = fmt.Errorf("%w: frame %d is of kind %q, not %q", ErrDamaged, r.frames.n-1, got, kind)
	}
	return payload, err
}

// turn reads the next frame.
func (r *Reader) turn() error {
	kind, payload, err := r.frames.next()
	if err != nil {
		return err
	}
	r.kind, r.payload, r.last = kind, decoder{payload}, ""
	return nil
}

// Header returns what the backup says of itself.
func (r *Reader) Header() *Header { return &r.header }

// Escrow returns what opens its values.
func (r *Reader) Escrow() *seal.Escrow { return &r.escrow }

// Next returns the next entry, io.EOF after the last.
func (r *Reader) Next() (Item, error) {
	it, err := r.next()
	return it, r.explain(err)
}

func (r *Reader) next() (Item, error) {
	for r.kind == entriesFrame && len(r.payload.b) == 0 {
		if err := r.turn(); err != nil {
			return Item{}, err
		}
	}
	if r.kind != entriesFrame {
		return Item{}, io.EOF
	}
	it, err := r.payload.item(r.last)
	if err != nil {
		return Item{}, err
	}
	base := store.Rev(0)
	if r.header.Base != nil {
		base = r.header.Base.Revision
	}
	switch {
	case strings.HasPrefix(it.Key, "sys/"):
		return Item{}, fmt.Errorf("%w: key %q is the seal's own, and in no backup", ErrDamaged, it.Key)
	case it.Key <= r.lastKey:
		return Item{}, fmt.Errorf("%w: key %q comes after %q", ErrDamaged, it.Key, r.lastKey)
	case it.Kept && r.header.Base == nil:
		return Item{}, fmt.Errorf("%w: key %q has no value", ErrDamaged, it.Key)
	case !it.Kept && (it.Rev <= base || it.Rev > r.header.Revision):
		return Item{}, fmt.Errorf("%w: key %q has revision %d", ErrDamaged, it.Key, it.Rev)
	}
	r.last, r.lastKey = it.Key, it.Key
	r.found.count(it)
	if len(r.found.Kinds) > maxKinds {
		return Item{}, fmt.Errorf("%w: more than %d kinds of records", ErrDamaged, maxKinds)
	}
	return it, nil
}

// Line returns the next line of the audit log, io.EOF after the last. It is valid until the next call. All entries must have been read.
func (r *Reader) Line() ([]byte, error) {
	line, err := r.line()
	return line, r.explain(err)
}

func (r *Reader) line() ([]byte, error) {
	for r.kind == linesFrame && len(r.payload.b) == 0 {
		if err := r.turn(); err != nil {
			return nil, err
		}
	}
	if r.kind != linesFrame {
		return nil, io.EOF
	}
	line, err := r.payload.bytes()
	if err != nil {
		return nil, err
	}
	seq, ok := audit.LineSeq(line)
	if r.nextLine == 0 {
		r.nextLine = seq
	}
	if !ok || seq != r.nextLine || seq >= r.header.Next {
		return nil, fmt.Errorf("%w: a line of the audit log is not number %d", ErrDamaged, r.nextLine)
	}
	m := &r.found
	if m.Lines == 0 {
		m.First = seq
	}
	m.Lines, m.Last, m.LineBytes = m.Lines+1, seq, m.LineBytes+int64(len(line))
	r.nextLine++
	if r.nextLine == r.header.Next {
		r.lineSum = lineDigest(line)
	}
	return line, nil
}

// Finish reads the manifest, compares it with what has been read and returns it. All lines must have been read.
func (r *Reader) Finish() (*Manifest, error) {
	m, err := r.finish()
	return m, r.explain(err)
}

func (r *Reader) finish() (*Manifest, error) {
	if r.kind != manifestFrame {
		return nil, fmt.Errorf("%w: frame %d is of kind %q, where the manifest should be", ErrDamaged, r.frames.n-1, r.kind)
	}
	m := new(Manifest)
	if err := json.Unmarshal(r.payload.b, m, json.RejectUnknownMembers(true)); err != nil {
		return nil, fmt.Errorf("%w: the manifest is not readable", ErrDamaged)
	}
	f := &r.found
	if f.Lines == 0 {
		f.First, f.Last = r.header.Next, r.header.Next-1
	}
	f.KeptDigest = m.KeptDigest // compared by Chain.Finish, which has what is kept
	f.Frames, f.Digest = r.frames.n-1, hex.EncodeToString(r.frames.before)
	switch {
	case !reflect.DeepEqual(m, f):
		return nil, fmt.Errorf("%w: the manifest does not say what is in the file", ErrDamaged)
	case m.KeptDigest != "" && r.header.Base == nil:
		return nil, fmt.Errorf("%w: a full backup keeps nothing", ErrDamaged)
	case r.lineSum != "" && r.header.Line != "" && r.lineSum != r.header.Line:
		return nil, fmt.Errorf("%w: the audit log ends with another line %d than it says", ErrDamaged, f.Last)
	case r.header.Audit && f.Last+1 != r.header.Next, !r.header.Audit && f.Lines > 0:
		return nil, fmt.Errorf("%w: the audit log ends with line %d, not with %d", ErrDamaged, f.Last, r.header.Next-1)
	}
	return m, r.frames.end()
}
