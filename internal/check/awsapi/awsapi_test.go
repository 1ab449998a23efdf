package awsapi

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/kms"

	"github.com/keyturn/keyturn/internal/check"
)

// serve answers as AWS would: answers are by X-Amz-Target's operation, by the form's Action, or by path.
func serve(t *testing.T, answers map[string]func(body string) (int, string)) aws.Config {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		_, name, ok := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
		if i := strings.LastIndex(name, "."); ok && i >= 0 { // com.amazonaws.cloudtrail....
			name = name[i+1:]
		}
		if form, err := url.ParseQuery(string(body)); !ok && err == nil && form.Get("Action") != "" {
			name = form.Get("Action")
		}
		if name == "" {
			name = r.URL.Path
		}
		answer := answers[name]
		if answer == nil {
			t.Errorf("nobody expected %s", name)
			w.WriteHeader(http.StatusNotFound)
			return
		}
		status, text := answer(string(body))
		w.WriteHeader(status)
		_, _ = io.WriteString(w, text)
	}))
	t.Cleanup(srv.Close)
	return aws.Config{
		Region: "us-east-1", BaseEndpoint: &srv.URL, Credentials: credentials.NewStaticCredentialsProvider("a", "b-secret-of-some-length", ""),
		Retryer: func() aws.Retryer { return aws.NopRetryer{} },
	}
}

func always(text string) func(string) (int, string) {
	return func(string) (int, string) { return http.StatusOK, text }
}

func document(s string) string { return url.PathEscape(s) }

const allow = `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"kms:EnableKeyRotation","Resource":"*"}}`

// Policies are put with whom they are attached to: inline, managed, those of groups, boundaries; pages are read to the last.
func TestIAM(t *testing.T) {
	page := func(inner, marker string) string {
		more := "<IsTruncated>false</IsTruncated>"
		if marker != "" {
			more = "<IsTruncated>true</IsTruncated><Marker>" + marker + "</Marker>"
		}
		return `<GetAccountAuthorizationDetailsResponse xmlns="https://iam.amazonaws.com/doc/2010-05-08/"><GetAccountAuthorizationDetailsResult>` +
			more + inner + `</GetAccountAuthorizationDetailsResult></GetAccountAuthorizationDetailsResponse>`
	}
	first := page(`<UserDetailList><member><Arn>arn:aws:iam::111122223333:user/ann</Arn><UserName>ann</UserName>
		<UserPolicyList><member><PolicyName>inline</PolicyName><PolicyDocument>`+document(allow)+`</PolicyDocument></member></UserPolicyList>
		<GroupList><member>admins</member></GroupList>
		<PermissionsBoundary><PermissionsBoundaryType>Policy</PermissionsBoundaryType><PermissionsBoundaryArn>arn:aws:iam::aws:policy/P</PermissionsBoundaryArn></PermissionsBoundary>
		</member></UserDetailList>`, "more")
	second := page(`<GroupDetailList><member><GroupName>admins</GroupName><GroupPolicyList/>
		<AttachedManagedPolicies><member><PolicyName>P</PolicyName><PolicyArn>arn:aws:iam::aws:policy/P</PolicyArn></member></AttachedManagedPolicies></member></GroupDetailList>
		<RoleDetailList><member><Arn>arn:aws:iam::111122223333:role/ops</Arn><RoleName>ops</RoleName>
		<AttachedManagedPolicies><member><PolicyName>Gone</PolicyName><PolicyArn>arn:aws:iam::aws:policy/Gone</PolicyArn></member></AttachedManagedPolicies>
		<RolePolicyList><member><PolicyName>broken</PolicyName><PolicyDocument>%7B</PolicyDocument></member></RolePolicyList></member></RoleDetailList>
		<Policies><member><PolicyName>P</PolicyName><Arn>arn:aws:iam::aws:policy/P</Arn><PolicyVersionList>
		<member><IsDefaultVersion>false</IsDefaultVersion><Document>%7B</Document></member>
		<member><IsDefaultVersion>true</IsDefaultVersion><Document>`+document(allow)+`</Document></member></PolicyVersionList></member></Policies>`, "")
	cfg := serve(t, map[string]func(string) (int, string){"GetAccountAuthorizationDetails": func(body string) (int, string) {
		if strings.Contains(body, "Marker=more") {
			return http.StatusOK, second
		}
		return http.StatusOK, first
	}})
	all, err := NewAccount(cfg, time.Now).IAM(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(all.Principals) != 2 {
		t.Fatalf("%+v", all)
	}
	ann, ops := all.Principals[0], all.Principals[1]
	if ann.ARN != "arn:aws:iam::111122223333:user/ann" || len(ann.Policies) != 2 || ann.Policies[1].Name != "P" || ann.Policies[1].Policy == nil || ann.Boundary == nil || ann.Boundary.Policy == nil {
		t.Errorf("%+v", ann)
	}
	if len(ops.Policies) != 2 || ops.Policies[0].Err == nil || ops.Policies[1].Err == nil || ops.Boundary != nil {
		t.Errorf("a document that is not understood, and one that is not there, must be told: %+v", ops)
	}
}

func TestRotationEvents(t *testing.T) {
	now := time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)
	event := func(id, body string) string {
		quoted, _ := json.Marshal(body)
		return fmt.Sprintf(`{"EventId":%q,"EventName":"RotateKey","EventTime":%d,"CloudTrailEvent":%s}`, id, now.Unix()-60, quoted)
	}
	const arn = "arn:aws-cn:kms:cn-north-1:111122223333:key/k1"
	cfg := serve(t, map[string]func(string) (int, string){"LookupEvents": func(body string) (int, string) {
		var in struct {
			NextToken string
			StartTime float64
		}
		if err := json.Unmarshal([]byte(body), &in); err != nil || int64(in.StartTime) != now.Add(-90*24*time.Hour).Unix() {
			t.Errorf("%s, %v", body, err)
		}
		if in.NextToken == "" {
			return http.StatusOK, `{"NextToken":"t","Events":[` + event("e1", `{"resources":[{"ARN":"`+arn+`"}]}`) + "," + event("odd", `{`) + `]}`
		}
		return http.StatusOK, `{"Events":[` + event("e2", `{"recipientAccountId":"111122223333","serviceEventDetails":{"keyId":"k1"}}`) + "," + event("none", `{}`) + `]}`
	}})
	events, err := NewAccount(cfg, func() time.Time { return now }).RotationEvents(t.Context(), "cn-north-1")
	if err != nil || len(events) != 1 || len(events[arn]) != 2 || events[arn][0].ID != "e1" || events[arn][1].ID != "e2" {
		t.Errorf("%+v, %v", events, err)
	}
}

func TestRegions(t *testing.T) {
	cfg := serve(t, map[string]func(string) (int, string){"/listRegions": always(`{"Regions":[{"RegionName":"eu-west-1","RegionOptStatus":"ENABLED"},{"RegionName":"us-east-1"}]}`)})
	names, err := Regions(t.Context(), cfg)
	if err != nil || strings.Join(names, " ") != "eu-west-1 us-east-1" {
		t.Errorf("%v, %v", names, err)
	}
}

// keys returns a Source of a made-up endpoint.
func keys(t *testing.T, answers map[string]func(string) (int, string)) *Keys {
	cfg := serve(t, answers)
	k, err := NewKeys("us-east-1", func(region string) (*kms.Client, error) {
		return kms.NewFromConfig(cfg, func(o *kms.Options) { o.Region = region }), nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func refused(code string) func(string) (int, string) {
	return func(string) (int, string) { return http.StatusBadRequest, `{"__type":"` + code + `","message":"m"}` }
}

// Endpoints that know less than AWS tell less, and that is no error; a refusal is one.
func TestOlderEndpoints(t *testing.T) {
	k := &check.Key{ID: "k1"}
	for _, code := range []string{"UnsupportedOperationException", "UnknownOperationException"} {
		s := keys(t, map[string]func(string) (int, string){"GetKeyLastUsage": refused(code), "ListKeyRotations": refused("UnsupportedOperationException")})
		if u, err := s.Usage(t.Context(), k); u != nil || err != nil {
			t.Errorf("%s: %+v, %v", code, u, err)
		}
		if m, err := s.Materials(t.Context(), k); m != nil || err != nil {
			t.Errorf("%+v, %v", m, err)
		}
	}
	s := keys(t, map[string]func(string) (int, string){"GetKeyLastUsage": refused("AccessDeniedException"), "ListKeyRotations": refused("AccessDeniedException"), "DescribeKey": always(`{}`)})
	if _, err := s.Usage(t.Context(), k); check.ErrorCode(err) != "AccessDeniedException" {
		t.Error(err)
	}
	if _, err := s.Materials(t.Context(), k); check.ErrorCode(err) != "AccessDeniedException" {
		t.Error(err)
	}
	if _, err := s.Describe(t.Context(), "k1"); err == nil {
		t.Error("an answer without metadata is taken")
	}
}

// What rotation status AWS has of keys that cannot rotate is none, and that is off; of one that can it is an error. A page that says
// there is more must say where. Who manages a key is taken for the customer where nobody says.
func TestOddAnswers(t *testing.T) {
	s := keys(t, map[string]func(string) (int, string){
		"GetKeyRotationStatus": refused("UnsupportedOperationException"), "ListKeys": always(`{"Keys":[],"Truncated":true}`),
		"DescribeKey": always(`{"KeyMetadata":{"KeyId":"k1","CustomerMasterKeySpec":"SYMMETRIC_DEFAULT"}}`),
	})
	if r, err := s.Rotation(t.Context(), &check.Key{ID: "k1", Spec: check.SpecSymmetric, Origin: check.OriginExternal}); err != nil || r.Enabled {
		t.Errorf("%+v, %v", r, err)
	}
	if _, err := s.Rotation(t.Context(), &check.Key{ID: "k1", Spec: check.SpecSymmetric, Origin: check.OriginKMS}); err == nil {
		t.Error("a key that can rotate")
	}
	if _, err := s.Keys(t.Context(), ""); err == nil {
		t.Error("a list that is cut short")
	}
	if k, err := s.Describe(t.Context(), "k1"); err != nil || k.Manager != check.ManagerCustomer || k.Spec != check.SpecSymmetric {
		t.Errorf("%+v, %v", k, err)
	}
}

// Lists that never end are errors.
func TestEndlessLists(t *testing.T) {
	s := keys(t, map[string]func(string) (int, string){
		"ListAliases":      always(`{"Aliases":[],"Truncated":true,"NextMarker":"x"}`),
		"ListResourceTags": always(`{"Tags":[],"Truncated":true,"NextMarker":"x"}`),
		"ListKeyRotations": always(`{"Rotations":[],"Truncated":true,"NextMarker":"x"}`),
	})
	k := &check.Key{ID: "k1"}
	_, err1 := s.Aliases(t.Context(), k)
	_, err2 := s.Tags(t.Context(), k)
	_, err3 := s.Materials(t.Context(), k)
	for _, err := range []error{err1, err2, err3} {
		if err == nil || !strings.Contains(err.Error(), "pages") {
			t.Error(err)
		}
	}
}
