// SPDX-License-Identifier: Apache-2.0

package pca

import (
	"slices"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
	"github.com/sagebrush-ml/sagebrush/internal/algo/firstparty"
)

// Spec gives the hyperparameters of "PCA Hyperparameters" in the SageMaker
// developer guide.
func (Algorithm) Spec() algo.Spec {
	types := []string{"application/x-recordio-protobuf", "text/csv"}
	return algo.Spec{
		Name: "pca",
		Params: slices.Concat([]algo.Param{
			algo.IntParam("feature_dim", "", new(1.0), nil, "number of features").Needed(),
			algo.IntParam("mini_batch_size", "", new(1.0), nil, "records that one random matrix of the randomized mode is for").Needed(),
			algo.IntParam("num_components", "", new(1.0), nil, "number of principal components").Needed(),
			algo.EnumParam("algorithm_mode", "regular", "exact, or by a random sketch", "regular", "randomized"),
			algo.IntParam("extra_components", "-1", new(-1.0), nil, "further dimensions of the sketch; -1 is the larger of 10 and num_components"),
			algo.BoolParam("subtract_mean", "true", "whether the mean is taken off"),
			algo.BoolParam("force_dense", "true", "no effect: sparse records are read as such"),
		}, firstparty.Hidden()),
		Channels: []algo.ChannelSpec{
			{Name: "train", Required: true, Pipe: true, ContentTypes: types},
			{Name: "test", Pipe: true, ContentTypes: types},
		},
		Metrics:     firstparty.Common(),
		Distributed: true,
	}
}
