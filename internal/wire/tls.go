package wire

import (
	"crypto/tls"
	"net/http"

	"github.com/keyturn/keyturn/internal/audit"
)

// tlsDetails describes the connection, as the audit record does; nil on plain HTTP.
func tlsDetails(r *http.Request) *audit.TLSDetails {
	if r.TLS == nil {
		return nil
	}
	d := &audit.TLSDetails{CipherSuite: tls.CipherSuiteName(r.TLS.CipherSuite)}
	switch r.TLS.Version {
	case tls.VersionTLS12:
		d.Version = "TLSv1.2"
	case tls.VersionTLS13:
		d.Version = "TLSv1.3"
	}
	return d
}
