// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"encoding/json"
	"fmt"
	"slices"
	"sort"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
)

// check walks a request's tree against its shape. JSON of the wrong type is a
// SerializationException at the first place found; constraint failures are
// collected and answered together, as the service does.
func check(shape *Shape, tree any) error {
	c := checker{}
	if err := c.value(shape, tree, ""); err != nil {
		return err
	}
	switch n := len(c.problems); {
	case n == 1:
		return fault.Validation("1 validation error detected: %s", c.problems[0])
	case n > 1:
		return fault.Validation("%d validation errors detected: %s", n, strings.Join(c.problems, "; "))
	}
	return nil
}

type checker struct{ problems []string }

// maxProblems bounds the answer to a request that is wrong everywhere.
const maxProblems = 20

func (c *checker) problem(v any, path, format string, args ...any) {
	if len(c.problems) < maxProblems {
		c.problems = append(c.problems, fmt.Sprintf("Value %s at '%s' failed to satisfy constraint: %s",
			quote(v), path, fmt.Sprintf(format, args...)))
	}
}

// quote is a value as the service's messages show it: null, or in quotes.
func quote(v any) string {
	if v == nil {
		return "null"
	}
	return "'" + show(v) + "'"
}

func show(v any) string {
	switch v := v.(type) {
	case []any:
		parts := make([]string, len(v))
		for i := range v {
			parts[i] = show(v[i])
		}
		return "[" + strings.Join(parts, ", ") + "]"
	case map[string]any:
		parts := make([]string, 0, len(v))
		for k := range v {
			parts = append(parts, k+"="+show(v[k]))
		}
		sort.Strings(parts)
		return "{" + strings.Join(parts, ", ") + "}"
	}
	return fmt.Sprint(v)
}

func (c *checker) value(s *Shape, v any, path string) error {
	switch s.Type {
	case "structure":
		m, ok := v.(map[string]any)
		if !ok {
			return wrongType(v, "an Object", path)
		}
		return c.structure(s, m, path)
	case "list":
		l, ok := v.([]any)
		if !ok {
			return wrongType(v, "a List", path)
		}
		c.length(s, v, len(l), path)
		for i, e := range l {
			p := path + "." + strconv.Itoa(i+1) + ".member"
			if e == nil {
				c.problem(nil, p, "Member must not be null")
				continue
			}
			if err := c.value(s.Elem.Shape, e, p); err != nil {
				return err
			}
		}
	case "map":
		m, ok := v.(map[string]any)
		if !ok {
			return wrongType(v, "a Map", path)
		}
		c.length(s, v, len(m), path)
		return c.mapping(s, m, path)
	case "string":
		t, ok := v.(string)
		if !ok {
			return wrongType(v, "a String", path)
		}
		c.text(s, t, path)
	case "boolean":
		switch t := v.(type) {
		case bool:
		case string: // query protocol
			if t != "true" && t != "false" {
				return wrongType(v, "a Boolean", path)
			}
		default:
			return wrongType(v, "a Boolean", path)
		}
	case "integer", "long":
		f, err := number(v)
		if err != nil || f != float64(int64(f)) {
			return wrongType(v, map[string]string{"integer": "an Integer", "long": "a Long"}[s.Type], path)
		}
		c.between(s, v, f, path)
	case "float", "double":
		f, err := number(v)
		if err != nil {
			return wrongType(v, map[string]string{"float": "a Float", "double": "a Double"}[s.Type], path)
		}
		c.between(s, v, f, path)
	case "timestamp":
		if _, err := parseTime(fmt.Sprint(v)); err != nil {
			return wrongType(v, "a Timestamp", path)
		}
	case "blob":
		switch b := v.(type) {
		case string:
			raw, err := decodeBlob(b)
			if err != nil {
				return wrongType(v, "a Blob", path)
			}
			c.length(s, b, len(raw), path)
		case []byte:
			c.length(s, "", len(b), path)
		default:
			return wrongType(v, "a Blob", path)
		}
	}
	return nil
}

func (c *checker) structure(s *Shape, m map[string]any, path string) error {
	set := 0
	for i := range s.Members {
		mem := &s.Members[i]
		if mem.Stream || mem.Shape.Events {
			continue
		}
		p := lowerCamel(mem.Name)
		if path != "" {
			p = path + "." + p
		}
		v := mem.in(m)
		if v == nil {
			if mem.Required {
				c.problem(nil, p, "Member must not be null")
			}
			continue
		}
		set++
		if err := c.value(mem.Shape, v, p); err != nil {
			return err
		}
	}
	if s.Union && set != 1 {
		return fault.Serialization("Exactly one member of the union %s at '%s' must be set, found %d", s.Name, path, set)
	}
	return nil
}

// mapping checks keys and values in key order, so that answers are stable.
func (c *checker) mapping(s *Shape, m map[string]any, path string) error {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	for _, k := range keys {
		if rules := textRules(s.Key.Shape, k); len(rules) > 0 {
			c.problem(m, path, "Map keys must satisfy constraint: [%s]", strings.Join(allRules(s.Key.Shape), ", "))
		}
		v := m[k]
		if v == nil {
			c.problem(nil, path+"."+k+".member", "Member must not be null")
			continue
		}
		if t, ok := v.(string); ok && s.Value.Shape.Type == "string" {
			if rules := textRules(s.Value.Shape, t); len(rules) > 0 {
				c.problem(m, path, "Map value must satisfy constraint: [%s]", strings.Join(allRules(s.Value.Shape), ", "))
			}
			continue
		}
		if err := c.value(s.Value.Shape, v, path+"."+k+".member"); err != nil {
			return err
		}
	}
	return nil
}

func (c *checker) text(s *Shape, v, path string) {
	for _, rule := range textRules(s, v) {
		c.problem(v, path, "%s", rule)
	}
}

// textRules are the rules of a string shape that v breaks.
func textRules(s *Shape, v string) []string {
	var out []string
	n := utf8.RuneCountInString(v)
	if s.Max != nil && n > int(*s.Max) {
		out = append(out, lengthRule("less than or equal to", *s.Max))
	}
	if s.Min != nil && n < int(*s.Min) {
		out = append(out, lengthRule("greater than or equal to", *s.Min))
	}
	if s.Pattern != "" && !s.matches(v) {
		out = append(out, "Member must satisfy regular expression pattern: "+s.Pattern)
	}
	if len(s.Enum) > 0 && !slices.Contains(s.Enum, v) {
		out = append(out, enumRule(s))
	}
	return out
}

// allRules are the rules of a string shape, as map failures list them.
func allRules(s *Shape) []string {
	var out []string
	if s.Max != nil {
		out = append(out, lengthRule("less than or equal to", *s.Max))
	}
	if s.Min != nil {
		out = append(out, lengthRule("greater than or equal to", *s.Min))
	}
	if s.Pattern != "" {
		out = append(out, "Member must satisfy regular expression pattern: "+s.Pattern)
	}
	if len(s.Enum) > 0 {
		out = append(out, enumRule(s))
	}
	return out
}

func enumRule(s *Shape) string {
	return "Member must satisfy enum value set: [" + strings.Join(s.Enum, ", ") + "]"
}

func lengthRule(cmp string, n float64) string {
	return fmt.Sprintf("Member must have length %s %d", cmp, int64(n))
}

func (c *checker) length(s *Shape, v any, n int, path string) {
	if s.Max != nil && n > int(*s.Max) {
		c.problem(v, path, "%s", lengthRule("less than or equal to", *s.Max))
	}
	if s.Min != nil && n < int(*s.Min) {
		c.problem(v, path, "%s", lengthRule("greater than or equal to", *s.Min))
	}
}

func (c *checker) between(s *Shape, v any, f float64, path string) {
	if s.Max != nil && f > *s.Max {
		c.problem(v, path, "Member must have value less than or equal to %s", trimFloat(*s.Max))
	}
	if s.Min != nil && f < *s.Min {
		c.problem(v, path, "Member must have value greater than or equal to %s", trimFloat(*s.Min))
	}
}

func trimFloat(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }

func number(v any) (float64, error) {
	switch t := v.(type) {
	case json.Number:
		return t.Float64()
	case string: // query protocol, headers; NaN and Infinity in JSON
		return strconv.ParseFloat(t, 64)
	}
	return 0, fmt.Errorf("not a number")
}

func wrongType(v any, want, path string) error {
	got := "an unexpected value"
	switch v := v.(type) {
	case map[string]any:
		got = "START_OBJECT"
	case []any:
		got = "START_ARRAY"
	case string:
		got = "STRING_VALUE"
	case json.Number:
		got = "NUMBER_VALUE"
	case bool:
		got = map[bool]string{true: "TRUE_VALUE", false: "FALSE_VALUE"}[v]
	}
	at := ""
	if path != "" {
		at = " at '" + path + "'"
	}
	return fault.Serialization("%s can not be converted to %s%s", got, want, at)
}

// lowerCamel is a member's name in messages: trainingJobName, s3Uri, kmsKeyId.
func lowerCamel(n string) string {
	r := []rune(n)
	for i := range r {
		// A run of capitals is lowered up to the one that begins the next word.
		if !unicode.IsUpper(r[i]) || i > 0 && i+1 < len(r) && unicode.IsLower(r[i+1]) {
			break
		}
		r[i] = unicode.ToLower(r[i])
	}
	return string(r)
}
