package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/pflag"

	"github.com/keyturn/keyturn/internal/api"
)

// rootKey is a new access key of an account's root user. It is told once: on standard output, or in a file. It prints its ID only.
type rootKey struct{ account, id, secret string }

func (k rootKey) String() string   { return k.id }
func (k rootKey) GoString() string { return k.id }

// newRootKey takes a key out of an answer. What is no access key could forge lines of a file or of a terminal.
func newRootKey(account string, k *api.RootAccessKey) (rootKey, error) {
	if k == nil || !accessKeyID(k.AccessKeyId.V) || k.SecretAccessKey.V == "" || !madeOf(k.SecretAccessKey.V, letters+"0123456789+/=") {
		return rootKey{}, errors.New("the answer has no access key")
	}
	return rootKey{account: account, id: k.AccessKeyId.V, secret: k.SecretAccessKey.V}, nil
}

// rootKeyFlags say where a new access key goes.
type rootKeyFlags struct {
	file string
}

func (f *rootKeyFlags) register(fs *pflag.FlagSet) {
	fs.StringVar(&f.file, "credentials-file", "", "new `FILE` to write the access key to (AWS credentials file, mode 0600), instead of printing it")
}

// keyFile is a credentials file whose name has been taken before the key is made, so that the key is not lost for want of a place. Nil: there
// is none, and the key is printed.
type keyFile struct {
	f    *os.File
	path string
}

// reserve takes the file's name. Nothing is ever overwritten.
func (f *rootKeyFlags) reserve() (*keyFile, error) {
	if f.file == "" {
		return nil, nil
	}
	path, err := filepath.Abs(f.file)
	if err != nil {
		return nil, err
	}
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, os.ErrExist) {
		return nil, withHint(fmt.Errorf("the credentials file %s is there already, and nothing is overwritten", f.file), "name a new file")
	}
	if err != nil {
		return nil, fmt.Errorf("making the credentials file: %w", err)
	}
	return &keyFile{file, path}, nil
}

// discard gives the name back.
func (k *keyFile) discard() {
	if k != nil {
		k.f.Close()           //nolint:errcheck // nothing is in it
		os.Remove(k.f.Name()) //nolint:errcheck // what made it fail is told
	}
}

// write writes the key, if there is a file.
func (k *keyFile) write(key rootKey) error {
	if k == nil {
		return nil
	}
	_, err := fmt.Fprintf(k.f, "[default]\naws_access_key_id = %s\naws_secret_access_key = %s\n", key.id, key.secret)
	if err = errors.Join(err, k.f.Sync(), k.f.Close()); err != nil {
		return &afterError{"access key " + key.id + " has been made", fmt.Errorf("writing the credentials file: %w", err)}
	}
	return nil
}

// exports are the lines that a shell needs to use the key.
func (k *keyFile) exports(key rootKey) string {
	if k != nil {
		return "  export AWS_SHARED_CREDENTIALS_FILE=" + shellWord(k.path) + "\n"
	}
	return fmt.Sprintf("  export AWS_ACCESS_KEY_ID=%s AWS_SECRET_ACCESS_KEY=%s\n", key.id, key.secret)
}

// madeKey is a new access key as --output json prints it.
type madeKey struct {
	Account         string `json:"accountId"`
	Name            string `json:"accountName,omitempty"`
	AccessKeyID     string `json:"accessKeyId"`
	SecretAccessKey string `json:"secretAccessKey,omitempty"`
	CredentialsFile string `json:"credentialsFile,omitempty"`
	// What seals the store, if it was split: the shares, or the files that they are in.
	Shares     []string `json:"shares,omitempty"`
	ShareFiles []string `json:"shareFiles,omitempty"`
}

func (k *keyFile) made(key rootKey, name string) madeKey {
	m := madeKey{Account: key.account, Name: name, AccessKeyID: key.id}
	if k == nil {
		m.SecretAccessKey = key.secret
	} else {
		m.CredentialsFile = k.path
	}
	return m
}
