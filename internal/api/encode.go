package api

import (
	"encoding/base64"
	"slices"
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// The put functions append one member, its key given as `"Name":`, with a comma behind it; absent members append
// nothing. closeObject turns the last comma into the closing brace.

func closeObject(dst []byte) []byte { return closeWith(dst, '{', '}') }

func closeList(dst []byte) []byte { return closeWith(dst, '[', ']') }

func closeWith(dst []byte, opening, closing byte) []byte {
	if last := len(dst) - 1; dst[last] != opening {
		dst[last] = closing // a comma: every value before it ends with something else
		return dst
	}
	return append(dst, closing)
}

// appendString appends s as a JSON string. Invalid UTF-8, which no decoded request holds, becomes U+FFFD.
func appendString(dst []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c >= 0x7f || c == '"' || c == '\\' {
			dst, _ = jsontext.AppendQuote(dst, s)
			return dst
		}
	}
	dst = append(dst, '"')
	dst = append(dst, s...)
	return append(dst, '"')
}

func putStr[T ~string](dst []byte, key string, v Opt[T]) []byte {
	if !v.Set {
		return dst
	}
	return append(appendString(append(dst, key...), string(v.V)), ',')
}

func putStrs[T ~string](dst []byte, key string, v []T) []byte {
	if v == nil {
		return dst
	}
	dst = append(append(dst, key...), '[')
	for _, s := range v {
		dst = append(appendString(dst, string(s)), ',')
	}
	return append(closeList(dst), ',')
}

func putBool(dst []byte, key string, v Opt[bool]) []byte {
	if !v.Set {
		return dst
	}
	return append(strconv.AppendBool(append(dst, key...), v.V), ',')
}

func putInt(dst []byte, key string, v Opt[int64]) []byte {
	if !v.Set {
		return dst
	}
	return append(strconv.AppendInt(append(dst, key...), v.V, 10), ',')
}

func putTime(dst []byte, key string, v Opt[time.Time]) []byte {
	if !v.Set {
		return dst
	}
	return append(appendEpoch(append(dst, key...), v.V), ',')
}

func putBlob(dst []byte, key string, v []byte) []byte {
	if v == nil {
		return dst
	}
	dst = append(append(dst, key...), '"')
	return append(base64.StdEncoding.AppendEncode(dst, v), '"', ',')
}

// putStrMap sorts the names, so that equal maps have equal encodings.
func putStrMap(dst []byte, key string, v map[string]string) []byte {
	if v == nil {
		return dst
	}
	var space [16]string
	names := space[:0]
	for name := range v {
		names = append(names, name)
	}
	slices.Sort(names)
	dst = append(append(dst, key...), '{')
	for _, name := range names {
		dst = append(appendString(dst, name), ':')
		dst = append(appendString(dst, v[name]), ',')
	}
	return append(closeObject(dst), ',')
}

func putStruct[T any, P interface {
	*T
	Response
}](dst []byte, key string, v *T) []byte {
	if v == nil {
		return dst
	}
	return append(P(v).AppendJSON(append(dst, key...)), ',')
}

func putStructs[T any, P interface {
	*T
	Response
}](dst []byte, key string, v []T) []byte {
	if v == nil {
		return dst
	}
	dst = append(append(dst, key...), '[')
	for i := range v {
		dst = append(P(&v[i]).AppendJSON(dst), ',')
	}
	return append(closeList(dst), ',')
}
