package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	awskms "github.com/aws/aws-sdk-go-v2/service/kms"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/authz"
	"github.com/keyturn/keyturn/internal/policy"
	"github.com/keyturn/keyturn/internal/service"
)

// What the part about authorization decides by.
const (
	authorizeStatements = 20 // of the key policy
	authorizePolicies   = 5  // of the user
	authorizeGrants     = 1000
	authorizeAlias      = "alias/authorize"
	authorizeShare      = 10 // percent of a request that decisions are to stay below
)

// decisions is what a server in roleAuthorize writes when it ends.
type decisions struct {
	N, Nanoseconds int64
}

// authorization measures what deciding takes of an Encrypt by a user, on a server that times its decisions.
func authorization(ctx context.Context, o options, out io.Writer) (err error) {
	title(out, "Authorization",
		fmt.Sprintf("An Encrypt by a user with %d IAM policies, under a key with a key policy of %d statements and %d grants to others. decision is the time", authorizePolicies, authorizeStatements, authorizeGrants),
		fmt.Sprintf("by the clock from question to answer, CPU the server's for the whole request; aim: less than %d %%.", authorizeShare))
	dir, err := newDataDir(o.dir, "authorize")
	if err != nil {
		return err
	}
	report := filepath.Join(dir, "decisions")
	server, err := startRole(ctx, roleAuthorize, roleConfig{Ready: filepath.Join(dir, "ready"), DataDir: dir, Profile: report})
	if err != nil {
		return err
	}
	m, err := loadAuthorized(ctx, o, server)
	if err := errors.Join(err, server.stop()); err != nil {
		return err
	}
	text, err := os.ReadFile(report)
	if err != nil {
		return err
	}
	var d decisions
	if err := json.Unmarshal(text, &d); err != nil || d.N < m.requests {
		return fmt.Errorf("%d decisions for %d requests: %w", d.N, m.requests, err)
	}
	took := float64(d.Nanoseconds) / float64(d.N) / 1000
	fmt.Fprintf(out, "%-12s %12s %10s %8s\n%-12s %9.1f us %7.1f us %6.1f %%\n", "operation", "decision", "CPU", "share",
		"Encrypt", took, m.cpuMicros(), 100*took/m.cpuMicros())
	return nil
}

func loadAuthorized(ctx context.Context, o options, server *child) (sample, error) {
	client, rec := newSDK(server.endpoint)
	alias := authorizeAlias
	key, err := client.DescribeKey(ctx, &awskms.DescribeKeyInput{KeyId: &alias})
	if err != nil {
		return sample{}, err
	}
	q := &awskms.EncryptInput{KeyId: key.KeyMetadata.KeyId, Plaintext: make([]byte, 32), EncryptionContext: benchContext}
	if _, err := client.Encrypt(ctx, q); err != nil {
		return sample{}, err
	}
	if _, err := replay(ctx, server, rec.request, o.conns, warmUp); err != nil {
		return sample{}, err
	}
	return replay(ctx, server, rec.request, o.conns, min(o.duration*time.Duration(o.pairs), maxDuration))
}

// runAuthorize serves a key that is hard to decide about to a user who may use it, and times the decisions.
func runAuthorize(c roleConfig) (err error) {
	ctx := context.Background()
	var n, spent atomic.Int64
	l, err := openLocal(ctx, c.DataDir, func(authorize func(*service.Authorization) error) func(*service.Authorization) error {
		return func(a *service.Authorization) error {
			begin := time.Now()
			err := authorize(a)
			spent.Add(int64(time.Since(begin)))
			n.Add(1)
			return err
		}
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.close()) }()
	user, err := authorizeUser()
	if err != nil {
		return err
	}
	if err := l.authorizeKey(ctx, user.ARN); err != nil {
		return err
	}
	h, err := l.handler(c.DataDir, user)
	if err != nil {
		return err
	}
	n.Store(0)
	spent.Store(0)
	if err := serve(h, c.Ready); err != nil {
		return err
	}
	text, err := json.Marshal(decisions{n.Load(), spent.Load()})
	if err != nil {
		return err
	}
	return os.WriteFile(c.Profile, text, 0o600)
}

// authorizeUser is a user with policies of which the last one allows it.
func authorizeUser() (*service.Caller, error) {
	who := service.Caller{
		Account: account, ARN: "arn:aws:iam::" + account + ":user/bench", Type: "IAMUser", PrincipalID: "AIDABENCH", UserName: "bench",
		AccessKeyID: accessKeyID, Identity: &authz.Identity{},
	}
	for i := range authorizePolicies {
		action := `"s3:*"`
		if i == authorizePolicies-1 {
			action = `["kms:Encrypt","kms:DescribeKey"]`
		}
		p, err := policy.Parse([]byte(`{"Version":"2012-10-17","Statement":[` + strings.Repeat(`{"Effect":"Allow","Action":"iam:Get*","Resource":"*"},`, 4) +
			`{"Effect":"Allow","Action":` + action + `,"Resource":"arn:aws:kms:*:` + account + `:key/*"}]}`))
		if err != nil {
			return nil, err
		}
		who.Identity.Policies = append(who.Identity.Policies, authz.Named{Name: fmt.Sprint("p", i), Compiled: policy.Compile(p)})
	}
	return service.NewCaller(who), nil
}

// authorizeKey makes the key, its policy and its grants.
func (l *local) authorizeKey(ctx context.Context, user string) error {
	statements := make([]string, 0, authorizeStatements)
	for i := range authorizeStatements - 1 {
		statements = append(statements, fmt.Sprintf(
			`{"Sid":"s%d","Effect":"Allow","Principal":{"AWS":"arn:aws:iam::%s:role/team-%d"},"Action":["kms:Encrypt","kms:Decrypt","kms:GenerateDataKey*"],"Resource":"*",`+
				`"Condition":{"StringEquals":{"kms:EncryptionContext:team":"%d","aws:RequestedRegion":"us-east-1"}}}`, i, account, i, i))
	}
	statements = append(statements, `{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::`+account+`:root"},"Action":"kms:*","Resource":"*"}`)
	document := `{"Version":"2012-10-17","Statement":[` + strings.Join(statements, ",") + `]}`
	ops := service.Table(l.kms.Operations())
	root := service.RootCaller(account, accessKeyID)
	do := func(name string, req api.Request) (api.Response, error) {
		return l.pipeline.Do(ctx, ops["kms."+name], &service.Call{Caller: root, Region: region, RequestID: "bench"}, req, nil)
	}
	made, err := do("CreateKey", &api.CreateKeyRequest{Policy: api.Some(document)})
	if err != nil {
		return err
	}
	id := made.(*api.CreateKeyResponse).KeyMetadata.KeyId
	if _, err := do("CreateAlias", &api.CreateAliasRequest{AliasName: api.Some(authorizeAlias), TargetKeyId: id}); err != nil {
		return err
	}
	for i := range authorizeGrants {
		_, err := do("CreateGrant", &api.CreateGrantRequest{
			KeyId: id, GranteePrincipal: api.Some(fmt.Sprintf("%s-%d", user, i)), Operations: []api.GrantOperation{"Encrypt", "Decrypt"},
		})
		if err != nil {
			return err
		}
	}
	return nil
}
