//go:build !unix

package probe

import (
	"io/fs"

	"github.com/keyturn/keyturn/internal/doctor"
)

func owner(fs.FileInfo, *doctor.File) {}
