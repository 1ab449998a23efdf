package identity

import (
	"strings"

	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/service"
)

// ARN is the Amazon Resource Name of a user, group, role, policy or MFA device: kind is how it stands in ARNs.
func ARN(partition, account, kind, path, name string) string {
	return "arn:" + partition + ":iam::" + account + ":" + kind + path + name
}

// PrincipalARN is the Amazon Resource Name of a principal in a partition.
func PrincipalARN(partition string, kind record.PrincipalKind, p *record.Principal) string {
	return ARN(partition, p.Account, string(kind), p.Path, p.Name)
}

// SessionARN is the Amazon Resource Name of a role's session. It has the role's name without its path.
func SessionARN(partition, account, role, session string) string {
	return "arn:" + partition + ":sts::" + account + ":assumed-role/" + role + "/" + session
}

// Parsed is an ARN of IAM or STS, taken apart.
type Parsed struct {
	Partition, Service, Account string // Service is iam or sts
	Kind                        string // root, user, group, role, policy, mfa, oidc-provider, assumed-role, ...
	Path                        string // begins and ends with a slash; "" for kinds without
	Name                        string // what follows the path; of an oidc-provider its URL, of an assumed-role ROLE/SESSION
}

// ParseARN takes an ARN of IAM or STS apart.
func ParseARN(s string) (Parsed, bool) {
	parts := strings.SplitN(s, ":", 6)
	if len(parts) != 6 || parts[0] != "arn" || parts[2] != "iam" && parts[2] != "sts" || parts[3] != "" {
		return Parsed{}, false
	}
	p := Parsed{Partition: parts[1], Service: parts[2], Account: parts[4]}
	if !service.IsAccountID(p.Account) && p.Account != awsAccount {
		return Parsed{}, false
	}
	if parts[5] == "root" {
		p.Kind = "root"
		return p, p.Service == "iam"
	}
	kind, rest, ok := strings.Cut(parts[5], "/")
	if !ok || kind == "" || rest == "" {
		return Parsed{}, false
	}
	p.Kind, p.Name = kind, rest
	if kind == "oidc-provider" || p.Service == "sts" {
		return p, true
	}
	i := strings.LastIndexByte(rest, '/')
	p.Path, p.Name = "/"+rest[:i+1], rest[i+1:]
	return p, p.Name != ""
}

// awsAccount stands in the ARNs of policies that AWS manages.
const awsAccount = "aws"

// Own returns an ARN as it is stored, in the partition "aws".
func (p Parsed) Own() string {
	if p.Kind == "root" {
		return "arn:aws:iam::" + p.Account + ":root"
	}
	path := p.Path
	if path == "" {
		path = "/"
	}
	return "arn:aws:" + p.Service + "::" + p.Account + ":" + p.Kind + path + p.Name
}
