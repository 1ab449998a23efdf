package awsapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/account"
	accounttypes "github.com/aws/aws-sdk-go-v2/service/account/types"
	"github.com/aws/aws-sdk-go-v2/service/cloudtrail"
	trailtypes "github.com/aws/aws-sdk-go-v2/service/cloudtrail/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	iamtypes "github.com/aws/aws-sdk-go-v2/service/iam/types"

	"github.com/keyturn/keyturn/internal/check"
	"github.com/keyturn/keyturn/internal/policy"
	"github.com/keyturn/keyturn/internal/record"
)

// maxEventPages bounds the events of a region, 50 a page.
const maxEventPages = 20_000

// eventHistory is how far back CloudTrail's event history goes.
const eventHistory = 90 * 24 * time.Hour

// Account is a check.AccountSource over IAM and CloudTrail.
type Account struct {
	cfg aws.Config
	now func() time.Time
}

// NewAccount returns the AccountSource that a configuration leads to.
func NewAccount(cfg aws.Config, now func() time.Time) *Account { return &Account{cfg, now} }

// documents are the policies that principals share, parsed once.
type documents map[string]check.IAMPolicy

// IAM implements check.AccountSource. Policies of groups are put with the users in them.
func (a *Account) IAM(ctx context.Context) (*check.IAMAccount, error) {
	pages := iam.NewGetAccountAuthorizationDetailsPaginator(iam.NewFromConfig(a.cfg), &iam.GetAccountAuthorizationDetailsInput{
		Filter: []iamtypes.EntityType{
			iamtypes.EntityTypeUser, iamtypes.EntityTypeRole, iamtypes.EntityTypeGroup, iamtypes.EntityTypeLocalManagedPolicy, iamtypes.EntityTypeAWSManagedPolicy,
		},
	}, func(o *iam.GetAccountAuthorizationDetailsPaginatorOptions) { o.StopOnDuplicateToken = true })
	var users []iamtypes.UserDetail
	var roles []iamtypes.RoleDetail
	groups := map[string]iamtypes.GroupDetail{}
	managed := documents{}
	for pages.HasMorePages() {
		out, err := pages.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		users, roles = append(users, out.UserDetailList...), append(roles, out.RoleDetailList...)
		for _, g := range out.GroupDetailList {
			groups[aws.ToString(g.GroupName)] = g
		}
		for _, p := range out.Policies {
			for _, v := range p.PolicyVersionList {
				if v.IsDefaultVersion {
					managed[aws.ToString(p.Arn)] = parse(aws.ToString(p.PolicyName), aws.ToString(v.Document))
				}
			}
		}
	}
	all := &check.IAMAccount{}
	for _, u := range users {
		p := check.IAMPrincipal{ARN: aws.ToString(u.Arn), Boundary: managed.boundary(u.PermissionsBoundary)}
		p.Policies = managed.gather(u.UserPolicyList, u.AttachedManagedPolicies)
		for _, name := range u.GroupList {
			g := groups[name]
			p.Policies = append(p.Policies, managed.gather(g.GroupPolicyList, g.AttachedManagedPolicies)...)
		}
		all.Principals = append(all.Principals, p)
	}
	for _, r := range roles {
		all.Principals = append(all.Principals, check.IAMPrincipal{
			ARN: aws.ToString(r.Arn), Boundary: managed.boundary(r.PermissionsBoundary),
			Policies: managed.gather(r.RolePolicyList, r.AttachedManagedPolicies),
		})
	}
	return all, nil
}

func (d documents) gather(inline []iamtypes.PolicyDetail, attached []iamtypes.AttachedPolicy) []check.IAMPolicy {
	var list []check.IAMPolicy
	for _, p := range inline {
		list = append(list, parse(aws.ToString(p.PolicyName), aws.ToString(p.PolicyDocument)))
	}
	for _, p := range attached {
		list = append(list, d.find(aws.ToString(p.PolicyArn)))
	}
	return list
}

func (d documents) boundary(b *iamtypes.AttachedPermissionsBoundary) *check.IAMPolicy {
	if b == nil {
		return nil
	}
	p := d.find(aws.ToString(b.PermissionsBoundaryArn))
	return &p
}

func (d documents) find(arn string) check.IAMPolicy {
	if p, ok := d[arn]; ok {
		return p
	}
	return check.IAMPolicy{Name: arn, Err: errors.New("IAM did not return this policy")}
}

// parse reads a document as IAM returns it, percent-encoded.
func parse(name, encoded string) check.IAMPolicy {
	p := check.IAMPolicy{Name: name}
	text, err := url.PathUnescape(encoded)
	if err == nil {
		p.Policy, err = policy.ParseInForce([]byte(text))
	}
	p.Err = err
	return p
}

// RotationEvents implements check.AccountSource.
func (a *Account) RotationEvents(ctx context.Context, region string) (map[string][]check.Event, error) {
	client := cloudtrail.NewFromConfig(a.cfg, func(o *cloudtrail.Options) { o.Region = region })
	pages := cloudtrail.NewLookupEventsPaginator(client, &cloudtrail.LookupEventsInput{
		LookupAttributes: []trailtypes.LookupAttribute{{AttributeKey: trailtypes.LookupAttributeKeyEventName, AttributeValue: aws.String("RotateKey")}},
		StartTime:        aws.Time(a.now().Add(-eventHistory)), MaxResults: aws.Int32(50),
	}, func(o *cloudtrail.LookupEventsPaginatorOptions) { o.StopOnDuplicateToken = true })
	events := map[string][]check.Event{}
	for n := 0; pages.HasMorePages(); n++ {
		if n == maxEventPages {
			return nil, fmt.Errorf("LookupEvents: the list has more than %d pages", maxEventPages)
		}
		out, err := pages.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		for _, e := range out.Events {
			if arn := rotatedKey(e, region); arn != "" {
				events[arn] = append(events[arn], check.Event{ID: aws.ToString(e.EventId), At: aws.ToTime(e.EventTime)})
			}
		}
	}
	return events, nil
}

// rotatedKey returns the ARN of the key that an event is about.
func rotatedKey(e trailtypes.Event, region string) string {
	var body struct {
		Account string `json:"recipientAccountId"`
		Details struct {
			KeyID string `json:"keyId"`
		} `json:"serviceEventDetails"`
		Resources []struct {
			ARN string `json:"ARN"`
		} `json:"resources"`
	}
	if json.Unmarshal([]byte(aws.ToString(e.CloudTrailEvent)), &body) != nil {
		return ""
	}
	for _, r := range body.Resources {
		if r.ARN != "" {
			return r.ARN
		}
	}
	if body.Details.KeyID == "" || body.Account == "" {
		return ""
	}
	return fmt.Sprintf("arn:%s:kms:%s:%s:key/%s", record.Partition(region), region, body.Account, body.Details.KeyID)
}

// Regions returns the regions that the account has on, of AWS's own.
func Regions(ctx context.Context, cfg aws.Config) ([]string, error) {
	pages := account.NewListRegionsPaginator(account.NewFromConfig(cfg), &account.ListRegionsInput{
		RegionOptStatusContains: []accounttypes.RegionOptStatus{accounttypes.RegionOptStatusEnabled, accounttypes.RegionOptStatusEnabledByDefault},
	}, func(o *account.ListRegionsPaginatorOptions) { o.StopOnDuplicateToken = true })
	var names []string
	for pages.HasMorePages() {
		out, err := pages.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		for _, r := range out.Regions {
			names = append(names, aws.ToString(r.RegionName))
		}
	}
	return names, nil
}
