package sigv4

import (
	"strings"
	"time"
)

const (
	algorithm   = "AWS4-HMAC-SHA256"
	terminator  = "aws4_request"
	stampLayout = "20060102T150405Z"

	maxAuthorization = 8 << 10
	maxSigned        = 64  // signed headers
	maxKeyID         = 128 // the longest that the IAM API takes
	maxScopeName     = 64  // region, service
	maxNameEcho      = 64
)

// claim is what a request says about its signature, unverified.
type claim struct {
	keyID, date, region, service string // the credential's scope; its terminator has been checked
	scope                        string // date/region/service/aws4_request as received
	signedHeaders                string // as received
	stamp                        string // the request's date as received
	time                         time.Time
	token                        string
	contentSHA256                string // "" if the request does not state it
	expires                      string
	presigned                    bool
	signature                    [32]byte
	signatureOK                  bool // signature is 64 lower-case hexadecimal digits
}

// parse reads the claim from the header or the query.
func (s *scratch) parse(in *Input) error {
	if err := s.parseQuery(in.RawQuery); err != nil {
		return err
	}
	auth, presigned := in.Header["Authorization"], s.hasAuthParam()
	switch {
	case len(auth) > 1:
		return errIncomplete("The request has more than one Authorization header.")
	case len(auth) == 1 && auth[0] != "" && presigned:
		return errIncomplete("The request is signed in the Authorization header and in the query-string. Only one is allowed.")
	case len(auth) == 1 && auth[0] != "":
		if err := s.parseHeaderForm(auth[0], in); err != nil {
			return err
		}
	case presigned:
		if err := s.parseQueryForm(in); err != nil {
			return err
		}
	default:
		return errMissing()
	}
	if err := s.splitSignedHeaders(); err != nil {
		return err
	}
	// time.Parse would take a fraction of a second, too; the length rules that out.
	t, err := time.Parse(stampLayout, s.claim.stamp)
	if err != nil || len(s.claim.stamp) != len(stampLayout) {
		return errIncomplete("Date must be in ISO-8601 'basic format'.")
	}
	s.claim.time = t
	return nil
}

func (s *scratch) parseHeaderForm(auth string, in *Input) error {
	c := &s.claim
	a, err := parseAuthorization(auth)
	if err != nil {
		return err
	}
	if c.stamp, err = single(in, paramDate); err != nil {
		return err
	}
	if c.stamp == "" {
		if c.stamp, err = single(in, "Date"); err != nil {
			return err
		}
	}
	if a.credential == "" || a.signedHeaders == "" || a.signature == "" || c.stamp == "" {
		const sentence = "Authorization header requires '%s' parameter. "
		message := missing(sentence, []string{"Credential", "Signature", "SignedHeaders"},
			[]string{a.credential, a.signature, a.signedHeaders})
		if c.stamp == "" {
			message += " Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header."
		}
		return errIncomplete(strings.TrimSpace(message))
	}
	if c.token, err = single(in, paramToken); err != nil {
		return err
	}
	if c.contentSHA256, err = single(in, paramContentSHA256); err != nil {
		return err
	}
	c.signedHeaders = a.signedHeaders
	c.setSignature(a.signature)
	return c.setCredential(a.credential)
}

func errAlgorithm() error {
	return errIncomplete("Unsupported AWS 'algorithm'. It must be '" + algorithm + "'.")
}

// authorization is the parsed header; "" stands for an absent parameter.
type authorization struct {
	credential, signedHeaders, signature string
}

// parseAuthorization takes "AWS4-HMAC-SHA256 Credential=..., SignedHeaders=..., Signature=..." with the parameters in any order,
// each at most once, and nothing else. Spaces may surround the commas.
func parseAuthorization(h string) (authorization, error) {
	var a authorization
	if len(h) > maxAuthorization {
		return a, errIncomplete("The Authorization header is too long.")
	}
	alg, rest, _ := strings.Cut(h, " ")
	if alg != algorithm {
		return a, errAlgorithm()
	}
	for rest = strings.Trim(rest, " "); rest != ""; {
		var field string
		var more bool
		field, rest, more = strings.Cut(rest, ",")
		name, value, ok := strings.Cut(strings.Trim(field, " "), "=")
		if !ok || name == "" || more && strings.Trim(rest, " ") == "" {
			return a, errIncomplete("The Authorization header has a part that is not a valid key=value pair.")
		}
		var p *string
		switch name {
		case "Credential":
			p = &a.credential
		case "SignedHeaders":
			p = &a.signedHeaders
		case "Signature":
			p = &a.signature
		default:
			return a, errIncomplete("The Authorization header has an unknown parameter.")
		}
		if *p != "" {
			return a, errIncomplete("The Authorization header has '" + name + "' more than once.")
		}
		if value == "" {
			return a, errIncomplete("The Authorization header has no value for '" + name + "'.")
		}
		*p = value
	}
	return a, nil
}

// setCredential splits keyid/date/region/service/aws4_request.
func (c *claim) setCredential(credential string) error {
	keyID, scope, _ := strings.Cut(credential, "/")
	date, rest, _ := strings.Cut(scope, "/")
	region, rest, _ := strings.Cut(rest, "/")
	service, term, ok := strings.Cut(rest, "/")
	if !ok || strings.Contains(term, "/") || !printable(keyID, maxKeyID) || !printable(region, maxScopeName) ||
		!printable(service, maxScopeName) || len(date) != len("20060102") || !printable(date, len(date)) {
		return errIncomplete("Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term.")
	}
	if term != terminator {
		return errInvalid("Credential should be scoped with a valid terminator: '" + terminator + "'.")
	}
	c.keyID, c.date, c.region, c.service, c.scope = keyID, date, region, service, scope
	return nil
}

// setSignature decodes the signature. One that is malformed is not told apart from one that is wrong.
func (c *claim) setSignature(sig string) {
	if len(sig) != 2*len(c.signature) {
		return
	}
	for i := range c.signature {
		hi, ok1 := lowerHex(sig[2*i])
		lo, ok2 := lowerHex(sig[2*i+1])
		if !ok1 || !ok2 {
			return
		}
		c.signature[i] = hi<<4 | lo
	}
	c.signatureOK = true
}

// lowerHex is stricter than encoding/hex, which takes upper case, too: a signature shall have one spelling only.
func lowerHex(c byte) (byte, bool) {
	switch {
	case '0' <= c && c <= '9':
		return c - '0', true
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10, true
	}
	return 0, false
}

// splitSignedHeaders fills s.signed with the names, which must be lower case, sorted and unique, as every signer writes them.
func (s *scratch) splitSignedHeaders() error {
	prev, list, from := "", s.claim.signedHeaders, 0
	for i := 0; i <= len(list); i++ {
		if i < len(list) && list[i] != ';' {
			if !isLowerToken(list[i]) {
				return errSignedHeaders()
			}
			continue
		}
		name := list[from:i]
		if name <= prev || len(name) > maxHeaderName {
			return errSignedHeaders()
		}
		if len(s.signed) == maxSigned {
			return errIncomplete("The request has too many SignedHeaders.")
		}
		s.signed = append(s.signed, name)
		prev, from = name, i+1
	}
	return nil
}

func errSignedHeaders() error {
	return errIncomplete("SignedHeaders must be lower case, sorted and unique header names, separated by semicolons.")
}

// single returns the one value of a header, "" if it is absent.
func single(in *Input, name string) (string, error) {
	switch v := in.Header[name]; len(v) {
	case 0:
		return "", nil
	case 1:
		return v[0], nil
	}
	return "", errIncomplete("The request has more than one " + name + " header.")
}

// printable reports whether s is 1 to limit ASCII characters without space and controls.
func printable(s string, limit int) bool {
	if s == "" || len(s) > limit {
		return false
	}
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7f {
			return false
		}
	}
	return true
}
