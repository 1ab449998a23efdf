package iam

import (
	"slices"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/audit"
	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/service"
)

// membership is what a request says of a user and a group.
type membership struct {
	group, user api.Opt[string]
}

func (m membership) audit(p *audit.Params) {
	str(p, "groupName", m.group)
	str(p, "userName", m.user)
}

// onMembership resolves the group, on which the permission is needed. That the user is missing is told first, as AWS does.
func onMembership[Q any](action string, of func(*Q) membership) func(*service.Tx, *Q) ([]service.Target, error) {
	onGroup := onHolder(groupHolder, action, func(q *Q) string { return of(q).group.V })
	return func(tx *service.Tx, q *Q) ([]service.Target, error) {
		targets, err := onGroup(tx, q)
		if err != nil {
			return nil, err
		}
		u, err := userByName(tx, of(q).user.V)
		if err == nil && u == nil {
			targets[0].Missing = noSuch("user", of(q).user.V)
		}
		return targets, err
	}
}

// changeMembership is AddUserToGroup and RemoveUserFromGroup, neither of which minds that there is nothing to do.
func changeMembership[Q any](name string, of func(*Q) membership, change func(*record.User, *record.Group) error) *service.Op {
	return service.Def[Q, service.None]{
		Name: name, Kind: service.Change, Actions: []string{"iam:" + name},
		Resolve: onMembership("iam:"+name, of),
		Audit:   func(q *Q, p *audit.Params) { of(q).audit(p) },
		Plan: func(tx *service.Tx, q *Q, _ []service.Target) (*service.None, error) {
			u, err := userByName(tx, of(q).user.V)
			if err == nil && u == nil {
				err = noSuch("user", of(q).user.V)
			}
			if err != nil {
				return nil, err
			}
			g, err := group(tx, of(q).group.V)
			if err != nil {
				return nil, err
			}
			before := len(u.Groups)
			if err := change(u, g); err != nil {
				return nil, err
			}
			if len(u.Groups) != before {
				tx.Put(u)
			}
			return &service.None{}, nil
		},
	}.Op("iam")
}

func (s *IAM) addUserToGroup() *service.Op {
	of := func(q *api.AddUserToGroupRequest) membership { return membership{q.GroupName, q.UserName} }
	return changeMembership("AddUserToGroup", of, func(u *record.User, g *record.Group) error {
		if slices.Contains(u.Groups, g.ID) {
			return nil
		}
		if len(u.Groups) >= groupsPerUser {
			return tooMany("GroupsPerUser", groupsPerUser)
		}
		u.Groups = append(u.Groups, g.ID)
		return nil
	})
}

func (s *IAM) removeUserFromGroup() *service.Op {
	of := func(q *api.RemoveUserFromGroupRequest) membership { return membership{q.GroupName, q.UserName} }
	return changeMembership("RemoveUserFromGroup", of, func(u *record.User, g *record.Group) error {
		u.Groups = slices.DeleteFunc(u.Groups, func(id string) bool { return id == g.ID })
		return nil
	})
}

func (s *IAM) listGroupsForUser() *service.Op {
	return service.Def[api.ListGroupsForUserRequest, api.ListGroupsForUserResponse]{
		Name: "ListGroupsForUser", Kind: service.Read, Actions: []string{"iam:ListGroupsForUser"},
		Resolve: onUser("iam:ListGroupsForUser", func(q *api.ListGroupsForUserRequest) string { return q.UserName.V }),
		Audit: func(q *api.ListGroupsForUserRequest, p *audit.Params) {
			str(p, "userName", q.UserName)
			auditPage(p, q.Marker, q.MaxItems)
		},
		Plan: func(tx *service.Tx, q *api.ListGroupsForUserRequest, _ []service.Target) (*api.ListGroupsForUserResponse, error) {
			u, err := s.user(tx, q.UserName.V)
			if err != nil {
				return nil, err
			}
			ids, page, err := slice("groups", u.Groups, q.Marker, q.MaxItems)
			if err != nil {
				return nil, err
			}
			groups, err := service.LookupAll[*record.Group](tx, principalKeys(u.Account, record.GroupKind, ids))
			if err != nil {
				return nil, err
			}
			return &api.ListGroupsForUserResponse{Groups: groupAnswers(tx, groups), IsTruncated: page.IsTruncated, Marker: page.Marker}, nil
		},
	}.Op("iam")
}
