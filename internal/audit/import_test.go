package audit

import (
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func linesOf(lines ...string) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		for _, l := range lines {
			if !yield([]byte(l), nil) {
				return
			}
		}
	}
}

// TestImport: a log that was read and imported is the same log, and goes on after its last line.
func TestImport(t *testing.T) {
	for _, first := range []uint64{1, 41} {
		t.Run(fmt.Sprint("from ", first), func(t *testing.T) {
			var lines []string
			for i := range 100 {
				record := fmt.Sprintf(`{"eventID":"%d","more":"%s"}`, i, strings.Repeat("x", i))
				lines = append(lines, strings.TrimSuffix(string(appendLine(nil, "node", first+uint64(i), []byte(record))), "\n"))
			}
			dir := filepath.Join(t.TempDir(), "audit")
			next, err := Import(dir, first, linesOf(lines...), Options{SegmentBytes: 1000})
			if err != nil || next != first+100 {
				t.Fatalf("next is %d (%v)", next, err)
			}
			if firsts, err := Segments(dir); err != nil || len(firsts) < 5 || firsts[0] != first {
				t.Errorf("segments %v (%v)", firsts, err)
			}
			l, err := Open(dir, Options{NodeID: "node"})
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			if seq, err := l.Append([]byte(`{"eventID":"new"}`)); err != nil || seq != next {
				t.Errorf("the next line has number %d (%v)", seq, err)
			}
			n := 0
			for line, err := range Read(dir, 0) {
				if err != nil {
					t.Fatal(err)
				}
				if n < len(lines) && string(line.JSON) != lines[n] {
					t.Fatalf("line %d is %s", n, line.JSON)
				}
				n++
			}
			if n != 101 {
				t.Errorf("%d lines", n)
			}
		})
	}
}

// TestImportNothing: a log without lines begins at its number.
func TestImportNothing(t *testing.T) {
	dir := t.TempDir()
	if next, err := Import(dir, 7, linesOf(), Options{}); err != nil || next != 7 {
		t.Fatalf("next is %d (%v)", next, err)
	}
	l, err := Open(dir, Options{NodeID: "node"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if l.NextSeq() != 7 {
		t.Errorf("the next line has number %d", l.NextSeq())
	}
}

func TestImportRefused(t *testing.T) {
	good := func(seq int) string { return fmt.Sprintf(`{"keyturn":{"node":"n","seq":%d},"a":1}`, seq) }
	for name, lines := range map[string][]string{
		"a gap":            {good(1), good(3)},
		"another first":    {good(2)},
		"no JSON":          {good(1), `{"keyturn":{"node":"n","seq":2},"a":`},
		"no frame":         {`{"a":1}`},
		"two lines in one": {good(1) + "\n" + good(2)},
		"a newline":        {`{"keyturn":{"node":"n","seq":1},` + "\n" + `"a":1}`},
		"too long":         {`{"keyturn":{"node":"n","seq":1},"a":"` + strings.Repeat("x", maxLine) + `"}`},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := Import(t.TempDir(), 1, linesOf(lines...), Options{}); !errors.Is(err, ErrDamaged) {
				t.Errorf("got %v", err)
			}
		})
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, segmentName(1)), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Import(dir, 1, linesOf(good(1)), Options{}); err == nil {
		t.Error("a log was written into another")
	}
}
