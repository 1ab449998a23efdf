package wire

import (
	"errors"
	"reflect"
	"slices"
	"strings"

	"github.com/keyturn/keyturn/internal/audit"
	"github.com/keyturn/keyturn/internal/store"
)

// Unready is one thing that keeps a server from being ready, in words that a stranger may read.
type Unready struct {
	Reason string // one word, for metrics
	Text   string // a line, without a full stop
}

// NotReadyError is an error that has words for strangers of its own.
type NotReadyError interface {
	error
	NotReady() Unready
}

// The reasons that are known here. What is nothing else is trouble with the store.
var (
	unreadyAuditSpace = Unready{"audit_disk_full", "the disk of the audit log is full"}
	unreadyAudit      = Unready{"audit_log", "the audit log cannot be written"}
	unreadyStoreSpace = Unready{"store_disk_full", "the disk of the store is full"}
	unreadyReplaced   = Unready{"store_replaced", "the store's file was removed or replaced"}
	unreadyStore      = Unready{"store", "the store is damaged or stopped"}
)

// Reasons are the words of Unready.Reason that this package has.
func Reasons() []string {
	return []string{unreadyAuditSpace.Reason, unreadyAudit.Reason, unreadyStoreSpace.Reason, unreadyReplaced.Reason, unreadyStore.Reason}
}

// NotReady says what kinds of trouble an error of Config.Ready is made of, each once, in the order of errors.Join. The details are for
// the server's log, not for whoever asks.
func NotReady(err error) []Unready {
	if err == nil {
		return nil
	}
	if joined, ok := err.(interface{ Unwrap() []error }); ok && reflect.TypeOf(err) == joinedType {
		var all []Unready
		for _, err := range joined.Unwrap() {
			for _, u := range NotReady(err) {
				if !slices.ContainsFunc(all, func(o Unready) bool { return o.Reason == u.Reason }) {
					all = append(all, u)
				}
			}
		}
		return all
	}
	var own NotReadyError
	switch {
	case errors.As(err, &own):
		return []Unready{own.NotReady()}
	case errors.Is(err, audit.ErrNoSpace):
		return []Unready{unreadyAuditSpace}
	case errors.Is(err, audit.ErrStopped), errors.Is(err, audit.ErrClosed):
		return []Unready{unreadyAudit}
	case errors.Is(err, store.ErrNoSpace):
		return []Unready{unreadyStoreSpace}
	case errors.Is(err, store.ErrReplaced):
		return []Unready{unreadyReplaced}
	}
	return []Unready{unreadyStore}
}

// joinedType tells what errors.Join made, which is a list, from an error with several causes, which is one.
var joinedType = reflect.TypeOf(errors.Join(errors.ErrUnsupported))

// readiness is the answer of /readyz: a line for each reason.
func readiness(err error) string {
	var b strings.Builder
	for _, u := range NotReady(err) {
		b.WriteString("not ready: " + u.Text + "\n")
	}
	return b.String()
}
