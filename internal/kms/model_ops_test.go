package kms_test

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/kms"
	"github.com/keyturn/keyturn/internal/record"
)

// machine runs random operations on the service and on the model, and compares.
type machine struct {
	*model
	b *bench
}

const (
	maxModelKeys  = 8
	maxModelBlobs = 40
	managedAlias  = "alias/aws/s3"
)

// TestModel compares the service with the model over random histories. -rapid.checks and -rapid.steps make it longer.
func TestModel(t *testing.T) {
	if checks := flag.Lookup("rapid.checks"); checks.Value.String() == checks.DefValue && !testing.Short() {
		checks.Value.Set("150")
		defer checks.Value.Set(checks.DefValue)
	}
	rapid.Check(t, func(r *rapid.T) {
		b := newBench(r, kms.Config{})
		defer b.close(r)
		m := &machine{newModel(start), b}
		for range 3 { // longer histories than one round of steps
			r.Repeat(map[string]func(*rapid.T){
				"create":         m.create,
				"state":          m.changeState,
				"state again":    m.changeState,
				"rotation":       m.changeRotation,
				"rotation again": m.changeRotation,
				"on demand":      m.rotateOnDemand,
				"schedule":       m.scheduleDeletion,
				"cancel":         m.cancelDeletion,
				"alias":          m.changeAlias,
				"alias again":    m.changeAlias,
				"tags":           m.changeTags,
				"description":    m.updateDescription,
				"managed":        m.provision,
				"encrypt":        m.encrypt,
				"encrypt again":  m.encrypt,
				"decrypt":        m.decrypt,
				"decrypt again":  m.decrypt,
				"reencrypt":      m.reEncrypt,
				"describe":       m.describe,
				"status":         m.status,
				"list rotations": m.listRotations,
				"list":           m.list,
				"advance":        m.advanceClock,
				"advance again":  m.advanceClock,
				"downtime":       m.downtime,
				"":               m.checkAlways,
			})
		}
		m.checkAll(r)
	})
}

// do runs an operation and compares its error; it returns the response after success.
func (m *machine) do(r *rapid.T, op string, req api.Request, want *api.Error) (api.Response, bool) {
	r.Helper()
	m.calls++
	resp, err := m.b.do(r, op, req)
	switch {
	case err == nil && want == nil:
		return resp, true
	case err == nil || want == nil || err.Code != want.Code || want.Message != anyMessage && err.Message != want.Message:
		r.Fatalf("%s(%+v)\n got error %v\nwant error %v", op, req, err, want)
	}
	return nil, false
}

// drawKey draws a way to name a key: of those there are, deleted, foreign, or none at all.
func (m *machine) drawKey(r *rapid.T, label string) string {
	var names []string
	for _, id := range m.order { // not by ID, which is random: a history must mean the same when it is run again
		if m.keys[id] != nil {
			names = append(names, id, keyARN(id))
		}
	}
	names = append(names, slices.Sorted(maps.Keys(m.aliases))...)
	for _, a := range slices.Sorted(maps.Keys(m.aliases)) {
		names = append(names, aliasARN(a))
	}
	names = append(names, m.gone...)
	if len(names) == 0 || rapid.IntRange(0, 9).Draw(r, "strange "+label) == 0 {
		const id = "11111111-2222-4333-8444-555555555555"
		names = []string{
			id, keyARN(id), "no-uuid", "alias/none", aliasARN("alias/none"), "arn:aws:kms:" + region + ":999988887777:key/" + id,
			"arn:aws:kms:us-east-1:" + account + ":key/" + id, "arn:aws:kms:us-east-1:" + account + ":alias/none",
		}
	}
	return rapid.SampledFrom(names).Draw(r, label)
}

func (m *machine) create(r *rapid.T) {
	if len(m.keys) >= maxModelKeys {
		r.Skip("enough keys")
	}
	req := &api.CreateKeyRequest{}
	k := &modelKey{created: m.now, state: record.Enabled, materials: []modelMaterial{{date: m.now}}}
	if rapid.Bool().Draw(r, "describe it") {
		k.description = rapid.StringN(0, 20, -1).Draw(r, "description")
		req.Description = api.Some(k.description)
	}
	var want *api.Error
	if tags := drawTags(r); len(tags) > 0 {
		req.Tags = apiTags(tags)
		k.tags, want = tag(nil, tags)
	}
	if rapid.Bool().Draw(r, "rotating") {
		req.EnableKeyRotation = api.Some(true)
		days := int64(365)
		if rapid.Bool().Draw(r, "with a period") {
			days = drawDays(r)
			req.RotationPeriodInDays = api.Some(days)
			want = first(badDays(days), want)
		}
		k.startRotation(m.now, days)
	}
	resp, ok := m.do(r, "CreateKey", req, want)
	if !ok {
		return
	}
	meta := resp.(*api.CreateKeyResponse).KeyMetadata
	k.id, k.arn = meta.KeyId.V, keyARN(meta.KeyId.V)
	k.materials[0].id = meta.CurrentKeyMaterialId.V
	m.keys[k.id] = k
	m.order = append(m.order, k.id)
	m.compareMetadata(r, k, meta)
}

// drawDays draws a rotation period, seldom one that is refused.
func drawDays(r *rapid.T) int64 {
	return rapid.OneOf(rapid.Int64Range(90, 400), rapid.SampledFrom([]int64{90, 365, 2560, 89, 2561, 0})).Draw(r, "days")
}

func badDays(days int64) *api.Error {
	const text = "1 validation error detected: Value '%d' at 'rotationPeriodInDays' failed to satisfy constraint: Member must have value %s than or equal to %d"
	switch {
	case days < 90:
		return fault(api.ValidationException, text, days, "greater", 90)
	case days > 2560:
		return fault(api.ValidationException, text, days, "less", 2560)
	}
	return nil
}

func (m *machine) changeState(r *rapid.T) {
	name := m.drawKey(r, "key")
	k, want := m.resolve(name, false)
	if k != nil {
		want = first(want, k.denied(), k.pendingDeletion())
	}
	if rapid.Bool().Draw(r, "enable") {
		if _, ok := m.do(r, "EnableKey", &api.EnableKeyRequest{KeyId: api.Some(name)}, want); ok {
			k.state = record.Enabled
		}
	} else if _, ok := m.do(r, "DisableKey", &api.DisableKeyRequest{KeyId: api.Some(name)}, want); ok {
		k.state = record.Disabled
	}
}

func (m *machine) changeRotation(r *rapid.T) {
	name := m.drawKey(r, "key")
	k, want := m.resolve(name, false)
	if k != nil {
		want = first(want, k.rotates())
	}
	if rapid.IntRange(0, 3).Draw(r, "disable") == 0 {
		if _, ok := m.do(r, "DisableKeyRotation", &api.DisableKeyRotationRequest{KeyId: api.Some(name)}, want); ok {
			k.rotation = false
		}
		return
	}
	req := &api.EnableKeyRotationRequest{KeyId: api.Some(name)}
	days := int64(365)
	if rapid.Bool().Draw(r, "with a period") {
		days = drawDays(r)
		req.RotationPeriodInDays = api.Some(days)
		want = first(badDays(days), want)
	}
	if _, ok := m.do(r, "EnableKeyRotation", req, want); ok && !(k.rotation && k.period == days) {
		k.startRotation(m.now, days)
	}
}

func (m *machine) rotateOnDemand(r *rapid.T) {
	name := m.drawKey(r, "key")
	times := rapid.SampledFrom([]int{1, 1, 2, 27}).Draw(r, "times") // now and then up to the limit
	for range times {
		k, want := m.resolve(name, false)
		if k != nil {
			want = first(want, k.rotates())
			if want == nil && k.onDemand >= 25 {
				want = fault(api.LimitExceededException, "The on-demand rotations limit has been reached for the given keyId. No more on-demand rotations can be performed for this key: %s", k.arn)
			}
		}
		resp, ok := m.do(r, "RotateKeyOnDemand", &api.RotateKeyOnDemandRequest{KeyId: api.Some(name)}, want)
		if !ok {
			return
		}
		if got := resp.(*api.RotateKeyOnDemandResponse).KeyId.V; got != k.arn {
			r.Fatalf("RotateKeyOnDemand answers %q, want the ARN %q", got, k.arn)
		}
		k.onDemand++
		k.rotate(m.now, record.OnDemand)
		m.rotations++
		m.learn(r, k)
	}
}

// learn asks for the ID of a key's current material.
func (m *machine) learn(r *rapid.T, k *modelKey) {
	resp, _ := m.do(r, "DescribeKey", &api.DescribeKeyRequest{KeyId: api.Some(k.id)}, nil)
	id := resp.(*api.DescribeKeyResponse).KeyMetadata.CurrentKeyMaterialId.V
	m.setMaterial(r, k, id)
}

func (m *machine) setMaterial(r *rapid.T, k *modelKey, id string) {
	if len(id) != 64 || slices.ContainsFunc(k.materials, func(o modelMaterial) bool { return o.id == id }) {
		r.Fatalf("%s: new material has ID %q", k.id, id)
	}
	k.current().id = id
}

func (m *machine) scheduleDeletion(r *rapid.T) {
	name := m.drawKey(r, "key")
	req := &api.ScheduleKeyDeletionRequest{KeyId: api.Some(name)}
	days := int64(30)
	var want *api.Error
	if rapid.Bool().Draw(r, "with a window") {
		days = rapid.OneOf(rapid.Int64Range(7, 30), rapid.SampledFrom([]int64{6, 31, 1, 365})).Draw(r, "window")
		req.PendingWindowInDays = api.Some(days)
		const text = "1 validation error detected: Value '%d' at 'pendingWindowInDays' failed to satisfy constraint: Member must have value %s than or equal to %d"
		if days < 7 {
			want = fault(api.ValidationException, text, days, "greater", 7)
		} else if days > 30 {
			want = fault(api.ValidationException, text, days, "less", 30)
		}
	}
	k, missing := m.resolve(name, false)
	if k != nil {
		want = first(want, k.denied(), k.pendingDeletion())
	}
	resp, ok := m.do(r, "ScheduleKeyDeletion", req, first(missing, want))
	if !ok {
		return
	}
	k.state, k.deletion = record.PendingDeletion, m.now.Add(time.Duration(days)*day)
	got := resp.(*api.ScheduleKeyDeletionResponse)
	if got.KeyId.V != k.arn || !got.DeletionDate.V.Equal(k.deletion) || got.KeyState.V != api.KeyStatePendingDeletion || got.PendingWindowInDays.V != days {
		r.Fatalf("ScheduleKeyDeletion answers %+v, want deletion of %s at %v", got, k.arn, k.deletion)
	}
}

func (m *machine) cancelDeletion(r *rapid.T) {
	name := m.drawKey(r, "key")
	k, want := m.resolve(name, false)
	if k != nil && k.state != record.PendingDeletion {
		want = fault(api.KMSInvalidStateException, "%s is not pending deletion.", k.arn)
	}
	if resp, ok := m.do(r, "CancelKeyDeletion", &api.CancelKeyDeletionRequest{KeyId: api.Some(name)}, want); ok {
		k.state = record.Disabled
		if got := resp.(*api.CancelKeyDeletionResponse).KeyId.V; got != k.arn {
			r.Fatalf("CancelKeyDeletion answers %q, want %q", got, k.arn)
		}
	}
}

var aliasNames = rapid.SampledFrom([]string{"alias/a", "alias/b", "alias/a/b", "alias/A", "alias/c_d-e", "alias/aws/mine", "alias/f"})

func (m *machine) changeAlias(r *rapid.T) {
	name := aliasNames.Draw(r, "alias")
	reserved := strings.HasPrefix(name, "alias/aws/")
	have := m.aliases[name]
	kind := rapid.SampledFrom([]string{"create", "create", "update", "delete"}).Draw(r, "kind")
	if kind == "delete" {
		var want *api.Error
		if have == nil {
			want = fault(api.NotFoundException, "Alias %s is not found.", aliasARN(name))
		}
		if reserved {
			want = fault(api.InvalidAliasNameException, anyMessage)
		}
		if _, ok := m.do(r, "DeleteAlias", &api.DeleteAliasRequest{AliasName: api.Some(name)}, want); ok {
			delete(m.aliases, name)
		}
		return
	}
	target := m.drawKey(r, "target")
	k, want := m.resolve(target, false)
	if strings.HasPrefix(target, "alias/") || strings.Contains(target, ":alias/") {
		if want == nil || want.Code != api.AccessDeniedException {
			want = fault(api.ValidationException, "Aliases must refer to keys. Not aliases")
		}
	}
	// That the name is nobody's to use comes before everything but that a foreign key is not the caller's to name.
	if reserved && (want == nil || want.Code != api.AccessDeniedException) {
		want = fault(api.InvalidAliasNameException, anyMessage)
	}
	if kind == "create" {
		if want == nil {
			want = first(k.denied(), k.pendingDeletion())
		}
		if want == nil && have != nil {
			want = fault(api.AlreadyExistsException, "An alias with the name %s already exists", aliasARN(name))
		}
		if _, ok := m.do(r, "CreateAlias", &api.CreateAliasRequest{AliasName: api.Some(name), TargetKeyId: api.Some(target)}, want); ok {
			m.aliases[name] = &modelAlias{key: k.id, created: m.now, updated: m.now}
		}
		return
	}
	if have == nil && !reserved && (want == nil || want.Code != api.AccessDeniedException) {
		want = fault(api.NotFoundException, "Alias %s is not found.", aliasARN(name))
	}
	if want == nil {
		want = first(k.denied(), k.pendingDeletion())
	}
	if _, ok := m.do(r, "UpdateAlias", &api.UpdateAliasRequest{AliasName: api.Some(name), TargetKeyId: api.Some(target)}, want); ok {
		have.key, have.updated = k.id, m.now
	}
}

func drawTags(r *rapid.T) [][2]string {
	if rapid.IntRange(0, 30).Draw(r, "many tags") == 0 {
		many := make([][2]string, 51)
		for i := range many {
			many[i] = [2]string{"many" + strconv.Itoa(i), ""}
		}
		return many[:rapid.SampledFrom([]int{44, 50, 51}).Draw(r, "how many")]
	}
	return rapid.SliceOfN(rapid.Custom(func(r *rapid.T) [2]string {
		key := rapid.SampledFrom([]string{"t1", "t2", "t3", "t4", "T1", "a b", "t5", "t6", "aws:x", "AWS:y"}).Draw(r, "tag")
		return [2]string{key, rapid.SampledFrom([]string{"", "v", "w"}).Draw(r, "value")}
	}), 0, 3).Draw(r, "tags")
}

func apiTags(tags [][2]string) []api.Tag {
	out := make([]api.Tag, 0, len(tags))
	for _, t := range tags {
		out = append(out, api.Tag{TagKey: api.Some(t[0]), TagValue: api.Some(t[1])})
	}
	return out
}

func (m *machine) changeTags(r *rapid.T) {
	name := m.drawKey(r, "key")
	k, want := m.resolve(name, false)
	if k != nil {
		want = first(want, k.denied(), k.pendingDeletion())
	}
	tags := drawTags(r)
	if rapid.Bool().Draw(r, "add") {
		var after [][2]string
		if want == nil {
			after, want = tag(k.tags, tags)
		}
		if _, ok := m.do(r, "TagResource", &api.TagResourceRequest{KeyId: api.Some(name), Tags: apiTags(tags)}, want); ok {
			k.tags = after
		}
		return
	}
	keys := []string{}
	for _, t := range tags {
		keys = append(keys, t[0])
		if want == nil && strings.EqualFold(t[0][:min(4, len(t[0]))], "aws:") {
			want = fault(api.TagException, "Tags beginning with aws: are reserved")
		}
	}
	if _, ok := m.do(r, "UntagResource", &api.UntagResourceRequest{KeyId: api.Some(name), TagKeys: keys}, want); ok {
		k.tags = slices.DeleteFunc(k.tags, func(t [2]string) bool { return slices.Contains(keys, t[0]) })
	}
}

func (m *machine) updateDescription(r *rapid.T) {
	name := m.drawKey(r, "key")
	k, want := m.resolve(name, false)
	if k != nil {
		want = first(want, k.denied(), k.pendingDeletion())
	}
	text := rapid.StringN(0, 10, -1).Draw(r, "description")
	if _, ok := m.do(r, "UpdateKeyDescription", &api.UpdateKeyDescriptionRequest{KeyId: api.Some(name), Description: api.Some(text)}, want); ok {
		k.description = text
	}
}

// provision names an AWS managed key, which makes it the first time.
func (m *machine) provision(r *rapid.T) {
	resp, ok := m.do(r, "DescribeKey", &api.DescribeKeyRequest{KeyId: api.Some(managedAlias)}, nil)
	if !ok || m.aliases[managedAlias] != nil {
		return
	}
	meta := resp.(*api.DescribeKeyResponse).KeyMetadata
	k := &modelKey{
		id: meta.KeyId.V, arn: keyARN(meta.KeyId.V), description: meta.Description.V, created: m.now, managed: true, state: record.Enabled,
		materials: []modelMaterial{{id: meta.CurrentKeyMaterialId.V, date: m.now}},
	}
	k.startRotation(m.now, 365)
	m.keys[k.id] = k
	m.order = append(m.order, k.id)
	m.aliases[managedAlias] = &modelAlias{key: k.id, created: m.now, updated: m.now}
	m.compareMetadata(r, k, meta)
}

var contexts = rapid.SampledFrom([]map[string]string{nil, {"a": "b"}, {"a": "bc"}, {"ab": "c"}, {"a": "b", "c": "d"}})

func (m *machine) encrypt(r *rapid.T) {
	if len(m.blobs) >= maxModelBlobs {
		m.blobs = m.blobs[1:]
	}
	name := m.drawKey(r, "key")
	k, want := m.resolve(name, true)
	if k != nil {
		want = first(want, k.disabled())
	}
	blob := modelBlob{plain: rapid.SliceOfN(rapid.Byte(), 1, 40).Draw(r, "plaintext"), context: contexts.Draw(r, "context")}
	if rapid.Bool().Draw(r, "data key") {
		resp, ok := m.do(r, "GenerateDataKey", &api.GenerateDataKeyRequest{
			KeyId: api.Some(name), KeySpec: api.Some(api.DataKeySpecAes256), EncryptionContext: blob.context,
		}, want)
		if !ok {
			return
		}
		got := resp.(*api.GenerateDataKeyResponse)
		if got.KeyId.V != k.arn || got.KeyMaterialId.V != k.current().id || len(got.Plaintext) != 32 {
			r.Fatalf("GenerateDataKey answers key %s, material %s, %d bytes; want material %s", got.KeyId.V, got.KeyMaterialId.V, len(got.Plaintext), k.current().id)
		}
		blob.data, blob.plain = got.CiphertextBlob, got.Plaintext
	} else {
		resp, ok := m.do(r, "Encrypt", &api.EncryptRequest{KeyId: api.Some(name), Plaintext: blob.plain, EncryptionContext: blob.context}, want)
		if !ok {
			return
		}
		got := resp.(*api.EncryptResponse)
		if got.KeyId.V != k.arn || got.EncryptionAlgorithm.V != api.EncryptionAlgorithmSpecSymmetricDefault {
			r.Fatalf("Encrypt answers key %s, algorithm %s", got.KeyId.V, got.EncryptionAlgorithm.V)
		}
		blob.data = got.CiphertextBlob
	}
	blob.key, blob.material = k.id, k.current().id
	m.blobs = append(m.blobs, blob)
}

// open says what opening a blob must give, as far as it concerns its own key.
func (m *machine) open(blob *modelBlob, name string, context map[string]string) (*modelKey, *api.Error) {
	k := m.keys[blob.key]
	if name != "" {
		named, err := m.resolve(name, true)
		if err != nil {
			return nil, err
		}
		if named.id != blob.key {
			return nil, fault(api.IncorrectKeyException, "The key ID in the request does not identify a CMK that can perform this operation.")
		}
	} else if k == nil {
		return nil, fault(api.AccessDeniedException, "The ciphertext refers to a customer master key that does not exist, does not exist in this region, or you are not allowed to access.")
	}
	if err := k.disabled(); err != nil {
		return nil, err
	}
	if !maps.Equal(context, blob.context) {
		return nil, fault(api.InvalidCiphertextException, "")
	}
	return k, nil
}

// drawBlob draws a ciphertext and how it is handed in; altered is one that must not open whatever else is said.
func (m *machine) drawBlob(r *rapid.T) (blob *modelBlob, data []byte, context map[string]string, altered bool) {
	if len(m.blobs) == 0 {
		r.Skip("no ciphertexts")
	}
	blob = &m.blobs[rapid.IntRange(0, len(m.blobs)-1).Draw(r, "blob")]
	data, context = blob.data, blob.context
	switch rapid.IntRange(0, 9).Draw(r, "what is wrong") {
	case 0:
		context = contexts.Draw(r, "another context")
	case 1:
		data = bytes.Clone(data)
		data[rapid.IntRange(0, len(data)-1).Draw(r, "offset")] ^= 1 << rapid.IntRange(0, 7).Draw(r, "bit")
		altered = true
	}
	return blob, data, context, altered
}

func (m *machine) decrypt(r *rapid.T) {
	blob, data, context, altered := m.drawBlob(r)
	req := &api.DecryptRequest{CiphertextBlob: data, EncryptionContext: context}
	name := ""
	if rapid.Bool().Draw(r, "name the key") {
		name = m.drawKey(r, "key")
		if rapid.Bool().Draw(r, "the right one") {
			name = keyARN(blob.key)
		}
		req.KeyId = api.Some(name)
	}
	k, want := m.open(blob, name, context)
	if altered {
		want = fault(api.InvalidCiphertextException, "")
	}
	resp, ok := m.do(r, "Decrypt", req, want)
	if !ok {
		return
	}
	got := resp.(*api.DecryptResponse)
	if !bytes.Equal(got.Plaintext, blob.plain) || got.KeyId.V != k.arn || got.KeyMaterialId.V != blob.material {
		r.Fatalf("Decrypt answers key %s, material %s, right plaintext: %v; want material %s of %s",
			got.KeyId.V, got.KeyMaterialId.V, bytes.Equal(got.Plaintext, blob.plain), blob.material, k.arn)
	}
}

func (m *machine) reEncrypt(r *rapid.T) {
	blob, data, context, altered := m.drawBlob(r)
	destination := m.drawKey(r, "destination")
	to, toErr := m.resolve(destination, true)
	from, want := m.open(blob, "", context)
	gone := m.keys[blob.key] == nil
	switch {
	case altered:
		want = fault(api.InvalidCiphertextException, "")
	case toErr != nil && toErr.Code == api.AccessDeniedException:
		want = toErr // nothing is told of either key before both are allowed
	case gone: // as open says
	case toErr != nil:
		want = toErr
	default:
		want = first(to.disabled(), want)
	}
	after := contexts.Draw(r, "new context")
	resp, ok := m.do(r, "ReEncrypt", &api.ReEncryptRequest{
		CiphertextBlob: data, SourceEncryptionContext: context, DestinationKeyId: api.Some(destination), DestinationEncryptionContext: after,
	}, want)
	if !ok {
		return
	}
	got := resp.(*api.ReEncryptResponse)
	if got.SourceKeyId.V != from.arn || got.KeyId.V != to.arn || got.SourceKeyMaterialId.V != blob.material || got.DestinationKeyMaterialId.V != to.current().id {
		r.Fatalf("ReEncrypt answers %s/%s to %s/%s", got.SourceKeyId.V, got.SourceKeyMaterialId.V, got.KeyId.V, got.DestinationKeyMaterialId.V)
	}
	*blob = modelBlob{data: got.CiphertextBlob, plain: blob.plain, key: to.id, material: to.current().id, context: after}
}

func (m *machine) advanceClock(r *rapid.T) {
	d := rapid.OneOf(
		rapid.Int64Range(0, int64(10*day/time.Second)),
		rapid.Int64Range(0, int64(1200*day/time.Second)),
		rapid.SampledFrom([]int64{0, 1, int64(7 * day / time.Second), int64(90 * day / time.Second), int64(365 * day / time.Second)}),
	).Draw(r, "seconds")
	m.calls++
	resp := m.b.advance(r, time.Duration(d)*time.Second)
	want := m.advance(time.Duration(d) * time.Second)
	if resp.EventCount.V != int64(len(want)) || len(resp.Events) != len(want) {
		r.Fatalf("AdvanceClock answers %d events (%d listed), want %d", resp.EventCount.V, len(resp.Events), len(want))
	}
	for i, w := range want {
		g := resp.Events[i]
		name := api.ClockEventTypeRotateKey
		if w.kind == record.DueDeletion {
			name = api.ClockEventTypeDeleteKey
		}
		if g.Event.V != name || g.KeyArn.V != w.key.arn || !g.Date.V.Equal(w.at) {
			r.Fatalf("event %d is %s of %s at %v, want %s of %s at %v", i, g.Event.V, g.KeyArn.V, g.Date.V, name, w.key.arn, w.at)
		}
		if w.kind == record.DueRotation {
			m.fillMaterial(r, w.key, w.at, g.KeyMaterialId.V)
		}
	}
	if !resp.Now.V.Equal(m.now) || !m.b.now().Equal(m.now) {
		r.Fatalf("after AdvanceClock it is %v, answered %v, want %v", m.b.now(), resp.Now.V, m.now)
	}
}

// fillMaterial notes the ID of the first material of a key that has none yet.
func (m *machine) fillMaterial(r *rapid.T, k *modelKey, at time.Time, id string) {
	for i := range k.materials {
		if k.materials[i].id == "" {
			if len(id) != 64 || !k.materials[i].date.Equal(at) {
				r.Fatalf("%s: material %q at %v, want one at %v", k.id, id, at, k.materials[i].date)
			}
			k.materials[i].id = id
			return
		}
	}
	r.Fatalf("%s: a rotation too many", k.id)
}

// downtime lets time go on while nothing runs, then the scheduler find what is due.
func (m *machine) downtime(r *rapid.T) {
	d := time.Duration(rapid.OneOf(rapid.Int64Range(0, int64(2*day)), rapid.Int64Range(0, int64(500*day))).Draw(r, "down")).Truncate(time.Millisecond)
	m.b.pass(d)
	m.now = m.now.Add(d)
	rotated := []*modelKey{}
	for _, k := range m.dueBy(m.now) {
		if _, kind, _ := k.due(); kind == record.DueRotation {
			rotated = append(rotated, k)
		}
	}
	m.catchUp()
	if err := m.b.runner.RunDue(context.Background()); err != nil {
		r.Fatalf("RunDue: %v", err)
	}
	for _, k := range rotated {
		m.learn(r, k)
	}
}

func (m *machine) String() string {
	return fmt.Sprintf("%d keys, %d aliases, %d ciphertexts at %v", len(m.keys), len(m.aliases), len(m.blobs), m.now)
}
