package seal

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/keyturn/keyturn/internal/store"
	"github.com/keyturn/keyturn/internal/store/memstore"
)

func rotate(t testing.TB, s *Store, now time.Time) {
	t.Helper()
	if err := s.RotateKeyring(context.Background(), now); err != nil {
		t.Fatalf("RotateKeyring: %v", err)
	}
}

func noRest(context.Context, time.Duration) error { return nil }

func reseal(t testing.TB, s *Store) {
	t.Helper()
	if err := s.Reseal(context.Background(), noRest); err != nil {
		t.Fatalf("Reseal: %v", err)
	}
}

// entries is all a store holds.
func entries(t testing.TB, raw store.Store) map[string]store.Entry {
	t.Helper()
	list, err := raw.Scan(context.Background(), "", "", 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	m := map[string]store.Entry{}
	for _, e := range list {
		m[e.Key] = e
	}
	return m
}

// versions counts the values by the version that sealed them.
func versions(t testing.TB, raw store.Store) map[uint32]int {
	t.Helper()
	m := map[uint32]int{}
	for key, e := range entries(t, raw) {
		if reserved(key) != nil {
			continue
		}
		v, err := valueVersion(key, e.Value)
		if err != nil {
			t.Fatal(err)
		}
		m[v]++
	}
	return m
}

// fillStore writes n values and returns them.
func fillStore(t testing.TB, s *Store, n int) map[string]string {
	t.Helper()
	values := map[string]string{}
	for i := range n {
		key, value := fmt.Sprintf("k/%05d", i), fmt.Sprint("value ", i)
		put(t, s, key, value)
		values[key] = value
	}
	return values
}

func check(t testing.TB, s *Store, values map[string]string) {
	t.Helper()
	for key, want := range values {
		if got, err := get(s, key); err != nil || got != want {
			t.Fatalf("%s: %q, %v; want %q", key, got, err, want)
		}
	}
	if err := s.Damage(); err != nil {
		t.Fatalf("damage: %v", err)
	}
}

// TestRotateKeyring takes a store through two rotations: tokens and ciphertexts' MACs of older versions hold, values move on, keys that
// nothing needs go, not sooner.
func TestRotateKeyring(t *testing.T) {
	raw := memstore.New()
	s := mustOpen(t, raw, options(1))
	values := fillStore(t, s, 300)
	token, err := s.Keyring().SealToken([]byte("a session"), "test")
	if err != nil {
		t.Fatal(err)
	}
	mac := s.Keyring().CurrentMAC()
	at := testTime.Add(KeyringPeriod)
	rotate(t, s, at)
	if st := s.Status(); st.Version != 2 || !st.Created.Equal(at) || !st.Rotation.Equal(at.Add(KeyringPeriod)) || st.Resealed != 1 || !st.Versions[0].Retired.Equal(at) {
		t.Errorf("status: %+v", st)
	}
	if s.Keyring().CurrentMAC() == mac || s.Keyring().MACKey(1) == nil {
		t.Error("the MAC key of ciphertexts did not change, or the old one is gone")
	}
	put(t, s, "k/00007", "changed")
	values["k/00007"] = "changed"
	if got := versions(t, raw); got[1] != 299 || got[2] != 1 {
		t.Errorf("versions after a rotation: %v", got)
	}
	check(t, s, values)
	if gone, err := s.DestroyRetired(t.Context(), at.Add(10*TokenLife)); len(gone) != 0 || err != nil {
		t.Fatalf("destroyed %v while values are sealed by them, %v", gone, err)
	}
	reseal(t, s)
	if got := versions(t, raw); got[2] != 300 || len(got) != 1 {
		t.Errorf("versions after sealing anew: %v", got)
	}
	if _, there := entries(t, raw)[resealKey]; there {
		t.Error("what a pass notes is still there after it")
	}
	if gone, err := s.DestroyRetired(t.Context(), at.Add(TokenLife-time.Second)); len(gone) != 0 || err != nil {
		t.Fatalf("destroyed %v while tokens may need them, %v", gone, err)
	}
	if b, err := s.Keyring().OpenToken(token, "test"); err != nil || string(b) != "a session" {
		t.Errorf("a token of before: %q, %v", b, err)
	}
	gone, err := s.DestroyRetired(t.Context(), at.Add(TokenLife))
	if err != nil || len(gone) != 1 || gone[0] != 1 {
		t.Fatalf("destroyed %v, %v; want version 1", gone, err)
	}
	if _, err := s.Keyring().OpenToken(token, "test"); !errors.Is(err, ErrToken) {
		t.Errorf("a token of a destroyed version: %v", err)
	}
	if s.Keyring().MACKey(1) == nil {
		t.Error("the MAC key of old ciphertexts is gone")
	}
	check(t, s, values)
	again := mustOpen(t, raw, options(1))
	check(t, again, values)
	if st := again.Status(); st.Resealed != 2 || st.Versions[0].Destroyed.IsZero() || again.Keyring().MACKey(1) == nil || again.Keyring().MACKey(3) != nil {
		t.Errorf("reopened: %+v", st)
	}
}

// TestRotateRoot: the new root key comes in one commit; the old root key, and with Migrate the old provider, open nothing any more.
func TestRotateRoot(t *testing.T) {
	raw := memstore.New()
	s := mustOpen(t, raw, options(1))
	values := fillStore(t, s, 200)
	oldRoot, before := s.ring.now.Load().root, entries(t, raw)
	changed := func(what string) {
		t.Helper()
		n := 0
		for key, e := range entries(t, raw) {
			if e.Rev != before[key].Rev {
				n++
			}
		}
		if n != 1 {
			t.Errorf("%s wrote %d values, want 1", what, n)
		}
		before = entries(t, raw)
	}
	if err := s.RotateRoot(t.Context(), testTime.Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	changed("RotateRoot")
	m, err := parseMeta(before[metaKey].Value)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := unwrap(m, 0, oldRoot); !errors.Is(err, ErrDamaged) {
		t.Errorf("the keyring opens under the old root key: %v", err)
	}
	check(t, mustOpen(t, raw, options(1)), values)

	if err := s.Migrate(t.Context(), testPassphrase("correct horse battery"), testTime.Add(2*time.Hour)); err != nil {
		t.Fatal(err)
	}
	changed("Migrate")
	check(t, s, values)
	if _, err := Open(t.Context(), raw, options(1)); !errors.Is(err, ErrWrongKey) {
		t.Errorf("the old provider: %v, want ErrWrongKey", err)
	}
	moved := mustOpen(t, raw, Options{Provider: testPassphrase("correct horse battery")})
	check(t, moved, values)
	if st := moved.Status(); st.Provider != "passphrase" || st.Version != 3 || !st.RootCreated.Equal(testTime.Add(2*time.Hour)) {
		t.Errorf("status: %+v", st)
	}
	if err := s.RotateRoot(t.Context(), testTime.Add(3*time.Hour)); err != nil { // goes on with the new provider
		t.Fatal(err)
	}
	check(t, mustOpen(t, raw, Options{Provider: testPassphrase("correct horse battery")}), values)
}

// fill adds versions to the keyring until only so many can follow.
func fill(t testing.TB, s *Store, left int) {
	t.Helper()
	for s.Status().Left > left {
		if err := s.RotateDue(context.Background(), testTime); err != nil {
			t.Fatal(err)
		}
	}
}

// TestKeptVersions: rotation on demand leaves versions for what has to rotate.
func TestKeptVersions(t *testing.T) {
	s := mustOpen(t, memstore.New(), options(1))
	if st := s.Status(); st.Left != maxVersions-1 || st.LeftOnDemand != maxVersions-1-keptVersions {
		t.Errorf("a new keyring: %d versions left, %d on demand", st.Left, st.LeftOnDemand)
	}
	fill(t, s, keptVersions+1)
	rotate(t, s, testTime)
	if err := s.RotateKeyring(t.Context(), testTime); !errors.Is(err, ErrKept) {
		t.Errorf("one of those that are kept, on demand: %v", err)
	}
	if st := s.Status(); st.Left != keptVersions || st.LeftOnDemand != 0 {
		t.Errorf("%d versions left, %d on demand", st.Left, st.LeftOnDemand)
	}
	if err := errors.Join(s.RotateDue(t.Context(), testTime), s.RotateRoot(t.Context(), testTime), s.Migrate(t.Context(), NewKeyFile(testKey(2)), testTime)); err != nil {
		t.Errorf("what they are kept for: %v", err)
	}
	if v := s.Status().Version; v != maxVersions-keptVersions+3 {
		t.Errorf("version %d", v)
	}
}

// counted is a provider that counts what it seals.
type counted struct {
	Provider
	seals int
}

func (c *counted) Seal(ctx context.Context, root []byte) ([]byte, error) {
	c.seals++
	return c.Provider.Seal(ctx, root)
}

// TestMaxVersions fills a keyring: one that is full fits the store, is as usable as before, and says no to more. So does a new root key, which without
// a new version would leave what is written from then on to the old one; a provider hands out nothing for it. Old versions go all the same. A backup
// becomes a store.
func TestMaxVersions(t *testing.T) {
	raw := memstore.New()
	s := mustOpen(t, raw, options(1))
	values := fillStore(t, s, 10)
	fill(t, s, 0)
	before := contents(t, raw)
	for name, err := range map[string]error{"on demand": s.RotateKeyring(t.Context(), testTime), "due": s.RotateDue(t.Context(), testTime), "root key": s.RotateRoot(t.Context(), testTime)} {
		if !errors.Is(err, ErrTooMany) {
			t.Errorf("version %d, %s: %v", maxVersions+1, name, err)
		}
	}
	p := &counted{Provider: NewKeyFile(testKey(2))}
	if err := s.Migrate(t.Context(), p, testTime); !errors.Is(err, ErrTooMany) || p.seals != 0 {
		t.Errorf("another seal: %v; it sealed %d times", err, p.seals)
	}
	if !maps.Equal(before, contents(t, raw)) {
		t.Error("what was refused has written something")
	}
	var gone []uint32
	now := func() time.Time { return testTime.Add(KeyringPeriod) }
	err := s.maintain(t.Context(), Maintenance{
		Now: now, Dated: now, Rotate: func(ctx context.Context) error { return s.RotateDue(ctx, now()) }, Destroyed: func(v []uint32) { gone = v },
	})
	if !errors.Is(err, ErrTooMany) || len(gone) != maxVersions-1 {
		t.Errorf("maintenance: %v; %d versions destroyed, want all but the current one", err, len(gone))
	}
	if got := versions(t, raw); got[maxVersions] != 10 {
		t.Errorf("versions: %v", got)
	}
	check(t, s, values)
	check(t, mustOpen(t, raw, options(1)), values)
	sn, err := s.TakeSnapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer sn.Close()
	e, err := sn.Escrow()
	if err != nil {
		t.Fatal(err)
	}
	target := memstore.New()
	if err := e.Restore(t.Context(), target, NewKeyFile(testKey(7)), testTime); err != nil {
		t.Fatal(err)
	}
	if st := mustOpen(t, target, options(7)).Status(); st.Version != maxVersions+1 || st.Left != 0 || st.LeftOnDemand != 0 {
		t.Errorf("restored, the keyring has version %d, and %d left", st.Version, st.Left)
	}
}

// TestWrongClock: what a clock that was wrong has dated does no lasting harm.
func TestWrongClock(t *testing.T) {
	ahead := testTime.AddDate(10, 0, 0)
	t.Run("rotated ahead, and again when it was right", func(t *testing.T) {
		s := mustOpen(t, memstore.New(), options(1))
		token, err := s.Keyring().SealToken([]byte("a session"), "test")
		if err != nil {
			t.Fatal(err)
		}
		rotate(t, s, ahead)
		if at := s.Keyring().TokenRetired(token); !at.Equal(ahead) {
			t.Errorf("replaced at %v", at)
		}
		rotate(t, s, testTime)
		reseal(t, s)
		if at := s.Keyring().TokenRetired(token); !at.Equal(testTime) {
			t.Errorf("replaced at %v, as far as tokens go", at)
		}
		if st := s.Status(); !st.Versions[0].Retired.Equal(testTime) || !st.Versions[1].Retired.Equal(testTime) || !st.Versions[2].Retired.IsZero() {
			t.Errorf("%+v", st.Versions)
		}
		if gone, err := s.DestroyRetired(t.Context(), testTime.Add(TokenLife-time.Second)); len(gone) != 0 || err != nil {
			t.Errorf("destroyed %v, %v while tokens may need them", gone, err)
		}
		if gone, err := s.DestroyRetired(t.Context(), testTime.Add(TokenLife)); len(gone) != 2 || err != nil {
			t.Errorf("destroyed %v, %v; want versions 1 and 2", gone, err)
		}
	})
	t.Run("due as soon as it is right", func(t *testing.T) {
		s := mustOpen(t, memstore.New(), options(1))
		now, rotated := ahead, 0
		m := Maintenance{
			Now:       func() time.Time { return testTime.Add(time.Minute) }, // what is believed all the time
			Dated:     func() time.Time { return now },
			Rotate:    func(ctx context.Context) error { rotated++; return s.RotateDue(ctx, now) },
			Destroyed: func([]uint32) {},
		}
		pass := func() {
			t.Helper()
			if err := s.maintain(t.Context(), m); err != nil {
				t.Fatal(err)
			}
		}
		rotate(t, s, ahead)
		if pass(); rotated != 0 {
			t.Error("rotated while the clock tells the same date")
		}
		now = ahead.Add(-maxAhead) // NTP
		if pass(); rotated != 0 {
			t.Error("rotated because of a minute")
		}
		now = testTime.Add(time.Hour)
		pass()
		pass()
		if st := s.Status(); rotated != 1 || !st.Created.Equal(now) || !st.Rotation.Equal(now.Add(KeyringPeriod)) {
			t.Errorf("rotated %d times; %+v", rotated, st)
		}
	})
}

// slow is a provider that takes its time.
type slow struct {
	Provider
	entered, leave chan struct{}
}

func (s *slow) Seal(ctx context.Context, root []byte) ([]byte, error) {
	close(s.entered)
	<-s.leave
	return s.Provider.Seal(ctx, root)
}

// TestSlowProvider: while a KMS somewhere takes its time to seal a new root key, values are read and written, snapshots taken, and the keyring
// rotates.
func TestSlowProvider(t *testing.T) {
	raw := memstore.New()
	s := mustOpen(t, raw, options(1))
	p := &slow{Provider: NewKeyFile(testKey(9)), entered: make(chan struct{}), leave: make(chan struct{})}
	done := make(chan error)
	go func() { done <- s.Migrate(t.Context(), p, testTime.Add(time.Hour)) }()
	<-p.entered
	put(t, s, "k/a", "v")
	sn, err := s.TakeSnapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	sn.Close()
	rotate(t, s, testTime.Add(time.Minute))
	reseal(t, s)
	close(p.leave)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	check(t, mustOpen(t, raw, options(9)), map[string]string{"k/a": "v"})
	if v := s.Status().Version; v != 3 {
		t.Errorf("version %d, want 3", v)
	}
}

// TestResealLarge has values that fill a commit by themselves, among others.
func TestResealLarge(t *testing.T) {
	raw := memstore.New()
	s := mustOpen(t, raw, options(1))
	values := fillStore(t, s, 100)
	const overhead = headerSize + 24 + 16 // of a sealed value: nonce and tag
	for i, room := range []int{0, 1, 100, 300} {
		key := fmt.Sprintf("k/%05d", 20*i+7)
		values[key] = strings.Repeat("x", store.MaxBatchBytes-overhead-len(key)-room)
		put(t, s, key, values[key])
	}
	rotate(t, s, testTime)
	reseal(t, s)
	check(t, s, values)
	if got := versions(t, raw); len(got) != 1 || got[2] != 100 {
		t.Errorf("versions: %v", got)
	}
}

// broken is a provider that does not do what it says.
type broken struct {
	Provider
	seal, unseal error
	other        bool
}

func (b *broken) Seal(ctx context.Context, root []byte) ([]byte, error) {
	if b.seal != nil {
		return nil, b.seal
	}
	return b.Provider.Seal(ctx, root)
}

func (b *broken) Unseal(ctx context.Context, sealed []byte) ([]byte, error) {
	if b.other {
		return random(32), nil
	}
	if b.unseal != nil {
		return nil, b.unseal
	}
	return b.Provider.Unseal(ctx, sealed)
}

// TestMigrateFails: a provider that cannot give back what it was given is not migrated to, and nothing changes.
func TestMigrateFails(t *testing.T) {
	no := errors.New("no")
	for name, p := range map[string]*broken{"seal": {seal: no}, "unseal": {unseal: no}, "another key": {other: true}} {
		raw := memstore.New()
		s := mustOpen(t, raw, options(1))
		values := fillStore(t, s, 10)
		before := contents(t, raw)
		p.Provider = NewKeyFile(testKey(9))
		if err := s.Migrate(t.Context(), p, testTime); err == nil {
			t.Errorf("%s: migrated", name)
		}
		if err := s.Migrate(t.Context(), NewKeyFile(testKey(1)), testTime); !errors.Is(err, ErrSame) {
			t.Errorf("%s: to what seals it: %v", name, err)
		}
		if fmt.Sprint(before) != fmt.Sprint(contents(t, raw)) {
			t.Errorf("%s: something was written", name)
		}
		check(t, s, values)
		check(t, mustOpen(t, raw, options(1)), values)
		if err := s.RotateRoot(t.Context(), testTime); err != nil {
			t.Errorf("%s: afterwards: %v", name, err)
		}
	}
}

// flaky fails commits for a while.
type flaky struct {
	store.Store
	left int // commits until one fails; negative: none does
}

var errFlaky = errors.New("flaky")

func (f *flaky) Commit(ctx context.Context, b store.Batch) (store.Rev, error) {
	if f.left == 0 {
		f.left--
		return 0, errFlaky
	}
	f.left--
	return f.Store.Commit(ctx, b)
}

// TestResealResumes interrupts passes after each of their commits, opens the store anew and goes on: no batch is done twice, and each
// restart goes on where the last one was.
func TestResealResumes(t *testing.T) {
	raw := memstore.New()
	s := mustOpen(t, raw, options(1))
	values := fillStore(t, s, 10*resealBatch)
	rotate(t, s, testTime.Add(time.Hour))
	first := entries(t, raw)
	restarts := 0
	for s.Status().Resealed < 2 {
		f := &flaky{Store: raw, left: 1} // one commit a try
		s = mustOpen(t, f, options(1))
		if err := s.Reseal(t.Context(), noRest); err != nil && !errors.Is(err, errFlaky) {
			t.Fatal(err)
		}
		if restarts++; restarts > 20 {
			t.Fatal("no progress")
		}
		check(t, mustOpen(t, raw, options(1)), values)
	}
	if restarts < 10 {
		t.Errorf("%d restarts, want one for each batch", restarts)
	}
	revs := map[store.Rev]int{}
	for key, e := range entries(t, raw) {
		if reserved(key) == nil {
			if e.Rev == first[key].Rev {
				t.Fatalf("%s was left out", key)
			}
			revs[e.Rev]++
		}
	}
	if len(revs) != 10 {
		t.Errorf("%d batches, want 10", len(revs))
	}
}

// TestResealWhileBusy changes and deletes values at random while the keyring rotates and passes run: what was written last is what is there, sealed
// by the last version.
func TestResealWhileBusy(t *testing.T) {
	raw := memstore.New()
	s := mustOpen(t, raw, options(1))
	fillStore(t, s, 1000)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var wg sync.WaitGroup
	written := make([]map[string]string, 4)
	for w := range written {
		written[w] = map[string]string{}
		wg.Go(func() {
			r := rand.New(rand.NewPCG(uint64(w), 7))
			for i := 0; ctx.Err() == nil && i < 20_000; i++ {
				key := fmt.Sprintf("k/%05d", r.IntN(250)*4+w) // each has its own
				wr := store.Write{Key: key, Value: fmt.Appendf(nil, "%d %d", w, i), Delete: r.IntN(5) == 0}
				if _, err := s.Commit(context.Background(), store.Batch{Writes: []store.Write{wr}}); err != nil {
					t.Error(err)
					return
				}
				if written[w][key] = string(wr.Value); wr.Delete {
					written[w][key] = ""
				}
			}
		})
	}
	for range 8 {
		rotate(t, s, testTime)
		reseal(t, s)
	}
	cancel()
	wg.Wait()
	for _, m := range written {
		check(t, s, m)
	}
	if got := versions(t, raw); len(got) != 1 || got[9] == 0 {
		t.Errorf("versions: %v", got)
	}
}

// TestMaintain lets years pass: the keyring rotates each year, its values follow, and keys that nothing needs go.
func TestMaintain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		raw := memstore.New()
		s := mustOpen(t, raw, Options{Provider: NewKeyFile(testKey(1)), Now: time.Now()})
		values := fillStore(t, s, 200)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		var log []string
		// A tick a minute for years takes long: the service's clock runs faster.
		start := time.Now()
		now := func() time.Time { return start.Add(time.Since(start) * 600) }
		go func() {
			defer close(done)
			s.Maintain(ctx, Maintenance{
				Now: now, Dated: now,
				Rotate: func(ctx context.Context) error {
					log = append(log, "rotated")
					return s.RotateKeyring(ctx, now())
				},
				Destroyed: func(v []uint32) { log = append(log, fmt.Sprint("destroyed ", v)) },
				Failed:    func(err error) { log = append(log, err.Error()) },
			})
		}()
		time.Sleep(3*KeyringPeriod/600 + 10*time.Minute) // of the bubble's time
		cancel()
		<-done
		want := "rotated, destroyed [1], rotated, destroyed [2], rotated"
		if got := strings.Join(log, ", "); got != want && got != want+", destroyed [3]" {
			t.Errorf("%s; want %s", got, want)
		}
		check(t, s, values)
		if st := s.Status(); st.Resealed != 4 || st.Progress != nil {
			t.Errorf("status: %+v", st)
		}
	})
}

// TestEscrow restores a snapshot of a store into another engine under another provider, while the first goes on.
func TestEscrow(t *testing.T) {
	raw := memstore.New()
	s := mustOpen(t, raw, options(1))
	values := fillStore(t, s, 100)
	sn, err := s.TakeSnapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer sn.Close()
	put(t, s, "k/00000", "later")
	if err := s.RotateRoot(t.Context(), testTime); err != nil {
		t.Fatal(err)
	}
	reseal(t, s)
	e, err := sn.Escrow()
	if err != nil {
		t.Fatal(err)
	}
	if text := fmt.Sprintf("%v %+v %#v %s", e, e, e, e); strings.Contains(text, "Root") || strings.Contains(text, fmt.Sprint(e.Root)) {
		t.Errorf("an escrow prints %s", text)
	}
	target := memstore.New()
	list, err := sn.ScanSealed(t.Context(), "", "", 1000)
	if err != nil || len(list) != 100 {
		t.Fatalf("%d values, %v", len(list), err)
	}
	ring, err := e.Keyring()
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range list {
		plain, err := ring.OpenValue(v.Key, v.Value)
		if err != nil || string(plain) != values[v.Key] {
			t.Fatalf("%s: %q, %v", v.Key, plain, err)
		}
		put(t, target, v.Key, string(v.Value))
	}
	if _, err := Open(t.Context(), target, options(5)); !errors.Is(err, ErrDamaged) {
		t.Errorf("half restored: %v", err)
	}
	if err := e.Restore(t.Context(), target, NewKeyFile(testKey(5)), testTime); err != nil {
		t.Fatal(err)
	}
	restored := mustOpen(t, target, options(5))
	check(t, restored, values)
	if restored.Keyring().Deployment() != s.Keyring().Deployment() {
		t.Error("restored, it is another deployment")
	}
	if _, err := Open(t.Context(), target, options(1)); !errors.Is(err, ErrWrongKey) {
		t.Errorf("the seal of the store it came from: %v", err)
	}
	sealed := &Escrow{Meta: e.Meta}
	if err := sealed.Unseal(t.Context(), NewKeyFile(testKey(2))); !errors.Is(err, ErrWrongKey) {
		t.Errorf("another provider: %v", err)
	}
	if err := sealed.Unseal(t.Context(), NewKeyFile(testKey(1))); err != nil || string(sealed.Root) != string(e.Root) {
		t.Errorf("the provider that sealed it: %v", err)
	}
}
