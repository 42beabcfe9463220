// SPDX-License-Identifier: Apache-2.0

package autoscaling

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
	aas "github.com/sagebrush-ml/sagebrush/internal/wire/autoscaling"
)

// checkPolicy checks what the model cannot say of a policy.
func checkPolicy(k key, in *aas.PutScalingPolicyInput) error {
	step, track := in.StepScalingPolicyConfiguration, in.TargetTrackingScalingPolicyConfiguration
	switch {
	case in.PolicyType == aas.PolicyTypePredictiveScaling || in.PredictiveScalingPolicyConfiguration != nil:
		return fault.Validation("PolicyType PredictiveScaling is not supported for service namespace %s", namespace)
	case in.PolicyType == aas.PolicyTypeStepScaling && (step == nil || track != nil):
		return fault.Validation("StepScalingPolicyConfiguration, and no other configuration, must be specified for PolicyType StepScaling")
	case in.PolicyType == aas.PolicyTypeTargetTrackingScaling && (track == nil || step != nil):
		return fault.Validation("TargetTrackingScalingPolicyConfiguration, and no other configuration, must be specified for PolicyType TargetTrackingScaling")
	case strings.Contains(in.PolicyName, "|"):
		return fault.Validation("PolicyName must not contain |")
	}
	if step != nil {
		return checkSteps(step)
	}
	return checkTracking(k, track)
}

func checkTracking(k key, c *aas.TargetTrackingScalingPolicyConfiguration) error {
	for _, seconds := range []*int64{c.ScaleInCooldown, c.ScaleOutCooldown} {
		if seconds != nil && *seconds < 0 {
			return fault.Validation("Cooldown must not be negative")
		}
	}
	if !(*c.TargetValue > 0) || math.IsInf(*c.TargetValue, 0) {
		return fault.Validation("TargetValue must be positive")
	}
	p, m := c.PredefinedMetricSpecification, c.CustomizedMetricSpecification
	switch {
	case (p == nil) == (m == nil):
		return fault.Validation("Exactly one of PredefinedMetricSpecification and CustomizedMetricSpecification must be specified")
	case m != nil:
		return checkCustomized(m)
	case p.ResourceLabel != "":
		return fault.Validation("ResourceLabel must not be specified for predefined metric type %s", p.PredefinedMetricType)
	}
	known := dimensions[k.dimension].metrics
	if _, ok := known[p.PredefinedMetricType]; !ok {
		return fault.Validation("Predefined metric type %s is not supported for scalable dimension %s. Supported: %s",
			p.PredefinedMetricType, k.dimension, strings.Join(slices.Sorted(maps.Keys(known)), ", "))
	}
	if k.dimension == concurrency && *c.TargetValue > 1 {
		return fault.Validation("TargetValue must be in the range (0, 1] for predefined metric type %s", p.PredefinedMetricType)
	}
	return nil
}

func checkCustomized(m *aas.CustomizedMetricSpecification) error {
	if len(m.Metrics) == 0 {
		switch {
		case m.MetricName == "" || m.Namespace == "" || m.Statistic == "":
			return fault.Validation("CustomizedMetricSpecification must specify MetricName, Namespace and Statistic, or Metrics")
		}
		return nil
	}
	if m.MetricName != "" || m.Namespace != "" || m.Statistic != "" || m.Unit != "" || len(m.Dimensions) > 0 {
		return fault.Validation("CustomizedMetricSpecification must not specify Metrics together with MetricName, Namespace, Dimensions, Statistic or Unit")
	}
	returned := 0
	for _, q := range m.Metrics {
		if (q.Expression == "") == (q.MetricStat == nil) {
			return fault.Validation("Each of Metrics must specify either Expression or MetricStat: %s", q.Id)
		}
		if q.ReturnData == nil || *q.ReturnData {
			returned++
		}
	}
	if returned != 1 {
		return fault.Validation("Exactly one of Metrics must have ReturnData true, and %d have", returned)
	}
	return nil
}

const maxSteps = 20 // the quota of step adjustments of a policy

func checkSteps(c *aas.StepScalingPolicyConfiguration) error {
	switch {
	case c.AdjustmentType == "":
		return fault.Validation("AdjustmentType must be specified for PolicyType StepScaling")
	case len(c.StepAdjustments) == 0:
		return fault.Validation("At least one StepAdjustment must be specified")
	case len(c.StepAdjustments) > maxSteps:
		return limitExceeded("Step adjustments per step scaling policy limit of %d exceeded", maxSteps)
	case c.Cooldown != nil && *c.Cooldown < 0:
		return fault.Validation("Cooldown must not be negative")
	case c.MinAdjustmentMagnitude != nil && c.AdjustmentType != aas.AdjustmentTypePercentChangeInCapacity:
		return fault.Validation("MinAdjustmentMagnitude is only supported for AdjustmentType PercentChangeInCapacity")
	case c.MinAdjustmentMagnitude != nil && *c.MinAdjustmentMagnitude < 0:
		return fault.Validation("MinAdjustmentMagnitude must not be negative")
	}
	steps := stepsOf(c)
	for i, s := range steps {
		switch {
		case math.IsInf(s.lower, -1) && math.IsInf(s.upper, 1):
			return fault.Validation("MetricIntervalLowerBound and MetricIntervalUpperBound of a StepAdjustment cannot both be null")
		case !(s.lower < s.upper):
			return fault.Validation("MetricIntervalLowerBound of a StepAdjustment must be less than its MetricIntervalUpperBound")
		case i > 0 && s.lower != steps[i-1].upper:
			return fault.Validation("StepAdjustments must not overlap or have a gap between them")
		case c.AdjustmentType == aas.AdjustmentTypeExactCapacity && s.by < 0:
			return fault.Validation("ScalingAdjustment must not be negative for AdjustmentType ExactCapacity")
		}
	}
	if low := steps[0].lower; low < 0 && !math.IsInf(low, -1) {
		return fault.Validation("With a negative MetricIntervalLowerBound, one StepAdjustment must have a null MetricIntervalLowerBound")
	}
	if high := steps[len(steps)-1].upper; high > 0 && !math.IsInf(high, 1) {
		return fault.Validation("With a positive MetricIntervalUpperBound, one StepAdjustment must have a null MetricIntervalUpperBound")
	}
	return nil
}

// stepsOf are the steps in order, an open side being infinite.
func stepsOf(c *aas.StepScalingPolicyConfiguration) []step {
	out := make([]step, len(c.StepAdjustments))
	for i, a := range c.StepAdjustments {
		out[i] = step{lower: math.Inf(-1), upper: math.Inf(1), by: int(*a.ScalingAdjustment)}
		if a.MetricIntervalLowerBound != nil {
			out[i].lower = *a.MetricIntervalLowerBound
		}
		if a.MetricIntervalUpperBound != nil {
			out[i].upper = *a.MetricIntervalUpperBound
		}
	}
	slices.SortFunc(out, func(a, b step) int { return cmp.Compare(a.lower, b.lower) })
	return out
}

// cooldown is a member's time; it is five minutes when not given.
func cooldown(seconds *int64) time.Duration {
	if seconds == nil {
		return 5 * time.Minute
	}
	return time.Duration(*seconds) * time.Second
}
