// SPDX-License-Identifier: Apache-2.0

package cloudwatch

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
)

// shape is what an expression gives: a number, a time series, or several.
type shape int

const (
	scalar shape = iota
	oneSeries
	array
)

func (s shape) String() string {
	return [...]string{"a number", "a time series", "a list of time series"}[s]
}

// line is a time series: its points by the beginnings of their periods, seconds
// since 1970. A period without data has no point.
type line struct {
	label  string
	points map[int64]float64
}

// value is what an expression came to. lines has one line for oneSeries. A number
// that does not exist (the average of nothing, a quotient by zero) is NaN, and
// what a series would make of it is left out.
type value struct {
	shape shape
	num   float64
	lines []line
}

// mathEnv is what an expression is worked out with.
type mathEnv struct {
	results map[string]value // of the queries that it uses, by id
	metrics []string         // ids of all queries of a metric, in their order
	slots   []int64          // beginnings of all periods that were asked for
	period  int64
}

// mathFunction is a function of metric math: which shapes it takes and gives,
// and how it is worked out. A nil shape means that the arguments are wrong.
type mathFunction struct {
	usage string
	check func(args []*node, shapes []shape) (shape, bool)
	apply func(env *mathEnv, n *node, args []value) value
}

var mathFunctions map[string]mathFunction

func init() { // the table's functions evaluate, and evaluation reads the table
	each := func(f func(float64) float64) mathFunction {
		return mathFunction{"one number or time series", func(_ []*node, s []shape) (shape, bool) { return one(s) },
			func(_ *mathEnv, _ *node, a []value) value { return a[0].each(f) }}
	}
	fold := func(f func([]float64) float64) mathFunction {
		return mathFunction{"one time series or a list of them", func(_ []*node, s []shape) (shape, bool) {
			got, ok := one(s)
			return max(got-1, scalar), ok
		}, func(_ *mathEnv, _ *node, a []value) value { return a[0].fold(f) }}
	}
	mathFunctions = map[string]mathFunction{
		"ABS":   each(math.Abs),
		"CEIL":  each(math.Ceil),
		"FLOOR": each(math.Floor),
		"LOG":   each(math.Log),
		"LOG10": each(math.Log10),
		"SUM":   fold(sum),
		"AVG":   fold(func(v []float64) float64 { return sum(v) / float64(len(v)) }),
		"MIN":   fold(slices.Min[[]float64]),
		"MAX":   fold(slices.Max[[]float64]),
		"METRICS": {"nothing, or a part of the metrics' ids in quotes", func(n []*node, _ []shape) (shape, bool) {
			return array, len(n) == 0 || len(n) == 1 && n[0].kind == isText
		}, applyMetrics},
		"METRIC_COUNT": {"a list of time series", func(_ []*node, s []shape) (shape, bool) {
			return scalar, len(s) == 1 && s[0] == array
		}, func(_ *mathEnv, _ *node, a []value) value { return number(float64(len(a[0].lines))) }},
		"PERIOD": {"one time series", func(_ []*node, s []shape) (shape, bool) { return scalar, len(s) == 1 && s[0] == oneSeries },
			func(env *mathEnv, _ *node, _ []value) value { return number(float64(env.period)) }},
		"TIME_SERIES": {"one number", func(_ []*node, s []shape) (shape, bool) { return oneSeries, len(s) == 1 && s[0] == scalar },
			func(env *mathEnv, _ *node, a []value) value { return env.everywhere(a[0].num) }},
		"FILL": {"a time series or a list of them, and a number, a time series, REPEAT or LINEAR", checkFill, applyFill},
		"IF":   {"a condition and one or two values, none of them a list", checkIf, applyIf},
	}
}

func one(s []shape) (shape, bool) {
	if len(s) != 1 {
		return scalar, false
	}
	return s[0], true
}

func number(f float64) value { return value{num: f} }

func sum(v []float64) (total float64) {
	for _, f := range v {
		total += f
	}
	return total
}

// each is f of each point.
func (v value) each(f func(float64) float64) value {
	out := value{shape: v.shape, num: f(v.num)}
	for _, l := range v.lines {
		points := make(map[int64]float64, len(l.points))
		for at, x := range l.points {
			put(points, at, f(x))
		}
		out.lines = append(out.lines, line{l.label, points})
	}
	return out
}

// put keeps a point that is a number.
func put(points map[int64]float64, at int64, f float64) {
	if finite(f) {
		points[at] = f
	}
}

// fold makes a number of a series, and a series of a list: the points of the
// same time, as many as there are.
func (v value) fold(f func([]float64) float64) value {
	switch v.shape {
	case scalar:
		return v
	case oneSeries:
		if len(v.lines[0].points) == 0 {
			return number(math.NaN())
		}
		// In the order of time: sums of floats depend on it.
		points, values := v.lines[0].points, []float64(nil)
		for _, at := range slices.Sorted(maps.Keys(points)) {
			values = append(values, points[at])
		}
		return number(f(values))
	}
	all := map[int64][]float64{}
	for _, l := range v.lines {
		for at, x := range l.points {
			all[at] = append(all[at], x)
		}
	}
	points := make(map[int64]float64, len(all))
	for at, values := range all {
		put(points, at, f(values))
	}
	return seriesOf("", points)
}

func seriesOf(label string, points map[int64]float64) value {
	return value{shape: oneSeries, lines: []line{{label, points}}}
}

func (env *mathEnv) everywhere(f float64) value {
	points := make(map[int64]float64, len(env.slots))
	for _, at := range env.slots {
		put(points, at, f)
	}
	return seriesOf("", points)
}

func applyMetrics(env *mathEnv, n *node, _ []value) value {
	out := value{shape: array}
	for _, id := range env.metrics {
		if len(n.args) == 0 || strings.Contains(id, n.args[0].text) {
			out.lines = append(out.lines, env.results[id].lines...)
		}
	}
	return out
}

func checkFill(n []*node, s []shape) (shape, bool) {
	if len(s) != 2 || s[0] == scalar {
		return scalar, false
	}
	return s[0], fillWord(n[1]) != "" || s[1] != array
}

// fillWord is REPEAT or LINEAR where the second argument of FILL is that.
func fillWord(n *node) string {
	if n.kind == isQuery && (n.text == "REPEAT" || n.text == "LINEAR") {
		return n.text
	}
	return ""
}

func applyFill(env *mathEnv, n *node, a []value) value {
	out := value{shape: a[0].shape}
	for _, l := range a[0].lines {
		points := maps.Clone(l.points)
		switch fillWord(n.args[1]) {
		case "REPEAT":
			last := math.NaN()
			for _, at := range env.slots {
				if f, ok := points[at]; ok {
					last = f
				} else {
					put(points, at, last)
				}
			}
		case "LINEAR":
			fillLinear(points, env.slots)
		default:
			for _, at := range env.slots {
				if _, ok := points[at]; ok {
					continue
				}
				if f, ok := a[1].at(at); ok {
					points[at] = f
				}
			}
		}
		out.lines = append(out.lines, line{l.label, points})
	}
	return out
}

// fillLinear puts points on the straight line between the two around a gap. A
// gap at either end stays.
func fillLinear(points map[int64]float64, slots []int64) {
	before := -1
	for i, at := range slots {
		f, ok := points[at]
		if !ok {
			continue
		}
		if before >= 0 {
			from := points[slots[before]]
			for j := before + 1; j < i; j++ {
				put(points, slots[j], from+(f-from)*float64(j-before)/float64(i-before))
			}
		}
		before = i
	}
}

// at is the value at a time; a number is the same at all times.
func (v value) at(at int64) (float64, bool) {
	if v.shape == scalar {
		return v.num, finite(v.num)
	}
	f, ok := v.lines[0].points[at]
	return f, ok
}

func checkIf(_ []*node, s []shape) (shape, bool) {
	ok := (len(s) == 2 || len(s) == 3) && slices.Max(s) < array
	if !ok {
		return scalar, false
	}
	return slices.Max(s), true
}

func applyIf(env *mathEnv, _ *node, a []value) value {
	cond, choices := a[0], a[1:]
	pick := func(f float64) (value, bool) {
		switch {
		case f != 0:
			return choices[0], true
		case len(choices) == 2:
			return choices[1], true
		}
		return value{}, false
	}
	widest := scalar
	for _, v := range a {
		widest = max(widest, v.shape)
	}
	if widest == scalar {
		if v, ok := pick(cond.num); ok && !math.IsNaN(cond.num) {
			return v
		}
		return number(math.NaN())
	}
	times := env.slots
	if cond.shape == oneSeries {
		times = slices.Collect(maps.Keys(cond.lines[0].points))
	}
	points := map[int64]float64{}
	for _, at := range times {
		c, ok := cond.at(at)
		if !ok {
			continue
		}
		if v, ok := pick(c); ok {
			if f, ok := v.at(at); ok {
				points[at] = f
			}
		}
	}
	return seriesOf("", points)
}

var mathOperators = map[string]func(a, b float64) float64{
	"+": func(a, b float64) float64 { return a + b },
	"-": func(a, b float64) float64 { return a - b },
	"*": func(a, b float64) float64 { return a * b },
	"/": func(a, b float64) float64 {
		if b == 0 {
			return math.NaN()
		}
		return a / b
	},
	"^":  math.Pow,
	"==": func(a, b float64) float64 { return truth(a == b, a, b) },
	"!=": func(a, b float64) float64 { return truth(a != b, a, b) },
	"<":  func(a, b float64) float64 { return truth(a < b, a, b) },
	">":  func(a, b float64) float64 { return truth(a > b, a, b) },
	"<=": func(a, b float64) float64 { return truth(a <= b, a, b) },
	">=": func(a, b float64) float64 { return truth(a >= b, a, b) },
	"&&": func(a, b float64) float64 { return truth(a != 0 && b != 0, a, b) },
	"||": func(a, b float64) float64 { return truth(a != 0 || b != 0, a, b) },
}

func truth(is bool, a, b float64) float64 {
	switch {
	case math.IsNaN(a) || math.IsNaN(b):
		return math.NaN()
	case is:
		return 1
	}
	return 0
}

// combine works an operator out point by point: where either side has no point
// there is none.
func combine(a, b value, f func(a, b float64) float64) value {
	switch {
	case a.shape == scalar && b.shape == scalar:
		return number(f(a.num, b.num))
	case b.shape == scalar:
		return a.each(func(x float64) float64 { return f(x, b.num) })
	case a.shape == scalar:
		return b.each(func(x float64) float64 { return f(a.num, x) })
	case a.shape == array:
		out := value{shape: array}
		for _, l := range a.lines {
			got := combine(seriesOf(l.label, l.points), b, f)
			out.lines = append(out.lines, line{l.label, got.lines[0].points})
		}
		return out
	case b.shape == array:
		return combine(b, a, func(x, y float64) float64 { return f(y, x) })
	}
	points := map[int64]float64{}
	for at, x := range a.lines[0].points {
		if y, ok := b.lines[0].points[at]; ok {
			put(points, at, f(x, y))
		}
	}
	return seriesOf("", points)
}

// shapeOf checks an expression and tells what it gives. known are the shapes of
// the other queries.
func (n *node) shapeOf(known map[string]shape) (shape, error) {
	switch n.kind {
	case isNumber:
		return scalar, nil
	case isText:
		return scalar, fmt.Errorf("the string %q is not expected there", n.text)
	case isQuery:
		s, ok := known[n.text]
		if !ok {
			return scalar, fmt.Errorf("there is no query %q", n.text)
		}
		return s, nil
	}
	shapes := make([]shape, len(n.args))
	for i, a := range n.args {
		if n.kind == isCall && (a.kind == isText || i == 1 && n.text == "FILL" && fillWord(a) != "") {
			continue // the function looks at it
		}
		var err error
		if shapes[i], err = a.shapeOf(known); err != nil {
			return scalar, err
		}
	}
	switch n.kind {
	case isList:
		for _, s := range shapes {
			if s == scalar {
				return scalar, fmt.Errorf("a list holds time series, not numbers")
			}
		}
		return array, nil
	case isCall:
		f, ok := mathFunctions[n.text]
		if !ok {
			return scalar, fmt.Errorf("the function %s is not supported by Sagebrush; supported are %s", n.text,
				strings.Join(slices.Sorted(maps.Keys(mathFunctions)), ", "))
		}
		for i, a := range n.args {
			if a.kind == isText && n.text != "METRICS" {
				return scalar, fmt.Errorf("%s takes no string as argument %d", n.text, i+1)
			}
		}
		s, ok := f.check(n.args, shapes)
		if !ok {
			return scalar, fmt.Errorf("%s takes %s", n.text, f.usage)
		}
		return s, nil
	}
	if len(shapes) == 2 && shapes[0] == array && shapes[1] == array {
		return scalar, fmt.Errorf("the operator %s does not take two lists of time series", n.text)
	}
	return slices.Max(shapes), nil
}

// eval works out an expression that shapeOf has checked.
func (n *node) eval(env *mathEnv) value {
	switch n.kind {
	case isNumber:
		return number(n.num)
	case isText:
		return value{}
	case isQuery:
		return env.results[n.text] // FILL's REPEAT and LINEAR are in none: nobody looks
	}
	args := make([]value, len(n.args))
	for i, a := range n.args {
		args[i] = a.eval(env)
	}
	switch {
	case n.kind == isList:
		out := value{shape: array}
		for _, a := range args {
			out.lines = append(out.lines, a.lines...)
		}
		return out
	case n.kind == isCall:
		return mathFunctions[n.text].apply(env, n, args)
	case len(args) == 1:
		return args[0].each(func(f float64) float64 { return -f })
	}
	return combine(args[0], args[1], mathOperators[n.text])
}
