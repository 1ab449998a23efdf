package verify

import (
	"context"
	"slices"
	"strings"

	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/store"
)

// groupKinds are the kinds of records that stand below a key's account, region and ID: they are read side by side, so that what belongs to one
// key comes together, however much there is. Key and tombstone come first.
var groupKinds = []string{"k/", "t/", "m/", "g/", "u/", "v/"}

// cursor reads the entries of one kind.
type cursor struct {
	v       *verifier
	kind    string
	entries []store.Entry
	after   string
	ended   bool
}

// peek returns the entry to come, nil at the end.
func (c *cursor) peek(ctx context.Context) (*store.Entry, error) {
	if len(c.entries) == 0 && !c.ended {
		entries, err := c.v.next(ctx, c.kind, c.after)
		if err != nil {
			return nil, err
		}
		if c.ended = len(entries) == 0; !c.ended {
			c.entries, c.after = entries, entries[len(entries)-1].Key
		}
	}
	if c.ended {
		return nil, nil
	}
	return &c.entries[0], nil
}

func (c *cursor) skip() { c.entries = c.entries[1:] }

// groupOf is ACCOUNT/REGION/KEY/ of a store key; "" if it has no such parts.
func groupOf(storeKey string) string {
	parts := strings.SplitN(storeKey, "/", 5)
	if len(parts) < 4 {
		return ""
	}
	return parts[1] + "/" + parts[2] + "/" + parts[3] + "/"
}

// group is what there is of one key.
type group struct {
	owner     record.Owner
	id        string
	there     bool // a key stands there, readable or not
	key       *record.Key
	tomb      bool
	materials []material
	blind     bool // a material could not be read
}

// material is what is compared of a material.
type material struct {
	id    string
	seq   int
	spec  string
	token bool
}

// groups reads keys, tombstones and what belongs to keys.
func (v *verifier) groups(ctx context.Context) error {
	cursors := make([]*cursor, len(groupKinds))
	for i, kind := range groupKinds {
		cursors[i] = &cursor{v: v, kind: kind}
	}
	for {
		name := ""
		for _, c := range cursors {
			at, err := v.head(ctx, c)
			if err != nil {
				return err
			}
			if at != "" && (name == "" || at < name) {
				name = at
			}
		}
		if name == "" {
			return nil
		}
		if err := v.group(ctx, name, cursors); err != nil {
			return err
		}
	}
}

// head returns the group of the next entry, "" at the end. It steps over entries that stand where no record can.
func (v *verifier) head(ctx context.Context, c *cursor) (string, error) {
	for {
		e, err := c.peek(ctx)
		if err != nil || e == nil {
			return "", err
		}
		if at := groupOf(e.Key); at != "" {
			return at, nil
		}
		v.report.Entries++
		v.unreadable = true
		v.find(RecordMalformed, e.Key, "no record of this kind stands there")
		c.skip()
	}
}

// group reads one.
func (v *verifier) group(ctx context.Context, name string, cursors []*cursor) error {
	parts := strings.Split(name, "/")
	g := &group{owner: record.Owner{Account: parts[0], Region: parts[1]}, id: parts[2]}
	var orphans []string
	for _, c := range cursors {
		for {
			at, err := v.head(ctx, c)
			if err != nil {
				return err
			}
			if at != name {
				break
			}
			e := c.entries[0]
			c.skip()
			r, err := v.take(e)
			if err != nil {
				return err
			}
			g.add(c.kind, e.Key, r)
			if c.kind == "k/" || c.kind == "t/" || g.there || g.tomb {
				continue
			}
			if len(orphans) < page {
				orphans = append(orphans, e.Key)
			} else if g.owner.Region != record.AllRegions {
				v.find(KeyMissing, e.Key, "")
			}
		}
	}
	if g.there {
		v.report.Keys++
	}
	if g.there && g.tomb {
		v.find(TombstoneWithKey, record.KeyStoreKey(g.owner, g.id), "")
	}
	if g.key != nil {
		if err := v.checkKey(ctx, g); err != nil {
			return err
		}
	}
	if len(orphans) == 0 {
		return nil
	}
	return v.orphans(ctx, g, orphans)
}

func (g *group) add(kind, storeKey string, r record.Record) {
	switch kind {
	case "k/":
		g.there = true
		g.key, _ = r.(*record.Key)
	case "t/":
		g.tomb = true
	case "m/":
		m, ok := r.(*record.Material)
		if !ok {
			g.blind = true
			return
		}
		g.materials = append(g.materials, material{m.ID, m.Seq, m.Spec, m.Token})
	}
}

// orphans are found where no key stands. What stands under all regions may belong to a key in any of them.
func (v *verifier) orphans(ctx context.Context, g *group, storeKeys []string) error {
	if g.owner.Region != record.AllRegions {
		for _, at := range storeKeys {
			v.find(KeyMissing, at, "")
		}
		return nil
	}
	var names []string
	for _, region := range v.regions[g.owner.Account] {
		o := record.Owner{Account: g.owner.Account, Region: region}
		names = append(names, record.KeyStoreKey(o, g.id), record.TombstoneStoreKey(o, g.id))
	}
	return v.ask(ctx, func(entries []store.Entry) {
		if slices.ContainsFunc(entries, there) {
			return
		}
		for _, at := range storeKeys {
			v.find(KeyMissing, at, "")
		}
	}, names...)
}

func there(e store.Entry) bool { return e.Rev != 0 }
