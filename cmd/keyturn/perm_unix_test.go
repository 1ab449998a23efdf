//go:build unix

package main

import (
	"os"
	"strings"
	"testing"
)

func TestDataDirOfAnotherUser(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() != 0 {
		t.Skip("only root can give a folder away")
	}
	const nobodyHasIt = 3_000_000_017
	if err := os.Chown(dir, nobodyHasIt, -1); err != nil {
		t.Skipf("there is no such user here: %v", err)
	}
	err := checkDataDir(dir)
	if err == nil || !strings.HasSuffix(err.Error(), "belongs to another user, #3000000017") || !strings.HasSuffix(hintFor(err), "sudo -u '#3000000017'") {
		t.Errorf("%v, hint %q", err, hintFor(err))
	}
}

func TestOwnerName(t *testing.T) {
	if got := ownerName(3_000_000_017); got != "#3000000017" {
		t.Errorf("a user without a name is %s", got)
	}
}
