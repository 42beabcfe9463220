// SPDX-License-Identifier: Apache-2.0

package autoscaling

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/op"
	aas "github.com/sagebrush-ml/sagebrush/internal/wire/autoscaling"
)

func TestOtherDimensions(t *testing.T) {
	t.Run("copies of a component, by fine data", func(t *testing.T) {
		w := newWorld(t)
		e := w.endpoint("llm", 1)
		k := key{account, region, "inference-component/llm", copyCount}
		for _, in := range []func() error{
			func() error {
				_, err := op.Call(caller, w.table, aas.RegisterScalableTarget, &aas.RegisterScalableTargetInput{ServiceNamespace: namespace, ResourceId: k.resource,
					ScalableDimension: k.dimension, MinCapacity: new(int64(0)), MaxCapacity: new(int64(8))})
				return err
			},
			func() error {
				_, err := op.Call(caller, w.table, aas.PutScalingPolicy, &aas.PutScalingPolicyInput{PolicyName: "fine", ServiceNamespace: namespace, ResourceId: k.resource,
					ScalableDimension: k.dimension, PolicyType: "TargetTrackingScaling", TargetTrackingScalingPolicyConfiguration: &aas.TargetTrackingScalingPolicyConfiguration{
						TargetValue: new(5.0), PredefinedMetricSpecification: &aas.PredefinedMetricSpecification{
							PredefinedMetricType: "SageMakerInferenceComponentConcurrentRequestsPerCopyHighResolution"}}})
				return err
			},
		} {
			if err := in(); err != nil {
				t.Fatal(err)
			}
		}
		for i := range 4 {
			w.put("ConcurrentRequestsPerCopy", start.Add(time.Duration(i*10)*time.Second), 12)
		}
		w.pass(35 * time.Second) // three periods of ten seconds, and three until the last is settled
		if got := w.last(); e.desired != 3 || got.Description != "Setting desired copy count to 3." {
			t.Fatalf("%d copies by %+v", e.desired, got)
		}
	})
	t.Run("provisioned concurrency", func(t *testing.T) {
		w := newWorld(t)
		e := w.endpoint("churn", 0)
		e.serverless = new(int64(1))
		if _, err := op.Call(caller, w.table, aas.RegisterScalableTarget, &aas.RegisterScalableTargetInput{ServiceNamespace: namespace, ResourceId: resource,
			ScalableDimension: concurrency, MinCapacity: new(int64(2)), MaxCapacity: new(int64(8))}); err != nil {
			t.Fatal(err)
		}
		w.pass(3 * time.Second)
		if got := w.last(); *e.serverless != 2 || got.Description != "Setting desired provisioned concurrency to 2." || got.StatusCode != "Successful" {
			t.Fatalf("%d by %+v", *e.serverless, got)
		}
		_, err := op.Call(caller, w.table, aas.RegisterScalableTarget, &aas.RegisterScalableTargetInput{ServiceNamespace: namespace, ResourceId: resource,
			ScalableDimension: instanceCount, MinCapacity: new(int64(2)), MaxCapacity: new(int64(8))})
		if fault.Of(err) == nil || !strings.Contains(err.Error(), "serverless") {
			t.Errorf("instances of a serverless variant give %v", err)
		}
	})
	t.Run("a metric of one's own", func(t *testing.T) {
		w := newWorld(t)
		e := w.endpoint("churn", 2)
		w.register(1, 9)
		w.putPolicy("own", &aas.TargetTrackingScalingPolicyConfiguration{TargetValue: new(10.0), CustomizedMetricSpecification: &aas.CustomizedMetricSpecification{
			Metrics: []aas.TargetTrackingMetricDataQuery{
				{Id: "m1", ReturnData: new(false), MetricStat: &aas.TargetTrackingMetricStat{Stat: "Sum", Metric: &aas.TargetTrackingMetric{Namespace: "Mine", MetricName: "Backlog"}}},
				{Id: "e1", Expression: "m1 / 2"}}}}, nil)
		w.steady("Backlog", 3, 30)
		w.pass(10 * time.Second)
		if e.desired != 6 {
			t.Fatalf("%d instances", e.desired)
		}
		// Silence of such a metric is no zero.
		w.pass(time.Hour)
		if e.desired != 6 {
			t.Fatalf("%d instances after a silence", e.desired)
		}
		if a := w.alarms[slices.Sorted(maps.Keys(w.alarms))[0]]; len(a.Metrics) != 2 || a.MetricName != "" || *a.Metrics[0].MetricStat.Period != 60 {
			t.Errorf("the alarm is %+v", a)
		}
	})
}
