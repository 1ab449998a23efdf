// Package operator has keyturn's own operations for those who run a deployment: its seal, and what else concerns all accounts. Only
// principals of the account that manages the others may call them, as their IAM policies allow.
package operator

import (
	"context"
	"log/slog"
	"time"

	"github.com/keyturn/keyturn/internal/accounts"
	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/audit"
	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/seal"
	"github.com/keyturn/keyturn/internal/service"
	"github.com/keyturn/keyturn/internal/verify"
)

// Config is what the operations need of the server they run in.
type Config struct {
	Accounts *accounts.Accounts
	Seal     *seal.Store
	Verify   *verify.Runner
	RealTime func() time.Time
	// Believed is real time, but not what a clock tells that has jumped, nor before somebody has looked at a restored store: for what destroys.
	// Nil: RealTime.
	Believed func() time.Time
	// Provider returns the seal provider that the configuration names by now, to migrate to; nil: this server has no configuration.
	Provider func(ctx context.Context) (seal.Provider, error)
	// Owner is the account and region that the service's own events are recorded for.
	Owner record.Owner
	// Destruction: what is zero is the default.
	Destruction Destruction
	Log         *slog.Logger
	// Pipeline, Audit and Keyturn, the version of the program, are for backups.
	Pipeline *service.Pipeline
	Audit    audit.Sink
	Keyturn  string
}

// Operator is the service.
type Operator struct {
	config Config
	// These are Internal: they put into the audit log what the service does by itself.
	rotated, destroyed, migrated, completed, aborted, scrubbed, verified, repaired, began *service.Op

	backups chan struct{} // holds one for each backup that is being made
	scrubs  scrubs
}

// New returns the service.
func New(c Config) *Operator {
	c.Destruction = c.Destruction.orDefault()
	if c.Believed == nil {
		c.Believed = c.RealTime
	}
	o := &Operator{
		config: c, completed: completeBackup(), aborted: abortBackup(), backups: make(chan struct{}, maxBackups),
		scrubs: scrubs{wake: make(chan struct{}, 1)},
	}
	o.scrubbed = o.recordScrub()
	o.rotated, o.destroyed, o.migrated = o.rotateByItself(), o.destroyVersions(), o.migratedAtStart()
	o.verified, o.repaired, o.began = o.completeVerification(), o.repairStore(), o.beginAuditLog()
	return o
}

// sure is a time that has come for certain: the earlier one of what the clock tells and what is believed of it.
func (o *Operator) sure() time.Time {
	real, believed := o.config.RealTime(), o.config.Believed()
	if believed.Before(real) {
		return believed
	}
	return real
}

// dated is what new keys of the seal are dated with: the later one of what the clock tells and what is believed of it. Of a clock that is behind it
// makes no version that seems to have replaced its predecessor long ago; of one that is ahead it may be too late, and counts until the keyring rotates
// next, which is as soon as the clock is right (see seal.Store.Maintain).
func (o *Operator) dated() time.Time {
	real, believed := o.config.RealTime(), o.config.Believed()
	if believed.After(real) {
		return believed
	}
	return real
}

// Operations returns the operations for callers.
func (o *Operator) Operations() []*service.Op {
	return []*service.Op{
		o.getSealStatus(), o.rotateKeyring(), o.rotateRootKey(), o.migrateSeal(), o.createBackup(), o.compactStore(), o.getCompaction(),
		o.startVerification(), o.getVerification(),
	}
}

// target is the one target of an operation on the deployment: there is but one, so policies name no resource.
func (o *Operator) target(action string) func(*service.Tx) ([]service.Target, error) {
	return func(tx *service.Tx) ([]service.Target, error) { return o.config.Accounts.DeploymentTarget(tx, action) }
}

// resolve is a target as operations want it.
func resolve[Q any](f func(*service.Tx) ([]service.Target, error)) func(*service.Tx, *Q) ([]service.Target, error) {
	return func(tx *service.Tx, _ *Q) ([]service.Target, error) { return f(tx) }
}

// status is the seal's as answers have it.
func (o *Operator) status() *api.SealStatus {
	st := o.config.Seal.Status()
	s := &api.SealStatus{
		DeploymentId: api.Some(st.Deployment), DataFormat: api.Some(int64(st.Format)), Provider: api.Some(st.Provider),
		KeyringVersion: api.Some(int64(st.Version)), KeyringCreationDate: api.Some(st.Created), NextKeyringRotationDate: api.Some(st.Rotation),
		ResealedVersion: api.Some(int64(st.Resealed)), KeyringVersions: []api.KeyringVersion{},
	}
	if !st.RootCreated.IsZero() {
		s.RootKeyCreationDate = api.Some(st.RootCreated)
	}
	if p := st.Progress; p != nil {
		s.Resealing = &api.ResealingProgress{TargetVersion: api.Some(int64(p.Target)), Done: api.Some(p.Done), Total: api.Some(p.Total)}
	}
	for _, v := range st.Versions {
		k := api.KeyringVersion{Version: api.Some(int64(v.Version)), CreationDate: api.Some(v.Created)}
		if !v.Retired.IsZero() {
			k.RetirementDate = api.Some(v.Retired)
		}
		if !v.Destroyed.IsZero() {
			k.DestructionDate = api.Some(v.Destroyed)
		}
		s.KeyringVersions = append(s.KeyringVersions, k)
	}
	s.KeyringVersionsLeft, s.KeyringRotationsLeft = api.Some(int64(st.Left)), api.Some(int64(st.LeftOnDemand))
	return s
}

// Owner is the account and region that the service's own events are recorded for.
func (o *Operator) Owner() record.Owner { return o.config.Owner }

// Status is the seal's.
func (o *Operator) Status() seal.Status { return o.config.Seal.Status() }
