package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awskms "github.com/aws/aws-sdk-go-v2/service/kms"
	awssts "github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/keyturn/keyturn/internal/accounts"
	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/identity"
	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/service"
)

const managing = "999900001111"

const configuredKey = "AKIACONFIGURED000000"

// startConfigured starts a server that verifies signatures, with one access key in its configuration.
func startConfigured(t *testing.T, dir string) *testServer {
	t.Helper()
	return startDev(t, dir, func(c *appConfig) {
		c.Dev, c.Trust, c.Guard = false, false, nil
		c.Credentials = func() (map[string]identity.Configured, error) {
			return map[string]identity.Configured{configuredKey: {Secret: "configured-secret", Caller: service.RootCaller("222233334444", configuredKey)}}, nil
		}
	})
}

// managedServer is a server that verifies signatures, whose accounts managing manages. The account 222233334444 is in its configuration.
type managedServer struct {
	*testServer
	dir  string
	root identity.Credentials // of managing
}

func startManaged(t *testing.T) *managedServer {
	t.Helper()
	s := &managedServer{dir: t.TempDir()}
	s.testServer = startConfigured(t, s.dir)
	q := &accounts.InitializeRequest{CreateAccountRequest: api.CreateAccountRequest{AccountName: api.Some("head"), AccountId: api.Some(managing)}}
	r, err := s.app.pipeline.DoInternal(t.Context(), s.app.accounts.Initialize, record.Owner{Account: managing, Region: "us-east-1"}, time.Now(), 0, q)
	if err != nil {
		t.Fatal(err)
	}
	s.root = keyOf(r.(*api.CreateAccountResponse).AccessKey)
	return s
}

func keyOf(k *api.RootAccessKey) identity.Credentials {
	return identity.Credentials{AccessKeyID: k.AccessKeyId.V, SecretAccessKey: k.SecretAccessKey.V}
}

func provider(c identity.Credentials) aws.CredentialsProvider {
	return credentials.NewStaticCredentialsProvider(c.AccessKeyID, c.SecretAccessKey, c.SessionToken)
}

// call calls one of keyturn's own operations and returns the error's code.
func (s *testServer) call(t *testing.T, who identity.Credentials, operation string, in api.Response, out interface{ DecodeJSON([]byte) error }) string {
	t.Helper()
	c := &connection{cfg: aws.Config{Credentials: provider(who), Region: "us-east-1", HTTPClient: awshttp.NewBuildableClient()}, endpoint: s.URL}
	err := c.call(t.Context(), "Keyturn."+operation, in, out)
	if code := errorCode(err); code != "" || err == nil {
		return code
	}
	t.Errorf("%s: %v", operation, err) // and not Fatal: some call beside the test
	return err.Error()
}

// create makes an account and returns its root user's access key.
func (s *managedServer) create(t *testing.T, id string) identity.Credentials {
	t.Helper()
	var out api.CreateAccountResponse
	in := &api.CreateAccountRequest{AccountName: api.Some("one more"), AccountId: api.Some(id)}
	if code := s.call(t, s.root, "CreateAccount", in, &out); code != "" {
		t.Fatalf("CreateAccount %s: %s", id, code)
	}
	return keyOf(out.AccessKey)
}

// put writes records as some operation of IAM would.
func (s *testServer) put(t *testing.T, list ...record.Record) {
	t.Helper()
	op := service.Def[[]record.Record, service.None]{
		Name: "Put", Kind: service.Internal,
		Plan: func(tx *service.Tx, list *[]record.Record, _ []service.Target) (*service.None, error) {
			for _, r := range *list {
				if _, err := service.Lookup[record.Record](tx, r.StoreKey()); err != nil {
					return nil, err
				}
				tx.Put(r)
			}
			return &service.None{}, nil
		},
	}.Op("iam")
	if _, err := s.app.pipeline.DoInternal(t.Context(), op, record.Owner{Account: managing, Region: "us-east-1"}, time.Now(), 0, &list); err != nil {
		t.Fatal(err)
	}
}

// user makes an IAM user with a policy and returns an access key of it.
func (s *testServer) user(t *testing.T, account, name, policy string) identity.Credentials {
	t.Helper()
	u := &record.User{Principal: record.Principal{Account: account, ID: identity.NewUniqueID(identity.UserIDPrefix), Name: name, Path: "/", Created: time.Now()}}
	if policy != "" {
		u.Inline = []record.Inline{{Name: "in", Document: policy}}
	}
	k := &record.AccessKey{ID: identity.NewAccessKeyID(identity.LongTermPrefix, account), Account: account, UserID: u.ID, Secret: identity.NewSecret(), Active: true, Created: time.Now()}
	s.put(t, u, &record.Name{Account: account, Kind: record.UserKind, Name: name, ID: u.ID}, k)
	return identity.Credentials{AccessKeyID: k.ID, SecretAccessKey: k.Secret}
}

// role makes a role with a policy and returns credentials of a session of it.
func (s *testServer) role(t *testing.T, account, name, policy string) identity.Credentials {
	t.Helper()
	r := &record.Role{Principal: record.Principal{
		Account: account, ID: identity.NewUniqueID(identity.RoleIDPrefix), Name: name, Path: "/", Created: time.Now(), Inline: []record.Inline{{Name: "in", Document: policy}},
	}}
	s.put(t, r, &record.Name{Account: account, Kind: record.RoleKind, Name: name, ID: r.ID})
	return s.session(t, identity.Session{Kind: identity.RoleSession, Account: account, PrincipalID: r.ID, Name: "session"})
}

func (s *testServer) session(t *testing.T, of identity.Session) identity.Credentials {
	t.Helper()
	of.Issued, of.Expires = time.Now(), time.Now().Add(time.Hour)
	c, err := identity.Mint(s.app.pipeline.Keyring(), of)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func allowing(action, resource string) string {
	return fmt.Sprintf(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":%q,"Resource":%q}]}`, action, resource)
}

func TestWhoMayManageAccounts(t *testing.T) {
	const others, victim, denied = "444455556666", "555566667777", "AccessDeniedException"
	s := startManaged(t)
	other, replaced := s.create(t, others), s.create(t, victim).AccessKeyID
	everything, nothing := make([]string, 6), []string{denied, denied, denied, denied, denied, denied}
	for i, c := range []struct {
		name string
		who  identity.Credentials
		want []string // of the calls below, in their order
	}{
		{"root user", s.root, everything},
		{"session of the root user", s.session(t, identity.Session{Kind: identity.RootSession, Account: managing}), everything},
		{"user with *", s.user(t, managing, "all", allowing("*", "*")), everything},
		{"user with keyturn:*", s.user(t, managing, "keyturn", allowing("keyturn:*", "*")), everything},
		{"role with keyturn:*", s.role(t, managing, "keyturn", allowing("keyturn:*", "*")), everything},
		{"user with kms:*", s.user(t, managing, "kms", allowing("kms:*", "*")), nothing},
		{"user without policies", s.user(t, managing, "none", ""), nothing},
		{"user who may list", s.user(t, managing, "list", allowing("keyturn:ListAccounts", "*")), []string{"", denied, denied, denied, denied, denied}},
		{"user for one account", s.user(t, managing, "one", allowing("keyturn:*", "arn:aws:keyturn::"+managing+":account/"+victim)),
			[]string{denied, denied, denied, "", "", ""}},
		{"user for new accounts", s.user(t, managing, "two", allowing("keyturn:*", "arn:aws:keyturn::"+managing+":account/1*")),
			[]string{denied, "", denied, denied, denied, denied}},
		{"user with a denial", s.user(t, managing, "denied", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"},
			{"Effect":"Deny","Action":"keyturn:*","Resource":"*"}]}`), nothing},
		{"root user of another account", other, nothing},
		{"user with * of another account", s.user(t, others, "all", allowing("*", "*")), nothing},
		{"role with * of another account", s.role(t, others, "all", allowing("*", "*")), nothing},
		{"root user of the configuration", identity.Credentials{AccessKeyID: configuredKey, SecretAccessKey: "configured-secret"}, nothing},
	} {
		var key api.CreateRootAccessKeyResponse
		name, id, of := api.Some("n"), api.Some(fmt.Sprintf("1%011d", i)), api.Some(victim)
		got := []string{
			s.call(t, c.who, "ListAccounts", &api.ListAccountsRequest{}, new(api.ListAccountsResponse)),
			s.call(t, c.who, "CreateAccount", &api.CreateAccountRequest{AccountName: name, AccountId: id}, new(api.CreateAccountResponse)),
			s.call(t, c.who, "CreateAccount", &api.CreateAccountRequest{AccountName: name}, new(api.CreateAccountResponse)),
			s.call(t, c.who, "SuspendAccount", &api.SuspendAccountRequest{AccountId: of}, new(api.SuspendAccountResponse)),
			s.call(t, c.who, "ResumeAccount", &api.ResumeAccountRequest{AccountId: of}, new(api.ResumeAccountResponse)),
			s.call(t, c.who, "CreateRootAccessKey", &api.CreateRootAccessKeyRequest{AccountId: of, ReplacedAccessKeyId: api.Some(replaced)}, &key),
		}
		if key.AccessKey != nil {
			replaced = key.AccessKey.AccessKeyId.V
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
		// What is not there is told to those only who may do something to it.
		gone := s.call(t, c.who, "SuspendAccount", &api.SuspendAccountRequest{AccountId: api.Some("777788889999")}, new(api.SuspendAccountResponse))
		if want := map[bool]string{true: "NotFoundException", false: denied}[slices.Equal(c.want, everything)]; gone != want {
			t.Errorf("%s, on an account that is not there: %q, want %q", c.name, gone, want)
		}
	}
}

// TestNobodyManages: a server whose access keys are all in its configuration has no account that manages others.
func TestNobodyManages(t *testing.T) {
	s := startConfigured(t, "")
	who := identity.Credentials{AccessKeyID: configuredKey, SecretAccessKey: "configured-secret"}
	if code := s.call(t, who, "ListAccounts", &api.ListAccountsRequest{}, new(api.ListAccountsResponse)); code != "AccessDeniedException" {
		t.Errorf("ListAccounts: %q", code)
	}
}

// TestDevManagesAccounts: in keyturn dev the account of whoever has no better credentials manages the others.
func TestDevManagesAccounts(t *testing.T) {
	s := startDev(t, "")
	any := func(id string) identity.Credentials {
		return identity.Credentials{AccessKeyID: id, SecretAccessKey: "needs-no-secret"}
	}
	var made api.CreateAccountResponse
	if code := s.call(t, any("keyturn"), "CreateAccount", &api.CreateAccountRequest{AccountName: api.Some("n")}, &made); code != "" {
		t.Fatal(code)
	}
	if code := s.call(t, any("111122223333"), "ListAccounts", &api.ListAccountsRequest{}, new(api.ListAccountsResponse)); code != "AccessDeniedException" {
		t.Errorf("another account: %q", code)
	}
	id, err := stsOf(s.URL, keyOf(made.AccessKey)).GetCallerIdentity(t.Context(), &awssts.GetCallerIdentityInput{})
	if err != nil || *id.Account != made.Account.AccountId.V {
		t.Errorf("the new key is of %+v, %v", id, err)
	}
	for _, id := range []string{"000000000000", "111122223333"} {
		if code := s.call(t, any("keyturn"), "SuspendAccount", &api.SuspendAccountRequest{AccountId: api.Some(id)}, new(api.SuspendAccountResponse)); code != "NotFoundException" {
			t.Errorf("suspending %s, which has no record: %q", id, code)
		}
	}
}

// TestCreateAccountInUse: nobody becomes the root user of what is somebody else's.
func TestCreateAccountInUse(t *testing.T) {
	s := startManaged(t)
	s.create(t, "444455556666")
	s.user(t, "100000000001", "ann", "")
	s.role(t, "100000000002", "deploy", allowing("*", "*"))
	s.put(t, &record.AccessKey{ID: "AKIAOFNOACCOUNT00000", Account: "100000000003", Secret: "x", Active: true})
	s.put(t, &record.AccountAlias{Alias: "taken", Account: "100000000005"})
	owner := record.Owner{Account: "100000000004", Region: "us-east-1"}
	s.put(t, &record.Alias{Owner: owner, Name: "alias/a"})
	for _, id := range []string{managing, "222233334444", "444455556666", "100000000001", "100000000002", "100000000003", "100000000004", "100000000005"} {
		in := &api.CreateAccountRequest{AccountName: api.Some("n"), AccountId: api.Some(id)}
		if code := s.call(t, s.root, "CreateAccount", in, new(api.CreateAccountResponse)); code != "AlreadyExistsException" {
			t.Errorf("%s: %q", id, code)
		}
	}
	// In keyturn dev every account is there, and what is in it is found, too.
	d := startDev(t, "")
	if _, err := kmsClient(d.URL, "111122223333", "us-east-1").CreateKey(t.Context(), &awskms.CreateKeyInput{}); err != nil {
		t.Fatal(err)
	}
	for id, want := range map[string]string{"111122223333": "AlreadyExistsException", "000000000000": "AlreadyExistsException", "111122223334": ""} {
		in := &api.CreateAccountRequest{AccountName: api.Some("n"), AccountId: api.Some(id)}
		if code := d.call(t, identity.Credentials{AccessKeyID: "keyturn", SecretAccessKey: "needs-no-secret"}, "CreateAccount", in, new(api.CreateAccountResponse)); code != want {
			t.Errorf("%s in keyturn dev: %q, want %q", id, code, want)
		}
	}
}

// TestAccountRaces: one of many makes an account, and a root user never has more than two access keys.
func TestAccountRaces(t *testing.T) {
	s := startManaged(t)
	s.create(t, "444455556666")
	for operation, in := range map[string]api.Response{
		"CreateAccount":       &api.CreateAccountRequest{AccountName: api.Some("n"), AccountId: api.Some("555566667777")},
		"CreateRootAccessKey": &api.CreateRootAccessKeyRequest{AccountId: api.Some("444455556666")},
	} {
		var done atomic.Int32
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				var out interface{ DecodeJSON([]byte) error } = new(api.CreateAccountResponse)
				if operation == "CreateRootAccessKey" {
					out = new(api.CreateRootAccessKeyResponse)
				}
				if code := s.call(t, s.root, operation, in, out); code == "" {
					done.Add(1)
				}
			})
		}
		all.Wait()
		if done.Load() != 1 {
			t.Errorf("%s: %d of 8 succeeded, want 1", operation, done.Load())
		}
	}
}

func stsOf(url string, who identity.Credentials) *awssts.Client {
	return awssts.New(awssts.Options{BaseEndpoint: &url, Region: "us-east-1", RetryMaxAttempts: 1, Credentials: provider(who)})
}

func kmsOf(url string, who identity.Credentials) *awskms.Client {
	return awskms.New(awskms.Options{BaseEndpoint: &url, Region: "us-east-1", RetryMaxAttempts: 1, Credentials: provider(who)})
}

// TestSuspension: everything that an account's principals sign with is refused from the commit on, and taken again when it resumes.
func TestSuspension(t *testing.T) {
	const id = "444455556666"
	s := startManaged(t)
	root := s.create(t, id)
	bystander := s.create(t, "555566667777")
	everybody := map[string]identity.Credentials{
		"root key": root, "root session": s.session(t, identity.Session{Kind: identity.RootSession, Account: id}),
		"user key": s.user(t, id, "ann", allowing("*", "*")), "role session": s.role(t, id, "deploy", allowing("*", "*")),
	}
	call := func(who identity.Credentials) string {
		_, err := kmsOf(s.URL, who).ListKeys(t.Context(), &awskms.ListKeysInput{})
		return apiCode(err)
	}
	look := func(when, want string) {
		t.Helper()
		for name, who := range everybody {
			if code := call(who); code != want {
				t.Errorf("%s, %s: %q, want %q", when, name, code, want)
			}
		}
		if code := call(bystander); code != "" {
			t.Errorf("%s, another account: %q", when, code)
		}
	}
	suspend, resume := &api.SuspendAccountRequest{AccountId: api.Some(id)}, &api.ResumeAccountRequest{AccountId: api.Some(id)}
	look("at first", "")
	for range 2 { // the second time nothing is different
		var out api.SuspendAccountResponse
		if code := s.call(t, s.root, "SuspendAccount", suspend, &out); code != "" || out.Account.State.V != api.AccountStateTypeSuspended || !out.Account.SuspensionDate.Set {
			t.Fatalf("SuspendAccount: %q %+v", code, out.Account)
		}
		look("suspended", "UnrecognizedClientException")
	}
	if _, err := stsOf(s.URL, root).GetCallerIdentity(t.Context(), &awssts.GetCallerIdentityInput{}); apiCode(err) != "InvalidClientTokenId" {
		t.Errorf("STS: %v", err)
	}
	for range 2 {
		var out api.ResumeAccountResponse
		if code := s.call(t, s.root, "ResumeAccount", resume, &out); code != "" || out.Account.State.V != api.AccountStateTypeActive || out.Account.SuspensionDate.Set {
			t.Fatalf("ResumeAccount: %q %+v", code, out.Account)
		}
		look("resumed", "")
	}
	if code := s.call(t, s.root, "SuspendAccount", &api.SuspendAccountRequest{AccountId: api.Some(managing)}, new(api.SuspendAccountResponse)); code != "ValidationException" {
		t.Errorf("suspending the account that manages: %q", code)
	}
	if code := s.call(t, s.root, "SuspendAccount", &api.SuspendAccountRequest{AccountId: api.Some("222233334444")}, new(api.SuspendAccountResponse)); code != "NotFoundException" {
		t.Errorf("suspending an account of the configuration: %q", code)
	}
}

// TestSuspendedAndConfigured: an account that was made here stays suspended when the configuration names it, too.
func TestSuspendedAndConfigured(t *testing.T) {
	s := startManaged(t)
	s.put(t, &record.Account{ID: "222233334444", Name: "both"})
	who := identity.Credentials{AccessKeyID: configuredKey, SecretAccessKey: "configured-secret"}
	session := s.session(t, identity.Session{Kind: identity.ConfiguredSession, Account: "222233334444", Base: configuredKey})
	for _, step := range []struct{ operation, want string }{{"SuspendAccount", "UnrecognizedClientException"}, {"ResumeAccount", ""}} {
		if code := s.call(t, s.root, step.operation, &api.SuspendAccountRequest{AccountId: api.Some("222233334444")}, new(api.SuspendAccountResponse)); code != "" {
			t.Fatalf("%s: %s", step.operation, code)
		}
		for _, c := range []identity.Credentials{who, session} {
			if _, err := kmsOf(s.URL, c).ListKeys(t.Context(), &awskms.ListKeysInput{}); apiCode(err) != step.want {
				t.Errorf("after %s, %s: %v", step.operation, c, err)
			}
		}
	}
}

func TestListAccounts(t *testing.T) {
	s := startManaged(t)
	want := []string{managing}
	for i := range 4 {
		id := fmt.Sprintf("10000000000%d", i)
		s.create(t, id)
		want = append(want, id)
	}
	slices.Sort(want)
	var got []string
	in := &api.ListAccountsRequest{Limit: api.Some[int64](2)}
	for range 10 {
		var out api.ListAccountsResponse
		if code := s.call(t, s.root, "ListAccounts", in, &out); code != "" {
			t.Fatal(code)
		}
		if len(out.Accounts) > 2 || out.Truncated.V != out.NextMarker.Set {
			t.Fatalf("page %+v", out)
		}
		for _, a := range out.Accounts {
			got = append(got, a.AccountId.V)
			if a.Management.V != (a.AccountId.V == managing) || a.State.V != api.AccountStateTypeActive || !a.CreationDate.Set {
				t.Errorf("%+v", a)
			}
		}
		if in.Marker = out.NextMarker; !in.Marker.Set {
			break
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	for _, marker := range []string{"x", "1/../n/2", "n/100000000000"} {
		if code := s.call(t, s.root, "ListAccounts", &api.ListAccountsRequest{Marker: api.Some(marker)}, new(api.ListAccountsResponse)); code != "InvalidMarkerException" {
			t.Errorf("marker %q: %q", marker, code)
		}
	}
	for _, bad := range []api.CreateAccountRequest{
		{}, {AccountName: api.Some("")}, {AccountName: api.Some(strings.Repeat("a", 51))}, {AccountName: api.Some("a\nb")},
		{AccountName: api.Some("a"), AccountId: api.Some("12345678901")}, {AccountName: api.Some("a"), AccountId: api.Some("12345678901/")},
	} {
		if code := s.call(t, s.root, "CreateAccount", &bad, new(api.CreateAccountResponse)); code != "ValidationException" {
			t.Errorf("%+v: %q", bad, code)
		}
	}
}

// TestRootKeys: another access key, instead of one or beside it, is in force at once, and only an account's own can be replaced.
func TestRootKeys(t *testing.T) {
	const id = "444455556666"
	s := startManaged(t)
	first, stranger := s.create(t, id), s.create(t, "555566667777")
	ann := s.user(t, id, "ann", "")
	works := func(who identity.Credentials) bool {
		_, err := stsOf(s.URL, who).GetCallerIdentity(t.Context(), &awssts.GetCallerIdentityInput{})
		return err == nil
	}
	another := func(replaced string) (identity.Credentials, string) {
		var out api.CreateRootAccessKeyResponse
		in := &api.CreateRootAccessKeyRequest{AccountId: api.Some(id)}
		if replaced != "" {
			in.ReplacedAccessKeyId = api.Some(replaced)
		}
		if code := s.call(t, s.root, "CreateRootAccessKey", in, &out); code != "" {
			return identity.Credentials{}, code
		}
		return keyOf(out.AccessKey), ""
	}
	second, code := another("")
	if code != "" || !works(first) || !works(second) {
		t.Fatalf("a second one: %q", code)
	}
	if _, code := another(""); code != "LimitExceededException" {
		t.Errorf("a third one: %q", code)
	}
	for name, replaced := range map[string]string{
		"of another account": stranger.AccessKeyID, "of a user": ann.AccessKeyID, "of the configuration": configuredKey, "of nobody": "AKIANOBODY0000000000",
	} {
		if _, code := another(replaced); code != "NotFoundException" {
			t.Errorf("in the place of one %s: %q", name, code)
		}
	}
	s.put(t, &record.AccessKeyUse{ID: first.AccessKeyID, At: time.Now(), Service: "kms", Region: "us-east-1"})
	third, code := another(first.AccessKeyID)
	if code != "" || works(first) || !works(second) || !works(third) || !works(stranger) {
		t.Errorf("in the place of the first: %q", code)
	}
	if r, err := s.app.pipeline.Record(t.Context(), record.AccessKeyUseStoreKey(first.AccessKeyID)); r != nil || err != nil {
		t.Errorf("what is known of the first one's use: %v, %v", r, err)
	}
}

// TestAccountsAreAudited: who did what is in the audit log, and no secret in any file.
func TestAccountsAreAudited(t *testing.T) {
	s := startManaged(t)
	made := s.create(t, "444455556666")
	var key api.CreateRootAccessKeyResponse
	if code := s.call(t, s.root, "CreateRootAccessKey", &api.CreateRootAccessKeyRequest{AccountId: api.Some("444455556666")}, &key); code != "" {
		t.Fatal(code)
	}
	s.call(t, made, "SuspendAccount", &api.SuspendAccountRequest{AccountId: api.Some(managing)}, new(api.SuspendAccountResponse))
	s.stop()
	found := map[string]auditEvent{}
	for _, e := range auditEvents(t, s.dir) {
		found[e.EventName] = e
	}
	if e := found["InitializeDeployment"]; e.EventType != "AwsServiceEvent" || e.Parameters["accountId"] != managing || e.Response["accessKeyId"] != s.root.AccessKeyID {
		t.Errorf("%+v", e)
	}
	if e := found["CreateAccount"]; e.Parameters["accountName"] != "one more" || e.Response["accessKeyId"] != made.AccessKeyID || e.ReadOnly ||
		e.UserIdentity["arn"] != "arn:aws:iam::"+managing+":root" {
		t.Errorf("%+v", e)
	}
	if e := found["CreateRootAccessKey"]; e.Parameters["accountId"] != "444455556666" || e.Response["accessKeyId"] != key.AccessKey.AccessKeyId.V {
		t.Errorf("%+v", e)
	}
	if e := found["SuspendAccount"]; e.ErrorCode != "AccessDeniedException" || e.UserIdentity["accountId"] != "444455556666" {
		t.Errorf("%+v", e)
	}
	err := filepath.WalkDir(s.dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		for _, c := range []identity.Credentials{s.root, made, keyOf(key.AccessKey)} {
			if strings.Contains(string(data), c.SecretAccessKey) {
				t.Errorf("%s holds the secret of %s", path, c.AccessKeyID)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestAccountsInOnePartition signs for a region of another partition: a Deny that names an account counts all the same.
func TestAccountsInOnePartition(t *testing.T) {
	s := startManaged(t)
	s.create(t, "100000000077")
	denied := s.user(t, managing, "warden", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"keyturn:*","Resource":"*"},`+
		`{"Effect":"Deny","Action":"keyturn:*","Resource":"arn:aws:keyturn::`+managing+`:account/100000000077"}]}`)
	for _, region := range []string{"us-east-1", "cn-north-1"} {
		c := &connection{cfg: aws.Config{Credentials: provider(denied), Region: region, HTTPClient: awshttp.NewBuildableClient()}, endpoint: s.URL}
		err := c.call(t.Context(), "Keyturn.SuspendAccount", &api.SuspendAccountRequest{AccountId: api.Some("100000000077")}, nil)
		if code := errorCode(err); code != "AccessDeniedException" {
			t.Errorf("signed for %s: %v", region, err)
		}
	}
}
