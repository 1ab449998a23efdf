package audit

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// A segment is a file of consecutive lines, named after the number of its first. Only the last one can be torn: it is
// synced before the next is made.

const (
	segmentPrefix = "audit-"
	segmentSuffix = ".jsonl"
)

func segmentName(first uint64) string {
	return fmt.Sprintf("%s%020d%s", segmentPrefix, first, segmentSuffix)
}

// parseSegmentName reads the first number out of a segment's name, of which there is one spelling.
func parseSegmentName(name string) (first uint64, ok bool) {
	s, ok := strings.CutPrefix(name, segmentPrefix)
	if !ok {
		return 0, false
	}
	s, _ = strings.CutSuffix(s, segmentSuffix)
	first, err := strconv.ParseUint(s, 10, 64)
	return first, err == nil && first > 0 && segmentName(first) == name
}

// Segments lists the numbers of the first lines of the segments in dir, ascending. Other files are none of ours.
func Segments(dir string) ([]uint64, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("audit: %w", err)
	}
	var firsts []uint64
	for _, e := range entries {
		if first, ok := parseSegmentName(e.Name()); ok {
			firsts = append(firsts, first)
		}
	}
	slices.Sort(firsts)
	return firsts, nil
}

// scanEnd says how a segment ends.
type scanEnd struct {
	next uint64 // the number after the last whole line
	size int64  // bytes of whole lines
	torn int64  // bytes after them: see scan
}

// scan reads the segment that starts with number first, and calls yield with each whole line until it returns false.
// The line is valid during the call.
//
// Torn is a last line that has no newline or is not JSON, and everything from a line on in which there are zero bytes: no
// record has any, but a power cut leaves them where the disk got later parts of what was not synced and not this one. Anything
// else that is wrong before the last line is ErrDamaged.
func scan(dir string, first uint64, yield func(Line) bool) (scanEnd, error) {
	end := scanEnd{next: first}
	f, err := os.Open(filepath.Join(dir, segmentName(first)))
	if err != nil {
		return end, fmt.Errorf("audit: %w", err)
	}
	defer f.Close()
	r := bufio.NewReaderSize(f, 64<<10)
	var buf []byte
	for {
		line, n, hole, err := readLine(r, &buf)
		if err == io.EOF {
			end.torn = n
			return end, nil
		}
		if err != nil {
			return end, fmt.Errorf("audit: reading %s: %w", segmentName(first), err)
		}
		l, reason := parseLine(line, end.next)
		if errors.Is(reason, errNotJSON) {
			if hole {
				info, err := f.Stat()
				if err != nil {
					return end, fmt.Errorf("audit: %w", err)
				}
				end.torn = info.Size() - end.size
				return end, nil
			}
			if _, err := r.Peek(1); err == io.EOF {
				end.torn = n
				return end, nil
			}
		}
		if reason != nil {
			return end, fmt.Errorf("%w: %s: line %d at byte %d %w", ErrDamaged, segmentName(first), end.next-first+1, end.size, reason)
		}
		end.next++
		end.size += n
		if !yield(l) {
			return end, nil
		}
	}
}

var errNotJSON = errors.New("is not valid JSON")

// parseLine checks a line without its newline; nil stands for one that is too long.
func parseLine(line []byte, want uint64) (Line, error) {
	// A name that occurs twice is a flaw of the record, not of the file.
	if line == nil || !jsontext.Value(line).IsValid(jsontext.AllowDuplicateNames(true)) {
		return Line{}, errNotJSON
	}
	node, seq, ok := parseFrame(line)
	switch {
	case !ok:
		return Line{}, errors.New("has no sequence number")
	case seq != want:
		return Line{}, fmt.Errorf("has sequence number %d, not %d", seq, want)
	}
	return Line{Seq: seq, Node: node, JSON: line}, nil
}

// readLine reads up to a newline and returns the line without it, valid until the next call, the bytes read, and whether one
// of them is zero. Of a line longer than any of ours it returns nil, without keeping it in memory. At the end of the file the
// error is io.EOF, and n the bytes that no newline follows.
func readLine(r *bufio.Reader, buf *[]byte) (line []byte, n int64, hole bool, err error) {
	*buf = (*buf)[:0]
	for {
		part, err := r.ReadSlice('\n')
		n += int64(len(part))
		hole = hole || bytes.IndexByte(part, 0) >= 0
		if n <= int64(maxLine) {
			*buf = append(*buf, part...)
		}
		switch {
		case err == bufio.ErrBufferFull:
		case err != nil:
			return nil, n, hole, err
		case n > int64(maxLine):
			return nil, n, hole, nil
		default:
			return bytes.TrimSuffix(*buf, []byte("\n")), n, hole, nil
		}
	}
}
