// SPDX-License-Identifier: Apache-2.0

package autoscaling

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	_ "time/tzdata" // a machine may have no time zones of its own
)

// schedule is when a scheduled action runs.
//
// Source: API_PutScheduledAction, and "Schedule recurring scaling actions using
// cron expressions" and "Schedule one-time actions" of the user guide.
type schedule struct {
	at    time.Time     // of at()
	every time.Duration // of rate()
	cron  *cron
	zone  *time.Location
}

// parseSchedule reads at(yyyy-mm-ddThh:mm:ss), rate(n unit) or
// cron(minutes hours day-of-month month day-of-week year). zone is an IANA name;
// "" is UTC. rate() knows no zone.
func parseSchedule(text, zone string) (schedule, error) {
	s := schedule{zone: time.UTC}
	if zone != "" {
		l, err := time.LoadLocation(zone)
		if err != nil || zone == "Local" {
			return s, fmt.Errorf("%q is not a time zone", zone)
		}
		s.zone = l
	}
	kind, inner, ok := strings.Cut(text, "(")
	if !ok || !strings.HasSuffix(inner, ")") {
		return s, fmt.Errorf("%q is none of at(), rate() and cron()", text)
	}
	inner = strings.TrimSuffix(inner, ")")
	var err error
	switch kind {
	case "at":
		if s.at, err = time.ParseInLocation("2006-01-02T15:04:05", inner, s.zone); err != nil {
			return s, fmt.Errorf("%q is not of the form yyyy-mm-ddThh:mm:ss", inner)
		}
	case "rate":
		s.every, err = parseRate(inner)
	case "cron":
		s.cron, err = parseCron(inner)
	default:
		err = fmt.Errorf("%q is none of at(), rate() and cron()", text)
	}
	return s, err
}

func parseRate(text string) (time.Duration, error) {
	f := strings.Fields(text)
	if len(f) != 2 {
		return 0, fmt.Errorf("%q is not a number and a unit", text)
	}
	n, err := strconv.Atoi(f[0])
	if err != nil || n < 1 || n > 1_000_000 {
		return 0, fmt.Errorf("%q is not a positive number", f[0])
	}
	unit, ok := map[string]time.Duration{"minute": time.Minute, "hour": time.Hour, "day": 24 * time.Hour}[strings.TrimSuffix(f[1], "s")]
	if !ok || (n == 1) == strings.HasSuffix(f[1], "s") {
		return 0, fmt.Errorf("%q is none of minute, minutes, hour, hours, day, days, or does not go with %d", f[1], n)
	}
	return time.Duration(n) * unit, nil
}

// window is the time in which a schedule runs; a zero end is none.
type window struct{ start, end time.Time }

// next is the first run after a moment and within w; false when there is none.
// made is when the action was put: the runs of rate() are counted from the
// window's start, or else from it.
func (s schedule) next(after, made time.Time, w window) (time.Time, bool) {
	var t time.Time
	switch {
	case s.cron != nil:
		from := after
		if w.start.After(from) {
			from = w.start.Add(-time.Nanosecond) // a run at the very start counts
		}
		var ok bool
		if t, ok = s.cron.next(from, s.zone); !ok {
			return t, false
		}
	case s.every > 0:
		first := made.Add(s.every)
		if !w.start.IsZero() {
			first = w.start
		}
		t = first
		if !first.After(after) {
			t = first.Add((after.Sub(first)/s.every + 1) * s.every)
		}
	default:
		t = s.at
	}
	return t, t.After(after) && (w.end.IsZero() || !t.After(w.end))
}
