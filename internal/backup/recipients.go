package backup

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"filippo.io/age"
	"filippo.io/age/agessh"
	"filippo.io/age/plugin"
	"filippo.io/age/tag"
)

// Limits on what a backup is encrypted to.
const (
	MaxRecipients     = 64
	MaxRecipientBytes = 8 << 10 // of one
)

// ErrRecipients: age does not encrypt to these recipients.
var ErrRecipients = errors.New("backup: recipients that cannot be used")

// Recipients are whom a backup is for, with the text that names each: public, and as short as it may be.
type Recipients struct {
	list  []age.Recipient
	names []string
}

// Names returns the text of each.
func (r *Recipients) Names() []string { return r.names }

// Add adds one by its text: age1..., age1pq1... (hybrid post-quantum), age1tag1... and age1tagpq1... (hardware keys), ssh-ed25519 and ssh-rsa.
// Errors do not repeat the text, which may be a secret by mistake.
func (r *Recipients) Add(text string) error {
	text = strings.TrimSpace(text)
	if len(text) > MaxRecipientBytes {
		return errors.New("a recipient has at most 8192 characters")
	}
	if len(r.list) == MaxRecipients {
		return fmt.Errorf("there are more than %d recipients", MaxRecipients)
	}
	one, err := parseRecipient(text)
	if err != nil {
		return err
	}
	if strings.HasPrefix(text, "ssh-") { // without its comment
		text = strings.Join(strings.Fields(text)[:2], " ")
	}
	r.list, r.names = append(r.list, one), append(r.names, text)
	return nil
}

func parseRecipient(text string) (age.Recipient, error) {
	var one age.Recipient
	var err error
	switch {
	case strings.HasPrefix(text, "AGE-"):
		return nil, errors.New("this is an identity, which is a secret; the recipient that belongs to it starts with age1 (age-keygen -y shows it)")
	case strings.HasPrefix(text, "age1pq1"):
		one, err = age.ParseHybridRecipient(text)
	case strings.HasPrefix(text, "age1tag1"), strings.HasPrefix(text, "age1tagpq1"):
		one, err = tag.ParseRecipient(text)
	case strings.HasPrefix(text, "age1"):
		if _, _, plugged := plugin.ParseRecipient(text); plugged == nil {
			return nil, errors.New("recipients of age plugins are not taken, since a server runs no programs: use one that starts with age1, age1pq1 or age1tag1")
		}
		one, err = age.ParseX25519Recipient(text)
	case strings.HasPrefix(text, "ssh-"):
		one, err = agessh.ParseRecipient(text)
	default:
		return nil, errors.New("this is no age recipient: they start with age1 (or with ssh-ed25519, ssh-rsa)")
	}
	if err != nil {
		return nil, errors.New("this is no age recipient, or one that is not whole: a character is missing or wrong")
	}
	return one, nil
}

// AddFile adds each line of a recipients file. Empty lines and those that start with # are ignored.
func (r *Recipients) AddFile(text []byte) error {
	n := 0
	for i, line := range strings.Split(string(text), "\n") {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		n++
		if err := r.Add(line); err != nil {
			return fmt.Errorf("line %d: %w", i+1, err)
		}
	}
	if n == 0 {
		return errors.New("there is no recipient in it")
	}
	return nil
}

// check tries whether age takes the recipients together: those that withstand quantum computers go with none that do not.
func (r *Recipients) check() error {
	if err := allowed(); err != nil {
		return err
	}
	_, err := age.Encrypt(discard{}, r.list...)
	if err != nil && strings.Contains(err.Error(), "incompatible") {
		return fmt.Errorf("%w: age1pq1 and age1tagpq1 recipients go together only with each other, since a backup is as safe from quantum computers as its weakest recipient", ErrRecipients)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrRecipients, err)
	}
	return nil
}

type discard struct{}

func (discard) Write(b []byte) (int, error) { return len(b), nil }

// Identity opens backups: an age identity, or a SealIdentity.
type Identity = age.Identity

// ParseIdentities reads an identity file: lines of age identities, those of plugins (which run the program age-plugin-NAME, and ask through
// ui), or an SSH private key in PEM. The error says nothing of what is in it.
func ParseIdentities(text []byte, ui *plugin.ClientUI) ([]age.Identity, error) {
	trimmed := bytes.TrimSpace(text)
	switch {
	case bytes.HasPrefix(trimmed, []byte("age-encryption.org/")), bytes.HasPrefix(trimmed, []byte("-----BEGIN AGE")):
		return nil, errors.New("it is encrypted itself: decrypt it with age first")
	case bytes.HasPrefix(trimmed, []byte("-----BEGIN")):
		id, err := agessh.ParseIdentity(text)
		if err != nil {
			return nil, errors.New("it is no SSH private key that age can use: an RSA or Ed25519 key without a passphrase; from a copy of one that has a passphrase ssh-keygen -p takes it off")
		}
		return []age.Identity{id}, nil
	}
	var list []age.Identity
	for i, line := range strings.Split(string(text), "\n") {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if strings.HasPrefix(line, "AGE-PLUGIN-") {
			id, err := plugin.NewIdentity(line, ui)
			if err != nil {
				return nil, fmt.Errorf("line %d is no identity of a plugin", i+1)
			}
			list = append(list, id)
			continue
		}
		ids, err := age.ParseIdentities(strings.NewReader(line))
		if err != nil {
			return nil, fmt.Errorf("line %d is no age identity: they start with AGE-SECRET-KEY-", i+1)
		}
		list = append(list, ids...)
	}
	if len(list) == 0 {
		return nil, errors.New("there is no identity in it")
	}
	return list, nil
}
