package record

import "time"

// Restored says that the store was made from a backup, by the last restore.
type Restored struct {
	made `json:",inline"`
	ID   string `json:"id"` // of the restore: random, and new with each
	// At is when it was restored; BackupTime is when the backup was made. What was done in between is lost.
	At         time.Time `json:"at"`
	BackupTime time.Time `json:"backupTime"`
	Backup     string    `json:"backup"`   // ID of the backup; of several that go on from each other, of the last
	Revision   uint64    `json:"revision"` // of the store when the backup was made
	Head       uint64    `json:"head"`     // the revision from which on the restored store counts
	Keyturn    string    `json:"keyturn"`  // the version that made the backup
}

// RestoredStoreKey is where it stands.
const RestoredStoreKey = "d/restored"

// StoreKey implements Record.
func (*Restored) StoreKey() string { return RestoredStoreKey }

// Indexes implements Record.
func (*Restored) Indexes() []string { return nil }

// Counters implements Record.
func (*Restored) Counters() []string { return nil }

// LastBackup is the last backup that a running server has made and sent whole.
type LastBackup struct {
	made     `json:",inline"`
	Backup   string    `json:"backup"` // its ID
	At       time.Time `json:"at"`     // of the state that it has
	Revision uint64    `json:"revision"`
	Bytes    int64     `json:"bytes"` // of the file
	Full     bool      `json:"full"`  // not an incremental one
}

// LastBackupStoreKey is where it stands.
const LastBackupStoreKey = "d/backup"

// StoreKey implements Record.
func (*LastBackup) StoreKey() string { return LastBackupStoreKey }

// Indexes implements Record.
func (*LastBackup) Indexes() []string { return nil }

// Counters implements Record.
func (*LastBackup) Counters() []string { return nil }
