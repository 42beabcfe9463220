// SPDX-License-Identifier: Apache-2.0

package autoscaling

import (
	"slices"
	"testing"
	"time"
)

func moment(t *testing.T, text, zone string) time.Time {
	t.Helper()
	l, err := time.LoadLocation(zone)
	if err != nil {
		t.Fatal(err)
	}
	m, err := time.ParseInLocation("2006-01-02T15:04:05", text, l)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestScheduleNext(t *testing.T) {
	for _, c := range []struct {
		name, schedule, zone, after string
		want                        string // in the zone; "" for never
	}{
		{"at a time", "at(2026-11-21T08:00:00)", "", "2026-11-20T21:00:00", "2026-11-21T08:00:00"},
		{"at a time in a zone", "at(2026-11-21T08:00:00)", "Asia/Tokyo", "2026-11-20T21:00:00", "2026-11-21T08:00:00"},
		{"once only", "at(2026-11-21T08:00:00)", "", "2026-11-21T08:00:00", ""},
		{"every so often", "rate(10 minutes)", "", "2026-11-20T21:05:00", "2026-11-20T21:10:00"},
		{"not now", "rate(1 hour)", "", "2026-11-20T22:00:00", "2026-11-20T23:00:00"},
		{"each day", "cron(0 8 * * ? *)", "", "2026-11-20T21:00:00", "2026-11-21T08:00:00"},
		{"each day in New York", "cron(0 8 * * ? *)", "America/New_York", "2026-11-20T07:59:59", "2026-11-20T08:00:00"},
		{"strictly after", "cron(0 8 * * ? *)", "", "2026-11-20T08:00:00", "2026-11-21T08:00:00"},
		{"on working days", "cron(30 6 ? * MON-FRI *)", "", "2026-11-20T21:00:00", "2026-11-23T06:30:00"},
		{"Sunday is 1", "cron(0 0 ? * 1 *)", "", "2026-11-20T21:00:00", "2026-11-22T00:00:00"},
		{"over the week's end", "cron(0 0 ? * SAT-MON *)", "", "2026-11-22T12:00:00", "2026-11-23T00:00:00"},
		{"every quarter of an hour", "cron(0/15 * * * ? *)", "", "2026-11-20T21:46:00", "2026-11-20T22:00:00"},
		{"ten minutes from five on", "cron(5/10 9 * * ? *)", "", "2026-11-20T09:51:00", "2026-11-20T09:55:00"},
		{"a list", "cron(0 6,18 * * ? *)", "", "2026-11-20T07:00:00", "2026-11-20T18:00:00"},
		{"the last day of the month", "cron(0 0 L * ? *)", "", "2027-02-01T00:00:00", "2027-02-28T00:00:00"},
		{"two days before it", "cron(0 0 L-2 * ? *)", "", "2027-02-01T00:00:00", "2027-02-26T00:00:00"},
		{"the last working day", "cron(0 0 LW * ? *)", "", "2026-11-01T00:00:00", "2026-11-30T00:00:00"},
		{"the working day nearest to the 15th, a Sunday", "cron(0 0 15W * ? *)", "", "2026-11-01T00:00:00", "2026-11-16T00:00:00"},
		{"nearest to the 1st, a Sunday, in the same month", "cron(0 0 1W 11 ? *)", "", "2026-10-01T00:00:00", "2026-11-02T00:00:00"},
		{"the last Friday", "cron(0 0 ? * 6L *)", "", "2026-11-01T00:00:00", "2026-11-27T00:00:00"},
		{"the third Thursday", "cron(0 0 ? * THU#3 *)", "", "2026-11-01T00:00:00", "2026-11-19T00:00:00"},
		{"a month that has no fifth Monday is passed over", "cron(0 0 ? * 2#5 *)", "", "2026-12-01T00:00:00", "2027-03-29T00:00:00"},
		{"a leap day", "cron(0 0 29 2 ? *)", "", "2026-11-20T00:00:00", "2028-02-29T00:00:00"},
		{"years", "cron(0 0 1 1 ? 2030,2035)", "", "2030-06-01T00:00:00", "2035-01-01T00:00:00"},
		{"every other year", "cron(0 0 1 JAN ? 2026/2)", "", "2026-06-01T00:00:00", "2028-01-01T00:00:00"},
		{"no such day", "cron(0 0 30 2 ? *)", "", "2026-11-20T00:00:00", ""},
		{"years that are over", "cron(0 0 1 1 ? 2020)", "", "2026-11-20T00:00:00", ""},
		{"an hour that is skipped comes later", "cron(30 2 * * ? *)", "America/New_York", "2026-03-07T12:00:00", "2026-03-08T03:30:00"},
		{"an hour that comes twice runs once", "cron(30 1 * * ? *)", "America/New_York", "2026-11-01T01:30:00", "2026-11-02T01:30:00"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, err := parseSchedule(c.schedule, c.zone)
			if err != nil {
				t.Fatal(err)
			}
			zone := c.zone
			if zone == "" {
				zone = "UTC"
			}
			got, ok := s.next(moment(t, c.after, zone), start, window{})
			if ok != (c.want != "") || ok && !got.Equal(moment(t, c.want, zone)) {
				t.Errorf("after %s comes %v, %v; want %s", c.after, got, ok, c.want)
			}
		})
	}
}

func TestTheFirstOfTwoEqualHours(t *testing.T) {
	s, err := parseSchedule("cron(30 1 * * ? *)", "America/New_York")
	if err != nil {
		t.Fatal(err)
	}
	got, ok := s.next(moment(t, "2026-11-01T00:00:00", "America/New_York"), start, window{})
	if want := time.Date(2026, 11, 1, 5, 30, 0, 0, time.UTC); !ok || !got.Equal(want) {
		t.Errorf("runs at %v, want %v", got.UTC(), want)
	}
}

func TestScheduleWindow(t *testing.T) {
	w := window{start: start.Add(90 * time.Minute), end: start.Add(4 * time.Hour)}
	for text, want := range map[string][]time.Duration{
		"rate(1 hour)":                  {90 * time.Minute, 150 * time.Minute, 210 * time.Minute},
		"cron(30 * * * ? *)":            {90 * time.Minute, 150 * time.Minute, 210 * time.Minute},
		"at(" + "2026-11-21T01:00:00)":  {4 * time.Hour},
		"at(" + "2026-11-21T01:00:001)": nil,
	} {
		s, err := parseSchedule(text, "")
		if want == nil {
			if err == nil {
				t.Errorf("%s is taken", text)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		var got []time.Duration
		for at, ok := s.next(start, start, w); ok; at, ok = s.next(at, start, w) {
			got = append(got, at.Sub(start))
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s runs %v after the start, want %v", text, got, want)
		}
	}
}

func TestScheduleRefused(t *testing.T) {
	for _, text := range []string{"", "daily", "at()", "at(2026-13-01T00:00:00)", "at(2026-11-21)", "rate(0 minutes)", "rate(1 minutes)", "rate(5 minute)",
		"rate(-1 hours)", "rate(5)", "rate(5 seconds)", "cron()", "cron(0 8 * * *)", "cron(0 8 * * * *)", "cron(0 8 ? * ? *)", "cron(60 8 * * ? *)",
		"cron(0 24 * * ? *)", "cron(0 0 0 * ? *)", "cron(0 0 32 * ? *)", "cron(0 0 ? * 8 *)", "cron(0 0 ? * FOO *)", "cron(0 0 ? * MON#6 *)",
		"cron(0 0 * 13 ? *)", "cron(0 0 * * ? 1969)", "cron(0/0 0 * * ? *)", "cron(a 0 * * ? *)", "cron(+5 0 * * ? *)", "cron(,5 0 * * ? *)", "cron(0 0 L-31 * ? *)",
		"cron(0 0 32W * ? *)", "cron(0 8 * * ? *", "every(5 minutes)"} {
		if _, err := parseSchedule(text, ""); err == nil {
			t.Errorf("%q is taken", text)
		}
	}
	for _, zone := range []string{"Mars/Olympus", "Local", "../etc/passwd"} {
		if _, err := parseSchedule("rate(5 minutes)", zone); err == nil {
			t.Errorf("the zone %q is taken", zone)
		}
	}
}

// FuzzSchedule: whatever is written, the parser neither panics nor hangs, and a
// run is after the moment asked for and at a minute, hour, month and year of the
// expression.
func FuzzSchedule(f *testing.F) {
	for _, s := range []string{"at(2026-11-21T08:00:00)", "rate(10 minutes)", "cron(0 8 * * ? *)", "cron(0/15 6-18 ? JAN-MAR MON#2 2026/2)",
		"cron(5,10 22-2 LW * ? *)", "cron(0 0 L-3 * ? 2030)", "cron(0 0 31W 2 ? *)", "cron(1 1 ? * 7L *)"} {
		f.Add(s, int64(1_795_000_000))
	}
	f.Fuzz(func(t *testing.T, text string, unix int64) {
		s, err := parseSchedule(text, "America/New_York")
		if err != nil {
			return
		}
		after := time.Unix(unix%4_000_000_000, 0)
		got, ok := s.next(after, after.Add(-time.Hour), window{})
		if !ok {
			return
		}
		if !got.After(after) {
			t.Fatalf("%q after %v runs at %v", text, after, got)
		}
		if c := s.cron; c != nil {
			// A skipped hour moves the run by an hour; asking in UTC leaves that out.
			got, ok = c.next(after, time.UTC)
			if !ok || !c.minutes[got.Minute()] || !c.hours[got.Hour()] || !c.months[int(got.Month())] || !c.years[got.Year()] || !c.days.on(got.Year(), got.Month(), got.Day()) {
				t.Fatalf("%q after %v runs at %v, which it does not name", text, after, got)
			}
			if before, ok := c.next(got.Add(-time.Minute), time.UTC); !ok || !before.Equal(got) {
				t.Fatalf("%q runs at %v, but a minute earlier that is %v", text, got, before)
			}
		}
	})
}
