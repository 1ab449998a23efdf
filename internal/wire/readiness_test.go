package wire

import (
	"errors"
	"fmt"
	"testing"

	"github.com/keyturn/keyturn/internal/audit"
	"github.com/keyturn/keyturn/internal/store"
)

// What /readyz says of a disk that is full or fails.
func TestReadinessOfTheDisk(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want string
	}{
		{fmt.Errorf("%w: told", audit.ErrNoSpace), "the disk of the audit log is full"},
		{errors.Join(nil, fmt.Errorf("removing what the log has: %w", store.ErrNoSpace)), "the disk of the store is full"},
		{audit.ErrStopped, "the audit log cannot be written"},
		{fmt.Errorf("%w: %w", store.ErrUnknown, errors.New("fsync")), "the store is damaged or stopped"},
	} {
		if got := readiness(tt.err); got != "not ready: "+tt.want+"\n" {
			t.Errorf("%v: %q, want %q", tt.err, got, tt.want)
		}
	}
}
