package service_test

import (
	"context"
	"io"
	"testing"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/audit"
	"github.com/keyturn/keyturn/internal/service"
)

// held is a stream that counts how often it is let go of.
type held struct{ discarded *int }

func (held) AppendJSON(dst []byte) []byte          { return dst }
func (held) Head() (string, map[string]string)     { return "", nil }
func (held) Send(context.Context, io.Writer) error { return nil }
func (h held) Discard()                            { *h.discarded++ }
func (h *heldRequest) DecodeJSON([]byte) error     { return nil }
func (h *heldRequest) Validate() error             { return nil }

type heldRequest struct{}

// TestStreamDiscarded: a stream that nobody gets, since the log did not get its record, is let go of; one that is handed over is not.
func TestStreamDiscarded(t *testing.T) {
	h := newHouse(t, nil, nil)
	discarded := 0
	op := service.Def[heldRequest, held]{
		Name: "Stream", Kind: service.Read,
		Plan: func(*service.Tx, *heldRequest, []service.Target) (*held, error) { return &held{&discarded}, nil },
	}.Op("keyturn")
	if _, err := h.do(op, new(heldRequest)); err != nil {
		t.Fatal(err)
	}
	if discarded != 0 {
		t.Error("a stream that was handed over has been discarded")
	}
	h.sink.fail(audit.ErrNoSpace, nil, false)
	if _, err := h.do(op, new(heldRequest)); codeOf(err) != api.KMSInternalException {
		t.Fatalf("got %v", err)
	}
	if discarded != 1 {
		t.Errorf("discarded %d times", discarded)
	}
	h.sink.fail(nil, nil, false)
	h.close()
}

// TestStill: while it runs nothing comes from the store into the log, and what it sees in the store is in the log afterwards, once.
func TestStill(t *testing.T) {
	h := newHouse(t, nil, nil)
	err := h.p.Still(func() error {
		id := h.newKey()
		before := h.sink.NextSeq()
		if entries, err := h.store.Scan(t.Context(), "o/", "", 10); err != nil || len(entries) != 1 {
			t.Errorf("%d records of the change of %s are in the store (%v)", len(entries), id, err)
		}
		if got := h.sink.NextSeq(); got != before {
			t.Errorf("the log has grown from %d to %d", before, got)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	h.flush()
	if entries, err := h.store.Scan(t.Context(), "o/", "", 10); err != nil || len(entries) != 0 {
		t.Errorf("%d records are left in the store (%v)", len(entries), err)
	}
	h.close()
}
