package verify_test

import (
	"bytes"
	"context"
	"crypto/fips140"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/audit"
	"github.com/keyturn/keyturn/internal/clock"
	"github.com/keyturn/keyturn/internal/iam"
	"github.com/keyturn/keyturn/internal/identity"
	"github.com/keyturn/keyturn/internal/keys"
	"github.com/keyturn/keyturn/internal/keywrap"
	"github.com/keyturn/keyturn/internal/kms"
	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/schedule"
	"github.com/keyturn/keyturn/internal/seal"
	"github.com/keyturn/keyturn/internal/service"
	"github.com/keyturn/keyturn/internal/store"
	"github.com/keyturn/keyturn/internal/store/memstore"
	"github.com/keyturn/keyturn/internal/verify"
)

const (
	account = "111122223333"
	region  = "eu-central-1"
	west    = "us-west-2"
	day     = 24 * time.Hour
)

var (
	start = time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	owner = record.Owner{Account: account, Region: region}
)

// remembering is a store that remembers every value that it had, sealed as it was.
type remembering struct {
	store.Store
	mu  sync.Mutex
	had map[string][][]byte // guarded by mu; the latest last
}

func (r *remembering) Commit(ctx context.Context, b store.Batch) (store.Rev, error) {
	rev, err := r.Store.Commit(ctx, b)
	if err == nil {
		r.mu.Lock()
		defer r.mu.Unlock()
		for _, w := range b.Writes {
			if !w.Delete {
				r.had[w.Key] = append(r.had[w.Key], bytes.Clone(w.Value))
			}
		}
	}
	return rev, err
}

// world is the service over a sealed store in memory, with records of every kind in it.
type world struct {
	t      testing.TB
	raw    *remembering
	sealed *seal.Store
	sink   audit.Sink
	clock  *clock.Shifted
	p      *service.Pipeline
	kms    *kms.KMS
	runner *schedule.Runner
	ops    map[string]*service.Op
	root   *service.Caller

	key, rotated, related, imported, deleted string // key IDs
	alias                                    string // store key
	grant                                    string // likewise
}

func open(t testing.TB, sink audit.Sink) *world {
	t.Helper()
	w := &world{t: t, raw: &remembering{Store: memstore.New(), had: make(map[string][][]byte)}, sink: sink, root: service.RootCaller(account, "AKIAEXAMPLE")}
	var err error
	w.sealed, err = seal.Open(t.Context(), w.raw, seal.Options{Provider: seal.NewKeyFile(make([]byte, 32)), Dev: true, Now: start})
	if err != nil {
		t.Fatal(err)
	}
	w.clock = clock.NewShifted(func() time.Time { return start }, 0)
	directory := identity.NewDirectory(identity.Config{RealTime: w.clock.Now})
	k := kms.New(kms.Config{Principals: identity.Known{Directory: directory}})
	quiet := slog.New(slog.DiscardHandler)
	w.p, err = service.New(t.Context(), service.Config{
		Store: w.sealed, Keyring: w.sealed.Keyring(), Clock: w.clock, Audit: sink, NodeID: "n1", Log: quiet, Exclusive: true,
		Authorize: func(*service.Authorization) error { return nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	directory.Attach(w.p)
	w.kms = k
	w.runner = schedule.New(w.p, k, quiet)
	people := iam.New(iam.Config{Directory: directory, MFA: identity.NewMFA(w.clock.Now), RealTime: w.clock.Now})
	w.ops = service.Table(k.Operations(), k.Extensions(), w.runner.Operations(w.clock), people.Operations())
	return w
}

// newWorld makes records of every kind, and closes the service.
func newWorld(t testing.TB) *world {
	t.Helper()
	w := open(t, audit.NewMemory(50_000))
	w.fill()
	w.close()
	return w
}

func (w *world) close() {
	w.t.Helper()
	if err := w.p.Close(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) in(region, op string, req api.Request) api.Response {
	w.t.Helper()
	call := &service.Call{Caller: w.root, Region: region, RequestID: keys.NewKeyID().String(), SourceIP: "192.0.2.1", UserAgent: "test"}
	resp, err := w.p.Do(context.Background(), w.ops[op], call, req, nil)
	if err != nil {
		w.t.Fatalf("%s: %v", op, err)
	}
	return resp
}

func (w *world) do(op string, req api.Request) api.Response {
	w.t.Helper()
	return w.in(region, op, req)
}

func (w *world) newKey(q *api.CreateKeyRequest) string {
	w.t.Helper()
	return w.do("kms.CreateKey", q).(*api.CreateKeyResponse).KeyMetadata.KeyId.V
}

func str[T ~string](s T) api.Opt[T] { return api.Some(s) }

func (w *world) fill() {
	w.t.Helper()
	w.key = w.newKey(&api.CreateKeyRequest{})
	w.do("kms.CreateAlias", &api.CreateAliasRequest{AliasName: str("alias/a"), TargetKeyId: str(w.key)})
	w.alias = record.AliasesPrefix(owner) + "alias/a"
	w.do("kms.TagResource", &api.TagResourceRequest{KeyId: str(w.key), Tags: []api.Tag{{TagKey: str("a"), TagValue: str("1")}}})
	w.do("kms.TagResource", &api.TagResourceRequest{KeyId: str(w.key), Tags: []api.Tag{{TagKey: str("a"), TagValue: str("2")}}})
	for _, name := range []string{"one", "two"} {
		w.do("kms.CreateGrant", &api.CreateGrantRequest{
			KeyId: str(w.key), Name: str(name), GranteePrincipal: str("arn:aws:iam::" + account + ":role/grantee"), RetiringPrincipal: str("arn:aws:iam::" + account + ":user/retirer"),
			Operations:  []api.GrantOperation{"Encrypt", "DescribeKey"},
			Constraints: &api.GrantConstraints{EncryptionContextSubset: map[string]string{"a": "1", "b": "2"}},
		})
	}
	w.grant = w.only(record.GrantsPrefix(owner, w.key))
	for _, spec := range []api.KeySpec{"ECC_NIST_P256", "HMAC_256"} {
		usage := map[api.KeySpec]api.KeyUsageType{"ECC_NIST_P256": "SIGN_VERIFY", "HMAC_256": "GENERATE_VERIFY_MAC"}[spec]
		w.newKey(&api.CreateKeyRequest{KeySpec: str(spec), KeyUsage: str(usage)})
	}
	w.rotated = w.newKey(&api.CreateKeyRequest{})
	w.do("kms.EnableKeyRotation", &api.EnableKeyRotationRequest{KeyId: str(w.rotated), RotationPeriodInDays: api.Some[int64](90)})
	w.do("kms.RotateKeyOnDemand", &api.RotateKeyOnDemandRequest{KeyId: str(w.rotated)})
	w.do("kms.Encrypt", &api.EncryptRequest{KeyId: str(w.rotated), Plaintext: []byte("some plaintext")})
	w.related = w.newKey(&api.CreateKeyRequest{MultiRegion: api.Some(true)})
	w.do("kms.ReplicateKey", &api.ReplicateKeyRequest{KeyId: str(w.related), ReplicaRegion: str(west)})
	w.imported = w.importedKey()
	w.newKey(&api.CreateKeyRequest{Origin: str(api.OriginTypeExternal)}) // without material
	w.deletedKey()
	w.people()
	if err := w.p.Flush(context.Background()); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) importedKey() string {
	w.t.Helper()
	id := w.newKey(&api.CreateKeyRequest{Origin: str(api.OriginTypeExternal)})
	p := w.do("kms.GetParametersForImport", &api.GetParametersForImportRequest{
		KeyId: str(id), WrappingAlgorithm: api.Some[api.AlgorithmSpec]("RSAES_OAEP_SHA_256"), WrappingKeySpec: api.Some[api.WrappingKeySpec]("RSA_2048"),
	}).(*api.GetParametersForImportResponse)
	wrapped, err := keywrap.Wrap("RSAES_OAEP_SHA_256", p.PublicKey, bytes.Repeat([]byte{7}, 32))
	if err != nil {
		w.t.Fatal(err)
	}
	w.do("kms.ImportKeyMaterial", &api.ImportKeyMaterialRequest{
		KeyId: str(id), ImportToken: p.ImportToken, EncryptedKeyMaterial: wrapped, ExpirationModel: api.Some(api.ExpirationModelTypeKeyMaterialExpires), ValidTo: api.Some(w.clock.Now().Add(300 * day)),
	})
	return id
}

// deletedKey leaves a key whose deletion is half swept: a tombstone, and materials that are still there.
func (w *world) deletedKey() {
	w.t.Helper()
	w.deleted = w.newKey(&api.CreateKeyRequest{})
	for i := range 40 {
		w.do("kms.CreateAlias", &api.CreateAliasRequest{AliasName: str(fmt.Sprintf("alias/gone-%d", i)), TargetKeyId: str(w.deleted)})
	}
	w.do("kms.ScheduleKeyDeletion", &api.ScheduleKeyDeletionRequest{KeyId: str(w.deleted), PendingWindowInDays: api.Some[int64](7)})
	w.clock.SetOffset(w.clock.Offset() + 8*day)
	at := w.clock.Now()
	for _, op := range []*service.Op{w.kms.DeleteKey, w.kms.SweepKey} {
		q := &kms.DueRequest{Owner: owner, KeyID: w.deleted}
		if _, err := w.p.DoInternal(context.Background(), op, owner, at, 0, q); err != nil {
			w.t.Fatalf("%s: %v", op.Name, err)
		}
	}
}

const document = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"kms:*","Resource":"*"}]}`

func (w *world) people() {
	w.t.Helper()
	for _, name := range []string{"ann", "bob"} {
		w.do("iam.CreateUser", &api.CreateUserRequest{UserName: str(name)})
	}
	w.do("iam.CreateGroup", &api.CreateGroupRequest{GroupName: str("group")})
	w.do("iam.AddUserToGroup", &api.AddUserToGroupRequest{GroupName: str("group"), UserName: str("ann")})
	policy := w.do("iam.CreatePolicy", &api.CreatePolicyRequest{PolicyName: str("policy"), PolicyDocument: str(document)}).(*api.CreatePolicyResponse)
	w.do("iam.AttachUserPolicy", &api.AttachUserPolicyRequest{UserName: str("ann"), PolicyArn: policy.Policy.Arn})
	w.do("iam.CreateAccessKey", &api.CreateAccessKeyRequest{UserName: str("ann")})
	if !fips140.Enforced() { // codes are made with HMAC-SHA-1
		w.do("iam.CreateVirtualMFADevice", &api.CreateVirtualMFADeviceRequest{VirtualMFADeviceName: str("device")})
	}
	w.do("iam.CreateAccountAlias", &api.CreateAccountAliasRequest{AccountAlias: str("an-alias")})
	w.do("iam.CreateRole", &api.CreateRoleRequest{
		RoleName:                 str("role"),
		AssumeRolePolicyDocument: str(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"` + account + `"},"Action":"sts:AssumeRole"}]}`),
	})
}

// verify verifies with a log, and fails the test if it cannot.
func (w *world) verify(log verify.Log) *verify.Report {
	w.t.Helper()
	return w.with(verify.Config{Log: log})
}

func (w *world) with(c verify.Config) *verify.Report {
	w.t.Helper()
	s, err := w.sealed.TakeSnapshot(context.Background())
	if err != nil {
		w.t.Fatal(err)
	}
	defer s.Close()
	c.Snapshot, c.Scratch = s, w.t.TempDir()
	if c.Sealed {
		plain, err := w.raw.Snapshot(context.Background())
		if err != nil {
			w.t.Fatal(err)
		}
		defer plain.Close()
		c.Snapshot = verify.Raw(plain)
	}
	r, err := verify.Run(context.Background(), c)
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

// lines is an audit log that a test can change.
type lines []audit.Line

func (w *world) lines() lines {
	w.t.Helper()
	var list lines
	for l, err := range w.sink.Since(1) {
		if err != nil {
			w.t.Fatal(err)
		}
		list = append(list, l)
	}
	return list
}

func (l lines) Lines(_ context.Context, line func(audit.Line) error, _ func(audit.Flaw) error) (s audit.Survey, err error) {
	for _, one := range l {
		if s.Lines == 0 {
			s.First = one.Seq
		}
		s.Lines, s.Last = s.Lines+1, one.Seq
		if err := line(one); err != nil {
			return s, err
		}
	}
	return s, nil
}

// without leaves out the lines that f says.
func (l lines) without(f func(audit.Change) bool) lines {
	return slices.DeleteFunc(slices.Clone(l), func(one audit.Line) bool {
		c, err := audit.ParseChange(one.JSON)
		return err == nil && f(c)
	})
}

// writing are the events that wrote a record, in the order of the log.
func (l lines) writing(storeKey string) (ids []string) {
	for _, one := range l {
		c, err := audit.ParseChange(one.JSON)
		if err == nil && slices.ContainsFunc(c.Writes, func(w audit.Write) bool { return w.Record == storeKey }) {
			ids = append(ids, c.EventID)
		}
	}
	return ids
}

// load reads a record.
func (w *world) load(storeKey string) record.Record {
	w.t.Helper()
	e := w.get(storeKey)
	if e.Rev == 0 {
		return nil
	}
	r, err := record.Decode(storeKey, e.Value)
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

func (w *world) get(storeKey string) store.Entry {
	w.t.Helper()
	entries, err := w.sealed.Get(context.Background(), storeKey)
	if err != nil {
		w.t.Fatal(err)
	}
	return entries[0]
}

// write writes under the seal.
func (w *world) write(writes ...store.Write) {
	w.t.Helper()
	if _, err := w.sealed.Commit(context.Background(), store.Batch{Writes: writes}); err != nil {
		w.t.Fatal(err)
	}
}

// writeRaw writes past the seal.
func (w *world) writeRaw(writes ...store.Write) {
	w.t.Helper()
	if _, err := w.raw.Store.Commit(context.Background(), store.Batch{Writes: writes}); err != nil {
		w.t.Fatal(err)
	}
}

// change puts a record in place of another, nil for none, with the index entries and counters that follow, as the service would. The version
// is r's own.
func (w *world) change(old, r record.Record) {
	w.t.Helper()
	delta := make(map[string]int64)
	if old != nil {
		w.write(store.Write{Key: old.StoreKey(), Delete: true})
		for _, ix := range old.Indexes() {
			w.write(store.Write{Key: ix, Delete: true})
		}
		for _, c := range old.Counters() {
			delta[c]--
		}
	}
	if r != nil {
		value, err := record.Encode(r)
		if err != nil {
			w.t.Fatal(err)
		}
		w.write(store.Write{Key: r.StoreKey(), Value: value})
		for _, ix := range r.Indexes() {
			w.write(store.Write{Key: ix, Value: []byte{}})
		}
		for _, c := range r.Counters() {
			delta[c]++
		}
	}
	for name, d := range delta {
		n, err := record.DecodeCounter(w.get(name).Value)
		if err != nil {
			w.t.Fatal(err)
		}
		w.write(store.Write{Key: name, Value: record.EncodeCounter(n + d), Delete: n+d == 0})
	}
}

// edit changes a record in place.
func edit[R record.Record](w *world, storeKey string, f func(R)) {
	w.t.Helper()
	r := w.load(storeKey).(R)
	f(r)
	w.change(w.load(storeKey), r)
}

// scan returns all store keys with a prefix.
func (w *world) scan(prefix string) (list []string) {
	w.t.Helper()
	entries, err := w.raw.Scan(context.Background(), prefix, "", 10_000)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, e := range entries {
		list = append(list, e.Key)
	}
	return list
}

func (w *world) only(prefix string) string {
	w.t.Helper()
	list := w.scan(prefix)
	if len(list) == 0 {
		w.t.Fatal(errors.New("nothing at " + prefix))
	}
	return list[0]
}

func gone(storeKey string) store.Write { return store.Write{Key: storeKey, Delete: true} }
