package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/arn"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/check"
	"github.com/keyturn/keyturn/internal/check/awsapi"
	"github.com/keyturn/keyturn/internal/record"
)

// checkTarget is what is checked: an account at an endpoint.
type checkTarget struct {
	*connection
	regions []string
	account string // "" if the endpoint does not say
	caller  string // ARN; "" if the endpoint does not say
	keys    *awsapi.Keys
	shift   time.Duration // how far the service's clock is from this machine's; only keyturn dev turns it
}

// target connects to what is to be checked.
func (f *checkFlags) target(ctx context.Context) (*checkTarget, error) {
	client := f.client
	if len(f.regions) > 0 {
		client.region = f.regions[0]
	}
	c, err := client.connect(ctx, "")
	if err != nil {
		return nil, err
	}
	if f.roleARN != "" {
		if err := c.assume(ctx, f.roleARN, f.externalID); err != nil {
			return nil, err
		}
	}
	t := &checkTarget{connection: c, regions: distinct(f.regions)}
	if len(t.regions) == 0 {
		t.regions = []string{c.cfg.Region}
	}
	if f.allRegions {
		if t.regions, err = t.allRegions(ctx); err != nil {
			return nil, withHint(c.explain(fmt.Errorf("the regions could not be listed: %w", err)), "name them with --region")
		}
	}
	if out, err := c.sts().GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{}); err == nil {
		t.account, t.caller = aws.ToString(out.Account), aws.ToString(out.Arn)
	} else if check.ErrorCode(err) == "" && ctx.Err() == nil { // no answer, or not one: the next call would end so, too
		return nil, c.explain(err)
	}
	if f.withIAM && c.endpoint != "" && (os.Getenv("AWS_ENDPOINT_URL_IAM") == "" || os.Getenv("AWS_ENDPOINT_URL_CLOUDTRAIL") == "") {
		return nil, withHint(usagef("--with-iam at the endpoint %s would ask AWS about an account that is not there", c.endpoint), "set AWS_ENDPOINT_URL_IAM and AWS_ENDPOINT_URL_CLOUDTRAIL")
	}
	if c.endpoint != "" {
		t.shift = t.clockShift(ctx)
	}
	if t.keys, err = awsapi.NewKeys(t.regions[0], t.dial); err != nil {
		return nil, err
	}
	return t, nil
}

// distinct returns the list without repetitions, in its order.
func distinct(list []string) (out []string) {
	for _, s := range list {
		if !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}

// sts returns a client of STS, which keyturn serves at the endpoint of its KMS.
func (c *connection) sts() *sts.Client {
	return sts.NewFromConfig(c.cfg, func(o *sts.Options) {
		if o.BaseEndpoint == nil && c.endpoint != "" {
			o.BaseEndpoint = &c.endpoint
		}
	})
}

// assume goes on as a role.
func (c *connection) assume(ctx context.Context, roleARN, externalID string) error {
	if _, err := arn.Parse(roleARN); err != nil {
		return usagef("--role-arn %q is no ARN", roleARN)
	}
	provider := stscreds.NewAssumeRoleProvider(c.sts(), roleARN, func(o *stscreds.AssumeRoleOptions) {
		o.RoleSessionName = "keyturn-check"
		if externalID != "" {
			o.ExternalID = &externalID
		}
	})
	c.cfg.Credentials = aws.NewCredentialsCache(provider)
	if _, err := c.cfg.Credentials.Retrieve(ctx); err != nil {
		return c.explain(err)
	}
	return nil
}

// dial makes the client of a region.
func (t *checkTarget) dial(region string) (*kms.Client, error) {
	return kms.NewFromConfig(t.cfg, func(o *kms.Options) {
		o.Region = region
		if t.endpoint != "" {
			o.BaseEndpoint = &t.endpoint
		}
		o.Retryer = unthrottled()
		o.HTTPClient = patient{o.HTTPClient}
	}), nil
}

// callTimeout bounds one attempt of a call: an endpoint that takes requests and never answers must not hold a check for ever.
const callTimeout = 30 * time.Second

// patient gives up on an answer after callTimeout.
type patient struct{ kms.HTTPClient }

// Do implements kms.HTTPClient.
func (p patient) Do(r *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithTimeoutCause(r.Context(), callTimeout, fmt.Errorf("no answer within %s", callTimeout))
	resp, err := p.HTTPClient.Do(r.WithContext(ctx))
	if err != nil {
		cancel()
		if cause := context.Cause(ctx); cause != nil && r.Context().Err() == nil {
			err = cause
		}
		return resp, err
	}
	resp.Body = &ending{resp.Body, cancel}
	return resp, nil
}

// ending releases a request's context when its answer has been read.
type ending struct {
	io.ReadCloser
	cancel context.CancelFunc
}

// Close implements io.Closer.
func (e *ending) Close() error {
	defer e.cancel()
	return e.ReadCloser.Close()
}

// unthrottled is the SDK's retryer but for throttling, which the check's limiter has to see.
func unthrottled() aws.Retryer {
	return retry.NewStandard(func(o *retry.StandardOptions) {
		throttled := retry.IsErrorRetryableFunc(func(err error) aws.Ternary {
			if check.IsThrottle(err) {
				return aws.FalseTernary
			}
			return aws.UnknownTernary
		})
		o.Retryables = append([]retry.IsErrorRetryable{throttled, notListening}, o.Retryables...)
	})
}

// allRegions lists the regions: the account's on AWS, the server's on keyturn.
func (t *checkTarget) allRegions(ctx context.Context) (names []string, err error) {
	if t.endpoint == "" {
		names, err = awsapi.Regions(ctx, t.cfg)
	} else {
		var resp api.ListRegionsResponse
		if err = t.call(ctx, "Keyturn.ListRegions", &api.ListRegionsRequest{}, &resp); err == nil {
			names = resp.Regions
		}
	}
	if err == nil && len(names) == 0 {
		err = errors.New("the list is empty")
	}
	slices.Sort(names)
	return names, err
}

// clockShift asks keyturn for its time; other services keep that of the world.
func (t *checkTarget) clockShift(ctx context.Context) time.Duration {
	var resp api.GetClockResponse
	if err := t.call(ctx, "Keyturn.GetClock", &api.GetClockRequest{}, &resp); err != nil || !resp.Adjustable.V {
		return 0
	}
	return time.Until(resp.Now.V)
}

// now is the service's time.
func (t *checkTarget) now(context.Context) time.Time { return time.Now().Add(t.shift).UTC() }

// run describes a run for its report.
func (t *checkTarget) run(o checkOptions) check.Run {
	r := check.Run{
		Tool: "keyturn", Version: versionText(), Started: t.now(context.Background()), Endpoint: t.endpoint, Account: t.account,
		Partition: record.Partition(t.regions[0]), Regions: t.regions, Caller: t.caller, FailOn: o.failOn,
	}
	for _, c := range o.checks {
		r.Checks = append(r.Checks, c.ID)
	}
	return r
}
