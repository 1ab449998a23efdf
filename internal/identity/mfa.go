package identity

import (
	"time"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/service"
)

// MFA verifies codes of MFA devices. It is safe for concurrent use.
type MFA struct {
	realTime func() time.Time
}

// NewMFA returns an MFA that takes the time from realTime.
func NewMFA(realTime func() time.Time) *MFA { return &MFA{realTime: realTime} }

// Check verifies a code of the device with a serial number, which must be one of the caller's. A code that is right is used up by the
// commit of tx, which must be that of a Change. It returns when the code was given. The error is an *api.Error.
func (m *MFA) Check(_ *service.Tx, _, _ string) (time.Time, error) {
	return time.Time{}, api.Errorf(api.AccessDeniedException, "MultiFactorAuthentication failed with invalid MFA one time pass code.")
}
