package egress

import (
	"net/netip"
	"testing"
)

func TestPublic(t *testing.T) {
	for _, tt := range []struct {
		address string
		want    bool
	}{
		{"1.1.1.1", true},
		{"8.8.8.8", true},
		{"100.63.255.255", true},
		{"100.128.0.0", true},
		{"172.15.255.255", true},
		{"172.32.0.0", true},
		{"192.0.1.1", true},
		{"198.17.255.255", true},
		{"198.20.0.0", true},
		{"223.255.255.255", true},
		{"2606:4700:4700::1111", true},
		{"2001:4860:4860::8888", true},
		{"2001:200::1", true},
		{"64:ff9b::1.1.1.1", true},
		{"::ffff:1.1.1.1", true},

		{"0.0.0.0", false},
		{"0.1.2.3", false},
		{"10.0.0.1", false},
		{"10.255.255.255", false},
		{"100.64.0.0", false},
		{"100.100.100.200", false},
		{"100.127.255.255", false},
		{"127.0.0.1", false},
		{"127.255.255.254", false},
		{"169.254.169.254", false},
		{"172.16.0.0", false},
		{"172.31.255.255", false},
		{"192.0.0.192", false},
		{"192.0.2.1", false},
		{"192.88.99.1", false},
		{"192.168.0.1", false},
		{"198.18.0.1", false},
		{"198.19.255.255", false},
		{"198.51.100.1", false},
		{"203.0.113.1", false},
		{"224.0.0.1", false},
		{"239.255.255.255", false},
		{"240.0.0.1", false},
		{"255.255.255.255", false},

		{"::", false},
		{"::1", false},
		{"::127.0.0.1", false}, // IPv4-compatible
		{"::1.1.1.1", false},
		{"::ffff:0.0.0.0", false},
		{"::ffff:10.0.0.1", false},
		{"::ffff:127.0.0.1", false},
		{"::ffff:169.254.169.254", false},
		{"::ffff:0:127.0.0.1", false}, // IPv4-translated, RFC 2765
		{"64:ff9b::10.0.0.1", false},
		{"64:ff9b::7f00:1", false},
		{"64:ff9b:1::1.1.1.1", false}, // local-use NAT64, RFC 8215
		{"100::1", false},             // discard
		{"2001::1", false},            // Teredo
		{"2001:2::1", false},          // benchmarking
		{"2001:10::1", false},         // ORCHID
		{"2001:db8::1", false},
		{"2002:7f00:1::1", false}, // 6to4 of 127.0.0.1
		{"2002:101:101::1", false},
		{"3fff::1", false},
		{"4000::1", false}, // not assigned
		{"5f00::1", false}, // segment routing
		{"fc00::1", false},
		{"fd00:ec2::254", false}, // instance metadata
		{"fe80::1", false},
		{"fe80::1%eth0", false},
		{"fec0::1", false},
		{"ff02::1", false},
	} {
		if got := Public(netip.MustParseAddr(tt.address)); got != tt.want {
			t.Errorf("Public(%s) = %v", tt.address, got)
		}
	}
	if Public(netip.Addr{}) {
		t.Error("the zero address is public")
	}
}

func TestAllowList(t *testing.T) {
	for _, tt := range []struct {
		allow, address string
		want           bool
	}{
		{"10.0.0.0/8", "10.1.2.3", true},
		{"10.0.0.0/8", "::ffff:10.1.2.3", true},
		{"::ffff:10.0.0.0/104", "10.1.2.3", true},
		{"::ffff:10.0.0.0/104", "11.1.2.3", true}, // public
		{"10.0.0.0/8", "192.168.1.1", false},
		{"10.0.0.0/8", "64:ff9b::10.0.0.1", false},
		{"127.0.0.1/32", "127.0.0.1", true},
		{"127.0.0.1/32", "127.0.0.2", false},
		{"127.0.0.1/32", "::1", false},
		{"fe80::/10", "fe80::1%eth0", true},
		{"fd00::/8", "fd12::1", true},
		{"fd00::/8", "fc12::1", false},
		{"0.0.0.0/0", "10.0.0.1", true},
		{"0.0.0.0/0", "0.0.0.0", false},
		{"0.0.0.0/0", "::ffff:0.0.0.0", false},
		{"0.0.0.0/0", "224.0.0.1", false},
		{"0.0.0.0/0", "::1", false},
		{"::/0", "::", false},
		{"::/0", "ff02::1", false},
		{"::/0", "127.0.0.1", false},
		{"::/0", "::1", true},
	} {
		l, err := newAllowList([]netip.Prefix{netip.MustParsePrefix(tt.allow)})
		if err != nil {
			t.Fatal(err)
		}
		if got := l.permits(netip.MustParseAddr(tt.address)); got != tt.want {
			t.Errorf("with %s allowed, %s: %v", tt.allow, tt.address, got)
		}
	}
	if allowList(nil).permits(netip.Addr{}) {
		t.Error("the zero address is permitted")
	}
}

func TestBadAllowList(t *testing.T) {
	for _, p := range []netip.Prefix{
		{},
		netip.MustParsePrefix("10.0.0.1/8"),
		netip.MustParsePrefix("fd00::1/8"),
		netip.MustParsePrefix("::ffff:0.0.0.0/90"),
	} {
		if _, err := New(Config{AllowPrivate: []netip.Prefix{p}}); err == nil {
			t.Errorf("%v was accepted", p)
		}
	}
}

func TestControl(t *testing.T) {
	var l allowList
	for _, tt := range []struct {
		network, address string
		want             bool
	}{
		{"tcp4", "1.1.1.1:443", true},
		{"tcp6", "[2606:4700::1]:443", true},
		{"tcp6", "[::ffff:1.1.1.1]:443", true},
		{"tcp6", "[::ffff:127.0.0.1]:443", false},
		{"tcp6", "[fe80::1%eth0]:443", false},
		{"tcp4", "127.0.0.1:443", false},
		{"udp4", "1.1.1.1:443", false},
		{"unix", "/run/docker.sock", false},
		{"tcp4", "example.com:443", false},
		{"tcp4", "", false},
	} {
		if err := l.control(t.Context(), tt.network, tt.address, nil); (err == nil) != tt.want {
			t.Errorf("%s %s: %v", tt.network, tt.address, err)
		}
	}
}

// FuzzPublic holds the answer for every form that an IPv4 address can be written in against that for the address itself.
func FuzzPublic(f *testing.F) {
	for _, s := range []string{"\x7f\x00\x00\x01", "\x0a\x00\x00\x01", "\x08\x08\x08\x08", "\x00\x00\x00\x00", "\xe0\x00\x00\x01"} {
		f.Add([]byte(s))
	}
	f.Add(netip.MustParseAddr("fe80::1").AsSlice())
	f.Fuzz(func(t *testing.T, b []byte) {
		a, ok := netip.AddrFromSlice(b)
		if !ok {
			return
		}
		public := Public(a)
		if public && (a.IsPrivate() || a.IsLoopback() || a.IsMulticast() || a.IsLinkLocalUnicast() || a.IsUnspecified() || !a.IsGlobalUnicast()) {
			t.Fatalf("%s is public", a)
		}
		if !a.Is4() {
			return
		}
		if Public(netip.AddrFrom16(a.As16())) != public {
			t.Fatalf("the IPv4-mapped form of %s is judged differently", a)
		}
		gateway := nat64.Addr().As16()
		copy(gateway[12:], b)
		if Public(netip.AddrFrom16(gateway)) != public {
			t.Fatalf("%s behind NAT64 is judged differently", a)
		}
	})
}
