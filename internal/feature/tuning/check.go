// SPDX-License-Identifier: Apache-2.0

package tuning

import (
	"context"

	"github.com/sagebrush-ml/sagebrush/internal/auth"
	"github.com/sagebrush-ml/sagebrush/internal/resource"
	"github.com/sagebrush-ml/sagebrush/internal/tune"
	sm "github.com/sagebrush-ml/sagebrush/internal/wire/sagemaker"
)

const maxTrials = 750

func (s *Service) check(ctx context.Context, in *sm.CreateHyperParameterTuningJobInput, j *Job) error {
	j.Private.Principal = auth.CallerFrom(ctx).Principal
	j.Private.Seed = seedOf(*j, s.Now())
	if r := in.HyperParameterTuningJobConfig.RandomSeed; r != nil {
		j.Private.Seed = uint64(*r)
	}
	status, objective := sm.TrainingJobStatusCounters{}, sm.ObjectiveStatusCounters{}
	tally(nil, &status, &objective)
	j.Doc.TrainingJobStatusCounters, j.Doc.ObjectiveStatusCounters = &status, &objective
	return nil
}

func watches(j Job) bool { return false }
func (s *Service) worthless(context.Context, *memory) ([]int, error) { return nil, nil }
func (s *Service) hasConverged(Job, *memory) bool { return false }
func (s *Service) overall(j Job, m *memory, best sm.HyperParameterTrainingJobSummary) *sm.HyperParameterTrainingJobSummary { return nil }
func (s *Service) priorsOf(ctx context.Context, j Job, d definition) ([]tune.Trial, error) { return nil, nil }
func (s *Service) objectiveRegex(ctx context.Context, d definition) (string, error) { return "", nil }
var _ resource.Key
