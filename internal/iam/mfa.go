package iam

import (
	"strings"
	"time"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/audit"
	"github.com/keyturn/keyturn/internal/identity"
	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/service"
)

// Virtual MFA devices ("AWS Multi-factor authentication in IAM", IAM User Guide). They are enabled for users of the store: those of the
// configuration file, and root users, have none.

// Bounds of MFA devices.
const (
	devicesPerUser    = 8
	devicesPerAccount = usersPerAccount // enabled or not
	deviceName        = 226             // characters: with an empty path it makes the longest serial number that can be given
	maxSerialNumber   = 256
)

func (s *IAM) mfaOperations() []*service.Op {
	return []*service.Op{
		s.createVirtualMFADevice(), s.deleteVirtualMFADevice(), s.enableMFADevice(), s.deactivateMFADevice(), s.resyncMFADevice(),
		s.getMFADevice(), s.listMFADevices(), s.listVirtualMFADevices(), s.tagMFADevice(), s.untagMFADevice(), s.listMFADeviceTags(),
	}
}

func noSuchDevice(serialNumber string) *api.Error {
	return api.Errorf(api.NoSuchEntity, "MFA Device with serial number %s does not exist.", serialNumber)
}

// deviceARN is what an action on a device is asked for on. A serial number need not be an ARN.
func deviceARN(tx *service.Tx, serialNumber string) string {
	if _, ok := identity.ParseARN(serialNumber); ok {
		return serialNumber
	}
	return arnOf(tx, "mfa", "", serialNumber)
}

// onDevice resolves the device that a request names.
func onDevice[Q any](action string, serialNumber func(*Q) string) func(*service.Tx, *Q) ([]service.Target, error) {
	return func(tx *service.Tx, q *Q) ([]service.Target, error) {
		serial := serialNumber(q)
		d, err := identity.FindMFADevice(tx, serial)
		if err != nil {
			return nil, err
		}
		if d == nil {
			return target(tx, action, deviceARN(tx, serial), nil, noSuchDevice(serial)), nil
		}
		return target(tx, action, serial, d.Tags, nil), nil
	}
}

// device returns the device with a serial number.
func device(tx *service.Tx, serialNumber string) (*record.MFADevice, error) {
	d, err := identity.FindMFADevice(tx, serialNumber)
	if err == nil && d == nil {
		return nil, noSuchDevice(serialNumber)
	}
	return d, err
}

// userDevice returns a user with one of the devices that are enabled for them.
func (s *IAM) userDevice(tx *service.Tx, name, serialNumber string) (*record.User, *record.MFADevice, error) {
	u, err := s.user(tx, name)
	if err != nil {
		return nil, nil, err
	}
	d, err := device(tx, serialNumber)
	if err != nil {
		return nil, nil, err
	}
	if d.UserID != u.ID {
		return nil, nil, api.Errorf(api.NoSuchEntity, "MFA Device invalid for user.")
	}
	return u, d, nil
}

// checkDeviceName refuses what would be a serial number that requests cannot have.
func checkDeviceName(q *api.CreateVirtualMFADeviceRequest) error {
	if len(q.VirtualMFADeviceName.V) > deviceName {
		return invalid("1 validation error detected: Value at 'virtualMFADeviceName' failed to satisfy constraint: Member must have length less than or equal to %d", deviceName)
	}
	for _, c := range q.Path.V {
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.ContainsRune("/_+=,.@-", c)) {
			return invalid("The specified value for path is invalid. It must begin and end with / and contain only alphanumeric characters and/or / characters.")
		}
	}
	return nil
}

func (s *IAM) createVirtualMFADevice() *service.Op {
	conds := requestTags(func(q *api.CreateVirtualMFADeviceRequest) []api.IamTag { return q.Tags })
	return service.Def[api.CreateVirtualMFADeviceRequest, api.CreateVirtualMFADeviceResponse]{
		Name: "CreateVirtualMFADevice", Kind: service.Change, Actions: []string{"iam:CreateVirtualMFADevice", "iam:TagMFADevice"},
		Check: checkDeviceName, Cond: conds.Cond(), CondKeys: conds.Names(),
		Resolve: func(tx *service.Tx, q *api.CreateVirtualMFADeviceRequest) ([]service.Target, error) {
			arn := arnOf(tx, "mfa", q.Path.V, q.VirtualMFADeviceName.V)
			targets := target(tx, "iam:CreateVirtualMFADevice", arn, nil, nil)
			if len(q.Tags) > 0 {
				targets = append(targets, target(tx, "iam:TagMFADevice", arn, nil, nil)...)
			}
			return targets, nil
		},
		Audit: func(q *api.CreateVirtualMFADeviceRequest, p *audit.Params) {
			str(p, "path", q.Path)
			str(p, "virtualMFADeviceName", q.VirtualMFADeviceName)
			auditTags(p, q.Tags)
		},
		Result: func(r *api.CreateVirtualMFADeviceResponse, p *audit.Params) {
			var d audit.Params
			str(&d, "serialNumber", r.VirtualMFADevice.SerialNumber)
			p.Obj("virtualMFADevice", &d)
		},
		Plan: func(tx *service.Tx, q *api.CreateVirtualMFADeviceRequest, _ []service.Target) (*api.CreateVirtualMFADeviceResponse, error) {
			d, err := s.newDevice(tx, q)
			if err != nil {
				return nil, err
			}
			image, err := identity.MFAImage(d)
			if err != nil {
				return nil, err
			}
			tx.Put(d)
			answer := &api.VirtualMFADevice{
				SerialNumber: api.Some(moved(tx, d.SerialNumber())), Base32StringSeed: []byte(identity.MFASeed(d)), QRCodePNG: image,
			}
			if len(d.Tags) > 0 {
				answer.Tags = tagsOf(d.Tags)
			}
			return &api.CreateVirtualMFADeviceResponse{VirtualMFADevice: answer}, nil
		},
	}.Op("iam")
}

// newDevice makes a device. It is for the caller to put.
func (s *IAM) newDevice(tx *service.Tx, q *api.CreateVirtualMFADeviceRequest) (*record.MFADevice, error) {
	if err := s.config.MFA.Available(); err != nil {
		return nil, err
	}
	// A retry after a conflict has another secret, but nobody has seen the first one.
	d := &record.MFADevice{Account: account(tx), Name: q.VirtualMFADeviceName.V, Path: "/", Created: tx.Now, Secret: identity.NewMFASecret()}
	if q.Path.V != "" {
		d.Path = q.Path.V
	}
	if len(moved(tx, d.SerialNumber())) > maxSerialNumber {
		return nil, invalid("The path and the name are too long for a serial number of %d characters.", maxSerialNumber)
	}
	old, err := lookup[*record.MFADevice](tx, d.StoreKey())
	if err != nil {
		return nil, err
	}
	if old != nil {
		return nil, api.Errorf(api.EntityAlreadyExists, "MFA device already exists.")
	}
	n, err := tx.Counter(record.DeviceCounter(d.Account))
	if err != nil {
		return nil, err
	}
	if n >= devicesPerAccount {
		return nil, tooMany("MFADevices", devicesPerAccount)
	}
	d.Tags, err = addTags(nil, q.Tags)
	return d, err
}

func (s *IAM) deleteVirtualMFADevice() *service.Op {
	serial := func(q *api.DeleteVirtualMFADeviceRequest) string { return q.SerialNumber.V }
	return service.Def[api.DeleteVirtualMFADeviceRequest, service.None]{
		Name: "DeleteVirtualMFADevice", Kind: service.Change, Actions: []string{"iam:DeleteVirtualMFADevice"},
		Resolve: onDevice("iam:DeleteVirtualMFADevice", serial),
		Audit:   func(q *api.DeleteVirtualMFADeviceRequest, p *audit.Params) { str(p, "serialNumber", q.SerialNumber) },
		Plan: func(tx *service.Tx, q *api.DeleteVirtualMFADeviceRequest, _ []service.Target) (*service.None, error) {
			d, err := device(tx, serial(q))
			if err != nil {
				return nil, err
			}
			if d.UserID != "" {
				return nil, api.Errorf(api.DeleteConflict, "MFA VirtualDevice in use. Must deactivate first.")
			}
			tx.Delete(d)
			return &service.None{}, nil
		},
	}.Op("iam")
}

func (s *IAM) enableMFADevice() *service.Op {
	name := func(q *api.EnableMFADeviceRequest) string { return q.UserName.V }
	return service.Def[api.EnableMFADeviceRequest, service.None]{
		Name: "EnableMFADevice", Kind: service.Change, Actions: []string{"iam:EnableMFADevice"},
		Resolve: onUser("iam:EnableMFADevice", name),
		Audit: func(q *api.EnableMFADeviceRequest, p *audit.Params) {
			str(p, "userName", q.UserName)
			str(p, "serialNumber", q.SerialNumber)
		},
		Plan: func(tx *service.Tx, q *api.EnableMFADeviceRequest, _ []service.Target) (*service.None, error) {
			u, err := s.user(tx, name(q))
			if err != nil {
				return nil, err
			}
			d, err := device(tx, q.SerialNumber.V)
			if err != nil {
				return nil, err
			}
			if d.UserID != "" {
				return nil, api.Errorf(api.EntityAlreadyExists, "MFA Device is already in use.")
			}
			n, err := tx.Counter(record.UserDeviceCounter(u.Account, u.ID))
			if err != nil {
				return nil, err
			}
			if n >= devicesPerUser {
				return nil, tooMany("MFADevicesPerUser", devicesPerUser)
			}
			d.UserID, d.Enabled = u.ID, tx.Now
			return &service.None{}, s.config.MFA.Synchronize(tx, d, q.AuthenticationCode1.V, q.AuthenticationCode2.V, identity.EnableWindow)
		},
	}.Op("iam")
}

func (s *IAM) resyncMFADevice() *service.Op {
	name := func(q *api.ResyncMFADeviceRequest) string { return q.UserName.V }
	return service.Def[api.ResyncMFADeviceRequest, service.None]{
		Name: "ResyncMFADevice", Kind: service.Change, Actions: []string{"iam:ResyncMFADevice"},
		Resolve: onUser("iam:ResyncMFADevice", name),
		Audit: func(q *api.ResyncMFADeviceRequest, p *audit.Params) {
			str(p, "userName", q.UserName)
			str(p, "serialNumber", q.SerialNumber)
		},
		Plan: func(tx *service.Tx, q *api.ResyncMFADeviceRequest, _ []service.Target) (*service.None, error) {
			_, d, err := s.userDevice(tx, name(q), q.SerialNumber.V)
			if err != nil {
				return nil, err
			}
			return &service.None{}, s.config.MFA.Synchronize(tx, d, q.AuthenticationCode1.V, q.AuthenticationCode2.V, identity.ResyncWindow)
		},
	}.Op("iam")
}

func (s *IAM) deactivateMFADevice() *service.Op {
	name := func(q *api.DeactivateMFADeviceRequest) string { return q.UserName.V }
	return service.Def[api.DeactivateMFADeviceRequest, service.None]{
		Name: "DeactivateMFADevice", Kind: service.Change, Actions: []string{"iam:DeactivateMFADevice"},
		Resolve: onUser("iam:DeactivateMFADevice", name),
		Audit: func(q *api.DeactivateMFADeviceRequest, p *audit.Params) {
			str(p, "userName", q.UserName)
			str(p, "serialNumber", q.SerialNumber)
		},
		Plan: func(tx *service.Tx, q *api.DeactivateMFADeviceRequest, _ []service.Target) (*service.None, error) {
			_, d, err := s.userDevice(tx, name(q), q.SerialNumber.V)
			if err != nil {
				return nil, err
			}
			// Codes that were used stay used: whoever has seen one could enable the device again with it.
			d.UserID, d.Drift = "", 0
			d.Enabled = time.Time{}
			tx.Put(d)
			return &service.None{}, nil
		},
	}.Op("iam")
}
