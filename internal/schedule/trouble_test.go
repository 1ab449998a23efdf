package schedule_test

import (
	"context"
	"testing"
	"time"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/clock"
	"github.com/keyturn/keyturn/internal/kms"
	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/store"
)

// TestSweepDamaged deletes a key one of whose materials does not open: its aliases and materials go all the same.
func TestSweepDamaged(t *testing.T) {
	c := &testClock{now: start}
	s := newSite(t, c, kms.Config{})
	defer s.close()
	id := s.newKey(0)
	s.must("kms.CreateAlias", &api.CreateAliasRequest{AliasName: api.Some("alias/app"), TargetKeyId: api.Some(id)})
	s.must("kms.RotateKeyOnDemand", &api.RotateKeyOnDemandRequest{KeyId: api.Some(id)})
	s.must("kms.ScheduleKeyDeletion", &api.ScheduleKeyDeletionRequest{KeyId: api.Some(id), PendingWindowInDays: api.Some[int64](7)})
	material := s.left("m/")[0]
	if _, err := s.raw.Commit(context.Background(), store.Batch{Writes: []store.Write{{Key: material, Value: []byte("damaged")}}}); err != nil {
		t.Fatal(err)
	}
	c.pass(8 * day)
	s.runDue()
	for _, prefix := range []string{"m/", "a/", "t/", "i/materials/", "i/aliases/", "c/aliases/", record.DuePrefix} {
		if left := s.left(prefix); len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
	}
	other := s.newKey(0)
	s.must("kms.CreateAlias", &api.CreateAliasRequest{AliasName: api.Some("alias/app"), TargetKeyId: api.Some(other)})
}

// TestSeedAndTombstone seeds a key whose deletion was not swept yet: it is refused, and made once that is done. A sweep never
// touches a key that exists.
func TestSeedAndTombstone(t *testing.T) {
	c := &testClock{now: start}
	s := newSite(t, c, kms.Config{})
	defer s.close()
	seed := &kms.Seed{
		Owner: owner, ID: "1234abcd-12ab-34cd-56ef-1234567890ab",
		Materials: []kms.SeedMaterial{{Secret: make([]byte, 32), Date: start}},
	}
	plant := func() error {
		_, err := s.p.DoInternal(context.Background(), s.kms.SeedKey(), owner, c.Now(), 0, seed)
		return err
	}
	if err := plant(); err != nil {
		t.Fatal(err)
	}
	s.must("kms.ScheduleKeyDeletion", &api.ScheduleKeyDeletionRequest{KeyId: api.Some(seed.ID), PendingWindowInDays: api.Some[int64](7)})
	c.pass(8 * day)
	due := &kms.DueRequest{Owner: owner, KeyID: seed.ID}
	if _, err := s.p.DoInternal(context.Background(), s.kms.DeleteKey, owner, c.Now(), 0, due); err != nil {
		t.Fatal(err)
	}
	if err := plant(); code(err) != api.ValidationException {
		t.Errorf("seeded over what is being removed: %v", err)
	}
	s.runDue()
	if err := plant(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.p.DoInternal(context.Background(), s.kms.SweepKey, owner, c.Now(), 0, due); err != nil {
		t.Errorf("a sweep without a tombstone: %v", err)
	}
	s.must("kms.Encrypt", &api.EncryptRequest{KeyId: api.Some(seed.ID), Plaintext: []byte("x")})
}

// TestAdvanceFails closes the audit log: the clock that could not be stored must not have moved.
func TestAdvanceFails(t *testing.T) {
	shifted := clock.NewShifted(func() time.Time { return start }, 0)
	s := newSite(t, shifted, kms.Config{})
	s.newKey(0)
	if err := s.sink.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.do("keyturn.AdvanceClock", &api.AdvanceClockRequest{Seconds: api.Some[int64](86400)}); code(err) != api.KMSInternalException {
		t.Errorf("%v", err)
	}
	if shifted.Offset() != 0 {
		t.Errorf("the clock has moved by %v, but nobody knows", shifted.Offset())
	}
}
