package backup

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"time"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/audit"
	"github.com/keyturn/keyturn/internal/clock"
	"github.com/keyturn/keyturn/internal/disk"
	"github.com/keyturn/keyturn/internal/keys"
	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/seal"
	"github.com/keyturn/keyturn/internal/service"
	"github.com/keyturn/keyturn/internal/store"
)

// eraBits: a restored store begins at the next multiple of two to this power. What still remembers a revision of the store that was lost, which
// may have gone on after its backup, has none that the new one will come to.
const eraBits = 40

// maxRevision is the highest revision of a backup that there is room after.
const maxRevision = 1 << 62

// headAfter is the revision at which a store begins that is restored from a revision.
func headAfter(rev store.Rev) store.Rev { return (rev>>eraBits + 1) << eraBits }

// Target is what a chain is restored into.
type Target struct {
	// Load makes the engine's store of entries at a revision, and opens it: see package store.
	Load func(ctx context.Context, head store.Rev, entries iter.Seq2[store.Entry, error]) (store.Store, error)
	// AuditDir is where the audit log goes. It must not have one. FS is what it is in; nil: the machine's.
	AuditDir string
	FS       disk.FS
	// Provider seals the new root key.
	Provider seal.Provider
	// Node names the server in its log by the deployment.
	Node func(deployment string) string
	// Owner is whom the event of the restore is recorded for where the store does not say who manages it.
	Owner record.Owner
	Now   func() time.Time
	Log   *slog.Logger
}

// Restored is what a restore has made.
type Restored struct {
	record.Restored
	Deployment string
	Manifests  []*Manifest
	Lines      uint64 // the number of the last line of the audit log
}

// Restore makes a store and an audit log of a chain, under a new root key and a new version of the keyring. The last thing that it does is the
// record of itself: in the log, after what the backup's outbox still held, and in the store. After an error what it has made is of no use.
func Restore(ctx context.Context, c *Chain, t Target) (_ *Restored, err error) {
	last := c.Last()
	h := last.Header()
	if h.Revision > maxRevision {
		return nil, fmt.Errorf("%w: revision %d", ErrDamaged, h.Revision)
	}
	if _, err := c.keyring(); err != nil { // before anything is written
		return nil, err
	}
	head := headAfter(h.Revision)
	raw, err := t.Load(ctx, head, c.Entries())
	if err != nil {
		return nil, err
	}
	defer func() {
		if raw != nil {
			err = errors.Join(err, raw.Close())
		}
	}()
	next, err := t.importLog(ctx, c)
	if err != nil {
		return nil, err
	}
	r := &Restored{Deployment: h.Deployment}
	if r.Manifests, err = c.Finish(); err != nil {
		return nil, err
	}
	if next != h.Next {
		return nil, fmt.Errorf("%w: the audit log ends before line %d", ErrDamaged, h.Next)
	}
	// Only a whole backup becomes a store: without this nothing opens it.
	now := t.Now()
	if h.Time.After(now) { // a machine whose clock is wrong: old tokens must not seem to have been replaced before they were made
		now = h.Time
	}
	if err := last.Escrow().Restore(ctx, raw, t.Provider, now); err != nil {
		return nil, err
	}
	r.Restored = record.Restored{
		ID: keys.NewKeyID().String(), At: t.Now().UTC(), BackupTime: h.Time, Backup: h.Backup, Revision: uint64(h.Revision), Head: uint64(head), Keyturn: h.Keyturn,
	}
	sealed, err := seal.Open(ctx, raw, seal.Options{Provider: t.Provider, Dev: h.Dev, Now: t.Now()})
	if err != nil {
		return nil, fmt.Errorf("opening what was restored: %w", err)
	}
	raw = nil // sealed closes it
	r.Lines, err = t.mark(ctx, sealed, h, &r.Restored)
	return r, errors.Join(err, sealed.Close())
}

// importLog writes the audit log, which is empty if the backup has none: its numbers go on then.
func (t *Target) importLog(ctx context.Context, c *Chain) (next uint64, err error) {
	lines := c.Lines()
	first := c.Last().Header().Next
	pull, stop := iter.Pull2(lines)
	defer stop()
	line, err, ok := pull()
	if err != nil {
		return 0, err
	}
	if ok {
		seq, isLine := audit.LineSeq(line)
		if !isLine {
			return 0, fmt.Errorf("%w: no line of an audit log", ErrDamaged)
		}
		first = seq
	}
	return audit.Import(t.AuditDir, first, func(yield func([]byte, error) bool) {
		for ok {
			if err == nil {
				err = ctx.Err()
			}
			if !yield(line, err) || err != nil {
				return
			}
			line, err, ok = pull()
		}
	}, audit.Options{FS: t.FS})
}

// mark brings the log up to date with the store, and writes the restore into both. It returns the number of the log's last line.
func (t *Target) mark(ctx context.Context, sealed *seal.Store, h *Header, r *record.Restored) (lines uint64, err error) {
	node := t.Node(h.Deployment)
	log, err := audit.Open(t.AuditDir, audit.Options{NodeID: node, Now: t.Now, Logger: t.Log, FS: t.FS})
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	p, err := service.New(ctx, service.Config{
		Store: sealed, Keyring: sealed.Keyring(), Clock: clock.System{}, Audit: log, NodeID: node, Log: t.Log, RealTime: t.Now,
		Authorize: func(*service.Authorization) error { return api.New(api.AccessDeniedException) }, // nobody but the service is here
	})
	if err != nil {
		return 0, err
	}
	owner, err := t.owner(ctx, p)
	if err == nil {
		_, err = p.DoInternal(ctx, restoreBackup(), owner, r.At, 0, &restoreRequest{header: h, restored: r, owner: owner, dev: sealed.Keyring().Dev()})
	}
	if err := errors.Join(err, p.Close(ctx)); err != nil {
		return 0, fmt.Errorf("recording the restore: %w", err)
	}
	return log.NextSeq() - 1, nil
}

// owner is the account that manages the deployment.
func (t *Target) owner(ctx context.Context, p *service.Pipeline) (record.Owner, error) {
	owner := t.Owner
	r, err := p.Record(ctx, record.DeploymentStoreKey)
	if d, ok := r.(*record.Deployment); ok && err == nil {
		owner.Account = d.Management
	}
	return owner, err
}

// restoreRequest is the request of RestoreBackup.
type restoreRequest struct {
	header   *Header
	restored *record.Restored
	owner    record.Owner
	dev      bool
}

// restoreBackup records that the store was made of a backup.
func restoreBackup() *service.Op {
	return service.Def[restoreRequest, struct{}]{
		Name: "RestoreBackup", Kind: service.Internal,
		Plan: func(tx *service.Tx, q *restoreRequest, _ []service.Target) (*struct{}, error) {
			old, err := service.Lookup[*record.Restored](tx, record.RestoredStoreKey)
			if err != nil {
				return nil, err
			}
			r := *q.restored
			if old != nil {
				r.By = old.By
			}
			tx.Put(&r)
			if !q.dev { // whose clock is another, and always believed
				m, err := service.Lookup[*record.Mark](tx, record.MarkStoreKey)
				if err != nil {
					return nil, err
				}
				if m == nil {
					m = &record.Mark{Time: r.BackupTime}
				}
				m.Suspended, m.Restored = r.At, true // nothing is destroyed until somebody has looked
				tx.Put(m)
			}
			e := service.OwnEvent(tx, "RestoreBackup", q.owner)
			d := &e.ServiceEventDetails
			d.Str("restoreId", r.ID)
			d.Str("backupId", r.Backup)
			d.Str("deploymentId", q.header.Deployment)
			d.Str("backupTime", r.BackupTime.Format(time.RFC3339Nano))
			d.Int("revision", int64(r.Revision))
			d.Int("nextRevision", int64(r.Head)+1)
			d.Int("lastLine", int64(q.header.Next)-1)
			d.Bool("auditLog", q.header.Audit)
			d.Str("lost", "changes and calls between backupTime and eventTime")
			tx.Event(e)
			return &struct{}{}, nil
		},
	}.Op("keyturn")
}
