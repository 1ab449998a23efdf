package check

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/keyturn/keyturn/internal/policy"
)

// place is one region of a run.
type place struct {
	*run
	region    string
	src       Source
	now       time.Time
	events    map[string][]Event
	eventsErr error
}

const notFound = "NotFoundException"

// judge reads one key as far as the checks need it, and returns their findings. A key that is gone has none.
func (p *place) judge(ctx context.Context, ref KeyRef) (findings []*Finding, gone bool) {
	f := &Facts{Now: p.now, Account: accountOf(ref.ARN), Region: p.region, Errors: map[Call]error{}, IAM: p.iam}
	key, err := p.src.Describe(ctx, ref.ID)
	if ErrorCode(err) == notFound {
		return nil, true
	}
	if err != nil {
		f.Errors[DescribeKey] = err
		key = &Key{ID: ref.ID, ARN: ref.ARN, Account: f.Account, Region: p.region}
	}
	f.Key = key
	type question struct {
		check  *Check
		reason string // why it does not apply
	}
	var questions []question
	needs := map[Call]bool{}
	for _, c := range p.checks {
		if err == nil && c.Scope == CustomerKeys && key.Manager != ManagerCustomer {
			continue
		}
		q := question{check: c}
		if err == nil && c.Applies != nil {
			if ok, reason := c.Applies(key, &p.Settings); !ok {
				q.reason = cmp.Or(reason, "There is nothing to judge.")
			}
		}
		if q.reason == "" && err == nil {
			for _, n := range c.Needs {
				needs[n] = true
			}
		}
		questions = append(questions, q)
	}
	p.read(ctx, f, needs)
	verdicts := make([]Verdict, len(questions))
	open := false
	for i, q := range questions {
		verdicts[i] = Verdict{Status: NotApplicable, Detail: q.reason}
		if q.reason == "" {
			verdicts[i] = q.check.ask(f, &p.Settings)
		}
		open = open || verdicts[i].Status != NotApplicable && verdicts[i].Status != Pass
	}
	if open && !needs[ListAliases] {
		_ = f.readAliases(ctx, p.src) // for the reader, who knows keys by their aliases; without them there is the ID
	}
	for i, q := range questions {
		findings = append(findings, f.finding(q.check, verdicts[i]))
	}
	return findings, false
}

// ask returns the check's verdict; ERROR if something it rests on could not be read.
func (c *Check) ask(f *Facts, s *Settings) Verdict {
	for _, call := range append([]Call{DescribeKey}, c.Needs...) {
		if err := f.Errors[call]; err != nil {
			return verdict(Error, "%s could not be read: %v", call, err)
		}
	}
	return c.eval(f, s)
}

// eval judges, and makes ERROR of a check that panics: one key that it cannot cope with must not cost the verdicts of all the others,
// nor the server that it runs in.
func (c *Check) eval(f *Facts, s *Settings) (v Verdict) {
	defer func() {
		if p := recover(); p != nil {
			v = verdict(Error, "The check failed on what was read of this key: %v. Please report it.", p)
		}
	}()
	return c.Eval(f, s)
}

// read adds what is needed to the facts, or why it cannot be had.
func (p *place) read(ctx context.Context, f *Facts, needs map[Call]bool) {
	get := func(call Call, read func() error) {
		if !needs[call] {
			return
		}
		err := ctx.Err()
		if err == nil {
			err = read()
		}
		if err != nil {
			f.Errors[call] = err
		}
	}
	k := f.Key
	get(GetKeyRotationStatus, func() (err error) { f.Rotation, err = p.src.Rotation(ctx, k); return err })
	get(ListKeyRotations, func() (err error) { f.Materials, err = p.src.Materials(ctx, k); return err })
	get(ListAliases, func() error { return f.readAliases(ctx, p.src) })
	get(ListResourceTags, func() (err error) { f.Tags, err = p.src.Tags(ctx, k); return err })
	get(GetKeyPolicy, func() error { return f.readPolicy(ctx, p.src) })
	get(GetKeyLastUsage, func() (err error) { f.Usage, err = p.src.Usage(ctx, k); return err })
	get(Replicas, func() error { p.readReplicas(ctx, f); return nil })
	get(IAMPolicies, func() error { return p.iamErr })
	get(RotationEvents, func() error { f.Events = p.events[k.ARN]; return p.eventsErr })
}

func (f *Facts) readAliases(ctx context.Context, src Source) (err error) {
	f.Aliases, err = src.Aliases(ctx, f.Key)
	slices.SortFunc(f.Aliases, func(a, b Alias) int { return cmp.Compare(a.Name, b.Name) })
	return err
}

func (f *Facts) readPolicy(ctx context.Context, src Source) (err error) {
	if f.PolicyText, err = src.Policy(ctx, f.Key); err != nil {
		return err
	}
	if f.Policy, err = policy.ParseInForce([]byte(f.PolicyText)); err != nil {
		return fmt.Errorf("the policy is not understood: %w", err)
	}
	return nil
}

// readReplicas reads the related keys of a primary, each in its region.
func (p *place) readReplicas(ctx context.Context, f *Facts) {
	for _, arn := range f.Key.Replicas {
		r := Replica{ARN: arn}
		var src Source
		region := regionOf(arn)
		if src, r.Err = p.src.In(region); r.Err == nil {
			related := &Facts{Now: f.Now, Account: f.Account, Region: region, Errors: map[Call]error{}}
			related.Key, r.Err = src.Describe(ctx, f.Key.ID)
			if r.Err == nil {
				related.Tags, r.Err = src.Tags(ctx, related.Key)
			}
			if r.Err == nil {
				r.Err = related.readPolicy(ctx, src)
			}
			if r.Err == nil {
				r.Facts = related
			} else if ErrorCode(r.Err) == notFound {
				r.Absent, r.Err = true, nil
			}
		}
		f.Replicas = append(f.Replicas, r)
	}
}

// finding makes the finding of a verdict.
func (f *Facts) finding(c *Check, v Verdict) *Finding {
	k := f.Key
	x := &Finding{
		ID: FindingID(c.ID, f.Account, f.Region, k.ARN), Check: c.ID, Title: c.Title, Severity: c.Severity, Status: v.Status,
		Detail: v.Detail, Notes: v.Notes, Price: v.Price, LastSeen: f.Now,
		Resource: Resource{
			Type: KeyResource, ARN: k.ARN, ID: k.ID, Account: f.Account, Region: f.Region, Spec: k.Spec, Origin: k.Origin,
			State: k.State, Manager: k.Manager, Created: k.Created, Primary: k.Primary,
		},
	}
	for _, a := range f.Aliases {
		x.Resource.Aliases = append(x.Resource.Aliases, a.Name)
	}
	if f.Rotation != nil {
		x.Resource.Rotation = &Turn{Enabled: f.Rotation.Enabled, Days: f.Rotation.Days, Next: f.Rotation.Next, Dates: f.rotationDates()}
	}
	if v.Status == Error {
		x.Error = f.errorCode(c)
	}
	return x
}

// maxDates bounds the rotation dates that a finding shows.
const maxDates = 50

func (f *Facts) rotationDates() []time.Time {
	var dates []time.Time
	for _, m := range f.Materials {
		if !m.Rotated.IsZero() {
			dates = append(dates, m.Rotated)
		}
	}
	slices.SortFunc(dates, time.Time.Compare)
	return dates[max(0, len(dates)-maxDates):]
}

// errorCode is the code of what the check could not read; "Unreadable" if nobody answered with one.
func (f *Facts) errorCode(c *Check) string {
	for _, call := range append([]Call{DescribeKey}, c.Needs...) {
		if err := f.Errors[call]; err != nil {
			return cmp.Or(ErrorCode(err), "Unreadable")
		}
	}
	return "Unreadable"
}

// part returns a part of an ARN, from 0: arn, partition, service, region, account, resource.
func part(arn string, n int) string {
	parts := strings.SplitN(arn, ":", 6)
	if n < len(parts) {
		return parts[n]
	}
	return ""
}

func accountOf(arn string) string { return part(arn, 4) }
func regionOf(arn string) string  { return part(arn, 3) }
