package backup

import (
	"context"
	"fmt"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/keyturn/keyturn/internal/record"
)

// Verified is what a chain of backups holds.
type Verified struct {
	Entries int64            // of the state
	Kinds   map[string]int64 // by the first part of their keys
	Lines   int64            // of the audit log
}

// Verify reads the whole chain: every value is opened and decoded, every line of the audit log read, and the manifests compared. ErrDamaged,
// seal.ErrDamaged, record.ErrDecode.
func Verify(ctx context.Context, c *Chain) (*Verified, error) {
	ring, err := c.keyring()
	if err != nil {
		return nil, err
	}
	v := &Verified{Kinds: map[string]int64{}}
	for e, err := range c.Entries() {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return nil, err
		}
		plain, err := ring.OpenValue(e.Key, e.Value)
		if err != nil {
			return nil, err
		}
		if err := decodes(e.Key, plain); err != nil {
			return nil, err
		}
		clear(plain)
		v.Entries++
		v.Kinds[kindOf(e.Key)]++
	}
	for line, err := range c.Lines() {
		if err == nil {
			err = ctx.Err()
		}
		if err == nil && !jsontext.Value(line).IsValid(jsontext.AllowDuplicateNames(true)) {
			err = fmt.Errorf("%w: a line of the audit log is no JSON", ErrDamaged)
		}
		if err != nil {
			return nil, err
		}
		v.Lines++
	}
	_, err = c.Finish()
	return v, err
}

// decodes reads a value as the service would. The error says nothing of what is in it.
func decodes(key string, plain []byte) error {
	switch kindOf(key) {
	case "i": // an index says everything by its key
		if len(plain) > 0 {
			return fmt.Errorf("%w: index %q has a value", record.ErrDecode, key)
		}
		return nil
	case "c":
		_, err := record.DecodeCounter(plain)
		if err == nil && len(plain) == 0 {
			err = record.ErrDecode
		}
		if err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
		return nil
	case "o": // an audit record on its way
		if len(plain) < 8 || !jsontext.Value(plain[8:]).IsValid(jsontext.AllowDuplicateNames(true)) {
			return fmt.Errorf("%w: %s", record.ErrDecode, key)
		}
		return nil
	}
	r, err := record.Decode(key, plain)
	if m, ok := r.(*record.Material); ok && err == nil {
		err = m.Open()
	}
	return err
}
