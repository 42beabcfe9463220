// SPDX-License-Identifier: Apache-2.0

package cloudwatch

import (
	"context"
	"encoding/json"
	"errors"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/op"
	wcw "github.com/sagebrush-ml/sagebrush/internal/wire/cloudwatch"
)

// lossAbove is an alarm when the sum of job j's loss exceeds 5 in a period.
func lossAbove(name string, period, periods int64) wcw.PutMetricAlarmInput {
	return wcw.PutMetricAlarmInput{AlarmName: name, Namespace: ns, MetricName: "loss", Dimensions: []wcw.Dimension{{Name: "TrainingJobName", Value: "j"}},
		Statistic: "Sum", Period: &period, EvaluationPeriods: &periods, Threshold: new(5.0), ComparisonOperator: "GreaterThanThreshold"}
}

// at sets the clock to so long after start and evaluates what is due.
func (b *bench) at(t testing.TB, after time.Duration) {
	t.Helper()
	b.clock = start.Add(after)
	if err := b.Evaluate(caller); err != nil {
		t.Fatal(err)
	}
}

func (b *bench) alarm(t testing.TB, name string) wcw.MetricAlarm {
	t.Helper()
	out := call(t, b, wcw.DescribeAlarms, wcw.DescribeAlarmsInput{AlarmNames: []string{name}})
	if len(out.MetricAlarms) != 1 || len(out.CompositeAlarms) != 0 {
		t.Fatalf("alarm %s: %+v", name, out)
	}
	return out.MetricAlarms[0]
}

func (b *bench) expect(t testing.TB, name, state string) {
	t.Helper()
	out := call(t, b, wcw.DescribeAlarms, wcw.DescribeAlarmsInput{AlarmNames: []string{name}, AlarmTypes: []string{kindMetric, kindComposite}})
	got := ""
	for _, a := range out.MetricAlarms {
		got = a.StateValue + " " + a.StateReason
	}
	for _, a := range out.CompositeAlarms {
		got = a.StateValue + " " + a.StateReason
	}
	if !strings.HasPrefix(got, state) {
		t.Errorf("%v: %s is %s, want %s", b.clock.Sub(start), name, got, state)
	}
}

func (b *bench) set(t testing.TB, name, state string) {
	t.Helper()
	call(t, b, wcw.SetAlarmState, wcw.SetAlarmStateInput{AlarmName: name, StateValue: state, StateReason: "by hand"})
}

func (b *bench) history(t testing.TB, in wcw.DescribeAlarmHistoryInput) []string {
	t.Helper()
	in.ScanBy, in.AlarmTypes = "TimestampAscending", []string{kindMetric, kindComposite}
	var out []string
	for _, h := range call(t, b, wcw.DescribeAlarmHistory, in).AlarmHistoryItems {
		if !json.Valid([]byte(h.HistoryData)) {
			t.Errorf("history data %s", h.HistoryData)
		}
		out = append(out, h.HistorySummary)
	}
	return out
}

const second = time.Second

func TestAlarmFollowsItsMetric(t *testing.T) {
	b := fresh(t)
	call(t, b, wcw.PutMetricAlarm, lossAbove("high", 10, 1))
	a := b.alarm(t, "high")
	if a.StateValue != stateInsufficient || a.StateReason != "Unchecked: Initial alarm creation" || a.AlarmArn != "arn:aws:cloudwatch:us-east-1:123456789012:alarm:high" ||
		!*a.ActionsEnabled || a.OKActions == nil || !a.StateUpdatedTimestamp.Equal(start) || !a.AlarmConfigurationUpdatedTimestamp.Equal(start) {
		t.Errorf("new alarm is %+v", a)
	}
	b.at(t, 2*second)
	b.expect(t, "high", stateInsufficient)
	b.put(t, datum("loss", "j", 3*second, 4), datum("loss", "j", 9*second, 4))
	b.at(t, 10500*time.Millisecond)
	b.expect(t, "high", stateInsufficient) // who reports once a second may not have reported yet
	b.at(t, 11*second)
	b.expect(t, "high", stateAlarm)
	a = b.alarm(t, "high")
	if a.StateReason != "Threshold Crossed: 1 datapoint [8.0 (20/11/26 21:00:00)] was greater than the threshold (5.0)." || !a.StateTransitionedTimestamp.Equal(b.clock) {
		t.Errorf("got %q at %v", a.StateReason, a.StateTransitionedTimestamp)
	}
	b.put(t, datum("loss", "j", 12*second, 1))
	b.at(t, 20*second)
	b.expect(t, "high", stateAlarm)
	b.at(t, 21*second)
	b.expect(t, "high", stateOK)
	b.at(t, 41*second)
	b.expect(t, "high", stateOK) // the datum is within the evaluation range
	b.at(t, 51*second)
	b.expect(t, "high", stateInsufficient)
	want := []string{`Alarm "high" created`, "Alarm updated from INSUFFICIENT_DATA to ALARM", "Alarm updated from ALARM to OK", "Alarm updated from OK to INSUFFICIENT_DATA"}
	if got := b.history(t, wcw.DescribeAlarmHistoryInput{AlarmName: "high"}); !slices.Equal(got, want) {
		t.Errorf("history is %q", got)
	}
}

func TestAlarmsAreEvaluatedOncePerMinute(t *testing.T) {
	b := fresh(t)
	in := lossAbove("high", 300, 1)
	in.Statistic, in.ExtendedStatistic, in.Unit = "", "p50", "Seconds"
	call(t, b, wcw.PutMetricAlarm, in)
	d := datum("loss", "j", 90*second, 50)
	d.Unit = "Seconds"
	b.put(t, d, datum("loss", "j", 90*second, 0)) // of another unit: not looked at
	b.at(t, 91*second)
	b.expect(t, "high", stateInsufficient)
	b.at(t, 121*second)
	b.expect(t, "high", stateAlarm) // the five minutes up to 21:02
	if r := b.alarm(t, "high").StateReason; !strings.Contains(r, "[50.0 (20/11/26 20:57:00)]") {
		t.Errorf("reason is %q", r)
	}
}

func TestAlarmOnMetricMath(t *testing.T) {
	b := fresh(t)
	in := wcw.PutMetricAlarmInput{AlarmName: "ratio", EvaluationPeriods: new(int64(2)), DatapointsToAlarm: new(int64(2)), Threshold: new(10.0),
		ComparisonOperator: "GreaterThanOrEqualToThreshold", AlarmActions: []string{"arn:aws:sns:us-east-1:123456789012:t"}, Metrics: []wcw.MetricDataQuery{
			stat("errors", "errors", 60), stat("all", "all", 60), {Id: "e", Expression: "100 * FILL(errors, 0) / all", Label: "rate"}}}
	call(t, b, wcw.PutMetricAlarm, in)
	for i := range 3 {
		b.put(t, datum("all", "j", time.Duration(i)*time.Minute, 20))
	}
	b.at(t, 121*second)
	b.expect(t, "ratio", stateOK)
	b.put(t, datum("errors", "j", time.Minute, 2), datum("errors", "j", 2*time.Minute, 5))
	b.at(t, 181*second)
	b.expect(t, "ratio", stateAlarm)
	if a := b.alarm(t, "ratio"); !strings.Contains(a.StateReason, "[25.0 (20/11/26 21:02:00), 10.0 (20/11/26 21:01:00)] were greater than or equal to") ||
		strings.Contains(a.StateReasonData, "sampleCount") || !strings.Contains(a.StateReasonData, `"period":60`) || len(a.Metrics) != 3 || a.Period != nil {
		t.Errorf("got %+v", a)
	}
	b.Service.actions = nil
	if err := b.Act(caller); err != nil {
		t.Fatal(err)
	}
	items := call(t, b, wcw.DescribeAlarmHistory, wcw.DescribeAlarmHistoryInput{AlarmName: "ratio", HistoryItemType: "Action"}).AlarmHistoryItems
	if len(items) != 1 || !strings.Contains(items[0].HistoryData, `\"Expression\":\"100 * FILL(errors, 0) / all\"`) || !strings.Contains(items[0].HistorySummary, ErrNoAction.Error()) {
		t.Errorf("got %+v", items)
	}
}

func TestSetAlarmState(t *testing.T) {
	b := fresh(t)
	call(t, b, wcw.PutMetricAlarm, lossAbove("high", 60, 1))
	b.clock = start.Add(55 * second)
	b.set(t, "high", stateAlarm)
	b.expect(t, "high", stateAlarm)
	b.at(t, 61*second)
	b.expect(t, "high", stateAlarm) // who asks every second sees it
	b.at(t, 65*second)
	b.expect(t, "high", stateInsufficient)
	b.set(t, "high", stateOK)
	b.at(t, 120*second)
	b.expect(t, "high", stateOK) // until the next evaluation
	was := b.alarm(t, "high")
	b.set(t, "high", stateOK)
	if a := b.alarm(t, "high"); !a.StateUpdatedTimestamp.Equal(b.clock) || a.StateTransitionedTimestamp != was.StateTransitionedTimestamp {
		t.Errorf("set to the state that it has: %+v", a)
	}
	b.at(t, 131*second)
	b.expect(t, "high", stateInsufficient)
	want := []string{"Alarm updated from INSUFFICIENT_DATA to ALARM", "Alarm updated from ALARM to INSUFFICIENT_DATA", "Alarm updated from INSUFFICIENT_DATA to OK", "Alarm updated from OK to INSUFFICIENT_DATA"}
	if got := b.history(t, wcw.DescribeAlarmHistoryInput{HistoryItemType: "StateUpdate"}); !slices.Equal(got, want) {
		t.Errorf("history is %q", got)
	}
	in := wcw.SetAlarmStateInput{AlarmName: "high", StateValue: stateOK, StateReason: "x", StateReasonData: "{"}
	refused(t, b, wcw.SetAlarmState, in, "InvalidFormat", "JSON")
	in.StateReasonData, in.AlarmName = "", "none"
	if _, err := op.Call(caller, b.table, wcw.SetAlarmState, &in); err == nil || !strings.Contains(err.Error(), "ResourceNotFound") {
		t.Errorf("an alarm that is not there: %v", err)
	}
}

func TestPutMetricAlarmReplaces(t *testing.T) {
	b := fresh(t)
	in := lossAbove("high", 10, 1)
	in.Tags = []wcw.Tag{{Key: "a", Value: "1"}}
	call(t, b, wcw.PutMetricAlarm, in)
	b.set(t, "high", stateAlarm)
	before := b.alarm(t, "high")
	b.clock = start.Add(3 * second)
	in.Threshold, in.AlarmDescription, in.Tags = new(1.0), "lower", nil
	call(t, b, wcw.PutMetricAlarm, in)
	a := b.alarm(t, "high")
	if a.StateValue != stateAlarm || a.StateReason != "by hand" || a.StateUpdatedTimestamp != before.StateUpdatedTimestamp || *a.Threshold != 1 ||
		!a.AlarmConfigurationUpdatedTimestamp.Equal(b.clock) || a.AlarmDescription != "lower" {
		t.Errorf("got %+v", a)
	}
	if tags := call(t, b, wcw.ListTagsForResource, wcw.ListTagsForResourceInput{ResourceARN: a.AlarmArn}).Tags; len(tags) != 1 {
		t.Errorf("tags are %v", tags)
	}
	items := call(t, b, wcw.DescribeAlarmHistory, wcw.DescribeAlarmHistoryInput{HistoryItemType: "ConfigurationUpdate"}).AlarmHistoryItems
	if len(items) != 2 || items[0].HistorySummary != `Alarm "high" updated` || !strings.Contains(items[0].HistoryData, `"okactions":[]`) ||
		!strings.Contains(items[0].HistoryData, `"updatedAlarm":{"actionsEnabled":true`) || !strings.Contains(items[0].HistoryData, `{"name":"TrainingJobName","value":"j"}`) {
		t.Errorf("history is %+v", items)
	}
}

func TestCompositeAlarm(t *testing.T) {
	b := fresh(t)
	for _, name := range []string{"x", "y"} {
		call(t, b, wcw.PutMetricAlarm, lossAbove(name, 60, 1))
	}
	put := func(name, rule string) {
		t.Helper()
		call(t, b, wcw.PutCompositeAlarm, wcw.PutCompositeAlarmInput{AlarmName: name, AlarmRule: rule})
	}
	put("both", `ALARM("x") AND ALARM(y)`)
	b.expect(t, "both", "OK arn:aws:cloudwatch:us-east-1:123456789012:alarm:both was created and its alarm rule evaluates to OK")
	put("above", "ALARM(arn:aws:cloudwatch:us-east-1:123456789012:alarm:both) OR FALSE")
	b.expect(t, "above", stateOK)
	b.set(t, "x", stateAlarm)
	b.expect(t, "both", stateOK)
	b.clock = start.Add(5 * second)
	b.set(t, "y", stateAlarm)
	b.expect(t, "both", "ALARM arn:aws:cloudwatch:us-east-1:123456789012:alarm:y transitioned to ALARM at Friday 20 November, 2026 21:00:05 UTC")
	b.expect(t, "above", "ALARM arn:aws:cloudwatch:us-east-1:123456789012:alarm:both transitioned to ALARM at")
	b.set(t, "both", stateOK)
	b.expect(t, "both", "OK by hand")
	b.expect(t, "above", stateOK)
	b.at(t, 20*second)
	b.expect(t, "both", "OK by hand") // until a child changes
	b.at(t, 61*second)                // the children have no data
	b.expect(t, "x", stateInsufficient)
	b.expect(t, "both", stateOK)
	put("both", "NOT ALARM(x)")
	b.expect(t, "both", "ALARM arn:aws:cloudwatch:us-east-1:123456789012:alarm:both was updated and its alarm rule evaluates to ALARM")
	b.expect(t, "above", stateAlarm)
	for _, tt := range []struct{ name, rule, want string }{
		{"z", "ALARM(x) XOR ALARM(y)", "Error in AlarmRule: unexpected 'X'"},
		{"z", " TRUE", "leading or trailing whitespace"},
		{"z", "ALARM(x) OR ALARM(none) OR OK(gone)", "Could not save the composite alarm as alarms [none, gone] in the alarm rule do not exist"},
		{"z", "ALARM(arn:aws:cloudwatch:eu-west-1:123456789012:alarm:x)", "not an alarm of this account and Region"},
		{"z", "ALARM(z)", "depend on itself"},
		{"both", "OK(x) AND ALARM(above)", "depend on itself"},
		{"x", "TRUE", "is a MetricAlarm"},
	} {
		refused(t, b, wcw.PutCompositeAlarm, wcw.PutCompositeAlarmInput{AlarmName: tt.name, AlarmRule: tt.rule}, "ValidationError", tt.want)
	}
	refused(t, b, wcw.PutCompositeAlarm, wcw.PutCompositeAlarmInput{AlarmName: "z", AlarmRule: "TRUE", ActionsSuppressor: "x"}, "ValidationError", "not supported")
	refused(t, b, wcw.PutMetricAlarm, lossAbove("both", 60, 1), "ValidationError", "is a CompositeAlarm")
}

// recorder is Actions that fails as often as it is told to.
type recorder struct {
	calls []string
	fails int
	last  []byte
}

func (r *recorder) Alarm(_ context.Context, account, region, action string, message []byte) error {
	r.calls, r.last = append(r.calls, account+" "+region+" "+action), message
	if r.fails > 0 {
		r.fails--
		return errors.New("no route")
	}
	return nil
}

func TestAlarmActions(t *testing.T) {
	path := filepath.Join(t.TempDir(), "m.db")
	b := open(t, path)
	r := &recorder{}
	b.Service.actions = r
	in := lossAbove("high", 60, 1)
	arns := func(name string) []string { return []string{"arn:aws:sns:us-east-1:123456789012:" + name} }
	in.AlarmActions, in.OKActions, in.InsufficientDataActions = append(arns("bad"), "arn:aws:autoscaling:us-east-1:123456789012:scalingPolicy:p"), arns("good"), arns("unknown")
	call(t, b, wcw.PutMetricAlarm, in)
	act := func() {
		t.Helper()
		if err := b.Act(caller); err != nil {
			t.Fatal(err)
		}
	}
	b.clock = start.Add(1500 * time.Millisecond)
	b.set(t, "high", stateAlarm)
	act()
	act()
	who := account + " " + region + " "
	if want := []string{who + in.AlarmActions[0], who + in.AlarmActions[1]}; !slices.Equal(r.calls, want) {
		t.Errorf("calls are %q", r.calls)
	}
	var got, want map[string]any
	if err := json.Unmarshal(r.last, &got); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(`{"AlarmName":"high","AlarmDescription":null,"AWSAccountId":"123456789012","AlarmArn":"arn:aws:cloudwatch:us-east-1:123456789012:alarm:high",
		"AlarmConfigurationUpdatedTimestamp":"2026-11-20T21:00:00.000+0000","NewStateValue":"ALARM","NewStateReason":"by hand","OldStateValue":"INSUFFICIENT_DATA",
		"StateChangeTime":"2026-11-20T21:00:01.500+0000","Region":"US East (N. Virginia)","OKActions":["arn:aws:sns:us-east-1:123456789012:good"],
		"AlarmActions":["arn:aws:sns:us-east-1:123456789012:bad","arn:aws:autoscaling:us-east-1:123456789012:scalingPolicy:p"],
		"InsufficientDataActions":["arn:aws:sns:us-east-1:123456789012:unknown"],
		"Trigger":{"MetricName":"loss","Namespace":"/aws/sagemaker/TrainingJobs","StatisticType":"Statistic","Statistic":"SUM","Unit":null,
		"Dimensions":[{"value":"j","name":"TrainingJobName"}],"Period":60,"EvaluationPeriods":1,"ComparisonOperator":"GreaterThanThreshold","Threshold":5.0,
		"TreatMissingData":"","EvaluateLowSampleCountPercentile":""}}`), &want); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("the message is %s", r.last)
	}
	b.set(t, "high", stateAlarm) // it is that already
	call(t, b, wcw.DisableAlarmActions, wcw.DisableAlarmActionsInput{AlarmNames: []string{"high", "none"}})
	b.set(t, "high", stateOK)
	act()
	call(t, b, wcw.EnableAlarmActions, wcw.EnableAlarmActionsInput{AlarmNames: []string{"high"}})
	if !*b.alarm(t, "high").ActionsEnabled || len(r.calls) != 2 {
		t.Errorf("calls are %q", r.calls)
	}

	t.Run("one that fails is tried three times", func(t *testing.T) {
		r.calls, r.fails = nil, 10
		b.set(t, "high", stateInsufficient)
		for range 5 {
			act()
		}
		if len(r.calls) != 3 {
			t.Errorf("calls are %q", r.calls)
		}
		r.fails = 1
		b.set(t, "high", stateOK)
		act()
		act()
		got := b.history(t, wcw.DescribeAlarmHistoryInput{HistoryItemType: "Action"})
		want := []string{"Successfully executed action " + in.AlarmActions[0], "Successfully executed action " + in.AlarmActions[1],
			"Failed to execute action " + in.InsufficientDataActions[0] + `. Received error: "no route"`, "Successfully executed action " + in.OKActions[0]}
		if !slices.Equal(got, want) {
			t.Errorf("history is %q", got)
		}
	})
	t.Run("one that is due outlives the server", func(t *testing.T) {
		b.set(t, "high", stateAlarm)
		b.clock = start.Add(30 * second)
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
		b = open(t, path)
		b.clock = start.Add(30 * second)
		r.calls = nil
		b.Service.actions = r
		act()
		if len(r.calls) != 2 {
			t.Errorf("calls are %q", r.calls)
		}
		b.expect(t, "high", "ALARM by hand")
	})
}

func TestAlarmsOutliveTheServer(t *testing.T) {
	path := filepath.Join(t.TempDir(), "m.db")
	b := open(t, path)
	in := lossAbove("high", 60, 2)
	in.Tags, in.TreatMissingData = []wcw.Tag{{Key: "a", Value: "1"}}, "ignore"
	call(t, b, wcw.PutMetricAlarm, in)
	call(t, b, wcw.PutMetricAlarm, wcw.PutMetricAlarmInput{AlarmName: "math", EvaluationPeriods: new(int64(1)), Threshold: new(0.5), ComparisonOperator: "LessThanThreshold",
		Metrics: []wcw.MetricDataQuery{stat("a", "a", 60), {Id: "b", Expression: "SUM([a, a])"}}})
	call(t, b, wcw.PutCompositeAlarm, wcw.PutCompositeAlarmInput{AlarmName: "c", AlarmRule: "ALARM(high)"})
	b.set(t, "high", stateAlarm)
	ask := wcw.DescribeAlarmsInput{AlarmTypes: []string{kindMetric, kindComposite}}
	before, history := call(t, b, wcw.DescribeAlarms, ask), b.history(t, wcw.DescribeAlarmHistoryInput{})
	// The first is not closed: what was answered is on disk.
	b = open(t, path)
	if after := call(t, b, wcw.DescribeAlarms, ask); !reflect.DeepEqual(before, after) {
		t.Errorf("%+v became %+v", before, after)
	}
	if after := b.history(t, wcw.DescribeAlarmHistoryInput{}); !slices.Equal(history, after) || len(after) != 6 {
		t.Errorf("history %q became %q", history, after)
	}
	if tags := call(t, b, wcw.ListTagsForResource, wcw.ListTagsForResourceInput{ResourceARN: before.MetricAlarms[0].AlarmArn}).Tags; len(tags) != 1 {
		t.Errorf("tags are %v", tags)
	}
	b.put(t, datum("a", "j", 0, 0.1))
	b.at(t, 61*second)
	b.expect(t, "math", stateAlarm)
	b.expect(t, "c", stateAlarm)
}
