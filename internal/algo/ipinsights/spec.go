// SPDX-License-Identifier: Apache-2.0

package ipinsights

import (
	"slices"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
	"github.com/sagebrush-ml/sagebrush/internal/algo/firstparty"
)

// The measures that the log tells.
var (
	auc      = firstparty.Score("discriminator_auc")
	accuracy = firstparty.Score("binary_classification_accuracy")
	entropy  = firstparty.Loss("binary_classification_cross_entropy")
)

// Spec gives the hyperparameters of "IP Insights Hyperparameters" in the
// SageMaker developer guide.
func (Algorithm) Spec() algo.Spec {
	rate := func(name, doc string) algo.Param {
		return algo.IntParam(name, "1", new(0.0), new(500.0), doc).Tuned(0, 10)
	}
	return algo.Spec{
		Name: "ipinsights",
		Params: slices.Concat([]algo.Param{
			algo.IntParam("num_entity_vectors", "", new(1.0), new(250e6), "rows of the table that entities are hashed to: twice the number of entities").Needed().Tuned(10000, 1000000),
			algo.IntParam("vector_dim", "", new(4.0), new(4096.0), "length of the vectors of entities and addresses").Needed().Tuned(8, 256),
			algo.IntParam("batch_metrics_publish_interval", "1000", new(1.0), nil, "batches from one line of metrics to the next"),
			algo.IntParam("epochs", "10", new(1.0), nil, "passes over the data").Tuned(1, 100),
			algo.FloatParam("learning_rate", "0.001", new(1e-6), new(10.0), "step of Adam").Tuned(1e-4, 0.1),
			algo.IntParam("mini_batch_size", "10000", new(1.0), new(500000.0), "pairs of a batch").Tuned(100, 50000),
			algo.IntParam("num_ip_encoder_layers", "1", new(0.0), new(100.0), "dense layers over an address").Tuned(1, 10),
			rate("random_negative_sampling_rate", "random addresses for each pair"),
			rate("shuffled_negative_sampling_rate", "addresses of other pairs for each pair"),
			algo.FloatParam("weight_decay", "0.00001", new(0.0), new(10.0), "L2 penalty").Tuned(0, 1),
		}, firstparty.Hidden()),
		Channels: []algo.ChannelSpec{
			{Name: "train", Required: true, ContentTypes: []string{"text/csv"}},
			{Name: "validation", ContentTypes: []string{"text/csv"}},
		},
		Metrics: append(firstparty.Common(),
			firstparty.Epoch("validation", auc, ""),
			firstparty.Batch("train", accuracy, ""), named(firstparty.Epoch("train", accuracy, ""), ":epoch"),
			firstparty.Batch("train", entropy, ""), named(firstparty.Epoch("train", entropy, ""), ":epoch")),
		Distributed: true,
	}
}

func named(m algo.Metric, suffix string) algo.Metric { m.Name += suffix; return m }
