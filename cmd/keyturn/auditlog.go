package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/keyturn/keyturn/internal/audit"
	"github.com/keyturn/keyturn/internal/schedule"
	"github.com/keyturn/keyturn/internal/seal"
	"github.com/keyturn/keyturn/internal/store"
)

// auditSegments are the numbers of the first lines of the files of the audit log in a data directory.
func auditSegments(dataDir string) ([]uint64, error) {
	firsts, err := audit.Segments(filepath.Join(dataDir, auditDir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return firsts, err
}

// noAuditLog refuses to begin anew where there was a store: everything encrypted under it would look lost for good.
func noAuditLog(dataDir string) error {
	segments, err := auditSegments(dataDir)
	if err != nil {
		return err
	}
	if len(segments) > 0 {
		return fmt.Errorf("%w: %s has an audit log but its store, %s, is missing or empty", store.ErrDamaged, dataDir, storeFile)
	}
	return nil
}

// auditLogThere refuses the opposite: to begin a log anew beside a store that has had one. The log's first segment is on the disk before
// anything but the seal's own entries is in the store, and the last one stays when older ones are moved away.
func (c *appConfig) auditLogThere(ctx context.Context, raw store.Store) error {
	if c.DataDir == "" {
		return nil
	}
	segments, err := auditSegments(c.DataDir)
	if err != nil {
		return err
	}
	lost := false
	if len(segments) == 0 {
		if lost, err = hasData(ctx, raw); err != nil {
			return err
		}
	}
	switch {
	case c.NewAuditLog && !lost:
		return withHint(fmt.Errorf("--new-audit-log: the audit log in %s is not lost", filepath.Join(c.DataDir, auditDir)), "start without it")
	case !lost || c.NewAuditLog:
		return nil
	}
	hint := "put the folder back, or mount the disk that it is on: its last segment is enough. If it is lost, start once with keyturn server --new-audit-log, which " +
		"is recorded"
	if c.Dev {
		hint = "put the folder back: its last segment is enough. If it is lost, use another data directory"
	}
	return withHint(fmt.Errorf("%w: %s has a store but its audit log, %s, is missing or empty", store.ErrDamaged, c.DataDir, auditDir), hint)
}

// hasData tells whether anything is in a store but what the seal keeps there.
func hasData(ctx context.Context, raw store.Store) (bool, error) {
	for _, after := range []string{"", seal.Reserved + "\xff"} { // before and after those
		entries, err := raw.Scan(ctx, "", after, 1)
		if err != nil {
			return false, err
		}
		if len(entries) > 0 && !strings.HasPrefix(entries[0].Key, seal.Reserved) {
			return true, nil
		}
	}
	return false, nil
}

func (a *app) openAudit(ctx context.Context, c appConfig, node string) (audit.Sink, error) {
	if c.DataDir == "" {
		return audit.NewMemory(memoryAuditLines), nil
	}
	o := audit.Options{NodeID: node, Now: c.Now, Logger: c.Log}
	if c.NewAuditLog {
		var err error
		if o.First, err = lineAfterAll(ctx, c, a.sealed); err != nil {
			return nil, err
		}
	}
	dir := filepath.Join(c.DataDir, auditDir)
	log, err := audit.Open(dir, o)
	if err != nil {
		return nil, fmt.Errorf("opening the audit log: %w", err)
	}
	a.closers = append(a.closers, log.Close)
	m, _, err := schedule.LoadMark(ctx, a.sealed)
	if err != nil {
		return nil, err
	}
	if last := log.NextSeq() - 1; last < m.Line {
		return nil, withHint(fmt.Errorf("%w: %s ends with line %d, and line %d was on the disk: it was cut off, or an older copy was put back", audit.ErrDamaged, dir, last, m.Line),
			"put the lines that are missing back, from where the log is shipped to; if they are lost, move the folder away and start once with keyturn server "+
				"--new-audit-log, so that no two lines get the same number")
	}
	return log, nil
}

// lineAfterAll is a number that no line of the lost log has had: the microseconds since 1970, of which no log has had as many lines, by the
// clock or by the latest time that the store remembers. It is below 2^53, so that every JSON reader has it exactly.
func lineAfterAll(ctx context.Context, c appConfig, sealed *seal.Store) (uint64, error) {
	m, _, err := schedule.LoadMark(ctx, sealed)
	if err != nil {
		return 0, err
	}
	last := c.Now()
	if m.Time.After(last) {
		last = m.Time
	}
	if last.UnixMicro() <= 0 {
		return 0, errors.New("--new-audit-log: the clock is before 1970; set it")
	}
	return max(uint64(last.UnixMicro()), m.Line+1), nil
}
