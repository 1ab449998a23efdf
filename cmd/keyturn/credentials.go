package main

import (
	"bufio"
	"crypto/rand"
	"encoding/base32"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// devProfile is the profile of keyturn dev's access key in its credentials file.
const devProfile = "keyturn"

// accessKey is a long-term credential. It prints its ID only.
type accessKey struct{ id, secret string }

func (k accessKey) String() string   { return k.id }
func (k accessKey) GoString() string { return k.id }

// newAccessKey draws a key of the form AWS has: AKIA and 16 characters, a secret of 40.
func newAccessKey() accessKey {
	var id [10]byte
	var secret [30]byte
	rand.Read(id[:])
	rand.Read(secret[:])
	return accessKey{id: "AKIA" + base32.StdEncoding.EncodeToString(id[:]), secret: base64.StdEncoding.EncodeToString(secret[:])}
}

// devAccessKey reads the access key of keyturn dev --strict from its credentials file, making both first if there is none.
func devAccessKey(path string) (accessKey, error) {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		k := newAccessKey()
		err := replaceOwnFile(path, func(w io.Writer) error {
			_, err := fmt.Fprintf(w, "[%s]\naws_access_key_id = %s\naws_secret_access_key = %s\n", devProfile, k.id, k.secret)
			return err
		})
		if err != nil {
			return accessKey{}, fmt.Errorf("writing the credentials file: %w", err)
		}
		return k, nil
	}
	if err != nil {
		return accessKey{}, fmt.Errorf("reading the credentials file: %w", err)
	}
	defer f.Close()
	var k accessKey
	section := ""
	for s := bufio.NewScanner(f); s.Scan(); {
		line := strings.TrimSpace(s.Text())
		if strings.HasPrefix(line, "[") {
			section = strings.Trim(line, "[] ")
			continue
		}
		name, value, _ := strings.Cut(line, "=")
		if section != devProfile {
			continue
		}
		switch strings.TrimSpace(name) {
		case "aws_access_key_id":
			k.id = strings.TrimSpace(value)
		case "aws_secret_access_key":
			k.secret = strings.TrimSpace(value)
		}
	}
	if k.id == "" || k.secret == "" {
		return accessKey{}, withHint(fmt.Errorf("credentials file %s has no access key in profile %s", path, devProfile), "remove the file to have a new access key made")
	}
	return k, nil
}

// writeFileWhole writes a file so that it is there whole or not at all.
func writeFileWhole(path string, data []byte, mode os.FileMode) error {
	return replaceFile(path, mode, func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	})
}

// replaceFile does the same with what a function writes.
func replaceFile(path string, mode os.FileMode, write func(io.Writer) error) error {
	temp, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".tmp-*")
	if err != nil {
		return err
	}
	return replaceBy(temp, path, mode, write)
}

// replaceOwnFile does it where nobody else writes, in a data directory that is locked, under a temporary name that is always the same: what a
// process that died has left is overwritten.
func replaceOwnFile(path string, write func(io.Writer) error) error {
	temp, err := os.OpenFile(ownTemp(path), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	return replaceBy(temp, path, 0o600, write)
}

// ownTemp is the temporary name of replaceOwnFile.
func ownTemp(path string) string {
	return filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".tmp")
}

func replaceBy(temp *os.File, path string, mode os.FileMode, write func(io.Writer) error) error {
	defer os.Remove(temp.Name())
	buffered := bufio.NewWriterSize(temp, 64<<10)
	if err := errors.Join(write(buffered), buffered.Flush(), temp.Chmod(mode), temp.Sync(), temp.Close()); err != nil {
		return err
	}
	return os.Rename(temp.Name(), path)
}
