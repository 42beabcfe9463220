// SPDX-License-Identifier: Apache-2.0

package rollout

import (
	"github.com/sagebrush-ml/sagebrush/internal/fault"
	sm "github.com/sagebrush-ml/sagebrush/internal/wire/sagemaker"
)

// Check refuses a deployment config that cannot be carried out for these
// variants, of which the new fleet's counts are looked at; without any it looks
// at the config alone. nil is fine.
//
// Source: API_DeploymentConfig, API_TrafficRoutingConfig, API_RollingUpdatePolicy.
func Check(c *sm.DeploymentConfig, variants []Variant) error {
	if c == nil {
		return nil
	}
	if c.BlueGreenUpdatePolicy != nil && c.RollingUpdatePolicy != nil {
		return fault.Validation("DeploymentConfig must have only one update policy: BlueGreenUpdatePolicy and RollingUpdatePolicy cannot both be specified.")
	}
	if a := c.AutoRollbackConfiguration; a != nil {
		if err := checkAlarms(a); err != nil {
			return err
		}
	}
	var err error
	var timeout *int64
	switch {
	case c.BlueGreenUpdatePolicy != nil:
		timeout = c.BlueGreenUpdatePolicy.MaximumExecutionTimeoutInSeconds
		err = checkBlueGreen(c.BlueGreenUpdatePolicy, variants)
	case c.RollingUpdatePolicy != nil:
		timeout = c.RollingUpdatePolicy.MaximumExecutionTimeoutInSeconds
		err = checkRolling(c.RollingUpdatePolicy, variants)
	}
	if err != nil || timeout == nil {
		return err
	}
	if waits := New(c, variants).waits(); seconds(timeout) <= waits {
		return fault.Validation("MaximumExecutionTimeoutInSeconds (%d) must be greater than the total waiting time of the deployment (%d seconds), which follows from WaitIntervalInSeconds and TerminationWaitInSeconds.", *timeout, int(waits.Seconds()))
	}
	return nil
}

func checkAlarms(a *sm.AutoRollbackConfig) error {
	if n := len(a.Alarms); n < 1 || n > 10 {
		return fault.Validation("AutoRollbackConfiguration must have at least 1 and at most 10 alarms, but it has %d.", n)
	}
	seen := map[string]bool{}
	for _, alarm := range a.Alarms {
		switch {
		case alarm.AlarmName == "":
			return fault.Validation("AlarmName must be specified for each of the alarms of AutoRollbackConfiguration.")
		case seen[alarm.AlarmName]:
			return fault.Validation("The alarm name %q was non-unique within AutoRollbackConfiguration.", alarm.AlarmName)
		}
		seen[alarm.AlarmName] = true
	}
	return nil
}

func checkBlueGreen(b *sm.BlueGreenUpdatePolicy, variants []Variant) error {
	t := b.TrafficRoutingConfiguration
	if t == nil {
		return fault.Validation("TrafficRoutingConfiguration must be specified for BlueGreenUpdatePolicy.")
	}
	for _, size := range []struct {
		name, of string
		given    *sm.CapacitySize
		lo, hi   int
	}{
		{"CanarySize", sm.TrafficRoutingConfigTypeCANARY, t.CanarySize, 0, 50},
		{"LinearStepSize", sm.TrafficRoutingConfigTypeLINEAR, t.LinearStepSize, 10, 50},
	} {
		switch {
		case t.Type == size.of && size.given == nil:
			return fault.Validation("%s must be specified when the traffic routing type is %s.", size.name, size.of)
		case t.Type != size.of && size.given != nil:
			return fault.Validation("%s can be specified only when the traffic routing type is %s.", size.name, size.of)
		case size.given != nil:
			if err := checkSize(size.name, size.given, size.lo, size.hi, variants); err != nil {
				return err
			}
		}
	}
	return nil
}

func checkRolling(r *sm.RollingUpdatePolicy, variants []Variant) error {
	if r.MaximumBatchSize == nil {
		return fault.Validation("MaximumBatchSize must be specified for RollingUpdatePolicy.")
	}
	if err := checkSize("MaximumBatchSize", r.MaximumBatchSize, 5, 50, variants); err != nil {
		return err
	}
	if b := r.RollbackMaximumBatchSize; b != nil {
		// It is of the old fleet; more than there is means all of it.
		return checkSize("RollbackMaximumBatchSize", b, 0, 100, nil)
	}
	return nil
}

// checkSize holds a size against bounds in per cent of the new fleet.
func checkSize(name string, s *sm.CapacitySize, lo, hi int, variants []Variant) error {
	n := valueOf(s)
	switch {
	case n < 1:
		return fault.Validation("The Value of %s must be at least 1.", name)
	case s.Type == sm.CapacitySizeTypeCAPACITYPERCENT:
		if n < lo || n > hi {
			return refuseSize(name, lo, hi, "%d%% is not.", n)
		}
	case s.Type == sm.CapacitySizeTypeINSTANCECOUNT:
		for _, v := range variants {
			if v.New > 0 && (100*n > hi*v.New || 100*n < lo*v.New) {
				return refuseSize(name, lo, hi, "%d of the %d instance(s) of variant %q is not. A Type of CAPACITY_PERCENT suits any count.", n, v.New, v.Name)
			}
		}
	default:
		return fault.Validation("The Type of %s must be INSTANCE_COUNT or CAPACITY_PERCENT.", name)
	}
	return nil
}

func refuseSize(name string, lo, hi int, format string, args ...any) error {
	if lo == 0 {
		return fault.Validation("%s must be less than or equal to %d%% of the new fleet's capacity; "+format, append([]any{name, hi}, args...)...)
	}
	return fault.Validation("%s must be between %d%% and %d%% of the new fleet's capacity; "+format, append([]any{name, lo, hi}, args...)...)
}
