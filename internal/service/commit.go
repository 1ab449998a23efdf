package service

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/store"
)

// commitTimeout is how long a commit may take, whether or not the client still waits.
const commitTimeout = 30 * time.Second

// commit writes what the Tx holds together with its audit records. It goes on when the client hangs up, so that a commit is
// never without its record.
func (p *Pipeline) commit(ctx context.Context, tx *Tx, op *Op, out *outcome) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), commitTimeout)
	defer cancel()
	if err := p.sink.Healthy(); err != nil {
		return err
	}
	if err := p.outbox.admit(ctx); err != nil {
		return err
	}
	tx.ctx = ctx
	if err := tx.stampClock(); err != nil {
		return err
	}
	eventID, records := p.changeRecords(tx, op, out)
	b, err := tx.batch(eventID, p.outbox.writes(records))
	if err != nil {
		return err
	}
	err = p.census.commit(ctx, tx, b)
	switch {
	case errors.Is(err, store.ErrNoSpace):
		p.outbox.noRoom()
		return err
	case nothingWritten(err):
		return err
	case err != nil: // it may have happened
		p.cache.drop()
		p.outbox.committed(len(records))
		return fmt.Errorf("committing %s: %w", op.Name, err)
	}
	for _, w := range b.Writes {
		p.cache.invalidate(w.Key)
	}
	p.outbox.committed(len(records))
	p.commits.Add(1)
	for _, f := range tx.after {
		f()
	}
	return nil
}

// nothingWritten tells whether a commit's error says so.
func nothingWritten(err error) bool {
	return errors.Is(err, store.ErrConflict) || errors.Is(err, store.ErrTooLarge) || errors.Is(err, store.ErrNoSpace)
}

// stampClock persists the offset of keyturn dev's clock with the service's own dated work, so that after a crash the clock is
// never before anything it has dated.
func (tx *Tx) stampClock() error {
	if tx.Call.offset == 0 {
		return nil
	}
	c, err := Lookup[*record.Clock](tx, record.ClockStoreKey)
	if err != nil {
		return err
	}
	if c == nil {
		c = new(record.Clock)
	}
	c.Offset = max(c.Offset, tx.Call.offset)
	tx.Put(c)
	return nil
}
