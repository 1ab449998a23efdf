package api

import (
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// queryDecoder reads the flat parameters of an AWS Query request: Member, Structure.Member, List.member.N. Parameters
// are sorted once, so that looking for a member or a list's elements never walks all of them.
type queryDecoder struct {
	form url.Values
	keys []string // sorted
	err  error
}

// queryDecodable is a structure that reads its own members; their names have prefix in front.
type queryDecodable interface {
	decodeQuery(q *queryDecoder, prefix string)
}

func decodeQuery(form url.Values, v queryDecodable) error {
	q := queryDecoder{form: form, keys: make([]string, 0, len(form))}
	for key := range form {
		q.keys = append(q.keys, key)
	}
	slices.Sort(q.keys)
	v.decodeQuery(&q, "")
	return q.err
}

func (q *queryDecoder) fail(message string) {
	if q.err == nil {
		q.err = &Error{Code: SerializationException, Message: message}
	}
}

// scalar returns the one value of a parameter.
func (q *queryDecoder) scalar(name string) (string, bool) {
	values, ok := q.form[name]
	if !ok || q.err != nil || len(values) == 0 {
		return "", false
	}
	if len(values) > 1 {
		q.fail("Duplicate parameter")
		return "", false
	}
	if !utf8.ValidString(values[0]) {
		q.fail("Malformed parameter: invalid UTF-8")
		return "", false
	}
	return values[0], true
}

// below returns the names that start with prefix.
func (q *queryDecoder) below(prefix string) []string {
	from, _ := slices.BinarySearch(q.keys, prefix)
	to := from
	for to < len(q.keys) && strings.HasPrefix(q.keys[to], prefix) {
		to++
	}
	return q.keys[from:to]
}

// length returns how many elements a list has, or -1 if it is absent. An empty parameter of the list's own name is an
// empty list. Elements must be numbered from 1 without gaps, lest any be silently dropped.
func (q *queryDecoder) length(name string) int {
	if q.err != nil {
		return -1
	}
	prefix := name + ".member."
	seen, highest := "", 0
	for _, key := range q.below(prefix) {
		index, _, _ := strings.Cut(key[len(prefix):], ".")
		if index == seen {
			continue
		}
		n, err := strconv.Atoi(index)
		if err != nil || n < 1 || n > maxElements || strconv.Itoa(n) != index {
			q.fail("Malformed list parameter")
			return -1
		}
		seen, highest = index, max(highest, n)
	}
	if highest == 0 {
		if value, ok := q.scalar(name); ok && value == "" {
			return 0
		}
		return -1
	}
	for n := 1; n <= highest; n++ {
		if !q.has(prefix + strconv.Itoa(n)) {
			q.fail("Malformed list parameter")
			return -1
		}
	}
	return highest
}

// has tells whether the parameter name, or one below it, was sent.
func (q *queryDecoder) has(name string) bool {
	if _, ok := q.form[name]; ok {
		return true
	}
	from, _ := slices.BinarySearch(q.keys, name+".")
	return from < len(q.keys) && strings.HasPrefix(q.keys[from], name+".")
}

func queryStr[T ~string](q *queryDecoder, name string, dst *Opt[T]) {
	if s, ok := q.scalar(name); ok {
		*dst = Some(T(s))
	}
}

func queryBool(q *queryDecoder, name string, dst *Opt[bool]) {
	s, ok := q.scalar(name)
	switch {
	case !ok:
	case s == "true" || s == "false":
		*dst = Some(s == "true")
	default:
		q.fail("Parameter can not be converted to " + expectBoolean)
	}
}

func queryInt(q *queryDecoder, name string, dst *Opt[int64]) {
	s, ok := q.scalar(name)
	if !ok {
		return
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		q.fail("Parameter can not be converted to " + expectInteger)
		return
	}
	*dst = Some(n)
}

// queryTime takes ISO 8601 as RFC 3339 profiles it, cut to the millisecond.
func queryTime(q *queryDecoder, name string, dst *Opt[time.Time]) {
	s, ok := q.scalar(name)
	if !ok {
		return
	}
	t, err := time.Parse(time.RFC3339, s)
	if ms := t.UnixMilli(); err != nil || ms < minEpochMilli || ms > maxEpochMilli {
		q.fail("Parameter can not be converted to a timestamp")
		return
	}
	*dst = Some(t.UTC().Truncate(time.Millisecond))
}

func queryBlob(q *queryDecoder, name string, dst *[]byte) {
	s, ok := q.scalar(name)
	if !ok {
		return
	}
	blob, ok := parseBase64([]byte(s))
	if !ok {
		q.fail("Parameter can not be converted to " + expectBlob)
		return
	}
	*dst = blob
}

func queryStrs[T ~string](q *queryDecoder, name string, dst *[]T) {
	n := q.length(name)
	if n < 0 {
		return
	}
	list := make([]T, n)
	for i := range list {
		s, ok := q.scalar(name + ".member." + strconv.Itoa(i+1))
		if !ok {
			q.fail("Malformed list parameter")
			return
		}
		list[i] = T(s)
	}
	*dst = list
}

func queryStruct[T any, P interface {
	*T
	queryDecodable
}](q *queryDecoder, name string, dst **T) {
	if q.err == nil && q.has(name) {
		v := new(T)
		P(v).decodeQuery(q, name+".")
		*dst = v
	}
}

func queryStructs[T any, P interface {
	*T
	queryDecodable
}](q *queryDecoder, name string, dst *[]T) {
	n := q.length(name)
	if n < 0 {
		return
	}
	list := []T{}
	for i := 0; i < n && q.err == nil; i++ {
		var v T
		P(&v).decodeQuery(q, name+".member."+strconv.Itoa(i+1)+".")
		list = append(list, v)
	}
	*dst = list
}
