package backup

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"

	"filippo.io/age"
	"github.com/go-json-experiment/json"

	"github.com/keyturn/keyturn/internal/store"
)

// scanPage is how many entries are read at once.
const scanPage = 256

// escrowData is the payload of the escrow frame, in JSON.
type escrowData struct {
	Meta []byte `json:"meta"`
	Root []byte `json:"root,omitempty"`
}

// Write writes the backup, and nothing after an error: then w has no manifest.
func (b *Backup) Write(ctx context.Context, w io.Writer) (*Manifest, error) {
	enc, err := age.Encrypt(w, b.recipients...)
	if err != nil {
		return nil, fmt.Errorf("backup: encrypting: %w", err)
	}
	frames, err := newFrameWriter(enc)
	if err != nil {
		return nil, err
	}
	wr := &writer{frames: frames, manifest: Manifest{Kinds: map[string]int64{}}, kept: newKeptDigest()}
	if err := wr.json(headerFrame, &b.Header); err != nil {
		return nil, err
	}
	if err := wr.json(escrowFrame, &escrowData{b.escrow.Meta, b.escrow.Root}); err != nil {
		return nil, err
	}
	if err := b.entries(ctx, wr); err != nil {
		return nil, err
	}
	if err := b.lines(ctx, wr); err != nil {
		return nil, err
	}
	m := &wr.manifest
	if b.Base != nil {
		m.KeptDigest = wr.kept.String()
	}
	m.Frames, m.Digest = frames.n, hex.EncodeToString(frames.digest.Sum(nil))
	if err := wr.json(manifestFrame, m); err != nil {
		return nil, err
	}
	return m, enc.Close()
}

type writer struct {
	frames   *frameWriter
	manifest Manifest
	buf      []byte
	last     string // the key before in the frame
	kept     keptDigest
	scratch  []byte // of entryDigest
}

func (w *writer) json(kind frameKind, v any) error {
	text, err := json.Marshal(v, json.Deterministic(true))
	if err != nil {
		return fmt.Errorf("backup: encoding: %w", err)
	}
	return w.frames.frame(kind, text)
}

// flush writes the frame that has been filled, if it is full or must be.
func (w *writer) flush(kind frameKind, must bool) error {
	if len(w.buf) == 0 || !must && len(w.buf) < fullFrame {
		return nil
	}
	err := w.frames.frame(kind, w.buf)
	w.buf, w.last = w.buf[:0], ""
	return err
}

// entries writes the entries of the snapshot; in an incremental backup those that the base has by their keys only.
func (b *Backup) entries(ctx context.Context, w *writer) error {
	var base store.Rev
	if b.Base != nil {
		base = b.Base.Revision
	}
	for after := ""; ; {
		page, err := b.snapshot.ScanSealed(ctx, "", after, scanPage)
		if err != nil {
			return err
		}
		for _, e := range page {
			it := Item{Entry: e, Kept: e.Rev <= base}
			w.manifest.count(it)
			if it.Kept {
				sum, used := entryDigest(w.scratch, &e)
				w.scratch = used
				w.kept.Write(sum[:])
			}
			w.buf = appendItem(w.buf, w.last, it)
			w.last = e.Key
			if err := w.flush(entriesFrame, false); err != nil {
				return err
			}
		}
		if len(page) < scanPage {
			return w.flush(entriesFrame, true)
		}
		after = page[len(page)-1].Key
	}
}

// count counts an entry.
func (m *Manifest) count(it Item) {
	if it.Kept {
		m.Kept++
		return
	}
	m.Entries++
	m.ValueBytes += int64(len(it.Value))
	m.Kinds[kindOf(it.Key)]++
}

// lines writes the lines of the audit log that belong to the state.
func (b *Backup) lines(ctx context.Context, w *writer) error {
	m := &w.manifest
	m.First, m.Last = b.Next, b.Next-1
	if !b.Audit {
		return nil
	}
	want := uint64(0) // the number of the next line; 0: any
	if b.Base != nil {
		want = b.Base.Next
	}
	if want != b.Next && b.Next > 1 {
		for line, err := range b.source.Log.Since(max(want, 1)) {
			if err == nil {
				err = ctx.Err()
			}
			if err != nil {
				return err
			}
			if line.Seq >= b.Next {
				break
			}
			if want == 0 {
				want = line.Seq
			}
			if line.Seq != want {
				return fmt.Errorf("backup: %w: it has no line %d", ErrLog, want)
			}
			if m.Lines == 0 {
				m.First = want
			}
			m.Lines, m.Last, m.LineBytes = m.Lines+1, want, m.LineBytes+int64(len(line.JSON))
			want++
			w.buf = binary.AppendUvarint(w.buf, uint64(len(line.JSON)))
			w.buf = append(w.buf, line.JSON...)
			if err := w.flush(linesFrame, false); err != nil {
				return err
			}
			if want == b.Next {
				break
			}
		}
		if want != 0 && want != b.Next {
			return fmt.Errorf("backup: %w: it has no line %d", ErrLog, want)
		}
	}
	return w.flush(linesFrame, true)
}
