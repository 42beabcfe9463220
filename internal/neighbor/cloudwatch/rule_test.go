// SPDX-License-Identifier: Apache-2.0

package cloudwatch

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestRule(t *testing.T) {
	states := map[string]string{"a": stateAlarm, "o": stateOK, "i": stateInsufficient, "two words (x)": stateAlarm}
	state := func(name string) string { return states[name] }
	for _, tt := range []struct {
		rule string
		want bool
	}{
		{"TRUE", true},
		{"FALSE", false},
		{"ALARM(a)", true},
		{`ALARM("a")`, true},
		{`ALARM( "two words (x)" )`, true},
		{"ALARM(o)", false},
		{"ALARM(gone)", false},
		{"OK(o) AND INSUFFICIENT_DATA(i)", true},
		{"NOT ALARM(a)", false},
		{"NOT NOT ALARM(a)", true},
		{"NOT ALARM(gone)", true},
		{"ALARM(o) OR ALARM(a) AND ALARM(i)", false},
		{"ALARM(a) OR ALARM(o) AND ALARM(i)", true},
		{"(ALARM(a) OR ALARM(o)) AND ALARM(i)", false},
		{"NOT ALARM(o) AND ALARM(a)", true},
		{"NOT (ALARM(o) AND ALARM(a))", true},
		{"alarm(a)\n\tand not ok(a)", true},
		{"ALARM(a)AND(OK(o))", true},
	} {
		r, err := parseRule(tt.rule)
		if err != nil {
			t.Errorf("%s: %v", tt.rule, err)
		} else if got := r.holds(state); got != tt.want {
			t.Errorf("%s is %v", tt.rule, got)
		}
	}
	r, err := parseRule(`ALARM(b) OR OK("arn:aws:cloudwatch:us-east-1:123456789012:alarm:a b") AND OK(b)`)
	if err != nil {
		t.Fatal(err)
	}
	if got := r.alarms(); !slices.Equal(got, []string{"b", "arn:aws:cloudwatch:us-east-1:123456789012:alarm:a b"}) {
		t.Errorf("alarms are %q", got)
	}
	for _, tt := range []struct{ rule, want string }{
		{"", "ends too early"},
		{"ALARM", "ends too early"},
		{"ALARM(a", "ends too early"},
		{`ALARM("a)`, "ends too early"},
		{"ALARM()", "is empty"},
		{`ALARM("")`, "is empty"},
		{`ALARM("a" b)`, `unexpected 'b'`},
		{"ALARM(a) ALARM(o)", `unexpected 'A' at position 10`},
		{"ALARM(a) AND", "ends too early"},
		{"(ALARM(a)", "ends too early"},
		{"ALARM(a))", `unexpected ')'`},
		{"a", `unexpected 'a'`},
		{"ALARM(OK(a))", `unexpected '('`},
		{"AT_LEAST(1, OK, (a))", `unexpected 'A'`},
		{strings.Repeat("(", 300) + "TRUE", "nested too deeply"},
		{strings.Repeat("NOT ", 300) + "TRUE", "nested too deeply"},
		{strings.Repeat("TRUE OR ", 500) + "TRUE", "more than 500 parts"},
	} {
		if _, err := parseRule(tt.rule); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%.40s: %v, want %q", tt.rule, err, tt.want)
		}
	}
	var many []string
	for i := range 101 {
		many = append(many, fmt.Sprintf("OK(a%d)", i))
	}
	if _, err := parseRule(strings.Join(many, " AND ")); err == nil || !strings.Contains(err.Error(), "101 alarms") {
		t.Errorf("101 alarms: %v", err)
	}
}

func FuzzRule(f *testing.F) {
	for _, s := range []string{"TRUE", `ALARM("a b") AND (OK(x) OR NOT INSUFFICIENT_DATA(é))`, "NOT", "OK(", "((", "ALARM(a)ORFALSE"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		r, err := parseRule(text)
		if err != nil {
			return
		}
		for _, name := range r.alarms() {
			if name == "" || !strings.Contains(text, name) {
				t.Errorf("%q names %q", text, name)
			}
		}
		// A rule and its negation are never both true.
		n, err := parseRule("NOT (" + text + ")")
		if err != nil {
			return // it was as large as may be
		}
		state := func(string) string { return stateAlarm }
		if r.holds(state) == n.holds(state) {
			t.Errorf("%q equals its negation", text)
		}
	})
}
