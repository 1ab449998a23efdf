package sigv4

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strconv"
	"strings"
	"time"
)

// checkScope holds the credential's scope against the service asked for and the regions served.
func (v *Verifier) checkScope(c *claim, service string) error {
	if !slices.Contains(v.cfg.Services, c.service) || service != "" && service != c.service {
		if service == "" {
			service = strings.Join(v.cfg.Services, "', '")
		}
		return errInvalid("Credential should be scoped to correct service: '" + service + "'.")
	}
	if v.cfg.Region == nil || !v.cfg.Region(c.service, c.region) {
		return errInvalid("Credential should be scoped to a valid region.")
	}
	if day := c.stamp[:len("20060102")]; c.date != day {
		return errInvalid("Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '" +
			c.date + "' != '" + day + "', from '" + c.stamp + "'.")
	}
	return nil
}

// checkTime holds the request's date, which has whole seconds, against now, taken to whole seconds so that the two times of the
// message always differ as it says.
func (v *Verifier) checkTime(c *claim, now time.Time) error {
	now = now.UTC().Truncate(time.Second)
	if c.time.After(now.Add(v.cfg.MaxSkew)) {
		return errSkewFuture(c.stamp, now, v.cfg.MaxSkew)
	}
	valid := v.cfg.MaxSkew
	if c.presigned && c.expires != "" {
		// Some signers leave it out: then a presigned request is as old as one with headers may be.
		var err error
		if valid, err = v.parseExpires(c.expires); err != nil {
			return err
		}
	}
	if c.time.Before(now.Add(-valid)) {
		return errSkewPast(c.stamp, now, valid)
	}
	return nil
}

func (v *Verifier) parseExpires(s string) (time.Duration, error) {
	limit := int64(v.cfg.MaxExpires / time.Second)
	n, err := strconv.ParseUint(s, 10, 32)
	switch {
	case err != nil:
		return 0, errIncomplete("X-Amz-Expires must be a number of seconds.")
	case n == 0 || int64(n) > limit:
		return 0, errIncomplete("X-Amz-Expires must be between 1 and " + strconv.FormatInt(limit, 10) + " seconds.")
	}
	return time.Duration(n) * time.Second, nil
}

// checkHeaders wants host and every X-Amz-* header signed, none of the latter twice, and the stated hash of the body right. It
// leaves that hash in s.bodyHash.
func (s *scratch) checkHeaders(in *Input) error {
	if !s.isSigned("host") {
		return errInvalid("'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.")
	}
	for name, values := range in.Header {
		if len(name) < len("X-Amz-") || !strings.EqualFold(name[:len("X-Amz-")], "X-Amz-") {
			continue
		}
		if !s.isSigned(name) {
			return errNotSigned(name)
		}
		// Joined values and a single value with a comma sign alike, but a handler reads only the first of them.
		if len(values) > 1 {
			return errIncomplete("The request has an X-Amz-* header more than once.")
		}
	}
	sum := sha256.Sum256(in.Body)
	hex.Encode(s.bodyHash[:], sum[:])
	if h := s.claim.contentSHA256; h != "" && h != string(s.bodyHash[:]) {
		return errContentSHA256()
	}
	return nil
}

func errContentSHA256() error {
	return errInvalid("The provided 'x-amz-content-sha256' does not match what was computed.")
}

// isSigned compares without regard to case; it is cheap because there are at most maxSigned names.
func (s *scratch) isSigned(name string) bool {
	for _, n := range s.signed {
		if len(n) == len(name) && strings.EqualFold(n, name) {
			return true
		}
	}
	return false
}
