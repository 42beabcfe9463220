// SPDX-License-Identifier: Apache-2.0

package tuning

import (
	"math"
	"strconv"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/tune"
)

// checkRanges is about the ranges of one definition by themselves.
func checkRanges(d definition) error {
	seen := map[string]bool{}
	name := func(name string) error {
		switch _, static := d.StaticHyperParameters[name]; {
		case static:
			return fault.Validation("The hyperparameter [%s] is both in StaticHyperParameters and in ParameterRanges of %s. "+
				"Specify it in one of them only.", name, d.title())
		case seen[name]:
			return fault.Validation("The hyperparameter [%s] has more than one range in %s.", name, d.title())
		case name == objectiveParameter:
			return fault.Validation("The hyperparameter [%s] is reserved: the service sets it.", name)
		}
		seen[name] = true
		return nil
	}
	r := d.ranges
	for _, p := range r.IntegerParameterRanges {
		if err := name(p.Name); err != nil {
			return err
		}
		if err := checkRange(p.Name, p.MinValue, p.MaxValue, p.ScalingType, true); err != nil {
			return err
		}
	}
	for _, p := range r.ContinuousParameterRanges {
		if err := name(p.Name); err != nil {
			return err
		}
		if err := checkRange(p.Name, p.MinValue, p.MaxValue, p.ScalingType, false); err != nil {
			return err
		}
	}
	for _, p := range r.CategoricalParameterRanges {
		if err := name(p.Name); err != nil {
			return err
		}
		values := map[string]bool{}
		for _, v := range p.Values {
			if values[v] {
				return fault.Validation("The categorical hyperparameter [%s] has the value [%s] more than once.", p.Name, v)
			}
			values[v] = true
		}
	}
	_, own := d.StaticHyperParameters[objectiveParameter]
	switch {
	case own:
		return fault.Validation("The hyperparameter [%s] is reserved: the service sets it.", objectiveParameter)
	case len(seen) == 0:
		return fault.Validation("At least one hyperparameter range is required in %s.", d.title())
	case len(seen) > maxTuned:
		return limit("the number of hyperparameters that can be searched per hyperparameter tuning job", maxTuned, int64(len(seen)))
	case len(seen)+len(d.StaticHyperParameters)+1 > maxHyper:
		return fault.Validation("The total number of static, tuned and reserved hyperparameters in %s, [%d], must be less than or equal to [%d].",
			d.title(), len(seen)+len(d.StaticHyperParameters)+1, maxHyper)
	}
	return nil
}

// checkRange is about one range of numbers.
func checkRange(name, low, high, scale string, integer bool) error {
	kind := "continuous"
	read := func(text string) (float64, bool) {
		x, err := strconv.ParseFloat(text, 64)
		return x, err == nil && !math.IsNaN(x) && !math.IsInf(x, 0)
	}
	if integer {
		kind = "integer"
		read = func(text string) (float64, bool) {
			n, err := strconv.ParseInt(text, 10, 64)
			return float64(n), err == nil
		}
	}
	a, ok := read(low)
	b, ok2 := read(high)
	switch {
	case !ok || !ok2:
		return fault.Validation("The MinValue [%s] and MaxValue [%s] of the %s hyperparameter [%s] must be %s numbers.", low, high, kind, name, kind)
	case a > b:
		return fault.Validation("The MinValue [%s] of the %s hyperparameter [%s] must be less than or equal to its MaxValue [%s].", low, kind, name, high)
	case scale == tune.Logarithmic && a <= 0:
		return fault.Validation("The MinValue [%s] of the hyperparameter [%s] must be greater than 0 for the scaling type Logarithmic.", low, name)
	case scale == tune.ReverseLogarithmic && integer:
		return fault.Validation("The scaling type ReverseLogarithmic of the hyperparameter [%s] is only for continuous ranges.", name)
	case scale == tune.ReverseLogarithmic && (a < 0 || b >= 1):
		return fault.Validation("The range [%s, %s] of the hyperparameter [%s] must be within 0 <= x < 1.0 for the scaling type ReverseLogarithmic.", low, high, name)
	}
	return nil
}
