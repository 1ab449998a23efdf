package wire

import (
	"errors"
	"fmt"
	"io/fs"
	"testing"

	"github.com/keyturn/keyturn/internal/audit"
	"github.com/keyturn/keyturn/internal/store"
)

// tired is an error with words of its own.
type tired struct{}

func (tired) Error() string     { return "secret detail of /var/lib/keyturn" }
func (tired) NotReady() Unready { return Unready{"tired", "the server is tired"} }

func TestReadiness(t *testing.T) {
	stopped := fmt.Errorf("%w: %w", audit.ErrStopped, &fs.PathError{Op: "fsync", Path: "/var/lib/keyturn/audit", Err: errors.New("EIO")})
	damaged := errors.New("value of k/111122223333/eu-central-1/x does not open")
	for _, test := range []struct {
		name string
		err  error
		want string
	}{
		{"ready", nil, ""},
		{"one", stopped, "not ready: the audit log cannot be written\n"},
		{"closed", audit.ErrClosed, "not ready: the audit log cannot be written\n"},
		{"full", fmt.Errorf("appending: %w", audit.ErrNoSpace), "not ready: the disk of the audit log is full\n"},
		{"the file is gone", fmt.Errorf("/var/lib/keyturn: %w", store.ErrReplaced), "not ready: the store's file was removed or replaced\n"},
		{"unknown trouble", damaged, "not ready: the store is damaged or stopped\n"},
		{"several", errors.Join(damaged, stopped, tired{}), "not ready: the store is damaged or stopped\nnot ready: the audit log cannot be written\nnot ready: the server is tired\n"},
		{"joined twice", errors.Join(nil, errors.Join(damaged, stopped), stopped), "not ready: the store is damaged or stopped\nnot ready: the audit log cannot be written\n"},
		{"its own words, wrapped", fmt.Errorf("looking: %w", tired{}), "not ready: the server is tired\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := readiness(test.err); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}
