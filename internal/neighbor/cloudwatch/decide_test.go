// SPDX-License-Identifier: Apache-2.0

package cloudwatch

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	wcw "github.com/sagebrush-ml/sagebrush/internal/wire/cloudwatch"
)

// periods reads an evaluation range as the service's documentation writes it:
// oldest first, X breaches the threshold of 5, 0 does not, - is missing.
func periods(text string) []datapoint {
	var out []datapoint
	words := strings.Fields(text)
	for i, w := range words {
		d := datapoint{at: start.Add(time.Duration(i) * time.Minute), missing: w == "-", samples: 1}
		switch w {
		case "X":
			d.value = 9
		case "0", "-":
		default:
			d.value, _ = strconv.ParseFloat(w, 64)
		}
		out = append(out, d)
	}
	slices.Reverse(out)
	return out
}

func watch(m, n int64, treat string) *wcw.MetricAlarm {
	return &wcw.MetricAlarm{EvaluationPeriods: &n, DatapointsToAlarm: &m, TreatMissingData: treat, Threshold: new(5.0), Period: new(int64(60)),
		ComparisonOperator: "GreaterThanThreshold", Statistic: "Average"}
}

// TestDecideOnMissingData has the two tables of "How alarm state is evaluated
// when data is missing", and the examples of its section on premature alarms.
func TestDecideOnMissingData(t *testing.T) {
	const keep, bad, no = "", "ALARM", "INSUFFICIENT_DATA"
	for _, tt := range []struct {
		m      int64
		window string
		want   [4]string // missing, ignore, breaching, notBreaching
	}{
		{3, "0 - X - X", [4]string{"OK", "OK", "OK", "OK"}},
		{3, "0 - - - -", [4]string{"OK", "OK", "OK", "OK"}},
		{3, "- - - - -", [4]string{no, keep, bad, "OK"}},
		{3, "0 X X - X", [4]string{bad, bad, bad, bad}},
		{3, "- - X - -", [4]string{bad, keep, bad, "OK"}},
		{2, "0 - X - X", [4]string{bad, bad, bad, bad}},
		{2, "0 0 X 0 X", [4]string{bad, bad, bad, bad}},
		{2, "0 - X - -", [4]string{"OK", "OK", bad, "OK"}},
		{2, "- - - - 0", [4]string{"OK", "OK", bad, "OK"}},
		{2, "- - - X -", [4]string{bad, keep, bad, "OK"}},
		{3, "- - - - X", [4]string{keep, keep, bad, "OK"}},
		{3, "- - - X -", [4]string{keep, keep, bad, "OK"}},
		{2, "- - - - X", [4]string{keep, keep, bad, "OK"}},
		{1, "- - - - X", [4]string{bad, bad, bad, bad}},
		{3, "X X 0 0 0", [4]string{"OK", "OK", "OK", "OK"}},
		{3, "0 0 X X X", [4]string{bad, bad, bad, bad}},
	} {
		for i, treat := range []string{"missing", "ignore", "breaching", "notBreaching"} {
			if got := decide(watch(tt.m, 3, treat), periods(tt.window), start); got.state != tt.want[i] {
				t.Errorf("%d out of 3, %s, %s: %q (%s), want %q", tt.m, tt.window, treat, got.state, got.reason, tt.want[i])
			}
		}
		if a, b := decide(watch(tt.m, 3, ""), periods(tt.window), start), decide(watch(tt.m, 3, "missing"), periods(tt.window), start); a != b {
			t.Errorf("%s: missing is not the default", tt.window)
		}
	}
}

func TestDecideComparesAndTells(t *testing.T) {
	with := func(m *wcw.MetricAlarm, f func(*wcw.MetricAlarm)) *wcw.MetricAlarm {
		f(m)
		return m
	}
	plain := func(m *wcw.MetricAlarm) { m.DatapointsToAlarm = nil }
	operator := func(o string) func(*wcw.MetricAlarm) { return func(m *wcw.MetricAlarm) { m.ComparisonOperator = o } }
	for _, tt := range []struct {
		name, state, window, reason string
		alarm                       *wcw.MetricAlarm
	}{
		{"all of several", "ALARM", "0 0 6 7.5 8",
			"Threshold Crossed: 3 out of the last 3 datapoints [8.0 (20/11/26 21:04:00), 7.5 (20/11/26 21:03:00), 6.0 (20/11/26 21:02:00)] were greater than the threshold (5.0) (minimum 3 datapoints for OK -> ALARM transition).",
			watch(3, 3, "")},
		{"one of one", "ALARM", "0 0 6", "Threshold Crossed: 1 out of the last 1 datapoints [6.0 (20/11/26 21:02:00)] was greater than the threshold (5.0) (minimum 1 datapoint for OK -> ALARM transition).",
			watch(1, 1, "")},
		{"a threshold is not above itself", "OK", "0 0 5", "Threshold Crossed: 1 out of the last 1 datapoints [5.0 (20/11/26 21:02:00)] was not greater than the threshold (5.0) (minimum 1 datapoint for ALARM -> OK transition).",
			watch(1, 1, "")},
		{"back to OK, M out of N", "OK", "0 0 0 0 9", "Threshold Crossed: 2 out of the last 3 datapoints [0.0 (20/11/26 21:03:00), 0.0 (20/11/26 21:02:00)] were not greater than the threshold (5.0) (minimum 2 datapoints for ALARM -> OK transition).",
			watch(2, 3, "")},
		{"without DatapointsToAlarm", "ALARM", "0 0 6", "Threshold Crossed: 1 datapoint [6.0 (20/11/26 21:02:00)] was greater than the threshold (5.0).",
			with(watch(1, 1, ""), plain)},
		{"at least", "ALARM", "0 0 5", "Threshold Crossed: 1 datapoint [5.0 (20/11/26 21:02:00)] was greater than or equal to the threshold (5.0).",
			with(with(watch(1, 1, ""), plain), operator("GreaterThanOrEqualToThreshold"))},
		{"less", "ALARM", "0 0 4", "Threshold Crossed: 1 datapoint [4.0 (20/11/26 21:02:00)] was less than the threshold (5.0).",
			with(with(watch(1, 1, ""), plain), operator("LessThanThreshold"))},
		{"at most", "OK", "0 0 5.5", "Threshold Crossed: 1 datapoint [5.5 (20/11/26 21:02:00)] was not less than or equal to the threshold (5.0).",
			with(with(watch(1, 1, ""), plain), operator("LessThanOrEqualToThreshold"))},
		{"some are missing", "ALARM", "- - - - 6", "Threshold Crossed: 1 out of the last 3 datapoints [6.0 (20/11/26 21:04:00)] was greater than the threshold (5.0) and 2 missing datapoints were treated as [NonBreaching] (minimum 1 datapoint for OK -> ALARM transition).",
			watch(1, 3, "notBreaching")},
		{"all are missing and breach", "ALARM", "- - - -", "Threshold Crossed: no datapoints were received for 2 periods and 2 missing datapoints were treated as [Breaching].",
			with(watch(2, 2, "breaching"), plain)},
		{"one is missing and does not breach", "OK", "- - -", "Threshold Crossed: no datapoints were received for 1 period and 1 missing datapoint was treated as [NonBreaching].",
			with(watch(1, 1, "notBreaching"), plain)},
		{"the missing ones decide", "ALARM", "- - - - 0", "Threshold Crossed: 1 datapoint was received for 3 periods and 2 missing datapoints were treated as [Breaching].",
			watch(2, 3, "breaching")},
		{"nothing is known", "INSUFFICIENT_DATA", "- - - - -", "Insufficient Data: 3 datapoints were unknown.", watch(3, 3, "missing")},
		{"nothing of one is known", "INSUFFICIENT_DATA", "- - -", "Insufficient Data: 1 datapoint was unknown.", watch(1, 1, "missing")},
		{"many are not all listed", "ALARM", "0 0 11 12 13 14 15 16",
			"Threshold Crossed: 6 out of the last 6 datapoints were greater than the threshold (5.0). The most recent datapoints which crossed the threshold: [16.0 (20/11/26 21:07:00), 15.0 (20/11/26 21:06:00), 14.0 (20/11/26 21:05:00), 13.0 (20/11/26 21:04:00), 12.0 (20/11/26 21:03:00)] (minimum 6 datapoints for OK -> ALARM transition).",
			watch(6, 6, "")},
		{"a percentile of few samples changes nothing", "", "0 0 6", "", with(watch(1, 1, ""), func(m *wcw.MetricAlarm) {
			m.Statistic, m.ExtendedStatistic, m.EvaluateLowSampleCountPercentile = "", "p99", "ignore"
		})},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := decide(tt.alarm, periods(tt.window), start)
			if got.state != tt.state || got.reason != tt.reason {
				t.Errorf("got  %s: %s\nwant %s: %s", got.state, got.reason, tt.state, tt.reason)
			}
		})
	}
}

func TestReasonData(t *testing.T) {
	m := watch(2, 3, "notBreaching")
	m.Unit = "Percent"
	now := start.Add(5*time.Minute + 20*time.Millisecond)
	want := `{"version":"1.0","queryDate":"2026-11-20T21:05:00.020+0000","startDate":"2026-11-20T21:02:00.000+0000","unit":"Percent","statistic":"Average","period":60,` +
		`"recentDatapoints":[6.25,1.5E7],"threshold":5.0,"evaluatedDatapoints":[{"timestamp":"2026-11-20T21:04:00.000+0000"},` +
		`{"timestamp":"2026-11-20T21:03:00.000+0000","sampleCount":1.0,"value":1.5E7},{"timestamp":"2026-11-20T21:02:00.000+0000","sampleCount":1.0,"value":6.25}]}`
	got := decide(m, periods("- - 6.25 15000000 -"), now)
	if got.state != "ALARM" || got.data != want {
		t.Errorf("got  %s\nwant %s", got.data, want)
	}
	n := int64(8640)
	long := watch(n, n, "")
	window := make([]datapoint, n+2)
	for i := range window {
		window[i] = datapoint{at: start, value: 1.0 / 3, samples: 1.0 / 3}
	}
	if got := decide(long, window, start); len(got.data) > 4000 || len(got.reason) > 1023 || !json.Valid([]byte(got.data)) {
		t.Errorf("%d characters of data, %d of reason", len(got.data), len(got.reason))
	}
}

func TestJavaDouble(t *testing.T) {
	for f, want := range map[float64]string{0: "0.0", 5: "5.0", -2.5: "-2.5", 1e6: "1000000.0", 1e7: "1.0E7", 15398333.5: "1.53983335E7", 0.001: "0.001", 0.00025: "2.5E-4", 15.398333333333332: "15.398333333333332"} {
		if got := javaDouble(f); got != want {
			t.Errorf("%v is %s, want %s", f, got, want)
		}
	}
}

func TestEnoughSamples(t *testing.T) {
	for stat, want := range map[string]float64{"p99": 1000, "p50": 20, "p10": 100, "p90": 100, "p99.9": 10_000, "p0": 0, "p100": 0, "": 0} {
		if got := enoughSamples(stat); got != want {
			t.Errorf("%s needs %v samples, want %v", stat, got, want)
		}
	}
}
