// SPDX-License-Identifier: Apache-2.0

package fm

import (
	"slices"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
	"github.com/sagebrush-ml/sagebrush/internal/algo/firstparty"
)

// contentTypes are those of both channels: as in the container, there is no CSV.
var contentTypes = []string{"application/x-recordio-protobuf", "recordio-protobuf"}

// Spec gives the hyperparameters of SageMaker's Factorization Machines, its
// channels and its metrics.
func (Algorithm) Spec() algo.Spec {
	return algo.Spec{
		Name:   "factorization-machines",
		Params: slices.Concat(mainParams(), firstOf("bias", "0.1", "0.01", "0.01"), firstOf("linear", "0.001", "0.001", "0.01"), firstOf("factors", "0.0001", "0.00001", "0.001"), firstparty.Hidden()),
		Channels: []algo.ChannelSpec{
			{Name: "train", Required: true, Pipe: true, ContentTypes: contentTypes},
			{Name: "test", Pipe: true, ContentTypes: contentTypes},
		},
		Metrics:     metrics(),
		Distributed: true,
	}
}

// measured are what is measured of a regressor and of a classifier; the name of
// F-beta in lines holds beta, which is 1.
var (
	numbers = []firstparty.Measure{firstparty.Loss("rmse"), firstparty.Loss("mse"), firstparty.Loss("absolute_loss")}
	classes = []firstparty.Measure{firstparty.Score("binary_classification_accuracy"), firstparty.Loss("binary_classification_cross_entropy"), firstparty.Score("binary_f_1.000")}
)

func metrics() []algo.Metric {
	all := firstparty.Common()
	for _, m := range slices.Concat(numbers, classes) {
		name := m.Name
		if m.Name == "binary_f_1.000" {
			m.Name, name = `binary_f_\S+`, "binary_f_beta"
		}
		final, of := firstparty.Final("train", m, name+":final"), firstparty.Epoch("train", m, name)
		all = append(all, firstparty.Final("test", m, name), of, final)
	}
	return all
}

func mainParams() []algo.Param {
	return []algo.Param{
		algo.IntParam("feature_dim", "", new(1.0), nil, "number of features").Needed(),
		algo.IntParam("num_factors", "", new(1.0), nil, "dimensions of a feature's factors").Needed(),
		algo.EnumParam("predictor_type", "", "what is learned", "binary_classifier", "regressor").Needed(),
		algo.IntParam("epochs", "1", new(1.0), nil, "passes over the data").Tuned(1, 1000).Known("epoch"),
		algo.IntParam("mini_batch_size", "1000", new(1.0), nil, "rows of a step").Tuned(100, 10000),
		algo.FloatParam("clip_gradient", "", nil, nil, "bound of each number of a gradient"),
		algo.FloatParam("rescale_grad", "", nil, nil, "factor of the sum of a batch's gradients; one through its rows when absent"),
		algo.FloatParam("eps", "", nil, nil, "added to the root that adam divides by; 1e-8 when absent"),
		algo.BoolParam("use_bias", "true", "learn a bias"),
		algo.BoolParam("use_linear", "true", "learn a weight of each feature"),
		algo.EnumParam("_optimizer", "adam", "how steps are made", "adam"),
		algo.TextParam("_learning_rate", "", "no effect: each part has its own"),
		algo.IntParam("batch_metrics_publish_interval", "500", new(1.0), nil, "batches between two lines of metrics"),
	}
}

// firstOf are the parameters of one part of the model.
func firstOf(part, lr, wd, sigma string) []algo.Param {
	tuned := func(name, def, doc string) algo.Param {
		return algo.FloatParam(part+"_"+name, def, new(0.0), nil, doc).Tuned(1e-8, 512)
	}
	value := algo.FloatParam(part+"_init_value", "", nil, nil, "first value, for constant; 0 when absent").Tuned(1e-8, 512)
	return []algo.Param{
		tuned("lr", lr, "learning rate of the "+part),
		tuned("wd", wd, "L2 penalty of the "+part),
		algo.EnumParam(part+"_init_method", "normal", "first values of the "+part, "uniform", "normal", "constant"),
		tuned("init_scale", "", "bound of first values, for uniform; 0.07 when absent"),
		tuned("init_sigma", sigma, "deviation of first values, for normal"),
		value,
	}
}
