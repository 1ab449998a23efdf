package memstore

import (
	"math/rand/v2"

	"github.com/keyturn/keyturn/internal/store"
)

// maxLevel is enough for 4^16 keys at the chance of one in four per level.
const maxLevel = 16

// skiplist is an ordered map from keys to values; search, insert and delete take O(log n) expected steps.
type skiplist struct {
	head  [maxLevel]*node // first node of each level
	level int             // levels in use
	len   int
}

type node struct {
	key   string
	value []byte // never written to after it was stored
	rev   store.Rev
	next  []*node
}

// path is, for each level, where the link to a node stands: what insert and remove rewrite.
type path [maxLevel]**node

// seek returns the first node whose key is not less than key, and the links that lead there.
func (l *skiplist) seek(key string) (*node, path) {
	var p path
	links := l.head[:]
	for i := l.level - 1; i >= 0; i-- {
		for links[i] != nil && links[i].key < key {
			links = links[i].next
		}
		p[i] = &links[i]
	}
	if l.level == 0 {
		return nil, p
	}
	return *p[0], p
}

func (l *skiplist) get(key string) *node {
	if n, _ := l.seek(key); n != nil && n.key == key {
		return n
	}
	return nil
}

func (l *skiplist) set(key string, value []byte, rev store.Rev) {
	n, p := l.seek(key)
	if n != nil && n.key == key {
		n.value, n.rev = value, rev
		return
	}
	height := 1
	for height < maxLevel && rand.Uint32()%4 == 0 {
		height++
	}
	for ; l.level < height; l.level++ {
		p[l.level] = &l.head[l.level]
	}
	n = &node{key: key, value: value, rev: rev, next: make([]*node, height)}
	for i := range height {
		n.next[i] = *p[i]
		*p[i] = n
	}
	l.len++
}

// remove reports whether the key was there.
func (l *skiplist) remove(key string) bool {
	n, p := l.seek(key)
	if n == nil || n.key != key {
		return false
	}
	for i := range n.next {
		*p[i] = n.next[i]
	}
	l.len--
	return true
}
