//go:build torture

package torture

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/audit"
	"github.com/keyturn/keyturn/internal/clock"
	"github.com/keyturn/keyturn/internal/disk/disktest"
	"github.com/keyturn/keyturn/internal/kms"
	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/schedule"
	"github.com/keyturn/keyturn/internal/seal"
	"github.com/keyturn/keyturn/internal/service"
	"github.com/keyturn/keyturn/internal/store"
	"github.com/keyturn/keyturn/internal/store/boltstore"
)

const (
	account = "111122223333"
	region  = "eu-central-1"
)

// syncInterval is no part of two seconds, after which uses of keys are written down: see trial.life.
const syncInterval = 970 * time.Millisecond

var owner = record.Owner{Account: account, Region: region}

// site is the service on a disk, put together as the server does.
type site struct {
	raw    *boltstore.Store
	sealed *seal.Store
	log    *audit.Log
	p      *service.Pipeline
	runner *schedule.Runner
	ops    map[string]*service.Op
}

// layout are the sizes that a schedule draws.
type layout struct{ segment, reserve int64 }

// dataDir and auditDir are where the server has its data.
func dataDir(d *disktest.Disk) string  { return filepath.Join(d.Root(), "data") }
func auditDir(d *disktest.Disk) string { return filepath.Join(dataDir(d), "audit") }

// open starts the service. What was opened before an error is closed again.
func open(d *disktest.Disk, l layout) (s *site, err error) {
	s = new(site)
	defer func() {
		if err != nil {
			_ = s.close()
			s = nil
		}
	}()
	ctx := context.Background()
	if err := d.Mkdir(dataDir(d), 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return s, err
	}
	if err := d.SyncDir(d.Root()); err != nil {
		return s, err
	}
	path := filepath.Join(dataDir(d), "store.db")
	created := false
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		created = true
	}
	if s.raw, err = boltstore.Open(path, boltstore.Options{Create: created, FS: d}); err != nil {
		return s, err
	}
	first, err := s.raw.Scan(ctx, "", "", 1)
	if err != nil {
		return s, err
	}
	if segments, _ := filepath.Glob(filepath.Join(auditDir(d), "audit-*")); len(first) == 0 && len(segments) > 0 {
		return s, fmt.Errorf("%w: an audit log without its store", store.ErrDamaged)
	}
	s.sealed, err = seal.Open(ctx, s.raw, seal.Options{Provider: seal.NewKeyFile(make([]byte, 32)), Now: time.Now()})
	if err != nil {
		return s, err
	}
	node := s.sealed.Keyring().Deployment()[:8]
	s.log, err = audit.Open(auditDir(d), audit.Options{NodeID: node, SegmentBytes: l.segment, ReserveBytes: l.reserve, SyncInterval: syncInterval, FS: d})
	if err != nil {
		return s, err
	}
	quiet := slog.New(slog.DiscardHandler)
	k := kms.New(kms.Config{})
	s.p, err = service.New(ctx, service.Config{
		Store: s.sealed, Keyring: s.sealed.Keyring(), Clock: clock.System{}, Audit: s.log, NodeID: node, Log: quiet, Authorize: k.Authorize,
	})
	if err != nil {
		return s, err
	}
	s.runner = schedule.New(s.p, k, quiet)
	s.ops = service.Table(k.Operations())
	return s, nil
}

// close ends the service in good order, as far as the disk lets it.
func (s *site) close() error {
	var errs []error
	if s.p != nil {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		errs = append(errs, s.p.Close(ctx))
	}
	if s.log != nil {
		errs = append(errs, s.log.Close())
	}
	if s.raw != nil {
		errs = append(errs, s.raw.Close())
	}
	return errors.Join(errs...)
}

// ready returns what the server says at /readyz.
func (s *site) ready() error { return errors.Join(s.sealed.Damage(), s.p.Healthy()) }

// do runs an operation of the KMS API as the account's root user.
func (s *site) do(name, request string, req api.Request) (api.Response, error) {
	call := &service.Call{Caller: service.RootCaller(account, "AKIAEXAMPLE"), Region: region, RequestID: request}
	return s.p.Do(context.Background(), s.ops["kms."+name], call, req, nil)
}
