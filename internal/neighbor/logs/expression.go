// SPDX-License-Identifier: Apache-2.0

package logs

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// The bounds of one pattern. The service documents the latter two.
const (
	maxDepth     = 50 // of parentheses
	maxRegexes   = 2
	maxWildcards = 3 // selectors with one
)

// test is a condition on what a message was made into: a value or its fields.
type test[T any] func(T) bool

// expression reads comparisons that are joined by && and ||, of which && binds
// closer, and parentheses. leaf reads one comparison.
type expression[T any] struct {
	rest      string
	leaf      func(*expression[T]) (test[T], error)
	regexes   int
	wildcards int
}

func (p *expression[T]) space() { p.rest = strings.TrimLeft(p.rest, " \t\r\n") }

// accept takes the words when they come next, whatever their case.
func (p *expression[T]) accept(words ...string) bool {
	before := p.rest
	for _, word := range words {
		p.space()
		if len(p.rest) < len(word) || !strings.EqualFold(p.rest[:len(word)], word) {
			p.rest = before
			return false
		}
		p.rest = p.rest[len(word):]
	}
	return true
}

// all reads the whole text.
func (p *expression[T]) all() (test[T], error) {
	t, err := p.either(0)
	if err != nil {
		return nil, err
	}
	if p.space(); p.rest != "" {
		return nil, fmt.Errorf("unexpected %q", clip(p.rest, 20))
	}
	return t, nil
}

func (p *expression[T]) either(depth int) (test[T], error) {
	a, err := p.both(depth)
	for err == nil && p.accept("||") {
		var b test[T]
		left := a
		b, err = p.both(depth)
		a = func(v T) bool { return left(v) || b(v) }
	}
	return a, err
}

func (p *expression[T]) both(depth int) (test[T], error) {
	a, err := p.one(depth)
	for err == nil && p.accept("&&") {
		var b test[T]
		left := a
		b, err = p.one(depth)
		a = func(v T) bool { return left(v) && b(v) }
	}
	return a, err
}

func (p *expression[T]) one(depth int) (test[T], error) {
	if !p.accept("(") {
		return p.leaf(p)
	}
	if depth == maxDepth {
		return nil, errors.New("parentheses are nested too deep")
	}
	t, err := p.either(depth + 1)
	if err == nil && !p.accept(")") {
		err = errors.New("a parenthesis has no end")
	}
	return t, err
}

// comparison is an operator and its right side.
type comparison struct {
	op     string
	text   matcher // whether a text equals the right side
	number float64
	// numeric says that the right side is a number and not in quotes, anything
	// that it is a lone asterisk.
	numeric, anything bool
}

// comparison reads an operator and a value. Text in quotes, or bare, is compared
// as text, in which * stands for anything; text between per cent signs is a
// regular expression; a bare number is compared with numbers.
func (p *expression[T]) comparison() (comparison, error) {
	var c comparison
	for _, op := range []string{"!=", ">=", "<=", "=", ">", "<"} {
		if p.accept(op) {
			c.op = op
			break
		}
	}
	if c.op == "" {
		return c, fmt.Errorf("an operator is missing before %q", clip(p.rest, 20))
	}
	p.space()
	word, bare := "", false
	switch {
	case strings.HasPrefix(p.rest, `"`):
		var err error
		if word, p.rest, err = quoted(p.rest); err != nil {
			return c, err
		}
	case strings.HasPrefix(p.rest, "%"):
		var err error
		if c.text, p.rest, err = parseRegex(p.rest); err != nil {
			return c, err
		}
		if p.regexes++; p.regexes > maxRegexes {
			return c, fmt.Errorf("there are more than %d regular expressions", maxRegexes)
		}
	default:
		end := strings.IndexAny(p.rest, " \t\r\n&|()")
		if end < 0 {
			end = len(p.rest)
		}
		if word, p.rest = p.rest[:end], p.rest[end:]; word == "" {
			return c, errors.New("a value is missing")
		}
		bare = true
	}
	if c.text == nil {
		c.text, c.anything = equals(word), word == "*"
	}
	if bare {
		c.number, c.numeric = parseNumber(word)
	}
	if !c.numeric && c.op != "=" && c.op != "!=" {
		return c, fmt.Errorf("%s compares numbers only, not %q", c.op, clip(word, 20))
	}
	return c, nil
}

// equals is equality with a text in which * stands for anything.
func equals(word string) matcher {
	parts := strings.Split(word, "*")
	first, last := parts[0], parts[len(parts)-1]
	if len(parts) == 1 {
		return func(text string) bool { return text == word }
	}
	return func(text string) bool {
		text, begins := strings.CutPrefix(text, first)
		text, ends := strings.CutSuffix(text, last)
		for _, part := range parts[1 : len(parts)-1] {
			_, after, ok := strings.Cut(text, part)
			if !ok {
				return false
			}
			text = after
		}
		return begins && ends
	}
}

// parseNumber reads a decimal number; words that mean numbers in Go are none.
func parseNumber(word string) (float64, bool) {
	if strings.Trim(word, "0123456789+-.eE") != "" {
		return 0, false
	}
	n, err := strconv.ParseFloat(word, 64)
	return n, err == nil
}

// holds tells whether a number stands to the right side as the operator says.
func (c comparison) holds(a float64) bool {
	switch c.op {
	case "=":
		return a == c.number
	case "!=":
		return a != c.number
	case ">":
		return a > c.number
	case "<":
		return a < c.number
	case ">=":
		return a >= c.number
	}
	return a <= c.number
}
