package crashtest

import (
	"context"
	"maps"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
)

// state is what the service says of a key.
type state struct {
	key       *types.KeyMetadata // nil: it does not exist
	rotation  *kms.GetKeyRotationStatusOutput
	materials []types.RotationsListEntry // of symmetric keys; without one that waits for rotation
	pending   *types.RotationsListEntry
	tags      map[string]string
}

// there tells whether the key exists.
func (s *state) there() bool { return s.key != nil }

// fetch asks for everything about a key, at one state of its materials.
func (w *world) fetch(ctx context.Context, c *client, k *key) (*state, error) {
	w.mu.Lock()
	mayBeGone := k.mayBeGone()
	w.mu.Unlock()
	// read tells whether the key is there.
	read := func(name string, f func(ctx context.Context) error) (bool, error) {
		r := &call{name: name, key: k, allowed: mayBeGone}
		err := w.do(ctx, r, f)
		if err == errRefused && slices.Contains(r.allowed, r.code) {
			return false, nil
		}
		return err == nil, err
	}
	materials := func(s *state) (bool, error) {
		if !k.symmetric() {
			return true, nil
		}
		return read("ListKeyRotations", func(ctx context.Context) error { return s.list(ctx, c.of(k), k.id) })
	}
	for turns := 0; ; {
		s := &state{tags: make(map[string]string)}
		if ok, err := materials(s); !ok {
			return new(state), err
		}
		if ok, err := read("ListResourceTags", func(ctx context.Context) error {
			out, err := c.of(k).ListResourceTags(ctx, &kms.ListResourceTagsInput{KeyId: &k.id})
			if err == nil {
				for _, t := range out.Tags {
					s.tags[*t.TagKey] = *t.TagValue
				}
			}
			return err
		}); !ok {
			return new(state), err
		}
		if ok, err := read("GetKeyRotationStatus", func(ctx context.Context) (err error) {
			s.rotation, err = c.of(k).GetKeyRotationStatus(ctx, &kms.GetKeyRotationStatusInput{KeyId: &k.id})
			return err
		}); !ok {
			return new(state), err
		}
		var described *kms.DescribeKeyOutput
		if ok, err := read("DescribeKey", func(ctx context.Context) (err error) {
			described, err = c.of(k).DescribeKey(ctx, &kms.DescribeKeyInput{KeyId: &k.id})
			return err
		}); !ok {
			return new(state), err
		}
		s.key = described.KeyMetadata
		if n := len(s.materials); n == 0 || aws.ToString(s.materials[n-1].KeyMaterialId) == aws.ToString(s.key.CurrentKeyMaterialId) {
			return s, nil
		}
		// It turned meanwhile, as keys do when they are due: look again.
		turns++
		const most = 5
		if turns > most {
			w.keyFault(k, "its current material is %s, and not the last one that it lists", aws.ToString(s.key.CurrentKeyMaterialId))
			return s, nil
		}
	}
}

// list fills in the materials.
func (s *state) list(ctx context.Context, c *kms.Client, id string) error {
	out, err := c.ListKeyRotations(ctx, &kms.ListKeyRotationsInput{
		KeyId: &id, IncludeKeyMaterial: types.IncludeKeyMaterialAllKeyMaterial, Limit: aws.Int32(1000),
	})
	if err != nil {
		return err
	}
	s.materials, s.pending = out.Rotations, nil
	if n := len(out.Rotations); n > 0 {
		switch last := out.Rotations[n-1]; last.KeyMaterialState {
		case types.KeyMaterialStatePendingRotation, types.KeyMaterialStatePendingMultiRegionImportAndRotation:
			s.materials, s.pending = out.Rotations[:n-1], &last
		}
	}
	return nil
}

// checkFamily compares a key, in all its regions, with the model.
func (w *world) checkFamily(ctx context.Context, c *client, f *family, full bool) {
	for _, k := range f.members {
		if !k.gone {
			w.checkUsage(ctx, c, k, full)
		}
	}
	states := make([]*state, len(f.members))
	for attempt := 0; ; attempt++ {
		for i, k := range f.members {
			var err error
			if states[i], err = w.fetch(ctx, c, k); err != nil {
				return // filed
			}
		}
		// The keys are asked one after the other, and what is due happens in between.
		const most = 5
		problem := disagreement(f, states)
		if problem == "" {
			break
		}
		if attempt == most {
			w.keyFault(f.members[0], "the related keys do not agree: %s", problem)
			return
		}
	}
	for i, k := range f.members { // first what has happened of late, since that changes others
		if !states[i].there() {
			w.checkGone(ctx, c, k)
		}
	}
	for i, k := range f.members {
		if states[i].there() && !k.gone {
			w.takeExpired(k, states[i])
		}
	}
	var added []*material
	for i, k := range f.members {
		if s := states[i]; s.there() {
			w.checkKey(k, s)
			added = append(added, w.checkMaterials(k, s)...)
		}
	}
	for i, k := range f.members {
		if s := states[i]; s.there() {
			w.checkRotation(k, s, added)
			added = nil
		}
	}
	w.checkOutputs(ctx, c, f, full)
	w.mu.Lock()
	defer w.mu.Unlock()
	f.buried = true
	for _, k := range f.members {
		k.touched, k.changed, k.fresh = false, false, false
		f.buried = f.buried && k.goneLogged
	}
}

// disagreement says in what related keys differ of what they must share, "" for nothing.
func disagreement(f *family, states []*state) string {
	var first *state
	var there []string
	for i, k := range f.members {
		if states[i].there() {
			there = append(there, k.region)
		}
	}
	slices.Sort(there)
	for i, k := range f.members {
		s := states[i]
		if !s.there() {
			continue
		}
		if first == nil {
			first = s
		}
		if problem := s.unrelated(f, there); problem != "" {
			return k.region + ": " + problem
		}
		if problem := s.differs(first); problem != "" {
			return k.region + ": " + problem
		}
	}
	return ""
}

// unrelated compares what a key says of its related keys with those that are there, by region.
func (s *state) unrelated(f *family, there []string) string {
	m := s.key.MultiRegionConfiguration
	if m == nil {
		if f.multi {
			return "no MultiRegionConfiguration"
		}
		return ""
	}
	listed := []string{*m.PrimaryKey.Region}
	for _, r := range m.ReplicaKeys {
		listed = append(listed, *r.Region)
	}
	slices.Sort(listed)
	if !slices.Equal(listed, there) {
		return "it lists keys in other regions than they are in"
	}
	return ""
}

// differs compares what two related keys must have the same.
func (s *state) differs(o *state) string {
	ids := func(s *state) (list []string) {
		for _, e := range s.materials {
			list = append(list, aws.ToString(e.KeyMaterialId)+string(e.KeyMaterialState)+string(e.RotationType))
		}
		if s.pending != nil {
			list = append(list, aws.ToString(s.pending.KeyMaterialId)+string(s.pending.KeyMaterialState))
		}
		return list
	}
	switch a, b := s.key.MultiRegionConfiguration, o.key.MultiRegionConfiguration; {
	case !slices.Equal(ids(s), ids(o)):
		return "other materials"
	case aws.ToString(s.key.CurrentKeyMaterialId) != aws.ToString(o.key.CurrentKeyMaterialId):
		return "another current material"
	case a != nil && *a.PrimaryKey.Region != *b.PrimaryKey.Region:
		return "another primary"
	case !s.rotation.KeyRotationEnabled || !o.rotation.KeyRotationEnabled:
	case *s.rotation.RotationPeriodInDays != *o.rotation.RotationPeriodInDays || !s.rotation.NextRotationDate.Equal(*o.rotation.NextRotationDate):
		return "another rotation"
	}
	return ""
}

// checkKey compares what a key has for itself.
func (w *world) checkKey(k *key, s *state) {
	if k.gone {
		w.keyFault(k, "it was deleted and is there again")
		return
	}
	if string(s.key.KeyState) != k.state || s.key.Enabled != (k.state == enabled) {
		w.keyFault(k, "its state is %s, not %s", s.key.KeyState, k.state)
	}
	if aws.ToString(s.key.Description) != k.description {
		w.keyFault(k, "its description is %q, not %q", *s.key.Description, k.description)
	}
	if !maps.Equal(s.tags, k.tags) {
		w.keyFault(k, "its tags are %v, not %v", s.tags, k.tags)
	}
	if m := s.key.MultiRegionConfiguration; k.multi && (*m.PrimaryKey.Region != k.now.primary ||
		(m.MultiRegionKeyType == types.MultiRegionKeyTypePrimary) != (k.region == k.now.primary)) {
		w.keyFault(k, "it is %s, its primary in %s; it must be in %s", m.MultiRegionKeyType, *m.PrimaryKey.Region, k.now.primary)
	}
	if k.state != pendingDeletion {
		if s.key.DeletionDate != nil {
			w.keyFault(k, "it has a deletion date, being %s", k.state)
		}
		return
	}
	if s.key.DeletionDate == nil {
		w.keyFault(k, "it has no deletion date")
		return
	}
	if k.deletion.IsZero() {
		k.deletion = *s.key.DeletionDate
	}
	if !s.key.DeletionDate.Equal(k.deletion) {
		w.keyFault(k, "its deletion date is %v, not %v", s.key.DeletionDate, k.deletion)
	}
}

// checkGone checks a key that does not exist: it must have been deleted, and what it made must stay closed in its region.
func (w *world) checkGone(ctx context.Context, c *client, k *key) {
	w.mu.Lock()
	if !k.gone && (k.state != pendingDeletion && len(k.now.at) > 1 || !k.deletion.IsZero() && k.deletion.After(w.clock.Add(startLimit))) {
		w.fault("key %s does not exist; it was %s, its deletion date is %v and the clock at %v", k.arn, k.state, k.deletion, w.clock)
	}
	if !k.gone {
		k.gone = true // its DeleteKey event may be yet to come
		k.lose(k)
	}
	w.mu.Unlock()
	if len(k.outputs) == 0 {
		return
	}
	d := &call{name: k.kind.opener(), allowed: []string{"NotFoundException"}}
	if d.name == "Decrypt" {
		d.allowed = []string{"AccessDeniedException"}
	}
	if w.do(ctx, d, func(ctx context.Context) error { _, _, err := c.open(ctx, k, k.outputs[0]); return err }) == nil {
		w.keyFault(k, "it was deleted, and still decrypts or verifies")
	}
}
