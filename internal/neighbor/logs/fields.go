// SPDX-License-Identifier: Apache-2.0

package logs

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// parseFields reads conditions on the fields of a line, in brackets:
//
//	[ip, user, ..., request = *.html*, status = 404 || status = 410, bytes > 1000]
//
// A line has as many fields as the pattern; an ellipsis stands for any number
// of them. Fields are set apart by spaces; what stands in quotes or in brackets
// is one field, without these. A condition may name any field of the pattern.
func parseFields(text string) (matcher, error) {
	inner, ok := strings.CutSuffix(text[1:], "]")
	if !ok {
		return nil, errors.New("a list of fields has no closing bracket")
	}
	parts, err := fieldParts(inner)
	if err != nil {
		return nil, err
	}
	if strings.TrimSpace(inner) == "" {
		return nil, errors.New("a list of fields is empty")
	}
	f := fields{names: map[string]int{}, ellipsis: -1, count: len(parts)}
	var conditions []string
	for i, part := range parts {
		if part == "..." || part == "…" {
			if f.ellipsis >= 0 {
				return nil, errors.New("there is more than one ellipsis")
			}
			f.ellipsis = i
			continue
		}
		name := fieldName(strings.TrimLeft(part, "( "))
		if name == "" && part != "" {
			return nil, fmt.Errorf("a field has no name before %q", clip(part, 20))
		}
		if _, twice := f.names[name]; twice && name != "" {
			return nil, fmt.Errorf("two fields are called %s", name)
		}
		f.names[name] = i
		if name != part {
			conditions = append(conditions, part)
		}
	}
	var tests []test[[]string]
	regexes := 0
	for _, c := range conditions {
		p := expression[[]string]{rest: c, leaf: f.compare, regexes: regexes}
		t, err := p.all()
		if err != nil {
			return nil, err
		}
		tests, regexes = append(tests, t), p.regexes
	}
	return func(message string) bool {
		values := splitFields(message)
		if f.ellipsis < 0 && len(values) != f.count || len(values) < f.count-1 {
			return false
		}
		for _, t := range tests {
			if !t(values) {
				return false
			}
		}
		return true
	}, nil
}

// fields are those of a pattern.
type fields struct {
	names    map[string]int // to their places
	ellipsis int            // the place of the ellipsis; -1 when there is none
	count    int            // with the ellipsis
}

// fieldParts cuts a list at its commas, but not within quotes and regular
// expressions.
func fieldParts(list string) ([]string, error) {
	var out []string
	begin, within := 0, byte(0)
	for i := 0; i < len(list); i++ {
		switch c := list[i]; {
		case within == '"' && c == '\\':
			i++
		case within != 0:
			if c == within {
				within = 0
			}
		case c == '"' || c == '%':
			within = c
		case c == ',':
			out = append(out, strings.TrimSpace(list[begin:i]))
			begin = i + 1
		}
	}
	if within != 0 {
		return nil, errors.New("a quote or a regular expression has no end")
	}
	return append(out, strings.TrimSpace(list[begin:])), nil
}

// fieldName is the name at the front of text.
func fieldName(text string) string {
	end := 0
	for end < len(text) && (nameByte(text[end]) || text[end] == '$' && end == 0) {
		end++
	}
	return text[:end]
}

// compare reads a comparison of a field.
func (f *fields) compare(p *expression[[]string]) (test[[]string], error) {
	p.space()
	name := fieldName(p.rest)
	at, known := f.names[name]
	if !known || name == "" {
		return nil, fmt.Errorf("there is no field %q", clip(p.rest, 20))
	}
	p.rest = p.rest[len(name):]
	c, err := p.comparison()
	if err != nil {
		return nil, err
	}
	// Behind an ellipsis places are counted from the end.
	fromEnd := 0
	if f.ellipsis >= 0 && at > f.ellipsis {
		fromEnd = f.count - at
	}
	return func(values []string) bool {
		if fromEnd > 0 {
			return c.field(values[len(values)-fromEnd])
		}
		return c.field(values[at])
	}, nil
}

// field tells whether the text of a field stands so to the right side: as a
// number where both are one.
func (c comparison) field(text string) bool {
	if c.numeric {
		if n, err := strconv.ParseFloat(text, 64); err == nil {
			return c.holds(n)
		}
		return c.op == "!="
	}
	return c.text(text) == (c.op == "=")
}

// splitFields cuts a line into its fields. What stands in quotes or brackets is
// one field where it ends before a space.
func splitFields(line string) []string {
	var out []string
	for {
		line = strings.TrimLeft(line, " \t")
		if line == "" {
			return out
		}
		if opening := line[0]; opening == '"' || opening == '[' {
			closing := opening
			if opening == '[' {
				closing = ']'
			}
			if end := strings.IndexByte(line[1:], closing) + 1; end > 0 && (end+1 == len(line) || line[end+1] == ' ' || line[end+1] == '\t') {
				out, line = append(out, line[1:end]), line[end+1:]
				continue
			}
		}
		end := strings.IndexAny(line, " \t")
		if end < 0 {
			return append(out, line)
		}
		out, line = append(out, line[:end]), line[end:]
	}
}
