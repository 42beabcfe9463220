// SPDX-License-Identifier: Apache-2.0

package training

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/sagebrush-ml/sagebrush/internal/runtime"
	sm "github.com/sagebrush-ml/sagebrush/internal/wire/sagemaker"
)

// allMetrics are a job's own metric definitions and, behind them, those that a
// built-in image brings along. The image's are not stored with each job: there
// are a hundred of them, and lists would read them all.
func (s *Service) allMetrics(ctx context.Context, j Job) ([]sm.MetricDefinition, error) {
	spec := j.Doc.AlgorithmSpecification
	if spec == nil {
		return nil, nil
	}
	image, err := s.Images.Image(ctx, spec.TrainingImage, needs(j))
	if errors.Is(err, runtime.ErrNoImage) { // it was known when the job was made
		return spec.MetricDefinitions, nil
	}
	if err != nil {
		return nil, fmt.Errorf("metrics of the training image: %w", err)
	}
	own := map[string]bool{}
	all := slices.Clone(spec.MetricDefinitions)
	for _, d := range all {
		own[d.Name] = true
	}
	for _, m := range image.Metrics {
		if !own[m.Name] {
			all = append(all, sm.MetricDefinition{Name: m.Name, Regex: m.Regex})
		}
	}
	return all, nil
}

// complete shows the image's metric definitions in Describe, as the service does.
func (s *Service) complete(ctx context.Context, j *Job) error {
	all, err := s.allMetrics(ctx, *j)
	if err != nil || len(all) == 0 {
		return err
	}
	j.Doc.AlgorithmSpecification.MetricDefinitions = all
	return nil
}
