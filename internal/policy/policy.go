// Package policy reads the IAM policy language and evaluates it. Parsing is strict: what the language does not know is
// refused rather than ignored, so that nobody believes in a restriction that is never evaluated. Compile makes of a policy
// what decides about requests; which policies take part in a decision, and how they combine, is for others to know.
//
// The language is the one of the IAM user guide, "Grammar of the IAM JSON policy language" and "IAM JSON policy
// elements reference"; what a key policy demands beyond it is in the AWS KMS developer guide, "Key policies in AWS KMS".
package policy

// MaxKeyPolicyBytes is the longest policy document Parse takes, in bytes: the AWS KMS quota for a key policy, and more
// than any IAM policy may have. Callers that answer LimitExceededException compare the length before they parse.
const MaxKeyPolicyBytes = 32768

// The versions of the policy language. A document without Version is of Version2008, in which policy variables such as
// ${aws:username} are plain text.
const (
	Version2008 = "2008-10-17"
	Version2012 = "2012-10-17"
)

// Policy is one parsed document. It is immutable: it may be cached and shared, so nobody may change what it points to.
type Policy struct {
	Version    string // Version2008 or Version2012
	ID         string // the Id element, "" if absent
	Statements []Statement
}

// Effect is what a matching statement does.
type Effect string

// The effects, spelled as in the document.
const (
	Allow Effect = "Allow"
	Deny  Effect = "Deny"
)

// Statement is one statement of a policy. Exactly one of Actions and NotActions is set; at most one of Principal and
// NotPrincipal, and at most one of Resources and NotResources. Lists are never empty when set, and keep the order of
// the document.
type Statement struct {
	Sid          string
	Effect       Effect
	Principal    *Principals
	NotPrincipal *Principals
	Actions      []string // "*" or "service:Name" with * and ?; compared without regard to case
	NotActions   []string
	Resources    []string // "*" or an ARN with * and ?
	NotResources []string
	Conditions   []Condition // all must hold; one operator's entries stand together
}

// Principals are the principals a statement names. Any is the bare "*", and then the lists are empty.
type Principals struct {
	Any           bool
	AWS           []string // "*", 12-digit accounts, IAM and STS ARNs
	Service       []string // service principals such as "logs.us-east-1.amazonaws.com"
	Federated     []string // identity providers: a domain name, or the ARN of a SAML or OIDC provider
	CanonicalUser []string // 64 hexadecimal characters
}

// Condition asks that Operator hold between the request's value of Key and any of Values. Values are strings whatever
// they were in the document; those of Bool and Null are "true" or "false". Key compares without regard to case.
type Condition struct {
	Operator Operator
	Key      string
	Values   []string
}

// Operator is a condition operator taken apart, so that "ForAnyValue:StringLikeIfExists" is Quantifier ForAnyValue,
// Name "StringLike" and IfExists.
type Operator struct {
	Quantifier Quantifier
	Name       string
	IfExists   bool
}

// Quantifier says how a request key with several values is compared.
type Quantifier string

// The quantifiers; Single is the absence of one.
const (
	Single       Quantifier = ""
	ForAllValues Quantifier = "ForAllValues"
	ForAnyValue  Quantifier = "ForAnyValue"
)

// String returns the operator as a document spells it.
func (o Operator) String() string {
	s := o.Name
	if o.Quantifier != Single {
		s = string(o.Quantifier) + ":" + s
	}
	if o.IfExists {
		s += "IfExists"
	}
	return s
}

// Error says what is wrong with a document. Message is meant for the caller of the API, as the text of
// MalformedPolicyDocumentException: it starts with AWS's own words where they are known, and quotes at most 64
// characters of the document.
type Error struct {
	Message string
}

// Error returns the message.
func (e *Error) Error() string { return e.Message }
