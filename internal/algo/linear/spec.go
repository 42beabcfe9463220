// SPDX-License-Identifier: Apache-2.0

package linear

import (
	"slices"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
	"github.com/sagebrush-ml/sagebrush/internal/algo/firstparty"
)

// contentTypes are those of all channels. A channel that does not say holds
// RecordIO, as the container takes it.
var contentTypes = []string{"application/x-recordio-protobuf", "recordio-protobuf", "text/csv", "csv"}

// Spec gives the hyperparameters of SageMaker's Linear Learner, its channels
// and its metrics.
func (Algorithm) Spec() algo.Spec {
	return algo.Spec{
		Name:   "linear-learner",
		Params: slices.Concat(taskParams(), learningParams(), binaryParams(), firstparty.Hidden()),
		Channels: []algo.ChannelSpec{
			{Name: "train", Required: true, Pipe: true, ContentTypes: contentTypes},
			{Name: "validation", Pipe: true, ContentTypes: contentTypes},
			{Name: "test", Pipe: true, ContentTypes: contentTypes},
		},
		Metrics:     metrics(),
		Distributed: true,
	}
}

// Channels of which a figure is a metric; the log tells of all.
var (
	heldOut    = []string{"validation", "test"}
	everywhere = []string{"validation", "test", "train"}
)

// metrics are the objectives that the service registers, 40 as it has no more of a
// job. The names of some lines hold a number, which the metric's name does not.
//
// Source: "Tune a linear learner model" in the SageMaker developer guide, and what
// DescribeHyperParameterTuningJob shows of such a job.
func metrics() []algo.Metric {
	objective := firstparty.Loss(`\S+_objective`)
	all := firstparty.Common()
	for _, channel := range []string{"validation", "train"} {
		final := firstparty.Final(channel, objective, "objective_loss:final")
		all = append(all, firstparty.Epoch(channel, objective, "objective_loss"), final)
	}
	all = append(all, firstparty.Final("test", objective, "objective_loss"))
	for _, m := range []struct {
		measure  firstparty.Measure
		name     string
		channels []string
	}{
		{firstparty.Loss("mse"), "", everywhere}, {firstparty.Loss("rmse"), "", []string{"validation"}}, {firstparty.Loss("absolute_loss"), "", everywhere},
		{firstparty.Score("binary_classification_accuracy"), "", everywhere}, {firstparty.Score(`binary_f_\S+`), "binary_f_beta", everywhere},
		{firstparty.Score("precision"), "", everywhere}, {firstparty.Score("recall"), "", everywhere}, {firstparty.Score("roc_auc_score"), "", heldOut},
		{firstparty.Score("multiclass_accuracy"), "", heldOut}, {firstparty.Score(`multiclass_top_k_accuracy_\S+`), "multiclass_top_k_accuracy", heldOut},
		{firstparty.Score("dcg"), "", heldOut}, {firstparty.Score("macro_precision"), "", heldOut}, {firstparty.Score("macro_recall"), "", heldOut},
		{firstparty.Score(`macro_f_\S+`), "macro_f_beta", heldOut},
	} {
		for _, channel := range m.channels {
			all = append(all, firstparty.Final(channel, m.measure, m.name))
		}
	}
	return all
}

func taskParams() []algo.Param {
	return []algo.Param{
		algo.EnumParam("predictor_type", "", "what is learned", "binary_classifier", "multiclass_classifier", "regressor").Needed(),
		algo.IntParam("num_classes", "", new(1.0), new(1e6), "number of classes, from 3 on; needed for multiclass_classifier, the others pass it over"),
		algo.IntParam("feature_dim", "auto", new(1.0), nil, "number of features; auto takes that of the data").OrAuto(),
		algo.IntParam("mini_batch_size", "1000", new(1.0), nil, "rows of a step").Tuned(100, 5000),
		algo.IntParam("epochs", "15", new(1.0), nil, "most passes over the data"),
		algo.EnumParam("loss", "auto", "loss to learn by; auto: logistic, softmax_loss, squared_loss", "auto", "logistic", "softmax_loss",
			"squared_loss", "absolute_loss", "hinge_loss", "eps_insensitive_squared_loss", "eps_insensitive_absolute_loss", "quantile_loss", "huber_loss"),
		algo.FloatParam("margin", "1.0", new(0.0), nil, "margin of hinge_loss"),
		algo.FloatParam("quantile", "0.5", new(0.0), new(1.0), "quantile of quantile_loss").Above().Below(),
		algo.FloatParam("loss_insensitivity", "0.01", new(0.0), nil, "half the width in which eps_insensitive losses are 0").Above(),
		algo.FloatParam("huber_delta", "1.0", new(0.0), nil, "error at which huber_loss becomes linear"),
		algo.BoolParam("balance_multiclass_weights", "false", "weigh each class by the inverse of its share"),
		algo.IntParam("accuracy_top_k", "3", new(1.0), nil, "k of top-k accuracy"),
		algo.FloatParam("f_beta", "1.0", new(0.0), nil, "beta of F-beta").Above(),
	}
}

func learningParams() []algo.Param {
	rate := func(name, doc string) algo.Param {
		return algo.FloatParam(name, "auto", new(0.0), new(1.0), doc).OrAuto().Below()
	}
	positive := func(name, doc string) algo.Param {
		return algo.FloatParam(name, "auto", new(0.0), nil, doc).OrAuto().Above()
	}
	penalty := func(name, doc string) algo.Param {
		return algo.FloatParam(name, "auto", new(0.0), nil, doc).OrAuto()
	}
	choice := func(name, def, doc string) algo.Param {
		return algo.EnumParam(name, def, doc, "auto", "true", "false")
	}
	return []algo.Param{
		algo.EnumParam("optimizer", "auto", "how steps are made; auto is adam", "auto", "sgd", "adam", "rmsprop"),
		positive("learning_rate", "size of steps").Tuned(1e-5, 1),
		penalty("wd", "L2 penalty").Tuned(1e-7, 1),
		penalty("l1", "L1 penalty").Tuned(1e-7, 1),
		rate("momentum", "momentum of sgd"),
		rate("beta_1", "decay of adam's mean of gradients"),
		rate("beta_2", "decay of adam's mean of squares"),
		positive("bias_lr_mult", "learning rate of the bias, as a multiple"),
		penalty("bias_wd_mult", "L2 penalty of the bias, as a multiple; auto is none"),
		algo.BoolParam("use_bias", "true", "learn a bias").TunedChoice(),
		algo.BoolParam("use_lr_scheduler", "true", "let the learning rate fall"),
		algo.IntParam("lr_scheduler_step", "auto", new(1.0), nil, "steps between two falls of the learning rate").OrAuto(),
		algo.FloatParam("lr_scheduler_factor", "auto", new(0.0), new(1.0), "factor by which it falls").OrAuto().Above().Below(),
		positive("lr_scheduler_minimum_lr", "learning rate below which it does not fall"),
		algo.EnumParam("init_method", "uniform", "first weights", "uniform", "normal"),
		algo.FloatParam("init_scale", "0.07", new(0.0), nil, "bound of uniform first weights").Above(),
		algo.FloatParam("init_sigma", "0.01", new(0.0), nil, "deviation of normal first weights").Above(),
		algo.FloatParam("init_bias", "0.0", nil, nil, "first bias"),
		choice("normalize_data", "true", "divide features by their deviations"),
		choice("normalize_label", "auto", "divide labels of a regressor by their deviation"),
		choice("unbias_data", "auto", "take the means off the features"),
		choice("unbias_label", "auto", "take the mean off the labels of a regressor"),
		algo.IntParam("num_point_for_scaler", "10000", new(1.0), nil, "rows from which means and deviations are taken"),
		algo.IntParam("num_models", "auto", new(1.0), nil, "models to train side by side; auto is 32, fewer where they are large").OrAuto(),
		algo.IntParam("early_stopping_patience", "3", new(1.0), nil, "epochs without gain after which to stop"),
		algo.FloatParam("early_stopping_tolerance", "0.001", new(0.0), nil, "gain, as a share of the loss, that counts as one").Above(),
		algo.BoolParam("force_dense", "true", "no effect: sparse data is learned from as it is"),
	}
}

func binaryParams() []algo.Param {
	weight := algo.TextParam("positive_example_weight_mult", "1.0", "weight of rows labelled 1: a number above 0, balanced or auto")
	weight.Tunable, weight.Tune = true, &algo.TuneRange{Min: 1e-5, Max: 1e5}
	return []algo.Param{
		algo.EnumParam("binary_classifier_model_selection_criteria", "accuracy", "what the threshold and the best model are chosen by",
			"accuracy", "f1", "f_beta", "precision_at_target_recall", "recall_at_target_precision", "loss_function", "cross_entropy_loss"),
		algo.FloatParam("target_recall", "0.8", new(0.0), new(1.0), "recall of precision_at_target_recall").Above().Below(),
		algo.FloatParam("target_precision", "0.8", new(0.0), new(1.0), "precision of recall_at_target_precision").Above().Below(),
		weight,
		algo.IntParam("num_calibration_samples", "auto", new(1.0), nil, "most rows to choose the threshold by").OrAuto(),
	}
}
