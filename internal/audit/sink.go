package audit

import (
	"bytes"
	"errors"
	"fmt"
	"iter"
	"strconv"
	"unicode/utf8"
)

// MaxRecordBytes is the longest record a sink takes.
const MaxRecordBytes = 1 << 20

// Errors of sinks, wrapped or bare; test with errors.Is.
var (
	// ErrClosed: the sink was closed.
	ErrClosed = errors.New("audit: closed")
	// ErrStopped: a failed fsync or repair left the file in doubt. Nothing is written until the log is opened again.
	ErrStopped = errors.New("audit: log stopped")
	// ErrNoSpace: the disk is full. Records of committed changes may still get in; the rest later, when there is room.
	ErrNoSpace = errors.New("audit: no space left")
	// ErrRecord: what was handed in is not one JSON object on one line, or too long.
	ErrRecord = errors.New("audit: invalid record")
	// ErrDamaged: the log's files do not read as what was written.
	ErrDamaged = errors.New("audit: log damaged")
)

// Sink takes records. All methods are safe for concurrent use.
type Sink interface {
	// Append returns when a crash of the process can no longer lose the record; one of the machine may, for a second.
	// The sequence number counts from 1 without gaps. After an error the record is not in the log.
	Append(record []byte) (seq uint64, err error)
	// AppendSync returns when nothing can lose the records, which get consecutive numbers from first, nor what was appended
	// before; there may be no records. After an error they may be in the log or not.
	AppendSync(records [][]byte) (first uint64, err error)
	// NextSeq returns the number the next record will get.
	NextSeq() uint64
	// SafeSeq returns the number up to which, itself left out, nothing can lose a record any more. A log that loses what was not
	// synced goes on there or later.
	SafeSeq() uint64
	// Since yields the lines numbered seq and later that are there when it is called, in order. An error ends it.
	Since(seq uint64) iter.Seq2[Line, error]
	// Healthy returns why Append would fail now, or nil.
	Healthy() error
	// Close makes everything durable and ends the sink.
	Close() error
}

// Line is one line of the log. JSON is the whole object without the newline: the record, with a first member "keyturn"
// that says Node and Seq. It belongs to the caller.
type Line struct {
	Seq  uint64
	Node string
	JSON []byte
}

// The frame around a record: linePrefix, node, seqPrefix, sequence number, '}', then the record's members.
const (
	linePrefix = `{"keyturn":{"node":"`
	seqPrefix  = `","seq":`
	maxNode    = 64
	maxLine    = MaxRecordBytes + len(linePrefix) + maxNode + len(seqPrefix) + len("18446744073709551615},\n")
)

// checkRecord does what is cheap on every request; that the record is valid JSON is for its encoder to see to. Its
// newlines matter most: one would make two lines.
func checkRecord(record []byte) error {
	switch {
	case len(record) > MaxRecordBytes:
		return fmt.Errorf("%w: %d bytes", ErrRecord, len(record))
	case len(record) < 2 || record[0] != '{' || record[len(record)-1] != '}':
		return fmt.Errorf("%w: not an object", ErrRecord)
	case len(record) > 2 && record[1] != '"':
		return fmt.Errorf("%w: no member after the brace", ErrRecord) // a comma will stand there
	case bytes.IndexByte(record, '\n') >= 0:
		return fmt.Errorf("%w: more than one line", ErrRecord)
	case !utf8.Valid(record):
		return fmt.Errorf("%w: not UTF-8", ErrRecord)
	}
	return nil
}

// checkNode keeps node IDs free of what JSON would escape.
func checkNode(node string) error {
	if node == "" || len(node) > maxNode {
		return fmt.Errorf("audit: node ID must have 1 to %d characters", maxNode)
	}
	if !validNode([]byte(node)) {
		return errors.New("audit: node ID may have letters, digits, '.', '_' and '-' only")
	}
	return nil
}

func validNode(node []byte) bool {
	for _, c := range node {
		alnum := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
		if !alnum && c != '.' && c != '_' && c != '-' {
			return false
		}
	}
	return len(node) > 0 && len(node) <= maxNode
}

func appendLine(dst []byte, node string, seq uint64, record []byte) []byte {
	dst = append(dst, linePrefix...)
	dst = append(dst, node...)
	dst = append(dst, seqPrefix...)
	dst = strconv.AppendUint(dst, seq, 10)
	dst = append(dst, '}')
	if len(record) > 2 {
		dst = append(dst, ',')
	}
	dst = append(dst, record[1:]...)
	return append(dst, '\n')
}

// parseFrame reads node and sequence number of a line. It does not look at the record.
func parseFrame(line []byte) (node string, seq uint64, ok bool) {
	rest, ok := bytes.CutPrefix(line, []byte(linePrefix))
	if !ok {
		return "", 0, false
	}
	id, rest, ok := bytes.Cut(rest, []byte(seqPrefix))
	if !ok || !validNode(id) {
		return "", 0, false
	}
	digits, rest, ok := bytes.Cut(rest, []byte("}"))
	if !ok || len(rest) == 0 || rest[0] != ',' && rest[0] != '}' || len(digits) == 0 || digits[0] == '0' {
		return "", 0, false
	}
	seq, err := strconv.ParseUint(string(digits), 10, 64)
	return string(id), seq, err == nil
}
