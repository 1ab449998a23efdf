//go:build !race

package api

import "testing"

// TestAllocs guards the hot path: the request itself, its key ID, its plaintext, and three for the context. The race
// detector makes sync.Pool forget at random, so that counting makes no sense there.
func TestAllocs(t *testing.T) {
	data := []byte(encryptBody)
	if got := testing.AllocsPerRun(200, func() {
		if err := new(EncryptRequest).DecodeJSON(data); err != nil {
			t.Error(err)
		}
	}); got > 8 {
		t.Errorf("decoding: %v allocations", got)
	}
	var in EncryptRequest
	if err := in.DecodeJSON(data); err != nil {
		t.Fatal(err)
	}
	if got := testing.AllocsPerRun(200, func() {
		if err := in.Validate(); err != nil {
			t.Error(err)
		}
	}); got > 1 {
		t.Errorf("validating: %v allocations", got)
	}
	out, dst := sampleEncryptResponse(), make([]byte, 0, 1024)
	if got := testing.AllocsPerRun(200, func() { dst = out.AppendJSON(dst[:0]) }); got > 0 {
		t.Errorf("encoding: %v allocations", got)
	}
	if got := testing.AllocsPerRun(200, func() { dst = in.AppendJSON(dst[:0]) }); got > 0 {
		t.Errorf("encoding a request: %v allocations", got)
	}
}
