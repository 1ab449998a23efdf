//go:build cgo && unix

package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/miekg/pkcs11"

	"github.com/keyturn/keyturn/internal/hsm/helper"
	"github.com/keyturn/keyturn/internal/hsm/hsmwire"
)

func TestUsage(t *testing.T) {
	for _, args := range [][]string{
		{},
		{"--module", "/m"},
		{"--token", "t"},
		{"--module", "/m", "--token", "t", "more"},
		{"--module", "/m", "--token", "t", "--sessions", "0"},
		{"--module", "/m", "--token", "t", "--sessions", "65"},
		{"--module", "/m", "--token", "t", "--pin", "1234"},
	} {
		stdout, stderr, status := runCommand(t, nil, args...)
		if status != 2 || stdout != "" || !strings.Contains(stderr, "-module") {
			t.Errorf("%q: status %d, %q, %q", args, status, stdout, stderr)
		}
	}
}

func TestProtocol(t *testing.T) {
	in, err := hsmwire.Append(nil, hsmwire.Message{ID: 7, Code: byte(hsmwire.OpInfo), Fields: [][]byte{{hsmwire.Version}}})
	if err != nil {
		t.Fatal(err)
	}
	args := []string{"--module", "/no/such/module.so", "--token", "t"}
	if stdout, stderr, status := runCommand(t, nil, args...); status != 0 || stdout+stderr != "" {
		t.Errorf("without stdin: status %d, %q, %q", status, stdout, stderr)
	}
	if stdout, stderr, status := runCommand(t, bytes.NewReader(in[:6]), args...); status != 1 || stdout != "" || stderr == "" {
		t.Errorf("half a request: status %d, %q, %q", status, stdout, stderr)
	}
	m := firstReply(t, in, args)
	if hsmwire.Status(m.Code) != hsmwire.StatusNoModule || m.ID != 7 || !strings.Contains(string(m.Fields[0]), "no such file") {
		t.Errorf("reply %+v, %q", m, m.Fields)
	}
}

// firstReply runs the command with stdin kept open until it has replied.
func firstReply(t *testing.T, in []byte, args []string) hsmwire.Message {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), exe, args...)
	cmd.Env = append(os.Environ(), asMain+"=1")
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := stdin.Write(in); err != nil {
		t.Fatal(err)
	}
	m, err := hsmwire.Read(stdout)
	if err != nil {
		t.Fatal(err)
	}
	stdin.Close()
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	return m
}

func TestReturnValues(t *testing.T) {
	for code, want := range map[helper.CKR]uint{
		helper.HostMemory:            pkcs11.CKR_HOST_MEMORY,
		helper.GeneralError:          pkcs11.CKR_GENERAL_ERROR,
		helper.FunctionFailed:        pkcs11.CKR_FUNCTION_FAILED,
		helper.ArgumentsBad:          pkcs11.CKR_ARGUMENTS_BAD,
		helper.DataInvalid:           pkcs11.CKR_DATA_INVALID,
		helper.DeviceError:           pkcs11.CKR_DEVICE_ERROR,
		helper.DeviceMemory:          pkcs11.CKR_DEVICE_MEMORY,
		helper.DeviceRemoved:         pkcs11.CKR_DEVICE_REMOVED,
		helper.EncryptedDataInvalid:  pkcs11.CKR_ENCRYPTED_DATA_INVALID,
		helper.EncryptedDataLenRange: pkcs11.CKR_ENCRYPTED_DATA_LEN_RANGE,
		helper.AEADDecryptFailed:     0x42, // of version 3.0, which the binding does not know
		helper.KeyHandleInvalid:      pkcs11.CKR_KEY_HANDLE_INVALID,
		helper.MechanismInvalid:      pkcs11.CKR_MECHANISM_INVALID,
		helper.MechanismParamInvalid: pkcs11.CKR_MECHANISM_PARAM_INVALID,
		helper.ObjectHandleInvalid:   pkcs11.CKR_OBJECT_HANDLE_INVALID,
		helper.OperationActive:       pkcs11.CKR_OPERATION_ACTIVE,
		helper.PINIncorrect:          pkcs11.CKR_PIN_INCORRECT,
		helper.PINInvalid:            pkcs11.CKR_PIN_INVALID,
		helper.PINLenRange:           pkcs11.CKR_PIN_LEN_RANGE,
		helper.PINExpired:            pkcs11.CKR_PIN_EXPIRED,
		helper.PINLocked:             pkcs11.CKR_PIN_LOCKED,
		helper.SessionClosed:         pkcs11.CKR_SESSION_CLOSED,
		helper.SessionCount:          pkcs11.CKR_SESSION_COUNT,
		helper.SessionHandleInvalid:  pkcs11.CKR_SESSION_HANDLE_INVALID,
		helper.SignatureInvalid:      pkcs11.CKR_SIGNATURE_INVALID,
		helper.TokenNotPresent:       pkcs11.CKR_TOKEN_NOT_PRESENT,
		helper.TokenNotRecognized:    pkcs11.CKR_TOKEN_NOT_RECOGNIZED,
		helper.UserAlreadyLoggedIn:   pkcs11.CKR_USER_ALREADY_LOGGED_IN,
		helper.UserNotLoggedIn:       pkcs11.CKR_USER_NOT_LOGGED_IN,
		helper.UserPINNotInitialized: pkcs11.CKR_USER_PIN_NOT_INITIALIZED,
		helper.NotInitialized:        pkcs11.CKR_CRYPTOKI_NOT_INITIALIZED,
	} {
		if uint(code) != want {
			t.Errorf("%v is %#x, not %#x", helper.Names[code], code, want)
		}
		var e *helper.Error
		if err := wrap("C_X", pkcs11.Error(want)); !errors.As(err, &e) || e.Code != code || err.Error() != "C_X: "+helper.Names[code] {
			t.Errorf("%#x becomes %v", want, err)
		}
	}
	if len(helper.Names) != 31 {
		t.Errorf("%d names: this table lacks some", len(helper.Names))
	}
	if err := wrap("C_X", nil); err != nil {
		t.Errorf("success becomes %v", err)
	}
}
