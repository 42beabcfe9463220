// SPDX-License-Identifier: Apache-2.0

package tuning

import (
	"context"
	"fmt"
	"net/http"
	"strconv"

	"github.com/sagebrush-ml/sagebrush/internal/auth"
	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/tune"
	sm "github.com/sagebrush-ml/sagebrush/internal/wire/sagemaker"
)

// Quotas of the service. Source: "Resource Limits for Automatic Model Tuning" in
// the developer guide.
const (
	maxTrials       = 750 // of all strategies but Random
	maxRandomTrials = 10000
	maxParallel     = 100
	maxTuned        = 30
	maxConcurrent   = 100 // tuning jobs of an account in a region
	maxEnvironment  = 48  // variables of all definitions together
	maxEpochs       = 20000
)

// check is what the model cannot say of a CreateHyperParameterTuningJob request,
// and the members that the service fills in. What only the request itself tells
// comes first, then what others must be asked.
func (s *Service) check(ctx context.Context, in *sm.CreateHyperParameterTuningJobInput, j *Job) error {
	if err := checkForm(in); err != nil {
		return err
	}
	own(j)
	defs := definitionsOf(j.Doc)
	images := make([]imageOf, len(defs))
	for i, d := range defs {
		var err error
		if images[i], err = s.image(ctx, d); err != nil {
			return err
		}
	}
	if in.Autotune != nil {
		if err := autotune(j, images); err != nil {
			return err
		}
		defs = definitionsOf(j.Doc)
	}
	for i, d := range defs {
		if err := checkRanges(d); err != nil {
			return err
		}
		if err := images[i].check(d); err != nil {
			return err
		}
		if images[i].spec != nil { // its own: Describe shows them again
			a := *d.AlgorithmSpecification
			a.MetricDefinitions = nil
			d.AlgorithmSpecification = &a
		}
	}
	if err := s.checkSearch(j, defs); err != nil {
		return err
	}
	for _, d := range defs {
		if err := s.Roles.Assumable(ctx, d.RoleArn); err != nil {
			return fault.Validation("Could not assume role %s. Please ensure that the role exists and allows principal "+
				"'sagemaker.amazonaws.com' to assume the role.", d.RoleArn)
		}
	}
	if err := s.checkWarmStart(ctx, j); err != nil {
		return err
	}
	if err := s.checkConcurrent(ctx, j); err != nil {
		return err
	}
	status, objective := sm.TrainingJobStatusCounters{}, sm.ObjectiveStatusCounters{}
	tally(nil, &status, &objective)
	j.Doc.TrainingJobStatusCounters, j.Doc.ObjectiveStatusCounters = &status, &objective
	j.Private.Principal = auth.CallerFrom(ctx).Principal
	j.Private.Seed = seedOf(*j, s.Now())
	if r := in.HyperParameterTuningJobConfig.RandomSeed; r != nil {
		j.Private.Seed = uint64(*r)
	}
	return nil
}

// checkConcurrent is about how many tuning jobs of the account are not settled.
func (s *Service) checkConcurrent(ctx context.Context, j *Job) error {
	keys, err := s.jobs.Unsettled(ctx)
	if err != nil {
		return fmt.Errorf("count tuning jobs: %w", err)
	}
	used := int64(0)
	for _, k := range keys {
		if k.Account == j.Key.Account && k.Region == j.Key.Region {
			used++
		}
	}
	if used >= maxConcurrent {
		return limitWith("the number of concurrent hyperparameter tuning jobs", maxConcurrent, used, 1)
	}
	return nil
}

// own makes copies of what the service changes in the document: the request's
// structures are not ours.
func own(j *Job) {
	c := *j.Doc.HyperParameterTuningJobConfig
	limits := *c.ResourceLimits
	c.ResourceLimits = &limits
	if c.TrainingJobEarlyStoppingType == "" {
		c.TrainingJobEarlyStoppingType = "Off"
	}
	j.Doc.HyperParameterTuningJobConfig = &c
	fill := func(d *sm.HyperParameterTrainingJobDefinition) {
		for _, b := range []**bool{&d.EnableNetworkIsolation, &d.EnableInterContainerTrafficEncryption, &d.EnableManagedSpotTraining} {
			if *b == nil {
				*b = new(false)
			}
		}
	}
	if d := j.Doc.TrainingJobDefinition; d != nil {
		one := *d
		fill(&one)
		j.Doc.TrainingJobDefinition = &one
	}
	j.Doc.TrainingJobDefinitions = append([]sm.HyperParameterTrainingJobDefinition(nil), j.Doc.TrainingJobDefinitions...)
	for i := range j.Doc.TrainingJobDefinitions {
		fill(&j.Doc.TrainingJobDefinitions[i])
	}
}

// checkForm is about members that need or exclude each other.
func checkForm(in *sm.CreateHyperParameterTuningJobInput) error {
	c := in.HyperParameterTuningJobConfig
	switch several := len(in.TrainingJobDefinitions) > 0; {
	case several == (in.TrainingJobDefinition != nil):
		return fault.Validation("You must specify exactly one of TrainingJobDefinition and TrainingJobDefinitions.")
	case several && (c.HyperParameterTuningJobObjective != nil || c.ParameterRanges != nil):
		return fault.Validation("HyperParameterTuningJobObjective and ParameterRanges in HyperParameterTuningJobConfig are only for a single " +
			"TrainingJobDefinition. Specify TuningObjective and HyperParameterRanges in each of TrainingJobDefinitions.")
	case len(in.TrainingJobDefinitions) > 1 && in.WarmStartConfig != nil:
		return fault.Validation("WarmStartConfig is not supported with several TrainingJobDefinitions. Warm start is available only when you're tuning a single algorithm.")
	case len(in.TrainingJobDefinitions) > 1 && c.TrainingJobEarlyStoppingType == "Auto":
		return fault.Validation("TrainingJobEarlyStoppingType Auto is not supported with several TrainingJobDefinitions. Early stopping is available only when you're tuning a single algorithm.")
	case several:
		return checkDefinitions(in)
	case c.HyperParameterTuningJobObjective == nil:
		return fault.Validation("HyperParameterTuningJobObjective is required in HyperParameterTuningJobConfig with TrainingJobDefinition.")
	case in.TrainingJobDefinition.TuningObjective != nil || in.TrainingJobDefinition.HyperParameterRanges != nil:
		return fault.Validation("TuningObjective and HyperParameterRanges are only for TrainingJobDefinitions. " +
			"Specify HyperParameterTuningJobObjective and ParameterRanges in HyperParameterTuningJobConfig.")
	case c.ParameterRanges == nil && in.Autotune == nil:
		return fault.Validation("ParameterRanges is required in HyperParameterTuningJobConfig, unless Autotune is enabled.")
	}
	return checkDefinition(in.TrainingJobDefinition, c.ParameterRanges, in.Autotune)
}

func checkDefinitions(in *sm.CreateHyperParameterTuningJobInput) error {
	names, variables := map[string]bool{}, 0
	for i := range in.TrainingJobDefinitions {
		d := &in.TrainingJobDefinitions[i]
		switch {
		case d.DefinitionName == "":
			return fault.Validation("DefinitionName is required in each of TrainingJobDefinitions.")
		case names[d.DefinitionName]:
			return fault.Validation("DefinitionName [%s] is used more than once in TrainingJobDefinitions.", d.DefinitionName)
		case d.TuningObjective == nil:
			return fault.Validation("TuningObjective is required in the training job definition [%s].", d.DefinitionName)
		case d.TuningObjective.Type != in.TrainingJobDefinitions[0].TuningObjective.Type:
			return fault.Validation("The objectives of all TrainingJobDefinitions must have the same Type: their values are compared.")
		case d.HyperParameterRanges == nil && in.Autotune == nil:
			return fault.Validation("HyperParameterRanges is required in the training job definition [%s].", d.DefinitionName)
		}
		names[d.DefinitionName] = true
		if variables += len(d.Environment); variables > maxEnvironment {
			return fault.Validation("The number of environment variables of all TrainingJobDefinitions, [%d], must be less than or equal to [%d].", variables, maxEnvironment)
		}
		if err := checkDefinition(d, d.HyperParameterRanges, in.Autotune); err != nil {
			return err
		}
	}
	return nil
}

func checkDefinition(d *sm.HyperParameterTrainingJobDefinition, ranges *sm.ParameterRanges, autotune *sm.Autotune) error {
	a, t := d.AlgorithmSpecification, d.HyperParameterTuningResourceConfig
	switch {
	case (a.TrainingImage == "") == (a.AlgorithmName == ""):
		return fault.Validation("You must specify exactly one of AlgorithmName and TrainingImage in AlgorithmSpecification.")
	case a.AlgorithmName != "":
		return fault.Validation("AlgorithmSpecification.AlgorithmName is not supported by Sagebrush yet: give TrainingImage.")
	case (d.ResourceConfig == nil) == (t == nil):
		return fault.Validation("You must specify exactly one of ResourceConfig and HyperParameterTuningResourceConfig in the training job definition.")
	case t != nil && (len(t.InstanceConfigs) > 0) == (t.InstanceType != "" || t.InstanceCount != nil):
		return fault.Validation("HyperParameterTuningResourceConfig must have either InstanceConfigs, or InstanceType and InstanceCount, not both.")
	case t != nil && len(t.InstanceConfigs) > 0 && t.VolumeSizeInGB != nil:
		return fault.Validation("HyperParameterTuningResourceConfig must not have VolumeSizeInGB when it has InstanceConfigs, each of which has its own.")
	case t != nil && len(t.InstanceConfigs) == 0 && (t.InstanceType == "" || t.InstanceCount == nil):
		return fault.Validation("HyperParameterTuningResourceConfig must have both InstanceType and InstanceCount when it has no InstanceConfigs.")
	case ranges != nil && len(ranges.AutoParameters) > 0 && autotune == nil:
		return fault.Validation("AutoParameters are only for tuning jobs whose Autotune is enabled. Give ranges, or enable Autotune.")
	case d.StoppingCondition == nil:
		return fault.Validation("StoppingCondition is required in the training job definition.")
	}
	return nil
}

// limit words the refusal of what is more than an account may have.
func limit(what string, most, asked int64) error { return limitWith(what, most, 0, asked) }

// limitWith is limit where some are in use.
func limitWith(what string, most, used, asked int64) error {
	return fault.New("ResourceLimitExceeded", http.StatusBadRequest, "The account-level service limit '%s' is %d Jobs, with current utilization of %d Jobs "+
		"and a request delta of %d Jobs. Please contact AWS support to request an increase for this limit.", what, most, used, asked)
}

// checkSearch is about strategy, number of trials and ranges together.
func (s *Service) checkSearch(j *Job, defs []definition) error {
	c := j.Doc.HyperParameterTuningJobConfig
	limits := c.ResourceLimits
	if hyperband(c) != nil && c.Strategy != tune.Hyperband {
		return fault.Validation("HyperbandStrategyConfig is only for the strategy Hyperband, not for %s.", c.Strategy)
	}
	search := searchOf(*j)
	most := int64(maxTrials)
	switch c.Strategy {
	case tune.Random:
		most = maxRandomTrials
	case tune.Hyperband:
		if err := checkHyperband(j, defs); err != nil {
			return err
		}
	case tune.Grid:
		return checkGrid(c, search, defs)
	}
	if n := limits.MaxNumberOfTrainingJobs; n == nil {
		return fault.Validation("MaxNumberOfTrainingJobs is required in ResourceLimits for the strategy %s.", c.Strategy)
	} else if *n > most {
		return limit("the number of training jobs per hyperparameter tuning job", most, *n)
	}
	if n := *limits.MaxParallelTrainingJobs; n > maxParallel {
		return limit("the number of parallel training jobs per hyperparameter tuning job", maxParallel, n)
	}
	wanted := *limits.MaxNumberOfTrainingJobs
	if have := search.Points(int(wanted)); int64(have) < wanted {
		return fault.Validation("You don't have enough combinations of hyperparameter ranges. The total number of hyperparameter combinations for the "+
			"provided ranges [%d.0] must be equal or greater than the value of MaxNumberOfJobs, [%d]. Provide additional ranges.", have, wanted)
	}
	return nil
}

// checkGrid fills in the number of trials that a grid has.
func checkGrid(c *sm.HyperParameterTuningJobConfig, search tune.Search, defs []definition) error {
	for _, d := range defs {
		if len(d.ranges.IntegerParameterRanges)+len(d.ranges.ContinuousParameterRanges) > 0 {
			return fault.Validation("The strategy Grid supports only CategoricalParameterRanges. Remove the integer and continuous ranges.")
		}
	}
	points := int64(search.Points(maxTrials))
	switch n := c.ResourceLimits.MaxNumberOfTrainingJobs; {
	case points > maxTrials:
		return limit("the number of training jobs per hyperparameter tuning job", maxTrials, points)
	case n != nil && *n != points:
		return fault.Validation("MaxNumberOfTrainingJobs [%d] must be left out for the strategy Grid, or be the number of combinations of the "+
			"categorical values, [%d].", *n, points)
	case *c.ResourceLimits.MaxParallelTrainingJobs > maxParallel:
		return limit("the number of parallel training jobs per hyperparameter tuning job", maxParallel, *c.ResourceLimits.MaxParallelTrainingJobs)
	}
	c.ResourceLimits.MaxNumberOfTrainingJobs = &points
	return nil
}

// epochNames are the static hyperparameters of which MaxResource is inferred.
// Source: API_HyperbandStrategyConfig.
var epochNames = []string{"epochs", "numepochs", "n-epochs", "n_epochs", "num_epochs"}

// checkHyperband finds the epochs of the first rung and of a whole training job.
func checkHyperband(j *Job, defs []definition) error {
	c := j.Doc.HyperParameterTuningJobConfig
	if c.TrainingJobEarlyStoppingType == "Auto" {
		return fault.Validation("TrainingJobEarlyStoppingType must be Off for the strategy Hyperband, which stops training jobs by itself.")
	}
	least, most := int64(1), int64(0)
	if b := hyperband(c); b != nil {
		least, most = max(least, value(b.MinResource)), value(b.MaxResource)
	}
	for _, d := range defs {
		if most > 0 {
			break
		}
		for _, name := range epochNames {
			if n, err := strconv.ParseInt(d.StaticHyperParameters[name], 10, 64); err == nil && n > 0 {
				most = n
				break
			}
		}
	}
	switch {
	case most > maxEpochs:
		return fault.Validation("MaxResource [%d] in HyperbandStrategyConfig must be less than or equal to [%d].", most, maxEpochs)
	case most == 0:
		return fault.Validation("MaxResource parameter is not provided and could not be inferred from provided static hyperparameters of TrainingJobDefinition.")
	case least >= most:
		return fault.Validation("MinResource [%d] must be less than MaxResource [%d] in HyperbandStrategyConfig.", least, most)
	}
	j.Private.MinResource, j.Private.MaxResource = int(least), int(most)
	return nil
}

// title names a definition in messages.
func (d definition) title() string {
	if d.DefinitionName == "" {
		return "the training job definition"
	}
	return fmt.Sprintf("the training job definition [%s]", d.DefinitionName)
}
