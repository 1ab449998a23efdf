package kms_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/audit"
	"github.com/keyturn/keyturn/internal/clock"
	"github.com/keyturn/keyturn/internal/keys"
	"github.com/keyturn/keyturn/internal/kms"
	"github.com/keyturn/keyturn/internal/policy"
	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/schedule"
	"github.com/keyturn/keyturn/internal/seal"
	"github.com/keyturn/keyturn/internal/service"
	"github.com/keyturn/keyturn/internal/store"
	"github.com/keyturn/keyturn/internal/store/memstore"
)

// Regions beside the first.
const (
	west  = "us-west-2"
	south = "ap-south-1"
)

// maxReplicas is how many replicas a key can have.
const maxReplicas = 15

func arnIn(region, id string) string { return "arn:aws:kms:" + region + ":" + account + ":key/" + id }

func (b *bench) newMultiRegion(t checker, req api.CreateKeyRequest) string {
	t.Helper()
	req.MultiRegion = api.Some(true)
	id, _ := b.newKey(t, &req)
	return id
}

func (b *bench) replicate(t checker, id string, regions ...string) {
	t.Helper()
	for _, r := range regions {
		b.run(t, "ReplicateKey", &api.ReplicateKeyRequest{KeyId: str(id), ReplicaRegion: str(r)})
	}
}

// relatives describes a key's multi-Region configuration.
func relatives(m *api.KeyMetadata) string {
	c := m.MultiRegionConfiguration
	if !m.MultiRegion.V || c == nil {
		return "single-Region"
	}
	list := []string{string(c.MultiRegionKeyType.V), c.PrimaryKey.Region.V, c.PrimaryKey.Arn.V}
	for _, r := range c.ReplicaKeys {
		list = append(list, r.Region.V, r.Arn.V)
	}
	return strings.Join(list, " ")
}

func wantRelatives(t *testing.T, b *bench, id, primary string, replicas ...string) {
	t.Helper()
	rest := []string{primary, arnIn(primary, id)}
	for _, r := range replicas {
		rest = append(rest, r, arnIn(r, id))
	}
	for _, r := range append([]string{primary}, replicas...) {
		kind := "REPLICA "
		if r == primary {
			kind = "PRIMARY "
		}
		if got, want := relatives(b.describe(t, r, id)), kind+strings.Join(rest, " "); got != want {
			t.Errorf("in %s\n got %s\nwant %s", r, got, want)
		}
	}
}

// serviceEvents counts the service's own events of a name. SynchronizeMultiRegionKey is one too, of the type of a call.
func (b *bench) serviceEvents(t checker, name string) int {
	t.Helper()
	n := 0
	for _, e := range b.events(t) {
		if e.EventName == name && (e.EventType == "AwsServiceEvent" || name == "SynchronizeMultiRegionKey") {
			n++
		}
	}
	return n
}

func TestMultiRegion(t *testing.T) {
	b := testBench(t)
	id := b.newMultiRegion(t, api.CreateKeyRequest{Description: str("here"), Tags: []api.Tag{{TagKey: str("a"), TagValue: str("1")}}})
	if !strings.HasPrefix(id, "mrk-") || len(id) != 36 {
		t.Errorf("the key's ID is %s", id)
	}
	wantRelatives(t, b, id, region)
	before := b.sealWith(t, region, id, "before")
	_, err := b.in(t, west, "DescribeKey", &api.DescribeKeyRequest{KeyId: str(id)})
	refusal(t, "before it is replicated", err, api.NotFoundException, "Key '"+arnIn(west, id)+"' does not exist")
	_, err = b.in(t, west, "Decrypt", &api.DecryptRequest{CiphertextBlob: before})
	refusal(t, "Decrypt before it is replicated", err, api.AccessDeniedException, "*")

	b.pass(time.Hour)
	r := must[api.ReplicateKeyResponse](t, b, "ReplicateKey", &api.ReplicateKeyRequest{
		KeyId: str(id), ReplicaRegion: str(west), Description: str("there"), Tags: []api.Tag{{TagKey: str("b"), TagValue: str("2")}},
	})
	m := r.ReplicaKeyMetadata
	if m.Arn.V != arnIn(west, id) || m.Description.V != "there" || m.KeyState.V != api.KeyStateEnabled || !m.CreationDate.V.Equal(b.now()) ||
		r.ReplicaPolicy.V != policy.Default("aws", account) || len(r.ReplicaTags) != 1 || r.ReplicaTags[0].TagKey.V != "b" {
		t.Errorf("ReplicateKey: %+v\n%+v", r, m)
	}
	b.replicate(t, id, south)
	wantRelatives(t, b, id, region, south, west) // sorted
	home, there := b.describe(t, region, id), b.describe(t, west, id)
	if there.CurrentKeyMaterialId != home.CurrentKeyMaterialId || there.KeySpec != home.KeySpec || there.Origin != home.Origin {
		t.Errorf("what is shared differs: %+v\n%+v", home, there)
	}
	material := home.CurrentKeyMaterialId.V

	// A ciphertext of any opens in each.
	regions := []string{region, west, south}
	for _, from := range regions {
		blob := b.sealWith(t, from, id, from)
		for _, to := range regions {
			b.wantOpen(t, to, blob, from, material)
			got := mustIn[api.DecryptResponse](t, b, to, "Decrypt", &api.DecryptRequest{CiphertextBlob: blob, KeyId: str(arnIn(to, id))})
			if got.KeyId.V != arnIn(to, id) {
				t.Errorf("Decrypt in %s with %s", to, got.KeyId.V)
			}
		}
	}
	b.wantOpen(t, south, before, "before", material)
	_, err = b.in(t, west, "Decrypt", &api.DecryptRequest{CiphertextBlob: before, KeyId: str(arnIn(region, id))})
	refusal(t, "the ARN of another region", err, api.NotFoundException, "Invalid arn "+region)

	// What each has for itself.
	b.runIn(t, west, "UpdateKeyDescription", &api.UpdateKeyDescriptionRequest{KeyId: str(id), Description: str("changed")})
	b.runIn(t, west, "TagResource", &api.TagResourceRequest{KeyId: str(id), Tags: []api.Tag{{TagKey: str("c"), TagValue: str("3")}}})
	b.runIn(t, west, "CreateAlias", &api.CreateAliasRequest{AliasName: str("alias/app"), TargetKeyId: str(id)})
	own := strings.Replace(policy.Default("aws", account), "Enable IAM User Permissions", "Of the west", 1)
	b.runIn(t, west, "PutKeyPolicy", &api.PutKeyPolicyRequest{KeyId: str(id), Policy: str(own), BypassPolicyLockoutSafetyCheck: api.Some(true)})
	b.runIn(t, west, "DisableKey", &api.DisableKeyRequest{KeyId: str(id)})
	tags := func(region string) string {
		list := ""
		for _, tag := range mustIn[api.ListResourceTagsResponse](t, b, region, "ListResourceTags", &api.ListResourceTagsRequest{KeyId: str(id)}).Tags {
			list += tag.TagKey.V + tag.TagValue.V
		}
		return list
	}
	for _, test := range []struct{ region, description, tags, policy, state string }{
		{region, "here", "a1", policy.Default("aws", account), "Enabled"},
		{west, "changed", "b2c3", own, "Disabled"},
		{south, "", "", policy.Default("aws", account), "Enabled"},
	} {
		m := b.describe(t, test.region, id)
		p := mustIn[api.GetKeyPolicyResponse](t, b, test.region, "GetKeyPolicy", &api.GetKeyPolicyRequest{KeyId: str(id)}).Policy.V
		if m.Description.V != test.description || tags(test.region) != test.tags || p != test.policy || string(m.KeyState.V) != test.state {
			t.Errorf("%s: %s %s %s %s", test.region, m.Description.V, tags(test.region), m.KeyState.V, p)
		}
	}
	_, err = b.in(t, south, "DescribeKey", &api.DescribeKeyRequest{KeyId: str("alias/app")})
	refusal(t, "another region's alias", err, api.NotFoundException, "*")
	_, err = b.in(t, west, "Decrypt", &api.DecryptRequest{CiphertextBlob: before})
	refusal(t, "a disabled replica", err, api.DisabledException, arnIn(west, id)+" is disabled.")
	checkStore(t, b)
}

// rotationStatus is GetKeyRotationStatus in a region.
func (b *bench) rotationStatus(t checker, region, id string) string {
	t.Helper()
	r := mustIn[api.GetKeyRotationStatusResponse](t, b, region, "GetKeyRotationStatus", &api.GetKeyRotationStatusRequest{KeyId: str(id)})
	return fmt.Sprint(r.KeyId.V == arnIn(region, id), r.KeyRotationEnabled.V, r.RotationPeriodInDays.V, r.NextRotationDate.V.Unix())
}

func TestMultiRegionRotation(t *testing.T) {
	b := testBench(t)
	id := b.newMultiRegion(t, api.CreateKeyRequest{})
	b.replicate(t, id, west)
	begin := b.now()
	b.run(t, "EnableKeyRotation", &api.EnableKeyRotationRequest{KeyId: str(id), RotationPeriodInDays: api.Some[int64](100)})
	b.replicate(t, id, south) // a replica made later has it too
	regions := []string{region, west, south}
	wantStatus := func(want string) {
		t.Helper()
		for _, r := range regions {
			if got := b.rotationStatus(t, r, id); got != want {
				t.Errorf("rotation in %s: %s, want %s", r, got, want)
			}
			if on := b.describe(t, r, id).KeyRotationStatus.V == api.KeyRotationStatusTypeEnabled; on != strings.Contains(want, "true true") {
				t.Errorf("DescribeKey in %s has rotation %v", r, on)
			}
		}
	}
	wantStatus(fmt.Sprint(true, true, 100, begin.Add(100*day).Unix()))
	for _, r := range regions[1:] {
		for op, req := range map[string]api.Request{
			"EnableKeyRotation":   &api.EnableKeyRotationRequest{KeyId: str(id)},
			"DisableKeyRotation":  &api.DisableKeyRotationRequest{KeyId: str(id)},
			"RotateKeyOnDemand":   &api.RotateKeyOnDemandRequest{KeyId: str(id)},
			"ReplicateKey":        &api.ReplicateKeyRequest{KeyId: str(id), ReplicaRegion: str("eu-west-1")},
			"UpdatePrimaryRegion": &api.UpdatePrimaryRegionRequest{KeyId: str(id), PrimaryRegion: str(r)},
		} {
			_, err := b.in(t, r, op, req)
			refusal(t, op+" on a replica", err, api.UnsupportedOperationException, "*")
		}
	}

	blobs := map[string]string{} // ciphertext to material
	note := func() string {
		t.Helper()
		material := b.describe(t, region, id).CurrentKeyMaterialId.V
		for _, r := range regions {
			if got := b.describe(t, r, id).CurrentKeyMaterialId.V; got != material {
				t.Errorf("current in %s: %s, want %s", r, got, material)
			}
			blobs[string(b.sealWith(t, r, id, "plain"))] = material
		}
		return material
	}
	want := []string{note()}
	// A replica that is disabled or to be deleted rotates with the others.
	b.runIn(t, west, "DisableKey", &api.DisableKeyRequest{KeyId: str(id)})
	b.runIn(t, south, "ScheduleKeyDeletion", &api.ScheduleKeyDeletionRequest{KeyId: str(id)})
	b.run(t, "RotateKeyOnDemand", &api.RotateKeyOnDemandRequest{KeyId: str(id)})
	b.runIn(t, south, "CancelKeyDeletion", &api.CancelKeyDeletionRequest{KeyId: str(id)})
	b.runIn(t, south, "EnableKey", &api.EnableKeyRequest{KeyId: str(id)})
	b.runIn(t, west, "EnableKey", &api.EnableKeyRequest{KeyId: str(id)})
	want = append(want, note())
	if n := b.advance(t, 100*day).EventCount.V; n != 1 {
		t.Errorf("%d events on the date of the rotation, want one", n)
	}
	want = append(want, note())
	wantStatus(fmt.Sprint(true, true, 100, begin.Add(200*day).Unix()))
	b.run(t, "RotateKeyOnDemand", &api.RotateKeyOnDemandRequest{KeyId: str(id)})
	want = append(want, note())
	if slices.Sort(want); len(slices.Compact(want)) != 4 {
		t.Errorf("materials %v, want four", want)
	}
	for blob, material := range blobs {
		for _, r := range regions {
			b.wantOpen(t, r, []byte(blob), "plain", material)
		}
	}
	lists := map[string]bool{}
	for _, r := range regions {
		list := b.materials(t, r, id, api.IncludeKeyMaterialAllKeyMaterial, 2)
		if lists[strings.Join(list, "\n")] = true; len(list) != 4 {
			t.Errorf("materials in %s: %v", r, list)
		}
	}
	if len(lists) != 1 {
		t.Errorf("the lists of materials differ: %v", lists)
	}
	if n := b.serviceEvents(t, "RotateKey"); n != 3 {
		t.Errorf("%d RotateKey events, want 3", n)
	}
	// Making each replica, enabling rotation, and each rotation are told once, however many replicas they reach.
	if n := b.serviceEvents(t, "SynchronizeMultiRegionKey"); n != 2+1+3 {
		t.Errorf("%d SynchronizeMultiRegionKey events, want 6", n)
	}
	b.run(t, "DisableKeyRotation", &api.DisableKeyRotationRequest{KeyId: str(id)})
	wantStatus(fmt.Sprint(true, false, 0, time.Time{}.Unix()))

	// The limit is the key's, wherever the primary is.
	for range 23 {
		b.run(t, "RotateKeyOnDemand", &api.RotateKeyOnDemandRequest{KeyId: str(id)})
	}
	b.run(t, "UpdatePrimaryRegion", &api.UpdatePrimaryRegionRequest{KeyId: str(id), PrimaryRegion: str(west)})
	_, err := b.in(t, west, "RotateKeyOnDemand", &api.RotateKeyOnDemandRequest{KeyId: str(id)})
	refusal(t, "rotation 26", err, api.LimitExceededException, "*")
	if counts := checkStore(t, b); counts["m"] != 27 || counts["k"] != 3 {
		t.Errorf("the store has %v", counts)
	}
}

func TestReplicateKeyRefused(t *testing.T) {
	b := newBench(t, kms.Config{KeysPerRegion: 3, HasRegion: func(r string) bool { return r != "eu-north-1" }})
	defer b.close(t)
	single, _ := b.newKey(t, &api.CreateKeyRequest{})
	id := b.newMultiRegion(t, api.CreateKeyRequest{})
	b.replicate(t, id, west)
	before := relatives(b.describe(t, region, id))
	replica := func(region string, change func(*api.ReplicateKeyRequest)) *api.ReplicateKeyRequest {
		req := &api.ReplicateKeyRequest{KeyId: str(id), ReplicaRegion: str(region)}
		if change != nil {
			change(req)
		}
		return req
	}
	attempt := func(what string, req *api.ReplicateKeyRequest, code api.ErrorCode, message string) {
		t.Helper()
		_, err := b.do(t, "ReplicateKey", req)
		refusal(t, what, err, code, message)
		if after := relatives(b.describe(t, region, id)); after != before {
			t.Errorf("%s: the key had %s and has %s", what, before, after)
		}
	}
	attempt("a single-Region key", replica(south, func(q *api.ReplicateKeyRequest) { q.KeyId = str(single) }), api.UnsupportedOperationException, "*")
	attempt("where it is", replica(region, nil), api.AlreadyExistsException, "*")
	attempt("where a replica is", replica(west, nil), api.AlreadyExistsException, "*")
	attempt("a region that is not there", replica("eu-north-1", nil), api.ValidationException, "*")
	attempt("another partition", replica("cn-north-1", nil), api.ValidationException, "*")
	attempt("no region", replica("EU", nil), api.ValidationException, "*")
	attempt("a key that is not there", replica(south, func(q *api.ReplicateKeyRequest) { q.KeyId = str("mrk-" + strings.Repeat("0", 32)) }), api.NotFoundException, "*")
	attempt("no policy", replica(south, func(q *api.ReplicateKeyRequest) { q.Policy = str("{}") }), api.MalformedPolicyDocumentException, "*")
	tag := api.Tag{TagKey: str("a"), TagValue: str("")}
	attempt("a tag twice", replica(south, func(q *api.ReplicateKeyRequest) { q.Tags = []api.Tag{tag, tag} }), api.TagException, "Duplicate tag keys")
	for range 3 {
		mustIn[api.CreateKeyResponse](t, b, south, "CreateKey", &api.CreateKeyRequest{})
	}
	attempt("over the quota of that region", replica(south, nil), api.LimitExceededException, "*")
	b.run(t, "DisableKey", &api.DisableKeyRequest{KeyId: str(id)})
	attempt("disabled", replica("eu-west-1", nil), api.DisabledException, keyARN(id)+" is disabled.")
	b.run(t, "ScheduleKeyDeletion", &api.ScheduleKeyDeletionRequest{KeyId: str(id)})
	attempt("to be deleted", replica("eu-west-1", nil), api.KMSInvalidStateException, "*")
	b.run(t, "CancelKeyDeletion", &api.CancelKeyDeletionRequest{KeyId: str(id)})
	b.run(t, "EnableKey", &api.EnableKeyRequest{KeyId: str(id)})
	for n := range maxReplicas - 1 {
		b.replicate(t, id, fmt.Sprint("us-test-", n))
	}
	before = relatives(b.describe(t, region, id))
	attempt("one replica too many", replica("eu-west-1", nil), api.LimitExceededException, "*")
	checkStore(t, b)
}

func TestUpdatePrimaryRegion(t *testing.T) {
	b := testBench(t)
	id := b.newMultiRegion(t, api.CreateKeyRequest{})
	b.run(t, "EnableKeyRotation", &api.EnableKeyRotationRequest{KeyId: str(id), RotationPeriodInDays: api.Some[int64](90)})
	single, _ := b.newKey(t, &api.CreateKeyRequest{})
	b.replicate(t, id, west, south)
	move := func(from, key, to string) *api.Error {
		t.Helper()
		_, err := b.in(t, from, "UpdatePrimaryRegion", &api.UpdatePrimaryRegionRequest{KeyId: str(key), PrimaryRegion: str(to)})
		return err
	}
	refusal(t, "a single-Region key", move(region, single, west), api.UnsupportedOperationException, "*")
	refusal(t, "where it is", move(region, id, region), api.ValidationException, "*")
	refusal(t, "where no replica is", move(region, id, "eu-west-1"), api.NotFoundException, "*")
	refusal(t, "from a replica", move(west, id, south), api.UnsupportedOperationException, "*")
	b.run(t, "DisableKey", &api.DisableKeyRequest{KeyId: str(id)})
	refusal(t, "disabled primary", move(region, id, west), api.DisabledException, keyARN(id)+" is disabled.")
	b.run(t, "EnableKey", &api.EnableKeyRequest{KeyId: str(id)})
	b.runIn(t, west, "DisableKey", &api.DisableKeyRequest{KeyId: str(id)})
	refusal(t, "disabled replica", move(region, id, west), api.DisabledException, arnIn(west, id)+" is disabled.")
	b.runIn(t, west, "ScheduleKeyDeletion", &api.ScheduleKeyDeletionRequest{KeyId: str(id)})
	refusal(t, "replica to be deleted", move(region, id, west), api.KMSInvalidStateException, arnIn(west, id)+" is pending deletion.")
	b.runIn(t, west, "CancelKeyDeletion", &api.CancelKeyDeletionRequest{KeyId: str(id)})
	b.runIn(t, west, "EnableKey", &api.EnableKeyRequest{KeyId: str(id)})
	wantRelatives(t, b, id, region, south, west)

	first, status := b.describe(t, region, id).CurrentKeyMaterialId.V, b.rotationStatus(t, region, id)
	if err := move(region, id, west); err != nil {
		t.Fatal(err)
	}
	wantRelatives(t, b, id, west, south, region) // ap-, eu-
	if got := b.rotationStatus(t, west, id); got != status {
		t.Errorf("rotation is %s, and was %s", got, status)
	}
	checkStore(t, b)
	if n := b.advance(t, 90*day).EventCount.V; n != 1 {
		t.Errorf("%d events on the date of the rotation, want one", n)
	}
	second := b.describe(t, region, id).CurrentKeyMaterialId.V
	if got := b.describe(t, west, id).CurrentKeyMaterialId.V; got != second || got == first {
		t.Errorf("current materials after rotation: %s and %s; before %s", got, second, first)
	}
	_, err := b.do(t, "RotateKeyOnDemand", &api.RotateKeyOnDemandRequest{KeyId: str(id)})
	refusal(t, "rotation where the primary was", err, api.UnsupportedOperationException, "*")
	b.runIn(t, west, "RotateKeyOnDemand", &api.RotateKeyOnDemandRequest{KeyId: str(id)})
	b.runIn(t, west, "ReplicateKey", &api.ReplicateKeyRequest{KeyId: str(id), ReplicaRegion: str("eu-west-1")})

	// What was the primary is deleted like any replica.
	r := must[api.ScheduleKeyDeletionResponse](t, b, "ScheduleKeyDeletion", &api.ScheduleKeyDeletionRequest{KeyId: str(id), PendingWindowInDays: api.Some[int64](7)})
	if r.KeyState.V != api.KeyStatePendingDeletion || !r.DeletionDate.Set {
		t.Errorf("ScheduleKeyDeletion: %+v", r)
	}
	b.advance(t, 8*day)
	wantRelatives(t, b, id, west, south, "eu-west-1")
	blob := b.sealWith(t, south, id, "plain")
	b.wantOpen(t, west, blob, "plain", b.describe(t, west, id).CurrentKeyMaterialId.V)
	if counts := checkStore(t, b); counts["k"] != 4 || counts["m"] != 4 {
		t.Errorf("the store has %v", counts)
	}
}

func TestMultiRegionDeletion(t *testing.T) {
	b := testBench(t)
	id := b.newMultiRegion(t, api.CreateKeyRequest{})
	b.replicate(t, id, west, south)
	b.run(t, "RotateKeyOnDemand", &api.RotateKeyOnDemandRequest{KeyId: str(id)})
	b.runIn(t, west, "CreateAlias", &api.CreateAliasRequest{AliasName: str("alias/app"), TargetKeyId: str(id)})
	b.runIn(t, region, "CreateAlias", &api.CreateAliasRequest{AliasName: str("alias/app"), TargetKeyId: str(id)})
	material := b.describe(t, region, id).CurrentKeyMaterialId.V
	blob := b.sealWith(t, west, id, "plain")
	schedule := func(region string, days int64) *api.ScheduleKeyDeletionResponse {
		t.Helper()
		return mustIn[api.ScheduleKeyDeletionResponse](t, b, region, "ScheduleKeyDeletion", &api.ScheduleKeyDeletionRequest{KeyId: str(id), PendingWindowInDays: api.Some(days)})
	}
	waits := func(days int64) {
		t.Helper()
		m := b.describe(t, region, id)
		if m.KeyState.V != api.KeyStatePendingReplicaDeletion || m.Enabled.V || m.DeletionDate.Set || m.PendingDeletionWindowInDays.V != days {
			t.Errorf("a primary that waits for its replicas: %s, %v, %v", m.KeyState.V, m.DeletionDate, m.PendingDeletionWindowInDays)
		}
	}
	r := schedule(region, 9)
	if r.KeyState.V != api.KeyStatePendingReplicaDeletion || r.DeletionDate.Set || r.PendingWindowInDays.V != 9 {
		t.Errorf("ScheduleKeyDeletion of the primary: %+v", r)
	}
	waits(9)
	b.advance(t, 40*day) // nothing happens: there are replicas
	waits(9)
	_, err := b.do(t, "ScheduleKeyDeletion", &api.ScheduleKeyDeletionRequest{KeyId: str(id)})
	refusal(t, "again", err, api.KMSInvalidStateException, "*")
	_, err = b.do(t, "Decrypt", &api.DecryptRequest{CiphertextBlob: blob})
	refusal(t, "a primary that waits", err, api.KMSInvalidStateException, "*")
	_, err = b.do(t, "UpdatePrimaryRegion", &api.UpdatePrimaryRegionRequest{KeyId: str(id), PrimaryRegion: str(west)})
	refusal(t, "moving a primary that waits", err, api.KMSInvalidStateException, "*")
	b.wantOpen(t, south, blob, "plain", material)

	b.run(t, "CancelKeyDeletion", &api.CancelKeyDeletionRequest{KeyId: str(id)})
	m := b.describe(t, region, id)
	if m.KeyState.V != api.KeyStateDisabled || m.PendingDeletionWindowInDays.Set {
		t.Errorf("after cancelling: %s %v", m.KeyState.V, m.PendingDeletionWindowInDays)
	}
	schedule(region, 8)
	if r := schedule(west, 7); r.KeyState.V != api.KeyStatePendingDeletion || !r.DeletionDate.V.Equal(b.now().Add(7*day)) {
		t.Errorf("ScheduleKeyDeletion of a replica: %+v", r)
	}
	// A replica whose deletion is cancelled holds the primary up.
	b.runIn(t, west, "CancelKeyDeletion", &api.CancelKeyDeletionRequest{KeyId: str(id)})
	b.wantState(t, west, id, api.KeyStateDisabled)
	waits(8)
	schedule(west, 7)
	b.advance(t, 7*day)
	_, err = b.in(t, west, "DescribeKey", &api.DescribeKeyRequest{KeyId: str(id)})
	refusal(t, "a deleted replica", err, api.NotFoundException, "*")
	waits(8)
	wantRelatives(t, b, id, region, south)
	b.wantOpen(t, south, blob, "plain", material) // made where the key is no more
	if counts := checkStore(t, b); counts["k"] != 2 || counts["m"] != 2 || counts["a"] != 1 || counts["t"] != 0 {
		t.Errorf("after a replica went, the store has %v", counts)
	}
	schedule(south, 7)
	end := b.now().Add(7 * day)
	b.advance(t, 7*day)
	m = b.describe(t, region, id)
	if m.KeyState.V != api.KeyStatePendingDeletion || !m.DeletionDate.V.Equal(end.Add(8*day)) || m.PendingDeletionWindowInDays.Set {
		t.Errorf("a primary whose last replica went at %v: %s, deletion %v", end, m.KeyState.V, m.DeletionDate)
	}
	wantRelatives(t, b, id, region)
	b.advance(t, 8*day-time.Second)
	b.run(t, "DescribeKey", &api.DescribeKeyRequest{KeyId: str(id)})
	b.advance(t, time.Second)
	_, err = b.do(t, "DescribeKey", &api.DescribeKeyRequest{KeyId: str(id)})
	refusal(t, "the deleted primary", err, api.NotFoundException, "*")
	if counts := checkStore(t, b); counts["k"]+counts["m"]+counts["a"]+counts["t"] != 0 {
		t.Errorf("left in the store: %v", counts)
	}
	if n := b.serviceEvents(t, "DeleteKey"); n != 3 {
		t.Errorf("%d DeleteKey events, want 3", n)
	}
}

// due runs one of the service's own operations for a key, now.
func (b *bench) due(t checker, op *service.Op, region, id string) *kms.DueResponse {
	t.Helper()
	owner := record.Owner{Account: account, Region: region}
	resp, err := b.p.DoInternal(context.Background(), op, owner, b.now(), 0, &kms.DueRequest{Owner: owner, KeyID: id})
	if err != nil {
		t.Fatalf("%s: %v", op.Name, err)
	}
	return resp.(*kms.DueResponse)
}

// TestReplicateAgain replicates into a region where the key was deleted, before and after what it left is gone.
func TestReplicateAgain(t *testing.T) {
	b := testBench(t)
	id := b.newMultiRegion(t, api.CreateKeyRequest{})
	b.replicate(t, id, west)
	for n := range 40 { // more than is swept at once
		b.runIn(t, west, "CreateAlias", &api.CreateAliasRequest{AliasName: str(fmt.Sprint("alias/", n)), TargetKeyId: str(id)})
	}
	material := b.describe(t, west, id).CurrentKeyMaterialId.V
	blob := b.sealWith(t, west, id, "plain")
	b.runIn(t, west, "ScheduleKeyDeletion", &api.ScheduleKeyDeletionRequest{KeyId: str(id), PendingWindowInDays: api.Some[int64](7)})
	b.pass(7 * day)
	if !b.due(t, b.kms.DeleteKey, west, id).Done {
		t.Fatal("the replica was not deleted")
	}
	wantRelatives(t, b, id, region)
	again := &api.ReplicateKeyRequest{KeyId: str(id), ReplicaRegion: str(west)}
	_, err := b.do(t, "ReplicateKey", again)
	refusal(t, "before sweeping", err, api.KMSInvalidStateException, "*")
	if r := b.due(t, b.kms.SweepKey, west, id); !r.More {
		t.Fatal("all of it was swept at once")
	}
	_, err = b.do(t, "ReplicateKey", again)
	refusal(t, "while sweeping", err, api.KMSInvalidStateException, "*")
	b.wantOpen(t, region, blob, "plain", material)
	for b.due(t, b.kms.SweepKey, west, id).More {
	}
	b.run(t, "ReplicateKey", again)
	b.wantOpen(t, west, blob, "plain", material)
	if aliases := mustIn[api.ListAliasesResponse](t, b, west, "ListAliases", &api.ListAliasesRequest{KeyId: str(id)}); len(aliases.Aliases) != 0 {
		t.Errorf("the new replica has %d aliases of the old one", len(aliases.Aliases))
	}
	if r := b.due(t, b.kms.SweepKey, west, id); r.Done || r.More {
		t.Errorf("the new replica was swept: %+v", r)
	}
	if counts := checkStore(t, b); counts["k"] != 2 || counts["m"] != 1 || counts["a"] != 0 || counts["t"] != 0 {
		t.Errorf("the store has %v", counts)
	}
}

// TestMultiRegionSpecs has related keys of other specs: what one signs or authenticates, the other verifies.
func TestMultiRegionSpecs(t *testing.T) {
	b := testBench(t)
	pair := b.newMultiRegion(t, api.CreateKeyRequest{KeySpec: str(api.KeySpecEccNistP256), KeyUsage: str(api.KeyUsageTypeSignVerify)})
	mac := b.newMultiRegion(t, api.CreateKeyRequest{KeySpec: str(api.KeySpecHmac256), KeyUsage: str(api.KeyUsageTypeGenerateVerifyMac)})
	b.replicate(t, pair, west)
	b.replicate(t, mac, west)
	message := []byte("message")
	signature := mustIn[api.SignResponse](t, b, west, "Sign", &api.SignRequest{KeyId: str(pair), Message: message, SigningAlgorithm: str(api.SigningAlgorithmSpecEcdsaSha256)})
	if signature.KeyId.V != arnIn(west, pair) {
		t.Errorf("signed with %s", signature.KeyId.V)
	}
	b.run(t, "Verify", &api.VerifyRequest{KeyId: str(pair), Message: message, SigningAlgorithm: signature.SigningAlgorithm, Signature: signature.Signature})
	get := &api.GetPublicKeyRequest{KeyId: str(pair)}
	if one, two := must[api.GetPublicKeyResponse](t, b, "GetPublicKey", get), mustIn[api.GetPublicKeyResponse](t, b, west, "GetPublicKey", get); !bytes.Equal(one.PublicKey, two.PublicKey) {
		t.Error("the public keys differ")
	}
	code := must[api.GenerateMacResponse](t, b, "GenerateMac", &api.GenerateMacRequest{KeyId: str(mac), Message: message, MacAlgorithm: str(api.MacAlgorithmSpecHmacSha256)})
	b.runIn(t, west, "VerifyMac", &api.VerifyMacRequest{KeyId: str(mac), Message: message, MacAlgorithm: code.MacAlgorithm, Mac: code.Mac})
	for _, id := range []string{pair, mac} {
		_, err := b.do(t, "EnableKeyRotation", &api.EnableKeyRotationRequest{KeyId: str(id)})
		refusal(t, "EnableKeyRotation", err, api.UnsupportedOperationException, "")
		b.run(t, "ScheduleKeyDeletion", &api.ScheduleKeyDeletionRequest{KeyId: str(id), PendingWindowInDays: api.Some[int64](7)})
		b.runIn(t, west, "ScheduleKeyDeletion", &api.ScheduleKeyDeletionRequest{KeyId: str(id), PendingWindowInDays: api.Some[int64](7)})
	}
	b.advance(t, 14*day)
	if counts := checkStore(t, b); counts["k"]+counts["m"]+counts["t"] != 0 {
		t.Errorf("left in the store: %v", counts)
	}
}

func TestMultiRegionImport(t *testing.T) {
	b := testBench(t)
	id, _ := b.external(t, api.CreateKeyRequest{MultiRegion: api.Some(true)})
	_, err := b.do(t, "ReplicateKey", &api.ReplicateKeyRequest{KeyId: str(id), ReplicaRegion: str(west)})
	refusal(t, "a primary without material", err, api.KMSInvalidStateException, keyARN(id)+" is pending import.")
	home := b.oaep(t, region, id)
	one := b.imported(t, home.request(t, id, secret(1)))
	b.replicate(t, id, west)
	b.wantState(t, west, id, api.KeyStatePendingImport)
	b.wantState(t, region, id, api.KeyStateEnabled)
	there := b.oaep(t, west, id)
	in := func(region string, req *api.ImportKeyMaterialRequest) (string, *api.Error) {
		t.Helper()
		resp, err := b.in(t, region, "ImportKeyMaterial", req)
		if err != nil {
			return "", err
		}
		return resp.(*api.ImportKeyMaterialResponse).KeyMaterialId.V, nil
	}
	_, err = in(west, there.request(t, id, secret(9)))
	refusal(t, "other material in the replica", err, api.IncorrectKeyMaterialException, "*")
	_, err = in(west, newMaterial(there.request(t, id, secret(9))))
	if err == nil || err.Code != api.UnsupportedOperationException && err.Code != api.IncorrectKeyMaterialException {
		t.Errorf("new material in the replica: %v", err)
	}
	if got, err := in(west, expiring(there.request(t, id, secret(1)), b.now().Add(20*day))); got != one || err != nil {
		t.Fatalf("the same material in the replica: %s, %v; want %s", got, err, one)
	}
	blob := b.sealWith(t, west, id, "plain")
	b.wantOpen(t, region, blob, "plain", one)
	b.wantOpen(t, west, b.sealWith(t, region, id, "x"), "x", one)
	if m := b.describe(t, region, id); m.ValidTo.Set {
		t.Errorf("the primary's material expires at %v", m.ValidTo.V)
	}

	const waits, ready = "PENDING_MULTI_REGION_IMPORT_AND_ROTATION", "PENDING_ROTATION"
	expires := b.now().Add(20 * day).Format(time.RFC3339)
	two := b.imported(t, newMaterial(home.request(t, id, secret(2))))
	b.wantMaterials(t, region, id, one+` CURRENT IMPORTED  ""`, two+" "+waits+` IMPORTED  ""`)
	b.wantMaterials(t, west, id, one+` CURRENT IMPORTED  "" `+expires, two+" "+waits+` PENDING_IMPORT  ""`)
	b.wantState(t, west, id, api.KeyStateEnabled) // one that waits is not missed
	rotate := &api.RotateKeyOnDemandRequest{KeyId: str(id)}
	_, err = b.do(t, "RotateKeyOnDemand", rotate)
	refusal(t, "rotation before all have it", err, api.KMSInvalidStateException, "No available key material pending rotation for the key: "+keyARN(id)+".")
	_, err = in(west, newMaterial(there.request(t, id, secret(3))))
	refusal(t, "a third material in the replica", err, api.UnsupportedOperationException, "*")

	// Deleted in the primary, it is gone everywhere.
	if got, err := in(west, there.request(t, id, secret(2))); got != two || err != nil {
		t.Fatalf("the pending material in the replica: %s, %v", got, err)
	}
	b.wantMaterials(t, region, id, one+` CURRENT IMPORTED  ""`, two+" "+ready+` IMPORTED  ""`)
	b.wantMaterials(t, west, id, one+` CURRENT IMPORTED  "" `+expires, two+" "+ready+` IMPORTED  ""`)
	drop := &api.DeleteImportedKeyMaterialRequest{KeyId: str(id), KeyMaterialId: str(two)}
	b.run(t, "DeleteImportedKeyMaterial", drop)
	b.wantMaterials(t, west, id, one+` CURRENT IMPORTED  "" `+expires)
	if counts := checkStore(t, b); counts["m"] != 2 {
		t.Errorf("the store has %v", counts)
	}

	// Deleted in a replica, it is gone there.
	b.imported(t, newMaterial(home.request(t, id, secret(2))))
	for range 2 {
		if _, err := in(west, there.request(t, id, secret(2))); err != nil {
			t.Fatal(err)
		}
		b.runIn(t, west, "DeleteImportedKeyMaterial", drop)
		b.wantState(t, west, id, api.KeyStateEnabled)
		b.wantMaterials(t, region, id, one+` CURRENT IMPORTED  ""`, two+" "+waits+` IMPORTED  ""`)
		b.wantMaterials(t, west, id, one+` CURRENT IMPORTED  "" `+expires, two+" "+waits+` PENDING_IMPORT  ""`)
	}
	if _, err := in(west, there.request(t, id, secret(2))); err != nil {
		t.Fatal(err)
	}
	b.run(t, "RotateKeyOnDemand", rotate)
	b.wantMaterials(t, region, id, one+` NON_CURRENT IMPORTED  ""`, two+` CURRENT IMPORTED ON_DEMAND ""`)
	b.wantMaterials(t, west, id, one+` NON_CURRENT IMPORTED  "" `+expires, two+` CURRENT IMPORTED ON_DEMAND ""`)
	b.wantOpen(t, region, b.sealWith(t, west, id, "new"), "new", two)
	b.wantOpen(t, west, blob, "plain", one)

	// A new replica lacks both materials; the expiry of one's is no other's.
	b.replicate(t, id, south)
	b.wantMaterials(t, south, id, one+` NON_CURRENT PENDING_IMPORT  ""`, two+` CURRENT PENDING_IMPORT ON_DEMAND ""`)
	b.advance(t, 20*day)
	b.wantState(t, west, id, api.KeyStatePendingImport)
	b.wantState(t, region, id, api.KeyStateEnabled)
	b.wantOpen(t, region, blob, "plain", one)
	// A replica becomes the primary, though other replicas are not complete.
	there = b.oaep(t, west, id)
	if _, err := in(west, there.request(t, id, secret(1))); err != nil {
		t.Fatal(err)
	}
	b.run(t, "UpdatePrimaryRegion", &api.UpdatePrimaryRegionRequest{KeyId: str(id), PrimaryRegion: str(west)})
	if _, err := in(west, newMaterial(there.request(t, id, secret(3)))); err != nil {
		t.Errorf("new material where the primary is now: %v", err)
	}
	if n := len(b.materials(t, region, id, api.IncludeKeyMaterialAllKeyMaterial, 100)); n != 3 {
		t.Errorf("what was the primary knows of %d materials, want 3", n)
	}
	// Each goes with its own materials.
	b.run(t, "ScheduleKeyDeletion", &api.ScheduleKeyDeletionRequest{KeyId: str(id), PendingWindowInDays: api.Some[int64](7)})
	b.advance(t, 7*day)
	wantRelatives(t, b, id, west, south)
	if counts := checkStore(t, b); counts["k"] != 2 || counts["m"] != 3 || counts["t"] != 0 {
		t.Errorf("the store has %v", counts)
	}
}

// put writes records as they are, and returns what stands at a store key: for what no operation can bring about quickly.
func (b *bench) put(t checker, records ...record.Record) {
	t.Helper()
	op := service.Def[kms.DueRequest, service.None]{
		Name: "TestPut", Kind: service.Internal, Actions: []string{"kms:TestPut"}, Audit: func(*kms.DueRequest, *audit.Params) {},
		Plan: func(tx *service.Tx, _ *kms.DueRequest, _ []service.Target) (*service.None, error) {
			for _, r := range records {
				if _, err := service.Lookup[record.Record](tx, r.StoreKey()); err != nil {
					return nil, err
				}
				tx.Put(r)
			}
			return &service.None{}, nil
		},
	}.Op("kms")
	owner := record.Owner{Account: account, Region: region}
	if _, err := b.p.DoInternal(context.Background(), op, owner, b.now(), 0, &kms.DueRequest{Owner: owner}); err != nil {
		t.Fatalf("putting records: %v", err)
	}
}

func (b *bench) keyRecord(t checker, region, id string) *record.Key {
	t.Helper()
	at := record.KeyStoreKey(record.Owner{Account: account, Region: region}, id)
	entries, err := b.sealed.Get(context.Background(), at)
	if err != nil {
		t.Fatalf("%v", err)
	}
	r, err := record.Decode(at, entries[0].Value)
	if err != nil {
		t.Fatalf("%v", err)
	}
	return r.(*record.Key)
}

// TestMultiRegionLimits changes what the most replicas share, each as large as it may be, in the one commit that it takes.
func TestMultiRegionLimits(t *testing.T) {
	b := testBench(t)
	id := b.newMultiRegion(t, api.CreateKeyRequest{})
	var tags []api.Tag
	for n := range 50 {
		tags = append(tags, api.Tag{TagKey: str(fmt.Sprintf("%03d%s", n, strings.Repeat("k", 125))), TagValue: str(strings.Repeat("v", 256))})
	}
	statement := strings.TrimSuffix(strings.TrimPrefix(policy.Default("aws", account), "{"), "}")
	large := "{" + statement + strings.Repeat(" ", policy.MaxKeyPolicyBytes-len(statement)-2) + "}"
	for n := range maxReplicas {
		b.run(t, "ReplicateKey", &api.ReplicateKeyRequest{
			KeyId: str(id), ReplicaRegion: str(fmt.Sprintf("us-test-%d", n)), Policy: str(large), Tags: tags, Description: str(strings.Repeat("d", 8192)),
		})
	}
	b.run(t, "EnableKeyRotation", &api.EnableKeyRotationRequest{KeyId: str(id)})
	b.run(t, "RotateKeyOnDemand", &api.RotateKeyOnDemandRequest{KeyId: str(id)})
	b.run(t, "UpdatePrimaryRegion", &api.UpdatePrimaryRegionRequest{KeyId: str(id), PrimaryRegion: str("us-test-7")})
	checkStore(t, b)
}

// TestMultiRegionGreed has the owners of replicas write as much as each may, in what takes most room: somebody is refused in the end,
// but never the rotation.
func TestMultiRegionGreed(t *testing.T) {
	b := testBench(t)
	id := b.newMultiRegion(t, api.CreateKeyRequest{})
	statement := strings.TrimSuffix(strings.TrimPrefix(policy.Default("aws", account), "{"), "}")
	large := "{" + statement + strings.Repeat("\n", policy.MaxKeyPolicyBytes-len(statement)-2) + "}"
	wide := strings.Repeat("\u20ac", 8192)
	refused := 0
	for n := range maxReplicas {
		region := fmt.Sprintf("us-test-%d", n)
		b.run(t, "ReplicateKey", &api.ReplicateKeyRequest{KeyId: str(id), ReplicaRegion: str(region)})
		for _, call := range []struct {
			op  string
			req api.Request
		}{
			{"PutKeyPolicy", &api.PutKeyPolicyRequest{KeyId: str(id), Policy: str(large)}},
			{"UpdateKeyDescription", &api.UpdateKeyDescriptionRequest{KeyId: str(id), Description: str(wide)}},
			{"TagResource", &api.TagResourceRequest{KeyId: str(id), Tags: []api.Tag{{TagKey: str("a"), TagValue: str(strings.Repeat("\u20ac", 256))}}}},
		} {
			if _, err := b.in(t, region, call.op, call.req); err != nil {
				refusal(t, call.op, err, api.LimitExceededException, "*")
				refused++
			}
		}
		b.run(t, "RotateKeyOnDemand", &api.RotateKeyOnDemandRequest{KeyId: str(id)})
	}
	if refused == 0 {
		t.Error("nobody was refused: the test does not reach the limit")
	}
	checkStore(t, b)
}

// TestMultiRegionImportLimits forgets a pending material that the most replicas have, each with dates of its own: deleted, and expired.
func TestMultiRegionImportLimits(t *testing.T) {
	for _, expires := range []bool{false, true} {
		b := testBench(t)
		id, _ := b.external(t, api.CreateKeyRequest{MultiRegion: api.Some(true)})
		w := b.oaep(t, region, id)
		b.imported(t, expiring(w.request(t, id, secret(1)), b.now().Add(100*day)))
		for n := range maxReplicas {
			b.replicate(t, id, fmt.Sprintf("us-test-%d", n))
		}
		two := b.imported(t, newMaterial(expiring(w.request(t, id, secret(2)), b.now().Add(10*day))))
		for n := range maxReplicas {
			b.presentAll(t, fmt.Sprintf("us-test-%d", n), id, b.now().Add(time.Duration(40+n)*day))
		}
		b.wantState(t, "us-test-3", id, api.KeyStateEnabled)
		if expires {
			b.advance(t, 10*day)
		} else {
			b.run(t, "DeleteImportedKeyMaterial", &api.DeleteImportedKeyMaterialRequest{KeyId: str(id), KeyMaterialId: str(two)})
		}
		if n := len(b.materials(t, "us-test-14", id, api.IncludeKeyMaterialAllKeyMaterial, 100)); n != 1 {
			t.Errorf("a replica has %d materials, want one", n)
		}
		if counts := checkStore(t, b); counts["m"] != maxReplicas+1 {
			t.Errorf("the store has %v", counts)
		}
	}
}

// presentAll puts all materials of a replica, secret(1) and on, as if they had been imported; each expires ten days before the one before.
func (b *bench) presentAll(t *testing.T, region, id string, expires time.Time) {
	t.Helper()
	k := b.keyRecord(t, region, id)
	keyID, _ := keys.ParseKeyID(id)
	for i := range k.Imports {
		k.Imports[i].Present, k.Imports[i].Expires = true, expires.Add(time.Duration(-10*i)*day)
		secret := secret(byte(i + 1))
		if got, err := keys.NewMaterialID(secret, keyID); err != nil || got.String() != k.Imports[i].ID {
			t.Fatalf("material %d: %v", i, err)
		}
		b.put(t, &record.Material{Owner: k.Owner, KeyID: id, ID: k.Imports[i].ID, Seq: i, Created: b.now(), Secret: secret})
	}
	k.State = record.Enabled
	b.put(t, k)
}

// meddler is a store that lets something happen just before a commit that writes a certain key.
type meddler struct {
	store.Store
	mu     sync.Mutex
	writes string // guarded by mu
	before func() // guarded by mu; runs once
}

func (m *meddler) Commit(ctx context.Context, batch store.Batch) (store.Rev, error) {
	m.mu.Lock()
	f := m.before
	if f != nil && slices.ContainsFunc(batch.Writes, func(w store.Write) bool { return w.Key == m.writes }) {
		m.before = nil
	} else {
		f = nil
	}
	m.mu.Unlock()
	if f != nil {
		f()
	}
	return m.Store.Commit(ctx, batch)
}

// TestMultiRegionConflict changes a replica while its primary rotates: the rotation is planned anew, and nothing is lost.
func TestMultiRegionConflict(t *testing.T) {
	raw := &meddler{Store: memstore.New()}
	b := newBenchOver(t, raw)
	id := b.newMultiRegion(t, api.CreateKeyRequest{})
	b.replicate(t, id, west, south)
	first := b.describe(t, region, id).CurrentKeyMaterialId.V
	changes := 0
	meddle := func(f func()) {
		raw.mu.Lock()
		defer raw.mu.Unlock()
		raw.writes = record.KeyStoreKey(record.Owner{Account: account, Region: west}, id)
		raw.before = func() { changes++; f() }
	}
	meddle(func() {
		b.runIn(t, west, "UpdateKeyDescription", &api.UpdateKeyDescriptionRequest{KeyId: str(id), Description: str("meanwhile")})
	})
	b.run(t, "RotateKeyOnDemand", &api.RotateKeyOnDemandRequest{KeyId: str(id)})
	second := b.describe(t, region, id).CurrentKeyMaterialId.V
	for _, r := range []string{west, south} {
		if got := b.describe(t, r, id).CurrentKeyMaterialId.V; got != second || got == first {
			t.Errorf("current in %s: %s, want %s", r, got, second)
		}
	}
	if got := b.describe(t, west, id).Description.V; got != "meanwhile" || changes != 1 {
		t.Errorf("the replica's description is %q after %d changes", got, changes)
	}
	if n := b.serviceEvents(t, "RotateKey"); n != 1 {
		t.Errorf("%d RotateKey events, want 1", n)
	}
	if counts := checkStore(t, b); counts["m"] != 2 {
		t.Errorf("%d materials, want 2", counts["m"])
	}

	// The primary moves meanwhile: rotating where it was is refused, and nothing of it happens.
	meddle(func() {
		b.run(t, "UpdatePrimaryRegion", &api.UpdatePrimaryRegionRequest{KeyId: str(id), PrimaryRegion: str(west)})
	})
	_, err := b.do(t, "RotateKeyOnDemand", &api.RotateKeyOnDemandRequest{KeyId: str(id)})
	refusal(t, "rotation where the primary was", err, api.UnsupportedOperationException, "*")
	if got := b.describe(t, south, id).CurrentKeyMaterialId.V; got != second || changes != 2 {
		t.Errorf("current is %s, want %s", got, second)
	}
	// A replica goes meanwhile.
	b.runIn(t, south, "ScheduleKeyDeletion", &api.ScheduleKeyDeletionRequest{KeyId: str(id), PendingWindowInDays: api.Some[int64](7)})
	b.pass(7 * day)
	meddle(func() { b.due(t, b.kms.DeleteKey, south, id) })
	b.runIn(t, west, "RotateKeyOnDemand", &api.RotateKeyOnDemandRequest{KeyId: str(id)})
	wantRelatives(t, b, id, west, region)
	for b.due(t, b.kms.SweepKey, south, id).More {
	}
	if counts := checkStore(t, b); counts["m"] != 3 || counts["k"] != 2 || counts["t"] != 0 || changes != 3 {
		t.Errorf("the store has %v after %d changes", counts, changes)
	}
}

// TestMultiRegionTorn lists rotations, which looks at all related keys, and deletes one of them after the first was read: the list is
// read anew, and not refused. Where the related key is missing for good, the store is broken and the call fails.
func TestMultiRegionTorn(t *testing.T) {
	b := testBench(t)
	id, _ := b.external(t, api.CreateKeyRequest{MultiRegion: api.Some(true)})
	home := b.oaep(t, region, id)
	b.imported(t, home.request(t, id, secret(1)))
	b.replicate(t, id, west)
	b.imported(t, newMaterial(home.request(t, id, secret(2)))) // waits, so related keys are looked at
	b.runIn(t, west, "ScheduleKeyDeletion", &api.ScheduleKeyDeletionRequest{KeyId: str(id), PendingWindowInDays: api.Some[int64](7)})
	b.pass(7 * day)
	list := &api.ListKeyRotationsRequest{KeyId: str(id), IncludeKeyMaterial: api.Some(api.IncludeKeyMaterialAllKeyMaterial)}
	asked := 0
	b.onAsked(func(*service.Authorization) {
		if asked++; asked == 1 {
			b.due(t, b.kms.DeleteKey, west, id)
		}
	})
	b.run(t, "ListKeyRotations", list)
	if asked != 2 {
		t.Errorf("authorized %d times, want once for each reading", asked)
	}
	b.onAsked(nil)
	k := b.keyRecord(t, region, id)
	k.MultiRegion.Replicas = []string{west}
	b.put(t, k)
	_, err := b.do(t, "ListKeyRotations", list)
	refusal(t, "a related key that is not there", err, api.KMSInternalException, "*")
	k.MultiRegion.Replicas = nil
	b.put(t, k)
}

// TestMultiRegionRace rotates, moves and describes related keys from several sides at once.
func TestMultiRegionRace(t *testing.T) {
	b := testBench(t)
	id := b.newMultiRegion(t, api.CreateKeyRequest{})
	regions := []string{region, west, south}
	b.replicate(t, id, west, south)
	var wg sync.WaitGroup
	rotations := make([]int, len(regions))
	for i, r := range regions {
		wg.Go(func() {
			for range 6 {
				if _, err := b.in(t, r, "RotateKeyOnDemand", &api.RotateKeyOnDemandRequest{KeyId: str(id)}); err == nil {
					rotations[i]++
				} else if err.Code != api.UnsupportedOperationException {
					t.Errorf("RotateKeyOnDemand in %s: %v", r, err)
				}
				next := regions[(i+1)%len(regions)]
				if _, err := b.in(t, r, "UpdatePrimaryRegion", &api.UpdatePrimaryRegionRequest{KeyId: str(id), PrimaryRegion: str(next)}); err != nil && err.Code != api.UnsupportedOperationException {
					t.Errorf("UpdatePrimaryRegion in %s: %v", r, err)
				}
			}
		})
		wg.Go(func() {
			for n := range 10 {
				b.runIn(t, r, "UpdateKeyDescription", &api.UpdateKeyDescriptionRequest{KeyId: str(id), Description: str(fmt.Sprint(r, n))})
			}
		})
	}
	wg.Wait()
	done := rotations[0] + rotations[1] + rotations[2]
	current := b.describe(t, region, id).CurrentKeyMaterialId.V
	for _, r := range regions {
		m := b.describe(t, r, id)
		if m.CurrentKeyMaterialId.V != current || m.Description.V != r+"9" || len(b.materials(t, r, id, api.IncludeKeyMaterialAllKeyMaterial, 1000)) != done+1 {
			t.Errorf("%s after %d rotations: %s %q", r, done, m.CurrentKeyMaterialId.V, m.Description.V)
		}
	}
	if n := b.serviceEvents(t, "RotateKey"); n != done || done == 0 {
		t.Errorf("%d RotateKey events, want %d", n, done)
	}
	if counts := checkStore(t, b); counts["m"] != done+1 || counts["k"] != 3 {
		t.Errorf("the store has %v after %d rotations", counts, done)
	}
}

// newBenchOver is testBench over a store of the test's.
func newBenchOver(t *testing.T, raw store.Store) *bench {
	t.Helper()
	b := &bench{real: start, sink: audit.NewMemory(50_000), caller: service.RootCaller(account, "AKIAEXAMPLE"), kms: kms.New(kms.Config{})}
	ctx := context.Background()
	var err error
	if b.sealed, err = seal.Open(ctx, raw, seal.Options{Provider: seal.NewKeyFile(make([]byte, 32)), Dev: true, Now: start}); err != nil {
		t.Fatal(err)
	}
	b.clock = clock.NewShifted(b.realNow, 0)
	quiet := slog.New(slog.DiscardHandler)
	b.p, err = service.New(ctx, service.Config{
		Store: b.sealed, Keyring: b.sealed.Keyring(), Clock: b.clock, Audit: b.sink, NodeID: "n1", Log: quiet, Authorize: b.kms.Authorize, Exclusive: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.close(t) })
	b.runner = schedule.New(b.p, b.kms, quiet)
	b.ops = service.Table(b.kms.Operations(), b.kms.Extensions(), b.runner.Operations(b.clock))
	return b
}
