// Package kms has the operations of the AWS KMS API, one file each, and what they share: finding keys, their states, their
// rotation. All of it runs in the pipeline of package service.
package kms

import (
	"crypto/rand"
	"math/big"
	"time"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/nitro"
	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/service"
)

// Config is what the operations need to know of the server they run in.
type Config struct {
	// MaxJitter spreads due times: a key rotates up to this much before its date, and is deleted up to this much after.
	MaxJitter time.Duration
	// HasRegion tells which regions the server has: those that a multi-Region key can be replicated to. Nil: any.
	HasRegion func(string) bool
	// Attestation verifies what enclaves send as Recipient; nil: there is no such thing here.
	Attestation *nitro.Verifier
	// RealTime is what attestation documents are dated by; the service's own time may be elsewhere. Nil: time.Now.
	RealTime func() time.Time
	// Principals tells who there is, for explanations of access; nil: nobody but root users.
	Principals Principals
	// KeysPerRegion is the quota of customer managed keys in an account and region; 0 for the default, 100,000.
	KeysPerRegion int64
	// KeyStores reaches tokens and proxies; nil: there are none here.
	KeyStores KeyStores
	// TokenMessages is how many messages are encrypted under one key of a token before another takes its place; 0 for the default,
	// 2^31. No key ever encrypts twice as many: with random IVs of 96 bits, AES-GCM may have 2^32 (NIST SP 800-38D, section 8.3).
	TokenMessages int64
}

// Quotas, as AWS has them by default.
const (
	defaultKeysPerRegion   = 100_000
	aliasesPerKey          = 50
	tagsPerKey             = 50
	onDemandRotations      = 25
	defaultRotationDays    = 365
	defaultDeletionDays    = 30
	minDeletionDays        = 7
	maxDeletionDays        = 30
	managedRotationDays    = 365
	day                    = 24 * time.Hour
	lateRotation           = day // a rotation later than this starts the period anew
	sweepBatch             = 30  // materials and aliases removed in one commit; each takes up to three writes, a grant as much as two of them
	defaultPolicyName      = "default"
	aliasPrefix            = "alias/"
	awsAliasPrefix         = "alias/aws/"
	symmetricSpec          = "SYMMETRIC_DEFAULT"
	ciphertextUnknownReply = "The ciphertext refers to a customer master key that does not exist, does not exist in this region, or you are not allowed to access."
)

// KMS is the service. Everything is in the store, but for what of the store's message numbers is in use here.
type KMS struct {
	config   Config
	policies policies
	abroad   map[string]bool // actions that other accounts can be allowed
	managed  *service.Op     // makes AWS managed keys
	messages ledger
	pipeline *service.Pipeline // set by Attach

	reserveMessages, destroyTokenKeys *service.Op

	// The service's own work, for the scheduler.
	RotateKey, DeleteKey, SweepKey, ExpireMaterial, ConnectKeyStore *service.Op
}

// New returns the service.
func New(c Config) *KMS {
	if c.KeysPerRegion == 0 {
		c.KeysPerRegion = defaultKeysPerRegion
	}
	if c.HasRegion == nil {
		c.HasRegion = validRegion
	}
	if c.RealTime == nil {
		c.RealTime = time.Now
	}
	if c.Principals == nil {
		c.Principals = nobody{}
	}
	if c.KeyStores == nil {
		c.KeyStores = noKeyStores{}
	}
	if c.TokenMessages == 0 {
		c.TokenMessages = defaultTokenMessages
	}
	k := &KMS{config: c, policies: newPolicies(), abroad: abroad()}
	k.managed = k.createManagedKey()
	k.RotateKey = rotateKey()
	k.DeleteKey = deleteKey(k.leaveKeyStore)
	k.SweepKey = sweepKey()
	k.ExpireMaterial = expireMaterial()
	k.ConnectKeyStore, k.reserveMessages, k.destroyTokenKeys = k.connectKeyStore(), k.reserveTokenMessages(), k.destroyKeys()
	return k
}

// Attach gives the service the pipeline that its operations run in. Keys in tokens need it; call it before anything is served.
func (k *KMS) Attach(p *service.Pipeline) { k.pipeline = p }

// Operations returns every operation of the KMS API, those that are not built included.
func (k *KMS) Operations() []*service.Op {
	ops := []*service.Op{
		k.cancelKeyDeletion(), k.createAlias(), k.createKey(), k.decrypt(), k.deleteAlias(), k.describeKey(), k.disableKey(),
		k.disableKeyRotation(), k.enableKey(), k.enableKeyRotation(), k.encrypt(), k.generateDataKey(),
		k.generateDataKeyWithoutPlaintext(), k.generateRandom(), k.getKeyPolicy(), k.getKeyRotationStatus(), k.listAliases(),
		k.listKeyPolicies(), k.listKeyRotations(), k.listKeys(), k.listResourceTags(), k.putKeyPolicy(), k.reEncrypt(),
		k.rotateKeyOnDemand(), k.scheduleKeyDeletion(), k.tagResource(), k.untagResource(), k.updateAlias(),
		k.updateKeyDescription(), k.sign(), k.verify(), k.getPublicKey(), k.generateMac(), k.verifyMac(), k.deriveSharedSecret(),
		k.encapsulate(), k.decapsulate(), k.generateDataKeyPair(), k.generateDataKeyPairWithoutPlaintext(),
		k.getParametersForImport(), k.importKeyMaterial(), k.deleteImportedKeyMaterial(), k.replicateKey(), k.updatePrimaryRegion(), k.getKeyLastUsage(),
		k.createCustomKeyStore(), k.describeCustomKeyStores(), k.updateCustomKeyStore(), k.connectCustomKeyStore(),
		k.disconnectCustomKeyStore(), k.deleteCustomKeyStore(),
		k.createGrant(), k.listGrants(), k.listRetirableGrants(), k.retireGrant(), k.revokeGrant(),
	}
	built := make(map[string]bool, len(ops))
	for _, op := range ops {
		built[op.Name] = true
	}
	for _, m := range api.KMSOperations() {
		if !built[m.Name] {
			ops = append(ops, service.Unbuilt(m))
		}
	}
	quotas := k.quotas()
	for _, op := range ops {
		op.Quota = quotas[op.Name]
	}
	return ops
}

// Internal returns the operations that are never on the wire.
func (k *KMS) Internal() []*service.Op {
	return []*service.Op{k.managed, k.RotateKey, k.DeleteKey, k.SweepKey, k.ExpireMaterial, k.ConnectKeyStore, k.reserveMessages, k.destroyTokenKeys}
}

func callOwner(tx *service.Tx) record.Owner {
	return record.Owner{Account: tx.Call.Caller.Account, Region: tx.Call.Region}
}

// jitter draws how far a new key's due times lie from its dates.
func (k *KMS) jitter() int64 {
	seconds := int64(k.config.MaxJitter / time.Second)
	if seconds <= 0 {
		return 0
	}
	n, err := rand.Int(rand.Reader, big.NewInt(seconds))
	if err != nil {
		return 0 // rand.Reader never fails
	}
	return n.Int64()
}
