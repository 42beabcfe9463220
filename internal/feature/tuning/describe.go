// SPDX-License-Identifier: Apache-2.0

package tuning

import (
	"context"
	"maps"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
	sm "github.com/sagebrush-ml/sagebrush/internal/wire/sagemaker"
)

// complete shows a job as the service tells of it, which is more than was asked
// for: for how long it has run, all kinds of ranges, and of its definitions what
// the training jobs get. HyperparameterTuner.attach of the Python SDK v2 reads all
// of that without asking whether it is there. What the service adds was seen in
// the acceptance tests of Terraform's aws_sagemaker_hyper_parameter_tuning_job.
func (s *Service) complete(ctx context.Context, j *Job) error {
	if !life.Settled(j.Status) {
		j.Doc.ConsumedResources = consumed(*j, s.Now())
	}
	for _, d := range definitionsOf(j.Doc) {
		if err := s.tell(ctx, d); err != nil {
			return err
		}
	}
	showKinds(j.Doc.HyperParameterTuningJobConfig.ParameterRanges)
	for _, d := range j.Doc.TrainingJobDefinitions {
		showKinds(d.HyperParameterRanges)
	}
	return nil
}

// tell shows a definition with the hyperparameter and the metrics that the
// service adds, and its instances as ResourceConfig: those of
// HyperParameterTuningResourceConfig are in place of it only where there are
// several to choose from.
func (s *Service) tell(ctx context.Context, d definition) error {
	t := d.HyperParameterTrainingJobDefinition
	static := maps.Clone(t.StaticHyperParameters)
	if static == nil {
		static = map[string]string{}
	}
	static[objectiveParameter] = d.objective.MetricName
	t.StaticHyperParameters = static
	a := t.AlgorithmSpecification
	regex, err := s.objectiveRegex(ctx, d)
	if err != nil {
		return err
	}
	if len(a.MetricDefinitions) == 0 {
		image, err := s.image(ctx, d)
		if err != nil && fault.Of(err) == nil {
			return err
		}
		for _, m := range image.metrics[:min(len(image.metrics), maxMetrics-1)] {
			a.MetricDefinitions = append(a.MetricDefinitions, sm.MetricDefinition{Name: m.Name, Regex: m.Regex})
		}
	}
	a.MetricDefinitions = withObjective(a.MetricDefinitions, regex)
	if r := t.HyperParameterTuningResourceConfig; r != nil {
		t.ResourceConfig = d.resources()
		if len(r.InstanceConfigs) < 2 {
			t.HyperParameterTuningResourceConfig = nil
		}
	}
	return nil
}

// showKinds makes the kinds of ranges that there are none of empty lists, which
// are answered.
func showKinds(r *sm.ParameterRanges) {
	if r == nil {
		return
	}
	if r.IntegerParameterRanges == nil {
		r.IntegerParameterRanges = []sm.IntegerParameterRange{}
	}
	if r.ContinuousParameterRanges == nil {
		r.ContinuousParameterRanges = []sm.ContinuousParameterRange{}
	}
	if r.CategoricalParameterRanges == nil {
		r.CategoricalParameterRanges = []sm.CategoricalParameterRange{}
	}
}
