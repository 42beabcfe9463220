// SPDX-License-Identifier: Apache-2.0

package training

import (
	"context"
	"errors"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/resource"
	"github.com/sagebrush-ml/sagebrush/internal/wire"
	sm "github.com/sagebrush-ml/sagebrush/internal/wire/sagemaker"
)

// update is UpdateTrainingJob (API_UpdateTrainingJob): the profiler's settings
// of a job that runs, and how long instances are kept, also of one that has
// ended and whose instances wait. What it could change besides is not built. A missing job
// and one that has ended are ValidationException.
func (s *Service) update(ctx context.Context, in *sm.UpdateTrainingJobInput) (*sm.UpdateTrainingJobOutput, error) {
	switch {
	case len(in.ProfilerRuleConfigurations) > 0:
		return nil, unsupported("ProfilerRuleConfigurations", "profiler rules are not built.")
	case in.RemoteDebugConfig != nil && isTrue(in.RemoteDebugConfig.EnableRemoteDebug):
		return nil, unsupported("RemoteDebugConfig.EnableRemoteDebug", "there is no session into the container.")
	}
	j, err := s.jobs.Edit(ctx, s.jobs.Key(ctx, in.TrainingJobName), func(j *Job) error {
		if j.Status != InProgress && (!waits(*j) || in.ResourceConfig == nil) {
			return refused(j.Status)
		}
		if in.ResourceConfig != nil {
			changed := *j.Doc.ResourceConfig
			changed.KeepAlivePeriodInSeconds = in.ResourceConfig.KeepAlivePeriodInSeconds
			j.Doc.ResourceConfig = &changed
		}
		if p := in.ProfilerConfig; p != nil {
			merged := sm.ProfilerConfig{}
			if j.Doc.ProfilerConfig != nil {
				merged = *j.Doc.ProfilerConfig
			}
			wire.Project(&merged, p, nil)
			j.Doc.ProfilerConfig, j.Doc.ProfilingStatus = &merged, "Disabled"
		}
		if in.RemoteDebugConfig != nil {
			j.Doc.RemoteDebugConfig = &sm.RemoteDebugConfig{EnableRemoteDebug: in.RemoteDebugConfig.EnableRemoteDebug}
		}
		return nil
	})
	if errors.Is(err, resource.ErrNotFound) {
		return nil, fault.Validation("Requested resource not found.")
	}
	if err != nil {
		return nil, err
	}
	s.poolChanged(j)
	return &sm.UpdateTrainingJobOutput{TrainingJobArn: j.ARN}, nil
}
