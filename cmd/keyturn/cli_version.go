package main

import (
	"crypto/fips140"
	"runtime"
	"runtime/debug"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/keyturn/keyturn/internal/seal"
)

// versionInfo is what keyturn version says, as --output json prints it.
type versionInfo struct {
	Version    string `json:"version"`
	Revision   string `json:"revision,omitempty"`
	Modified   bool   `json:"modified,omitempty"` // built from files that are not those of Revision
	Go         string `json:"go"`
	Platform   string `json:"platform"`
	FIPS140    string `json:"fips140"` // off, or the version of the Go Cryptographic Module in FIPS 140-3 mode
	DataFormat int    `json:"dataFormat"`
}

func newVersionCommand() *cobra.Command {
	var output outputFormat
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Print the version of keyturn and what it was built with",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			info, _ := debug.ReadBuildInfo()
			v := readVersion(info)
			if output == jsonOutput {
				return writeJSON(cmd.OutOrStdout(), v)
			}
			revision := v.Revision
			if v.Modified {
				revision += " (modified)"
			}
			return writeFields(cmd.OutOrStdout(), [][2]string{
				{"keyturn", v.Version},
				{"revision", revision},
				{"go", v.Go},
				{"platform", v.Platform},
				{"FIPS 140-3", v.FIPS140},
				{"data format", strconv.Itoa(v.DataFormat)},
			})
		},
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	cmd.SetFlagErrorFunc(flagError)
	addOutputFlag(cmd.Flags(), &output)
	return cmd
}

// programVersion is what backups say of who made them.
func programVersion() string {
	info, _ := debug.ReadBuildInfo()
	return readVersion(info).Version
}

// readVersion takes what info (nil if the program was built without) says.
func readVersion(info *debug.BuildInfo) versionInfo {
	v := versionInfo{
		Version: "(unknown)", Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH,
		FIPS140: "off", DataFormat: seal.DataFormat,
	}
	if fips140.Enabled() {
		v.FIPS140 = fips140.Version()
	}
	if info == nil {
		return v
	}
	if info.Main.Version != "" {
		v.Version = info.Main.Version
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			v.Revision = s.Value
		case "vcs.modified":
			v.Modified = s.Value == "true"
		}
	}
	return v
}
