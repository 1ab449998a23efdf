package check

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/keyturn/keyturn/internal/policy"
)

// anyService stands for a policy that names services by a wildcard.
const anyService = "*"

func evalBlastRadius(f *Facts, s *Settings) Verdict {
	services := servicesOf(f.Policy)
	classes := classesOf(f.Tags, s.ClassTags)
	if len(services) == 0 && len(classes) == 0 {
		return notApplicable("Neither the policy nor a tag says what the key is for.")
	}
	var said, wrong []string
	switch list := strings.Join(services, ", "); {
	case slices.Contains(services, anyService):
		wrong = append(wrong, "The policy lets any service use the key for its callers.")
	case len(services) > s.MaxServices:
		wrong = append(wrong, fmt.Sprintf("The policy names %d services, more than the %d allowed: %s.", len(services), s.MaxServices, list))
	case len(services) > 0:
		said = append(said, fmt.Sprintf("The policy names %s, and at most %d services are allowed.", list, s.MaxServices))
	}
	switch list := strings.Join(classes, ", "); {
	case len(classes) > 1:
		wrong = append(wrong, fmt.Sprintf("Its tags name %d classes of data: %s.", len(classes), list))
	case len(classes) == 1:
		said = append(said, fmt.Sprintf("Its tags name one class of data, %s.", list))
	}
	if len(wrong) > 0 {
		return fail("%s", strings.Join(wrong, " "))
	}
	return pass("%s", strings.Join(said, " ")).and("Who uses the key by a grant or an IAM policy is not counted.")
}

// servicesOf returns the services that statements of a key policy allow, sorted: those that call as themselves, and those through which
// people may call. anyService is among them if a wildcard stands for the name.
func servicesOf(p *policy.Policy) []string {
	found := map[string]bool{}
	add := func(host string, wildcards bool) {
		name, _, _ := strings.Cut(strings.ToLower(host), ".")
		if i := strings.IndexAny(name, "*?"); i >= 0 {
			if !wildcards {
				return // compared as text, it matches no service
			}
			// "s3*" is S3 in any Region, "*" is everything.
			name = name[:i]
			if name == "" {
				name = anyService
			}
		}
		if name != "" {
			found[name] = true
		}
	}
	for _, st := range p.Statements {
		if st.Effect != policy.Allow {
			continue
		}
		if st.Principal != nil {
			for _, service := range st.Principal.Service {
				add(service, false)
			}
		}
		for _, c := range st.Conditions {
			like := c.Operator.Name == "StringLike"
			if strings.EqualFold(c.Key, "kms:ViaService") &&
				(like || c.Operator.Name == "StringEquals" || c.Operator.Name == "StringEqualsIgnoreCase") {
				for _, value := range c.Values {
					add(value, like)
				}
			}
		}
	}
	return slices.Sorted(maps.Keys(found))
}

// Words that make one class together with the next or the one before, as in "highly confidential" and "internal use only".
var (
	classPrefixes = []string{"highly", "most", "non", "not", "strictly", "top", "very"}
	classSuffixes = []string{"data", "information", "only", "use"}
	classJoints   = []string{"and", "&", "or"}
)

// classesOf returns the classes of data that tags name, in lower case and sorted. One tag may name several.
func classesOf(tags map[string]string, names []string) []string {
	found := map[string]bool{}
	for _, key := range tagsNamed(tags, names) {
		for _, part := range strings.FieldsFunc(tags[key], func(r rune) bool { return strings.ContainsRune(",;/+|", r) }) {
			for _, class := range classesIn(strings.Fields(strings.ToLower(part))) {
				found[class] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(found))
}

// classesIn takes words apart into classes.
func classesIn(words []string) []string {
	var classes []string
	prefixed := false
	for _, w := range words {
		if slices.Contains(classJoints, w) {
			continue
		}
		last := len(classes) - 1
		if last >= 0 && (prefixed || slices.Contains(classSuffixes, w)) {
			classes[last] += " " + w
		} else {
			classes = append(classes, w)
		}
		prefixed = slices.Contains(classPrefixes, w)
	}
	return classes
}
