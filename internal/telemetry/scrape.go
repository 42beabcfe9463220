// SPDX-License-Identifier: Apache-2.0

package telemetry

import (
	"fmt"
	"math"
	mathbits "math/bits"
	"regexp"
	"regexp/syntax"
	"strconv"
	"strings"
	"time"
)

// Definition is a metric and the regular expression that finds its value in a
// log line: the first capture group, or the whole match when there is none.
type Definition struct{ Name, Regex string }

// Sample is one value that was found.
type Sample struct {
	Name  string
	Value float64
	Time  time.Time
}

// Scraper finds metric values in log lines and remembers the last of each. It
// is for one goroutine at a time.
//
// An image brings dozens of definitions and a job prints thousands of lines a
// second of which few hold a value, so an expression is tried only on a line
// that has the text without which it cannot match.
type Scraper struct {
	rules  []rule
	finder finder
	always bits // the rules that have no such text
	due    bits // the rules that are tried on this line
	last   map[string]Sample
	order  []string // names, each once, as they were defined
}

type rule struct {
	name string
	re   *regexp.Regexp
}

// NewScraper compiles the definitions. An error names the one that cannot be
// compiled.
func NewScraper(definitions []Definition) (*Scraper, error) {
	words := (len(definitions) + 63) / 64
	s := &Scraper{last: map[string]Sample{}, always: make(bits, words), due: make(bits, words)}
	known := map[string]bool{}
	for i, d := range definitions {
		text := goRegex(d.Regex)
		re, err := regexp.Compile(text)
		if err != nil {
			return nil, fmt.Errorf("metric %q: %w", d.Name, err)
		}
		s.rules = append(s.rules, rule{d.Name, re})
		if parsed, err := syntax.Parse(text, syntax.Perl); err != nil {
			s.always.set(i)
		} else if must := required(parsed); must == "" {
			s.always.set(i)
		} else {
			s.finder.add(must, i)
		}
		if !known[d.Name] {
			known[d.Name] = true
			s.order = append(s.order, d.Name)
		}
	}
	return s, nil
}

// Scan gives the values in one event, in the order of the definitions. Text
// that is no finite number is no value: an answer in JSON could not hold it.
func (s *Scraper) Scan(e Event) []Sample {
	copy(s.due, s.always)
	s.finder.find(e.Message, s.due)
	var found []Sample
	for i, word := range s.due {
		for ; word != 0; word &= word - 1 {
			r := &s.rules[64*i+mathbits.TrailingZeros64(word)]
			if v, ok := r.value(e.Message); ok {
				sample := Sample{Name: r.name, Value: v, Time: e.Time}
				s.last[r.name] = sample
				found = append(found, sample)
			}
		}
	}
	return found
}

// value is the number that the rule finds in a message.
func (r *rule) value(message string) (float64, bool) {
	m := r.re.FindStringSubmatch(message)
	if m == nil {
		return 0, false
	}
	text := m[0]
	if len(m) > 1 {
		text = m[1]
	}
	v, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
	return v, err == nil && !math.IsNaN(v) && !math.IsInf(v, 0)
}

// Final are the last values of the metrics that had any, in the order of the
// definitions.
func (s *Scraper) Final() []Sample {
	var out []Sample
	for _, name := range s.order {
		if v, ok := s.last[name]; ok {
			out = append(out, v)
		}
	}
	return out
}

// goRegex rewrites what Java and Python write differently from Go and mean the
// same, or nearly: possessive quantifiers and atomic groups only save time
// where they match, \Z is the end of a line that has no line feed, and a look
// ahead at the very end can be matched as well as looked at. Other look-around
// and back references have no counterpart and fail to compile.
func goRegex(re string) string {
	if tail := strings.LastIndex(re, "(?="); tail > 0 && strings.HasSuffix(re, ")") && balanced(re[tail:]) {
		re = re[:tail] + "(?:" + re[tail+len("(?="):]
	}
	var b strings.Builder
	class := false // inside [...]
	for i := 0; i < len(re); i++ {
		c := re[i]
		switch {
		case c == '\\' && i+1 < len(re):
			i++
			switch {
			case re[i] == 'Z' && !class:
				b.WriteString(`\z`)
			case re[i] == 'u' && i+4 < len(re):
				b.WriteString(`\x{` + re[i+1:i+5] + `}`)
				i += 4
			default:
				b.WriteString(re[i-1 : i+1])
			}
			continue
		case c == '[':
			class = true
		case c == ']':
			class = false
		case c == '(' && !class && strings.HasPrefix(re[i:], "(?>"):
			b.WriteString("(?:")
			i += 2
			continue
		case c == '+' && !class && i > 0 && strings.IndexByte("*+?}", re[i-1]) >= 0 && !escaped(re, i-1):
			continue
		}
		b.WriteByte(c)
	}
	return b.String()
}

// balanced reports whether re is one group from its first byte to its last.
func balanced(re string) bool {
	depth := 0
	for i := 0; i < len(re); i++ {
		switch re[i] {
		case '\\':
			i++
		case '(':
			depth++
		case ')':
			if depth--; depth == 0 {
				return i == len(re)-1
			}
		}
	}
	return false
}

// escaped reports whether the byte at i follows an odd number of backslashes.
func escaped(re string, i int) bool {
	n := 0
	for i--; i >= 0 && re[i] == '\\'; i-- {
		n++
	}
	return n%2 == 1
}
