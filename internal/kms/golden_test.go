package kms_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"flag"
	"fmt"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"

	"github.com/keyturn/keyturn/internal/accounts"
	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/audit"
	"github.com/keyturn/keyturn/internal/check/inside"
	"github.com/keyturn/keyturn/internal/iam"
	"github.com/keyturn/keyturn/internal/identity"
	"github.com/keyturn/keyturn/internal/kms"
	"github.com/keyturn/keyturn/internal/operator"
	"github.com/keyturn/keyturn/internal/service"
	"github.com/keyturn/keyturn/internal/sts"
)

var update = flag.Bool("update", false, "write golden files anew")

const tableFile = "testdata/operations.md"

// everyOperation returns all operations there are, with a request for each that has every member set; nil where a request of
// that operation cannot be made from outside.
func everyOperation(t *testing.T) (ops []*service.Op, requests []any) {
	b := testBench(t)
	managed, operated := accounts.New(accounts.Config{}), operator.New(operator.Config{})
	add := func(op *service.Op, req any) {
		if req != nil {
			fill(reflect.ValueOf(req).Elem(), "")
		}
		ops, requests = append(ops, op), append(requests, req)
	}
	for _, list := range [][]*service.Op{b.kms.Operations(), b.kms.Extensions(), b.runner.Operations(b.clock), inside.Operations(inside.Config{}), managed.Operations(), operated.Operations(), sts.New(sts.Config{}).Operations(), iam.New(iam.Config{Directory: identity.NewDirectory(identity.Config{})}).Operations()} {
		for _, op := range list {
			add(op, op.NewRequest())
		}
	}
	add(managed.Initialize, new(accounts.InitializeRequest))
	add(managed.RecoverRootKey, new(api.CreateRootAccessKeyRequest))
	for _, op := range b.kms.Internal() {
		if slices.Contains([]*service.Op{b.kms.RotateKey, b.kms.DeleteKey, b.kms.SweepKey}, op) {
			add(op, new(kms.DueRequest))
		} else {
			add(op, nil)
		}
	}
	return ops, requests
}

// fill sets everything below v. Texts and bytes name the way to them, so that they can be found again.
func fill(v reflect.Value, path string) {
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), path)
	case reflect.Struct:
		for i := range v.NumField() {
			name := v.Type().Field(i).Name
			if _, opt := v.Type().FieldByName("Set"); opt && (name == "V" || name == "Set") {
				fill(v.Field(i), path) // an api.Opt
			} else if v.Field(i).CanSet() {
				fill(v.Field(i), path+"/"+name)
			}
		}
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			v.SetBytes([]byte("blob:" + path))
			return
		}
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(v.Index(0), path)
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(reflect.ValueOf("name"), reflect.ValueOf("text:"+path))
	case reflect.String:
		v.SetString("text:" + path)
	case reflect.Int64, reflect.Int:
		v.SetInt(7)
	case reflect.Bool:
		v.SetBool(true)
	}
}

// audited returns the names of a request's members that the audit record shows, and the whole record.
func audited(t *testing.T, op *service.Op, req any) (names []string, line []byte) {
	t.Helper()
	r := audit.Record{RequestParameters: op.AuditParams(req)}
	line = r.AppendJSON(nil)
	var rec struct {
		Parameters map[string]any `json:"requestParameters"`
	}
	if err := json.Unmarshal(line, &rec); err != nil {
		t.Fatalf("%s: %v", op.Name, err)
	}
	return slices.Sorted(maps.Keys(rec.Parameters)), line
}

// TestOperations keeps the table of operations: any change of what exists, is authorized or recorded shows in a diff.
func TestOperations(t *testing.T) {
	errorsOf := map[string][]string{}
	for _, list := range [][]api.Operation{api.KMSOperations(), api.KeyturnOperations(), api.STSOperations(), api.IAMOperations()} {
		for _, m := range list {
			for _, e := range m.Errors {
				errorsOf[m.Service+"."+m.Name] = append(errorsOf[m.Service+"."+m.Name], string(e))
			}
		}
	}
	var table bytes.Buffer
	fmt.Fprintf(&table, "# Operations\n\nMade by TestOperations; `go test ./internal/kms -run TestOperations -update` writes it anew.\n\n")
	fmt.Fprintf(&table, "| operation | built | kind | actions | condition keys of its own | audited members | errors of the model |\n| --- | --- | --- | --- | --- | --- | --- |\n")
	ops, requests := everyOperation(t)
	var rows []string
	for i, op := range ops {
		members := "cannot be seen from outside"
		if requests[i] != nil {
			names, _ := audited(t, op, requests[i])
			members = strings.Join(names, ", ")
		}
		built, kind := "yes", op.Kind.String()
		if !op.Built {
			built, kind = "no", ""
		}
		model := ""
		if op.Kind != service.Internal {
			model = strings.Join(errorsOf[op.Service+"."+op.Name], ", ")
		}
		rows = append(rows, fmt.Sprintf("| %s.%s | %s | %s | %s | %s | %s | %s |\n",
			op.Service, op.Name, built, kind, strings.Join(op.Actions, ", "), strings.Join(op.CondKeys, ", "), members, model))
	}
	slices.Sort(rows)
	for _, row := range rows {
		table.WriteString(strings.ReplaceAll(strings.ReplaceAll(row, "|  |", "| |"), "|  |", "| |"))
	}
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(tableFile, table.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(tableFile)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(table.Bytes(), want) {
		t.Errorf("%s is stale; look at the change, then run with -update. It would be:\n%s", tableFile, table.Bytes())
	}
}

// modelShape is a shape as the models in the repository have it.
type modelShape struct {
	Type      string            `json:"type"`
	Sensitive bool              `json:"sensitive"`
	Members   map[string]string `json:"members"`
	Element   string            `json:"member"`
}

// apiModel is what TestNoSecretIsAudited reads of a model.
type apiModel struct {
	Operations map[string]struct {
		Input string `json:"input"`
	} `json:"operations"`
	Shapes map[string]modelShape `json:"shapes"`
}

// unmarked are members that are secret, though their models do not say so: codes of MFA devices.
var unmarked = []string{"TokenCode", "AuthenticationCode1", "AuthenticationCode2"}

// TestNoSecretIsAudited checks, against the models, that no sensitive member and no blob gets into an audit record.
func TestNoSecretIsAudited(t *testing.T) {
	models := map[string]apiModel{}
	for _, name := range []string{"kms", "iam", "sts", "keyturn"} {
		text, err := os.ReadFile("../../api/" + name + ".model.json")
		if err != nil {
			t.Fatal(err)
		}
		var m apiModel
		if err := json.Unmarshal(text, &m); err != nil {
			t.Fatal(err)
		}
		models[name] = m
	}
	ops, requests := everyOperation(t)
	checked := 0
	for i, op := range ops {
		if requests[i] == nil {
			continue
		}
		names, line := audited(t, op, requests[i])
		record := string(line)
		if strings.Contains(record, "blob:") {
			t.Errorf("%s: the record has a blob in it: %s", op.Name, record)
		}
		model := models[op.Service]
		input := model.Shapes[model.Operations[op.Name].Input]
		for member, shape := range input.Members {
			s := model.Shapes[shape]
			if !s.Sensitive && s.Type != "blob" && !slices.Contains(unmarked, member) {
				continue
			}
			checked++
			if slices.ContainsFunc(names, func(n string) bool { return strings.EqualFold(n, member) }) {
				t.Errorf("%s: %s, which is secret, is in the record", op.Name, member)
			}
			for _, secret := range []string{"blob:/" + member, "text:/" + member} {
				for _, form := range []string{secret, hex.EncodeToString([]byte(secret)), base64.StdEncoding.EncodeToString([]byte(secret)), fmt.Sprint([]byte(secret))} {
					// A member's name may be the beginning of another's: look for the whole text only.
					if strings.Contains(record, form+`"`) || strings.Contains(record, form+"]") {
						t.Errorf("%s: the value of %s is in the record: %s", op.Name, member, record)
					}
				}
			}
		}
	}
	if checked < 22 {
		t.Errorf("only %d secret members were found in the models", checked)
	}
}

// TestNoSecretInTheLog runs operations on secrets through the pipeline and looks for them in all that was recorded.
func TestNoSecretInTheLog(t *testing.T) {
	b := testBench(t)
	id, _ := b.newKey(t, &api.CreateKeyRequest{})
	secret := []byte("a secret nobody may read")
	enc := must[api.EncryptResponse](t, b, "Encrypt", &api.EncryptRequest{KeyId: str(id), Plaintext: secret})
	dk := must[api.GenerateDataKeyResponse](t, b, "GenerateDataKey", &api.GenerateDataKeyRequest{KeyId: str(id), NumberOfBytes: api.Some[int64](32)})
	random := must[api.GenerateRandomResponse](t, b, "GenerateRandom", &api.GenerateRandomRequest{NumberOfBytes: api.Some[int64](32)})
	must[api.DecryptResponse](t, b, "Decrypt", &api.DecryptRequest{CiphertextBlob: enc.CiphertextBlob})
	re := must[api.ReEncryptResponse](t, b, "ReEncrypt", &api.ReEncryptRequest{CiphertextBlob: dk.CiphertextBlob, DestinationKeyId: str(id)})
	b.do(t, "Decrypt", &api.DecryptRequest{CiphertextBlob: append(bytes.Clone(enc.CiphertextBlob), secret...)}) // refused
	b.do(t, "Encrypt", &api.EncryptRequest{KeyId: str(id), Plaintext: bytes.Repeat(secret, 1000)})              // not valid
	if n := len(b.events(t)); n != 8 {
		t.Fatalf("%d records, want 8", n)
	}
	for line, err := range b.sink.Since(1) {
		if err != nil {
			t.Fatal(err)
		}
		for name, s := range map[string][]byte{
			"plaintext": secret, "ciphertext": enc.CiphertextBlob, "data key": dk.Plaintext, "random bytes": random.Plaintext, "new ciphertext": re.CiphertextBlob,
		} {
			for _, form := range []string{string(s), hex.EncodeToString(s), base64.StdEncoding.EncodeToString(s), base64.RawURLEncoding.EncodeToString(s)} {
				if strings.Contains(string(line.JSON), form) {
					t.Errorf("the %s is in record %d", name, line.Seq)
				}
			}
		}
	}
}
