//go:build unix

package seal

import "os"

func readableByOthers(info os.FileInfo) bool { return info.Mode().Perm()&0o077 != 0 }
