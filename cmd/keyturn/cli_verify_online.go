package main

import (
	"context"
	"errors"
	"time"

	"github.com/spf13/cobra"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/store"
	"github.com/keyturn/keyturn/internal/verify"
)

// verifyPoll is how often a running server is asked how far it is.
const verifyPoll = time.Second

// runOnline has a running server verify itself, and waits for that.
func (f *verifyFlags) runOnline(cmd *cobra.Command) (*verify.Report, error) {
	ctx := cmd.Context()
	c, err := f.client.connect(ctx, devEndpoint)
	if err != nil {
		return nil, err
	}
	if f.noWait {
		got, err := getVerification(ctx, c, api.Opt[string]{})
		if err != nil {
			return nil, err
		}
		if got.Verification == nil {
			return nil, withHint(errors.New("the server has verified nothing since it was started"), "without --no-wait this command has it do so")
		}
		if got.Verification.State.V == api.VerificationStateTypeRunning {
			if f.client.output == jsonOutput {
				return nil, writeWireJSON(cmd.OutOrStdout(), got)
			}
			v := got.Verification
			return nil, writeFields(cmd.OutOrStdout(), [][2]string{
				{"state", string(v.State.V)}, {"since", wireTime(v.StartDate)}, {"at", v.Phase.V}, {"bytes", number(v.BytesDone) + " of about " + number(v.BytesTotal)},
			})
		}
		return verifiedReport(ctx, c, got)
	}
	var started api.StartVerificationResponse
	if err := c.call(ctx, "Keyturn.StartVerification", &api.StartVerificationRequest{}, &started); err != nil {
		if errorCode(err) == string(api.ConflictException) {
			err = withHint(err, "wait for it, and ask for what it finds: keyturn verify --no-wait")
		}
		return nil, explainOperator(c, err)
	}
	show, finish := verifyProgress(cmd.ErrOrStderr())
	got, err := awaitVerification(ctx, c, started.Verification, show)
	finish(err)
	if err != nil {
		return nil, err
	}
	return verifiedReport(ctx, c, got)
}

// awaitVerification asks until the run is over.
func awaitVerification(ctx context.Context, c *connection, run *api.VerificationStatus, show func(verify.Progress)) (*api.GetVerificationResponse, error) {
	if run == nil {
		return nil, errors.New("the answer has no verification")
	}
	ticker := time.NewTicker(verifyPoll)
	defer ticker.Stop()
	for {
		got, err := getVerification(ctx, c, api.Opt[string]{})
		switch {
		case err != nil:
			return nil, err
		case got.Verification == nil || got.Verification.VerificationId.V != run.VerificationId.V:
			return nil, errors.New("the server does not know the verification any more: it was started anew, or another was begun")
		case got.Verification.State.V != api.VerificationStateTypeRunning:
			return got, nil
		}
		v := got.Verification
		show(verify.Progress{Phase: verify.Phase(printable(v.Phase.V)), Done: v.BytesDone.V, Total: v.BytesTotal.V})
		select {
		case <-ctx.Done():
			return nil, errors.New("interrupted; the server goes on, and keyturn verify --no-wait shows what it finds")
		case <-ticker.C:
		}
	}
}

func getVerification(ctx context.Context, c *connection, marker api.Opt[string]) (*api.GetVerificationResponse, error) {
	var out api.GetVerificationResponse
	err := c.call(ctx, "Keyturn.GetVerification", &api.GetVerificationRequest{Marker: marker}, &out)
	return &out, explainOperator(c, err)
}

func explainOperator(c *connection, err error) error {
	if api.ErrorCode(errorCode(err)) == api.UnknownOperationException {
		return withHint(c.explain(err), "only keyturn verifies itself: is the endpoint one of it?")
	}
	return explainSeal(c, err)
}

// verifiedReport is what a run has found, from all its pages, as this process would have found it.
func verifiedReport(ctx context.Context, c *connection, got *api.GetVerificationResponse) (*verify.Report, error) {
	v := got.Verification
	if v.State.V != api.VerificationStateTypeComplete {
		return nil, withHint(errors.New("the server could not verify its store: "+printable(v.Problem.V)), "see the server's log; GetVerification shows the state")
	}
	r := &verify.Report{
		Findings: []verify.Finding{}, Counts: make(map[verify.Kind]int64), Revision: store.Rev(v.Revision.V), Entries: v.Entries.V, Records: v.Records.V,
		Keys: v.Keys.V, Indexes: v.IndexesCompared.V,
		History: &verify.History{
			First: uint64(v.FirstLine.V), Last: uint64(v.LastLine.V), Lines: uint64(v.Lines.V), Bytes: v.LogBytes.V, Segments: int(v.Segments.V), Nodes: v.Nodes,
			Restored: v.RestoredDates, Vouched: v.Vouched.V, Unvouched: v.Unvouched.V, Uncovered: v.Uncovered.V,
		},
	}
	for _, count := range v.Counts {
		r.Counts[verify.Kind(count.Kind.V)] = count.Count.V
	}
	for {
		for _, w := range got.Findings {
			r.Findings = append(r.Findings, verify.Finding{
				ID: w.FindingId.V, Kind: verify.Kind(w.Kind.V), Severity: verify.Severity(w.Severity.V), Where: w.Where.V, Title: w.Title.V, Detail: w.Detail.V,
				Remedy: w.Remedy.V, Repair: w.Repairable.V,
			})
		}
		if !got.NextMarker.Set {
			return r, nil
		}
		var err error
		if got, err = getVerification(ctx, c, got.NextMarker); err != nil {
			return nil, err
		}
	}
}
