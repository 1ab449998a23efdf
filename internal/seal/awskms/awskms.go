// Package awskms is a seal provider that has a key of another key management service encrypt the root key: AWS KMS, or another keyturn. The key
// never leaves that service, which can refuse, log and revoke every use.
package awskms

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/keyturn/keyturn/internal/seal"
	"github.com/keyturn/keyturn/internal/xaes"
)

// ErrOwnSeal: the service that shall open the store is the one whose store it is. Test with errors.Is.
var ErrOwnSeal = errors.New("a keyturn cannot be its own seal: the key that opens its store would be in that store")

const (
	// ProcessHeader goes with every call and holds Config.Process. A process that meets its own refuses the call with OwnSealCode.
	ProcessHeader = "X-Keyturn-Process"
	// OwnSealCode is the error code of such a refusal.
	OwnSealCode = "OwnSealException"
)

// The encryption context (AWS: not secret, in every audit record of the key), by which key policies can be narrowed to one deployment.
const (
	ContextDeployment = "keyturn:deployment" // its ID
	ContextPurpose    = "keyturn:purpose"    // always purpose
	purpose           = "seal"
)

const (
	// DefaultTimeout is the time for one call with its retries.
	DefaultTimeout = 20 * time.Second
	maxARN         = 2048
	maxCiphertext  = 6144 // bytes, AWS's limit for CiphertextBlob
	maxAnswer      = 1 << 20
)

// Config is what a Provider is made of.
type Config struct {
	KeyID    string // ID, ARN or alias of a symmetric encryption key
	Endpoint string // URL; "" for AWS's own
	// AWS has region and credentials, and may have an HTTP client.
	AWS     aws.Config
	Process string        // see ProcessHeader; "" sends none
	Timeout time.Duration // DefaultTimeout if 0
}

// Provider is the seal.Provider, and a seal.Bound.
type Provider struct {
	client     *kms.Client
	key        string
	timeout    time.Duration
	deployment string
}

// New returns a provider. It calls nothing.
func New(c Config) *Provider {
	if c.AWS.HTTPClient == nil {
		c.AWS.HTTPClient = awshttp.NewBuildableClient().WithTransportOptions(func(t *http.Transport) { t.MaxResponseHeaderBytes = 64 << 10 })
	}
	client := kms.NewFromConfig(c.AWS, func(o *kms.Options) {
		if c.Endpoint != "" {
			o.BaseEndpoint = &c.Endpoint // here and not in the configuration, which STS uses as well
		}
		o.HTTPClient = bounded{o.HTTPClient}
		if c.Process != "" {
			o.APIOptions = append(slices.Clip(o.APIOptions), smithyhttp.AddHeaderValue(ProcessHeader, c.Process))
		}
	})
	return &Provider{client: client, key: c.KeyID, timeout: cmp.Or(c.Timeout, DefaultTimeout)}
}

// bounded limits the size of every answer.
type bounded struct{ kms.HTTPClient }

func (b bounded) Do(r *http.Request) (*http.Response, error) {
	resp, err := b.HTTPClient.Do(r)
	if resp != nil && resp.Body != nil {
		resp.Body = http.MaxBytesReader(nil, resp.Body, maxAnswer)
	}
	return resp, err
}

// Name implements seal.Provider.
func (*Provider) Name() string { return "kms" }

// Bind implements seal.Bound.
func (p *Provider) Bind(deployment string) { p.deployment = deployment }

func (p *Provider) context() map[string]string {
	return map[string]string{ContextDeployment: p.deployment, ContextPurpose: purpose}
}

// Seal implements seal.Provider. seal.ErrUnavailable, ErrOwnSeal.
func (p *Provider) Seal(ctx context.Context, root []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	r, err := p.client.Encrypt(ctx, &kms.EncryptInput{KeyId: &p.key, Plaintext: root, EncryptionContext: p.context()})
	if err != nil {
		return nil, p.explain(ctx, err)
	}
	arn := aws.ToString(r.KeyId)
	if len(arn) > maxARN || len(r.CiphertextBlob) == 0 || len(r.CiphertextBlob) > maxCiphertext || bytes.Contains(r.CiphertextBlob, root) {
		return nil, errors.New("the KMS gave an answer that cannot be one of Encrypt")
	}
	b := binary.BigEndian.AppendUint16(nil, uint16(len(arn)))
	return seal.Unbound(append(append(b, arn...), r.CiphertextBlob...)), nil
}

// Unseal implements seal.Provider. Beside seal.ErrWrongKey and seal.ErrDamaged: seal.ErrUnavailable, ErrOwnSeal. Only the configured key will do, whatever
// key the store names: whoever can write the disk could otherwise put a store of their own in this one's place.
func (p *Provider) Unseal(ctx context.Context, sealed []byte) ([]byte, error) {
	arn, blob, err := parse(sealed)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	r, err := p.client.Decrypt(ctx, &kms.DecryptInput{KeyId: &p.key, CiphertextBlob: blob, EncryptionContext: p.context()})
	if err != nil {
		err = p.explain(ctx, err)
		if errors.Is(err, seal.ErrWrongKey) {
			return nil, fmt.Errorf("%w; the store says that it was sealed by %q", err, arn)
		}
		return nil, err
	}
	if len(r.Plaintext) != xaes.KeySize {
		return nil, fmt.Errorf("%w: the KMS decrypts the root key to something else", seal.ErrDamaged)
	}
	return r.Plaintext, nil
}

// parse reads what Seal made: the key's ARN, which is for people only, and the KMS's ciphertext.
func parse(sealed []byte) (arn string, blob []byte, err error) {
	b, err := seal.Params(sealed)
	if err != nil {
		return "", nil, err
	}
	if len(b) < 2 {
		return "", nil, fmt.Errorf("%w: sealed root key is cut short", seal.ErrDamaged)
	}
	n := int(binary.BigEndian.Uint16(b))
	b = b[2:]
	if n > maxARN || len(b) <= n || len(b)-n > maxCiphertext {
		return "", nil, fmt.Errorf("%w: sealed root key has a length that cannot be", seal.ErrDamaged)
	}
	return string(b[:n]), b[n:], nil
}

// explain sorts an error of the SDK into those of package seal, and words it for people. What may pass while nothing changes here, because
// somebody mends it at the KMS, is seal.ErrUnavailable.
func (p *Provider) explain(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); errors.Is(cause, context.Canceled) {
		return cause // the caller's own
	}
	var answer smithy.APIError
	if !errors.As(err, &answer) {
		if ctx.Err() != nil {
			return fmt.Errorf("%w: the KMS does not answer within %v", seal.ErrUnavailable, p.timeout)
		}
		return fmt.Errorf("%w: the KMS cannot be reached: %w", seal.ErrUnavailable, err)
	}
	text := fmt.Sprintf("%s: %q", answer.ErrorCode(), answer.ErrorMessage())
	switch answer.ErrorCode() {
	case OwnSealCode:
		return ErrOwnSeal
	case (*types.IncorrectKeyException)(nil).ErrorCode():
		return fmt.Errorf("%w: key %q of the KMS did not seal it", seal.ErrWrongKey, p.key)
	case (*types.InvalidCiphertextException)(nil).ErrorCode():
		return fmt.Errorf("%w: the KMS does not know the sealed root key: another KMS sealed it, or for another store, or it was altered", seal.ErrWrongKey)
	case (*types.InvalidKeyUsageException)(nil).ErrorCode(), "ValidationException":
		return fmt.Errorf("key %q cannot be a seal: it must be a symmetric encryption key (%s)", p.key, text)
	case (*types.NotFoundException)(nil).ErrorCode():
		return fmt.Errorf("%w: the KMS has no key %q (%s)", seal.ErrUnavailable, p.key, text)
	case (*types.DisabledException)(nil).ErrorCode(), (*types.KMSInvalidStateException)(nil).ErrorCode():
		return fmt.Errorf("%w: key %q cannot be used as it is: enable it, or cancel its deletion (%s)", seal.ErrUnavailable, p.key, text)
	case "AccessDeniedException":
		return fmt.Errorf("%w: the KMS denies the use of key %q (%s)", seal.ErrUnavailable, p.key, text)
	}
	return fmt.Errorf("%w: the KMS refuses (%s)", seal.ErrUnavailable, text)
}
