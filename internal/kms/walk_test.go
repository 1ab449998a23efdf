package kms_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/policy"
)

// walk is a random walk over all that can happen to a multi-Region key and its materials.
type walk struct {
	*bench
	t       *testing.T
	rng     *rand.Rand
	id      string
	regions []string
	wrap    map[string]wrapping  // by region; only with imported material
	since   map[string]time.Time // when wrap was fetched
	secrets byte                 // how many have been imported
	sealed  []sealedText
	grants  map[string][]string // by region, the IDs
	log     []string
}

type sealedText struct {
	blob            []byte
	text, currently string
}

// TestWalk takes random walks. After each step related keys agree, one of them is the primary, and what was ever encrypted opens wherever
// the key is enabled.
func TestWalk(t *testing.T) {
	seeds := uint64(3)
	if testing.Short() {
		seeds = 1
	}
	for seed := range seeds {
		for _, imported := range []bool{false, true} {
			t.Run(fmt.Sprintf("%d imported %v", seed, imported), func(t *testing.T) {
				w := &walk{
					bench: testBench(t), t: t, rng: rand.New(rand.NewPCG(seed, 77)), regions: []string{region, west, south},
					wrap: map[string]wrapping{}, since: map[string]time.Time{}, secrets: 1, grants: map[string][]string{},
				}
				if imported {
					w.id, _ = w.external(t, api.CreateKeyRequest{MultiRegion: api.Some(true)})
				} else {
					w.id = w.newMultiRegion(t, api.CreateKeyRequest{})
				}
				for step := range 200 {
					w.step(imported, step)
					if !w.check() {
						break // every key is deleted
					}
				}
				checkStore(t, w.bench)
			})
		}
	}
}

func (w *walk) call(region, op string, req api.Request) (api.Response, *api.Error) {
	w.t.Helper()
	resp, err := w.in(w.t, region, op, req)
	w.log = append(w.log, fmt.Sprintf("%s %s %s: %v", w.now().Format("01-02 15:04"), region, op, err))
	if err != nil && err.Code == api.KMSInternalException {
		w.fail("internal error")
	}
	return resp, err
}

func (w *walk) fail(format string, args ...any) {
	w.t.Helper()
	w.t.Fatalf("%s after\n%s", fmt.Sprintf(format, args...), strings.Join(w.log[max(0, len(w.log)-60):], "\n"))
}

func (w *walk) step(imported bool, step int) {
	id, here, there := str(w.id), w.regions[w.rng.IntN(3)], w.regions[w.rng.IntN(3)]
	switch n := w.rng.IntN(18); n {
	case 0:
		w.call(here, "ReplicateKey", &api.ReplicateKeyRequest{KeyId: id, ReplicaRegion: str(there)})
	case 1:
		w.call(here, "UpdatePrimaryRegion", &api.UpdatePrimaryRegionRequest{KeyId: id, PrimaryRegion: str(there)})
	case 2:
		if w.rng.IntN(4) == 0 {
			w.call(here, "ScheduleKeyDeletion", &api.ScheduleKeyDeletionRequest{KeyId: id, PendingWindowInDays: api.Some[int64](7)})
		}
	case 3, 4:
		w.call(here, "CancelKeyDeletion", &api.CancelKeyDeletionRequest{KeyId: id})
		w.call(here, "EnableKey", &api.EnableKeyRequest{KeyId: id})
	case 5:
		w.call(here, "DisableKey", &api.DisableKeyRequest{KeyId: id})
	case 6, 7:
		w.call(here, "RotateKeyOnDemand", &api.RotateKeyOnDemandRequest{KeyId: id})
	case 8:
		w.call(here, "EnableKeyRotation", &api.EnableKeyRotationRequest{KeyId: id, RotationPeriodInDays: api.Some[int64](90)})
	case 9:
		by := []time.Duration{time.Hour, 2 * day, 5 * day, 30 * day}[w.rng.IntN(4)]
		w.advance(w.t, by)
		w.log = append(w.log, "advance "+by.String())
	case 10, 11, 12:
		if imported {
			w.doImport(here)
		}
	case 13:
		if imported {
			w.call(here, "DeleteImportedKeyMaterial", &api.DeleteImportedKeyMaterialRequest{KeyId: id})
		}
	case 14:
		if resp, err := w.call(here, "CreateGrant", decrypting(w.id)); err == nil {
			grant, _ := granted(w.t, resp)
			w.grants[here] = append(w.grants[here], grant)
		}
	case 15:
		if have := w.grants[here]; len(have) > 0 {
			if _, err := w.call(here, "RevokeGrant", &api.RevokeGrantRequest{KeyId: id, GrantId: str(have[0])}); err == nil {
				w.grants[here] = have[1:]
			}
		}
	default:
		text := fmt.Sprint("step ", step)
		if resp, err := w.call(here, "Encrypt", &api.EncryptRequest{KeyId: id, Plaintext: []byte(text)}); err == nil {
			w.sealed = append(w.sealed, sealedText{resp.(*api.EncryptResponse).CiphertextBlob, text, w.describe(w.t, here, w.id).CurrentKeyMaterialId.V})
		}
	}
}

// doImport imports an old or a new material into a region and, often, all materials into all regions.
func (w *walk) doImport(here string) {
	if w.since[here].IsZero() || w.now().Sub(w.since[here]) > 23*time.Hour {
		resp, err := w.call(here, "GetParametersForImport", &api.GetParametersForImportRequest{
			KeyId: str(w.id), WrappingAlgorithm: str(api.AlgorithmSpecRsaesOaepSha256), WrappingKeySpec: str(api.WrappingKeySpecRsa2048),
		})
		if err != nil {
			return
		}
		p := resp.(*api.GetParametersForImportResponse)
		w.wrap[here], w.since[here] = wrapping{api.AlgorithmSpecRsaesOaepSha256, p.ImportToken, p.PublicKey}, w.now()
	}
	n := byte(1 + w.rng.IntN(int(w.secrets)+1))
	req := w.wrap[here].request(w.t, w.id, secret(n))
	switch w.rng.IntN(3) {
	case 0:
		req.ImportType = str(api.ImportTypeNewKeyMaterial)
	case 1:
		req.ImportType = str(api.ImportTypeExistingKeyMaterial)
	}
	if w.rng.IntN(3) == 0 {
		expiring(req, w.now().Add(time.Duration(1+w.rng.IntN(60*24))*time.Hour))
	}
	if _, err := w.call(here, "ImportKeyMaterial", req); err == nil {
		w.secrets = max(w.secrets, n)
	}
	if w.rng.IntN(2) == 0 {
		return
	}
	for _, region := range w.regions {
		if w.since[region].IsZero() || w.now().Sub(w.since[region]) > 23*time.Hour {
			continue
		}
		for n := byte(1); n <= w.secrets; n++ {
			req := w.wrap[region].request(w.t, w.id, secret(n))
			req.ImportType = str(api.ImportTypeExistingKeyMaterial)
			w.call(region, "ImportKeyMaterial", req)
		}
	}
}

// check tells whether there is a key left.
func (w *walk) check() bool {
	w.t.Helper()
	id, primaries, related := str(w.id), 0, ""
	for _, region := range w.regions {
		resp, err := w.in(w.t, region, "DescribeKey", &api.DescribeKeyRequest{KeyId: id})
		if err != nil {
			if err.Code != api.NotFoundException {
				w.fail("DescribeKey in %s: %v", region, err)
			}
			delete(w.grants, region) // they went with the key
			continue
		}
		r := mustIn[api.ListGrantsResponse](w.t, w.bench, region, "ListGrants", &api.ListGrantsRequest{KeyId: id})
		if got, want := grantIDs(r), slices.Sorted(slices.Values(w.grants[region])); !slices.Equal(got, want) {
			w.fail("in %s there are the grants %v, want %v", region, got, want)
		}
		m := resp.(*api.DescribeKeyResponse).KeyMetadata
		c := m.MultiRegionConfiguration
		if c.MultiRegionKeyType.V == api.MultiRegionKeyTypePrimary {
			primaries++
		}
		says := c.PrimaryKey.Region.V + " " + m.CurrentKeyMaterialId.V
		for _, r := range c.ReplicaKeys {
			says += " " + r.Region.V
		}
		if related != "" && related != says {
			w.fail("related keys say %q and %q", related, says)
		}
		related = says
		if m.KeyState.V != api.KeyStateEnabled {
			continue
		}
		for _, s := range w.sealed {
			d, err := w.in(w.t, region, "Decrypt", &api.DecryptRequest{CiphertextBlob: s.blob})
			if err != nil {
				w.fail("what was sealed at %s does not open in %s: %v", s.text, region, err)
			}
			if r := d.(*api.DecryptResponse); string(r.Plaintext) != s.text || r.KeyMaterialId.V != s.currently {
				w.fail("what was sealed at %s opens to %q under %s", s.text, r.Plaintext, r.KeyMaterialId.V)
			}
		}
	}
	if related != "" && primaries != 1 {
		w.fail("%d primary keys", primaries)
	}
	return related != ""
}

// TestMultiRegionImportRoom fills the policies of related keys with imported material to the limit, and then the descriptions of the
// materials: what is refused is refused there, and a replica still goes when its time has come.
func TestMultiRegionImportRoom(t *testing.T) {
	if testing.Short() {
		t.Skip("many imports")
	}
	b := testBench(t)
	id, _ := b.external(t, api.CreateKeyRequest{MultiRegion: api.Some(true)})
	regions, wraps := []string{region}, map[string]wrapping{region: b.oaep(t, region, id)}
	load := func(region string, n byte, kind api.ImportType, description string) {
		t.Helper()
		req := expiring(wraps[region].request(t, id, secret(n)), b.now().Add(300*day))
		req.ImportType, req.KeyMaterialDescription = str(kind), str(description)
		if _, err := b.in(t, region, "ImportKeyMaterial", req); err != nil {
			t.Fatalf("material %d in %s: %v", n, region, err)
		}
	}
	const isNew, existing = api.ImportTypeNewKeyMaterial, api.ImportTypeExistingKeyMaterial
	load(region, 1, isNew, "a")
	for n := range maxReplicas {
		r := fmt.Sprintf("us-test-%d", n)
		b.run(t, "ReplicateKey", &api.ReplicateKeyRequest{KeyId: str(id), ReplicaRegion: str(r)})
		regions, wraps[r] = append(regions, r), b.oaep(t, r, id)
		load(r, 1, existing, "a")
	}
	statement := strings.TrimSuffix(strings.TrimPrefix(policy.Default("aws", account), "{"), "}")
	for _, r := range regions {
		for size := policy.MaxKeyPolicyBytes; size > 1000; size -= 1000 {
			text := "{" + statement + strings.Repeat("\n", size-len(statement)-2) + "}"
			if _, err := b.in(t, r, "PutKeyPolicy", &api.PutKeyPolicyRequest{KeyId: str(id), Policy: str(text)}); err == nil {
				break
			}
		}
	}
	for n := byte(2); n <= 26; n++ {
		load(region, n, isNew, "a")
		for _, r := range regions[1:] {
			load(r, n, existing, "a")
		}
		b.run(t, "RotateKeyOnDemand", &api.RotateKeyOnDemandRequest{KeyId: str(id)})
	}
	for _, r := range regions {
		for n := byte(1); n <= 26; n++ {
			load(r, n, existing, strings.Repeat("\n", 256))
		}
	}
	b.run(t, "UpdatePrimaryRegion", &api.UpdatePrimaryRegionRequest{KeyId: str(id), PrimaryRegion: str(regions[2])})
	if _, err := b.in(t, regions[3], "ScheduleKeyDeletion", &api.ScheduleKeyDeletionRequest{KeyId: str(id), PendingWindowInDays: api.Some[int64](7)}); err != nil {
		t.Fatal(err)
	}
	b.advance(t, 8*day)
	if _, err := b.in(t, regions[3], "DescribeKey", &api.DescribeKeyRequest{KeyId: str(id)}); err == nil || err.Code != api.NotFoundException {
		t.Errorf("a replica whose time has come: %v", err)
	}
}
