// SPDX-License-Identifier: Apache-2.0

package logs

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// condition is a test of a JSON message.
type condition func(message any) bool

// maxDepth bounds the parentheses of a condition.
const maxDepth = 50

// parseCondition reads a condition in braces:
//
//	{ $.level = "error" && ($.code >= 500 || $.user.tags[0] != "t*") }
//	{ $.x IS NULL }  { $.x NOT EXISTS }  { $.x IS TRUE }
//
// A message that is no JSON object or array is matched by none of them.
func parseCondition(text string) (matcher, error) {
	inner, ok := strings.CutSuffix(text[1:], "}")
	if !ok {
		return nil, errors.New("a condition has no closing brace")
	}
	p := conditionParser{rest: inner}
	test, err := p.either(0)
	if err != nil {
		return nil, err
	}
	if p.space(); p.rest != "" {
		return nil, fmt.Errorf("unexpected %q", clip(p.rest, 20))
	}
	return func(message string) bool {
		trimmed := strings.TrimLeft(message, " \t\r\n")
		if trimmed == "" || trimmed[0] != '{' && trimmed[0] != '[' {
			return false
		}
		var v any
		return json.Unmarshal([]byte(trimmed), &v) == nil && test(v)
	}, nil
}

type conditionParser struct{ rest string }

func (p *conditionParser) space() { p.rest = strings.TrimLeft(p.rest, " \t\r\n") }

// accept takes the word when it comes next.
func (p *conditionParser) accept(word string) bool {
	p.space()
	if len(p.rest) < len(word) || !strings.EqualFold(p.rest[:len(word)], word) {
		return false
	}
	p.rest = p.rest[len(word):]
	return true
}

func (p *conditionParser) either(depth int) (condition, error) {
	a, err := p.both(depth)
	for err == nil && p.accept("||") {
		var b condition
		left := a
		b, err = p.both(depth)
		a = func(v any) bool { return left(v) || b(v) }
	}
	return a, err
}

func (p *conditionParser) both(depth int) (condition, error) {
	a, err := p.one(depth)
	for err == nil && p.accept("&&") {
		var b condition
		left := a
		b, err = p.one(depth)
		a = func(v any) bool { return left(v) && b(v) }
	}
	return a, err
}

func (p *conditionParser) one(depth int) (condition, error) {
	if p.accept("(") {
		if depth == maxDepth {
			return nil, errors.New("parentheses are nested too deep")
		}
		c, err := p.either(depth + 1)
		if err == nil && !p.accept(")") {
			err = errors.New("a parenthesis has no end")
		}
		return c, err
	}
	path, err := p.selector()
	if err != nil {
		return nil, err
	}
	switch {
	case p.accept("NOT EXISTS"):
		return func(v any) bool { _, ok := path.find(v); return !ok }, nil
	case p.accept("EXISTS"):
		return func(v any) bool { _, ok := path.find(v); return ok }, nil
	case p.accept("IS NULL"):
		return path.is(nil), nil
	case p.accept("IS TRUE"):
		return path.is(true), nil
	case p.accept("IS FALSE"):
		return path.is(false), nil
	}
	for _, op := range []string{"!=", ">=", "<=", "=", ">", "<"} {
		if p.accept(op) {
			return p.compare(path, op)
		}
	}
	return nil, fmt.Errorf("an operator is missing before %q", clip(p.rest, 20))
}

// selector is the way to a value: names of members and indexes of elements.
type selector []any

func (p *conditionParser) selector() (selector, error) {
	if !p.accept("$") {
		return nil, fmt.Errorf("a selector such as $.name is missing before %q", clip(p.rest, 20))
	}
	var path selector
	for {
		switch {
		case strings.HasPrefix(p.rest, "."):
			end := 1
			for end < len(p.rest) && nameByte(p.rest[end]) {
				end++
			}
			if end == 1 {
				return nil, errors.New("a selector has an empty name")
			}
			path, p.rest = append(path, p.rest[1:end]), p.rest[end:]
		case strings.HasPrefix(p.rest, "["):
			inner, rest, ok := strings.Cut(p.rest[1:], "]")
			if !ok {
				return nil, errors.New("an index has no end")
			}
			if i, err := strconv.Atoi(inner); err == nil && i >= 0 {
				path = append(path, i)
			} else if name, left, err := quotedName(inner); err == nil && left == "" {
				path = append(path, name)
			} else {
				return nil, fmt.Errorf("%q is no index", clip(inner, 20))
			}
			p.rest = rest
		default:
			return path, nil
		}
	}
}

func quotedName(s string) (string, string, error) {
	if len(s) < 2 || s[0] != '"' {
		return "", "", errors.New("not quoted")
	}
	return quoted(s)
}

func nameByte(c byte) bool {
	return c >= 0x80 || c == '_' || c == '-' || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}

func (s selector) find(v any) (any, bool) {
	for _, step := range s {
		switch step := step.(type) {
		case string:
			m, _ := v.(map[string]any)
			next, ok := m[step]
			if !ok {
				return nil, false
			}
			v = next
		case int:
			l, _ := v.([]any)
			if step >= len(l) {
				return nil, false
			}
			v = l[step]
		}
	}
	return v, true
}

func (s selector) is(want any) condition {
	return func(v any) bool {
		got, ok := s.find(v)
		return ok && got == want
	}
}

func holds(a float64, op string, b float64) bool {
	switch op {
	case "=":
		return a == b
	case "!=":
		return a != b
	case ">":
		return a > b
	case "<":
		return a < b
	case ">=":
		return a >= b
	}
	return a <= b
}

// compare reads the right side of op. Text in quotes, or bare, is compared as
// text, in which * stands for anything; a bare number with numbers.
func (p *conditionParser) compare(path selector, op string) (condition, error) {
	p.space()
	var word string
	bare := true
	if strings.HasPrefix(p.rest, `"`) {
		var err error
		if word, p.rest, err = quoted(p.rest); err != nil {
			return nil, err
		}
		bare = false
	} else {
		end := strings.IndexAny(p.rest, " \t\r\n&|()")
		if end < 0 {
			end = len(p.rest)
		}
		if word, p.rest = p.rest[:end], p.rest[end:]; word == "" {
			return nil, errors.New("a value is missing")
		}
	}
	if n, err := strconv.ParseFloat(word, 64); bare && err == nil {
		return func(v any) bool {
			got, ok := path.find(v)
			f, isNumber := got.(float64)
			if !ok || !isNumber {
				return ok && op == "!="
			}
			return holds(f, op, n)
		}, nil
	}
	if op != "=" && op != "!=" {
		return nil, fmt.Errorf("%s compares numbers only, not %q", op, clip(word, 20))
	}
	equal := func(text string) bool { return text == word }
	if strings.Contains(word, "*") {
		equal = regexp.MustCompile("(?s)^" + strings.ReplaceAll(regexp.QuoteMeta(word), `\*`, ".*") + "$").MatchString
	}
	return func(v any) bool {
		got, ok := path.find(v)
		if !ok {
			return false
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
			return op == "!="
		}
		return equal(text) == (op == "=")
	}, nil
}
