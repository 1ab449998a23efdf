package api

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kms"
)

// TestSDKParity compares our types with aws-sdk-go-v2's, both ways, so that an upgrade of the SDK that brings something
// new fails until the model has it too.
func TestSDKParity(t *testing.T) {
	p := parity{t: t, added: extensionMembers(t), seen: map[reflect.Type]bool{}}
	ours := map[string]Operation{}
	for _, op := range KMSOperations() {
		ours[op.Name] = op
	}
	client := reflect.TypeFor[*kms.Client]()
	found := 0
	for method := range client.Methods() {
		sig := method.Type // receiver, context, *XInput, ...func(*Options)
		if sig.NumIn() != 4 || !sig.IsVariadic() || sig.NumOut() != 2 || !strings.HasSuffix(sig.In(2).String(), "Input") {
			continue
		}
		found++
		op, ok := ours[method.Name]
		if !ok {
			t.Errorf("operation %s is missing", method.Name)
			continue
		}
		p.structure(method.Name+"Input", reflect.TypeOf(op.NewInput()).Elem(), sig.In(2).Elem())
		output := reflect.TypeFor[struct{}]()
		if op.HasOutput {
			output = reflect.TypeOf(op.NewOutput()).Elem()
		}
		p.structure(method.Name+"Output", output, sig.Out(0).Elem())
	}
	if found != len(ours) {
		t.Errorf("the SDK has %d operations, we have %d", found, len(ours))
	}
	if found < 50 || p.enums < 20 {
		t.Errorf("compared only %d operations and %d enumerations", found, p.enums)
	}
}

// extensionMembers returns the names of the members that keyturn adds, by shape.
func extensionMembers(t *testing.T) map[string][]string {
	data, err := os.ReadFile(filepath.Join("..", "..", "api", "kms-extensions.model.json"))
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Shapes map[string]struct{ Members map[string]string }
	}
	if err := json.Unmarshal(data, &file); err != nil {
		t.Fatal(err)
	}
	added := map[string][]string{}
	for name, shape := range file.Shapes {
		for member := range shape.Members {
			added[name] = append(added[name], member)
		}
	}
	return added
}

type parity struct {
	t     *testing.T
	added map[string][]string
	seen  map[reflect.Type]bool
	enums int
}

func (p *parity) structure(path string, ours, sdk reflect.Type) {
	if p.seen[sdk] {
		return
	}
	p.seen[sdk] = true
	for field := range sdk.Fields() {
		if !field.IsExported() || field.Name == "ResultMetadata" {
			continue
		}
		mine, ok := ours.FieldByName(field.Name)
		if !ok {
			p.t.Errorf("%s.%s is missing", path, field.Name)
			continue
		}
		p.member(path+"."+field.Name, mine.Type, field.Type)
	}
	for field := range ours.Fields() {
		if _, ok := sdk.FieldByName(field.Name); !ok && !slices.Contains(p.added[ours.Name()], field.Name) {
			p.t.Errorf("%s.%s does not exist in the SDK", path, field.Name)
		}
	}
}

// member compares the types of a member: both are reduced to a bare type and what it is wrapped in.
func (p *parity) member(path string, ours, sdk reflect.Type) {
	if ours.Kind() == reflect.Struct && ours.NumField() == 2 && ours.Field(1).Name == "Set" {
		ours = ours.Field(0).Type // Opt
	} else if ours.Kind() == reflect.Pointer {
		ours = ours.Elem()
	}
	if sdk.Kind() == reflect.Pointer {
		sdk = sdk.Elem()
	}
	if ours.Kind() == reflect.Slice && sdk.Kind() == reflect.Slice {
		ours, sdk = ours.Elem(), sdk.Elem()
	}
	switch {
	case sdk.Kind() == reflect.Int32:
		if ours.Kind() != reflect.Int64 {
			p.t.Errorf("%s is %v, in the SDK %v", path, ours, sdk)
		}
	case sdk.Kind() != ours.Kind():
		p.t.Errorf("%s is %v, in the SDK %v", path, ours, sdk)
	case sdk == reflect.TypeFor[time.Time]() || ours == reflect.TypeFor[time.Time]():
		if ours != sdk {
			p.t.Errorf("%s is %v, in the SDK %v", path, ours, sdk)
		}
	case sdk.Kind() == reflect.Struct:
		if ours.Name() != sdk.Name() {
			p.t.Errorf("%s is a %s, in the SDK a %s", path, ours.Name(), sdk.Name())
		}
		p.structure(path, ours, sdk)
	case sdk.Kind() == reflect.String:
		p.enum(path, ours, sdk)
	case sdk.Kind() == reflect.Map:
		if ours != sdk {
			p.t.Errorf("%s is %v, in the SDK %v", path, ours, sdk)
		}
	}
}

func (p *parity) enum(path string, ours, sdk reflect.Type) {
	if ours.Name() != sdk.Name() {
		p.t.Errorf("%s is a %s, in the SDK a %s", path, ours.Name(), sdk.Name())
	}
	if p.seen[sdk] || sdk.Name() == "string" {
		return
	}
	p.seen[sdk] = true
	p.enums++
	mine, theirs := enumValues(ours), enumValues(sdk)
	if !slices.Equal(mine, theirs) || len(mine) == 0 {
		p.t.Errorf("%s has the values %v, in the SDK %v", ours.Name(), mine, theirs)
	}
}

func enumValues(t reflect.Type) []string {
	values := reflect.Zero(t).MethodByName("Values")
	if !values.IsValid() {
		return nil
	}
	var names []string
	list := values.Call(nil)[0]
	for i := range list.Len() {
		names = append(names, list.Index(i).String())
	}
	slices.Sort(names)
	return names
}
