package seal

import (
	"context"

	"github.com/go-json-experiment/json"

	"github.com/keyturn/keyturn/internal/store"
)

// What verification reads of a snapshot, and nothing else does.

// GetSealed is Get with the values as they stand in the store: what of them does not open can still be seen to be there.
func (sn *Snapshot) GetSealed(ctx context.Context, keys ...string) ([]store.Entry, error) {
	for _, k := range keys {
		if err := reserved(k); err != nil {
			return nil, err
		}
	}
	return sn.raw.Get(ctx, keys...)
}

// FaultyReserved returns which of the entries that belong to this package are not as it writes them, or are none of its own. That the keyring
// opens has been seen by whoever opened the store.
func (sn *Snapshot) FaultyReserved(ctx context.Context) ([]string, error) {
	entries, err := sn.raw.Scan(ctx, reservedPrefix, "", 100)
	if err != nil {
		return nil, err
	}
	var faulty []string
	for _, e := range entries {
		switch e.Key {
		case metaKey:
			_, err = parseMeta(e.Value)
		case resealKey:
			err = json.Unmarshal(e.Value, new(pass), json.RejectUnknownMembers(true))
		default:
			err = ErrFormat
		}
		if err != nil {
			faulty = append(faulty, e.Key)
		}
	}
	return faulty, nil
}
