package sigv4

import (
	"net/url"
	"strings"
)

const (
	maxQuery  = 16 << 10 // a session token in a query can take several KiB
	maxParams = 64
)

// The query parameters of the presigned form.
const (
	paramAlgorithm     = "X-Amz-Algorithm"
	paramCredential    = "X-Amz-Credential"
	paramDate          = "X-Amz-Date"
	paramExpires       = "X-Amz-Expires"
	paramSignedHeaders = "X-Amz-SignedHeaders"
	paramSignature     = "X-Amz-Signature"
	paramToken         = "X-Amz-Security-Token"
	paramContentSHA256 = "X-Amz-Content-Sha256"
)

// param is one query parameter, decoded.
type param struct{ key, value string }

// parseQuery decodes the query as a handler would (a plus is a space), so that what was signed is what a handler reads.
func (s *scratch) parseQuery(raw string) error {
	if raw == "" {
		return nil
	}
	if len(raw) > maxQuery {
		return errIncomplete("The query-string is too long.")
	}
	for more := true; more; {
		var part string
		part, raw, more = strings.Cut(raw, "&")
		if part == "" {
			continue
		}
		if len(s.params) == maxParams {
			return errIncomplete("The query-string has too many parameters.")
		}
		k, v, _ := strings.Cut(part, "=")
		key, kerr := url.QueryUnescape(k)
		value, verr := url.QueryUnescape(v)
		if kerr != nil || verr != nil {
			return errIncomplete("The query-string is not validly encoded.")
		}
		if strings.HasPrefix(key, "X-Amz-") {
			for _, p := range s.params {
				if p.key == key {
					return errIncomplete("The query-string has an X-Amz-* parameter more than once.")
				}
			}
		}
		s.params = append(s.params, param{key, value})
	}
	return nil
}

// hasAuthParam reports whether the query takes part in authentication.
func (s *scratch) hasAuthParam() bool {
	for _, p := range s.params {
		switch p.key {
		case paramAlgorithm, paramCredential, paramSignature, paramSignedHeaders, paramDate, paramExpires, paramToken:
			return true
		}
	}
	return false
}

// parseQueryForm reads the claim of a presigned request from the decoded query.
func (s *scratch) parseQueryForm(in *Input) error {
	c := &s.claim
	c.presigned = true
	var alg, credential, signature string
	for _, p := range s.params {
		switch p.key {
		case paramAlgorithm:
			alg = p.value
		case paramCredential:
			credential = p.value
		case paramSignature:
			signature = p.value
		case paramSignedHeaders:
			c.signedHeaders = p.value
		case paramDate:
			c.stamp = p.value
		case paramExpires:
			c.expires = p.value
		case paramToken:
			c.token = p.value
		case paramContentSHA256:
			c.contentSHA256 = p.value
		}
	}
	names := []string{paramAlgorithm, paramCredential, paramSignature, paramSignedHeaders, paramDate}
	values := []string{alg, credential, signature, c.signedHeaders, c.stamp}
	if m := missing("AWS query-string parameters must include '%s'. ", names, values); m != "" {
		return errIncomplete(m + " Re-examine the query-string parameters.")
	}
	if alg != algorithm {
		return errAlgorithm()
	}
	// What the query states must not be stated a second time, differently, in a header.
	for _, name := range [...]string{paramDate, paramToken} {
		if len(in.Header[name]) > 0 {
			return errIncomplete("'" + name + "' is in the query-string and in a header. Only one is allowed.")
		}
	}
	sum, err := single(in, paramContentSHA256)
	if err != nil {
		return err
	}
	if sum != "" {
		if c.contentSHA256 != "" && c.contentSHA256 != sum {
			return errContentSHA256()
		}
		c.contentSHA256 = sum
	}
	c.setSignature(signature)
	return c.setCredential(credential)
}
