// Package xks speaks the External Key Store Proxy API, version 1, on both sides: Client asks a proxy to use keys that an external
// key manager holds, Handler is a proxy in front of a Backend. It follows the "External Key Store Proxy API Specification" 1.0.2
// (github.com/aws/aws-kms-xksproxy-api-spec) and, for times and retries, "Monitor external key stores" in the AWS KMS developer
// guide. Either side takes what the other says for hostile.
package xks

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Service is the service name in the scope of a request's signature.
const Service = "kms-xks-proxy"

// Limits of the specification, in bytes unless said otherwise. Its plaintext and AAD limits are what a proxy must at least take;
// here they are what is sent and taken.
const (
	MaxPlaintext = 4300
	MaxAAD       = 8192
	MaxMetadata  = 20 // of a ciphertext
	TagSize      = 16

	maxKeyID    = 128
	maxURIPath  = 128
	maxEndpoint = 128
	maxURI      = 256
	maxFleet    = 10 // entries
	maxUsages   = 10 // entries
)

// Bounds that the specification leaves open.
const (
	maxField   = 2048     // bytes of one field of RequestMetadata; it sets that as the least for ARNs
	maxText    = 1024     // bytes of one text of a health status, or of one key usage
	maxRequest = 64 << 10 // bytes of a request's body, three times what its parts add up to
	maxReply   = 64 << 10 // bytes of a response's body
)

// Values of KeyMetadata and of encryptionAlgorithm.
const (
	KeySpecAES256 = "AES_256"
	UsageEncrypt  = "ENCRYPT"
	UsageDecrypt  = "DECRYPT"
	KeyEnabled    = "ENABLED"
	KeyDisabled   = "DISABLED"

	algorithmGCM = "AES_GCM"
	cdivSHA256   = "SHA_256"
)

// Values of KeyManager.HealthStatus.
const (
	HealthActive      = "ACTIVE"
	HealthDegraded    = "DEGRADED"    // unhealthy, but serving
	HealthUnavailable = "UNAVAILABLE" // not serving
)

// RequestMetadata says which KMS request led to a request to the proxy, for its log and its own authorization. A proxy can trust
// it as far as whoever holds the credential. "" stands for an absent field.
type RequestMetadata struct {
	AWSPrincipalARN string `json:"awsPrincipalArn,omitzero"` // required but for health
	AWSSourceVPC    string `json:"awsSourceVpc,omitzero"`
	AWSSourceVPCE   string `json:"awsSourceVpce,omitzero"`
	KMSKeyARN       string `json:"kmsKeyArn,omitzero"`    // required to encrypt and decrypt
	KMSOperation    string `json:"kmsOperation,omitzero"` // required; any name, known or not
	KMSRequestID    string `json:"kmsRequestId,omitzero"` // required; an opaque string
	KMSViaService   string `json:"kmsViaService,omitzero"`
}

// check returns what is missing from, or too long in, the metadata of a request of this kind.
func (m *RequestMetadata) check(op operation) error {
	for _, f := range [...]struct {
		name, value string
		required    bool
	}{
		{"awsPrincipalArn", m.AWSPrincipalARN, op != opHealth},
		{"awsSourceVpc", m.AWSSourceVPC, false},
		{"awsSourceVpce", m.AWSSourceVPCE, false},
		{"kmsKeyArn", m.KMSKeyARN, op == opEncrypt || op == opDecrypt},
		{"kmsOperation", m.KMSOperation, true},
		{"kmsRequestId", m.KMSRequestID, true},
		{"kmsViaService", m.KMSViaService, false},
	} {
		if f.required && f.value == "" {
			return errors.New(f.name + " is missing from requestMetadata")
		}
		if len(f.value) > maxField {
			return fmt.Errorf("%s is longer than %d bytes", f.name, maxField)
		}
	}
	return nil
}

// Health is the answer to GetHealthStatus.
type Health struct {
	FleetSize    int    // proxies, at least 1
	Vendor       string // of the proxy
	Model        string // of the proxy: product and version
	KeyManager   string // its vendor
	FleetDetails []KeyManager
}

// KeyManager is one external key manager of a fleet, which has 1 to 10.
type KeyManager struct {
	ID           string
	Model        string
	HealthStatus string // HealthActive, HealthDegraded or HealthUnavailable
}

// Serving reports whether any key manager of the fleet can serve. KMS takes a store with none for one out of reach.
func (h *Health) Serving() bool {
	for _, m := range h.FleetDetails {
		if m.HealthStatus == HealthActive || m.HealthStatus == HealthDegraded {
			return true
		}
	}
	return false
}

func (h *Health) check() error {
	if h.FleetSize < 1 {
		return errors.New("xksProxyFleetSize is not a positive number")
	}
	if n := len(h.FleetDetails); n < 1 || n > maxFleet {
		return fmt.Errorf("ekmFleetDetails has %d entries, not 1 to %d", n, maxFleet)
	}
	if !isText(h.Vendor) || !isText(h.Model) || !isText(h.KeyManager) {
		return errors.New("a vendor or model is missing or not a text")
	}
	for _, m := range h.FleetDetails {
		if !isText(m.ID) || !isText(m.Model) {
			return errors.New("an id or model in ekmFleetDetails is missing or not a text")
		}
		switch m.HealthStatus {
		case HealthActive, HealthDegraded, HealthUnavailable:
		default:
			return errors.New("a healthStatus is not one of the specification's")
		}
	}
	return nil
}

// KeyMetadata is the answer to GetKeyMetadata.
type KeyMetadata struct {
	Spec   string   // KeySpecAES256, or what KMS cannot use
	Usage  []string // at most 10; besides UsageEncrypt and UsageDecrypt whatever the key manager knows
	Status string   // KeyEnabled or KeyDisabled
}

// Usable reports whether KMS can make a KMS key of the external key: an enabled AES-256 key that encrypts and decrypts.
func (m *KeyMetadata) Usable() bool {
	encrypt, decrypt := false, false
	for _, u := range m.Usage {
		encrypt = encrypt || u == UsageEncrypt
		decrypt = decrypt || u == UsageDecrypt
	}
	return m.Spec == KeySpecAES256 && m.Status == KeyEnabled && encrypt && decrypt
}

func (m *KeyMetadata) check() error {
	if !isText(m.Spec) {
		return errors.New("keySpec is missing or not a text")
	}
	if m.Status != KeyEnabled && m.Status != KeyDisabled {
		return errors.New("keyStatus is not one of the specification's")
	}
	if len(m.Usage) > maxUsages {
		return fmt.Errorf("keyUsage has more than %d entries", maxUsages)
	}
	for _, u := range m.Usage {
		if !isText(u) {
			return errors.New("an entry of keyUsage is not a text")
		}
	}
	return nil
}

// isText reports whether s is 1 to maxText bytes of UTF-8 without control characters, which could forge lines of a log.
func isText(s string) bool {
	return s != "" && len(s) <= maxText && utf8.ValidString(s) && !strings.ContainsFunc(s, unicode.IsControl)
}

// EncryptRequest is what to encrypt. It does not print its plaintext.
type EncryptRequest struct {
	Plaintext       []byte // 1 to MaxPlaintext bytes
	AAD             []byte // at most MaxAAD bytes; nil and empty are the same
	RequestMetadata RequestMetadata
}

// Format hides the plaintext from every verb of fmt.
func (EncryptRequest) Format(f fmt.State, _ rune) {
	_, _ = io.WriteString(f, "xks.EncryptRequest(redacted)")
}

// LogValue hides the plaintext from slog.
func (EncryptRequest) LogValue() slog.Value { return slog.StringValue("xks.EncryptRequest(redacted)") }

// DecryptRequest is what to decrypt.
type DecryptRequest struct {
	Ciphertext      *Ciphertext // as Encrypt returned it
	AAD             []byte      // as it was given to Encrypt
	RequestMetadata RequestMetadata
}
