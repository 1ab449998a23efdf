package kms

import "sync"

// ledger has, for each material in a token, how many of its reserved messages are left to this process. The zero value is empty.
type ledger struct {
	mu      sync.Mutex
	entries map[string]*ledgerEntry // by store key of the material; guarded by mu
}

type ledgerEntry struct {
	turn chan struct{} // has room for one: who may touch left
	left int64
}

func (l *ledger) entry(storeKey string) *ledgerEntry {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.entries[storeKey]
	if e == nil {
		e = &ledgerEntry{turn: make(chan struct{}, 1)}
		if l.entries == nil {
			l.entries = make(map[string]*ledgerEntry)
		}
		l.entries[storeKey] = e
	}
	return e
}

// forget drops the entry of a material that is gone. What was reserved is lost, which does no harm.
func (l *ledger) forget(storeKey string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.entries, storeKey)
}
