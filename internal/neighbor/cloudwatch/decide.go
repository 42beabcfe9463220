// SPDX-License-Identifier: Apache-2.0

package cloudwatch

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	wcw "github.com/sagebrush-ml/sagebrush/internal/wire/cloudwatch"
)

// datapoint is a period of an alarm: the value there, unless it is missing, and
// of how many samples it was made, where that is known.
type datapoint struct {
	at      time.Time // when the period began
	missing bool
	value   float64
	samples float64
}

// moreRange is how many periods beyond EvaluationPeriods an alarm looks back
// for data. The service does not tell its number; its examples have two.
const moreRange = 2

func evaluationRange(m *wcw.MetricAlarm) int { return int(*m.EvaluationPeriods) + moreRange }

// toAlarm is M of the service's "M out of N".
func toAlarm(m *wcw.MetricAlarm) int {
	if m.DatapointsToAlarm != nil {
		return int(*m.DatapointsToAlarm)
	}
	return int(*m.EvaluationPeriods)
}

// decide is the whole policy of a metric alarm: the evaluation range in,
// newest period first, the state out. It touches nothing.
//
// With at least as many data as EvaluationPeriods, the newest of them decide,
// and how missing data are treated does not matter. Otherwise as many missing
// ones as needed count as TreatMissingData says. Where they count as nothing,
// data that all breach raise the alarm once the oldest is DatapointsToAlarm
// periods old, so that one that comes first and late does not.
//
// Source: "Evaluating an alarm" and "Configuring how CloudWatch alarms treat
// missing data", with the section on premature alarm states.
func decide(m *wcw.MetricAlarm, window []datapoint, now time.Time) verdict {
	n, need := int(*m.EvaluationPeriods), toAlarm(m)
	e := evaluation{alarm: m, now: now}
	oldest := 0 // the oldest datum's age in periods, the newest period being 1
	for i, d := range window {
		if d.missing || len(e.data) == n {
			continue
		}
		e.data, oldest = append(e.data, d), i+1
		if breaches(m, d.value) {
			e.breaching = append(e.breaching, d)
		} else {
			e.fine = append(e.fine, d)
		}
	}
	for _, d := range window {
		if d.missing && len(e.data)+len(e.filled) < n {
			e.filled = append(e.filled, d)
		}
	}
	if m.EvaluateLowSampleCountPercentile == "ignore" && slices.ContainsFunc(e.data, func(d datapoint) bool { return d.samples < enoughSamples(m.ExtendedStatistic) }) {
		return verdict{}
	}
	missing := len(e.filled)
	state := stateOK
	switch treat := m.TreatMissingData; {
	case len(e.breaching) >= need:
		state = stateAlarm
	case missing == 0:
	case treat == "breaching":
		if len(e.breaching)+missing >= need {
			state = stateAlarm
		}
	case treat == "notBreaching":
	case len(e.data) == 0 && treat == "ignore":
		return verdict{}
	case len(e.data) == 0:
		state = stateInsufficient
	case len(e.fine) > 0:
	case treat != "ignore" && oldest >= need:
		state = stateAlarm
	default:
		return verdict{}
	}
	return verdict{state: state, reason: e.reason(state), data: e.reasonData()}
}

func breaches(m *wcw.MetricAlarm, v float64) bool {
	t := *m.Threshold
	switch m.ComparisonOperator {
	case "GreaterThanOrEqualToThreshold":
		return v >= t
	case "GreaterThanThreshold":
		return v > t
	case "LessThanThreshold":
		return v < t
	default:
		return v <= t
	}
}

var comparisonWords = map[string]string{
	"GreaterThanOrEqualToThreshold": "greater than or equal to",
	"GreaterThanThreshold":          "greater than",
	"LessThanThreshold":             "less than",
	"LessThanOrEqualToThreshold":    "less than or equal to",
}

// enoughSamples is how many a percentile needs to mean something: ten beyond it
// on its thinner side. Other statistics need none.
//
// Source: "Percentile-based alarms and low data samples".
func enoughSamples(stat string) float64 {
	p, err := strconv.ParseFloat(strings.TrimPrefix(stat, "p"), 64)
	if err != nil || p <= 0 || p >= 100 {
		return 0
	}
	if p /= 100; p >= 0.5 {
		p = 1 - p
	}
	return math.Ceil(10/p - 1e-6)
}

// evaluation is what an alarm was decided by, newest first.
type evaluation struct {
	alarm           *wcw.MetricAlarm
	now             time.Time
	data            []datapoint // at most EvaluationPeriods
	breaching, fine []datapoint // of data
	filled          []datapoint // missing periods that counted
}

// The most data that a reason lists by value, and in one that has more.
const (
	listedAll  = 4
	listedSome = 5
)

// reason is StateReason in the service's words.
func (e *evaluation) reason(state string) string {
	if state == stateInsufficient {
		return fmt.Sprintf("Insufficient Data: %s unknown.", counted(len(e.filled), "datapoint"))
	}
	n := int(*e.alarm.EvaluationPeriods)
	treated := ""
	if words := map[string]string{"breaching": "Breaching", "notBreaching": "NonBreaching"}[e.alarm.TreatMissingData]; len(e.filled) > 0 && words != "" {
		treated = fmt.Sprintf(" and %s treated as [%s]", counted(len(e.filled), "missing datapoint"), words)
	}
	of, not := e.breaching, ""
	if state == stateOK {
		of, not = e.fine, "not "
	}
	if len(of) == 0 { // the missing ones decided
		return fmt.Sprintf("Threshold Crossed: %s received for %s%s.", counted(len(e.data), "datapoint"), plural(n, "period"), treated)
	}
	var points []string
	for _, d := range of[:min(len(of), listedSome)] {
		points = append(points, fmt.Sprintf("%s (%s)", javaDouble(d.value), d.at.UTC().Format("02/01/06 15:04:05")))
	}
	list := "[" + strings.Join(points, ", ") + "]"
	var b strings.Builder
	b.WriteString("Threshold Crossed: ")
	many := e.alarm.DatapointsToAlarm != nil
	if many {
		fmt.Fprintf(&b, "%d out of the last %d datapoints", len(of), n)
	} else {
		b.WriteString(plural(len(of), "datapoint"))
	}
	if len(of) <= listedAll {
		b.WriteString(" " + list)
	}
	fmt.Fprintf(&b, " %s %s%s the threshold (%s)%s", was(len(of)), not, comparisonWords[e.alarm.ComparisonOperator], javaDouble(*e.alarm.Threshold), treated)
	if len(of) > listedAll {
		b.WriteString(". The most recent datapoints which crossed the threshold: " + list)
	}
	if many {
		least, change := toAlarm(e.alarm), "OK -> ALARM"
		if state == stateOK {
			least, change = n-least+1, "ALARM -> OK"
		}
		fmt.Fprintf(&b, " (minimum %s for %s transition)", plural(least, "datapoint"), change)
	}
	return b.String() + "."
}

func was(n int) string {
	if n == 1 {
		return "was"
	}
	return "were"
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return strconv.Itoa(n) + " " + what + "s"
}

// counted is "1 datapoint was", "no datapoints were".
func counted(n int, what string) string {
	text := plural(n, what)
	if n == 0 {
		text = "no " + what + "s"
	}
	return text + " " + was(n)
}

// maxEvaluated keeps StateReasonData within its 4000 characters.
const maxEvaluated = 20

// reasonData is StateReasonData as the service writes it.
func (e *evaluation) reasonData() string {
	type evaluated struct {
		Timestamp string  `json:"timestamp"`
		Samples   *double `json:"sampleCount,omitempty"`
		Value     *double `json:"value,omitempty"`
	}
	doc := struct {
		Version   string      `json:"version"`
		Query     string      `json:"queryDate"`
		Start     string      `json:"startDate,omitempty"`
		Unit      string      `json:"unit,omitempty"`
		Statistic string      `json:"statistic,omitempty"`
		Period    int64       `json:"period"`
		Recent    []double    `json:"recentDatapoints"`
		Threshold double      `json:"threshold"`
		Evaluated []evaluated `json:"evaluatedDatapoints"`
	}{Version: "1.0", Query: stamp(e.now), Unit: e.alarm.Unit, Statistic: e.alarm.Statistic, Period: periodOf(e.alarm),
		Recent: []double{}, Threshold: double(*e.alarm.Threshold), Evaluated: []evaluated{}}
	if doc.Statistic == "" {
		doc.Statistic = e.alarm.ExtendedStatistic
	}
	if n := len(e.data); n > 0 {
		doc.Start = stamp(e.data[n-1].at)
	}
	for _, d := range slices.Backward(e.data[:min(len(e.data), maxEvaluated)]) {
		doc.Recent = append(doc.Recent, double(d.value))
	}
	all := slices.Concat(e.data, e.filled)
	slices.SortFunc(all, func(a, b datapoint) int { return b.at.Compare(a.at) })
	for _, d := range all[:min(len(all), maxEvaluated)] {
		ev := evaluated{Timestamp: stamp(d.at)}
		if !d.missing {
			ev.Value = new(double(d.value))
			if d.samples > 0 {
				ev.Samples = new(double(d.samples))
			}
		}
		doc.Evaluated = append(doc.Evaluated, ev)
	}
	return compactJSON(doc)
}

// double is a number that JSON has as the service writes it.
type double float64

var _ json.Marshaler = double(0)

// MarshalJSON implements json.Marshaler.
func (d double) MarshalJSON() ([]byte, error) { return []byte(javaDouble(float64(d))), nil }

// javaDouble writes a finite number as Java's Double.toString, which the
// service's texts come from: 5.0, 0.25, 1.5E7.
func javaDouble(f float64) string {
	if a := math.Abs(f); a != 0 && (a < 1e-3 || a >= 1e7) {
		s := strconv.FormatFloat(f, 'E', -1, 64) // 1.5E+07
		mantissa, exponent, _ := strings.Cut(s, "E")
		if !strings.Contains(mantissa, ".") {
			mantissa += ".0"
		}
		n, _ := strconv.Atoi(exponent) // it was just written
		return mantissa + "E" + strconv.Itoa(n)
	}
	s := strconv.FormatFloat(f, 'f', -1, 64)
	if !strings.Contains(s, ".") {
		s += ".0"
	}
	return s
}
