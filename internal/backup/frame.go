package backup

import (
	"bytes"
	"compress/flate"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
)

// After the magic a backup is a row of frames: kind, number, length and payload, then a CRC-32C over all of them. age has authenticated every
// byte already; the numbers and checksums tell what is damaged where somebody has the identity, or a program has erred.

const magic = "keyturn backup 1\n"

type frameKind byte

const (
	headerFrame   frameKind = 'H'
	escrowFrame   frameKind = 'K'
	entriesFrame  frameKind = 'E'
	linesFrame    frameKind = 'A'
	manifestFrame frameKind = 'M'

	// deflated is set in the kind of a frame whose payload is compressed (RFC 1951).
	deflated frameKind = 0x80
)

const (
	frameHead = 1 + 4 + 4
	frameTail = 4
	// maxFrame is the longest payload: there is room for the largest value, audit line or keyring.
	maxFrame = 2 << 20
	// fullFrame is the length from which on a frame takes no more.
	fullFrame = 256 << 10
	// maxFrames keeps the numbers from going around: a thousand terabytes.
	maxFrames = 1<<32 - 1
)

var crcTable = crc32.MakeTable(crc32.Castagnoli)

// frameWriter writes frames and digests what it writes.
type frameWriter struct {
	w      io.Writer
	n      int64
	digest hash.Hash
	head   [frameHead]byte
	packed bytes.Buffer
	flate  *flate.Writer
}

func newFrameWriter(w io.Writer) (*frameWriter, error) {
	f := &frameWriter{w: w, digest: sha256.New()}
	var err error
	if f.flate, err = flate.NewWriter(io.Discard, flate.BestSpeed); err != nil {
		return nil, err
	}
	return f, f.put([]byte(magic))
}

func (f *frameWriter) put(b []byte) error {
	f.digest.Write(b)
	_, err := f.w.Write(b)
	return err
}

// frame writes one. Entries and lines are compressed where that makes them an eighth shorter at least.
func (f *frameWriter) frame(kind frameKind, payload []byte) error {
	if len(payload) > maxFrame || f.n >= maxFrames {
		return fmt.Errorf("backup: frame %d of %d bytes", f.n, len(payload))
	}
	if kind == entriesFrame || kind == linesFrame {
		f.packed.Reset()
		f.flate.Reset(&f.packed)
		if _, err := f.flate.Write(payload); err != nil {
			return err
		}
		if err := f.flate.Close(); err != nil {
			return err
		}
		if f.packed.Len() < len(payload)-len(payload)/8 {
			kind, payload = kind|deflated, f.packed.Bytes()
		}
	}
	f.head[0] = byte(kind)
	binary.BigEndian.PutUint32(f.head[1:], uint32(f.n))
	binary.BigEndian.PutUint32(f.head[5:], uint32(len(payload)))
	sum := crc32.Update(crc32.Checksum(f.head[:], crcTable), crcTable, payload)
	f.n++
	return errors.Join(f.put(f.head[:]), f.put(payload), f.put(binary.BigEndian.AppendUint32(nil, sum)))
}

// frameReader reads frames of whom nobody knows.
type frameReader struct {
	r      io.Reader
	n      int64
	digest hash.Hash
	before []byte // the digest of all frames but the last one read
	head   [frameHead]byte
	buf    []byte
	plain  []byte // of a compressed frame
	flate  io.ReadCloser
}

func newFrameReader(r io.Reader) (*frameReader, error) {
	f := &frameReader{r: r, digest: sha256.New()}
	start := make([]byte, len(magic))
	if err := f.read(start); err != nil {
		return nil, err
	}
	if string(start) != magic {
		if bytes.HasPrefix(start, []byte("keyturn backup ")) {
			return nil, fmt.Errorf("%w: a backup of a newer keyturn", ErrFormat)
		}
		return nil, fmt.Errorf("%w: no backup of keyturn", ErrFormat)
	}
	return f, nil
}

func (f *frameReader) read(b []byte) error {
	_, err := io.ReadFull(f.r, b)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: cut short in frame %d", ErrDamaged, f.n)
	}
	if err != nil {
		return err
	}
	f.digest.Write(b)
	return nil
}

// next returns a frame, valid until the next call.
func (f *frameReader) next() (frameKind, []byte, error) {
	f.before = f.digest.Sum(f.before[:0])
	if err := f.read(f.head[:]); err != nil {
		return 0, nil, err
	}
	kind, number, size := frameKind(f.head[0]), binary.BigEndian.Uint32(f.head[1:]), binary.BigEndian.Uint32(f.head[5:])
	if size > maxFrame {
		return 0, nil, fmt.Errorf("%w: frame %d says that it has %d bytes", ErrDamaged, f.n, size)
	}
	n := int(size) + frameTail
	if cap(f.buf) < n {
		f.buf = make([]byte, max(n, fullFrame+fullFrame/4))
	}
	f.buf = f.buf[:n]
	if err := f.read(f.buf); err != nil {
		return 0, nil, err
	}
	payload, sum := f.buf[:size], binary.BigEndian.Uint32(f.buf[size:])
	switch {
	case sum != crc32.Update(crc32.Checksum(f.head[:], crcTable), crcTable, payload):
		return 0, nil, fmt.Errorf("%w: frame %d has another checksum", ErrDamaged, f.n)
	case int64(number) != f.n:
		return 0, nil, fmt.Errorf("%w: frame %d stands in the place of frame %d", ErrDamaged, number, f.n)
	}
	f.n++
	if kind&deflated == 0 {
		return kind, payload, nil
	}
	payload, err := f.inflate(payload)
	if err != nil {
		return 0, nil, fmt.Errorf("%w: frame %d is not compressed as it says", ErrDamaged, number)
	}
	return kind &^ deflated, payload, nil
}

// inflate returns at most maxFrame bytes.
func (f *frameReader) inflate(payload []byte) ([]byte, error) {
	src := bytes.NewReader(payload)
	if f.flate == nil {
		f.flate = flate.NewReader(src)
	} else if err := f.flate.(flate.Resetter).Reset(src, nil); err != nil {
		return nil, err
	}
	b := bytes.NewBuffer(f.plain[:0])
	n, err := b.ReadFrom(io.LimitReader(f.flate, maxFrame+1))
	f.plain = b.Bytes()
	switch {
	case err != nil:
		return nil, err
	case n > maxFrame || src.Len() > 0:
		return nil, errors.New("too long")
	}
	return f.plain, nil
}

// end returns an error unless nothing follows.
func (f *frameReader) end() error {
	var b [1]byte
	n, err := f.r.Read(b[:])
	for n == 0 && err == nil {
		n, err = f.r.Read(b[:])
	}
	if n > 0 {
		return fmt.Errorf("%w: something follows the manifest", ErrDamaged)
	}
	if !errors.Is(err, io.EOF) {
		return err
	}
	return nil
}
