package service

import (
	"hash/maphash"
	"testing"
	"time"
)

// BenchmarkNoteAccessKey is what noting the use of an access key adds to a call.
func BenchmarkNoteAccessKey(b *testing.B) {
	u := newUsage(&Pipeline{seed: maphash.MakeSeed()})
	op, call := &Op{Service: "kms"}, &Call{Caller: RootCaller("111122223333", "AKIAIOSFODNN7EXAMPLE"), Region: "eu-central-1", Now: time.Unix(1e9, 0)}
	b.ReportAllocs()
	for b.Loop() {
		u.noteAccessKey(op, call)
	}
}
