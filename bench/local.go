package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/pprof"
	"time"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/audit"
	"github.com/keyturn/keyturn/internal/clock"
	"github.com/keyturn/keyturn/internal/kms"
	"github.com/keyturn/keyturn/internal/schedule"
	"github.com/keyturn/keyturn/internal/seal"
	"github.com/keyturn/keyturn/internal/service"
	"github.com/keyturn/keyturn/internal/sigv4"
	"github.com/keyturn/keyturn/internal/store/boltstore"
	"github.com/keyturn/keyturn/internal/wire"
)

// local is a data directory of keyturn dev opened in this process. If the command lays it out another way one day, it finds
// another store than the bench filled, and the bench says so.
type local struct {
	store    *seal.Store
	log      *audit.Log
	pipeline *service.Pipeline
	kms      *kms.KMS
	runner   *schedule.Runner
	closers  []func() error // in the order of opening
}

// openLocal opens the data directory, making store and seal key if there are none. around, if not nil, is put around its decisions.
func openLocal(ctx context.Context, dir string, around func(func(*service.Authorization) error) func(*service.Authorization) error) (_ *local, err error) {
	l := new(local)
	defer func() {
		if err != nil {
			err = errors.Join(err, l.close())
		}
	}()
	sealKey := filepath.Join(dir, "seal.key")
	if _, err := os.Stat(sealKey); errors.Is(err, os.ErrNotExist) {
		if err := seal.CreateKeyFile(sealKey); err != nil {
			return nil, err
		}
	}
	provider, err := seal.OpenKeyFile(sealKey)
	if err != nil {
		return nil, err
	}
	raw, err := boltstore.Open(filepath.Join(dir, "store.db"), boltstore.Options{Create: true})
	if err != nil {
		return nil, err
	}
	l.closers = append(l.closers, raw.Close)
	if l.store, err = seal.Open(ctx, raw, seal.Options{Provider: provider, Dev: true, Now: time.Now()}); err != nil {
		return nil, err
	}
	node := l.store.Keyring().Deployment()[:8]
	if l.log, err = audit.Open(filepath.Join(dir, "audit"), audit.Options{NodeID: node}); err != nil {
		return nil, err
	}
	l.closers = append(l.closers, l.log.Close)
	logger := slog.New(slog.NewTextHandler(os.Stderr, nil))
	l.kms = kms.New(kms.Config{})
	authorize := l.kms.Authorize
	if around != nil {
		authorize = around(authorize)
	}
	l.pipeline, err = service.New(ctx, service.Config{
		Store: l.store, Keyring: l.store.Keyring(), Clock: clock.NewShifted(time.Now, 0), Audit: l.log, NodeID: node, Log: logger,
		Authorize: authorize, Exclusive: true,
	})
	if err != nil {
		return nil, err
	}
	l.closers = append(l.closers, func() error { return l.pipeline.Close(context.WithoutCancel(ctx)) })
	l.runner = schedule.New(l.pipeline, l.kms, logger)
	return l, nil
}

func (l *local) close() error {
	var errs []error
	for i := len(l.closers) - 1; i >= 0; i-- {
		errs = append(errs, l.closers[i]())
	}
	return errors.Join(errs...)
}

// handler is the HTTP surface that keyturn dev --strict has, the clock left out, for one caller.
func (l *local) handler(dir string, caller *service.Caller) (*wire.Handler, error) {
	security, err := audit.OpenSecurity(filepath.Join(dir, "security.jsonl"), audit.SecurityOptions{})
	if err != nil {
		return nil, err
	}
	l.closers = append(l.closers, security.Close)
	table := service.Table(l.kms.Operations())
	targets := make(map[string]*service.Op)
	for _, m := range api.KMSOperations() {
		targets[m.Target] = table[m.Service+"."+m.Name]
	}
	return wire.NewHandler(wire.Config{
		Pipeline: l.pipeline, KMS: targets, Guard: wire.HostGuard{}.Check, Security: security, Log: slog.New(slog.DiscardHandler),
		Ready: l.pipeline.Healthy,
		Authenticate: wire.Verified(sigv4.New(sigv4.Config{
			Services: []string{"kms", "sts"}, Region: func(_, name string) bool { return name == region },
			Lookup: func(_ context.Context, id, _ string) (sigv4.Credential, error) {
				if id != accessKeyID {
					return sigv4.Credential{}, sigv4.ErrUnknownAccessKey
				}
				return sigv4.Credential{SecretAccessKey: secretAccessKey, Subject: caller}, nil
			},
		}), time.Now),
	}), nil
}

// runServer serves a data directory and profiles itself.
func runServer(c roleConfig) (err error) {
	l, err := openLocal(context.Background(), c.DataDir, nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.close()) }()
	h, err := l.handler(c.DataDir, service.RootCaller(account, accessKeyID))
	if err != nil {
		return err
	}
	f, err := os.Create(c.Profile)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if err := pprof.StartCPUProfile(f); err != nil {
		return err
	}
	defer pprof.StopCPUProfile()
	return serve(h, c.Ready)
}

// profile loads one operation on a server that has the profiler on, in a process without the client, and prints where it
// spent its time.
func profile(ctx context.Context, o options, out io.Writer) error {
	dir, err := newDataDir(o.dir, "profile")
	if err != nil {
		return err
	}
	path, err := filepath.Abs(o.cpuprofile)
	if err != nil {
		return err
	}
	server, err := startRole(ctx, roleServer, roleConfig{Ready: filepath.Join(dir, "ready"), DataDir: dir, Profile: path})
	if err != nil {
		return err
	}
	m, err := load(ctx, o, server)
	if err := errors.Join(err, server.stop()); err != nil {
		return err
	}
	fmt.Fprintf(out, "%s: %.0f requests/s, %.1f us CPU each; profile in %s\n", o.operations[0].name, m.perSecond(), m.cpuMicros(), o.cpuprofile)
	top := exec.CommandContext(ctx, "go", "tool", "pprof", "-top", "-nodecount=30", path)
	top.Stdout, top.Stderr = out, os.Stderr
	return top.Run()
}

// load runs one operation for as long as all samples of a bench of it would take.
func load(ctx context.Context, o options, server *child) (sample, error) {
	s, err := newSubject(ctx, server)
	if err != nil {
		return sample{}, err
	}
	request, err := o.operations[0].capture(ctx, s)
	if err != nil {
		return sample{}, err
	}
	return replay(ctx, server, request, o.conns, min(o.duration*time.Duration(o.pairs), maxDuration))
}
