package kms

import (
	"cmp"
	"strings"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/policy"
	"github.com/keyturn/keyturn/internal/service"
)

// keyAction is an action on keys, with the condition keys of the operations that need it.
type keyAction struct {
	name  string
	own   map[string]string // as AWS writes them, by their names in lower case; a * at the end stands for any name
	every map[string]string // those of all operations
}

// keyActions returns the actions on keys by name.
func keyActions(ops []*service.Op) map[string]*keyAction {
	every := map[string]string{}
	actions := map[string]*keyAction{}
	for _, m := range api.KMSOperations() {
		for _, p := range m.Permissions {
			if strings.HasPrefix(p.In, "key policy") || strings.HasPrefix(p.In, "the grant") {
				actions[p.Action] = &keyAction{name: p.Action, own: map[string]string{}, every: every}
			}
		}
	}
	for _, op := range ops {
		for _, key := range op.CondKeys {
			every[policy.FoldKey(key)] = key
			for _, name := range op.Actions {
				if a := actions[name]; a != nil {
					a.own[policy.FoldKey(key)] = key
				}
			}
		}
	}
	return actions
}

// has tells whether requests for the action can have a condition key, by its name in lower case.
func (a *keyAction) has(key string) bool { _, ok := find(a.own, key); return ok }

// others tells whether requests for any action can.
func (a *keyAction) others(key string) bool { _, ok := find(a.every, key); return ok }

// find returns how AWS writes a condition key that a table has.
func find(table map[string]string, key string) (string, bool) {
	if name, ok := table[key]; ok {
		return name, true
	}
	for pattern, name := range table {
		prefix, ok := strings.CutSuffix(pattern, "*")
		if ok && strings.HasPrefix(key, prefix) {
			return strings.TrimSuffix(name, "*") + key[len(prefix):], true
		}
	}
	return "", false
}

// spelled is a condition key as AWS writes it, as far as it is known here.
func (a *keyAction) spelled(key string) string {
	if name, ok := find(a.every, key); ok {
		return name
	}
	return cmp.Or(listed(ofConnection, key), listed(ofPrincipal, key), key)
}

// actionOf returns the action on keys that a request names, in whatever case, as in policies.
func actionOf(actions map[string]*keyAction, name string) (*keyAction, error) {
	if a := actions[name]; a != nil {
		return a, nil
	}
	for known, a := range actions {
		if strings.EqualFold(known, name) {
			return a, nil
		}
	}
	return nil, api.Errorf(api.ValidationException, "%s is not the name of an action on keys, such as kms:Decrypt", cut(name))
}

// accessBound bounds what a question about access brings along.
const accessBound = 32 << 10 // bytes of names and values

func checkAccess(encryptionContext map[string]string, entries []api.AccessContext) error {
	if err := contextBound(func(*struct{}) []map[string]string { return []map[string]string{encryptionContext} })(nil); err != nil {
		return err
	}
	size := 0
	for _, e := range entries {
		size += len(e.Key.V)
		for _, v := range e.Values {
			size += len(v)
		}
	}
	if size > accessBound {
		return api.Errorf(api.ValidationException, "The context is longer than %d bytes", accessBound)
	}
	return nil
}
