package crashtest

import (
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
)

// usageSettled is how long after a call its use of a key must have been written down: twice the two seconds that the service says.
const usageSettled = 4 * time.Second

// tally is how much a key was used, as GetKeyMaterialUsage counts.
type tally struct{ encryptions, bytes, decryptions int64 }

func (t *tally) add(o tally) {
	t.encryptions += o.encryptions
	t.bytes += o.bytes
	t.decryptions += o.decryptions
}

// minus returns what t has more than o.
func (t tally) minus(o tally) tally {
	return tally{t.encryptions - o.encryptions, t.bytes - o.bytes, t.decryptions - o.decryptions}
}

// within tells whether no part is less than that of least, or more than that of most.
func (t tally) within(least, most tally) bool {
	return least.encryptions <= t.encryptions && t.encryptions <= most.encryptions && least.bytes <= t.bytes && t.bytes <= most.bytes &&
		least.decryptions <= t.decryptions && t.decryptions <= most.decryptions
}

// ledger is what a key was used for since it was last asked how much it was.
type ledger struct {
	seen   tally // what it answered then
	most   tally // what may have come to it: all calls, also those under way at a crash
	least  tally // what must have come to it
	recent []use // of this run of the service: may be lost in a crash
}

type use struct {
	at time.Time
	tally
}

func (l *ledger) doubt(t tally) { l.most.add(t) }

func (l *ledger) answered(t tally) {
	l.most.add(t)
	l.recent = append(l.recent, use{time.Now(), t})
}

// inherit takes over from the key that was in its place: what that was used for just before it was deleted may count for this one.
func (l *ledger) inherit(old *ledger) { l.most.add(old.most) }

// settle says that the service ended: what was used up to a time must have been counted. It returns how many uses that are.
func (l *ledger) settle(upTo time.Time) (n int) {
	for _, u := range l.recent {
		if !u.at.After(upTo) {
			l.least.add(u.tally)
			n++
		}
	}
	l.recent = nil
	return n
}

// ended settles the uses of all keys at the end of a run. The world is locked.
func (w *world) ended(at time.Time, crashed bool) {
	if crashed {
		at = at.Add(-usageSettled)
	}
	for _, k := range w.live {
		n := k.uses.settle(at)
		if crashed {
			w.stats.settled += n
		}
	}
}

// usageReply is GetKeyMaterialUsage's.
type usageReply struct {
	Materials []struct {
		KeyMaterialID   string `json:"KeyMaterialId"`
		EncryptionCount int64
		EncryptedBytes  int64
		DecryptionCount int64
	}
	NextMarker string
}

// checkUsage compares what a key is said to have been used for with the calls. It comes before any use of the key in this run.
func (w *world) checkUsage(ctx context.Context, c *client, k *key, full bool) {
	if k.uses.most == (tally{}) && !full {
		return
	}
	var sum tally
	for marker := ""; ; {
		body := fmt.Sprintf(`{"KeyId":%q,"Limit":100}`, k.id)
		if marker != "" {
			body = fmt.Sprintf(`{"KeyId":%q,"Limit":100,"Marker":%q}`, k.id, marker)
		}
		var page usageReply
		g := &call{name: "GetKeyMaterialUsage", key: k, allowed: k.mayBeGone()}
		if w.do(ctx, g, func(ctx context.Context) error { return c.keyturn(ctx, k.region, g.name, body, &page) }) != nil {
			return
		}
		for _, m := range page.Materials {
			sum.add(tally{m.EncryptionCount, m.EncryptedBytes, m.DecryptionCount})
		}
		if marker = page.NextMarker; marker == "" {
			break
		}
	}
	l := &k.uses
	if more := sum.minus(l.seen); !more.within(l.least, l.most) {
		w.keyFault(k, "its usage rose by %+v to %+v; its calls allow %+v to %+v", more, sum, l.least, l.most)
	}
	*l = ledger{seen: sum}
	if full {
		w.checkLastUsage(ctx, c, k)
	}
}

// checkLastUsage looks for the last use that is told of in the audit log.
func (w *world) checkLastUsage(ctx context.Context, c *client, k *key) {
	var out *kms.GetKeyLastUsageOutput
	if w.do(ctx, &call{name: "GetKeyLastUsage", key: k, allowed: k.mayBeGone()}, func(ctx context.Context) (err error) {
		out, err = c.of(k).GetKeyLastUsage(ctx, &kms.GetKeyLastUsageInput{KeyId: &k.id})
		return err
	}) != nil {
		return
	}
	w.mu.Lock()
	last, used := out.KeyLastUsage, k.uses.seen != tally{}
	none := last != nil && *last == types.KeyLastUsageData{}
	known := last != nil && last.Timestamp != nil && last.CloudTrailEventId != nil && w.log.events[*last.CloudTrailEventId] && !last.Timestamp.After(w.clock)
	w.mu.Unlock()
	if last == nil || none && used || !none && !known { // the last use is written down before how many there were
		w.keyFault(k, "its last use is %+v, with usage %+v; the audit log has that event: %t", last, k.uses.seen, known)
	}
}
