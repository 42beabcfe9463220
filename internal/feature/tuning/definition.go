// SPDX-License-Identifier: Apache-2.0

package tuning

import (
	"maps"
	"strconv"

	"github.com/sagebrush-ml/sagebrush/internal/tune"
	sm "github.com/sagebrush-ml/sagebrush/internal/wire/sagemaker"
)

// Names that the service adds to each trial's training job.
const (
	objectiveParameter = "_tuning_objective_metric" // hyperparameter: name of the objective
	objectiveMetric    = "ObjectiveMetric"          // metric definition with the objective's expression
)

// maxMetrics is how many metric definitions a training job may have, maxHyper
// how many hyperparameters.
const (
	maxMetrics = 40
	maxHyper   = 100
)

// definition is a training job definition with what is tuned of it. A tuning job
// of one definition has objective and ranges in its configuration.
type definition struct {
	*sm.HyperParameterTrainingJobDefinition
	objective sm.HyperParameterTuningJobObjective
	ranges    sm.ParameterRanges
}

// definitionsOf are those of a tuning job, one or several.
func definitionsOf(d *sm.DescribeHyperParameterTuningJobOutput) []definition {
	fill := func(t *sm.HyperParameterTrainingJobDefinition, o *sm.HyperParameterTuningJobObjective, r *sm.ParameterRanges) definition {
		out := definition{HyperParameterTrainingJobDefinition: t}
		if o != nil {
			out.objective = *o
		}
		if r != nil {
			out.ranges = *r
		}
		return out
	}
	if t := d.TrainingJobDefinition; t != nil {
		c := d.HyperParameterTuningJobConfig
		return []definition{fill(t, c.HyperParameterTuningJobObjective, c.ParameterRanges)}
	}
	var out []definition
	for i := range d.TrainingJobDefinitions {
		t := &d.TrainingJobDefinitions[i]
		out = append(out, fill(t, t.TuningObjective, t.HyperParameterRanges))
	}
	return out
}

// space is what the ranges allow. They have been checked.
func (d definition) space() tune.Space {
	var out tune.Space
	number := func(s string) float64 {
		x, _ := strconv.ParseFloat(s, 64)
		return x
	}
	for _, r := range d.ranges.IntegerParameterRanges {
		out = append(out, tune.Param{Name: r.Name, Kind: tune.Integer, Min: number(r.MinValue), Max: number(r.MaxValue), Scale: r.ScalingType})
	}
	for _, r := range d.ranges.ContinuousParameterRanges {
		out = append(out, tune.Param{Name: r.Name, Kind: tune.Continuous, Min: number(r.MinValue), Max: number(r.MaxValue), Scale: r.ScalingType})
	}
	for _, r := range d.ranges.CategoricalParameterRanges {
		out = append(out, tune.Param{Name: r.Name, Kind: tune.Categorical, Values: r.Values})
	}
	return out
}

// searchOf is how a tuning job searches.
func searchOf(j Job) tune.Search {
	c := j.Doc.HyperParameterTuningJobConfig
	out := tune.Search{Strategy: c.Strategy, Seed: j.Private.Seed, MinResource: j.Private.MinResource, MaxResource: j.Private.MaxResource}
	for i, d := range definitionsOf(j.Doc) {
		out.Spaces = append(out.Spaces, d.space())
		if i == 0 {
			out.Maximize = d.objective.Type == "Maximize"
		}
	}
	return out.Remembering()
}

func hyperband(c *sm.HyperParameterTuningJobConfig) *sm.HyperbandStrategyConfig {
	if c.StrategyConfig == nil {
		return nil
	}
	return c.StrategyConfig.HyperbandStrategyConfig
}

// trainingJob is the request for a trial's training job.
func (d definition) trainingJob(name string, values map[string]string, regex string, tags []sm.Tag) *sm.CreateTrainingJobInput {
	hyper := maps.Clone(d.StaticHyperParameters)
	if hyper == nil {
		hyper = map[string]string{}
	}
	maps.Copy(hyper, values)
	hyper[objectiveParameter] = d.objective.MetricName
	a := d.AlgorithmSpecification
	return &sm.CreateTrainingJobInput{
		TrainingJobName: name, HyperParameters: hyper, RoleArn: d.RoleArn, Tags: tags,
		AlgorithmSpecification: &sm.AlgorithmSpecification{TrainingImage: a.TrainingImage, AlgorithmName: a.AlgorithmName,
			TrainingInputMode: a.TrainingInputMode, MetricDefinitions: withObjective(a.MetricDefinitions, regex)},
		InputDataConfig: d.InputDataConfig, OutputDataConfig: d.OutputDataConfig, ResourceConfig: d.resources(),
		VpcConfig: d.VpcConfig, StoppingCondition: d.StoppingCondition, EnableNetworkIsolation: d.EnableNetworkIsolation,
		EnableInterContainerTrafficEncryption: d.EnableInterContainerTrafficEncryption,
		EnableManagedSpotTraining:             d.EnableManagedSpotTraining,
		CheckpointConfig:                      d.checkpoints(name), RetryStrategy: d.RetryStrategy, Environment: d.Environment,
	}
}

// withObjective adds a definition with the objective's expression to those of a
// training job, unless there are too many.
func withObjective(given []sm.MetricDefinition, regex string) []sm.MetricDefinition {
	out := []sm.MetricDefinition{}
	for _, m := range given {
		if m.Name != objectiveMetric { // a tuner that was attached sends it back
			out = append(out, m)
		}
	}
	if len(out) < maxMetrics && regex != "" {
		out = append(out, sm.MetricDefinition{Name: objectiveMetric, Regex: regex})
	}
	return out
}

// resources are the machines of a trial. Of instances to choose from the first is
// taken: there is one machine, and it has room.
func (d definition) resources() *sm.ResourceConfig {
	t := d.HyperParameterTuningResourceConfig
	if t == nil {
		return d.ResourceConfig
	}
	out := &sm.ResourceConfig{InstanceType: t.InstanceType, InstanceCount: t.InstanceCount, VolumeSizeInGB: t.VolumeSizeInGB, VolumeKmsKeyId: t.VolumeKmsKeyId}
	if len(t.InstanceConfigs) > 0 {
		c := t.InstanceConfigs[0]
		out.InstanceType, out.InstanceCount, out.VolumeSizeInGB = c.InstanceType, c.InstanceCount, c.VolumeSizeInGB
	}
	if out.VolumeSizeInGB == nil {
		out.VolumeSizeInGB = new(int64(1))
	}
	return out
}

// checkpoints are kept apart for each trial: one that began from those of another
// would not be what its hyperparameters make.
func (d definition) checkpoints(name string) *sm.CheckpointConfig {
	if d.CheckpointConfig == nil {
		return nil
	}
	out := *d.CheckpointConfig
	for len(out.S3Uri) > 0 && out.S3Uri[len(out.S3Uri)-1] == '/' {
		out.S3Uri = out.S3Uri[:len(out.S3Uri)-1]
	}
	out.S3Uri += "/" + name
	return &out
}
