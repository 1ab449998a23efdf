// Package probe gathers what package doctor judges: from files, the operating system and a server. It runs without root, leaves nothing behind,
// and keeps no secret that it sees.
package probe

import (
	"context"
	"crypto/fips140"
	"crypto/x509"
	"errors"
	"io/fs"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/keyturn/keyturn/internal/doctor"
	"github.com/keyturn/keyturn/internal/store"
)

// credentials is where systemd puts those of services, each in a folder of its own (systemd.exec(5)).
const credentials = "/run/credentials/"

// Input says what to look at.
type Input struct {
	Now time.Time
	// Config is what the configuration says by itself; nil: there is none. Gather adds to it.
	Config                            *doctor.ConfigFacts
	DataDir, SealKey, TLSCert, TLSKey string
	SealKeyTemp                       string // pattern of what making a key file leaves when it is killed
	Secrets, Policies                 []string
	Layout                            Layout
	// Unseal tries the seal on its own entries. Nil: nobody tries.
	Unseal func(context.Context, []store.Entry) doctor.SealFacts

	Endpoint string         // URL; "" for none
	Roots    *x509.CertPool // nil: the system's
	// Clock asks the endpoint for its clock, as a caller with credentials. Nil: there are none.
	Clock func(context.Context) (doctor.ServiceClock, error)
}

// Layout names what the server keeps in its data directory.
type Layout struct {
	Lock, Store, Audit string
	Others             []string
	// Restoring is what a restore leaves until it is finished; Reserved the prefix of the seal's own keys in the store.
	Restoring, Reserved string
}

// Gather looks at everything. What cannot be looked at is a fact that is not known.
func Gather(ctx context.Context, in Input) *doctor.Facts {
	f := &doctor.Facts{
		Now: in.Now, UID: os.Geteuid(), FIPS: fips140.Enabled(), Config: in.Config, Clock: clockFacts(), Kernel: kernelFacts(),
	}
	holder := 0
	if c := in.Config; c != nil && c.Loaded {
		configured(ctx, c, &in)
		holder = c.Store.Holder.V
	}
	f.Limits = limitFacts(holder)
	if in.Endpoint != "" {
		f.Endpoint = ask(ctx, &in)
	}
	return f
}

func configured(ctx context.Context, c *doctor.ConfigFacts, in *Input) {
	c.DataDir = look("the data directory", in.DataDir)
	c.Owner = userName(c.DataDir.UID)
	look1 := func(what, path string) *doctor.File {
		if path == "" {
			return nil
		}
		file := look(what, path)
		return &file
	}
	c.SealKey, c.TLSKey = look1("the seal key", in.SealKey), look1("the TLS key", in.TLSKey)
	if in.SealKey != "" && in.SealKeyTemp != "" {
		c.SealKeyTemps = matching(filepath.Dir(in.SealKey), in.SealKeyTemp)
	}
	for _, path := range in.Secrets {
		c.Secrets = append(c.Secrets, look("the secret", path))
	}
	for _, path := range in.Policies {
		c.Policies = append(c.Policies, look("the policy", path))
	}
	c.ListenErr = listen(c.Listen)
	if !c.PlainHTTP {
		c.Pair = readPair(in.TLSCert, in.TLSKey)
	}
	folder := in.DataDir
	if c.DataDir.Missing { // it will be made there
		folder = filepath.Dir(folder)
	}
	c.Disks = append(c.Disks, disk("the data directory", folder))
	if c.DataDir.Err != "" {
		c.Latency = doctor.Unknown[time.Duration]("the data directory cannot be looked at")
		c.LastAudit = doctor.Unknown[time.Time]("there is no audit log, or it cannot be looked at")
		c.Store.Missing = c.DataDir.Missing
		return
	}
	inside(c, in)
	c.Latency = latency(in.DataDir)
	readStore(ctx, c, in)
}

// inside lists the data directory.
func inside(c *doctor.ConfigFacts, in *Input) {
	entries, err := os.ReadDir(in.DataDir)
	if err != nil {
		c.DataDir.Err = plain(err)
		return
	}
	if in.Layout.Restoring != "" {
		_, err := os.Lstat(filepath.Join(in.DataDir, in.Layout.Restoring))
		c.Store.Restoring = err == nil
	}
	own := append([]string{in.Layout.Lock, in.Layout.Store, in.Layout.Audit, in.Layout.Restoring}, in.Layout.Others...)
	for _, e := range entries {
		if e.Name() == "lost+found" { // root's, on a file system of its own
			continue
		}
		if !slices.Contains(own, e.Name()) {
			if len(c.Unknown) < 10 {
				c.Unknown = append(c.Unknown, e.Name())
			}
			continue
		}
		file := look(e.Name(), filepath.Join(in.DataDir, e.Name()))
		c.Inside = append(c.Inside, file)
		if file.Err == "" && !file.Mode.IsDir() && file.Modified.After(c.Store.Newest.V) {
			c.Store.Newest = doctor.Got(file.Modified)
		}
		if e.Name() == in.Layout.Audit && e.Type()&fs.ModeSymlink != 0 { // it may be on a disk of its own
			c.Disks = append(c.Disks, disk("the audit log", file.Path))
		}
	}
}

// matching are the files in a folder whose names match a pattern; none in one that cannot be read.
func matching(dir, pattern string) (paths []string) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil
	}
	for _, e := range entries {
		if ok, err := filepath.Match(pattern, e.Name()); ok && err == nil {
			paths = append(paths, filepath.Join(dir, e.Name()))
		}
	}
	return paths
}

// look looks at a file without opening it.
func look(what, path string) doctor.File {
	file := doctor.File{What: what, Path: path, UID: -1}
	file.Credential = IsCredential(path)
	info, err := os.Stat(path)
	if err != nil {
		file.Err, file.Missing = plain(err), errors.Is(err, fs.ErrNotExist)
		return file
	}
	file.Mode, file.Modified = info.Mode(), info.ModTime()
	owner(info, &file)
	return file
}

// CredentialPrefix begins what a configuration has in a path's place: the name of a credential, which is in $CREDENTIALS_DIRECTORY, if there is one.
const CredentialPrefix = "credential:"

// IsCredential tells whether a path is in the folder that systemd puts credentials into, or would be.
func IsCredential(path string) bool {
	dir := os.Getenv("CREDENTIALS_DIRECTORY")
	return strings.HasPrefix(path, CredentialPrefix) || dir != "" && filepath.Clean(dir) == filepath.Dir(path) || strings.HasPrefix(path, credentials)
}

// userName is the name of a user, or else its number; "" where files have no owner.
func userName(uid int) string {
	if uid < 0 {
		return ""
	}
	id := strconv.Itoa(uid)
	if u, err := user.LookupId(id); err == nil {
		return u.Username
	}
	return id
}

// plain is an error without the path, which stands beside it.
func plain(err error) string {
	if e := (*fs.PathError)(nil); errors.As(err, &e) {
		return e.Err.Error()
	}
	return err.Error()
}

// listen tries an address, and gives it back at once.
func listen(addr string) doctor.ListenError {
	l, err := net.Listen("tcp", addr)
	switch {
	case err == nil:
		_ = l.Close()
		return doctor.ListenFree
	case errors.Is(err, syscall.EADDRINUSE):
		return doctor.ListenBusy
	case errors.Is(err, fs.ErrPermission):
		return doctor.ListenForbidden
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return doctor.ListenForeign
	}
	return doctor.ListenFailed
}
