package main

import (
	"context"
	"crypto/fips140"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"keyturn": main, "test-aws": standInAWS, "test-age-keygen": standInAgeKeygen})
}

// TestScript runs testdata/script/*.txtar: the real command, as a person would use it.
func TestScript(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			// Nothing of the machine's own AWS configuration may be used.
			env.Setenv("HOME", env.WorkDir)
			env.Setenv("AWS_EC2_METADATA_DISABLED", "true")
			env.Setenv("NO_COLOR", "1")
			return nil
		},
		Condition: func(name string) (bool, error) { // [fips]: only algorithms that FIPS 140-3 approves may be used
			if name == "fips" {
				return fips140.Enforced(), nil
			}
			return false, fmt.Errorf("unknown condition %s", name)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"waitfile":       waitFile,
			"setenvfromfile": setEnvFromFile,
			"flipbyte":       flipByte,
		},
	})
}

// waitFile waits until a file is there: waitfile FILE.
func waitFile(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: waitfile FILE")
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	for poll := time.NewTicker(10 * time.Millisecond); ; {
		if _, err := os.Stat(ts.MkAbs(args[0])); err == nil {
			poll.Stop()
			return
		}
		select {
		case <-poll.C:
		case <-ctx.Done():
			ts.Fatalf("%s did not come to be", args[0])
		}
	}
}

// setEnvFromFile sets a variable to a file's content without the final newline: setenvfromfile VAR FILE.
func setEnvFromFile(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: setenvfromfile VAR FILE")
	}
	ts.Setenv(args[0], strings.TrimRight(ts.ReadFile(args[1]), "\n"))
}

// flipByte alters one byte in the middle of a file: flipbyte FILE.
func flipByte(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: flipbyte FILE")
	}
	path := ts.MkAbs(args[0])
	data, err := os.ReadFile(path)
	ts.Check(err)
	data[len(data)/2] ^= 1
	ts.Check(os.WriteFile(filepath.Clean(path), data, 0o600))
}
