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
	busyTarget := func(n int64) *target {
		x := &target{}
		x.outstanding.Store(n)
		return x
	}
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
		"concurrency of copies": {
			[]telemetry.Datum{(&variantRoute{targets: []*target{busyTarget(3), busyTarget(2)}}).concurrency(component, "ConcurrentRequestsPerCopy", now)},
			[]string{"ConcurrentRequestsPerCopy Count 2.5 InferenceComponentName=llm"}},
		"of none": {
			[]telemetry.Datum{(&variantRoute{}).concurrency(component, "ConcurrentRequestsPerCopy", now)},
			[]string{"ConcurrentRequestsPerCopy Count 0 InferenceComponentName=llm"}},
		"concurrency of instances": {
			[]telemetry.Datum{(&variantRoute{targets: []*target{busyTarget(3)}}).concurrency(variantKey, "ConcurrentRequestsPerModel", now)},
			[]string{"ConcurrentRequestsPerModel Count 3 EndpointName=churn VariantName=v"}},
		"use of provisioned concurrency": {
			(&gate{limit: 8, provisioned: 4, using: 3}).gauges(variantKey, now),
			[]string{"ServerlessConcurrentExecutionsUtilization None 0.375 EndpointName=churn VariantName=v",
				"ServerlessProvisionedConcurrencyUtilization None 0.75 EndpointName=churn VariantName=v"}},
	} {
		if got := text(c.got); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}
