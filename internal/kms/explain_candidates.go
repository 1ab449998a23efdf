package kms

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/policy"
	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/service"
)

// Where candidates come from. Each of these returns the next few after a position, none at the end. A candidate without a caller is only
// looked at: it is not there, or its turn is elsewhere in the list.

const candidatesAtOnce = 25

// configured are the account's root user and the users of the configuration file.
func (l *accessList) configured(after string) ([]candidate, error) {
	callers := map[string]*service.Caller{}
	for _, c := range l.k.config.Principals.ConfiguredCallers(l.target.Account) {
		c = c.In(l.tx.Call.Region)
		if c.Type == "IAMUser" {
			callers[c.ARN] = c
		}
	}
	root := rootARN(l.target.Account, l.target.Key.Region)
	names := append([]string{root}, slices.Sorted(maps.Keys(callers))...)
	return numbered(len(names), after, func(i int) (candidate, error) {
		if i == 0 {
			caller := service.RootCaller(l.target.Account, "").In(l.tx.Call.Region)
			return candidate{subject: subject{caller: caller}, arn: root, kind: api.AccessPrincipalTypeRoot}, nil
		}
		return candidate{subject: subject{caller: callers[names[i]]}, arn: names[i], kind: api.AccessPrincipalTypeUser}, nil
	})
}

// numbered takes the next few of n candidates, whose positions are their numbers from 1.
func numbered(n int, after string, of func(i int) (candidate, error)) ([]candidate, error) {
	from := 0
	if after != "" {
		var err error
		if from, err = strconv.Atoi(after); err != nil || from < 0 {
			return nil, api.Errorf(api.InvalidMarkerException, "Could not deserialize marker")
		}
	}
	var list []candidate
	for i := from; i < n && len(list) < candidatesAtOnce; i++ {
		c, err := of(i)
		if err != nil {
			return nil, err
		}
		c.position = strconv.Itoa(i + 1)
		list = append(list, c)
	}
	return list, nil
}

// stored are the account's users or roles in the store, by path and name.
func (l *accessList) stored(kind record.PrincipalKind) func(after string) ([]candidate, error) {
	return func(after string) ([]candidate, error) {
		prefix := record.PathsPrefix(l.target.Account, kind)
		if after != "" {
			after = prefix + after
		}
		entries, err := l.tx.Scan(prefix, after, candidatesAtOnce)
		if err != nil {
			return nil, err
		}
		list := make([]candidate, len(entries))
		for i, e := range entries {
			list[i].position = strings.TrimPrefix(e.Key, prefix)
			c, err := l.k.config.Principals.PrincipalByID(l.tx.Context(), l.target.Account, kind, record.ParsePathEntry(e.Key))
			if err != nil {
				return nil, err
			}
			if c == nil { // it went meanwhile, or is to be denied everything
				continue
			}
			c = c.In(l.tx.Call.Region)
			list[i].caller, list[i].arn, list[i].kind = c, c.ARN, api.AccessPrincipalTypeUser
			if kind == record.RoleKind {
				list[i].arn, list[i].kind = c.Session.Role.ARN, api.AccessPrincipalTypeRole
			}
		}
		return list, nil
	}
}

// readPolicy notes whom the Allow statements of the key policy name beside the account's own users and roles.
func (l *accessList) readPolicy() error {
	p, err := policy.ParseInForce([]byte(policyOf(l.target.Key)))
	if err != nil {
		return fmt.Errorf("kms: a stored key policy cannot be read: %w", err)
	}
	names := map[string]bool{}
	for _, st := range p.Statements {
		switch ps := st.Principal; {
		case st.Effect != policy.Allow:
		case ps == nil, ps.Any: // no Principal is NotPrincipal: everybody else
			names["*"] = true
		default:
			for _, name := range slices.Concat(ps.AWS, ps.Service) {
				names[name] = true
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		id := ""
		if i := slices.IndexFunc(l.target.Key.Pins, func(p record.Pin) bool { return p.ARN == name }); i >= 0 {
			id = l.target.Key.Pins[i].ID
		}
		c, err := l.outsider(name, id)
		if err != nil {
			return err
		}
		if c.caller != nil {
			l.policy = append(l.policy, c)
		}
	}
	return nil
}

func (l *accessList) named(after string) ([]candidate, error) {
	return numbered(len(l.policy), after, func(i int) (candidate, error) { return l.policy[i], nil })
}

// outsider is whom a key policy or a grant names, and pins to a unique ID or to none, without a caller for the account's own users and roles,
// which are listed by themselves.
func (l *accessList) outsider(name, id string) (candidate, error) {
	c := candidate{arn: name, id: id}
	if name == "*" {
		c.caller, c.everybody, c.stranger, c.kind = anybody(), true, true, api.AccessPrincipalTypeEverybody
		return c, nil
	}
	if policy.ServicePrincipal(name) {
		c.caller, c.kind = servicePrincipalCaller(name), api.AccessPrincipalTypeService
		return c, nil
	}
	if service.IsAccountID(name) {
		c.arn = rootARN(name, l.target.Key.Region)
	}
	_, account, ok := policy.PrincipalARN(c.arn)
	if !ok {
		return c, nil // a unique ID: nobody has it any more
	}
	who := stranger(c.arn, id)
	if who == nil {
		return c, nil
	}
	session := strings.Contains(c.arn, ":assumed-role/")
	switch {
	case account != l.target.Account:
		c.caller, c.stranger, c.kind = who, true, kindOf(who, session)
		return c, nil
	case !session:
		return c, nil
	}
	var err error
	c.kind = api.AccessPrincipalTypeSession
	c.caller, err = l.k.principal(l.tx, c.arn)
	return c, err
}

// kindOf says what a principal of another account is. Its root stands for all of the account.
func kindOf(c *service.Caller, session bool) api.AccessPrincipalType {
	switch {
	case c.Type == "Root":
		return api.AccessPrincipalTypeAccount
	case session:
		return api.AccessPrincipalTypeSession
	case c.Type == "AssumedRole":
		return api.AccessPrincipalTypeRole
	}
	return api.AccessPrincipalTypeUser
}

// grantees are who has grants on the key, one after the other however many grants each has.
func (l *accessList) grantees(after string) ([]candidate, error) {
	key := l.target.Key
	prefix := record.GranteesPrefix(key.Owner, key.ID)
	if after != "" {
		after = prefix + after
	}
	var list []candidate
	for len(list) < candidatesAtOnce {
		entries, err := l.tx.Scan(prefix, after, 1)
		if err != nil || len(entries) == 0 {
			return list, err
		}
		rest := strings.TrimPrefix(entries[0].Key, prefix)
		hash, _, _ := strings.Cut(rest, "/")
		g, err := lookupGrant(l.tx, key.Owner, key.ID, rest[strings.LastIndexByte(rest, '/')+1:])
		if err != nil {
			return nil, err
		}
		var c candidate
		if g != nil && !slices.ContainsFunc(l.policy, func(n candidate) bool { return n.arn == g.Grantee && n.id == g.GranteeID }) {
			if c, err = l.outsider(g.Grantee, g.GranteeID); err != nil {
				return nil, err
			}
		}
		c.position = hash + "~" // sorts after all that begins with HASH/
		list, after = append(list, c), prefix+c.position
	}
	return list, nil
}
