package verify_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"iter"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/audit"
	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/store"
	"github.com/keyturn/keyturn/internal/verify"
)

// older is the log as keyturn wrote it before its lines listed what changes write.
func older(l lines) lines {
	out := make(lines, len(l))
	for i, one := range l {
		one.JSON = bytes.Replace(one.JSON, []byte(`"keyturnWrites"`), []byte(`"before"`), 1)
		out[i] = one
	}
	return out
}

const restoredLine = `{"eventTime":"2026-03-05T00:00:00Z","eventSource":"keyturn","eventName":"RestoreBackup","eventID":"restored"}`

// TestCoverage verifies with logs that do not tell everything: what they do not tell is no finding, and is counted.
func TestCoverage(t *testing.T) {
	w := newWorld(t)
	l := w.lines()
	all := w.verify(l).History.Vouched + 1
	// A line that says so is not enough for a store to have been restored: the store has to say it, too.
	forged := append(append(lines{}, l...), audit.Line{Seq: uint64(len(l)) + 1, JSON: []byte(restoredLine)})
	if got := kindsOf(w.verify(forged)); got != string(verify.RestoreUnknown) {
		t.Errorf("a restoration that the store knows nothing of: found %q", got)
	}
	back := firstKey(w)
	kept, err := w.raw.Get(t.Context(), back)
	if err != nil {
		t.Fatal(err)
	}
	w.writeRaw(store.Write{Key: back, Value: w.raw.had[back][0]})
	if got, want := kindsOf(w.verify(forged)), string(verify.RecordOld)+" "+string(verify.RestoreUnknown); got != want {
		t.Errorf("with a record put back: found %q, want %q", got, want)
	}
	w.writeRaw(store.Write{Key: back, Value: kept[0].Value})
	by := &record.Restored{ID: "r", At: start, BackupTime: start}
	*by.Provenance() = record.Provenance{Version: 1, Event: "restored"}
	w.change(nil, by)
	old := l
	l = append(append(lines{}, l...), audit.Line{Seq: uint64(len(l)) + 1, JSON: []byte(`{"eventTime":"2026-03-05T00:00:00Z","eventSource":"keyturn","eventName":"Other","eventID":"restored","keyturnWrites":[{"record":"d/restored","version":1}]}`)})
	made := []byte(restoredLine[:len(restoredLine)-1] + `,"keyturnWrites":[{"record":"d/restored","version":1}]}`)
	restored := append(append(lines{}, old...), audit.Line{Seq: uint64(len(old)) + 1, JSON: made})
	other := lines{{Seq: 501, JSON: made}} // of a backup without a log
	for _, c := range []struct {
		name                          string
		log                           lines
		vouched, unvouched, uncovered func(n int64) bool
		restored                      int
	}{
		{name: "begins late", log: l[10:], vouched: some, uncovered: some},
		{name: "older lines", log: older(l), unvouched: func(n int64) bool { return n == all }},
		{name: "older lines first", log: append(older(l[:20]), l[20:]...), vouched: some, unvouched: some},
		{name: "restored, with the old log", log: restored, vouched: func(n int64) bool { return n == all }, restored: 1},
		{name: "restored, with a log of its own", log: other, vouched: func(n int64) bool { return n == 1 }, uncovered: func(n int64) bool { return n == all-1 }, restored: 1},
	} {
		r := w.verify(c.log)
		if r.Total() != 0 {
			t.Errorf("%s: %v", c.name, told(r))
		}
		h := r.History
		for what, got := range map[string]struct {
			n    int64
			want func(int64) bool
		}{"vouched": {h.Vouched, c.vouched}, "unvouched": {h.Unvouched, c.unvouched}, "uncovered": {h.Uncovered, c.uncovered}} {
			if want := got.want; want == nil && got.n != 0 || want != nil && !want(got.n) {
				t.Errorf("%s: %d %s of %d", c.name, got.n, what, all)
			}
		}
		if len(h.Restored) != c.restored {
			t.Errorf("%s: restored at %v", c.name, h.Restored)
		}
	}
	// What the log does tell is found all the same.
	w.writeRaw(store.Write{Key: firstKey(w), Value: w.raw.had[firstKey(w)][0]})
	last := l.writing(firstKey(w))
	for i, one := range l {
		if change, err := audit.ParseChange(one.JSON); err == nil && change.EventID == last[len(last)-1] {
			if got := kindsOf(w.verify(append(older(l[:i]), l[i:]...))); got != string(verify.RecordOld) {
				t.Errorf("put back, with older lines before: found %q", got)
			}
			if got := kindsOf(w.verify(l[i:])); got != string(verify.RecordOld) {
				t.Errorf("put back, with a log that begins late: found %q", got)
			}
		}
	}
}

func some(n int64) bool { return n > 0 }

// TestWithoutSeal finds what needs no keys.
func TestWithoutSeal(t *testing.T) {
	w := newWorld(t)
	l := w.lines()
	w.change(w.load(firstKey(w)), nil)
	w.write(store.Write{Key: "zz", Value: []byte("?")})
	r := w.with(verify.Config{Log: l, Sealed: true})
	if got, want := kindsOf(r), "entry-unknown key-missing record-removed"; got != want {
		t.Errorf("found %s, want %s\n%v", got, want, told(r))
	}
}

// TestLoggedAlready leaves records of changes both in the log and on their way there, as a crash does before they are removed.
func TestLoggedAlready(t *testing.T) {
	w := newWorld(t)
	l := w.lines()
	for i, one := range l[len(l)-20:] {
		change, err := audit.ParseChange(one.JSON)
		if err != nil {
			t.Fatal(err)
		}
		value := append(binary.BigEndian.AppendUint64(nil, l[len(l)-20].Seq), one.JSON...)
		w.write(store.Write{Key: fmt.Sprintf("o/n1/%016x-%s", i, change.EventID), Value: value})
	}
	if r := w.verify(l); r.Total() != 0 {
		t.Errorf("found %v", told(r))
	}
	if r := w.verify(l[:len(l)-10]); r.Total() != 0 { // some have not got there yet
		t.Errorf("with a log that lacks some, found %v", told(r))
	}
}

// TestMeanwhile verifies a snapshot with a log that goes on: what came later is no finding, and what was put back before is one.
func TestMeanwhile(t *testing.T) {
	w := open(t, audit.NewMemory(50_000))
	w.fill()
	if err := w.p.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	certain := w.sink.NextSeq()
	s, err := w.sealed.TakeSnapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	w.do("kms.TagResource", &api.TagResourceRequest{KeyId: str(w.key), Tags: []api.Tag{{TagKey: str("a"), TagValue: str("3")}}})
	w.do("kms.DeleteAlias", &api.DeleteAliasRequest{AliasName: str("alias/a")})
	w.do("kms.RotateKeyOnDemand", &api.RotateKeyOnDemandRequest{KeyId: str(w.rotated)})
	w.newKey(&api.CreateKeyRequest{})
	w.close()
	r, err := verify.Run(t.Context(), verify.Config{Snapshot: s, Log: w.lines(), Certain: certain, Scratch: t.TempDir()})
	if err != nil || r.Total() != 0 {
		t.Fatalf("%v %v", err, told(r))
	}
	// All lines taken for certain, the same snapshot is behind its log.
	r, err = verify.Run(t.Context(), verify.Config{Snapshot: s, Log: w.lines(), Scratch: t.TempDir()})
	if got, want := kindsOf(r), "record-older-than-log record-removed record-returned"; err != nil || got != want {
		t.Errorf("found %q (%v), want %q\n%v", got, err, want, told(r))
	}
}

// TestRunner verifies while the service works, with a log on disk.
func TestRunner(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "audit")
	log, err := audit.Open(dir, audit.Options{NodeID: "n1", SegmentBytes: 20_000})
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	w := open(t, log)
	w.fill()
	done := make(chan verify.Status, 1)
	runner := verify.NewRunner(verify.RunnerConfig{
		Store: w.sealed, Sink: log, LogDir: dir, Scratch: t.TempDir(), Now: w.clock.Now, Log: slog.New(slog.DiscardHandler),
		Done: func(s verify.Status) { done <- s },
	})
	if _, ok := runner.Status(); ok {
		t.Error("there is a run before the first")
	}
	stop := make(chan struct{})
	stormed := make(chan struct{})
	go func() {
		defer close(stormed)
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
				w.do("kms.TagResource", &api.TagResourceRequest{KeyId: str(w.key), Tags: []api.Tag{{TagKey: str("n"), TagValue: str(fmt.Sprint(i))}}})
				w.newKey(&api.CreateKeyRequest{})
			}
		}
	}()
	for range 5 {
		begun, err := runner.Start()
		if err != nil {
			t.Fatal(err)
		}
		s := <-done
		if s.ID != begun.ID || s.State != verify.Complete || s.Report.Total() != 0 || s.Report.History.Segments < 2 {
			t.Fatalf("%+v %v", s, told(s.Report))
		}
	}
	close(stop)
	<-stormed
	w.close()
	if err := runner.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := runner.Start(); err == nil {
		t.Error("a closed runner starts")
	}
}

// TestRunnerOneAtATime holds a run, starts another, and stops the first.
func TestRunnerOneAtATime(t *testing.T) {
	w := newWorld(t)
	held := make(chan struct{})
	sink := &holding{Sink: w.sink, reached: make(chan struct{}), held: held}
	ended := make(chan verify.Status, 1)
	runner := verify.NewRunner(verify.RunnerConfig{
		Store: w.sealed, Sink: sink, Scratch: t.TempDir(), Now: time.Now, Log: slog.New(slog.DiscardHandler), Done: func(s verify.Status) { ended <- s },
	})
	first, err := runner.Start()
	if err != nil {
		t.Fatal(err)
	}
	<-sink.reached
	if again, err := runner.Start(); err != verify.ErrRunning || again.ID != first.ID {
		t.Errorf("a second run: %+v %v", again, err)
	}
	close(held)
	if s := <-ended; s.State != verify.Complete {
		t.Errorf("%+v", s)
	}
	if err := runner.Close(); err != nil {
		t.Error(err)
	}
}

// TestRunnerWithoutRoom: on a disk that has nothing to spare no run begins, and its status says why.
func TestRunnerWithoutRoom(t *testing.T) {
	w := newWorld(t)
	ended := make(chan verify.Status, 1)
	room := int64(-1)
	runner := verify.NewRunner(verify.RunnerConfig{
		Store: w.sealed, Sink: w.sink, Scratch: t.TempDir(), Now: time.Now, Log: slog.New(slog.DiscardHandler), Done: func(s verify.Status) { ended <- s },
		Room: func() (int64, error) { return room, nil },
	})
	for _, want := range []verify.State{verify.Failed, verify.Complete} {
		if _, err := runner.Start(); err != nil {
			t.Fatal(err)
		}
		if s := <-ended; s.State != want || (want == verify.Failed) != strings.Contains(s.Problem, "make room") {
			t.Errorf("%+v, want %s", s, want)
		}
		room = 1 << 20
	}
	if err := runner.Close(); err != nil {
		t.Error(err)
	}
}

// holding is a log that waits before it is read.
type holding struct {
	audit.Sink
	reached, held chan struct{}
}

func (h *holding) Since(seq uint64) iter.Seq2[audit.Line, error] {
	close(h.reached)
	<-h.held
	return h.Sink.Since(seq)
}

// TestLogFiles damages a log on disk.
func TestLogFiles(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "audit")
	log, err := audit.Open(dir, audit.Options{NodeID: "n1", SegmentBytes: 10_000, ReserveBytes: -1})
	if err != nil {
		t.Fatal(err)
	}
	w := open(t, log)
	w.fill()
	w.close()
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "audit-*.jsonl"))
	if err != nil || len(files) < 4 {
		t.Fatal(files, err)
	}
	for _, c := range []struct {
		name   string
		damage func(t *testing.T, files []string)
		want   verify.Kind // "": nothing
	}{
		{"whole", func(*testing.T, []string) {}, ""},
		{"first segments gone", func(t *testing.T, f []string) { remove(t, f[0]); remove(t, f[1]) }, ""},
		{"segment gone", func(t *testing.T, f []string) { remove(t, f[1]) }, verify.LogGap},
		{"line altered", func(t *testing.T, f []string) { replace(t, f[1], `{"keyturn"`, `{"kayturn"`) }, verify.LogLine},
		{"line that is no JSON", func(t *testing.T, f []string) { replace(t, f[1], `"eventVersion":`, `"eventVersion"`) }, verify.LogLine},
		{"number altered", func(t *testing.T, f []string) { replace(t, f[1], `"seq":`, `"seq":9`) }, verify.LogGap},
		{"segment cut short", func(t *testing.T, f []string) { cut(t, f[1]) }, verify.LogGap},
		{"segment emptied", func(t *testing.T, f []string) { write(t, f[1], nil) }, verify.LogGap},
		{"segment unreadable", func(t *testing.T, f []string) {
			remove(t, f[1])
			if err := os.Mkdir(f[1], 0o700); err != nil {
				t.Fatal(err)
			}
		}, verify.LogUnreadable},
	} {
		t.Run(c.name, func(t *testing.T) {
			copied := t.TempDir()
			var list []string
			for _, f := range files {
				b, err := os.ReadFile(f)
				if err != nil {
					t.Fatal(err)
				}
				name := filepath.Join(copied, filepath.Base(f))
				write(t, name, b)
				list = append(list, name)
			}
			c.damage(t, list)
			r := w.verify(verify.LogDir{Dir: copied})
			if c.want == "" && r.Total() != 0 || c.want != "" && r.Counts[c.want] == 0 {
				t.Errorf("found %s, want %q\n%s", kindsOf(r), c.want, strings.Join(told(r), "\n"))
			}
		})
	}
	// A part of the last segment that a power cut kept from the disk, and what follows it, is a torn end.
	lost := t.TempDir()
	for i, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if i == len(files)-1 {
			b = append(append(b, make([]byte, 4096)...), "\"seq\":5}\n{}\n"...)
		}
		write(t, filepath.Join(lost, filepath.Base(f)), b)
	}
	if r := w.verify(verify.LogDir{Dir: lost}); r.Total() != 0 || !r.History.Torn {
		t.Errorf("with a part that was never written: %v, told: %t", told(r), r.History.Torn)
	}
	// A torn last line is told, and is no finding: it was never acknowledged.
	f, err := os.OpenFile(files[len(files)-1], os.O_APPEND|os.O_WRONLY, 0)
	if err == nil {
		_, err = f.WriteString(`{"keyturn":{"node":"n1","se`)
	}
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	if r := w.verify(verify.LogDir{Dir: dir}); r.Total() != 0 || !r.History.Torn {
		t.Errorf("torn: %v, told: %t", told(r), r.History.Torn)
	}
	b, err := os.ReadFile(files[len(files)-1])
	if err != nil || !bytes.HasSuffix(b, []byte(`"se`)) {
		t.Error("the torn line was repaired")
	}
}

func remove(t *testing.T, name string) {
	t.Helper()
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
}

func write(t *testing.T, name string, b []byte) {
	t.Helper()
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func replace(t *testing.T, name, old, by string) {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil || !bytes.Contains(b, []byte(old)) {
		t.Fatal(name, err)
	}
	write(t, name, bytes.Replace(b, []byte(old), []byte(by), 1))
}

// cut takes the last line off.
func cut(t *testing.T, name string) {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	write(t, name, b[:bytes.LastIndexByte(b[:len(b)-1], '\n')+1])
}

// unreadable is a snapshot whose pages of one kind cannot be read.
type unreadable struct {
	verify.Snapshot
	kind string
}

func (u unreadable) ScanSealed(ctx context.Context, prefix, after string, limit int) ([]store.Entry, error) {
	if strings.HasPrefix(prefix, u.kind) {
		return nil, fmt.Errorf("a page: %w", store.ErrDamaged)
	}
	return u.Snapshot.ScanSealed(ctx, prefix, after, limit)
}

// TestUnreadablePages finds pages that cannot be read, and does not take what they hold for missing from indexes.
func TestUnreadablePages(t *testing.T) {
	w := newWorld(t)
	s, err := w.sealed.TakeSnapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for _, kind := range []string{"g/", "i/", "c/"} {
		r, err := verify.Run(t.Context(), verify.Config{Snapshot: unreadable{s, kind}, Scratch: t.TempDir()})
		if err != nil || kindsOf(r) != string(verify.StoreUnreadable) || r.Indexes || len(r.Mends) > 0 {
			t.Errorf("%s: %v %v", kind, err, told(r))
		}
	}
}

// dying is a snapshot of which something can be read once only.
type dying struct {
	verify.Snapshot
	kind   string // of which entries it is
	value  bool   // values do not open, else pages cannot be read
	second *bool
}

func (d dying) ScanSealed(ctx context.Context, prefix, after string, limit int) ([]store.Entry, error) {
	if *d.second && !d.value && prefix == d.kind {
		return nil, fmt.Errorf("a page: %w", store.ErrDamaged)
	}
	return d.Snapshot.ScanSealed(ctx, prefix, after, limit)
}

func (d dying) Open(e store.Entry) ([]byte, error) {
	if *d.second && d.value && strings.HasPrefix(e.Key, d.kind) {
		return nil, store.ErrDamaged
	}
	return d.Snapshot.Open(e)
}

// TestDyingDisk: where what is wrong is given its names, the store is read once more. What cannot be read then makes no counter smaller, and no
// index entry one too many.
func TestDyingDisk(t *testing.T) {
	w := newWorld(t)
	counter := record.GrantCounter(owner, w.key)
	n, err := record.DecodeCounter(w.get(counter).Value)
	if err != nil {
		t.Fatal(err)
	}
	w.write(store.Write{Key: counter, Value: record.EncodeCounter(n + 1)})
	s, err := w.sealed.TakeSnapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	second := false
	for _, test := range []struct {
		snapshot verify.Snapshot
		want     string
	}{
		{s, string(verify.CounterWrong)},
		{dying{s, "g/", false, &second}, string(verify.StoreUnreadable)},
		{dying{s, "c/", false, &second}, string(verify.StoreUnreadable)},
		{dying{s, "g/", true, &second}, string(verify.ValueUnreadable)},
	} {
		second = false
		r, err := verify.Run(t.Context(), verify.Config{
			Snapshot: test.snapshot, Log: w.lines(), Scratch: t.TempDir(), Progress: func(p verify.Progress) { second = p.Phase == verify.PhaseNames },
		})
		if err != nil {
			t.Fatal(err)
		}
		whole := test.want == string(verify.CounterWrong)
		kinds := slices.Compact(strings.Fields(kindsOf(r)))
		if strings.Join(kinds, " ") != test.want || r.Indexes != whole || whole != (len(r.Mends) == 1) {
			t.Errorf("found %v, compared %t, %d mends; want %s", told(r), r.Indexes, len(r.Mends), test.want)
		}
	}
}

// TestMends applies what a report says would put indexes and counters right.
func TestMends(t *testing.T) {
	w := newWorld(t)
	broken := 0
	for i, name := range append(w.scan(record.IndexPrefix), w.scan(record.CounterPrefix)...) {
		switch i % 4 {
		case 0:
			w.write(gone(name))
		case 1:
			w.writeRaw(store.Write{Key: name, Value: []byte("?")})
		case 2:
			w.write(store.Write{Key: name + "-other", Value: []byte{}})
		default:
			continue
		}
		broken++
	}
	r := w.verify(nil)
	if len(r.Mends) != broken || r.Total() != int64(broken) || broken < 50 {
		t.Fatalf("%d are broken, %d to mend, %d found", broken, len(r.Mends), r.Total())
	}
	for _, m := range r.Mends {
		w.write(store.Write{Key: m.Key, Value: m.Value, Delete: m.Delete})
	}
	if r := w.verify(w.lines()); r.Total() != 0 || len(r.Mends) != 0 {
		t.Errorf("mended, found %v", told(r))
	}
	// Where a record cannot be read, nothing is known that could be mended.
	w.writeRaw(store.Write{Key: w.alias, Value: []byte("?")})
	if r := w.verify(nil); len(r.Mends) != 0 || r.Indexes {
		t.Errorf("with an unreadable record: %+v", r.Mends)
	}
}

// TestMendsInRounds has more wrong than is looked at closely at once: a repair takes several rounds, and comes to its end.
func TestMendsInRounds(t *testing.T) {
	w := newWorld(t)
	for _, name := range w.scan(record.IndexPrefix) {
		w.write(gone(name))
	}
	for round := 0; ; round++ {
		c := verify.Config{Log: w.lines()}
		c.Closely(20)
		r := w.with(c)
		if len(r.Mends) == 0 {
			if r.Total() != 0 || round < 3 {
				t.Errorf("after %d rounds: %v", round, told(r))
			}
			return
		}
		if len(r.Mends) > 40 || round > 100 {
			t.Fatalf("%d at once, in round %d", len(r.Mends), round)
		}
		if got := kindsOf(r); round == 0 && got != "index-different index-missing" {
			t.Errorf("found %s", got)
		}
		for _, m := range r.Mends {
			w.write(store.Write{Key: m.Key, Value: m.Value, Delete: m.Delete})
		}
	}
}

func TestMostFindings(t *testing.T) {
	w := newWorld(t)
	for _, name := range w.scan("i/") {
		w.write(gone(name))
	}
	for _, name := range w.scan("g/") {
		w.change(w.load(name), nil)
	}
	r := w.with(verify.Config{Log: w.lines(), Most: 3})
	if len(r.Findings) != 3 || r.Counts[verify.IndexMissing] < 40 || r.Counts[verify.RecordRemoved] != 2 {
		t.Errorf("%d findings listed, counted %v", len(r.Findings), r.Counts)
	}
}

// TestUnlogged has a record that a change wrote, and then the service without one: the log does not vouch for it.
func TestUnlogged(t *testing.T) {
	w := newWorld(t)
	l := w.lines()
	line := `{"eventID":"accepted","keyturnWrites":[{"record":"d/mark","version":1}]}`
	l = append(l, audit.Line{Seq: l[len(l)-1].Seq + 1, JSON: []byte(line)})
	if r := w.verify(l); r.Total() != 0 {
		t.Errorf("not there: %v", told(r))
	}
	mark := &record.Mark{Time: start}
	mark.By.Version = 7
	w.change(nil, mark)
	if r := w.verify(l); r.Total() != 0 {
		t.Errorf("found %v", told(r))
	}
}
