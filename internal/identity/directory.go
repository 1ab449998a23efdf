package identity

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"time"

	"github.com/maypok86/otter/v2"

	"github.com/keyturn/keyturn/internal/policy"
	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/service"
)

// Records is where the directory reads, through a cache that every commit keeps true: *service.Pipeline.
type Records interface {
	Record(ctx context.Context, storeKey string) (record.Record, error)
	Keyring() service.Keyring
}

// Configured is an access key of the configuration file.
type Configured struct {
	Secret string
	Caller *service.Caller
}

// String names whom the access key is for; its secret is not for printing.
func (c Configured) String() string { return "access key of " + c.Caller.ARN }

// Config is what a Directory is made of.
type Config struct {
	// Configured are the access keys of the configuration file, by their IDs.
	Configured map[string]Configured
	// RealTime is what sessions are dated by. Nil: time.Now.
	RealTime func() time.Time
}

// Directory finds out whom credentials stand for. It is safe for concurrent use.
//
// What it has put together it keeps, with the records that it was made of. Each use looks whether the cache still has these very
// records, so a change is in force from its commit on, and costs nobody else anything.
type Directory struct {
	config   Config
	records  Records // set by Attach
	known    *otter.Cache[string, *entry]
	policies *otter.Cache[string, *policy.Compiled]
}

// Credential is what an access key is worth. Its secrets are not for printing.
type Credential struct {
	Secret       string
	SessionToken string // "" of long-term access keys
	Caller       *service.Caller
}

// String names whom the credential stands for.
func (c Credential) String() string { return "credential of " + c.Caller.ARN }

// What credentials can be that are nobody's.
var (
	// ErrUnknown: there is no such access key, or whoever had it is not there any more.
	ErrUnknown = errors.New("identity: unknown credentials")
	// ErrExpired: the session is over.
	ErrExpired = errors.New("identity: expired session")
)

// Bounds of what is kept.
const (
	knownCredentials = 16384
	policiesWeight   = 32 << 20 // bytes, roughly
	compiledFactor   = 8        // a compiled policy takes about so many times its text
)

// NewDirectory returns a Directory. Attach must be called before anything is looked up.
func NewDirectory(c Config) *Directory {
	if c.RealTime == nil {
		c.RealTime = time.Now
	}
	return &Directory{
		config: c,
		known:  otter.Must(&otter.Options[string, *entry]{MaximumSize: knownCredentials}),
		policies: otter.Must(&otter.Options[string, *policy.Compiled]{
			MaximumWeight: policiesWeight,
			Weigher:       func(text string, _ *policy.Compiled) uint32 { return uint32(512 + compiledFactor*len(text)) },
		}),
	}
}

// Attach gives the directory what it reads from.
func (d *Directory) Attach(r Records) { d.records = r }

// IsConfigured tells whether the configuration file has a user of this name in the account.
func (d *Directory) IsConfigured(account, user string) bool {
	for _, c := range d.config.Configured {
		if c.Caller.Account == account && c.Caller.UserName != "" && record.FoldName(c.Caller.UserName) == record.FoldName(user) {
			return true
		}
	}
	return false
}

// ConfiguredCallers returns the users and root users of the configuration file in an account, one for each access key.
func (d *Directory) ConfiguredCallers(account string) []*service.Caller {
	var list []*service.Caller
	for _, c := range d.config.Configured {
		if c.Caller.Account == account {
			list = append(list, c.Caller)
		}
	}
	return list
}

// entry is what an access key ID was found to stand for.
type entry struct {
	credential Credential
	expires    time.Time // zero: never
	token      [32]byte  // digest of the session token
	temporary  bool
	madeOf     []dependency
}

type dependency struct {
	storeKey string
	record   record.Record
}

// Lookup finds whom credentials stand for. The error is ErrUnknown or ErrExpired if nobody.
func (d *Directory) Lookup(ctx context.Context, accessKeyID, sessionToken string) (Credential, error) {
	if e, ok := d.known.GetIfPresent(accessKeyID); ok && d.good(ctx, e, sessionToken) {
		return e.credential, e.expired(d.config.RealTime())
	}
	e, err := d.find(ctx, accessKeyID, sessionToken)
	if err != nil {
		return Credential{}, err
	}
	d.known.Set(accessKeyID, e)
	return e.credential, e.expired(d.config.RealTime())
}

// expired returns ErrExpiredToken for a session that is over.
func (e *entry) expired(now time.Time) error {
	if e.temporary && !now.Before(e.expires) {
		return ErrExpired
	}
	return nil
}

// good tells whether an entry may be used for a token, and is made of what is there now.
func (d *Directory) good(ctx context.Context, e *entry, sessionToken string) bool {
	if !e.temporary && sessionToken != "" {
		return false
	}
	if e.temporary {
		got := digest(sessionToken)
		if subtle.ConstantTimeCompare(got[:], e.token[:]) != 1 {
			return false
		}
	}
	for i := range e.madeOf {
		r, err := d.records.Record(ctx, e.madeOf[i].storeKey)
		if err != nil || r != e.madeOf[i].record {
			return false
		}
	}
	return true
}

// find puts an entry together. What cannot sign in is ErrUnknown.
func (d *Directory) find(ctx context.Context, accessKeyID, sessionToken string) (*entry, error) {
	g := gathering{d: d, ctx: ctx}
	if sessionToken != "" {
		s, err := openSession(d.records.Keyring(), sessionToken)
		if err != nil || subtle.ConstantTimeCompare([]byte(s.AccessKeyID), []byte(accessKeyID)) != 1 {
			return nil, ErrUnknown
		}
		caller, err := g.session(s)
		if err != nil {
			return nil, err
		}
		return &entry{
			credential: Credential{s.Secret, sessionToken, caller},
			expires:    s.Expires, token: digest(sessionToken), temporary: true, madeOf: g.madeOf,
		}, nil
	}
	if c, ok := d.config.Configured[accessKeyID]; ok {
		if err := g.account(c.Caller.Account); err != nil {
			return nil, err
		}
		return &entry{credential: Credential{Secret: c.Secret, Caller: c.Caller}, madeOf: g.madeOf}, nil
	}
	key, err := get[*record.AccessKey](&g, record.AccessKeyStoreKey(accessKeyID))
	if err != nil {
		return nil, err
	}
	if key == nil || !key.Active {
		return nil, ErrUnknown
	}
	var caller *service.Caller
	if key.UserID == "" {
		caller, err = g.root(key.Account, accessKeyID, nil)
	} else {
		caller, err = g.user(key.Account, key.UserID, accessKeyID, nil)
	}
	if err != nil {
		return nil, err
	}
	return &entry{credential: Credential{Secret: key.Secret, Caller: caller}, madeOf: g.madeOf}, nil
}

// Compiled returns a policy document compiled. One that cannot be read is an error: what it denies would be missed.
func (d *Directory) Compiled(document string) (*policy.Compiled, error) {
	if c, ok := d.policies.GetIfPresent(document); ok {
		return c, nil
	}
	p, err := policy.ParseInForce([]byte(document))
	if err != nil {
		return nil, fmt.Errorf("identity: a stored policy cannot be read: %w", err)
	}
	c := policy.Compile(p)
	d.policies.Set(document, c)
	return c, nil
}

// ErrNoPrincipal: there is no such user, role or account.
var ErrNoPrincipal = errors.New("identity: no such principal")

// Principal returns who an ARN stands for, as if it had signed with long-term credentials: a user, a role (as a session of it with no
// name of its own), the session of a role, or the root user. The error is ErrNoPrincipal if there is none.
func (d *Directory) Principal(ctx context.Context, arn string) (*service.Caller, error) {
	p, ok := ParseARN(arn)
	if !ok {
		return nil, ErrNoPrincipal
	}
	g := gathering{d: d, ctx: ctx}
	caller, err := g.principal(p)
	if errors.Is(err, ErrUnknown) {
		return nil, ErrNoPrincipal
	}
	if err != nil {
		return nil, err
	}
	return caller, nil
}

// Find returns the user, group or role of a name: T is *record.User, *record.Group or *record.Role; nil if there is none.
func Find[T record.Record](ctx context.Context, r Records, account string, kind record.PrincipalKind, name string) (T, error) {
	var none T
	g := gathering{d: &Directory{records: r}, ctx: ctx}
	n, err := get[*record.Name](&g, record.NameStoreKey(account, kind, name))
	if err != nil || n == nil || n.Name != name {
		return none, err
	}
	return get[T](&g, record.PrincipalStoreKey(account, kind, n.ID))
}
