package operator

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/audit"
	"github.com/keyturn/keyturn/internal/service"
	"github.com/keyturn/keyturn/internal/store"
	"github.com/keyturn/keyturn/internal/verify"
)

// startVerification begins to verify the store in the background. Nothing is written, so its plan runs once.
func (o *Operator) startVerification() *service.Op {
	return service.Def[api.StartVerificationRequest, api.StartVerificationResponse]{
		Name: "StartVerification", Kind: service.Change, Actions: []string{"keyturn:StartVerification"},
		Resolve: resolve[api.StartVerificationRequest](o.target("keyturn:StartVerification")),
		Result: func(r *api.StartVerificationResponse, p *audit.Params) {
			p.Str("verificationId", r.Verification.VerificationId.V)
		},
		Plan: func(*service.Tx, *api.StartVerificationRequest, []service.Target) (*api.StartVerificationResponse, error) {
			s, err := o.config.Verify.Start()
			if errors.Is(err, verify.ErrRunning) {
				return nil, api.Errorf(api.ConflictException, "Verification %s is under way, and there is one at a time. GetVerification tells how far it is.", s.ID)
			}
			if err != nil {
				return nil, err
			}
			return &api.StartVerificationResponse{Verification: verification(s)}, nil
		},
	}.Op("keyturn")
}

// findingsPage is how many findings are on a page at most, and unless another number is asked for.
const findingsPage = 100

func (o *Operator) getVerification() *service.Op {
	return service.Def[api.GetVerificationRequest, api.GetVerificationResponse]{
		Name: "GetVerification", Kind: service.Read, Actions: []string{"keyturn:GetVerification"},
		Resolve: resolve[api.GetVerificationRequest](o.target("keyturn:GetVerification")),
		Plan: func(_ *service.Tx, q *api.GetVerificationRequest, _ []service.Target) (*api.GetVerificationResponse, error) {
			s, ok := o.config.Verify.Status()
			if !ok {
				return &api.GetVerificationResponse{Findings: []api.VerificationFinding{}}, nil
			}
			return page(s, q)
		},
	}.Op("keyturn")
}

// page returns a page of findings. A marker is the run and the finding before it: findings of another run are none that follow.
func page(s verify.Status, q *api.GetVerificationRequest) (*api.GetVerificationResponse, error) {
	r := &api.GetVerificationResponse{Verification: verification(s), Findings: []api.VerificationFinding{}, Truncated: api.Some(false)}
	var list []verify.Finding
	if s.Report != nil {
		list = s.Report.Findings
	}
	if q.Marker.Set {
		run, last, ok := strings.Cut(q.Marker.V, "/")
		i := slices.IndexFunc(list, func(f verify.Finding) bool { return f.ID == last })
		if !ok || run != s.ID || i < 0 {
			return nil, api.New(api.InvalidMarkerException)
		}
		list = list[i+1:]
	}
	if most := int(min(cmp.Or(q.Limit.V, findingsPage), findingsPage)); len(list) > most {
		list = list[:most]
		r.NextMarker, r.Truncated = api.Some(s.ID+"/"+list[most-1].ID), api.Some(true)
	}
	for _, f := range list {
		r.Findings = append(r.Findings, api.VerificationFinding{
			FindingId: api.Some(f.ID), Kind: api.Some(string(f.Kind)), Severity: api.Some(api.FindingSeverityType(f.Severity)), Where: api.Some(f.Where),
			Title: api.Some(f.Title), Detail: api.Some(f.Detail), Remedy: api.Some(f.Remedy), Repairable: api.Some(f.Repair),
		})
	}
	return r, nil
}

// verification is a run as answers have it.
func verification(s verify.Status) *api.VerificationStatus {
	v := &api.VerificationStatus{
		VerificationId: api.Some(s.ID), State: api.Some(api.VerificationStateType(s.State)), StartDate: api.Some(s.Start),
		Phase: api.Some(string(s.Progress.Phase)), BytesDone: api.Some(s.Progress.Done), BytesTotal: api.Some(s.Progress.Total),
	}
	if s.Problem != "" {
		v.Problem = api.Some(s.Problem)
	}
	if !s.End.IsZero() {
		v.EndDate = api.Some(s.End)
	}
	if r := s.Report; r != nil {
		v.FindingCount, v.Entries, v.Records, v.Keys = api.Some(r.Total()), api.Some(r.Entries), api.Some(r.Records), api.Some(r.Keys)
		v.IndexesCompared, v.Revision = api.Some(r.Indexes), api.Some(int64(r.Revision))
		for _, kind := range slices.Sorted(maps.Keys(r.Counts)) {
			v.Counts = append(v.Counts, api.VerificationCount{Kind: api.Some(string(kind)), Count: api.Some(r.Counts[kind])})
		}
		if h := r.History; h != nil {
			v.FirstLine, v.LastLine, v.RestoredDates = api.Some(int64(h.First)), api.Some(int64(h.Last)), h.Restored
			v.Lines, v.LogBytes, v.Segments, v.Nodes = api.Some(int64(h.Lines)), api.Some(h.Bytes), api.Some(int64(h.Segments)), h.Nodes
			v.Vouched, v.Unvouched, v.Uncovered = api.Some(h.Vouched), api.Some(h.Unvouched), api.Some(h.Uncovered)
		}
	}
	return v
}

// Verified puts the end of a verification into the audit log, so that there it is said what was found, whoever reads the answers.
func (o *Operator) Verified(ctx context.Context, p *service.Pipeline, s verify.Status) error {
	_, err := p.DoInternal(ctx, o.verified, o.config.Owner, p.Clock().Now(), 0, &s)
	return err
}

func (o *Operator) completeVerification() *service.Op {
	return service.Def[verify.Status, struct{}]{
		Name: "CompleteVerification", Kind: service.Internal,
		Plan: func(tx *service.Tx, s *verify.Status, _ []service.Target) (*struct{}, error) {
			e := service.OwnEvent(tx, "CompleteVerification", o.config.Owner)
			e.ServiceEventDetails.Str("verificationId", s.ID)
			e.ServiceEventDetails.Str("state", string(s.State))
			if s.Report != nil {
				e.ServiceEventDetails.Int("findings", s.Report.Total())
				e.ServiceEventDetails.Int("records", s.Report.Records)
			}
			tx.Event(e)
			return &struct{}{}, nil
		},
	}.Op("keyturn")
}

// repairBatch is how many index entries and counters one commit puts right. Each stands in the audit record, too.
const repairBatch = 90

// Repair puts index entries and counters right, in one commit and one RepairStore event for each batch. Nothing else may run.
func (o *Operator) Repair(ctx context.Context, p *service.Pipeline, mends []verify.Mend) error {
	for batch := range slices.Chunk(mends, repairBatch) {
		if _, err := p.DoInternal(ctx, o.repaired, o.config.Owner, p.Clock().Now(), 0, &batch); err != nil {
			return err
		}
	}
	return nil
}

func (o *Operator) repairStore() *service.Op {
	return service.Def[[]verify.Mend, struct{}]{
		Name: "RepairStore", Kind: service.Internal,
		Plan: func(tx *service.Tx, mends *[]verify.Mend, _ []service.Target) (*struct{}, error) {
			var made, removed, counted []string
			for _, m := range *mends {
				if err := tx.Mend(store.Write{Key: m.Key, Value: m.Value, Delete: m.Delete}); err != nil {
					return nil, err
				}
				switch {
				case m.Counter:
					counted = append(counted, m.Key)
				case m.Delete:
					removed = append(removed, m.Key)
				default:
					made = append(made, m.Key)
				}
			}
			e := service.OwnEvent(tx, "RepairStore", o.config.Owner)
			e.ServiceEventDetails.StrList("indexEntriesMade", made)
			e.ServiceEventDetails.StrList("indexEntriesRemoved", removed)
			e.ServiceEventDetails.StrList("countersSet", counted)
			tx.Event(e)
			return &struct{}{}, nil
		},
	}.Op("keyturn")
}
