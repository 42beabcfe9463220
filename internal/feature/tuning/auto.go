// SPDX-License-Identifier: Apache-2.0

package tuning

import (
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/tune"
	sm "github.com/sagebrush-ml/sagebrush/internal/wire/sagemaker"
)

// What Autotune chooses where the caller did not.
const (
	autoTrials  = 20
	autoRetries = 3
	hintFactor  = 10 // a range reaches from a tenth of the hint to ten times as much
)

// autotune fills in ranges, limits, early stopping, retries and completion. For a
// built-in algorithm without ranges those that its documentation recommends are
// taken. Source: API_Autotune, and "Choose Autotune" in the developer guide; which
// values the service chooses it does not tell.
func autotune(j *Job, images []imageOf) error {
	c := j.Doc.HyperParameterTuningJobConfig
	one := j.Doc.TrainingJobDefinition != nil
	for i := range images {
		d := j.Doc.TrainingJobDefinition
		ranges := c.ParameterRanges
		if !one {
			d = &j.Doc.TrainingJobDefinitions[i]
			ranges = d.HyperParameterRanges
		}
		full, err := autoRanges(images[i], d.StaticHyperParameters, ranges)
		if err != nil {
			return err
		}
		if one {
			c.ParameterRanges = full
		} else {
			d.HyperParameterRanges = full
		}
		if d.RetryStrategy == nil {
			d.RetryStrategy = &sm.RetryStrategy{MaximumRetryAttempts: new(int64(autoRetries))}
		}
	}
	if c.ResourceLimits.MaxNumberOfTrainingJobs == nil && c.Strategy != tune.Grid {
		most := int64(autoTrials)
		// There may be no more than there are points.
		most = min(most, int64(searchOf(*j).Points(autoTrials)))
		c.ResourceLimits.MaxNumberOfTrainingJobs = &most
	}
	if len(images) == 1 && c.Strategy != tune.Hyperband {
		c.TrainingJobEarlyStoppingType = "Auto"
	}
	criteria := sm.TuningJobCompletionCriteria{}
	if c.TuningJobCompletionCriteria != nil {
		criteria = *c.TuningJobCompletionCriteria
	}
	if criteria.ConvergenceDetected == nil {
		criteria.ConvergenceDetected = &sm.ConvergenceDetected{CompleteOnConvergence: "Enabled"}
	}
	c.TuningJobCompletionCriteria = &criteria
	return nil
}

// autoRanges adds ranges to those that were given: for the hyperparameters that
// have a hint, and where there are neither ranges nor hints for all that a
// built-in algorithm recommends.
func autoRanges(image imageOf, static map[string]string, given *sm.ParameterRanges) (*sm.ParameterRanges, error) {
	out := sm.ParameterRanges{}
	if given != nil {
		out = *given
	}
	none := len(out.IntegerParameterRanges)+len(out.ContinuousParameterRanges)+len(out.CategoricalParameterRanges)+len(out.AutoParameters) == 0
	add := func(p algo.Param, low, high float64, scale string) {
		if p.Kind == algo.Int {
			out.IntegerParameterRanges = append(slices.Clone(out.IntegerParameterRanges),
				sm.IntegerParameterRange{Name: p.Name, MinValue: text(math.Round(low)), MaxValue: text(math.Round(high)), ScalingType: scale})
			return
		}
		out.ContinuousParameterRanges = append(slices.Clone(out.ContinuousParameterRanges),
			sm.ContinuousParameterRange{Name: p.Name, MinValue: text(low), MaxValue: text(high), ScalingType: scale})
	}
	choose := func(p algo.Param) {
		values := p.Values
		if p.Kind == algo.Bool {
			values = []string{"true", "false"}
		}
		if len(values) > 0 {
			out.CategoricalParameterRanges = append(slices.Clone(out.CategoricalParameterRanges), sm.CategoricalParameterRange{Name: p.Name, Values: values})
		}
	}
	if none && image.spec == nil {
		return nil, fault.Validation("Autotune needs AutoParameters or ranges for an algorithm that is not built in.")
	}
	if none {
		for _, p := range image.spec.Params {
			fixed := slices.ContainsFunc(append([]string{p.Name}, p.Alias...), func(n string) bool { _, ok := static[n]; return ok })
			switch {
			case fixed:
			case p.Tune != nil:
				add(p, p.Tune.Min, p.Tune.Max, tune.Auto)
			case p.Tunable:
				choose(p)
			}
		}
		return &out, nil
	}
	for _, a := range out.AutoParameters {
		p := algo.Param{Name: a.Name, Kind: algo.Float}
		if image.spec != nil {
			known, ok := image.param(a.Name)
			if !ok {
				return nil, fault.Validation("The hyperparameter [%s] can't be tuned for the [%s] algorithm. Choose from [%s].", a.Name, image.spec.Name, strings.Join(image.tunable(), ", "))
			}
			known.Name = a.Name
			p = known
		}
		if p.Kind == algo.Enum || p.Kind == algo.Bool {
			choose(p)
			continue
		}
		hint := strings.TrimSpace(a.ValueHint)
		switch low := strings.ToLower(hint); low {
		case "true", "false":
			yes, no := "true", "false"
			if hint != low {
				yes, no = "True", "False"
			}
			out.CategoricalParameterRanges = append(slices.Clone(out.CategoricalParameterRanges), sm.CategoricalParameterRange{Name: a.Name, Values: []string{yes, no}})
			continue
		}
		x, err := strconv.ParseFloat(hint, 64)
		if err != nil || math.IsNaN(x) || math.IsInf(x, 0) {
			return nil, fault.Validation("The ValueHint [%s] of the hyperparameter [%s] must be a number, true or false.", a.ValueHint, a.Name)
		}
		if _, err := strconv.ParseInt(hint, 10, 64); err == nil && image.spec == nil {
			p.Kind = algo.Int
		}
		low, high := around(x, p)
		add(p, low, high, tune.Auto)
	}
	return &out, nil
}

// around is a range about a hint, within the bounds of the hyperparameter.
func around(x float64, p algo.Param) (low, high float64) {
	low, high = x/hintFactor, x*hintFactor
	switch {
	case x == 0:
		low, high = -1, 1
	case x < 0:
		low, high = high, low
	case x < 1 && high > 1 && p.Kind != algo.Int: // a share, as likely as not
		high = 1
	}
	if p.Kind == algo.Int && x > 0 {
		low = max(1, low)
	}
	if p.Min != nil && low <= *p.Min {
		if low = *p.Min; p.OpenMin {
			low = min(*p.Min+(x-*p.Min)/hintFactor, x)
		}
	}
	if p.Max != nil && high >= *p.Max {
		if high = *p.Max; p.OpenMax {
			high = max(*p.Max-(*p.Max-x)/hintFactor, x)
		}
	}
	return low, max(low, high)
}

func text(x float64) string { return strconv.FormatFloat(x, 'f', -1, 64) }
