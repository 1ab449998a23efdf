package wire

import (
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
)

// HostGuard keeps web pages away from a server that trusts everybody who can reach it. A page that a browser has open could
// otherwise use it, by sending requests to localhost or by making its own name resolve there (DNS rebinding).
type HostGuard struct {
	// Names are the host names answered to, beside loopback names and addresses.
	Names []string
	// Remote also answers to addresses and to names without a dot, which containers have for each other: neither can be
	// made to resolve to another address by the owner of a public domain.
	Remote bool
}

// Check is a Config.Guard.
func (g HostGuard) Check(r *http.Request) (status int, reason string) {
	if !g.hostAllowed(r.Host) {
		return http.StatusForbidden, "keyturn: this Host name is not answered; add it with --host"
	}
	switch site := r.Header.Values("Sec-Fetch-Site"); {
	case len(site) == 0, len(site) == 1 && (site[0] == "same-origin" || site[0] == "none"):
	default:
		return http.StatusForbidden, "keyturn: cross-site requests are refused"
	}
	for _, origin := range r.Header.Values("Origin") {
		u, err := url.Parse(origin)
		if err != nil || u.Host == "" || !strings.EqualFold(u.Host, r.Host) {
			return http.StatusForbidden, "keyturn: cross-origin requests are refused"
		}
	}
	return 0, ""
}

func (g HostGuard) hostAllowed(host string) bool {
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	name = strings.ToLower(strings.TrimSuffix(strings.Trim(name, "[]"), "."))
	if name == "localhost" || strings.HasSuffix(name, ".localhost") {
		return true
	}
	if ip, err := netip.ParseAddr(name); err == nil {
		return ip.IsLoopback() || g.Remote
	}
	if slices.ContainsFunc(g.Names, func(n string) bool { return strings.EqualFold(n, name) }) {
		return true
	}
	return g.Remote && name != "" && !strings.Contains(name, ".")
}
