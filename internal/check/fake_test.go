package check

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/keyturn/keyturn/internal/policy"
)

const fakeAccount = "111122223333"

// codeError is an error that a service answered.
type codeError string

func (e codeError) Error() string     { return "answered " + string(e) }
func (e codeError) ErrorCode() string { return string(e) }

// fakeKey is a key of a fakeSource: its facts, and what reading it answers instead.
type fakeKey struct {
	*Facts
	fails map[Call]error
}

// fakeSource is an account in memory.
type fakeSource struct {
	account *fakeAccountKeys
	region  string
}

type fakeAccountKeys struct {
	page    int
	regions map[string][]*fakeKey
	listErr map[string]error      // by region, after its first page
	inErr   map[string]error      // by region
	before  func(call Call) error // before every call: counts, throttles, waits
	mu      sync.Mutex
	changes []string
	enable  func(keyARN string) error // what EnableRotation answers
}

// newFake returns an account whose regions have so many keys each.
func newFake(keys int, regions ...string) *fakeAccountKeys {
	a := &fakeAccountKeys{page: 3, regions: map[string][]*fakeKey{}, listErr: map[string]error{}, inErr: map[string]error{}}
	for _, region := range regions {
		for i := range keys {
			a.regions[region] = append(a.regions[region], newFakeKey(region, fmt.Sprintf("key-%04d", i)))
		}
	}
	return a
}

func newFakeKey(region, id string) *fakeKey {
	f := ruleFacts(nil)
	f.Region, f.Key.Region, f.Key.ID = region, region, id
	f.Key.ARN = "arn:aws:kms:" + region + ":" + fakeAccount + ":key/" + id
	f.Key.Account = fakeAccount
	f.Aliases = []Alias{{Name: "alias/" + id}}
	f.Tags = map[string]string{"owner": "payments"}
	f.PolicyText = policy.Default("aws", fakeAccount)
	return &fakeKey{Facts: f, fails: map[Call]error{}}
}

func (a *fakeAccountKeys) key(region string, i int) *fakeKey { return a.regions[region][i] }

func (a *fakeAccountKeys) source() Source { return &fakeSource{account: a} }

func (a *fakeAccountKeys) EnableRotation(_ context.Context, region, arn string, days int) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.enable != nil {
		if err := a.enable(arn); err != nil {
			return err
		}
	}
	a.changes = append(a.changes, fmt.Sprintf("%s %s %d", region, arn, days))
	for _, k := range a.regions[region] {
		if k.Key.ARN == arn {
			k.Rotation = &Rotation{Enabled: true, Days: days, Next: ruleNow.Add(time.Duration(days) * day)}
		}
	}
	return nil
}

func (s *fakeSource) call(c Call) error {
	if s.account.before == nil {
		return nil
	}
	return s.account.before(c)
}

func (s *fakeSource) In(region string) (Source, error) {
	return &fakeSource{s.account, region}, s.account.inErr[region]
}

func (s *fakeSource) Keys(_ context.Context, marker string) (KeyPage, error) {
	if err := s.call("ListKeys"); err != nil {
		return KeyPage{}, err
	}
	from, _ := strconv.Atoi(marker)
	if err := s.account.listErr[s.region]; err != nil && from > 0 {
		return KeyPage{}, err
	}
	all := s.account.regions[s.region]
	to := min(from+s.account.page, len(all))
	var page KeyPage
	for _, k := range all[from:to] {
		page.Keys = append(page.Keys, KeyRef{k.Key.ID, k.Key.ARN})
	}
	if to < len(all) {
		page.Next = strconv.Itoa(to)
	}
	return page, nil
}

func (s *fakeSource) find(c Call, id string) (*fakeKey, error) {
	if err := s.call(c); err != nil {
		return nil, err
	}
	s.account.mu.Lock()
	defer s.account.mu.Unlock()
	i := slices.IndexFunc(s.account.regions[s.region], func(k *fakeKey) bool { return k.Key.ID == id })
	if i < 0 {
		return nil, codeError("NotFoundException")
	}
	k := s.account.regions[s.region][i]
	if err := k.fails[c]; err != nil {
		return nil, err
	}
	return k, nil
}

func fakeRead[T any](s *fakeSource, c Call, id string, get func(*fakeKey) T) (T, error) {
	k, err := s.find(c, id)
	if err != nil {
		var none T
		return none, err
	}
	return get(k), nil
}

func (s *fakeSource) Describe(_ context.Context, id string) (*Key, error) {
	return fakeRead(s, DescribeKey, id, func(k *fakeKey) *Key { return k.Key })
}

func (s *fakeSource) Rotation(_ context.Context, k *Key) (*Rotation, error) {
	return fakeRead(s, GetKeyRotationStatus, k.ID, func(k *fakeKey) *Rotation { return k.Rotation })
}

func (s *fakeSource) Materials(_ context.Context, k *Key) ([]Material, error) {
	return fakeRead(s, ListKeyRotations, k.ID, func(k *fakeKey) []Material { return k.Materials })
}

func (s *fakeSource) Aliases(_ context.Context, k *Key) ([]Alias, error) {
	return fakeRead(s, ListAliases, k.ID, func(k *fakeKey) []Alias { return slices.Clone(k.Aliases) })
}

func (s *fakeSource) Tags(_ context.Context, k *Key) (map[string]string, error) {
	return fakeRead(s, ListResourceTags, k.ID, func(k *fakeKey) map[string]string { return k.Tags })
}

func (s *fakeSource) Policy(_ context.Context, k *Key) (string, error) {
	return fakeRead(s, GetKeyPolicy, k.ID, func(k *fakeKey) string { return k.PolicyText })
}

func (s *fakeSource) Usage(_ context.Context, k *Key) (*Usage, error) {
	return fakeRead(s, GetKeyLastUsage, k.ID, func(k *fakeKey) *Usage { return k.Facts.Usage })
}

// scanOf returns a scan of an account's regions.
func scanOf(a *fakeAccountKeys, regions ...string) *Scan {
	return &Scan{
		Source: a.source(), Regions: regions, Settings: DefaultSettings(), Now: func(context.Context) time.Time { return ruleNow },
		Limiter: NewLimiter(4),
	}
}

// findings runs a scan.
func findings(t *testing.T, s *Scan) ([]*Finding, *Summary) {
	t.Helper()
	var list []*Finding
	summary, err := s.Run(t.Context(), func(f *Finding) error {
		list = append(list, f)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return list, summary
}
