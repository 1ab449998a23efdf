//go:build unix

package seal

import (
	"os"
	"path/filepath"
	"testing"
)

// TestCredential opens key files with the modes that systemd gives credentials: readable for the group only where it is the manager's doing.
func TestCredential(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("credentials are root's, and this is not root")
	}
	dir, other := t.TempDir(), t.TempDir()
	tests := []struct {
		name, dir, env string
		uid            int
		mode           os.FileMode
		ok             bool
	}{
		{"owner only", dir, dir, 0, 0o400, true},
		{"by access control list", dir, dir, 0, 0o440, true},
		{"a final slash", dir, dir + "/", 0, 0o440, true},
		{"group may write", dir, dir, 0, 0o460, false},
		{"everybody may read", dir, dir, 0, 0o444, false},
		{"not root's", dir, dir, 1, 0o440, false},
		{"elsewhere", other, dir, 0, 0o440, false},
		{"no credentials", dir, "", 0, 0o440, false},
		{"a relative folder", dir, ".", 0, 0o440, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Setenv("CREDENTIALS_DIRECTORY", tt.env)
			path := filepath.Join(tt.dir, "seal.key")
			os.Remove(path) //nolint:errcheck // of the case before
			if err := CreateKeyFile(path); err != nil {
				t.Fatal(err)
			}
			if err := os.Chown(path, tt.uid, 0); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(path, tt.mode); err != nil {
				t.Fatal(err)
			}
			if _, err := OpenKeyFile(path); (err == nil) != tt.ok {
				t.Errorf("mode %v: %v", tt.mode, err)
			}
		})
	}
}
