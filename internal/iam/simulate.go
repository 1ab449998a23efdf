package iam

import (
	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/audit"
	"github.com/keyturn/keyturn/internal/service"
)

// The policy simulator: SimulateCustomPolicy, SimulatePrincipalPolicy and the context keys that their policies name, as in the AWS
// Identity and Access Management API Reference. Decisions are authz.Decide's, as those on real calls are.

func (s *IAM) simulateOperations() []*service.Op {
	return []*service.Op{s.simulateCustomPolicy(), s.simulatePrincipalPolicy(), s.contextKeysForCustomPolicy(), s.contextKeysForPrincipalPolicy()}
}

// Bounds of what the model leaves unbounded. AWS documents none.
const (
	maxSimulatedPolicies  = 100       // documents in a request
	maxSimulatedDocuments = 512 << 10 // bytes of all of them
	maxSimulatedNames     = 256       // actions, and likewise resources
	maxSimulatedNameBytes = 64 << 10  // of all actions and resources
	maxSimulations        = 10_000    // actions times resources
)

// simulation is what a request asks for, whichever of the two it is.
type simulation struct {
	policies, boundaries, actions, resources []string
	resourcePolicy, owner, caller            api.Opt[string]
	entries                                  []api.ContextEntry
	maxItems                                 api.Opt[int64]
	marker                                   api.Opt[string]
}

func customSimulation(q *api.SimulateCustomPolicyRequest) *simulation {
	return &simulation{
		policies: q.PolicyInputList, boundaries: q.PermissionsBoundaryPolicyInputList, actions: q.ActionNames, resources: q.ResourceArns,
		resourcePolicy: q.ResourcePolicy, owner: q.ResourceOwner, caller: q.CallerArn, entries: q.ContextEntries,
		maxItems: q.MaxItems, marker: q.Marker,
	}
}

func principalSimulation(q *api.SimulatePrincipalPolicyRequest) *simulation {
	return &simulation{
		policies: q.PolicyInputList, boundaries: q.PermissionsBoundaryPolicyInputList, actions: q.ActionNames, resources: q.ResourceArns,
		resourcePolicy: q.ResourcePolicy, owner: q.ResourceOwner, caller: q.CallerArn, entries: q.ContextEntries,
		maxItems: q.MaxItems, marker: q.Marker,
	}
}

// check bounds the request. What the bounds are there to keep small is not read before.
func (m *simulation) check() error {
	documents := append(append([]string{}, m.policies...), m.boundaries...)
	if m.resourcePolicy.Set {
		documents = append(documents, m.resourcePolicy.V)
	}
	if err := checkDocuments(documents); err != nil {
		return err
	}
	n := 0
	for _, list := range [][]string{m.actions, m.resources} {
		if len(list) > maxSimulatedNames {
			return invalidInput("ActionNames and ResourceArns have at most %d members each.", maxSimulatedNames)
		}
		for _, name := range list {
			n += len(name)
		}
	}
	switch {
	case n > maxSimulatedNameBytes:
		return invalidInput("ActionNames and ResourceArns have at most %d characters together.", maxSimulatedNameBytes)
	case len(m.actions)*max(1, len(m.resources)) > maxSimulations:
		return invalidInput("At most %d combinations of ActionNames and ResourceArns can be simulated.", maxSimulations)
	case len(m.actions) == 0:
		return invalidInput("ActionNames has no members.")
	case len(m.boundaries) > 1:
		return invalidInput("PermissionsBoundaryPolicyInputList has at most one policy.")
	}
	return checkEntries(m.entries)
}

func checkDocuments(documents []string) error {
	n := 0
	for _, d := range documents {
		n += len(d)
	}
	if len(documents) > maxSimulatedPolicies || n > maxSimulatedDocuments {
		return invalidInput("At most %d policies of %d characters together can be simulated.", maxSimulatedPolicies, maxSimulatedDocuments)
	}
	return nil
}

// audit records what was simulated. Documents and the values of context keys are left out, as they could be anything.
func (m *simulation) audit(p *audit.Params) {
	p.StrList("actionNames", m.actions)
	if m.resources != nil {
		p.StrList("resourceArns", m.resources)
	}
	str(p, "resourceOwner", m.owner)
	str(p, "callerArn", m.caller)
	auditPage(p, m.marker, m.maxItems)
}

func invalidInput(format string, args ...any) *api.Error {
	return api.Errorf(api.InvalidInput, format, args...)
}

func (s *IAM) simulateCustomPolicy() *service.Op {
	return service.Def[api.SimulateCustomPolicyRequest, api.SimulatePolicyResponse]{
		Name: "SimulateCustomPolicy", Kind: service.Read, Actions: []string{"iam:SimulateCustomPolicy"},
		Check: func(q *api.SimulateCustomPolicyRequest) error {
			if q.OrderedOrganizationPolicyInputList != nil {
				return invalidInput("OrderedOrganizationPolicyInputList is not supported: accounts here are in no organization with service control policies.")
			}
			return customSimulation(q).check()
		},
		Audit: func(q *api.SimulateCustomPolicyRequest, p *audit.Params) {
			customSimulation(q).audit(p)
			str(p, "resourceHandlingOption", q.ResourceHandlingOption)
		},
		Plan: func(tx *service.Tx, q *api.SimulateCustomPolicyRequest, _ []service.Target) (*api.SimulatePolicyResponse, error) {
			return s.simulate(tx, customSimulation(q), &simulated{})
		},
	}.Op("iam")
}

func (s *IAM) simulatePrincipalPolicy() *service.Op {
	return service.Def[api.SimulatePrincipalPolicyRequest, api.SimulatePolicyResponse]{
		Name: "SimulatePrincipalPolicy", Kind: service.Read, Actions: []string{"iam:SimulatePrincipalPolicy"},
		Check: func(q *api.SimulatePrincipalPolicyRequest) error {
			if err := checkExclusions(q.PolicyExclusionList); err != nil {
				return err
			}
			return principalSimulation(q).check()
		},
		Resolve: func(tx *service.Tx, q *api.SimulatePrincipalPolicyRequest) ([]service.Target, error) {
			return s.onPolicySource(tx, "iam:SimulatePrincipalPolicy", q.PolicySourceArn.V)
		},
		Audit: func(q *api.SimulatePrincipalPolicyRequest, p *audit.Params) {
			str(p, "policySourceArn", q.PolicySourceArn)
			principalSimulation(q).audit(p)
			str(p, "resourceHandlingOption", q.ResourceHandlingOption)
		},
		Plan: func(tx *service.Tx, q *api.SimulatePrincipalPolicyRequest, _ []service.Target) (*api.SimulatePolicyResponse, error) {
			of, err := s.policySource(tx, q.PolicySourceArn.V)
			if err != nil {
				return nil, err
			}
			of.exclude(q.PolicyExclusionList)
			m := principalSimulation(q)
			if !m.caller.Set && of.caller != nil {
				m.caller = q.PolicySourceArn
			}
			return s.simulate(tx, m, of)
		},
	}.Op("iam")
}

func (s *IAM) contextKeysForCustomPolicy() *service.Op {
	return service.Def[api.GetContextKeysForCustomPolicyRequest, api.GetContextKeysForPolicyResponse]{
		Name: "GetContextKeysForCustomPolicy", Kind: service.Read, Actions: []string{"iam:GetContextKeysForCustomPolicy"},
		Check: func(q *api.GetContextKeysForCustomPolicyRequest) error { return checkDocuments(q.PolicyInputList) },
		Plan: func(_ *service.Tx, q *api.GetContextKeysForCustomPolicyRequest, _ []service.Target) (*api.GetContextKeysForPolicyResponse, error) {
			return contextKeys(nil, q.PolicyInputList)
		},
	}.Op("iam")
}

func (s *IAM) contextKeysForPrincipalPolicy() *service.Op {
	return service.Def[api.GetContextKeysForPrincipalPolicyRequest, api.GetContextKeysForPolicyResponse]{
		Name: "GetContextKeysForPrincipalPolicy", Kind: service.Read, Actions: []string{"iam:GetContextKeysForPrincipalPolicy"},
		Check: func(q *api.GetContextKeysForPrincipalPolicyRequest) error { return checkDocuments(q.PolicyInputList) },
		Resolve: func(tx *service.Tx, q *api.GetContextKeysForPrincipalPolicyRequest) ([]service.Target, error) {
			return s.onPolicySource(tx, "iam:GetContextKeysForPrincipalPolicy", q.PolicySourceArn.V)
		},
		Audit: func(q *api.GetContextKeysForPrincipalPolicyRequest, p *audit.Params) {
			str(p, "policySourceArn", q.PolicySourceArn)
		},
		Plan: func(tx *service.Tx, q *api.GetContextKeysForPrincipalPolicyRequest, _ []service.Target) (*api.GetContextKeysForPolicyResponse, error) {
			of, err := s.policySource(tx, q.PolicySourceArn.V)
			if err != nil {
				return nil, err
			}
			return contextKeys(of.policies, q.PolicyInputList)
		},
	}.Op("iam")
}
