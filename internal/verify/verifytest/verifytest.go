// Package verifytest lets tests of the service end by verifying the store that they leave.
package verifytest

import (
	"context"

	"github.com/keyturn/keyturn/internal/audit"
	"github.com/keyturn/keyturn/internal/seal"
	"github.com/keyturn/keyturn/internal/verify"
)

// T is what *testing.T, *testing.B and *rapid.T have in common.
type T interface {
	Helper()
	Errorf(format string, args ...any)
}

// Clean verifies a store with its audit log, and makes every finding an error of the test. No operation may run meanwhile.
func Clean(t T, sealed *seal.Store, sink audit.Sink) {
	t.Helper()
	report, err := Run(sealed, sink)
	if err != nil {
		t.Errorf("verifying the store: %v", err)
		return
	}
	for i, f := range report.Findings {
		if i == 10 {
			t.Errorf("verify: %d findings in all", report.Total())
			break
		}
		t.Errorf("verify: %s: %s: %s (%s)", f.Kind, f.Where, f.Title, f.Detail)
	}
}

// Run verifies a store with its audit log.
func Run(sealed *seal.Store, sink audit.Sink) (*verify.Report, error) {
	ctx := context.Background()
	snapshot, err := sealed.TakeSnapshot(ctx)
	if err != nil {
		return nil, err
	}
	defer snapshot.Close()
	return verify.Run(ctx, verify.Config{Snapshot: snapshot, Log: verify.LogSink{Sink: sink}})
}
