package main

import (
	"context"
	"log/slog"
	"net"
	"os"
	"strings"
)

// notifySystemd tells the service manager that started this process how it is ("READY=1", "STOPPING=1"), as sd_notify(3) describes: a datagram
// to the socket in NOTIFY_SOCKET, whose name may begin with @ for Linux's abstract namespace. Without one nothing happens.
func notifySystemd(state string) error {
	name := os.Getenv("NOTIFY_SOCKET")
	if name == "" {
		return nil
	}
	if !strings.HasPrefix(name, "/") && !strings.HasPrefix(name, "@") { // vsock and others are not for services
		return &net.AddrError{Err: "unsupported NOTIFY_SOCKET", Addr: name}
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		return err
	}
	defer conn.Close() //nolint:errcheck // what was written is sent
	_, err = conn.Write([]byte(state))
	return err
}

// announce tells the service manager that the server serves, or waits to be unsealed, and, once ctx ends, that it stops.
func announce(ctx context.Context, log *slog.Logger) {
	tell := func(state string) {
		if err := notifySystemd(state); err != nil {
			log.Warn("cannot tell the service manager", "state", state, "error", err)
		}
	}
	tell("READY=1")
	context.AfterFunc(ctx, func() { tell("STOPPING=1") })
}
