package identity

import (
	"crypto/fips140"
	"time"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/service"
)

// How far a device's clock may be from where it is expected, in time steps.
const (
	signInWindow = 1    // half a minute for the network and for typing
	EnableWindow = 10   // what EnableMFADevice makes up for: five minutes
	ResyncWindow = 2880 // what ResyncMFADevice does: a day, as with a time zone that is wrong
)

// MFA verifies codes of MFA devices. It is safe for concurrent use.
//
// A code works once: the commit that it is for moves the device's time step on, so of two that use it at once one conflicts, and then finds it
// used. How often a device may be tried is remembered here, in memory; see tries.
type MFA struct {
	realTime func() time.Time
	tries    tries
}

// NewMFA returns an MFA that takes the time from realTime.
func NewMFA(realTime func() time.Time) *MFA { return &MFA{realTime: realTime} }

// ErrNoMFA is the answer where nothing may be done with HMAC-SHA-1.
var ErrNoMFA = api.Errorf(api.UnsupportedOperationException, "MFA devices are not available in this server's FIPS 140-only mode: their codes are made with HMAC-SHA-1.")

// Available returns ErrNoMFA in FIPS 140-only mode.
func (*MFA) Available() error {
	if fips140.Enforced() {
		return ErrNoMFA
	}
	return nil
}

// What whoever gives a code is told, as AWS words it. The first is for what the serial number alone shows to be wrong. Everything else
// has one answer, so that a wrong code does not tell which devices there are.
var (
	errSerial = api.Errorf(api.AccessDeniedException, "MultiFactorAuthentication failed, unable to validate MFA code.  Please verify your MFA serial number is valid and associated with this user.")
	errCode   = api.Errorf(api.AccessDeniedException, "MultiFactorAuthentication failed with invalid MFA one time pass code.")
)

// Check verifies a code of the device with a serial number, which must be one of the caller's. A code that is right is used up by the
// commit of tx, which must be that of a Change; so it can be checked once in a Tx. A call that comes to nothing for another reason has not
// used the code, but counts as a try in vain. Check returns when the code was given. The error is an *api.Error, but for failures of the store.
func (m *MFA) Check(tx *service.Tx, serialNumber, code string) (time.Time, error) {
	if err := m.Available(); err != nil {
		return time.Time{}, err
	}
	caller, now := tx.Call.Caller, m.realTime()
	if _, ok := deviceName(tx, serialNumber); !ok || caller.Type != "IAMUser" {
		return time.Time{}, errSerial
	}
	d, err := FindMFADevice(tx, serialNumber)
	if err != nil {
		return time.Time{}, err
	}
	if d == nil || d.UserID == "" || d.UserID != caller.PrincipalID || !m.mayTry(tx, d, now) {
		return time.Time{}, errCode
	}
	at := stepAt(now) + d.Drift
	step, err := span{at - signInWindow, at + signInWindow, d.Step}.find(MFASeed(d), code)
	if err != nil {
		return time.Time{}, err
	}
	if step == 0 {
		return time.Time{}, errCode
	}
	d.Step = step
	m.used(tx, d)
	return now, nil
}

// Synchronize verifies two codes of a device that follow each other, at most so many time steps away from now. If they are right they are used
// up, and where they were found is where the device's codes are expected from then on. It puts d, which must have been looked up in tx.
func (m *MFA) Synchronize(tx *service.Tx, d *record.MFADevice, code1, code2 string, window int64) error {
	if err := m.Available(); err != nil {
		return err
	}
	now := m.realTime()
	invalid := api.Errorf(api.InvalidAuthenticationCode, "Authentication code for device is not valid.")
	if !m.mayTry(tx, d, now) {
		return invalid
	}
	at := stepAt(now)
	step, err := span{at - window, at + window, d.Step}.find(MFASeed(d), code1, code2)
	if err != nil {
		return err
	}
	if step == 0 {
		return invalid
	}
	d.Step, d.Drift = step, step-at
	if -signInWindow <= d.Drift && d.Drift <= signInWindow {
		d.Drift = 0 // the time it took to type them
	}
	m.used(tx, d)
	return nil
}

// deviceName takes the serial number of a virtual device of the caller's account apart.
func deviceName(tx *service.Tx, serialNumber string) (Parsed, bool) {
	p, ok := ParseARN(serialNumber)
	return p, ok && p.Service == "iam" && p.Kind == "mfa" && p.Account == tx.Call.Caller.Account && p.Partition == record.Partition(tx.Call.Region)
}

// FindMFADevice returns the device with a serial number in the caller's account, nil if there is none.
func FindMFADevice(tx *service.Tx, serialNumber string) (*record.MFADevice, error) {
	name, ok := deviceName(tx, serialNumber)
	if !ok {
		return nil, nil
	}
	d, err := service.Lookup[*record.MFADevice](tx, record.MFADeviceStoreKey(name.Account, name.Name))
	if err != nil || d == nil || d.SerialNumber() != name.Own() {
		return nil, err
	}
	return d, nil
}

// mayTry counts a try, once for a call however often that is planned. Until a commit shows that the code was right it counts as a failure, or
// many tries at once would all be looked at before the first of them counts.
func (m *MFA) mayTry(tx *service.Tx, d *record.MFADevice, now time.Time) bool {
	may, err := service.Once(tx, "MFA "+tryKey(d), func() (bool, error) { return m.tries.begin(d.Account, tryKey(d), now), nil })
	return err == nil && may
}

// used puts a device whose code was right.
func (m *MFA) used(tx *service.Tx, d *record.MFADevice) {
	account, key := d.Account, tryKey(d)
	tx.Put(d)
	tx.AfterCommit(func() { m.tries.succeeded(account, key, m.realTime()) })
}

// tryKey tells a device from one of the same name that was there before.
func tryKey(d *record.MFADevice) string {
	return record.FoldName(d.Name) + d.Created.UTC().Format(time.RFC3339Nano)
}
