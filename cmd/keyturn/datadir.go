package main

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/pflag"

	"github.com/keyturn/keyturn/internal/seal"
	"github.com/keyturn/keyturn/internal/store"
	"github.com/keyturn/keyturn/internal/wire"
)

// dataFlags say which data directory a command works on while no server uses it, and what seals it.
type dataFlags struct {
	config  string
	dataDir string
	keyFile string
}

func (f *dataFlags) register(fl *pflag.FlagSet) {
	fl.StringVar(&f.config, "config", "", "configuration `FILE` of the server: its data_dir and seal")
	fl.StringVar(&f.dataDir, "data-dir", "", "data `DIR`ectory, in place of the configuration's")
	fl.StringVar(&f.keyFile, "seal-key-file", "", "key `FILE` of the seal, without a configuration (default: that of keyturn dev, seal.key in the data directory)")
}

// dataDir is what dataFlags come down to.
type dataDir struct {
	path string
	// dev: the directory is one of keyturn dev.
	dev bool
	// open returns the provider that seals it; create makes the key file, if there is one and it is not there, for a directory that is new.
	open, create func() (seal.Provider, error)
	previous     func() (seal.Provider, error) // what may still seal it; nil if there is none
	newKey       func() string                 // see sealProvider.newKeyFile
	region       string
	management   string
	// checkShares refuses a folder for shares that cannot be; threshold is how many of them will unseal, if there are any.
	checkShares func(dir string) error
	threshold   int
}

// resolve returns what the flags say.
func (f *dataFlags) resolve() (*dataDir, error) {
	if f.config == "" {
		return f.withoutConfig()
	}
	if f.keyFile != "" {
		return nil, usagef("--seal-key-file does not go with --config, which says what the seal is")
	}
	c, err := loadConfig(f.config)
	if err != nil {
		return nil, err
	}
	if f.dataDir != "" {
		c.DataDir = f.dataDir
		if err := c.check(); err != nil { // where the seal may be depends on it
			return nil, fmt.Errorf("configuration %s: %w", f.config, err)
		}
	}
	d := &dataDir{
		path:     c.DataDir,
		open:     func() (seal.Provider, error) { return c.provider(false) },
		create:   func() (seal.Provider, error) { return c.makeSeal(true) },
		previous: c.askPrevious(),
		newKey:   c.Seal.newKeyFile,
		region:   c.Regions[0], management: cmp.Or(c.ManagementAccount, wire.DevAccount),
		checkShares: c.checkShares,
	}
	if c.Seal.Shamir != nil {
		d.threshold = c.Seal.Shamir.Threshold
	}
	return d, nil
}

func (f *dataFlags) withoutConfig() (*dataDir, error) {
	if f.dataDir == "" {
		return nil, usagef("--config or --data-dir is missing")
	}
	d := &dataDir{path: f.dataDir, dev: f.keyFile == "", region: localRegion, management: wire.DevAccount}
	d.checkShares = new(serverConfig).checkShares
	path := cmp.Or(f.keyFile, filepath.Join(f.dataDir, sealKeyFile))
	if !d.dev && within(f.dataDir, path) {
		return nil, usagef("--seal-key-file must not be in the data directory: whoever gets one would have both")
	}
	d.newKey = (&sealProvider{KeyFile: f.keyFile}).newKeyFile // that of keyturn dev is nobody's to keep
	d.open = func() (seal.Provider, error) { return seal.OpenKeyFile(path) }
	d.create = func() (seal.Provider, error) {
		if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
			if err := seal.CreateKeyFile(path); err != nil {
				return nil, err
			}
		}
		return d.open()
	}
	return d, nil
}

// inUse hints, where a server uses the data directory of a command, that this one can be asked: nobody has to stop it. command is without flags.
func inUse(err error, command string) error {
	if errors.Is(err, store.ErrLocked) {
		return withHint(err, "a running server does it, ask that one: "+command+" --endpoint URL")
	}
	return err
}

// storeThere refuses a data directory that has no store to work on, for a command that opens it while no server does. Nothing is made in it, which
// would be in the way of a restore. A restore that was cut off goes first: it is why there is none.
func storeThere(dataDir string) error {
	if err := noRestore(dataDir); err != nil {
		return err
	}
	_, err := os.Stat(filepath.Join(dataDir, storeFile))
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := noAuditLog(dataDir); err != nil {
		return err
	}
	return withHint(fmt.Errorf("there is no store in the data directory %s", dataDir),
		"check the data directory, data_dir of the configuration; a new server is made with: keyturn init")
}

// restoringDir is where in a data directory a restore works until all of it is there. As long as it is, nothing opens the directory.
const restoringDir = "restoring"

// noRestore refuses a data directory in which a restore was begun and not finished.
func noRestore(dataDir string) error {
	_, err := os.Lstat(filepath.Join(dataDir, restoringDir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = withHint(fmt.Errorf("a restore into %s was begun and not finished", dataDir), "empty the directory and restore once more")
	}
	return err
}
