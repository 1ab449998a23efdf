package service

import (
	"testing"

	"github.com/keyturn/keyturn/internal/record"
)

func TestCacheFill(t *testing.T) {
	old, young := &record.Key{ID: "old"}, &record.Key{ID: "young"}
	tests := []struct {
		name string
		run  func(c *cache)
		want record.Record // nil for none
	}{
		{"fill", func(c *cache) { c.fill("k", c.begin("k"), old) }, old},
		{"fill loses to an invalidation since", func(c *cache) {
			g := c.begin("k")
			c.invalidate("k")
			c.fill("k", g, old)
		}, nil},
		{"fill loses to a drop since", func(c *cache) {
			g := c.begin("k")
			c.drop()
			c.fill("k", g, old)
		}, nil},
		{"a later fill stays", func(c *cache) {
			g := c.begin("k")
			c.invalidate("k")
			c.fill("k", c.begin("k"), young)
			c.fill("k", g, old)
		}, young},
		{"invalidation removes", func(c *cache) { c.fill("k", c.begin("k"), old); c.invalidate("k") }, nil},
		{"drop removes", func(c *cache) { c.fill("k", c.begin("k"), old); c.drop() }, nil},
		{"fill after a drop", func(c *cache) { c.drop(); c.fill("k", c.begin("k"), young) }, young},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c := newCache()
			test.run(c)
			got, ok := c.get("k")
			if ok != (test.want != nil) || ok && got != test.want {
				t.Errorf("the cache has %v, %v; want %v", got, ok, test.want)
			}
		})
	}
}
