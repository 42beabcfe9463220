// SPDX-License-Identifier: Apache-2.0

package autoscaling

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/auth"
	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/op"
	"github.com/sagebrush-ml/sagebrush/internal/wire"
	aas "github.com/sagebrush-ml/sagebrush/internal/wire/autoscaling"
	wcw "github.com/sagebrush-ml/sagebrush/internal/wire/cloudwatch"
	sm "github.com/sagebrush-ml/sagebrush/internal/wire/sagemaker"
)

var start = time.Date(2026, 11, 20, 21, 0, 0, 0, time.UTC)

const (
	account  = "123456789012"
	region   = "us-east-1"
	resource = "endpoint/churn/variant/blue"
)

var caller = auth.WithCaller(context.Background(), auth.Caller{Account: account, Region: region, Principal: "arn:aws:iam::123456789012:user/ann"})

// world is SageMaker and CloudWatch as far as the service asks them, with a
// clock of its own.
type world struct {
	*Service
	t     *testing.T
	table *op.Table
	path  string

	clock     time.Time
	endpoints map[string]*fakeEndpoint
	alarms    map[string]wcw.PutMetricAlarmInput
	states    map[string]wcw.MetricAlarm
	data      map[string]map[int64]float64 // metric and first dimension's value → second → value
	callers   map[string]bool              // who asked
	sets      []int64                      // instance counts asked for
	refuse    error                        // of the next update
	lost      bool                         // the next update works, and its answer is lost
	takes     time.Duration                // an update
}

// fakeEndpoint has one variant, "blue".
type fakeEndpoint struct {
	desired, current int64
	status           string
	until            time.Time // Updating
	failure          string
	serverless       *int64
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, clock: start, path: filepath.Join(t.TempDir(), "autoscaling.db"),
		endpoints: map[string]*fakeEndpoint{}, alarms: map[string]wcw.PutMetricAlarmInput{}, states: map[string]wcw.MetricAlarm{},
		data: map[string]map[int64]float64{}, callers: map[string]bool{}}
	w.open()
	return w
}

// open makes the service, as a start of the server does.
func (w *world) open() {
	w.table = op.New()
	op.Handle(w.table, sm.DescribeEndpoint, w.describe)
	op.Handle(w.table, sm.UpdateEndpointWeightsAndCapacities, w.update)
	op.Handle(w.table, sm.DescribeInferenceComponent, w.describeComponent)
	op.Handle(w.table, sm.UpdateInferenceComponentRuntimeConfig, w.updateComponent)
	op.Handle(w.table, wcw.GetMetricData, w.metricData)
	op.Handle(w.table, wcw.PutMetricAlarm, func(_ context.Context, in *wcw.PutMetricAlarmInput) (*wcw.PutMetricAlarmOutput, error) {
		w.alarms[in.AlarmName] = *in
		return &wcw.PutMetricAlarmOutput{}, nil
	})
	op.Handle(w.table, wcw.DeleteAlarms, func(_ context.Context, in *wcw.DeleteAlarmsInput) (*wcw.DeleteAlarmsOutput, error) {
		for _, n := range in.AlarmNames {
			delete(w.alarms, n)
		}
		return &wcw.DeleteAlarmsOutput{}, nil
	})
	op.Handle(w.table, wcw.DescribeAlarms, w.describeAlarms)
	s, err := New(Options{Path: w.path, Table: w.table, Log: slog.New(slog.DiscardHandler), Now: func() time.Time { return w.clock }})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = s.Close() })
	w.Service = s
	s.Install(w.table)
}

// restart is a kill and a start: nothing of the service's memory is left.
func (w *world) restart() {
	if err := w.Close(); err != nil {
		w.t.Fatal(err)
	}
	w.open()
}

// pass lets time go by, with a look each second, or in long stretches every ten.
func (w *world) pass(d time.Duration) {
	w.t.Helper()
	step := time.Second
	if d >= 5*time.Minute {
		step = 10 * time.Second
	}
	for end := w.clock.Add(d); w.clock.Before(end); {
		w.clock = w.clock.Add(step)
		if err := w.look(context.Background()); err != nil {
			w.t.Fatal(err)
		}
	}
}

func (w *world) endpoint(name string, count int64) *fakeEndpoint {
	e := &fakeEndpoint{desired: count, current: count, status: sm.EndpointStatusInService}
	w.endpoints[name] = e
	return e
}

func (w *world) find(ctx context.Context, name string) (*fakeEndpoint, error) {
	w.callers[auth.CallerFrom(ctx).Principal] = true
	if c := auth.CallerFrom(ctx); c.Account != account || c.Region != region {
		return nil, errors.New("asked in the wrong account or Region")
	}
	e := w.endpoints[name]
	if e == nil {
		return nil, fault.Validation("Could not find endpoint %q.", name)
	}
	if e.status == sm.EndpointStatusUpdating && !w.clock.Before(e.until) {
		e.status, e.current = sm.EndpointStatusInService, e.desired
	}
	return e, nil
}

func (w *world) describe(ctx context.Context, in *sm.DescribeEndpointInput) (*sm.DescribeEndpointOutput, error) {
	e, err := w.find(ctx, in.EndpointName)
	if err != nil {
		return nil, err
	}
	v := sm.ProductionVariantSummary{VariantName: "blue", DesiredInstanceCount: new(e.desired), CurrentInstanceCount: new(e.current)}
	if e.serverless != nil {
		v = sm.ProductionVariantSummary{VariantName: "blue", DesiredServerlessConfig: &sm.ProductionVariantServerlessConfig{ProvisionedConcurrency: e.serverless}}
	}
	return &sm.DescribeEndpointOutput{EndpointStatus: e.status, FailureReason: e.failure, ProductionVariants: []sm.ProductionVariantSummary{v}}, nil
}

func (w *world) change(ctx context.Context, name string, set func(*fakeEndpoint)) error {
	e, err := w.find(ctx, name)
	if err != nil {
		return err
	}
	if e.status != sm.EndpointStatusInService {
		return fault.Validation("Cannot update in-progress endpoint %q.", name)
	}
	if err := w.refuse; err != nil {
		w.refuse = nil
		return err
	}
	set(e)
	e.failure = ""
	if w.takes > 0 {
		e.status, e.until = sm.EndpointStatusUpdating, w.clock.Add(w.takes)
	}
	if w.lost {
		w.lost = false
		return errors.New("the answer is lost")
	}
	return nil
}

func (w *world) update(ctx context.Context, in *sm.UpdateEndpointWeightsAndCapacitiesInput) (*sm.UpdateEndpointWeightsAndCapacitiesOutput, error) {
	d := in.DesiredWeightsAndCapacities[0]
	return &sm.UpdateEndpointWeightsAndCapacitiesOutput{}, w.change(ctx, in.EndpointName, func(e *fakeEndpoint) {
		if d.ServerlessUpdateConfig != nil {
			e.serverless = d.ServerlessUpdateConfig.ProvisionedConcurrency
			return
		}
		e.desired = *d.DesiredInstanceCount
		w.sets = append(w.sets, e.desired)
	})
}

func (w *world) describeComponent(ctx context.Context, in *sm.DescribeInferenceComponentInput) (*sm.DescribeInferenceComponentOutput, error) {
	e, err := w.find(ctx, in.InferenceComponentName)
	if err != nil {
		return nil, err
	}
	return &sm.DescribeInferenceComponentOutput{InferenceComponentStatus: e.status,
		RuntimeConfig: &sm.InferenceComponentRuntimeConfigSummary{DesiredCopyCount: &e.desired, CurrentCopyCount: &e.current}}, nil
}

func (w *world) updateComponent(ctx context.Context, in *sm.UpdateInferenceComponentRuntimeConfigInput) (*sm.UpdateInferenceComponentRuntimeConfigOutput, error) {
	return &sm.UpdateInferenceComponentRuntimeConfigOutput{}, w.change(ctx, in.InferenceComponentName, func(e *fakeEndpoint) {
		e.desired = *in.DesiredRuntimeConfig.CopyCount
	})
}

func (w *world) metricData(_ context.Context, in *wcw.GetMetricDataInput) (*wcw.GetMetricDataOutput, error) {
	var out wcw.GetMetricDataOutput
	for _, q := range in.MetricDataQueries {
		if q.Expression != "" && !strings.Contains(q.Expression, "m1") {
			return nil, fault.New("ValidationError", 400, "Error in expression %q", q.Expression) // its code is CloudWatch's
		}
		if q.ReturnData != nil && !*q.ReturnData {
			continue
		}
		from := q.MetricStat
		if from == nil {
			from = in.MetricDataQueries[0].MetricStat
		}
		r := wcw.MetricDataResult{Id: q.Id}
		points := w.data[from.Metric.MetricName]
		for _, at := range slices.Sorted(maps.Keys(points)) {
			if t := time.Unix(at, 0); !t.Before(in.StartTime.Time) && t.Before(in.EndTime.Time) {
				r.Timestamps, r.Values = append(r.Timestamps, wire.At(t)), append(r.Values, points[at])
			}
		}
		out.MetricDataResults = append(out.MetricDataResults, r)
	}
	return &out, nil
}

func (w *world) describeAlarms(_ context.Context, in *wcw.DescribeAlarmsInput) (*wcw.DescribeAlarmsOutput, error) {
	var out wcw.DescribeAlarmsOutput
	for _, name := range slices.Sorted(maps.Keys(w.states)) {
		a := w.states[name]
		if (in.StateValue == "" || a.StateValue == in.StateValue) && slices.ContainsFunc(a.AlarmActions, func(x string) bool { return strings.HasPrefix(x, in.ActionPrefix) }) {
			out.MetricAlarms = append(out.MetricAlarms, a)
		}
	}
	return &out, nil
}

// align passes the rest of the minute.
func (w *world) align() {
	w.t.Helper()
	w.pass(w.clock.Truncate(time.Minute).Add(time.Minute).Sub(w.clock))
}

// put stores a metric's value for the period that begins at a time.
func (w *world) put(name string, at time.Time, v float64) {
	if w.data[name] == nil {
		w.data[name] = map[int64]float64{}
	}
	w.data[name][at.Unix()] = v
}

// steady stores the same value for the last n minutes.
func (w *world) steady(name string, n int, v float64) {
	for i := range n {
		w.put(name, w.clock.Truncate(time.Minute).Add(-time.Duration(i+1)*time.Minute), v)
	}
}

func (w *world) register(lowest, highest int64) string {
	w.t.Helper()
	out, err := op.Call(caller, w.table, aas.RegisterScalableTarget, &aas.RegisterScalableTargetInput{ServiceNamespace: namespace, ResourceId: resource,
		ScalableDimension: instanceCount, MinCapacity: &lowest, MaxCapacity: &highest})
	if err != nil {
		w.t.Fatal(err)
	}
	return out.ScalableTargetARN
}

func trackingOf(target float64) *aas.TargetTrackingScalingPolicyConfiguration {
	return &aas.TargetTrackingScalingPolicyConfiguration{TargetValue: &target,
		PredefinedMetricSpecification: &aas.PredefinedMetricSpecification{PredefinedMetricType: "SageMakerVariantInvocationsPerInstance"}}
}

func (w *world) putPolicy(name string, track *aas.TargetTrackingScalingPolicyConfiguration, step *aas.StepScalingPolicyConfiguration) *aas.PutScalingPolicyOutput {
	w.t.Helper()
	kind := aas.PolicyTypeTargetTrackingScaling
	if step != nil {
		kind = aas.PolicyTypeStepScaling
	}
	out, err := op.Call(caller, w.table, aas.PutScalingPolicy, &aas.PutScalingPolicyInput{PolicyName: name, ServiceNamespace: namespace, ResourceId: resource,
		ScalableDimension: instanceCount, PolicyType: kind, TargetTrackingScalingPolicyConfiguration: track, StepScalingPolicyConfiguration: step})
	if err != nil {
		w.t.Fatal(err)
	}
	return out
}

// activities are those of the target, the oldest first.
func (w *world) activities(all bool) []aas.ScalingActivity {
	w.t.Helper()
	out, err := op.Call(caller, w.table, aas.DescribeScalingActivities, &aas.DescribeScalingActivitiesInput{ServiceNamespace: namespace, IncludeNotScaledActivities: &all})
	if err != nil {
		w.t.Fatal(err)
	}
	slices.Reverse(out.ScalingActivities)
	return out.ScalingActivities
}

// last is the newest activity.
func (w *world) last() aas.ScalingActivity {
	w.t.Helper()
	all := w.activities(false)
	if len(all) == 0 {
		w.t.Fatal("there is no activity")
	}
	return all[len(all)-1]
}
