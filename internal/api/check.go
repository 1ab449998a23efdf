package api

import (
	"fmt"
	"strconv"
)

// The check functions each check one member of a structure. A nil rule is a shape without constraints.

// checkPresent checks a member whose shape has no constraints of its own.
func (c *validator) checkPresent(name string, required, present bool) {
	if required && !present {
		c.missing(name)
	}
}

func (c *validator) checkStr(name string, required bool, v Opt[string], r *rule) {
	c.checkPresent(name, required, v.Set)
	if !v.Set || r == nil {
		return
	}
	c.checkLength(name, utf16Len(v.V), r, func() string { return v.V })
	if r.mismatches(v.V) {
		c.violated(name, r.sensitive, v.V, r.matching())
	}
}

func (c *validator) checkBlob(name string, required bool, v []byte, r *rule) {
	c.checkPresent(name, required, v != nil)
	if v != nil && r != nil {
		c.checkLength(name, int64(len(v)), r, func() string { return echoBlob(len(v)) })
	}
}

func (c *validator) checkInt(name string, required bool, v Opt[int64], r *rule) {
	c.checkPresent(name, required, v.Set)
	if !v.Set || r == nil {
		return
	}
	if r.max.Set && v.V > r.max.V {
		c.violated(name, r.sensitive, strconv.FormatInt(v.V, 10), r.maxValue())
	}
	if r.min.Set && v.V < r.min.V {
		c.violated(name, r.sensitive, strconv.FormatInt(v.V, 10), r.minValue())
	}
}

func checkEnum[T enum[T]](c *validator, name string, required bool, v Opt[T]) {
	c.checkPresent(name, required, v.Set)
	if v.Set && !v.V.known() {
		c.violated(name, false, string(v.V), enumSet(v.V.Values()))
	}
}

// checkLength checks the length n of a string, blob, list or map.
func (c *validator) checkLength(name string, n int64, r *rule, echo func() string) {
	if r.tooLong(n) {
		c.violated(name, r.sensitive, echo(), r.maxLength())
	}
	if r.tooShort(n) {
		c.violated(name, r.sensitive, echo(), r.minLength())
	}
}

// checkStrs checks a list of strings. Bad elements make one violation, of the list as a whole.
func (c *validator) checkStrs(name string, required bool, v []string, list, element *rule) {
	c.checkPresent(name, required, v != nil)
	sensitive := list != nil && list.sensitive || element != nil && element.sensitive
	if v != nil && list != nil {
		c.checkLength(name, int64(len(v)), &rule{min: list.min, max: list.max, sensitive: sensitive},
			func() string { return echoList(v) })
	}
	if element == nil {
		return
	}
	for _, s := range v {
		if !element.accepts(s) {
			c.violated(name, sensitive, echoList(v), fmt.Sprintf("Member must satisfy constraint: [%s]", element.all()))
			return
		}
	}
}

// checkEnums checks a list of enum values. Bad elements make one violation, of the list as a whole.
func checkEnums[T enum[T]](c *validator, name string, required bool, v []T, list *rule) {
	c.checkPresent(name, required, v != nil)
	if v != nil && list != nil {
		c.checkLength(name, int64(len(v)), list, func() string { return echoList(v) })
	}
	for _, e := range v {
		if !e.known() {
			c.violated(name, list != nil && list.sensitive, echoList(v),
				fmt.Sprintf("Member must satisfy constraint: [%s]", enumSet(e.Values())))
			return
		}
	}
}

func checkStruct[T any, P interface {
	*T
	validatable
}](c *validator, name string, required bool, v *T, r *rule) {
	c.checkPresent(name, required, v != nil)
	if v == nil {
		return
	}
	c.enter(name, 0, r != nil && r.sensitive)
	P(v).validate(c)
	c.leave()
}

// checkStructs checks a list of structures; the list itself is never repeated. A sensitive list or element silences
// what is below.
func checkStructs[T any, P interface {
	*T
	validatable
}](c *validator, name string, required bool, v []T, list, element *rule) {
	c.checkPresent(name, required, v != nil)
	if v != nil && list != nil {
		c.checkLength(name, int64(len(v)), &rule{min: list.min, max: list.max, sensitive: true}, func() string { return "" })
	}
	sensitive := list != nil && list.sensitive || element != nil && element.sensitive
	for i := range v {
		if c.full() {
			return
		}
		c.enter(name, i+1, sensitive)
		P(&v[i]).validate(c)
		c.leave()
	}
}
