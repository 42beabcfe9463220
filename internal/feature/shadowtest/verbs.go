// SPDX-License-Identifier: Apache-2.0

package shadowtest

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/auth"
	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/op"
	"github.com/sagebrush-ml/sagebrush/internal/resource"
	"github.com/sagebrush-ml/sagebrush/internal/wire"
	sm "github.com/sagebrush-ml/sagebrush/internal/wire/sagemaker"
)

// Bounds of a schedule. Source: API_InferenceExperimentSchedule.
const (
	defaultLength = 7 * 24 * time.Hour
	leastLength   = time.Hour
	mostLength    = 30 * 24 * time.Hour
)

func (s *Service) create(ctx context.Context, in *sm.CreateInferenceExperimentInput) (*sm.CreateInferenceExperimentOutput, error) {
	tags := resource.TagsOf(in)
	if err := resource.CheckTags(tags); err != nil {
		return nil, err
	}
	if err := s.Roles.Assumable(ctx, in.RoleArn); err != nil {
		return nil, err
	}
	e, err := op.Call(ctx, s.Table, sm.DescribeEndpoint, &sm.DescribeEndpointInput{EndpointName: in.EndpointName})
	if err != nil {
		return nil, err
	}
	source, shadow, err := variantsOf(in.ModelVariants, in.ShadowModeConfig)
	if err != nil {
		return nil, err
	}
	if err := s.checkVariants(ctx, e, source, shadow); err != nil {
		return nil, err
	}
	k := s.experiments.Key(ctx, in.Name)
	r := record{Key: k, ARN: s.experiments.ARN(k), Doc: new(sm.DescribeInferenceExperimentOutput)}
	wire.Project(r.Doc, in, nil)
	if r.Doc.Schedule, err = s.schedule(in.Schedule); err != nil {
		return nil, err
	}
	r.Doc.ModelVariants = summaries(in.ModelVariants, "Creating")
	r.Doc.EndpointMetadata = &sm.EndpointMetadata{EndpointName: in.EndpointName}
	r.Private = plan{Principal: auth.CallerFrom(ctx).Principal, Original: e.EndpointConfigName}
	if err := s.experiments.Insert(ctx, &r, tags); err != nil {
		return nil, err
	}
	return &sm.CreateInferenceExperimentOutput{InferenceExperimentArn: r.ARN}, nil
}

// variantsOf finds production and shadow variant among an experiment's.
func variantsOf(all []sm.ModelVariantConfig, c *sm.ShadowModeConfig) (source, shadow *sm.ModelVariantConfig, err error) {
	if c == nil || len(c.ShadowModelVariants) != 1 {
		return nil, nil, fault.Validation("ShadowModeConfig must have exactly one shadow model variant.")
	}
	for i := range all {
		switch all[i].VariantName {
		case c.SourceModelVariantName:
			source = &all[i]
		case c.ShadowModelVariants[0].ShadowModelVariantName:
			shadow = &all[i]
		}
	}
	switch {
	case source == nil:
		return nil, nil, fault.Validation("SourceModelVariantName %q is not among the ModelVariants.", c.SourceModelVariantName)
	case shadow == nil:
		return nil, nil, fault.Validation("ShadowModelVariantName %q is not among the ModelVariants.", c.ShadowModelVariants[0].ShadowModelVariantName)
	}
	return source, shadow, nil
}

func (s *Service) checkVariants(ctx context.Context, e *sm.DescribeEndpointOutput, source, shadow *sm.ModelVariantConfig) error {
	if len(e.ProductionVariants) != 1 || e.ProductionVariants[0].CurrentServerlessConfig != nil || e.AsyncInferenceConfig != nil {
		return fault.Validation("Endpoint %q cannot be used in an inference experiment: it must have one production variant, on instances, that answers in real time.", e.EndpointName)
	}
	if name := e.ProductionVariants[0].VariantName; name != source.VariantName {
		return fault.Validation("SourceModelVariantName %q is not the production variant of endpoint %q, which is %q.", source.VariantName, e.EndpointName, name)
	}
	if len(e.ShadowProductionVariants) > 0 {
		return fault.Validation("Endpoint %q already has a shadow variant.", e.EndpointName)
	}
	for _, v := range []*sm.ModelVariantConfig{source, shadow} {
		if _, err := op.Call(ctx, s.Table, sm.DescribeModel, &sm.DescribeModelInput{ModelName: v.ModelName}); err != nil {
			return err
		}
		if v.InfrastructureConfig == nil || v.InfrastructureConfig.RealTimeInferenceConfig == nil {
			return fault.Validation("InfrastructureConfig of variant %q must have a RealTimeInferenceConfig.", v.VariantName)
		}
	}
	return nil
}

func (s *Service) schedule(in *sm.InferenceExperimentSchedule) (*sm.InferenceExperimentSchedule, error) {
	now := s.Now().UTC().Truncate(time.Millisecond)
	out := &sm.InferenceExperimentSchedule{}
	if in != nil {
		*out = *in
	}
	if out.StartTime.IsZero() {
		out.StartTime = wire.At(now)
	}
	if out.EndTime.IsZero() {
		out.EndTime = wire.At(out.StartTime.Add(defaultLength))
	}
	if length := out.EndTime.Sub(out.StartTime.Time); length < leastLength || length > mostLength {
		return nil, fault.Validation("The schedule of an inference experiment must be at least 1 hour and at most 30 days long; it is %v.", length)
	}
	if !out.EndTime.After(now) {
		return nil, fault.Validation("EndTime %s is in the past.", out.EndTime.Format(time.RFC3339))
	}
	return out, nil
}

func summaries(in []sm.ModelVariantConfig, status string) []sm.ModelVariantConfigSummary {
	var out []sm.ModelVariantConfigSummary
	for _, v := range in {
		out = append(out, sm.ModelVariantConfigSummary{ModelName: v.ModelName, VariantName: v.VariantName, InfrastructureConfig: v.InfrastructureConfig, Status: status})
	}
	return out
}

func configs(in []sm.ModelVariantConfigSummary) []sm.ModelVariantConfig {
	var out []sm.ModelVariantConfig
	for _, v := range in {
		out = append(out, sm.ModelVariantConfig{ModelName: v.ModelName, VariantName: v.VariantName, InfrastructureConfig: v.InfrastructureConfig})
	}
	return out
}

// complete adds what is known of the endpoint.
func (s *Service) complete(ctx context.Context, r *record) error {
	e, err := op.Call(ctx, s.Table, sm.DescribeEndpoint, &sm.DescribeEndpointInput{EndpointName: r.Doc.EndpointMetadata.EndpointName})
	if err == nil {
		r.Doc.EndpointMetadata.EndpointConfigName, r.Doc.EndpointMetadata.EndpointStatus, r.Doc.EndpointMetadata.FailureReason = e.EndpointConfigName, e.EndpointStatus, e.FailureReason
	}
	return nil // an endpoint that is gone is none of its errors
}

func ofType(in *sm.ListInferenceExperimentsInput) func(record) bool {
	if in.Type == "" {
		return nil
	}
	return func(r record) bool { return r.Doc.Type == in.Type }
}

// update changes what may be changed: all of one that was created and not begun;
// description, sampling and end of one that runs. Source:
// API_UpdateInferenceExperiment.
func (s *Service) update(ctx context.Context, in *sm.UpdateInferenceExperimentInput) (*sm.UpdateInferenceExperimentOutput, error) {
	was, err := s.experiments.Find(ctx, in.Name)
	if err != nil {
		return nil, err
	}
	schedule := was.Doc.Schedule
	if in.Schedule != nil {
		next := *in.Schedule
		if next.StartTime.IsZero() || was.Status != sm.InferenceExperimentStatusCreated {
			next.StartTime = schedule.StartTime
		}
		if schedule, err = s.schedule(&next); err != nil {
			return nil, err
		}
	}
	all, shadowMode := configs(was.Doc.ModelVariants), was.Doc.ShadowModeConfig
	if in.ModelVariants != nil {
		all = in.ModelVariants
	}
	if in.ShadowModeConfig != nil {
		shadowMode = in.ShadowModeConfig
	}
	if _, _, err := variantsOf(all, shadowMode); err != nil {
		return nil, err
	}
	r, err := s.experiments.Edit(ctx, was.Key, func(r *record) error {
		switch r.Status {
		case sm.InferenceExperimentStatusCreated:
		case sm.InferenceExperimentStatusRunning:
			if in.ModelVariants != nil || in.DataStorageConfig != nil {
				return fault.New("ConflictException", 400, "While an inference experiment runs only its description, sampling percentage and end can be changed.")
			}
			if in.ShadowModeConfig != nil {
				r.Status, r.Private.Config, r.Private.Asked = sm.InferenceExperimentStatusUpdating, "", false
			}
		default:
			return family.Refused(r.ARN, r.Status)
		}
		if in.Description != "" {
			r.Doc.Description = in.Description
		}
		if in.ModelVariants != nil {
			r.Doc.ModelVariants = summaries(in.ModelVariants, "Creating")
		}
		if in.DataStorageConfig != nil {
			r.Doc.DataStorageConfig = in.DataStorageConfig
		}
		r.Doc.Schedule, r.Doc.ShadowModeConfig = schedule, shadowMode
		return nil
	})
	return &sm.UpdateInferenceExperimentOutput{InferenceExperimentArn: r.ARN}, worded(was.ARN, err)
}

func worded(arn string, err error) error {
	if errors.Is(err, resource.ErrNotFound) {
		return family.NotFound(arn)
	}
	return err
}

// start begins before the schedule does.
func (s *Service) start(ctx context.Context, in *sm.StartInferenceExperimentInput) (*sm.StartInferenceExperimentOutput, error) {
	k := s.experiments.Key(ctx, in.Name)
	r, err := s.experiments.Edit(ctx, k, func(r *record) error {
		if r.Status != sm.InferenceExperimentStatusCreated && r.Status != sm.InferenceExperimentStatusCreating {
			return family.Refused(r.ARN, r.Status)
		}
		r.Private.Started = true
		return nil
	})
	return &sm.StartInferenceExperimentOutput{InferenceExperimentArn: r.ARN}, worded(s.experiments.ARN(k), err)
}

// stop says which variant stays. Source: API_StopInferenceExperiment.
func (s *Service) stop(ctx context.Context, in *sm.StopInferenceExperimentInput) (*sm.StopInferenceExperimentOutput, error) {
	was, err := s.experiments.Find(ctx, in.Name)
	if err != nil {
		return nil, err
	}
	promoted := 0
	for name, action := range in.ModelVariantActions {
		if !slices.ContainsFunc(was.Doc.ModelVariants, func(v sm.ModelVariantConfigSummary) bool { return v.VariantName == name }) {
			return nil, fault.Validation("ModelVariantActions names %q, which is no variant of the inference experiment.", name)
		}
		if action == "Promote" {
			promoted++
		}
	}
	kept := 0
	for _, v := range was.Doc.ModelVariants {
		if a := in.ModelVariantActions[v.VariantName]; a == "Retain" || a == "Promote" {
			kept++
		}
	}
	switch {
	case promoted > 1:
		return nil, fault.Validation("Only one variant can be promoted.")
	case kept == 0:
		return nil, fault.Validation("ModelVariantActions leaves the endpoint without a variant: one must be retained or promoted.")
	}
	ends := sm.InferenceExperimentStatusCompleted
	if in.DesiredState != "" {
		ends = in.DesiredState
	}
	r, err := s.experiments.Edit(ctx, was.Key, func(r *record) error {
		if r.Status == sm.InferenceExperimentStatusCreated { // the endpoint was not touched
			r.Status, r.Doc.StatusReason = sm.InferenceExperimentStatusCancelled, in.Reason
			r.Doc.CompletionTime = wire.At(s.Now().UTC())
			return nil
		}
		if !life.May(r.Status, sm.InferenceExperimentStatusStopping) || r.Status == sm.InferenceExperimentStatusStopping {
			return family.Refused(r.ARN, r.Status)
		}
		r.Status, r.Doc.StatusReason = sm.InferenceExperimentStatusStopping, in.Reason
		r.Private.stop(in.ModelVariantActions, in.DesiredModelVariants, ends)
		return nil
	})
	return &sm.StopInferenceExperimentOutput{InferenceExperimentArn: r.ARN}, worded(was.ARN, err)
}

func (p *plan) stop(actions map[string]string, desired []sm.ModelVariantConfig, ends string) {
	p.Actions, p.Desired, p.Ends, p.Config, p.Asked = actions, desired, ends, "", false
}

// delete forgets an experiment that is over. Source:
// API_DeleteInferenceExperiment.
func (s *Service) delete(ctx context.Context, in *sm.DeleteInferenceExperimentInput) (*sm.DeleteInferenceExperimentOutput, error) {
	r, err := s.experiments.Find(ctx, in.Name)
	if err != nil {
		return nil, err
	}
	if !life.Settled(r.Status) && r.Status != sm.InferenceExperimentStatusCreated {
		return nil, family.Refused(r.ARN, r.Status)
	}
	err = s.experiments.Remove(ctx, r.Key)
	return &sm.DeleteInferenceExperimentOutput{InferenceExperimentArn: r.ARN}, worded(r.ARN, err)
}
