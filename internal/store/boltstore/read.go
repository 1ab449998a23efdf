package boltstore

import (
	"context"
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/keyturn/keyturn/internal/store"
)

const (
	// revSize is the length of the revision in front of each value.
	revSize = 8
	// scanCheck is how many entries Scan reads between two looks at its context.
	scanCheck = 256
)

// view calls fn with a reader of the newest committed state and the page that lists the buckets.
func (s *Store) view(ctx context.Context, fn func(r *reader, root uint64) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := s.err(); err != nil {
		return err
	}
	return guarded(func() error {
		tx, err := s.readers.begin(s.db)
		if err != nil {
			return err
		}
		defer s.readers.end(tx)
		r, root := newReader(s.file, tx, s.pageSize, s.pool)
		defer r.release()
		return fn(r, root)
	})
}

// Get implements store.Store.
func (s *Store) Get(ctx context.Context, keys ...string) ([]store.Entry, error) {
	var entries []store.Entry
	err := s.view(ctx, func(r *reader, root uint64) (err error) {
		entries, err = get(r, root, keys)
		return err
	})
	return entries, err
}

func get(r *reader, root uint64, keys []string) ([]store.Entry, error) {
	data, err := r.data(root)
	if err != nil {
		return nil, err
	}
	entries := make([]store.Entry, len(keys))
	for i, key := range keys {
		entries[i].Key = key
		if entries[i].Rev, entries[i].Value, err = data.lookup(key); err != nil {
			return nil, fmt.Errorf("key %q: %w", key, err)
		}
	}
	return entries, nil
}

// Scan implements store.Store. A limit below 1 is an error.
func (s *Store) Scan(ctx context.Context, prefix, after string, limit int) ([]store.Entry, error) {
	if limit < 1 {
		return nil, fmt.Errorf("store: scan limit %d, must be at least 1", limit)
	}
	var entries []store.Entry
	err := s.view(ctx, func(r *reader, root uint64) error {
		data, err := r.data(root)
		if err != nil {
			return err
		}
		entries, err = scan(ctx, data, prefix, after, limit)
		return err
	})
	if err != nil {
		return nil, err
	}
	return entries, nil
}

func scan(ctx context.Context, data tree, prefix, after string, limit int) ([]store.Entry, error) {
	var entries []store.Entry
	c := data.cursor()
	last := ""
	for err := c.seek([]byte(max(prefix, after))); ; err = c.next() {
		if err != nil {
			return nil, err
		}
		k, v, isBucket := c.entry()
		key := string(k)
		if k == nil || !strings.HasPrefix(key, prefix) {
			return entries, nil
		}
		if after != "" && key == after {
			continue
		}
		if isBucket || key <= last {
			return nil, damaged("key %q is out of place", key)
		}
		last = key
		rev, value, err := decode(v)
		if err != nil {
			return nil, fmt.Errorf("key %q: %w", key, err)
		}
		entries = append(entries, store.Entry{Key: key, Value: value, Rev: rev})
		if len(entries) == limit {
			return entries, nil
		}
		if len(entries)%scanCheck == 0 && ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
}

// encode puts the revision in front of the value.
func encode(rev store.Rev, value []byte) []byte {
	b := make([]byte, revSize, revSize+len(value))
	binary.BigEndian.PutUint64(b, uint64(rev))
	return append(b, value...)
}

// decode returns a copy of the value, so that it does not keep the whole page alive.
func decode(b []byte) (store.Rev, []byte, error) {
	if len(b) < revSize {
		return 0, nil, damaged("value of %d bytes", len(b))
	}
	rev := store.Rev(binary.BigEndian.Uint64(b))
	if rev == 0 {
		return 0, nil, damaged("value without a revision")
	}
	return rev, append(make([]byte, 0, len(b)-revSize), b[revSize:]...), nil
}
