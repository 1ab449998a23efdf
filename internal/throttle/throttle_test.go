package throttle

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// standing is a clock that goes on only when it is told to.
type standing struct{ now atomic.Int64 }

func (s *standing) Now() time.Duration      { return time.Duration(s.now.Load()) }
func (s *standing) advance(d time.Duration) { s.now.Add(int64(d)) }

func newLimiter(t testing.TB, c Config) (*Limiter, *standing) {
	t.Helper()
	clock := &standing{}
	c.Now = clock.Now
	l, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return l, clock
}

var alice = Scope{Account: "111122223333", Region: "eu-central-1"}

// burst asks until it is refused and returns how often it was not.
func burst(l *Limiter, s Scope, c Class) int {
	n := 0
	for l.Allow(s, c) {
		n++
	}
	return n
}

// TestBucket checks what a bucket gives: at most a second's worth at once, and its rate in the long run.
func TestBucket(t *testing.T) {
	type step struct {
		wait time.Duration
		want int
	}
	for name, c := range map[string]struct {
		rate  float64
		steps []step
	}{
		"five a second": {5, []step{
			{0, 5}, {0, 0}, {199 * time.Millisecond, 0}, {time.Millisecond, 1}, {400 * time.Millisecond, 2}, {time.Second, 5}, {time.Hour, 5},
		}},
		"one in two seconds": {0.5, []step{{0, 1}, {time.Second, 0}, {time.Second, 1}, {time.Minute, 1}}},
		"one in ten seconds": {0.1, []step{{0, 1}, {9999 * time.Millisecond, 0}, {time.Millisecond, 1}}},
		"a third":            {3, []step{{0, 3}, {333 * time.Millisecond, 0}, {time.Millisecond, 1}, {time.Second, 3}}},
		"many":               {100_000, []step{{0, 100_000}, {time.Millisecond, 100}, {time.Hour, 100_000}}},
		"the fewest":         {MinRate, []step{{0, 1}, {999 * time.Second, 0}, {time.Second, 1}}},
		"the most":           {MaxRate, []step{{time.Hour, MaxRate}, {10 * time.Microsecond, 10}}},
	} {
		t.Run(name, func(t *testing.T) {
			l, clock := newLimiter(t, Config{Rates: map[Class]float64{CreateKey: c.rate}})
			for i, s := range c.steps {
				clock.advance(s.wait)
				if got := burst(l, alice, CreateKey); got != s.want {
					t.Fatalf("step %d, after %v: %d calls, want %d", i, s.wait, got, s.want)
				}
			}
		})
	}
}

// TestDefaults compares quotas with numbers of the Request quotas page, asked for as a caller would see them.
func TestDefaults(t *testing.T) {
	for _, c := range []struct {
		class  Class
		region string
		want   int
	}{
		{CryptographicSymmetric, "us-east-1", 100_000}, {CryptographicSymmetric, "us-west-2", 100_000}, {CryptographicSymmetric, "eu-west-1", 100_000},
		{CryptographicSymmetric, "us-east-2", 20_000}, {CryptographicSymmetric, "ap-southeast-1", 20_000}, {CryptographicSymmetric, "ap-southeast-2", 20_000},
		{CryptographicSymmetric, "ap-northeast-1", 20_000}, {CryptographicSymmetric, "eu-central-1", 20_000}, {CryptographicSymmetric, "eu-west-2", 20_000},
		{CryptographicSymmetric, "eu-north-1", 10_000}, {CryptographicSymmetric, "our-own-1", 10_000},
		{CryptographicRSA, "us-east-1", 1000}, {CryptographicECC, "us-east-1", 1000}, {CryptographicMLDSA, "cn-north-1", 1000},
		{CustomKeyStore, "us-east-1", 1800}, {CreateKey, "us-east-1", 5}, {DescribeKey, "cn-north-1", 2000}, {ListKeys, "eu-west-1", 500},
		{DataKeyPairRSA2048, "eu-west-1", 20}, {DataKeyPairRSA2048, "cn-north-1", 1}, {DataKeyPairRSA3072, "eu-west-1", 4},
		{DataKeyPairRSA3072, "cn-northwest-1", 1}, {DataKeyPairRSA4096, "eu-west-1", 1}, {DataKeyPairRSA4096, "cn-north-1", 1},
		{GetParametersForImport, "eu-west-1", 1}, {STS, "eu-west-1", 600},
	} {
		l, clock := newLimiter(t, Config{})
		s := Scope{Account: "111122223333", Region: c.region}
		if got := burst(l, s, c.class); got != c.want {
			t.Errorf("%v in %s: %d at once, want %d", c.class, c.region, got, c.want)
		}
		if strings.HasPrefix(c.region, "cn-") && c.class == DataKeyPairRSA4096 {
			clock.advance(10*time.Second - 1)
			if l.Allow(s, c.class) {
				t.Error("RSA_4096 pairs in China: more than one in ten seconds")
			}
		}
	}
}

// TestClasses checks that every class has a name of its own and a rate that can be.
func TestClasses(t *testing.T) {
	seen := map[string]bool{}
	for c := Class(1); c < classes; c++ {
		if name := c.String(); name == "" || seen[name] {
			t.Errorf("class %d is named %q", c, name)
		} else if back, ok := ClassByName(name); !ok || back != c {
			t.Errorf("ClassByName(%q) = %v, %v", name, back, ok)
		}
		seen[c.String()] = true
		if r := quotas[c].rate; r < MinRate || r > MaxRate {
			t.Errorf("%v: rate %v", c, r)
		}
	}
	for _, name := range []string{"", "createkey", "CreateKey "} {
		if c, ok := ClassByName(name); ok {
			t.Errorf("ClassByName(%q) = %v", name, c)
		}
	}
	if Class(0).String() != "" || classes.String() != "" {
		t.Error("what is no class has a name")
	}
}

func TestConfig(t *testing.T) {
	l, _ := newLimiter(t, Config{Factor: 3, Rates: map[Class]float64{DescribeKey: 7}})
	for class, want := range map[Class]int{CreateKey: 15, DescribeKey: 7, CryptographicSymmetric: 60_000} {
		if got := burst(l, alice, class); got != want {
			t.Errorf("%v: %d, want %d", class, got, want)
		}
	}
	if l, _ := newLimiter(t, Config{Factor: 1e300}); burst(l, alice, CreateKey) != MaxRate {
		t.Error("a huge factor is not cut to the largest rate")
	}
	if l, _ := newLimiter(t, Config{Factor: 1e-300}); burst(l, alice, CreateKey) != 1 {
		t.Error("a tiny factor is not cut to the smallest rate")
	}
	for name, c := range map[string]Config{
		"negative factor": {Factor: -1},
		"no number":       {Factor: math.NaN()},
		"endless":         {Factor: math.Inf(1)},
		"rate of zero":    {Rates: map[Class]float64{CreateKey: 0}},
		"rate below":      {Rates: map[Class]float64{CreateKey: MinRate / 2}},
		"rate above":      {Rates: map[Class]float64{CreateKey: MaxRate + 1}},
		"rate no number":  {Rates: map[Class]float64{CreateKey: math.NaN()}},
		"no class":        {Rates: map[Class]float64{0: 1}},
		"unknown class":   {Rates: map[Class]float64{classes: 1}},
	} {
		if _, err := New(c); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// TestIndependence exhausts one bucket and looks at others.
func TestIndependence(t *testing.T) {
	l, _ := newLimiter(t, Config{})
	burst(l, alice, CreateKey)
	for name, c := range map[string]struct {
		scope Scope
		class Class
		want  int
	}{
		"the same":       {alice, CreateKey, 0},
		"other class":    {alice, CreateAlias, 5},
		"other account":  {Scope{Account: "444455556666", Region: alice.Region}, CreateKey, 5},
		"other region":   {Scope{Account: alice.Account, Region: "us-east-1"}, CreateKey, 5},
		"key store":      {Scope{alice.Account, alice.Region, "cks-1"}, CreateKey, 5},
		"names run over": {Scope{alice.Account + "e", "u-central-1", ""}, CreateKey, 5},
	} {
		if got := burst(l, c.scope, c.class); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
}

// TestFairness lets one account call a hundred times as often as it may, between the calls of another that keeps to its quota.
func TestFairness(t *testing.T) {
	l, clock := newLimiter(t, Config{})
	quiet := Scope{Account: "444455556666", Region: alice.Region}
	got := map[Scope]int{}
	const seconds = 60
	for range seconds * 5 { // CreateKey is 5 a second
		clock.advance(200 * time.Millisecond)
		for range 100 {
			if l.Allow(alice, CreateKey) {
				got[alice]++
			}
		}
		if l.Allow(quiet, CreateKey) {
			got[quiet]++
		}
	}
	if want := seconds * 5; got[quiet] != want {
		t.Errorf("the quiet account got %d calls through, want all %d", got[quiet], want)
	}
	if least, most := seconds*5, seconds*5+5; got[alice] < least || got[alice] > most {
		t.Errorf("the noisy account got %d calls through, want %d to %d", got[alice], least, most)
	}
}

// TestAtOnce takes from many goroutines at one moment: exactly what is there, for each account.
func TestAtOnce(t *testing.T) {
	l, _ := newLimiter(t, Config{Rates: map[Class]float64{DescribeKey: 1000}})
	var got [3]atomic.Int64
	var wg sync.WaitGroup
	for g := range 12 {
		wg.Go(func() {
			s := Scope{Account: strconv.Itoa(g % 3), Region: "eu-central-1"}
			for range 500 {
				if l.Allow(s, DescribeKey) {
					got[g%3].Add(1)
				}
			}
		})
	}
	wg.Wait()
	for i := range got {
		if n := got[i].Load(); n != 1000 {
			t.Errorf("account %d got %d calls through, want 1000", i, n)
		}
	}
}

// TestAllowAll checks that a call takes all it costs or nothing.
func TestAllowAll(t *testing.T) {
	l, clock := newLimiter(t, Config{Rates: map[Class]float64{ReplicateKey: 5, CreateKey: 5, UpdateAlias: 1}})
	there := Scope{Account: alice.Account, Region: "us-east-1"}
	var call Charges
	call.Add(Charge{alice, ReplicateKey, 1})
	call.Add(Charge{there, CreateKey, 2})
	call.Add(Charge{there, CreateKey, 2}) // the same bucket: counted once
	for i, want := range []bool{true, true, false, false} {
		if got := l.AllowAll(call.List()); got != want {
			t.Errorf("call %d: %v, want %v", i, got, want)
		}
	}
	if got := burst(l, alice, ReplicateKey); got != 3 {
		t.Errorf("%d left of what two calls took one each of five, want 3", got)
	}
	if got := burst(l, there, CreateKey); got != 1 {
		t.Errorf("%d left of what two calls took two each of five, want 1", got)
	}
	dear := []Charge{{alice, UpdateAlias, 3}}
	if !l.AllowAll(dear) || l.AllowAll(dear) {
		t.Error("what costs more than a bucket holds must pass once when it is full")
	}
	clock.advance(3*time.Second - 1)
	if l.AllowAll(dear) {
		t.Error("it passed again before all it took had come back")
	}
	clock.advance(1)
	if !l.AllowAll(dear) || !l.AllowAll(nil) {
		t.Error("refused although all is there")
	}
}

func (l *Limiter) remembered() int {
	n := 0
	for i := range l.shards {
		n += len(l.shards[i].buckets)
	}
	return n
}

// TestMemory lets names come along without end.
func TestMemory(t *testing.T) {
	const bound = shardCount * shardCapacity
	l, clock := newLimiter(t, Config{})
	for i := range 3 * bound { // all busy: nothing is idle at one moment
		if !l.Allow(Scope{Account: strconv.Itoa(i)}, CreateKey) {
			t.Fatalf("account %d was throttled at its first call", i)
		}
	}
	if n := l.remembered(); n > bound || n < bound/2 {
		t.Errorf("%d scopes remembered, want up to %d", n, bound)
	}
	clock.advance(time.Second)
	for i := range bound { // the old ones are idle by now
		l.Allow(Scope{Account: "new" + strconv.Itoa(i%100)}, CreateKey)
		l.Allow(Scope{Account: fmt.Sprint("once", i)}, 0)
	}
	if n := l.remembered(); n > bound/8 {
		t.Errorf("%d scopes remembered when a hundred are busy", n)
	}
}

// TestForgetting checks that an account gets no more because others that are idle come and go.
func TestForgetting(t *testing.T) {
	l, clock := newLimiter(t, Config{})
	got := 0
	for i := range 10_000 { // over ten seconds
		clock.advance(time.Millisecond)
		l.Allow(Scope{Account: strconv.Itoa(i)}, DescribeKey)
		if l.Allow(alice, CreateKey) {
			got++
		}
	}
	if got < 50 || got > 55 {
		t.Errorf("%d calls in ten seconds at 5 a second", got)
	}
}

// TestNoAllocation holds the usual path to no memory of its own.
func TestNoAllocation(t *testing.T) {
	l, _ := newLimiter(t, Config{})
	l.Allow(alice, DescribeKey)
	if n := testing.AllocsPerRun(100, func() {
		var c Charges
		c.Add(Charge{alice, CryptographicSymmetric, 1})
		c.Add(Charge{alice, CryptographicRSA, 1})
		l.Allow(alice, DescribeKey)
		l.AllowAll(c.List())
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// BenchmarkAllow is what a quota costs a call: alone, side by side in one account, and each in its own. A clock read, which is no
// part of the package, comes to it: "with the clock".
func BenchmarkAllow(b *testing.B) {
	rates := map[Class]float64{CryptographicSymmetric: MaxRate}
	b.Run("alone", func(b *testing.B) {
		l, _ := newLimiter(b, Config{Rates: rates})
		b.ReportAllocs()
		for b.Loop() {
			l.Allow(alice, CryptographicSymmetric)
		}
	})
	b.Run("with the clock", func(b *testing.B) {
		start := time.Now()
		l, err := New(Config{Rates: rates, Now: func() time.Duration { return time.Since(start) }})
		if err != nil {
			b.Fatal(err)
		}
		b.ReportAllocs()
		for b.Loop() {
			l.Allow(alice, CryptographicSymmetric)
		}
	})
	for name, accounts := range map[string]int64{"one account": 1, "many accounts": 1 << 30} {
		b.Run(name, func(b *testing.B) {
			l, _ := newLimiter(b, Config{Rates: rates})
			var next atomic.Int64
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				s := Scope{Account: strconv.FormatInt(next.Add(1)%accounts, 10), Region: "eu-central-1"}
				for pb.Next() {
					l.Allow(s, CryptographicSymmetric)
				}
			})
		})
	}
	b.Run("new names", func(b *testing.B) {
		l, _ := newLimiter(b, Config{})
		names := make([]string, 1<<16)
		for i := range names {
			names[i] = strconv.Itoa(i)
		}
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			l.Allow(Scope{Account: names[i%len(names)]}, CreateKey)
		}
	})
}
