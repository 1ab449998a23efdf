package iam

import (
	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/audit"
	"github.com/keyturn/keyturn/internal/identity"
	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/service"
)

func (s *IAM) userOperations() []*service.Op {
	return []*service.Op{s.createUser(), s.getUser(), s.updateUser(), s.deleteUser(), s.listUsers(), s.tagUser(), s.untagUser(), s.listUserTags()}
}

// userAnswer is a user as answers have it. Tags and boundary are left out of lists.
func userAnswer(tx *service.Tx, u *record.User, whole bool) api.User {
	answer := api.User{
		Path: api.Some(u.Path), UserName: api.Some(u.Name), UserId: api.Some(u.ID), CreateDate: api.Some(u.Created),
		Arn: api.Some(identity.PrincipalARN(partition(tx), record.UserKind, &u.Principal)),
	}
	if whole {
		answer.PermissionsBoundary = boundaryAnswer(tx, u.Boundary)
		if len(u.Tags) > 0 {
			answer.Tags = tagsOf(u.Tags)
		}
	}
	return answer
}

// boundaryType is what AWS answers, and says so ("AttachedPermissionsBoundary", IAM API Reference); its models have another value.
const boundaryType api.PermissionsBoundaryAttachmentType = "Policy"

func boundaryAnswer(tx *service.Tx, arn string) *api.AttachedPermissionsBoundary {
	if arn == "" {
		return nil
	}
	return &api.AttachedPermissionsBoundary{
		PermissionsBoundaryType: api.Some(boundaryType), PermissionsBoundaryArn: api.Some(moved(tx, arn)),
	}
}

// rootAnswer is the root user, which GetUser tells its own credentials.
func rootAnswer(tx *service.Tx) api.User {
	c := tx.Call.Caller
	return api.User{UserId: api.Some(c.Account), Arn: api.Some(c.ARN), CreateDate: api.Some(tx.Now), Path: api.Some("/"), UserName: api.Some("root")}
}

func (s *IAM) createUser() *service.Op {
	conds := append(requestTags(func(q *api.CreateUserRequest) []api.IamTag { return q.Tags }),
		text("iam:PermissionsBoundary", func(q *api.CreateUserRequest) string { return q.PermissionsBoundary.V }))
	return service.Def[api.CreateUserRequest, api.CreateUserResponse]{
		Name: "CreateUser", Kind: service.Change, Actions: []string{"iam:CreateUser", "iam:TagUser"},
		Cond: conds.Cond(), CondKeys: conds.Names(),
		Resolve: func(tx *service.Tx, q *api.CreateUserRequest) ([]service.Target, error) {
			arn := arnOf(tx, "user", q.Path.V, q.UserName.V)
			targets := target(tx, "iam:CreateUser", arn, nil, nil)
			if len(q.Tags) > 0 {
				targets = append(targets, target(tx, "iam:TagUser", arn, nil, nil)...)
			}
			return targets, nil
		},
		Audit: func(q *api.CreateUserRequest, p *audit.Params) {
			str(p, "path", q.Path)
			str(p, "userName", q.UserName)
			str(p, "permissionsBoundary", q.PermissionsBoundary)
			auditTags(p, q.Tags)
		},
		Result: func(r *api.CreateUserResponse, p *audit.Params) {
			var u audit.Params
			str(&u, "userName", r.User.UserName)
			str(&u, "userId", r.User.UserId)
			str(&u, "arn", r.User.Arn)
			p.Obj("user", &u)
		},
		Plan: func(tx *service.Tx, q *api.CreateUserRequest, _ []service.Target) (*api.CreateUserResponse, error) {
			p, err := s.newPrincipal(tx, record.UserKind, identity.UserIDPrefix, q.UserName.V, q.Path, q.PermissionsBoundary, q.Tags, usersPerAccount)
			if err != nil {
				return nil, err
			}
			u := &record.User{Principal: *p}
			if err := put(tx, u); err != nil {
				return nil, err
			}
			answer := userAnswer(tx, u, true)
			return &api.CreateUserResponse{User: &answer}, nil
		},
	}.Op("iam")
}

// quotaNames are how quotas on principals are called.
var quotaNames = map[record.PrincipalKind]string{record.UserKind: "UsersPerAccount", record.GroupKind: "GroupsPerAccount", record.RoleKind: "RolesPerAccount"}

// titles are how kinds are called at the beginning of a message.
var titles = map[record.PrincipalKind]string{record.UserKind: "User", record.GroupKind: "Group", record.RoleKind: "Role"}

// newPrincipal makes what users, groups and roles have in common, and takes the name. The principal is for the caller to put.
func (s *IAM) newPrincipal(tx *service.Tx, kind record.PrincipalKind, idPrefix, name string, path, boundary api.Opt[string], tags []api.IamTag, quota int) (*record.Principal, error) {
	if err := s.takeName(tx, kind, name); err != nil {
		return nil, err
	}
	n, err := tx.Counter(record.PrincipalCounter(account(tx), kind))
	if err != nil {
		return nil, err
	}
	if n >= int64(quota) {
		return nil, tooMany(quotaNames[kind], quota)
	}
	// A retry after a conflict has another ID, but nobody has seen the first one.
	p := &record.Principal{Account: account(tx), ID: identity.NewUniqueID(idPrefix), Name: name, Path: "/", Created: tx.Now}
	if path.V != "" {
		p.Path = path.V
	}
	if p.Tags, err = addTags(nil, tags); err != nil {
		return nil, err
	}
	if boundary.V != "" {
		if p.Boundary, err = s.attachable(tx, boundary.V); err != nil {
			return nil, err
		}
	}
	tx.Put(&record.Name{Account: p.Account, Kind: kind, Name: name, ID: p.ID})
	return p, nil
}

// takeName refuses a name that is taken.
func (s *IAM) takeName(tx *service.Tx, kind record.PrincipalKind, name string) error {
	n, err := lookup[*record.Name](tx, record.NameStoreKey(account(tx), kind, name))
	if err != nil {
		return err
	}
	if n != nil || kind == record.UserKind && s.config.Directory.IsConfigured(account(tx), name) {
		return exists(titles[kind], name)
	}
	return nil
}

// put writes a record that may be new.
func put(tx *service.Tx, r record.Record) error {
	if _, err := lookup[record.Record](tx, r.StoreKey()); err != nil {
		return err
	}
	tx.Put(r)
	return nil
}

// attachable returns the ARN of a managed policy as it is stored, and makes the commit depend on the policy being there.
func (s *IAM) attachable(tx *service.Tx, arn string) (string, error) {
	missing := api.Errorf(api.NoSuchEntity, "Policy %s does not exist or is not attachable.", arn)
	p, err := parsePolicyARN(tx, arn)
	if err != nil {
		return "", err
	}
	own := p.Own()
	if identity.ManagedByARN(own) != nil {
		return own, nil
	}
	if p.Account != account(tx) {
		return "", missing
	}
	r, err := lookup[*record.ManagedPolicy](tx, record.PolicyStoreKey(p.Account, p.Name))
	if err != nil {
		return "", err
	}
	if r == nil || r.ARN() != own {
		return "", missing
	}
	return own, nil
}

func (s *IAM) getUser() *service.Op {
	name := func(q *api.GetUserRequest) string { return q.UserName.V }
	resolve := onUser("iam:GetUser", name)
	return service.Def[api.GetUserRequest, api.GetUserResponse]{
		Name: "GetUser", Kind: service.Read, Actions: []string{"iam:GetUser"},
		Resolve: func(tx *service.Tx, q *api.GetUserRequest) ([]service.Target, error) {
			if q.UserName.V == "" && tx.Call.Caller.Type == "Root" {
				return target(tx, "iam:GetUser", tx.Call.Caller.ARN, nil, nil), nil
			}
			return resolve(tx, q)
		},
		Audit: func(q *api.GetUserRequest, p *audit.Params) { str(p, "userName", q.UserName) },
		Plan: func(tx *service.Tx, q *api.GetUserRequest, _ []service.Target) (*api.GetUserResponse, error) {
			if q.UserName.V == "" && tx.Call.Caller.Type == "Root" {
				answer := rootAnswer(tx)
				return &api.GetUserResponse{User: &answer}, nil
			}
			u, err := s.user(tx, name(q))
			if err != nil {
				return nil, err
			}
			answer := userAnswer(tx, u, true)
			return &api.GetUserResponse{User: &answer}, nil
		},
	}.Op("iam")
}

// user returns the user that a call is about, which resolving has found.
func (s *IAM) user(tx *service.Tx, name string) (*record.User, error) {
	name, err := userOrCaller(tx, name)
	if err != nil {
		return nil, err
	}
	u, err := userByName(tx, name)
	if err == nil && u == nil {
		return nil, noSuch("user", name)
	}
	return u, err
}

func (s *IAM) updateUser() *service.Op {
	return service.Def[api.UpdateUserRequest, service.None]{
		Name: "UpdateUser", Kind: service.Change, Actions: []string{"iam:UpdateUser"},
		// AWS wants the permission on the user as it is and as it will be.
		Resolve: func(tx *service.Tx, q *api.UpdateUserRequest) ([]service.Target, error) {
			targets, err := onUser("iam:UpdateUser", func(q *api.UpdateUserRequest) string { return q.UserName.V })(tx, q)
			if err != nil || targets[0].Missing != nil {
				return targets, err
			}
			u, err := s.user(tx, q.UserName.V)
			if err != nil {
				return nil, err
			}
			path, name := u.Path, u.Name
			if q.NewPath.Set {
				path = q.NewPath.V
			}
			if q.NewUserName.Set {
				name = q.NewUserName.V
			}
			return append(targets, target(tx, "iam:UpdateUser", arnOf(tx, "user", path, name), u.Tags, nil)...), nil
		},
		Audit: func(q *api.UpdateUserRequest, p *audit.Params) {
			str(p, "userName", q.UserName)
			str(p, "newPath", q.NewPath)
			str(p, "newUserName", q.NewUserName)
		},
		Plan: func(tx *service.Tx, q *api.UpdateUserRequest, _ []service.Target) (*service.None, error) {
			u, err := s.user(tx, q.UserName.V)
			if err != nil {
				return nil, err
			}
			if err := s.rename(tx, record.UserKind, &u.Principal, q.NewUserName); err != nil {
				return nil, err
			}
			if q.NewPath.Set {
				u.Path = q.NewPath.V
			}
			tx.Put(u)
			return &service.None{}, nil
		},
	}.Op("iam")
}

// rename gives a principal another name. The principal is for the caller to put.
func (s *IAM) rename(tx *service.Tx, kind record.PrincipalKind, p *record.Principal, to api.Opt[string]) error {
	if !to.Set || to.V == p.Name {
		return nil
	}
	if record.FoldName(to.V) != record.FoldName(p.Name) {
		if err := s.takeName(tx, kind, to.V); err != nil {
			return err
		}
		old, err := lookup[*record.Name](tx, record.NameStoreKey(p.Account, kind, p.Name))
		if err != nil {
			return err
		}
		if old != nil {
			tx.Delete(old)
		}
	}
	name := &record.Name{Account: p.Account, Kind: kind, Name: to.V, ID: p.ID}
	p.Name = to.V
	return put(tx, name)
}

// remove deletes a principal's name.
func (s *IAM) removeName(tx *service.Tx, kind record.PrincipalKind, p *record.Principal) error {
	n, err := lookup[*record.Name](tx, record.NameStoreKey(p.Account, kind, p.Name))
	if err == nil && n != nil {
		tx.Delete(n)
	}
	return err
}

// bare refuses to delete a principal that has policies, in AWS's words.
func bare(p *record.Principal) error {
	switch {
	case len(p.Attached) > 0:
		return api.Errorf(api.DeleteConflict, "Cannot delete entity, must detach all policies first.")
	case len(p.Inline) > 0:
		return api.Errorf(api.DeleteConflict, "Cannot delete entity, must delete policies first.")
	}
	return nil
}

func (s *IAM) deleteUser() *service.Op {
	return service.Def[api.DeleteUserRequest, service.None]{
		Name: "DeleteUser", Kind: service.Change, Actions: []string{"iam:DeleteUser"},
		Resolve: onUser("iam:DeleteUser", func(q *api.DeleteUserRequest) string { return q.UserName.V }),
		Audit:   func(q *api.DeleteUserRequest, p *audit.Params) { str(p, "userName", q.UserName) },
		Plan: func(tx *service.Tx, q *api.DeleteUserRequest, _ []service.Target) (*service.None, error) {
			u, err := s.user(tx, q.UserName.V)
			if err != nil {
				return nil, err
			}
			if err := bare(&u.Principal); err != nil {
				return nil, err
			}
			if len(u.Groups) > 0 {
				return nil, api.Errorf(api.DeleteConflict, "Cannot delete entity, must remove users from group first.")
			}
			for _, c := range []struct{ counter, message string }{
				{record.AccessKeyCounter(u.Account, u.ID), "Cannot delete entity, must delete access keys first."},
				{record.UserDeviceCounter(u.Account, u.ID), "Cannot delete entity, must delete MFA device first."},
			} {
				n, err := tx.Counter(c.counter)
				if err != nil {
					return nil, err
				}
				if n > 0 {
					return nil, api.Errorf(api.DeleteConflict, "%s", c.message)
				}
			}
			tx.Delete(u)
			return &service.None{}, s.removeName(tx, record.UserKind, &u.Principal)
		},
	}.Op("iam")
}

func (s *IAM) listUsers() *service.Op {
	return service.Def[api.ListUsersRequest, api.ListUsersResponse]{
		Name: "ListUsers", Kind: service.Read, Actions: []string{"iam:ListUsers"},
		Resolve: func(tx *service.Tx, q *api.ListUsersRequest) ([]service.Target, error) {
			return target(tx, "iam:ListUsers", arnOf(tx, "user", q.PathPrefix.V, ""), nil, nil), nil
		},
		Audit: func(q *api.ListUsersRequest, p *audit.Params) {
			str(p, "pathPrefix", q.PathPrefix)
			auditPage(p, q.Marker, q.MaxItems)
		},
		Plan: func(tx *service.Tx, q *api.ListUsersRequest, _ []service.Target) (*api.ListUsersResponse, error) {
			list, page, err := principals[*record.User](tx, record.UserKind, q.PathPrefix, q.Marker, q.MaxItems)
			if err != nil {
				return nil, err
			}
			users := make([]api.User, len(list))
			for i, u := range list {
				users[i] = userAnswer(tx, u, false)
			}
			return &api.ListUsersResponse{Users: users, IsTruncated: page.IsTruncated, Marker: page.Marker}, nil
		},
	}.Op("iam")
}

// principals returns a page of an account's principals of a kind, sorted by path and name.
func principals[T record.Record](tx *service.Tx, kind record.PrincipalKind, pathPrefix, marker api.Opt[string], maxItems api.Opt[int64]) ([]T, paging, error) {
	entries, page, err := scan(tx, string(kind), record.PathsPrefix(account(tx), kind), pathPrefix.V, marker, maxItems)
	if err != nil {
		return nil, paging{}, err
	}
	entries = inPath(entries, pathPrefix.V)
	keys := make([]string, len(entries))
	for i, e := range entries {
		keys[i] = record.PrincipalStoreKey(account(tx), kind, record.ParsePathEntry(e))
	}
	list, err := service.LookupAll[T](tx, keys)
	return list, page, err
}

func (s *IAM) tagUser() *service.Op {
	conds := requestTags(func(q *api.TagUserRequest) []api.IamTag { return q.Tags })
	return service.Def[api.TagUserRequest, service.None]{
		Name: "TagUser", Kind: service.Change, Actions: []string{"iam:TagUser"},
		Cond: conds.Cond(), CondKeys: conds.Names(),
		Resolve: onUser("iam:TagUser", func(q *api.TagUserRequest) string { return q.UserName.V }),
		Audit: func(q *api.TagUserRequest, p *audit.Params) {
			str(p, "userName", q.UserName)
			auditTags(p, q.Tags)
		},
		Plan: func(tx *service.Tx, q *api.TagUserRequest, _ []service.Target) (*service.None, error) {
			u, err := s.user(tx, q.UserName.V)
			if err != nil {
				return nil, err
			}
			if u.Tags, err = addTags(u.Tags, q.Tags); err != nil {
				return nil, err
			}
			tx.Put(u)
			return &service.None{}, nil
		},
	}.Op("iam")
}

func (s *IAM) untagUser() *service.Op {
	conds := service.Conditions[api.UntagUserRequest]{tagKeys(func(q *api.UntagUserRequest) []string { return q.TagKeys })}
	return service.Def[api.UntagUserRequest, service.None]{
		Name: "UntagUser", Kind: service.Change, Actions: []string{"iam:UntagUser"},
		Cond: conds.Cond(), CondKeys: conds.Names(),
		Resolve: onUser("iam:UntagUser", func(q *api.UntagUserRequest) string { return q.UserName.V }),
		Audit: func(q *api.UntagUserRequest, p *audit.Params) {
			str(p, "userName", q.UserName)
			p.StrList("tagKeys", q.TagKeys)
		},
		Plan: func(tx *service.Tx, q *api.UntagUserRequest, _ []service.Target) (*service.None, error) {
			u, err := s.user(tx, q.UserName.V)
			if err != nil {
				return nil, err
			}
			if u.Tags, err = removeTags(u.Tags, q.TagKeys); err != nil {
				return nil, err
			}
			tx.Put(u)
			return &service.None{}, nil
		},
	}.Op("iam")
}

func (s *IAM) listUserTags() *service.Op {
	return service.Def[api.ListUserTagsRequest, api.ListUserTagsResponse]{
		Name: "ListUserTags", Kind: service.Read, Actions: []string{"iam:ListUserTags"},
		Resolve: onUser("iam:ListUserTags", func(q *api.ListUserTagsRequest) string { return q.UserName.V }),
		Audit: func(q *api.ListUserTagsRequest, p *audit.Params) {
			str(p, "userName", q.UserName)
			auditPage(p, q.Marker, q.MaxItems)
		},
		Plan: func(tx *service.Tx, q *api.ListUserTagsRequest, _ []service.Target) (*api.ListUserTagsResponse, error) {
			u, err := s.user(tx, q.UserName.V)
			if err != nil {
				return nil, err
			}
			tags, page, err := slice("tags", tagsOf(u.Tags), q.Marker, q.MaxItems)
			return &api.ListUserTagsResponse{Tags: tags, IsTruncated: page.IsTruncated, Marker: page.Marker}, err
		},
	}.Op("iam")
}
