package doctor

import (
	"fmt"
	"net"
	"strings"
	"time"
)

const (
	expiresSoon = 30 * 24 * time.Hour
	expiresNow  = 7 * 24 * time.Hour
)

var tlsChecks = []Check{
	{ID: "tls-pair", Title: "Certificate and key belong together", Needs: Loaded, Eval: withPair(func(_ *Facts, c *Certificate) []Finding {
		if c.Weak != "" {
			return one(Fail, c.Weak, "have a certificate made for a new key: ECDSA P-256, or RSA with 3072 bits")
		}
		return ok("%s", c.Subject)
	})},
	{ID: "tls-expiry", Title: "The certificate is valid", Needs: Loaded, Eval: withPair(func(f *Facts, c *Certificate) []Finding { return expiry(f.Now, c) })},
	{ID: "tls-names", Title: "The certificate names the server", Needs: Loaded, Eval: withPair(func(f *Facts, c *Certificate) []Finding {
		host, _, _ := net.SplitHostPort(f.Config.Listen)
		ip := net.ParseIP(host)
		switch {
		case len(c.Names) == 0:
			return one(Fail, "the certificate names no host (subjectAltName): no client accepts it", "have one made with the names that clients use")
		case host == "" || ip != nil && (ip.IsUnspecified() || ip.IsLoopback()):
			return ok("%s", strings.Join(c.Names, ", "))
		case c.Matches != nil && c.Matches(host) != nil:
			return one(Warn, fmt.Sprintf("the certificate is for %s, and listen says %s", strings.Join(c.Names, ", "), host), "check that clients use one of the names")
		}
		return ok("%s", strings.Join(c.Names, ", "))
	})},
}

// withPair makes a check of the certificate in the configured files.
func withPair(eval func(*Facts, *Certificate) []Finding) func(*Facts) []Finding {
	return func(f *Facts) []Finding {
		switch p := &f.Config.Pair; {
		case f.Config.PlainHTTP:
			return skip("the server speaks plain HTTP on this machine")
		case !p.Known:
			return skip("the certificate cannot be read: %s", p.Why)
		default:
			return eval(f, &p.V)
		}
	}
}

func expiry(now time.Time, c *Certificate) []Finding {
	left := c.NotAfter.Sub(now)
	const fix = "renew it; a running server reads the new files by itself"
	switch {
	case now.Before(c.NotYet):
		return one(Fail, "it is valid from "+date(c.NotYet)+" on", "look at the clock, or have it made again")
	case left <= 0:
		return one(Fail, "it expired on "+date(c.NotAfter), fix)
	case left < expiresNow:
		return one(Fail, fmt.Sprintf("it expires on %s, in %s", date(c.NotAfter), days(left)), fix)
	case left < expiresSoon:
		return one(Warn, fmt.Sprintf("it expires on %s, in %s", date(c.NotAfter), days(left)), fix)
	}
	return ok("until %s", date(c.NotAfter))
}

func date(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 MST") }

func days(d time.Duration) string {
	if d < 48*time.Hour {
		return fmt.Sprintf("%d hours", int(d.Hours()))
	}
	return fmt.Sprintf("%d days", int(d.Hours()/24))
}
