package iam

import (
	"strconv"
	"strings"
	"time"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/authz"
	"github.com/keyturn/keyturn/internal/identity"
	"github.com/keyturn/keyturn/internal/policy"
	"github.com/keyturn/keyturn/internal/service"
)

// Bounds of the work for one page. A page that comes to one of them ends early, as AWS's may, but has one result at least.
const (
	maxPageTime  = 2 * time.Second
	maxPageItems = 10_000 // matched statements and missing context values
)

// simulator decides all that one request asks.
type simulator struct {
	asked    *asked
	entries  map[string][]string
	identity *authz.Identity
	policies []*source
	boundary *source // nil for none
	resource *source // the resource policy; nil for none
	owner    string  // account of resources whose ARNs do not tell
	names    []string
	abroad   func(action string) bool
}

// simulate answers a request about policies of the store, with those that it brings.
func (s *IAM) simulate(tx *service.Tx, m *simulation, of *simulated) (*api.SimulatePolicyResponse, error) {
	sim, err := newSimulator(tx, m, of)
	if err != nil {
		return nil, err
	}
	resources := m.resources
	if len(resources) == 0 {
		resources = []string{anyResource}
	}
	for _, arn := range resources {
		if err := sim.checkResource(arn); err != nil {
			return nil, err
		}
	}
	for _, name := range m.actions {
		if !isActionName(name) {
			return nil, invalidInput("Invalid action name %q: it must be that of one operation with its service, such as kms:Decrypt.", name)
		}
	}
	position, err := decodeMarker("simulation", m.marker)
	if err != nil {
		return nil, err
	}
	from, total := 0, len(m.actions)*len(resources)
	if position != "" {
		if from, err = strconv.Atoi(position); err != nil || from < 1 || from >= total {
			return nil, invalid("Invalid Marker.")
		}
	}
	answer := &api.SimulatePolicyResponse{EvaluationResults: []api.EvaluationResult{}}
	begun, items, next := s.config.RealTime(), 0, from
	for ; next < min(total, from+limitOf(m.maxItems)); next++ {
		if err := tx.Context().Err(); err != nil {
			return nil, err
		}
		if next > from && (items >= maxPageItems || s.config.RealTime().Sub(begun) > maxPageTime) {
			break
		}
		result, err := sim.result(m.actions[next/len(resources)], resources[next%len(resources)])
		if err != nil {
			return nil, err
		}
		items += len(result.MatchedStatements) + len(result.MissingContextValues)
		answer.EvaluationResults = append(answer.EvaluationResults, result)
	}
	rest := ""
	if next < total {
		rest = strconv.Itoa(next)
	}
	page := nextPage("simulation", rest)
	answer.IsTruncated, answer.Marker = page.IsTruncated, page.Marker
	return answer, nil
}

// anyResource is what actions without a resource are on, and what is simulated where a request names none.
const anyResource = "*"

func newSimulator(tx *service.Tx, m *simulation, of *simulated) (*simulator, error) {
	sim := &simulator{policies: of.policies, boundary: of.boundary, abroad: usableAbroad(), identity: &authz.Identity{}}
	var err error
	if sim.asked, err = of.asks(tx, m); err != nil {
		return nil, err
	}
	if sim.entries, err = entryValues(m.entries); err != nil {
		return nil, err
	}
	if sim.owner, err = ownerOf(tx, m.owner, sim.asked); err != nil {
		return nil, err
	}
	more, err := inputs("PolicyInputList", m.policies)
	if err != nil {
		return nil, err
	}
	sim.policies = append(sim.policies[:len(sim.policies):len(sim.policies)], more...)
	boundaries, err := inputs("PermissionsBoundaryPolicyInputList", m.boundaries)
	if err != nil {
		return nil, err
	}
	if len(boundaries) > 0 { // instead of the principal's own
		sim.boundary = boundaries[0]
	}
	if m.resourcePolicy.Set {
		if sim.resource, err = keyPolicy(m.resourcePolicy.V); err != nil {
			return nil, err
		}
	}
	for i, p := range sim.policies {
		sim.identity.Policies = append(sim.identity.Policies, authz.Named{Name: strconv.Itoa(i), Compiled: p.compiled})
	}
	all := sim.policies
	if sim.boundary != nil {
		sim.identity.Boundary = &authz.Named{Compiled: sim.boundary.compiled}
		all = append(all[:len(all):len(all)], sim.boundary)
	}
	sim.asked.who.Bounded = sim.boundary != nil
	if sim.resource != nil {
		all = append(all[:len(all):len(all)], sim.resource)
	}
	sim.names, err = keyNames(all)
	return sim, err
}

// keyPolicy reads a resource policy: keys are what has one here.
func keyPolicy(document string) (*source, error) {
	p, err := policy.ParseKeyPolicy([]byte(document))
	if err != nil {
		return nil, invalidDocument("ResourcePolicy", err)
	}
	return &source{id: "ResourcePolicy", kind: api.PolicySourceTypeResource, document: document, compiled: policy.Compile(p)}, nil
}

// ownerOf reads ResourceOwner: an account or the ARN of its root user, by default the account of whoever asks.
func ownerOf(tx *service.Tx, owner api.Opt[string], asks *asked) (string, error) {
	if !owner.Set {
		return asks.who.Account, nil
	}
	if service.IsAccountID(owner.V) {
		return owner.V, nil
	}
	p, ok := identity.ParseARN(owner.V)
	if !ok || p.Kind != "root" || !service.IsAccountID(p.Account) || p.Partition != partition(tx) {
		return "", invalidInput("'%s' is not a valid as a Resource Owner.", owner.V)
	}
	return p.Account, nil
}

// checkResource refuses what is no ARN, and what the resource policy cannot be about.
func (sim *simulator) checkResource(arn string) error {
	p, ok := cutResource(arn)
	switch {
	case arn != anyResource && !ok:
		return invalidInput("ResourceNames are not in a valid ARN format: %s.", arn)
	case sim.resource == nil:
		return nil
	case p.service != "kms" || !strings.HasPrefix(p.name, "key/") || !service.IsAccountID(p.account):
		return invalidInput("ResourcePolicy is the policy of a key: %s is none.", arn)
	}
	return nil
}

// resourceARN is an ARN of any service.
type resourceARN struct{ service, account, name string }

func cutResource(arn string) (resourceARN, bool) {
	const parts = 6
	f := strings.SplitN(arn, ":", parts)
	if len(f) != parts || f[0] != "arn" || f[1] == "" || f[2] == "" || f[5] == "" {
		return resourceARN{}, false
	}
	return resourceARN{f[2], f[4], f[5]}, true
}

// isActionName takes service:Operation without wildcards.
func isActionName(name string) bool {
	prefix, operation, ok := strings.Cut(name, ":")
	return ok && prefix != "" && operation != "" && strings.Trim(operation, alphanumeric) == "" && strings.Trim(prefix, alphanumeric+"-.") == ""
}

const alphanumeric = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

// usableAbroad tells which actions principals of other accounts can be allowed on a key, whatever its policy says, as package kms has it.
// To other services' actions that does not apply.
func usableAbroad() func(action string) bool {
	abroad := map[string]bool{}
	for _, op := range api.KMSOperations() {
		for _, p := range op.Permissions {
			name := strings.ToLower(p.Action)
			abroad[name] = abroad[name] || op.CrossAccount
		}
	}
	return func(action string) bool {
		name := strings.ToLower(action)
		return !strings.HasPrefix(name, "kms:") || abroad[name]
	}
}

// ownerOf is the account that a resource belongs to.
func (sim *simulator) ownerOf(resource string) string {
	if p, ok := cutResource(resource); ok && service.IsAccountID(p.account) {
		return p.account
	}
	return sim.owner
}

// value returns the values of a condition key: those that the request gives, or else what follows from who asks and for what.
func (sim *simulator) value(resource, key string) ([]string, bool) {
	if v, ok := sim.entries[key]; ok {
		return v, true
	}
	if key == "aws:resourceaccount" && resource != anyResource {
		return []string{sim.ownerOf(resource)}, true
	}
	v, ok := sim.asked.values[key]
	return v, ok
}

func (sim *simulator) decide(action, resource string) (authz.Decision, error) {
	who := &sim.asked.who
	q := &authz.Question{
		Who: who, Identity: sim.identity, Action: action, Resource: resource, ResourceAccount: sim.ownerOf(resource), Reasons: true,
		Value: func(key string) ([]string, bool) { return sim.value(resource, key) },
	}
	if sim.resource != nil && !strings.EqualFold(action, "kms:ListAliases") { // aliases are the account's
		q.OnResource = sim.resource.compiled
	}
	d, err := authz.Decide(q)
	if d.CrossAccount && !sim.abroad(action) {
		d.Allowed = false // whatever the policy of the key says
	}
	return d, err
}

// result simulates one action on one resource.
func (sim *simulator) result(action, resource string) (api.EvaluationResult, error) {
	d, err := sim.decide(action, resource)
	if err != nil {
		return api.EvaluationResult{}, err
	}
	decision, effect := verdict(&d)
	r := api.EvaluationResult{
		EvalActionName: api.Some(action), EvalResourceName: api.Some(resource), EvalDecision: api.Some(decision),
		MatchedStatements: []api.Statement{}, MissingContextValues: []string{},
	}
	for i := range d.Statements {
		st := &d.Statements[i]
		// A boundary allows nothing by itself, it is only said to have allowed.
		if st.Effect == effect && !(st.Kind == authz.Boundary && effect == policy.Allow) {
			r.MatchedStatements = append(r.MatchedStatements, sim.matched(st))
		}
	}
	if sim.boundary != nil {
		r.PermissionsBoundaryDecisionDetail = &api.PermissionsBoundaryDecisionDetail{
			AllowedByPermissionsBoundary: api.Some(verdictOf(&d, authz.Boundary) == api.PolicyEvaluationDecisionTypeAllowed),
		}
	}
	for _, name := range sim.names {
		if _, ok := sim.value(resource, policy.FoldKey(name)); !ok {
			r.MissingContextValues = append(r.MissingContextValues, name)
		}
	}
	details := sim.details(&d)
	r.EvalDecisionDetails = details
	if resource != anyResource {
		if details == nil {
			r.EvalDecisionDetails = map[string]api.PolicyEvaluationDecisionType{} // within an account there, but empty
		}
		r.ResourceSpecificResults = []api.ResourceSpecificResult{{
			EvalDecisionDetails: details, EvalResourceName: r.EvalResourceName, EvalResourceDecision: r.EvalDecision, MatchedStatements: r.MatchedStatements,
			MissingContextValues: r.MissingContextValues, PermissionsBoundaryDecisionDetail: r.PermissionsBoundaryDecisionDetail,
		}}
	}
	return r, nil
}

// verdict is a decision in AWS's words, with the effect of the statements that it comes from; "" for none. A Deny of the principal's own
// counts here also where real callers are not told of it: all that is asked about is the asker's.
func verdict(d *authz.Decision) (api.PolicyEvaluationDecisionType, policy.Effect) {
	if d.Allowed {
		return api.PolicyEvaluationDecisionTypeAllowed, policy.Allow
	}
	for i := range d.Statements {
		if d.Statements[i].Effect == policy.Deny {
			return api.PolicyEvaluationDecisionTypeExplicitDeny, policy.Deny
		}
	}
	return api.PolicyEvaluationDecisionTypeImplicitDeny, ""
}

// details says what each kind of policy contributes where accounts meet; nil within one account.
func (sim *simulator) details(d *authz.Decision) map[string]api.PolicyEvaluationDecisionType {
	if !d.CrossAccount {
		return nil
	}
	details := map[string]api.PolicyEvaluationDecisionType{
		"IAM Policy": verdictOf(d, authz.IdentityPolicy), "Resource Policy": verdictOf(d, authz.ResourcePolicy),
	}
	if sim.boundary != nil {
		details["Permissions Boundary Policy"] = verdictOf(d, authz.Boundary)
	}
	return details
}

// verdictOf is what the policies of one kind say by themselves.
func verdictOf(d *authz.Decision, kind authz.Kind) api.PolicyEvaluationDecisionType {
	said := api.PolicyEvaluationDecisionTypeImplicitDeny
	for i := range d.Statements {
		switch st := &d.Statements[i]; {
		case st.Kind != kind:
		case st.Effect == policy.Deny:
			return api.PolicyEvaluationDecisionTypeExplicitDeny
		default:
			said = api.PolicyEvaluationDecisionTypeAllowed
		}
	}
	return said
}

// matched says where a statement stands.
func (sim *simulator) matched(st *authz.Statement) api.Statement {
	var from *source
	switch st.Kind {
	case authz.ResourcePolicy:
		from = sim.resource
	case authz.Boundary:
		from = sim.boundary
	default:
		i, _ := strconv.Atoi(st.Policy) // newSimulator has named them so
		from = sim.policies[i]
	}
	s := api.Statement{SourcePolicyId: api.Some(from.id), SourcePolicyType: api.Some(from.kind)}
	if p := from.place(st.Index); p != nil {
		s.StartPosition, s.EndPosition = positionOf(p.Start), positionOf(p.End)
	}
	return s
}

func positionOf(p policy.Position) *api.Position {
	return &api.Position{Line: api.Some(int64(p.Line)), Column: api.Some(int64(p.Column))}
}
