// SPDX-License-Identifier: Apache-2.0

package cloudwatch

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/wire"
	wcw "github.com/sagebrush-ml/sagebrush/internal/wire/cloudwatch"
)

func stat(id, name string, period int64) wcw.MetricDataQuery {
	return wcw.MetricDataQuery{Id: id, ReturnData: new(false), MetricStat: &wcw.MetricStat{Period: &period, Stat: "Sum",
		Metric: &wcw.Metric{Namespace: ns, MetricName: name, Dimensions: []wcw.Dimension{{Name: "TrainingJobName", Value: "j"}}}}}
}

// TestMetricMath works expressions out over four minutes: a is 1 2 - 4, b is
// 10 - - 40, and nothing was told of gone.
func TestMetricMath(t *testing.T) {
	b := fresh(t)
	for name, values := range map[string][]float64{"a": {1, 2, 0, 4}, "b": {10, 0, 0, 40}} {
		for i, v := range values {
			if v != 0 {
				b.put(t, datum(name, "j", time.Duration(i)*time.Minute, v))
			}
		}
	}
	ask := func(expression string, more ...wcw.MetricDataQuery) wcw.GetMetricDataInput {
		return wcw.GetMetricDataInput{StartTime: wire.At(start), EndTime: wire.At(start.Add(4 * time.Minute)), ScanBy: "TimestampAscending",
			MetricDataQueries: append([]wcw.MetricDataQuery{stat("a", "a", 60), stat("b", "b", 60), stat("gone", "gone", 60),
				{Id: "e", Expression: expression}}, more...)}
	}
	for _, tt := range []struct{ expression, want string }{
		{"a", "1 2 - 4"},
		{"a + b", "11 - - 44"},
		{"a - b * 2", "-19 - - -76"},
		{"(a - b) * 2", "-18 - - -72"},
		{"-a", "-1 -2 - -4"},
		{"-2 ^ 2 * a / a", "-4 -4 - -4"},
		{"a * 2 ^ 3 ^ 0", "2 4 - 8"},
		{"100 * a / b", "10 - - 10"},
		{"a / (b - 10)", "- - - 0.13333333333333333"},
		{"a / 0", "- - - -"},
		{"a > 1", "0 1 - 1"},
		{"a >= 2 AND a <= 2", "0 1 - 0"},
		{"a == 1 || a != 2", "1 0 - 1"},
		{"a / SUM(a)", "0.14285714285714285 0.2857142857142857 - 0.5714285714285714"},
		{"a - AVG(a) + MIN(b) + MAX(b)", "48.666666666666664 49.666666666666664 - 51.666666666666664"},
		{"SUM([a, b, gone])", "11 2 - 44"},
		{"SUM(METRICS())", "11 2 - 44"},
		{"SUM(METRICS('b'))", "10 - - 40"},
		{"AVG(METRICS())", "5.5 2 - 22"},
		{"MAX([a, b])", "10 2 - 40"},
		{"MIN([a*100, b])", "10 200 - 40"},
		{"a * METRIC_COUNT(METRICS())", "3 6 - 12"},
		{"FILL(a, 0)", "1 2 0 4"},
		{"FILL(a, REPEAT)", "1 2 2 4"},
		{"FILL(b, LINEAR)", "10 20 30 40"},
		{"FILL(a, b)", "1 2 - 4"},
		{"FILL(gone, 7)", "7 7 7 7"},
		{"FILL(gone, REPEAT)", "- - - -"},
		{"a + FILL(b, 0)", "11 2 - 44"},
		{"SUM(FILL([a, b], 1))", "11 3 2 44"},
		{"IF(a > 1, b, a)", "1 - - 40"},
		{"IF(a > 1, 1, 0)", "0 1 - 1"},
		{"IF(FILL(a, 0) > 0, 5)", "5 5 - 5"},
		{"IF(SUM(a) > 100, a, b)", "10 - - 40"},
		{"IF(AVG(gone) > 1, a, b)", "- - - -"},
		{"TIME_SERIES(3) + IF(1 < 2, 4, 5)", "7 7 7 7"},
		{"a / PERIOD(a)", "0.016666666666666666 0.03333333333333333 - 0.06666666666666667"},
		{"CEIL(ABS(0 - a) / 3) + FLOOR(a / 3)", "1 1 - 3"},
		{"LOG10(b)", "1 - - 1.6020599913279623"},
		{"1.5e1 * a + .5", "15.5 30.5 - 60.5"},
	} {
		t.Run(tt.expression, func(t *testing.T) {
			out := call(t, b, wcw.GetMetricData, ask(tt.expression)).MetricDataResults
			if len(out) != 1 || out[0].Id != "e" || out[0].Label != "e" {
				t.Fatalf("got %+v", out)
			}
			if got := slotted(out[0]); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
	t.Run("expressions of expressions, in any order", func(t *testing.T) {
		in := ask("f + g", wcw.MetricDataQuery{Id: "f", Expression: "a * g", ReturnData: new(false)}, wcw.MetricDataQuery{Id: "g", Expression: "SUM(b)", ReturnData: new(false)})
		if got := slotted(call(t, b, wcw.GetMetricData, in).MetricDataResults[0]); got != "100 150 - 250" {
			t.Errorf("got %s", got)
		}
	})
	t.Run("a list is answered series by series", func(t *testing.T) {
		in := ask("FILL(METRICS(), 0)")
		in.MetricDataQueries[3].Label = "filled"
		in.MaxDatapoints = new(int64(6))
		var got []string
		for {
			out := call(t, b, wcw.GetMetricData, in)
			for _, r := range out.MetricDataResults {
				got = append(got, r.Label+" "+fmt.Sprint(r.Values))
			}
			if in.NextToken = out.NextToken; in.NextToken == "" {
				break
			}
		}
		if s := strings.Join(got, "; "); s != "filled a [1 2 0 4]; filled b [10 0]; filled gone []; filled a []; filled b [0 40]; filled gone [0 0 0 0]" {
			t.Errorf("got %s", s)
		}
	})
	for _, tt := range []struct{ name, expression, want string }{
		{"an unknown id", "a + c", `there is no query "c"`},
		{"itself", "e + 1", "depends on itself"},
		{"an open bracket", "(a + b", "ends too early"},
		{"nothing after an operator", "a +", "ends too early"},
		{"two operands", "a b", `unexpected "b"`},
		{"an unknown character", "a % b", "unexpected character '%' at position 3"},
		{"an open string", "METRICS('x)", "has no end"},
		{"an unknown function", "SEARCH('{AWS/SageMaker}', 'Sum')", "SEARCH is not supported by Sagebrush; supported are ABS, AVG"},
		{"an anomaly band", "ANOMALY_DETECTION_BAND(a)", "not supported by Sagebrush"},
		{"an SQL query", "SELECT AVG(x) FROM y", "Metrics Insights"},
		{"a number for an answer", "SUM(a)", "must give a time series"},
		{"too few arguments", "IF(a)", "IF takes a condition"},
		{"too many arguments", "SUM(a, b)", "SUM takes one time series"},
		{"a number to fill", "FILL(1, 2)", "FILL takes"},
		{"a word that FILL alone knows", "a + REPEAT", `there is no query "REPEAT"`},
		{"a string as a number", "a + 'x'", "is not expected"},
		{"numbers in a list", "SUM([1, 2])", "holds time series"},
		{"lists against each other", "METRICS() + METRICS()", "two lists"},
		{"other periods", "a + d", "different periods"},
		{"much nesting", strings.Repeat("(", 500) + "a", "nested too deeply"},
	} {
		t.Run("refused: "+tt.name, func(t *testing.T) {
			refused(t, b, wcw.GetMetricData, ask(tt.expression, stat("d", "d", 300)), "ValidationError", tt.want)
		})
	}
}

// slotted is the values of a result in the four minutes after start.
func slotted(r wcw.MetricDataResult) string {
	words := []string{"-", "-", "-", "-"}
	for i, at := range r.Timestamps {
		words[int(at.Sub(start)/time.Minute)] = fmt.Sprint(r.Values[i])
	}
	return strings.Join(words, " ")
}

func FuzzMath(f *testing.F) {
	for _, s := range []string{"a", "(m1+m2)*-3.5e2/FILL(METRICS('x'),REPEAT)", "IF(a>1 AND b<=2,[a,b],0)", "a^b^c||d", "'", "1.", ".5e", "MAX([SUM(a),b])", "IF(a, b)", "AVG(1)"} {
		f.Add(s)
	}
	known := map[string]shape{"a": oneSeries, "b": oneSeries, "s": scalar, "l": array}
	env := &mathEnv{slots: []int64{0, 60, 120}, period: 60, metrics: []string{"a", "b"}, results: map[string]value{
		"a": seriesOf("a", map[int64]float64{0: 1, 60: -2}), "b": seriesOf("b", map[int64]float64{60: 3}), "s": number(4),
		"l": {shape: array, lines: []line{{"x", map[int64]float64{120: 5}}}}}}
	f.Fuzz(func(t *testing.T, text string) {
		n, err := parseMath(text)
		if err != nil {
			return
		}
		want, err := n.shapeOf(known)
		if err != nil {
			return
		}
		got := n.eval(env)
		if got.shape != want {
			t.Errorf("%q gives %s, not %s", text, got.shape, want)
		}
		for _, l := range got.lines {
			for at, v := range l.points {
				if !finite(v) {
					t.Errorf("%q has %v at %d", text, v, at)
				}
			}
		}
	})
}
