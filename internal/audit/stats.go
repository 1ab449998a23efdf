package audit

// Stats is what there is of a Log.
type Stats struct {
	LastSeq  uint64 // of the last line; 0 if there is none
	Unsynced uint64 // lines that a crash of the machine could lose
	Bytes    int64  // of all segments, those that were moved away since Open too
	Segments int64  // likewise
}

// Stats returns what there is of the log. It waits for nothing.
func (l *Log) Stats() Stats {
	synced := l.durable.Load()
	s := Stats{LastSeq: l.written.Load(), Bytes: l.bytes.Load(), Segments: l.count.Load()}
	s.Unsynced = s.LastSeq - min(synced, s.LastSeq)
	return s
}

// Stats returns what was ever appended to the Memory; nothing of it is on a disk.
func (m *Memory) Stats() Stats { return Stats{LastSeq: m.NextSeq() - 1} }
