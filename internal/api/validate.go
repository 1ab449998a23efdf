package api

import (
	"fmt"
	"strconv"
	"unicode/utf8"
)

// Bounds of one validation message, so that a hostile request cannot buy a huge answer.
const (
	maxViolations = 50
	maxEcho       = 1024 // characters of one repeated value
)

// validator collects violations in AWS's words. The path leads to the structure being validated.
type validator struct {
	text  []byte
	count int
	path  []segment
	quiet int // segments of the path that are sensitive
}

// segment is one step of a path: a structure member, or element index (from 1) of a list member if index is not 0.
type segment struct {
	name      string
	index     int
	sensitive bool
}

// validatable is a structure that checks its own members.
type validatable interface{ validate(*validator) }

// validate runs v's checks and returns what they found as an *Error, or nil.
func validate(v validatable) error {
	var c validator
	v.validate(&c)
	if c.count == 0 {
		return nil
	}
	plural := "s"
	if c.count == 1 {
		plural = ""
	}
	return Errorf(ValidationException, "%d validation error%s detected: %s", c.count, plural, c.text)
}

func (c *validator) full() bool { return c.count >= maxViolations }

func (c *validator) enter(name string, index int, sensitive bool) {
	c.path = append(c.path, segment{name, index, sensitive})
	if sensitive {
		c.quiet++
	}
}

func (c *validator) leave() {
	last := len(c.path) - 1
	if c.path[last].sensitive {
		c.quiet--
	}
	c.path = c.path[:last]
}

// missing records that a required member is absent.
func (c *validator) missing(name string) { c.add("Value null", name, "Member must not be null") }

// violated records that the value of a member, which echo gives, breaks a constraint. Sensitive values are not repeated.
func (c *validator) violated(name string, sensitive bool, echo, constraint string) {
	subject := "Value"
	if !sensitive && c.quiet == 0 {
		subject = "Value '" + clip(echo) + "'"
	}
	c.add(subject, name, constraint)
}

func (c *validator) add(subject, name, constraint string) {
	if c.full() {
		return
	}
	if c.count > 0 {
		c.text = append(c.text, "; "...)
	}
	c.count++
	c.text = append(append(c.text, subject...), " at '"...)
	for _, s := range c.path {
		c.text = append(c.text, s.name...)
		if s.index > 0 {
			c.text = append(c.text, '.')
			c.text = strconv.AppendInt(c.text, int64(s.index), 10)
			c.text = append(c.text, ".member"...)
		}
		c.text = append(c.text, '.')
	}
	c.text = append(c.text, name...)
	c.text = append(c.text, "' failed to satisfy constraint: "...)
	c.text = append(c.text, constraint...)
}

// clip shortens s to maxEcho characters.
func clip(s string) string {
	if len(s) <= maxEcho {
		return s
	}
	n := 0
	for i := range s {
		if n == maxEcho {
			return s[:i]
		}
		n++
	}
	return s
}

// utf16Len returns the length of s as AWS counts it: in UTF-16 code units.
func utf16Len(s string) int64 {
	n := int64(utf8.RuneCountInString(s))
	if n == int64(len(s)) {
		return n // ASCII
	}
	for _, r := range s {
		if r > 0xFFFF {
			n++
		}
	}
	return n
}

// echoBlob shows a blob as AWS does: as the Java buffer that holds it.
func echoBlob(n int) string {
	return fmt.Sprintf("java.nio.HeapByteBuffer[pos=0 lim=%d cap=%d]", n, n)
}

// echoList shows as much of a list of strings as clip will keep.
func echoList[T ~string](list []T) string {
	text := []byte{'['}
	for i, s := range list {
		if i > 0 {
			text = append(text, ", "...)
		}
		text = append(text, s...)
		if len(text) > maxEcho*utf8.UTFMax {
			break
		}
	}
	return string(append(text, ']'))
}
