// SPDX-License-Identifier: Apache-2.0

package algo

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Params are checked hyperparameters: every value lies within its Spec, every
// default is filled in. The getters panic on a name that the Spec lacks, which
// is a mistake of the algorithm and not of the user. A hyperparameter that was
// not given and has no default reads as the zero value; Has tells it apart.
type Params struct {
	values map[string]string
	given  map[string]bool
}

// ParseParams checks raw, the flat string map of hyperparameters.json, against
// spec. Names may be aliases; a value may be wrapped in JSON quotes, as the
// framework estimators of the Python SDK send it. The error is a client error
// that lists all that is wrong, in the order of spec, then unknown names by
// alphabet. Its wording is that of the SageMaker algorithm toolkit.
func ParseParams(spec Spec, raw map[string]string) (Params, error) {
	p := Params{values: make(map[string]string, len(spec.Params)), given: make(map[string]bool, len(raw))}
	known := make(map[string]bool, len(spec.Params))
	var problems []string
	for _, param := range spec.Params {
		known[param.Name] = true
		for _, alias := range param.Alias {
			known[alias] = true
		}
		if problem := p.take(param, raw); problem != "" {
			problems = append(problems, problem)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(raw)) {
		if !known[name] {
			problems = append(problems, "Extraneous hyperparameter found: "+name)
		}
	}
	if len(problems) > 0 {
		return Params{}, ClientErrorf("%s", strings.Join(problems, "; "))
	}
	return p, nil
}

// take reads one hyperparameter from raw into p and tells what is wrong with
// it, "" when nothing is.
func (p *Params) take(param Param, raw map[string]string) string {
	value, ok := raw[param.Name]
	from := param.Name
	value = unquote(value)
	for _, alias := range param.Alias {
		again, has := raw[alias]
		switch again = unquote(again); {
		case !has:
		case ok && again != value:
			return fmt.Sprintf("Hyperparameter %s: given as %s=%s and %s=%s", param.Name, from, value, alias, again)
		default:
			value, ok, from = again, true, alias
		}
	}
	if !ok {
		p.values[param.Name] = param.Default
		if param.Required {
			return "Missing required hyperparameter: " + param.Name
		}
		return ""
	}
	value, err := param.parse(value)
	if err != nil {
		return fmt.Sprintf("Hyperparameter %s: %v", from, err)
	}
	p.values[param.Name], p.given[param.Name] = value, true
	return ""
}

// parse gives value in the form that the getters read.
func (q Param) parse(value string) (string, error) {
	if q.Auto && strings.EqualFold(strings.TrimSpace(value), auto) {
		return auto, nil
	}
	switch q.Kind {
	case Int:
		value = strings.TrimSpace(value)
		n, err := strconv.ParseInt(value, 10, 64)
		if errors.Is(err, strconv.ErrRange) || err == nil && !q.within(float64(n)) {
			return "", fmt.Errorf("%s is not in %s", value, q.Range())
		} else if err != nil {
			return "", fmt.Errorf("could not parse value %q as an integer in %s", value, q.Range())
		}
		return strconv.FormatInt(n, 10), nil
	case Float:
		value = strings.TrimSpace(value)
		x, err := strconv.ParseFloat(value, 64)
		if err != nil && !errors.Is(err, strconv.ErrRange) || strings.ContainsAny(value, "xX_") {
			return "", fmt.Errorf("could not parse value %q as a number in %s", value, q.Range())
		}
		if math.IsNaN(x) || math.IsInf(x, 0) || !q.within(x) {
			return "", fmt.Errorf("%s is not in %s", value, q.Range())
		}
		return value, nil
	case Bool:
		switch strings.ToLower(strings.TrimSpace(value)) {
		case "true", "1":
			return "true", nil
		case "false", "0":
			return "false", nil
		}
		return "", fmt.Errorf("%s is not in %s", value, q.Range())
	case Enum:
		// Python writes its booleans True and False; an enum of true and
		// false takes both.
		if lower := strings.ToLower(value); lower == "true" || lower == "false" {
			if !slices.Contains(q.Values, value) {
				value = lower
			}
		}
		if !slices.Contains(q.Values, value) {
			return "", fmt.Errorf("%s is not in %s", value, q.Range())
		}
		return value, nil
	case List:
		list := splitList(value)
		if len(q.Values) > 0 {
			for _, item := range list {
				if !slices.Contains(q.Values, item) {
					return "", fmt.Errorf("value %s not in range %s", pythonList(list), q.Range())
				}
			}
		}
		return strings.Join(list, ","), nil
	}
	return value, nil
}

// auto is the value that leaves the choice to the algorithm.
const auto = "auto"

// within reports whether x lies between the bounds of q.
func (q Param) within(x float64) bool {
	switch {
	case q.Min != nil && (x < *q.Min || q.OpenMin && x == *q.Min):
		return false
	case q.Max != nil && (x > *q.Max || q.OpenMax && x == *q.Max):
		return false
	}
	return true
}

// Range is what q allows, as the toolkit writes it: "[0, 1]", "(0, +inf)" or
// "['gbtree', 'dart']"; "any text" where everything is allowed.
func (q Param) Range() string {
	if q.Auto {
		q.Auto = false
		return auto + " or " + q.Range()
	}
	switch q.Kind {
	case Int, Float:
		low, high := "(-inf", "+inf)"
		if q.Min != nil {
			low = "[" + formatBound(*q.Min)
			if q.OpenMin {
				low = "(" + low[1:]
			}
		}
		if q.Max != nil {
			high = formatBound(*q.Max) + "]"
			if q.OpenMax {
				high = formatBound(*q.Max) + ")"
			}
		}
		return low + ", " + high
	case Bool:
		return "['true', 'false']"
	}
	if len(q.Values) == 0 {
		return "any text"
	}
	return pythonList(q.Values)
}

func formatBound(x float64) string {
	if x == math.Trunc(x) && math.Abs(x) < 1e15 {
		return strconv.FormatInt(int64(x), 10)
	}
	return strconv.FormatFloat(x, 'g', -1, 64)
}

// pythonList writes list as Python prints a list of strings.
func pythonList(list []string) string {
	return "['" + strings.Join(list, "', '") + "']"
}

// unquote takes off the JSON quotes that framework estimators put around
// every string.
func unquote(value string) string {
	if t := strings.TrimSpace(value); len(t) >= 2 && t[0] == '"' && t[len(t)-1] == '"' {
		var s string
		if json.Unmarshal([]byte(t), &s) == nil {
			return s
		}
	}
	return value
}

// splitList splits "a, b" or the JSON list ["a","b"]. An empty value is an
// empty list.
func splitList(value string) []string {
	value = strings.TrimSpace(value)
	var list []string
	if strings.HasPrefix(value, "[") && json.Unmarshal([]byte(value), &list) == nil {
		return list
	}
	for item := range strings.SplitSeq(value, ",") {
		if item = strings.TrimSpace(item); item != "" {
			list = append(list, item)
		}
	}
	return list
}

// Has reports whether the user gave the hyperparameter name; a default does
// not count.
func (p Params) Has(name string) bool {
	p.must(name)
	return p.given[name]
}

// Auto reports whether the value of name is "auto", given or by default. The
// other getters must not be asked then.
func (p Params) Auto(name string) bool { return p.must(name) == auto }

// Values are all hyperparameters by name, those that were not given with their
// defaults; what has neither is left out.
func (p Params) Values() map[string]string {
	all := make(map[string]string, len(p.values))
	for name, value := range p.values {
		if value != "" || p.given[name] {
			all[name] = value
		}
	}
	return all
}

// Given are the hyperparameters that the user gave, by name.
func (p Params) Given() map[string]string {
	all := make(map[string]string, len(p.given))
	for name := range p.given {
		all[name] = p.values[name]
	}
	return all
}

// Int is the value of an Int.
func (p Params) Int(name string) int {
	value := p.must(name)
	if value == "" {
		return 0
	}
	n, err := strconv.Atoi(value)
	if err != nil {
		panic(fmt.Sprintf("algo: hyperparameter %s is %q, not an integer", name, value))
	}
	return n
}

// Float is the value of a Float or an Int.
func (p Params) Float(name string) float64 {
	value := p.must(name)
	if value == "" {
		return 0
	}
	x, err := strconv.ParseFloat(value, 64)
	if err != nil {
		panic(fmt.Sprintf("algo: hyperparameter %s is %q, not a number", name, value))
	}
	return x
}

// String is the value as text: of a String or an Enum as given, of the other
// kinds in one canonical form.
func (p Params) String(name string) string { return p.must(name) }

// Bool is the value of a Bool, or of an Enum or Int of true, false, 1, 0.
func (p Params) Bool(name string) bool {
	switch value := strings.ToLower(p.must(name)); value {
	case "true", "1":
		return true
	case "", "false", "0":
		return false
	default:
		panic(fmt.Sprintf("algo: hyperparameter %s is %q, not a boolean", name, value))
	}
}

// List is the value of a List, nil when it is empty.
func (p Params) List(name string) []string { return splitList(p.must(name)) }

// must gives the value of name, or panics when the Spec lacks it.
func (p Params) must(name string) string {
	value, ok := p.values[name]
	if !ok {
		panic(fmt.Sprintf("algo: hyperparameter %s is not in the Spec", name))
	}
	return value
}
