package sigv4

import (
	"net/url"
	"strings"
)

// Peek reads the access key ID and the scope that a request claims, without verifying anything: for a server in development
// that trusts everybody and only wants to know as whom. It looks at the Authorization header, then at X-Amz-Credential in the
// query, and is lenient about everything else. Each name returned is 1 to 128 printable ASCII characters; ok is false, and the names
// are empty, if there is no such credential.
func Peek(in *Input) (accessKeyID, region, service string, ok bool) {
	for _, h := range in.Header["Authorization"] {
		if len(h) > maxAuthorization {
			continue
		}
		if _, after, found := strings.Cut(h, "Credential="); found {
			end := strings.IndexAny(after, ", ")
			if end < 0 {
				end = len(after)
			}
			if accessKeyID, region, service, ok = peekCredential(after[:end]); ok {
				return accessKeyID, region, service, true
			}
		}
	}
	if len(in.RawQuery) > maxQuery {
		return "", "", "", false
	}
	for part := range strings.SplitSeq(in.RawQuery, "&") {
		if value, found := strings.CutPrefix(part, paramCredential+"="); found {
			if value, err := url.QueryUnescape(value); err == nil {
				return peekCredential(value)
			}
		}
	}
	return "", "", "", false
}

// peekCredential wants keyid/date/region/service, whatever comes after it.
func peekCredential(credential string) (accessKeyID, region, service string, ok bool) {
	accessKeyID, rest, _ := strings.Cut(credential, "/")
	_, rest, _ = strings.Cut(rest, "/")
	region, rest, _ = strings.Cut(rest, "/")
	service, _, _ = strings.Cut(rest, "/")
	if !printable(accessKeyID, maxKeyID) || !printable(region, maxScopeName) || !printable(service, maxScopeName) {
		return "", "", "", false
	}
	return accessKeyID, region, service, true
}
