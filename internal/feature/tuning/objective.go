// SPDX-License-Identifier: Apache-2.0

package tuning

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
	"github.com/sagebrush-ml/sagebrush/internal/algo/builtin"
	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/runtime"
	"github.com/sagebrush-ml/sagebrush/internal/telemetry"
	sm "github.com/sagebrush-ml/sagebrush/internal/wire/sagemaker"
)

// imageOf is what is known of a definition's image. Spec is nil unless it is a
// built-in algorithm without a script of the user's.
type imageOf struct {
	spec    *algo.Spec
	metrics []runtime.ImageMetric
}

// image finds a definition's image.
func (s *Service) image(ctx context.Context, d definition) (imageOf, error) {
	uri := d.AlgorithmSpecification.TrainingImage
	script := d.StaticHyperParameters["sagemaker_program"] != "" || d.Environment["SAGEMAKER_PROGRAM"] != ""
	image, err := s.Images.Image(ctx, uri, runtime.Needs{Script: script})
	switch {
	case errors.Is(err, runtime.ErrNoImage):
		return imageOf{}, fault.Validation("Cannot find the training image %s: %s", uri, err)
	case err != nil:
		return imageOf{}, fmt.Errorf("find training image: %w", err)
	case len(image.TrainArgv(nil, nil)) == 0:
		return imageOf{}, fault.Validation("The image %s cannot train: it has no train entry point.", uri)
	}
	out := imageOf{metrics: image.Metrics}
	if ref, ok := builtin.Image(uri); ok && len(image.Metrics) > 0 && !script {
		if a, ok := builtin.Lookup(ref.Algorithm); ok {
			out.spec = new(a.Spec())
		}
	}
	return out, nil
}

// check is about what depends on the image: the objective, and of a built-in
// algorithm which hyperparameters may be tuned within which bounds.
func (i imageOf) check(d definition) error {
	metrics := d.AlgorithmSpecification.MetricDefinitions
	if i.spec == nil {
		var all []telemetry.Definition
		found := false
		for _, m := range metrics {
			all = append(all, telemetry.Definition{Name: m.Name, Regex: m.Regex})
			found = found || m.Name == d.objective.MetricName
		}
		if !found {
			return fault.Validation("A metric is required for this hyperparameter tuning job objective. Provide a metric in the metric definitions.")
		}
		if _, err := telemetry.NewScraper(all); err != nil {
			return fault.Validation("The regular expression in AlgorithmSpecification.MetricDefinitions of %s cannot be used.", err)
		}
		return nil
	}
	// A tuner that was attached to a job sends back what Describe has shown.
	foreign := slices.ContainsFunc(metrics, func(m sm.MetricDefinition) bool {
		return m.Name != objectiveMetric && !slices.Contains(i.metrics, runtime.ImageMetric{Name: m.Name, Regex: m.Regex})
	})
	if foreign {
		return fault.Validation("You can't override the metric definitions for Amazon SageMaker algorithms. Please retry the request without specifying metric definitions.")
	}
	at := slices.IndexFunc(i.spec.Metrics, func(m algo.Metric) bool { return m.Name == d.objective.MetricName })
	if at < 0 {
		return fault.Validation("The objective metric for the hyperparameter tuning job, [%s], isn't valid for the [%s] algorithm. Choose a valid objective metric.",
			d.objective.MetricName, i.spec.Name)
	}
	if maximize := d.objective.Type == "Maximize"; maximize != i.spec.Metrics[at].Maximize {
		return fault.Validation("The objective metric type, [%s], that you specified for objective metric, [%s], isn't valid for the [%s] algorithm. "+
			"Choose a valid objective metric type.", d.objective.Type, d.objective.MetricName, i.spec.Name)
	}
	return i.checkTuned(d)
}

// checkTuned asks the algorithm's own bounds.
func (i imageOf) checkTuned(d definition) error {
	values := func(name string, all ...string) error {
		p, ok := i.param(name)
		if !ok {
			return fault.Validation("The hyperparameter [%s] can't be tuned for the [%s] algorithm. Choose from [%s].", name, i.spec.Name, strings.Join(i.tunable(), ", "))
		}
		p.Required = false
		for _, v := range all {
			if _, err := algo.ParseParams(algo.Spec{Params: []algo.Param{p}}, map[string]string{name: v}); err != nil {
				return fault.Validation("The range of the hyperparameter [%s] isn't valid for the [%s] algorithm. %s", name, i.spec.Name, err)
			}
		}
		return nil
	}
	for _, r := range d.ranges.IntegerParameterRanges {
		if err := values(r.Name, r.MinValue, r.MaxValue); err != nil {
			return err
		}
	}
	for _, r := range d.ranges.ContinuousParameterRanges {
		if p, ok := i.param(r.Name); ok && p.Kind == algo.Int {
			return fault.Validation("The hyperparameter [%s] of the [%s] algorithm is an integer: give it an IntegerParameterRange.", r.Name, i.spec.Name)
		}
		if err := values(r.Name, r.MinValue, r.MaxValue); err != nil {
			return err
		}
	}
	for _, r := range d.ranges.CategoricalParameterRanges {
		if err := values(r.Name, r.Values...); err != nil {
			return err
		}
	}
	return nil
}

// param is a hyperparameter that may be tuned, by its name or another that it has.
func (i imageOf) param(name string) (algo.Param, bool) {
	for _, p := range i.spec.Params {
		if p.Tunable && (p.Name == name || slices.Contains(p.Alias, name)) {
			return p, true
		}
	}
	return algo.Param{}, false
}

func (i imageOf) tunable() []string {
	var out []string
	for _, p := range i.spec.Params {
		if p.Tunable {
			out = append(out, p.Name)
		}
	}
	return out
}

// objectiveRegex finds the objective in a trial's log.
func (s *Service) objectiveRegex(ctx context.Context, d definition) (string, error) {
	for _, m := range d.AlgorithmSpecification.MetricDefinitions {
		if m.Name == d.objective.MetricName {
			return m.Regex, nil
		}
	}
	image, err := s.image(ctx, d)
	if fault.Of(err) != nil { // it was there when the job was made: its trials will tell
		return "", nil
	}
	for _, m := range image.metrics {
		if m.Name == d.objective.MetricName {
			return m.Regex, nil
		}
	}
	return "", err
}
