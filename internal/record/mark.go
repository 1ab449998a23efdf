package record

import "time"

// Mark is the high-water mark of time, the last time that a server's clock told and was believed, and of the audit log. Never in keyturn dev. No
// audit event stands behind it but where somebody accepted the clock.
type Mark struct {
	made `json:",inline"`
	Time time.Time `json:"time"`
	// Suspended is what the clock told when it was found to have jumped forwards; zero if it is believed. While it is set nothing is destroyed.
	Suspended time.Time `json:"suspended,omitzero"`
	// Restored: the store was made from a backup, and nobody has said yet that what its state of that time makes due shall happen.
	Restored bool `json:"restored,omitzero"`
	// Line is the number of a line of the audit log that was on the disk when the mark was written: a log that ends before it was cut. 0 in those of
	// before there was this member.
	Line uint64 `json:"line,omitzero"`
}

// MarkStoreKey is where the mark stands.
const MarkStoreKey = "d/mark"

// StoreKey implements Record.
func (*Mark) StoreKey() string { return MarkStoreKey }

// Indexes implements Record.
func (*Mark) Indexes() []string { return nil }

// Counters implements Record.
func (*Mark) Counters() []string { return nil }
