package record

import (
	"encoding/base64"
	"time"
)

// AccessKey is a long-term access key.
type AccessKey struct {
	made    `json:",inline"`
	ID      string    `json:"id"` // AKIA...
	Account string    `json:"account"`
	UserID  string    `json:"user,omitempty"` // "" for the account's root user
	Secret  string    `json:"secret"`
	Active  bool      `json:"active"`
	Created time.Time `json:"created"`
}

// String names the key; its secret is not for printing.
func (k *AccessKey) String() string { return "access key " + k.ID }

// AccessKeyStoreKey is where an access key stands.
func AccessKeyStoreKey(id string) string { return "x/" + id }

// StoreKey implements Record.
func (k *AccessKey) StoreKey() string { return AccessKeyStoreKey(k.ID) }

// RootUser stands for the root user where a user's ID is asked for.
const RootUser = "root"

// AccessKeysPrefix is the index of a user's access keys, or those of RootUser; what follows is the access key ID.
func AccessKeysPrefix(account, userID string) string {
	if userID == "" {
		userID = RootUser
	}
	return "i/accesskeys/" + account + "/" + userID + "/"
}

// Indexes implements Record.
func (k *AccessKey) Indexes() []string {
	return []string{AccessKeysPrefix(k.Account, k.UserID) + k.ID}
}

// AccessKeyCounter counts a user's access keys.
func AccessKeyCounter(account, userID string) string {
	if userID == "" {
		userID = RootUser
	}
	return "c/accesskeys/" + account + "/" + userID
}

// Counters implements Record.
func (k *AccessKey) Counters() []string { return []string{AccessKeyCounter(k.Account, k.UserID)} }

// AccessKeyUse is when an access key was last used, and for what.
type AccessKeyUse struct {
	made    `json:",inline"`
	ID      string    `json:"id"`
	At      time.Time `json:"at"`
	Service string    `json:"service"`
	Region  string    `json:"region"`
}

// AccessKeyUseStoreKey is where the use of an access key stands.
func AccessKeyUseStoreKey(id string) string { return "xu/" + id }

// StoreKey implements Record.
func (u *AccessKeyUse) StoreKey() string { return AccessKeyUseStoreKey(u.ID) }

// Indexes implements Record.
func (*AccessKeyUse) Indexes() []string { return nil }

// Counters implements Record.
func (*AccessKeyUse) Counters() []string { return nil }

// MFADevice is a virtual device that makes time-based one-time passwords (RFC 6238).
type MFADevice struct {
	made    `json:",inline"`
	Account string    `json:"account"`
	Name    string    `json:"name"`
	Path    string    `json:"path"`
	Created time.Time `json:"created"`
	Secret  []byte    `json:"secret"`
	UserID  string    `json:"user,omitempty"` // "" while it is not enabled
	Enabled time.Time `json:"enabled,omitzero"`
	Step    int64     `json:"step,omitempty"`  // the time step of the last code that was taken: none that is not later is taken again
	Drift   int64     `json:"drift,omitempty"` // how many time steps the device is ahead
	Tags    []Tag     `json:"tags,omitempty"`
}

// String names the device; its secret is not for printing.
func (d *MFADevice) String() string { return "MFA device " + d.Name }

// MFADevicesPrefix is where an account's devices stand; what follows is the name, folded.
func MFADevicesPrefix(account string) string { return "pm/" + account + "/" }

// MFADeviceStoreKey is where a device stands.
func MFADeviceStoreKey(account, name string) string {
	return MFADevicesPrefix(account) + FoldName(name)
}

// StoreKey implements Record.
func (d *MFADevice) StoreKey() string { return MFADeviceStoreKey(d.Account, d.Name) }

// SerialNumber is how the device is named in calls, in the partition "aws".
func (d *MFADevice) SerialNumber() string {
	return "arn:aws:iam::" + d.Account + ":mfa" + d.Path + d.Name
}

// UserDevicesPrefix is the index of the devices that are enabled for a user; what follows is the device's name, folded.
func UserDevicesPrefix(account, userID string) string {
	return "i/mfa/" + account + "/" + userID + "/"
}

// Indexes implements Record.
func (d *MFADevice) Indexes() []string {
	if d.UserID == "" {
		return nil
	}
	return []string{UserDevicesPrefix(d.Account, d.UserID) + FoldName(d.Name)}
}

// DeviceCounter counts an account's devices, enabled or not.
func DeviceCounter(account string) string { return "c/mfadevices/" + account }

// EnabledDeviceCounter counts those that are enabled for somebody.
func EnabledDeviceCounter(account string) string { return "c/mfaenabled/" + account }

// UserDeviceCounter counts the devices that are enabled for a user.
func UserDeviceCounter(account, userID string) string { return "c/mfa/" + account + "/" + userID }

// Counters implements Record.
func (d *MFADevice) Counters() []string {
	c := []string{DeviceCounter(d.Account)}
	if d.UserID != "" {
		c = append(c, UserDeviceCounter(d.Account, d.UserID), EnabledDeviceCounter(d.Account))
	}
	return c
}

// OIDCProvider is an OpenID Connect provider whose tokens an account's roles may trust.
type OIDCProvider struct {
	made        `json:",inline"`
	Account     string    `json:"account"`
	URL         string    `json:"url"` // without https://
	ClientIDs   []string  `json:"clientIds,omitempty"`
	Thumbprints []string  `json:"thumbprints,omitempty"`
	Created     time.Time `json:"created"`
	Tags        []Tag     `json:"tags,omitempty"`
}

// OIDCProvidersPrefix is where an account's providers stand; what follows is the URL, encoded.
func OIDCProvidersPrefix(account string) string { return "po/" + account + "/" }

// OIDCProviderStoreKey is where a provider stands; url is without https://.
func OIDCProviderStoreKey(account, url string) string {
	return OIDCProvidersPrefix(account) + base64.RawURLEncoding.EncodeToString([]byte(url))
}

// StoreKey implements Record.
func (p *OIDCProvider) StoreKey() string { return OIDCProviderStoreKey(p.Account, p.URL) }

// ARN is the provider's Amazon Resource Name in the partition "aws".
func (p *OIDCProvider) ARN() string {
	return "arn:aws:iam::" + p.Account + ":oidc-provider/" + p.URL
}

// Indexes implements Record.
func (*OIDCProvider) Indexes() []string { return nil }

// OIDCProviderCounter counts an account's providers.
func OIDCProviderCounter(account string) string { return "c/oidc/" + account }

// Counters implements Record.
func (p *OIDCProvider) Counters() []string { return []string{OIDCProviderCounter(p.Account)} }
