package main

import (
	"encoding/json"
	"runtime/debug"
	"strings"
	"testing"

	"github.com/keyturn/keyturn/internal/seal"
)

func TestVersion(t *testing.T) {
	out, err := execute(t, newVersionCommand())
	if err != nil || !strings.HasPrefix(out, "keyturn ") || !strings.Contains(out, "\ndata format  2\n") {
		t.Errorf("%v\n%s", err, out)
	}
	out, err = execute(t, newVersionCommand(), "--output", "json")
	var v versionInfo
	if err != nil || json.Unmarshal([]byte(out), &v) != nil || v.DataFormat != seal.DataFormat || !strings.HasPrefix(v.Go, "go") || v.FIPS140 == "" {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestReadVersion(t *testing.T) {
	v := readVersion(&debug.BuildInfo{
		Main:     debug.Module{Version: "v1.2.3"},
		Settings: []debug.BuildSetting{{Key: "vcs.revision", Value: "abc"}, {Key: "vcs.modified", Value: "true"}, {Key: "CGO_ENABLED", Value: "0"}},
	})
	if v.Version != "v1.2.3" || v.Revision != "abc" || !v.Modified {
		t.Errorf("%+v", v)
	}
	if v := readVersion(nil); v.Version != "(unknown)" || v.Go == "" {
		t.Errorf("%+v", v)
	}
}
