package backup

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"

	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/store"
	"github.com/keyturn/keyturn/internal/store/memstore"
)

// putBack is what a deployment becomes when its data directory is put back to the state of now, and goes on otherwise.
func (d *deployment) putBack(seed uint64) *deployment {
	d.t.Helper()
	sn, err := d.raw.Snapshot(d.t.Context())
	if err != nil {
		d.t.Fatal(err)
	}
	defer sn.Close()
	list, err := sn.Scan(d.t.Context(), "", "", 10_000)
	if err != nil {
		d.t.Fatal(err)
	}
	raw, err := memstore.Load(d.t.Context(), sn.Rev(), func(yield func(store.Entry, error) bool) {
		for _, e := range list {
			if !yield(e, nil) {
				return
			}
		}
	})
	if err != nil {
		d.t.Fatal(err)
	}
	other := openDeployment(d.t, seed, raw)
	for line, err := range d.log.Since(1) {
		if err != nil {
			d.t.Fatal(err)
		}
		_, text, _ := strings.Cut(string(line.JSON), "},")
		if _, err := other.log.Append([]byte("{" + text)); err != nil {
			d.t.Fatal(err)
		}
	}
	other.n, other.tag = d.n, "other "
	return other
}

// recorded writes what a server does once a backup is whole.
func (d *deployment) recorded(b *Backup) {
	d.t.Helper()
	r := &record.LastBackup{Backup: b.Backup, At: testTime}
	r.By = record.Provenance{Version: 1, Event: "e"}
	value, err := record.Encode(r)
	if err == nil {
		_, err = d.store.Commit(d.t.Context(), store.Batch{Writes: []store.Write{{Key: r.StoreKey(), Value: value}}})
	}
	if err == nil {
		_, err = d.log.Append(fmt.Appendf(nil, `{"eventID":"%s","eventName":"CompleteBackup","serviceEventDetails":{"backupId":"%s"}}`, b.Backup, b.Backup))
	}
	if err != nil {
		d.t.Fatal(err)
	}
}

// silent makes a change that no audit line tells of.
func (d *deployment) silent(name string) {
	d.t.Helper()
	value, err := record.Encode(account(1, name))
	if err == nil {
		_, err = d.store.Commit(d.t.Context(), store.Batch{Writes: []store.Write{{Key: account(1, "").StoreKey(), Value: value}}})
	}
	if err != nil {
		d.t.Fatal(err)
	}
}

// TestPutBack: nothing goes on from a backup of what a store was before it was put back to an earlier state, whatever its numbers are since.
func TestPutBack(t *testing.T) {
	needsAge(t)
	for name, test := range map[string]struct {
		noAudit bool
		after   int // changes since it was put back, of 50 until the backup
	}{
		"fewer changes since": {after: 30},
		"as many":             {after: 50},
		"more":                {after: 70},
		"more, without a log": {noAudit: true, after: 70},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDeployment(t, 20)
			to, id := keyPair(t)
			d.change(50)
			early, earlyFile := d.backup(Options{Recipients: to, NoAudit: test.noAudit})
			other := d.putBack(21)
			d.change(50)
			b := d.take(Options{Recipients: to, NoAudit: test.noAudit})
			other.change(test.after)
			if _, err := Take(t.Context(), other.source(), Options{Recipients: to, NoAudit: test.noAudit, Since: &b.Position}); !errors.Is(err, ErrChain) {
				t.Errorf("after it was put back: %v", err)
			}
			// What was before both is the past of both.
			last, file := other.backup(Options{Recipients: to, NoAudit: test.noAudit, Since: &early.Position})
			r, err := restore(t, id, earlyFile, file)
			if err != nil {
				t.Fatal(err)
			}
			if !test.noAudit {
				checkRestored(t, r, last, entries(t, other.store))
			}
		})
	}
}

// TestPutBackSilently: changes without audit lines are told by what a server writes of the backup, also if it has made others since.
func TestPutBackSilently(t *testing.T) {
	needsAge(t)
	for _, others := range []int{0, 1, 3} {
		d := newDeployment(t, 22)
		to, _ := keyPair(t)
		d.change(20)
		other := d.putBack(23)
		take := func(d *deployment, since *Position) (*Backup, error) {
			source := d.source()
			source.Records = true
			b, err := Take(t.Context(), source, Options{Recipients: to, Since: since})
			if err == nil {
				t.Cleanup(b.Close)
			}
			return b, err
		}
		d.silent("one")
		d.silent("two")
		b, err := take(d, nil)
		if err != nil {
			t.Fatal(err)
		}
		d.recorded(b)
		other.silent("another")
		for _, each := range []*deployment{d, other} {
			each.change(5)
			for range others {
				another, err := take(each, nil)
				if err != nil {
					t.Fatal(err)
				}
				each.recorded(another)
				each.change(1)
			}
		}
		if _, err := take(d, &b.Position); err != nil {
			t.Errorf("%d backups since: %v", others, err)
		}
		if _, err := take(other, &b.Position); !errors.Is(err, ErrChain) || !strings.Contains(err.Error(), b.Backup) {
			t.Errorf("put back, %d backups since: %v", others, err)
		}
	}
}

// TestJoinedTimelines: whatever was believed when a backup was made, files of two timelines are not joined: neither verified nor restored.
func TestJoinedTimelines(t *testing.T) {
	needsAge(t)
	d := newDeployment(t, 24)
	to, id := keyPair(t)
	d.change(20)
	other := d.putBack(25)
	d.silent("one")
	b, full := d.backup(Options{Recipients: to})
	other.silent("another")
	other.change(1)
	// No server recorded the backup, and the last line before it is the same in both.
	_, incremental := other.backup(Options{Recipients: to, Since: &b.Position})
	c, err := chain(t, id, full, incremental)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Verify(t.Context(), c); !errors.Is(err, ErrChain) {
		t.Errorf("verified: %v", err)
	}
	if _, err := restore(t, id, full, incremental); !errors.Is(err, ErrChain) {
		t.Errorf("restored: %v", err)
	}
}

// TestLineDigest: a header that speaks of other audit lines than the file has, or than its base, is no header of it.
func TestLineDigest(t *testing.T) {
	needsAge(t)
	d := newDeployment(t, 26)
	to, id := keyPair(t)
	d.change(20)
	b, full := d.backup(Options{Recipients: to})
	d.change(3)
	_, incremental := d.backup(Options{Recipients: to, Since: &b.Position})
	with := func(file []byte, change func(*Header)) []byte {
		frames := split(t, decrypted(t, file, id))
		var h Header
		if err := json.Unmarshal(frames[0].payload, &h); err != nil {
			t.Fatal(err)
		}
		change(&h)
		text, err := json.Marshal(&h)
		if err != nil {
			t.Fatal(err)
		}
		frames[0].payload = text
		return encrypted(t, signed(t, frames), to)
	}
	another := lineDigest([]byte("another"))
	keeping := split(t, decrypted(t, full, id))
	manifest := &keeping[len(keeping)-1]
	manifest.payload = append(manifest.payload[:len(manifest.payload)-1:len(manifest.payload)-1], `,"keptSha256":"`+newKeptDigest().String()+`"}`...)
	for name, test := range map[string]struct {
		files [][]byte
		want  error
	}{
		"as they are":                 {[][]byte{full, incremental}, nil},
		"another last line":           {[][]byte{with(full, func(h *Header) { h.Line = another })}, ErrDamaged},
		"no digest":                   {[][]byte{with(full, func(h *Header) { h.Line = "no digest" })}, ErrDamaged},
		"a base with another line":    {[][]byte{full, with(incremental, func(h *Header) { h.Base.Line = another })}, ErrChain},
		"a full one that keeps":       {[][]byte{encrypted(t, signed(t, keeping), to)}, ErrDamaged},
		"no new line, but another":    {[][]byte{full, with(incremental, func(h *Header) { h.Next, h.Line = h.Base.Next, another })}, ErrChain},
		"a base that is not recorded": {[][]byte{full, with(incremental, func(h *Header) { h.Base.Recorded = true })}, ErrChain},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := chain(t, id, test.files...)
			if err == nil {
				_, err = Verify(t.Context(), c)
			}
			if !errors.Is(err, test.want) {
				t.Errorf("got %v, want %v", err, test.want)
			}
		})
	}
}

// TestOldState: a state of before there were digests is read, and refused with what to do.
func TestOldState(t *testing.T) {
	needsAge(t)
	d := newDeployment(t, 27)
	to, _ := keyPair(t)
	d.change(5)
	b := d.take(Options{Recipients: to})
	old := b.Position
	old.Line = ""
	text, err := MarshalPosition(&old)
	if err != nil || bytes.Contains(text, []byte(`"line"`)) {
		t.Fatalf("%s (%v)", text, err)
	}
	since, err := ParsePosition(text)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Take(t.Context(), d.source(), Options{Recipients: to, Since: since}); !errors.Is(err, ErrChain) || !strings.Contains(err.Error(), "older keyturn") || !strings.Contains(err.Error(), fullInstead) {
		t.Errorf("got %v", err)
	}
}
