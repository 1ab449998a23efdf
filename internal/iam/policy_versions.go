package iam

import (
	"slices"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/audit"
	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/service"
)

// versionAnswer is a version without its document, which only GetPolicyVersion answers.
func versionAnswer(p *record.ManagedPolicy, v *record.PolicyVersion) api.PolicyVersion {
	return api.PolicyVersion{
		VersionId: api.Some(versionID(v.Number)), IsDefaultVersion: api.Some(v.Number == p.Default), CreateDate: api.Some(v.Created),
	}
}

func (s *IAM) createPolicyVersion() *service.Op {
	arn := func(q *api.CreatePolicyVersionRequest) string { return q.PolicyArn.V }
	return service.Def[api.CreatePolicyVersionRequest, api.CreatePolicyVersionResponse]{
		Name: "CreatePolicyVersion", Kind: service.Change, Actions: []string{"iam:CreatePolicyVersion"},
		Resolve: onOwnPolicy("iam:CreatePolicyVersion", arn, nil),
		Audit: func(q *api.CreatePolicyVersionRequest, p *audit.Params) {
			str(p, "policyArn", q.PolicyArn)
			str(p, "policyDocument", q.PolicyDocument)
			if q.SetAsDefault.Set {
				p.Bool("setAsDefault", q.SetAsDefault.V)
			}
		},
		Result: func(r *api.CreatePolicyVersionResponse, p *audit.Params) {
			var v audit.Params
			str(&v, "versionId", r.PolicyVersion.VersionId)
			v.Bool("isDefaultVersion", r.PolicyVersion.IsDefaultVersion.V)
			p.Obj("policyVersion", &v)
		},
		Plan: func(tx *service.Tx, q *api.CreatePolicyVersionRequest, _ []service.Target) (*api.CreatePolicyVersionResponse, error) {
			p, err := ownPolicy(tx, arn(q))
			if err != nil {
				return nil, err
			}
			if err := checkPolicyDocument(q.PolicyDocument.V); err != nil {
				return nil, err
			}
			if len(p.Versions) >= versionsPerPolicy {
				return nil, api.Errorf(api.LimitExceeded, "A managed policy can have up to %d versions. Before you create a new version, you must "+
					"delete an existing version.", versionsPerPolicy)
			}
			p.Last++
			p.Updated = tx.Now
			v := record.PolicyVersion{Number: p.Last, Document: q.PolicyDocument.V, Created: tx.Now}
			p.Versions = append(p.Versions, v)
			if q.SetAsDefault.V {
				p.Default = v.Number
			}
			tx.Put(p)
			answer := versionAnswer(p, &v)
			return &api.CreatePolicyVersionResponse{PolicyVersion: &answer}, nil
		},
	}.Op("iam")
}

func (s *IAM) getPolicyVersion() *service.Op {
	arn := func(q *api.GetPolicyVersionRequest) string { return q.PolicyArn.V }
	missing := func(q *api.GetPolicyVersionRequest) error { return noVersion(arn(q), q.VersionId.V) }
	return service.Def[api.GetPolicyVersionRequest, api.GetPolicyVersionResponse]{
		Name: "GetPolicyVersion", Kind: service.Read, Actions: []string{"iam:GetPolicyVersion"},
		Resolve: onPolicy("iam:GetPolicyVersion", arn, missing),
		Audit: func(q *api.GetPolicyVersionRequest, p *audit.Params) {
			str(p, "policyArn", q.PolicyArn)
			str(p, "versionId", q.VersionId)
		},
		Plan: func(tx *service.Tx, q *api.GetPolicyVersionRequest, _ []service.Target) (*api.GetPolicyVersionResponse, error) {
			p, err := findPolicy(tx, arn(q))
			if err != nil {
				return nil, err
			}
			if p == nil {
				return nil, missing(q)
			}
			i := findVersion(p, q.VersionId.V)
			if i < 0 {
				return nil, missing(q)
			}
			answer := versionAnswer(p, &p.Versions[i])
			answer.Document = encodeDocument(p.Versions[i].Document)
			return &api.GetPolicyVersionResponse{PolicyVersion: &answer}, nil
		},
	}.Op("iam")
}

// changeVersion is DeletePolicyVersion and SetDefaultPolicyVersion: change is told which of the policy's versions it is about.
func changeVersion[Q any](name string, of func(*Q) (arn, version api.Opt[string]), change func(p *record.ManagedPolicy, i int) error) *service.Op {
	arn := func(q *Q) string {
		arn, _ := of(q)
		return arn.V
	}
	missing := func(q *Q) error {
		arn, version := of(q)
		return noVersion(arn.V, version.V)
	}
	return service.Def[Q, service.None]{
		Name: name, Kind: service.Change, Actions: []string{"iam:" + name},
		Resolve: onOwnPolicy("iam:"+name, arn, missing),
		Audit: func(q *Q, p *audit.Params) {
			arn, version := of(q)
			str(p, "policyArn", arn)
			str(p, "versionId", version)
		},
		Plan: func(tx *service.Tx, q *Q, _ []service.Target) (*service.None, error) {
			p, err := ownPolicy(tx, arn(q))
			if err != nil {
				return nil, err
			}
			_, version := of(q)
			i := findVersion(p, version.V)
			if i < 0 {
				return nil, missing(q)
			}
			if err := change(p, i); err != nil {
				return nil, err
			}
			tx.Put(p)
			return &service.None{}, nil
		},
	}.Op("iam")
}

func (s *IAM) deletePolicyVersion() *service.Op {
	of := func(q *api.DeletePolicyVersionRequest) (arn, version api.Opt[string]) {
		return q.PolicyArn, q.VersionId
	}
	return changeVersion("DeletePolicyVersion", of, func(p *record.ManagedPolicy, i int) error {
		if p.Versions[i].Number == p.Default {
			return api.Errorf(api.DeleteConflict, "Cannot delete the default version of a policy.")
		}
		p.Versions = slices.Delete(p.Versions, i, i+1)
		return nil
	})
}

func (s *IAM) setDefaultPolicyVersion() *service.Op {
	of := func(q *api.SetDefaultPolicyVersionRequest) (arn, version api.Opt[string]) {
		return q.PolicyArn, q.VersionId
	}
	return changeVersion("SetDefaultPolicyVersion", of, func(p *record.ManagedPolicy, i int) error {
		p.Default = p.Versions[i].Number
		return nil
	})
}

// listPolicyVersions has the latest first.
func (s *IAM) listPolicyVersions() *service.Op {
	arn := func(q *api.ListPolicyVersionsRequest) string { return q.PolicyArn.V }
	return service.Def[api.ListPolicyVersionsRequest, api.ListPolicyVersionsResponse]{
		Name: "ListPolicyVersions", Kind: service.Read, Actions: []string{"iam:ListPolicyVersions"},
		Resolve: onPolicy("iam:ListPolicyVersions", arn, nil),
		Audit: func(q *api.ListPolicyVersionsRequest, p *audit.Params) {
			str(p, "policyArn", q.PolicyArn)
			auditPage(p, q.Marker, q.MaxItems)
		},
		Plan: func(tx *service.Tx, q *api.ListPolicyVersionsRequest, _ []service.Target) (*api.ListPolicyVersionsResponse, error) {
			p, err := findPolicy(tx, arn(q))
			if err != nil {
				return nil, err
			}
			if p == nil {
				return nil, noPolicy(arn(q))
			}
			list := make([]api.PolicyVersion, 0, len(p.Versions))
			for i := len(p.Versions) - 1; i >= 0; i-- {
				list = append(list, versionAnswer(p, &p.Versions[i]))
			}
			list, page, err := slice("versions", list, q.Marker, q.MaxItems)
			return &api.ListPolicyVersionsResponse{Versions: list, IsTruncated: page.IsTruncated, Marker: page.Marker}, err
		},
	}.Op("iam")
}
