//go:build !unix

package seal

import "os"

// Without POSIX permissions the mode says nothing about who can read a file; its access control list does.
func readableByOthers(string, os.FileInfo) bool { return false }
