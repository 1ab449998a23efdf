package iam

import (
	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/audit"
	"github.com/keyturn/keyturn/internal/identity"
	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/service"
)

func (s *IAM) groupOperations() []*service.Op {
	return []*service.Op{
		s.createGroup(), s.getGroup(), s.updateGroup(), s.deleteGroup(), s.listGroups(),
		s.addUserToGroup(), s.removeUserFromGroup(), s.listGroupsForUser(),
	}
}

func groupAnswer(tx *service.Tx, g *record.Group) api.Group {
	return api.Group{
		Path: api.Some(g.Path), GroupName: api.Some(g.Name), GroupId: api.Some(g.ID), CreateDate: api.Some(g.Created),
		Arn: api.Some(identity.PrincipalARN(partition(tx), record.GroupKind, &g.Principal)),
	}
}

func groupAnswers(tx *service.Tx, groups []*record.Group) []api.Group {
	list := make([]api.Group, len(groups))
	for i, g := range groups {
		list[i] = groupAnswer(tx, g)
	}
	return list
}

// group returns the group of a name.
func group(tx *service.Tx, name string) (*record.Group, error) {
	g, err := byName[*record.Group](tx, record.GroupKind, name)
	if err == nil && g == nil {
		return nil, noSuch("group", name)
	}
	return g, err
}

func (s *IAM) createGroup() *service.Op {
	return service.Def[api.CreateGroupRequest, api.CreateGroupResponse]{
		Name: "CreateGroup", Kind: service.Change, Actions: []string{"iam:CreateGroup"},
		Resolve: func(tx *service.Tx, q *api.CreateGroupRequest) ([]service.Target, error) {
			return target(tx, "iam:CreateGroup", arnOf(tx, "group", q.Path.V, q.GroupName.V), nil, nil), nil
		},
		Audit: func(q *api.CreateGroupRequest, p *audit.Params) {
			str(p, "path", q.Path)
			str(p, "groupName", q.GroupName)
		},
		Result: func(r *api.CreateGroupResponse, p *audit.Params) {
			var g audit.Params
			str(&g, "groupName", r.Group.GroupName)
			str(&g, "groupId", r.Group.GroupId)
			str(&g, "arn", r.Group.Arn)
			p.Obj("group", &g)
		},
		Plan: func(tx *service.Tx, q *api.CreateGroupRequest, _ []service.Target) (*api.CreateGroupResponse, error) {
			p, err := s.newPrincipal(tx, record.GroupKind, identity.GroupIDPrefix, q.GroupName.V, q.Path, api.Opt[string]{}, nil, groupsPerAccount)
			if err != nil {
				return nil, err
			}
			g := &record.Group{Principal: *p}
			if err := put(tx, g); err != nil {
				return nil, err
			}
			answer := groupAnswer(tx, g)
			return &api.CreateGroupResponse{Group: &answer}, nil
		},
	}.Op("iam")
}

// getGroup lists the group's users, too.
func (s *IAM) getGroup() *service.Op {
	return service.Def[api.GetGroupRequest, api.GetGroupResponse]{
		Name: "GetGroup", Kind: service.Read, Actions: []string{"iam:GetGroup"},
		Resolve: onHolder(groupHolder, "iam:GetGroup", func(q *api.GetGroupRequest) string { return q.GroupName.V }),
		Audit: func(q *api.GetGroupRequest, p *audit.Params) {
			str(p, "groupName", q.GroupName)
			auditPage(p, q.Marker, q.MaxItems)
		},
		Plan: func(tx *service.Tx, q *api.GetGroupRequest, _ []service.Target) (*api.GetGroupResponse, error) {
			g, err := group(tx, q.GroupName.V)
			if err != nil {
				return nil, err
			}
			ids, page, err := scan(tx, "members", record.MembersPrefix(g.Account, g.ID), "", q.Marker, q.MaxItems)
			if err != nil {
				return nil, err
			}
			members, err := service.LookupAll[*record.User](tx, principalKeys(g.Account, record.UserKind, ids))
			if err != nil {
				return nil, err
			}
			users := make([]api.User, len(members))
			for i, u := range members {
				users[i] = userAnswer(tx, u, false)
			}
			answer := groupAnswer(tx, g)
			return &api.GetGroupResponse{Group: &answer, Users: users, IsTruncated: page.IsTruncated, Marker: page.Marker}, nil
		},
	}.Op("iam")
}

// principalKeys are where principals stand.
func principalKeys(account string, kind record.PrincipalKind, ids []string) []string {
	keys := make([]string, len(ids))
	for i, id := range ids {
		keys[i] = record.PrincipalStoreKey(account, kind, id)
	}
	return keys
}

func (s *IAM) updateGroup() *service.Op {
	onGroup := onHolder(groupHolder, "iam:UpdateGroup", func(q *api.UpdateGroupRequest) string { return q.GroupName.V })
	return service.Def[api.UpdateGroupRequest, service.None]{
		Name: "UpdateGroup", Kind: service.Change, Actions: []string{"iam:UpdateGroup"},
		// AWS wants the permission on the group as it is and as it will be.
		Resolve: func(tx *service.Tx, q *api.UpdateGroupRequest) ([]service.Target, error) {
			targets, err := onGroup(tx, q)
			if err != nil || targets[0].Missing != nil {
				return targets, err
			}
			g, err := group(tx, q.GroupName.V)
			if err != nil {
				return nil, err
			}
			path, name := g.Path, g.Name
			if q.NewPath.Set {
				path = q.NewPath.V
			}
			if q.NewGroupName.Set {
				name = q.NewGroupName.V
			}
			return append(targets, target(tx, "iam:UpdateGroup", arnOf(tx, "group", path, name), nil, nil)...), nil
		},
		Audit: func(q *api.UpdateGroupRequest, p *audit.Params) {
			str(p, "groupName", q.GroupName)
			str(p, "newPath", q.NewPath)
			str(p, "newGroupName", q.NewGroupName)
		},
		Plan: func(tx *service.Tx, q *api.UpdateGroupRequest, _ []service.Target) (*service.None, error) {
			g, err := group(tx, q.GroupName.V)
			if err != nil {
				return nil, err
			}
			if err := s.rename(tx, record.GroupKind, &g.Principal, q.NewGroupName); err != nil {
				return nil, err
			}
			if q.NewPath.Set {
				g.Path = q.NewPath.V
			}
			tx.Put(g)
			return &service.None{}, nil
		},
	}.Op("iam")
}

func (s *IAM) deleteGroup() *service.Op {
	return service.Def[api.DeleteGroupRequest, service.None]{
		Name: "DeleteGroup", Kind: service.Change, Actions: []string{"iam:DeleteGroup"},
		Resolve: onHolder(groupHolder, "iam:DeleteGroup", func(q *api.DeleteGroupRequest) string { return q.GroupName.V }),
		Audit:   func(q *api.DeleteGroupRequest, p *audit.Params) { str(p, "groupName", q.GroupName) },
		Plan: func(tx *service.Tx, q *api.DeleteGroupRequest, _ []service.Target) (*service.None, error) {
			g, err := group(tx, q.GroupName.V)
			if err != nil {
				return nil, err
			}
			if err := bare(&g.Principal); err != nil {
				return nil, err
			}
			// Whoever joins meanwhile changes the counter.
			n, err := tx.Counter(record.MemberCounter(g.Account, g.ID))
			if err != nil {
				return nil, err
			}
			if n > 0 {
				return nil, api.Errorf(api.DeleteConflict, "Cannot delete entity, must remove users from group first.")
			}
			tx.Delete(g)
			return &service.None{}, s.removeName(tx, record.GroupKind, &g.Principal)
		},
	}.Op("iam")
}

func (s *IAM) listGroups() *service.Op {
	return service.Def[api.ListGroupsRequest, api.ListGroupsResponse]{
		Name: "ListGroups", Kind: service.Read, Actions: []string{"iam:ListGroups"},
		Resolve: func(tx *service.Tx, q *api.ListGroupsRequest) ([]service.Target, error) {
			return target(tx, "iam:ListGroups", arnOf(tx, "group", q.PathPrefix.V, ""), nil, nil), nil
		},
		Audit: func(q *api.ListGroupsRequest, p *audit.Params) {
			str(p, "pathPrefix", q.PathPrefix)
			auditPage(p, q.Marker, q.MaxItems)
		},
		Plan: func(tx *service.Tx, q *api.ListGroupsRequest, _ []service.Target) (*api.ListGroupsResponse, error) {
			list, page, err := principals[*record.Group](tx, record.GroupKind, q.PathPrefix, q.Marker, q.MaxItems)
			if err != nil {
				return nil, err
			}
			return &api.ListGroupsResponse{Groups: groupAnswers(tx, list), IsTruncated: page.IsTruncated, Marker: page.Marker}, nil
		},
	}.Op("iam")
}
