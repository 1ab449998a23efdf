package identity

import (
	"slices"
	"strings"

	"github.com/keyturn/keyturn/internal/policy"
	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/service"
)

// Pins returns the users and roles that ARNs name, with their unique IDs, sorted by ARN. Those that are not there, now, have none. Who keeps an ARN
// to let its principal do something keeps the pin with it: a user that is deleted and made again in the same name is somebody else ("AWS
// JSON policy elements: Principal", IAM User Guide). Nothing guards what is read.
func Pins(tx *service.Tx, arns []string) ([]record.Pin, error) {
	type wanted struct {
		arn, own string
		kind     record.PrincipalKind
	}
	var list []wanted
	var names []string
	for _, arn := range slices.Compact(slices.Sorted(slices.Values(arns))) {
		p, ok := ParseARN(arn)
		kind := record.PrincipalKind(p.Kind)
		if !ok || kind != record.UserKind && kind != record.RoleKind {
			continue
		}
		list = append(list, wanted{arn, p.Own(), kind})
		names = append(names, record.NameStoreKey(p.Account, kind, p.Name))
	}
	found, err := service.LookupAll[*record.Name](tx, names)
	if err != nil {
		return nil, err
	}
	ids := make(map[string]*record.Name, len(found))
	for _, n := range found {
		ids[n.StoreKey()] = n
	}
	var pins []record.Pin
	for i, w := range list {
		n := ids[names[i]]
		if n == nil {
			continue
		}
		own, err := ownARN(tx, n)
		if err != nil {
			return nil, err
		}
		if own == w.own { // path and all
			pins = append(pins, record.Pin{ARN: w.arn, ID: n.ID})
		}
	}
	return pins, nil
}

// ownARN is the ARN of a user or role in the partition "aws", "" if it is not there.
func ownARN(tx *service.Tx, n *record.Name) (string, error) {
	at := []string{record.PrincipalStoreKey(n.Account, n.Kind, n.ID)}
	if n.Kind == record.RoleKind {
		roles, err := service.LookupAll[*record.Role](tx, at)
		if err != nil || len(roles) == 0 {
			return "", err
		}
		return PrincipalARN("aws", n.Kind, &roles[0].Principal), nil
	}
	users, err := service.LookupAll[*record.User](tx, at)
	if err != nil || len(users) == 0 {
		return "", err
	}
	return PrincipalARN("aws", n.Kind, &users[0].Principal), nil
}

// Named returns the ARNs that a policy's principals name.
func Named(p *policy.Policy) []string {
	var arns []string
	for i := range p.Statements {
		for _, list := range []*policy.Principals{p.Statements[i].Principal, p.Statements[i].NotPrincipal} {
			if list != nil {
				arns = append(arns, list.AWS...)
			}
		}
	}
	return arns
}

// Pin puts unique IDs into a policy in the place of the ARNs that they are pinned to. The policy must be the caller's own.
func Pin(p *policy.Policy, pins []record.Pin) {
	if len(pins) == 0 {
		return
	}
	for i := range p.Statements {
		for _, list := range []*policy.Principals{p.Statements[i].Principal, p.Statements[i].NotPrincipal} {
			if list == nil {
				continue
			}
			for n, arn := range list.AWS {
				at, ok := slices.BinarySearchFunc(pins, arn, func(pin record.Pin, arn string) int { return strings.Compare(pin.ARN, arn) })
				if ok {
					list.AWS[n] = pins[at].ID
				}
			}
		}
	}
}
