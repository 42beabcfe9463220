// SPDX-License-Identifier: Apache-2.0

package kmeans

import (
	"github.com/sagebrush-ml/sagebrush/internal/algo"
	"github.com/sagebrush-ml/sagebrush/internal/algo/firstparty"
)

var (
	msd = firstparty.Loss("msd")
	ssd = firstparty.Loss("ssd")
)

// methodNames are the ways to choose first centres.
var methodNames = []string{"random", "kmeans++"}

// Spec has the hyperparameters of SageMaker's k-means. Sources: "K-Means
// Hyperparameters" and "Tune a K-Means Model" in the SageMaker developer guide.
func (Algorithm) Spec() algo.Spec {
	types := []string{"application/x-recordio-protobuf", "text/csv", "text/csv;label_size=0"}
	return algo.Spec{
		Name: "kmeans",
		Params: append([]algo.Param{
			algo.IntParam("feature_dim", "", new(1.0), nil, "number of features of a row").Needed(),
			algo.IntParam("k", "", new(1.0), nil, "number of clusters").Needed(),
			algo.IntParam("epochs", "1", new(1.0), nil, "passes over the training data").Tuned(1, 10),
			algo.ListParam("eval_metrics", "msd", "what is shown of the model: the mean or the sum of squared distances", "msd", "ssd"),
			algo.IntParam("mini_batch_size", "5000", new(1.0), nil, "rows of a batch, over all hosts").Tuned(3000, 15000),
			algo.IntParam("extra_center_factor", "auto", new(1.0), nil,
				"while it learns there are so many times k centres; auto: as many as make 250 centres, from 2 to 10").OrAuto().Tuned(4, 10),
			algo.EnumParam("init_method", "random", "how the first centres are chosen from a batch", methodNames...).TunedChoice(),
			algo.IntParam("half_life_time_size", "0", new(0.0), nil, "after so many rows a row counts half as much; 0 is never"),
			algo.EnumParam("local_lloyd_init_method", "kmeans++", "how the first k of all centres are chosen at the end", methodNames...),
			algo.IntParam("local_lloyd_max_iter", "300", new(1.0), nil, "most rounds of Lloyd's method at the end"),
			algo.IntParam("local_lloyd_num_trials", "auto", new(1.0), nil, "how often it is tried, the best counts; auto: 10").OrAuto(),
			algo.FloatParam("local_lloyd_tol", "0.0001", new(0.0), new(1.0), "share of the loss below which a gain ends it"),
			algo.BoolParam("force_dense", "true", "no effect: sparse rows give the same model"),
		}, firstparty.Hidden()...),
		Channels: []algo.ChannelSpec{
			{Name: "train", Required: true, Pipe: true, ContentTypes: types},
			{Name: "test", Pipe: true, ContentTypes: types},
		},
		Metrics: append([]algo.Metric{
			firstparty.Final("test", msd, ""), firstparty.Final("test", ssd, ""),
			firstparty.Final("train", msd, ""), firstparty.Final("train", ssd, ""),
		}, firstparty.Common()...),
		Distributed: true,
	}
}
