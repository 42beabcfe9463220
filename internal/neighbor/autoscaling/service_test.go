// SPDX-License-Identifier: Apache-2.0

package autoscaling

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/op"
	"github.com/sagebrush-ml/sagebrush/internal/sqlfile"
	"github.com/sagebrush-ml/sagebrush/internal/wire"
	aas "github.com/sagebrush-ml/sagebrush/internal/wire/autoscaling"
	wcw "github.com/sagebrush-ml/sagebrush/internal/wire/cloudwatch"
	sm "github.com/sagebrush-ml/sagebrush/internal/wire/sagemaker"
)

const perInstance = "InvocationsPerInstance"

func TestATargetScalesOutAndIn(t *testing.T) {
	w := newWorld(t)
	e := w.endpoint("churn", 1)
	w.takes = 90 * time.Second
	w.register(1, 4)
	put := w.putPolicy("follow", trackingOf(100), nil)
	w.pass(10 * time.Second)
	if got := w.activities(true); len(got) != 0 {
		t.Fatalf("activities before anything happened: %+v", got)
	}
	w.pass(30 * time.Minute)
	w.align()
	w.steady(perInstance, 3, 350)
	w.pass(7 * time.Second) // past the minute's settling
	got := w.last()
	want := aas.ScalingActivity{ActivityId: got.ActivityId, ServiceNamespace: "sagemaker", ResourceId: resource, ScalableDimension: instanceCount,
		Description: "Setting desired instance count to 4.", Cause: "monitor alarm " + put.Alarms[0].AlarmName + " in state ALARM triggered policy follow",
		StartTime: got.StartTime, StatusCode: "InProgress",
		StatusMessage: "Successfully set desired instance count to 4. Waiting for change to be fulfilled by sagemaker."}
	if fmt.Sprint(got) != fmt.Sprint(want) || got.ActivityId == "" {
		t.Fatalf("the activity is\n%+v, want\n%+v", got, want)
	}
	w.pass(2 * time.Minute)
	if got = w.last(); got.StatusCode != "Successful" || got.StatusMessage != "Successfully set desired instance count to 4. Change successfully fulfilled by sagemaker." ||
		got.EndTime.Sub(got.StartTime.Time) < 90*time.Second {
		t.Fatalf("the activity is %+v", got)
	}
	// Nothing asked of the endpoint, nothing published: that is 0 for this metric.
	w.pass(25 * time.Minute)
	if got = w.last(); got.Description != "Setting desired instance count to 1." || !strings.Contains(got.Cause, "AlarmLow") || got.StatusCode != "Successful" {
		t.Fatalf("the activity is %+v", got)
	}
	if e.desired != 1 || !slices.Equal(w.sets, []int64{4, 1}) {
		t.Fatalf("the counts asked for are %v", w.sets)
	}
	// At the minimum, once and not every minute.
	w.pass(20 * time.Minute)
	all := w.activities(true)
	if n := len(all); n != 4 || all[0].NotScaledReasons == nil || all[0].NotScaledReasons[0].Code != "AlreadyAtMinCapacity" || *all[0].NotScaledReasons[0].MinCapacity != 1 ||
		all[n-1].Description != "Attempting to scale due to alarm triggered" {
		t.Fatalf("activities: %+v", all)
	}
	if principals := len(w.callers); principals != 2 || !w.callers["arn:aws:sts::123456789012:assumed-role/"+roleName+"/AutoScaling"] {
		t.Errorf("asked in the name of %v", w.callers)
	}
}

func TestBoundsBringTheCapacityIn(t *testing.T) {
	w := newWorld(t)
	e := w.endpoint("churn", 1)
	w.register(3, 6)
	w.pass(2 * time.Second)
	if got := w.last(); e.desired != 3 || got.Cause != "minimum capacity was set to 3" || got.StatusCode != "Successful" {
		t.Fatalf("%d instances by %+v", e.desired, got)
	}
	w.register(1, 2)
	w.pass(2 * time.Second)
	if got := w.last(); e.desired != 2 || got.Cause != "maximum capacity was set to 2" {
		t.Fatalf("%d instances by %+v", e.desired, got)
	}
	// The bounds are held up when they change, not against others' changes.
	e.desired = 5
	w.pass(time.Minute)
	if e.desired != 5 || len(w.activities(true)) != 2 {
		t.Fatalf("%d instances", e.desired)
	}
}

func TestABusyEndpointIsWaitedFor(t *testing.T) {
	w := newWorld(t)
	e := w.endpoint("churn", 1)
	e.status, e.until = sm.EndpointStatusUpdating, start.Add(5*time.Minute)
	w.register(3, 6)
	w.pass(4 * time.Minute)
	if got := w.activities(true); len(got) != 0 {
		t.Fatalf("activities while the endpoint is updating: %+v", got)
	}
	w.pass(2 * time.Minute)
	if e.desired != 3 || w.last().StatusCode != "Successful" {
		t.Fatalf("%d instances by %+v", e.desired, w.last())
	}
}

func TestARefusedChangeFailsWithItsReason(t *testing.T) {
	w := newWorld(t)
	w.endpoint("churn", 1)
	w.refuse = fault.New("ResourceLimitExceeded", 400, "The account-level service limit 'ml.m5.large for endpoint usage' is 2 Instances")
	w.register(3, 6)
	w.pass(5 * time.Second)
	want := "Failed to set desired instance count to 3. Reason: The account-level service limit 'ml.m5.large for endpoint usage' is 2 Instances"
	if got := w.activities(true); len(got) != 1 || got[0].StatusCode != "Failed" || got[0].StatusMessage != want {
		t.Fatalf("activities: %+v", got)
	}
}

func TestARefusedChangeIsNotAskedForEachMinute(t *testing.T) {
	w := newWorld(t)
	e := w.endpoint("churn", 1)
	w.register(1, 6)
	w.putPolicy("follow", trackingOf(100), nil)
	tries := func(minutes int) int {
		for range minutes {
			w.steady(perInstance, 1, 250)
			w.refuse = fault.New("ResourceLimitExceeded", 400, "No more instances.")
			w.align()
		}
		return len(w.activities(true))
	}
	if n := tries(7); n != 1 {
		t.Fatalf("%d tries in seven minutes", n)
	}
	if n := tries(5); n != 2 {
		t.Fatalf("%d tries in twelve minutes", n)
	}
	w.refuse = nil
	for range 4 {
		w.steady(perInstance, 1, 250)
		w.align()
	}
	if e.desired != 3 {
		t.Fatalf("%d instances once it is allowed", e.desired)
	}
}

func TestAnUpdateThatDoesNotSucceedFails(t *testing.T) {
	for _, c := range []struct {
		name   string
		happen func(*fakeEndpoint)
		status string
		text   string
	}{
		{"rolled back", func(e *fakeEndpoint) { e.status, e.desired, e.failure = "InService", 1, "No capacity." }, "Failed", "Reason: No capacity."},
		{"failed", func(e *fakeEndpoint) { e.status, e.failure = "Failed", "No image." }, "Failed", "Reason: No image."},
		{"set otherwise by someone else", func(e *fakeEndpoint) { e.status, e.desired = "InService", 2 }, "Overridden", "was set to 2 by another request"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			e := w.endpoint("churn", 1)
			w.takes = time.Hour
			w.register(3, 6)
			w.pass(5 * time.Second)
			c.happen(e)
			w.pass(5 * time.Second)
			if got := w.activities(true); len(got) != 1 || got[0].StatusCode != c.status || !strings.Contains(got[0].StatusMessage, c.text) {
				t.Fatalf("activities: %+v", got)
			}
		})
	}
}

func TestAGoneEndpointIsToldOnce(t *testing.T) {
	w := newWorld(t)
	w.endpoint("churn", 3)
	w.register(1, 4)
	w.putPolicy("follow", trackingOf(100), nil)
	w.pass(time.Minute)
	delete(w.endpoints, "churn")
	w.pass(time.Hour)
	if got := w.activities(true); len(got) != 1 || got[0].StatusCode != "Failed" ||
		got[0].StatusMessage != `Failed to read desired instance count. Reason: Could not find endpoint "churn".` {
		t.Fatalf("activities: %+v", got)
	}
	// It comes back: the silence before tells nothing of it.
	e := w.endpoint("churn", 3)
	w.pass(10 * time.Minute)
	if e.desired != 3 {
		t.Fatalf("%d instances", e.desired)
	}
	w.pass(10 * time.Minute)
	if e.desired != 1 {
		t.Fatalf("%d instances", e.desired)
	}
}

// TestARestartAnywhereGoesOn cuts the service off at each place of a change.
func TestARestartAnywhereGoesOn(t *testing.T) {
	finished := func(w *world, e *fakeEndpoint) {
		w.t.Helper()
		w.pass(5 * time.Minute)
		if got := w.activities(true); len(got) != 1 || got[0].StatusCode != "Successful" || e.desired != 3 || !slices.Equal(w.sets, []int64{3}) {
			w.t.Fatalf("%d instances, asked for %v, by %+v", e.desired, w.sets, got)
		}
	}
	t.Run("before SageMaker was asked", func(t *testing.T) {
		w := newWorld(t)
		e := w.endpoint("churn", 1)
		w.register(3, 6)
		w.takes = time.Minute
		w.refuse = fmt.Errorf("the server is being killed")
		w.pass(time.Second)
		if got := w.last(); got.StatusCode != "Pending" {
			t.Fatalf("the activity is %+v", got)
		}
		w.restart()
		finished(w, e)
	})
	t.Run("before its answer was written down", func(t *testing.T) {
		w := newWorld(t)
		e := w.endpoint("churn", 1)
		w.register(3, 6)
		w.takes, w.lost = time.Minute, true
		w.pass(time.Second)
		if got := w.last(); got.StatusCode != "Pending" || e.desired != 3 {
			t.Fatalf("the activity is %+v", got)
		}
		w.restart()
		finished(w, e)
	})
	t.Run("while the endpoint updates", func(t *testing.T) {
		w := newWorld(t)
		e := w.endpoint("churn", 1)
		w.register(3, 6)
		w.takes = time.Minute
		w.pass(time.Second)
		w.restart()
		finished(w, e)
	})
	t.Run("before an alarm was put and before one was deleted", func(t *testing.T) {
		w := newWorld(t)
		w.endpoint("churn", 1)
		w.register(1, 4)
		w.putPolicy("follow", trackingOf(100), nil)
		for name, a := range w.alarms { // as if the process had ended before
			if err := w.file.Write(caller, func(f sqlfile.Writer) error { return wantAlarm(f, account, region, name, nil) }); err != nil {
				t.Fatal(err)
			}
			_ = a
		}
		w.restart()
		w.pass(time.Second)
		if len(w.alarms) != 0 {
			t.Fatalf("alarms: %v", w.alarms)
		}
	})
}

func TestTheCooldownSurvivesARestart(t *testing.T) {
	w := newWorld(t)
	e := w.endpoint("churn", 1)
	w.register(1, 10)
	w.putPolicy("follow", trackingOf(100), nil)
	w.steady(perInstance, 3, 180)
	w.pass(10 * time.Second)
	if e.desired != 2 {
		t.Fatalf("%d instances", e.desired)
	}
	w.restart()
	// Two instances are too few by the metric, but 1 × 1.8 is 2.
	for range 5 {
		w.align()
		w.steady(perInstance, 1, 180)
	}
	if e.desired != 2 {
		t.Fatalf("%d instances in the cooldown", e.desired)
	}
	w.align()
	w.steady(perInstance, 1, 180)
	w.align()
	if e.desired != 4 {
		t.Fatalf("%d instances after the cooldown", e.desired)
	}
}

func stepsConfig(kind string, seconds int64, steps ...aas.StepAdjustment) *aas.StepScalingPolicyConfiguration {
	return &aas.StepScalingPolicyConfiguration{AdjustmentType: kind, Cooldown: &seconds, StepAdjustments: steps}
}

func adjustment(lower, upper *float64, by int64) aas.StepAdjustment {
	return aas.StepAdjustment{MetricIntervalLowerBound: lower, MetricIntervalUpperBound: upper, ScalingAdjustment: &by}
}

func TestAStepPolicyFollowsItsAlarm(t *testing.T) {
	w := newWorld(t)
	e := w.endpoint("churn", 1)
	w.register(1, 10)
	arn := w.putPolicy("steps", nil, stepsConfig("ChangeInCapacity", 120, adjustment(new(0.0), new(50.0), 1), adjustment(new(50.0), nil, 3))).PolicyARN
	alarm := wcw.MetricAlarm{AlarmName: "busy", AlarmArn: "arn:aws:cloudwatch:us-east-1:123456789012:alarm:busy", AlarmActions: []string{arn}, StateValue: "OK",
		Namespace: "AWS/SageMaker", MetricName: "Invocations", Statistic: "Sum", Period: new(int64(60)), EvaluationPeriods: new(int64(1)),
		Threshold: new(100.0), StateTransitionedTimestamp: wire.At(w.clock)}
	w.states["busy"] = alarm
	w.steady("Invocations", 5, 120)
	w.pass(time.Minute)
	if e.desired != 1 {
		t.Fatalf("%d instances while the alarm is OK", e.desired)
	}
	alarm.StateValue, alarm.StateTransitionedTimestamp = "ALARM", wire.At(w.clock)
	w.states["busy"] = alarm
	w.steady("Invocations", 1, 120)
	w.pass(2 * time.Second)
	if got := w.last(); e.desired != 2 || got.Cause != "monitor alarm busy in state ALARM triggered policy steps" {
		t.Fatalf("%d instances by %+v", e.desired, got)
	}
	// The alarm calls each minute; the cooldown lets through what is larger only.
	w.pass(70 * time.Second)
	if e.desired != 2 {
		t.Fatalf("%d instances in the cooldown", e.desired)
	}
	w.steady("Invocations", 1, 170)
	w.pass(40 * time.Second)
	w.restart()
	w.steady("Invocations", 1, 170)
	w.pass(30 * time.Second)
	if e.desired != 4 { // from the one where it began
		t.Fatalf("%d instances after a larger breach", e.desired)
	}
	if err := w.Alarm(context.Background(), account, region, arn, nil); err != nil {
		t.Error(err)
	}
	if err := w.Alarm(context.Background(), account, "eu-west-1", arn, nil); err == nil {
		t.Error("another Region's policy is found")
	}
	out, err := op.Call(caller, w.table, aas.DescribeScalingPolicies, &aas.DescribeScalingPoliciesInput{ServiceNamespace: namespace})
	if err != nil || len(out.ScalingPolicies[0].Alarms) != 1 || out.ScalingPolicies[0].Alarms[0].AlarmName != "busy" {
		t.Fatalf("policies: %+v, %v", out, err)
	}
	// Without data: an alarm for which that is a breach is at its threshold.
	w.data = map[string]map[int64]float64{}
	w.pass(3 * time.Minute)
	if e.desired < 5 {
		t.Fatalf("%d instances with an alarm without data", e.desired)
	}
}

// TestAnAlarmIsFollowedByTheDataItWentOffBy has an alarm of ten seconds: when it
// goes off the period before the last still tells that all is well.
func TestAnAlarmIsFollowedByTheDataItWentOffBy(t *testing.T) {
	w := newWorld(t)
	e := w.endpoint("churn", 1)
	w.register(1, 10)
	arn := w.putPolicy("wake", nil, stepsConfig("ChangeInCapacity", 0, adjustment(new(0.0), nil, 1))).PolicyARN
	alarm := wcw.MetricAlarm{AlarmName: "waiting", AlarmArn: "arn:aws:cloudwatch:us-east-1:123456789012:alarm:waiting", AlarmActions: []string{arn}, StateValue: "OK",
		Namespace: "AWS/SageMaker", MetricName: "HasBacklogWithoutCapacity", Statistic: "Maximum", Period: new(int64(10)), EvaluationPeriods: new(int64(1)),
		Threshold: new(1.0), StateTransitionedTimestamp: wire.At(w.clock)}
	w.states["waiting"] = alarm
	w.put("HasBacklogWithoutCapacity", start.Add(-10*time.Second), 0)
	w.put("HasBacklogWithoutCapacity", start, 1)
	w.pass(11 * time.Second)
	alarm.StateValue, alarm.StateTransitionedTimestamp = "ALARM", wire.At(w.clock)
	w.states["waiting"] = alarm
	if err := w.look(context.Background()); err != nil {
		t.Fatal(err)
	}
	if e.desired != 2 {
		t.Fatalf("%d instances, %+v", e.desired, w.activities(true))
	}
}

func TestScheduledActions(t *testing.T) {
	w := newWorld(t)
	e := w.endpoint("churn", 1)
	w.register(1, 2)
	put := func(name, schedule string, lowest, highest int64) error {
		_, err := op.Call(caller, w.table, aas.PutScheduledAction, &aas.PutScheduledActionInput{ServiceNamespace: namespace, ResourceId: resource,
			ScalableDimension: instanceCount, ScheduledActionName: name, Schedule: schedule, Timezone: "Europe/Berlin",
			ScalableTargetAction: &aas.ScalableTargetAction{MinCapacity: &lowest, MaxCapacity: &highest}})
		return err
	}
	if err := put("morning", "cron(0 8 ? * * *)", 5, 8); err != nil {
		t.Fatal(err)
	}
	if err := put("once", "at(2026-11-20T22:30:00)", 1, 3); err != nil { // 21:30 UTC
		t.Fatal(err)
	}
	w.pass(29 * time.Minute)
	if got := w.activities(true); len(got) != 0 {
		t.Fatalf("activities: %+v", got)
	}
	w.pass(2 * time.Minute)
	if got := w.last(); got.Description != "Setting min capacity to 1 and max capacity to 3" || got.Cause != "scheduled action name once was triggered" ||
		got.StatusMessage != "Successfully set min capacity to 1 and max capacity to 3" || got.StatusCode != "Successful" {
		t.Fatalf("the activity is %+v", got)
	}
	// The server is down at eight o'clock, twice: the action runs once, late.
	w.clock = time.Date(2026, 11, 22, 7, 30, 0, 0, time.UTC)
	w.restart()
	w.pass(5 * time.Second)
	if got := w.activities(true); e.desired != 5 || len(got) != 3 || got[2].Cause != "minimum capacity was set to 5" {
		t.Fatalf("%d instances by %+v", e.desired, got)
	}
	if err := put("late", "at(2026-11-20T22:30:00)", 1, 3); fault.Of(err) == nil || !strings.Contains(err.Error(), "in the past") {
		t.Errorf("a time in the past gives %v", err)
	}
	// Suspended, it does not run.
	if _, err := op.Call(caller, w.table, aas.RegisterScalableTarget, &aas.RegisterScalableTargetInput{ServiceNamespace: namespace, ResourceId: resource,
		ScalableDimension: instanceCount, SuspendedState: &aas.SuspendedState{ScheduledScalingSuspended: new(true)}}); err != nil {
		t.Fatal(err)
	}
	if err := put("soon", "rate(1 minute)", 1, 1); err != nil {
		t.Fatal(err)
	}
	w.pass(3 * time.Minute)
	if got := w.activities(true); len(got) != 3 {
		t.Fatalf("activities while schedules are suspended: %+v", got)
	}
}

func TestAlarmsOfTargetTracking(t *testing.T) {
	w := newWorld(t)
	w.endpoint("churn", 1)
	w.register(1, 4)
	put := w.putPolicy("follow", trackingOf(100), nil)
	if len(put.Alarms) != 2 || len(w.alarms) != 2 {
		t.Fatalf("alarms: %+v, %v", put.Alarms, w.alarms)
	}
	for i, side := range []string{"AlarmHigh", "AlarmLow"} {
		name := put.Alarms[i].AlarmName
		a := w.alarms[name]
		prefix := "TargetTracking-endpoint/churn/variant/blue-" + side + "-"
		if !strings.HasPrefix(name, prefix) || len(name) != len(prefix)+36 || a.AlarmActions[0] != put.PolicyARN || a.MetricName != perInstance || a.Statistic != "Sum" {
			t.Errorf("%s is %+v", name, a)
		}
		if want := map[string][2]float64{"AlarmHigh": {100, 3}, "AlarmLow": {90, 15}}[side]; *a.Threshold != want[0] || float64(*a.EvaluationPeriods) != want[1] {
			t.Errorf("%s is %+v", name, a)
		}
	}
	// Another target value: the same alarms. Without scale-in: one of them.
	c := trackingOf(200)
	c.DisableScaleIn = new(true)
	again := w.putPolicy("follow", c, nil)
	if again.PolicyARN != put.PolicyARN || len(again.Alarms) != 1 || again.Alarms[0] != put.Alarms[0] || len(w.alarms) != 1 || *w.alarms[put.Alarms[0].AlarmName].Threshold != 200 {
		t.Errorf("alarms are now %+v, %v", again.Alarms, w.alarms)
	}
	if _, err := op.Call(caller, w.table, aas.DeregisterScalableTarget, &aas.DeregisterScalableTargetInput{ServiceNamespace: namespace, ResourceId: resource, ScalableDimension: instanceCount}); err != nil {
		t.Fatal(err)
	}
	if len(w.alarms) != 0 {
		t.Errorf("alarms left: %v", w.alarms)
	}
	if got, err := op.Call(caller, w.table, aas.DescribeScalingPolicies, &aas.DescribeScalingPoliciesInput{ServiceNamespace: namespace}); err != nil || len(got.ScalingPolicies) != 0 {
		t.Errorf("policies left: %+v, %v", got, err)
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	w := newWorld(t)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}
