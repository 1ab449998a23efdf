package kms_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/kms"
	"github.com/keyturn/keyturn/internal/service"
)

func TestKeyStoreMembers(t *testing.T) {
	b, _ := storesBench(t, kms.Config{})
	token := func(change func(*api.CreateCustomKeyStoreRequest)) *api.CreateCustomKeyStoreRequest {
		q := tokenStore("a", clusterA)
		change(q)
		return q
	}
	proxy := func(change func(*api.CreateCustomKeyStoreRequest)) *api.CreateCustomKeyStoreRequest {
		q := publicStore("a", "proxy.example")
		change(q)
		return q
	}
	type Q = api.CreateCustomKeyStoreRequest
	for name, q := range map[string]*Q{
		"no cluster":          token(func(q *Q) { q.CloudHsmClusterId.Set = false }),
		"no password":         token(func(q *Q) { q.KeyStorePassword.Set = false }),
		"no trust anchor":     token(func(q *Q) { q.TrustAnchorCertificate.Set = false }),
		"token with endpoint": token(func(q *Q) { q.XksProxyUriEndpoint = str("https://proxy.example") }),
		"token with service":  token(func(q *Q) { q.XksProxyVpcEndpointServiceName = str(vpcName) }),
		"no connectivity":     proxy(func(q *Q) { q.XksProxyConnectivity.Set = false }),
		"no credential":       proxy(func(q *Q) { q.XksProxyAuthenticationCredential = nil }),
		"no endpoint":         proxy(func(q *Q) { q.XksProxyUriEndpoint.Set = false }),
		"no path":             proxy(func(q *Q) { q.XksProxyUriPath.Set = false }),
		"proxy with cluster":  proxy(func(q *Q) { q.CloudHsmClusterId = str(clusterA) }),
		"proxy with password": proxy(func(q *Q) { q.KeyStorePassword = str(password) }),
		"public with service": proxy(func(q *Q) { q.XksProxyVpcEndpointServiceName = str(vpcName) }),
		"public with owner":   proxy(func(q *Q) { q.XksProxyVpcEndpointServiceOwner = str(account) }),
		"private without service": proxy(func(q *Q) {
			q.XksProxyConnectivity = str(api.XksProxyConnectivityTypeVpcEndpointService)
		}),
	} {
		if _, err := b.do(t, "CreateCustomKeyStore", q); err == nil || err.Code != api.ValidationException {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestKeyStoreDescribe looks at what is told of each type, by ID, by name and in pages.
func TestKeyStoreDescribe(t *testing.T) {
	b, _ := storesBench(t, kms.Config{})
	ids := []string{
		b.newStore(t, tokenStore("hsm", clusterA)), b.newStore(t, publicStore("public", "public.example")), b.newStore(t, privateStore("private", "private.example")),
	}
	e := b.store(t, ids[0])
	if e.CustomKeyStoreType.V != api.CustomKeyStoreTypeAwsCloudhsm || e.CloudHsmClusterId.V != clusterA || e.TrustAnchorCertificate.V != anchor("one") ||
		e.ConnectionState.V != api.ConnectionStateTypeDisconnected || e.ConnectionErrorCode.Set || !e.CreationDate.V.Equal(start) ||
		e.CustomKeyStoreName.V != "hsm" || e.XksProxyConfiguration != nil {
		t.Errorf("token store: %+v", e)
	}
	e = b.store(t, ids[1])
	if x := e.XksProxyConfiguration; x == nil || e.CloudHsmClusterId.Set || e.TrustAnchorCertificate.Set || x.UriEndpoint.V != "https://public.example" ||
		x.UriPath.V != "/kms/xks/v1" || x.AccessKeyId.V != accessID || x.Connectivity.V != api.XksProxyConnectivityTypePublicEndpoint || x.VpcEndpointServiceName.Set {
		t.Errorf("external store: %+v", e)
	}
	if x := b.store(t, ids[2]).XksProxyConfiguration; x.VpcEndpointServiceName.V != vpcName || x.VpcEndpointServiceOwner.V != account {
		t.Errorf("private store: %+v", x)
	}
	type Q = api.DescribeCustomKeyStoresRequest
	byName := must[api.DescribeCustomKeyStoresResponse](t, b, "DescribeCustomKeyStores", &Q{CustomKeyStoreName: str("public")}).CustomKeyStores
	if len(byName) != 1 || byName[0].CustomKeyStoreId.V != ids[1] {
		t.Errorf("by name: %+v", byName)
	}
	var paged []string
	for q := (&Q{Limit: api.Some[int64](2)}); ; {
		r := must[api.DescribeCustomKeyStoresResponse](t, b, "DescribeCustomKeyStores", q)
		for _, e := range r.CustomKeyStores {
			paged = append(paged, e.CustomKeyStoreId.V)
		}
		if r.Truncated.V != r.NextMarker.Set {
			t.Errorf("truncated %v with marker %v", r.Truncated, r.NextMarker)
		}
		if q.Marker = r.NextMarker; !q.Marker.Set {
			break
		}
	}
	slices.Sort(ids)
	if !slices.Equal(paged, ids) {
		t.Errorf("pages have %v, want %v", paged, ids)
	}
	b.refused(t, api.ValidationException, "DescribeCustomKeyStores", &Q{CustomKeyStoreId: str(ids[0]), CustomKeyStoreName: str("hsm")})
	b.refused(t, api.InvalidMarkerException, "DescribeCustomKeyStores", &Q{Marker: str("nonsense")})
	for _, q := range []*Q{{CustomKeyStoreId: str("cks-00000000000000000")}, {CustomKeyStoreId: str("../" + ids[0])}, {CustomKeyStoreName: str("nobody")}} {
		b.refused(t, api.CustomKeyStoreNotFoundException, "DescribeCustomKeyStores", q)
	}
}

func TestKeyStoreUniqueness(t *testing.T) {
	b, _ := storesBench(t, kms.Config{})
	b.newStore(t, tokenStore("hsm", clusterA))
	b.newStore(t, publicStore("public", "public.example"))
	b.newStore(t, privateStore("private", "private.example"))
	type Q = api.CreateCustomKeyStoreRequest
	with := func(q *Q, change func(*Q)) *Q { change(q); return q }
	for _, c := range []struct {
		code api.ErrorCode
		q    *Q
	}{
		{api.CustomKeyStoreNameInUseException, tokenStore("hsm", clusterB)},
		{api.CustomKeyStoreNameInUseException, publicStore("hsm", "new.example")},
		{api.CloudHsmClusterInUseException, tokenStore("new", clusterA)},
		{api.XksProxyUriInUseException, publicStore("new", "public.example")},
		{api.XksProxyUriInUseException, publicStore("new", "PUBLIC.example")},
		{api.XksProxyUriEndpointInUseException, with(publicStore("new", "private.example"), func(q *Q) { q.XksProxyUriPath = str("/other/kms/xks/v1") })},
		{api.XksProxyVpcEndpointServiceInUseException, privateStore("new", "new.example")},
	} {
		b.refused(t, c.code, "CreateCustomKeyStore", c.q)
	}
	// Another path of a public endpoint is another proxy.
	id := b.newStore(t, with(publicStore("new", "public.example"), func(q *Q) { q.XksProxyUriPath = str("/other/kms/xks/v1") }))
	type U = api.UpdateCustomKeyStoreRequest
	b.refused(t, api.CustomKeyStoreNameInUseException, "UpdateCustomKeyStore", &U{CustomKeyStoreId: str(id), NewCustomKeyStoreName: str("hsm")})
	b.refused(t, api.XksProxyUriInUseException, "UpdateCustomKeyStore", &U{CustomKeyStoreId: str(id), XksProxyUriPath: str("/kms/xks/v1")})
	b.run(t, "UpdateCustomKeyStore", &U{CustomKeyStoreId: str(id), NewCustomKeyStoreName: str("new")})
	// What a deleted one had is free again.
	b.run(t, "DeleteCustomKeyStore", &api.DeleteCustomKeyStoreRequest{CustomKeyStoreId: str(id)})
	b.newStore(t, with(publicStore("new", "public.example"), func(q *Q) { q.XksProxyUriPath = str("/other/kms/xks/v1") }))
}

func TestKeyStoreLimit(t *testing.T) {
	b, _ := storesBench(t, kms.Config{})
	for i := range 10 {
		b.newStore(t, publicStore(fmt.Sprint(i), fmt.Sprintf("proxy-%d.example", i)))
	}
	b.refused(t, api.LimitExceededException, "CreateCustomKeyStore", publicStore("more", "more.example"))
}

// TestKeyStoreFaults has every fault that a token or proxy can have when a custom key store is made, and when it is connected.
func TestKeyStoreFaults(t *testing.T) {
	for _, c := range []struct {
		fault   kms.Fault
		token   bool
		code    api.ErrorCode // of CreateCustomKeyStore; "" if it reaches nothing that has the fault
		connect api.ConnectionErrorCodeType
	}{
		{kms.FaultInactive, true, api.CloudHsmClusterNotActiveException, api.ConnectionErrorCodeTypeNetworkErrors},
		{kms.FaultModule, true, api.CloudHsmClusterInvalidConfigurationException, api.ConnectionErrorCodeTypeInternalError},
		{kms.FaultNoToken, true, api.CloudHsmClusterInvalidConfigurationException, api.ConnectionErrorCodeTypeInsufficientCloudhsmHsms},
		{kms.FaultPassword, true, "", api.ConnectionErrorCodeTypeInvalidCredentials},
		{kms.FaultLocked, true, "", api.ConnectionErrorCodeTypeUserLockedOut},
		{kms.FaultNoUser, true, "", api.ConnectionErrorCodeTypeUserNotFound},
		{kms.FaultLoggedIn, true, "", api.ConnectionErrorCodeTypeUserLoggedIn},
		{kms.FaultInternal, true, api.KMSInternalException, api.ConnectionErrorCodeTypeInternalError},
		{kms.FaultTimeout, false, api.XksProxyUriUnreachableException, api.ConnectionErrorCodeTypeXksProxyTimedOut},
		{kms.FaultUnreachable, false, api.XksProxyUriUnreachableException, api.ConnectionErrorCodeTypeXksProxyNotReachable},
		{kms.FaultUnhealthy, false, api.XksProxyUriUnreachableException, api.ConnectionErrorCodeTypeXksProxyNotReachable},
		{kms.FaultThrottled, false, api.XksProxyUriUnreachableException, api.ConnectionErrorCodeTypeXksProxyNotReachable},
		{kms.FaultTLS, false, api.XksProxyInvalidConfigurationException, api.ConnectionErrorCodeTypeXksProxyInvalidTlsConfiguration},
		{kms.FaultPath, false, api.XksProxyInvalidConfigurationException, api.ConnectionErrorCodeTypeXksProxyInvalidConfiguration},
		{kms.FaultCredential, false, api.XksProxyIncorrectAuthenticationCredentialException, api.ConnectionErrorCodeTypeInvalidCredentials},
		{kms.FaultDenied, false, api.XksProxyInvalidConfigurationException, api.ConnectionErrorCodeTypeXksProxyAccessDenied},
		{kms.FaultResponse, false, api.XksProxyInvalidResponseException, api.ConnectionErrorCodeTypeXksProxyInvalidResponse},
		{kms.FaultManager, false, api.XksProxyInvalidResponseException, api.ConnectionErrorCodeTypeXksProxyNotReachable},
		{kms.FaultUnsupported, false, api.XksProxyInvalidResponseException, api.ConnectionErrorCodeTypeXksProxyInvalidResponse},
		{kms.FaultBusy, false, api.ThrottlingException, api.ConnectionErrorCodeTypeInternalError},
		{kms.FaultNoService, false, api.XksProxyVpcEndpointServiceNotFoundException, api.ConnectionErrorCodeTypeXksVpcEndpointServiceNotFound},
		{kms.FaultServiceInvalid, false, api.XksProxyVpcEndpointServiceInvalidConfigurationException, api.ConnectionErrorCodeTypeXksVpcEndpointServiceInvalidConfiguration},
		{200, false, api.KMSInternalException, api.ConnectionErrorCodeTypeInternalError},
	} {
		b, f := storesBench(t, kms.Config{})
		q, connect := publicStore("s", "proxy.example"), "Health"
		if c.token {
			q, connect = tokenStore("s", clusterA), "Login"
		}
		f.fail("", &kms.StoreError{Fault: c.fault, Err: fmt.Errorf("a detail nobody is told")})
		if c.code != "" {
			if e := b.refused(t, c.code, "CreateCustomKeyStore", q); e.Message == "" || strings.Contains(e.Message, "detail") {
				t.Errorf("fault %d: message %q", c.fault, e.Message)
			}
		}
		f.set(nil)
		id := b.newStore(t, q)
		f.fail(connect, &kms.StoreError{Fault: c.fault})
		b.connect(t, id)
		if e := b.store(t, id); e.ConnectionState.V != api.ConnectionStateTypeFailed || e.ConnectionErrorCode.V != c.connect {
			t.Errorf("fault %d: %s %s, want %s", c.fault, e.ConnectionState.V, e.ConnectionErrorCode.V, c.connect)
		}
		b.refused(t, api.CustomKeyStoreInvalidStateException, "ConnectCustomKeyStore", &api.ConnectCustomKeyStoreRequest{CustomKeyStoreId: str(id)})
		// Once the cause is gone, disconnecting and connecting helps.
		f.set(nil)
		b.disconnect(t, id)
		b.connect(t, id)
		if e := b.store(t, id); e.ConnectionState.V != api.ConnectionStateTypeConnected || e.ConnectionErrorCode.Set {
			t.Errorf("fault %d, after repair: %+v", c.fault, e)
		}
	}
}

// TestKeyStoreToken has what only tokens have: clusters that are not there, trust anchors, and clusters that are related.
func TestKeyStoreToken(t *testing.T) {
	b, f := storesBench(t, kms.Config{})
	b.refused(t, api.CloudHsmClusterNotFoundException, "CreateCustomKeyStore", tokenStore("s", "cluster-zzzzzzzzzzz"))
	wrong := tokenStore("s", clusterA)
	for _, text := range []string{anchor("other"), "no certificate"} {
		wrong.TrustAnchorCertificate = str(text)
		b.refused(t, api.IncorrectTrustAnchorException, "CreateCustomKeyStore", wrong)
	}
	id := b.newStore(t, tokenStore("s", clusterA))
	type U = api.UpdateCustomKeyStoreRequest
	b.refused(t, api.CloudHsmClusterNotRelatedException, "UpdateCustomKeyStore", &U{CustomKeyStoreId: str(id), CloudHsmClusterId: str(clusterC)})
	b.refused(t, api.CloudHsmClusterNotFoundException, "UpdateCustomKeyStore", &U{CustomKeyStoreId: str(id), CloudHsmClusterId: str("cluster-zzzzzzzzzzz")})
	b.run(t, "UpdateCustomKeyStore", &U{CustomKeyStoreId: str(id), CloudHsmClusterId: str(clusterB)})
	if e := b.store(t, id); e.CloudHsmClusterId.V != clusterB {
		t.Errorf("cluster is %s", e.CloudHsmClusterId.V)
	}
	// A token that does not work is told at once.
	f.fail("Cluster", &kms.StoreError{Fault: kms.FaultInactive})
	b.refused(t, api.CloudHsmClusterNotActiveException, "ConnectCustomKeyStore", &api.ConnectCustomKeyStoreRequest{CustomKeyStoreId: str(id)})
	f.fail("Cluster", &kms.StoreError{Fault: kms.FaultModule})
	b.refused(t, api.CloudHsmClusterInvalidConfigurationException, "ConnectCustomKeyStore", &api.ConnectCustomKeyStoreRequest{CustomKeyStoreId: str(id)})
	f.set(nil)
	// One that is not configured any more, by the connection state.
	f.mu.Lock()
	delete(f.anchors, clusterB)
	delete(f.tokens, clusterB)
	f.mu.Unlock()
	b.connect(t, id)
	if e := b.store(t, id); e.ConnectionErrorCode.V != api.ConnectionErrorCodeTypeClusterNotFound {
		t.Errorf("%+v", e)
	}
}

// TestKeyStoreWrongPassword repairs a password the way AWS describes.
func TestKeyStoreWrongPassword(t *testing.T) {
	b, _ := storesBench(t, kms.Config{})
	q := tokenStore("s", clusterA)
	q.KeyStorePassword = str("not the one")
	id := b.newStore(t, q)
	b.connect(t, id)
	if e := b.store(t, id); e.ConnectionErrorCode.V != api.ConnectionErrorCodeTypeInvalidCredentials {
		t.Fatalf("%+v", e)
	}
	b.disconnect(t, id)
	b.run(t, "UpdateCustomKeyStore", &api.UpdateCustomKeyStoreRequest{CustomKeyStoreId: str(id), KeyStorePassword: str(password)})
	b.connect(t, id)
	if e := b.store(t, id); e.ConnectionState.V != api.ConnectionStateTypeConnected {
		t.Fatalf("%+v", e)
	}
}

// TestKeyStoreUpdateProxy changes connectivity, endpoint, path and credential.
func TestKeyStoreUpdateProxy(t *testing.T) {
	b, f := storesBench(t, kms.Config{})
	id := b.newStore(t, publicStore("s", "one.example"))
	type U = api.UpdateCustomKeyStoreRequest
	private, public := str(api.XksProxyConnectivityTypeVpcEndpointService), str(api.XksProxyConnectivityTypePublicEndpoint)
	for _, q := range []*U{
		{XksProxyConnectivity: private},
		{XksProxyConnectivity: private, XksProxyUriEndpoint: str("https://two.example")},
		{XksProxyVpcEndpointServiceName: str(vpcName)},
		{CloudHsmClusterId: str(clusterA)},
		{KeyStorePassword: str(password)},
	} {
		q.CustomKeyStoreId = str(id)
		b.refused(t, api.ValidationException, "UpdateCustomKeyStore", q)
	}
	token := b.newStore(t, tokenStore("t", clusterA))
	b.refused(t, api.ValidationException, "UpdateCustomKeyStore", &U{CustomKeyStoreId: str(token), XksProxyUriPath: str("/kms/xks/v1")})

	b.run(t, "UpdateCustomKeyStore", &U{
		CustomKeyStoreId: str(id), XksProxyConnectivity: private, XksProxyUriEndpoint: str("https://two.example"), XksProxyVpcEndpointServiceName: str(vpcName),
	})
	x := b.store(t, id).XksProxyConfiguration
	if x.Connectivity != private || x.UriEndpoint.V != "https://two.example" || x.VpcEndpointServiceName.V != vpcName || x.VpcEndpointServiceOwner.V != account {
		t.Errorf("private: %+v", x)
	}
	b.refused(t, api.XksProxyVpcEndpointServiceNotFoundException, "UpdateCustomKeyStore",
		&U{CustomKeyStoreId: str(id), XksProxyVpcEndpointServiceName: str("com.amazonaws.vpce.eu-central-1.vpce-svc-unknown")})
	b.run(t, "UpdateCustomKeyStore", &U{CustomKeyStoreId: str(id), XksProxyConnectivity: public, XksProxyUriEndpoint: str("https://three.example")})
	if x = b.store(t, id).XksProxyConfiguration; x.Connectivity != public || x.VpcEndpointServiceName.Set || x.VpcEndpointServiceOwner.Set {
		t.Errorf("public again: %+v", x)
	}
	// New settings that do not work are refused, and the old stay.
	b.refused(t, api.XksProxyIncorrectAuthenticationCredentialException, "UpdateCustomKeyStore", &U{
		CustomKeyStoreId: str(id), XksProxyAuthenticationCredential: &api.XksProxyAuthenticationCredentialType{
			AccessKeyId: str(accessID), RawSecretAccessKey: str(strings.Repeat("x", 43)),
		},
	})
	b.connect(t, id)
	if e := b.store(t, id); e.ConnectionState.V != api.ConnectionStateTypeConnected {
		t.Errorf("%+v", e)
	}
	operations := map[string]bool{}
	for _, c := range f.calls {
		operations[c.Operation] = true
		if c.RequestID == "" {
			t.Errorf("a call to the proxy without request ID: %+v", c)
		}
	}
	for _, op := range []string{"CreateCustomKeyStore", "UpdateCustomKeyStore", "ConnectCustomKeyStore"} {
		if !operations[op] {
			t.Errorf("the proxy was not told of %s", op)
		}
	}
}

// TestKeyStoreStates tries every operation in every connection state.
func TestKeyStoreStates(t *testing.T) {
	const bad = api.CustomKeyStoreInvalidStateException
	for _, token := range []bool{true, false} {
		for state, want := range map[api.ConnectionStateType]map[string]api.ErrorCode{
			api.ConnectionStateTypeDisconnected: {"Disconnect": bad, "CreateKey": bad, "Random": bad, "Encrypt": api.KMSInvalidStateException, "Delete": api.CustomKeyStoreHasCMKsException},
			api.ConnectionStateTypeConnecting:   {"Update name": bad, "Update": bad, "Update connected": bad, "CreateKey": bad, "Random": bad, "Encrypt": api.KMSInvalidStateException, "Delete": bad},
			api.ConnectionStateTypeConnected:    {"Update": bad, "Delete": bad},
			api.ConnectionStateTypeFailed: {
				"Connect": bad, "Update name": bad, "Update": bad, "Update connected": bad, "CreateKey": bad, "Random": bad, "Encrypt": api.KMSInvalidStateException, "Delete": bad,
			},
		} {
			for _, op := range []string{"Connect", "Disconnect", "Update name", "Update", "Update connected", "CreateKey", "Random", "Encrypt", "Delete"} {
				if token && op == "Update connected" {
					continue // tokens have nothing but the name to be changed so
				}
				b, f := storesBench(t, kms.Config{})
				create, newKey := publicStore("s", "proxy.example"), func(id string) *api.CreateKeyRequest { return inProxy(id, "external-1") }
				if token {
					create, newKey = tokenStore("s", clusterA), inToken
				}
				id := b.newStore(t, create)
				b.connect(t, id)
				key, _ := b.newKey(t, newKey(id))
				if state != api.ConnectionStateTypeConnected {
					b.disconnect(t, id)
				}
				switch state {
				case api.ConnectionStateTypeConnecting:
					b.run(t, "ConnectCustomKeyStore", &api.ConnectCustomKeyStoreRequest{CustomKeyStoreId: str(id)})
				case api.ConnectionStateTypeFailed:
					f.fail("", &kms.StoreError{Fault: kms.FaultNoCluster})
					b.connect(t, id)
					f.set(nil)
				}
				if got := b.store(t, id).ConnectionState.V; got != state {
					t.Fatalf("state is %s, want %s", got, state)
				}
				var err *api.Error
				switch op {
				case "Connect":
					_, err = b.do(t, "ConnectCustomKeyStore", &api.ConnectCustomKeyStoreRequest{CustomKeyStoreId: str(id)})
				case "Disconnect":
					_, err = b.do(t, "DisconnectCustomKeyStore", &api.DisconnectCustomKeyStoreRequest{CustomKeyStoreId: str(id)})
				case "Delete":
					_, err = b.do(t, "DeleteCustomKeyStore", &api.DeleteCustomKeyStoreRequest{CustomKeyStoreId: str(id)})
				case "Update name":
					_, err = b.do(t, "UpdateCustomKeyStore", &api.UpdateCustomKeyStoreRequest{CustomKeyStoreId: str(id), NewCustomKeyStoreName: str("t")})
				case "Update connected":
					_, err = b.do(t, "UpdateCustomKeyStore", &api.UpdateCustomKeyStoreRequest{CustomKeyStoreId: str(id), XksProxyUriPath: str("/p/kms/xks/v1")})
				case "Update":
					q := &api.UpdateCustomKeyStoreRequest{CustomKeyStoreId: str(id), XksProxyUriEndpoint: str("https://new.example")}
					if token {
						q = &api.UpdateCustomKeyStoreRequest{CustomKeyStoreId: str(id), KeyStorePassword: str(password)}
					}
					_, err = b.do(t, "UpdateCustomKeyStore", q)
				case "CreateKey":
					q := newKey(id)
					if !token {
						q.XksKeyId = str("external-2")
					}
					_, err = b.do(t, "CreateKey", q)
				case "Random":
					_, err = b.do(t, "GenerateRandom", &api.GenerateRandomRequest{NumberOfBytes: api.Some[int64](9), CustomKeyStoreId: str(id)})
				case "Encrypt":
					_, err = b.do(t, "Encrypt", &api.EncryptRequest{KeyId: str(key), Plaintext: []byte("x")})
				}
				code, expected := api.ErrorCode(""), want[op]
				if err != nil {
					code = err.Code
				}
				if op == "Random" && !token {
					expected = api.UnsupportedOperationException
				}
				if code != expected {
					t.Errorf("token %v, %s in %s: %v, want %q", token, op, state, err, expected)
				}
			}
		}
	}
}

// TestKeyStoreUnknown names custom key stores that are not there, one of another account's among them.
func TestKeyStoreUnknown(t *testing.T) {
	b, _ := storesBench(t, kms.Config{})
	id := b.newStore(t, publicStore("s", "proxy.example"))
	own, stranger := b.caller, service.RootCaller("999988887777", "AKIASTRANGER")
	for _, c := range []struct {
		caller *service.Caller
		id     string
	}{{own, "cks-0123456789abcdef0"}, {own, "x"}, {stranger, id}} {
		b.caller = c.caller
		for op, q := range map[string]api.Request{
			"ConnectCustomKeyStore":    &api.ConnectCustomKeyStoreRequest{CustomKeyStoreId: str(c.id)},
			"DisconnectCustomKeyStore": &api.DisconnectCustomKeyStoreRequest{CustomKeyStoreId: str(c.id)},
			"UpdateCustomKeyStore":     &api.UpdateCustomKeyStoreRequest{CustomKeyStoreId: str(c.id), NewCustomKeyStoreName: str("n")},
			"DeleteCustomKeyStore":     &api.DeleteCustomKeyStoreRequest{CustomKeyStoreId: str(c.id)},
			"CreateKey":                inProxy(c.id, "external-1"),
			"GenerateRandom":           &api.GenerateRandomRequest{NumberOfBytes: api.Some[int64](9), CustomKeyStoreId: str(c.id)},
		} {
			b.refused(t, api.CustomKeyStoreNotFoundException, op, q)
		}
	}
}

// TestNoKeyStores is a server that has nothing to put keys into.
func TestNoKeyStores(t *testing.T) {
	b := testBench(t)
	b.refused(t, api.CloudHsmClusterNotFoundException, "CreateCustomKeyStore", tokenStore("s", clusterA))
	b.refused(t, api.XksProxyUriUnreachableException, "CreateCustomKeyStore", publicStore("s", "proxy.example"))
}

// TestKeyStoreGivenUp disconnects while connecting is under way: what that opened is released, and its outcome dropped.
func TestKeyStoreGivenUp(t *testing.T) {
	b, f := storesBench(t, kms.Config{})
	id := b.newStore(t, tokenStore("s", clusterA))
	once := false
	f.set(func(_ context.Context, call string) error {
		if call == "Login" && !once {
			once = true
			b.disconnect(t, id)
		}
		return nil
	})
	b.connect(t, id)
	if e := b.store(t, id); !once || e.ConnectionState.V != api.ConnectionStateTypeDisconnected {
		t.Errorf("tried %v: %+v", once, e)
	}
	if len(f.released) != 2 {
		t.Errorf("released %v, want by the disconnection and after the attempt", f.released)
	}
}

// TestKeyStoreSecrets looks for passwords and secrets where none may be.
func TestKeyStoreSecrets(t *testing.T) {
	b, _ := storesBench(t, kms.Config{})
	id := b.newStore(t, tokenStore("hsm", clusterA))
	b.newStore(t, publicStore("public", "proxy.example"))
	b.run(t, "UpdateCustomKeyStore", &api.UpdateCustomKeyStoreRequest{CustomKeyStoreId: str(id), KeyStorePassword: str(password)})
	b.connect(t, id)
	all := must[api.DescribeCustomKeyStoresResponse](t, b, "DescribeCustomKeyStores", &api.DescribeCustomKeyStoresRequest{})
	seen := string(all.AppendJSON(nil))
	events := 0
	for _, e := range b.events(t) {
		seen += fmt.Sprintf("%+v", e)
		if e.EventName == "ConnectKeyStore" && e.Details["customKeyStoreId"] == id && e.Details["connectionState"] == "CONNECTED" {
			events++
		}
	}
	if strings.Contains(seen, password) || strings.Contains(seen, rawSecret) {
		t.Errorf("a secret shows in %s", seen)
	}
	if events != 1 {
		t.Errorf("%d records of connecting", events)
	}
}
