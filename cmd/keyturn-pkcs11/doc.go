// Keyturn-pkcs11 is the process in which keyturn runs a vendor's PKCS#11 module. keyturn starts it and talks to it over stdin
// and stdout with the protocol of package hsmwire; it is of no use by hand. It ends when stdin does. A module that crashes,
// hangs or corrupts memory takes this process with it and nothing else.
//
// It is the only part of keyturn that needs cgo:
//
//	CGO_ENABLED=1 go build ./cmd/keyturn-pkcs11
package main
