// SPDX-License-Identifier: Apache-2.0

package algotest_test

import (
	"testing"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
	"github.com/sagebrush-ml/sagebrush/internal/algo/algotest"
)

func TestMeanConforms(t *testing.T) {
	algotest.Run(t, algotest.Mean{}, []algotest.Case{
		{
			Name:     "csv with a validation channel",
			Params:   map[string]string{"rounds": "2"},
			Channels: map[string]algotest.Channel{"train": algotest.CSV("1,2,3\n0,4,5\n"), "validation": algotest.CSV("1,2,3\n")},
			Rows:     &algo.Matrix{Rows: 1, Cols: 2, Values: []float32{1, 2}},
			Long:     map[string]string{"rounds": "1000000000"},
		},
		{
			Name:     "libsvm",
			Params:   map[string]string{"rounds": "1", "scale": "2.5"},
			Channels: map[string]algotest.Channel{"train": algotest.LibSVM("1 0:1\n0 1:1\n")},
			Rows:     &algo.Matrix{Rows: 1, Cols: 1, Values: []float32{1}, Index: []int32{0}, Start: []int64{0, 1}},
		},
	})
}
