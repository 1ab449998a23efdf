package operator

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/audit"
	"github.com/keyturn/keyturn/internal/backup"
	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/service"
)

// maxBackups is how many backups are made at a time: each keeps the store from using pages again.
const maxBackups = 2

// BackupState is the name of the field that says ahead of a backup what it will hold, as backup.MarshalPosition has it.
const BackupState = "Backup-State"

// createBackup answers with a backup, as it is made: an age file. The server encrypts it, so that nothing on the way has more.
func (o *Operator) createBackup() *service.Op {
	return service.Def[api.CreateBackupRequest, backupStream]{
		Name: "CreateBackup", Kind: service.Read, Actions: []string{"keyturn:CreateBackup"},
		Resolve: resolve[api.CreateBackupRequest](o.target("keyturn:CreateBackup")),
		Audit: func(q *api.CreateBackupRequest, p *audit.Params) {
			if len(q.Recipients) > 0 {
				p.StrList("recipients", publicNames(q.Recipients))
			}
			if q.ToSeal.V {
				p.Bool("toSeal", true)
			}
			if q.NoAudit.V {
				p.Bool("noAudit", true)
			}
			if since, err := backup.ParsePosition([]byte(q.Since.V)); q.Since.Set && err == nil {
				p.Str("sinceBackupId", since.Backup)
			}
		},
		Result: func(s *backupStream, p *audit.Params) {
			p.Str("backupId", s.b.Backup)
			p.Int("revision", int64(s.b.Revision))
			p.Int("lastLine", int64(s.b.Next)-1)
		},
		Plan: func(tx *service.Tx, q *api.CreateBackupRequest, _ []service.Target) (*backupStream, error) {
			options, err := backupOptions(q)
			if err != nil {
				return nil, api.Errorf(api.ValidationException, "%s", err)
			}
			select {
			case o.backups <- struct{}{}:
			default:
				return nil, api.Errorf(api.LimitExceededException, "%d backups are being made already. Try again when one of them is done.", maxBackups)
			}
			b, err := backup.Take(tx.Context(), backup.Source{
				Seal: o.config.Seal, Log: backup.SinkLog{Sink: o.config.Audit}, Still: o.config.Pipeline.Still, Keyturn: o.config.Keyturn, Now: o.config.RealTime,
				Records: true,
			}, *options)
			if err != nil {
				<-o.backups
				return nil, backupError(err)
			}
			return &backupStream{o: o, b: b}, nil
		},
	}.Op("keyturn")
}

// publicNames are the recipients of a request as they may be recorded: what is none may be a secret.
func publicNames(list []string) []string {
	names := make([]string, len(list))
	for i, text := range list {
		r := new(backup.Recipients)
		if names[i] = "(not a recipient)"; r.Add(text) == nil {
			names[i] = r.Names()[0]
		}
	}
	return names
}

func backupOptions(q *api.CreateBackupRequest) (*backup.Options, error) {
	o := &backup.Options{NoAudit: q.NoAudit.V}
	if (len(q.Recipients) > 0) == q.ToSeal.V {
		return nil, errors.New("a backup is either for Recipients or, with ToSeal, for the seal")
	}
	if len(q.Recipients) > 0 {
		o.Recipients = new(backup.Recipients)
		for _, text := range q.Recipients {
			if err := o.Recipients.Add(text); err != nil {
				return nil, err
			}
		}
	}
	if q.Since.Set {
		since, err := backup.ParsePosition([]byte(q.Since.V))
		if err != nil {
			return nil, err
		}
		o.Since, o.NoAudit = since, !since.Audit
	}
	return o, nil
}

// backupError is what to answer if a backup cannot be begun.
func backupError(err error) error {
	switch {
	case errors.Is(err, backup.ErrFIPS):
		return api.Errorf(api.UnsupportedOperationException, "%s", err)
	case errors.Is(err, backup.ErrChain), errors.Is(err, backup.ErrRecipients):
		return api.Errorf(api.ValidationException, "%s", err)
	}
	return err
}

// backupStream implements service.Stream.
type backupStream struct {
	o *Operator
	b *backup.Backup
}

// AppendJSON implements api.Response: there is no JSON.
func (*backupStream) AppendJSON(dst []byte) []byte { return dst }

// Head implements service.Stream.
func (s *backupStream) Head() (string, map[string]string) {
	state, err := backup.MarshalPosition(&s.b.Position)
	if err != nil {
		return "application/octet-stream", nil
	}
	return "application/octet-stream", map[string]string{BackupState: string(state[:len(state)-1])}
}

// Discard implements service.Stream.
func (s *backupStream) Discard() {
	s.b.Close()
	<-s.o.backups
}

// Send implements service.Stream. That a backup was made is recorded before its receiver is told that it is whole.
func (s *backupStream) Send(ctx context.Context, w io.Writer) error {
	defer s.Discard()
	out := &counter{w: w}
	manifest, err := s.b.Write(ctx, out)
	done := &backupDone{header: &s.b.Header, manifest: manifest, bytes: out.n, owner: s.o.config.Owner}
	if err == nil {
		return s.o.record(ctx, s.o.completed, done)
	}
	s.o.config.Log.Error("a backup could not be finished", "backup", s.b.Backup, "error", err)
	return errors.Join(err, s.o.record(ctx, s.o.aborted, done))
}

// record runs one of the operations below, also when the client has gone.
func (o *Operator) record(ctx context.Context, op *service.Op, done *backupDone) error {
	_, err := o.config.Pipeline.DoInternal(context.WithoutCancel(ctx), op, o.config.Owner, o.config.Pipeline.Clock().Now(), 0, done)
	return err
}

// counter counts bytes.
type counter struct {
	w io.Writer
	n int64
}

func (c *counter) Write(b []byte) (int, error) {
	n, err := c.w.Write(b)
	c.n += int64(n)
	return n, err
}

// backupDone is the request of CompleteBackup and AbortBackup.
type backupDone struct {
	header   *backup.Header
	manifest *backup.Manifest // nil: aborted
	bytes    int64
	owner    record.Owner
}

func (q *backupDone) event(tx *service.Tx, name string) *audit.Record {
	e := service.OwnEvent(tx, name, q.owner)
	d := &e.ServiceEventDetails
	d.Str("backupId", q.header.Backup)
	d.Int("revision", int64(q.header.Revision))
	d.Int("bytes", q.bytes)
	return e
}

// completeBackup records a backup that was made whole, in the log and in the store.
func completeBackup() *service.Op {
	return service.Def[backupDone, struct{}]{
		Name: "CompleteBackup", Kind: service.Internal,
		Plan: func(tx *service.Tx, q *backupDone, _ []service.Target) (*struct{}, error) {
			r := &record.LastBackup{Backup: q.header.Backup, At: q.header.Time, Revision: uint64(q.header.Revision), Bytes: q.bytes, Full: q.header.Base == nil}
			old, err := service.Lookup[*record.LastBackup](tx, record.LastBackupStoreKey)
			if err != nil {
				return nil, err
			}
			if old != nil {
				r.By = old.By
			}
			tx.Put(r)
			e := q.event(tx, backup.CompleteBackup)
			e.ServiceEventDetails.Str("backupTime", q.header.Time.Format(time.RFC3339Nano))
			e.ServiceEventDetails.Bool("full", r.Full)
			e.ServiceEventDetails.Int("entries", q.manifest.Entries)
			e.ServiceEventDetails.Int("lines", q.manifest.Lines)
			e.ServiceEventDetails.Str("sha256", q.manifest.Digest)
			tx.Event(e)
			return &struct{}{}, nil
		},
	}.Op("keyturn")
}

// abortBackup records one that was not.
func abortBackup() *service.Op {
	return service.Def[backupDone, struct{}]{
		Name: "AbortBackup", Kind: service.Internal,
		Plan: func(tx *service.Tx, q *backupDone, _ []service.Target) (*struct{}, error) {
			tx.Event(q.event(tx, "AbortBackup"))
			return &struct{}{}, nil
		},
	}.Op("keyturn")
}
