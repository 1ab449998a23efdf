package verify

import (
	"crypto/sha256"
	"encoding/hex"
)

// Severity says how bad a finding is.
type Severity string

// The severities.
const (
	Critical Severity = "CRITICAL" // keys or their history may be lost, or somebody has changed the store
	High     Severity = "HIGH"     // something does not work as it should, or will not
	Low      Severity = "LOW"      // nothing is at stake yet
)

// Kind is what can be wrong; its name stays the same from version to version.
type Kind string

// The kinds. Kinds has what each means.
const (
	StoreMissing      Kind = "store-missing"
	StoreUnreadable   Kind = "store-unreadable"
	ValueUnreadable   Kind = "value-unreadable"
	RecordMalformed   Kind = "record-malformed"
	EntryUnknown      Kind = "entry-unknown"
	ReservedMalformed Kind = "reserved-malformed"

	IndexMissing   Kind = "index-missing"
	IndexExtra     Kind = "index-extra"
	CounterWrong   Kind = "counter-wrong"
	IndexDifferent Kind = "index-different"

	MaterialMissing  Kind = "material-missing"
	MaterialMismatch Kind = "material-mismatch"
	MaterialUnknown  Kind = "material-unknown"
	KeyStateWrong    Kind = "key-state-wrong"
	KeyMissing       Kind = "key-missing"
	TombstoneWithKey Kind = "tombstone-with-key"
	KeyStoreMissing  Kind = "key-store-missing"
	RelatedMissing   Kind = "related-key-missing"
	RelatedDisagree  Kind = "related-keys-disagree"
	PrincipalMissing Kind = "principal-missing"
	NameMissing      Kind = "name-missing"
	NameMismatch     Kind = "name-mismatch"
	PolicyMissing    Kind = "policy-missing"
	AccessKeyMissing Kind = "access-key-missing"
	OutboxMalformed  Kind = "outbox-malformed"
	OutboxTwice      Kind = "outbox-logged-before"
	OutboxAhead      Kind = "outbox-ahead-of-log"
	RecordOld        Kind = "record-older-than-log"
	RecordNew        Kind = "record-newer-than-log"
	RecordOther      Kind = "record-differs-from-log"
	RecordRemoved    Kind = "record-removed"
	RecordReturned   Kind = "record-returned"
	RecordUnlogged   Kind = "record-not-in-log"
	RecordWithout    Kind = "record-without-event"
	RestoreUnknown   Kind = "restoration-unknown"
	ChangeMissing    Kind = "change-missing"
	EventTwice       Kind = "event-twice"
	LogGap           Kind = "log-gap"
	LogLine          Kind = "log-line-malformed"
	LogUnreadable    Kind = "log-segment-unreadable"
	LogCut           Kind = "log-cut"
	LogMissing       Kind = "log-missing"
)

// Meaning says what a kind of finding is, and what to do.
type Meaning struct {
	Severity Severity
	Title    string
	Remedy   string
	// Repair: --repair mends it.
	Repair bool
}

const (
	restore   = "Restore from a backup made before this happened, into another directory; keep this one to find out why."
	tampered  = "No crash does that: find out who could write to the data directory. Restore the store from a backup, or undo the change with the API."
	rebuild   = "It follows from records: keyturn verify --repair puts it right."
	inTheAPI  = "Mend it with the API; if that does not take it, restore from a backup."
	logCopy   = "Put the segment back from where the log is shipped to; else keep what there is, and note the gap."
	noTrouble = "Nothing has to be done."
)

// Kinds has all kinds.
var Kinds = map[Kind]Meaning{
	StoreMissing:      {Critical, "There is an audit log, and the store that it belongs to is gone", restore, false},
	StoreUnreadable:   {Critical, "Pages of the store cannot be read", restore, false},
	ValueUnreadable:   {Critical, "A value does not open: it was altered, moved, or its keyring version is gone", restore, false},
	RecordMalformed:   {Critical, "A value opens, and is not what keyturn writes", "Was it written by a newer keyturn? Use that one. Else: " + restore, false},
	EntryUnknown:      {Low, "An entry is of no kind that this keyturn knows", "Was it written by a newer keyturn? Use that one to verify.", false},
	ReservedMalformed: {High, "The seal's own entries are not as it writes them", restore, false},

	IndexMissing:   {High, "An index entry is missing: lists, searches or what is due leave the record out", rebuild, true},
	IndexExtra:     {High, "An index entry follows from no record", rebuild, true},
	CounterWrong:   {High, "A counter is not what the records say: quotas are wrong", rebuild, true},
	IndexDifferent: {High, "More index entries or counters are wrong than are listed", rebuild, true},

	MaterialMissing:  {Critical, "A key lacks material: what was encrypted under it does not open", restore, false},
	MaterialMismatch: {Critical, "A material is not the one that its key should have", restore, false},
	MaterialUnknown:  {High, "There is a material that its key knows nothing of", restore, false},
	KeyStateWrong:    {High, "A key is in a state that its materials contradict", inTheAPI, false},
	KeyMissing:       {Critical, "Something belongs to a key that is not there, and is not being swept", restore, false},
	TombstoneWithKey: {High, "A key is there and marked as deleted", restore, false},
	KeyStoreMissing:  {Critical, "A key is in a custom key store that is not there", restore, false},
	RelatedMissing:   {Critical, "A multi-Region key names a related key that is not there", restore, false},
	RelatedDisagree:  {High, "Related multi-Region keys disagree on what they share", restore, false},
	PrincipalMissing: {High, "Something belongs to a user, role or group that is not there", inTheAPI, false},
	NameMissing:      {High, "A user, role or group cannot be found by its name", restore, false},
	NameMismatch:     {High, "A name leads to something of another name", restore, false},
	PolicyMissing:    {High, "A managed policy is attached that is not there", inTheAPI, false},
	AccessKeyMissing: {Low, "There is a last use of an access key that is not there", noTrouble, false},

	OutboxMalformed: {Critical, "An audit record on its way to the log is not as keyturn writes it", restore, false},
	OutboxTwice:     {Critical, "An audit record that the log has long had is on its way there again", tampered, false},
	OutboxAhead:     {Critical, "An audit record on its way was written when the log was longer than it is now: the log was cut short", tampered, false},

	RecordOld:      {Critical, "A record is older than its last change in the log: it was put back", tampered, false},
	RecordNew:      {Critical, "A record is newer than its last change in the log: the log was cut short, or the change's record taken out", tampered, false},
	RecordOther:    {Critical, "A record was made by another change than the log's last of it", tampered, false},
	RecordRemoved:  {Critical, "A record is gone, and the log has no change that removed it", tampered, false},
	RecordReturned: {Critical, "A record is there again after the change that removed it", tampered, false},
	RecordUnlogged: {Critical, "A record was made by a change that the log does not have", tampered, false},
	RecordWithout:  {Critical, "A record does not say which change made it, as all of its kind do", tampered, false},
	RestoreUnknown: {Critical, "The log tells of a restoration from a backup that the store knows nothing of", tampered, false},
	ChangeMissing:  {Critical, "The log lacks a change between two of a record", logCopy, false},
	EventTwice:     {High, "The log has an event twice", logCopy, false},
	LogGap:         {Critical, "Lines of the log are missing, or come twice", logCopy, false},
	LogLine:        {Critical, "A line of the log is not what keyturn writes", logCopy, false},
	LogUnreadable:  {Critical, "A segment of the log cannot be read", logCopy, false},
	LogCut:         {Critical, "The log ends before a line that was on the disk", logCopy, false},
	LogMissing:     {Critical, "There are records and no audit log", logCopy, false},
}

// Finding is something wrong. It names things and says nothing of what is in them.
type Finding struct {
	ID       string   `json:"id"` // 32 hex characters, from kind and where: the same from run to run
	Kind     Kind     `json:"kind"`
	Severity Severity `json:"severity"`
	Where    string   `json:"where"` // a store key, or a segment of the audit log and a position in it
	Title    string   `json:"title"`
	Detail   string   `json:"detail,omitempty"`
	Remedy   string   `json:"remedy"`
	Repair   bool     `json:"repairable"`
}

func newFinding(kind Kind, where, detail string) Finding {
	m := Kinds[kind]
	sum := sha256.Sum256([]byte("keyturn-verify-1\x00" + string(kind) + "\x00" + where))
	return Finding{ID: hex.EncodeToString(sum[:16]), Kind: kind, Severity: m.Severity, Where: where, Title: m.Title, Detail: detail, Remedy: m.Remedy, Repair: m.Repair}
}
