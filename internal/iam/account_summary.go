package iam

import (
	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/service"
)

// summaryQuotas are the quotas and the fixed numbers that GetAccountSummary answers: AWS's defaults ("IAM and AWS STS quotas", IAM User
// Guide). Of what is not here, as server certificates, there is none, and so no quota is left to tell.
var summaryQuotas = map[api.SummaryKeyType]int64{
	api.SummaryKeyTypeUsersQuota:                    usersPerAccount,
	api.SummaryKeyTypeGroupsQuota:                   groupsPerAccount,
	api.SummaryKeyTypeRolesQuota:                    rolesPerAccount,
	api.SummaryKeyTypePoliciesQuota:                 policiesPerAccount,
	api.SummaryKeyTypeGroupsPerUserQuota:            groupsPerUser,
	api.SummaryKeyTypeAccessKeysPerUserQuota:        keysPerUser,
	api.SummaryKeyTypeUserPolicySizeQuota:           inlineBytesPerUser,
	api.SummaryKeyTypeGroupPolicySizeQuota:          inlineBytesPerGroup,
	api.SummaryKeyTypeRolePolicySizeQuota:           inlineBytesPerRole,
	api.SummaryKeyTypeAssumeRolePolicySizeQuota:     trustPolicyBytes,
	api.SummaryKeyTypePolicySizeQuota:               managedPolicyBytes,
	api.SummaryKeyTypeVersionsPerPolicyQuota:        versionsPerPolicy,
	api.SummaryKeyTypePolicyVersionsInUseQuota:      10000,
	api.SummaryKeyTypeAttachedPoliciesPerUserQuota:  managedPerPrincipal,
	api.SummaryKeyTypeAttachedPoliciesPerGroupQuota: managedPerPrincipal,
	api.SummaryKeyTypeAttachedPoliciesPerRoleQuota:  managedPerPrincipal,

	api.SummaryKeyTypeAccountPasswordPresent:            0, // nobody signs in with one
	api.SummaryKeyTypeAccountSigningCertificatesPresent: 0,
	api.SummaryKeyTypeServerCertificates:                0,
	api.SummaryKeyTypeInstanceProfiles:                  0,
	api.SummaryKeyTypeGlobalEndpointTokenVersion:        2, // session tokens are good in every Region
}

// summaryCounters are the counters of what an account has.
func summaryCounters(account string) map[api.SummaryKeyType]string {
	return map[api.SummaryKeyType]string{
		api.SummaryKeyTypeUsers:               record.PrincipalCounter(account, record.UserKind),
		api.SummaryKeyTypeGroups:              record.PrincipalCounter(account, record.GroupKind),
		api.SummaryKeyTypeRoles:               record.PrincipalCounter(account, record.RoleKind),
		api.SummaryKeyTypePolicies:            record.PolicyCounter(account),
		api.SummaryKeyTypePolicyVersionsInUse: record.PolicyVersionCounter(account),
		api.SummaryKeyTypeProviders:           record.OIDCProviderCounter(account),
		api.SummaryKeyTypeMFADevices:          record.DeviceCounter(account),
		api.SummaryKeyTypeMFADevicesInUse:     record.EnabledDeviceCounter(account),
	}
}

// summaryFlags are the counters of what the root user has, of which is only told whether there is any.
func summaryFlags(account string) map[api.SummaryKeyType]string {
	return map[api.SummaryKeyType]string{
		api.SummaryKeyTypeAccountAccessKeysPresent: record.AccessKeyCounter(account, ""),
		api.SummaryKeyTypeAccountMFAEnabled:        record.UserDeviceCounter(account, record.RootUser),
	}
}

// getAccountSummary answers from counters, however much there is.
func (s *IAM) getAccountSummary() *service.Op {
	return service.Def[api.GetAccountSummaryRequest, api.GetAccountSummaryResponse]{
		Name: "GetAccountSummary", Kind: service.Read, Actions: []string{"iam:GetAccountSummary"},
		Plan: func(tx *service.Tx, _ *api.GetAccountSummaryRequest, _ []service.Target) (*api.GetAccountSummaryResponse, error) {
			summary := make(map[string]int64, len(summaryQuotas))
			for key, n := range summaryQuotas {
				summary[string(key)] = n
			}
			for key, counter := range summaryCounters(account(tx)) {
				n, err := tx.Sum([]string{counter})
				if err != nil {
					return nil, err
				}
				summary[string(key)] = n
			}
			for key, counter := range summaryFlags(account(tx)) {
				n, err := tx.Sum([]string{counter})
				if err != nil {
					return nil, err
				}
				summary[string(key)] = min(n, 1)
			}
			return &api.GetAccountSummaryResponse{SummaryMap: summary}, nil
		},
	}.Op("iam")
}
