package iam

import (
	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/audit"
	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/service"
)

func (s *IAM) getMFADevice() *service.Op {
	name := func(q *api.GetMFADeviceRequest) string { return q.UserName.V }
	return service.Def[api.GetMFADeviceRequest, api.GetMFADeviceResponse]{
		Name: "GetMFADevice", Kind: service.Read, Actions: []string{"iam:GetMFADevice"},
		Resolve: onUser("iam:GetMFADevice", name),
		Audit: func(q *api.GetMFADeviceRequest, p *audit.Params) {
			str(p, "serialNumber", q.SerialNumber)
			str(p, "userName", q.UserName)
		},
		Plan: func(tx *service.Tx, q *api.GetMFADeviceRequest, _ []service.Target) (*api.GetMFADeviceResponse, error) {
			u, d, err := s.userDevice(tx, name(q), q.SerialNumber.V)
			if err != nil {
				return nil, err
			}
			return &api.GetMFADeviceResponse{UserName: api.Some(u.Name), SerialNumber: q.SerialNumber, EnableDate: api.Some(d.Enabled)}, nil
		},
	}.Op("iam")
}

func (s *IAM) listMFADevices() *service.Op {
	name := func(q *api.ListMFADevicesRequest) string { return q.UserName.V }
	ofRoot := func(tx *service.Tx, q *api.ListMFADevicesRequest) bool {
		return q.UserName.V == "" && tx.Call.Caller.Type == "Root"
	}
	resolve := onUser("iam:ListMFADevices", name)
	return service.Def[api.ListMFADevicesRequest, api.ListMFADevicesResponse]{
		Name: "ListMFADevices", Kind: service.Read, Actions: []string{"iam:ListMFADevices"},
		Resolve: func(tx *service.Tx, q *api.ListMFADevicesRequest) ([]service.Target, error) {
			if ofRoot(tx, q) {
				return target(tx, "iam:ListMFADevices", tx.Call.Caller.ARN, nil, nil), nil
			}
			return resolve(tx, q)
		},
		Audit: func(q *api.ListMFADevicesRequest, p *audit.Params) {
			str(p, "userName", q.UserName)
			auditPage(p, q.Marker, q.MaxItems)
		},
		Plan: func(tx *service.Tx, q *api.ListMFADevicesRequest, _ []service.Target) (*api.ListMFADevicesResponse, error) {
			if ofRoot(tx, q) {
				return &api.ListMFADevicesResponse{MFADevices: []api.MFADevice{}, IsTruncated: api.Some(false)}, nil
			}
			u, err := s.user(tx, name(q))
			if err != nil {
				return nil, err
			}
			list, page, err := devices(tx, record.UserDevicesPrefix(u.Account, u.ID), q.Marker, q.MaxItems)
			if err != nil {
				return nil, err
			}
			answer := make([]api.MFADevice, len(list))
			for i, d := range list {
				answer[i] = api.MFADevice{
					UserName: api.Some(u.Name), SerialNumber: api.Some(moved(tx, d.SerialNumber())), EnableDate: api.Some(d.Enabled),
				}
			}
			return &api.ListMFADevicesResponse{MFADevices: answer, IsTruncated: page.IsTruncated, Marker: page.Marker}, nil
		},
	}.Op("iam")
}

// devices returns a page of an account's devices, sorted by name: those whose folded names stand below base.
func devices(tx *service.Tx, base string, marker api.Opt[string], maxItems api.Opt[int64]) ([]*record.MFADevice, paging, error) {
	names, page, err := scan(tx, "mfa", base, "", marker, maxItems)
	if err != nil {
		return nil, paging{}, err
	}
	keys := make([]string, len(names))
	for i, name := range names {
		keys[i] = record.MFADeviceStoreKey(account(tx), name)
	}
	list, err := service.LookupAll[*record.MFADevice](tx, keys)
	return list, page, err
}

// listVirtualMFADevices looks at a page of all devices, and answers those of it that are asked for: AWS, too, says that there may be fewer than
// MaxItems where more follow.
func (s *IAM) listVirtualMFADevices() *service.Op {
	return service.Def[api.ListVirtualMFADevicesRequest, api.ListVirtualMFADevicesResponse]{
		Name: "ListVirtualMFADevices", Kind: service.Read, Actions: []string{"iam:ListVirtualMFADevices"},
		Resolve: func(tx *service.Tx, _ *api.ListVirtualMFADevicesRequest) ([]service.Target, error) {
			return target(tx, "iam:ListVirtualMFADevices", arnOf(tx, "mfa", "", ""), nil, nil), nil
		},
		Audit: func(q *api.ListVirtualMFADevicesRequest, p *audit.Params) {
			str(p, "assignmentStatus", q.AssignmentStatus)
			auditPage(p, q.Marker, q.MaxItems)
		},
		Plan: func(tx *service.Tx, q *api.ListVirtualMFADevicesRequest, _ []service.Target) (*api.ListVirtualMFADevicesResponse, error) {
			list, page, err := devices(tx, record.MFADevicesPrefix(account(tx)), q.Marker, q.MaxItems)
			if err != nil {
				return nil, err
			}
			users, err := owners(tx, list)
			if err != nil {
				return nil, err
			}
			answer := []api.VirtualMFADevice{}
			for _, d := range list {
				if hasStatus(d, q.AssignmentStatus) {
					answer = append(answer, virtualDevice(tx, d, users[d.UserID]))
				}
			}
			return &api.ListVirtualMFADevicesResponse{VirtualMFADevices: answer, IsTruncated: page.IsTruncated, Marker: page.Marker}, nil
		},
	}.Op("iam")
}

func hasStatus(d *record.MFADevice, status api.Opt[api.AssignmentStatusType]) bool {
	switch status.V {
	case api.AssignmentStatusTypeAssigned:
		return d.UserID != ""
	case api.AssignmentStatusTypeUnassigned:
		return d.UserID == ""
	}
	return true
}

// owners are the users that devices are enabled for, by their IDs.
func owners(tx *service.Tx, list []*record.MFADevice) (map[string]*record.User, error) {
	var keys []string
	seen := make(map[string]*record.User)
	for _, d := range list {
		if _, ok := seen[d.UserID]; !ok && d.UserID != "" {
			seen[d.UserID] = nil
			keys = append(keys, record.PrincipalStoreKey(d.Account, record.UserKind, d.UserID))
		}
	}
	users, err := service.LookupAll[*record.User](tx, keys)
	for _, u := range users {
		seen[u.ID] = u
	}
	return seen, err
}

// virtualDevice is a device as lists have it: without its secret.
func virtualDevice(tx *service.Tx, d *record.MFADevice, owner *record.User) api.VirtualMFADevice {
	answer := api.VirtualMFADevice{SerialNumber: api.Some(moved(tx, d.SerialNumber()))}
	if d.UserID != "" {
		answer.EnableDate = api.Some(d.Enabled)
	}
	if owner != nil {
		u := userAnswer(tx, owner, false)
		answer.User = &u
	}
	return answer
}

func (s *IAM) tagMFADevice() *service.Op {
	conds := requestTags(func(q *api.TagMFADeviceRequest) []api.IamTag { return q.Tags })
	serial := func(q *api.TagMFADeviceRequest) string { return q.SerialNumber.V }
	return service.Def[api.TagMFADeviceRequest, service.None]{
		Name: "TagMFADevice", Kind: service.Change, Actions: []string{"iam:TagMFADevice"},
		Cond: conds.Cond(), CondKeys: conds.Names(),
		Resolve: onDevice("iam:TagMFADevice", serial),
		Audit: func(q *api.TagMFADeviceRequest, p *audit.Params) {
			str(p, "serialNumber", q.SerialNumber)
			auditTags(p, q.Tags)
		},
		Plan: func(tx *service.Tx, q *api.TagMFADeviceRequest, _ []service.Target) (*service.None, error) {
			d, err := device(tx, serial(q))
			if err != nil {
				return nil, err
			}
			if d.Tags, err = addTags(d.Tags, q.Tags); err != nil {
				return nil, err
			}
			tx.Put(d)
			return &service.None{}, nil
		},
	}.Op("iam")
}

func (s *IAM) untagMFADevice() *service.Op {
	conds := service.Conditions[api.UntagMFADeviceRequest]{tagKeys(func(q *api.UntagMFADeviceRequest) []string { return q.TagKeys })}
	serial := func(q *api.UntagMFADeviceRequest) string { return q.SerialNumber.V }
	return service.Def[api.UntagMFADeviceRequest, service.None]{
		Name: "UntagMFADevice", Kind: service.Change, Actions: []string{"iam:UntagMFADevice"},
		Cond: conds.Cond(), CondKeys: conds.Names(),
		Resolve: onDevice("iam:UntagMFADevice", serial),
		Audit: func(q *api.UntagMFADeviceRequest, p *audit.Params) {
			str(p, "serialNumber", q.SerialNumber)
			p.StrList("tagKeys", q.TagKeys)
		},
		Plan: func(tx *service.Tx, q *api.UntagMFADeviceRequest, _ []service.Target) (*service.None, error) {
			d, err := device(tx, serial(q))
			if err != nil {
				return nil, err
			}
			if d.Tags, err = removeTags(d.Tags, q.TagKeys); err != nil {
				return nil, err
			}
			tx.Put(d)
			return &service.None{}, nil
		},
	}.Op("iam")
}

func (s *IAM) listMFADeviceTags() *service.Op {
	serial := func(q *api.ListMFADeviceTagsRequest) string { return q.SerialNumber.V }
	return service.Def[api.ListMFADeviceTagsRequest, api.ListMFADeviceTagsResponse]{
		Name: "ListMFADeviceTags", Kind: service.Read, Actions: []string{"iam:ListMFADeviceTags"},
		Resolve: onDevice("iam:ListMFADeviceTags", serial),
		Audit: func(q *api.ListMFADeviceTagsRequest, p *audit.Params) {
			str(p, "serialNumber", q.SerialNumber)
			auditPage(p, q.Marker, q.MaxItems)
		},
		Plan: func(tx *service.Tx, q *api.ListMFADeviceTagsRequest, _ []service.Target) (*api.ListMFADeviceTagsResponse, error) {
			d, err := device(tx, serial(q))
			if err != nil {
				return nil, err
			}
			tags, page, err := slice("tags", tagsOf(d.Tags), q.Marker, q.MaxItems)
			return &api.ListMFADeviceTagsResponse{Tags: tags, IsTruncated: page.IsTruncated, Marker: page.Marker}, err
		},
	}.Op("iam")
}
