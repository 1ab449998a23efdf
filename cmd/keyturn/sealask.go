package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"golang.org/x/term"

	"github.com/keyturn/keyturn/internal/seal"
)

// asking asks whoever runs the command for what unseals.
type asking struct{ seal.Attended }

// Unseal implements seal.Provider.
func (a *asking) Unseal(ctx context.Context, sealed []byte) ([]byte, error) {
	for {
		n, err := a.Needs(sealed)
		if err != nil {
			return nil, err
		}
		if n.Done() {
			return a.Attended.Unseal(ctx, sealed)
		}
		if err := a.ask(ctx, sealed, n); err != nil {
			a.Forget()
			return nil, err
		}
	}
}

// ask asks for one share or the passphrase. On a terminal people may try again.
func (a *asking) ask(ctx context.Context, sealed []byte, n seal.Needs) error {
	prompt := "Passphrase: "
	if n.What == "share" {
		prompt = fmt.Sprintf("Share %d of %d, of set %s: ", n.Given+1, n.Needed, n.Set)
	}
	text, err := readSecretLine(ctx, prompt)
	if errors.Is(err, io.EOF) {
		return withHint(fmt.Errorf("the store is sealed: %v, and there is no more input", n), "run the command on a terminal, or give shares or the passphrase on standard input, one a line")
	}
	if err != nil {
		return err
	}
	defer clear(text)
	_, err = a.Give(sealed, text)
	if err != nil && onTerminal() && !errors.Is(err, seal.ErrDamaged) {
		fmt.Fprintln(os.Stderr, err)
		return nil
	}
	return err
}

func onTerminal() bool { return term.IsTerminal(int(os.Stdin.Fd())) }

// maxSecretLine bounds a line of standard input, in bytes.
const maxSecretLine = 4096

// stdin is read line by line by all that read secrets from it.
var stdin = sync.OnceValue(func() *bufio.Reader { return bufio.NewReaderSize(os.Stdin, maxSecretLine) })

// readSecretLine reads a line without its end: from the terminal, unseen, after a prompt; else from standard input. io.EOF if there is none.
func readSecretLine(ctx context.Context, prompt string) ([]byte, error) {
	if !onTerminal() {
		line, err := stdin().ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) {
			return nil, errors.New("a line of standard input is too long")
		}
		if errors.Is(err, io.EOF) && len(line) > 0 {
			err = nil
		}
		text := bytes.Clone(bytes.TrimRight(line, "\r\n"))
		clear(line)
		return text, err
	}
	fd := int(os.Stdin.Fd())
	state, err := term.GetState(fd)
	if err != nil {
		return nil, fmt.Errorf("the terminal: %w", err)
	}
	fmt.Fprint(os.Stderr, prompt)
	type result struct {
		text []byte
		err  error
	}
	read := make(chan result, 1)
	go func() {
		text, err := term.ReadPassword(fd)
		read <- result{text, err}
	}()
	select {
	case r := <-read:
		fmt.Fprintln(os.Stderr)
		return r.text, r.err
	case <-ctx.Done(): // the read goes on until the process ends, which must not leave the terminal without echo
		fmt.Fprintln(os.Stderr)
		return nil, errors.Join(ctx.Err(), term.Restore(fd, state))
	}
}

// typePassphrase has a new passphrase typed: twice on a terminal, so that a slip of the finger does not lock everybody out.
func typePassphrase(ctx context.Context) (*seal.Passphrase, error) {
	first, err := readSecretLine(ctx, "New passphrase, at least 14 characters: ")
	if errors.Is(err, io.EOF) {
		return nil, withHint(errors.New("the new passphrase is missing"), "run the command on a terminal, or give it on standard input")
	}
	if err != nil {
		return nil, err
	}
	defer clear(first)
	if len(first) > seal.MaxPassphrase {
		return nil, fmt.Errorf("the passphrase is longer than %d characters", seal.MaxPassphrase)
	}
	p, err := seal.NewPassphrase(string(first))
	if err != nil || !onTerminal() {
		return p, err
	}
	second, err := readSecretLine(ctx, "Once more: ")
	if err != nil {
		return nil, err
	}
	defer clear(second)
	if !bytes.Equal(first, second) {
		return nil, errors.New("the two are not the same; nothing was made")
	}
	return p, nil
}

// typing is a passphrase that is typed when it first seals something: for a store that is being made.
type typing struct{ passphrase *seal.Passphrase }

// Name implements seal.Provider.
func (t *typing) Name() string { return t.passphrase.Name() }

// Seal implements seal.Provider.
func (t *typing) Seal(ctx context.Context, root []byte) ([]byte, error) {
	if t.passphrase == nil {
		p, err := typePassphrase(ctx)
		if err != nil {
			return nil, err
		}
		t.passphrase = p
	}
	return t.passphrase.Seal(ctx, root)
}

// Unseal implements seal.Provider.
func (t *typing) Unseal(ctx context.Context, sealed []byte) ([]byte, error) {
	if t.passphrase == nil {
		return nil, errors.New("no passphrase was typed yet")
	}
	return t.passphrase.Unseal(ctx, sealed)
}
