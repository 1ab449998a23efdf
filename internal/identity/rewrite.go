package identity

import (
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/keyturn/keyturn/internal/record"
	"github.com/keyturn/keyturn/internal/service"
)

// ShowPins returns a policy document with the ARNs that its pinned principals have now, and the unique IDs of those that are gone, as AWS shows
// them: whoever puts the policy again as it was shown gives nothing to somebody else of the same name. What another account calls a principal
// now is not for the caller to know: it has its ID, too.
func ShowPins(tx *service.Tx, document string, pins []record.Pin) (string, error) {
	shown := make(map[string]string, len(pins))
	for _, pin := range pins {
		p, _ := ParseARN(pin.ARN)
		own, err := ownARN(tx, &record.Name{Account: p.Account, Kind: record.PrincipalKind(p.Kind), ID: pin.ID})
		switch {
		case err != nil:
			return "", err
		case own == p.Own():
		case own == "" || p.Account != tx.Call.Caller.Account:
			shown[pin.ARN] = pin.ID
		default:
			shown[pin.ARN] = "arn:" + p.Partition + strings.TrimPrefix(own, "arn:aws")
		}
	}
	if len(shown) == 0 {
		return document, nil
	}
	return RewritePrincipals(document, func(arn string) string { return shown[arn] }), nil
}

// RewritePrincipals replaces principals below AWS in a document that has been parsed, and leaves all else as it is. to returns "" for what stays.
func RewritePrincipals(document string, to func(string) string) string {
	dec := jsontext.NewDecoder(strings.NewReader(document))
	var out []byte
	done := 0
	for {
		if dec.PeekKind() != '"' {
			if _, err := dec.ReadToken(); err != nil { // the end
				return string(append(out, document[done:]...))
			}
			continue
		}
		v, err := dec.ReadValue()
		if err != nil {
			return string(append(out, document[done:]...))
		}
		if kind, n := dec.StackIndex(dec.StackDepth()); kind == '{' && n%2 == 1 || !isPrincipalPointer(string(dec.StackPointer())) {
			continue // a name, or another value
		}
		end := int(dec.InputOffset())
		name, err := jsontext.AppendUnquote(nil, v)
		if err != nil {
			continue
		}
		if r := to(string(name)); r != "" {
			out = append(out, document[done:end-len(v)]...)
			out, _ = jsontext.AppendQuote(out, r) // an ARN or an ID: always valid
			done = end
		}
	}
}

// isPrincipalPointer tells whether a JSON Pointer leads to a principal: /Statement, or /Statement/0; then /Principal/AWS, or that with an index.
func isPrincipalPointer(pointer string) bool {
	parts := strings.Split(pointer, "/")
	if len(parts) < 4 || parts[1] != "Statement" {
		return false
	}
	rest := parts[2:]
	if rest[0] != "Principal" && rest[0] != "NotPrincipal" {
		rest = rest[1:]
	}
	return len(rest) >= 2 && len(rest) <= 3 && (rest[0] == "Principal" || rest[0] == "NotPrincipal") && rest[1] == "AWS"
}
