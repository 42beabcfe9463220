// SPDX-License-Identifier: Apache-2.0

package cloudwatch

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/auth"
	"github.com/sagebrush-ml/sagebrush/internal/op"
	wcw "github.com/sagebrush-ml/sagebrush/internal/wire/cloudwatch"
)

func TestPutMetricAlarmRefuses(t *testing.T) {
	b := fresh(t)
	math := func(queries ...wcw.MetricDataQuery) func(*wcw.PutMetricAlarmInput) {
		return func(in *wcw.PutMetricAlarmInput) {
			*in = wcw.PutMetricAlarmInput{AlarmName: "x", EvaluationPeriods: new(int64(1)), Threshold: new(1.0), ComparisonOperator: "LessThanThreshold", Metrics: queries}
		}
	}
	for _, tt := range []struct {
		name, want string
		edit       func(*wcw.PutMetricAlarmInput)
	}{
		{"no evaluation periods", "'evaluationPeriods'", func(in *wcw.PutMetricAlarmInput) { in.EvaluationPeriods = nil }},
		{"no operator", "'comparisonOperator'", func(in *wcw.PutMetricAlarmInput) { in.ComparisonOperator = "" }},
		{"no threshold", "Threshold", func(in *wcw.PutMetricAlarmInput) { in.Threshold = nil }},
		{"no metric", "MetricName", func(in *wcw.PutMetricAlarmInput) { in.MetricName = "" }},
		{"no period", "Period", func(in *wcw.PutMetricAlarmInput) { in.Period = nil }},
		{"an odd period", "multiple of 60", func(in *wcw.PutMetricAlarmInput) { in.Period = new(int64(45)) }},
		{"a period of a second", "multiple of 60", func(in *wcw.PutMetricAlarmInput) { in.Period = new(int64(1)) }},
		{"no statistic", "either Statistic or", func(in *wcw.PutMetricAlarmInput) { in.Statistic = "" }},
		{"two statistics", "mutually exclusive", func(in *wcw.PutMetricAlarmInput) { in.ExtendedStatistic = "p9" }},
		{"a statistic that is not built", "tm90", func(in *wcw.PutMetricAlarmInput) { in.Statistic, in.ExtendedStatistic = "", "tm90" }},
		{"more than a day", "across more than a day", func(in *wcw.PutMetricAlarmInput) { in.EvaluationPeriods = new(int64(1441)) }},
		{"more than a week", "across more than a week", func(in *wcw.PutMetricAlarmInput) {
			in.Period, in.EvaluationPeriods = new(int64(3600)), new(int64(169))
		}},
		{"a product that overflows", "across more than", func(in *wcw.PutMetricAlarmInput) {
			in.Period, in.EvaluationPeriods = new(int64(60)), new(int64(1<<62))
		}},
		{"M beyond N", "DatapointsToAlarm", func(in *wcw.PutMetricAlarmInput) { in.DatapointsToAlarm = new(int64(2)) }},
		{"missing data", "TreatMissingData", func(in *wcw.PutMetricAlarmInput) { in.TreatMissingData = "NotBreaching" }},
		{"few samples", "EvaluateLowSampleCountPercentile", func(in *wcw.PutMetricAlarmInput) { in.EvaluateLowSampleCountPercentile = "x" }},
		{"anomaly detection", "Anomaly detection", func(in *wcw.PutMetricAlarmInput) { in.ComparisonOperator = "LessThanLowerThreshold" }},
		{"an anomaly band", "Anomaly detection", func(in *wcw.PutMetricAlarmInput) { in.ThresholdMetricId = "ad1" }},
		{"PromQL", "PromQL", func(in *wcw.PutMetricAlarmInput) {
			in.EvaluationCriteria = &wcw.EvaluationCriteria{PromQLCriteria: &wcw.AlarmPromQLCriteria{Query: "up"}}
		}},
		{"no ARN", "Invalid arn syntax: page-me", func(in *wcw.PutMetricAlarmInput) { in.AlarmActions = []string{"page-me"} }},
		{"a topic elsewhere", "Invalid region eu-west-1 specified. Only us-east-1 is supported.", func(in *wcw.PutMetricAlarmInput) {
			in.OKActions = []string{"arn:aws:sns:eu-west-1:123456789012:t"}
		}},
		{"a name with a line feed", "control characters", func(in *wcw.PutMetricAlarmInput) { in.AlarmName = "a\nb" }},
		{"a dimension twice", "twice", func(in *wcw.PutMetricAlarmInput) { in.Dimensions = append(in.Dimensions, in.Dimensions[0]) }},
		{"a metric and a list", "together with Metrics", func(in *wcw.PutMetricAlarmInput) { in.Metrics = []wcw.MetricDataQuery{stat("a", "a", 60)} }},
		{"a list that returns nothing", "Exactly one", math(stat("a", "a", 60))},
		{"a list that returns two", "Exactly one", math(stat("a", "a", 60), wcw.MetricDataQuery{Id: "b", Expression: "a"}, wcw.MetricDataQuery{Id: "c", Expression: "a"})},
		{"several series", "more than one time series", math(stat("a", "a", 60), wcw.MetricDataQuery{Id: "b", Expression: "METRICS()"})},
		{"a bad expression", "Error in expression 'b'", math(stat("a", "a", 60), wcw.MetricDataQuery{Id: "b", Expression: "a +"})},
		{"two periods", "one period", math(stat("a", "a", 60), stat("c", "c", 300), wcw.MetricDataQuery{Id: "b", Expression: "a * 2"})},
	} {
		t.Run(tt.name, func(t *testing.T) {
			in := lossAbove("x", 60, 1)
			tt.edit(&in)
			refused(t, b, wcw.PutMetricAlarm, in, "ValidationError", tt.want)
		})
	}
	in := lossAbove("x", 60, 1)
	in.Tags = []wcw.Tag{{Key: "aws:x"}}
	refused(t, b, wcw.PutMetricAlarm, in, "InvalidParameterValue", "reserved")
	if all := call(t, b, wcw.DescribeAlarms, wcw.DescribeAlarmsInput{}); len(all.MetricAlarms) != 0 || all.CompositeAlarms == nil {
		t.Errorf("got %+v", all)
	}
}

func TestDescribeAlarms(t *testing.T) {
	b := fresh(t)
	for i := range 60 {
		in := lossAbove(fmt.Sprintf("a%02d", i), 60, 1)
		if i == 7 {
			in.AlarmActions = []string{"arn:aws:sns:us-east-1:123456789012:seven"}
		}
		call(t, b, wcw.PutMetricAlarm, in)
	}
	call(t, b, wcw.PutCompositeAlarm, wcw.PutCompositeAlarmInput{AlarmName: "c", AlarmRule: "ALARM(a01) OR ALARM(a02)"})
	b.set(t, "a03", stateAlarm)
	elsewhere := auth.WithCaller(context.Background(), auth.Caller{Account: account, Region: "eu-west-1"})
	if out, err := op.Call(elsewhere, b.table, wcw.DescribeAlarms, &wcw.DescribeAlarmsInput{}); err != nil || len(out.MetricAlarms) != 0 {
		t.Errorf("another Region has %+v, %v", out, err)
	}
	for _, tt := range []struct {
		name string
		in   wcw.DescribeAlarmsInput
		want string
		n    int
	}{
		{"all metric alarms", wcw.DescribeAlarmsInput{}, "a00", 60},
		{"both kinds", wcw.DescribeAlarmsInput{AlarmTypes: []string{kindMetric, kindComposite}}, "a00", 61},
		{"composite alarms", wcw.DescribeAlarmsInput{AlarmTypes: []string{kindComposite}}, "c", 1},
		{"by name", wcw.DescribeAlarmsInput{AlarmNames: []string{"a05", "none", "a04", "a05", "c"}}, "a04", 2},
		{"by prefix", wcw.DescribeAlarmsInput{AlarmNamePrefix: "a1"}, "a10", 10},
		{"by state", wcw.DescribeAlarmsInput{StateValue: stateAlarm}, "a03", 1},
		{"by action", wcw.DescribeAlarmsInput{ActionPrefix: "arn:aws:sns:"}, "a07", 1},
		{"small pages", wcw.DescribeAlarmsInput{MaxRecords: new(int64(7))}, "a00", 60},
		{"children", wcw.DescribeAlarmsInput{ChildrenOfAlarmName: "c"}, "a01", 2},
		{"parents", wcw.DescribeAlarmsInput{ParentsOfAlarmName: "a01"}, "c", 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var names []string
			for pages := 0; pages < 20; pages++ {
				out := call(t, b, wcw.DescribeAlarms, tt.in)
				for _, a := range out.MetricAlarms {
					names = append(names, a.AlarmName)
				}
				for _, a := range out.CompositeAlarms {
					names = append(names, a.AlarmName)
				}
				if tt.in.NextToken = out.NextToken; out.NextToken == "" {
					break
				}
			}
			if len(names) != tt.n || names[0] != tt.want || len(slices.Compact(slices.Sorted(slices.Values(names)))) != tt.n {
				t.Errorf("got %d: %q", len(names), names)
			}
		})
	}
	refused(t, b, wcw.DescribeAlarms, wcw.DescribeAlarmsInput{NextToken: "?"}, "InvalidNextToken", "NextToken")
	refused(t, b, wcw.DescribeAlarms, wcw.DescribeAlarmsInput{AlarmNamePrefix: "a", AlarmNames: []string{"a"}}, "ValidationError", "mutually exclusive")
	refused(t, b, wcw.DescribeAlarms, wcw.DescribeAlarmsInput{ChildrenOfAlarmName: "c", StateValue: stateOK}, "ValidationError", "only")
	in := wcw.DescribeAlarmsForMetricInput{Namespace: ns, MetricName: "loss", Dimensions: []wcw.Dimension{{Name: "TrainingJobName", Value: "j"}}, Statistic: "Sum", Period: new(int64(60))}
	if got := call(t, b, wcw.DescribeAlarmsForMetric, in).MetricAlarms; len(got) != 60 {
		t.Errorf("%d alarms of the metric", len(got))
	}
	in.Dimensions = nil
	if got := call(t, b, wcw.DescribeAlarmsForMetric, in).MetricAlarms; got == nil || len(got) != 0 {
		t.Errorf("alarms of a metric without dimensions: %+v", got)
	}
	if got := b.history(t, wcw.DescribeAlarmHistoryInput{MaxRecords: new(int64(50))}); len(got) != 50 {
		t.Errorf("%d lines of history", len(got))
	}
	var seen int
	for ask := (wcw.DescribeAlarmHistoryInput{MaxRecords: new(int64(25))}); ; {
		out := call(t, b, wcw.DescribeAlarmHistory, ask)
		seen += len(out.AlarmHistoryItems)
		if ask.NextToken = out.NextToken; ask.NextToken == "" {
			break
		}
	}
	if seen != 61 { // 60 were created, one changed its state
		t.Errorf("%d lines of history in pages", seen)
	}
}

func TestDeleteAlarms(t *testing.T) {
	b := fresh(t)
	for _, name := range []string{"a", "b"} {
		call(t, b, wcw.PutMetricAlarm, lossAbove(name, 60, 1))
	}
	for _, name := range []string{"c", "d"} {
		call(t, b, wcw.PutCompositeAlarm, wcw.PutCompositeAlarmInput{AlarmName: name, AlarmRule: "NOT ALARM(a) AND NOT OK(a)"})
	}
	b.expect(t, "c", stateAlarm)
	if _, err := op.Call(caller, b.table, wcw.DeleteAlarms, &wcw.DeleteAlarmsInput{AlarmNames: []string{"a", "none"}}); err == nil || !strings.Contains(err.Error(), "ResourceNotFound") {
		t.Errorf("an alarm that is not there: %v", err)
	}
	b.expect(t, "a", stateInsufficient)
	refused(t, b, wcw.DeleteAlarms, wcw.DeleteAlarmsInput{AlarmNames: []string{"c", "d"}}, "ValidationError", "one composite alarm")
	call(t, b, wcw.DeleteAlarms, wcw.DeleteAlarmsInput{AlarmNames: []string{"a", "b", "a", "d"}})
	if all := call(t, b, wcw.DescribeAlarms, wcw.DescribeAlarmsInput{AlarmTypes: []string{kindMetric, kindComposite}}); len(all.MetricAlarms) != 0 || len(all.CompositeAlarms) != 1 {
		t.Errorf("left is %+v", all)
	}
	if got := b.history(t, wcw.DescribeAlarmHistoryInput{AlarmName: "a"}); !slices.Equal(got, []string{`Alarm "a" created`, `Alarm "a" deleted`}) {
		t.Errorf("history is %q", got)
	}
	b.clock = start.Add(31 * 24 * time.Hour)
	if err := b.forgetHistory(caller); err != nil {
		t.Fatal(err)
	}
	if got := b.history(t, wcw.DescribeAlarmHistoryInput{}); len(got) != 0 {
		t.Errorf("history is %q", got)
	}
}

func TestAlarmTags(t *testing.T) {
	b := fresh(t)
	call(t, b, wcw.PutMetricAlarm, lossAbove("high", 60, 1))
	at := b.alarm(t, "high").AlarmArn
	call(t, b, wcw.TagResource, wcw.TagResourceInput{ResourceARN: at, Tags: []wcw.Tag{{Key: "a", Value: "1"}, {Key: "b", Value: "2"}}})
	call(t, b, wcw.TagResource, wcw.TagResourceInput{ResourceARN: at, Tags: []wcw.Tag{{Key: "a", Value: "3"}}})
	call(t, b, wcw.UntagResource, wcw.UntagResourceInput{ResourceARN: at, TagKeys: []string{"b", "none"}})
	if tags := call(t, b, wcw.ListTagsForResource, wcw.ListTagsForResourceInput{ResourceARN: at}).Tags; len(tags) != 1 || tags[0] != (wcw.Tag{Key: "a", Value: "3"}) {
		t.Errorf("tags are %v", tags)
	}
	for i := range 49 {
		call(t, b, wcw.TagResource, wcw.TagResourceInput{ResourceARN: at, Tags: []wcw.Tag{{Key: fmt.Sprint("k", i)}}})
	}
	refused(t, b, wcw.TagResource, wcw.TagResourceInput{ResourceARN: at, Tags: []wcw.Tag{{Key: "more"}}}, "InvalidParameterValue", "limit of 50")
	refused(t, b, wcw.TagResource, wcw.TagResourceInput{ResourceARN: "arn:aws:s3:::x", Tags: []wcw.Tag{{Key: "a"}}}, "InvalidParameterValue", "ResourceARN")
	if _, err := op.Call(caller, b.table, wcw.ListTagsForResource, &wcw.ListTagsForResourceInput{ResourceARN: at + "x"}); err == nil || !strings.Contains(err.Error(), "ResourceNotFoundException") {
		t.Errorf("an alarm that is not there: %v", err)
	}
}

func BenchmarkDescribeAlarm(b *testing.B) {
	s := fresh(b)
	for i := range 1000 {
		call(b, s, wcw.PutMetricAlarm, lossAbove(fmt.Sprint("a", i), 60, 1))
	}
	in := wcw.DescribeAlarmsInput{AlarmNames: []string{"a7"}}
	b.ReportAllocs()
	for b.Loop() {
		call(b, s, wcw.DescribeAlarms, in)
	}
}
