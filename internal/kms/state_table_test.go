package kms_test

import (
	"context"
	"crypto/ecdh"
	"crypto/rand"
	"crypto/x509"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/audit"
	"github.com/keyturn/keyturn/internal/keys"
	"github.com/keyturn/keyturn/internal/kms"
	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/service"
)

// Footnotes of the table in AWS's developer guide, "Key states of AWS KMS keys". Where it offers two for one case, by what the key is:
//
//	1  DisabledException: ARN is disabled.
//	3  KMSInvalidStateException: ARN is pending deletion (or pending replica deletion). The guide has "[2] or [3]" for cryptographic
//	   operations, where 2 is a DisabledException of the same text; here it is always 3.
//	4  KMSInvalidStateException: ARN is not pending deletion.
//	5  KMSInvalidStateException: ARN is pending import.
//	6  UnsupportedOperationException: ARN origin is EXTERNAL which is not valid for this operation.
//	7  If the key has imported material or is in a custom key store: UnsupportedOperationException.
//	8  If the key has imported material: KMSInvalidStateException.
//	9  If the key cannot or does not have imported material: UnsupportedOperationException.
//	11 KMSInvalidStateException: ARN is unavailable.
//
// And for what the guide says outside of the table, in "Rotate AWS KMS keys":
//
//	s  If the key is in a custom key store: UnsupportedOperationException.
//
// "ok" succeeds, "-" cannot be: asymmetric and HMAC keys are in no custom key store, and ML-KEM keys have no imported material.
//
// The guide's row of GetKeyRotationStatus has 6 and 7. The API Reference says of the same keys that their "key rotation status is always
// false", which is what Terraform relies on, and what is expected here.
const stateTable = `
operation                           key       Enabled Disabled PendingImport PendingDeletion PendingReplicaDeletion Unavailable
CancelKeyDeletion                   symmetric 4       4        4             ok              ok                     4
CreateAlias                         symmetric ok      ok       ok            3               3                      ok
CreateGrant                         symmetric ok      1        5             3               3                      ok
Decapsulate                         kem       ok      1        -             3               3                      -
Decrypt                             symmetric ok      1        5             3               3                      11
DeleteAlias                         symmetric ok      ok       ok            ok              ok                     ok
DeleteImportedKeyMaterial           symmetric 9       9        ok            9               9                      9
DeriveSharedSecret                  agreement ok      1        5             3               3                      -
DescribeKey                         symmetric ok      ok       ok            ok              ok                     ok
DisableKey                          symmetric ok      ok       5             3               3                      ok
DisableKeyRotation                  symmetric 7       1/7      6             3/7             3/7                    7
EnableKey                           symmetric ok      ok       5             3               3                      ok
EnableKeyRotation                   symmetric 7       1/7      6             3/7             3/7                    7
Encapsulate                         kem       ok      1        -             3               3                      -
Encrypt                             symmetric ok      1        5             3               3                      11
GenerateDataKey                     symmetric ok      1        5             3               3                      11
GenerateDataKeyPair                 symmetric ok      1        5             3               3                      11
GenerateDataKeyPairWithoutPlaintext symmetric ok      1        5             3               3                      11
GenerateDataKeyWithoutPlaintext     symmetric ok      1        5             3               3                      11
GenerateMac                         mac       ok      1        5             3               3                      -
GetKeyPolicy                        symmetric ok      ok       ok            ok              ok                     ok
GetKeyRotationStatus                symmetric ok      ok       ok            ok              ok                     ok
GetParametersForImport              symmetric 9       9        ok            8/9             8/9                    9
GetPublicKey                        signing   ok      1        5             3               3                      -
ImportKeyMaterial                   symmetric 9       9        ok            8/9             8/9                    9
ListAliases                         symmetric ok      ok       ok            ok              ok                     ok
ListGrants                          symmetric ok      ok       ok            ok              ok                     ok
ListKeyPolicies                     symmetric ok      ok       ok            ok              ok                     ok
ListKeyRotations                    symmetric s       s        ok            s               ok                     s
ListResourceTags                    symmetric ok      ok       ok            ok              ok                     ok
PutKeyPolicy                        symmetric ok      ok       ok            ok              ok                     ok
ReEncrypt/from                      symmetric ok      1        5             3               3                      11
ReEncrypt/to                        symmetric ok      1        5             3               3                      11
ReplicateKey                        related   ok      1        5             3               3                      -
RetireGrant                         symmetric ok      ok       ok            ok              ok                     ok
RevokeGrant                         symmetric ok      ok       ok            ok              ok                     ok
RotateKeyOnDemand                   symmetric s       1/s      5             3/s             3                      s
ScheduleKeyDeletion                 symmetric ok      ok       ok            3               3                      ok
Sign                                signing   ok      1        5             3               3                      -
TagResource                         symmetric ok      ok       ok            3               3                      ok
UntagResource                       symmetric ok      ok       ok            3               3                      ok
UpdateAlias/from                    symmetric ok      ok       ok            ok              ok                     ok
UpdateAlias/to                      symmetric ok      ok       ok            3               3                      ok
UpdateKeyDescription                symmetric ok      ok       ok            3               3                      ok
UpdatePrimaryRegion                 related   ok      1        5             3               3                      -
Verify                              signing   ok      1        5             3               3                      -
VerifyMac                           mac       ok      1        5             3               3                      -
`

// footnote is the error that a cell names, by the key's origin; "" is none. The message is "*" where the guide has none.
func footnote(t *testing.T, cell string, state record.State, origin record.Origin) (code api.ErrorCode, message string) {
	t.Helper()
	imported := origin == record.OriginImported
	inStore := origin == record.OriginToken || origin == record.OriginExternal
	applies := map[string]bool{"7": imported || inStore, "9": !imported, "s": inStore} // those about what the key is
	note, other, _ := strings.Cut(cell, "/")
	if applies[note] || applies[other] {
		return api.UnsupportedOperationException, "*"
	}
	switch note {
	case "ok", "7", "9", "s":
		return "", ""
	case "1":
		return api.DisabledException, " is disabled."
	case "3", "8":
		if state == record.PendingReplicaDeletion {
			return api.KMSInvalidStateException, " is pending replica deletion."
		}
		return api.KMSInvalidStateException, " is pending deletion."
	case "4":
		return api.KMSInvalidStateException, " is not pending deletion."
	case "5":
		return api.KMSInvalidStateException, " is pending import."
	case "6":
		return api.UnsupportedOperationException, " origin is EXTERNAL which is not valid for this operation."
	case "11":
		return api.KMSInvalidStateException, " is unavailable."
	}
	t.Fatalf("%s, %s: %s is no footnote", state, origin, cell)
	return "", ""
}

// subject is a key in a state, and what was made with it while it was enabled.
type subject struct {
	id, arn, alias, other, otherAlias string
	grant                             string
	otherBlob, blob, mac, signature   []byte
	capsule, peer, secret             []byte
	w                                 wrapping
}

func (s *subject) request(t *testing.T, operation string) api.Request {
	t.Helper()
	id, message := str(s.id), []byte("message")
	ecdsa, hmac := str(api.SigningAlgorithmSpecEcdsaSha256), str(api.MacAlgorithmSpecHmacSha256)
	kem, pair := str(api.EncapsulationAlgorithmSpecMlKem), str(api.DataKeyPairSpecEccNistP256)
	tag := api.Tag{TagKey: str("k"), TagValue: str("v")}
	switch operation {
	case "CancelKeyDeletion":
		return &api.CancelKeyDeletionRequest{KeyId: id}
	case "CreateAlias":
		return &api.CreateAliasRequest{AliasName: str(s.alias + "-2"), TargetKeyId: id}
	case "CreateGrant":
		return &api.CreateGrantRequest{KeyId: id, GranteePrincipal: str("arn:aws:iam::" + account + ":user/a"), Operations: []api.GrantOperation{api.GrantOperationDecrypt}}
	case "Decapsulate":
		return &api.DecapsulateRequest{KeyId: id, SharedSecretCiphertextBlob: s.capsule, EncapsulationAlgorithm: kem}
	case "Decrypt":
		return &api.DecryptRequest{CiphertextBlob: s.blob}
	case "DeleteAlias":
		return &api.DeleteAliasRequest{AliasName: str(s.alias)}
	case "DeleteImportedKeyMaterial":
		return &api.DeleteImportedKeyMaterialRequest{KeyId: id}
	case "DeriveSharedSecret":
		return &api.DeriveSharedSecretRequest{KeyId: id, PublicKey: s.peer, KeyAgreementAlgorithm: str(api.KeyAgreementAlgorithmSpecEcdh)}
	case "DescribeKey":
		return &api.DescribeKeyRequest{KeyId: id}
	case "DisableKey":
		return &api.DisableKeyRequest{KeyId: id}
	case "DisableKeyRotation":
		return &api.DisableKeyRotationRequest{KeyId: id}
	case "EnableKey":
		return &api.EnableKeyRequest{KeyId: id}
	case "EnableKeyRotation":
		return &api.EnableKeyRotationRequest{KeyId: id}
	case "Encapsulate":
		return &api.EncapsulateRequest{KeyId: id, EncapsulationAlgorithm: kem}
	case "Encrypt":
		return &api.EncryptRequest{KeyId: id, Plaintext: message}
	case "GenerateDataKey":
		return &api.GenerateDataKeyRequest{KeyId: id, NumberOfBytes: api.Some[int64](32)}
	case "GenerateDataKeyPair":
		return &api.GenerateDataKeyPairRequest{KeyId: id, KeyPairSpec: pair}
	case "GenerateDataKeyPairWithoutPlaintext":
		return &api.GenerateDataKeyPairWithoutPlaintextRequest{KeyId: id, KeyPairSpec: pair}
	case "GenerateDataKeyWithoutPlaintext":
		return &api.GenerateDataKeyWithoutPlaintextRequest{KeyId: id, NumberOfBytes: api.Some[int64](32)}
	case "GenerateMac":
		return &api.GenerateMacRequest{KeyId: id, Message: message, MacAlgorithm: hmac}
	case "GetKeyPolicy":
		return &api.GetKeyPolicyRequest{KeyId: id}
	case "GetKeyRotationStatus":
		return &api.GetKeyRotationStatusRequest{KeyId: id}
	case "GetParametersForImport":
		return &api.GetParametersForImportRequest{
			KeyId: id, WrappingAlgorithm: str(api.AlgorithmSpecRsaesOaepSha256), WrappingKeySpec: str(api.WrappingKeySpecRsa2048),
		}
	case "GetPublicKey":
		return &api.GetPublicKeyRequest{KeyId: id}
	case "ImportKeyMaterial":
		if s.w.token == nil {
			return &api.ImportKeyMaterialRequest{
				KeyId: id, ImportToken: message, EncryptedKeyMaterial: message, ExpirationModel: str(api.ExpirationModelTypeKeyMaterialDoesNotExpire),
			}
		}
		return s.w.request(t, s.id, s.secret)
	case "ListAliases":
		return &api.ListAliasesRequest{KeyId: id}
	case "ListGrants":
		return &api.ListGrantsRequest{KeyId: id}
	case "ListKeyPolicies":
		return &api.ListKeyPoliciesRequest{KeyId: id}
	case "ListKeyRotations":
		return &api.ListKeyRotationsRequest{KeyId: id}
	case "ListResourceTags":
		return &api.ListResourceTagsRequest{KeyId: id}
	case "PutKeyPolicy":
		return &api.PutKeyPolicyRequest{KeyId: id, Policy: str(defaultPolicyText)}
	case "ReEncrypt/from":
		return &api.ReEncryptRequest{CiphertextBlob: s.blob, DestinationKeyId: str(s.other)}
	case "ReEncrypt/to":
		return &api.ReEncryptRequest{CiphertextBlob: s.otherBlob, DestinationKeyId: id}
	case "ReplicateKey":
		return &api.ReplicateKeyRequest{KeyId: id, ReplicaRegion: str(south)}
	case "RetireGrant":
		return &api.RetireGrantRequest{KeyId: str(s.arn), GrantId: str(s.grant)}
	case "RevokeGrant":
		return &api.RevokeGrantRequest{KeyId: id, GrantId: str(s.grant)}
	case "RotateKeyOnDemand":
		return &api.RotateKeyOnDemandRequest{KeyId: id}
	case "ScheduleKeyDeletion":
		return &api.ScheduleKeyDeletionRequest{KeyId: id}
	case "Sign":
		return &api.SignRequest{KeyId: id, Message: message, SigningAlgorithm: ecdsa}
	case "TagResource":
		return &api.TagResourceRequest{KeyId: id, Tags: []api.Tag{tag}}
	case "UntagResource":
		return &api.UntagResourceRequest{KeyId: id, TagKeys: []string{"k"}}
	case "UpdateAlias/from":
		return &api.UpdateAliasRequest{AliasName: str(s.alias), TargetKeyId: str(s.other)}
	case "UpdateAlias/to":
		return &api.UpdateAliasRequest{AliasName: str(s.otherAlias), TargetKeyId: id}
	case "UpdateKeyDescription":
		return &api.UpdateKeyDescriptionRequest{KeyId: id, Description: str("d")}
	case "UpdatePrimaryRegion":
		return &api.UpdatePrimaryRegionRequest{KeyId: id, PrimaryRegion: str(west)}
	case "Verify":
		return &api.VerifyRequest{KeyId: id, Message: message, SigningAlgorithm: ecdsa, Signature: s.signature}
	case "VerifyMac":
		return &api.VerifyMacRequest{KeyId: id, Message: message, MacAlgorithm: hmac, Mac: s.mac}
	}
	t.Fatalf("no request for %s", operation)
	return nil
}

const defaultPolicyText = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::` + account + `:root"},"Action":"kms:*","Resource":"*"}]}`

// Custom key stores of the test's, by whether they are connected.
var storeIDs = map[bool]string{true: "cks-0123456789abcdef0", false: "cks-0123456789abcdef1"}

// stateBench has what subjects need.
type stateBench struct {
	*bench
	other, otherAlias string
	otherBlob         []byte
	count             int
}

// subject makes a key by writing its records: first as one of the service's own that is enabled, then as what it is to be.
func (b *stateBench) subject(t *testing.T, kind string, state record.State, origin record.Origin) *subject {
	t.Helper()
	b.count++
	s := &subject{other: b.other, otherAlias: b.otherAlias, otherBlob: b.otherBlob, alias: fmt.Sprint("alias/", b.count)}
	req := api.CreateKeyRequest{Tags: []api.Tag{{TagKey: str("k"), TagValue: str("v")}}}
	req.MultiRegion = api.Some(kind == "related" || state == record.PendingReplicaDeletion)
	ecc := str(api.KeySpecEccNistP256)
	switch kind {
	case "signing":
		req.KeySpec, req.KeyUsage = ecc, str(api.KeyUsageTypeSignVerify)
	case "agreement":
		req.KeySpec, req.KeyUsage = ecc, str(api.KeyUsageTypeKeyAgreement)
	case "mac":
		req.KeySpec, req.KeyUsage = str(api.KeySpecHmac256), str(api.KeyUsageTypeGenerateVerifyMac)
	case "kem":
		req.KeySpec, req.KeyUsage = str(api.KeySpecMlKem768), str(api.KeyUsageType("ENCAPSULATE_DECAPSULATE"))
	}
	s.id, s.arn = b.newKey(t, &req)
	if req.MultiRegion.V {
		b.replicate(t, s.id, west)
	}
	b.run(t, "CreateAlias", &api.CreateAliasRequest{AliasName: str(s.alias), TargetKeyId: str(s.id)})
	s.grant, _ = b.grant(t, &api.CreateGrantRequest{KeyId: str(s.id), GranteePrincipal: str(grantee), Operations: operations("DescribeKey")})
	switch kind {
	case "signing":
		s.signature = must[api.SignResponse](t, b.bench, "Sign", s.request(t, "Sign")).Signature
	case "agreement":
		peer, err := ecdh.P256().GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		s.peer, _ = x509.MarshalPKIXPublicKey(peer.PublicKey())
	case "mac":
		s.mac = must[api.GenerateMacResponse](t, b.bench, "GenerateMac", s.request(t, "GenerateMac")).Mac
	case "kem":
		s.capsule = must[api.EncapsulateResponse](t, b.bench, "Encapsulate", s.request(t, "Encapsulate")).SharedSecretCiphertextBlob
	default:
		s.blob = b.sealWith(t, region, s.id, "plain")
	}
	b.within(t, func(tx *service.Tx) error {
		regions := []string{region}
		if req.MultiRegion.V {
			regions = append(regions, west)
		}
		for _, r := range regions {
			k, err := service.Lookup[*record.Key](tx, record.KeyStoreKey(record.Owner{Account: account, Region: r}, s.id))
			if err != nil {
				return err
			}
			if err := b.become(tx, k, state, origin, s); err != nil {
				return err
			}
		}
		return nil
	})
	return s
}

// become changes a key, and its material with it.
func (b *stateBench) become(tx *service.Tx, k *record.Key, state record.State, origin record.Origin, s *subject) error {
	m, err := service.Lookup[*record.Material](tx, record.MaterialStoreKey(k.MaterialOwner(), k.ID, k.Current))
	if err != nil {
		return err
	}
	s.secret = m.Secret
	k.Origin, k.State = origin, state
	switch state {
	case record.PendingDeletion:
		k.DeletionDate, k.DeletionDays = b.now().Add(10*day), 10
	case record.PendingReplicaDeletion:
		k.DeletionDays = 10
	case record.Unavailable:
		k.State = record.Enabled
	}
	if k.Region != region && state != record.PendingImport { // the replica is usable
		k.State, k.DeletionDate, k.DeletionDays = record.Enabled, time.Time{}, 0
	}
	switch origin {
	case record.OriginImported:
		k.Imports = []record.Import{{ID: m.ID, Present: state != record.PendingImport}}
		if k.MultiRegion != nil {
			own := &record.Material{Owner: k.Owner, KeyID: k.ID, ID: m.ID, Created: m.Created, Spec: m.Spec, Secret: m.Secret}
			if _, err := service.Lookup[*record.Material](tx, own.StoreKey()); err != nil {
				return err
			}
			if state != record.PendingImport {
				tx.Put(own)
			}
		} else if state == record.PendingImport {
			tx.Delete(m)
		}
		if k.MultiRegion == nil && k.Spec == "SYMMETRIC_DEFAULT" { // one that waits for rotation
			keyID, _ := keys.ParseKeyID(k.ID)
			secret := secret(2)
			id, err := keys.NewMaterialID(secret, keyID)
			if err != nil {
				return err
			}
			next := &record.Material{Owner: k.Owner, KeyID: k.ID, ID: id.String(), Seq: 1, Created: b.now(), Secret: secret}
			if _, err := service.Lookup[*record.Material](tx, next.StoreKey()); err != nil {
				return err
			}
			tx.Put(next)
			k.Imports, k.Materials = append(k.Imports, record.Import{ID: next.ID, Seq: 1, Present: true, Pending: true}), 2
		}
	case record.OriginToken, record.OriginExternal:
		k.KeyStore = storeIDs[state != record.Unavailable]
		if origin == record.OriginExternal {
			k.ExternalKey = k.ID
		}
	}
	tx.Put(k)
	return nil
}

// within runs a change as an operation of the service's own.
func (b *bench) within(t checker, plan func(*service.Tx) error) {
	t.Helper()
	op := service.Def[kms.DueRequest, service.None]{
		Name: "TestChange", Kind: service.Internal, Actions: []string{"kms:TestChange"}, Audit: func(*kms.DueRequest, *audit.Params) {},
		Plan: func(tx *service.Tx, _ *kms.DueRequest, _ []service.Target) (*service.None, error) {
			return &service.None{}, plan(tx)
		},
	}.Op("kms")
	owner := record.Owner{Account: account, Region: region}
	if _, err := b.p.DoInternal(context.Background(), op, owner, b.now(), 0, &kms.DueRequest{Owner: owner}); err != nil {
		t.Fatalf("changing records: %v", err)
	}
}

// inStoreOnly are the operations that would reach a custom key store's token or proxy, of which there is none here.
var inStoreOnly = []string{
	"Decrypt", "Encrypt", "GenerateDataKey", "GenerateDataKeyPair", "GenerateDataKeyPairWithoutPlaintext", "GenerateDataKeyWithoutPlaintext",
	"ReEncrypt/from", "ReEncrypt/to",
}

// TestStateTable runs every operation that takes a key on keys of every origin in every state.
func TestStateTable(t *testing.T) {
	b := &stateBench{bench: testBench(t), otherAlias: "alias/other"}
	b.damaged.Store(true) // origins of keys are changed, and their materials stay
	b.other, _ = b.newKey(t, &api.CreateKeyRequest{})
	b.otherBlob = b.sealWith(t, region, b.other, "other")
	b.run(t, "CreateAlias", &api.CreateAliasRequest{AliasName: str(b.otherAlias), TargetKeyId: str(b.other)})
	for connected, id := range storeIDs {
		s := &record.KeyStore{
			Owner: record.Owner{Account: account, Region: region}, ID: id, Name: id, Type: record.TokenStore, Created: b.now(),
			Connection: record.Disconnected, ClusterID: "cluster-" + id[len(id)-11:],
		}
		if connected {
			s.Connection = record.Connected
		}
		b.put(t, s)
	}
	rows := strings.Split(strings.TrimSpace(stateTable), "\n")
	states := strings.Fields(rows[0])[2:]
	seen := map[string]bool{}
	for _, row := range rows[1:] {
		cells := strings.Fields(row)
		operation, kind := cells[0], cells[1]
		name, _, _ := strings.Cut(operation, "/")
		op := b.ops["kms."+name]
		if seen[name] = true; op == nil || len(cells) != len(states)+2 {
			t.Fatalf("row %s: no such operation, or %d cells", operation, len(cells))
		}
		t.Run(strings.Replace(operation, "/", "_", 1), func(t *testing.T) {
			for i, cell := range cells[2:] {
				if cell != "-" {
					b.testCell(t, operation, name, kind, cell, record.State(states[i]))
				}
			}
		})
	}
	// Every operation with a key is in the table, but for what the guide does not mention.
	for _, m := range api.KMSOperations() {
		switch m.Name {
		case "ListRetirableGrants", "GetKeyLastUsage", "CreateKey", "ListKeys", "GenerateRandom":
			continue
		}
		if !seen[m.Name] && !strings.Contains(m.Name, "CustomKeyStore") {
			t.Errorf("%s is not in the table", m.Name)
		}
	}
	checkStore(t, b.bench)
}

func (b *stateBench) testCell(t *testing.T, operation, name, kind, cell string, state record.State) {
	t.Helper()
	origins := []record.Origin{record.OriginKMS, record.OriginImported, record.OriginToken, record.OriginExternal}
	switch {
	case state == record.PendingImport:
		origins = origins[1:2]
	case state == record.Unavailable:
		origins = origins[2:]
	case kind == "kem":
		origins = origins[:1]
	case kind != "symmetric" || state == record.PendingReplicaDeletion:
		origins = origins[:2]
	}
	for _, origin := range origins {
		code, message := footnote(t, cell, state, origin)
		inStore := origin == record.OriginToken || origin == record.OriginExternal
		if code == "" && inStore && slices.Contains(inStoreOnly, operation) {
			continue
		}
		s := b.subject(t, kind, state, origin)
		if got := b.describe(t, region, s.id); got.KeyState.V != api.KeyState(state) || got.Origin.V != api.OriginType(origin) {
			t.Fatalf("the key is %s, %s; want %s, %s", got.KeyState.V, got.Origin.V, state, origin)
		}
		if operation == "ImportKeyMaterial" && code == "" {
			s.w = b.oaep(t, region, s.id)
		}
		before := b.keyRecord(t, region, s.id).Provenance().Version
		_, err := b.do(t, name, s.request(t, operation))
		what := fmt.Sprintf("%s, %s, %s", operation, state, origin)
		switch {
		case code == "" && err != nil:
			t.Errorf("%s: %v", what, err)
		case code != "" && message == "*":
			refusal(t, what, err, code, "*")
		case code != "":
			refusal(t, what, err, code, s.arn+message)
		}
		if err != nil && b.keyRecord(t, region, s.id).Provenance().Version != before {
			t.Errorf("%s was refused, and changed the key", what)
		}
	}
}
