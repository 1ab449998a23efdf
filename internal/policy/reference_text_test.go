package policy

import "strings"

// refSplit cuts at the first five colons that are not within a variable.
func refSplit(v string, variables bool) []string {
	var parts []string
	part := ""
	for v != "" {
		n := 1
		if rest, found := strings.CutPrefix(v, "${"); found && variables {
			_, _, after, ok := refVariable(rest)
			if n = len(v) - len(after); !ok {
				n = max(strings.Index(v, "}")+1, 2)
			}
		}
		if v[:n] == ":" && len(parts) < 5 {
			parts, part = append(parts, part), ""
		} else {
			part += v[:n]
		}
		v = v[n:]
	}
	return append(parts, part)
}

// refExpand turns a value into symbols. Without a request, variables are only checked for their form.
func refExpand(v string, wildcards, variables bool, r *Request) (list []symbol, ok bool) {
	for v != "" {
		head, rest, found := strings.Cut(v, "${")
		if !found || !variables {
			head, rest, found = v, "", false
		}
		if wildcards {
			list = append(list, wildSymbols(head)...)
		} else {
			list = append(list, symbols(head)...)
		}
		if !found {
			return list, true
		}
		if len(rest) > 1 && rest[1] == '}' && strings.Contains("*?$", rest[:1]) {
			list, v = append(list, symbols(rest[:1])...), rest[2:]
			continue
		}
		name, fallback, after, good := refVariable(rest)
		if !good {
			return nil, false
		}
		v = after
		if r == nil {
			continue
		}
		values, present := r.Value(lowerASCII(name))
		switch {
		case present && len(values) == 1:
			list = append(list, symbols(values[0])...)
		case (!present || len(values) == 0) && fallback != nil:
			list = append(list, symbols(*fallback)...)
		default:
			return nil, false
		}
	}
	return list, true
}

// refVariable reads what follows "${": NAME} or NAME, 'DEFAULT'}.
func refVariable(s string) (name string, fallback *string, after string, ok bool) {
	comma, brace := strings.Index(s, ","), strings.Index(s, "}")
	if comma < 0 || brace >= 0 && brace < comma {
		if brace < 0 {
			return "", nil, "", false
		}
		name, after = s[:brace], s[brace+1:]
	} else {
		name = s[:comma]
		rest := strings.TrimLeft(s[comma+1:], " ")
		if rest == "" || rest[0] != '\'' {
			return "", nil, "", false
		}
		text, rest, closed := strings.Cut(rest[1:], "'")
		rest = strings.TrimLeft(rest, " ")
		if !closed || rest == "" || rest[0] != '}' {
			return "", nil, "", false
		}
		fallback, after = &text, rest[1:]
	}
	name = strings.TrimSpace(name)
	return name, fallback, after, strings.Contains(name, ":") && !strings.ContainsAny(name, "${'*?")
}

func refARN(pattern, s string, variables bool, r *Request) bool {
	patterns, parts := refSplit(pattern, variables), strings.SplitN(s, ":", 6)
	if len(patterns) != 6 || len(parts) != 6 || parts[0] != "arn" {
		return false
	}
	for i := range patterns {
		list, ok := refExpand(patterns[i], true, variables, r)
		if !ok || !matchSimply(list, symbols(parts[i])) {
			return false
		}
	}
	return true
}
