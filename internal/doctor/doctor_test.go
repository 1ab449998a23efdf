package doctor_test

import (
	"errors"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/keyturn/keyturn/internal/doctor"
)

var now = time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)

const day = 24 * time.Hour

// well are the facts of an installation with which nothing is wrong.
func well() *doctor.Facts {
	certificate := doctor.Certificate{
		Names: []string{"kms.example.com"}, Subject: "CN=kms", NotYet: now.Add(-day), NotAfter: now.Add(90 * day),
		Matches: func(host string) error {
			if host != "kms.example.com" {
				return errors.New("another host")
			}
			return nil
		},
	}
	file := func(what string, mode fs.FileMode, device uint64) doctor.File {
		return doctor.File{What: what, Path: "/k/" + what, Mode: mode, UID: 999, Device: device, Modified: now}
	}
	seal, key := file("seal.key", 0o600, 2), file("tls.key", 0o640, 2)
	return &doctor.Facts{
		Now: now, UID: 999, FIPS: true,
		Config: &doctor.ConfigFacts{
			Path: "keyturn.yaml", Loaded: true, Listen: "0.0.0.0:8443", Tokens: true,
			Variables: []doctor.Variable{{Name: "SECRET", Set: true}},
			DataDir:   file("data", fs.ModeDir|0o700, 1),
			Inside:    []doctor.File{file("store.db", 0o600, 1), file("audit", fs.ModeDir|0o700, 1)},
			SealKey:   &seal, TLSKey: &key, Secrets: []doctor.File{file("secret", 0o640, 2)}, Policies: []doctor.File{file("policy", 0o644, 2)},
			Disks:   []doctor.Disk{{What: "data", Path: "/k/data", Kind: "ext4", Free: 50 << 30, Total: 100 << 30, FreeInodes: 1 << 20, Inodes: 1 << 21}},
			Latency: doctor.Got(2 * time.Millisecond), Pair: doctor.Got(certificate),
			Store:     doctor.StoreFacts{Audit: true, Holder: doctor.Got(0), Size: 1 << 20, Newest: doctor.Got(now), Data: true, Seal: doctor.SealFacts{Opens: true, Left: 900, LeftOnDemand: 700}},
			LastAudit: doctor.Got(now.Add(-time.Minute)),
		},
		Clock: doctor.ClockFacts{Synchronized: doctor.Got(true), Error: time.Millisecond},
		Limits: doctor.LimitFacts{
			Of: "this process", OpenFiles: doctor.Got[uint64](65536), Core: doctor.Got[uint64](0), Locked: doctor.Got[uint64](doctor.Unlimited),
			AddressSpace: doctor.Got[uint64](doctor.Unlimited),
		},
		Kernel: doctor.KernelFacts{
			Swap: doctor.Got([]string(nil)), PtraceScope: doctor.Got(1), CorePipe: doctor.Got(false), SuidDumpable: doctor.Got(0), Seeded: doctor.Got(true),
		},
		Endpoint: &doctor.EndpointFacts{
			URL: "https://kms.example.com", Host: "kms.example.com", TLS: true, TLSVersion: "TLS 1.3", Certificate: doctor.Got(certificate),
			Skew: doctor.Got(time.Second), Uncertainty: time.Second, Clock: doctor.Got(doctor.ServiceClock{Standing: "Trusted", Mark: now}),
		},
	}
}

func TestWell(t *testing.T) {
	results := doctor.Run(well())
	ids := map[string]bool{}
	for _, r := range results {
		if r.Severity != doctor.OK || r.Fix != "" || r.Title == "" || r.Why == "" {
			t.Errorf("%+v", r)
		}
		ids[r.ID] = true
	}
	for _, c := range doctor.Checks() {
		if !ids[c.ID] {
			t.Errorf("%s says nothing", c.ID)
		}
	}
	if len(ids) != len(doctor.Checks()) || doctor.Worst(results) != doctor.OK {
		t.Errorf("%d IDs of %d checks, %v", len(ids), len(doctor.Checks()), doctor.Worst(results))
	}
}

// TestChecks changes one fact at a time: exactly one check must say so.
func TestChecks(t *testing.T) {
	type facts = doctor.Facts
	tests := []struct {
		id   string
		want doctor.Severity
		says string
		do   func(*facts)
	}{
		{"config", doctor.Fail, "no such key", func(f *facts) { f.Config.Problems = []string{"no such key"} }},
		{"config", doctor.Skip, "denied", func(f *facts) { f.Config.Unread = []string{"denied"} }},
		{"config-environment", doctor.Warn, "SECRET is not set", func(f *facts) { f.Config.Variables[0].Set = false }},
		{"config-environment", doctor.Warn, "KEYTURN_TYPO", func(f *facts) { f.Config.Strangers = []string{"KEYTURN_TYPO"} }},
		{"listen", doctor.Fail, "another program", func(f *facts) { f.Config.ListenErr = doctor.ListenBusy }},
		{"listen", doctor.Warn, "may not listen", func(f *facts) { f.Config.ListenErr = doctor.ListenForbidden }},
		{"listen", doctor.Fail, "no address of this machine", func(f *facts) { f.Config.ListenErr = doctor.ListenForeign }},
		{"listen", doctor.Fail, "cannot be listened on", func(f *facts) { f.Config.ListenErr = doctor.ListenFailed }},
		{"data-dir", doctor.Fail, "written by others", func(f *facts) { f.Config.DataDir.Mode |= 0o020 }},
		{"data-dir", doctor.Warn, "read by others", func(f *facts) { f.Config.DataDir.Mode |= 0o005 }},
		{"data-dir", doctor.Warn, "you are user 1000", func(f *facts) { f.UID = 1000 }},
		{"data-dir", doctor.Fail, "no folder", func(f *facts) { f.Config.DataDir.Mode = 0o600 }},
		{"data-files", doctor.Warn, "mode -rw-r--r--", func(f *facts) { f.Config.Inside[0].Mode = 0o644 }},
		{"data-files", doctor.Fail, "belongs to user 0", func(f *facts) { f.Config.Inside[1].UID = 0 }},
		{"data-files", doctor.Skip, "permission denied", func(f *facts) { f.Config.Inside[1].Err = "permission denied" }},
		{"data-strangers", doctor.Warn, "backup.age", func(f *facts) { f.Config.Unknown = []string{"backup.age"} }},
		{"seal-key", doctor.Fail, "read or written by others", func(f *facts) { f.Config.SealKey.Mode = 0o640 }},
		{"seal-key", doctor.Fail, "cannot read it", func(f *facts) { f.Config.SealKey.UID = 0 }},
		{"seal-key", doctor.Warn, "when it was killed", func(f *facts) { f.Config.SealKeyTemps = []string{"/k/.seal-key-1"} }},
		{"seal-key", doctor.Skip, "while the service runs", func(f *facts) {
			f.Config.SealKey.Err, f.Config.SealKey.Missing, f.Config.SealKey.Credential, f.Config.SealKey.Device = "gone", true, true, 3
		}},
		{"seal-apart", doctor.Warn, "is on the file system of", func(f *facts) { f.Config.SealKey.Device = 1 }},
		{"tls-key", doctor.Fail, "read or written by others", func(f *facts) { f.Config.TLSKey.Mode = 0o604 }},
		{"tls-key", doctor.Fail, "is not there", func(f *facts) { f.Config.TLSKey.Err, f.Config.TLSKey.Missing = "gone", true }},
		{"tls-key", doctor.Fail, "is no file", func(f *facts) { f.Config.TLSKey.Mode = fs.ModeDir | 0o700 }},
		{"secrets", doctor.Fail, "read or written by others", func(f *facts) { f.Config.Secrets[0].Mode = 0o644 }},
		{"policies", doctor.Fail, "written by others", func(f *facts) { f.Config.Policies[0].Mode = 0o666 }},
		{"tls-pair", doctor.Fail, "too short", func(f *facts) { f.Config.Pair.V.Weak = "an RSA key of 1024 bits is too short" }},
		{"tls-expiry", doctor.Fail, "expired", func(f *facts) { f.Config.Pair.V.NotAfter = now }},
		{"tls-expiry", doctor.Fail, "6 days", func(f *facts) { f.Config.Pair.V.NotAfter = now.Add(6*day + time.Hour) }},
		{"tls-expiry", doctor.Warn, "8 days", func(f *facts) { f.Config.Pair.V.NotAfter = now.Add(8*day + time.Hour) }},
		{"tls-expiry", doctor.Fail, "valid from", func(f *facts) { f.Config.Pair.V.NotYet = now.Add(time.Hour) }},
		{"tls-names", doctor.Fail, "names no host", func(f *facts) { f.Config.Pair.V.Names = nil }},
		{"tls-names", doctor.Warn, "listen says 192.0.2.1", func(f *facts) { f.Config.Listen = "192.0.2.1:8443" }},
		{"disk-kind", doctor.Fail, "in memory", func(f *facts) { f.Config.Disks[0].Kind = "tmpfs" }},
		{"disk-kind", doctor.Fail, "container's own layer", func(f *facts) { f.Config.Disks[0].Kind = "overlayfs" }},
		{"disk-kind", doctor.Fail, "NFS", func(f *facts) { f.Config.Disks[0].Kind = "nfs" }},
		{"disk-kind", doctor.Warn, "fuse", func(f *facts) { f.Config.Disks[0].Kind = "fuse" }},
		{"disk-kind", doctor.Skip, "not known here", func(f *facts) { f.Config.Disks[0].Kind = "" }},
		{"disk-kind", doctor.Fail, "read-only", func(f *facts) { f.Config.Disks[0].ReadOnly = true }},
		{"disk-space", doctor.Fail, "100.0 MiB free", func(f *facts) { f.Config.Disks[0].Free = 100 << 20 }},
		{"disk-space", doctor.Warn, "1.0 GiB free", func(f *facts) { f.Config.Disks[0].Free = 1 << 30 }},
		{"disk-space", doctor.Warn, "4.0 GiB free", func(f *facts) { f.Config.Disks[0].Free = 4 << 30 }},
		{"disk-inodes", doctor.Fail, "10 left", func(f *facts) { f.Config.Disks[0].FreeInodes = 10 }},
		{"disk-inodes", doctor.Skip, "does not count", func(f *facts) { f.Config.Disks[0].Inodes = 0 }},
		{"disk-latency", doctor.Warn, "30ms", func(f *facts) { f.Config.Latency.V = 30 * time.Millisecond }},
		{"disk-latency", doctor.Fail, "1s", func(f *facts) { f.Config.Latency.V = time.Second }},
		{"disk-latency", doctor.Skip, "no", func(f *facts) { f.Config.Latency = doctor.Unknown[time.Duration]("no") }},
		{"store", doctor.Fail, "cut off", func(f *facts) { f.Config.Store.Err = "it was cut off" }},
		{"store", doctor.Fail, "was lost", func(f *facts) { f.Config.Store.Missing = true }},
		{"store", doctor.Warn, "none yet", func(f *facts) { f.Config.Store.Missing, f.Config.Store.Audit = true, false }},
		{"store", doctor.Fail, "unfinished restore", func(f *facts) { f.Config.Store.Restoring = true }},
		{"store", doctor.Skip, "permission denied", func(f *facts) { f.Config.Store.Unread = "store.db: permission denied" }},
		{"seal-opens", doctor.Fail, "not the key", func(f *facts) { f.Config.Store.Seal = doctor.SealFacts{Err: "not the key that seals the store"} }},
		{"seal-opens", doctor.Skip, "permission denied", func(f *facts) { f.Config.Store.Seal = doctor.SealFacts{Unread: "permission denied"} }},
		{"seal-opens", doctor.Skip, "takes people", func(f *facts) { f.Config.Store.Seal = doctor.SealFacts{Why: "it takes people"} }},
		{"keyring", doctor.Warn, "200 more, which are kept", func(f *facts) { f.Config.Store.Seal.Left, f.Config.Store.Seal.LeftOnDemand = 200, 0 }},
		{"keyring", doctor.Fail, "as many as it can have", func(f *facts) { f.Config.Store.Seal.Left, f.Config.Store.Seal.LeftOnDemand = 0, 0 }},
		{"keyring", doctor.Skip, "not opened", func(f *facts) { f.Config.Store.Seal = doctor.SealFacts{Why: "it takes people"} }},
		{"audit", doctor.Fail, "the log was lost", func(f *facts) { f.Config.AuditMissing = true }},
		{"audit", doctor.Fail, "not JSON", func(f *facts) { f.Config.AuditErr = "line 7 is not JSON" }},
		{"audit", doctor.Skip, "none yet", func(f *facts) { f.Config.LastAudit = doctor.Unknown[time.Time]("none yet") }},
		{"clock-sync", doctor.Warn, "nothing sets", func(f *facts) { f.Clock.Synchronized.V = false }},
		{"clock-sync", doctor.Warn, "wrong by 2s", func(f *facts) { f.Clock.Error = 2 * time.Second }},
		{"clock-files", doctor.Fail, "wrote something", func(f *facts) { f.Config.LastAudit.V = now.Add(time.Hour) }},
		{"clock-files", doctor.Fail, "wrote something", func(f *facts) { f.Config.Store.Newest.V = now.Add(time.Hour) }},
		{"clock-files", doctor.Warn, "wrote last", func(f *facts) {
			f.Config.LastAudit.V, f.Config.Store.Newest.V = now.Add(-31*day), now.Add(-31*day)
		}},
		{"limit-files", doctor.Fail, "256", func(f *facts) { f.Limits.OpenFiles.V = 256 }},
		{"limit-files", doctor.Warn, "1024", func(f *facts) { f.Limits.OpenFiles.V = 1024 }},
		{"limit-core", doctor.Warn, "suid_dumpable is 1", func(f *facts) { f.Kernel.SuidDumpable.V = 1 }},
		{"limit-core", doctor.Warn, "go to a program", func(f *facts) { f.Kernel.SuidDumpable.V, f.Kernel.CorePipe.V = 2, true }},
		{"limit-memlock", doctor.Warn, "64.0 KiB", func(f *facts) { f.Limits.Locked.V = 64 << 10 }},
		{"limit-memlock", doctor.Skip, "locks no memory", func(f *facts) { f.Config.Tokens = false }},
		{"limit-address-space", doctor.Fail, "1.0 GiB", func(f *facts) { f.Limits.AddressSpace.V = 1 << 30 }},
		{"swap", doctor.Warn, "/dev/sda2", func(f *facts) { f.Kernel.Swap.V = []string{"/dev/sda2"} }},
		{"ptrace", doctor.Warn, "is 0", func(f *facts) { f.Kernel.PtraceScope.V = 0 }},
		{"random", doctor.Fail, "no entropy", func(f *facts) { f.Kernel.Seeded.V = false }},
		{"fips", doctor.Skip, "off", func(f *facts) { f.FIPS = false }},
		{"endpoint", doctor.Fail, "404", func(f *facts) { f.Endpoint.Health = "404 Not Found" }},
		{"endpoint-ready", doctor.Fail, "disk", func(f *facts) { f.Endpoint.Ready = "the disk is full" }},
		{"endpoint-ready", doctor.Fail, "0 of 3 shares", func(f *facts) { f.Endpoint.Ready, f.Endpoint.Sealed = "sealed: 0 of 3 shares given", true }},
		{"endpoint-ready", doctor.Warn, "suspended", func(f *facts) { f.Endpoint.Note = "suspended" }},
		{"endpoint-tls", doctor.Fail, "unknown authority", func(f *facts) { f.Endpoint.TLSErr = "unknown authority" }},
		{"endpoint-tls", doctor.Warn, "8 days", func(f *facts) { f.Endpoint.Certificate.V.NotAfter = now.Add(8*day + time.Hour) }},
		{"endpoint-tls", doctor.Skip, "plain HTTP", func(f *facts) { f.Endpoint.TLS = false }},
		{"endpoint-clock", doctor.Warn, "1m0s", func(f *facts) { f.Endpoint.Skew.V = -time.Minute }},
		{"endpoint-clock", doctor.Fail, "1h0m0s", func(f *facts) { f.Endpoint.Skew.V = time.Hour }},
		{"endpoint-believed", doctor.Fail, "destruction is suspended: the clock jumped", func(f *facts) { f.Endpoint.Clock.V.Standing = "Ahead" }},
		{"endpoint-believed", doctor.Fail, "destruction is suspended: the store was restored", func(f *facts) { f.Endpoint.Clock.V.Standing = "Held" }},
		{"endpoint-believed", doctor.Fail, "nothing becomes due", func(f *facts) { f.Endpoint.Clock.V.Standing = "Behind" }},
	}
	tried := map[string]bool{}
	for _, tt := range tests {
		f := well()
		tt.do(f)
		tried[tt.id] = true
		var said []doctor.Result
		for _, r := range doctor.Run(f) {
			if r.Severity == doctor.OK {
				continue
			}
			if r.Severity >= doctor.Warn && r.Fix == "" {
				t.Errorf("%s says nothing to do about %q", r.ID, r.Why)
			}
			// What depends on the same fact may say that it cannot be judged.
			if r.ID == tt.id || r.Severity > doctor.Skip {
				said = append(said, r)
			}
		}
		if len(said) != 1 || said[0].ID != tt.id || said[0].Severity != tt.want || !strings.Contains(said[0].Why, tt.says) {
			t.Errorf("%s %v %q: %+v", tt.id, tt.want, tt.says, said)
		}
	}
	for _, c := range doctor.Checks() {
		if !tried[c.ID] {
			t.Errorf("%s: no case", c.ID)
		}
	}
}

// TestWhatToDo reads what some findings say to do.
func TestWhatToDo(t *testing.T) {
	f := well()
	f.Config.Owner, f.Config.Store.Unread = "keyturn", "permission denied"
	f.Endpoint.Ready, f.Endpoint.Sealed = "sealed: 0 of 3 shares given", true
	want := map[string]string{"store": "run it as user keyturn", "endpoint-ready": "keyturn unseal --endpoint https://kms.example.com"}
	for _, r := range doctor.Run(f) {
		if fix := want[r.ID]; fix != "" && !strings.Contains(r.Fix, fix) {
			t.Errorf("%s: %q, want %q", r.ID, r.Fix, fix)
		}
	}
}

// TestRunning checks what is well because a server runs.
func TestRunning(t *testing.T) {
	f := well()
	f.Config.ListenErr, f.Config.Store.Holder, f.Config.Store.Err = doctor.ListenBusy, doctor.Got(42), "locked"
	if results := doctor.Run(f); doctor.Worst(results) > doctor.Skip { // the seal is not tried
		t.Errorf("%+v", results)
	}
}

// TestMissing runs all checks on facts that nobody knows, as on a platform that is not looked at: they must not fail, nor panic.
func TestMissing(t *testing.T) {
	for name, f := range map[string]*doctor.Facts{
		"nothing":         {UID: -1},
		"nothing loaded":  {UID: -1, Config: &doctor.ConfigFacts{}},
		"a configuration": {UID: -1, Now: now, Config: &doctor.ConfigFacts{Loaded: true, DataDir: doctor.File{Path: "d", Err: "gone", Missing: true, UID: -1}, Store: doctor.StoreFacts{Missing: true}}},
		"no server":       {UID: -1, Endpoint: &doctor.EndpointFacts{Err: "connection refused"}},
	} {
		var failed []string
		for _, r := range doctor.Run(f) {
			if r.Severity == doctor.Fail {
				failed = append(failed, r.ID)
			}
		}
		want := []string(nil)
		if name == "no server" {
			want = []string{"endpoint"}
		}
		if !slices.Equal(failed, want) {
			t.Errorf("%s: %v", name, failed)
		}
	}
}
