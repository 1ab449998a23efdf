// Package hsmwire is the protocol between keyturn and keyturn-pkcs11, the helper process that loads a PKCS#11 module. It runs
// over the helper's stdin and stdout: requests one way, replies the other, in any order.
//
// A frame is a length (4 bytes, big-endian, of what follows), an ID (8 bytes), a code (1 byte: the operation of a request, the
// status of a reply) and fields, each a length (2 bytes) and its bytes. Each operation fixes how many fields it has and how
// long they may be, both ways; neither side believes the other.
package hsmwire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

const (
	// Version is the protocol's; both sides must have the same.
	Version = 1
	// MaxFrame is the most bytes of a frame, its length left out.
	MaxFrame = 64 << 10

	maxFields  = 7
	headerSize = 8 + 1
)

// ErrMalformed is returned for what is no frame, or not the frame that should come.
var ErrMalformed = errors.New("hsmwire: malformed message")

func malformed(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrMalformed, fmt.Sprintf(format, args...))
}

// Message is a request or a reply.
type Message struct {
	ID     uint64 // chosen by who asks; a reply has that of its request
	Code   byte   // an Op or a Status
	Fields [][]byte
}

// Wipe overwrites the fields with zeros. They may hold a PIN or plaintext.
func (m Message) Wipe() {
	for _, f := range m.Fields {
		clear(f)
	}
}

// Append appends the message's frame to dst. The error is ErrMalformed, for a message that no frame can hold.
func Append(dst []byte, m Message) ([]byte, error) {
	size := headerSize
	for _, f := range m.Fields {
		size += 2 + len(f)
	}
	if len(m.Fields) > maxFields || size > MaxFrame {
		return dst, malformed("%d fields, %d bytes", len(m.Fields), size)
	}
	dst = binary.BigEndian.AppendUint32(dst, uint32(size))
	dst = binary.BigEndian.AppendUint64(dst, m.ID)
	dst = append(dst, m.Code)
	for _, f := range m.Fields {
		dst = binary.BigEndian.AppendUint16(dst, uint16(len(f)))
		dst = append(dst, f...)
	}
	return dst, nil
}

// Read reads one frame. It takes nothing beyond it from r and keeps no copy, so that Wipe leaves nothing behind. At the end of
// r it returns io.EOF, within a frame io.ErrUnexpectedEOF; a frame that is none is ErrMalformed, and nothing can be read after it.
func Read(r io.Reader) (Message, error) {
	var length [4]byte
	if _, err := io.ReadFull(r, length[:]); err != nil {
		return Message{}, err
	}
	size := binary.BigEndian.Uint32(length[:])
	if size < headerSize || size > MaxFrame {
		return Message{}, malformed("frame of %d bytes", size)
	}
	buf := make([]byte, size)
	if _, err := io.ReadFull(r, buf); errors.Is(err, io.EOF) {
		return Message{}, io.ErrUnexpectedEOF
	} else if err != nil {
		return Message{}, err
	}
	return parse(buf)
}

// parse takes a frame apart, its length left out. The fields are parts of buf.
func parse(buf []byte) (Message, error) {
	m := Message{ID: binary.BigEndian.Uint64(buf), Code: buf[8]}
	for rest := buf[headerSize:]; len(rest) > 0; {
		if len(m.Fields) == maxFields {
			return Message{}, malformed("more than %d fields", maxFields)
		}
		if len(rest) < 2 {
			return Message{}, malformed("half a field")
		}
		n := 2 + int(binary.BigEndian.Uint16(rest))
		if n > len(rest) {
			return Message{}, malformed("field of %d bytes in %d", n, len(rest))
		}
		m.Fields = append(m.Fields, rest[2:n:n])
		rest = rest[n:]
	}
	return m, nil
}
