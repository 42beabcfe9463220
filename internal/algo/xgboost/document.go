// SPDX-License-Identifier: Apache-2.0

package xgboost

import (
	"fmt"
	"math"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
)

// A document is what a model file holds, whether JSON or UBJSON, as
//
//	map[string]any, []any, []float64 (a list of numbers or booleans), packed
//	(such a list of a UBJSON file), string, float64, bool, nil
//
// An empty list is an empty []float64 or packed.

// maxNesting is how deep documents may nest; models nest 7 levels.
const maxNesting = 32

// cursor reads a document by path and keeps the first error.
type cursor struct {
	at   any
	path string
	err  *error
}

func (c cursor) fail(format string, args ...any) {
	if *c.err == nil {
		*c.err = algo.ClientErrorf("model file: %s: %s", c.path, fmt.Sprintf(format, args...))
	}
}

// has reports whether the object has the key.
func (c cursor) has(key string) bool {
	object, _ := c.at.(map[string]any)
	_, ok := object[key]
	return ok
}

// get goes to the value of key, which must be there.
func (c cursor) get(key string) cursor {
	object, ok := c.at.(map[string]any)
	next := cursor{object[key], c.path + "." + key, c.err}
	if !ok {
		c.fail("is not an object")
	} else if !c.has(key) {
		next.fail("is missing")
	}
	return next
}

func (c cursor) text() string {
	s, ok := c.at.(string)
	if !ok {
		c.fail("is not a string")
	}
	return s
}

// strings gives the strings of an object; other values are passed over.
func (c cursor) strings() map[string]string {
	out := map[string]string{}
	object, ok := c.at.(map[string]any)
	if !ok {
		c.fail("is not an object")
	}
	for key, v := range object {
		if s, ok := v.(string); ok {
			out[key] = s
		}
	}
	return out
}

// list gives the pieces of a list that are not all numbers.
func (c cursor) list() []cursor {
	if numbers, ok := c.at.([]float64); ok && len(numbers) == 0 {
		return nil
	}
	if numbers, ok := c.at.(packed); ok && numbers.len() == 0 {
		return nil
	}
	items, ok := c.at.([]any)
	if !ok {
		c.fail("is not a list of objects")
	}
	out := make([]cursor, len(items))
	for i, v := range items {
		out[i] = cursor{v, fmt.Sprintf("%s[%d]", c.path, i), c.err}
	}
	return out
}

// names gives a list of strings.
func (c cursor) names() []string {
	var out []string
	for _, v := range c.list() {
		out = append(out, v.text())
	}
	return out
}

// numbers gives a list of n numbers, of any length when n is negative.
func (c cursor) numbers(n int) []float64 {
	v, ok := c.at.([]float64)
	length := len(v)
	p, isPacked := c.at.(packed)
	if isPacked {
		length = p.len()
	}
	switch {
	case !ok && !isPacked:
		c.fail("is not a list of numbers")
	case n >= 0 && length != n:
		c.fail("has %d values, not %d", length, n)
		return nil
	case isPacked:
		return p.float64s()
	}
	return v
}

func (c cursor) floats(n int) []float32 {
	if p, ok := c.at.(packed); ok && (n < 0 || p.len() == n) {
		if out, ok := p.float32s(); ok {
			return out
		}
	}
	values := c.numbers(n)
	out := make([]float32, len(values))
	for i, v := range values {
		out[i] = float32(v)
	}
	return out
}

func (c cursor) ints(n int) []int32 {
	if p, ok := c.at.(packed); ok && (n < 0 || p.len() == n) {
		if out, ok := p.int32s(); ok {
			return out
		}
	}
	values := c.numbers(n)
	out := make([]int32, len(values))
	for i, v := range values {
		if v != math.Trunc(v) || v < math.MinInt32 || v > math.MaxInt32 {
			c.fail("has %v where a 32-bit whole number belongs", v)
			return nil
		}
		out[i] = int32(v)
	}
	return out
}
