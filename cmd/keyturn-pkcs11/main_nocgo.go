//go:build !cgo || !unix

package main

import (
	"fmt"
	"os"
)

func main() {
	fmt.Fprintln(os.Stderr, "keyturn-pkcs11: this build cannot load PKCS#11 modules: it was made without cgo, or not for a Unix system")
	fmt.Fprintln(os.Stderr, "hint: with a C compiler: CGO_ENABLED=1 go build ./cmd/keyturn-pkcs11")
	os.Exit(1)
}
