//go:build !unix

package seal

import "os"

const openNonblock = 0

// Without POSIX permissions the mode says nothing about who can read a file; its access control list does.
func readableByOthers(string, os.FileInfo) bool { return false }
