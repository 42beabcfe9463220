// SPDX-License-Identifier: Apache-2.0

package lda

import (
	"slices"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
	"github.com/sagebrush-ml/sagebrush/internal/algo/firstparty"
)

var pwll = firstparty.Score("pwll")

// Spec gives the hyperparameters of "LDA Hyperparameters" in the SageMaker
// developer guide.
func (Algorithm) Spec() algo.Spec {
	types := []string{"application/x-recordio-protobuf", "text/csv"}
	return algo.Spec{
		Name: "lda",
		Params: slices.Concat([]algo.Param{
			algo.IntParam("num_topics", "", new(1.0), nil, "number of topics").Needed().Tuned(1, 150),
			algo.IntParam("feature_dim", "", new(1.0), nil, "number of words of the vocabulary").Needed(),
			algo.IntParam("mini_batch_size", "", new(1.0), nil, "number of documents; no effect").Needed(),
			algo.FloatParam("alpha0", "1.0", new(0.0), nil, "sum of the Dirichlet weights of the topics: small where documents have few topics").Above().Tuned(0.1, 10),
			algo.IntParam("max_restarts", "10", new(1.0), nil, "random starts for each part of the tensor"),
			algo.IntParam("max_iterations", "1000", new(1.0), nil, "iterations in which the parts of the tensor settle"),
			algo.FloatParam("tol", "1e-8", new(0.0), nil, "relative change of what the parts explain that ends the iterations").Above(),
		}, firstparty.Hidden()),
		Channels: []algo.ChannelSpec{
			{Name: "train", Required: true, Pipe: true, ContentTypes: types},
			{Name: "test", Pipe: true, ContentTypes: types},
		},
		Metrics: append(firstparty.Common(), firstparty.Final("test", pwll, "")),
	}
}
