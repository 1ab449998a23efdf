package record

import (
	"bytes"
	"encoding/base64"
	"flag"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/keyturn/keyturn/internal/keys"
)

var update = flag.Bool("update", false, "add new records and materials to the files of encoded ones; what is there stays")

const recordsFile = "testdata/records.json"

// encoded is a record as an earlier version stored it.
type encoded struct {
	Key   string `json:"storeKey"`
	Value string `json:"value"` // base64
}

// stored are the records in the file. They never change; new ones are added at the end.
func stored(t *testing.T) []Record {
	t.Helper()
	id := "1234abcd-12ab-34cd-56ef-1234567890ab"
	keyID, _ := keys.ParseKeyID(id)
	secret := []byte("0123456789abcdef0123456789abcdef")
	material, err := keys.NewMaterialID(secret, keyID)
	if err != nil {
		t.Fatal(err)
	}
	key := Key{
		Owner: owner, ID: id, Created: when, Description: "d", Spec: "SYMMETRIC_DEFAULT", Usage: "ENCRYPT_DECRYPT", Origin: "AWS_KMS",
		Manager: Customer, State: Enabled, Policy: "{}", Tags: []Tag{{"a", "b"}}, Current: material.String(), Materials: 1,
		Rotation: Rotation{Enabled: true, Days: 90, Next: when.AddDate(0, 0, 90)}, OnDemandCount: 3, JitterSeconds: 60,
	}
	key.By = Provenance{Version: 4, Event: "e"}
	pending := key
	pending.State, pending.DeletionDate, pending.DeletionDays = PendingDeletion, when.AddDate(0, 0, 7), 7
	related := key
	related.ID, related.State, related.DeletionDays = "mrk-1234abcd12ab34cd56ef1234567890ab", PendingReplicaDeletion, 7
	related.MultiRegion = &MultiRegion{Primary: owner.Region, Replicas: []string{"eu-west-1", "us-east-1"}}
	imported := key
	imported.Origin, imported.State, imported.Rotation = OriginImported, PendingImport, Rotation{}
	imported.Imports = []Import{
		{ID: material.String(), Description: "first", Present: true, Expires: when.AddDate(1, 0, 0)},
		{ID: strings.Repeat("ab", 32), Seq: 1, Rotated: when, How: OnDemand},
		{ID: strings.Repeat("cd", 32), Seq: 2, Present: true, Pending: true},
	}
	token := key
	token.Origin, token.KeyStore = OriginToken, "cks-1234567890abcdef0"
	external := key
	external.Origin, external.KeyStore, external.ExternalKey = OriginExternal, "cks-1234567890abcdef1", "theirs"
	pinned := key
	pinned.Pins = []Pin{{"arn:aws:iam::111122223333:user/u", "AIDAEXAMPLE"}}
	tokenMaterial := &Material{Owner: owner, KeyID: id, ID: strings.Repeat("ef", 32), Seq: 1, Created: when, Token: true, Messages: 1 << 20}
	return []Record{
		&key, &pending,
		&Material{Owner: owner, KeyID: id, ID: material.String(), Created: when, Rotation: Automatic, Secret: secret},
		&Alias{Owner: owner, Name: "alias/a/b", KeyID: id, Created: when, Updated: when.Add(time.Hour)},
		&Tombstone{Owner: owner, KeyID: id, Deleted: when},
		&Clock{Offset: int64(91 * 24 * time.Hour)},
		&related, &imported, &token, &external, tokenMaterial,
		&Tombstone{Owner: owner, KeyID: related.ID, Deleted: when, MaterialRegion: AllRegions},
		&KeyStore{
			Owner: owner, ID: token.KeyStore, Name: "hsm", Type: TokenStore, Created: when, Connection: Failed, Error: "USER_LOCKED_OUT", Since: when,
			ClusterID: "cluster-1a23b4cdefg", TrustAnchor: "pem", Password: "1234567",
		},
		&KeyStore{
			Owner: owner, ID: external.KeyStore, Name: "xks", Type: ExternalStore, Created: when, Connection: Connecting, Since: when,
			Proxy: Proxy{
				Connectivity: "VPC_ENDPOINT_SERVICE", URIEndpoint: "https://xks.example", URIPath: "/a/kms/xks/v1", Service: "com.amazonaws.vpce.eu-central-1.vpce-svc-example",
				ServiceOwner: owner.Account, AccessKeyID: "ABCDEFGHIJKLMNOPQRST", SecretAccessKey: strings.Repeat("s", 43),
			},
		},
		&KeyUsage{Owner: owner, KeyID: id, Operation: "Encrypt", At: when, EventID: "e", RequestID: "r"},
		&MaterialUsage{Owner: owner, KeyID: id, ID: material.String(), Encryptions: 1, Bytes: 2, Decryptions: 3, Encrypted: when, Decrypted: when},
		&Tracking{Since: when},
		&Grant{
			Owner: owner, KeyID: id, ID: strings.Repeat("12", 32), Created: when, Name: "n", Issuer: owner.Account, Grantee: "arn:aws:iam::111122223333:role/r",
			Retiring: "arn:aws:iam::111122223333:root", Operations: []string{"Decrypt", "DescribeKey"},
			Subset: []ContextPair{{"a", "1"}, {"B", "2"}}, Lead: 1,
		},
		&Grant{
			Owner: owner, KeyID: id, ID: strings.Repeat("34", 32), Created: when, Issuer: owner.Account, Grantee: "logs.amazonaws.com", Retiring: "logs.amazonaws.com",
			Operations: []string{"CreateGrant", "Encrypt"}, Equals: []ContextPair{{"a", "1"}}, SourceARN: "arn:aws:logs:eu-central-1:111122223333:log-group:g",
		},
		&Account{ID: owner.Account, Name: "n", Created: when, Suspended: when.Add(time.Hour)},
		&Deployment{Management: owner.Account, Created: when},
		&AccountAlias{Alias: "a", Account: owner.Account},
		&Name{Account: owner.Account, Kind: UserKind, Name: "Ann", ID: "AIDAEXAMPLE"},
		&User{Principal: samplePrincipal("AIDAEXAMPLE", "Ann"), Groups: []string{"AGPAEXAMPLE"}},
		&Group{Principal: samplePrincipal("AGPAEXAMPLE", "ops")},
		&Role{Principal: samplePrincipal("AROAEXAMPLE", "deploy"), Description: "d", Trust: "{}", MaxSeconds: 3600},
		samplePolicy(),
		&AccessKey{ID: "AKIAEXAMPLE", Account: owner.Account, UserID: "AIDAEXAMPLE", Secret: "secret", Active: true, Created: when},
		&AccessKeyUse{ID: "AKIAEXAMPLE", At: when, Service: "kms", Region: owner.Region},
		&MFADevice{
			Account: owner.Account, Name: "phone", Path: "/", Created: when, Secret: secret, UserID: "AIDAEXAMPLE", Enabled: when, Step: 7, Drift: -1,
			Tags: []Tag{{"a", "b"}},
		},
		&OIDCProvider{
			Account: owner.Account, URL: "oidc.example/id/1", ClientIDs: []string{"c"}, Thumbprints: []string{strings.Repeat("ab", 20)}, Created: when,
			Tags: []Tag{{"a", "b"}},
		},
		&pinned,
		&Grant{
			Owner: owner, KeyID: id, ID: strings.Repeat("56", 32), Created: when, Issuer: owner.Account, Grantee: "arn:aws:iam::111122223333:role/r",
			GranteeID: "AROAEXAMPLE", Retiring: "arn:aws:iam::111122223333:user/u", RetiringID: "AIDAEXAMPLE", Operations: []string{"Encrypt"},
		},
		&Role{
			Principal: samplePrincipal("AROAPINNED", "trusting"), Trust: `{"AWS":"AIDAEXAMPLE"}`, MaxSeconds: 43200,
			Pins: []Pin{{"arn:aws:iam::111122223333:user/u", "AIDAEXAMPLE"}},
		},
		&Mark{Time: when, Suspended: when.AddDate(10, 0, 0)},
		&Restored{ID: id, At: when.Add(time.Hour), BackupTime: when, Backup: "b", Revision: 7, Head: 1 << 40, Keyturn: "v1"},
		&LastBackup{Backup: "b", At: when, Revision: 7, Bytes: 1 << 33, Full: true},
		&Destroyed{At: when},
		&Scrubbed{Number: 3, Started: when, Finished: when.Add(time.Minute), Destroyed: 9, Keyring: 1, File: 1 << 22, Free: 1 << 20, Overwritten: 4096},
		&Mark{Time: when, Line: 1 << 40},
	}
}

func samplePrincipal(id, name string) Principal {
	return Principal{
		Account: owner.Account, ID: id, Name: name, Path: "/team/", Created: when, Inline: []Inline{{"in", "{}"}},
		Attached: []string{"arn:aws:iam::aws:policy/AdministratorAccess"}, Boundary: "arn:aws:iam::111122223333:policy/p", Tags: []Tag{{"a", "b"}},
	}
}

func samplePolicy() *ManagedPolicy {
	return &ManagedPolicy{
		Account: owner.Account, ID: "ANPAEXAMPLE", Name: "p", Path: "/", Description: "d", Created: when, Updated: when, Default: 2, Last: 3,
		Versions: []PolicyVersion{{2, `{"a":1}`, when}, {3, "{}", when}}, Tags: []Tag{{"a", "b"}},
	}
}

// TestCompatibility decodes what schema 1 stored, in the order of stored. Entries are only ever added: a record that no longer
// decodes is somebody's key.
func TestCompatibility(t *testing.T) {
	text, err := os.ReadFile(recordsFile)
	if err != nil {
		t.Fatal(err)
	}
	var list []encoded
	if err := json.Unmarshal(text, &list); err != nil {
		t.Fatal(err)
	}
	want := stored(t)
	if len(list) < len(want) && *update {
		list = writeRecords(t, list)
	}
	if len(list) < len(want) {
		t.Fatalf("%d records, want %d", len(list), len(want))
	}
	for i, w := range want {
		value, err := base64.StdEncoding.DecodeString(list[i].Value)
		if err != nil {
			t.Fatal(err)
		}
		if value[0] != 1 {
			t.Errorf("%s: schema %d", list[i].Key, value[0])
		}
		got, err := Decode(list[i].Key, value)
		if err != nil {
			t.Errorf("%s does not decode any more: %v", list[i].Key, err)
			continue
		}
		// By what they encode to: a decoded record may carry more than is stored.
		a, err1 := Encode(got)
		b, err2 := Encode(w)
		if err1 != nil || err2 != nil || !bytes.Equal(a, b) {
			t.Errorf("%s decodes to another record (%v, %v)", list[i].Key, err1, err2)
		}
		if m, ok := got.(*Material); ok {
			if err := m.Open(); err != nil {
				t.Errorf("%s does not open: %v", list[i].Key, err)
			}
		}
	}
}

// writeRecords adds to the file the records that are not in it yet.
func writeRecords(t *testing.T, list []encoded) []encoded {
	t.Helper()
	for _, r := range stored(t)[len(list):] {
		b, err := Encode(r)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, encoded{r.StoreKey(), base64.StdEncoding.EncodeToString(b)})
	}
	text, err := json.Marshal(list, jsontext.WithIndent("  "))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll("testdata", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(recordsFile, append(text, '\n'), 0o644); err != nil {
		t.Fatal(err)
	}
	return list
}

// TestHostileRecords decodes records that this package never writes: whatever comes out must be safe to use.
func TestHostileRecords(t *testing.T) {
	tests := map[string]string{
		"key without an ID":        `{"by":{"v":1,"ev":"e"},"account":"111122223333","region":"eu-central-1","id":"","manager":"CUSTOMER"}`,
		"material without a key":   `{"account":"111122223333","region":"eu-central-1","key":"","id":""}`,
		"alias without a name":     `{"account":"111122223333","region":"eu-central-1","name":""}`,
		"tombstone without a key":  `{"account":"111122223333","region":"eu-central-1","key":""}`,
		"grant without a key":      `{"account":"111122223333","region":"eu-central-1","key":"","id":"","subset":[{"n":"","v":""}],"lead":-1}`,
		"grant with a wrong lead":  `{"account":"111122223333","region":"eu-central-1","key":"","id":"","subset":[{"n":"","v":""},{"n":"a","v":""}],"lead":9}`,
		"date far before the year": `{"account":"111122223333","region":"eu-central-1","key":"","deleted":"0001-01-01T00:00:00Z"}`,
	}
	for name, text := range tests {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if v := recover(); v != nil {
					t.Errorf("panic: %v", v)
				}
			}()
			for _, key := range []string{"k/111122223333/eu-central-1/", "m/111122223333/eu-central-1//", "a/111122223333/eu-central-1/", "t/111122223333/eu-central-1/", "g/111122223333/eu-central-1//"} {
				r, err := Decode(key, append([]byte{schema}, text...))
				if err != nil {
					continue
				}
				r.Indexes()
				r.Counters()
				if m, ok := r.(*Material); ok && m.Open() == nil {
					t.Error("a material without a secret opened")
				}
			}
		})
	}
}
