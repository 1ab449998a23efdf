package backup

import (
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/keyturn/keyturn/internal/store"
)

// An item of an entries frame: how many bytes its key shares with the one before in the same frame, how many follow, and these; the revision;
// and, unless that is 0, the length of the value and the value. Numbers are uvarints. A revision of 0 says that the entry is as in the base.

// Item is one entry of a backup.
type Item struct {
	// Entry is valid until the next one is read. Value is sealed.
	store.Entry
	// Kept: the entry is as it was in the backup that this one goes on from; it has neither revision nor value here.
	Kept bool
}

func appendItem(b []byte, last string, it Item) []byte {
	shared := 0
	for n := min(len(last), len(it.Key)); shared < n && last[shared] == it.Key[shared]; {
		shared++
	}
	b = binary.AppendUvarint(b, uint64(shared))
	b = binary.AppendUvarint(b, uint64(len(it.Key)-shared))
	b = append(b, it.Key[shared:]...)
	if it.Kept {
		return binary.AppendUvarint(b, 0)
	}
	b = binary.AppendUvarint(b, uint64(it.Rev))
	b = binary.AppendUvarint(b, uint64(len(it.Value)))
	return append(b, it.Value...)
}

// decoder reads the payload of a frame.
type decoder struct{ b []byte }

var errPayload = fmt.Errorf("%w: a frame holds what no backup holds", ErrDamaged)

func (d *decoder) uvarint() (uint64, error) {
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		return 0, errPayload
	}
	d.b = d.b[n:]
	return v, nil
}

// bytes returns a number of bytes that stands before them.
func (d *decoder) bytes() ([]byte, error) {
	n, err := d.uvarint()
	if err != nil || n > uint64(len(d.b)) {
		return nil, errPayload
	}
	b := d.b[:n:n]
	d.b = d.b[n:]
	return b, nil
}

func (d *decoder) item(last string) (Item, error) {
	shared, err := d.uvarint()
	if err != nil || shared > uint64(len(last)) {
		return Item{}, errPayload
	}
	rest, err := d.bytes()
	if err != nil || len(rest)+int(shared) > store.MaxKeyBytes {
		return Item{}, errPayload
	}
	it := Item{Entry: store.Entry{Key: last[:shared] + string(rest)}}
	rev, err := d.uvarint()
	if err != nil {
		return Item{}, err
	}
	if rev == 0 {
		it.Kept = true
		return it, nil
	}
	it.Rev = store.Rev(rev)
	it.Value, err = d.bytes()
	return it, err
}

// kindOf is the kind of record, index or counter that stands at a store key.
func kindOf(key string) string {
	kind, _, _ := strings.Cut(key, "/")
	return kind
}
