// SPDX-License-Identifier: Apache-2.0

package rcf

import (
	"slices"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
	"github.com/sagebrush-ml/sagebrush/internal/algo/firstparty"
)

// Spec gives the hyperparameters of "RCF Hyperparameters" in the SageMaker
// developer guide.
func (Algorithm) Spec() algo.Spec {
	types := []string{"application/x-recordio-protobuf", "text/csv"}
	return algo.Spec{
		Name: "randomcutforest",
		Params: slices.Concat([]algo.Param{
			algo.IntParam("feature_dim", "", new(1.0), new(10000.0), "number of features").Needed(),
			algo.IntParam("num_trees", "100", new(50.0), new(1000.0), "trees of the forest").Tuned(50, 1000),
			algo.IntParam("num_samples_per_tree", "256", new(1.0), new(2048.0), "records that each tree is built from").Tuned(1, 2048),
			algo.ListParam("eval_metrics", "accuracy,precision_recall_fscore", "what is measured on the channel test", "accuracy", "precision_recall_fscore"),
			algo.IntParam("mini_batch_size", "1000", new(1.0), nil, "no effect: the sample is drawn from all records at once"),
			algo.IntParam("epochs", "1", new(1.0), nil, "no effect: one pass draws the sample"),
			algo.BoolParam("force_dense", "true", "no effect: sparse records are read as such"),
			algo.IntParam("_ftp_port", "8999", new(1.0), new(65535.0), "no effect"),
		}, firstparty.Hidden()),
		Channels: []algo.ChannelSpec{
			{Name: "train", Required: true, Pipe: true, ContentTypes: types},
			{Name: "test", Pipe: true, ContentTypes: types},
		},
		Metrics: append(firstparty.Common(),
			firstparty.Final("test", firstparty.Score("f1"), ""),
			firstparty.Final("test", firstparty.Score("accuracy"), ""),
			firstparty.Final("test", firstparty.Score("precision"), ""),
			firstparty.Final("test", firstparty.Score("recall"), "")),
		Distributed: true,
	}
}
