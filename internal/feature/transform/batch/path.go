// SPDX-License-Identifier: Apache-2.0

package batch

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Path is a JSONPath of DataProcessing: $, .name, ['name'], ['a','b'], [3],
// [0,-1], [1:4], * and chains of these. An index below 0 counts from the end.
// The end of a slice is not part of it, as in JSONPath: $[1:4] is the second to
// the fourth element.
//
// Source: "Associate Prediction Results with Input Records", which says that
// other operators of JSONPath are not supported.
type Path struct {
	text  string
	steps []pathStep
}

type pathStep struct {
	names   []string // of an object's members
	indices []int    // of an array's elements
	slice   bool
	from    int
	to      int
	hasTo   bool
	all     bool // *
}

// one says that the step names one value, which must be there.
func (s pathStep) one() bool { return len(s.names) == 1 || len(s.indices) == 1 }

// maxIndex bounds indices: no record has as many elements.
const maxIndex = 1 << 30

// ParsePath reads a JSONPath; "" is $.
func ParsePath(text string) (*Path, error) {
	p := &parser{rest: text}
	if text == "" {
		p.rest = "$"
	}
	out := &Path{text: text}
	if !p.take("$") {
		return nil, fmt.Errorf("JSONPath %q does not begin with $", text)
	}
	for p.rest != "" {
		step, err := p.step()
		if err != nil {
			return nil, fmt.Errorf("JSONPath %q: %w", text, err)
		}
		if n := len(out.steps); n > 0 && len(out.steps[n-1].names) > 1 {
			return nil, fmt.Errorf("JSONPath %q: nothing may follow several names", text)
		}
		out.steps = append(out.steps, step)
	}
	return out, nil
}

// All says that the path is $: the record as it is.
func (p *Path) All() bool { return len(p.steps) == 0 }

func (p *Path) String() string { return p.text }

// Columns checks that the path can be used on rows of CSV, which are arrays of
// values.
func (p *Path) Columns() error {
	if len(p.steps) == 0 || len(p.steps) == 1 && len(p.steps[0].names) == 0 {
		return nil
	}
	return fmt.Errorf("JSONPath %q does not name columns by their index, as rows of CSV need", p.text)
}

// parser reads what is left of a path.
type parser struct{ rest string }

func (p *parser) take(prefix string) bool {
	rest, ok := strings.CutPrefix(p.rest, prefix)
	if ok {
		p.rest = rest
	}
	return ok
}

func (p *parser) step() (pathStep, error) {
	if p.take(".") {
		switch {
		case p.take("*"):
			return pathStep{all: true}, nil
		case strings.HasPrefix(p.rest, "."):
			return pathStep{}, errors.New("the operator .. is not supported")
		case !strings.HasPrefix(p.rest, "["): // $.a.['b'] is allowed
			name := p.rest
			if i := strings.IndexAny(p.rest, ".[]*()?@ ,:'\""); i >= 0 {
				name = p.rest[:i]
			}
			if name == "" {
				return pathStep{}, errors.New("a name is missing")
			}
			p.rest = p.rest[len(name):]
			return pathStep{names: []string{name}}, nil
		}
	}
	if p.take("*") { // $* of the documentation
		return pathStep{all: true}, nil
	}
	if !p.take("[") {
		return pathStep{}, fmt.Errorf("%q is not understood", p.rest)
	}
	p.space()
	var step pathStep
	var err error
	switch {
	case p.take("*"):
		step.all = true
	case strings.HasPrefix(p.rest, "'"), strings.HasPrefix(p.rest, `"`):
		err = p.names(&step)
	default:
		err = p.numbers(&step)
	}
	if err != nil {
		return step, err
	}
	if p.space(); !p.take("]") {
		return step, fmt.Errorf("%q is not understood: a ] is expected", p.rest)
	}
	return step, nil
}

func (p *parser) space() { p.rest = strings.TrimLeft(p.rest, " ") }

func (p *parser) names(step *pathStep) error {
	for {
		quote := byte('\'')
		switch {
		case p.take("'"):
		case p.take(`"`):
			quote = '"'
		default:
			return errors.New("a quoted name is missing")
		}
		var name strings.Builder
		for {
			if p.rest == "" {
				return errors.New("a quote is not closed")
			}
			c := p.rest[0]
			p.rest = p.rest[1:]
			if c == quote {
				break
			}
			if c == '\\' && p.rest != "" {
				c = p.rest[0]
				p.rest = p.rest[1:]
			}
			name.WriteByte(c)
		}
		step.names = append(step.names, name.String())
		p.space()
		if !p.take(",") {
			return nil
		}
		p.space()
	}
}

func (p *parser) numbers(step *pathStep) error {
	from, ok, err := p.number()
	if err != nil {
		return err
	}
	p.space()
	if p.take(":") {
		step.slice, step.from = true, from
		p.space()
		step.to, step.hasTo, err = p.number()
		if p.space(); err == nil && strings.HasPrefix(p.rest, ":") {
			return errors.New("slices have no step")
		}
		return err
	}
	for ok {
		step.indices = append(step.indices, from)
		if p.space(); !p.take(",") {
			return nil
		}
		p.space()
		if from, ok, err = p.number(); err != nil {
			return err
		}
	}
	return fmt.Errorf("%q is not understood: an index is expected", p.rest)
}

// number reads a whole number; ok is false when there is none.
func (p *parser) number() (n int, ok bool, err error) {
	i := 0
	if strings.HasPrefix(p.rest, "-") {
		i++
	}
	for i < len(p.rest) && p.rest[i] >= '0' && p.rest[i] <= '9' {
		i++
	}
	if i == 0 {
		return 0, false, nil
	}
	n, err = strconv.Atoi(p.rest[:i])
	if err != nil || n > maxIndex || n < -maxIndex {
		return 0, false, fmt.Errorf("%q is no index", p.rest[:i])
	}
	p.rest = p.rest[i:]
	return n, true, nil
}

// bounds are the elements of an array of n that a step names, as a range, or
// false when it is a list of them.
func (s pathStep) bounds(n int) (from, to int, ok bool) {
	switch {
	case s.all:
		return 0, n, true
	case !s.slice:
		return 0, 0, false
	}
	from, to = clamp(s.from, n), n
	if s.hasTo {
		to = clamp(s.to, n)
	}
	return from, max(from, to), true
}

func clamp(i, n int) int {
	if i < 0 {
		i += n
	}
	return min(max(i, 0), n)
}

// at is an index counted from the beginning; false when the array has no such.
func at(i, n int) (int, bool) {
	if i < 0 {
		i += n
	}
	return i, i >= 0 && i < n
}
