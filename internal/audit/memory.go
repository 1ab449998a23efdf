package audit

import (
	"bytes"
	"iter"
	"sync"
)

// Memory is a Sink that keeps its newest lines in memory, for tests and for servers that keep nothing.
type Memory struct {
	mu     sync.Mutex // guards what follows
	ring   []Line     // the line numbered n is at n modulo the length
	next   uint64
	closed bool
}

var _ Sink = (*Memory)(nil)

// NewMemory returns a Memory that keeps at most max lines; less than one counts as one.
func NewMemory(max int) *Memory {
	if max < 1 {
		max = 1
	}
	return &Memory{ring: make([]Line, max), next: 1}
}

// memoryNode is the node ID in the lines of a Memory.
const memoryNode = "memory"

// Append appends one record. See Sink.
func (m *Memory) Append(record []byte) (uint64, error) {
	return m.AppendSync([][]byte{record})
}

// AppendSync appends records. See Sink; nothing here outlives the process.
func (m *Memory) AppendSync(records [][]byte) (uint64, error) {
	for _, r := range records {
		if err := checkRecord(r); err != nil {
			return 0, err
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return 0, ErrClosed
	}
	first := m.next
	for _, r := range records {
		line := bytes.TrimSuffix(appendLine(nil, memoryNode, m.next, r), []byte("\n"))
		m.ring[m.next%uint64(len(m.ring))] = Line{Seq: m.next, Node: memoryNode, JSON: line}
		m.next++
	}
	return first, nil
}

// NextSeq returns the number the next record will get.
func (m *Memory) NextSeq() uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.next
}

// SafeSeq is NextSeq. See Sink; nothing here outlives the process.
func (m *Memory) SafeSeq() uint64 { return m.NextSeq() }

// Since yields the lines numbered seq and later that are there now; it begins with the oldest one kept if seq is gone.
func (m *Memory) Since(seq uint64) iter.Seq2[Line, error] {
	return func(yield func(Line, error) bool) {
		m.mu.Lock()
		next := m.next
		m.mu.Unlock()
		for n := max(seq, 1); n < next; n++ {
			m.mu.Lock()
			if kept := uint64(len(m.ring)); m.next > kept {
				n = max(n, m.next-kept)
			}
			if n >= next {
				m.mu.Unlock()
				return
			}
			line := m.ring[n%uint64(len(m.ring))]
			m.mu.Unlock()
			line.JSON = bytes.Clone(line.JSON)
			if !yield(line, nil) {
				return
			}
		}
	}
}

// Healthy returns ErrClosed after Close, else nil.
func (m *Memory) Healthy() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return ErrClosed
	}
	return nil
}

// Close ends the sink. What it holds can still be read.
func (m *Memory) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	return nil
}
