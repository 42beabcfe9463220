// SPDX-License-Identifier: Apache-2.0

package hosting

import (
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/telemetry"
)

// TestWhatAutoscalingReads holds names, dimensions, units and values of the
// metrics that policies go by.
func TestWhatAutoscalingReads(t *testing.T) {
	now := time.Date(2026, 11, 20, 21, 0, 0, 0, time.UTC)
	text := func(data []telemetry.Datum) (out []string) {
		for _, d := range data {
			values := fmt.Sprint(d.Value)
			if d.Values != nil {
				values = fmt.Sprint(d.Values)
			}
			line := d.Name + " " + d.Unit + " " + values
			for _, dim := range d.Dimensions {
				line += " " + dim.Name + "=" + dim.Value
			}
			out = append(out, line)
		}
		return out
	}
	component := meterKey{routeKey: routeKey{name: "llm"}, variant: "v", component: "llm"}
	variantKey := meterKey{routeKey: routeKey{name: "churn"}, variant: "v"}
	for name, c := range map[string]struct {
		got  []telemetry.Datum
		want []string
	}{
		"requests that no copy was there for, and nothing else of them": {
			dataOfSamples(component.dimensions(""), []sample{{status: notTaken}, {status: notTaken}}, now),
			[]string{"NoCapacityInvocationFailures None [1 1] InferenceComponentName=llm"}},
		"invocations of copies": {
			dataOfSamples(component.dimensions(""), []sample{{status: 200, instances: 4}}, now)[4:5],
			[]string{"InvocationsPerCopy None [0.25] InferenceComponentName=llm"}},
		"invocations of instances": {
			dataOfSamples(variantKey.dimensions(""), []sample{{status: 200, instances: 2}}, now)[4:5],
			[]string{"InvocationsPerInstance None [0.5] EndpointName=churn VariantName=v"}},
		"what was read of gauges": {
			dataOfReadings(readings{{component, "ConcurrentRequestsPerCopy", "Count"}: {2.5, 0}}, now)[component],
			[]string{"ConcurrentRequestsPerCopy Count [2.5 0] InferenceComponentName=llm"}},
		"of a variant": {
			dataOfReadings(readings{{variantKey, "ConcurrentRequestsPerModel", "Count"}: {3}}, now)[variantKey],
			[]string{"ConcurrentRequestsPerModel Count [3] EndpointName=churn VariantName=v"}},
	} {
		if got := text(c.got); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

func TestConcurrency(t *testing.T) {
	busy := func(n int64) *target {
		x := &target{}
		x.outstanding.Store(n)
		return x
	}
	if n := (&variantRoute{targets: []*target{busy(3), busy(2)}}).concurrency(); n != 2.5 {
		t.Errorf("two instances with five requests have %v each", n)
	}
	if n := (&variantRoute{}).concurrency(); n != 0 {
		t.Errorf("no instances have %v", n)
	}
	if all, provisioned, has := (&gate{limit: 8, provisioned: 2, using: 3}).utilization(); all != 0.375 || provisioned != 1 || !has {
		t.Errorf("three of eight, two of which are provisioned, use %v and %v", all, provisioned)
	}
	if _, _, has := (&gate{limit: 8, using: 3}).utilization(); has {
		t.Error("what is not provisioned is used")
	}
}
