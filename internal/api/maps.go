package api

import (
	"maps"
	"slices"
	"strconv"
)

// Maps of enumerations and of integers; those of plain strings, which requests are full of, have code of their own for JSON. In XML a map
// holds one element named entry for each of its pairs, with a key and a value, sorted by key.

func decodeEnumMap[T ~string](d *decoder, dst *map[string]T) {
	var texts map[string]string
	if decodeStrMap(d, &texts); texts == nil {
		return
	}
	m := make(map[string]T, len(texts))
	for key, text := range texts {
		m[key] = T(text)
	}
	*dst = m
}

func decodeIntMap(d *decoder, dst *map[string]int64) {
	if d.dec.PeekKind() == 'n' {
		d.value()
		return
	}
	if !d.open() {
		return
	}
	m := map[string]int64{}
	for d.dec.PeekKind() != '}' && d.within(len(m)) {
		raw, ok := d.value()
		if !ok {
			return
		}
		key := string(d.unquote(raw))
		if k := d.dec.PeekKind(); k != '0' { // null is no value of a map
			d.mismatch(k, expectInteger)
			return
		}
		var n Opt[int64]
		if decodeInt(d, &n); d.err != nil {
			return
		}
		m[key] = n.V
	}
	if d.err == nil && d.token() {
		*dst = m
	}
}

func putEnumMap[T ~string](dst []byte, key string, v map[string]T) []byte {
	return putMap(dst, key, v, func(dst []byte, value T) []byte { return appendString(dst, string(value)) })
}

func putIntMap(dst []byte, key string, v map[string]int64) []byte {
	return putMap(dst, key, v, func(dst []byte, value int64) []byte { return strconv.AppendInt(dst, value, 10) })
}

func putMap[T any](dst []byte, key string, v map[string]T, value func([]byte, T) []byte) []byte {
	if v == nil {
		return dst
	}
	dst = append(append(dst, key...), '{')
	for _, name := range slices.Sorted(maps.Keys(v)) {
		dst = append(value(append(appendString(dst, name), ':'), v[name]), ',')
	}
	return append(closeObject(dst), ',')
}

func xmlStrMap(dst []byte, name string, v map[string]string) []byte { return xmlEnumMap(dst, name, v) }

func xmlEnumMap[T ~string](dst []byte, name string, v map[string]T) []byte {
	return xmlMap(dst, name, v, func(value T) string { return string(value) })
}

func xmlIntMap(dst []byte, name string, v map[string]int64) []byte {
	return xmlMap(dst, name, v, func(value int64) string { return strconv.FormatInt(value, 10) })
}

func xmlMap[T any](dst []byte, name string, v map[string]T, text func(T) string) []byte {
	if v == nil {
		return dst
	}
	dst = openElement(dst, name)
	for _, key := range slices.Sorted(maps.Keys(v)) {
		dst = appendTextElement(openElement(dst, "entry"), "key", key)
		dst = closeElement(appendTextElement(dst, "value", text(v[key])), "entry")
	}
	return closeElement(dst, name)
}
