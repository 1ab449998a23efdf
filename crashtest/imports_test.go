package crashtest

import (
	"cmp"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/fips140"
	"crypto/rand"
	"crypto/x509"
	"slices"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"github.com/keyturn/keyturn/internal/keys"
	"github.com/keyturn/keyturn/internal/keywrap"
)

const (
	importedFamilies = 14 // made up to here: each needs wrapping keys, which take time to find
	importedChain    = 6  // materials in one family
	paramsPerRound   = 1  // wrapping keys of RSA asked for before a storm
)

// importParams are what GetParametersForImport gave for a key. They outlive crashes, for a day of the service's time.
type importParams struct {
	algorithm     string
	public, token []byte
	validTo       time.Time
}

// countImported counts the families with imported material. The world is locked.
func (w *world) countImported() (n int) {
	for _, k := range w.live {
		if k.imported && k == k.primary() && !deleting(k.state) {
			n++
		}
	}
	return n
}

// fetchParams gets import parameters for keys that have none, first for those that wait for material.
func (w *world) fetchParams(ctx context.Context, c *client) {
	w.mu.Lock()
	var list []*key
	for _, k := range w.live {
		if k.imported && !k.gone && !deleting(k.state) && (k.params == nil || !k.params.validTo.After(w.clock.Add(time.Hour))) {
			list = append(list, k)
		}
	}
	slices.SortStableFunc(list, func(a, b *key) int { return cmp.Compare(b.needsMaterial(), a.needsMaterial()) })
	w.mu.Unlock()
	var wg sync.WaitGroup
	rsa := 0
	for _, k := range list {
		p := &importParams{algorithm: keywrap.SM2PKE}
		spec := types.WrappingKeySpecSm2
		if k.kind.spec != types.KeySpecEccNistP256 || fips140.Enforced() {
			if rsa++; rsa > paramsPerRound {
				continue
			}
			p.algorithm, spec = keywrap.OAEPSHA256, types.WrappingKeySpecRsa2048
		}
		wg.Go(func() {
			var out *kms.GetParametersForImportOutput
			g := &call{name: "GetParametersForImport", key: k, allowed: []string{"KMSInvalidStateException", "NotFoundException"}}
			if w.do(ctx, g, func(ctx context.Context) (err error) {
				out, err = c.of(k).GetParametersForImport(ctx, &kms.GetParametersForImportInput{
					KeyId: &k.id, WrappingAlgorithm: types.AlgorithmSpec(p.algorithm), WrappingKeySpec: spec,
				})
				return err
			}) == nil {
				p.public, p.token, p.validTo = out.PublicKey, out.ImportToken, *out.ParametersValidTo
				w.mu.Lock()
				k.params = p
				w.mu.Unlock()
			}
		})
	}
	wg.Wait()
}

// needsMaterial is 2 if the key lacks material, 1 if it can take some to rotate to, 0 else. The world is locked.
func (k *key) needsMaterial() int {
	s := k.now
	p := s.at[k]
	if p == nil || deleting(p.state) {
		return 0
	}
	if _, ok := p.held[s.pending]; p.state == pendingImport || s.pending != nil && !ok {
		return 2
	}
	if s.pending == nil && k.region == s.primary && k.symmetric() && len(s.imports) < importedChain {
		return 1
	}
	return 0
}

// pickNeedy returns one of the worker's own keys that lacks material which can be imported, or that can be rotated to what was.
func (w *worker) pickNeedy() *key {
	w.mu.Lock()
	defer w.mu.Unlock()
	var mine []*key
	for _, k := range w.live {
		if k.worker != w.index || !k.imported || k.gone {
			continue
		}
		if k.needsMaterial() > 0 && k.params != nil && k.params.validTo.After(w.serviceTime()) || k == k.primary() && k.state == enabled && k.now.ready() {
			mine = append(mine, k)
		}
	}
	if len(mine) == 0 {
		return nil
	}
	return mine[w.rand.IntN(len(mine))]
}

// serve imports what a key lacks, or rotates it to what was imported.
func (w *worker) serve(ctx context.Context, k *key) error {
	w.mu.Lock()
	ready := k == k.primary() && k.state == enabled && k.now.ready()
	w.mu.Unlock()
	if ready {
		return w.rotate(ctx, k)
	}
	return w.importMaterial(ctx, k)
}

// importMaterial imports what a key lacks, or anew what it has, or material to rotate to.
func (w *worker) importMaterial(ctx context.Context, k *key) error {
	w.mu.Lock()
	now, params := w.serviceTime(), k.params
	m, isNew := w.drawMaterial(k)
	w.mu.Unlock()
	if params == nil || !params.validTo.After(now) || m == nil {
		return nil
	}
	wrapped, err := keywrap.Wrap(params.algorithm, params.public, m.secret)
	if err != nil {
		return err
	}
	in := &kms.ImportKeyMaterialInput{
		KeyId: &k.id, ImportToken: params.token, EncryptedKeyMaterial: wrapped,
		ExpirationModel: types.ExpirationModelTypeKeyMaterialDoesNotExpire,
	}
	mark := ""
	if k.symmetric() {
		mark = w.mark("material")
		in.KeyMaterialDescription = &mark
		if isNew {
			in.ImportType = types.ImportTypeNewKeyMaterial
		} else if w.rand.IntN(2) == 0 {
			in.KeyMaterialId = &m.id
		}
	}
	// The clock may be turned, and material expire, before the call arrives.
	c := &call{name: "ImportKeyMaterial", key: k, mark: mark, allowed: []string{"KMSInvalidStateException", "IncorrectKeyMaterialException", "ExpiredImportTokenException"}}
	var until time.Time
	if n := w.rand.IntN(7); n < 2 {
		until = now.Add(time.Second * time.Duration(1+[]int{w.rand.IntN(2), w.rand.IntN(40 * 86400)}[n])).Truncate(time.Second)
		in.ExpirationModel, in.ValidTo = types.ExpirationModelTypeKeyMaterialExpires, &until
		c.allowed = append(c.allowed, "ValidationException: The validTo date must be in the future")
	}
	var out *kms.ImportKeyMaterialOutput
	c.apply = func(r *auditRecord) {
		w.stats.imports++
		if len(k.chain) == 0 {
			k.chain = []*material{{id: m.id, logged: true, from: c.from, to: c.to}}
		}
		id := ""
		if r != nil {
			id = r.ResponseElements.MaterialID
		} else {
			id = aws.ToString(out.KeyMaterialId)
		}
		if id != m.id {
			w.fault("key %s: material %q was imported as %q", k.arn, m.id, id)
		}
	}
	c.change = func(s *standing) { s.take(k, m, until) }
	return w.do(ctx, c, func(ctx context.Context) (err error) {
		out, err = w.client.of(k).ImportKeyMaterial(ctx, in)
		return err
	})
}

// drawMaterial chooses what to import into a key, nil for nothing, and whether it is new to the key. The world is locked.
func (w *worker) drawMaterial(k *key) (m *imported, isNew bool) {
	s := k.now
	var lacking, held []*imported
	for _, m := range append(slices.Clone(s.imports), s.pending) {
		if m == nil {
			continue
		}
		if _, ok := s.of(k).held[m]; ok {
			held = append(held, m)
		} else {
			lacking = append(lacking, m)
		}
	}
	switch {
	case len(s.imports) == 0:
		return k.newMaterial(), true
	case len(lacking) > 0 && w.rand.IntN(8) > 0:
		return lacking[w.rand.IntN(len(lacking))], false
	case s.pending == nil && k.region == s.primary && k.symmetric() && len(s.imports) < importedChain && w.rand.IntN(3) > 0:
		return k.newMaterial(), true
	case len(held) > 0:
		return held[w.rand.IntN(len(held))], false
	}
	return nil, false
}

// newMaterial draws material of the key's spec.
func (k *key) newMaterial() *imported {
	m := &imported{secret: make([]byte, 32)}
	rand.Read(m.secret)
	if k.symmetric() {
		if keyID, ok := keys.ParseKeyID(k.id); ok {
			if id, err := keys.NewMaterialID(m.secret, keyID); err == nil {
				m.id = id.String()
			}
		}
	}
	if k.kind.spec == types.KeySpecEccNistP256 {
		private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return nil
		}
		if m.secret, err = x509.MarshalPKCS8PrivateKey(private); err != nil {
			return nil
		}
		if k.public, err = x509.MarshalPKIXPublicKey(&private.PublicKey); err != nil {
			return nil
		}
	}
	return m
}

// deleteMaterial deletes imported material that a key has.
func (w *worker) deleteMaterial(ctx context.Context, k *key) error {
	w.mu.Lock()
	var held []*imported
	for m := range k.now.of(k).held {
		held = append(held, m)
	}
	slices.SortFunc(held, func(a, b *imported) int { return cmp.Compare(a.id, b.id) })
	w.mu.Unlock()
	if len(held) == 0 {
		return nil
	}
	m := held[w.rand.IntN(len(held))]
	if p := k.now.pending; slices.Contains(held, p) && w.rand.IntN(2) == 0 { // of the primary it goes everywhere
		m = p
	}
	in := &kms.DeleteImportedKeyMaterialInput{KeyId: &k.id}
	if m.id != "" {
		in.KeyMaterialId = &m.id
	}
	// It may have expired, and be forgotten, or the key be gone.
	c := &call{name: "DeleteImportedKeyMaterial", key: k, allowed: []string{"NotFoundException"}}
	c.change = func(s *standing) { s.remove(k, m) }
	return w.do(ctx, c, func(ctx context.Context) error {
		_, err := w.client.of(k).DeleteImportedKeyMaterial(ctx, in)
		return err
	})
}
