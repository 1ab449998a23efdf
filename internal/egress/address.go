package egress

import (
	"fmt"
	"net/netip"
)

// refused4 are the IPv4 blocks that no server on the public internet has an address in: those of the IANA IPv4 Special-Purpose
// Address Registry (RFC 6890) that are not globally reachable, the 6to4 relays (RFC 7526), multicast (RFC 5771) and class E.
var refused4 = prefixes(
	"0.0.0.0/8",       // this network; on many systems 0.0.0.0 is the machine itself
	"10.0.0.0/8",      // private use
	"100.64.0.0/10",   // carrier-grade NAT
	"127.0.0.0/8",     // loopback
	"169.254.0.0/16",  // link-local, where clouds have their instance metadata
	"172.16.0.0/12",   // private use
	"192.0.0.0/24",    // IETF protocol assignments
	"192.0.2.0/24",    // documentation
	"192.88.99.0/24",  // 6to4 relay anycast
	"192.168.0.0/16",  // private use
	"198.18.0.0/15",   // benchmarking
	"198.51.100.0/24", // documentation
	"203.0.113.0/24",  // documentation
	"224.0.0.0/4",     // multicast
	"240.0.0.0/4",     // reserved, and the limited broadcast address
)

// global6 is the only IPv6 block that addresses are assigned from (IANA IPv6 Global Unicast Address Space). Loopback, the
// unspecified address, IPv4-compatible, unique local, link-local, site-local and multicast addresses are all outside of it.
var global6 = netip.MustParsePrefix("2000::/3")

// refused6 are the blocks of global6 that are not globally reachable, or that lead into an IPv4 network.
var refused6 = prefixes(
	"2001::/23",     // IETF protocol assignments, Teredo and ORCHID among them
	"2001:db8::/32", // documentation
	"2002::/16",     // 6to4, which carries an IPv4 address
	"3fff::/20",     // documentation
)

// nat64 is the well-known prefix under which a NAT64 gateway reaches IPv4 (RFC 6052). The last 32 bits are the IPv4 address.
var nat64 = netip.MustParsePrefix("64:ff9b::/96")

func prefixes(list ...string) []netip.Prefix {
	out := make([]netip.Prefix, len(list))
	for i, s := range list {
		out[i] = netip.MustParsePrefix(s)
	}
	return out
}

func anyContains(list []netip.Prefix, a netip.Addr) bool {
	for _, p := range list {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// Public reports whether a is the address of a host on the public internet. An IPv4-mapped address is judged as the IPv4 address
// that it stands for, and so is one under the well-known prefix of NAT64.
func Public(a netip.Addr) bool {
	if !a.IsValid() {
		return false
	}
	a = a.Unmap().WithZone("")
	switch {
	case a.Is4():
		return !anyContains(refused4, a)
	case nat64.Contains(a):
		b := a.As16()
		return Public(netip.AddrFrom4([4]byte(b[12:])))
	}
	return global6.Contains(a) && !anyContains(refused6, a)
}

// allowList is who may be connected to besides public hosts. Its prefixes are masked, and none is IPv4-mapped.
type allowList []netip.Prefix

// newAllowList puts the prefixes into the form that addresses are compared in. A typing mistake must not allow more than was
// meant, so a prefix with bits set beyond its length is an error.
func newAllowList(list []netip.Prefix) (allowList, error) {
	var out allowList
	for _, p := range list {
		if !p.IsValid() {
			return nil, fmt.Errorf("egress: %q is not a valid prefix", p)
		}
		if p != p.Masked() {
			return nil, fmt.Errorf("egress: prefix %s has bits set beyond its length", p)
		}
		if a := p.Addr(); a.Is4In6() {
			if p.Bits() < 96 {
				return nil, fmt.Errorf("egress: prefix %s is wider than all IPv4-mapped addresses", p)
			}
			p = netip.PrefixFrom(a.Unmap(), p.Bits()-96)
		}
		out = append(out, p)
	}
	return out, nil
}

// permits reports whether a connection to a may be made. What cannot be a server is refused whatever is configured.
func (l allowList) permits(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	if !a.IsValid() || a.IsUnspecified() || a.IsMulticast() {
		return false
	}
	return anyContains(l, a) || Public(a)
}
