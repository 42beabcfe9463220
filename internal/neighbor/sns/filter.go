// SPDX-License-Identifier: Apache-2.0

package sns

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/netip"
	"strings"
)

// filter is a FilterPolicy: a name and what its values must be, or of a message
// body what stands below it. All names must match.
//
// Source: Amazon SNS Developer Guide, "Amazon SNS subscription filter policies".
type filter struct {
	any   map[string][]condition // one of them must hold
	below map[string]filter
}

// condition is one that a value may satisfy. absent says that the name must
// not be there; then hold is nil.
type condition struct {
	absent bool
	hold   func(v any) bool
}

// The limits are the service's.
const (
	maxFilterKeys   = 5
	maxFilterCombos = 150
	maxFilterSize   = 150 << 10
)

// parseFilter reads a policy. Nested names are for those of bodies only.
func parseFilter(text string, body bool) (filter, error) {
	if len(text) > maxFilterSize {
		return filter{}, fmt.Errorf("the policy is larger than %d bytes", maxFilterSize)
	}
	v, err := decodeJSON(text)
	if err != nil {
		return filter{}, fmt.Errorf("failed to parse JSON: %w", err)
	}
	m, ok := v.(map[string]any)
	if !ok {
		return filter{}, errors.New("filter policy is not a JSON object")
	}
	keys, combos := 0, 1
	f, err := readFilter(m, body, 1, &keys, &combos)
	switch {
	case err != nil:
		return f, err
	case keys > maxFilterKeys:
		return f, fmt.Errorf("filter policy can not have more than %d keys", maxFilterKeys)
	case combos > maxFilterCombos:
		return f, fmt.Errorf("filter policy is too complex: it has more than %d combinations of values", maxFilterCombos)
	}
	return f, nil
}

func decodeJSON(text string) (any, error) {
	d := json.NewDecoder(bytes.NewReader([]byte(text)))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, errors.New("more than one JSON value")
	}
	return v, nil
}

func readFilter(m map[string]any, body bool, depth int, keys, combos *int) (filter, error) {
	f := filter{any: map[string][]condition{}, below: map[string]filter{}}
	for name, v := range m {
		switch v := v.(type) {
		case []any:
			if name == "$or" {
				return f, errors.New("the operator $or is not implemented by Sagebrush")
			}
			if len(v) == 0 {
				return f, fmt.Errorf("the key %q has an empty list", name)
			}
			*keys++
			*combos = min(*combos*len(v)*depth, maxFilterCombos+1)
			for _, c := range v {
				r, err := readCondition(c)
				if err != nil {
					return f, fmt.Errorf("key %q: %w", name, err)
				}
				f.any[name] = append(f.any[name], r)
			}
		case map[string]any:
			if !body {
				return f, fmt.Errorf("%q must be a list: nested keys need the FilterPolicyScope MessageBody", name)
			}
			if len(v) == 0 || depth > 10 {
				return f, fmt.Errorf("%q is an empty object, or too deep", name)
			}
			g, err := readFilter(v, body, depth+1, keys, combos)
			if err != nil {
				return f, fmt.Errorf("key %q: %w", name, err)
			}
			f.below[name] = g
		default:
			return f, fmt.Errorf("%q must be an object or an array", name)
		}
	}
	return f, nil
}

// readCondition reads an element of a list: a value to be equal to, or an
// object of one operator.
func readCondition(c any) (condition, error) {
	m, ok := c.(map[string]any)
	if !ok {
		if _, list := c.([]any); list {
			return condition{}, errors.New("match value must be String, number, true, false, or null")
		}
		return condition{hold: func(v any) bool { return same(c, v) }}, nil
	}
	if len(m) != 1 {
		return condition{}, errors.New("only one operator is allowed in an object")
	}
	for name, arg := range m {
		if name == "exists" {
			b, ok := arg.(bool)
			if !ok {
				return condition{}, errors.New("exists match pattern must be either true or false")
			}
			return condition{absent: !b, hold: func(any) bool { return b }}, nil
		}
		hold, err := readOperator(name, arg)
		return condition{hold: hold}, err
	}
	panic("unreachable")
}

func readOperator(name string, arg any) (func(any) bool, error) {
	text, isText := arg.(string)
	onText := func(ok func(string) bool) (func(any) bool, error) {
		if !isText || text == "" {
			return nil, fmt.Errorf("%s match pattern must be a string", name)
		}
		return func(v any) bool { s, is := v.(string); return is && ok(s) }, nil
	}
	switch name {
	case "prefix":
		return onText(func(s string) bool { return strings.HasPrefix(s, text) })
	case "suffix":
		return onText(func(s string) bool { return strings.HasSuffix(s, text) })
	case "equals-ignore-case":
		return onText(func(s string) bool { return strings.EqualFold(s, text) })
	case "cidr":
		p, err := netip.ParsePrefix(text)
		if err != nil {
			return nil, fmt.Errorf("cidr match pattern: %w", err)
		}
		return onText(func(s string) bool { a, err := netip.ParseAddr(s); return err == nil && p.Contains(a) })
	case "numeric":
		return readNumeric(arg)
	case "anything-but":
		return readBut(arg)
	}
	return nil, fmt.Errorf("unrecognized match type %s", name)
}

// readBut reads what a value must not be: a value, a list of them, or an
// object of prefix or suffix.
func readBut(arg any) (func(any) bool, error) {
	var not []func(any) bool
	switch a := arg.(type) {
	case map[string]any:
		if len(a) != 1 {
			return nil, errors.New("anything-but takes one operator")
		}
		for name, v := range a {
			if name != "prefix" && name != "suffix" && name != "equals-ignore-case" {
				return nil, fmt.Errorf("anything-but does not take the operator %s", name)
			}
			hold, err := readOperator(name, v)
			if err != nil {
				return nil, err
			}
			not = append(not, hold)
		}
	case []any:
		if len(a) == 0 {
			return nil, errors.New("anything-but has an empty list")
		}
		for _, v := range a {
			not = append(not, func(w any) bool { return same(v, w) })
		}
	default:
		not = append(not, func(w any) bool { return same(a, w) })
	}
	return func(v any) bool {
		for _, is := range not {
			if is(v) {
				return false
			}
		}
		return true
	}, nil
}

// readNumeric reads a list of comparisons: [">=", 1, "<", 2].
func readNumeric(arg any) (func(any) bool, error) {
	l, ok := arg.([]any)
	if !ok || len(l) == 0 || len(l) > 4 || len(l)%2 != 0 {
		return nil, errors.New("value of numeric must be an array of one or two comparisons")
	}
	type bound struct {
		op string
		n  *big.Float
	}
	var bounds []bound
	for i := 0; i < len(l); i += 2 {
		name, _ := l[i].(string)
		n, ok := number(l[i+1])
		if !ok || name != "=" && name != "<" && name != "<=" && name != ">" && name != ">=" {
			return nil, fmt.Errorf("%v %v is no comparison with a number", l[i], l[i+1])
		}
		bounds = append(bounds, bound{name, n})
	}
	return func(v any) bool {
		n, ok := number(v)
		for _, b := range bounds {
			if !ok {
				return false
			}
			c := n.Cmp(b.n)
			ok = b.op == "=" && c == 0 || b.op == "<" && c < 0 || b.op == "<=" && c <= 0 || b.op == ">" && c > 0 || b.op == ">=" && c >= 0
		}
		return ok
	}, nil
}

// number reads a JSON number. Those beyond the service's are none: of a huge
// exponent big.Float would make much work.
func number(v any) (*big.Float, bool) {
	n, ok := v.(json.Number)
	if !ok {
		return nil, false
	}
	f, err := n.Float64()
	if err != nil || f < -1e9 || f > 1e9 {
		return nil, false
	}
	return new(big.Float).SetFloat64(f), true
}

func same(want, v any) bool {
	if a, ok := number(want); ok {
		b, ok := number(v)
		return ok && a.Cmp(b) == 0
	}
	switch v.(type) {
	case string, bool, nil:
		return want == v
	}
	return false
}

// match holds values, by name, against the policy. A value may be a list, of
// which one must match, or in a body an object.
func (f filter) match(values map[string]any) bool {
	for name, conditions := range f.any {
		v, there := values[name]
		if !matchAny(conditions, v, there) {
			return false
		}
	}
	for name, g := range f.below {
		if !g.matchBelow(values[name]) {
			return false
		}
	}
	return true
}

func (f filter) matchBelow(v any) bool {
	switch v := v.(type) {
	case map[string]any:
		return f.match(v)
	case []any:
		for _, e := range v {
			if f.matchBelow(e) {
				return true
			}
		}
		return false
	}
	return f.match(nil) // nothing is there: what must be absent is
}

func matchAny(conditions []condition, v any, there bool) bool {
	values, list := v.([]any)
	if !list {
		values = []any{v}
	}
	for _, c := range conditions {
		if c.absent {
			if !there {
				return true
			}
			continue
		}
		if !there {
			continue
		}
		for _, v := range values {
			if c.hold(v) {
				return true
			}
		}
	}
	return false
}
