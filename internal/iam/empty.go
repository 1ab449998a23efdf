package iam

import (
	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/audit"
	"github.com/keyturn/keyturn/internal/service"
)

// Users have no passwords, SSH keys, signing certificates and credentials of single services here. Tools ask for them nevertheless before
// they delete a user, and are told so.

func (s *IAM) emptyOperations() []*service.Op {
	none := nextPage("none", "")
	return []*service.Op{
		ofUser(s, service.Read, "ListSSHPublicKeys", func(q *api.ListSSHPublicKeysRequest) api.Opt[string] { return q.UserName },
			func(string) (*api.ListSSHPublicKeysResponse, error) {
				return &api.ListSSHPublicKeysResponse{SSHPublicKeys: []api.SSHPublicKeyMetadata{}, IsTruncated: none.IsTruncated}, nil
			}),
		ofUser(s, service.Read, "ListSigningCertificates", func(q *api.ListSigningCertificatesRequest) api.Opt[string] { return q.UserName },
			func(string) (*api.ListSigningCertificatesResponse, error) {
				return &api.ListSigningCertificatesResponse{Certificates: []api.SigningCertificate{}, IsTruncated: none.IsTruncated}, nil
			}),
		s.listServiceSpecificCredentials(none),
		ofUser(s, service.Read, "GetLoginProfile", func(q *api.GetLoginProfileRequest) api.Opt[string] { return q.UserName },
			func(user string) (*api.GetLoginProfileResponse, error) { return nil, noLoginProfile(user) }),
		ofUser(s, service.Change, "DeleteLoginProfile", func(q *api.DeleteLoginProfileRequest) api.Opt[string] { return q.UserName },
			func(user string) (*service.None, error) { return nil, noLoginProfile(user) }),
	}
}

func noLoginProfile(user string) error {
	return api.Errorf(api.NoSuchEntity, "Login Profile for User %s cannot be found.", user)
}

// ofUser is an operation whose answer depends on nothing but that there is the user, by default the caller.
func ofUser[Q, R any](s *IAM, kind service.Kind, name string, of func(*Q) api.Opt[string], answer func(user string) (*R, error)) *service.Op {
	return service.Def[Q, R]{
		Name: name, Kind: kind, Actions: []string{"iam:" + name},
		Resolve: onUser("iam:"+name, func(q *Q) string { return of(q).V }),
		Audit:   func(q *Q, p *audit.Params) { str(p, "userName", of(q)) },
		Plan: func(tx *service.Tx, q *Q, _ []service.Target) (*R, error) {
			u, err := s.user(tx, of(q).V)
			if err != nil {
				return nil, err
			}
			return answer(u.Name)
		},
	}.Op("iam")
}

// listServiceSpecificCredentials may be about all users.
func (s *IAM) listServiceSpecificCredentials(none paging) *service.Op {
	const action = "iam:ListServiceSpecificCredentials"
	onOne := onUser(action, func(q *api.ListServiceSpecificCredentialsRequest) string { return q.UserName.V })
	return service.Def[api.ListServiceSpecificCredentialsRequest, api.ListServiceSpecificCredentialsResponse]{
		Name: "ListServiceSpecificCredentials", Kind: service.Read, Actions: []string{action},
		Resolve: func(tx *service.Tx, q *api.ListServiceSpecificCredentialsRequest) ([]service.Target, error) {
			if q.AllUsers.V && !q.UserName.Set {
				return target(tx, action, arnOf(tx, "user", "", "*"), nil, nil), nil
			}
			return onOne(tx, q)
		},
		Audit: func(q *api.ListServiceSpecificCredentialsRequest, p *audit.Params) {
			str(p, "userName", q.UserName)
			str(p, "serviceName", q.ServiceName)
			if q.AllUsers.Set {
				p.Bool("allUsers", q.AllUsers.V)
			}
		},
		Plan: func(*service.Tx, *api.ListServiceSpecificCredentialsRequest, []service.Target) (*api.ListServiceSpecificCredentialsResponse, error) {
			return &api.ListServiceSpecificCredentialsResponse{
				ServiceSpecificCredentials: []api.ServiceSpecificCredentialMetadata{}, IsTruncated: none.IsTruncated,
			}, nil
		},
	}.Op("iam")
}
