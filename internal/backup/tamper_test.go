package backup

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"hash/crc32"
	"io"
	"slices"
	"strings"
	"testing"

	"filippo.io/age"
	"github.com/go-json-experiment/json"

	"github.com/keyturn/keyturn/internal/seal"
	"github.com/keyturn/keyturn/internal/store"
)

// rawFrame is a frame as it stands in a backup.
type rawFrame struct {
	kind    frameKind
	payload []byte
}

// split returns the frames of a decrypted backup.
func split(t testing.TB, plain []byte) []rawFrame {
	t.Helper()
	var list []rawFrame
	for rest := plain[len(magic):]; len(rest) > 0; {
		n := binary.BigEndian.Uint32(rest[5:])
		list = append(list, rawFrame{frameKind(rest[0]), rest[frameHead : frameHead+n]})
		rest = rest[frameHead+n+frameTail:]
	}
	return list
}

// join puts frames together, with numbers and checksums that are right.
func join(list []rawFrame) []byte {
	b := []byte(magic)
	for i, f := range list {
		start := len(b)
		b = append(b, byte(f.kind))
		b = binary.BigEndian.AppendUint32(b, uint32(i))
		b = binary.BigEndian.AppendUint32(b, uint32(len(f.payload)))
		b = append(b, f.payload...)
		b = binary.BigEndian.AppendUint32(b, crc32.Checksum(b[start:], crcTable))
	}
	return b
}

// signed is join with a manifest that has the right digest, and is otherwise as it was.
func signed(t testing.TB, list []rawFrame) []byte {
	t.Helper()
	list = slices.Clone(list)
	last := &list[len(list)-1]
	var m Manifest
	if err := json.Unmarshal(last.payload, &m); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(join(list[:len(list)-1]))
	m.Digest, m.Frames = hex.EncodeToString(sum[:]), int64(len(list)-1)
	var err error
	if last.payload, err = json.Marshal(&m, json.Deterministic(true)); err != nil {
		t.Fatal(err)
	}
	return join(list)
}

func decrypted(t testing.TB, file []byte, id age.Identity) []byte {
	t.Helper()
	r, err := age.Decrypt(bytes.NewReader(file), id)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return plain
}

func encrypted(t testing.TB, plain []byte, to *Recipients) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := age.Encrypt(&b, to.list...)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(plain); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestTampered alters the file as whoever has it can, and as whoever can encrypt to the recipient can.
func TestTampered(t *testing.T) {
	needsAge(t)
	d := newDeployment(t, 9)
	to, id := keyPair(t)
	d.change(4000) // several frames of lines
	_, file := d.backup(Options{Recipients: to})
	plain := decrypted(t, file, id)
	frames := split(t, plain)
	if string(signed(t, frames)) != string(plain) {
		t.Fatal("a backup that is taken apart and put together is another")
	}
	entriesAt := slices.IndexFunc(frames, func(f rawFrame) bool { return f.kind&^deflated == entriesFrame })
	linesAt := slices.IndexFunc(frames, func(f rawFrame) bool { return f.kind&^deflated == linesFrame })
	if linesAt+2 >= len(frames) {
		t.Fatalf("%d frames are too few for this test", len(frames))
	}
	with := func(change func([]rawFrame) []rawFrame) []rawFrame { return change(slices.Clone(frames)) }
	replaced := func(i int, f rawFrame) []rawFrame {
		return with(func(l []rawFrame) []rawFrame { l[i] = f; return l })
	}
	header := func(change func(*Header)) []byte {
		var h Header
		if err := json.Unmarshal(frames[0].payload, &h); err != nil {
			t.Fatal(err)
		}
		change(&h)
		text, err := json.Marshal(&h)
		if err != nil {
			t.Fatal(err)
		}
		return signed(t, replaced(0, rawFrame{headerFrame, text}))
	}
	// entry puts others in the place of the entries, and the manifest says so.
	entry := func(items ...Item) []byte {
		var m Manifest
		if err := json.Unmarshal(frames[len(frames)-1].payload, &m); err != nil {
			t.Fatal(err)
		}
		m.Entries, m.ValueBytes, m.Kinds = 0, 0, map[string]int64{}
		var b []byte
		last := ""
		for _, it := range items {
			m.count(it)
			b, last = appendItem(b, last, it), it.Key
		}
		text, err := json.Marshal(&m)
		if err != nil {
			t.Fatal(err)
		}
		list := replaced(entriesAt, rawFrame{entriesFrame, b})
		list[len(list)-1].payload = text
		return signed(t, list)
	}
	item := func(key string, rev store.Rev) Item {
		return Item{Entry: store.Entry{Key: key, Rev: rev, Value: []byte("value")}}
	}
	if err := readPlain(entry(item("a", 1), item("b", 1))); err != nil {
		t.Fatalf("other entries alone are refused: %v", err)
	}
	inPlain := map[string]struct {
		plain []byte
		want  error
	}{
		"frames swapped":                  {swapBytes(t, plain, frames, linesAt), ErrDamaged},
		"frames swapped, numbered anew":   {signed(t, with(func(l []rawFrame) []rawFrame { l[linesAt], l[linesAt+1] = l[linesAt+1], l[linesAt]; return l })), ErrDamaged},
		"a frame left out":                {signed(t, slices.Delete(slices.Clone(frames), linesAt, linesAt+1)), ErrDamaged},
		"a frame twice":                   {signed(t, slices.Insert(slices.Clone(frames), linesAt, frames[linesAt])), ErrDamaged},
		"lines before entries":            {signed(t, with(func(l []rawFrame) []rawFrame { l[entriesAt], l[linesAt] = l[linesAt], l[entriesAt]; return l })), ErrDamaged},
		"no manifest":                     {join(frames[:len(frames)-1]), ErrDamaged},
		"something after the manifest":    {append(slices.Clone(plain), 0), ErrDamaged},
		"another frame after the header":  {signed(t, slices.Insert(slices.Clone(frames), 1, frames[0])), ErrDamaged},
		"a frame of an unknown kind":      {signed(t, slices.Insert(slices.Clone(frames), linesAt, rawFrame{'?', nil})), ErrDamaged},
		"a manifest of another file":      {join(replaced(len(frames)-1, rawFrame{manifestFrame, []byte(`{"entries":1}`)})), ErrDamaged},
		"a manifest that is none":         {join(replaced(len(frames)-1, rawFrame{manifestFrame, []byte(`{`)})), ErrDamaged},
		"a newer version":                 {header(func(h *Header) { h.Format = Format + 1 }), ErrFormat},
		"a newer magic":                   {append([]byte("keyturn backup 2\n"), plain[len(magic):]...), ErrFormat},
		"another magic":                   {append([]byte("ketyurn backup 1\n"), plain[len(magic):]...), ErrFormat},
		"nothing":                         {nil, ErrDamaged},
		"an earlier revision":             {header(func(h *Header) { h.Revision = 1 }), ErrDamaged},
		"fewer lines than it says":        {header(func(h *Header) { h.Next++ }), ErrDamaged},
		"more lines than it says":         {header(func(h *Header) { h.Next-- }), ErrDamaged},
		"lines without saying so":         {header(func(h *Header) { h.Audit = false }), ErrDamaged},
		"another deployment":              {header(func(h *Header) { h.Deployment = "another" }), ErrDamaged},
		"of keyturn dev":                  {header(func(h *Header) { h.Dev = true }), ErrDamaged},
		"no deployment":                   {header(func(h *Header) { h.Deployment = "" }), ErrDamaged},
		"an ID that is too long":          {header(func(h *Header) { h.Backup = strings.Repeat("x", 65) }), ErrDamaged},
		"a header with something unknown": {signed(t, replaced(0, rawFrame{headerFrame, append(frames[0].payload[:len(frames[0].payload)-1:len(frames[0].payload)-1], `,"x":1}`...)})), ErrDamaged},
		"no root key":                     {signed(t, replaced(1, rawFrame{escrowFrame, []byte(`{"meta":"e30="}`)})), ErrDamaged},
		"no keyring":                      {signed(t, replaced(1, rawFrame{escrowFrame, []byte(`{}`)})), ErrDamaged},
		"a keyring that is none":          {signed(t, replaced(1, rawFrame{escrowFrame, []byte(`{"meta":"e30=","root":"AAAA"}`)})), seal.ErrFormat},
		"keys out of order":               {entry(item("b", 1), item("a", 1)), ErrDamaged},
		"a key twice":                     {entry(item("a", 1), item("a", 1)), ErrDamaged},
		"a key without a name":            {entry(item("", 1)), ErrDamaged},
		"a key of the seal's own":         {entry(item("sys/meta", 1)), ErrDamaged},
		"a revision that is too high":     {entry(item("a", 1<<40)), ErrDamaged},
		"a kept entry in a full backup":   {entry(Item{Entry: store.Entry{Key: "a"}, Kept: true}), ErrDamaged},
		"an entry that shares too much":   {signed(t, replaced(entriesAt, rawFrame{entriesFrame, []byte{5, 0, 1, 0}})), ErrDamaged},
		"a value that is not there":       {signed(t, replaced(entriesAt, rawFrame{entriesFrame, []byte{0, 1, 'a', 1, 200, 1}})), ErrDamaged},
		"a number without an end":         {signed(t, replaced(entriesAt, rawFrame{entriesFrame, bytes.Repeat([]byte{0xff}, 20)})), ErrDamaged},
		"compressed as it is not":         {signed(t, replaced(entriesAt, rawFrame{entriesFrame | deflated, []byte("no deflate")})), ErrDamaged},
		"a bomb":                          {signed(t, replaced(entriesAt, rawFrame{entriesFrame | deflated, deflate(t, make([]byte, maxFrame+1))})), ErrDamaged},
		"something after what is packed":  {signed(t, replaced(entriesAt, rawFrame{entriesFrame | deflated, append(deflate(t, entryBytes(item("n/x", 1))), 0)})), ErrDamaged},
	}
	for name, test := range inPlain {
		t.Run(name, func(t *testing.T) {
			_, err := restore(t, id, encrypted(t, test.plain, to))
			if !errors.Is(err, test.want) {
				t.Errorf("got %v, want %v", err, test.want)
			}
		})
	}
	t.Run("every byte", func(t *testing.T) {
		for i := 0; i < len(plain); i += 97 {
			b := slices.Clone(plain)
			b[i] ^= 1
			if err := readPlain(b); !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrFormat) {
				t.Fatalf("byte %d altered: %v", i, err)
			}
		}
	})
	t.Run("cut short anywhere", func(t *testing.T) {
		for i := 0; i < len(plain); i += 89 {
			if err := readPlain(plain[:i]); !errors.Is(err, ErrDamaged) {
				t.Fatalf("cut after %d bytes: %v", i, err)
			}
		}
	})
}

// TestTamperedFile alters the age file itself.
func TestTamperedFile(t *testing.T) {
	needsAge(t)
	d := newDeployment(t, 10)
	to, id := keyPair(t)
	d.change(2000)
	_, file := d.backup(Options{Recipients: to})
	_, stranger := keyPair(t)
	altered := func(i int) []byte {
		b := slices.Clone(file)
		b[i] ^= 1
		return b
	}
	tests := map[string]struct {
		file []byte
		id   age.Identity
		want error
	}{
		"another identity":  {file, stranger, ErrIdentity},
		"the seal":          {file, NewSealIdentity(t.Context(), testProvider(1)), ErrIdentity},
		"no age file":       {[]byte("something else entirely"), id, ErrFormat},
		"nothing":           {nil, id, ErrFormat},
		"cut short":         {file[:len(file)-1], id, ErrDamaged},
		"cut at a chunk":    {file[:len(file)-len(file)%1000-1000], id, ErrDamaged},
		"the last byte":     {altered(len(file) - 1), id, ErrDamaged},
		"one in the middle": {altered(len(file) / 2), id, ErrDamaged},
		"one of the header": {altered(bytes.Index(file, []byte("\n--- ")) + 10), id, ErrFormat},
		"more than it has":  {append(slices.Clone(file), 1), id, ErrDamaged},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if _, err := restore(t, test.id, test.file); !errors.Is(err, test.want) {
				t.Errorf("got %v, want %v", err, test.want)
			}
		})
	}
	t.Run("a disk that fails", func(t *testing.T) {
		broken := errors.New("the disk is broken")
		c, err := Open([]io.Reader{io.MultiReader(bytes.NewReader(file[:len(file)/2]), failing{broken})}, id)
		if err == nil {
			_, err = Verify(t.Context(), c)
		}
		if !errors.Is(err, broken) || errors.Is(err, ErrDamaged) {
			t.Errorf("got %v", err)
		}
	})
}

// TestTamperedSeal: a backup for the seal opens with the seal of its time alone.
func TestTamperedSeal(t *testing.T) {
	needsAge(t)
	d := newDeployment(t, 11)
	d.change(20)
	_, file := d.backup(Options{})
	if err := d.store.Migrate(t.Context(), testProvider(3), testTime); err != nil {
		t.Fatal(err)
	}
	_, later := d.backup(Options{})
	for name, test := range map[string]struct {
		file     []byte
		provider byte
		want     error
	}{
		"of its time":     {file, 1, nil},
		"a later one":     {file, 3, ErrIdentity},
		"an earlier one":  {later, 1, ErrIdentity},
		"after migrating": {later, 3, nil},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := restore(t, NewSealIdentity(t.Context(), testProvider(test.provider)), test.file)
			if !errors.Is(err, test.want) || (test.want == nil) != (err == nil) {
				t.Errorf("got %v, want %v", err, test.want)
			}
		})
	}
	_, stranger := keyPair(t)
	if _, err := restore(t, stranger, file); !errors.Is(err, ErrIdentity) || !strings.Contains(err.Error(), "for the seal") {
		t.Errorf("an age identity: %v", err)
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// swapBytes changes places of two frames as they are, numbers and all.
func swapBytes(t testing.TB, plain []byte, frames []rawFrame, i int) []byte {
	t.Helper()
	start := len(magic)
	for _, f := range frames[:i] {
		start += frameHead + len(f.payload) + frameTail
	}
	middle := start + frameHead + len(frames[i].payload) + frameTail
	end := middle + frameHead + len(frames[i+1].payload) + frameTail
	return slices.Concat(plain[:start], plain[middle:end], plain[start:middle], plain[end:])
}

func entryBytes(it Item) []byte { return appendItem(nil, "", it) }

func deflate(t testing.TB, b []byte) []byte {
	t.Helper()
	f, err := newFrameWriter(io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	f.flate.Reset(&f.packed)
	if _, err := f.flate.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := f.flate.Close(); err != nil {
		t.Fatal(err)
	}
	return f.packed.Bytes()
}

// readPlain reads a decrypted backup to its end.
func readPlain(plain []byte) error {
	r := &Reader{src: &source{}, found: Manifest{Kinds: map[string]int64{}}}
	if err := r.open(bytes.NewReader(plain)); err != nil {
		return r.explain(err)
	}
	for {
		if _, err := r.Next(); err == io.EOF {
			break
		} else if err != nil {
			return err
		}
	}
	for {
		if _, err := r.Line(); err == io.EOF {
			break
		} else if err != nil {
			return err
		}
	}
	_, err := r.Finish()
	return err
}
