// SPDX-License-Identifier: Apache-2.0

package cloudwatch

import (
	"fmt"
	"slices"
	"strings"
)

// rule is a parsed AlarmRule.
type rule struct {
	op    string // AND, OR, NOT, TRUE, FALSE, or a state: what the alarm must be in
	alarm string // of a state: the name or ARN of the alarm
	args  []*rule
}

// The bounds of an AlarmRule, as the service documents them.
const (
	maxRuleAlarms = 100
	maxRuleParts  = 500
)

// ruleStates are the functions of a rule, and the state that each asks for.
var ruleStates = map[string]string{"ALARM": stateAlarm, "OK": stateOK, "INSUFFICIENT_DATA": stateInsufficient}

// parseRule reads an AlarmRule: ALARM("x"), OK(x), INSUFFICIENT_DATA(arn),
// TRUE and FALSE, with AND, OR, NOT and parentheses. AND binds more strongly
// than OR.
//
// Source: API_PutCompositeAlarm, AlarmRule.
func parseRule(text string) (*rule, error) {
	p := &ruleParser{text: text}
	r, err := p.any()
	if err != nil {
		return nil, err
	}
	if p.space(); p.pos < len(p.text) {
		return nil, p.unexpected()
	}
	if n := len(r.alarms()); n > maxRuleAlarms {
		return nil, fmt.Errorf("it names %d alarms, more than %d", n, maxRuleAlarms)
	}
	return r, nil
}

type ruleParser struct {
	text         string
	pos          int
	parts, depth int
}

func (p *ruleParser) space() {
	for p.pos < len(p.text) && strings.IndexByte(" \t\r\n", p.text[p.pos]) >= 0 {
		p.pos++
	}
}

func (p *ruleParser) unexpected() error {
	if p.pos >= len(p.text) {
		return fmt.Errorf("it ends too early")
	}
	return fmt.Errorf("unexpected %q at position %d", []rune(p.text[p.pos:])[0], p.pos+1)
}

// word takes the next word when it is one of these, in whatever case.
func (p *ruleParser) word(these ...string) string {
	p.space()
	end := p.pos
	for end < len(p.text) && letter(p.text[end]) {
		end++
	}
	if w := strings.ToUpper(p.text[p.pos:end]); slices.Contains(these, w) {
		p.pos = end
		return w
	}
	return ""
}

func (p *ruleParser) sign(c byte) bool {
	if p.space(); p.pos < len(p.text) && p.text[p.pos] == c {
		p.pos++
		return true
	}
	return false
}

func (p *ruleParser) any() (*rule, error) { return p.chain("OR", p.all) }
func (p *ruleParser) all() (*rule, error) { return p.chain("AND", p.part) }

func (p *ruleParser) chain(op string, next func() (*rule, error)) (*rule, error) {
	left, err := next()
	for err == nil && p.word(op) != "" {
		var right *rule
		right, err = next()
		left = &rule{op: op, args: []*rule{left, right}}
	}
	return left, err
}

func (p *ruleParser) part() (*rule, error) {
	if p.parts++; p.parts > maxRuleParts {
		return nil, fmt.Errorf("it has more than %d parts", maxRuleParts)
	}
	if p.depth++; p.depth > maxDepth {
		return nil, fmt.Errorf("it is nested too deeply")
	}
	defer func() { p.depth-- }()
	if p.sign('(') {
		r, err := p.any()
		if err == nil && !p.sign(')') {
			err = p.unexpected()
		}
		return r, err
	}
	switch w := p.word("NOT", "TRUE", "FALSE", "ALARM", "OK", "INSUFFICIENT_DATA"); w {
	case "":
		p.space()
		return nil, p.unexpected()
	case "NOT":
		r, err := p.part()
		return &rule{op: w, args: []*rule{r}}, err
	case "TRUE", "FALSE":
		return &rule{op: w}, nil
	default:
		name, err := p.name()
		return &rule{op: ruleStates[w], alarm: name}, err
	}
}

// name reads an alarm's name or ARN, in quotes or not, in parentheses.
func (p *ruleParser) name() (string, error) {
	if !p.sign('(') {
		return "", p.unexpected()
	}
	p.space()
	rest := p.text[p.pos:]
	closing := `"`
	quoted := p.sign('"')
	if quoted {
		rest = p.text[p.pos:]
	} else {
		closing = ")"
	}
	end := strings.Index(rest, closing)
	if end < 0 {
		p.pos = len(p.text)
		return "", p.unexpected()
	}
	name := rest[:end]
	p.pos += end
	if quoted {
		p.pos++
	} else {
		name = strings.TrimRight(name, " \t\r\n")
		if i := strings.IndexAny(name, "(\""); i >= 0 {
			p.pos += i - end
			return "", p.unexpected()
		}
	}
	if name == "" {
		return "", fmt.Errorf("an alarm's name is empty before position %d", p.pos+1)
	}
	if !p.sign(')') {
		return "", p.unexpected()
	}
	return name, nil
}

// alarms are the names or ARNs that a rule has, each once, in their order.
func (r *rule) alarms() []string {
	var out []string
	r.walk(func(r *rule) {
		if r.alarm != "" && !slices.Contains(out, r.alarm) {
			out = append(out, r.alarm)
		}
	})
	return out
}

func (r *rule) walk(f func(*rule)) {
	f(r)
	for _, a := range r.args {
		a.walk(f)
	}
}

// holds tells whether a rule is true. state is that of an alarm, "" for one that
// does not exist.
func (r *rule) holds(state func(alarm string) string) bool {
	switch r.op {
	case "TRUE":
		return true
	case "FALSE":
		return false
	case "NOT":
		return !r.args[0].holds(state)
	case "AND":
		return r.args[0].holds(state) && r.args[1].holds(state)
	case "OR":
		return r.args[0].holds(state) || r.args[1].holds(state)
	}
	return state(r.alarm) == r.op
}
