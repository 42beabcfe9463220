// SPDX-License-Identifier: Apache-2.0

package logs

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// parseCondition reads a condition in braces on a JSON message:
//
//	{ $.level = "error" && ($.code >= 500 || $.user.tags[0] != "t*") }
//	{ $.message = %time[d]? ?out% }  { $.['a.b'] = 1 }  { $.tags[*] = "x" }
//	{ $.x IS NULL }  { $.x NOT EXISTS }  { $.x IS TRUE }
//
// A message that is no JSON object or array is matched by none of them. A
// selector with a wildcard holds when it does for one of its values.
func parseCondition(text string) (matcher, error) {
	inner, ok := strings.CutSuffix(text[1:], "}")
	if !ok {
		return nil, errors.New("a condition has no closing brace")
	}
	holds, err := (&expression[any]{rest: inner, leaf: compareValue}).all()
	if err != nil {
		return nil, err
	}
	return func(message string) bool {
		trimmed := strings.TrimLeft(message, " \t\r\n")
		if trimmed == "" || trimmed[0] != '{' && trimmed[0] != '[' {
			return false
		}
		var v any
		return json.Unmarshal([]byte(trimmed), &v) == nil && holds(v)
	}, nil
}

// compareValue reads a selector and what is said of its value.
func compareValue(p *expression[any]) (test[any], error) {
	path, err := readSelector(p)
	if err != nil {
		return nil, err
	}
	exists := func(v any) bool { return path.any(v, func(any) bool { return true }) }
	is := func(want any) test[any] {
		return func(v any) bool { return path.any(v, func(got any) bool { return got == want }) }
	}
	switch {
	case p.accept("NOT", "EXISTS"):
		return func(v any) bool { return !exists(v) }, nil
	case p.accept("EXISTS"):
		return exists, nil
	case p.accept("IS", "NULL"):
		return is(nil), nil
	case p.accept("IS", "TRUE"):
		return is(true), nil
	case p.accept("IS", "FALSE"):
		return is(false), nil
	}
	c, err := p.comparison()
	if err != nil {
		return nil, err
	}
	return func(v any) bool { return path.any(v, c.value) }, nil
}

// value tells whether a value of a message stands so to the right side.
func (c comparison) value(got any) bool {
	if c.numeric {
		n, ok := got.(float64)
		if !ok {
			return c.op == "!="
		}
		return c.holds(n)
	}
	var text string
	switch g := got.(type) {
	case string:
		text = g
	case float64:
		text = strconv.FormatFloat(g, 'f', -1, 64)
	case bool:
		text = strconv.FormatBool(g)
	default:
		return c.anything == (c.op == "=")
	}
	return c.text(text) == (c.op == "=")
}

// selector is the way to a value: names of members, indexes of elements, and
// each of them.
type selector []any

type each struct{}

func readSelector(p *expression[any]) (selector, error) {
	if !p.accept("$") {
		return nil, fmt.Errorf("a selector such as $.name is missing before %q", clip(p.rest, 20))
	}
	var path selector
	wild := false
	for {
		if strings.HasPrefix(p.rest, ".[") { // $.['a.b'] is $['a.b']
			p.rest = p.rest[1:]
		}
		switch {
		case strings.HasPrefix(p.rest, "."):
			end := 1
			for end < len(p.rest) && nameByte(p.rest[end]) {
				end++
			}
			if end == 1 && strings.HasPrefix(p.rest, ".*") {
				end = 2
			}
			step := p.rest[1:end]
			switch p.rest = p.rest[end:]; step {
			case "":
				return nil, errors.New("a selector has an empty name")
			case "*":
				path = append(path, each{})
			default:
				path = append(path, step)
				continue
			}
		case strings.HasPrefix(p.rest, "["):
			step, rest, err := readIndex(p.rest)
			if err != nil {
				return nil, err
			}
			path, p.rest = append(path, step), rest
			if step != (each{}) {
				continue
			}
		default:
			return path, nil
		}
		if wild {
			return nil, errors.New("a selector has more than one wildcard")
		}
		wild = true
		if p.wildcards++; p.wildcards > maxWildcards {
			return nil, fmt.Errorf("more than %d selectors have a wildcard", maxWildcards)
		}
	}
}

// readIndex reads what stands in brackets: a number, a quoted name, or *.
func readIndex(text string) (step any, rest string, err error) {
	switch inner := text[1:]; {
	case strings.HasPrefix(inner, `"`):
		var name string
		if name, rest, err = quoted(inner); err != nil {
			return nil, "", err
		}
		step = name
	case strings.HasPrefix(inner, "'"):
		name, after, ok := strings.Cut(inner[1:], "'")
		if !ok {
			return nil, "", errors.New("a quote has no end")
		}
		step, rest = name, after
	default:
		end := max(strings.IndexByte(inner, ']'), 0)
		word := strings.TrimSpace(inner[:end])
		rest = inner[end:]
		i, err := strconv.Atoi(word)
		switch {
		case word == "*":
			step = each{}
		case err == nil && i >= 0:
			step = i
		default:
			return nil, "", fmt.Errorf("%q is no index", clip(inner, 20))
		}
	}
	rest, ok := strings.CutPrefix(strings.TrimLeft(rest, " "), "]")
	if !ok {
		return nil, "", errors.New("an index has no end")
	}
	return step, rest, nil
}

func nameByte(c byte) bool {
	return c >= 0x80 || c == '_' || c == '-' || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}

// any tells whether fn holds for one of the values that the selector leads to.
func (s selector) any(v any, fn func(any) bool) bool {
	for i, step := range s {
		switch step := step.(type) {
		case string:
			m, _ := v.(map[string]any)
			next, ok := m[step]
			if !ok {
				return false
			}
			v = next
		case int:
			l, _ := v.([]any)
			if step >= len(l) {
				return false
			}
			v = l[step]
		case each:
			rest := s[i+1:]
			switch v := v.(type) {
			case map[string]any:
				for _, e := range v {
					if rest.any(e, fn) {
						return true
					}
				}
			case []any:
				for _, e := range v {
					if rest.any(e, fn) {
						return true
					}
				}
			}
			return false
		}
	}
	return fn(v)
}
