package inside

import (
	"cmp"
	"encoding/hex"
	"slices"
	"strings"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/audit"
	"github.com/keyturn/keyturn/internal/check"
	"github.com/keyturn/keyturn/internal/service"
)

// Config is what the operations tell of.
type Config struct {
	Regions []string // that the server has
	// Report returns what the last check of an account found, nil before the first has ended. Nil: this server runs none.
	Report func(account string) *check.Report
}

// Operations returns keyturn's own operations on checks, and what those need to know of the server.
func Operations(c Config) []*service.Op { return []*service.Op{c.listFindings(), c.listRegions()} }

func (c Config) listRegions() *service.Op {
	return service.Def[api.ListRegionsRequest, api.ListRegionsResponse]{
		Name: "ListRegions", Kind: service.Read,
		Actions: []string{"keyturn:ListRegions"},
		Plan: func(*service.Tx, *api.ListRegionsRequest, []service.Target) (*api.ListRegionsResponse, error) {
			return &api.ListRegionsResponse{Regions: slices.Clone(c.Regions)}, nil
		},
	}.Op("keyturn")
}

const defaultLimit = 100

// listFindings answers the open findings of the caller's account in the region, by ID.
func (c Config) listFindings() *service.Op {
	return service.Def[api.ListFindingsRequest, api.ListFindingsResponse]{
		Name: "ListFindings", Kind: service.Read,
		Actions: []string{"keyturn:ListFindings"},
		Audit: func(q *api.ListFindingsRequest, p *audit.Params) {
			if q.CheckId.Set {
				p.Str("checkId", q.CheckId.V)
			}
			if q.Limit.Set {
				p.Int("limit", q.Limit.V)
			}
			if q.Marker.Set {
				p.Str("marker", q.Marker.V)
			}
		},
		Plan: func(tx *service.Tx, q *api.ListFindingsRequest, _ []service.Target) (*api.ListFindingsResponse, error) {
			if c.Report == nil {
				return nil, api.Errorf(api.UnsupportedOperationException, "This server does not check its keys: its configuration has no section check.")
			}
			if b, err := hex.DecodeString(q.Marker.V); q.Marker.Set && (err != nil || len(b) != 16) {
				return nil, api.New(api.InvalidMarkerException)
			}
			resp := &api.ListFindingsResponse{Findings: []api.FindingEntry{}, Truncated: api.Some(false), Complete: api.Some(false)}
			r := c.Report(tx.Call.Caller.Account)
			if r == nil {
				return resp, nil // the first has not ended yet
			}
			resp.LastRun, resp.KeysChecked = api.Some(r.Summary.Finished), api.Some(int64(r.Summary.Keys))
			resp.Complete = api.Some(!r.Full && len(r.Summary.Errors) == 0)
			var list []*check.Tracked
			for i := range r.Open {
				f := &r.Open[i]
				if f.Resource.Region == tx.Call.Region && f.ID > q.Marker.V && (!q.CheckId.Set || f.Check == q.CheckId.V) {
					list = append(list, f)
				}
			}
			slices.SortFunc(list, func(a, b *check.Tracked) int { return cmp.Compare(a.ID, b.ID) })
			limit := defaultLimit
			if q.Limit.Set {
				limit = int(q.Limit.V)
			}
			if len(list) > limit {
				list = list[:limit]
				resp.NextMarker, resp.Truncated = api.Some(list[limit-1].ID), api.Some(true)
			}
			for _, f := range list {
				resp.Findings = append(resp.Findings, entry(f))
			}
			return resp, nil
		},
	}.Op("keyturn")
}

func entry(f *check.Tracked) api.FindingEntry {
	return api.FindingEntry{
		FindingId: api.Some(f.ID), CheckId: api.Some(f.Check), Title: api.Some(f.Title),
		Severity: api.Some(api.FindingSeverityType(strings.ToUpper(f.Severity.String()))), Status: api.Some(api.FindingStatusType(f.Status)),
		Detail: api.Some(f.Detail), Notes: f.Notes, KeyArn: api.Some(f.Resource.ARN), FirstSeen: api.Some(f.FirstSeen), LastSeen: api.Some(f.LastSeen),
	}
}
