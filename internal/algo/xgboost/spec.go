// SPDX-License-Identifier: Apache-2.0

package xgboost

import (
	"math"
	"slices"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
)

// contentTypes are those that the train and validation channels take.
var contentTypes = []string{
	"text/libsvm", "text/x-libsvm", "libsvm", "text/csv", "csv",
	"parquet", "application/x-parquet", "recordio-protobuf", "application/x-recordio-protobuf",
}

// Spec gives the hyperparameters of SageMaker's XGBoost container, its channels
// and its metrics. Values whose effect is not built are told by Train.
func (Algorithm) Spec() algo.Spec {
	return algo.Spec{
		Name:   "xgboost",
		Params: recommend(slices.Concat(boostParams(), treeParams(), otherParams())),
		Channels: []algo.ChannelSpec{
			{Name: "train", Required: true, Pipe: true, ContentTypes: contentTypes},
			{Name: "validation", Pipe: true, ContentTypes: contentTypes},
			{Name: "model", ContentTypes: []string{"application/x-sagemaker-model"}},
		},
		Metrics:     metrics(),
		Distributed: true,
	}
}

// metrics are the objectives that the service registers for the image. In the
// log a tab is shown as #011.
func metrics() []algo.Metric {
	var all []algo.Metric
	add := func(names []string, maximize bool) {
		for _, name := range names {
			for _, channel := range []string{"validation", "train"} {
				all = append(all, algo.Metric{
					Name:     channel + ":" + name,
					Regex:    `.*\[[0-9]+\].*#011` + channel + "-" + name + `:([-+]?[0-9]*\.?[0-9]+(?:[eE][-+]?[0-9]+)?).*`,
					Maximize: maximize,
				})
			}
		}
	}
	add(maximized, true)
	add(minimized, false)
	return all
}

func integer(name, def string, least, most *float64, doc string) algo.Param {
	return algo.Param{Name: name, Kind: algo.Int, Default: def, Min: least, Max: most, Doc: doc}
}

func number(name, def string, least, most *float64, doc string) algo.Param {
	return algo.Param{Name: name, Kind: algo.Float, Default: def, Min: least, Max: most, Doc: doc}
}

func choice(name, def, doc string, values ...string) algo.Param {
	return algo.Param{Name: name, Kind: algo.Enum, Default: def, Values: values, Doc: doc}
}

func tunable(p algo.Param) algo.Param { p.Tunable = true; return p }

// open excludes the lower bound, and the upper one too when both is set.
func open(p algo.Param, both bool) algo.Param {
	p.OpenMin, p.OpenMax = true, both
	return p
}

func alias(p algo.Param, names ...string) algo.Param { p.Alias = names; return p }

func boostParams() []algo.Param {
	rounds := tunable(integer("num_round", "", new(1.0), nil, "number of boosting rounds"))
	rounds.Required = true
	return []algo.Param{
		rounds,
		integer("num_class", "", new(2.0), nil, "number of classes, for multi:*"),
		choice("objective", "reg:squarederror", "loss to learn by",
			"aft_loss_distribution", "binary:logistic", "binary:logitraw", "binary:hinge", "count:poisson", "multi:softmax",
			"multi:softprob", "rank:pairwise", "rank:ndcg", "rank:map", "reg:linear", "reg:squarederror", "reg:logistic",
			"reg:gamma", "reg:pseudohubererror", "reg:squaredlogerror", "reg:absoluteerror", "reg:tweedie", "survival:aft",
			"survival:cox"),
		choice("booster", "gbtree", "kind of model", "gbtree", "gblinear", "dart"),
		number("base_score", "", new(0.0), nil, "intercept; estimated from the labels when absent"),
		{Name: "eval_metric", Kind: algo.List, Doc: "metrics to show each round"},
		integer("early_stopping_rounds", "", new(1.0), nil, "rounds without gain on validation after which to stop"),
		open(number("scale_pos_weight", "1", new(0.0), nil, "weight of positive rows"), false),
		open(number("tweedie_variance_power", "1.5", new(1.0), new(2.0), "variance power of reg:tweedie"), true),
		choice("aft_loss_distribution", "normal", "noise of survival:aft", "normal", "logistic", "extreme"),
		number("aft_loss_distribution_scale", "1", new(0.0), nil, "scale of the noise of survival:aft"),
		open(integer("seed", "0", new(-math.Exp2(31)), new(math.Exp2(31)-1), "seed of all random draws"), true),
		integer("num_parallel_tree", "1", new(1.0), nil, "trees per round and class"),
		integer("csv_weights", "0", new(0.0), new(1.0), "1: the second CSV column is the instance weight"),
		choice("save_model_on_termination", "false", "keep the model when training is stopped", "true", "false"),
	}
}

func treeParams() []algo.Param {
	share := func(name, doc string) algo.Param {
		return tunable(open(number(name, "1", new(0.0), new(1.0), doc), false))
	}
	return []algo.Param{
		tunable(alias(number("eta", "0.3", new(0.0), new(1.0), "learning rate"), "learning_rate")),
		tunable(alias(number("gamma", "0", new(0.0), nil, "least gain of a split"), "min_split_loss")),
		tunable(integer("max_depth", "6", new(0.0), nil, "depth limit, 0 for none")),
		tunable(number("min_child_weight", "1", new(0.0), nil, "least hessian sum of a child")),
		tunable(number("max_delta_step", "", new(0.0), nil, "bound of leaf weights, 0 for none; 0.7 for count:poisson")),
		share("subsample", "share of rows per tree"),
		share("colsample_bytree", "share of features per tree"),
		share("colsample_bylevel", "share of features per level"),
		share("colsample_bynode", "share of features per node"),
		tunable(alias(number("lambda", "1", new(0.0), nil, "L2 penalty"), "reg_lambda")),
		tunable(alias(number("alpha", "0", new(0.0), nil, "L1 penalty"), "reg_alpha")),
		choice("tree_method", "auto", "how trees are grown", "auto", "exact", "approx", "hist", "gpu_hist"),
		choice("grow_policy", "depthwise", "order of splits", "depthwise", "lossguide"),
		integer("max_leaves", "0", new(0.0), nil, "leaf limit, 0 for none"),
		integer("max_bin", "256", new(0.0), nil, "bins per feature"),
		choice("sampling_method", "uniform", "how subsample draws", "uniform", "gradient_based"),
		{Name: "updater", Kind: algo.List, Doc: "tree updaters"},
		integer("refresh_leaf", "1", new(0.0), new(1.0), "for the refresh updater"),
		choice("process_type", "default", "grow or update trees", "default", "update"),
		{Name: "monotone_constraints", Kind: algo.String, Doc: "direction per feature, as (1,-1,0)"},
		{Name: "interaction_constraints", Kind: algo.String, Doc: "features that may meet in a tree, as [[1,2],[3,4]]"},
		{Name: "_categorical_features", Kind: algo.List, Doc: "features that hold categories, counted from 0"},
		integer("max_cat_to_onehot", "4", new(1.0), nil, "fewer categories than that are split off one by one"),
		integer("max_cat_threshold", "64", new(1.0), nil, "most categories that a split of many weighs to either side"),
	}
}

func otherParams() []algo.Param {
	return []algo.Param{
		number("lambda_bias", "0", new(0.0), new(1.0), "L2 penalty of the bias of gblinear"),
		choice("sample_type", "uniform", "how dart draws dropped trees", "uniform", "weighted"),
		choice("normalize_type", "tree", "how dart weighs trees", "tree", "forest"),
		number("rate_drop", "0", new(0.0), new(1.0), "share of trees that dart drops"),
		integer("one_drop", "0", new(0.0), new(1.0), "dart drops at least one tree"),
		number("skip_drop", "0", new(0.0), new(1.0), "chance that dart drops none"),
		open(number("sketch_eps", "0.03", new(0.0), new(1.0), "share of a bin of approx, when max_bin is not given"), true),
		choice("dsplit", "", "no effect", "row", "col"),
		choice("predictor", "auto", "no effect", "auto", "cpu_predictor", "gpu_predictor"),
		choice("deterministic_histogram", "true", "no effect: histograms are always deterministic", "true", "false"),
		choice("single_precision_histogram", "false", "no effect", "true", "false"),
		open(integer("prob_buffer_row", "", new(1.0), nil, "no effect"), false),
		choice("use_dask_gpu_training", "false", "refused: there are no GPUs", "true", "false"),
		integer("nthread", "", new(1.0), nil, "most threads to use"),
		integer("verbosity", "1", new(0.0), new(3.0), "no effect"),
		integer("_kfold", "", new(2.0), nil, "folds of cross validation"),
		integer("_num_cv_round", "1", new(1.0), nil, "repeats of cross validation"),
		{Name: "_tuning_objective_metric", Kind: algo.String, Doc: "metric that a tuning job watches"},
	}
}
