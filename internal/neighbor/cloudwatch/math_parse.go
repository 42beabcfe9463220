// SPDX-License-Identifier: Apache-2.0

package cloudwatch

import (
	"fmt"
	"strconv"
	"strings"
)

// node is a part of a parsed metric math expression.
type node struct {
	kind nodeKind
	text string  // operator, name of a query or function, or the text of a string
	num  float64 // of a number
	args []*node // operands, arguments, elements
}

type nodeKind int

const (
	isNumber nodeKind = iota
	isText
	isQuery    // the result of another query, by its id
	isCall     // FUNCTION(...)
	isOperator // one operand: minus; two: the rest
	isList     // [a, b]
)

// binding is how strongly the operators bind; ^ binds to the right.
var binding = map[string]int{"||": 1, "OR": 1, "&&": 2, "AND": 2, "==": 3, "!=": 3, "<": 3, ">": 3, "<=": 3, ">=": 3,
	"+": 4, "-": 4, "*": 5, "/": 5, "^": 7}

const unaryBinding = 6

// parseMath reads an expression of metric math: numbers, ids of other queries,
// strings, lists, functions and operators. What a function takes is not looked
// at here.
//
// Source: "Using math expressions with CloudWatch metrics", section "Metric
// math syntax and functions".
func parseMath(text string) (*node, error) {
	p := &mathParser{text: text}
	if err := p.next(); err != nil {
		return nil, err
	}
	n, err := p.expression(0)
	if err != nil {
		return nil, err
	}
	if p.token != "" {
		return nil, p.unexpected()
	}
	return n, nil
}

// mathParser holds one token; "" is the end of the text.
type mathParser struct {
	text  string
	pos   int // of what follows the token
	depth int
	token string
	kind  tokenKind
}

type tokenKind int

const (
	isSign tokenKind = iota
	isDigits
	isWord
	isQuoted
)

// maxDepth bounds nesting, far beyond what 2048 characters of sense hold.
const maxDepth = 200

func (p *mathParser) unexpected() error {
	if p.token == "" {
		return fmt.Errorf("it ends too early")
	}
	return fmt.Errorf("unexpected %q before position %d", p.token, p.pos+1)
}

func (p *mathParser) next() error {
	for p.pos < len(p.text) && strings.IndexByte(" \t\r\n", p.text[p.pos]) >= 0 {
		p.pos++
	}
	rest := p.text[p.pos:]
	if rest == "" {
		p.token, p.kind = "", isSign
		return nil
	}
	size := 0
	switch c := rest[0]; {
	case digit(c) || c == '.' && len(rest) > 1 && digit(rest[1]):
		size, p.kind = numberSize(rest), isDigits
	case letter(c):
		for size < len(rest) && (letter(rest[size]) || digit(rest[size])) {
			size++
		}
		p.kind = isWord
	case c == '\'' || c == '"':
		end := strings.IndexByte(rest[1:], c)
		if end < 0 {
			return fmt.Errorf("the string at position %d has no end", p.pos+1)
		}
		size, p.kind = end+2, isQuoted
	default:
		p.kind = isSign
		for _, sign := range []string{"==", "!=", "<=", ">=", "&&", "||", "<", ">", "+", "-", "*", "/", "^", "(", ")", "[", "]", ","} {
			if strings.HasPrefix(rest, sign) {
				size = len(sign)
				break
			}
		}
		if size == 0 {
			return fmt.Errorf("unexpected character %q at position %d", []rune(rest)[0], p.pos+1)
		}
	}
	p.token = rest[:size]
	p.pos += size
	return nil
}

func digit(c byte) bool  { return c >= '0' && c <= '9' }
func letter(c byte) bool { return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_' }

func numberSize(s string) int {
	n := 0
	digits := func() {
		for n < len(s) && digit(s[n]) {
			n++
		}
	}
	digits()
	if n < len(s) && s[n] == '.' {
		n++
		digits()
	}
	if n+1 < len(s) && (s[n] == 'e' || s[n] == 'E') {
		exp := n + 1
		if s[exp] == '+' || s[exp] == '-' {
			exp++
		}
		if exp < len(s) && digit(s[exp]) {
			n = exp
			digits()
		}
	}
	return n
}

// expression reads operators that bind more strongly than least.
func (p *mathParser) expression(least int) (*node, error) {
	if p.depth++; p.depth > maxDepth {
		return nil, fmt.Errorf("it is nested too deeply")
	}
	defer func() { p.depth-- }()
	left, err := p.operand()
	if err != nil {
		return nil, err
	}
	for {
		op := p.token
		if p.kind == isWord {
			op = strings.ToUpper(op)
		}
		b, ok := binding[op]
		if p.kind == isDigits || p.kind == isQuoted || !ok || b <= least {
			return left, nil
		}
		if err := p.next(); err != nil {
			return nil, err
		}
		if op == "^" {
			b--
		}
		right, err := p.expression(b)
		if err != nil {
			return nil, err
		}
		switch op {
		case "AND":
			op = "&&"
		case "OR":
			op = "||"
		}
		left = &node{kind: isOperator, text: op, args: []*node{left, right}}
	}
}

func (p *mathParser) operand() (*node, error) {
	token, kind := p.token, p.kind
	switch {
	case kind == isDigits:
		f, err := strconv.ParseFloat(token, 64)
		if err != nil {
			return nil, fmt.Errorf("%q is no number", token)
		}
		return &node{kind: isNumber, num: f}, p.next()
	case kind == isQuoted:
		return &node{kind: isText, text: token[1 : len(token)-1]}, p.next()
	case kind == isWord:
		if err := p.next(); err != nil {
			return nil, err
		}
		if p.token == "(" && p.kind == isSign {
			args, err := p.items(")")
			return &node{kind: isCall, text: strings.ToUpper(token), args: args}, err
		}
		return &node{kind: isQuery, text: token}, nil
	case token == "[":
		items, err := p.items("]")
		return &node{kind: isList, args: items}, err
	case token == "(":
		if err := p.next(); err != nil {
			return nil, err
		}
		n, err := p.expression(0)
		if err != nil {
			return nil, err
		}
		if p.token != ")" || p.kind != isSign {
			return nil, p.unexpected()
		}
		return n, p.next()
	case token == "-":
		if err := p.next(); err != nil {
			return nil, err
		}
		n, err := p.expression(unaryBinding - 1)
		return &node{kind: isOperator, text: "-", args: []*node{n}}, err
	}
	return nil, p.unexpected()
}

// items reads expressions with commas between them, from the opening sign that
// is the token to the closing one.
func (p *mathParser) items(closing string) ([]*node, error) {
	if err := p.next(); err != nil {
		return nil, err
	}
	var items []*node
	for p.token != closing || p.kind != isSign {
		if len(items) > 0 {
			if p.token != "," || p.kind != isSign {
				return nil, p.unexpected()
			}
			if err := p.next(); err != nil {
				return nil, err
			}
		}
		n, err := p.expression(0)
		if err != nil {
			return nil, err
		}
		items = append(items, n)
	}
	return items, p.next()
}

// walk calls f for n and all parts of it.
func (n *node) walk(f func(*node)) {
	f(n)
	for _, a := range n.args {
		a.walk(f)
	}
}
