// Package torture runs keyturn's service on a disk that fails, fills up and loses power, and compares what comes back with what
// was acknowledged. Its tests need bbolt with its file operations patched: run them with make torture (scripts/torture), which
// sets the build tag.
package torture
