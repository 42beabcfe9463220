// SPDX-License-Identifier: Apache-2.0

package serve

import "github.com/sagebrush-ml/sagebrush/internal/algo"

// scores answers for models that are no Formatter: one "score" per row, a list
// where a row of the prediction is wider than one.
type scores struct{}

var _ algo.Formatter = scores{}

// Accepts puts JSON first, the default of most first-party algorithms.
func (scores) Accepts() []string {
	return []string{"application/json", "application/jsonlines", "text/csv"}
}

func (scores) Format(dst []byte, how algo.Answer, p algo.Prediction) ([]byte, error) {
	return algo.AppendScores(dst, how, p)
}
