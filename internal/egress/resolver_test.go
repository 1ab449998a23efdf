package egress

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
)

// listen opens a port on loopback that nobody answers on.
func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() }) //nolint:errcheck // the test is over
	return l
}

// resolver answers every question for an IPv4 address with what answer returns, and others with nothing: a DNS server (RFC 1035)
// at the other end of a pipe.
func resolver(answer func() netip.Addr) *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		ours, theirs := net.Pipe()
		go func() {
			defer theirs.Close() //nolint:errcheck // a pipe
			for {
				var size [2]byte
				if _, err := io.ReadFull(theirs, size[:]); err != nil {
					return
				}
				query := make([]byte, binary.BigEndian.Uint16(size[:]))
				if _, err := io.ReadFull(theirs, query); err != nil {
					return
				}
				reply := respond(query, answer)
				if _, err := theirs.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(reply))), reply...)); err != nil {
					return
				}
			}
		}()
		return ours, nil
	}}
}

func respond(query []byte, answer func() netip.Addr) []byte {
	end := 12
	for query[end] != 0 { // the labels of the question's name
		end += 1 + int(query[end])
	}
	kind := binary.BigEndian.Uint16(query[end+1:])
	end += 5
	reply := append([]byte{query[0], query[1], 0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0}, query[12:end]...)
	if kind != 1 { // A
		return reply
	}
	reply[7] = 1
	reply = append(reply, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4) // the question's name, A, IN, a TTL of 0, 4 bytes
	return append(reply, answer().AsSlice()...)
}

func TestNameLeadsToPrivateAddress(t *testing.T) {
	c, err := New(Config{Resolver: resolver(func() netip.Addr { return netip.MustParseAddr("10.9.8.7") })})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := get(c, "https://proxy.example.com/"); !errors.Is(err, ErrAddress) || !strings.Contains(err.Error(), "10.9.8.7") {
		t.Fatalf("%v", err)
	}
}

// A name that was harmless when it was configured, or a moment ago, is judged by where it leads now.
func TestRebinding(t *testing.T) {
	var served atomic.Int32
	s := serve(t, func(http.ResponseWriter, *http.Request) { served.Add(1) })
	var private atomic.Bool
	c := client(t, s, Config{
		AllowPrivate: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")},
		Resolver: resolver(func() netip.Addr {
			if private.Swap(true) {
				return netip.MustParseAddr("127.0.0.2") // not allowed, yet the same server's port could be open there
			}
			return netip.MustParseAddr("127.0.0.1")
		}),
	})
	target := "https://proxy.example.com" + s.URL[strings.LastIndexByte(s.URL, ':'):]
	if _, _, err := get(c, target); err != nil || served.Load() != 1 {
		t.Fatalf("served %d, %v", served.Load(), err)
	}
	c.CloseIdleConnections()
	if _, _, err := get(c, target); !errors.Is(err, ErrAddress) || served.Load() != 1 {
		t.Fatalf("after rebinding: served %d, %v", served.Load(), err)
	}
}
