package seal

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/keyturn/keyturn/internal/store/memstore"
)

func TestTypedPassphrase(t *testing.T) {
	const right = "correct horse battery"
	root := testKey(9)
	sealed, err := testPassphrase(right).Seal(t.Context(), root)
	if err != nil {
		t.Fatal(err)
	}
	p := NewTypedPassphrase()
	if _, err := p.Seal(t.Context(), root); err == nil {
		t.Error("it sealed before a passphrase was given")
	}
	if _, err := p.Unseal(t.Context(), sealed); !errors.Is(err, ErrWrongKey) {
		t.Errorf("unsealed before a passphrase was given: %v", err)
	}
	for _, wrong := range []string{"", "short", "correct horse batterx", strings.Repeat("p", MaxPassphrase+1), right + " "} {
		n, err := p.Give(sealed, []byte(wrong))
		if !errors.Is(err, ErrWrongKey) || n.Done() || wrong != "" && strings.Contains(err.Error(), wrong) {
			t.Errorf("%.30q: %+v, %v", wrong, n, err)
		}
	}
	if n, err := p.Needs(sealed); err != nil || n.Done() || n.String() != "waiting for the passphrase" {
		t.Errorf("after wrong ones: %+v, %v", n, err)
	}
	if n, err := p.Give(sealed, []byte(right+"\r\n")); err != nil || !n.Done() {
		t.Fatalf("the right one: %+v, %v", n, err)
	}
	if got, err := p.Unseal(t.Context(), sealed); err != nil || !bytes.Equal(got, root) {
		t.Errorf("Unseal: %v", err)
	}

	// A new root key is sealed with nobody there, and both forms of the passphrase open it.
	again, err := p.Seal(t.Context(), testKey(8))
	if err != nil {
		t.Fatal(err)
	}
	for _, q := range []Provider{p, testPassphrase(right)} {
		if got, err := q.Unseal(t.Context(), again); err != nil || !bytes.Equal(got, testKey(8)) {
			t.Errorf("%T: %v", q, err)
		}
	}
	// What another salt was used for needs the passphrase again.
	other, err := testPassphrase(right).Seal(t.Context(), root)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := p.Needs(other); err != nil || n.Done() {
		t.Errorf("another salt: %+v, %v", n, err)
	}
	for n := range 1 + 4 + saltSize {
		if _, err := p.Give(sealed[:n], []byte(right)); !errors.Is(err, ErrDamaged) {
			t.Errorf("cut to %d bytes: %v", n, err)
		}
	}
}

// boundProvider notes what it was bound to when it was asked to do something.
type boundProvider struct {
	*KeyFile
	bound string
	at    []string
}

func (p *boundProvider) Bind(deployment string) { p.bound = deployment }

func (p *boundProvider) Seal(ctx context.Context, root []byte) ([]byte, error) {
	p.at = append(p.at, p.bound)
	return p.KeyFile.Seal(ctx, root)
}

func (p *boundProvider) Unseal(ctx context.Context, sealed []byte) ([]byte, error) {
	p.at = append(p.at, p.bound)
	return p.KeyFile.Unseal(ctx, sealed)
}

// TestBound: a provider knows the deployment before it seals and before it unseals, one that takes another's place too.
func TestBound(t *testing.T) {
	raw := memstore.New()
	for n := range byte(2) {
		p, next := &boundProvider{KeyFile: NewKeyFile(testKey(n + 1))}, &boundProvider{KeyFile: NewKeyFile(testKey(n + 2))}
		s := mustOpen(t, raw, Options{Provider: p, Now: testTime})
		if err := s.Migrate(t.Context(), next, testTime); err != nil {
			t.Fatal(err)
		}
		for _, b := range []*boundProvider{p, next} {
			if len(b.at) == 0 || b.at[0] != s.Keyring().Deployment() {
				t.Errorf("it was bound to %q, the store is %s", b.at, s.Keyring().Deployment())
			}
		}
	}
}

// TestEscrowBound: so does one that opens a backup, and one that seals what is restored.
func TestEscrowBound(t *testing.T) {
	s := mustOpen(t, memstore.New(), options(1))
	sn, err := s.TakeSnapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer sn.Close()
	e, err := sn.Escrow()
	if err != nil {
		t.Fatal(err)
	}
	opens, seals := &boundProvider{KeyFile: NewKeyFile(testKey(1))}, &boundProvider{KeyFile: NewKeyFile(testKey(2))}
	if err := (&Escrow{Meta: e.Meta}).Unseal(t.Context(), opens); err != nil {
		t.Fatal(err)
	}
	if err := e.Restore(t.Context(), memstore.New(), seals, testTime); err != nil {
		t.Fatal(err)
	}
	for _, b := range []*boundProvider{opens, seals} {
		if len(b.at) != 1 || b.at[0] != s.Keyring().Deployment() {
			t.Errorf("it was bound to %q, the store is %s", b.at, s.Keyring().Deployment())
		}
	}
}
