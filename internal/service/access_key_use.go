package service

import (
	"hash/maphash"
	"sync/atomic"

	"github.com/keyturn/keyturn/internal/record"
)

// accessKeysFull is how many access keys may wait for their use to be written. A call with one more makes no note.
const accessKeysFull = 10_000

// minuteBits is how much of a mark is the minute; the rest is of the access key's hash.
const minuteBits = 28

// accessKeyMarks remembers which access keys have been noted in which minute, so that nearly every call ends there: one hash, one load.
// Keys that meet in a mark are noted more often, which costs memory for a moment and no write: AccessKeyUse.After drops it.
type accessKeyMarks [1024]atomic.Uint64

// noteAccessKey takes the use of a long-term access key by a call that succeeded. Whether the store has the key is seen when the use is
// written: those of the configuration file are not there.
func (u *usage) noteAccessKey(op *Op, call *Call) {
	id := call.Caller.AccessKeyID
	if id == "" || call.Caller.Session != nil {
		return
	}
	h := maphash.String(u.p.seed, id)
	mark := h>>minuteBits<<minuteBits | uint64(call.Now.Unix()/60)&(1<<minuteBits-1)
	slot := &u.marks[h%uint64(len(u.marks))]
	if slot.Load() == mark {
		return
	}
	slot.Store(mark)
	u.mu.Lock()
	defer u.mu.Unlock()
	last := u.accessKeys[id]
	if last != nil && call.Now.Before(last.At) || last == nil && len(u.accessKeys) >= accessKeysFull {
		return
	}
	if len(u.accessKeys) == 0 {
		u.signal()
	}
	u.accessKeys[id] = &record.AccessKeyUse{ID: id, At: call.Now, Service: op.Service, Region: call.Region}
}
