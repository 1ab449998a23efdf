package kms

import (
	"fmt"

	"github.com/maypok86/otter/v2"

	"github.com/keyturn/keyturn/internal/identity"
	"github.com/keyturn/keyturn/internal/policy"
	"github.com/keyturn/keyturn/internal/record"
)

// policies holds key policies compiled, by their text: most keys of an account have the same.
type policies struct {
	compiled *otter.Cache[string, *policy.Compiled]
}

const (
	policiesWeight = 32 << 20 // bytes, roughly
	compiledFactor = 8        // a compiled policy takes about so many times its text
)

func newPolicies() policies {
	return policies{otter.Must(&otter.Options[string, *policy.Compiled]{
		MaximumWeight: policiesWeight,
		Weigher:       func(text string, _ *policy.Compiled) uint32 { return uint32(512 + compiledFactor*len(text)) },
	})}
}

// of returns the policy of a key.
func (p policies) of(k *record.Key) (*policy.Compiled, error) {
	name := k.PolicyName()
	if c, ok := p.compiled.GetIfPresent(name); ok {
		return c, nil
	}
	doc, err := policy.ParseInForce([]byte(policyOf(k)))
	if err != nil {
		return nil, fmt.Errorf("kms: a stored key policy cannot be read: %w", err)
	}
	identity.Pin(doc, k.Pins)
	c := policy.Compile(doc)
	p.compiled.Set(name, c)
	return c, nil
}
