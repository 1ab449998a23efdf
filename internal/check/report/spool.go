package report

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"slices"

	"github.com/keyturn/keyturn/internal/check"
)

// blockSize is how much of a group waits in memory before it goes to the file.
const blockSize = 32 << 10

// spool keeps findings in groups until the report knows enough to write them, in a temporary file as soon as they are more than a few.
// The file has no name where the system allows that, so that it is gone with the process, however it ends.
type spool struct {
	dir    string
	file   *os.File
	name   string // of the file, if it still has one
	size   int64
	order  []string // groups, as they were first used
	groups map[string]*group
}

// group is the findings of one name: blocks of the file, then what is still in memory; one JSON text a line.
type group struct {
	n      int
	blocks []extent
	tail   bytes.Buffer
}

type extent struct{ offset, length int64 }

// add appends a finding to a group.
func (s *spool) add(name string, f *check.Finding) error {
	g := s.groups[name]
	if g == nil {
		if s.groups == nil {
			s.groups = map[string]*group{}
		}
		g = &group{}
		s.groups[name] = g
		s.order = append(s.order, name)
	}
	text, err := json.Marshal(f)
	if err != nil {
		return err
	}
	g.n++
	g.tail.Write(text)
	g.tail.WriteByte('\n')
	if g.tail.Len() < blockSize {
		return nil
	}
	return s.flush(g)
}

func (s *spool) flush(g *group) error {
	if s.file == nil {
		f, err := os.CreateTemp(s.dir, "keyturn-report-*")
		if err != nil {
			return err
		}
		s.file = f
		if os.Remove(f.Name()) != nil {
			s.name = f.Name()
		}
	}
	n, err := s.file.WriteAt(g.tail.Bytes(), s.size)
	if err != nil {
		return err
	}
	g.blocks = append(g.blocks, extent{s.size, int64(n)})
	s.size += int64(n)
	g.tail.Reset()
	return nil
}

// count returns how many findings a group has.
func (s *spool) count(name string) int {
	if g := s.groups[name]; g != nil {
		return g.n
	}
	return 0
}

// each calls fn with the findings of a group, in their order, until it returns an error. errStop ends it without one.
func (s *spool) each(name string, fn func(*check.Finding) error) error {
	g := s.groups[name]
	if g == nil {
		return nil
	}
	var readers []io.Reader
	for _, b := range g.blocks {
		readers = append(readers, io.NewSectionReader(s.file, b.offset, b.length))
	}
	d := json.NewDecoder(io.MultiReader(append(readers, bytes.NewReader(g.tail.Bytes()))...))
	for {
		var f check.Finding
		err := d.Decode(&f)
		if err == io.EOF {
			return nil
		}
		if err == nil {
			err = fn(&f)
		}
		if errors.Is(err, errStop) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// errStop ends each early.
var errStop = errors.New("enough findings")

// names returns the groups in the order of their first finding.
func (s *spool) names() []string { return slices.Clone(s.order) }

// Close removes the file.
func (s *spool) Close() error {
	s.groups, s.order = nil, nil
	if s.file == nil {
		return nil
	}
	err := s.file.Close()
	if s.name != "" {
		err = errors.Join(err, os.Remove(s.name))
	}
	s.file = nil
	return err
}
