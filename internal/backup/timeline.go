package backup

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash"

	"github.com/go-json-experiment/json"

	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/store"
)

// Revisions and numbers of lines tell nothing once a data directory has been put back to an earlier state, as by a snapshot of the machine or of
// the file system: what is written then gets numbers that were there before. Three things tell such a store from the one that a backup was made
// of: the last audit line, which has a random event ID; what a server writes of its backups; and, when files are read together, the
// sealed values, each of which has a random nonce.

// lineDigest is what a position says of an audit line: its SHA-256, in hexadecimal.
func lineDigest(line []byte) string {
	sum := sha256.Sum256(line)
	return hex.EncodeToString(sum[:])
}

// digestOf is the lineDigest of the log's line with a number, "" if the log does not have it any more.
func digestOf(l Log, seq uint64) (string, error) {
	if seq == 0 {
		return "", nil
	}
	for line, err := range l.Since(seq) {
		if err != nil || line.Seq != seq {
			return "", err
		}
		return lineDigest(line.JSON), nil
	}
	return "", nil
}

const fullInstead = "make a full backup"

// goesOn returns ErrChain unless the store and its log are what base was made of, and has become more since. The numbers have been compared.
func (b *Backup) goesOn(ctx context.Context, base *Position) error {
	if base.Line == "" {
		return fmt.Errorf("%w: the state does not tell the store from an earlier state of it: it is of an older keyturn, or there was no audit line; %s", ErrChain, fullInstead)
	}
	line, err := digestOf(b.source.Log, base.Next-1)
	switch {
	case err != nil:
		return err
	case line == "":
		return fmt.Errorf("%w: the audit log has no line %d any more, by which the store is known again; %s", ErrChain, base.Next-1, fullInstead)
	case line != base.Line:
		return fmt.Errorf("%w: line %d of the audit log is another than at revision %d: the data directory was put back to an earlier state; %s",
			ErrChain, base.Next-1, base.Revision, fullInstead)
	}
	if !base.Recorded {
		return nil
	}
	switch known, err := b.knows(ctx, base); {
	case err != nil:
		return err
	case !known:
		return fmt.Errorf("%w: the store does not know of backup %s: the data directory was put back to an earlier state; %s", ErrChain, base.Backup, fullInstead)
	}
	return nil
}

// knows tells whether store and log have what a server writes in one commit once a backup is whole: an entry, until the next backup, and an event.
func (b *Backup) knows(ctx context.Context, base *Position) (bool, error) {
	last, err := b.snapshot.Get(ctx, record.LastBackupStoreKey)
	if err != nil || last[0].Rev <= base.Revision { // the commit came after the state, and the entry is never deleted
		return false, err
	}
	if r, err := record.Decode(record.LastBackupStoreKey, last[0].Value); err != nil {
		return false, err
	} else if last, ok := r.(*record.LastBackup); ok && last.Backup == base.Backup {
		return true, nil
	}
	id := []byte(base.Backup)
	for line, err := range b.source.Log.Since(base.Next) {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil || line.Seq >= b.Next {
			return false, err
		}
		if !bytes.Contains(line.JSON, id) {
			continue
		}
		var e struct {
			Name    string `json:"eventName"`
			Details struct {
				Backup string `json:"backupId"`
			} `json:"serviceEventDetails"`
		}
		if json.Unmarshal(line.JSON, &e) == nil && e.Name == CompleteBackup && e.Details.Backup == base.Backup {
			return true, nil
		}
	}
	return false, nil
}

// CompleteBackup is the event of a backup that a server has made and sent whole, with its ID as backupId.
const CompleteBackup = "CompleteBackup"

// keptDigest is the digest of the entries that an incremental backup has by their keys only.
type keptDigest struct{ hash.Hash }

func newKeptDigest() keptDigest { return keptDigest{sha256.New()} }

// entryDigest is the SHA-256 of an entry: lengths before key and value, and the revision, as unsigned varints. It uses buf.
func entryDigest(buf []byte, e *store.Entry) (sum [sha256.Size]byte, used []byte) {
	buf = binary.AppendUvarint(buf[:0], uint64(len(e.Key)))
	buf = append(buf, e.Key...)
	buf = binary.AppendUvarint(buf, uint64(e.Rev))
	buf = binary.AppendUvarint(buf, uint64(len(e.Value)))
	buf = append(buf, e.Value...)
	return sha256.Sum256(buf), buf
}

func (d keptDigest) String() string { return hex.EncodeToString(d.Sum(nil)) }
