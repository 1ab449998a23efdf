package backup

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"filippo.io/age"

	"github.com/keyturn/keyturn/internal/audit"
	"github.com/keyturn/keyturn/internal/keys"
	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/seal"
)

// Source is what a backup is made of.
type Source struct {
	Seal *seal.Store
	Log  Log
	// Still runs a function at a moment at which no audit record is on its way from the store to the log. Nil: none ever is, since no server
	// runs.
	Still func(func() error) error
	// Records: the store gets a record.LastBackup once the backup is whole, before its receiver knows that.
	Records bool
	Keyturn string // version of the program
	Now     func() time.Time
}

// Log is the audit log as a backup reads it.
type Log interface {
	// Next returns the number of the next line. All before it are on disk.
	Next() (uint64, error)
	// Since yields the lines with that number and later ones, in order.
	Since(seq uint64) iter.Seq2[audit.Line, error]
}

// SinkLog is the log of a running server.
type SinkLog struct{ audit.Sink }

// Next implements Log.
func (l SinkLog) Next() (uint64, error) {
	next := l.NextSeq()
	_, err := l.AppendSync(nil) // lines that a power cut could take back must be in no backup: others would get their numbers
	return next, err
}

// DirLog is the log in a directory that nobody writes to.
type DirLog string

// Next implements Log.
func (d DirLog) Next() (uint64, error) { return audit.Next(string(d)) }

// Since implements Log.
func (d DirLog) Since(seq uint64) iter.Seq2[audit.Line, error] { return audit.Read(string(d), seq) }

// Options say what is wanted.
type Options struct {
	Recipients *Recipients // nil: the backup is for the seal
	Since      *Position   // what an incremental backup goes on from; nil: a full one
	NoAudit    bool        // leave out the audit log; with Since, as its base has it
}

// Backup is one that has been begun: the state is fixed. It must be closed.
type Backup struct {
	Header
	source     Source
	snapshot   *seal.Snapshot
	escrow     *seal.Escrow
	recipients []age.Recipient
}

// Take fixes the state that the backup will have. The errors are of Options, such as ErrChain, or ErrFIPS; or those of the store.
func Take(ctx context.Context, s Source, o Options) (_ *Backup, err error) {
	if err := allowed(); err != nil {
		return nil, err
	}
	b := &Backup{source: s}
	if o.Recipients != nil {
		if err := o.Recipients.check(); err != nil {
			return nil, err
		}
		b.recipients = o.Recipients.list
	}
	still := s.Still
	if still == nil {
		still = func(f func() error) error { return f() }
	}
	// Changes are in the store with their audit records, until these are in the log. While none is on its way, the log's end and the store
	// belong together: the log has every change but those whose records are in the snapshot, and none that came later.
	var next uint64
	err = still(func() (err error) {
		if b.snapshot, err = s.Seal.TakeSnapshot(ctx); err == nil {
			next, err = s.Log.Next()
		}
		return err
	})
	defer func() {
		if err != nil {
			b.Close()
		}
	}()
	if err != nil {
		return nil, err
	}
	if b.escrow, err = b.snapshot.Escrow(); err != nil {
		return nil, err
	}
	if b.recipients == nil {
		b.recipients = []age.Recipient{sealRecipient{b.escrow}}
		b.escrow = &seal.Escrow{Meta: b.escrow.Meta} // who opens the backup has the root key
	}
	// A log that was cut off, or lost, gives no numbers that its lines have had.
	mark, err := entryOf[*record.Mark](ctx, b.snapshot, record.MarkStoreKey)
	if err != nil {
		return nil, err
	}
	if mark != nil && next <= mark.Line {
		if !o.NoAudit {
			return nil, fmt.Errorf("%w: it ends before line %d, which was on the disk", ErrLog, mark.Line)
		}
		next = mark.Line + 1
	}
	ring := s.Seal.Keyring()
	b.Header = Header{
		Position: Position{
			Format: Format, Backup: keys.NewKeyID().String(), Deployment: ring.Deployment(), Revision: b.snapshot.Rev(), Audit: !o.NoAudit, Next: next,
			Time: s.Now().UTC().Truncate(time.Millisecond), Recorded: s.Records,
		},
		Keyturn: s.Keyturn, Dev: ring.Dev(), Base: o.Since,
	}
	restored, err := entryOf[*record.Restored](ctx, b.snapshot, record.RestoredStoreKey)
	if err != nil {
		return nil, err
	}
	if restored != nil {
		b.History = restored.ID
	}
	// Without the log in the backup, one that is damaged is no reason to make none; but nothing goes on from it then.
	if b.Line, err = digestOf(s.Log, next-1); err != nil && !o.NoAudit {
		return nil, err
	}
	if o.Since != nil {
		if err := o.Since.check(); err != nil {
			return nil, err
		}
		if err := b.follows(o.Since); err != nil {
			return nil, err
		}
		if err := b.goesOn(ctx, o.Since); err != nil {
			return nil, err
		}
	}
	return b, nil
}

// entryOf returns the record at a store key, the zero T if there is none.
func entryOf[T record.Record](ctx context.Context, sn *seal.Snapshot, storeKey string) (T, error) {
	var none T
	entries, err := sn.Get(ctx, storeKey)
	if err != nil || entries[0].Rev == 0 {
		return none, err
	}
	r, err := record.Decode(storeKey, entries[0].Value)
	if err != nil {
		return none, err
	}
	t, ok := r.(T)
	if !ok {
		return none, fmt.Errorf("%w: %s", record.ErrDecode, storeKey)
	}
	return t, nil
}

// Close lets go of the state. Closing again does nothing.
func (b *Backup) Close() {
	if b.snapshot != nil {
		b.snapshot.Close()
	}
}

// ErrLog: the audit log does not have what the backup is to have of it.
var ErrLog = errors.New("the audit log is not whole")
