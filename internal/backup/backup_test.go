package backup

import (
	"bytes"
	"crypto/fips140"
	"errors"
	"maps"
	"strings"
	"testing"
	"time"

	"filippo.io/age"

	"github.com/keyturn/keyturn/internal/audit"
	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/seal"
	"github.com/keyturn/keyturn/internal/store"
)

// TestFIPS: where age cannot work, it is said before anything is done.
func TestFIPS(t *testing.T) {
	if !fips140.Enforced() {
		t.Skip("this is about FIPS 140-only mode")
	}
	d := newDeployment(t, 1)
	if _, err := Take(t.Context(), d.source(), Options{}); !errors.Is(err, ErrFIPS) {
		t.Errorf("a backup for the seal: %v", err)
	}
	if _, err := NewReader(strings.NewReader("age-encryption.org/v1\n")); !errors.Is(err, ErrFIPS) {
		t.Errorf("reading one: %v", err)
	}
}

// TestRestore makes backups for every kind of recipient, and restores them with what belongs to it.
func TestRestore(t *testing.T) {
	needsAge(t)
	x, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	pq, err := age.GenerateHybridIdentity()
	if err != nil {
		t.Fatal(err)
	}
	ssh, err := ParseIdentities([]byte(sshIdentity), nil)
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		recipients []string // none: the seal
		identity   age.Identity
	}{
		"X25519":      {[]string{x.Recipient().String()}, x},
		"hybrid":      {[]string{pq.Recipient().String()}, pq},
		"ssh":         {[]string{sshRecipient}, ssh[0]},
		"one of many": {[]string{sshRecipient + " with a comment", x.Recipient().String()}, x},
		"the seal":    {nil, NewSealIdentity(t.Context(), testProvider(1))},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			d := newDeployment(t, 1)
			d.change(200)
			want := entries(t, d.store)
			var o Options
			if test.recipients != nil {
				o.Recipients = new(Recipients)
				for _, r := range test.recipients {
					if err := o.Recipients.Add(r); err != nil {
						t.Fatal(err)
					}
				}
			}
			b := d.take(o)
			d.change(50) // what comes later is not in it
			var file bytes.Buffer
			if _, err := b.Write(t.Context(), &file); err != nil {
				t.Fatal(err)
			}
			c, err := chain(t, test.identity, file.Bytes())
			if err != nil {
				t.Fatal(err)
			}
			v, err := Verify(t.Context(), c)
			if err != nil || v.Entries != int64(len(want)) || v.Lines != 200 {
				t.Fatalf("verified %+v (%v), want %d entries", v, err, len(want))
			}
			r, err := restore(t, test.identity, file.Bytes())
			if err != nil {
				t.Fatal(err)
			}
			checkRestored(t, r, b, want)
		})
	}
}

// checkRestored compares what was restored with what there was.
func checkRestored(t *testing.T, r *restored, b *Backup, want map[string]string) {
	t.Helper()
	got := entries(t, r.store)
	mark, err := record.Decode(record.RestoredStoreKey, []byte(got[record.RestoredStoreKey]))
	if err != nil {
		t.Fatalf("the store does not say that it was restored: %v", err)
	}
	m := mark.(*record.Restored)
	if m.Revision != uint64(b.Revision) || m.Backup != b.Backup || !m.BackupTime.Equal(testTime) || !m.At.Equal(testTime.Add(time.Hour)) {
		t.Errorf("the mark says %+v", m)
	}
	held, err := record.Decode(record.MarkStoreKey, []byte(got[record.MarkStoreKey]))
	if h, ok := held.(*record.Mark); err != nil || !ok || !h.Restored || !h.Suspended.Equal(m.At) || h.Time.IsZero() {
		t.Errorf("what is due is not held back: %+v, %v", held, err)
	}
	delete(got, record.MarkStoreKey)
	delete(got, record.RestoredStoreKey)
	delete(got, record.TrackingStoreKey) // a server that starts makes it
	if !maps.Equal(got, want) {
		t.Errorf("%d entries were restored, others than the %d that there were", len(got), len(want))
	}
	// Nothing that remembers a revision of the old store meets it again.
	sn, err := r.store.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer sn.Close()
	if head := headAfter(b.Revision); sn.Rev() < head || sn.Rev() > head+100 || m.Head != uint64(head) {
		t.Errorf("the restored store is at revision %d, the mark says from %d", sn.Rev(), m.Head)
	}
	// The old seal opens it no more, and its keyring has a version that the old one has not.
	if _, err := seal.Open(t.Context(), r.raw, seal.Options{Provider: testProvider(1), Now: testTime}); !errors.Is(err, seal.ErrWrongKey) {
		t.Errorf("the old seal: %v", err)
	}
	if st := r.store.Status(); st.Deployment != b.Deployment || st.Version < 2 {
		t.Errorf("the keyring is %+v", st)
	}
	checkLog(t, r, b)
}

// checkLog: the log has its lines, and the restore after them.
func checkLog(t *testing.T, r *restored, b *Backup) {
	t.Helper()
	n, last := uint64(0), ""
	for line, err := range audit.Read(r.auditDir, 0) {
		if err != nil {
			t.Fatal(err)
		}
		n++
		if line.Seq != n {
			t.Fatalf("line %d has number %d", n, line.Seq)
		}
		last = string(line.JSON)
	}
	if n != b.Next || r.Lines != n {
		t.Errorf("%d lines, want %d", n, b.Next)
	}
	for _, want := range []string{`"eventName":"RestoreBackup"`, `"eventType":"AwsServiceEvent"`, `"backupId":"` + b.Backup + `"`, r.ID, `"recipientAccountId":"111122223333"`} {
		if !strings.Contains(last, want) {
			t.Errorf("the last line has no %s: %s", want, last)
		}
	}
}

// TestRestoreClockBehind restores on a machine that believes it is 1970: the new version of the keyring is not older than the backup.
func TestRestoreClockBehind(t *testing.T) {
	needsAge(t)
	d := newDeployment(t, 1)
	to, id := keyPair(t)
	_, file := d.backup(Options{Recipients: to})
	for now, want := range map[time.Time]time.Time{time.Unix(1000, 0): testTime, testTime.Add(time.Hour): testTime.Add(time.Hour)} {
		r, err := restoreAt(t, now, id, file)
		if err != nil {
			t.Fatal(err)
		}
		if st := r.store.Status(); !st.Created.Equal(want) || !st.Versions[0].Retired.Equal(want) {
			t.Errorf("restored at %v: %+v", now, st.Versions)
		}
	}
}

// TestIncremental goes from backup to backup, while the keyring rotates and values are sealed anew, and restores after each.
func TestIncremental(t *testing.T) {
	needsAge(t)
	d := newDeployment(t, 2)
	to, id := keyPair(t)
	d.change(300)
	b, file := d.backup(Options{Recipients: to})
	files := [][]byte{file}
	for round := range 5 {
		if round == 2 {
			if err := d.store.RotateKeyring(t.Context(), testTime); err != nil {
				t.Fatal(err)
			}
		}
		if round == 3 {
			if err := d.store.RotateRoot(t.Context(), testTime); err != nil {
				t.Fatal(err)
			}
		}
		d.change(20 * round) // nothing at all the first time
		since := b.Position
		b, file = d.backup(Options{Recipients: to, Since: &since})
		files = append(files, file)
		r, err := restore(t, id, files...)
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		checkRestored(t, r, b, entries(t, d.store))
	}
	if len(files[1]) >= len(files[0])/2 {
		t.Errorf("an incremental backup of nothing has %d bytes, the full one %d", len(files[1]), len(files[0]))
	}
	refused := map[string][][]byte{
		"no full one":       files[1:],
		"one left out":      {files[0], files[2]},
		"the wrong order":   {files[0], files[2], files[1]},
		"one twice":         {files[0], files[1], files[1]},
		"two full ones":     {files[0], files[0]},
		"of another full":   {second(d, to), files[1]},
		"of another system": {other(t, to), files[1]},
	}
	for name, list := range refused {
		t.Run(name, func(t *testing.T) {
			if _, err := restore(t, id, list...); !errors.Is(err, ErrChain) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func second(d *deployment, to *Recipients) []byte {
	_, file := d.backup(Options{Recipients: to})
	return file
}

func other(t *testing.T, to *Recipients) []byte {
	d := newDeployment(t, 3)
	d.change(10)
	return second(d, to)
}

// TestSince refuses what a backup cannot go on from.
func TestSince(t *testing.T) {
	needsAge(t)
	d := newDeployment(t, 4)
	to, id := keyPair(t)
	d.change(20)
	b, file := d.backup(Options{Recipients: to})
	good := b.Position
	for name, change := range map[string]func(*Position){
		"another deployment":  func(p *Position) { p.Deployment = "other" },
		"another history":     func(p *Position) { p.History = "restored" },
		"a later revision":    func(p *Position) { p.Revision += 100 },
		"a later audit line":  func(p *Position) { p.Next += 100 },
		"without the log":     func(p *Position) { p.Audit = false },
		"of an older keyturn": func(p *Position) { p.Line = "" },
		"another line":        func(p *Position) { p.Line = lineDigest(nil) },
		"a restored revision": func(p *Position) { p.Revision = headAfter(p.Revision) },
	} {
		t.Run(name, func(t *testing.T) {
			since := good
			change(&since)
			if _, err := Take(t.Context(), d.source(), Options{Recipients: to, Since: &since}); !errors.Is(err, ErrChain) {
				t.Errorf("got %v", err)
			}
		})
	}
	// A restored store has a history of its own: what was written down before is of another.
	r, err := restore(t, id, file)
	if err != nil {
		t.Fatal(err)
	}
	source := d.source()
	source.Seal = r.store
	if _, err := Take(t.Context(), source, Options{Recipients: to, Since: &good}); !errors.Is(err, ErrChain) {
		t.Errorf("a state from before the restore: %v", err)
	}
	again, err := Take(t.Context(), source, Options{Recipients: to})
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if again.History != r.ID {
		t.Errorf("the history is %q, want %q", again.History, r.ID)
	}
}

// TestLogGone: lines that the log does not have any more are missed.
func TestLogGone(t *testing.T) {
	needsAge(t)
	d := newDeployment(t, 5)
	d.log = audit.NewMemory(30)
	to, _ := keyPair(t)
	d.change(10)
	base := d.take(Options{Recipients: to})
	d.change(15)
	b := d.take(Options{Recipients: to, Since: &base.Position})
	d.change(100)
	if _, err := Take(t.Context(), d.source(), Options{Recipients: to, Since: &base.Position}); !errors.Is(err, ErrChain) || !strings.Contains(err.Error(), "no line 10 any more") {
		t.Errorf("the line by which the store is known is gone: %v", err)
	}
	if _, err := b.Write(t.Context(), discard{}); !errors.Is(err, ErrLog) {
		t.Errorf("got %v", err)
	}
}

// TestWithoutAudit: numbers go on all the same.
func TestWithoutAudit(t *testing.T) {
	needsAge(t)
	d := newDeployment(t, 6)
	to, id := keyPair(t)
	d.change(30)
	b, full := d.backup(Options{Recipients: to, NoAudit: true})
	d.change(5)
	b, file := d.backup(Options{Recipients: to, NoAudit: true, Since: &b.Position})
	r, err := restore(t, id, full, file)
	if err != nil {
		t.Fatal(err)
	}
	var seqs []uint64
	for line, err := range audit.Read(r.auditDir, 0) {
		if err != nil {
			t.Fatal(err)
		}
		seqs = append(seqs, line.Seq)
	}
	if len(seqs) != 1 || seqs[0] != b.Next {
		t.Errorf("lines %v, want %d alone", seqs, b.Next)
	}
}

// TestOutbox: audit records that were on their way come into the restored log, before the restore.
func TestOutbox(t *testing.T) {
	needsAge(t)
	d := newDeployment(t, 7)
	to, id := keyPair(t)
	d.change(3)
	node := d.store.Keyring().Deployment()[:8]
	_, err := d.store.Commit(t.Context(), store.Batch{Writes: []store.Write{
		{Key: "o/" + node + "/0000000000000001-waiting", Value: append([]byte{0, 0, 0, 0, 0, 0, 0, 4}, `{"eventID":"waiting"}`...)},
	}})
	if err != nil {
		t.Fatal(err)
	}
	_, file := d.backup(Options{Recipients: to})
	r, err := restore(t, id, file)
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for line, err := range audit.Read(r.auditDir, 4) {
		if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, string(line.JSON))
	}
	if len(lines) != 2 || !strings.Contains(lines[0], "waiting") || !strings.Contains(lines[1], "RestoreBackup") {
		t.Errorf("the log goes on with %q", lines)
	}
	for key := range entries(t, r.store) {
		if strings.HasPrefix(key, "o/") {
			t.Errorf("%s is left", key)
		}
	}
}

func TestVerifyFindsWhatDoesNotDecode(t *testing.T) {
	needsAge(t)
	to, id := keyPair(t)
	for key, value := range map[string]string{
		"k/111122223333/eu-central-1/x": "\x01{}", "i/index": "x", "c/counter": "\x01", "o/node/1": "short", "zz/unknown": "", "d/restored": "",
	} {
		t.Run(key, func(t *testing.T) {
			d := newDeployment(t, 8)
			if _, err := d.store.Commit(t.Context(), store.Batch{Writes: []store.Write{{Key: key, Value: []byte(value)}}}); err != nil {
				t.Fatal(err)
			}
			if key == record.RestoredStoreKey {
				if _, err := Take(t.Context(), d.source(), Options{Recipients: to}); !errors.Is(err, record.ErrDecode) {
					t.Errorf("Take: %v", err)
				}
				return
			}
			_, file := d.backup(Options{Recipients: to})
			c, err := chain(t, id, file)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := Verify(t.Context(), c); !errors.Is(err, record.ErrDecode) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// TestLogCut backs up a store whose log ends before a line that it remembers: only without the log, and what is restored goes on after that line.
func TestLogCut(t *testing.T) {
	needsAge(t)
	d := newDeployment(t, 31)
	to, _ := keyPair(t)
	d.change(5)
	mark := &record.Mark{Time: testTime, Line: 4711}
	mark.By.Version = 1
	value, err := record.Encode(mark)
	if err == nil {
		_, err = d.store.Commit(t.Context(), store.Batch{Writes: []store.Write{{Key: mark.StoreKey(), Value: value}}})
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Take(t.Context(), d.source(), Options{Recipients: to}); !errors.Is(err, ErrLog) || !strings.Contains(err.Error(), "line 4711") {
		t.Errorf("with the log: %v", err)
	}
	b, err := Take(t.Context(), d.source(), Options{Recipients: to, NoAudit: true})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if b.Next != 4712 || b.Line != "" {
		t.Errorf("the next line is %d, after %q", b.Next, b.Line)
	}
}
