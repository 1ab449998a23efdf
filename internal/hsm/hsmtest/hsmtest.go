// Package hsmtest makes tokens to test with: SoftHSM 2, in a directory that goes with the test, and the real keyturn-pkcs11.
package hsmtest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/keyturn/keyturn/internal/hsm"
)

// ModuleEnv is the variable that holds the path of SoftHSM's module, libsofthsm2.so. Tests that need a token are skipped
// unless it is set. softhsm2-util and a C compiler must be there too then.
const ModuleEnv = "KEYTURN_SOFTHSM"

// What New initializes the token with.
const (
	Label = "keyturn-test"
	PIN   = "user-1234"
	SOPIN = "officer-5678"
)

// Kit is a fresh SoftHSM token and how to reach it.
type Kit struct {
	Config hsm.Config // its timeouts are generous: tests run on busy machines
	conf   string
}

// New returns a kit, or skips the test if there is no SoftHSM. Nothing but the kit sees the token.
func New(t testing.TB) Kit {
	t.Helper()
	module := os.Getenv(ModuleEnv)
	if module == "" {
		t.Skip("needs a PKCS#11 token: set " + ModuleEnv + " to the path of libsofthsm2.so")
	}
	helper, err := build()
	if err != nil {
		t.Fatalf("build keyturn-pkcs11: %v", err)
	}
	dir := t.TempDir()
	tokens := filepath.Join(dir, "tokens")
	conf := filepath.Join(dir, "softhsm2.conf")
	if err := os.Mkdir(tokens, 0o700); err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf("directories.tokendir = %s\nobjectstore.backend = file\nlog.level = ERROR\n", tokens)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	k := Kit{
		Config: hsm.Config{
			Helper:  helper,
			Module:  module,
			Token:   Label,
			Env:     []string{"SOFTHSM2_CONF=" + conf},
			Timeout: 30 * time.Second,
		},
		conf: conf,
	}
	k.AddToken(t, Label)
	return k
}

// AddToken makes another token beside the one that New made, with the same PINs.
func (k Kit) AddToken(t testing.TB, label string) {
	t.Helper()
	cmd := exec.Command("softhsm2-util", "--module", k.Config.Module, "--init-token", "--free", "--label", label, "--so-pin", SOPIN, "--pin", PIN)
	cmd.Env = append(os.Environ(), "SOFTHSM2_CONF="+k.conf)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("softhsm2-util: %v\n%s", err, out)
	}
}

// build builds keyturn-pkcs11 once per process, with the race detector if the test has it, and returns its path in the user's
// cache directory.
var build = sync.OnceValues(func() (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir()
	}
	dir := filepath.Join(cache, "keyturn-hsmtest")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	// Other test processes may build at the same time, or run what is there: hence a rename, and never a write to the file.
	temp, err := os.CreateTemp(dir, "building-*")
	if err != nil {
		return "", err
	}
	temp.Close()
	defer os.Remove(temp.Name())
	name, args := "keyturn-pkcs11", []string{"build", "-o", temp.Name()}
	if raceEnabled {
		name, args = name+"-race", append(args, "-race")
	}
	cmd := exec.Command("go", append(args, "github.com/keyturn/keyturn/cmd/keyturn-pkcs11")...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=1")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", errors.Join(err, errors.New(string(out)))
	}
	path := filepath.Join(dir, name)
	return path, os.Rename(temp.Name(), path)
})
