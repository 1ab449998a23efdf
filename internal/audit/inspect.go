package audit

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/go-json-experiment/json/jsontext"
)

// FlawKind is what can be wrong with the files of a log.
type FlawKind string

// The kinds of flaw.
const (
	FlawGap       FlawKind = "gap"        // numbers are missing, or come twice
	FlawLine      FlawKind = "line"       // a line is not what the log writes
	FlawTorn      FlawKind = "torn"       // the last line is not whole: a crash leaves that, and the next start cuts it off
	FlawUnread    FlawKind = "unread"     // a segment cannot be read
	FlawEmptyFile FlawKind = "empty-file" // a segment without lines that is not the last
)

// Flaw is something wrong with the files of a log.
type Flaw struct {
	Kind    FlawKind
	Segment string // file name
	Offset  int64  // in it, in bytes
	Want    uint64 // with FlawGap and FlawLine: the number that should stand there
	Got     uint64 // with FlawGap: the one that does
	Detail  string // says nothing of what the line holds
}

// Survey is what Inspect has seen as a whole.
type Survey struct {
	First, Last uint64 // numbers of the first and the last line; 0 where there are none
	Lines       uint64
	Bytes       int64
	Segments    int
	Nodes       []string // who wrote, in the order of the first line of each; at most 16
}

// inspectNodes bounds how many writers a survey names.
const inspectNodes = 16

// Inspect reads the log in dir from its first line to number to at most, whatever is wrong with it: it goes on behind each flaw. Unlike Open, it
// changes nothing. line gets every line that is whole, flaw what is wrong; an error of either ends it. Lines are valid during the call, and
// numbers are what they say: after a flaw they may go back.
func Inspect(ctx context.Context, dir string, to uint64, line func(Line) error, flaw func(Flaw) error) (Survey, error) {
	s := survey{ctx: ctx, dir: dir, to: to, line: line, flaw: flaw}
	firsts, err := Segments(dir)
	if errors.Is(err, os.ErrNotExist) {
		return s.Survey, nil
	}
	if err != nil {
		return s.Survey, err
	}
	s.Segments = len(firsts)
	for i, first := range firsts {
		if first > to {
			break
		}
		name := segmentName(first)
		if i > 0 && first != s.next {
			if err := flaw(Flaw{Kind: FlawGap, Segment: name, Want: s.next, Got: first, Detail: "the segment before ends elsewhere"}); err != nil {
				return s.Survey, err
			}
		}
		s.next = first
		if err := s.segment(name, i == len(firsts)-1); err != nil {
			return s.Survey, err
		}
	}
	return s.Survey, nil
}

type survey struct {
	Survey
	ctx  context.Context
	dir  string
	to   uint64
	line func(Line) error
	flaw func(Flaw) error
	next uint64 // the number to come
	buf  []byte
}

func (s *survey) segment(name string, last bool) error {
	f, err := os.Open(filepath.Join(s.dir, name))
	if err != nil {
		return s.flaw(Flaw{Kind: FlawUnread, Segment: name, Want: s.next, Detail: "it cannot be opened"})
	}
	defer f.Close()
	r := bufio.NewReaderSize(f, 256<<10)
	var offset int64
	for n := 0; s.next <= s.to; n++ {
		if n%1024 == 0 && s.ctx.Err() != nil {
			return s.ctx.Err()
		}
		line, size, hole, err := readLine(r, &s.buf)
		if err != nil && err != io.EOF {
			return s.flaw(Flaw{Kind: FlawUnread, Segment: name, Offset: offset, Want: s.next, Detail: "it cannot be read to its end"})
		}
		if err == io.EOF {
			switch {
			case size > 0 && last:
				return s.flaw(Flaw{Kind: FlawTorn, Segment: name, Offset: offset, Want: s.next, Detail: fmt.Sprintf("%d bytes without an end", size)})
			case size > 0:
				return s.flaw(Flaw{Kind: FlawLine, Segment: name, Offset: offset, Want: s.next, Detail: "is cut short, and the segment is not the last"})
			case n == 0 && !last:
				return s.flaw(Flaw{Kind: FlawEmptyFile, Segment: name, Want: s.next, Detail: "it is empty, and not the last"})
			}
			return nil
		}
		if hole && last && !jsontext.Value(line).IsValid(jsontext.AllowDuplicateNames(true)) {
			// What a power cut leaves: a part that was never written, and whatever follows was not acknowledged either.
			return s.flaw(Flaw{Kind: FlawTorn, Segment: name, Offset: offset, Want: s.next, Detail: "the rest was not written before the power went"})
		}
		if err := s.take(name, line, offset, func() bool {
			_, err := r.Peek(1)
			return last && err == io.EOF
		}); err != nil {
			return err
		}
		offset += size
		s.Bytes += size
	}
	return nil
}

// take takes one line without its newline.
func (s *survey) take(name string, text []byte, offset int64, atEnd func() bool) error {
	l, reason := parseLine(text, s.next)
	if reason != nil {
		node, seq, framed := "", uint64(0), false
		if text != nil {
			node, seq, framed = parseFrame(text)
		}
		if errors.Is(reason, errNotJSON) && atEnd() {
			return s.flaw(Flaw{Kind: FlawTorn, Segment: name, Offset: offset, Want: s.next, Detail: "the last line is not valid JSON"})
		}
		if errors.Is(reason, errNotJSON) || !framed {
			err := s.flaw(Flaw{Kind: FlawLine, Segment: name, Offset: offset, Want: s.next, Detail: reason.Error()})
			s.next++
			return err
		}
		if err := s.flaw(Flaw{Kind: FlawGap, Segment: name, Offset: offset, Want: s.next, Got: seq, Detail: "a line has another number"}); err != nil {
			return err
		}
		l = Line{Seq: seq, Node: node, JSON: text}
	}
	if l.Seq > s.to {
		return nil
	}
	if s.Lines == 0 {
		s.First = l.Seq
	}
	s.Lines++
	s.Last = l.Seq
	s.next = l.Seq + 1
	s.node(l.Node)
	return s.line(l)
}

func (s *survey) node(name string) {
	for _, n := range s.Nodes {
		if n == name {
			return
		}
	}
	if len(s.Nodes) < inspectNodes {
		s.Nodes = append(s.Nodes, name)
	}
}
