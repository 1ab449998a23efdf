//go:build cgo && unix

package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"unsafe"

	"github.com/miekg/pkcs11"

	"github.com/keyturn/keyturn/internal/hsm/helper"
)

// module is a loaded module and the slot of the chosen token. It implements helper.Module.
type module struct {
	ctx  *pkcs11.Ctx
	slot uint
}

// loadModule loads and initializes the module. The path must be absolute, so that no search path has a say.
func loadModule(path string) (*module, error) {
	if !filepath.IsAbs(path) {
		return nil, errors.New("the path of the module is not absolute")
	}
	if info, err := os.Stat(path); err != nil {
		return nil, err
	} else if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a file", path)
	}
	ctx := pkcs11.New(path)
	if ctx == nil {
		return nil, fmt.Errorf("%s is not a PKCS#11 module, or a library that it needs is missing", path)
	}
	if err := ctx.Initialize(); err != nil {
		return nil, wrap("C_Initialize", err)
	}
	return &module{ctx: ctx}, nil
}

func (m *module) finalize() {
	_ = m.ctx.CloseAllSessions(m.slot)
	_ = m.ctx.Finalize()
}

// choose looks for the one token with this label or serial number.
func (m *module) choose(name string) error {
	slots, err := m.ctx.GetSlotList(true)
	if err != nil {
		return wrap("C_GetSlotList", err)
	}
	found := 0
	for _, slot := range slots {
		info, err := m.ctx.GetTokenInfo(slot)
		if err != nil || info.Flags&pkcs11.CKF_TOKEN_INITIALIZED == 0 {
			continue // another token's trouble
		}
		if info.Label == name || info.SerialNumber == name {
			m.slot = slot
			found++
		}
	}
	switch found {
	case 0:
		return fmt.Errorf("none of %d tokens has the label or serial number %q", len(slots), name)
	case 1:
		return nil
	}
	return fmt.Errorf("%d tokens have the label or serial number %q", found, name)
}

// wrap makes an error of this package's binding one of helper's.
func wrap(call string, err error) error {
	var code pkcs11.Error
	if errors.As(err, &code) {
		return &helper.Error{Call: call, Code: helper.CKR(code)}
	}
	return err
}

func (m *module) TokenInfo() (helper.TokenInfo, error) {
	i, err := m.ctx.GetTokenInfo(m.slot)
	if err != nil {
		return helper.TokenInfo{}, wrap("C_GetTokenInfo", err)
	}
	free := uint64(i.FreePrivateMemory)
	if i.FreePrivateMemory == ^uint(0) { // CK_UNAVAILABLE_INFORMATION, on 32 bits too
		free = ^uint64(0)
	}
	return helper.TokenInfo{
		Label:             i.Label,
		Manufacturer:      i.ManufacturerID,
		Model:             i.Model,
		Serial:            i.SerialNumber,
		Firmware:          fmt.Sprintf("%d.%d", i.FirmwareVersion.Major, i.FirmwareVersion.Minor),
		FreePrivateMemory: free,
	}, nil
}

func (m *module) OpenSession() (helper.Session, error) {
	s, err := m.ctx.OpenSession(m.slot, pkcs11.CKF_SERIAL_SESSION|pkcs11.CKF_RW_SESSION)
	return helper.Session(s), wrap("C_OpenSession", err)
}

func (m *module) CloseSession(s helper.Session) error {
	return wrap("C_CloseSession", m.ctx.CloseSession(pkcs11.SessionHandle(s)))
}

// Login gives the binding a string that is the caller's bytes, so that wiping those leaves no other copy in Go's memory. The
// binding's own copy, in C's, is freed but not overwritten.
func (m *module) Login(s helper.Session, pin []byte) error {
	return wrap("C_Login", m.ctx.Login(pkcs11.SessionHandle(s), pkcs11.CKU_USER, unsafe.String(unsafe.SliceData(pin), len(pin))))
}

func (m *module) Logout(s helper.Session) error {
	return wrap("C_Logout", m.ctx.Logout(pkcs11.SessionHandle(s)))
}

func (m *module) LoggedIn(s helper.Session) (bool, error) {
	i, err := m.ctx.GetSessionInfo(pkcs11.SessionHandle(s))
	if err != nil {
		return false, wrap("C_GetSessionInfo", err)
	}
	return i.State == pkcs11.CKS_RW_USER_FUNCTIONS || i.State == pkcs11.CKS_RO_USER_FUNCTIONS, nil
}
