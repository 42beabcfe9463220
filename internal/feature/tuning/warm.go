// SPDX-License-Identifier: Apache-2.0

package tuning

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/resource"
	"github.com/sagebrush-ml/sagebrush/internal/tune"
	sm "github.com/sagebrush-ml/sagebrush/internal/wire/sagemaker"
)

// identical is the type of warm start whose parents searched the same.
const identical = "IdenticalDataAndAlgorithm"

// maxChanges is how many hyperparameters may differ from a parent's: one that is
// tuned in one and static in the other counts once, a static value that changes
// twice. Source: "Run a Warm Start Hyperparameter Tuning Job" in the developer
// guide.
const maxChanges = 10

// parents are the tuning jobs that a warm start names.
func (s *Service) parents(ctx context.Context, j Job) ([]Job, error) {
	w := j.Doc.WarmStartConfig
	if w == nil {
		return nil, nil
	}
	var out []Job
	for _, p := range w.ParentHyperParameterTuningJobs {
		k := j.Key
		k.Name = nameOf(p.HyperParameterTuningJobName)
		parent, err := s.jobs.Get(ctx, k)
		if errors.Is(err, resource.ErrNotFound) {
			return nil, fault.Validation("Amazon SageMaker can't find the parent tuning job %s.", k.Name)
		}
		if err != nil {
			return nil, fmt.Errorf("read parent: %w", err)
		}
		out = append(out, parent)
	}
	return out, nil
}

// checkWarmStart is about a job's parents.
func (s *Service) checkWarmStart(ctx context.Context, j *Job) error {
	parents, err := s.parents(ctx, *j)
	if err != nil || len(parents) == 0 {
		return err
	}
	if n := j.Doc.HyperParameterTuningJobConfig.Strategy; n != tune.Bayesian && n != tune.Random {
		return fault.Validation("Warm start is not supported for the strategy %s. Use Bayesian or Random.", n)
	}
	seen := map[string]bool{}
	trials := value(j.Doc.HyperParameterTuningJobConfig.ResourceLimits.MaxNumberOfTrainingJobs)
	mine := definitionsOf(j.Doc)[0]
	for _, p := range parents {
		name := p.Key.Name
		switch {
		case seen[name]:
			return fault.Validation("The parent tuning job %s is named more than once.", name)
		case !life.Settled(p.Status):
			return fault.Validation("The parent tuning job %s is in status %s. Parent tuning jobs must be in a terminal state: Completed, Failed or Stopped.", name, p.Status)
		case len(p.Doc.TrainingJobDefinitions) > 1:
			return fault.Validation("The parent tuning job %s has several training job definitions. Warm start is available only when you're tuning a single algorithm.", name)
		}
		seen[name] = true
		theirs := definitionsOf(p.Doc)[0]
		if mine.objective != theirs.objective {
			return fault.Validation("The objective metric of the parent tuning job %s, %s %s, must be the same as that of the tuning job, %s %s.", name,
				theirs.objective.Type, theirs.objective.MetricName, mine.objective.Type, mine.objective.MetricName)
		}
		if err := compare(j.Doc.WarmStartConfig.WarmStartType, name, mine, theirs); err != nil {
			return err
		}
		if !sameBeside(mine, theirs, j.Doc.Autotune != nil || p.Doc.Autotune != nil) {
			return fault.Validation("Only the following fields in TrainingJobDefinition are allowed to change: [algorithmSpecification, inputDataConfig, " +
				"outputDataConfig, staticHyperParameters, roleArn, resourceConfig, stoppingCondition, vpcConfig, enableManagedSpotTraining, checkpointConfig].")
		}
		all, err := s.trialsOf(ctx, p)
		if err != nil {
			return err
		}
		trials += int64(len(all))
	}
	most := int64(maxTrials)
	if j.Doc.HyperParameterTuningJobConfig.Strategy == tune.Random {
		most = maxRandomTrials
	}
	if trials > most {
		return limit("the number of training jobs per hyperparameter tuning job with those of its parents", most, trials)
	}
	return nil
}

// sameBeside tells whether two definitions are the same in what the service does
// not let change between parent and child. Autotune sets how often is retried.
func sameBeside(mine, theirs definition, autotune bool) bool {
	is := func(b *bool) bool { return b != nil && *b }
	return maps.Equal(mine.Environment, theirs.Environment) &&
		is(mine.EnableNetworkIsolation) == is(theirs.EnableNetworkIsolation) &&
		is(mine.EnableInterContainerTrafficEncryption) == is(theirs.EnableInterContainerTrafficEncryption) &&
		(autotune || reflect.DeepEqual(mine.RetryStrategy, theirs.RetryStrategy))
}

// compare tells how a definition differs from a parent's in a way that it must not.
func compare(kind, parent string, mine, theirs definition) error {
	if kind == identical {
		a, b := mine.AlgorithmSpecification, theirs.AlgorithmSpecification
		switch {
		case a.TrainingImage != b.TrainingImage:
			return fault.Validation("The training image of the parent tuning job %s must be the same for the warm start type %s.", parent, identical)
		case !reflect.DeepEqual(mine.InputDataConfig, theirs.InputDataConfig):
			return fault.Validation("The input data of the parent tuning job %s must be the same for the warm start type %s.", parent, identical)
		}
	}
	tuned := func(d definition) map[string]bool {
		out := map[string]bool{}
		for _, p := range d.space() {
			out[p.Name] = true
		}
		return out
	}
	m, t := tuned(mine), tuned(theirs)
	all := func(tuned map[string]bool, d definition) map[string]bool {
		out := maps.Clone(tuned)
		for name := range d.StaticHyperParameters {
			out[name] = true
		}
		return out
	}
	if !maps.Equal(all(m, mine), all(t, theirs)) {
		return fault.Validation("The set of tunable plus static HyperParameter names is not the same across current and parent tuning jobs. Please ensure this set " +
			"is constant when warm starting. Note that previously static HyperParameters can be tuned in warm start jobs and vice versa.")
	}
	changes := 0
	for name := range t {
		if _, static := mine.StaticHyperParameters[name]; static {
			changes++
		}
	}
	for name, v := range mine.StaticHyperParameters {
		if old, static := theirs.StaticHyperParameters[name]; static && old != v {
			changes += 2
		}
	}
	for name := range m {
		if _, static := theirs.StaticHyperParameters[name]; static {
			changes++
		}
	}
	if changes > maxChanges {
		return fault.Validation("There are [%d] changes of hyperparameters from the parent tuning job %s; there may be [%d]. A static value that changes counts as two.",
			changes, parent, maxChanges)
	}
	return nil
}

// priorsOf are the trials of a job's parents, as its search sees them. What a
// parent did not tune has the parent's static value, where it has one. A parent
// that was deleted meanwhile tells no more.
func (s *Service) priorsOf(ctx context.Context, j Job, mine definition) ([]tune.Trial, error) {
	parents, err := s.parents(ctx, j)
	if fault.Of(err) != nil {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var out []tune.Trial
	for i, p := range parents {
		source := i + 1
		if j.Doc.WarmStartConfig.WarmStartType == identical {
			source = -source
		}
		trials, err := s.trialsOf(ctx, p)
		if err != nil {
			return nil, err
		}
		theirs := definitionsOf(p.Doc)[0]
		for _, t := range trials {
			if !counts(t) {
				continue
			}
			values := map[string]string{}
			for _, q := range mine.space() {
				if v, ok := t.Doc.Values[q.Name]; ok {
					values[q.Name] = v
				} else if v, ok := theirs.StaticHyperParameters[q.Name]; ok {
					values[q.Name] = v
				}
			}
			out = append(out, tune.Trial{Point: tune.Point{Values: values}, State: tune.Ended, Value: *t.Doc.Objective, Source: source})
		}
	}
	return out, nil
}

// overall is the best training job of a job and its parents, for the warm start
// whose parents searched the same; nil for every other job.
func (s *Service) overall(j Job, m *memory, best *sm.HyperParameterTrainingJobSummary) *sm.HyperParameterTrainingJobSummary {
	if j.Doc.WarmStartConfig == nil || j.Doc.WarmStartConfig.WarmStartType != identical {
		return nil
	}
	all := m.bests
	if best != nil {
		own := *best
		own.TuningJobName = j.Key.Name
		all = append(all[:len(all):len(all)], own)
	}
	var top *sm.HyperParameterTrainingJobSummary
	for i := range all {
		a := &all[i]
		if top == nil || better(m.search.Maximize, *a.FinalHyperParameterTuningJobObjectiveMetric.Value, *top.FinalHyperParameterTuningJobObjectiveMetric.Value) {
			top = a
		}
	}
	return top
}

// bestsOf are the best training jobs of a job's parents. What the parents' own
// parents have found does not count: "Warm start jobs are not recursive" in the
// developer guide.
func (s *Service) bestsOf(ctx context.Context, j Job) ([]sm.HyperParameterTrainingJobSummary, error) {
	parents, err := s.parents(ctx, j)
	if fault.Of(err) != nil {
		return nil, nil
	}
	var out []sm.HyperParameterTrainingJobSummary
	for _, p := range parents {
		if b := p.Doc.BestTrainingJob; b != nil {
			own := *b
			own.TuningJobName = p.Key.Name
			out = append(out, own)
		}
	}
	return out, err
}
