package api

import (
	"encoding/base64"
	"strconv"
	"time"
	"unicode/utf8"
)

// The xml functions append one member as an element of its name; absent members append nothing. Lists hold one element
// named member for each of theirs.

func openElement(dst []byte, name string) []byte {
	return append(append(append(dst, '<'), name...), '>')
}

func closeElement(dst []byte, name string) []byte {
	return append(append(append(dst, "</"...), name...), '>')
}

// appendText appends s as XML 1.0 character data. What XML cannot hold, invalid UTF-8 included, becomes U+FFFD.
func appendText(dst []byte, s string) []byte {
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == '<':
			dst = append(dst, "&lt;"...)
		case r == '>':
			dst = append(dst, "&gt;"...)
		case r == '&':
			dst = append(dst, "&amp;"...)
		case r == '"':
			dst = append(dst, "&quot;"...)
		case r == '\r':
			dst = append(dst, "&#xD;"...) // which a parser would turn into a line feed
		case r == '\t', r == '\n', r >= ' ' && r <= 0xFFFD, r >= 0x10000:
			dst = utf8.AppendRune(dst, r) // U+FFFD itself if s is not UTF-8 here
		default:
			dst = utf8.AppendRune(dst, utf8.RuneError)
		}
		i += size
	}
	return dst
}

func appendTextElement(dst []byte, name, text string) []byte {
	return closeElement(appendText(openElement(dst, name), text), name)
}

func xmlStr[T ~string](dst []byte, name string, v Opt[T]) []byte {
	if !v.Set {
		return dst
	}
	return appendTextElement(dst, name, string(v.V))
}

func xmlStrs[T ~string](dst []byte, name string, v []T) []byte {
	if v == nil {
		return dst
	}
	dst = openElement(dst, name)
	for _, s := range v {
		dst = appendTextElement(dst, "member", string(s))
	}
	return closeElement(dst, name)
}

func xmlBool(dst []byte, name string, v Opt[bool]) []byte {
	if !v.Set {
		return dst
	}
	return closeElement(strconv.AppendBool(openElement(dst, name), v.V), name)
}

func xmlInt(dst []byte, name string, v Opt[int64]) []byte {
	if !v.Set {
		return dst
	}
	return closeElement(strconv.AppendInt(openElement(dst, name), v.V, 10), name)
}

func xmlTime(dst []byte, name string, v Opt[time.Time]) []byte {
	if !v.Set {
		return dst
	}
	return closeElement(v.V.UTC().AppendFormat(openElement(dst, name), "2006-01-02T15:04:05.999Z"), name)
}

func xmlBlob(dst []byte, name string, v []byte) []byte {
	if v == nil {
		return dst
	}
	return closeElement(base64.StdEncoding.AppendEncode(openElement(dst, name), v), name)
}

func xmlStruct[T any, P interface {
	*T
	QueryResponse
}](dst []byte, name string, v *T) []byte {
	if v == nil {
		return dst
	}
	return closeElement(P(v).AppendXML(openElement(dst, name)), name)
}

func xmlStructs[T any, P interface {
	*T
	QueryResponse
}](dst []byte, name string, v []T) []byte {
	if v == nil {
		return dst
	}
	dst = openElement(dst, name)
	for i := range v {
		dst = closeElement(P(&v[i]).AppendXML(openElement(dst, "member")), "member")
	}
	return closeElement(dst, name)
}

// AppendQueryResponse appends the whole XML document that answers an operation of the AWS Query protocol. A nil result
// leaves the result element out, as AWS does for operations without output.
func AppendQueryResponse(dst []byte, namespace, operation, requestID string, result QueryResponse) []byte {
	dst = openDocument(dst, operation+"Response", namespace)
	if result != nil {
		dst = closeElement(result.AppendXML(openElement(dst, operation+"Result")), operation+"Result")
	}
	dst = appendTextElement(openElement(dst, "ResponseMetadata"), "RequestId", requestID)
	return closeElement(closeElement(dst, "ResponseMetadata"), operation+"Response")
}

// AppendQueryError appends the whole XML document that reports e, sent with an HTTP status, in the AWS Query protocol.
func AppendQueryError(dst []byte, namespace, requestID string, status int, e *Error) []byte {
	fault := "Sender"
	if status >= 500 {
		fault = "Receiver"
	}
	dst = openElement(openDocument(dst, "ErrorResponse", namespace), "Error")
	dst = appendTextElement(dst, "Type", fault)
	dst = appendTextElement(dst, "Code", string(e.Code))
	dst = closeElement(appendTextElement(dst, "Message", e.Message), "Error")
	return closeElement(appendTextElement(dst, "RequestId", requestID), "ErrorResponse")
}

func openDocument(dst []byte, name, namespace string) []byte {
	dst = append(append(append(dst, '<'), name...), ` xmlns="`...)
	return append(appendText(dst, namespace), `">`...)
}
