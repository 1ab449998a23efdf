package kms

import (
	"strings"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/keys"
	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/service"
)

// forms says how an operation lets a key be named.
type forms uint8

const (
	idOrARN     forms = iota // key ID, key ARN
	anyForm                  // and alias name, alias ARN; an AWS managed key is made when its alias is first named
	anyExisting              // as anyForm, but nothing is made
)

// resolveKey finds the key that a KeyId names, as a target of one action. What does not exist comes back in Target.Missing.
func (k *KMS) resolveKey(tx *service.Tx, action, name string, f forms) (service.Target, error) {
	owner := callOwner(tx)
	t := service.Target{Action: action, Account: owner.Account, ARN: "*"}
	resource := name
	if strings.HasPrefix(name, "arn:") {
		arn, ok := parseARN(name)
		if !ok {
			t.Missing = invalidKeyID(name)
			return t, nil
		}
		t.Account, t.ARN, resource = arn.Account, name, arn.resource
		if arn.Region != owner.Region {
			t.Missing = api.Errorf(api.NotFoundException, "Invalid arn %s", arn.Region)
			return t, nil
		}
		owner = arn.Owner
		if !strings.HasPrefix(resource, aliasPrefix) {
			if resource, ok = strings.CutPrefix(resource, "key/"); !ok {
				t.Missing = invalidKeyID(name)
				return t, nil
			}
		}
	}
	if strings.HasPrefix(resource, aliasPrefix) {
		if f == idOrARN {
			t.Missing = invalidKeyID(name)
			return t, nil
		}
		return k.resolveAliasKey(tx, t, owner, resource, f)
	}
	if _, ok := keys.ParseKeyID(resource); !ok {
		t.Missing = invalidKeyID(name)
		return t, nil
	}
	return t, lookupKey(tx, &t, owner, resource)
}

// lookupKey completes the target with the key of an ID, or with the answer that there is none.
func lookupKey(tx *service.Tx, t *service.Target, owner record.Owner, id string) error {
	key, err := service.Lookup[*record.Key](tx, record.KeyStoreKey(owner, id))
	if err != nil {
		return err
	}
	if key == nil {
		t.ARN = record.KeyARN(owner, id)
		t.Missing = keyNotFound(t.ARN)
		return nil
	}
	t.Key, t.ARN = key, key.ARN()
	return nil
}

func (k *KMS) resolveAliasKey(tx *service.Tx, t service.Target, owner record.Owner, name string, f forms) (service.Target, error) {
	alias, err := lookupAlias(tx, owner, name)
	if err != nil {
		return t, err
	}
	t.ARN = record.AliasARN(owner, name)
	missing := aliasNotFound(t.ARN)
	if alias == nil {
		if f == anyForm && managedServices[strings.TrimPrefix(name, awsAliasPrefix)] && strings.HasPrefix(name, awsAliasPrefix) && owner.Account == tx.Call.Caller.Account {
			t.ARN = record.KeyARN(owner, "*") // the key that is to be made
			return t, &service.Provision{Op: k.managed, Req: &managedKeyRequest{Alias: name}}
		}
		t.Missing = missing
		return t, nil
	}
	if err := lookupKey(tx, &t, owner, alias.KeyID); err != nil {
		return t, err
	}
	if t.Key == nil { // the key was deleted, its aliases are being swept
		t.ARN, t.Missing = alias.ARN(), missing
	}
	return t, nil
}

// lookupAlias returns an alias, nil if there is none or the name cannot be one.
func lookupAlias(tx *service.Tx, owner record.Owner, name string) (*record.Alias, error) {
	if !validAliasName(name) {
		return nil, nil
	}
	return service.Lookup[*record.Alias](tx, record.AliasesPrefix(owner)+name)
}

func keyNotFound(arn string) error {
	return api.Errorf(api.NotFoundException, "Key '%s' does not exist", arn)
}

func aliasNotFound(arn string) error {
	return api.Errorf(api.NotFoundException, "Alias %s is not found.", arn)
}

func invalidKeyID(name string) error {
	return api.Errorf(api.NotFoundException, "Invalid keyId '%s'", cut(name))
}

// cut bounds what an error message repeats of a request.
func cut(s string) string {
	if len(s) > 256 {
		return strings.ToValidUTF8(s[:256], "") + "..."
	}
	return s
}

type keyARN struct {
	record.Owner
	resource string // key/ID or alias/NAME
}

// parseARN reads arn:PARTITION:kms:REGION:ACCOUNT:RESOURCE.
func parseARN(s string) (keyARN, bool) {
	parts := strings.SplitN(s, ":", 6)
	if len(parts) != 6 || parts[2] != "kms" || !service.IsAccountID(parts[4]) || !validRegion(parts[3]) || parts[1] != record.Partition(parts[3]) {
		return keyARN{}, false
	}
	return keyARN{Owner: record.Owner{Account: parts[4], Region: parts[3]}, resource: parts[5]}, true
}

func validRegion(s string) bool {
	if s == "" || len(s) > 32 {
		return false
	}
	for _, c := range []byte(s) {
		if c != '-' && (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			return false
		}
	}
	return true
}

// validAliasName accepts what the model's AliasNameType and CreateAlias do.
func validAliasName(s string) bool {
	rest, ok := strings.CutPrefix(s, aliasPrefix)
	if !ok || rest == "" || len(s) > 256 {
		return false
	}
	for _, c := range []byte(rest) {
		if c != '/' && c != '_' && c != '-' && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') {
			return false
		}
	}
	return true
}

// one returns a Resolve for operations with one key.
func one[Q any](k *KMS, action string, f forms, name func(*Q) string) func(*service.Tx, *Q) ([]service.Target, error) {
	return func(tx *service.Tx, q *Q) ([]service.Target, error) {
		t, err := k.resolveKey(tx, action, name(q), f)
		return []service.Target{t}, err
	}
}
