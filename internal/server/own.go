// SPDX-License-Identifier: Apache-2.0

package server

import (
	"context"
	"encoding/json"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/feature/training"
)

// interrupt is InterruptTrainingJob, an operation that AWS does not have: the
// spot capacity of a job is taken away.
func interrupt(train *training.Service) func(context.Context, []byte) (any, error) {
	return func(ctx context.Context, body []byte) (any, error) {
		var in struct{ TrainingJobName string }
		if err := json.Unmarshal(body, &in); err != nil {
			return nil, fault.Serialization("The request body is no JSON: %v", err)
		}
		if in.TrainingJobName == "" {
			return nil, fault.Validation("TrainingJobName must be given.")
		}
		return struct{}{}, train.Interrupt(ctx, in.TrainingJobName)
	}
}
