// SPDX-License-Identifier: Apache-2.0

package autoscaling

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// cron is a cron expression of six fields.
type cron struct {
	minutes, hours, months, years set
	days                          dayRule
}

// set holds small numbers.
type set map[int]bool

// dayRule tells the days of a month. Exactly one of the two fields of an
// expression rules, the other is "?"; both fill the same struct.
type dayRule struct {
	any      bool
	days     set // of the month
	weekdays set // 0 is Sunday
	last     int // L-n: so many days before the month's last; -1 none
	nearest  int // nW: the working day nearest to the n-th of the same month; 0 none
	lastW    bool
	lastOf   int // nL: the month's last such weekday; -1 none
	nth      [2]int
}

// field is what may stand in one place.
type field struct {
	name   string
	lo, hi int
	names  []string // of lo, lo+1, ...
}

var (
	minuteField  = field{name: "minutes", lo: 0, hi: 59}
	hourField    = field{name: "hours", lo: 0, hi: 23}
	dayField     = field{name: "day of month", lo: 1, hi: 31}
	monthField   = field{name: "month", lo: 1, hi: 12, names: []string{"JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"}}
	weekdayField = field{name: "day of week", lo: 1, hi: 7, names: []string{"SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"}}
	yearField    = field{name: "year", lo: 1970, hi: 2199}
)

// parseCron reads the inside of cron(…).
func parseCron(text string) (*cron, error) {
	f := strings.Fields(strings.ToUpper(text))
	if len(f) != 6 {
		return nil, fmt.Errorf("a cron expression has 6 fields, minutes, hours, day of month, month, day of week and year, and %q has %d", text, len(f))
	}
	if (f[2] == "?") == (f[4] == "?") {
		return nil, fmt.Errorf("exactly one of day of month and day of week must be ? in %q", text)
	}
	var c cron
	for _, p := range []struct {
		to    *set
		field field
		text  string
	}{{&c.minutes, minuteField, f[0]}, {&c.hours, hourField, f[1]}, {&c.months, monthField, f[3]}, {&c.years, yearField, f[5]}} {
		s, err := p.field.set(p.text)
		if err != nil {
			return nil, err
		}
		*p.to = s
	}
	var err error
	if f[4] == "?" {
		c.days, err = parseDays(f[2])
	} else {
		c.days, err = parseWeekdays(f[4])
	}
	return &c, err
}

func noDays() dayRule { return dayRule{last: -1, lastOf: -1} }

func parseDays(text string) (dayRule, error) {
	r := noDays()
	bad := fmt.Errorf("%q cannot be a day of month", text)
	switch {
	case text == "*":
		r.any = true
	case text == "L":
		r.last = 0
	case text == "LW":
		r.lastW = true
	case strings.HasPrefix(text, "L-"):
		n, err := strconv.Atoi(text[2:])
		if err != nil || n < 0 || n > 30 {
			return r, bad
		}
		r.last = n
	case strings.HasSuffix(text, "W"):
		n, err := strconv.Atoi(strings.TrimSuffix(text, "W"))
		if err != nil || n < 1 || n > 31 {
			return r, bad
		}
		r.nearest = n
	default:
		var err error
		r.days, err = dayField.set(text)
		return r, err
	}
	return r, nil
}

func parseWeekdays(text string) (dayRule, error) {
	r := noDays()
	if text == "*" {
		r.any = true
		return r, nil
	}
	if day, n, ok := strings.Cut(text, "#"); ok {
		d, err := weekdayField.number(day)
		k, err2 := strconv.Atoi(n)
		if err != nil || err2 != nil || k < 1 || k > 5 {
			return r, fmt.Errorf("%q cannot be a day of week", text)
		}
		r.nth = [2]int{d - 1, k}
		return r, nil
	}
	if text == "L" { // Saturday is the week's last day
		text = "7"
	} else if day, ok := strings.CutSuffix(text, "L"); ok {
		d, err := weekdayField.number(day)
		r.lastOf = d - 1
		return r, err
	}
	s, err := weekdayField.set(text)
	r.weekdays = set{}
	for d := range s {
		r.weekdays[d-1] = true
	}
	return r, err
}

// set reads *, a, a-b, a/n, a-b/n, */n and lists of them.
func (f field) set(text string) (set, error) {
	out := set{}
	for part := range strings.SplitSeq(text, ",") {
		span, step, stepped := strings.Cut(part, "/")
		lo, hi := f.lo, f.hi
		if span != "*" {
			a, b, ranged := strings.Cut(span, "-")
			var err error
			if lo, err = f.number(a); err != nil {
				return nil, err
			}
			switch {
			case ranged:
				if hi, err = f.number(b); err != nil {
					return nil, err
				}
			case !stepped:
				hi = lo
			}
		}
		by := 1
		if stepped {
			n, err := strconv.Atoi(step)
			if err != nil || n < 1 || n > f.hi {
				return nil, fmt.Errorf("%q cannot be a step in the field %s", step, f.name)
			}
			by = n
		}
		if hi < lo { // FRI-MON, 22-2
			hi += f.hi - f.lo + 1
		}
		for n := lo; n <= hi; n += by {
			out[f.lo+(n-f.lo)%(f.hi-f.lo+1)] = true
		}
	}
	return out, nil
}

func (f field) number(text string) (int, error) {
	for i, n := range f.names {
		if n == text {
			return f.lo + i, nil
		}
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < f.lo || n > f.hi || text[0] == '+' {
		return 0, fmt.Errorf("%q cannot be in the field %s, which goes from %d to %d", text, f.name, f.lo, f.hi)
	}
	return n, nil
}

// on tells whether the rule takes a day.
func (r dayRule) on(year int, month time.Month, day int) bool {
	if r.any {
		return true
	}
	week := int(date(year, month, day).Weekday())
	end := date(year, month+1, 0).Day()
	switch {
	case r.days != nil:
		return r.days[day]
	case r.weekdays != nil:
		return r.weekdays[week]
	case r.last >= 0:
		return day == end-r.last
	case r.lastW:
		return day == working(year, month, end, end)
	case r.nearest > 0:
		return r.nearest <= end && day == working(year, month, r.nearest, end)
	case r.lastOf >= 0:
		return week == r.lastOf && day+7 > end
	}
	return week == r.nth[0] && (day-1)/7+1 == r.nth[1]
}

// working is the day from Monday to Friday nearest to a day, in the same month.
func working(year int, month time.Month, day, end int) int {
	switch date(year, month, day).Weekday() {
	case time.Saturday:
		if day == 1 {
			return 3
		}
		return day - 1
	case time.Sunday:
		if day == end {
			return day - 2
		}
		return day + 1
	}
	return day
}

func date(year int, month time.Month, day int) time.Time {
	return time.Date(year, month, day, 0, 0, 0, 0, time.UTC)
}

// next is the first run after a moment; false when there is none any more.
//
// A local time that is skipped when clocks go forward runs as much later, so
// that no day goes without its run; one that comes twice runs the first time.
func (c *cron) next(after time.Time, zone *time.Location) (time.Time, bool) {
	local := after.In(zone)
	for year := max(local.Year(), yearField.lo); year <= yearField.hi; year++ {
		if !c.years[year] {
			continue
		}
		for month := time.January; month <= time.December; month++ {
			if !c.months[int(month)] {
				continue
			}
			for day := 1; day <= date(year, month+1, 0).Day(); day++ {
				// The day before counts too: its last run may have been moved past midnight.
				if date(year, month, day+2).Before(date(local.Year(), local.Month(), local.Day())) || !c.days.on(year, month, day) {
					continue
				}
				if t, ok := c.firstOf(year, month, day, after, zone); ok {
					return t, true
				}
			}
		}
	}
	return time.Time{}, false
}

// firstOf is the first run of a day that is after a moment.
func (c *cron) firstOf(year int, month time.Month, day int, after time.Time, zone *time.Location) (first time.Time, ok bool) {
	for h := range c.hours {
		for m := range c.minutes {
			t := time.Date(year, month, day, h, m, 0, 0, zone)
			// Date puts a skipped time before or after the gap: after it goes.
			wall := time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), 0, 0, time.UTC)
			t = t.Add(max(0, time.Date(year, month, day, h, m, 0, 0, time.UTC).Sub(wall)))
			if t.After(after) && (!ok || t.Before(first)) {
				first, ok = t, true
			}
		}
	}
	return first, ok
}
