package hsm

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/keyturn/keyturn/internal/hsm/helper"
	"github.com/keyturn/keyturn/internal/hsm/helper/softtoken"
	"github.com/keyturn/keyturn/internal/hsm/hsmwire"
)

// fakeHelperEnv makes the test binary a helper.
const fakeHelperEnv = "KEYTURN_TEST_FAKE_HELPER"

func TestMain(m *testing.M) {
	if os.Getenv(fakeHelperEnv) == "" {
		os.Exit(m.Run())
	}
	fmt.Fprintln(os.Stderr, "the fake helper begins")
	if err := fakeHelper(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// misbehaviours are what the fake helper does when asked for keys of these names.
var misbehaviours = []string{
	"exit", "kill", "panic", "hang", "hang-all", "stop", "close",
	"garbage", "oversize", "truncated", "wrong-id", "twice", "wrong-fields", "wrong-status", "old-id",
}

// fakeHelper is keyturn-pkcs11 with a softtoken, whose directory is the path of the module.
func fakeHelper(args []string) error {
	if len(args) != 6 || args[0] != "--module" || args[2] != "--token" || args[3] != "soft" || args[4] != "--sessions" || args[5] != "8" {
		return fmt.Errorf("unexpected arguments: %q", args)
	}
	for _, e := range os.Environ() {
		if strings.Contains(e, "SECRET") {
			return errors.New("a secret in the environment")
		}
	}
	in, stop := io.Pipe()
	go func() {
		_, err := io.Copy(stop, os.Stdin)
		stop.CloseWithError(err)
	}()
	token := helper.New(&softtoken.Token{Dir: args[1]}, 8)
	return helper.Serve(in, os.Stdout, 8, handlerFunc(func(q hsmwire.Message) hsmwire.Message {
		if hsmwire.Op(q.Code) == hsmwire.OpHasKey {
			return misbehave(string(q.Fields[0]), token, q)
		}
		return token.Handle(q)
	}))
}

func misbehave(how string, token helper.Handler, q hsmwire.Message) hsmwire.Message {
	m := token.Handle(q)
	write := func(b []byte) { _, _ = os.Stdout.Write(b) }
	self, _ := os.FindProcess(os.Getpid())
	switch how {
	case "exit":
		os.Exit(0)
	case "kill":
		_ = self.Kill()
		select {}
	case "panic":
		panic("the module has corrupted memory")
	case "hang":
		select {}
	case "hang-all": // it does not read either
		os.Stdin.Close()
		select {}
	case "stop":
		stopSelf()
		select {} // for the moment until it takes effect
	case "close":
		os.Stdout.Close()
		select {}
	case "garbage":
		write([]byte("CKR_OK, and some words that a module prints\n"))
	case "oversize":
		write([]byte{0x7f, 0xff, 0xff, 0xff, 1, 2, 3})
	case "truncated":
		write([]byte{0, 0, 0, 20, 0, 0, 0})
		os.Exit(0)
	case "wrong-id":
		m.ID += 1000
	case "old-id":
		m.ID = 1
	case "twice":
		frame, _ := hsmwire.Append(nil, m)
		write(append(frame, frame...))
		m.ID = 0
	case "wrong-fields":
		m.Fields = [][]byte{{1}, {2}}
	case "wrong-status":
		m.Code = 200
	case "fork":
		child := exec.Command("sleep", "1000")
		child.Stdin, child.Stdout, child.Stderr = os.Stdin, os.Stdout, os.Stderr
		if err := child.Start(); err != nil {
			panic(err)
		}
		if err := os.WriteFile(filepath.Join(os.Args[2], "child"), []byte(strconv.Itoa(child.Process.Pid)), 0o600); err != nil {
			panic(err)
		}
		os.Exit(0)
	}
	return m
}
