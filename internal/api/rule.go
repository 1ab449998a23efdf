package api

import (
	"regexp"
	"strconv"
	"strings"
)

// rule holds the constraints of one shape of a model. Generated rules are never written to.
type rule struct {
	min, max  Opt[int64] // of an integer's value, else of the length
	pattern   string     // as AWS words it
	re        *regexp.Regexp
	sensitive bool
}

// enum is a string type with a closed set of values.
type enum[T any] interface {
	~string
	Values() []T
	known() bool
}

func enumSet[T ~string](values []T) string {
	return "Member must satisfy enum value set: " + echoList(values)
}

func (r *rule) tooLong(n int64) bool  { return r.max.Set && n > r.max.V }
func (r *rule) tooShort(n int64) bool { return r.min.Set && n < r.min.V }
func (r *rule) mismatches(s string) bool {
	return r.re != nil && !r.re.MatchString(s)
}

func (r *rule) maxLength() string {
	return "Member must have length less than or equal to " + strconv.FormatInt(r.max.V, 10)
}

func (r *rule) minLength() string {
	return "Member must have length greater than or equal to " + strconv.FormatInt(r.min.V, 10)
}

func (r *rule) maxValue() string {
	return "Member must have value less than or equal to " + strconv.FormatInt(r.max.V, 10)
}

func (r *rule) minValue() string {
	return "Member must have value greater than or equal to " + strconv.FormatInt(r.min.V, 10)
}

func (r *rule) matching() string {
	return "Member must satisfy regular expression pattern: " + r.pattern
}

// accepts tells whether s satisfies all constraints of a string shape.
func (r *rule) accepts(s string) bool {
	n := utf16Len(s)
	return !r.tooLong(n) && !r.tooShort(n) && !r.mismatches(s)
}

// all words every constraint of a string shape, as AWS does for elements of a list.
func (r *rule) all() string {
	var parts []string
	if r.max.Set {
		parts = append(parts, r.maxLength())
	}
	if r.min.Set {
		parts = append(parts, r.minLength())
	}
	if r.re != nil {
		parts = append(parts, r.matching())
	}
	return strings.Join(parts, ", ")
}
