package identity

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/service"
)

// Kind says whose a session is.
type Kind string

// The kinds of sessions.
const (
	RoleSession Kind = "role"
	UserSession Kind = "user"
	RootSession Kind = "root"
	// ConfiguredSession is one of a user, or of the root user, that the configuration file has.
	ConfiguredSession Kind = "configured"
)

// Session is what a session token says. It is the caller's to keep, sealed by the keyring; nothing of it is stored, so that sessions cost
// nothing. What it stands for is looked up with every use.
type Session struct {
	AccessKeyID string    `json:"id"`
	Secret      string    `json:"secret"`
	Kind        Kind      `json:"kind"`
	Account     string    `json:"account"`
	PrincipalID string    `json:"principal,omitempty"` // unique ID of the role or user
	Base        string    `json:"base,omitempty"`      // of a ConfiguredSession: the access key ID in the configuration
	Issued      time.Time `json:"issued"`
	Expires     time.Time `json:"expires"`
	MFA         time.Time `json:"mfa,omitzero"` // when a code was given; zero: none was
	NoMFA       bool      `json:"noMfa,omitempty"`
	Filler      string    `json:"filler,omitempty"` // only there to make the token longer

	// Of a RoleSession.
	Name           string       `json:"name,omitempty"`
	Limited        bool         `json:"limited,omitempty"`  // it was made with session policies
	Inline         string       `json:"inline,omitempty"`   // a session policy
	Policies       []string     `json:"policies,omitempty"` // ARNs of managed session policies, in the partition "aws"
	Tags           []record.Tag `json:"tags,omitempty"`
	Transitive     []string     `json:"transitive,omitempty"`
	SourceIdentity string       `json:"source,omitempty"`
	Provider       string       `json:"provider,omitempty"` // ARN of the identity provider, in the partition "aws"
}

// String names the session; its secret is not for printing.
func (s Session) String() string { return "session " + s.AccessKeyID }

// Credentials are temporary credentials.
type Credentials struct {
	AccessKeyID, SecretAccessKey, SessionToken string
	Expiration                                 time.Time
}

// String names the credentials; their secrets are not for printing.
func (c Credentials) String() string { return "credentials " + c.AccessKeyID }

// sessionPurpose separates session tokens from whatever else the keyring seals.
const sessionPurpose = "keyturn session token v1"

// MaxSessionToken is the longest session token, in characters.
const MaxSessionToken = 8 << 10

// ErrTooPacked is what Mint returns if session policies and tags do not fit into a token.
var ErrTooPacked = errors.New("identity: session policies and tags are too long for a session token")

// Mint completes a session with new credentials and returns them.
func Mint(keyring service.Keyring, s Session) (Credentials, error) {
	s.AccessKeyID, s.Secret = NewAccessKeyID(TemporaryPrefix, s.Account), NewSecret()
	s.Issued, s.Expires = s.Issued.UTC().Truncate(time.Second), s.Expires.UTC().Truncate(time.Second)
	text, err := json.Marshal(&s)
	if err != nil {
		return Credentials{}, fmt.Errorf("identity: encoding a session: %w", err)
	}
	sealed, err := keyring.SealToken(text, sessionPurpose)
	if err != nil {
		return Credentials{}, err
	}
	token := base64.StdEncoding.EncodeToString(sealed)
	if len(token) > MaxSessionToken {
		return Credentials{}, ErrTooPacked
	}
	return Credentials{s.AccessKeyID, s.Secret, token, s.Expires}, nil
}

// errToken: this is no session token of this deployment.
var errToken = errors.New("identity: invalid session token")

// openSession reads a session token.
func openSession(keyring service.Keyring, token string) (*Session, error) {
	if len(token) > MaxSessionToken {
		return nil, errToken
	}
	sealed, err := base64.StdEncoding.Strict().DecodeString(token)
	if err != nil || base64.StdEncoding.EncodeToString(sealed) != token { // line breaks, which decoding passes over
		return nil, errToken
	}
	text, err := keyring.OpenToken(sealed, sessionPurpose)
	if err != nil {
		return nil, errToken
	}
	s := new(Session)
	if err := json.Unmarshal(text, s, json.RejectUnknownMembers(true)); err != nil {
		return nil, errToken
	}
	// Whoever got hold of the keyring before it was replaced can seal what they like, but not have sealed it before that: such a session
	// ends as soon as those that were handed out.
	if retired := keyring.TokenRetired(sealed); s.Expires.Sub(s.Issued) > maxSession || !retired.IsZero() && s.Issued.After(retired.Add(sealSkew)) {
		return nil, errToken
	}
	return s, nil
}

const (
	maxSession = 36 * time.Hour // the longest that GetSessionToken and AssumeRole make
	sealSkew   = time.Minute    // between the dates of the keyring and of a session that was made in the same moment
)

func digest(token string) [sha256.Size]byte { return sha256.Sum256([]byte(token)) }
