package iam_test

import (
	"bytes"
	"context"
	"crypto/fips140"
	"errors"
	"fmt"
	"image/png"
	"log/slog"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/audit"
	"github.com/keyturn/keyturn/internal/authz"
	"github.com/keyturn/keyturn/internal/clock"
	"github.com/keyturn/keyturn/internal/iam"
	"github.com/keyturn/keyturn/internal/identity"
	"github.com/keyturn/keyturn/internal/keys"
	"github.com/keyturn/keyturn/internal/policy"
	"github.com/keyturn/keyturn/internal/seal"
	"github.com/keyturn/keyturn/internal/service"
	"github.com/keyturn/keyturn/internal/store/memstore"
)

const mfaAccount = "111122223333"

// mfaBench is IAM over a store, at a time that stands still.
type mfaBench struct {
	t         *testing.T
	p         *service.Pipeline
	ops       map[string]*service.Op
	directory *identity.Directory
	root      *service.Caller
	region    string
	now       time.Time
}

func newMFABench(t *testing.T) *mfaBench {
	t.Helper()
	if fips140.Enforced() {
		t.Skip("HMAC-SHA-1 is refused in FIPS 140-only mode")
	}
	b := &mfaBench{t: t, root: service.RootCaller(mfaAccount, "AKIAROOT"), region: "eu-central-1", now: time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)}
	realTime := func() time.Time { return b.now }
	sealed, err := seal.Open(t.Context(), memstore.New(), seal.Options{Provider: seal.NewKeyFile(make([]byte, 32)), Now: b.now})
	if err != nil {
		t.Fatal(err)
	}
	b.directory = identity.NewDirectory(identity.Config{RealTime: realTime, Configured: map[string]identity.Configured{"AKIAMACHINE": {
		Secret: "machines-secret", Caller: service.NewCaller(service.Caller{
			Account: mfaAccount, ARN: "arn:aws:iam::" + mfaAccount + ":user/machine", Type: "IAMUser", PrincipalID: "AIDAMACHINE", UserName: "machine", AccessKeyID: "AKIAMACHINE",
		}),
	}}})
	b.p, err = service.New(t.Context(), service.Config{
		Store: sealed, Keyring: sealed.Keyring(), Clock: clock.System{}, Audit: audit.NewMemory(20_000), NodeID: "n1",
		Log: slog.New(slog.DiscardHandler), RealTime: realTime, Authorize: b.directory.Authorize,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.p.Close(context.Background()) })
	b.directory.Attach(b.p)
	b.ops = service.Table(iam.New(iam.Config{Directory: b.directory, MFA: identity.NewMFA(realTime), RealTime: realTime}).Operations())
	return b
}

// as runs an operation for a caller; the error is nil or an *api.Error.
func (b *mfaBench) as(caller *service.Caller, op string, req api.Request) (api.Response, *api.Error) {
	b.t.Helper()
	call := &service.Call{Caller: caller.In(b.region), Region: b.region, RequestID: keys.NewKeyID().String(), SourceIP: "192.0.2.1", UserAgent: "test"}
	resp, err := b.p.Do(context.Background(), b.ops["iam."+op], call, req, nil)
	if err == nil {
		return resp, nil
	}
	e := (*api.Error)(nil)
	if !errors.As(err, &e) {
		b.t.Errorf("%s: error of type %T: %v", op, err, err)
	}
	return nil, e
}

func mfaMust[R any](b *mfaBench, op string, req api.Request) *R {
	b.t.Helper()
	resp, err := b.as(b.root, op, req)
	if err != nil {
		b.t.Fatalf("%s: %v", op, err)
	}
	return any(resp).(*R)
}

// refuses checks how an operation is refused; a message that ends with ... is the beginning of one.
func (b *mfaBench) refuses(why, op string, req api.Request, code api.ErrorCode, message string) {
	b.t.Helper()
	_, err := b.as(b.root, op, req)
	begins, open := strings.CutSuffix(message, "...")
	if err == nil || err.Code != code || err.Message != message && !(open && strings.HasPrefix(err.Message, begins)) {
		b.t.Errorf("%s: %v, want %s: %s", why, err, code, message)
	}
}

func (b *mfaBench) user(name string) *api.User {
	b.t.Helper()
	return mfaMust[api.CreateUserResponse](b, "CreateUser", &api.CreateUserRequest{UserName: api.Some(name)}).User
}

func (b *mfaBench) device(q *api.CreateVirtualMFADeviceRequest) *api.VirtualMFADevice {
	b.t.Helper()
	return mfaMust[api.CreateVirtualMFADeviceResponse](b, "CreateVirtualMFADevice", q).VirtualMFADevice
}

func mfaNamed(name string) *api.CreateVirtualMFADeviceRequest {
	return &api.CreateVirtualMFADeviceRequest{VirtualMFADeviceName: api.Some(name)}
}

// codes are what a device shows so many steps from now, each.
func (b *mfaBench) codes(d *api.VirtualMFADevice, steps ...int) []string {
	b.t.Helper()
	var list []string
	for _, step := range steps {
		code, err := totp.GenerateCode(string(d.Base32StringSeed), b.now.Add(time.Duration(step)*30*time.Second))
		if err != nil {
			b.t.Fatal(err)
		}
		list = append(list, code)
	}
	return list
}

func (b *mfaBench) enabling(user string, d *api.VirtualMFADevice, steps ...int) *api.EnableMFADeviceRequest {
	b.t.Helper()
	codes := b.codes(d, steps...)
	return &api.EnableMFADeviceRequest{UserName: api.Some(user), SerialNumber: d.SerialNumber, AuthenticationCode1: api.Some(codes[0]), AuthenticationCode2: api.Some(codes[1])}
}

const mfaInvalid = "Authentication code for device is not valid."

// TestMFADevice takes a device through its life.
func TestMFADevice(t *testing.T) {
	b := newMFABench(t)
	ann := b.user("ann")
	b.user("bob")
	d := b.device(&api.CreateVirtualMFADeviceRequest{VirtualMFADeviceName: api.Some("Phone"), Path: api.Some("/team/"), Tags: []api.IamTag{{Key: api.Some("a"), Value: api.Some("b")}}})
	serial := "arn:aws:iam::" + mfaAccount + ":mfa/team/Phone"
	if d.SerialNumber.V != serial || !regexp.MustCompile(`^[A-Z2-7]{64}$`).Match(d.Base32StringSeed) || len(d.Tags) != 1 || d.User != nil || d.EnableDate.Set {
		t.Errorf("%+v", d)
	}
	if _, err := png.Decode(bytes.NewReader(d.QRCodePNG)); err != nil {
		t.Errorf("the QR code: %v", err)
	}
	if again := b.device(mfaNamed("other")); bytes.Equal(again.Base32StringSeed, d.Base32StringSeed) {
		t.Error("two devices have one secret")
	}
	for _, name := range []string{"Phone", "phone"} {
		b.refuses(name, "CreateVirtualMFADevice", mfaNamed(name), api.EntityAlreadyExists, "MFA device already exists.")
	}
	ofAnn := &api.DeactivateMFADeviceRequest{UserName: api.Some("ann"), SerialNumber: api.Some(serial)}
	b.refuses("not enabled yet", "DeactivateMFADevice", ofAnn, api.NoSuchEntity, "MFA Device invalid for user.")
	for why, steps := range map[string][]int{"in the wrong order": {0, -1}, "one left out": {-2, 0}, "the same twice": {0, 0}, "much too late": {-40, -39}} {
		b.refuses(why, "EnableMFADevice", b.enabling("ann", d, steps...), api.InvalidAuthenticationCode, mfaInvalid)
	}
	if _, err := b.as(b.root, "EnableMFADevice", b.enabling("ann", d, -1, 0)); err != nil {
		t.Fatal(err)
	}
	b.refuses("in use", "EnableMFADevice", b.enabling("bob", d, 1, 2), api.EntityAlreadyExists, "MFA Device is already in use.")
	b.refuses("in use", "DeleteVirtualMFADevice", &api.DeleteVirtualMFADeviceRequest{SerialNumber: api.Some(serial)}, api.DeleteConflict, "MFA VirtualDevice in use. Must deactivate first.")
	b.refuses("a user with a device", "DeleteUser", &api.DeleteUserRequest{UserName: api.Some("ann")}, api.DeleteConflict, "Cannot delete entity, must delete MFA device first.")
	got := mfaMust[api.GetMFADeviceResponse](b, "GetMFADevice", &api.GetMFADeviceRequest{UserName: api.Some("ann"), SerialNumber: api.Some(serial)})
	if got.UserName.V != "ann" || got.SerialNumber.V != serial || !got.EnableDate.Set {
		t.Errorf("%+v", got)
	}
	list := mfaMust[api.ListMFADevicesResponse](b, "ListMFADevices", &api.ListMFADevicesRequest{UserName: api.Some("ann")}).MFADevices
	if len(list) != 1 || list[0].SerialNumber.V != serial || list[0].UserName.V != "ann" || !list[0].EnableDate.Set {
		t.Errorf("%+v", list)
	}
	all := mfaMust[api.ListVirtualMFADevicesResponse](b, "ListVirtualMFADevices", &api.ListVirtualMFADevicesRequest{AssignmentStatus: api.Some(api.AssignmentStatusTypeAssigned)}).VirtualMFADevices
	if len(all) != 1 || all[0].SerialNumber.V != serial || all[0].User == nil || all[0].User.UserId != ann.UserId || !all[0].EnableDate.Set || all[0].Base32StringSeed != nil || all[0].QRCodePNG != nil {
		t.Errorf("%+v", all)
	}
	for op, req := range map[string]api.Request{
		"DeactivateMFADevice": &api.DeactivateMFADeviceRequest{UserName: api.Some("bob"), SerialNumber: api.Some(serial)},
		"GetMFADevice":        &api.GetMFADeviceRequest{UserName: api.Some("bob"), SerialNumber: api.Some(serial)},
		"ResyncMFADevice":     &api.ResyncMFADeviceRequest{UserName: api.Some("bob"), SerialNumber: api.Some(serial), AuthenticationCode1: api.Some("000000"), AuthenticationCode2: api.Some("000000")},
	} {
		b.refuses("of another user", op, req, api.NoSuchEntity, "MFA Device invalid for user.")
	}
	mfaMust[service.None](b, "DeactivateMFADevice", ofAnn)
	if list := mfaMust[api.ListMFADevicesResponse](b, "ListMFADevices", &api.ListMFADevicesRequest{UserName: api.Some("ann")}).MFADevices; len(list) != 0 {
		t.Errorf("%+v", list)
	}
	b.refuses("codes that were used", "EnableMFADevice", b.enabling("bob", d, -1, 0), api.InvalidAuthenticationCode, mfaInvalid)
	if _, err := b.as(b.root, "EnableMFADevice", b.enabling("bob", d, 1, 2)); err != nil {
		t.Errorf("for somebody else: %v", err)
	}
	mfaMust[service.None](b, "DeactivateMFADevice", &api.DeactivateMFADeviceRequest{UserName: api.Some("bob"), SerialNumber: api.Some(serial)})
	mfaMust[service.None](b, "DeleteVirtualMFADevice", &api.DeleteVirtualMFADeviceRequest{SerialNumber: api.Some(serial)})
	mfaMust[service.None](b, "DeleteUser", &api.DeleteUserRequest{UserName: api.Some("ann")})
	b.refuses("it is gone", "DeleteVirtualMFADevice", &api.DeleteVirtualMFADeviceRequest{SerialNumber: api.Some(serial)}, api.NoSuchEntity, "MFA Device with serial number "+serial+" does not exist.")
	b.device(mfaNamed("phone"))
}

// TestMFADeviceMissing names devices and users that are not there, and those that cannot have any.
func TestMFADeviceMissing(t *testing.T) {
	b := newMFABench(t)
	b.user("ann")
	d := b.device(mfaNamed("phone"))
	for _, serial := range []string{
		"GAHT12345678", d.SerialNumber.V + "x", strings.Replace(d.SerialNumber.V, "mfa/phone", "mfa/Phone", 1), strings.Replace(d.SerialNumber.V, "mfa/", "mfa/path/", 1),
		strings.Replace(d.SerialNumber.V, ":mfa", ":user", 1), strings.Replace(d.SerialNumber.V, mfaAccount, "999988887777", 1), strings.Replace(d.SerialNumber.V, "arn:aws:", "arn:aws-cn:", 1),
	} {
		missing := "MFA Device with serial number " + serial + " does not exist."
		s := api.Some(serial)
		for op, req := range map[string]api.Request{
			"DeleteVirtualMFADevice": &api.DeleteVirtualMFADeviceRequest{SerialNumber: s},
			"EnableMFADevice":        &api.EnableMFADeviceRequest{UserName: api.Some("ann"), SerialNumber: s, AuthenticationCode1: api.Some("000000"), AuthenticationCode2: api.Some("000000")},
			"DeactivateMFADevice":    &api.DeactivateMFADeviceRequest{UserName: api.Some("ann"), SerialNumber: s},
			"GetMFADevice":           &api.GetMFADeviceRequest{UserName: api.Some("ann"), SerialNumber: s},
			"TagMFADevice":           &api.TagMFADeviceRequest{SerialNumber: s, Tags: []api.IamTag{{Key: api.Some("a"), Value: api.Some("b")}}},
			"UntagMFADevice":         &api.UntagMFADeviceRequest{SerialNumber: s, TagKeys: []string{"a"}},
			"ListMFADeviceTags":      &api.ListMFADeviceTagsRequest{SerialNumber: s},
		} {
			b.refuses(op, op, req, api.NoSuchEntity, missing)
		}
	}
	for _, user := range []string{"machine", "nobody"} { // machine is in the configuration file
		b.refuses(user, "EnableMFADevice", b.enabling(user, d, -1, 0), api.NoSuchEntity, "The user with name "+user+" cannot be found.")
	}
	b.refuses("no user", "DeactivateMFADevice", &api.DeactivateMFADeviceRequest{SerialNumber: d.SerialNumber}, api.ValidationException, "Must specify userName when calling with non-User credentials")
	if list := mfaMust[api.ListMFADevicesResponse](b, "ListMFADevices", &api.ListMFADevicesRequest{}).MFADevices; len(list) != 0 {
		t.Errorf("of the root user: %+v", list)
	}
	for path, code := range map[string]api.ErrorCode{"/a*b/": api.ValidationException, "/a\"/": api.ValidationException, "/%61/": api.ValidationException, "/" + strings.Repeat("x", 222) + "/": api.ValidationException} {
		b.refuses(path, "CreateVirtualMFADevice", &api.CreateVirtualMFADeviceRequest{Path: api.Some(path), VirtualMFADeviceName: api.Some("name")}, code, "The ...")
	}
	b.refuses("a long name", "CreateVirtualMFADevice", mfaNamed(strings.Repeat("x", 227)), api.ValidationException, "1 validation error detected...")
	long := b.device(mfaNamed(strings.Repeat("x", 226)))
	mfaMust[service.None](b, "DeleteVirtualMFADevice", &api.DeleteVirtualMFADeviceRequest{SerialNumber: long.SerialNumber})
}

// TestMFADevicesPerUser enables as many devices as a user can have, and one more.
func TestMFADevicesPerUser(t *testing.T) {
	b := newMFABench(t)
	b.user("ann")
	for i := range 9 {
		d := b.device(mfaNamed(fmt.Sprint("phone", i)))
		if i == 8 {
			b.refuses("the ninth", "EnableMFADevice", b.enabling("ann", d, -1, 0), api.LimitExceeded, "Cannot exceed quota for MFADevicesPerUser: 8")
			continue
		}
		if _, err := b.as(b.root, "EnableMFADevice", b.enabling("ann", d, -1, 0)); err != nil {
			t.Fatal(err)
		}
	}
	var serials []string
	marker := api.Opt[string]{}
	for {
		page := mfaMust[api.ListMFADevicesResponse](b, "ListMFADevices", &api.ListMFADevicesRequest{UserName: api.Some("ann"), MaxItems: api.Some[int64](3), Marker: marker})
		for _, d := range page.MFADevices {
			serials = append(serials, d.SerialNumber.V)
		}
		if !page.IsTruncated.V {
			break
		}
		marker = page.Marker
	}
	if len(serials) != 8 || !slices.IsSorted(serials) {
		t.Errorf("%d devices: %q", len(serials), serials)
	}
}

// TestListVirtualMFADevices lists devices by their status, page by page.
func TestListVirtualMFADevices(t *testing.T) {
	b := newMFABench(t)
	b.user("ann")
	want := map[api.AssignmentStatusType][]string{}
	for i := range 7 {
		d := b.device(mfaNamed(fmt.Sprint("d", i)))
		status := api.AssignmentStatusTypeUnassigned
		if i%3 == 0 {
			status = api.AssignmentStatusTypeAssigned
			if _, err := b.as(b.root, "EnableMFADevice", b.enabling("ann", d, -1, 0)); err != nil {
				t.Fatal(err)
			}
		}
		for _, s := range []api.AssignmentStatusType{status, api.AssignmentStatusTypeAny, ""} {
			want[s] = append(want[s], d.SerialNumber.V)
		}
	}
	for status, serials := range want {
		for _, items := range []int64{1, 2, 7, 100} {
			var got []string
			q := &api.ListVirtualMFADevicesRequest{MaxItems: api.Some(items)}
			if status != "" {
				q.AssignmentStatus = api.Some(status)
			}
			for {
				page := mfaMust[api.ListVirtualMFADevicesResponse](b, "ListVirtualMFADevices", q)
				for _, d := range page.VirtualMFADevices {
					got = append(got, d.SerialNumber.V)
					if (d.User != nil) != d.EnableDate.Set {
						t.Errorf("%+v", d)
					}
				}
				if len(page.VirtualMFADevices) > int(items) {
					t.Errorf("a page of %d", len(page.VirtualMFADevices))
				}
				if !page.IsTruncated.V {
					break
				}
				q.Marker = page.Marker
			}
			if !slices.Equal(got, serials) {
				t.Errorf("%q by %d: %q, want %q", status, items, got, serials)
			}
		}
	}
	b.refuses("another list's marker", "ListVirtualMFADevices", &api.ListVirtualMFADevicesRequest{Marker: api.Some("MS91c2VyL3g")}, api.ValidationException, "Invalid Marker.")
}

// TestMFADeviceTags tags a device.
func TestMFADeviceTags(t *testing.T) {
	b := newMFABench(t)
	d := b.device(mfaNamed("phone"))
	tag := func(k, v string) api.IamTag { return api.IamTag{Key: api.Some(k), Value: api.Some(v)} }
	mfaMust[service.None](b, "TagMFADevice", &api.TagMFADeviceRequest{SerialNumber: d.SerialNumber, Tags: []api.IamTag{tag("Team", "red"), tag("a", "b")}})
	mfaMust[service.None](b, "TagMFADevice", &api.TagMFADeviceRequest{SerialNumber: d.SerialNumber, Tags: []api.IamTag{tag("team", "blue")}})
	mfaMust[service.None](b, "UntagMFADevice", &api.UntagMFADeviceRequest{SerialNumber: d.SerialNumber, TagKeys: []string{"A"}})
	tags := mfaMust[api.ListMFADeviceTagsResponse](b, "ListMFADeviceTags", &api.ListMFADeviceTagsRequest{SerialNumber: d.SerialNumber}).Tags
	if len(tags) != 1 || tags[0].Key.V != "team" || tags[0].Value.V != "blue" {
		t.Errorf("%+v", tags)
	}
	b.refuses("a reserved name", "TagMFADevice", &api.TagMFADeviceRequest{SerialNumber: d.SerialNumber, Tags: []api.IamTag{tag("aws:x", "y")}}, api.InvalidInput, "System tags...")
	b.refuses("twice", "CreateVirtualMFADevice", &api.CreateVirtualMFADeviceRequest{VirtualMFADeviceName: api.Some("x"), Tags: []api.IamTag{tag("a", "1"), tag("A", "2")}}, api.InvalidInput, "Duplicate tag keys found...")
}

// TestMFAPartition: in another partition serial numbers begin differently, and so they must be given there.
func TestMFAPartition(t *testing.T) {
	b := newMFABench(t)
	b.user("ann")
	b.region = "cn-north-1"
	d := b.device(mfaNamed("phone"))
	if d.SerialNumber.V != "arn:aws-cn:iam::"+mfaAccount+":mfa/phone" {
		t.Errorf("%s", d.SerialNumber.V)
	}
	if _, err := b.as(b.root, "EnableMFADevice", b.enabling("ann", d, -1, 0)); err != nil {
		t.Fatal(err)
	}
	if list := mfaMust[api.ListMFADevicesResponse](b, "ListMFADevices", &api.ListMFADevicesRequest{UserName: api.Some("ann")}).MFADevices; len(list) != 1 || list[0].SerialNumber != d.SerialNumber {
		t.Errorf("%+v", list)
	}
}

// mfaSelfService is what AWS's guide gives to users who manage their own devices ("AWS: Allows MFA-authenticated IAM users to manage their own
// MFA device on the Security credentials page").
const mfaSelfService = `{"Version":"2012-10-17","Statement":[
	{"Effect":"Allow","Action":["iam:ListVirtualMFADevices"],"Resource":"*"},
	{"Effect":"Allow","Action":["iam:CreateVirtualMFADevice"],"Resource":"arn:aws:iam::*:mfa/*"},
	{"Effect":"Allow","Action":["iam:EnableMFADevice","iam:GetMFADevice","iam:ListMFADevices","iam:ResyncMFADevice"],"Resource":"arn:aws:iam::*:user/${aws:username}"},
	{"Effect":"Allow","Action":["iam:TagMFADevice","iam:DeleteVirtualMFADevice"],"Resource":"*","Condition":{"StringEquals":{"aws:ResourceTag/owner":"${aws:username}"}}},
	{"Effect":"Deny","NotAction":["iam:CreateVirtualMFADevice","iam:EnableMFADevice","iam:GetMFADevice","iam:ListMFADevices","iam:ListVirtualMFADevices","iam:ResyncMFADevice","sts:GetSessionToken"],
		"Resource":"*","Condition":{"BoolIfExists":{"aws:MultiFactorAuthPresent":"false"}}}]}`

// TestMFASelfService lets a user enable a device for themselves, and for nobody else.
func TestMFASelfService(t *testing.T) {
	b := newMFABench(t)
	b.user("bob")
	found, err := b.directory.Principal(t.Context(), b.user("ann").Arn.V)
	if err != nil {
		t.Fatal(err)
	}
	p, err := policy.Parse([]byte(mfaSelfService))
	if err != nil {
		t.Fatal(err)
	}
	who := *found
	who.Identity = &authz.Identity{Policies: []authz.Named{{Name: "self", Compiled: policy.Compile(p)}}}
	plain := service.NewCaller(who)
	who.Session = &service.Session{Issued: b.now, MFA: b.now}
	withMFA := service.NewCaller(who)
	d := b.device(mfaNamed("phone"))
	mine := b.device(&api.CreateVirtualMFADeviceRequest{VirtualMFADeviceName: api.Some("mine"), Tags: []api.IamTag{{Key: api.Some("owner"), Value: api.Some("ann")}}})
	tags := []api.IamTag{{Key: api.Some("a"), Value: api.Some("b")}}
	for _, tc := range []struct {
		why  string
		who  *service.Caller
		op   string
		req  api.Request
		want api.ErrorCode // "" for success
	}{
		{"makes a device", plain, "CreateVirtualMFADevice", mfaNamed("new"), ""},
		{"with a tag", plain, "CreateVirtualMFADevice", &api.CreateVirtualMFADeviceRequest{VirtualMFADeviceName: api.Some("new2"), Tags: tags}, api.AccessDeniedException},
		{"lists devices", plain, "ListVirtualMFADevices", &api.ListVirtualMFADevicesRequest{}, ""},
		{"enables it for bob", plain, "EnableMFADevice", b.enabling("bob", d, -1, 0), api.AccessDeniedException},
		{"for nobody", plain, "EnableMFADevice", b.enabling("nobody", d, -1, 0), api.AccessDeniedException},
		{"for herself", plain, "EnableMFADevice", b.enabling("ann", d, -1, 0), ""},
		{"looks at her own", plain, "ListMFADevices", &api.ListMFADevicesRequest{}, ""},
		{"looks at one of her own", plain, "GetMFADevice", &api.GetMFADeviceRequest{SerialNumber: d.SerialNumber}, ""},
		{"looks at bob's", plain, "ListMFADevices", &api.ListMFADevicesRequest{UserName: api.Some("bob")}, api.AccessDeniedException},
		{"deactivates it", withMFA, "DeactivateMFADevice", &api.DeactivateMFADeviceRequest{SerialNumber: d.SerialNumber}, api.AccessDeniedException},
		{"deletes what is not tagged as hers", withMFA, "DeleteVirtualMFADevice", &api.DeleteVirtualMFADeviceRequest{SerialNumber: d.SerialNumber}, api.AccessDeniedException},
		{"deletes what is not there", withMFA, "DeleteVirtualMFADevice", &api.DeleteVirtualMFADeviceRequest{SerialNumber: api.Some("GAHT12345678")}, api.AccessDeniedException},
		{"tags hers without MFA", plain, "TagMFADevice", &api.TagMFADeviceRequest{SerialNumber: mine.SerialNumber, Tags: tags}, api.AccessDeniedException},
		{"tags hers", withMFA, "TagMFADevice", &api.TagMFADeviceRequest{SerialNumber: mine.SerialNumber, Tags: tags}, ""},
		{"deletes hers", withMFA, "DeleteVirtualMFADevice", &api.DeleteVirtualMFADeviceRequest{SerialNumber: mine.SerialNumber}, ""},
	} {
		_, err := b.as(tc.who, tc.op, tc.req)
		if err == nil && tc.want != "" || err != nil && err.Code != tc.want {
			t.Errorf("%s: %v, want %q", tc.why, err, tc.want)
		}
	}
}
