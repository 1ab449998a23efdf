package xks

import (
	"errors"
	"strconv"
	"strings"
)

// apiPath ends every XksProxyUriPath of version 1.
const apiPath = "/kms/xks/v1"

// operation is one of the four requests.
type operation int

const (
	opHealth operation = iota
	opMetadata
	opEncrypt
	opDecrypt
)

// names are those of the specification, and of AWS's metrics.
var names = [...]string{opHealth: "GetHealthStatus", opMetadata: "GetKeyMetadata", opEncrypt: "Encrypt", opDecrypt: "Decrypt"}

// String returns the operation's name.
func (op operation) String() string { return names[op] }

// suffixes follow "/keys/ID" in the URI.
var suffixes = [...]string{opMetadata: "/metadata", opEncrypt: "/encrypt", opDecrypt: "/decrypt"}

// Errors of the checks of this file. They hold no part of what was checked.
var (
	// ErrEndpoint: not an XksProxyUriEndpoint.
	ErrEndpoint = errors.New("xks: the endpoint is not https:// and a host name, with a port or without")
	// ErrURIPath: not an XksProxyUriPath of version 1.
	ErrURIPath = errors.New("xks: the URI path is not a prefix of letters, digits, '-' and '_' between slashes, followed by " + apiPath)
	// ErrCredential: not an XksProxyAuthenticationCredential.
	ErrCredential = errors.New("xks: the credential is not an access key ID of 20 to 30 characters A-Z and 2-7 with a secret of " +
		"43 to 64 characters a-z, A-Z, 0-9, '/', '+' and '='")
)

// CheckEndpoint returns ErrEndpoint unless e is "https://", a host name and nothing else or a port, of at most 128 bytes. KMS takes
// no port: keyturn's key stores stand in networks where another service may have 443.
func CheckEndpoint(e string) error {
	host, ok := strings.CutPrefix(e, "https://")
	if !ok || len(e) > maxEndpoint {
		return ErrEndpoint
	}
	if name, port, found := strings.Cut(host, ":"); found {
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 || port != strconv.FormatUint(n, 10) {
			return ErrEndpoint
		}
		host = name
	}
	if host == "" || !only(host, isHostChar) || host[0] == '.' || host[0] == '-' || strings.Contains(host, "..") {
		return ErrEndpoint
	}
	return nil
}

// CheckURIPath returns ErrURIPath unless p is "/kms/xks/v1", which a prefix may stand before, of at most 128 bytes in all. Empty
// segments are refused: a signature covers the path without them.
func CheckURIPath(p string) error {
	prefix, ok := strings.CutSuffix(p, apiPath)
	if !ok || len(p) > maxURIPath || !only(prefix, func(c byte) bool { return isAlphanumeric(c) || c == '/' || c == '_' || c == '-' }) {
		return ErrURIPath
	}
	if prefix != "" && (prefix[0] != '/' || strings.HasSuffix(prefix, "/") || strings.Contains(prefix, "//")) {
		return ErrURIPath
	}
	return nil
}

// CheckCredential returns ErrCredential unless both have the form that KMS asks for.
func CheckCredential(accessKeyID, secretAccessKey string) error {
	if len(accessKeyID) < 20 || len(accessKeyID) > 30 || len(secretAccessKey) < 43 || len(secretAccessKey) > 64 {
		return ErrCredential
	}
	if !only(accessKeyID, func(c byte) bool { return 'A' <= c && c <= 'Z' || '2' <= c && c <= '7' }) ||
		!only(secretAccessKey, func(c byte) bool { return isAlphanumeric(c) || c == '/' || c == '+' || c == '=' }) {
		return ErrCredential
	}
	return nil
}

// ValidKeyID reports whether id can be the ID of an external key: 1 to 128 letters, digits, '-', '.' and '_'. "." and ".." are
// not: whatever handles URIs on the way would take them for something else.
func ValidKeyID(id string) bool {
	return id != "" && len(id) <= maxKeyID && id != "." && id != ".." &&
		only(id, func(c byte) bool { return isAlphanumeric(c) || c == '-' || c == '.' || c == '_' })
}

// route returns what the rest of a URI path after its prefix asks for. The key ID has not been checked.
func route(rest string) (op operation, keyID string, ok bool) {
	if rest == "/health" {
		return opHealth, "", true
	}
	keyID, ok = strings.CutPrefix(rest, "/keys/")
	if !ok {
		return 0, "", false
	}
	slash := strings.IndexByte(keyID, '/')
	if slash < 0 {
		return 0, "", false
	}
	for op := opMetadata; op <= opDecrypt; op++ {
		if keyID[slash:] == suffixes[op] {
			return op, keyID[:slash], true
		}
	}
	return 0, "", false
}

// uriPath is the inverse of route, with the prefix.
func uriPath(prefix string, op operation, keyID string) string {
	if op == opHealth {
		return prefix + "/health"
	}
	return prefix + "/keys/" + keyID + suffixes[op]
}

func only(s string, ok func(byte) bool) bool {
	for i := range len(s) {
		if !ok(s[i]) {
			return false
		}
	}
	return true
}

func isAlphanumeric(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}

func isHostChar(c byte) bool { return isAlphanumeric(c) || c == '.' || c == '-' }
